//! The record: one ActiveMQ message as JSON.
//!
//! Names, order and types are those of the Lambda guide's example; what the other profile spells
//! differently is told apart here and nowhere else.

use super::{ActiveMqMessage, MessageType, Profile, PropertyValue, java};
use crate::sink::Sink;

/// Writes the record of a message.
pub(crate) fn write(sink: &mut impl Sink, message: &ActiveMqMessage, profile: Profile) {
    let is_observed = profile == Profile::Observed;
    // What stands for nothing in `replyTo`, and in the other two.
    let (no_address, nothing) = if is_observed { ("\"null\"", "\"\"") } else { ("null", "null") };

    sink.text(r#"{"messageID":"#);
    sink.string(&message.message_id);
    sink.text(match message.message_type {
        MessageType::Text => r#","messageType":"jms/text-message","deliveryMode":"#,
        MessageType::Bytes => r#","messageType":"jms/bytes-message","deliveryMode":"#,
    });
    sink.text(if message.persistent { "2" } else { "1" });
    optional_string(sink, r#","replyTo":"#, message.reply_to.as_deref(), no_address);
    optional_string(sink, r#","type":"#, message.kind.as_deref(), nothing);
    sink.text(if is_observed { r#","expiration":"# } else { r#","expiration":""# });
    sink.integer(message.expiration);
    sink.text(if is_observed { r#","priority":"# } else { r#"","priority":"# });
    sink.integer(message.priority);
    let key = if is_observed { r#","correlationID":"# } else { r#","correlationId":"# };
    optional_string(sink, key, message.correlation_id.as_deref(), nothing);
    sink.text(match message.redelivered {
        true => r#","redelivered":true,"destination":{"physicalName":"#,
        false => r#","redelivered":false,"destination":{"physicalName":"#,
    });
    sink.string(&message.destination);
    sink.text(r#"},"data":""#);
    sink.base64(&message.body);
    sink.text(r#"","timestamp":"#);
    sink.integer(message.timestamp);
    sink.text(r#","brokerInTime":"#);
    sink.integer(message.broker_in_time);
    sink.text(r#","brokerOutTime":"#);
    sink.integer(message.broker_out_time);
    sink.text(r#","properties":{"#);
    properties(sink, &message.properties);
    sink.text("}}");
}

fn optional_string(sink: &mut impl Sink, key: &str, value: Option<&str>, nothing: &str) {
    sink.text(key);
    match value {
        None => sink.text(nothing),
        Some(value) => sink.string(value),
    }
}

fn properties(sink: &mut impl Sink, properties: &[(String, PropertyValue)]) {
    let mut separator = "";
    for (name, value) in properties {
        if *value == PropertyValue::Null {
            continue;
        }
        sink.text(separator);
        separator = ",";
        sink.string(name);
        sink.text(":\"");
        match value {
            PropertyValue::Boolean(true) => sink.text("true"),
            PropertyValue::Boolean(false) => sink.text("false"),
            PropertyValue::Integer(value) => sink.integer(*value),
            PropertyValue::Float(value) => java::number(sink, *value),
            PropertyValue::Double(value) => java::number(sink, *value),
            PropertyValue::String(value) => sink.escaped(value),
            PropertyValue::Null => {}
        }
        sink.text("\"");
    }
}

#[cfg(test)]
mod tests;
