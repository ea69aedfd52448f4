//! Any message that a producer can send.
//!
//! Used by tests beside the code and by tests of the crate, for which the types are two different
//! things: so they come from whoever includes this.

use proptest::prelude::*;

use super::{BasicProperties, HeaderInteger, HeaderTable, HeaderValue, RabbitMqMessage};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40)
}

/// Text of any characters, and text in which most characters need an escape.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), r#"[\x00-\x20"\\/\x7fa\u{e9}\u{2028}]{0,20}"#]
}

fn integer() -> impl Strategy<Value = HeaderInteger> {
    prop_oneof![
        any::<i8>().prop_map(HeaderInteger::I8),
        any::<u8>().prop_map(HeaderInteger::U8),
        any::<i16>().prop_map(HeaderInteger::I16),
        any::<u16>().prop_map(HeaderInteger::U16),
        any::<i32>().prop_map(HeaderInteger::I32),
        any::<u32>().prop_map(HeaderInteger::U32),
        any::<i64>().prop_map(HeaderInteger::I64),
    ]
}

fn scalar() -> impl Strategy<Value = HeaderValue> {
    prop_oneof![
        any::<bool>().prop_map(HeaderValue::Boolean),
        integer().prop_map(HeaderValue::Integer),
        prop::num::f32::ANY.prop_map(HeaderValue::Float),
        prop::num::f64::ANY.prop_map(HeaderValue::Double),
        (any::<u8>(), any::<i32>())
            .prop_map(|(scale, value)| HeaderValue::Decimal { scale, value }),
        (0..12_u8, any::<i32>()).prop_map(|(scale, value)| HeaderValue::Decimal { scale, value }),
        bytes().prop_map(HeaderValue::LongString),
        bytes().prop_map(HeaderValue::ByteArray),
        any::<u64>().prop_map(HeaderValue::Timestamp),
        Just(HeaderValue::Void),
    ]
}

/// A table without duplicate names, because a parsed object would not show them.
fn table(
    value: impl Strategy<Value = HeaderValue> + 'static,
) -> impl Strategy<Value = HeaderTable> {
    prop::collection::btree_map(text(), value, 0..5).prop_map(|table| table.into_iter().collect())
}

fn header_values() -> impl Strategy<Value = HeaderValue> {
    scalar().prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            table(inner.clone()).prop_map(HeaderValue::Table),
            prop::collection::vec(inner, 0..5).prop_map(HeaderValue::Array),
        ]
    })
}

prop_compose! {
    fn properties()(
        texts in prop::array::uniform10(prop::option::of(text())),
        headers in prop::option::of(table(header_values())),
        delivery_mode in any::<Option<u8>>(),
        priority in any::<Option<u8>>(),
        timestamp in any::<Option<u64>>(),
    ) -> BasicProperties {
        let [
            content_type, content_encoding, correlation_id, reply_to, expiration, message_id, kind,
            user_id, app_id, cluster_id,
        ] = texts;
        BasicProperties {
            content_type, content_encoding, headers, delivery_mode, priority, correlation_id,
            reply_to, expiration, message_id, timestamp, kind, user_id, app_id, cluster_id,
        }
    }
}

prop_compose! {
    pub(crate) fn message()(
        properties in properties(),
        redelivered in any::<bool>(),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) -> RabbitMqMessage {
        RabbitMqMessage { properties, redelivered, body }
    }
}
