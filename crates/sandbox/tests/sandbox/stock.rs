//! The same handlers under wasmtime as anyone has it: default settings, WASI, nothing of ours.
//!
//! Stands in for `wasmtime run --invoke 'handle-batch("{}")' handler.wasm`. A handler that only
//! ran here would not be a standard component.

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::support::{ONE_RECORD, guest};

struct Stock {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Stock {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Calls a guest once; its answer, and what it wrote to stdout.
fn run(name: &str, event: &str) -> (Result<Option<String>, String>, String) {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker).unwrap();
    let stdout = MemoryOutputPipe::new(1024 * 1024);
    let wasi = WasiCtx::builder().stdout(stdout.clone()).build();
    let mut store = Store::new(&engine, Stock { wasi, table: ResourceTable::new() });
    let component = Component::from_binary(&engine, &guest(name)).unwrap();
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let handle_batch = instance
        .get_typed_func::<(&str,), (Result<Option<String>, String>,)>(&mut store, "handle-batch")
        .unwrap();
    let (answer,) = handle_batch.call(&mut store, (event,)).unwrap();
    (answer, String::from_utf8(stdout.contents().to_vec()).unwrap())
}

#[test]
fn handlers_run_under_stock_wasmtime() {
    assert_eq!(run("echo", "\"größer\""), (Ok(Some("\"größer\"".to_owned())), String::new()));
    assert_eq!(run("silent", "{}"), (Ok(None), String::new()));
    assert_eq!(run("prints-event", ONE_RECORD), (Ok(None), format!("{ONE_RECORD}\n")));
    assert_eq!(run("always-err", "{}"), (Err("no".to_owned()), String::new()));
    let (answer, printed) = run("order-totals", r#"{"rmqMessagesByQueue":{}}"#);
    assert!(answer.is_ok() && !printed.is_empty(), "{answer:?} {printed:?}");
}
