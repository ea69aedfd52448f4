//! What misbehaving handlers leave in the memory of the host: nothing. A program of its own, since
//! what other tests hold would be counted with it.
#![cfg(target_os = "linux")]

use std::fs;
use std::time::Duration;

use gristmill_invocation::Function;
use gristmill_sandbox::{DirGrant, FunctionSettings, Grants, Limits, inspect};
use tokio::time::timeout;

#[expect(dead_code, reason = "shared with the other test program, which uses all of it")]
#[path = "../sandbox/support.rs"]
mod support;

use support::{
    ENGINE, ONE_RECORD, call, component_of, guest, invocation, load, load_bytes, load_with,
};

/// What the process holds in memory, in KiB.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A handler that answers a number of four digits, whatever it is asked.
fn answering(number: u32) -> Vec<u8> {
    component_of(
        1,
        &format!(
            r#"(data (i32.const 0) "\00\00\00\00\01\00\00\00\10\00\00\00\04\00\00\00{number}")
               (func (export "handle") (param i32 i32) (result i32) i32.const 0)"#
        ),
    )
}

/// A core module for WASI preview 1 that writes to stdout for ever.
fn writes_for_ever() -> Vec<u8> {
    wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2)
            (func (export "_start")
                (i32.store (i32.const 4) (i32.const 60000))
                (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                    (br 0))))"#,
    )
    .unwrap()
}

/// Every way to misbehave, once.
async fn repertoire() {
    let brief = Limits { timeout: Duration::from_millis(100), ..Limits::default() };
    for (name, event) in [
        ("spins", ONE_RECORD),
        ("sleeps", "{}"),
        ("grows-memory", "{}"),
        ("stack-overflow", "{}"),
        ("floods-stdout", "{}"),
        ("huge-response", "{}"),
        ("always-traps", "{}"),
        ("always-err", "{}"),
        ("command", "endless"),
        ("command", "trap"),
        ("with-context", "give-up"),
        ("reaches-out", "1000 times tcp 127.0.0.1:9"),
        ("reaches-out", "1000 times lookup localhost"),
        ("reaches-out", "1000 times http 127.0.0.1:9"),
    ] {
        let function = load(name, brief);
        call(&function, event).await;
        // And one that is dropped in the middle, if it is not over by then.
        let dropped = timeout(Duration::from_millis(5), function.invoke(invocation(event))).await;
        drop(dropped);
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "plain").unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    let dirs =
        vec![DirGrant { host: dir.path().to_owned(), guest: "/data".to_owned(), write: true }];
    let grants = Grants { dirs, ..Grants::default() };
    let settings = FunctionSettings { limits: brief, grants, ..FunctionSettings::default() };
    for event in [
        "random",
        "insecure",
        "clock",
        "poll",
        "print",
        "print much",
        "open",
        "long path",
        "long name",
        "handles",
        "pollables",
        "random and one",
    ] {
        call(&load_with("host-calls", settings.clone()), event).await;
    }
    let module = load_bytes(&writes_for_ever(), settings).unwrap();
    call(&module, "{}").await;
    for bytes in [&guest("echo")[..1000], b"", b"\x7fELF", b"(component)", b"hello"] {
        drop(inspect(&ENGINE, bytes));
    }
}
async fn handlers() {
    for number in 1000..2000 {
        let function = load_bytes(&answering(number), FunctionSettings::default()).unwrap();
        call(&function, "{}").await;
    }
}
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn tmp() {
    let what = std::env::var("WHAT").unwrap();
    for _ in 0..16 {
        match what.as_str() {
            "handlers" => handlers().await,
            "mis" => repertoire().await,
            _ => {
                let f =
                    load(&what, Limits { timeout: Duration::from_millis(50), ..Limits::default() });
                for _ in 0..20 {
                    call(&f, ONE_RECORD).await;
                }
            }
        }
        print!("{} ", resident_kib());
    }
    println!();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn misbehaviour_leaves_nothing_in_memory() {
    // Fills the pool's warm places, the allocator and what is made once.
    repertoire().await;
    let before_kib = resident_kib();
    let mut after_kib = Vec::new();
    for _ in 0..4 {
        repertoire().await;
        after_kib.push(resident_kib());
    }
    let last_kib = after_kib.last().copied().unwrap();
    let allowed = before_kib * 9 / 10..=before_kib * 11 / 10;
    println!("{before_kib} KiB before, {after_kib:?} after");
    assert!(allowed.contains(&last_kib), "{before_kib} KiB before, {after_kib:?} after");
}
