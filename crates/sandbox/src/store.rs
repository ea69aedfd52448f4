//! What an instance carries: its WASI context, which grants nothing, and its meters.
//!
//! A [`State`] lives as long as its store, one instance long, and is used by one call at a time.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::engine::Engine;
use crate::limits::Limits;
use crate::output::Output;

/// The most core instances of one component. Python's take dozens, one per shared library.
const CORE_INSTANCES_MAX: usize = 1_000;

/// The most tables, and the most memories, of one component.
const TABLES_MAX: usize = 1_000;
const MEMORIES_MAX: usize = 100;

/// The most table elements of one component, all tables together: 8 MiB of pointers.
const TABLE_ELEMENTS_MAX: usize = 1_000_000;

/// What the store of one instance holds for the host.
pub(crate) struct State {
    wasi: WasiCtx,
    /// The handler's open handles; wasmtime bounds their number.
    table: ResourceTable,
    pub(crate) output: Output,
    pub(crate) memory: MemoryMeter,
}

/// Makes the store of a new instance: no arguments, no environment, no directories, no network,
/// a closed stdin, and stdout and stderr into the log.
pub(crate) fn new_store(engine: &Engine, function: Arc<str>, limits: &Limits) -> Store<State> {
    let output = Output::new(function);
    let wasi = WasiCtx::builder()
        .stdout(output.stdout())
        .stderr(output.stderr())
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build();
    // A limit above what this machine can address is no limit on it.
    let memory_max = usize::try_from(limits.memory_max_bytes).unwrap_or(usize::MAX);
    let state = State {
        wasi,
        table: ResourceTable::new(),
        output,
        memory: MemoryMeter {
            memory: Meter::new(memory_max),
            tables: Meter::new(TABLE_ELEMENTS_MAX),
            refused: false,
        },
    };
    let mut store = Store::new(engine.wasmtime(), state);
    store.limiter(|state| &mut state.memory);
    // What one host call copies from the handler, which cannot hold more than its memory.
    store.set_hostcall_fuel(memory_max);
    store
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Counts what an instance holds and refuses what is too much.
pub(crate) struct MemoryMeter {
    memory: Meter,
    tables: Meter,
    /// Whether the running call asked for memory that it did not get.
    refused: bool,
}

impl MemoryMeter {
    /// Starts a call: what was refused to an earlier one is forgotten.
    pub(crate) fn start_call(&mut self) {
        self.refused = false;
    }

    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    /// The linear memory that the instance holds, in bytes. Linear memory never shrinks, so this
    /// is also the most that it has held.
    pub(crate) fn bytes(&self) -> u64 {
        self.memory.used as u64
    }
}

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let granted = self.memory.grow(current, desired, maximum);
        // A handler that gets some memory after it was refused has coped.
        self.refused = !granted;
        Ok(granted)
    }

    /// Also called for growth that was never asked about, so nothing is given back here: what
    /// the system failed to allocate stays counted.
    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.tables.grow(current, desired, maximum))
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

/// A sum over all memories or all tables of an instance, and its bound.
struct Meter {
    used: usize,
    max: usize,
}

impl Meter {
    fn new(max: usize) -> Meter {
        Meter { used: 0, max }
    }

    /// Grants or refuses growth of one memory or table from `current` to `desired`, which must
    /// not exceed the `maximum` that the component itself declares.
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        let total = self.used.saturating_add(desired.saturating_sub(current));
        let granted = total <= self.max && maximum.is_none_or(|maximum| desired <= maximum);
        if granted {
            self.used = total;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_for_all_memories_together() {
        let mut meter = Meter::new(100);
        assert!(meter.grow(0, 60, None));
        assert!(!meter.grow(0, 41, None));
        assert!(meter.grow(0, 30, Some(30)));
        assert!(meter.grow(60, 70, None));
        assert!(!meter.grow(70, 71, None));
        assert_eq!(meter.used, 100);
    }

    #[test]
    fn growth_beyond_the_declared_maximum_is_not_counted() {
        let mut meter = Meter::new(100);
        assert!(!meter.grow(0, 31, Some(30)));
        assert_eq!(meter.used, 0);
    }
}
