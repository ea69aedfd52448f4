//! Answers with the event, so that a test sees what a handler got.

use gristmill_test_guests::{Answer, handler};

fn echo(event: String) -> Answer {
    Ok(Some(event))
}

handler!(echo);
