//! Prints the event as one line: what a handler prints becomes a line of the host's log. With the
//! variable `FAILS` in its environment it fails after that.

use std::env;

use gristmill_test_guests::{Answer, handler};

fn print(event: String) -> Answer {
    println!("{event}");
    if env::var_os("FAILS").is_some() {
        return Err("as it was told".to_owned());
    }
    Ok(None)
}

handler!(print);
