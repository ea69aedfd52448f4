//! Native code: compiled ahead of time here or by stock wasmtime, and refused when it is not ours.

use clap::Parser;
use gristmill_invocation::Outcome;
use gristmill_sandbox::{Code, FileKind, FunctionSettings, LoadedFunction, Refusal, precompile};
use wasmtime::component::Component;
use wasmtime::{Config, Engine as Wasmtime};
use wasmtime_cli_flags::CommonOptions;

use crate::support::{ENGINE, answer, call, guest};

/// What follows `wasmtime compile` for code that loads here, in the order of [`DOCS`]. The first
/// two are needed by any wasmtime. The others take out what the released program has and this engine
/// is built without; where they are not built in, to leave them out changes nothing.
const FLAGS: [&str; 5] =
    ["fuel=1", "epoch-interruption=y", "gc-support=n", "exceptions=n", "threads=n"];
const NEEDED_BY_ALL: usize = 2;

/// Where users read about these flags.
const DOCS: &str = include_str!("../../../../docs/sandbox.md");

/// A command that answers nothing.
const COMMAND: &str = r#"(module (func (export "_start")))"#;

#[expect(unsafe_code, reason = "what is loaded here was made by wasmtime in the same test")]
fn from_native(native: &[u8]) -> Result<Code, Refusal> {
    // SAFETY: every test hands over what wasmtime wrote, or what wasmtime does not take for that.
    unsafe { Code::from_native(&ENGINE, native) }
}

async fn echoes(native: &[u8]) {
    let code = from_native(native).unwrap();
    let echo = LoadedFunction::load(&ENGINE, &code, FunctionSettings::default()).unwrap();
    assert_eq!(answer(&echo, "größer").await, "größer");
}

/// What `wasmtime compile` makes of a component: it reads its flags into this type, and the engine
/// is made by nothing else (wasmtime-cli, `commands/compile.rs`).
fn compiled_by_wasmtime(flags: &[&str], wasm: &[u8]) -> Vec<u8> {
    wasmtime(flags).precompile_component(wasm).unwrap()
}

fn wasmtime(flags: &[&str]) -> Wasmtime {
    let arguments = flags.iter().flat_map(|flag| ["-W", *flag]);
    let mut options = CommonOptions::try_parse_from(["wasmtime"].into_iter().chain(arguments));
    let config = options.as_mut().unwrap().config(None).unwrap();
    Wasmtime::new(&config).unwrap()
}

#[tokio::test]
async fn a_component_and_a_module_compiled_ahead_run() {
    echoes(&precompile(&guest("echo")).unwrap()).await;
    let module = precompile(&wat::parse_str(COMMAND).unwrap()).unwrap();
    let code = from_native(&module).unwrap();
    let command = LoadedFunction::load(&ENGINE, &code, FunctionSettings::default()).unwrap();
    assert_eq!(call(&command, "").await.outcome, Outcome::Succeeded(None));
}

#[test]
fn native_code_is_not_compiled_and_webassembly_is_not_native() {
    let wasm = guest("silent");
    let native = precompile(&wasm).unwrap();
    assert_eq!(FileKind::of(&native), FileKind::Precompiled);
    assert!(matches!(Code::compile(&ENGINE, &native), Err(Refusal::Precompiled)));
    assert!(matches!(precompile(&native), Err(Refusal::Precompiled)));
    for not_native in [wasm, wat::parse_str(COMMAND).unwrap()] {
        assert!(matches!(from_native(&not_native), Err(Refusal::NotNative)));
    }
    for (bytes, kind) in [
        (&b""[..], "empty"),
        (b"(component)", "text"),
        (b"\x7fELF\x02\x01\x01\0", "native program"),
        (b"hello", "not WebAssembly"),
    ] {
        let message = from_native(bytes).unwrap_err().to_string();
        assert!(message.contains(kind), "{message}");
    }
}

/// Behind its native code this one has lines.
#[test]
#[expect(unsafe_code, reason = "what is loaded here was made in the same test")]
fn wasmtime_takes_what_we_compile() {
    let native = precompile(&guest("order-totals")).unwrap();
    assert!(native.ends_with(b"gmlines1"));
    // SAFETY: `precompile` has written all of it.
    unsafe { Component::deserialize(&wasmtime(&FLAGS), &native) }.unwrap();
}

#[test]
fn native_code_of_other_settings_is_refused() {
    let wasm = guest("silent");
    let stock = Wasmtime::default().precompile_component(&wasm).unwrap();
    assert!(matches!(from_native(&stock), Err(Refusal::OtherNative(_))));
    let mut config = Config::new();
    config.consume_fuel(true).epoch_interruption(true).memory_init_cow(false);
    let other = Wasmtime::new(&config).unwrap().precompile_component(&wasm).unwrap();
    let refusal = from_native(&other).unwrap_err();
    assert!(refusal.to_string().contains("`gristmill compile`"), "{refusal}");
}

#[test]
fn the_flags_are_those_that_users_are_told() {
    let (_, after) = DOCS.split_once("\nwasmtime compile ").unwrap();
    let (command, _) = after.split_once("```").unwrap();
    let words: Vec<&str> = command.split_whitespace().collect();
    let flags: Vec<&str> =
        words.windows(2).filter(|pair| pair[0] == "-W").map(|pair| pair[1]).collect();
    assert_eq!(flags, FLAGS);
}

#[tokio::test]
async fn what_wasmtime_compiles_with_our_flags_runs() {
    let echo = guest("echo");
    echoes(&compiled_by_wasmtime(&FLAGS, &echo)).await;
    for (left_out, flag) in FLAGS.into_iter().enumerate() {
        let mut flags = FLAGS.to_vec();
        flags.remove(left_out);
        let loaded = from_native(&compiled_by_wasmtime(&flags, &echo));
        if left_out < NEEDED_BY_ALL {
            assert!(matches!(loaded, Err(Refusal::OtherNative(_))), "without {flag}");
        } else {
            loaded.unwrap();
        }
    }
}
