//! What was sent and what came of it, counted as the Jepsen suites count.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, SystemTime};

/// What happened to the messages, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Up to where the producer has gone.
    attempted: u64,
    confirmed: BTreeSet<u64>,
    handled: BTreeMap<u64, Times>,
    dead: BTreeMap<u64, u32>,
    /// From when to when each fault lasted.
    faults: Vec<(SystemTime, SystemTime)>,
}

/// When a message was handled.
#[derive(Debug, Clone, Copy)]
struct Times {
    count: u32,
    first: SystemTime,
    last: SystemTime,
}

/// A fault makes its duplicates within this time: hosts and brokers notice some of them late.
const LATE: Duration = Duration::from_secs(60);

/// The sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) attempted: u64,
    pub(super) confirmed: u64,
    /// Different ones.
    pub(super) handled: u64,
    pub(super) dead_lettered: u64,
    /// Confirmed, and neither handled nor a dead letter.
    pub(super) lost: u64,
    /// Handled or given up more than once, or both.
    pub(super) duplicated: u64,
    /// Handled more than once with no fault near it.
    pub(super) unexplained: u64,
    /// Handled or given up, and never sent.
    pub(super) unexpected: u64,
}

impl Ledger {
    /// The numbers of the next messages.
    pub(super) fn attempt(&mut self, count: u64) -> std::ops::Range<u64> {
        let first = self.attempted;
        self.attempted += count;
        first..self.attempted
    }

    pub(super) fn confirm(&mut self, numbers: impl IntoIterator<Item = u64>) {
        self.confirmed.extend(numbers);
    }

    pub(super) fn handle(&mut self, number: u64, at: SystemTime) {
        let times = self.handled.entry(number).or_insert(Times { count: 0, first: at, last: at });
        times.count += 1;
        times.first = times.first.min(at);
        times.last = times.last.max(at);
    }

    pub(super) fn fault(&mut self, from: SystemTime, to: SystemTime) {
        self.faults.push((from, to));
    }

    /// Whether a fault lies between two times at which a message was handled, or shortly before them.
    fn explains(&self, times: &Times) -> bool {
        self.faults.iter().any(|(from, to)| *from <= times.last && *to + LATE >= times.first)
    }

    pub(super) fn bury(&mut self, number: u64) {
        *self.dead.entry(number).or_default() += 1;
    }

    /// Those that are confirmed and of which nothing more was heard: the first few.
    pub(super) fn missing(&self) -> Vec<u64> {
        let is_missing =
            |number: &&u64| !self.handled.contains_key(*number) && !self.dead.contains_key(*number);
        self.confirmed.iter().filter(is_missing).take(20).copied().collect()
    }

    pub(super) fn tally(&self) -> Tally {
        let seen: BTreeSet<u64> = self.handled.keys().chain(self.dead.keys()).copied().collect();
        let times = |number: &u64| {
            let handled = self.handled.get(number).map_or(0, |times| times.count);
            handled + self.dead.get(number).copied().unwrap_or(0)
        };
        let again = self.handled.values().filter(|times| times.count > 1);
        Tally {
            attempted: self.attempted,
            confirmed: self.confirmed.len() as u64,
            handled: self.handled.len() as u64,
            dead_lettered: self.dead.len() as u64,
            lost: self.confirmed.difference(&seen).count() as u64,
            duplicated: seen.iter().filter(|number| times(number) > 1).count() as u64,
            unexplained: again.filter(|times| !self.explains(times)).count() as u64,
            unexpected: seen.range(self.attempted..).count() as u64,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempted, confirmed, handled, dead_lettered, lost, duplicated, .. } = self;
        let Self { unexplained, unexpected, .. } = self;
        write!(
            f,
            "attempted {attempted}, confirmed {confirmed}, handled {handled}, dead-lettered \
             {dead_lettered}, lost {lost}, duplicated {duplicated} ({unexplained} without a fault near them), \
             unexpected {unexpected}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_twice_there_or_from_nowhere_is_counted() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.attempt(5), 0..5);
        ledger.confirm(0..4);
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        ledger.handle(0, at(100));
        ledger.handle(1, at(100));
        ledger.handle(1, at(110));
        ledger.bury(0);
        ledger.bury(2);
        // Never confirmed, and there all the same.
        ledger.handle(4, at(100));
        ledger.handle(9, at(100));
        // Long before, and afterwards.
        ledger.fault(at(30), at(39));
        ledger.fault(at(111), at(112));
        let expected = Tally {
            attempted: 5,
            confirmed: 4,
            handled: 4,
            dead_lettered: 2,
            lost: 1,
            duplicated: 2,
            unexplained: 1,
            unexpected: 1,
        };
        assert_eq!((ledger.tally(), ledger.missing()), (expected, vec![3]));
        ledger.fault(at(40), at(45));
        assert_eq!(ledger.tally(), Tally { unexplained: 0, ..expected });
    }
}
