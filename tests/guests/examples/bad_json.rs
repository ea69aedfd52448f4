//! Answers with text that is not JSON: a response is only read where the mapping asks for one.

use gristmill_test_guests::{Answer, handler};

fn respond(_event: String) -> Answer {
    Ok(Some("not json".to_owned()))
}

handler!(respond);
