//! Answers with a JSON string of 8 MiB: a response is bounded.

use gristmill_test_guests::{Answer, handler};

fn respond(_event: String) -> Answer {
    Ok(Some(format!("\"{}\"", "x".repeat((8 << 20) - 2))))
}

handler!(respond);
