//! Events against files, made without the encoder, that say what a handler must receive.
//!
//! Each case makes messages in Rust and has its event in `golden/NAME.json`. Files and events are
//! compared as JSON, so that a file may be laid out to be read; what a parser could hide (big
//! integers, the spelling of numbers, escapes) is looked for in the text.

#![expect(clippy::expect_used, reason = "a helper's panic fails the test that called it")]

use gristmill_event::{
    ActiveMqMessage, BasicProperties, Envelope, HeaderInteger, HeaderTable, HeaderValue, Message,
    MessageType, Profile, PropertyValue, RabbitMqMessage,
};
use serde_json::Value;

const ARN: &str =
    "arn:aws:mq:us-east-1:111122223333:broker:pizzaBroker:b-9bcfa592-423a-4942-879d-eb284b418fc8";

/// Encodes the event, checks its size, compares it with the golden file and returns its text.
fn check<M: Clone + Into<Message>>(golden: &str, envelope: &Envelope, messages: &[M]) -> String {
    let messages: Vec<Message> = messages.iter().cloned().map(Into::into).collect();
    let records_bytes = messages.iter().map(|message| envelope.record_bytes(message)).sum();
    let event_bytes = envelope.event_bytes(messages.len(), records_bytes);
    let event = envelope.encode(&messages, event_bytes);
    assert_eq!(event.len(), event_bytes);
    compare(golden, &event);
    event
}

fn compare(golden: &str, event: &str) {
    let actual: Value = serde_json::from_str(event).expect("the event is JSON");
    let expected: Value = serde_json::from_str(golden).expect("the golden file is JSON");
    assert_eq!(actual, expected, "the event is:\n{event}");
}

fn pizza() -> Envelope {
    Envelope::rabbitmq(ARN, "pizzaQueue", "/")
}

fn long_string(text: &str) -> HeaderValue {
    HeaderValue::LongString(text.as_bytes().to_vec())
}

