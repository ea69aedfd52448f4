//! The same handlers under wasmtime as anyone has it: default settings, WASI, nothing of ours.
//!
//! Stands in for `wasmtime run --invoke 'handle-batch("{}")' handler.wasm`, and for `wasmtime run
//! handler.wasm < event.json` where a handler is a command. A handler that only ran here would not be
//! a standard component.

use gristmill_testkit::guests::ORDER_TOTALS;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Module, Store};
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView, p1};

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

/// Runs a guest as a command; its exit code, what it wrote to stdout and what to stderr.
fn run_command(name: &str, event: &str) -> (i32, String, String) {
    let engine = Engine::default();
    let mut linker = wasmtime::Linker::new(&engine);
    p1::add_to_linker_sync(&mut linker, |wasi| wasi).unwrap();
    let outputs = [(); 2].map(|()| MemoryOutputPipe::new(1024 * 1024));
    let wasi = WasiCtx::builder()
        .stdin(MemoryInputPipe::new(event.to_owned()))
        .stdout(outputs[0].clone())
        .stderr(outputs[1].clone())
        .build_p1();
    let mut store = Store::new(&engine, wasi);
    let module = Module::from_binary(&engine, &guest(name)).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start").unwrap();
    let code = match start.call(&mut store, ()) {
        Ok(()) => 0,
        Err(error) => error.downcast::<I32Exit>().unwrap().0,
    };
    let [stdout, stderr] =
        outputs.map(|output| String::from_utf8(output.contents().to_vec()).unwrap());
    (code, stdout, stderr)
}

#[test]
fn the_templates_of_all_languages_run_under_stock_wasmtime() {
    let event = include_str!("../../../../plugins/order-totals/event.json");
    let response = r#"{"orders":1,"items":3,"total_cents":2505}"#.to_owned();
    let line = "1 orders, 3 items, total 25.05\n".to_owned();
    for name in ORDER_TOTALS {
        if name == "order-totals-go" {
            assert_eq!(run_command(name, event), (0, response.clone(), line.clone()));
            let (code, _, reason) = run_command(name, "{}");
            assert!(code == 1 && reason.starts_with("the event is not one of"), "{reason}");
        } else {
            assert_eq!(run(name, event), (Ok(Some(response.clone())), line.clone()), "{name}");
        }
    }
}
