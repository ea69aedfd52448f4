//! Answers with the number of calls that its instance has had, as `{"calls":1}`: tells a warm
//! instance from a fresh one.

use std::sync::atomic::{AtomicU64, Ordering};

use gristmill_test_guests::{Answer, handler};

static CALLS: AtomicU64 = AtomicU64::new(0);

fn count(_event: String) -> Answer {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    Ok(Some(format!(r#"{{"calls":{calls}}}"#)))
}

handler!(count);
