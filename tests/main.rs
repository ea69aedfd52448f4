//! Tests of the whole: the real program, real brokers, handlers built from source.
//!
//! One scenario a file; what differs with ActiveMQ has files of its own. They are one test program, so
//! that they share one server of each kind, each with queues of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod activemq;
mod authoring;
mod batching;
mod chaos;
mod cluster;
mod compiling;
mod concurrency;
mod consumer_timeout;
mod contexts;
mod crashes;
mod dead_letters;
mod delivery_limit;
mod disasters;
mod drop_ins;
mod embedded;
mod embedding;
mod encryption;
mod events;
mod failures;
mod giving_up;
mod healing;
mod languages;
mod neighbours;
mod network;
mod program;
mod reloading;
mod reports;
mod stopping;
mod support;
mod syncing;
mod watching;
