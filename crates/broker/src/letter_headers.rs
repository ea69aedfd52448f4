//! The headers of a dead letter on a queue whose messages have AMQP's headers.

use gristmill_event::{HeaderTable, HeaderValue};

/// Why it was given up, in a word.
pub const CONDITION: &str = "gristmill-condition";
/// Lambda's invocation record.
pub const RECORD: &str = "gristmill-invocation-record";
/// The `expiration` that it had.
pub const ORIGINAL_EXPIRATION: &str = "gristmill-original-expiration";

/// Sets a header, in place of one that is there from an earlier time.
pub fn say(headers: &mut HeaderTable, name: &str, text: &str) {
    headers.retain(|(given, _)| given != name);
    headers.push((name.to_owned(), HeaderValue::LongString(text.into())));
}
