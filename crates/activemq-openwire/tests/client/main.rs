//! The client against a peer that a test plays, over sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod broker;
mod connecting;
mod consuming;
mod tls;
