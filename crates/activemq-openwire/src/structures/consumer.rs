//! What consumers send and get.

use crate::Text;
use crate::codec::Header;
use crate::codec::describe::structure;

use super::{
    BrokerId, ConnectionId, ConsumerId, Destination, Message, MessageId, Structure, Throwable,
    TransactionId,
};

structure! {
    /// Opens a consumer. Dispatches can come before the response.
    pub struct ConsumerInfo = 5 {
        /// Number and whether to respond.
        pub header: Header,
        /// The consumer.
        pub consumer_id: Option<ConsumerId>,
        /// Whether it only looks.
        pub browser: bool,
        /// What it consumes.
        pub destination: Option<Destination>,
        /// The most messages that are dispatched and unsettled; 0 for those pulled only.
        pub prefetch_size: i32,
        /// How many more may wait for a slow subscriber of a topic.
        pub maximum_pending_message_limit: i32,
        /// Whether the broker need not dispatch at once.
        pub dispatch_async: bool,
        /// Which messages, as an SQL-92 expression.
        pub selector: Option<Text>,
        /// The client.
        pub client_id: Option<Text> [since 10],
        /// The name of a durable subscription.
        pub subscription_name: Option<Text>,
        /// Whether messages of this connection are left out.
        pub no_local: bool,
        /// Whether all messages of the queue go here.
        pub exclusive: bool,
        /// Whether older messages of a topic come too.
        pub retroactive: bool,
        /// Higher ones come first; 0 is usual.
        pub priority: i8,
        /// For networks of brokers.
        pub broker_path: Option<Vec<Option<BrokerId>>>,
        /// For networks of brokers.
        pub additional_predicate: Option<Box<Structure>>,
        /// For networks of brokers.
        pub network_subscription: bool,
        /// Whether acks come late and for many.
        pub optimized_acknowledge: bool,
        /// Whether acks never stand for several messages.
        pub no_range_acks: bool,
        /// For networks of brokers.
        pub network_consumer_path: Option<Vec<Option<ConsumerId>>>,
    }
}

structure! {
    /// Changes or closes a consumer, from either side.
    pub struct ConsumerControl = 17 {
        /// Number and whether to respond.
        pub header: Header,
        /// What it consumes; never null.
        pub destination: Option<Destination>,
        /// Whether to close it.
        pub close: bool,
        /// The consumer.
        pub consumer_id: Option<ConsumerId>,
        /// Its new prefetch.
        pub prefetch: i32,
        /// Whether to drop what waits.
        pub flush: bool,
        /// Whether to start it, which brokers do not heed.
        pub start: bool,
        /// Whether to stop it, which brokers do not heed.
        pub stop: bool,
    }
}

structure! {
    /// Asks for one message.
    pub struct MessagePull = 20 {
        /// Number and whether to respond.
        pub header: Header,
        /// The consumer.
        pub consumer_id: Option<ConsumerId>,
        /// What it consumes.
        pub destination: Option<Destination>,
        /// How long to wait for one in milliseconds; -1 not at all, 0 for ever.
        pub timeout: i64,
        /// Which message.
        pub correlation_id: Option<Text>,
        /// Which message.
        pub message_id: Option<MessageId>,
    }
}

structure! {
    /// A message for a consumer.
    pub struct MessageDispatch = 21 {
        /// Number and whether to respond.
        pub header: Header,
        /// The consumer.
        pub consumer_id: Option<ConsumerId>,
        /// Where the message was; null without a message.
        pub destination: Option<Destination>,
        /// The message; null when a pull found none, and at the end of a browse.
        pub message: Option<Box<Message>>,
        /// How often it has been delivered before, as far as the broker knows.
        pub redelivery_counter: i32,
    }
}

structure! {
    /// Settles messages.
    pub struct MessageAck = 22 {
        /// Number and whether to respond.
        pub header: Header,
        /// Where they were; never null.
        pub destination: Option<Destination>,
        /// The transaction they are settled in.
        pub transaction_id: Option<TransactionId>,
        /// The consumer.
        pub consumer_id: Option<ConsumerId>,
        /// An [`AckType`].
        pub ack_type: i8,
        /// The first of the range; null means the oldest unsettled one.
        pub first_message_id: Option<MessageId>,
        /// The last of the range.
        pub last_message_id: Option<MessageId>,
        /// How many are unsettled in the range.
        pub message_count: i32,
        /// Why they are given up.
        pub poison_cause: Option<Throwable>,
    }
}

/// What an ack means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum AckType {
    /// More may come; nothing is settled.
    Delivered = 0,
    /// The range is given up: it goes where dead letters go.
    Poison = 1,
    /// The range is done.
    Standard = 2,
    /// A notice without effect.
    Redelivered = 3,
    /// The last message is done.
    Individual = 4,
    /// A durable subscription does not want it.
    Unmatched = 5,
    /// The range has expired.
    Expired = 6,
}

structure! {
    /// Tells another broker what was dispatched.
    pub struct MessageDispatchNotification = 90 {
        /// Number and whether to respond.
        pub header: Header,
        /// The consumer.
        pub consumer_id: Option<ConsumerId>,
        /// Where the message was.
        pub destination: Option<Destination>,
        /// The number of the delivery.
        pub delivery_sequence_id: i64,
        /// The message.
        pub message_id: Option<MessageId>,
    }
}

structure! {
    /// Removes a durable subscription.
    pub struct RemoveSubscriptionInfo = 9 {
        /// Number and whether to respond.
        pub header: Header,
        /// The connection.
        pub connection_id: Option<ConnectionId>,
        /// Its name.
        pub subscription_name: Option<Text>,
        /// The client.
        pub client_id: Option<Text>,
    }
}

structure! {
    /// A durable subscription.
    pub struct SubscriptionInfo = 55 {
        /// The client.
        pub client_id: Option<Text>,
        /// What is subscribed to.
        pub destination: Option<Destination>,
        /// Which messages.
        pub selector: Option<Text>,
        /// Its name; the protocol spells it so.
        pub subcription_name: Option<Text>,
        /// What was asked for, if that is something else.
        pub subscribed_destination: Option<Destination>,
        /// Whether messages of the same connection are left out.
        pub no_local: bool [since 11],
    }
}
