//! A message, whichever broker it came from: what the line knows of it without knowing the broker.
//!
//! A mapping holds messages of one broker only. What differs between the brokers is told apart here
//! and in the modules of their records, so that nothing above has to.

use std::time::Duration;

use crate::activemq::ActiveMqMessage;
use crate::rabbitmq::RabbitMqMessage;

/// A message of one of the brokers, with what the broker said about this hand-over of it. `Debug`
/// never shows the body.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// One of RabbitMQ, or of a broker that speaks as it does.
    RabbitMq(RabbitMqMessage),
    /// One of ActiveMQ.
    ActiveMq(ActiveMqMessage),
}

impl Message {
    /// The message's identifier: its producer's in RabbitMQ, if it has one, and the broker's in
    /// ActiveMQ.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::RabbitMq(message) => message.properties.message_id.as_deref(),
            Self::ActiveMq(message) => Some(&message.message_id),
        }
    }

    /// What the producer sent.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        match self {
            Self::RabbitMq(message) => &message.body,
            Self::ActiveMq(message) => &message.body,
        }
    }

    /// Whether it was handed out before, as far as the event shows that.
    #[must_use]
    pub fn redelivered(&self) -> bool {
        match self {
            Self::RabbitMq(message) => message.redelivered,
            Self::ActiveMq(message) => message.redelivered,
        }
    }

    /// Notes that a function has been given the message already, and says whether that changes its
    /// record: it does in ActiveMQ, whose clients count their own retries as redeliveries (JMS 2.0,
    /// 4.4.11), and never in RabbitMQ, where only the broker redelivers.
    pub fn try_again(&mut self) -> bool {
        match self {
            Self::RabbitMq(_) => false,
            Self::ActiveMq(message) => !std::mem::replace(&mut message.redelivered, true),
        }
    }

    /// How long after its hand-over the message expires; `None`: never.
    ///
    /// `unix_ms` is the moment of the hand-over, in milliseconds since 1970 in UTC. RabbitMQ does not
    /// tell when it began to count, so there a message expires late rather than early; ActiveMQ tells
    /// its own time, so that a clock here which is wrong does no harm.
    #[must_use]
    pub fn time_to_live(&self, unix_ms: u64) -> Option<Duration> {
        match self {
            Self::RabbitMq(message) => message.time_to_live(),
            Self::ActiveMq(message) => message.time_to_live(unix_ms),
        }
    }

    /// How old the message was at its hand-over, as far as is known: since its producer's timestamp
    /// in RabbitMQ, if it has one, and since the broker got it in ActiveMQ.
    ///
    /// `unix_ms` is the moment of the hand-over, in milliseconds since 1970 in UTC.
    #[must_use]
    pub fn age(&self, unix_ms: u64) -> Duration {
        match self {
            Self::RabbitMq(message) => message.age(unix_ms),
            Self::ActiveMq(message) => message.age(unix_ms),
        }
    }
}

impl From<RabbitMqMessage> for Message {
    fn from(message: RabbitMqMessage) -> Self {
        Self::RabbitMq(message)
    }
}

impl From<ActiveMqMessage> for Message {
    fn from(message: ActiveMqMessage) -> Self {
        Self::ActiveMq(message)
    }
}
