//! Computes for ever when there is a record: fuel, or the wall clock, ends it.

use std::hint::black_box;

use gristmill_test_guests::{Answer, handler, records};

fn spin(event: String) -> Answer {
    if records(&event).is_empty() {
        return Ok(None);
    }
    let mut turns = 0_u64;
    loop {
        // Kept from the optimizer, which would otherwise be free to see that nothing is computed.
        turns = black_box(turns).wrapping_add(1);
    }
}

handler!(spin);
