//! Calls itself without end: the stack overflows in the guest, not in the host.

use std::hint::black_box;

use gristmill_test_guests::{Answer, handler};

fn overflow(_event: String) -> Answer {
    Ok(Some(descend(0).to_string()))
}

#[expect(unconditional_recursion, reason = "recursion without end is the behaviour shown")]
fn descend(depth: u64) -> u64 {
    // Work after the call keeps it from becoming a loop.
    black_box(descend(black_box(depth) + 1)) + 1
}

handler!(overflow);
