//! Prints ten million lines: what is logged of an invocation is bounded.

use gristmill_test_guests::{Answer, handler};

fn flood(_event: String) -> Answer {
    for line in 0..10_000_000_u32 {
        println!("line {line}");
    }
    Ok(None)
}

handler!(flood);
