//! What an instance carries: its WASI context with what it was granted, and its meters.
//!
//! A [`State`] lives as long as its store, one instance long, and is used by one call at a time.

use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::{ResourceLimiter, Store};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::engine::Engine;
use crate::limits::RESPONSE_BYTES_MAX;
use crate::output::{Output, Response};
use crate::refusals::Refusals;
use crate::settings::FunctionSettings;
use crate::wasi::{HttpAccess, NetworkAccess};

/// The most core instances of one component. Python's take dozens, one per shared library.
pub(crate) const CORE_INSTANCES_MAX: u32 = 1_000;

/// The most tables, and the most memories, of one instance.
pub(crate) const TABLES_MAX: u32 = 1_000;
pub(crate) const MEMORIES_MAX: u32 = 100;

/// The tables that one place in the pool has room for. A Rust component has two or three.
pub(crate) const TABLES_PER_PLACE: u32 = 8;

/// The most elements of one table, and of all tables of an instance together: 2 MiB of pointers.
/// Python's large components need some ten thousand.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 250_000;

/// The most handles of an instance: open files, sockets, streams, requests and what waits for them.
/// Each file and socket is one of the process, whose number is bounded too.
const HANDLES_MAX: usize = 1_000;

/// The most random bytes of one call. Twice as many take a millisecond, in which nothing else runs;
/// browsers stop here too (Web Cryptography API, `getRandomValues`).
const RANDOM_BYTES_MAX: u64 = 64 * 1024;

/// What the store of one instance holds for the host.
pub(crate) struct State {
    /// Serves components and core modules alike; it holds the handler's open handles.
    pub(crate) wasi: WasiP1Ctx,
    http: WasiHttpCtx,
    http_access: HttpAccess,
    pub(crate) network: Arc<NetworkAccess>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) output: Output,
    pub(crate) memory: MemoryMeter,
}

/// What a new instance is made from.
pub(crate) struct Template<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) settings: &'a FunctionSettings,
    pub(crate) name: &'a Arc<str>,
    pub(crate) variables: &'a [(String, String)],
    pub(crate) refusals: &'a Arc<Refusals>,
}

/// The standard streams of a handler that is called as a command.
pub(crate) struct Streams {
    pub(crate) event: bytes::Bytes,
    pub(crate) response: Response,
}

/// A granted directory cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the granted directory {}", path.display())]
pub(crate) struct DirError {
    pub(crate) path: PathBuf,
    pub(crate) source: Box<dyn std::error::Error + Send + Sync>,
}

/// Makes the store of a new instance. It has what its settings grant, stderr goes into the log, and
/// so does stdout; but with `streams` stdin is the event, and stdout the response.
pub(crate) fn new_store(
    template: &Template<'_>,
    streams: Option<Streams>,
) -> Result<Store<State>, DirError> {
    let Template { engine, settings, name, variables, refusals } = template;
    let output = Output::new(Arc::clone(name));
    let network = Arc::new(NetworkAccess::new(&settings.grants.network, Arc::clone(refusals)));
    let mut wasi = WasiCtx::builder();
    wasi.envs(variables).max_random_size(RANDOM_BYTES_MAX).stderr(output.stderr());
    // Refused address by address, so that the log can name what was refused.
    let check = Arc::clone(&network);
    wasi.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(true);
    wasi.socket_addr_check(move |address, purpose| {
        let permits = check.permits(address, purpose);
        Box::pin(std::future::ready(permits))
    });
    match streams {
        None => wasi.stdout(output.stdout()),
        Some(streams) => wasi
            .arg(name)
            .stdin(wasmtime_wasi::p2::pipe::MemoryInputPipe::new(streams.event))
            .stdout(streams.response),
    };
    for dir in &settings.grants.dirs {
        let perms = if dir.write { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        wasi.preopened_dir(&dir.host, &dir.guest, perms)
            .map_err(|e| DirError { path: dir.host.clone(), source: e.into() })?;
    }
    let mut wasi = wasi.build_p1();
    wasi.ctx().table.set_max_capacity(HANDLES_MAX);

    // A limit above what this machine can address is no limit on it.
    let memory_max = usize::try_from(settings.limits.memory_max_bytes).unwrap_or(usize::MAX);
    let state = State {
        wasi,
        http: WasiHttpCtx::new(),
        http_access: HttpAccess::new(&settings.grants.http, Arc::clone(refusals)),
        network,
        refusals: Arc::clone(refusals),
        output,
        memory: MemoryMeter {
            memory: Meter::new(memory_max),
            tables: Meter::new(TABLE_ELEMENTS_MAX),
            refused: false,
        },
    };
    let mut store = Store::new(engine.wasmtime(), state);
    store.limiter(|state| &mut state.memory);
    // What one call of the host, or the answer, copies out of the handler.
    store.set_hostcall_fuel(RESPONSE_BYTES_MAX);
    Ok(store)
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.ctx()
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.http_access,
            table: self.wasi.ctx().table,
            ctx: &mut self.http,
        }
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
        CORE_INSTANCES_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
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
