//! Says which version of it handles a batch: a test makes versions by changing the digits of
//! [`VERSION`] in the built file, and sees by the lines who handled what.
//!
//! A record whose `needs` is a later version than this one fails its batch.

use std::hint::black_box;

use gristmill_test_guests::{Answer, body, handler, records};

static VERSION: &str = "version-0000";

fn handle(event: String) -> Answer {
    let version = black_box(VERSION);
    println!("{version} begins");
    let bodies: Vec<_> = records(&event).iter().map(body).collect();
    if bodies.iter().any(|body| body["needs"].as_str().is_some_and(|needs| needs > version)) {
        return Err(format!("{version} cannot do that"));
    }
    let numbers: Vec<String> = bodies.iter().map(|body| body["number"].to_string()).collect();
    println!("{version} handled {}", numbers.join(" "));
    Ok(None)
}

handler!(handle);
