//! Sleeps for an hour and burns no fuel meanwhile: the wall clock ends it.

use std::thread;
use std::time::Duration;

use gristmill_test_guests::{Answer, handler};

#[expect(clippy::disallowed_methods, reason = "sleeping is the behaviour shown")]
fn sleep(_event: String) -> Answer {
    thread::sleep(Duration::from_secs(60 * 60));
    Ok(None)
}

handler!(sleep);