fn table<const N: usize>(headers: [(&str, HeaderValue); N]) -> HeaderTable {
    headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn with_headers(headers: Option<HeaderTable>) -> RabbitMqMessage {
    RabbitMqMessage {
        properties: BasicProperties { headers, ..BasicProperties::default() },
        ..RabbitMqMessage::default()
    }
}

/// The example of the Lambda guide but for one number: the guide prints a `bodySize` of 80 beside a
/// body of 43 bytes.
#[test]
fn the_guides_example() {
    let headers = table([
        ("header1", long_string("value1")),
        ("header2", long_string("value2")),
        ("numberInHeader", HeaderValue::Integer(HeaderInteger::I32(10))),
    ]);
    let properties = BasicProperties {
        content_type: Some("text/plain".to_owned()),
        headers: Some(headers),
        delivery_mode: Some(1),
        priority: Some(34),
        expiration: Some("60000".to_owned()),
        timestamp: Some(2_021),
        user_id: Some("AIDACKCEVSQ6C2EXAMPLE".to_owned()),
        ..BasicProperties::default()
    };
    let body = br#"{"timeout":0,"data":"CZrmf0Gw8Ov4bqLQxD4E"}"#.to_vec();
    let message = RabbitMqMessage { properties, redelivered: false, body };
    check(include_str!("golden/guide.json"), &pizza(), &[message]);
}

#[test]
fn absent_properties_are_null_and_an_empty_body_is_an_empty_string() {
    let event =
        check(include_str!("golden/no_properties.json"), &pizza(), &[RabbitMqMessage::default()]);
    assert_eq!(event.matches("null").count(), 14);
}

#[test]
fn every_property_is_shown() {
    let text = |text: &str| Some(text.to_owned());
    let properties = BasicProperties {
        content_type: text("application/json"),
        content_encoding: text("gzip"),
        headers: Some(table([("tenant", long_string("pizza"))])),
        delivery_mode: Some(2),
        priority: Some(255),
        correlation_id: text("c-1"),
        reply_to: text("amq.rabbitmq.reply-to"),
        expiration: text("60000"),
        message_id: text("m-1"),
        timestamp: Some(1_688_261_434),
        kind: text("order \"placed\""),
        user_id: text("guest"),
        app_id: text("shop"),
        cluster_id: text("cluster"),
    };
    let message = RabbitMqMessage { properties, redelivered: true, body: b"hello".to_vec() };
    check(include_str!("golden/every_property.json"), &pizza(), &[message]);
}

#[test]
fn every_header_type_is_shown() {
    let inner = table([
        ("text", long_string("a")),
        ("deeper", HeaderValue::Table(table([("empty", HeaderValue::Table(Vec::new()))]))),
    ]);
    let values = vec![
        HeaderValue::Integer(HeaderInteger::U8(1)),
        long_string("b"),
        HeaderValue::Void,
        HeaderValue::Array(Vec::new()),
        HeaderValue::Table(table([("flag", HeaderValue::Boolean(true))])),
    ];
    let headers = table([
        ("true", HeaderValue::Boolean(true)),
        ("false", HeaderValue::Boolean(false)),
        ("largest", HeaderValue::Integer(HeaderInteger::I64(i64::MAX))),
        ("smallest", HeaderValue::Integer(HeaderInteger::I64(i64::MIN))),
        ("float", HeaderValue::Float(1.1)),
        ("double", HeaderValue::Double(1e300)),
        ("nan", HeaderValue::Float(f32::NAN)),
        ("infinity", HeaderValue::Double(f64::INFINITY)),
        ("decimal", HeaderValue::Decimal { scale: 2, value: -12_345 }),
        ("long string", long_string("Zoë")),
        ("empty string", long_string("")),
        ("byte array", HeaderValue::ByteArray(vec![0, 127, 128, 255])),
        ("timestamp", HeaderValue::Timestamp(1_688_261_434)),
        ("table", HeaderValue::Table(inner)),
        ("array", HeaderValue::Array(values)),
        ("void", HeaderValue::Void),
    ]);
    let message = with_headers(Some(headers));
    let event = check(include_str!("golden/every_header_type.json"), &pizza(), &[message]);
    for spelled in [
        r#""largest":9223372036854775807,"#,
        r#""smallest":-9223372036854775808,"#,
        r#""float":1.1,"double":1e+300,"#,
        r#""decimal":-123.45,"#,
    ] {
        assert!(event.contains(spelled), "{spelled} is not in {event}");
    }
}

#[test]
fn an_empty_header_table_is_not_an_absent_one_and_records_keep_their_order() {
    let messages = [with_headers(Some(Vec::new())), with_headers(None)];
    check(include_str!("golden/empty_headers.json"), &pizza(), &messages);
}

#[test]
fn every_byte_survives_in_body_and_header() {
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    let headers = table([("bytes", HeaderValue::LongString(bytes.clone()))]);
    let message = RabbitMqMessage { body: bytes, ..with_headers(Some(headers)) };
    check(include_str!("golden/every_byte.json"), &pizza(), &[message]);
}

#[test]
fn queue_and_virtual_host_are_escaped() {
    let envelope = Envelope::rabbitmq(ARN, "say \"hi\"::\\ Käse\u{1}\n\u{7f}🍕", "kitchen/\"1\"");
    let event = check(include_str!("golden/names.json"), &envelope, &[RabbitMqMessage::default()]);
    let key = "\"say \\\"hi\\\"::\\\\ Käse\\u0001\\n\u{7f}🍕::kitchen/\\\"1\\\"\":[{";
    assert!(event.contains(key), "{key} is not in {event}");
}

#[test]
fn an_event_of_no_records_is_still_json() {
    check(include_str!("golden/no_records.json"), &pizza(), &[] as &[Message]);
}

/// A message of ActiveMQ with everything set, and one with nothing that can be absent.
fn full_and_bare() -> [ActiveMqMessage; 2] {
    let text = |text: &str| PropertyValue::String(text.to_owned());
    let properties = [
        ("index", PropertyValue::Integer(1)),
        ("doAlarm", PropertyValue::Boolean(false)),
        ("weight", PropertyValue::Float(1.1)),
        ("distance", PropertyValue::Double(1e10)),
        ("nothing", PropertyValue::Null),
        ("say \"hi\"", text("Zoë\n")),
    ];
    let full = ActiveMqMessage {
        message_id: "ID:broker-37557-1234520418293-4:1:1:1:1".to_owned(),
        message_type: MessageType::Text,
        persistent: true,
        reply_to: Some("queue://answers".to_owned()),
        kind: Some("order".to_owned()),
        expiration: 1_598_827_871_958,
        priority: 4,
        correlation_id: Some("myJMSCoID".to_owned()),
        redelivered: true,
        destination: "testQueue".into(),
        timestamp: 1_598_827_811_958,
        broker_in_time: 1_598_827_811_959,
        broker_out_time: 1_598_827_811_960,
        properties: properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        body: "größer".into(),
    };
    let bare = ActiveMqMessage {
        message_id: "ID:broker-37557-1234520418293-4:1:1:1:2".to_owned(),
        message_type: MessageType::Bytes,
        destination: "testQueue".into(),
        ..ActiveMqMessage::default()
    };
    [full, bare]
}

#[test]
fn both_profiles_of_activemq_are_shown() {
    for (profile, golden) in [
        (Profile::Documented, include_str!("golden/activemq_documented.json")),
        (Profile::Observed, include_str!("golden/activemq_observed.json")),
    ] {
        let envelope = Envelope::activemq(ARN, profile);
        check(golden, &envelope, &full_and_bare());
        let empty = envelope.encode([], envelope.event_bytes(0, 0));
        assert!(empty.ends_with(r#","messages":[]}"#), "{empty}");
    }
}

/// The example of the Lambda guide, its keys in the same order.
#[test]
fn the_guides_example_of_activemq() {
    let properties = [("index", "1"), ("doAlarm", "false"), ("myCustomProperty", "value")];
    let message = ActiveMqMessage {
        message_id: "ID:b-9bcfa592-423a-4942-879d-eb284b418fc8-1.mq.us-west-2.amazonaws.com-37557-1234520418293-4:1:1:1:1".to_owned(),
        expiration: 60_000,
        priority: 1,
        correlation_id: Some("myJMSCoID".to_owned()),
        destination: "testQueue".into(),
        timestamp: 1_598_827_811_958,
        broker_in_time: 1_598_827_811_958,
        broker_out_time: 1_598_827_811_959,
        properties: properties
            .map(|(name, value)| (name.to_owned(), PropertyValue::String(value.to_owned())))
            .to_vec(),
        body: "ABC:AAAA".into(),
        ..ActiveMqMessage::default()
    };
    let event = Envelope::activemq(ARN, Profile::Documented).encode([&message.into()], 0);
    let expected = include_str!("golden/activemq_guide.json");
    let expected: String = expected.lines().map(str::trim_start).collect();
    assert_eq!(event, expected.replace("\": ", "\":").replace(", \"", ",\""));
}
