//! Which deliveries of a channel are unsettled, and the fewest frames that settle some of them.
//!
//! AMQP 0-9-1 (basic.ack, basic.nack) lets one frame settle every delivery up to a tag. That is only
//! right up to the tag below which nothing else is unsettled; each delivery above it takes a frame
//! of its own. Pure: it decides, the source sends.

use std::collections::VecDeque;

/// One frame that settles deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) tag: u64,
    /// Whether it means every unsettled delivery up to the tag.
    pub(crate) multiple: bool,
}

/// The unsettled deliveries of one channel. Its memory is bounded by the prefetch.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The tag of the first entry. Tags of a channel count up from 1.
    first: u64,
    /// For each tag from `first` on, whether it is settled; the first entry never is.
    settled: VecDeque<bool>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { first: 1, settled: VecDeque::new() }
    }

    /// Notes a delivery. False if it is not the next one: tags of a channel count up by one (AMQP
    /// 0-9-1, 1.8.3.13), and a gap would make a `multiple` mean more than we know of.
    pub(crate) fn deliver(&mut self, tag: u64) -> bool {
        let next = self.first + self.settled.len() as u64;
        if tag == next {
            self.settled.push_back(false);
        }
        tag == next
    }

    /// Whether a delivery was handed over and not settled.
    pub(crate) fn is_unsettled(&self, tag: u64) -> bool {
        self.index(tag).and_then(|index| self.settled.get(index)) == Some(&false)
    }

    /// Marks deliveries as settled and says which frames tell the broker. Tags that are not
    /// unsettled are left out, since a second verdict on one closes the channel.
    pub(crate) fn settle(&mut self, tags: impl Iterator<Item = u64>) -> Vec<Frame> {
        let mut taken: Vec<u64> = tags
            .filter(|tag| match self.entry(*tag) {
                Some(settled) => !std::mem::replace(settled, true),
                None => false,
            })
            .collect();
        taken.sort_unstable();
        while self.settled.front() == Some(&true) {
            self.settled.pop_front();
            self.first += 1;
        }
        // Everything below `first` is settled, by this call or an earlier one.
        let covered = taken.partition_point(|tag| *tag < self.first);
        let last_covered = taken[..covered].last();
        let together = last_covered.map(|tag| Frame { tag: *tag, multiple: covered > 1 });
        let single = taken[covered..].iter().map(|tag| Frame { tag: *tag, multiple: false });
        together.into_iter().chain(single).collect()
    }

    fn entry(&mut self, tag: u64) -> Option<&mut bool> {
        let index = self.index(tag)?;
        self.settled.get_mut(index)
    }

    fn index(&self, tag: u64) -> Option<usize> {
        usize::try_from(tag.checked_sub(self.first)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ledger(deliveries: u64) -> Ledger {
        let mut ledger = Ledger::new();
        (1..=deliveries).for_each(|tag| assert!(ledger.deliver(tag)));
        ledger
    }

    #[test]
    fn a_gap_in_the_tags_is_noticed() {
        assert!(!ledger(2).deliver(4));
        assert!(!ledger(2).deliver(2));
    }

    #[test]
    fn a_batch_in_order_takes_one_frame() {
        assert_eq!(ledger(200).settle(1..=100), [Frame { tag: 100, multiple: true }]);
    }

    #[test]
    fn a_batch_behind_an_unsettled_one_takes_a_frame_for_each_delivery() {
        let mut ledger = ledger(4);
        let behind = [Frame { tag: 3, multiple: false }, Frame { tag: 4, multiple: false }];
        assert_eq!(ledger.settle(3..=4), behind);
        assert_eq!(ledger.settle(1..=2), [Frame { tag: 2, multiple: true }]);
    }

    #[test]
    fn a_second_verdict_is_not_sent() {
        let mut ledger = ledger(2);
        assert_eq!(ledger.settle(1..=1), [Frame { tag: 1, multiple: false }]);
        assert_eq!(ledger.settle(1..=1), []);
        assert_eq!(ledger.settle([7, 0].into_iter()), []);
    }

    proptest! {
        /// A broker that follows AMQP settles exactly what was asked for.
        #[test]
        fn frames_settle_exactly_what_was_asked_for(
            deliveries in 1u64..60,
            calls in prop::collection::vec(prop::collection::btree_set(1u64..60, 0..30), 0..12),
        ) {
            let mut ledger = ledger(deliveries);
            let mut unsettled: BTreeSet<u64> = (1..=deliveries).collect();
            for call in calls {
                let asked: BTreeSet<u64> = call.intersection(&unsettled).copied().collect();
                let mut told = BTreeSet::new();
                for frame in ledger.settle(call.iter().copied()) {
                    if frame.multiple {
                        told.extend(unsettled.range(..=frame.tag).copied());
                    } else {
                        prop_assert!(unsettled.contains(&frame.tag));
                        told.insert(frame.tag);
                    }
                    unsettled.retain(|tag| !told.contains(tag));
                }
                prop_assert_eq!(told, asked);
            }
        }
    }
}
