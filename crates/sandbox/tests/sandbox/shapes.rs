//! Which files load, what is said of those that do not, and what inspecting them shows.

use gristmill_invocation::Outcome;
use gristmill_sandbox::{FileKind, FunctionSettings, Limits, LoadedFunction, Refusal, inspect};

use crate::support::{ENGINE, call, causes, guest, load_bytes};

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

const TEN_TABLES: &str = "(table 0 funcref) (table 0 funcref) (table 0 funcref) (table 0 funcref)
    (table 0 funcref) (table 0 funcref) (table 0 funcref) (table 0 funcref) (table 0 funcref)
    (table 0 funcref)";

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

#[tokio::test]
async fn a_handler_of_too_many_parts_does_not_load_and_is_told_of_which() {
    // So many components with so many instances of a module each, beside the handler's own instance.
    for (part, components, instances, refused) in [
        ("", 27, 37, None),
        (
            "",
            10,
            100,
            Some("1001 core module instances, which exceeds the configured maximum of 1000"),
        ),
        ("(memory 0)", 9, 11, None),
        (
            "(memory 0)",
            10,
            10,
            Some("101 Wasm linear memories, which exceeds the configured maximum of 100"),
        ),
        (TEN_TABLES, 10, 10, None),
        (TEN_TABLES, 101, 1, Some("1010 tables, which exceeds the configured maximum of 1000")),
    ] {
        let instances = "(core instance (instantiate $part))".repeat(instances);
        let components = "(instance (instantiate $parts))".repeat(components);
        let parts =
            format!("(component $parts (core module $part {part}) {instances}) {components}");
        let handler = component(&parts, r#"(export "handle-batch" (func $handle))"#);
        let Some(said) = refused else {
            let outcome = call(&load(&handler).unwrap(), "{}").await.outcome;
            assert_eq!(outcome, Outcome::Succeeded(None), "{part}");
            continue;
        };
        let told = causes(&refusal(&handler));
        assert!(told.contains(said), "{part}: {told}");
    }
}

#[test]
fn a_module_of_too_many_parts_does_not_load_and_is_told_of_which() {
    for (part, said) in [
        ("(memory 0)", "memories count exceeds limit of 100"),
        ("(table 0 funcref)", "tables count exceeds limit of 100"),
    ] {
        let module = |parts| {
            let parts = part.repeat(parts);
            wat::parse_str(format!(r#"(module {parts} (func (export "_start")))"#)).unwrap()
        };
        load(&module(100)).unwrap();
        let told = causes(&refusal(&module(101)));
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn threads_garbage_collection_and_exceptions_are_refused() {
    for (fields, said) in [
        ("(memory 1 1 shared)", "threads must be enabled"),
        ("(type (struct (field i32)))", "gc"),
        ("(tag (param i32))", "exceptions"),
    ] {
        let module = format!(r#"(module {fields} (func (export "_start")))"#);
        let told = causes(&refusal(&wat::parse_str(module).unwrap()));
        assert!(told.contains(said), "{fields}: {told}");
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

#[test]
fn what_is_told_of_a_file_is_short_however_long_its_names_are() {
    const SHORT_BYTES: usize = 10_000;
    let name = "a".repeat(50_000);
    // Spelled out it has half a gigabyte.
    let many = |ty: &str| format!("(tuple {})", [ty; 100].join(" "));
    let takes = format!(
        r#"(core module $n
               (memory (export "memory") 1)
               (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
               (func (export "take") (param i32)))
           (core instance $j (instantiate $n))
           (type $enum (enum "{name}"))
           (export $e "e" (type $enum))
           (type $some {})
           (type $all {})
           (func $take (param "all" $all)
               (canon lift (core func $j "take") (memory (core memory $j "memory")) (realloc (core func $j "realloc"))))
           (export "handle-batch" (func $take))"#,
        many("$e"),
        many("$some"),
    );
    let takes = component("", &takes);
    assert!(matches!(refusal(&takes), Refusal::WrongType { .. }));
    assert!(refusal(&takes).to_string().len() < SHORT_BYTES);
    let inspected = inspect(&ENGINE, &takes).exports;
    assert!(inspected.iter().all(|export| export.kind.len() < SHORT_BYTES));

    let others = component("", &format!(r#"(export "{name}" (func $nothing))"#));
    assert!(matches!(refusal(&others), Refusal::NoHandler { .. }));
    assert!(refusal(&others).to_string().len() < SHORT_BYTES);
}
