//! Is done with every record but those whose body says `"fails": true`, and names these by their
//! positions, as AWS Lambda's batch item failures.

use gristmill_test_guests::{Answer, body, handler, records};
use serde_json::json;

fn name_failures(event: String) -> Answer {
    let records = records(&event);
    let failing = records.iter().enumerate().filter(|(_, record)| body(record)["fails"] == true);
    let failures: Vec<_> =
        failing.map(|(place, _)| json!({ "itemIdentifier": format!("#{place}") })).collect();
    Ok(Some(json!({ "batchItemFailures": failures }).to_string()))
}

handler!(name_failures);
