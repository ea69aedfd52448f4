//! What misbehaving handlers take of the host's own memory: little, and they leave nothing. A program
//! of its own, since what other tests hold would be counted with it.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use gristmill_invocation::Function;
use gristmill_sandbox::{
    Code, DirGrant, Engine, EngineSettings, FunctionSettings, Grants, Limits, LoadedFunction,
    inspect,
};
use tokio::time::timeout;

#[expect(dead_code, reason = "shared with the other test program, which uses all of it")]
#[path = "../sandbox/support.rs"]
mod support;

use support::{ONE_RECORD, call, component_of, guest, invocation, load_in};

/// A figure of this process in KiB, such as `VmRSS:`, what it holds, or `VmHWM:`, the most of that.
fn status_kib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
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

/// Components in text form that misbehave whatever they are asked.
fn odd_components() -> Vec<Vec<u8>> {
    let handles = |what: &str| {
        format!(r#"(func (export "handle") (param i32 i32) (result i32) {what} i32.const 0)"#)
    };
    let nothing = handles("");
    let starts = format!("{nothing} (func $f (loop (br 0))) (start $f)");
    let table = "(loop $more (br_if $more (i32.ne (i32.const -1)
        (table.grow $t (ref.null func) (i32.const 1000)))))";
    let tables = format!("(table $t 1 funcref) {}", handles(&format!("{table} unreachable")));
    let grows = handles("(drop (memory.grow (i32.const 65535))) unreachable");
    // An answer of 100 MB, which the host must not copy.
    let answers = format!(
        r#"(data (i32.const 0) "\00\00\00\00\01\00\00\00\00\08\00\00\00\00\40\06") {nothing}"#
    );
    let fills =
        handles("(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 100000000)) (br 0))");
    [(1, starts), (1, tables), (1, grows), (1700, answers), (1700, fills)]
        .map(|(pages, fields)| component_of(pages, &fields))
        .into()
}

/// Guests, and the events on which they misbehave.
const GUESTS: [(&str, &[&str]); 14] = [
    ("spins", &[ONE_RECORD]),
    ("sleeps", &["{}"]),
    ("grows-memory", &["{}"]),
    ("stack-overflow", &["{}"]),
    ("floods-stdout", &["{}"]),
    ("huge-response", &["{}"]),
    ("always-traps", &["{}"]),
    ("always-err", &["{}"]),
    ("bad-json", &["{}"]),
    ("command", &["endless", "trap"]),
    ("with-context", &["give-up"]),
    (
        "reaches-out",
        &[
            "1000 times tcp 127.0.0.1:9",
            "1000 times lookup localhost",
            "1000 times http 127.0.0.1:9",
        ],
    ),
    (
        "host-calls",
        &[
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
        ],
    ),
    (
        "files",
        &[
            r#"{"do":"write and panic","path":"file"}"#,
            r#"{"do":"everything","path":"../outside"}"#,
            r#"{"do":"everything","path":"/etc/gristmill"}"#,
        ],
    ),
];

/// Calls a function with each of the events, twice.
async fn misbehave<'a>(function: &LoadedFunction, events: impl IntoIterator<Item = &'a str>) {
    for event in events {
        call(function, event).await;
        // And once more, dropped in the middle if it is not over by then.
        let dropped = timeout(Duration::from_millis(5), function.invoke(invocation(event)));
        drop(dropped.await);
    }
}

