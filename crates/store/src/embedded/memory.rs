//! What the worker remembers beside the file: consumers, what they hold, and how far each queue was read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem;

use gristmill_broker::{Original, Unreadable};
use gristmill_event::RabbitMqMessage;
use tokio::sync::mpsc::UnboundedSender;

use super::tables::Key;
use super::worker::Push;

#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Those that were used since the file was opened.
    pub(super) queues: HashMap<String, Queue>,
    pub(super) consumers: BTreeMap<u64, Consumer>,
}

/// A queue of the file.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) id: i64,
    pub(super) ranks: BTreeMap<u8, Progress>,
    /// What came back, and how often it was handed out.
    pub(super) returned: BTreeMap<Key, u32>,
    /// Whose turn was the last.
    pub(super) served: u64,
}

/// How far a rank was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// The last message that was read since the file was opened.
    pub(super) read: Key,
    /// The last that was handed out before that.
    pub(super) handed_out_before: Key,
}

/// Somebody who is handed the messages of a queue.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) queue: String,
    pub(super) prefetch: usize,
    /// Where the queue's dead letters went when it subscribed: a mapping that rejects counts on it.
    pub(super) dead_letter_queue: Option<String>,
    /// By their tags.
    pub(super) unsettled: BTreeMap<u64, Place>,
    pub(super) last_tag: u64,
    pub(super) is_cancelled: bool,
    inbox: UnboundedSender<Push>,
    /// What it is told when the turn is committed.
    handed_out: Vec<HandedOut>,
}

/// Where an unsettled message stands in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) key: Key,
    /// How often it was handed out, this time included.
    pub(super) times: u32,
    /// Whether the file says so in a row.
    pub(super) is_counted: bool,
    /// What it counts for.
    pub(super) bytes: u64,
}

/// A message for a consumer.
#[derive(Debug)]
pub(super) struct HandedOut {
    pub(super) tag: u64,
    /// How often it was handed out before.
    pub(super) returns: u32,
    /// One that cannot be read is given out as it is, to be given up.
    pub(super) message: Content,
}

pub(super) type Content = Result<RabbitMqMessage, (Unreadable, Original)>;

impl Memory {
    /// Tells consumers what was handed out.
    pub(super) fn push(&mut self) {
        for consumer in self.consumers.values_mut() {
            if !consumer.handed_out.is_empty() {
                let messages = mem::take(&mut consumer.handed_out);
                consumer.tell(Push::Messages(messages));
            }
        }
    }

    /// Ends every subscription and forgets everything.
    pub(super) fn lose(&mut self, reason: &str) {
        for consumer in mem::take(self).consumers.into_values() {
            consumer.tell(Push::Lost(reason.to_owned()));
        }
    }

    /// The consumers of a queue that can take something, and how much.
    pub(super) fn takers(&self, queue: &str) -> BTreeMap<u64, usize> {
        let of_queue = self.consumers.iter().filter(|(_, consumer)| consumer.queue == queue);
        of_queue
            .map(|(id, consumer)| (*id, consumer.credit()))
            .filter(|(_, credit)| *credit > 0)
            .collect()
    }

    /// All that is unsettled.
    pub(super) fn held(&self) -> HashSet<Key> {
        let places = self.consumers.values().flat_map(|consumer| consumer.unsettled.values());
        places.map(|place| place.key).collect()
    }

    /// How many messages of a queue are unsettled.
    pub(super) fn unsettled(&self, queue: &str) -> usize {
        let of_queue = self.consumers.values().filter(|consumer| consumer.queue == queue);
        of_queue.map(|consumer| consumer.unsettled.len()).sum()
    }
}

impl Consumer {
    pub(super) fn new(
        queue: String,
        prefetch: usize,
        dead_letter_queue: Option<String>,
        inbox: UnboundedSender<Push>,
    ) -> Self {
        Self {
            queue,
            prefetch,
            dead_letter_queue,
            unsettled: BTreeMap::new(),
            last_tag: 0,
            is_cancelled: false,
            inbox,
            handed_out: Vec::new(),
        }
    }

    fn credit(&self) -> usize {
        if self.is_cancelled { 0 } else { self.prefetch.saturating_sub(self.unsettled.len()) }
    }

    pub(super) fn hand_out(&mut self, place: Place, message: Content) {
        self.last_tag += 1;
        self.unsettled.insert(self.last_tag, place);
        let returns = place.times.saturating_sub(1);
        self.handed_out.push(HandedOut { tag: self.last_tag, returns, message });
    }

    /// The queue is no longer there.
    pub(super) fn cancel(&mut self) {
        if !mem::replace(&mut self.is_cancelled, true) {
            self.tell(Push::Cancelled);
        }
    }

    /// One that is gone has unsubscribed, or will.
    fn tell(&self, push: Push) {
        self.inbox.send(push).unwrap_or_default();
    }
}
