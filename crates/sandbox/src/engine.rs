//! The one engine of a process, with its fixed settings.
//!
//! Everything that runs a handler shares one [`Engine`]: a second one would hold the same code twice
//! and have a pool of its own. Its settings are a list in one place, each with its reason, and none
//! is left to a default that another crate's features or the environment could change.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::Arc;

use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    WasmBacktraceDetails, WasmFeatures, component,
};

use crate::error::EngineError;
use crate::places::Places;
use crate::state::{self, State};
use crate::ticker::Ticker;
use crate::wasi;

/// How much stack a handler may use: what stock wasmtime gives, so that a recursion that works
/// there works here.
const WASM_STACK_BYTES: usize = 512 * 1024;

/// The stack of one running call: the handler's own and 1.5 MiB for the host functions it calls.
/// Reserved, not used: only touched pages cost memory.
const CALL_STACK_BYTES: usize = 2 * 1024 * 1024;

/// Stacks for each place in the pool. A call takes one, and more where the parts of a component call
/// each other asynchronously.
const STACKS_PER_PLACE: u32 = 4;

/// How many frames of a trap are remembered. A Rust panic takes about eight to get from the
/// handler's line to the trap.
const BACKTRACE_FRAMES: usize = 20;

/// What stays in memory of a linear memory and of a table when an instance ends, so that the next one
/// in its place need not fault it in again. Measured: more than 64 KiB costs instances of Rust handlers
/// time, which have 1 MiB of stack at the bottom of their memory and touch little of it.
const MEMORY_KEEP_BYTES: usize = 64 * 1024;
const TABLE_KEEP_BYTES: usize = 16 * 1024;

/// How many places of ended instances wait for the next of the same handler, and keep what is above.
/// With all else each takes about 170 KiB, so that of wasmtime's default, 100, a host grows by 17 MiB
/// while its handlers are exchanged again and again.
const WAITING_PLACES_MAX: u32 = 8;

/// The metadata that one part of a component may need: many times what large ones do.
const METADATA_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What an engine is sized by, before any function is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineSettings {
    /// The most instances that are alive at once, running and idle ones together; 1 to 4,000. Each
    /// reserves 4 GiB of addresses and no memory. A call that finds no place waits for one.
    pub instances_max: u32,
    /// The most linear memory that any function may ask for, in bytes; 64 KiB to 4 GiB.
    pub memory_max_bytes: u64,
}

impl EngineSettings {
    /// The most instances of any engine. With its stacks each takes about twelve mappings, of which
    /// Linux gives a process 65,530 (`vm.max_map_count`).
    pub const INSTANCES_MOST: u32 = 4_000;
}

impl Default for EngineSettings {
    /// As many instances as AWS Lambda runs at once in an account, and all that a handler can
    /// address.
    fn default() -> Self {
        EngineSettings { instances_max: 1_000, memory_max_bytes: crate::limits::MEMORY_MOST_BYTES }
    }
}

/// Runs handlers. One per process; cloning shares it.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    engine: wasmtime::Engine,
    /// Holds all that a component may import, for every handler the same.
    components: component::Linker<State>,
    /// The same for core modules.
    modules: wasmtime::Linker<State>,
    places: Arc<Places>,
    ticker: Ticker,
    settings: EngineSettings,
}

impl Engine {
    /// Makes the engine, and reserves the addresses for its instances.
    ///
    /// # Errors
    ///
    /// If the settings are out of range, wasmtime does not run on this processor and operating
    /// system, or the operating system gives neither addresses nor a thread.
    pub fn new(settings: EngineSettings) -> Result<Engine, EngineError> {
        let most = EngineSettings::INSTANCES_MOST;
        if !(1..=most).contains(&settings.instances_max) {
            return Err(EngineError::Instances { instances: settings.instances_max });
        }
        if !crate::limits::is_memory_limit(settings.memory_max_bytes) {
            return Err(EngineError::Memory { bytes: settings.memory_max_bytes });
        }
        let mut config = compiled_as();
        run_as(&mut config, settings);
        let engine = wasmtime::Engine::new(&config).map_err(|source| EngineError::Unsupported {
            instances: settings.instances_max,
            source: source.into(),
        })?;
        let linked = |source: wasmtime::Error| EngineError::Unsupported {
            instances: settings.instances_max,
            source: source.into(),
        };
        let components = wasi::component_linker(&engine).map_err(linked)?;
        let modules = wasi::module_linker(&engine).map_err(linked)?;
        let ticker = Ticker::start(engine.clone()).map_err(EngineError::Thread)?;
        let places = Arc::new(Places::new(settings.instances_max));
        Ok(Engine(Arc::new(Inner { engine, components, modules, places, ticker, settings })))
    }

