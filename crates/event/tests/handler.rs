//! Everything that the encoder writes, read by the crate that handlers are written with.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a helper's panic fails its test")]

use gristmill_event::{BasicProperties, Envelope, HeaderTable, HeaderValue, Message};
use gristmill_handler::{
    Event, HeaderValue as ReadValue, Headers, RabbitMqRecord, Record, RecordSource,
};
use proptest::prelude::*;

mod arbitrary;

fn of_rabbitmq<'e>(record: &Record<'e>) -> &'e RabbitMqRecord<'e> {
    match record.source() {
        RecordSource::RabbitMq(record) => record,
        RecordSource::ActiveMq(_) => panic!("a record of RabbitMQ"),
    }
}

/// Whether a header is read as what was sent, as far as the event can tell it.
fn is_same(sent: &HeaderValue, read: &ReadValue<'_>) -> bool {
    let is_number = |number: f64| *read == ReadValue::Number(number);
    match sent {
        HeaderValue::Boolean(value) => *read == ReadValue::Boolean(*value),
        HeaderValue::Integer(value) => *read == ReadValue::Integer(*value),
        HeaderValue::Float(value) if value.is_finite() => {
            // Not `Display`: of two shortest texts at the same distance it takes the other one.
            is_number(serde_json::to_string(value).unwrap().parse().unwrap())
        }
        HeaderValue::Double(value) if value.is_finite() => is_number(*value),
        HeaderValue::Float(_) | HeaderValue::Double(_) | HeaderValue::Void => {
            *read == ReadValue::Null
        }
        HeaderValue::Decimal { scale: 0, value } => *read == ReadValue::Integer(i64::from(*value)),
        HeaderValue::Decimal { scale, value } => {
            is_number(format!("{value}e-{scale}").parse().unwrap())
        }
        HeaderValue::LongString(bytes) => *read == ReadValue::LongString(bytes.clone()),
        HeaderValue::ByteArray(bytes) if bytes.is_empty() => *read == ReadValue::Array(Vec::new()),
        HeaderValue::ByteArray(bytes) => *read == ReadValue::ByteArray(bytes.clone()),
        HeaderValue::Timestamp(seconds) => {
            matches!(read, ReadValue::Date(date) if date.unix_seconds() == Some(*seconds))
        }
        HeaderValue::Table(sent) => {
            matches!(read, ReadValue::Table(read) if is_same_table(sent, read))
        }
        HeaderValue::Array(sent) => {
            let Some(read) = read.elements() else { return false };
            sent.len() == read.len() && sent.iter().zip(read.iter()).all(|(s, r)| is_same(s, r))
        }
    }
}

fn is_same_table(sent: &HeaderTable, read: &Headers<'_>) -> bool {
    sent.len() == read.len()
        && sent.iter().zip(read.iter()).all(|((sent_name, sent), (read_name, read))| {
            sent_name == read_name && is_same(sent, read)
        })
}

#[track_caller]
fn check(sent: &Message, record: &Record<'_>) {
    let read = of_rabbitmq(record);
    assert_eq!(record.data().unwrap(), sent.body);
    assert_eq!(record.redelivered(), sent.redelivered);
    assert_eq!(record.message_id(), sent.properties.message_id.as_deref());
    let BasicProperties {
        content_type,
        content_encoding,
        headers,
        delivery_mode,
        priority,
        correlation_id,
        reply_to,
        expiration,
        message_id,
        timestamp,
        kind,
        user_id,
        app_id,
        cluster_id,
    } = &sent.properties;
    let read = &read.basic_properties;
    for (sent, read) in [
        (content_type, &read.content_type),
        (content_encoding, &read.content_encoding),
        (correlation_id, &read.correlation_id),
        (reply_to, &read.reply_to),
        (expiration, &read.expiration),
        (message_id, &read.message_id),
        (kind, &read.kind),
        (user_id, &read.user_id),
        (app_id, &read.app_id),
        (cluster_id, &read.cluster_id),
    ] {
        assert_eq!(sent.as_deref(), read.as_deref());
    }
    assert_eq!((*delivery_mode, *priority), (read.delivery_mode, read.priority));
    let seconds = read.timestamp.as_ref().map(|date| date.unix_seconds().unwrap());
    assert_eq!(*timestamp, seconds);
    assert_eq!(read.body_size, Some(sent.body.len() as u64));
    match (headers, &read.headers) {
        (None, None) => {}
        (Some(sent), Some(read)) => assert!(is_same_table(sent, read), "{sent:?} is not {read:?}"),
        (sent, read) => panic!("{sent:?} is not {read:?}"),
    }
}

proptest! {
    #[test]
    fn what_is_sent_is_what_is_read(
        messages in prop::collection::vec(arbitrary::message(), 0..4),
        names in prop::array::uniform3(arbitrary::text()),
    ) {
        let [arn, queue, virtual_host] = names;
        let text = Envelope::rabbitmq(&arn, &queue, &virtual_host).encode(&messages, 0);
        let event = Event::parse(&text).unwrap();
        prop_assert_eq!(event.event_source_arn(), Some(arn.as_str()));
        let records: Vec<_> = event.records().collect();
        prop_assert_eq!(records.len(), messages.len());
        let key = format!("{queue}::{virtual_host}");
        for (position, (sent, record)) in messages.iter().zip(&records).enumerate() {
            prop_assert_eq!((record.position(), record.queue()), (position, key.as_str()));
            check(sent, record);
        }
    }
}

#[test]
fn the_deepest_headers_are_read() {
    let innermost = HeaderValue::Array(Vec::new());
    let nested = (1..1_000).fold(innermost, |inner, _| HeaderValue::Array(vec![inner]));
    let headers = Some(vec![("deep".to_owned(), nested)]);
    let properties = BasicProperties { headers, ..BasicProperties::default() };
    let message = Message { properties, ..Message::default() };
    let text = Envelope::rabbitmq("arn", "q", "/").encode([&message], 0);
    assert_eq!(Event::parse(&text).unwrap().records().count(), 1);
}
