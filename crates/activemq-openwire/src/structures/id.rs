//! Identifiers. The client chooses them; only a message's `brokerSequenceId` is the broker's.

use std::fmt;

use crate::codec::describe::{structure, union};
use crate::{Opaque, Text};

structure! {
    /// A connection: any text that no other connection has.
    pub struct ConnectionId = 120 {
        /// The text.
        pub value: Option<Text>,
    }
}

structure! {
    /// A session of a connection.
    pub struct SessionId = 121 {
        /// The connection's text.
        pub connection_id: Option<Text>,
        /// The session's number.
        pub value: i64,
    }
}

structure! {
    /// A consumer of a session.
    pub struct ConsumerId = 122 {
        /// The connection's text.
        pub connection_id: Option<Text>,
        /// The session's number.
        pub session_id: i64,
        /// The consumer's number.
        pub value: i64,
    }
}

structure! {
    /// A producer of a session. Its numbers stand the other way round than a consumer's.
    pub struct ProducerId = 123 {
        /// The connection's text.
        pub connection_id: Option<Text>,
        /// The producer's number.
        pub value: i64,
        /// The session's number; -1 and 0 stand for producers with other protocols.
        pub session_id: i64,
    }
}

structure! {
    /// A broker.
    pub struct BrokerId = 124 {
        /// Any text.
        pub value: Option<Text>,
    }
}

structure! {
    /// A message. Its text form is what other clients and the console show.
    pub struct MessageId = 110 {
        /// What the text form is, if it is not made of the rest.
        pub text_view: Option<Text> [since 10],
        /// The producer.
        pub producer_id: Option<ProducerId>,
        /// The producer's number of the message.
        pub producer_sequence_id: i64,
        /// The broker's number of the message; 0 when it is sent.
        pub broker_sequence_id: i64,
    }
}

structure! {
    /// A transaction inside one connection.
    pub struct LocalTransactionId = 111 {
        /// Its number.
        pub value: i64,
        /// The connection.
        pub connection_id: Option<ConnectionId>,
    }
}

structure! {
    /// A distributed transaction.
    pub struct XaTransactionId = 112 {
        /// Who made the rest.
        pub format_id: i32,
        /// The transaction.
        pub global_transaction_id: Option<Opaque>,
        /// The branch of it.
        pub branch_qualifier: Option<Opaque>,
    }
}

union! {
    /// A transaction of either kind.
    pub enum TransactionId {
        /// Inside one connection.
        Local(LocalTransactionId),
        /// Distributed.
        Xa(XaTransactionId),
    }
}

fn shown(text: Option<&Text>) -> std::borrow::Cow<'_, str> {
    text.map_or("".into(), Text::to_str)
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self.value.as_ref()))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", shown(self.connection_id.as_ref()), self.value)
    }
}

impl fmt::Display for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", shown(self.connection_id.as_ref()), self.session_id, self.value)
    }
}

impl fmt::Display for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", shown(self.connection_id.as_ref()), self.session_id, self.value)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.text_view, &self.producer_id) {
            (Some(text), _) => {
                let text = text.to_str();
                let prefix = if text.starts_with("ID:") { "" } else { "ID:" };
                write!(f, "{prefix}{text}")
            }
            (None, Some(producer)) => write!(f, "{producer}:{}", self.producer_sequence_id),
            (None, None) => write!(f, "{}", self.producer_sequence_id),
        }
    }
}

impl fmt::Display for LocalTransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connection = self.connection_id.as_ref().and_then(|id| id.value.as_ref());
        write!(f, "TX:{}:{}", shown(connection), self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_forms_are_those_of_javas_client() {
        let producer_id =
            Some(ProducerId { connection_id: Some("ID:host-1".into()), value: 3, session_id: 2 });
        let mut id = MessageId { producer_id, producer_sequence_id: 7, ..MessageId::default() };
        assert_eq!(id.to_string(), "ID:host-1:2:3:7");
        id.text_view = Some("mine".into());
        assert_eq!(id.to_string(), "ID:mine");
        id.text_view = Some("ID:mine".into());
        assert_eq!(id.to_string(), "ID:mine");

        let consumer = ConsumerId { connection_id: Some("c".into()), session_id: 1, value: 2 };
        assert_eq!(consumer.to_string(), "c:1:2");
        let connection_id = Some(ConnectionId { value: Some("c".into()) });
        assert_eq!(LocalTransactionId { value: 4, connection_id }.to_string(), "TX:c:4");
    }
}
