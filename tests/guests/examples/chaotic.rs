//! Takes up to 20 ms and fails now and then, by an error or a trap; when it succeeds it prints the
//! sequence numbers that the bodies hold.

use std::thread::sleep;
use std::time::Duration;

use gristmill_test_guests::{Answer, body, handler, print_handled, random, records};

const SLEEP_MS_MAX: u64 = 20;
/// One call in this many fails, one half of them by a trap.
const FAILS_ONE_IN: u64 = 12;

#[expect(clippy::disallowed_methods, reason = "sleeping is part of the behaviour shown")]
fn chaotic(event: String) -> Answer {
    sleep(Duration::from_millis(random(0) % SLEEP_MS_MAX));
    match random(1) % (2 * FAILS_ONE_IN) {
        0 => panic!("by chance"),
        1 => return Err("by chance".to_owned()),
        _ => {}
    }
    let numbers: Vec<u64> =
        records(&event).iter().filter_map(|record| body(record).as_u64()).collect();
    print_handled(&numbers);
    Ok(None)
}

handler!(chaotic);
