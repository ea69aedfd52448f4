//! What was sent and what came of it, counted as the Jepsen suites count.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use super::Happened;

/// A fault makes its duplicates within this time after its end: somebody notices it late.
const LATE: Duration = Duration::from_secs(15);
/// Of what is missing, how many are named.
const NAMED_MAX: usize = 20;

/// What happened to the messages. Times are since the run began.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// By the numbers of the messages, as far as the producer has gone.
    messages: Vec<Message>,
    /// How many are confirmed and not handled yet.
    waiting: u64,
    repeats: Vec<Repeat>,
    unexpected: u64,
    seconds: Vec<Second>,
}

/// What came of one message.
#[derive(Debug, Clone, Copy, Default)]
struct Message {
    is_confirmed: bool,
    handled: u16,
    given_up: u16,
    last_ms: u32,
}

/// A message that was handled again.
#[derive(Debug, Clone, Copy)]
struct Repeat {
    number: u64,
    before_ms: u32,
    at_ms: u32,
}

/// What happened in one second of a run.
#[derive(Debug, Clone, Default)]
pub struct Second {
    /// Messages that were confirmed to the producer.
    pub confirmed: u32,
    /// Messages that were handled, again or for the first time.
    pub handled: u32,
    /// The resident memory of each host, in KiB; 0 where it does not run.
    pub memory_kib: Vec<u64>,
}

/// The sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that were sent, confirmed or not.
    pub attempted: u64,
    /// Messages that the broker has confirmed.
    pub confirmed: u64,
    /// Different ones.
    pub handled: u64,
    /// Different ones in a dead-letter store at the end.
    pub dead_lettered: u64,
    /// Confirmed, and neither handled nor a dead letter.
    pub lost: u64,
    /// Handled or given up more than once, or both.
    pub duplicated: u64,
    /// Handled again with no fault near it that has messages come again.
    pub unexplained: u64,
    /// Handled or given up, and never sent.
    pub unexpected: u64,
}

impl Ledger {
    /// The numbers of the next messages.
    pub(super) fn attempt(&mut self, count: u64) -> Range<u64> {
        let first = self.messages.len() as u64;
        let next = first + count;
        self.messages.resize(index(next), Message::default());
        first..next
    }

    pub(super) fn confirm(&mut self, numbers: &[u64], at: Duration) {
        self.second(at).confirmed += u32::try_from(numbers.len()).unwrap_or(0);
        for number in numbers {
            let message = &mut self.messages[index(*number)];
            message.is_confirmed = true;
            self.waiting += u64::from(message.handled == 0);
        }
    }

    /// How many messages the hosts are behind; those that were given up count.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting
    }

    pub(super) fn handle(&mut self, number: u64, at: Duration) {
        self.second(at).handled += 1;
        let Some(message) = self.messages.get_mut(index(number)) else {
            self.unexpected += 1;
            return;
        };
        let at_ms = u32::try_from(at.as_millis()).unwrap_or(u32::MAX);
        if message.handled == 0 {
            self.waiting -= u64::from(message.is_confirmed);
        } else {
            self.repeats.push(Repeat { number, before_ms: message.last_ms, at_ms });
        }
        message.last_ms = at_ms;
        message.handled = message.handled.saturating_add(1);
    }

    pub(super) fn bury(&mut self, number: u64) {
        match self.messages.get_mut(index(number)) {
            Some(message) => message.given_up = message.given_up.saturating_add(1),
            None => self.unexpected += 1,
        }
    }

    pub(super) fn second(&mut self, at: Duration) -> &mut Second {
        let index = index(at.as_secs());
        if self.seconds.len() <= index {
            self.seconds.resize(index + 1, Second::default());
        }
        &mut self.seconds[index]
    }

    pub(super) fn seconds(&self) -> &[Second] {
        &self.seconds
    }

    /// Those that are confirmed and of which nothing more was heard: the first few.
    pub(super) fn missing(&self) -> Vec<usize> {
        let messages = self.messages.iter().enumerate();
        messages.filter(|(_, message)| message.is_lost()).take(NAMED_MAX).map(|(n, _)| n).collect()
    }

    pub(super) fn tally(&self, faults: &[Happened]) -> Tally {
        let count = |holds: &dyn Fn(&Message) -> bool| {
            self.messages.iter().filter(|message| holds(message)).count() as u64
        };
        Tally {
            attempted: self.messages.len() as u64,
            confirmed: count(&|message| message.is_confirmed),
            handled: count(&|message| message.handled > 0),
            dead_lettered: count(&|message| message.given_up > 0),
            lost: count(&Message::is_lost),
            duplicated: count(&|message| message.handled + message.given_up > 1),
            unexplained: self.unexplained(faults).len() as u64,
            unexpected: self.unexpected,
        }
    }

    fn unexplained(&self, faults: &[Happened]) -> BTreeSet<u64> {
        let repeats = self.repeats.iter().filter(|repeat| !repeat.is_explained(faults));
        repeats.map(|repeat| repeat.number).collect()
    }
}

impl Message {
    fn is_lost(&self) -> bool {
        self.is_confirmed && self.handled == 0 && self.given_up == 0
    }
}

impl Repeat {
    /// Whether a fault that has messages come again lies between the two times, or shortly before.
    fn is_explained(&self, faults: &[Happened]) -> bool {
        let time = |ms| Duration::from_millis(u64::from(ms));
        let (before, at) = (time(self.before_ms), time(self.at_ms));
        faults.iter().any(|happened| {
            happened.fault.loses_acks() && happened.from <= at && happened.to + LATE >= before
        })
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

/// A number as a place in a list; out of every list's range where the machine has no such places.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Fault;
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fault(from: u64, to: u64) -> Happened {
        Happened { fault: Fault::Cut, from: at(from), to: at(to) }
    }

    #[test]
    fn what_is_lost_twice_there_or_from_nowhere_is_counted() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.attempt(5), 0..5);
        ledger.confirm(&[0, 1, 2, 3], at(99));
        assert_eq!(ledger.waiting(), 4);
        ledger.handle(0, at(100));
        ledger.handle(1, at(100));
        ledger.handle(1, at(110));
        ledger.bury(0);
        ledger.bury(2);
        // Never confirmed, and there all the same.
        ledger.handle(4, at(100));
        ledger.handle(9, at(100));
        assert_eq!(ledger.waiting(), 2, "given up or lost");
        let expected = Tally {
            attempted: 5,
            confirmed: 4,
            handled: 3,
            dead_lettered: 2,
            lost: 1,
            duplicated: 2,
            unexplained: 1,
            unexpected: 1,
        };
        // Long before, and afterwards.
        let far = [fault(30, 84), fault(111, 112)];
        assert_eq!((ledger.tally(&far), ledger.missing()), (expected, vec![3]));
        for near in [fault(80, 85), fault(105, 106), fault(110, 120)] {
            assert_eq!(ledger.tally(&[near]), Tally { unexplained: 0, ..expected }, "{near:?}");
            let change = Happened { fault: Fault::ReloadHandler(0), ..near };
            assert_eq!(ledger.tally(&[change]), expected);
        }
        // Each time counts by itself: this one comes with a fault, that before had none.
        ledger.handle(1, at(200));
        assert_eq!(ledger.tally(&[fault(199, 200)]).unexplained, 1);
        assert_eq!((ledger.seconds()[99].confirmed, ledger.seconds()[100].handled), (4, 4));
    }
}
