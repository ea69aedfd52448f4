//! Traps on every batch: a trap fails the batch and touches nothing else.

use gristmill_test_guests::{Answer, handler};

fn trap(_event: String) -> Answer {
    panic!("this guest always traps")
}

handler!(trap);
