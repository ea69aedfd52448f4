//! One misbehaviour after another: each ends as an outcome, and nobody else notices.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use gristmill_invocation::Outcome;
use gristmill_sandbox::{
    DirGrant, FunctionSettings, Grants, LOG_BYTES_MAX, LOG_LINES_MAX, Limits, LoadedFunction,
    RESPONSE_BYTES_MAX, Refusal,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::support::{
    Captured, call, causes, component_of, component_with, load, load_bytes, load_with,
};

/// More than any machine burns before the clock ends it.
const FUEL: u64 = u64::MAX;

fn limits(timeout: Duration) -> Limits {
    Limits { timeout, fuel_per_second: FUEL, ..Limits::default() }
}

/// A directory with a file `file` and a directory `d`, and the grant of it.
fn granted_dir() -> (TempDir, Grants) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "plain").unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    let grant = DirGrant { host: dir.path().to_owned(), guest: "/data".to_owned(), write: true };
    let grants = Grants { dirs: vec![grant], ..Grants::default() };
    (dir, grants)
}

/// Whether a function runs into the clock, and whether the one thread that it runs on serves others
/// until then: that is awaited while it has as good as for ever.
async fn runs_into_the_clock_and_holds_up_nobody(
    what: &str,
    load: impl Fn(Limits) -> LoadedFunction,
    event: &'static str,
) {
    let report = call(&load(limits(Duration::from_millis(250))), event).await;
    assert_eq!(report.outcome, Outcome::TimedOut, "{what}");
    assert!(report.duration < Duration::from_secs(30), "{what}: {report:?}");

    let function = load(limits(Duration::from_secs(600)));
    let neighbour = crate::support::load("echo", Limits::default());
    let mut calls = JoinSet::new();
    calls.spawn(async move { call(&function, event).await.outcome });
    let mut neighbours = JoinSet::new();
    neighbours.spawn(async move {
        for _ in 0..5 {
            let outcome = call(&neighbour, "{}").await.outcome;
            assert_eq!(outcome, Outcome::Succeeded(Some("{}".to_owned())));
        }
    });
    neighbours.join_next().await.unwrap().unwrap();
    assert!(calls.try_join_next().is_none(), "{what} has ended, and holds up nobody any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_handler_that_calls_the_host_for_ever_runs_into_the_clock() {
    let (_dir, grants) = granted_dir();
    let events = ["random", "insecure", "clock", "poll", "print", "open", "long path", "long name"];
    for event in events {
        let load = |limits| {
            let grants = grants.clone();
            load_with(
                "host-calls",
                FunctionSettings { limits, grants, ..FunctionSettings::default() },
            )
        };
        runs_into_the_clock_and_holds_up_nobody(event, load, event).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_handler_that_never_gets_started_runs_into_the_clock() {
    const HANDLE: &str = r#"(func (export "handle") (param i32 i32) (result i32) i32.const 0)"#;
    let start = component_of(1, &format!("{HANDLE} (func $f (loop (br 0))) (start $f)"));
    // As toolchains call `_initialize`: by the start function of a module that imports it.
    let initialize = wat::parse_str(format!(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
                (func (export "_initialize") (loop (br 0)))
                {HANDLE})
            (core module $starts (import "" "_initialize" (func $f)) (start $f))
            (core instance $i (instantiate $m))
            (core instance (instantiate $starts (with "" (instance
                (export "_initialize" (func $i "_initialize"))))))
            (func (export "handle-batch")
                (param "event" string) (result (result (option string) (error string)))
                (canon lift (core func $i "handle")
                    (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#
    ))
    .unwrap();
    let realloc = component_with(
        "",
        &format!(
            r#"(memory (export "memory") 1) {HANDLE}
               (func (export "realloc") (param i32 i32 i32 i32) (result i32) (loop (br 0)) i32.const 0)"#
        ),
    );
    for (what, bytes) in [("start", start), ("initialize", initialize), ("realloc", realloc)] {
        let load = |limits| {
            load_bytes(&bytes, FunctionSettings { limits, ..FunctionSettings::default() }).unwrap()
        };
        runs_into_the_clock_and_holds_up_nobody(what, load, "{}").await;
    }
}

/// One such instruction is many megabytes long, and nothing looks at the clock before it is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_handler_that_moves_memory_for_ever_runs_into_the_clock() {
    const BYTES: u32 = 50 * 1024 * 1024;
    for what in [
        format!("(memory.fill (i32.const 4096) (i32.const 7) (i32.const {BYTES}))"),
        format!("(memory.copy (i32.const 4096) (i32.const {BYTES}) (i32.const {BYTES}))"),
        "(table.fill $t (i32.const 0) (ref.null func) (i32.const 200000))".to_owned(),
        "(table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 199999))".to_owned(),
    ] {
        let load = |limits| {
            let settings = FunctionSettings { limits, ..FunctionSettings::default() };
            load_bytes(&moving(1700, 200_000, &what), settings).unwrap()
        };
        runs_into_the_clock_and_holds_up_nobody(&what, load, "{}").await;
    }
}

#[tokio::test]
async fn a_handler_that_moves_memory_for_ever_runs_out_of_fuel() {
    let limits = Limits { fuel_per_second: 100, ..Limits::default() };
    let settings = FunctionSettings { limits, ..FunctionSettings::default() };
    for what in [
        "(memory.fill (i32.const 0) (i32.const 7) (i32.const 4096))",
        "(memory.copy (i32.const 0) (i32.const 4096) (i32.const 4096))",
        "(table.fill $t (i32.const 0) (ref.null func) (i32.const 100))",
        "(table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 99))",
    ] {
        let function = load_bytes(&moving(1, 100, what), settings.clone()).unwrap();
        let report = call(&function, "{}").await;
        assert_eq!(report.outcome, Outcome::OutOfFuel, "{what}");
        assert_eq!(report.fuel, 14 * 60 * 100, "{what}");
    }
}

/// A `handle` that does something for ever, with so many pages of memory and elements of a table.
fn moving(pages: u32, elements: u32, what: &str) -> Vec<u8> {
    component_of(
        pages,
        &format!(
            r#"(table $t {elements} funcref)
               (func (export "handle") (param i32 i32) (result i32)
                    (loop $again {what} (br $again)) unreachable)"#
        ),
    )
}

#[tokio::test]
async fn a_handler_that_waits_for_a_silent_peer_runs_into_the_clock() {
    // Connections are made by the operating system; nobody ever takes or answers one.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let grants = Grants { network: vec![address.parse().unwrap()], ..Grants::default() };
    let limits = limits(Duration::from_millis(250));
    let settings = FunctionSettings { limits, grants, ..FunctionSettings::default() };
    let reaches_out = load_with("reaches-out", settings);
    let report = call(&reaches_out, &format!("hear {address}")).await;
    assert_eq!(report.outcome, Outcome::TimedOut);
    assert!(report.fuel < 1_000_000, "it waited: {report:?}");
}

#[tokio::test]
async fn too_much_of_the_host_at_once_is_refused() {
    let function = load("host-calls", Limits::default());
    let succeeded = |answer: &str| Outcome::Succeeded(Some(answer.to_owned()));
    for (event, outcome) in [("random once", "65536"), ("stdin", "closed")] {
        assert_eq!(call(&function, event).await.outcome, succeeded(outcome), "{event}");
    }
    for (event, reason) in [
        ("random and one", "requested len 65537 exceeds limit 65536"),
        ("insecure and one", "requested len 65537 exceeds limit 65536"),
        ("zeroes and one", "cannot write more zeroes than"),
        ("pollables", "resource table has no free keys"),
        ("fields", "resource table has no free keys"),
        ("bodies", "resource table has no free keys"),
    ] {
        let outcome = call(&function, event).await.outcome;
        let Outcome::Trapped(told) = outcome else { panic!("{event}: {outcome:?}") };
        assert!(told.contains(reason), "{told}");
        assert_eq!(call(&function, "nothing").await.outcome, Outcome::Succeeded(None), "{event}");
    }
}

#[tokio::test]
async fn open_files_are_bounded_and_closed_with_the_instance() {
    let (_dir, grants) = granted_dir();
    let settings = FunctionSettings { grants, ..FunctionSettings::default() };
    let function = load_with("host-calls", settings);
    for _ in 0..20 {
        let outcome = call(&function, "handles").await.outcome;
        let Outcome::Trapped(told) = outcome else { panic!("{outcome:?}") };
        assert!(told.contains("resource table has no free keys"), "{told}");
    }
    assert_eq!(call(&function, "nothing").await.outcome, Outcome::Succeeded(None));
}

/// A `handle` that does something and answers `ok(none)`, and a table.
fn doing(pages: u32, what: &str) -> Vec<u8> {
    component_of(
        pages,
        &format!(
            r#"(table $t 1 funcref)
               (func (export "handle") (param i32 i32) (result i32) {what} i32.const 0)"#
        ),
    )
}

#[tokio::test]
async fn memory_and_tables_end_at_their_caps_however_they_are_asked_for() {
    let limit = 64 * 65_536;
    let limits = Limits { memory_max_bytes: limit, ..Limits::default() };
    // What asks for too much and cannot go on, and what can.
    let until_refused =
        |what: &str| format!("(loop $more (br_if $more (i32.ne (i32.const -1) {what})))");
    let page = until_refused("(memory.grow (i32.const 1))");
    let element = until_refused("(table.grow $t (ref.null func) (i32.const 100))");
    let whole = "(drop (memory.grow (i32.const 63)))";
    let too_much = "(drop (memory.grow (i32.const 64)))";
    let table = "(drop (table.grow $t (ref.null func) (i32.const 250000)))";
    let ok = Outcome::Succeeded(None);
    for (what, outcome, pages) in [
        (whole.to_owned(), Some(ok.clone()), 64),
        (too_much.to_owned(), Some(ok.clone()), 1),
        (format!("{too_much} unreachable"), Some(Outcome::OutOfMemory), 1),
        (page.clone(), Some(ok.clone()), 64),
        (format!("{page} unreachable"), Some(Outcome::OutOfMemory), 64),
        (element.clone(), Some(ok.clone()), 1),
        (format!("{element} unreachable"), None, 1),
        (format!("{table} unreachable"), None, 1),
    ] {
        let settings = FunctionSettings { limits, ..FunctionSettings::default() };
        let function = load_bytes(&doing(1, &what), settings).unwrap();
        let report = call(&function, "{}").await;
        match outcome {
            Some(outcome) => assert_eq!(report.outcome, outcome, "{what}"),
            None => assert!(matches!(report.outcome, Outcome::Trapped(_)), "{what}: {report:?}"),
        }
        assert_eq!(report.memory_bytes, pages * 65_536, "{what}");
    }
}

#[test]
fn a_table_that_starts_too_large_is_refused() {
    let fields = r#"(table 250001 funcref)
                    (func (export "handle") (param i32 i32) (result i32) i32.const 0)"#;
    let error = load_bytes(&component_of(1, fields), FunctionSettings::default()).unwrap_err();
    // wasmtime looks at the pool before we do.
    assert!(matches!(error.refusal, Refusal::Invalid(_)), "{error}");
    let causes = causes(&error);
    assert!(causes.contains("table index 0 has a minimum element size of 250001"), "{causes}");
}

#[tokio::test]
async fn what_is_answered_is_bounded_before_it_is_copied() {
    const HUNDRED_MB: u32 = 100 * 1024 * 1024;
    let most = u32::try_from(RESPONSE_BYTES_MAX).unwrap();
    // The answer lies at 0: which case, whether there is a text, and where and how long it is. The
    // text itself is zeros, which are UTF-8 as well.
    let ok = |bytes| format!(r#"(data (i32.const 0) "\00\00\00\00\01\00\00\00") {}"#, at(8, bytes));
    let err = |bytes| format!(r#"(data (i32.const 0) "\01\00\00\00") {}"#, at(4, bytes));
    fn at(address: u32, bytes: u32) -> String {
        format!(
            r#"(func (export "handle") (param i32 i32) (result i32)
                (i32.store (i32.const {address}) (i32.const 2048))
                (i32.store (i32.const {}) (i32.const {bytes})) i32.const 0)"#,
            address + 4,
        )
    }
    for (fields, expected) in [
        (ok(3), "succeeded"),
        (ok(HUNDRED_MB), "response_too_large"),
        (ok(most + 1), "response_too_large"),
        (err(HUNDRED_MB), "response_too_large"),
        (err(3), "handler_error"),
        (ok(u32::MAX), "trapped"),
    ] {
        let function =
            load_bytes(&component_of(1700, &fields), FunctionSettings::default()).unwrap();
        let outcome = call(&function, "{}").await.outcome;
        assert_eq!(outcome.name(), expected, "{fields}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn ten_gigabytes_of_output_are_cut_to_what_is_logged() {
    let prints = load("host-calls", limits(Duration::from_secs(2)));
    let captured = Captured::start();
    let report = call(&prints, "print much").await;
    assert_eq!(report.outcome, Outcome::TimedOut);
    let events = captured.take();
    assert!(events.len() as u64 <= LOG_LINES_MAX + 1, "{}", events.len());
    let (cut, lines) = events.split_last().unwrap();
    assert!(cut.contains_key("bytes_cut"), "{cut:?}");
    let logged: usize = lines.iter().map(|line| line["message"].len()).sum();
    assert!(logged <= LOG_BYTES_MAX, "{logged}");
    assert!(report.memory_bytes < 4 * 1024 * 1024, "{report:?}");
}

#[tokio::test]
async fn a_panic_in_the_middle_of_a_write_leaves_what_was_written() {
    let (dir, grants) = granted_dir();
    let settings = FunctionSettings { grants, ..FunctionSettings::default() };
    let files = load_with("files", settings);
    let outcome = call(&files, r#"{"do":"write and panic","path":"file"}"#).await.outcome;
    assert!(matches!(outcome, Outcome::Trapped(_)), "{outcome:?}");
    assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "half");
    let outcome = call(&files, r#"{"do":"write","path":"file"}"#).await.outcome;
    assert_eq!(outcome, Outcome::Succeeded(Some("\"ok\"".to_owned())));
    assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "written");
}
