//! The client against a peer that a test plays, over sockets.

mod broker;
mod connecting;
mod consuming;
mod tls;
