//! Given-up messages on a queue of their own, and back again, with a real RabbitMQ.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

mod alarms;
mod lost;
mod properties;
mod refused;
