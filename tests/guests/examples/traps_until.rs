//! Traps until the time that a record names has come: a retry after a trap succeeds, in an instance
//! that remembers nothing of it.

use gristmill_test_guests::{Answer, handler, is_too_early};

fn trap_until_due(event: String) -> Answer {
    assert!(!is_too_early(&event), "a record is not due yet");
    Ok(None)
}

handler!(trap_until_due);
