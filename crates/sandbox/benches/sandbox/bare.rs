//! The least that a host can do: wasmtime in a loop, under the engine's own settings.
//!
//! The settings that code depends on are proven to be the engine's: [`Bare::of_host`] loads what
//! [`gristmill_sandbox::precompile`] made, which wasmtime refuses under any others. Those of running
//! repeat `engine.rs`. What is left out is what the host adds: places, limits on memory and output,
//! grants, a log, the timeout, the report.

use std::thread;
use std::time::{Duration, Instant};

use gristmill_sandbox::precompile;
use wasmtime::component::{
    Component, ComponentExportIndex, Func, InstancePre, Linker, ResourceTable,
};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Store,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

const TICK: Duration = Duration::from_millis(1);
const TICKS_PER_YIELD: u64 = 2;
const FUEL: u64 = 840 * 20_000_000_000;

/// What keeps a handler within its limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metering {
    pub(crate) fuel: bool,
    pub(crate) epoch: bool,
}

impl Metering {
    /// What the host's engine has.
    const BOTH: Metering = Metering { fuel: true, epoch: true };
}

/// A linked handler without a host around it.
pub(crate) struct Bare {
    engine: Engine,
    handler: InstancePre<State>,
    export: ComponentExportIndex,
    metering: Metering,
}

/// An instance of it.
pub(crate) struct Instance {
    store: Store<State>,
    func: Func,
}

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Bare {
    /// A handler in an engine like the host's.
    #[expect(unsafe_code, reason = "shows that the settings are the host's")]
    pub(crate) fn of_host(wasm: &[u8]) -> Bare {
        let engine = Engine::new(&config(Metering::BOTH)).unwrap();
        let native = precompile(wasm).unwrap();
        // SAFETY: wasmtime made these bytes a line above.
        let component = unsafe { Component::deserialize(&engine, native) }.unwrap();
        Bare::link(engine, &component, Metering::BOTH)
    }

    /// A handler in an engine that differs in its metering.
    pub(crate) fn metered(wasm: &[u8], metering: Metering) -> Bare {
        let engine = Engine::new(&config(metering)).unwrap();
        let component = Component::from_binary(&engine, wasm).unwrap();
        Bare::link(engine, &component, metering)
    }

    fn link(engine: Engine, component: &Component, metering: Metering) -> Bare {
        component.initialize_copy_on_write_image().unwrap();
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        let handler = linker.instantiate_pre(component).unwrap();
        let export = component.get_export_index(None, "handle-batch").unwrap();
        if metering.epoch {
            tick(&engine);
        }
        Bare { engine, handler, export, metering }
    }

    /// Makes an instance.
    pub(crate) async fn instance(&self) -> Instance {
        let wasi = WasiCtx::builder().build();
        let mut store = Store::new(&self.engine, State { wasi, table: ResourceTable::new() });
        if self.metering.epoch {
            store.epoch_deadline_async_yield_and_update(TICKS_PER_YIELD);
        }
        self.begin(&mut store);
        let instance = self.handler.instantiate_async(&mut store).await.unwrap();
        let func = instance.get_func(&mut store, self.export).unwrap();
        Instance { store, func }
    }

    /// Calls an instance.
    pub(crate) async fn call(&self, instance: &mut Instance, event: &str) {
        let Instance { store, func } = instance;
        self.begin(store);
        let typed = func.typed::<(&str,), (Result<Option<String>, String>,)>(&*store).unwrap();
        let (answer,) = typed.call_async(store, (event,)).await.unwrap();
        answer.unwrap();
    }

    fn begin(&self, store: &mut Store<State>) {
        if self.metering.fuel {
            store.set_fuel(FUEL).unwrap();
        }
        if self.metering.epoch {
            store.set_epoch_deadline(TICKS_PER_YIELD);
        }
    }
}

/// Moves an engine's epoch on for as long as there is the engine.
fn tick(engine: &Engine) {
    let engine = engine.weak();
    thread::spawn(move || {
        let mut next = Instant::now();
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            next += TICK;
            thread::park_timeout(next.saturating_duration_since(Instant::now()));
        }
    });
}

/// What `engine.rs` sets, but for the metering.
fn config(metering: Metering) -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.concurrency_support(true);
    config.wasm_component_model_async(true);
    config.shared_memory(false);
    config.consume_fuel(metering.fuel);
    config.epoch_interruption(metering.epoch);
    config.memory_init_cow(true);
    config.cranelift_opt_level(OptLevel::Speed);
    config.native_unwind_info(cfg!(windows));
    config.max_wasm_stack(512 * 1024);
    config.async_stack_size(2 * 1024 * 1024);

    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(1_000);
    pool.total_core_instances(1_000_000);
    pool.total_memories(1_000);
    pool.total_tables(8_000);
    pool.total_stacks(4_000);
    pool.max_core_instances_per_component(1_000);
    pool.max_memories_per_component(100);
    pool.max_memories_per_module(100);
    pool.max_tables_per_component(1_000);
    pool.max_tables_per_module(1_000);
    pool.table_elements(250_000);
    pool.max_memory_size(4 * 1024 * 1024 * 1024);
    pool.max_component_instance_size(4 * 1024 * 1024);
    pool.max_core_instance_size(4 * 1024 * 1024);
    pool.linear_memory_keep_resident(64 * 1024);
    pool.table_keep_resident(16 * 1024);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
