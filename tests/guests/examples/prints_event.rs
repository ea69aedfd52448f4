//! Prints the event as one line: what a handler prints becomes a line of the host's log.

use gristmill_test_guests::{Answer, handler};

fn print(event: String) -> Answer {
    println!("{event}");
    Ok(None)
}

handler!(print);
