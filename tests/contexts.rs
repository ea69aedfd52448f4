//! A handler that is told about its call, and says when its batch is to come again, or that it is not.

use std::fs;

use gristmill_testkit::guests;
use serde_json::{Value, json};

use crate::support::{Broker, LONG, drain, report};

/// A handler by hand: asks for its batch after two seconds on the first call, and gives it up on the
/// second. (The guest `with-context` does what its event says, which is no event of a broker.)
const ASKS: &str = r#"
(component
  (core module $handler
    (memory (export "memory") 2)
    (data (i32.const 1024) "the shop is closed")
    (data (i32.const 1088) "no such order")
    (global $next (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32) (param $size i32) (result i32)
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (local.get $size))))
    ;; The answer lies at 0: an error, which one, and what it holds.
    (func (export "handle") (param i32 i32 i32 i32 i32 i32) (param $attempt i32) (param i64 i32)
      (result i32)
      (i32.store8 (i32.const 0) (i32.const 1))
      (if (i32.eq (local.get $attempt) (i32.const 1))
        (then
          (i32.store8 (i32.const 4) (i32.const 1))
          (i32.store (i32.const 8) (i32.const 2))
          (i32.store (i32.const 12) (i32.const 1024))
          (i32.store (i32.const 16) (i32.const 18)))
        (else
          (i32.store8 (i32.const 4) (i32.const 2))
          (i32.store (i32.const 8) (i32.const 1088))
          (i32.store (i32.const 12) (i32.const 13))))
      (i32.const 0)))
  (core instance $handler (instantiate $handler))
  (type $context (record
    (field "request-id" string)
    (field "function-name" string)
    (field "attempt" u32)
    (field "deadline-ms" u64)
    (field "memory-mib" u32)))
  (type $failure (variant
    (case "retry" string)
    (case "retry-after" (tuple u32 string))
    (case "give-up" string)))
  (func $handle
    (param "event" string) (param "context" $context)
    (result (result (option string) (error $failure)))
    (canon lift (core func $handler "handle")
      (memory (core memory $handler "memory")) (realloc (core func $handler "realloc"))))
  (component $shape
    (import "context" (type $context' (eq $context)))
    (import "failure" (type $failure' (eq $failure)))
    (import "handle" (func $handle
      (param "event" string) (param "context" $context')
      (result (result (option string) (error $failure')))))
    (export $context'' "context" (type $context'))
    (export $failure'' "failure" (type $failure'))
    (export "handle-batch-with" (func $handle)
      (func
        (param "event" string) (param "context" $context'')
        (result (result (option string) (error $failure''))))))
  (instance $shaped (instantiate $shape
    (with "context" (type $context))
    (with "failure" (type $failure))
    (with "handle" (func $handle))))
  (export "gristmill:handler/batch-context@0.1.0" (instance $shaped)))
"#;

#[tokio::test]
async fn a_handler_asks_for_its_batch_later_and_then_gives_it_up() {
    let folder = tempfile::tempdir().unwrap();
    let handler = folder.path().join("asks.wasm");
    fs::write(&handler, wat::parse_str(ASKS).unwrap()).unwrap();
    let mut broker = Broker::with(&["orders"]).await;
    broker.publish("orders", [b"{}".to_vec()]).await;
    let mapping = broker.mapping("orders", "silent", "", "on_failure = \"store\"");
    let silent = guests::component("silent");
    let mapping = mapping.replace(silent.to_str().unwrap(), handler.to_str().unwrap());
    let host = broker.host(&[mapping]);

    let asked = report(&host, "orders").await;
    assert_eq!((&asked["attempt"], &asked["outcome"]), (&json!(1), &json!("retry_after")));
    let again = |line: &Value| line["message"] == "batch failed; will call again";
    let again = host.wait_for(LONG, again).await.unwrap();
    assert_eq!(again["retry_in_ms"], 2_000.0, "as asked for, without jitter");
    assert!(again["reason"].as_str().unwrap().contains("the shop is closed"), "{again}");
    // The message stays unsettled meanwhile.
    let gave_up = report(&host, "orders").await;
    assert_eq!((&gave_up["attempt"], &gave_up["outcome"]), (&json!(2), &json!("gave_up")));
    let letters = |line: &Value| line["condition"] == "GivenUpByFunction";
    let letters = host.wait_for(LONG, letters).await.unwrap();
    assert!(letters["error"].as_str().unwrap().contains("no such order"), "{letters}");
    broker.wait_for("orders", 0, 0).await;
    drain(&host).await;
}
