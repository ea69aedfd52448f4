//! Real brokers, built handlers and a running host for tests.

pub mod guests;
