//! The events that Gristmill hands to a handler, typed: messages of RabbitMQ and ActiveMQ as AWS
//! Lambda presents them for Amazon MQ, and the response that names the messages to retry.
//!
//! [`Event::parse`] reads the JSON once; what it makes borrows from that text. A message's body is
//! decoded when it is asked for, so a handler pays for the bodies that it looks at. The crate reads
//! what this host sends and what other senders of such events are known to send: see
//! [`Event::parse`].
//!
//! What must never happen: that a number or a byte comes out as another than went in, that a record
//! is left out in silence, or that any text makes it panic or overflow the stack.
//!
//! # Examples
//!
//! A handler that sums what the bodies say, and has only those messages again that it cannot read:
//!
//! ```
//! use gristmill_handler::{BatchItemFailures, Event};
//!
//! #[derive(serde::Deserialize)]
//! struct Order {
//!     quantity: u32,
//! }
//!
//! fn handle_batch(event: String) -> Result<Option<String>, String> {
//!     let event = Event::parse(&event).map_err(|error| error.to_string())?;
//!     let mut failures = BatchItemFailures::new();
//!     let mut pieces = 0;
//!     for record in event.records() {
//!         match record.json::<Order>() {
//!             Ok(order) => pieces += order.quantity,
//!             Err(error) => {
//!                 eprintln!("{error}");
//!                 failures.push(&record);
//!             }
//!         }
//!     }
//!     println!("{pieces} pieces");
//!     Ok(failures.into_response())
//! }
//!
//! let event = r#"{"eventSource":"aws:rmq","rmqMessagesByQueue":{"orders::/":[
//!     {"basicProperties":{"messageId":"m-1"},"redelivered":false,"data":"eyJxdWFudGl0eSI6M30="},
//!     {"basicProperties":{"messageId":"m-2"},"redelivered":false,"data":"aGVsbG8="}
//! ]}}"#;
//! let response = handle_batch(event.to_owned()).unwrap();
//! let expected = r##"{"batchItemFailures":[{"itemIdentifier":"#1"}]}"##;
//! assert_eq!(response.as_deref(), Some(expected));
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod event;
mod record;
mod response;

mod activemq;
mod rabbitmq;

mod headers;

mod date;
mod error;
mod parse;
mod value;

pub use activemq::{ActiveMqEvent, ActiveMqRecord, MessageType, Properties};
pub use date::DateText;
pub use error::{EventError, RecordError, RecordErrorReason};
pub use event::Event;
pub use headers::{HeaderValue, Headers};
pub use rabbitmq::{BasicProperties, Queue, RabbitMqEvent, RabbitMqRecord};
pub use record::{Record, RecordSource};
pub use response::BatchItemFailures;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
