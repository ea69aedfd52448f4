//! Succeeds with no response and no output: the least that a handler can do.

use gristmill_test_guests::{Answer, handler};

fn succeed(_event: String) -> Answer {
    Ok(None)
}

handler!(succeed);