/// Every way to misbehave, once.
async fn repertoire(engine: &Engine, codes: &[Code], odd: &[Code]) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "plain").unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    let dirs =
        vec![DirGrant { host: dir.path().to_owned(), guest: "/data".to_owned(), write: true }];
    // It is connected to, and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let grants = Grants { dirs, network: vec![address.parse().unwrap()], ..Grants::default() };
    let limits = Limits { timeout: Duration::from_millis(100), ..Limits::default() };
    let settings = FunctionSettings { limits, grants, ..FunctionSettings::default() };
    let load = |code| LoadedFunction::load(engine, code, settings.clone()).unwrap();
    let hear = format!("hear {address}");
    for ((name, events), code) in GUESTS.iter().zip(codes) {
        let more = (*name == "reaches-out").then_some(hear.as_str());
        misbehave(&load(code), events.iter().copied().chain(more)).await;
    }
    for code in odd {
        misbehave(&load(code), ["{}"]).await;
    }
    call(&load_in(engine, &writes_for_ever(), settings).unwrap(), "{}").await;
    for bytes in [&guest("echo")[..1000], b"", b"\x7fELF", b"(component)", b"hello"] {
        drop(inspect(engine, bytes));
    }
    for number in 1000..2000 {
        let function = load_in(engine, &answering(number), FunctionSettings::default()).unwrap();
        call(&function, "{}").await;
    }
}

async fn rounds() {
    // One round warms as many places as are ever used, and there are few.
    let settings = EngineSettings { instances_max: 4, ..EngineSettings::default() };
    let engine = Engine::new(settings).unwrap();
    let compile = |(name, _): &(&str, _)| Code::compile(&engine, &guest(name)).unwrap();
    let codes: Vec<Code> = GUESTS.iter().map(compile).collect();
    let compile = |bytes: Vec<u8>| Code::compile(&engine, &bytes).unwrap();
    let odd: Vec<Code> = odd_components().into_iter().map(compile).collect();
    for _ in 0..2 {
        repertoire(&engine, &codes, &odd).await;
    }
    let before_kib = status_kib("VmRSS:");
    let mut after_kib = Vec::new();
    for _ in 0..3 {
        repertoire(&engine, &codes, &odd).await;
        after_kib.push(status_kib("VmRSS:"));
    }
    let last_kib = after_kib.last().copied().unwrap();
    let allowed = before_kib * 9 / 10..=before_kib * 11 / 10;
    assert!(allowed.contains(&last_kib), "{before_kib} KiB before, {after_kib:?} after");
}

/// A handler's own memory is bounded by its limit. What it makes the host hold beside that is not, so
/// each kind of it has a bound, times the handles that an instance may have.
async fn hoards() {
    let settings = EngineSettings { instances_max: 1, ..EngineSettings::default() };
    let engine = Engine::new(settings).unwrap();
    let hoards = load_in(&engine, &guest("host-calls"), FunctionSettings::default()).unwrap();
    for (what, most_kib) in [("requests", 100), ("bodies", 100), ("fields", 200)] {
        let before_kib = status_kib("VmHWM:");
        let outcome = call(&hoards, what).await.outcome;
        assert!(outcome.to_string().contains("no free keys"), "{what}: {outcome}");
        let more_kib = status_kib("VmHWM:") - before_kib;
        assert!(more_kib < most_kib * 1024, "{what}: {more_kib} KiB");
    }
}

#[test]
fn misbehaviour_leaves_nothing_in_memory() {
    alone("misbehaviour_leaves_nothing_in_memory", rounds());
}

#[test]
fn what_a_handler_makes_the_host_hold_is_bounded() {
    alone("what_a_handler_makes_the_host_hold_is_bounded", hoards());
}

/// Runs a test in a process of its own, whose allocator gives back at once what is freed: glibc keeps
/// up to some megabytes for each thread, now these and now those, which says nothing of the sandbox.
fn alone(test: &str, run: impl Future<Output = ()>) {
    if env::var_os("MALLOC_ARENA_MAX").is_some() {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        return runtime.block_on(run);
    }
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("MALLOC_ARENA_MAX", "1")
        .env("MALLOC_MMAP_THRESHOLD_", "131072")
        .env("MALLOC_TRIM_THRESHOLD_", "131072")
        .output()
        .unwrap();
    // Its summary must not be taken for one of this program.
    let [said, complained] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{said}{complained}");
}
