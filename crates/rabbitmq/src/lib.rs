//! RabbitMQ as a source, and as a place for dead letters, over AMQP 0-9-1.
//!
//! One consuming connection per broker, virtual host and login ([`RabbitMq`]), and on it one channel
//! per mapping ([`RabbitMqSource`]), whose life is the epoch. This is the only crate that names the
//! client library; what it delivers is translated here, once, and nothing above sees its types.
//!
//! The client's auto-recovery stays off: it would bring consumers back under new delivery tags
//! behind our back, while the epoch is what keeps a tag from being sent on the wrong channel.
//!
//! What must never happen: a tag on another channel than the one that gave it, or a `multiple` ack
//! over a delivery that is not yet settled.

#![forbid(unsafe_code)]

mod abandoned;
mod attempt;
mod connection;
mod dead_letter;
mod error;
mod ledger;
mod original;
mod publication;
mod publisher;
mod source;
mod tls;
mod translate;

pub use connection::{Address, ConnectionSettings, RabbitMq};
pub use dead_letter::DeadLetterQueue;
pub use original::message;
pub use publisher::RabbitMqPublisher;
pub use source::{RabbitMqSource, SourceSettings};
pub use tls::{CertificateFiles, TlsSettings};
