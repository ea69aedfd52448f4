//! What producers send and get, and transactions.

use crate::codec::Header;
use crate::codec::describe::structure;

use super::{BrokerId, ConnectionId, Destination, ProducerId, TransactionId};

structure! {
    /// Opens a producer.
    pub struct ProducerInfo = 6 {
        /// Number and whether to respond.
        pub header: Header,
        /// The producer.
        pub producer_id: Option<ProducerId>,
        /// Where all its messages go; null for anywhere.
        pub destination: Option<Destination>,
        /// For networks of brokers.
        pub broker_path: Option<Vec<Option<BrokerId>>>,
        /// Whether the broker need not dispatch at once.
        pub dispatch_async: bool,
        /// The most bytes that are sent and not acked by [`ProducerAck`]; 0 for any.
        pub window_size: i32,
    }
}

structure! {
    /// Lets a producer with a window go on.
    pub struct ProducerAck = 19 {
        /// Number and whether to respond.
        pub header: Header,
        /// The producer.
        pub producer_id: Option<ProducerId>,
        /// How many bytes.
        pub size: i32,
    }
}

structure! {
    /// Begins or ends a transaction.
    pub struct TransactionInfo = 7 {
        /// Number and whether to respond.
        pub header: Header,
        /// The connection.
        pub connection_id: Option<ConnectionId>,
        /// The transaction.
        pub transaction_id: Option<TransactionId>,
        /// 0 begin, 1 prepare, 2 commit in one phase, 3 in two, 4 roll back, 5 recover, 6 forget,
        /// 7 end.
        pub r#type: i8,
    }
}
