//! Core modules for WASI preview 1, which is what many languages still build.

use std::collections::BTreeMap;
use std::time::Duration;

use gristmill_invocation::Outcome;
use gristmill_sandbox::{FileKind, FunctionSettings, Limits, LoadedFunction, inspect};
use serde_json::json;

use crate::support::{ENGINE, answer, call, load_bytes, variables_of, with_variables};

/// A module that reads up to 60,000 bytes of its event to 1024, says at 8 how many, and then does
/// `then`, which may ask for an exit or write to stdout (`$answer`, from an address, so many bytes).
pub(crate) fn module(then: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_read"
                (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasi_snapshot_preview1" "random_get"
                (func $random (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_open" (func $open
                (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_sizes_get"
                (func $environ_sizes (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_get"
                (func $environ (param i32 i32) (result i32)))
            (memory (export "memory") 2)
            (func $answer (param i32 i32)
                (i32.store (i32.const 16) (local.get 0))
                (i32.store (i32.const 20) (local.get 1))
                (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24))))
            (func (export "_start")
                (i32.store (i32.const 0) (i32.const 1024))
                (i32.store (i32.const 4) (i32.const 60000))
                (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                {then}))"#
    ))
    .unwrap()
}

const ECHO: &str = "(call $answer (i32.const 1024) (i32.load (i32.const 8)))";

fn load(module: &[u8]) -> LoadedFunction {
    let limits = Limits { timeout: Duration::from_millis(300), ..Limits::default() };
    load_bytes(module, FunctionSettings { limits, ..FunctionSettings::default() }).unwrap()
}

#[tokio::test]
async fn a_module_reads_the_event_and_ends_as_a_command() {
    let echoed = Outcome::Succeeded(Some("{\"größer\":1}".to_owned()));
    let failed = |message: &str| Outcome::HandlerError(message.to_owned());
    let endless = |what: &str| format!("(loop $again {what} (br $again))");
    for (then, outcome) in [
        (ECHO, echoed.clone()),
        (&format!("{ECHO} (call $exit (i32.const 0))"), echoed),
        ("", Outcome::Succeeded(None)),
        ("(call $exit (i32.const 3))", failed("exit code 3")),
        (&format!("{ECHO} (call $exit (i32.const 1))"), failed("exit code 1")),
        (&endless(""), Outcome::TimedOut),
        (&endless("(drop (call $random (i32.const 0) (i32.const 65536)))"), Outcome::TimedOut),
        (&endless("(call $answer (i32.const 0) (i32.const 100000))"), Outcome::ResponseTooLarge),
        (
            "(i32.store8 (i32.const 0) (i32.const 255)) (call $answer (i32.const 0) (i32.const 1))",
            failed("its response on stdout is not UTF-8"),
        ),
    ] {
        let function = load(&module(then));
        for _ in 0..2 {
            let report = call(&function, "{\"größer\":1}").await;
            assert_eq!(report.outcome, outcome, "{then}");
            assert!(report.cold, "{then}");
        }
    }
}

#[tokio::test]
async fn a_module_sees_its_own_variables_and_none_of_the_hosts() {
    // They come as one text each that ends in a zero, of which 36 has all bytes.
    let tells = module(
        "(drop (call $environ_sizes (i32.const 32) (i32.const 36)))
         (drop (call $environ (i32.const 1024) (i32.const 8192)))
         (call $answer (i32.const 8192) (i32.load (i32.const 36)))",
    );
    let settings = FunctionSettings { name: "tells".to_owned(), ..with_variables() };
    let told = answer(&load_bytes(&tells, settings).unwrap(), "").await;
    let variables = told.strip_suffix('\0').unwrap().split('\0');
    let variables: BTreeMap<_, _> = variables.map(|text| text.split_once('=').unwrap()).collect();
    assert_eq!(json!(variables), variables_of("tells"));
}

#[tokio::test]
async fn a_modules_traps_are_told() {
    for (then, reason) in [
        ("unreachable", "wasm `unreachable` instruction executed in "),
        ("(drop (i32.load (i32.const 200000)))", "out of bounds memory access"),
        ("(drop (call $random (i32.const 0) (i32.const 65537)))", "requested len 65537 exceeds"),
    ] {
        let outcome = call(&load(&module(then)), "{}").await.outcome;
        let Outcome::Trapped(told) = outcome else { panic!("{then}: {outcome:?}") };
        assert!(told.contains(reason), "{told}");
    }
}

#[test]
fn a_module_that_is_no_command_or_imports_something_else_is_refused() {
    let refusal = |wat: &str| {
        let module = wat::parse_str(wat).unwrap();
        load_bytes(&module, FunctionSettings::default()).unwrap_err().refusal.to_string()
    };
    for no_start in [
        "(module)",
        r#"(module (global (export "_start") i32 (i32.const 0)))"#,
        r#"(module (func (export "_start") (param i32)))"#,
        r#"(module (func (export "_start") (result i32) i32.const 0))"#,
    ] {
        assert!(refusal(no_start).contains("without the function `_start`"), "{no_start}");
    }
    let other = refusal(
        r#"(module (import "env" "log" (func)) (import "wasi_snapshot_preview1" "proc_exit"
            (func (param i32))) (func (export "_start")))"#,
    );
    assert!(other.contains("imports what cannot be given (env.log);"), "{other}");
}

#[test]
fn inspecting_a_module_shows_how_it_is_called() {
    let inspection = inspect(&ENGINE, &module(ECHO));
    assert_eq!(inspection.kind, FileKind::CoreModule);
    assert_eq!(inspection.handler.unwrap(), "_start");
    assert_eq!(inspection.imports[0].name, "wasi_snapshot_preview1.fd_read");
}
