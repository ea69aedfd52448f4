//! Messages: what the wire has of them. Bodies and properties are read on demand, in `content`.

use crate::codec::Header;
use crate::codec::describe::{kind, kind_field, structure};
use crate::{Opaque, Text};

use super::{BrokerId, ConsumerId, Destination, MessageId, ProducerId, Structure, TransactionId};

kind! {
    /// What a message's content is.
    pub enum MessageKind {
        /// Nothing.
        #[default]
        Plain = 23,
        /// Bytes.
        Bytes = 24,
        /// Names and primitive values.
        Map = 25,
        /// A serialized Java object.
        Object = 26,
        /// Primitive values in a row.
        Stream = 27,
        /// Text.
        Text = 28,
        /// Nothing here; the bytes are at an address.
        Blob = 29,
    }
}

kind_field!(MessageKind);

structure! {
    /// A message.
    pub struct Message of MessageKind {
        /// What its content is.
        pub kind: MessageKind,
        /// The producer's number of the send, and whether it wanted a response.
        pub header: Header,
        /// Who sent it.
        pub producer_id: Option<ProducerId>,
        /// Where to.
        pub destination: Option<Destination>,
        /// The transaction it is sent in.
        pub transaction_id: Option<TransactionId>,
        /// Where to, before the broker put it elsewhere.
        pub original_destination: Option<Destination>,
        /// Which it is.
        pub message_id: Option<MessageId>,
        /// The transaction it was sent in.
        pub original_transaction_id: Option<TransactionId>,
        /// The group whose messages go to one consumer: `JMSXGroupID`.
        pub group_id: Option<Text>,
        /// The place in the group: `JMSXGroupSeq`.
        pub group_sequence: i32,
        /// What it belongs to.
        pub correlation_id: Option<Text>,
        /// Whether it survives a restart of the broker.
        pub persistent: bool,
        /// When it expires, in milliseconds since 1970; 0 for never.
        pub expiration: i64,
        /// 0 to 9; 4 is usual.
        pub priority: i8,
        /// Where answers go.
        pub reply_to: Option<Destination>,
        /// When it was sent, in milliseconds since 1970 by the producer's clock.
        pub timestamp: i64,
        /// The sender's word for what it is: `JMSType`.
        pub r#type: Option<Text>,
        /// The body, perhaps compressed.
        pub content: Option<Opaque>,
        /// The properties, as a map of primitive values.
        pub marshalled_properties: Option<Opaque>,
        /// What an advisory is about.
        pub data_structure: Option<Box<Structure>>,
        /// The consumer it is for.
        pub target_consumer_id: Option<ConsumerId>,
        /// Whether the content is compressed.
        pub compressed: bool,
        /// As in the dispatch, which is the one to go by.
        pub redelivery_counter: i32,
        /// For networks of brokers.
        pub broker_path: Option<Vec<Option<BrokerId>>>,
        /// Not used.
        pub arrival: i64,
        /// Who sent it, if the broker says so: `JMSXUserID`.
        pub user_id: Option<Text>,
        /// For networks of brokers; the protocol spells it so.
        pub recieved_by_df_bridge: bool,
        /// Whether it may be dropped.
        pub droppable: bool,
        /// For networks of brokers.
        pub cluster: Option<Vec<Option<BrokerId>>>,
        /// When the broker got it, in milliseconds since 1970.
        pub broker_in_time: i64,
        /// When the broker dispatched it, in milliseconds since 1970.
        pub broker_out_time: i64,
        /// Whether it is the first of its group for this consumer.
        pub jms_x_group_first_for_consumer: bool [since 10],
        /// Where a blob is.
        pub remote_blob_url: Option<Text> [code 29],
        /// What a blob is.
        pub mime_type: Option<Text> [code 29],
        /// Whether the broker deletes the blob.
        pub deleted_by_broker: bool [code 29],
    }
}
