//! Sleeps as many milliseconds as the first record's `sleep_ms` says, then prints the message id of
//! every record, one a line: a drain waits for it, and the lines tell which records were handled.

use std::thread;
use std::time::Duration;

use gristmill_test_guests::{Answer, body, handler, message_id, records};

#[expect(clippy::disallowed_methods, reason = "sleeping is the behaviour shown")]
fn handle_slowly(event: String) -> Answer {
    let records = records(&event);
    let sleep_ms = records.first().and_then(|first| body(first)["sleep_ms"].as_u64());
    thread::sleep(Duration::from_millis(sleep_ms.unwrap_or_default()));
    for record in &records {
        println!("{}", message_id(record));
    }
    Ok(None)
}

handler!(handle_slowly);
