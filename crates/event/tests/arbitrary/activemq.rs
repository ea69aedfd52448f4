//! Any message that ActiveMQ can hand over; for whom, see the strategies for RabbitMQ beside it.

use proptest::prelude::*;

use super::{ActiveMqMessage, MessageType, PropertyValue};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), r#"[\x00-\x20"\\/\x7fa\u{e9}\u{2028}]{0,20}"#]
}

fn property() -> impl Strategy<Value = PropertyValue> {
    prop_oneof![
        any::<bool>().prop_map(PropertyValue::Boolean),
        any::<i64>().prop_map(PropertyValue::Integer),
        prop::num::f32::ANY.prop_map(PropertyValue::Float),
        prop::num::f64::ANY.prop_map(PropertyValue::Double),
        text().prop_map(PropertyValue::String),
        Just(PropertyValue::Null),
    ]
}

prop_compose! {
    pub(crate) fn message()(
        texts in prop::array::uniform2(text()),
        optional in prop::array::uniform3(prop::option::of(text())),
        numbers in prop::array::uniform4(any::<i64>()),
        flags in prop::array::uniform3(any::<bool>()),
        priority in any::<u8>(),
        properties in prop::collection::btree_map(text(), property(), 0..5),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) -> ActiveMqMessage {
        let [message_id, destination] = texts;
        let [reply_to, kind, correlation_id] = optional;
        let [expiration, timestamp, broker_in_time, broker_out_time] = numbers;
        let [is_text, persistent, redelivered] = flags;
        ActiveMqMessage {
            message_id,
            message_type: if is_text { MessageType::Text } else { MessageType::Bytes },
            persistent, reply_to, kind, expiration, priority, correlation_id, redelivered,
            destination: destination.into(), timestamp, broker_in_time, broker_out_time,
            properties: properties.into_iter().collect(),
            body: body.into(),
        }
    }
}
