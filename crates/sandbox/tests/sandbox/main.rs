//! The sandbox with real handlers: one guest per behaviour, and odd components in text form.
//!
//! One binary for all of it, since linking the engine takes longer than most tests. No test waits
//! for a fixed time: what ends a guest is what is tested.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

mod calls;

mod files;

mod kinds;

mod languages;

mod limits;

mod misbehaviour;

mod modules;

mod native;

mod network;

mod output;

mod pool;

mod same;

mod shapes;

mod stock;