    /// Names what native code has to be compiled for to run in this engine: the version of
    /// wasmtime, the processor, and the settings that code depends on.
    #[must_use]
    pub fn code_key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.engine
    }

    pub(crate) fn components(&self) -> &component::Linker<State> {
        &self.0.components
    }

    pub(crate) fn modules(&self) -> &wasmtime::Linker<State> {
        &self.0.modules
    }

    pub(crate) fn places(&self) -> &Arc<Places> {
        &self.0.places
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.0.ticker
    }

    pub(crate) fn settings(&self) -> EngineSettings {
        self.0.settings
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

/// The settings that native code depends on, each with its reason. Code that was compiled under
/// others is refused. `docs/sandbox.md` names the flags by which `wasmtime compile` has the same.
pub(crate) fn compiled_as() -> Config {
    let mut config = Config::new();

    // What a handler may be.
    config.wasm_component_model(true);
    // QuickJS components built by jco import `task.cancel`, which is part of the async component
    // model; without it they do not load. It makes a warm call about 1 µs dearer and a fresh
    // one 2 to 5, which is little beside what any handler does with a batch.
    config.concurrency_support(true);
    config.wasm_component_model_async(true);
    // A shared memory would grow without asking the memory limit.
    config.shared_memory(false);
    // Left out of this build, with all that it would put at risk; said here as well, since another
    // crate in the same program may turn them on for all. Set by flags, because the methods are
    // themselves there only where they are built in.
    let left_out = WasmFeatures::THREADS | WasmFeatures::GC_TYPES | WasmFeatures::EXCEPTIONS;
    config.wasm_features(left_out, false);

    // How it is stopped: fuel is the budget, and the epoch, which a thread moves on every
    // millisecond, makes it yield wherever it is (docs/decisions/0009-epochs-bound-the-clock.md).
    config.consume_fuel(true);
    config.epoch_interruption(true);

    // How fast it starts: instances map the handler's initial memory instead of copying it.
    config.memory_init_cow(true);

    // How it is compiled: on all cores and to fast code, since it is compiled once and runs often.
    config.parallel_compilation(true);
    config.cranelift_opt_level(OptLevel::Speed);

    // Nobody unwinds natively through a handler, and registering that slows down loading; the
    // Windows ABI insists on it.
    config.native_unwind_info(cfg!(windows));
    config
}

/// The settings of running, which any code fits, each with its reason.
fn run_as(config: &mut Config, settings: EngineSettings) {
    config.max_wasm_stack(WASM_STACK_BYTES);
    config.async_stack_size(CALL_STACK_BYTES);

    // What a trap tells: the functions it passed through. Files and lines are found in another way,
    // within bounds (`lines`), and wasmtime's own default asks the environment about them.
    config.wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES));
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);

    // Where instances live: in places that are reserved once, so that to start and to end one asks
    // little of the operating system. `Places` lets no more in than there is room for. Instances of
    // components and modules are only counted here; memories and tables are what takes room.
    let places = settings.instances_max;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(places);
    pool.total_core_instances(places.saturating_mul(state::CORE_INSTANCES_MAX));
    pool.total_memories(places);
    pool.total_tables(places.saturating_mul(state::TABLES_PER_PLACE));
    pool.total_stacks(places.saturating_mul(STACKS_PER_PLACE));
    pool.max_core_instances_per_component(state::CORE_INSTANCES_MAX);
    pool.max_memories_per_component(state::MEMORIES_MAX.min(places));
    pool.max_memories_per_module(state::MEMORIES_MAX.min(places));
    let tables_max = state::TABLES_MAX.min(places.saturating_mul(state::TABLES_PER_PLACE));
    pool.max_tables_per_component(tables_max);
    pool.max_tables_per_module(tables_max);
    pool.table_elements(state::TABLE_ELEMENTS_MAX);
    pool.max_memory_size(usize::try_from(settings.memory_max_bytes).unwrap_or(usize::MAX));
    pool.max_component_instance_size(METADATA_BYTES_MAX);
    pool.max_core_instance_size(METADATA_BYTES_MAX);
    pool.linear_memory_keep_resident(MEMORY_KEEP_BYTES);
    pool.table_keep_resident(TABLE_KEEP_BYTES);
    pool.max_unused_warm_slots(WAITING_PLACES_MAX);
    // `pagemap_scan` would make fresh instances two to three times faster, but in this version it
    // passes over pages that were swapped out, which the next instance could then read
    // (bytecodealliance/wasmtime, pull request 14357).
    pool.pagemap_scan(Enabled::No);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
}
