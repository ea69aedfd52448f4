//! Twenty mappings, four of each kind: handlers that spin, that are flooded with small messages,
//! that always fail, that get batches near 6 MiB, and quiet ones.
//!
//! What floods and what is huge comes at a bounded rate, since the broker and the producers use the
//! processors too, and their noise is none of the host's. For the same reason there are rounds in which
//! the same messages are published and nobody takes them: they show how much of the difference is there
//! without the host.

use std::time::Duration;

use super::flow::Flow;
use super::{Manner, Mapping, QUIET, Scenario};

const OF_EACH: usize = 4;

const SPINS: Manner = Manner { guest: "spins", settings: "batch_size = 1" };
const FLOODED: Manner = Manner { guest: "reads", settings: "maximum_batching_window = \"10ms\"" };
/// Ten batches that are tried again and again, each for itself.
const TRAPS: Manner =
    Manner { guest: "always-traps", settings: "batch_size = 1\nmaximum_concurrency = 10" };
const FAILS: Manner =
    Manner { guest: "always-err", settings: "batch_size = 1\nmaximum_concurrency = 10" };
const HUGE: Manner = Manner { guest: "reads", settings: "batch_size = 100" };

/// A thousand messages a second over all that are flooded.
const FLOOD: Flow = Flow { bytes: 100, count: 5, every: Duration::from_millis(5 * OF_EACH as u64) };

/// A batch in two seconds for each, of nearly 6 MiB as an event.
const HUGE_BATCH: Flow = Flow { bytes: 42_000, count: 100, every: Duration::from_secs(2) };

pub(super) fn scenario() -> Scenario {
    let mut others = Vec::new();
    for number in 0..OF_EACH {
        let failing = if number % 2 == 0 { TRAPS } else { FAILS };
        others.extend([
            Mapping { messages: 1, ..Mapping::of(SPINS, "spins", number) },
            Mapping { flow: Some(FLOOD), ..Mapping::of(FLOODED, "flooded", number) },
            Mapping { messages: 10, ..Mapping::of(failing, "fails", number) },
            Mapping { flow: Some(HUGE_BATCH), ..Mapping::of(HUGE, "huge", number) },
        ]);
    }
    Scenario {
        what: format!("{OF_EACH} each that spin, are flooded, always fail, and get huge batches"),
        quiet: (0..OF_EACH).map(|number| Mapping::of(QUIET, "quiet", number)).collect(),
        others,
    }
}
