//! What a consumer has been given and not yet settled, in the order in which it came.
//!
//! What must never happen: an id that was not delivered, or is settled, in an ack; or a number in
//! the close that makes the broker count untouched messages as delivered.

use std::collections::VecDeque;

use crate::structures::{Destination, MessageId};

/// A delivery of one consumer; counts from 0 and never comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u64);

/// What an ack of a delivery has to say.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unsettled {
    pub(super) message_id: MessageId,
    pub(super) destination: Option<Destination>,
}

/// The unsettled deliveries of one consumer.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The tag of the first entry.
    first: u64,
    /// One for each tag from `first` on; `None` once it is settled. The front is never `None`.
    entries: VecDeque<Option<Unsettled>>,
    unsettled: usize,
    /// One past the last tag that the application has been handed.
    handed: u64,
}

impl Ledger {
    pub(super) fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Notes a delivery.
    pub(super) fn deliver(&mut self, entry: Unsettled) -> Tag {
        let tag = Tag(self.end());
        self.entries.push_back(Some(entry));
        self.unsettled = self.unsettled.saturating_add(1);
        tag
    }

    /// Notes that everything up to `tag` has been handed to the application.
    pub(super) fn hand(&mut self, tag: Tag) {
        self.handed = self.handed.max(tag.0.saturating_add(1)).min(self.end());
    }

    /// Takes out one delivery.
    pub(super) fn settle(&mut self, tag: Tag) -> Option<Unsettled> {
        let taken = self.entry(tag.0)?.take()?;
        self.unsettled = self.unsettled.saturating_sub(1);
        self.trim();
        Some(taken)
    }

    /// Takes out everything from one tag to another, and returns the first, the last and how many.
    pub(super) fn settle_range(
        &mut self,
        Tag(from): Tag,
        Tag(to): Tag,
    ) -> Option<(Unsettled, Unsettled, usize)> {
        let skipped = usize::try_from(from.saturating_sub(self.first)).ok()?;
        let length = to.checked_sub(from.max(self.first))?.saturating_add(1);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (mut first, mut last, mut count) = (None, None, 0_usize);
        for entry in self.entries.iter_mut().skip(skipped).take(length) {
            let Some(entry) = entry.take() else { continue };
            count = count.saturating_add(1);
            match first {
                None => first = Some(entry),
                Some(_) => last = Some(entry),
            }
        }
        self.unsettled = self.unsettled.saturating_sub(count);
        self.trim();
        let first = first?;
        let last = last.unwrap_or_else(|| first.clone());
        Some((first, last, count))
    }

    /// The broker's number of the last delivery that was handed out and is unsettled; -1 if there
    /// is none. With it in the close, the broker counts exactly what was handed out as delivered.
    /// It has to be an unsettled one: for any other, the broker would count nothing.
    pub(super) fn last_delivered(&self) -> i64 {
        let handed = usize::try_from(self.handed.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let last = self.entries.iter().take(handed).rev().flatten().next();
        last.map_or(NOTHING_DELIVERED, |entry| entry.message_id.broker_sequence_id)
    }

    fn entry(&mut self, tag: u64) -> Option<&mut Option<Unsettled>> {
        let index = usize::try_from(tag.checked_sub(self.first)?).ok()?;
        self.entries.get_mut(index)
    }

    fn end(&self) -> u64 {
        self.first.saturating_add(self.entries.len() as u64)
    }

    fn trim(&mut self) {
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.first = self.first.saturating_add(1);
        }
    }
}

