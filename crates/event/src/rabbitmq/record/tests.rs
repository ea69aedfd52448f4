//! Records of arbitrary messages against a JSON value that is built another way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::HeaderInteger;
use super::*;
use crate::sink::Count;
use crate::{Envelope, Message};

/// Lies with the tests of the crate, of which one uses it too.
#[path = "../../../tests/arbitrary/rabbitmq.rs"]
mod arbitrary;

fn date_value(seconds: u64) -> Value {
    let mut text = String::new();
    date::write(&mut text, seconds);
    Value::String(text)
}

fn number_value(text: &str) -> Value {
    json!(text.parse::<f64>().unwrap())
}

fn signed_value(bytes: &[u8]) -> Value {
    let signed = |byte: u8| match i16::from(byte) {
        byte @ 0..128 => byte,
        byte => byte.wrapping_sub(256),
    };
    bytes.iter().map(|&byte| json!(signed(byte))).collect()
}

fn table_value(table: &HeaderTable) -> Value {
    table.iter().map(|(name, value)| (name.clone(), header(value))).collect::<Map<_, _>>().into()
}

fn header(value: &HeaderValue) -> Value {
    match value {
        HeaderValue::Boolean(value) => json!(value),
        HeaderValue::Integer(value) => json!(i64::from(*value)),
        // Not `Display`: of two shortest texts at the same distance it takes the other one.
        HeaderValue::Float(value) if value.is_finite() => {
            number_value(&serde_json::to_string(value).unwrap())
        }
        HeaderValue::Double(value) if value.is_finite() => json!(value),
        HeaderValue::Float(_) | HeaderValue::Double(_) | HeaderValue::Void => Value::Null,
        HeaderValue::Decimal { scale: 0, value } => json!(value),
        HeaderValue::Decimal { scale, value } => number_value(&format!("{value}e-{scale}")),
        HeaderValue::LongString(bytes) => json!({ "bytes": signed_value(bytes) }),
        HeaderValue::ByteArray(bytes) => signed_value(bytes),
        HeaderValue::Timestamp(seconds) => date_value(*seconds),
        HeaderValue::Table(table) => table_value(table),
        HeaderValue::Array(values) => values.iter().map(header).collect(),
    }
}

fn record_value(message: &RabbitMqMessage) -> Value {
    let properties = &message.properties;
    json!({
        "basicProperties": {
            "contentType": properties.content_type,
            "contentEncoding": properties.content_encoding,
            "headers": properties.headers.as_ref().map(table_value),
            "deliveryMode": properties.delivery_mode,
            "priority": properties.priority,
            "correlationId": properties.correlation_id,
            "replyTo": properties.reply_to,
            "expiration": properties.expiration,
            "messageId": properties.message_id,
            "timestamp": properties.timestamp.map(date_value),
            "type": properties.kind,
            "userId": properties.user_id,
            "appId": properties.app_id,
            "clusterId": properties.cluster_id,
            "bodySize": message.body.len(),
        },
        "redelivered": message.redelivered,
        "data": STANDARD.encode(&message.body),
    })
}

fn record_bytes(message: &RabbitMqMessage) -> usize {
    let mut count = Count::default();
    write(&mut count, message);
    count.bytes()
}

fn text_of(message: &RabbitMqMessage) -> String {
    let mut text = String::new();
    write(&mut text, message);
    text
}

fn with_header(value: HeaderValue) -> RabbitMqMessage {
    let headers = Some(vec![("name".to_owned(), value)]);
    RabbitMqMessage {
        properties: BasicProperties { headers, ..BasicProperties::default() },
        ..RabbitMqMessage::default()
    }
}

fn header_text(value: HeaderValue) -> String {
    let mut text = String::new();
    header_value(&mut text, &value, HEADER_LEVELS_MAX);
    text
}

/// So many arrays, one inside another.
fn nested_arrays(count: usize) -> HeaderValue {
    let innermost = HeaderValue::Array(Vec::new());
    (1..count).fold(innermost, |inner, _| HeaderValue::Array(vec![inner]))
}

