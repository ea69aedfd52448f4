//! Tests of the whole: the real program, a real RabbitMQ, handlers built from source.
//!
//! One scenario a file. They are one test program, so that they share one broker, each on a virtual
//! host of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod authoring;
mod batching;
mod chaos;
mod compiling;
mod consumer_timeout;
mod crashes;
mod delivery_limit;
mod drop_ins;
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
mod stopping;
mod support;
mod watching;