/// What a close says where the application was handed nothing that is unsettled.
pub(super) const NOTHING_DELIVERED: i64 = -1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(sequence: i64) -> Unsettled {
        let message_id = MessageId { broker_sequence_id: sequence, ..MessageId::default() };
        Unsettled { message_id, destination: None }
    }

    fn with(count: i64) -> Ledger {
        let mut ledger = Ledger::default();
        for sequence in 0..count {
            ledger.deliver(entry(sequence + 100));
        }
        ledger
    }

    #[test]
    fn a_close_names_the_last_one_handed_out_that_is_unsettled() {
        let mut ledger = with(4);
        assert_eq!(ledger.last_delivered(), -1);
        ledger.hand(Tag(1));
        assert_eq!(ledger.last_delivered(), 101);
        ledger.settle(Tag(1)).unwrap();
        assert_eq!(ledger.last_delivered(), 100);
        ledger.settle(Tag(3)).unwrap();
        assert_eq!(ledger.last_delivered(), 100);
        ledger.settle(Tag(0)).unwrap();
        assert_eq!(ledger.last_delivered(), -1);
        ledger.hand(Tag(2));
        assert_eq!(ledger.last_delivered(), 102);
    }

    #[test]
    fn a_delivery_is_settled_once() {
        let mut ledger = with(2);
        assert!(ledger.settle(Tag(1)).is_some());
        assert!(ledger.settle(Tag(1)).is_none());
        assert!(ledger.settle(Tag(2)).is_none());
        assert!(ledger.settle(Tag(u64::MAX)).is_none());
        assert_eq!(ledger.unsettled(), 1);
    }

    #[test]
    fn a_range_counts_what_is_unsettled_in_it() {
        let mut ledger = with(5);
        ledger.settle(Tag(1)).unwrap();
        let (first, last, count) = ledger.settle_range(Tag(1), Tag(3)).unwrap();
        assert_eq!((first, last, count), (entry(102), entry(103), 2));
        assert_eq!(ledger.settle_range(Tag(1), Tag(3)), None);
        assert_eq!(ledger.settle_range(Tag(4), Tag(3)), None);
        let (first, last, count) = ledger.settle_range(Tag(0), Tag(9)).unwrap();
        assert_eq!((first, last, count), (entry(100), entry(104), 2));
        assert_eq!(ledger.unsettled(), 0);
        assert_eq!(ledger.deliver(entry(0)), Tag(5));
    }

    proptest! {
        /// Against a plain list.
        #[test]
        fn it_keeps_exactly_what_is_unsettled(steps in prop::collection::vec((0..4_u8, 0..12_u64, 0..12_u64), 0..60)) {
            let mut ledger = Ledger::default();
            let mut model: Vec<(u64, i64)> = Vec::new();
            let (mut next, mut handed) = (0_u64, 0_u64);
            for (step, from, tag) in steps {
                match step {
                    0 => {
                        let sequence = i64::try_from(next).unwrap() + 1;
                        prop_assert_eq!(ledger.deliver(entry(sequence)), Tag(next));
                        model.push((next, sequence));
                        next += 1;
                    }
                    1 => {
                        let known = model.iter().any(|(known, _)| *known == tag);
                        prop_assert_eq!(ledger.settle(Tag(tag)).is_some(), known);
                        model.retain(|(known, _)| *known != tag);
                    }
                    2 => {
                        let is_in = |(known, _): &(u64, i64)| (from..=tag).contains(known);
                        let taken: Vec<_> = model.iter().copied().filter(is_in).collect();
                        model.retain(|known| !is_in(known));
                        let settled = ledger.settle_range(Tag(from), Tag(tag));
                        let sequence = |entry: &Unsettled| entry.message_id.broker_sequence_id;
                        let settled = settled.map(|(first, last, count)| {
                            (sequence(&first), sequence(&last), count)
                        });
                        let ends = taken.first().zip(taken.last());
                        let expected = ends.map(|((_, first), (_, last))| (*first, *last, taken.len()));
                        prop_assert_eq!(settled, expected);
                    }
                    _ => {
                        ledger.hand(Tag(tag));
                        handed = handed.max(tag + 1).min(next);
                    }
                }
                prop_assert_eq!(ledger.unsettled(), model.len());
                let last = model.iter().rev().find(|(tag, _)| *tag < handed);
                prop_assert_eq!(ledger.last_delivered(), last.map_or(-1, |(_, sequence)| *sequence));
            }
        }
    }
}
