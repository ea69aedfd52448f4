//! Any message comes back as it was kept, and no bytes are too damaged to say so.

use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable};
use proptest::prelude::*;

use super::*;

fn values() -> impl Strategy<Value = AMQPValue> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let leaf = prop_oneof![
        any::<bool>().prop_map(AMQPValue::Boolean),
        any::<i8>().prop_map(AMQPValue::ShortShortInt),
        any::<u8>().prop_map(AMQPValue::ShortShortUInt),
        any::<i16>().prop_map(AMQPValue::ShortInt),
        any::<u16>().prop_map(AMQPValue::ShortUInt),
        any::<i32>().prop_map(AMQPValue::LongInt),
        any::<u32>().prop_map(AMQPValue::LongUInt),
        any::<i64>().prop_map(AMQPValue::LongLongInt),
        prop::num::f32::ANY.prop_map(AMQPValue::Float),
        prop::num::f64::ANY.prop_map(AMQPValue::Double),
        (any::<u8>(), any::<u32>())
            .prop_map(|(scale, value)| AMQPValue::DecimalValue(DecimalValue { scale, value })),
        any::<u64>().prop_map(AMQPValue::Timestamp),
        bytes().prop_map(|bytes| AMQPValue::LongString(bytes.into())),
        bytes().prop_map(|bytes| AMQPValue::ByteArray(bytes.into())),
        Just(AMQPValue::Void),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|values| AMQPValue::FieldArray(FieldArray::from(values))),
            tables(inner).prop_map(AMQPValue::FieldTable),
        ]
    })
}

fn tables(values: impl Strategy<Value = AMQPValue>) -> impl Strategy<Value = FieldTable> {
    prop::collection::btree_map("\\PC{0,12}", values, 0..5).prop_map(|fields| {
        let mut table = FieldTable::default();
        for (name, value) in fields {
            table.insert(name.as_str().into(), value);
        }
        table
    })
}

prop_compose! {
    /// The property list as a broker may send it.
    fn lists()(
        texts in prop::array::uniform10(prop::option::of("\\PC{0,40}")),
        headers in prop::option::of(tables(values())),
        delivery_mode in any::<Option<u8>>(),
        priority in any::<Option<u8>>(),
        timestamp in any::<Option<u64>>(),
    ) -> Vec<u8> {
        let [
            content_type, content_encoding, correlation_id, reply_to, expiration, message_id, kind,
            user_id, app_id, cluster_id,
        ] = texts;
        let given = BasicProperties {
            content_type, content_encoding, headers: None, delivery_mode, priority, correlation_id,
            reply_to, expiration, message_id, timestamp, kind, user_id, app_id, cluster_id,
        };
        let properties = translate::back::properties(&given).unwrap();
        property_list(&match headers {
            Some(headers) => properties.with_headers(headers),
            None => properties,
        })
        .unwrap()
    }
}

/// As a delivery shows it.
fn delivered(list: &[u8], redelivered: bool, body: &[u8]) -> RabbitMqMessage {
    let (rest, properties) = parse_properties(list).unwrap();
    assert_eq!(rest, b"");
    let properties = translate::properties(&properties);
    RabbitMqMessage { properties, redelivered, body: body.to_vec() }
}

proptest! {
    /// Down to the bytes, in which a number that is none equals itself.
    #[test]
    fn what_is_written_is_what_came(
        list in lists(),
        redelivered: bool,
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let message = delivered(&list, redelivered, &body);
        let original = write(&message).unwrap();
        let expected = [&[VERSION, u8::from(redelivered)], &list[..], &body[..]].concat();
        prop_assert_eq!(&original.0, &expected);
        let Message::RabbitMq(read) = super::message(&original).unwrap() else { unreachable!() };
        prop_assert_eq!(write(&read).unwrap(), original);
        prop_assert_eq!((read.redelivered, read.body), (redelivered, body));
    }

    #[test]
    fn damaged_bytes_are_no_reason_to_panic(
        list in lists(),
        at in any::<prop::sample::Index>(),
        byte: u8,
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let versioned = |list: &[u8]| Original([&[VERSION, 0], list].concat());
        drop(message(&versioned(&bytes)));
        drop(message(&Original(bytes)));
        let cut = at.index(list.len());
        prop_assert_eq!(message(&versioned(&list[..cut])), Err(Unreadable::Damaged));
        let mut changed = list;
        changed[cut] = byte;
        drop(message(&versioned(&changed)));
    }
}

#[test]
fn later_and_damaged_ones_are_told_apart() {
    let read = |bytes: &[u8]| message(&Original(bytes.to_vec()));
    assert!(read(&[1, 0, 0, 0]).is_ok());
    assert_eq!(read(&[2, 0, 0, 0]), Err(Unreadable::Later(2)));
    for damaged in [&[][..], &[1], &[1, 0], &[1, 0, 0xFF], &[0, 0, 0, 0], &[1, 2, 0, 0]] {
        assert_eq!(read(damaged), Err(Unreadable::Damaged), "{damaged:?}");
    }
}

/// A producer may nest as deep as a frame is long; what an event does not show is not kept.
#[test]
fn nesting_ends_where_the_events_does() {
    let nested = (0..5_000).fold(AMQPValue::Boolean(true), |inner, _| {
        AMQPValue::FieldArray(FieldArray::from(vec![inner]))
    });
    let mut headers = FieldTable::default();
    headers.insert("nested".into(), nested);
    // Dropping it all would take a stack that a test has not.
    let given =
        std::mem::ManuallyDrop::new(lapin::BasicProperties::default().with_headers(headers));
    let properties = translate::properties(&given);
    let message = RabbitMqMessage { properties, redelivered: false, body: Vec::new() };
    let original = write(&message).unwrap();
    assert!(original.0.len() < 600, "{} bytes", original.0.len());
    assert_eq!(super::message(&original), Ok(message.into()));
}
