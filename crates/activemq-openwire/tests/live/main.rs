//! The client against a real ActiveMQ, with Java's own client as the peer: what the one sends arrives
//! equal at the other, and settling, refusals and crashes are what the documentation says.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod counters;
mod dead_letters;
mod ending;
mod entering;
mod failover;
mod headers;
mod inactivity;
mod messages;
mod prefetch;
mod settling;
mod support;
mod tls;
mod values;
