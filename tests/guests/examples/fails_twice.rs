//! The plugin order-totals, but a batch with an order that says `"fail_twice": true` fails the first
//! two times: an instance outlives an error, and a retry is the same batch.

use std::collections::HashMap;
use std::sync::Mutex;

use gristmill_test_guests::{Answer, body, handler, records};

#[path = "../../../plugins/order-totals/src/totals.rs"]
mod totals;

/// How often each batch failed. A batch is known by its event, which a retry repeats to the byte.
static FAILURES: Mutex<Option<HashMap<String, u32>>> = Mutex::new(None);

fn fail_twice(event: String) -> Answer {
    let totals = totals::sum(&event)?;
    if records(&event).iter().any(|record| body(record)["fail_twice"] == true) {
        let mut failures = FAILURES.lock().map_err(|error| error.to_string())?;
        let failures = failures.get_or_insert_default().entry(event).or_default();
        if *failures < 2 {
            *failures += 1;
            return Err("the warehouse does not answer".to_owned());
        }
    }
    println!("{totals}");
    Ok(Some(totals.to_json()))
}

handler!(fail_twice);
