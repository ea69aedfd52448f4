//! The handlers and events that are measured, and the host that calls them.

use std::fs;
use std::time::Duration;

use gristmill_event::{BasicProperties, EVENT_BYTES_MAX, Envelope, Message, RabbitMqMessage};
use gristmill_invocation::{Function, Invocation, Uuid};
use gristmill_sandbox::{Code, Engine, FunctionSettings, Limits, LoadedFunction};
use gristmill_testkit::guests;

/// The least that a component can be: no imports, no code but to take the event. Its memory grows to
/// what the largest event needs.
const TINY: &str = r#"
    (component
        (core module $m
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (local $missing i32)
                (local.set $missing (i32.sub
                    (i32.shr_u (i32.add (local.get 3) (i32.const 66559)) (i32.const 16))
                    (memory.size)))
                (if (i32.gt_s (local.get $missing) (i32.const 0))
                    (then (drop (memory.grow (local.get $missing)))))
                (i32.const 1024))
            (func (export "handle") (param i32 i32) (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (func $handle (param "event" string) (result (result (option string) (error string)))
            (canon lift (core func $i "handle") (memory (core memory $i "memory"))
                (realloc (core func $i "realloc"))))
        (export "handle-batch" (func $handle)))
"#;

/// An order of 1 KB, most of it in a field that nobody reads.
fn order(number: usize) -> Vec<u8> {
    let head = format!(
        r#"{{"id":{number},"items":[{{"sku":"A-1","quantity":2,"price_cents":1250}}],"note":""#
    );
    let note = "x".repeat(1024 - head.len() - 2);
    format!(r#"{head}{note}"}}"#).into_bytes()
}

fn message(number: usize) -> Message {
    let properties = BasicProperties {
        content_type: Some("application/json".to_owned()),
        delivery_mode: Some(2),
        message_id: Some(format!("order-{number:04}")),
        timestamp: Some(1_688_261_434),
        ..BasicProperties::default()
    };
    RabbitMqMessage { properties, redelivered: false, body: order(number) }.into()
}

/// An event with so many orders.
fn event(records: usize) -> String {
    let messages: Vec<Message> = (0..records).map(message).collect();
    let envelope = Envelope::rabbitmq("arn:aws:mq:eu-west-1:1:broker:pizza:b-1", "orders", "/");
    envelope.encode(&messages, 0)
}

/// Events of about 1 KB, of a hundred records and of as many as there can be, by their names.
pub(crate) fn events() -> [(&'static str, String); 3] {
    let one = event(1);
    let record_bytes = event(2).len() - one.len();
    let most = (EVENT_BYTES_MAX - one.len()) / record_bytes;
    [("1 record", one), ("100 records", event(100)), ("6 MB", event(most))]
}

/// The handlers by their names: without WASI, with WASI and nothing to do, and one that parses.
pub(crate) fn handlers() -> [(&'static str, Vec<u8>); 3] {
    let guest = |name| (name, fs::read(guests::component(name)).unwrap());
    [("tiny", wat::parse_str(TINY).unwrap()), guest("silent"), guest("order-totals")]
}

/// A handler's code for the host.
pub(crate) fn compile(engine: &Engine, wasm: &[u8]) -> Code {
    Code::compile(engine, wasm).unwrap()
}

/// A handler in the host, which keeps its instance or makes a new one for every call.
pub(crate) fn load(engine: &Engine, code: &Code, name: &str, is_warm: bool) -> LoadedFunction {
    let limits = Limits { instance_reuse: is_warm, ..Limits::default() };
    let settings = FunctionSettings { name: name.to_owned(), limits, ..Default::default() };
    LoadedFunction::load(engine, code, settings).unwrap()
}

/// Calls a handler in the host.
pub(crate) async fn invoke(function: &LoadedFunction, event: &str) {
    let wait_max = Duration::from_secs(60);
    let request_id = Uuid::nil();
    let report = function.invoke(Invocation { request_id, event, attempt: 1, wait_max }).await;
    assert!(report.outcome.is_success(), "{report:?}");
}
