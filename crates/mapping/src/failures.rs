//! Which records of a batch a function wants again, by what its response says.
//!
//! The response is AWS Lambda's (developer guide, "Reporting batch item failures"):
//! `{"batchItemFailures":[{"itemIdentifier":"…"}]}`. An identifier `#N` is a record's position in the
//! event, counted from 0; any other is the id of the messages that it names. As in Lambda, no response
//! and an empty list mean that all is done, and a response that cannot be understood, or that names a
//! record which is not there, fails the whole batch.
//!
//! Pure. What must never happen: a record counts as done that the response names, or a response that
//! means nothing counts as success.

use std::collections::BTreeSet;

use serde_json::Value;

/// The positions of the records that are wanted again; `ids` are the messages' ids, by position.
///
/// # Errors
///
/// What is wrong with the response, for people.
pub(crate) fn failed_records(
    response: Option<&str>,
    ids: &[Option<&str>],
) -> Result<BTreeSet<usize>, String> {
    let Some(response) = response.filter(|response| !response.trim().is_empty()) else {
        return Ok(BTreeSet::new());
    };
    let response: Value = serde_json::from_str(response)
        .map_err(|error| format!("the response is not JSON ({error})"))?;
    let failures = match &response {
        Value::Null => return Ok(BTreeSet::new()),
        Value::Object(fields) => fields.get(LIST).unwrap_or(&Value::Null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err(format!("the response is not an object with the key `{LIST}`"));
        }
    };
    let failures = match failures {
        Value::Null => return Ok(BTreeSet::new()),
        Value::Array(failures) => failures,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            return Err(format!("the response's `{LIST}` is not a list"));
        }
    };
    let mut failed = BTreeSet::new();
    for failure in failures {
        let identifier = failure.get(IDENTIFIER).and_then(Value::as_str);
        let identifier = identifier.filter(|identifier| !identifier.is_empty());
        let identifier = identifier.ok_or_else(|| {
            format!("an entry of the response's `{LIST}` has no string `{IDENTIFIER}`")
        })?;
        let is_named = |(place, id): &(usize, &Option<&str>)| match position(identifier) {
            Some(position) => *place == position,
            None => **id == Some(identifier),
        };
        let named = ids.iter().enumerate().filter(is_named);
        let named: Vec<usize> = named.map(|(place, _)| place).collect();
        if named.is_empty() {
            return Err(format!("the response names a record that is not there: {identifier:?}"));
        }
        failed.extend(named);
    }
    Ok(failed)
}

const LIST: &str = "batchItemFailures";
const IDENTIFIER: &str = "itemIdentifier";

/// What `#N` says; what is no number is an id like any other.
fn position(identifier: &str) -> Option<usize> {
    let digits = identifier.strip_prefix('#')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // One that is too large for a place is none of these.
    is_number.then(|| digits.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const IDS: [Option<&str>; 5] = [Some("a"), None, Some("b"), Some("a"), Some("#1")];

    fn failed(response: &str) -> Result<Vec<usize>, String> {
        failed_records(Some(response), &IDS).map(|failed| failed.into_iter().collect())
    }

    fn naming(identifiers: &[&str]) -> String {
        let failures = identifiers.iter().map(|id| json!({ "itemIdentifier": id }));
        json!({ "batchItemFailures": failures.collect::<Vec<_>>() }).to_string()
    }

    #[test]
    fn nothing_said_is_all_done() {
        assert_eq!(failed_records(None, &IDS), Ok(BTreeSet::new()));
        for response in ["", " ", "null", "{}", r#"{"batchItemFailures":null}"#, &naming(&[])] {
            assert_eq!(failed(response), Ok(Vec::new()), "{response}");
        }
    }

    #[test]
    fn records_are_named_by_position_or_by_id() {
        assert_eq!(failed(&naming(&["#0", "#4"])), Ok(vec![0, 4]));
        assert_eq!(failed(&naming(&["b"])), Ok(vec![2]));
        // Several messages may have one id, and a record may be named twice.
        assert_eq!(failed(&naming(&["a", "#0", "a"])), Ok(vec![0, 3]));
        // What looks like a position is one, whatever ids there are.
        assert_eq!(failed(&naming(&["#1"])), Ok(vec![1]));
        assert_eq!(failed(&naming(&["#00"])), Ok(vec![0]));
    }

    #[test]
    fn what_names_nothing_or_means_nothing_fails_the_batch() {
        for response in [
            &*naming(&["#5"]),
            &naming(&["#99999999999999999999999"]),
            &naming(&["#"]),
            &naming(&["#-1"]),
            &naming(&["c"]),
            &naming(&["a", "c"]),
            &naming(&[""]),
            "not JSON",
            "[]",
            "7",
            "\"a\"",
            r#"{"batchItemFailures":{}}"#,
            r#"{"batchItemFailures":["a"]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":0}]}"#,
            r#"{"batchItemFailures":[{}]}"#,
        ] {
            assert!(failed(response).is_err(), "{response}");
        }
    }

    proptest! {
        #[test]
        fn every_record_that_is_named_is_wanted_again(
            ids in prop::collection::vec(prop::option::of("[ab#0-3]{1,2}"), 1..8),
            picked in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..6),
        ) {
            let mut identifiers = Vec::new();
            let mut expected = BTreeSet::new();
            for (index, by_id) in picked {
                let place = index.index(ids.len());
                match ids[place].as_deref().filter(|id| by_id && position(id).is_none()) {
                    Some(id) => {
                        identifiers.push(id.to_owned());
                        let same = (0..ids.len()).filter(|other| ids[*other].as_deref() == Some(id));
                        expected.extend(same);
                    }
                    None => {
                        identifiers.push(format!("#{place}"));
                        expected.insert(place);
                    }
                }
            }
            let response = naming(&identifiers.iter().map(String::as_str).collect::<Vec<_>>());
            let ids: Vec<_> = ids.iter().map(Option::as_deref).collect();
            prop_assert_eq!(failed_records(Some(&response), &ids), Ok(expected));
        }

        #[test]
        fn no_response_panics(response in any::<String>()) {
            drop(failed(&response));
        }
    }
}
