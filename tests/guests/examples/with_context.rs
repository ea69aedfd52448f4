//! Is told about its call, and fails in each way that `handle-batch-with` has: the event says which.

use std::collections::BTreeMap;

use bindings::exports::gristmill::handler::batch_context::{Context, Failure, Guest};

mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "handler-with-context" });
}

struct Handler;

impl Guest for Handler {
    fn handle_batch_with(event: String, context: Context) -> Result<Option<String>, Failure> {
        let (what, number) = event.split_once(' ').unwrap_or((&event, "0"));
        match what {
            "retry" => Err(Failure::Retry("not now".to_owned())),
            "retry-after" => {
                let seconds = number.parse().unwrap_or_default();
                Err(Failure::RetryAfter((seconds, "the shop is closed".to_owned())))
            }
            "give-up" => Err(Failure::GiveUp("no such order".to_owned())),
            "nothing" => Ok(None),
            "variables" => Ok(Some(serde_json::json!(variables()).to_string())),
            _ => Ok(Some(
                serde_json::json!({
                    "request_id": context.request_id,
                    "function_name": context.function_name,
                    "attempt": context.attempt,
                    "deadline_ms": context.deadline_ms,
                    "memory_mib": context.memory_mib,
                })
                .to_string(),
            )),
        }
    }
}

fn variables() -> BTreeMap<String, String> {
    std::env::vars().collect()
}

bindings::export!(Handler with_types_in bindings);
