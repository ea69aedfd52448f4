//! One hand-over of a message to us, and the verdict that ends it.
//!
//! ```text
//! delivery   Delivered → Batched → Invoked → Settled | Stale
//! ```

use std::fmt;
use std::sync::Arc;

use gristmill_event::Message;

/// One subscription's life: from a successful subscribe to the loss or the close of its channel.
///
/// Epochs of one source only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which delivery, on which channel: what a broker needs to hear about one message.
///
/// A tag means something only on the channel that gave it, so the epoch goes with it everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeliveryToken {
    /// The subscription that handed the message over.
    pub epoch: Epoch,
    /// The delivery's number within its epoch; later deliveries have greater ones.
    pub tag: u64,
}

/// One hand-over of a message to us, to be settled once.
///
/// Not `Clone`: there is one verdict for each delivery. Dropping one is not an ack; the broker
/// keeps the message and hands it over again when the epoch ends.
#[derive(Debug)]
pub struct Delivery {
    /// What settles it.
    pub token: DeliveryToken,
    /// What the producer sent, as the event will show it.
    pub message: Message,
    /// How often the broker has taken the message back before this hand-over, where it counts that
    /// (RabbitMQ's quorum queues, ActiveMQ's redelivery counter); otherwise 0.
    pub returns: Returns,
    /// The group whose messages are handled one after another, where the broker has such
    /// (`JMSXGroupID`).
    pub group: Option<Arc<str>>,
}

/// How often a broker has taken a message back.
///
/// Most brokers have one count, which [`From`] takes for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Returns {
    /// Every time.
    pub all: u32,
    /// Those of them that count towards the limit at which the broker deletes the message. RabbitMQ
    /// 4.3 counts a message whose consumer went away, and not one that was requeued.
    pub counted: u32,
}

impl From<u32> for Returns {
    fn from(count: u32) -> Self {
        Self { all: count, counted: count }
    }
}

/// A hand-over of a message that no event can show. It is settled like any other.
#[derive(Debug)]
pub struct Unusable {
    /// What settles it.
    pub token: DeliveryToken,
    /// The message's identifier, where it has one.
    pub message_id: Option<String>,
    /// What is wrong with it.
    pub defect: Defect,
    /// More about that, for people.
    pub reason: String,
}

/// What is wrong with a message that no event can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// Its type has no form in an event, or its content is not what its type says.
    Unsupported,
    /// It is larger than an event may be.
    TooLarge,
}

/// The verdict on a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settlement<'a> {
    /// Handled: the broker forgets the message.
    Ack,
    /// Not handled: the broker puts the message back where it was, as far as it can, and at the latest
    /// when the epoch ends.
    Requeue,
    /// Its time is over: the broker does with it what it does with messages that expire.
    Expire,
    /// Given up: the message goes to the broker's dead-letter queue, and RabbitMQ deletes it where
    /// there is none. What stands here says why, to whoever finds it there, where the broker has a
    /// place for that.
    Reject(&'a str),
}