proptest! {
    #[test]
    fn a_float_is_read_back_as_itself(value in prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL) {
        let text = header_text(HeaderValue::Float(value));
        prop_assert_eq!(text.parse::<f32>(), Ok(value));
    }

    #[test]
    fn a_record_is_as_long_as_it_was_said_to_be_and_says_the_same(message in arbitrary::message()) {
        let text = text_of(&message);
        prop_assert_eq!(record_bytes(&message), text.len());
        let parsed: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(parsed, record_value(&message));
    }

    #[test]
    fn an_event_is_as_long_as_it_was_said_to_be_and_keeps_the_order(
        messages in prop::collection::vec(arbitrary::message(), 0..4),
        names in prop::array::uniform3(arbitrary::text()),
    ) {
        let [arn, queue, virtual_host] = names;
        let envelope = Envelope::rabbitmq(&arn, &queue, &virtual_host);
        let records: Vec<Value> = messages.iter().map(record_value).collect();
        let messages: Vec<_> = messages.into_iter().map(Message::from).collect();
        let records_bytes =
            messages.iter().map(|message| envelope.record_bytes(message)).sum();
        let event_bytes = envelope.event_bytes(messages.len(), records_bytes);
        let event = envelope.encode(&messages, event_bytes);
        prop_assert_eq!(event.len(), event_bytes);
        prop_assert_eq!(event.capacity(), event_bytes);

        let parsed: Value = serde_json::from_str(&event).unwrap();
        prop_assert_eq!(parsed, json!({
            "eventSource": "aws:rmq",
            "eventSourceArn": arn,
            "rmqMessagesByQueue": { format!("{queue}::{virtual_host}"): records },
        }));
    }
}

#[test]
fn floats_are_spelled_for_their_own_width() {
    assert_eq!(header_text(HeaderValue::Float(1.1)), "1.1");
    assert_eq!(header_text(HeaderValue::Double(1.1)), "1.1");
    assert_eq!(header_text(HeaderValue::Double(1e300)), "1e+300");
    assert_eq!(header_text(HeaderValue::Double(5e-324)), "5e-324");
    assert_eq!(header_text(HeaderValue::Float(-0.0)), "-0.0");
    assert_eq!(header_text(HeaderValue::Float(f32::NAN)), "null");
    assert_eq!(header_text(HeaderValue::Double(f64::NEG_INFINITY)), "null");
}

#[test]
fn decimals_are_exact() {
    let decimal = |scale, value| header_text(HeaderValue::Decimal { scale, value });
    assert_eq!(decimal(0, -7), "-7");
    assert_eq!(decimal(2, 12_345), "123.45");
    assert_eq!(decimal(2, 100), "1.00");
    assert_eq!(decimal(2, -5), "-0.05");
    assert_eq!(decimal(2, 0), "0.00");
    assert_eq!(decimal(10, i32::MIN), "-0.2147483648");
    assert_eq!(decimal(6, 1), "0.000001");
    assert_eq!(decimal(7, 1), "1e-7");
    assert_eq!(decimal(255, i32::MAX), "2147483647e-255");
}

#[test]
fn nesting_beyond_the_bound_is_null() {
    let (open, close) = ("[".repeat(64), "]".repeat(64));
    assert_eq!(header_text(nested_arrays(64)), format!("{open}{close}"));
    assert_eq!(header_text(nested_arrays(65)), format!("{open}null{close}"));
}

#[test]
fn hostile_nesting_still_makes_a_record_that_parses() {
    let message = with_header(nested_arrays(1_000));
    let text = text_of(&message);
    assert_eq!(record_bytes(&message), text.len());
    assert!(serde_json::from_str::<Value>(&text).is_ok());
}

#[test]
fn a_printed_message_does_not_show_its_body() {
    let message = RabbitMqMessage { body: b"secret".to_vec(), ..RabbitMqMessage::default() };
    let printed = format!("{message:?}");
    assert!(printed.contains("body_bytes: 6"), "{printed}");
    assert!(!printed.contains("115"), "{printed}");
}
