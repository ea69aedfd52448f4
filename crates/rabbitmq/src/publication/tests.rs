//! What fits into a frame, to the byte.

use gristmill_broker::{Disposition, StopCode};
use gristmill_event::{HeaderValue, RabbitMqMessage};

use super::*;

const QUEUE: &str = "dead";

/// A message whose property list, made persistent, has this many bytes.
fn original(list_bytes: usize) -> Original {
    let list = |bytes: usize| {
        let headers = vec![("h".to_owned(), HeaderValue::LongString(vec![b'x'; bytes]))];
        let properties = BasicProperties {
            headers: Some(headers),
            delivery_mode: Some(PERSISTENT),
            ..BasicProperties::default()
        };
        RabbitMqMessage { properties, redelivered: false, body: b"body".to_vec() }
    };
    let beside =
        original::property_list(&translate::back::properties(&list(0).properties).unwrap());
    original::write(&list(list_bytes - beside.unwrap().len())).unwrap()
}

fn letter(original: Original) -> DeadLetter {
    DeadLetter {
        original,
        message_id: None,
        condition: "GivenUpByFunction",
        cause: "GivenUpByFunction".to_owned(),
        record: "{}".to_owned(),
        given_up_at_ms: 0,
    }
}

fn headers(fitting: &lapin::BasicProperties) -> Vec<&str> {
    let headers = fitting.headers().as_ref().unwrap();
    headers.into_iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn what_is_said_gives_way_before_the_message_does() {
    let terms = Terms { frame_bytes_max: 4096, username: "u".to_owned() };
    // A name with its length, a type, and a text with its length.
    let condition = (1 + CONDITION.len()) + 1 + (4 + "GivenUpByFunction".len());
    let record = (1 + RECORD.len()) + 1 + (4 + "{}".len());
    let most = 4096 - FRAME_BYTES;
    let all = vec![CONDITION, RECORD, "h"];
    let cases = [
        (most - condition - record, all),
        (most - condition - record + 1, vec![CONDITION, "h"]),
        (most - condition, vec![CONDITION, "h"]),
        (most - condition + 1, vec!["h"]),
        (most, vec!["h"]),
    ];
    for (bytes, expected) in cases {
        let letter = letter(original(bytes));
        let publication = Publication::dead(&letter, QUEUE).unwrap();
        let (properties, body) = publication.fitting(&terms, QUEUE).unwrap();
        assert_eq!((headers(&properties), body), (expected, &b"body"[..]), "{bytes}");
        assert!(original::property_list(&properties).unwrap().len() <= most);
    }
    let larger = original(most + 1);
    let error = Publication::again(&larger, QUEUE).unwrap().fitting(&terms, QUEUE).unwrap_err();
    assert!(matches!(error, KeepError::Unsendable { .. }), "{error}");
    assert_eq!(error.disposition(), Disposition::Stop(StopCode::ConfigNotValid));
}

#[test]
fn only_the_logins_own_user_id_stays() {
    let properties =
        BasicProperties { user_id: Some("u".to_owned()), ..BasicProperties::default() };
    let message = RabbitMqMessage { properties, redelivered: true, body: Vec::new() };
    let letter = letter(original::write(&message).unwrap());
    let publication = Publication::dead(&letter, QUEUE).unwrap();
    let terms = |username: &str| Terms { frame_bytes_max: 4096, username: username.to_owned() };
    let (own, _) = publication.fitting(&terms("u"), QUEUE).unwrap();
    assert_eq!(own.user_id().as_ref().map(lapin::types::ShortString::as_str), Some("u"));
    assert_eq!(headers(&own), [CONDITION, RECORD]);
    let (other, _) = publication.fitting(&terms("v"), QUEUE).unwrap();
    assert_eq!(other.user_id(), &None);
    assert_eq!(headers(&other), [CONDITION, RECORD, ORIGINAL_USER_ID]);
}

#[test]
fn a_dead_letter_that_is_given_up_again_says_why_this_time() {
    let earlier = |name: &str| (name.to_owned(), HeaderValue::LongString(b"Earlier".to_vec()));
    let earlier = [CONDITION, RECORD, ORIGINAL_EXPIRATION].map(earlier).to_vec();
    let properties = BasicProperties { headers: Some(earlier), ..BasicProperties::default() };
    let message = RabbitMqMessage { properties, redelivered: false, body: Vec::new() };
    let letter = letter(original::write(&message).unwrap());
    let publication = Publication::dead(&letter, QUEUE).unwrap();
    let said = publication.properties(Said::WithoutRecord, "u").headers.unwrap();
    let text = |text: &str| HeaderValue::LongString(text.into());
    let expiration = (ORIGINAL_EXPIRATION.to_owned(), text("Earlier"));
    assert_eq!(said, [expiration, (CONDITION.to_owned(), text("GivenUpByFunction"))]);
}
