//! What a turn hands out: messages in their order, to consumers in turn, as far as each can take them.
//!
//! What must never happen: a message that is passed over, or handed out to two.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_event::RabbitMqMessage;

use super::content::{read_properties, write_unread};
use super::memory::{Place, Progress};
use super::tables::{self, Key, Stored};
use super::turn::Turn;
use crate::error::Fault;

/// One turn hands a queue's messages out up to so many, and about as many bytes.
const HAND_OUT_MESSAGES: usize = 1_000;
const HAND_OUT_BYTES: u64 = 8 << 20;

impl Turn<'_> {
    /// Hands out what consumers can take.
    pub(super) fn hand_out(&mut self) -> Result<(), Fault> {
        self.write_next_keys()?;
        let names: BTreeSet<String> =
            self.memory.consumers.values().map(|consumer| consumer.queue.clone()).collect();
        for name in names {
            let takers = self.memory.takers(&name);
            if !takers.is_empty() {
                self.hand_out_of(&name, takers)?;
            }
        }
        Ok(())
    }

    fn hand_out_of(&mut self, name: &str, takers: BTreeMap<u64, usize>) -> Result<(), Fault> {
        let (file, now_ms) = (self.file, self.now_ms);
        let credit: usize = takers.values().sum();
        let mut room = Room { messages: credit.min(HAND_OUT_MESSAGES), bytes: HAND_OUT_BYTES };
        let queue = self.queue(name)?;
        let mut taken = Vec::new();
        for rank in tables::ranks(file, queue.id)? {
            if room.is_over() {
                break;
            }
            let start = Key::start(queue.id, rank.rank);
            let unread = Progress { read: start, handed_out_before: rank.handed_out };
            let progress = queue.ranks.entry(rank.rank).or_insert(unread);
            // One that has expired waits for its turn to leave, and with it those of its rank behind it.
            let mut is_stuck = false;
            // What came back was read, so it stands before all that was not.
            while !room.is_over()
                && let Some((&key, &times)) = queue.returned.range(start..=progress.read).next()
            {
                let stored = tables::get(file, key)?;
                is_stuck = stored.as_ref().is_some_and(|stored| stored.has_expired(now_ms));
                if is_stuck {
                    break;
                }
                queue.returned.remove(&key);
                if let Some(stored) = stored {
                    room.take(&stored);
                    taken.push((stored, times));
                }
            }
            if is_stuck || room.is_over() || progress.read.next() >= rank.next {
                continue;
            }
            let before = progress.handed_out_before;
            let mut read = None;
            tables::read_on(file, progress.read, room.messages, |stored| {
                is_stuck = stored.has_expired(now_ms);
                if is_stuck {
                    return false;
                }
                read = Some(stored.key);
                room.take(&stored);
                let once = u32::from(stored.key <= before);
                let times = stored.times.unwrap_or(once);
                taken.push((stored, times));
                !room.is_over()
            })?;
            progress.read = if is_stuck || room.is_over() {
                read.unwrap_or(progress.read)
            } else {
                // There was nothing more.
                Key(rank.next.0 - 1)
            };
            if progress.read > rank.handed_out {
                tables::set_handed_out(file, queue.id, rank.rank, progress.read)?;
            }
        }
        let can_take_more = self.distribute(name, takers, taken)?;
        self.more |= room.is_over() && can_take_more;
        Ok(())
    }

    /// One after the other, each as much as it can take. Says whether anybody could take more.
    fn distribute(
        &mut self,
        name: &str,
        mut takers: BTreeMap<u64, usize>,
        taken: Vec<(Stored, u32)>,
    ) -> Result<bool, Fault> {
        let mut served = self.queue(name)?.served;
        for (stored, times_before) in taken {
            let times = times_before.saturating_add(1);
            let is_counted = stored.times.is_some() || times > 1;
            if is_counted {
                tables::set_times(self.file, stored.key, times)?;
            }
            let place = Place { key: stored.key, times, is_counted, bytes: stored.bytes() };
            let message = match read_properties(stored.properties.as_deref()) {
                Ok(properties) => {
                    let redelivered = times_before > 0;
                    Ok(RabbitMqMessage { properties, redelivered, body: stored.body })
                }
                Err(unreadable) => {
                    let properties = stored.properties.as_deref();
                    Err((unreadable, write_unread(properties, &stored.body)))
                }
            };
            let next = takers.range(served + 1..).next().or(takers.first_key_value());
            let Some((&taker, &credit)) = next else { break };
            served = taker;
            if credit == 1 {
                takers.remove(&taker);
            } else {
                takers.insert(taker, credit - 1);
            }
            if let Some(consumer) = self.memory.consumers.get_mut(&taker) {
                consumer.hand_out(place, message);
            }
        }
        self.queue(name)?.served = served;
        Ok(!takers.is_empty())
    }
}

/// How much more is handed out.
struct Room {
    messages: usize,
    bytes: u64,
}

impl Room {
    fn take(&mut self, stored: &Stored) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(stored.bytes());
    }

    fn is_over(&self) -> bool {
        self.messages == 0 || self.bytes == 0
    }
}
