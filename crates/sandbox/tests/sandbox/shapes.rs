//! Which files load, what is said of those that do not, and what inspecting them shows.

use gristmill_invocation::Outcome;
use gristmill_sandbox::{FileKind, FunctionSettings, Limits, LoadedFunction, Refusal, inspect};

use crate::support::{ENGINE, call, guest, load_bytes};

/// A core module with two functions that `handle-batch` can be lifted from, and its instance.
const CORE: &str = r#"
    (core module $m
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
        (func (export "handle") (param i32 i32) (result i32) i32.const 0)
        (func (export "nothing")))
    (core instance $i (instantiate $m))
    (func $handle (param "event" string) (result (result (option string) (error string)))
        (canon lift (core func $i "handle") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
    (func $text (param "event" string) (result string)
        (canon lift (core func $i "handle") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
    (func $nothing (canon lift (core func $i "nothing")))
"#;

/// A component with [`CORE`] between what it imports and what it exports.
fn component(imports: &str, exports: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {imports} {CORE} {exports})")).unwrap()
}

fn load(bytes: &[u8]) -> Result<LoadedFunction, Refusal> {
    let settings = FunctionSettings { name: "orders".to_owned(), ..FunctionSettings::default() };
    load_bytes(bytes, settings).map_err(|e| e.refusal)
}

fn refusal(bytes: &[u8]) -> Refusal {
    load(bytes).unwrap_err()
}

#[tokio::test]
async fn the_export_is_found_in_the_world_and_in_an_interface_of_any_package() {
    let direct =
        component("", r#"(export "handle-batch" (func $handle)) (export "init" (func $nothing))"#);
    let inside = component(
        "",
        r#"(instance $api (export "handle-batch" (func $handle)) (export "other" (func $nothing)))
           (export "some:package/thing@1.2.3" (instance $api))"#,
    );
    for (bytes, path) in
        [(direct, "handle-batch"), (inside, "some:package/thing@1.2.3#handle-batch")]
    {
        let function = load(&bytes).unwrap();
        assert_eq!(call(&function, "{}").await.outcome, Outcome::Succeeded(None));
        let inspection = inspect(&ENGINE, &bytes);
        assert_eq!(inspection.handler.unwrap(), path);
        assert_eq!(inspection.exports.len(), if path == "handle-batch" { 2 } else { 1 });
    }
}

#[test]
fn two_candidates_are_refused_and_both_named() {
    let bytes = component(
        "",
        r#"(instance $api (export "handle-batch" (func $handle)))
           (export "some:package/thing@1.2.3" (instance $api))
           (export "handle-batch" (func $handle))"#,
    );
    assert_eq!(
        refusal(&bytes).to_string(),
        "the component exports more than one handler \
         (handle-batch, some:package/thing@1.2.3#handle-batch); leave one of them"
    );
}

#[test]
fn a_wrong_type_is_refused_with_the_type_found_and_the_type_wanted() {
    let text = component("", r#"(export "handle-batch" (func $text))"#);
    assert_eq!(
        refusal(&text).to_string(),
        "`handle-batch` is a func(event: string) -> string; \
         it must be a func(string) -> result<option<string>, string>"
    );
    let nothing = component("", r#"(export "handle-batch" (func $nothing))"#);
    let Refusal::WrongType { found, .. } = refusal(&nothing) else { panic!() };
    assert_eq!(found, "func()");
}

#[test]
fn a_component_without_the_export_is_refused_with_what_it_exports() {
    let other = component("", r#"(export "handle" (func $handle))"#);
    let message = refusal(&other).to_string();
    assert!(message.contains("called with an event (it exports handle); export"), "{message}");
    let message = refusal(&component("", "")).to_string();
    assert!(message.contains("(it exports nothing)"), "{message}");
}

#[test]
fn imports_that_cannot_be_given_are_refused_and_all_named() {
    let bytes = component(
        r#"(import "my:own/thing@0.1.0" (instance (export "f" (func))))
           (import "wasi:cli/environment@0.2.0" (instance
               (export "initial-cwd" (func (result (option string))))))
           (import "shout" (func))"#,
        r#"(export "handle-batch" (func $handle))"#,
    );
    let Refusal::Imports { imports, .. } = refusal(&bytes) else { panic!() };
    assert_eq!(imports, ["my:own/thing@0.1.0", "shout"]);
    let inspection = inspect(&ENGINE, &bytes);
    assert!(matches!(inspection.handler, Err(Refusal::Imports { .. })));
    let cwd = &inspection.imports[1].parts[0];
    assert_eq!((cwd.name.as_str(), cwd.kind.as_str()), ("initial-cwd", "func() -> option<string>"));
}

#[test]
fn a_component_that_starts_over_its_memory_limit_is_refused() {
    let big = component(
        "",
        r#"(export "handle-batch" (func $handle))
        (core module $big (memory 2049)) (core instance (instantiate $big))"#,
    );
    let Refusal::Memory { needed_bytes, limit_bytes } = refusal(&big) else { panic!() };
    assert_eq!((needed_bytes, limit_bytes), (2049 * 65_536, 2048 * 65_536));
}

#[test]
fn limits_out_of_range_are_refused() {
    let limits = Limits { fuel_per_second: 0, ..Limits::default() };
    let name = "orders".to_owned();
    let settings = FunctionSettings { name, limits, ..FunctionSettings::default() };
    let error = load_bytes(&component("", r#"(export "handle-batch" (func $handle))"#), settings);
    let error = error.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot load function `orders`: without fuel no handler can run; \
         set fuel_per_second above 0 or leave it out"
    );
}

#[test]
fn every_other_file_is_refused_for_what_it_is() {
    let whole = guest("silent");
    let core_module = wat::parse_str("(module)").unwrap();
    let files: [(&[u8], FileKind, &str); 7] = [
        (b"", FileKind::Empty, "the file is empty"),
        (&whole[..whole.len() / 2], FileKind::CutShort, "cut short after"),
        (&core_module, FileKind::CoreModule, "core module without the function"),
        (b"(component)", FileKind::Text, "WebAssembly text"),
        (b"\x7fELF\x02\x01\x01\0", FileKind::NativeProgram, "native program"),
        (b"fn main() {}", FileKind::Other, "it starts with `fn main(`"),
        (b"\0asm\x0d\0\x01\0\x00\x01\xff", FileKind::Component, "not valid"),
    ];
    for (bytes, kind, message) in files {
        let text = refusal(bytes).to_string();
        assert!(text.contains(message), "{text}");
        let inspection = inspect(&ENGINE, bytes);
        assert_eq!(inspection.kind, kind);
        assert_eq!(inspection.handler.unwrap_err().to_string(), text);
    }
}

#[test]
fn inspecting_a_handler_shows_what_it_exports_and_imports() {
    let inspection = inspect(&ENGINE, &guest("prints-event"));
    assert_eq!(inspection.kind, FileKind::Component);
    assert_eq!(inspection.handler.unwrap(), "handle-batch");
    let handle_batch = &inspection.exports[0];
    assert_eq!(handle_batch.kind, "func(event: string) -> result<option<string>, string>");
    assert!(inspection.imports.iter().all(|import| import.name.starts_with("wasi:")));
    let streams =
        inspection.imports.iter().find(|i| i.name.starts_with("wasi:io/streams@")).unwrap();
    assert_eq!(streams.kind, "interface");
    assert!(streams.parts.iter().any(|part| part.kind == "resource"), "{streams:?}");
}
