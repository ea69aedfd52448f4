//! Tests of primitive values.

use proptest::prelude::*;

use super::*;

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::Byte),
        any::<u16>().prop_map(Value::Char),
        any::<i16>().prop_map(Value::Short),
        any::<i32>().prop_map(Value::Int),
        any::<i64>().prop_map(Value::Long),
        any::<i32>().prop_map(|it| Value::Double(f64::from(it) / 8.0)),
        any::<i16>().prop_map(|it| Value::Float(f32::from(it) / 8.0)),
        any::<String>().prop_map(Value::from),
        any::<Vec<u8>>().prop_map(|it| Value::Bytes(it.into())),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|pairs| Value::Map(pairs.into_iter().collect())),
        ]
    })
}

fn decode(bytes: &[u8], limits: &Limits) -> Result<PrimitiveMap, DecodeError> {
    PrimitiveMap::decode(Bytes::copy_from_slice(bytes), limits)
}

proptest! {
    #[test]
    fn every_map_comes_back(pairs in prop::collection::vec((any::<String>(), values()), 0..8)) {
        let map: PrimitiveMap = pairs.into_iter().collect();
        let bytes = map.encode().unwrap();
        prop_assert_eq!(PrimitiveMap::decode(bytes, &Limits::default()), Ok(map));
    }
}

#[test]
fn long_strings_are_written_as_big_ones_and_come_back() {
    for length in [8190, 8191, 65_535, 65_536] {
        let map: PrimitiveMap = [("name", "x".repeat(length))].into_iter().collect();
        let bytes = map.encode().unwrap();
        assert_eq!(bytes[10], if length > 8190 { 13 } else { 9 });
        assert_eq!(decode(&bytes, &Limits::default()), Ok(map));
    }
}

#[test]
fn a_null_map_is_empty_and_the_last_of_equal_names_counts() {
    assert_eq!(decode(&[0xFF; 4], &Limits::default()), Ok(PrimitiveMap::new()));
    let twice = b"\0\0\0\x02\0\x01a\x05\0\0\0\x01\0\x01a\x05\0\0\0\x02";
    let map = decode(twice, &Limits::default()).unwrap();
    assert_eq!(map.get("a"), Some(&Value::Int(2)));
    assert_eq!(map.get("b"), None);
}

#[test]
fn limits_hold_before_memory_is_taken() {
    let limits =
        Limits { nesting_max: 4, elements_max: 5, string_bytes_max: 6, ..Limits::default() };
    // A map that says it has 2³¹ - 1 entries, and lists in lists.
    assert_eq!(decode(b"\x7F\xFF\xFF\xFF\0", &limits), Err(DecodeError::Truncated));
    assert_eq!(decode(&[0xFF, 0xFF, 0xFF, 0xFE], &limits), Err(DecodeError::NegativeLength));
    let mut nested = b"\0\0\0\x01\0\x01a".to_vec();
    for _ in 0..4 {
        nested.extend(b"\x0C\0\0\0\x01");
    }
    nested.push(0);
    assert_eq!(decode(&nested, &limits), Err(DecodeError::TooDeep));
    let many = b"\0\0\0\x01\0\x01a\x0C\0\0\0\x05\0\0\0\0\0";
    assert_eq!(decode(many, &limits), Err(DecodeError::TooManyElements));
    let long = b"\0\0\0\x01\0\x01a\x09\0\x071234567";
    assert_eq!(decode(long, &limits), Err(DecodeError::StringTooLong { length: 7, max: 6 }));
}

#[test]
fn nobody_is_shown_what_is_inside() {
    let secret = Value::List(vec!["secret".into(), Bytes::from_static(b"secret").into()]);
    assert!(!format!("{secret:?}").contains("secret"));
}
