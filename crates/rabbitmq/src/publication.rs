//! What is published of a message that was given up: as it came, but for what would lose it or send it
//! elsewhere.
//!
//! - It is persistent, because a transient message does not outlive a restart of the broker.
//! - It has no `expiration`: a dead letter must not vanish, and what is replayed somebody wants handled.
//! - It has no `user_id` but the login's own: RabbitMQ refuses any other ("Validated User-ID"), and with it
//!   all that is published on the channel.
//! - It has no headers `CC` and `BCC`, by which RabbitMQ would put copies on other queues ("Sender-Selected
//!   Distribution").
//! - It has none of the broker's counters, `x-delivery-count` and `x-acquired-count`: a queue that does not
//!   count passes on what a publisher writes there, and it would be believed.
//!
//! A dead letter says in headers of its own why it is one, and what was taken out. All of a message's
//! properties have to fit into one frame (AMQP 0-9-1, 4.2.6.1), so ours stay out where they do not fit.
//!
//! What must never happen: a message that cannot be put on a queue because of what we say about it.

use gristmill_broker::letter_headers::{CONDITION, ORIGINAL_EXPIRATION, RECORD, say};
use gristmill_broker::{DeadLetter, KeepError, Original};
use gristmill_event::BasicProperties;

use crate::original::{self, Parts};
use crate::translate;

const ORIGINAL_USER_ID: &str = "gristmill-original-user-id";

/// Headers that are not published again. RabbitMQ reads them by these very letters.
const TAKEN_OUT: [&str; 4] = ["CC", "BCC", "x-delivery-count", "x-acquired-count"];

/// What an earlier dead letter said, which is not true of the next.
const SAID_BEFORE: [&str; 2] = [CONDITION, RECORD];

/// `delivery_mode` of a message that outlives a restart.
const PERSISTENT: u8 = 2;

/// What the frame of a content header has beside the property list: type, channel and size, class, weight
/// and body size, and the end (AMQP 0-9-1, 4.2.3 and 4.2.6.1).
const FRAME_BYTES: usize = (1 + 2 + 4) + (2 + 2 + 8) + 1;

/// What a connection lets pass.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// The largest frame.
    pub(crate) frame_bytes_max: usize,
    /// Whose `user_id` a message may have.
    pub(crate) username: String,
}

/// A message that is to be published.
#[derive(Debug)]
pub(crate) struct Publication<'a> {
    parts: Parts<'a>,
    letter: Option<&'a DeadLetter>,
}

/// What is said about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    All,
    WithoutRecord,
    Nothing,
}

impl<'a> Publication<'a> {
    /// A message that goes back to its queue; nothing is said about it.
    pub(crate) fn again(original: &'a Original, queue: &str) -> Result<Self, KeepError> {
        Ok(Self { parts: read(original, queue)?, letter: None })
    }

    /// A message that becomes a dead letter.
    pub(crate) fn dead(letter: &'a DeadLetter, queue: &str) -> Result<Self, KeepError> {
        Ok(Self { parts: read(&letter.original, queue)?, letter: Some(letter) })
    }

    /// Its properties, with as much about it as fits into a frame, and its body.
    pub(crate) fn fitting(
        &self,
        terms: &Terms,
        queue: &str,
    ) -> Result<(lapin::BasicProperties, &'a [u8]), KeepError> {
        for said in [Said::All, Said::WithoutRecord, Said::Nothing] {
            let properties = translate::back::properties(&self.properties(said, &terms.username));
            let properties = properties.map_err(|error| unsendable(queue, error.to_string()))?;
            let list = original::property_list(&properties);
            if list.is_some_and(|list| list.len() + FRAME_BYTES <= terms.frame_bytes_max) {
                return Ok((properties, self.parts.body));
            }
        }
        let most = terms.frame_bytes_max;
        Err(unsendable(queue, format!("its properties do not fit into a frame of {most} bytes")))
    }

    fn properties(&self, said: Said, username: &str) -> BasicProperties {
        let mut properties = self.parts.properties.clone();
        properties.delivery_mode = Some(PERSISTENT);
        let expiration = properties.expiration.take();
        let user_id = properties.user_id.take_if(|user_id| user_id != username);
        if let Some(headers) = &mut properties.headers {
            let is_dead = self.letter.is_some();
            headers.retain(|(name, _)| {
                let is_said = is_dead && SAID_BEFORE.contains(&name.as_str());
                !is_said && !TAKEN_OUT.contains(&name.as_str())
            });
        }
        if let Some(letter) = self.letter.filter(|_| said != Said::Nothing) {
            let headers = properties.headers.get_or_insert_default();
            say(headers, CONDITION, letter.condition);
            if let Some(expiration) = expiration {
                say(headers, ORIGINAL_EXPIRATION, &expiration);
            }
            if let Some(user_id) = user_id {
                say(headers, ORIGINAL_USER_ID, &user_id);
            }
            if said == Said::All {
                say(headers, RECORD, &letter.record);
            }
        }
        properties
    }
}

fn read<'a>(original: &'a Original, queue: &str) -> Result<Parts<'a>, KeepError> {
    original::read(original).map_err(|unreadable| unsendable(queue, unreadable.to_string()))
}

fn unsendable(queue: &str, reason: String) -> KeepError {
    KeepError::Unsendable { queue: queue.to_owned(), reason }
}

#[cfg(test)]
mod tests;
