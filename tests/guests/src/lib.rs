//! What the test guests share: the bindings of the handler contract, and a look into the event.
//!
//! Every file in `examples/` is one guest and shows one behaviour. A guest does nothing beside that
//! behaviour: what it does not show, it must not fail on.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// What `wit-bindgen` makes of the contract, with a macro that other crates, the guests, may use.
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "handler",
        pub_export_macro: true,
        default_bindings_module: "gristmill_test_guests::bindings",
    });
}

/// How a handler ends that does not trap.
pub type Answer = Result<Option<String>, String>;

/// Makes the function named, which takes the event and returns an [`Answer`], the guest's handler.
#[macro_export]
macro_rules! handler {
    ($handle:path) => {
        struct Handler;

        impl $crate::bindings::Guest for Handler {
            fn handle_batch(event: String) -> $crate::Answer {
                $handle(event)
            }
        }

        $crate::bindings::export!(Handler);
    };
}

/// The records of an event of either broker; none when `event` is anything else.
pub fn records(event: &str) -> Vec<Value> {
    let event: Value = serde_json::from_str(event).unwrap_or_default();
    if let Some(records) = event["messages"].as_array() {
        return records.clone();
    }
    let Some(queues) = event["rmqMessagesByQueue"].as_object() else { return Vec::new() };
    queues.values().filter_map(Value::as_array).flatten().cloned().collect()
}

/// The id of a record's message; `none` when it has none.
pub fn message_id(record: &Value) -> &str {
    let id = record["messageID"].as_str();
    id.or_else(|| record["basicProperties"]["messageId"].as_str()).unwrap_or("none")
}

/// The body of a record as JSON; null when it is anything else.
pub fn body(record: &Value) -> Value {
    let data = STANDARD.decode(record["data"].as_str().unwrap_or_default()).unwrap_or_default();
    serde_json::from_slice(&data).unwrap_or_default()
}

/// Whether the wall clock has not reached the `succeed_after_ms` (milliseconds since 1970) of a
/// record of `event` yet.
///
/// The clock is what carries a guest over its own traps: a trap drops the instance with its memory,
/// and the event of a retry is the same.
pub fn is_too_early(event: &str) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let due = |record: &Value| body(record)["succeed_after_ms"].as_u64();
    records(event).iter().filter_map(due).any(|due_ms| now.as_millis() < u128::from(due_ms))
}

/// A number from the host's random source. The keys of one instance grow by one with each use, and
/// hashing mixes them.
pub fn random(salt: u64) -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(salt);
    hasher.finish()
}

/// Prints sequence numbers, as `handled 0-499` where they have no gap.
pub fn print_handled(numbers: &[u64]) {
    for range in numbers.chunk_by(|before, after| before + 1 == *after) {
        if let (Some(first), Some(last)) = (range.first(), range.last()) {
            println!("handled {first}-{last}");
        }
    }
}
