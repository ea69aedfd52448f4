//! The event: the JSON that one invocation of a handler receives for one batch of messages.
//!
//! This is where messages stop being a broker's and become the handler's. On the line it stands
//! between the batcher, which asks [`Envelope::record_bytes`] whether one more record fits, and the
//! invocation, which receives what [`Envelope::encode`] wrote. The shapes, one for RabbitMQ and one
//! for ActiveMQ, are those of AWS Lambda's events for Amazon MQ (Lambda developer guide, "Using Lambda
//! with Amazon MQ"), and handlers written for Lambda must parse them unchanged.
//!
//! What must never happen: that the size told beforehand and the text written differ, that one
//! message encodes to two different texts, or that what a producer put into a message breaks the
//! JSON, overflows the stack or panics.
//!
//! # Examples
//!
//! ```
//! use gristmill_event::{BasicProperties, Envelope, Message, RabbitMqMessage};
//!
//! let envelope = Envelope::rabbitmq("arn:aws:mq:eu-west-1:1:broker:orders:b-1", "orders", "/");
//! let message = Message::from(RabbitMqMessage {
//!     properties: BasicProperties { priority: Some(3), ..BasicProperties::default() },
//!     redelivered: false,
//!     body: b"hello".to_vec(),
//! });
//!
//! let event_bytes = envelope.event_bytes(1, envelope.record_bytes(&message));
//! let event = envelope.encode([&message], event_bytes);
//!
//! assert_eq!(event.len(), event_bytes);
//! assert!(event.contains(r#""rmqMessagesByQueue":{"orders::/":[{"#));
//! assert!(event.ends_with(r#""redelivered":false,"data":"aGVsbG8="}]}}"#));
//! ```

#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod activemq;
mod rabbitmq;

mod envelope;
mod message;

mod sink;

pub use activemq::{ActiveMqMessage, MessageType, Profile, PropertyValue};
pub use envelope::{EVENT_BYTES_MAX, Envelope};
pub use message::Message;
pub use rabbitmq::{
    BasicProperties, HEADER_LEVELS_MAX, HeaderInteger, HeaderTable, HeaderValue, RabbitMqMessage,
};
