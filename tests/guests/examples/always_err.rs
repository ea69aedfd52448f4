//! Answers every batch with an error: a batch that never succeeds is retried, never lost.

use gristmill_test_guests::{Answer, handler};

fn fail(_event: String) -> Answer {
    Err("no".to_owned())
}

handler!(fail);
