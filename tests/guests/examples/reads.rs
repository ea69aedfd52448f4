//! Reads every byte of the event and finds the records in it, without decoding their bodies: what
//! the benchmark of the line calls.

use gristmill_test_guests::{Answer, handler};

fn read(event: String) -> Answer {
    if event.matches("\"data\":").count() == 0 {
        return Err("no record in the event".to_owned());
    }
    Ok(None)
}

handler!(read);
