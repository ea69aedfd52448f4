//! The record: one RabbitMQ message as JSON.
//!
//! Names, order and types here are Lambda's, and handlers depend on each of them: all fifteen keys
//! of `basicProperties` are always there, an absent property is null, and the bytes of a header are
//! signed, as they are in Java. Nothing may be written that depends on the sink.

use super::{
    BasicProperties, HEADER_LEVELS_MAX, HeaderTable, HeaderValue, RabbitMqMessage, date, signed,
};
use crate::sink::Sink;

/// Writes the record of a message.
pub(crate) fn write(sink: &mut impl Sink, message: &RabbitMqMessage) {
    sink.text(r#"{"basicProperties":"#);
    basic_properties(sink, &message.properties);
    sink.text(r#","bodySize":"#);
    sink.integer(message.body.len());
    sink.text(match message.redelivered {
        true => r#"},"redelivered":true,"data":""#,
        false => r#"},"redelivered":false,"data":""#,
    });
    sink.base64(&message.body);
    sink.text(r#""}"#);
}

/// Writes the object's beginning and all its keys but `bodySize`, which is not a property.
fn basic_properties(sink: &mut impl Sink, properties: &BasicProperties) {
    optional_string(sink, r#"{"contentType":"#, properties.content_type.as_deref());
    optional_string(sink, r#","contentEncoding":"#, properties.content_encoding.as_deref());
    match &properties.headers {
        None => sink.text(r#","headers":null"#),
        Some(table) => {
            sink.text(r#","headers":"#);
            header_table(sink, table, HEADER_LEVELS_MAX);
        }
    }
    optional_integer(sink, r#","deliveryMode":"#, properties.delivery_mode);
    optional_integer(sink, r#","priority":"#, properties.priority);
    optional_string(sink, r#","correlationId":"#, properties.correlation_id.as_deref());
    optional_string(sink, r#","replyTo":"#, properties.reply_to.as_deref());
    optional_string(sink, r#","expiration":"#, properties.expiration.as_deref());
    optional_string(sink, r#","messageId":"#, properties.message_id.as_deref());
    match properties.timestamp {
        None => sink.text(r#","timestamp":null"#),
        Some(seconds) => {
            sink.text(r#","timestamp":"#);
            date_string(sink, seconds);
        }
    }
    optional_string(sink, r#","type":"#, properties.kind.as_deref());
    optional_string(sink, r#","userId":"#, properties.user_id.as_deref());
    optional_string(sink, r#","appId":"#, properties.app_id.as_deref());
    optional_string(sink, r#","clusterId":"#, properties.cluster_id.as_deref());
}

fn optional_string(sink: &mut impl Sink, key: &str, value: Option<&str>) {
    sink.text(key);
    match value {
        None => sink.text("null"),
        Some(value) => sink.string(value),
    }
}

fn optional_integer(sink: &mut impl Sink, key: &str, value: Option<u8>) {
    sink.text(key);
    match value {
        None => sink.text("null"),
        Some(value) => sink.integer(value),
    }
}

fn date_string(sink: &mut impl Sink, seconds: u64) {
    sink.text("\"");
    date::write(sink, seconds);
    sink.text("\"");
}

/// Writes a table; `levels` is how many more may open inside it.
fn header_table(sink: &mut impl Sink, table: &HeaderTable, levels: u8) {
    sink.text("{");
    let mut separator = "";
    for (name, value) in table {
        sink.text(separator);
        separator = ",";
        sink.string(name);
        sink.text(":");
        header_value(sink, value, levels);
    }
    sink.text("}");
}

fn header_array(sink: &mut impl Sink, values: &[HeaderValue], levels: u8) {
    sink.text("[");
    let mut separator = "";
    for value in values {
        sink.text(separator);
        separator = ",";
        header_value(sink, value, levels);
    }
    sink.text("]");
}

fn header_value(sink: &mut impl Sink, value: &HeaderValue, levels: u8) {
    match value {
        HeaderValue::Boolean(true) => sink.text("true"),
        HeaderValue::Boolean(false) => sink.text("false"),
        HeaderValue::Integer(value) => sink.integer(i64::from(*value)),
        HeaderValue::Float(value) if value.is_finite() => sink.float(*value),
        HeaderValue::Double(value) if value.is_finite() => sink.float(*value),
        HeaderValue::Decimal { scale, value } => decimal(sink, *scale, *value),
        HeaderValue::LongString(bytes) => {
            sink.text(r#"{"bytes":"#);
            signed::write(sink, bytes);
            sink.text("}");
        }
        HeaderValue::ByteArray(bytes) => signed::write(sink, bytes),
        HeaderValue::Timestamp(seconds) => date_string(sink, *seconds),
        HeaderValue::Table(table) if levels > 0 => {
            header_table(sink, table, levels.saturating_sub(1));
        }
        HeaderValue::Array(values) if levels > 0 => {
            header_array(sink, values, levels.saturating_sub(1));
        }
        HeaderValue::Void
        | HeaderValue::Float(_)
        | HeaderValue::Double(_)
        | HeaderValue::Table(_)
        | HeaderValue::Array(_) => sink.text("null"),
    }
}

/// Writes `value × 10^-scale` exactly: `123.45`, or `12345e-200` where more than five zeros would
/// follow the point, which is where Java's `BigDecimal` changes over.
fn decimal(sink: &mut impl Sink, scale: u8, value: i32) {
    const ZEROS: &str = "00000";

    if scale == 0 {
        return sink.integer(value);
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs());
    let zeros = usize::from(scale).saturating_sub(digits.len());
    let Some(zeros) = ZEROS.get(..zeros) else {
        sink.integer(value);
        sink.text("e-");
        return sink.integer(scale);
    };
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale.into()));
    sink.text(if value < 0 { "-" } else { "" });
    sink.text(if whole.is_empty() { "0" } else { whole });
    sink.text(".");
    sink.text(zeros);
    sink.text(fraction);
}

#[cfg(test)]
mod tests;
