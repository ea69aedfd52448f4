//! The one engine of a process, with its fixed settings.
//!
//! Everything that compiles or runs a handler shares one [`Engine`]: a second one would compile
//! and hold the same code twice. Its settings are a list in one place, each with its reason, and
//! none is left to a default that another crate's features or the environment could change.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use wasmtime::component::Linker;
use wasmtime::{Config, InstanceAllocationStrategy, OptLevel, WasmBacktraceDetails};

use crate::error::EngineError;
use crate::store::State;

/// After how much fuel a handler lets others on its thread go first.
///
/// About a millisecond of computing. A call that handles an ordinary batch ends before its first
/// yield; a handler that computes for long is a neighbour that can be lived with, and the wall
/// clock gets a look at it often enough.
pub(crate) const FUEL_PER_YIELD: u64 = 10_000_000;

/// How much stack a handler may use: what stock wasmtime gives, so that a recursion that works
/// there works here.
const WASM_STACK_BYTES: usize = 512 * 1024;

/// The stack of one running call: the handler's own and 1.5 MiB for the host functions it calls.
/// Reserved, not used: only touched pages cost memory.
const CALL_STACK_BYTES: usize = 2 * 1024 * 1024;

/// How many frames of a trap are remembered. A Rust panic takes about eight to get from the
/// handler's line to the trap.
const BACKTRACE_FRAMES: usize = 20;

/// Compiles handlers and runs them. One per process; cloning shares it.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    engine: wasmtime::Engine,
    /// Holds all that a handler may import, for every handler the same.
    linker: Linker<State>,
}

impl Engine {
    /// Makes the engine.
    ///
    /// # Errors
    ///
    /// If wasmtime does not run on this processor and operating system.
    pub fn new() -> Result<Engine, EngineError> {
        let engine =
            wasmtime::Engine::new(&settings()).map_err(|e| EngineError { source: e.into() })?;
        let mut linker = Linker::new(&engine);
        // Sockets and files are linked too, since ordinary toolchains import them unasked. What a
        // handler can reach through them is decided by its store, which grants nothing.
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)
            .map_err(|e| EngineError { source: e.into() })?;
        Ok(Engine(Arc::new(Inner { engine, linker })))
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.engine
    }

    pub(crate) fn linker(&self) -> &Linker<State> {
        &self.0.linker
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// The settings, each with its reason.
fn settings() -> Config {
    let mut config = Config::new();

    // What a handler may be.
    config.wasm_component_model(true);
    // QuickJS components built by jco import `task.cancel`, which is part of the async component
    // model; without it they do not load. It makes a call about 3 µs dearer, which is little
    // beside what any handler does with a batch.
    config.concurrency_support(true);
    config.wasm_component_model_async(true);
    // A shared memory would grow without asking the memory limit.
    config.shared_memory(false);

    // How it is stopped: by fuel, which also makes it yield. Epochs on top would cost every
    // handler speed again.
    config.consume_fuel(true);
    config.epoch_interruption(false);
    config.max_wasm_stack(WASM_STACK_BYTES);
    config.async_stack_size(CALL_STACK_BYTES);

    // How fast it starts: instances map the handler's initial memory instead of copying it, and
    // take their memory from the system when they start, as their number is not known before.
    config.memory_init_cow(true);
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);

    // How it is compiled: on all cores and to fast code, since it is compiled once and runs often.
    config.parallel_compilation(true);
    config.cranelift_opt_level(OptLevel::Speed);

    // What a trap tells: the functions it passed through. Files and lines would keep debug
    // information in memory, and wasmtime's own default asks the environment about them.
    config.wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES));
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    // Nobody unwinds natively through a handler, and registering that slows down loading; the
    // Windows ABI insists on it.
    config.native_unwind_info(cfg!(windows));
    config
}
