//! Which records of a batch a function wants again, by what its response says.
//!
//! The response is AWS Lambda's (developer guide, "Reporting batch item failures"):
//! `{"batchItemFailures":[{"itemIdentifier":"…"}]}`. An identifier `#N` is a record's position in the
//! event, counted from 0; any other is the id of the messages that it names. As in Lambda, no response
//! and an empty list mean that all is done, and a response that cannot be understood, or that names a
//! record which is not there, fails the whole batch.
//!
//! Pure. What must never happen: a record counts as done that the response names, a response that means
//! nothing counts as success, or reading one takes more memory or time than its length warrants: it is
//! a stranger's, and neither fuel nor the memory's cap holds here.

use std::collections::{BTreeSet, HashMap};
use std::{fmt, mem};

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};

/// So many characters of an identifier that names nothing are repeated.
const SHOWN_CHARS_MAX: usize = 100;

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
    let mut named = Named { ids, places: None, failed: BTreeSet::new() };
    let mut deserializer = serde_json::Deserializer::from_str(response);
    let part = Part { level: Level::Response, named: &mut named };
    let read = part.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    match read {
        Ok(()) => Ok(named.failed),
        Err(error) if error.is_data() => Err(format!("the response is wrong: {error}")),
        Err(error) => Err(format!("the response is not JSON ({error})")),
    }
}

/// The records of a batch, and which of them are named.
struct Named<'a> {
    ids: &'a [Option<&'a str>],
    /// Where the messages with an id are, once a record is named by one.
    places: Option<HashMap<&'a str, Vec<usize>>>,
    failed: BTreeSet<usize>,
}

impl Named<'_> {
    /// Whether there is such a record.
    fn name(&mut self, identifier: &str) -> bool {
        let Self { ids, places, failed } = self;
        if let Some(place) = position(identifier) {
            failed.extend((place < ids.len()).then_some(place));
            return place < ids.len();
        }
        let places = places.get_or_insert_with(|| {
            let mut places: HashMap<_, Vec<_>> = HashMap::new();
            for (place, id) in ids.iter().enumerate() {
                if let Some(id) = *id {
                    places.entry(id).or_default().push(place);
                }
            }
            places
        });
        // Named again, they are in the set already.
        let Some(same) = places.get_mut(identifier).map(mem::take) else { return false };
        failed.extend(same);
        true
    }
}

/// What part of a response is read.
#[derive(Clone, Copy)]
enum Level {
    Response,
    List,
    Entry,
    Identifier,
}

#[derive(PartialEq, Deserialize)]
#[serde(field_identifier)]
enum Key {
    #[serde(rename = "batchItemFailures")]
    List,
    #[serde(rename = "itemIdentifier")]
    Identifier,
    #[serde(other)]
    Other,
}

/// Reads a part of a response and keeps nothing of it but which records it names.
struct Part<'p, 'a> {
    level: Level,
    named: &'p mut Named<'a>,
}

impl<'a> Part<'_, 'a> {
    fn deeper(&mut self, level: Level) -> Part<'_, 'a> {
        Part { level, named: self.named }
    }
}
impl<'de> DeserializeSeed<'de> for Part<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.level {
            Level::Response => "an object with the key `batchItemFailures`",
            Level::List => "a list in `batchItemFailures`",
            Level::Entry => "an object with the key `itemIdentifier`",
            Level::Identifier => "a string in `itemIdentifier` that is not empty",
        })
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self.level {
            Level::Response | Level::List => Ok(()),
            Level::Entry | Level::Identifier => Err(E::invalid_type(Unexpected::Unit, &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let (sought, level) = match self.level {
            Level::Response => (Key::List, Level::List),
            Level::Entry => (Key::Identifier, Level::Identifier),
            Level::List | Level::Identifier => {
                return Err(A::Error::invalid_type(Unexpected::Map, &self));
            }
        };
        let mut is_found = false;
        while let Some(key) = map.next_key::<Key>()? {
            if key == sought {
                is_found = true;
                map.next_value_seed(self.deeper(level))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        match self.level {
            Level::Entry if !is_found => Err(A::Error::missing_field("itemIdentifier")),
            Level::Response | Level::List | Level::Entry | Level::Identifier => Ok(()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        match self.level {
            Level::List => {
                while list.next_element_seed(self.deeper(Level::Entry))?.is_some() {}
                Ok(())
            }
            Level::Response | Level::Entry | Level::Identifier => {
                Err(A::Error::invalid_type(Unexpected::Seq, &self))
            }
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.level {
            Level::Identifier if text.is_empty() => {
                Err(E::invalid_value(Unexpected::Str(text), &self))
            }
            Level::Identifier if self.named.name(text) => Ok(()),
            Level::Identifier => {
                let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
                Err(E::custom(format_args!("it names a record that is not there: {shown:?}")))
            }
            // Whoever reads this needs not read all of it.
            Level::Response | Level::List | Level::Entry => {
                Err(E::invalid_type(Unexpected::Other("a string"), &self))
            }
        }
    }
}

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
            r#"{"batchItemFailures":[null]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":{}}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"a","itemIdentifier":"c"}]}"#,
            r#"{"batchItemFailures":[]}}"#,
        ] {
            assert!(failed(response).is_err(), "{response}");
        }
    }

    #[test]
    fn however_often_many_are_named_it_takes_no_longer() {
        let ids = vec![Some("a"); 10_000];
        let response = naming(&vec!["a"; 100_000]);
        assert_eq!(failed_records(Some(&response), &ids).unwrap().len(), 10_000);
    }

    #[test]
    fn what_is_said_twice_counts_twice() {
        let list =
            |id: &str| format!(r#""batchItemFailures":[{{"more":[1],"itemIdentifier":"{id}"}}]"#);
        let response = format!("{{{},\"more\":{{}},{}}}", list("a"), list("b"));
        assert_eq!(failed(&response), Ok(vec![0, 2, 3]));
    }

    #[test]
    fn whoever_reads_what_is_wrong_is_told_enough() {
        let told = |response: &str| failed(response).unwrap_err();
        assert_eq!(
            told(&naming(&["a", "c"])),
            "the response is wrong: it names a record that is not there: \"c\" at line 1 column 66"
        );
        assert_eq!(
            told("[]"),
            "the response is wrong: invalid type: sequence, expected an object with the key \
             `batchItemFailures` at line 1 column 2"
        );
        assert_eq!(
            told("{"),
            "the response is not JSON (EOF while parsing an object at line 1 column 1)"
        );
        let long = "\u{7f}".repeat(100_000);
        for response in [
            naming(&[&long]),
            format!("\"{long}\""),
            naming(&[""]).replace("[{", &format!("[{{\"{long}\":1,")),
        ] {
            assert!(told(&response).len() < 1_000, "{}", told(&response).len());
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
