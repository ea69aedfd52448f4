//! Everything that the encoder writes, read by the crate that handlers are written with.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a helper's panic fails its test")]

use gristmill_event::{
    ActiveMqMessage, BasicProperties, Envelope, HeaderInteger, HeaderTable, HeaderValue, Message,
    MessageType, Profile, PropertyValue, RabbitMqMessage,
};
use gristmill_handler as read;
use gristmill_handler::{
    Event, HeaderValue as ReadValue, Headers, RabbitMqRecord, Record, RecordSource,
};
use proptest::prelude::*;

#[path = "arbitrary/activemq.rs"]
mod activemq;
#[path = "arbitrary/rabbitmq.rs"]
mod rabbitmq;

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
        HeaderValue::Integer(value) => *read == ReadValue::Integer((*value).into()),
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
fn check(sent: &RabbitMqMessage, record: &Record<'_>) {
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

/// What an event shows of a text that can be absent: an empty one and none are the same in one of
/// the profiles, and for the reader in both.
fn unless_empty(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

#[track_caller]
fn check_activemq(sent: &ActiveMqMessage, record: &Record<'_>) {
    let RecordSource::ActiveMq(read) = record.source() else { panic!("a record of ActiveMQ") };
    assert_eq!(record.data().unwrap(), sent.body);
    assert_eq!(record.redelivered(), sent.redelivered);
    let message_type = match sent.message_type {
        MessageType::Text => read::MessageType::Text,
        MessageType::Bytes => read::MessageType::Bytes,
    };
    assert_eq!(read.message_type, Some(message_type));
    assert_eq!(read.delivery_mode, Some(if sent.persistent { 2 } else { 1 }));
    assert_eq!(read.priority, Some(sent.priority));
    assert_eq!(read.expiration, Some(sent.expiration));
    let address = unless_empty(sent.reply_to.as_deref()).filter(|text| *text != "null");
    for (sent, read) in [
        (unless_empty(Some(&sent.message_id)), &read.message_id),
        (address, &read.reply_to),
        (unless_empty(sent.kind.as_deref()), &read.kind),
        (unless_empty(sent.correlation_id.as_deref()), &read.correlation_id),
        (unless_empty(Some(&sent.destination)), &read.destination),
    ] {
        assert_eq!(sent, read.as_deref());
    }
    for (sent, read) in [
        (sent.timestamp, read.timestamp),
        (sent.broker_in_time, read.broker_in_time),
        (sent.broker_out_time, read.broker_out_time),
    ] {
        assert_eq!(Some(sent), read);
    }
    let properties: Vec<_> =
        sent.properties.iter().filter(|(_, value)| *value != PropertyValue::Null).collect();
    assert_eq!(properties.len(), read.properties.len());
    for ((name, value), (read_name, read)) in properties.into_iter().zip(read.properties.iter()) {
        assert_eq!(name, read_name);
        match value {
            PropertyValue::Boolean(value) => assert_eq!(read.parse(), Ok(*value)),
            PropertyValue::Integer(value) => assert_eq!(read.parse(), Ok(*value)),
            PropertyValue::Float(value) if !value.is_nan() => assert_eq!(read.parse(), Ok(*value)),
            PropertyValue::Double(value) if !value.is_nan() => assert_eq!(read.parse(), Ok(*value)),
            PropertyValue::String(value) => assert_eq!(read, value),
            PropertyValue::Float(_) | PropertyValue::Double(_) => assert_eq!(read, "NaN"),
            PropertyValue::Null => {}
        }
    }
}

proptest! {
    #[test]
    fn what_is_sent_from_activemq_is_what_is_read(
        messages in prop::collection::vec(activemq::message(), 0..4),
    ) {
        for profile in [Profile::Documented, Profile::Observed] {
            let sent: Vec<_> = messages.iter().cloned().map(Message::from).collect();
            let text = Envelope::activemq("arn", profile).encode(&sent, 0);
            let event = Event::parse(&text).unwrap();
            prop_assert_eq!(event.event_source_arn(), Some("arn"));
            prop_assert_eq!(event.records().count(), messages.len());
            for (sent, record) in messages.iter().zip(event.records()) {
                check_activemq(sent, &record);
            }
        }
    }

    #[test]
    fn what_is_sent_is_what_is_read(
        messages in prop::collection::vec(rabbitmq::message(), 0..4),
        names in prop::array::uniform3(rabbitmq::text()),
    ) {
        let [arn, queue, virtual_host] = names;
        let sent: Vec<_> = messages.iter().cloned().map(Message::from).collect();
        let text = Envelope::rabbitmq(&arn, &queue, &virtual_host).encode(&sent, 0);
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
    let message = RabbitMqMessage { properties, ..RabbitMqMessage::default() };
    let text = Envelope::rabbitmq("arn", "q", "/").encode([&message.into()], 0);
    assert_eq!(Event::parse(&text).unwrap().records().count(), 1);
}
