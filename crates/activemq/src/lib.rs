//! ActiveMQ Classic as a source, over OpenWire.
//!
//! Each mapping has a connection of its own ([`ActiveMqSource`]), whose life is the epoch, and while it
//! has to publish dead letters a second one: a broker that is short of memory stops reading from whoever
//! sends, and acks would wait with the messages.
//!
//! ActiveMQ leaves redelivery to its clients: there is no negative ack, and a message comes again only
//! when its consumer has gone. So retries happen in the mapping, and a close tells the broker how far
//! the function has come ([`Source::tried`](gristmill_broker::Source::tried)), since it counts as
//! redelivered what it is told was delivered.
//!
//! What must never happen: an ack of a message that was not handled, a message that the broker drops
//! because it was given up and is not persistent, or an ack that reaches further than it should.

#![forbid(unsafe_code)]

mod connection;
mod dead_letter;
mod error;
mod original;
mod publisher;
mod source;
mod translate;

pub use activemq_openwire::client::{Address, CertificateFiles, TlsSettings};
pub use connection::{ActiveMq, ConnectionSettings};
pub use dead_letter::{DEAD_LETTER_QUEUE, DeadLetterQueue};
pub use original::message;
pub use publisher::ActiveMqPublisher;
pub use source::{ActiveMqSource, SourceSettings};
