//! One quiet mapping, and twice as many endless loops as there are processors.

use super::{Manner, Mapping, QUIET, Scenario};

const SPINS: Manner = Manner { guest: "spins", settings: "batch_size = 1" };

pub(super) fn scenario() -> Scenario {
    let spinners = 2 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let spins = |number| Mapping { messages: 1, ..Mapping::of(SPINS, "spins", number) };
    Scenario {
        what: format!("{spinners} spinning handlers"),
        quiet: vec![Mapping::of(QUIET, "quiet", 0)],
        others: (0..spinners).map(spins).collect(),
    }
}
