//! By chance does each of the things that a handler can do wrong; else it prints the sequence numbers
//! that the bodies hold, now and then but for some, which it names as failed.

use std::thread::sleep;
use std::time::Duration;

use gristmill_test_guests::{Answer, body, handler, print_handled, random, records};
use serde_json::json;

const HOUR: Duration = Duration::from_secs(3600);
const CHUNK: usize = 1024 * 1024;

#[expect(clippy::disallowed_methods, reason = "sleeping is part of the behaviour shown")]
fn unruly(event: String) -> Answer {
    let mut fails_some = false;
    match random(0) % 80 {
        0 => panic!("by chance"),
        1 => return Err("by chance".to_owned()),
        2 => sleep(HOUR),
        3 => spin(),
        4 => exhaust_memory(),
        5..13 => fails_some = true,
        _ => {}
    }
    let (mut handled, mut failed) = (Vec::new(), Vec::new());
    for (place, record) in records(&event).iter().enumerate() {
        if fails_some && random(1).is_multiple_of(4) {
            failed.push(json!({ "itemIdentifier": format!("#{place}") }));
        } else {
            handled.extend(body(record).as_u64());
        }
    }
    print_handled(&handled);
    Ok(Some(json!({ "batchItemFailures": failed }).to_string()))
}

fn spin() {
    let mut number = random(2);
    while number > 0 {
        number = std::hint::black_box(number | 1);
    }
}

fn exhaust_memory() {
    let mut chunks = Vec::new();
    loop {
        chunks.push(std::hint::black_box(vec![1_u8; CHUNK]));
    }
}

handler!(unruly);
