//! What is written is read again, and whatever else is there is an error.

use gristmill_event::HeaderInteger;
use proptest::prelude::*;

use super::*;

fn value() -> impl Strategy<Value = HeaderValue> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(HeaderValue::Boolean),
        any::<u16>().prop_map(|value| HeaderValue::Integer(HeaderInteger::U16(value))),
        any::<i64>().prop_map(|value| HeaderValue::Integer(HeaderInteger::I64(value))),
        any::<i8>().prop_map(|value| HeaderValue::Integer(HeaderInteger::I8(value))),
        (-1e9_f64..1e9).prop_map(HeaderValue::Double),
        (-1e9_f32..1e9).prop_map(HeaderValue::Float),
        (any::<u8>(), any::<i32>())
            .prop_map(|(scale, value)| HeaderValue::Decimal { scale, value }),
        any::<Vec<u8>>().prop_map(HeaderValue::LongString),
        any::<Vec<u8>>().prop_map(HeaderValue::ByteArray),
        any::<u64>().prop_map(HeaderValue::Timestamp),
        Just(HeaderValue::Void),
    ];
    leaf.prop_recursive(5, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(HeaderValue::Array),
            prop::collection::vec((any::<String>(), inner), 0..4).prop_map(HeaderValue::Table),
        ]
    })
}

fn message() -> impl Strategy<Value = RabbitMqMessage> {
    let headers = prop::option::of(prop::collection::vec((any::<String>(), value()), 0..4));
    let texts = prop::collection::vec(any::<Option<String>>(), 9);
    let numbers = (any::<Option<u8>>(), any::<Option<u8>>(), any::<Option<u64>>());
    (headers, texts, numbers, any::<bool>(), any::<Vec<u8>>()).prop_map(
        |(headers, texts, (delivery_mode, priority, timestamp), redelivered, body)| {
            let mut texts = texts.into_iter();
            let mut text = || texts.next().flatten();
            let properties = BasicProperties {
                content_type: text(),
                content_encoding: text(),
                headers,
                delivery_mode,
                priority,
                correlation_id: text(),
                reply_to: text(),
                expiration: text(),
                message_id: text(),
                timestamp,
                kind: text(),
                user_id: text(),
                app_id: text(),
                cluster_id: None,
            };
            RabbitMqMessage { properties, redelivered, body }
        },
    )
}

proptest! {
    #[test]
    fn every_message_is_read_as_it_was_written(message in message()) {
        let original = write(&message).unwrap();
        prop_assert_eq!(read(&original), Ok(message));
    }

    #[test]
    fn damaged_bytes_do_no_harm(message in message(), at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut original = write(&message).unwrap();
        let index = at.index(original.0.len());
        original.0[index] ^= flip;
        drop(read(&original));
        original.0.truncate(index);
        drop(read(&original));
    }
}

fn nested(levels: usize) -> RabbitMqMessage {
    let value = (0..levels).fold(HeaderValue::Void, |value, _| HeaderValue::Array(vec![value]));
    let headers = Some(vec![("deep".to_owned(), value)]);
    let properties = BasicProperties { headers, ..BasicProperties::default() };
    RabbitMqMessage { properties, ..RabbitMqMessage::default() }
}

#[test]
fn what_an_event_shows_can_be_written_and_what_is_deeper_is_refused() {
    let message = nested(usize::from(HEADER_LEVELS_MAX));
    assert_eq!(read(&write(&message).unwrap()), Ok(message));
    let deeper = write(&nested(usize::from(HEADER_LEVELS_MAX) + 1));
    assert!(matches!(deeper, Err(Unreadable::NoEvent(_))), "{deeper:?}");
}

#[test]
fn what_a_later_version_has_written_is_not_guessed_at() {
    assert_eq!(read(&Original(vec![2, 0, 0, 0, 0, 0])), Err(Unreadable::Later(2)));
    assert_eq!(read(&Original(vec![1, 4, 0, 0, 0, 0])), Err(Unreadable::Damaged));
    assert_eq!(read(&Original(vec![])), Err(Unreadable::Damaged));
}
