//! From the client's messages to the event's, once, at the edge.
//!
//! What must never happen: a body that is copied although its bytes are already what the event wants,
//! or an allocation whose size a producer chooses.

use std::borrow::Cow;
use std::sync::Arc;

use activemq_openwire::structures::{Message, MessageKind};
use activemq_openwire::{Body, DecodeError, Limits, PrimitiveMap, Text, Value};
use bytes::Bytes;
use gristmill_broker::Defect;
use gristmill_event::{ActiveMqMessage, MessageType, PropertyValue};

use crate::connection::limits;

/// A message that no event can show.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoForm {
    pub(crate) defect: Defect,
    pub(crate) reason: String,
}

/// Translates the messages of one source.
#[derive(Debug)]
pub(crate) struct Translator {
    limits: Limits,
    /// The last message's, which is also the next one's as a rule.
    destination: Arc<str>,
    group: Option<Arc<str>>,
}

impl Translator {
    pub(crate) fn new() -> Self {
        Self { limits: limits(), destination: Arc::default(), group: None }
    }

    /// What the producer sent, as the event shows it.
    ///
    /// `redelivery_counter` is how often the broker believes to have delivered it before.
    pub(crate) fn message(
        &mut self,
        message: &Message,
        redelivery_counter: i32,
    ) -> Result<ActiveMqMessage, NoForm> {
        let (message_type, body) = self.body(message)?;
        let properties = message.properties(&self.limits).map_err(unreadable)?;
        Ok(ActiveMqMessage {
            message_id: message_id(message).unwrap_or_default(),
            message_type,
            persistent: message.persistent,
            reply_to: message.reply_to.as_ref().map(ToString::to_string),
            kind: message.r#type.as_ref().map(owned),
            expiration: message.expiration,
            priority: u8::try_from(message.priority).unwrap_or(0),
            correlation_id: message.correlation_id.as_ref().map(owned),
            redelivered: redelivery_counter > 0,
            destination: self.destination(message),
            timestamp: message.timestamp,
            broker_in_time: message.broker_in_time,
            broker_out_time: message.broker_out_time,
            properties: event_properties(&properties),
            body,
        })
    }

    /// The group that the message belongs to.
    pub(crate) fn group(&mut self, message: &Message) -> Option<Arc<str>> {
        let name = message.group_id.as_ref()?.to_str();
        if self.group.as_deref() != Some(&*name) {
            self.group = Some(Arc::from(&*name));
        }
        self.group.clone()
    }

    fn destination(&mut self, message: &Message) -> Arc<str> {
        let name = message.destination.as_ref().and_then(|named| named.physical_name.as_ref());
        let name = name.map(Text::to_str).unwrap_or_default();
        if *self.destination != *name {
            self.destination = Arc::from(&*name);
        }
        Arc::clone(&self.destination)
    }

    fn body(&self, message: &Message) -> Result<(MessageType, Bytes), NoForm> {
        if !matches!(message.kind, MessageKind::Text | MessageKind::Bytes) {
            let kind = jms_name(message.kind);
            let reason = format!("it is {kind}; send a TextMessage or a BytesMessage instead");
            return Err(NoForm { defect: Defect::Unsupported, reason });
        }
        match message.body(&self.limits).map_err(unreadable)? {
            Body::Bytes(bytes) => Ok((MessageType::Bytes, bytes)),
            Body::Text(text) => Ok((MessageType::Text, text.map(utf8).unwrap_or_default())),
            Body::Plain | Body::Map(_) | Body::Stream(_) | Body::Object(_) | Body::Blob => {
                let reason = "its body is neither text nor bytes".to_owned();
                Err(NoForm { defect: Defect::Unsupported, reason })
            }
        }
    }
}

/// The text form of the message's id.
pub(crate) fn message_id(message: &Message) -> Option<String> {
    message.message_id.as_ref().map(ToString::to_string)
}

fn unreadable(error: DecodeError) -> NoForm {
    let is_large = matches!(error, DecodeError::InflatedTooLarge { .. });
    let defect = if is_large { Defect::TooLarge } else { Defect::Unsupported };
    NoForm { defect, reason: format!("it cannot be read: {error}") }
}

fn jms_name(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Plain => "a Message without a body",
        MessageKind::Bytes => "a BytesMessage",
        MessageKind::Map => "a MapMessage",
        MessageKind::Object => "an ObjectMessage",
        MessageKind::Stream => "a StreamMessage",
        MessageKind::Text => "a TextMessage",
        MessageKind::Blob => "a BlobMessage",
    }
}

fn owned(text: &Text) -> String {
    text.to_str().into_owned()
}

/// The text in UTF-8: what came, unless Java writes some of it in another way.
fn utf8(text: Text) -> Bytes {
    match text.to_str() {
        Cow::Borrowed(_) => text.as_wire().clone(),
        Cow::Owned(decoded) => decoded.into(),
    }
}

/// JMS has neither bytes nor maps nor lists in properties, and they have no form in the event: those
/// that ActiveMQ lets pass are left out.
fn event_properties(properties: &PrimitiveMap) -> Vec<(String, PropertyValue)> {
    let value = |value: &Value| match value {
        Value::Null | Value::Bytes(_) | Value::Map(_) | Value::List(_) => PropertyValue::Null,
        Value::Bool(value) => PropertyValue::Boolean(*value),
        Value::Byte(value) => PropertyValue::Integer((*value).into()),
        Value::Short(value) => PropertyValue::Integer((*value).into()),
        Value::Int(value) => PropertyValue::Integer((*value).into()),
        Value::Long(value) => PropertyValue::Integer(*value),
        Value::Double(value) => PropertyValue::Double(*value),
        Value::Float(value) => PropertyValue::Float(*value),
        Value::Char(unit) => PropertyValue::String(String::from_utf16_lossy(&[*unit])),
        Value::String(text) => PropertyValue::String(owned(text)),
    };
    properties.iter().map(|(name, given)| (owned(name), value(given))).collect()
}

#[cfg(test)]
mod tests;
