//! Queues and topics.

use std::fmt;

use crate::Text;
use crate::codec::Header;
use crate::codec::describe::{kind, kind_field, structure};

use super::{BrokerId, ConnectionId};

kind! {
    /// What a destination is.
    pub enum DestinationKind {
        /// Each message goes to one consumer.
        #[default]
        Queue = 100,
        /// Each message goes to every subscriber.
        Topic = 101,
        /// A queue that lives as long as the connection that made it.
        TempQueue = 102,
        /// A topic that lives as long as the connection that made it.
        TempTopic = 103,
    }
}

kind_field!(DestinationKind);

structure! {
    /// A queue or a topic.
    pub struct Destination of DestinationKind {
        /// Which.
        pub kind: DestinationKind,
        /// The name, without any options. A comma makes several of one, `*` and `>` are wildcards.
        pub physical_name: Option<Text>,
    }
}

structure! {
    /// Announces or removes a temporary destination.
    pub struct DestinationInfo = 8 {
        /// Number and whether to respond.
        pub header: Header,
        /// Whose it is.
        pub connection_id: Option<ConnectionId>,
        /// The destination.
        pub destination: Option<Destination>,
        /// 0 to add it, 1 to remove it.
        pub operation_type: i8,
        /// How long a removal waits, in milliseconds.
        pub timeout: i64,
        /// For networks of brokers.
        pub broker_path: Option<Vec<Option<BrokerId>>>,
    }
}

impl Destination {
    /// A queue.
    #[must_use]
    pub fn queue(name: &str) -> Self {
        Self { kind: DestinationKind::Queue, physical_name: Some(name.into()) }
    }

    /// A topic.
    #[must_use]
    pub fn topic(name: &str) -> Self {
        Self { kind: DestinationKind::Topic, physical_name: Some(name.into()) }
    }
}

impl fmt::Display for Destination {
    /// As Java's client writes it: `queue://orders`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            DestinationKind::Queue => "queue",
            DestinationKind::Topic => "topic",
            DestinationKind::TempQueue => "temp-queue",
            DestinationKind::TempTopic => "temp-topic",
        };
        let name = self.physical_name.as_ref().map(Text::to_str).unwrap_or_default();
        write!(f, "{scheme}://{name}")
    }
}
