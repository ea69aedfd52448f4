//! Takes memory without end and writes to all of it: the memory limit ends it.

use std::hint::black_box;

use gristmill_test_guests::{Answer, handler};

fn grow(_event: String) -> Answer {
    let mut held = Vec::new();
    loop {
        held.push(vec![1_u8; 1 << 20]);
        black_box(&held);
    }
}

handler!(grow);
