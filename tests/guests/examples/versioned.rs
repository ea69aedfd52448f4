//! Says which version of it handles a batch: a test makes versions by changing the digits of
//! [`VERSION`] in the built file, and sees by the lines who handled what.
//!
//! A record whose `needs` is a later version than this one fails its batch. The first record's `sleep_ms`
//! is how many milliseconds it takes.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use gristmill_test_guests::{Answer, body, handler, records};

static VERSION: &str = "version-0000";

#[expect(clippy::disallowed_methods, reason = "sleeping is part of the behaviour shown")]
fn handle(event: String) -> Answer {
    let version = black_box(VERSION);
    println!("{version} begins");
    let bodies: Vec<_> = records(&event).iter().map(body).collect();
    let sleep_ms = bodies.first().and_then(|first| first["sleep_ms"].as_u64());
    thread::sleep(Duration::from_millis(sleep_ms.unwrap_or_default()));
    if bodies.iter().any(|body| body["needs"].as_str().is_some_and(|needs| needs > version)) {
        return Err(format!("{version} cannot do that"));
    }
    let numbers: Vec<String> = bodies.iter().map(|body| body["number"].to_string()).collect();
    println!("{version} handled {}", numbers.join(" "));
    Ok(None)
}

handler!(handle);
