//! What a consumer has been given and not yet settled, in the order in which it came.
//!
//! What must never happen: an id that was not delivered, or is settled, in an ack; or a number in
//! the close that makes the broker count untouched messages as delivered.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

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
    /// What is settled leaves nothing here, however long something before it stays.
    entries: BTreeMap<Tag, Unsettled>,
    /// The tag of the next delivery.
    next: u64,
    /// One past the last tag that the application has been handed.
    handed: u64,
}

impl Ledger {
    pub(super) fn unsettled(&self) -> usize {
        self.entries.len()
    }

    /// Notes a delivery.
    pub(super) fn deliver(&mut self, entry: Unsettled) -> Tag {
        let tag = Tag(self.next);
        self.next = self.next.saturating_add(1);
        self.entries.insert(tag, entry);
        tag
    }

    /// Notes that everything up to `tag` has been handed to the application.
    pub(super) fn hand(&mut self, tag: Tag) {
        self.handed = self.handed.max(tag.0.saturating_add(1)).min(self.next);
    }

    /// The first and the last of these deliveries that are unsettled, and how many are.
    pub(super) fn get(&self, tags: RangeInclusive<Tag>) -> Option<(&Unsettled, &Unsettled, usize)> {
        // A range that ends before it begins is nothing, and no range of the map.
        let tags = (!tags.is_empty()).then_some(tags)?;
        let entries = self.entries.range(tags).map(|(_, entry)| entry);
        Some((entries.clone().next()?, entries.clone().next_back()?, entries.count()))
    }

    /// Takes out these deliveries, which [`get`](Self::get) has found some of.
    pub(super) fn settle(&mut self, tags: RangeInclusive<Tag>) {
        self.entries.extract_if(tags, |_, _| true).for_each(drop);
    }

    /// The broker's number of the last delivery that was handed out and is unsettled; -1 if there
    /// is none. With it in the close, the broker counts exactly what was handed out as delivered.
    /// It has to be an unsettled one: for any other, the broker would count nothing.
    pub(super) fn last_delivered(&self) -> i64 {
        let last = self.entries.range(..Tag(self.handed)).next_back();
        last.map_or(NOTHING_DELIVERED, |(_, entry)| entry.message_id.broker_sequence_id)
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

    fn settle(ledger: &mut Ledger, tags: RangeInclusive<u64>) -> Option<(i64, i64, usize)> {
        let tags = Tag(*tags.start())..=Tag(*tags.end());
        let sequence = |entry: &Unsettled| entry.message_id.broker_sequence_id;
        let settled = ledger.get(tags.clone());
        let settled = settled.map(|(first, last, count)| (sequence(first), sequence(last), count));
        if settled.is_some() {
            ledger.settle(tags);
        }
        settled
    }

    #[test]
    fn a_close_names_the_last_one_handed_out_that_is_unsettled() {
        let mut ledger = with(4);
        assert_eq!(ledger.last_delivered(), -1);
        ledger.hand(Tag(1));
        assert_eq!(ledger.last_delivered(), 101);
        settle(&mut ledger, 1..=1).unwrap();
        assert_eq!(ledger.last_delivered(), 100);
        settle(&mut ledger, 3..=3).unwrap();
        assert_eq!(ledger.last_delivered(), 100);
        settle(&mut ledger, 0..=0).unwrap();
        assert_eq!(ledger.last_delivered(), -1);
        ledger.hand(Tag(2));
        assert_eq!(ledger.last_delivered(), 102);
    }

    #[test]
    fn a_delivery_is_settled_once() {
        let mut ledger = with(2);
        assert!(settle(&mut ledger, 1..=1).is_some());
        assert!(settle(&mut ledger, 1..=1).is_none());
        assert!(settle(&mut ledger, 2..=2).is_none());
        assert!(settle(&mut ledger, u64::MAX..=u64::MAX).is_none());
        assert_eq!(ledger.unsettled(), 1);
    }

    #[test]
    fn a_range_counts_what_is_unsettled_in_it() {
        let mut ledger = with(5);
        settle(&mut ledger, 1..=1).unwrap();
        assert_eq!(settle(&mut ledger, 0..=3), Some((100, 103, 3)));
        assert_eq!(settle(&mut ledger, 0..=3), None);
        #[expect(clippy::reversed_empty_ranges, reason = "an application may ask for it")]
        let reversed = 4..=3;
        assert_eq!(settle(&mut ledger, reversed), None);
        assert_eq!(settle(&mut ledger, 0..=9), Some((104, 104, 1)));
        assert_eq!(ledger.unsettled(), 0);
        assert_eq!(ledger.deliver(entry(0)), Tag(5));
    }

    #[test]
    fn one_that_stays_keeps_nothing_of_those_after_it() {
        let mut ledger = with(1);
        for tag in 1..1_000 {
            ledger.deliver(entry(0));
            settle(&mut ledger, tag..=tag).unwrap();
        }
        assert_eq!(ledger.entries.len(), 1);
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
                        prop_assert_eq!(settle(&mut ledger, tag..=tag).is_some(), known);
                        model.retain(|(known, _)| *known != tag);
                    }
                    2 => {
                        let is_in = |(known, _): &(u64, i64)| (from..=tag).contains(known);
                        let taken: Vec<_> = model.iter().copied().filter(is_in).collect();
                        model.retain(|known| !is_in(known));
                        let ends = taken.first().zip(taken.last());
                        let expected = ends.map(|((_, first), (_, last))| (*first, *last, taken.len()));
                        prop_assert_eq!(settle(&mut ledger, from..=tag), expected);
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
