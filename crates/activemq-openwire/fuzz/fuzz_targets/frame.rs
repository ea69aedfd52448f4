//! `cargo +nightly fuzz run frame`: see `targets.rs`.
#![no_main]

#[path = "../memory.rs"]
mod memory;
#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| memory::bounded(targets::frame, data));
