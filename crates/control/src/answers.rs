//! The answers themselves: from the host's status to text and JSON.

use gristmill::{Counts, HostStatus, MappingStatus, State};
use serde_json::{Value, json};

/// Why each mapping that should have its queue has it not; empty when all have.
pub(crate) fn not_ready(status: &HostStatus) -> Vec<String> {
    let mappings = status.mappings().into_iter().filter(|mapping| mapping.enabled);
    let waiting = mappings
        .filter(|mapping| mapping.status.state != State::Enabled || !mapping.status.subscribed);
    waiting
        .map(|mapping| {
            let MappingStatus { name, status, .. } = mapping;
            let (state, reason) = (status.state.as_str(), status.reason.as_str());
            let result = one_line(&status.last_processing_result());
            format!("{name}: {state} ({reason}), {result}")
        })
        .collect()
}

/// A handler repeats what producers wrote, which may hold anything.
fn one_line(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// Everything that the host says about its mappings.
pub(crate) fn status(status: &HostStatus) -> Value {
    let mappings: Vec<Value> = status.mappings().iter().map(mapping).collect();
    json!({ "version": env!("CARGO_PKG_VERSION"), "mappings": mappings })
}

fn mapping(mapping: &MappingStatus) -> Value {
    let MappingStatus {
        name,
        uuid,
        broker,
        queue,
        virtual_host,
        function,
        enabled,
        status,
        counts,
    } = mapping;
    json!({
        "name": name,
        "uuid": uuid.to_string(),
        "broker": broker,
        "queue": queue,
        "virtual_host": virtual_host,
        "function": function,
        "enabled": enabled,
        "state": status.state.as_str(),
        "state_transition_reason": status.reason.as_str(),
        "last_processing_result": status.last_processing_result(),
        "subscribed": status.subscribed,
        "counts": self::counts(*counts),
    })
}

fn counts(counts: Counts) -> Value {
    let Counts { received, handled, given_up, expired, invocations_ok, invocations_failed } =
        counts;
    json!({
        "received": received,
        "handled": handled,
        "given_up": given_up,
        "expired": expired,
        "invocations_ok": invocations_ok,
        "invocations_failed": invocations_failed,
    })
}
