//! Records of arbitrary messages against a JSON value that is built another way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::{Envelope, Message};

/// Lies with the tests of the crate, of which one uses it too.
#[path = "../../../tests/arbitrary/activemq.rs"]
mod arbitrary;

fn property_text(value: &PropertyValue) -> Option<String> {
    let mut text = String::new();
    match value {
        PropertyValue::Boolean(value) => text = value.to_string(),
        PropertyValue::Integer(value) => text = value.to_string(),
        PropertyValue::Float(value) => java::number(&mut text, *value),
        PropertyValue::Double(value) => java::number(&mut text, *value),
        PropertyValue::String(value) => text.clone_from(value),
        PropertyValue::Null => return None,
    }
    Some(text)
}

fn record_value(message: &ActiveMqMessage, profile: Profile) -> Value {
    let properties: Map<String, Value> = message
        .properties
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), property_text(value)?.into())))
        .collect();
    let mut record = json!({
        "messageID": message.message_id,
        "messageType": match message.message_type {
            MessageType::Text => "jms/text-message",
            MessageType::Bytes => "jms/bytes-message",
        },
        "deliveryMode": if message.persistent { 2 } else { 1 },
        "priority": message.priority,
        "redelivered": message.redelivered,
        "destination": { "physicalName": &*message.destination },
        "data": STANDARD.encode(&message.body),
        "timestamp": message.timestamp,
        "brokerInTime": message.broker_in_time,
        "brokerOutTime": message.broker_out_time,
        "properties": properties,
    });
    let others = match profile {
        Profile::Documented => json!({
            "correlationId": message.correlation_id,
            "replyTo": message.reply_to,
            "type": message.kind,
            "expiration": message.expiration.to_string(),
        }),
        Profile::Observed => json!({
            "correlationID": message.correlation_id.as_deref().unwrap_or_default(),
            "replyTo": message.reply_to.as_deref().unwrap_or("null"),
            "type": message.kind.as_deref().unwrap_or_default(),
            "expiration": message.expiration,
        }),
    };
    record.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
    record
}

proptest! {
    #[test]
    fn an_event_is_as_long_as_it_was_said_to_be_and_says_the_same(
        messages in prop::collection::vec(arbitrary::message(), 0..4),
        arn in any::<String>(),
    ) {
        for profile in [Profile::Documented, Profile::Observed] {
            let envelope = Envelope::activemq(&arn, profile);
            let records: Vec<Value> =
                messages.iter().map(|message| record_value(message, profile)).collect();
            let messages: Vec<_> = messages.iter().cloned().map(Message::from).collect();
            let records_bytes =
                messages.iter().map(|message| envelope.record_bytes(message)).sum();
            let event_bytes = envelope.event_bytes(messages.len(), records_bytes);
            let event = envelope.encode(&messages, event_bytes);
            prop_assert_eq!(event.len(), event_bytes);
            prop_assert_eq!(event.capacity(), event_bytes);

            let parsed: Value = serde_json::from_str(&event).unwrap();
            let expected =
                json!({ "eventSource": "aws:mq", "eventSourceArn": arn, "messages": records });
            prop_assert_eq!(parsed, expected);
        }
    }
}

#[test]
fn a_printed_message_does_not_show_its_body_and_properties() {
    let properties = vec![("token".to_owned(), PropertyValue::String("secret".to_owned()))];
    let message =
        ActiveMqMessage { body: "secret".into(), properties, ..ActiveMqMessage::default() };
    let printed = format!("{message:?}");
    assert!(printed.contains("body_bytes: 6"), "{printed}");
    assert!(!printed.contains("115") && !printed.contains("secret"), "{printed}");
}
