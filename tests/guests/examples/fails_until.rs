//! Answers with an error until the time that a record names has come: a retry after an error
//! succeeds.

use gristmill_test_guests::{Answer, handler, is_too_early};

fn fail_until_due(event: String) -> Answer {
    if is_too_early(&event) { Err("a record is not due yet".to_owned()) } else { Ok(None) }
}

handler!(fail_until_due);
