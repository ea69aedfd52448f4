//! Values of every type, in Java's words and in ours.

use std::collections::BTreeMap;

use activemq_openwire::bytes::Bytes;
use activemq_openwire::{PrimitiveMap, Value};
use gristmill_testkit::jms;

use crate::support::TEXT;

/// Every type that JMS has in maps, with what is odd about it, and all of them in a list and in maps.
pub(crate) fn of_java() -> BTreeMap<String, jms::Value> {
    let text = |text: &str| jms::Value::Text(text.to_owned());
    let bytes = (0..=255).collect::<Vec<u8>>();
    let plain = [
        ("null", jms::Value::Null),
        ("yes", jms::Value::Bool(true)),
        ("no", jms::Value::Bool(false)),
        ("byte", jms::Value::Byte(i8::MIN)),
        ("short", jms::Value::Short(i16::MIN)),
        ("char", jms::Value::Char(0x263A)),
        ("half", jms::Value::Char(0xD83E)),
        ("int", jms::Value::Int(i32::MIN)),
        ("long", jms::Value::Long(i64::MIN)),
        ("float", jms::Value::Float(1.1)),
        ("double", jms::Value::Double(0.1)),
        ("negative zero", jms::Value::Double(-0.0)),
        ("infinite", jms::Value::Double(f64::INFINITY)),
        ("infinite float", jms::Value::Float(f32::NEG_INFINITY)),
        ("no number", jms::Value::Double(f64::NAN)),
        ("text", text(TEXT)),
        ("empty", text("")),
        // From here on Java writes the longer form of strings.
        ("long text", text(&"ö".repeat(8_191))),
        ("just not long text", text(&"€".repeat(8_190))),
        ("text beyond 65,535", text(&"€".repeat(30_000))),
        ("größe in €", jms::Value::Long(i64::MAX)),
        ("bytes", jms::Value::Bytes(bytes)),
        ("no bytes", jms::Value::Bytes(Vec::new())),
    ];
    let plain = plain.map(|(name, value)| (name.to_owned(), value));
    let mut values = BTreeMap::from(plain);
    let list: Vec<_> = values.values().cloned().collect();
    let map = [
        ("list".to_owned(), jms::Value::List(list.clone())),
        ("map".to_owned(), jms::Value::Map(values.clone())),
    ];
    values.insert("list".to_owned(), jms::Value::List(list));
    values.insert("map".to_owned(), jms::Value::Map(map.into()));
    values
}

/// Those of them that a property can have.
pub(crate) fn of_java_in_properties() -> BTreeMap<String, jms::Value> {
    let mut values = of_java();
    values.retain(|_, value| !matches!(value, jms::Value::Bytes(_)));
    values
}

/// Those of them that a stream can have.
pub(crate) fn of_java_in_streams() -> Vec<jms::Value> {
    let is_plain = |value: &jms::Value| !matches!(value, jms::Value::List(_) | jms::Value::Map(_));
    of_java().into_values().filter(is_plain).collect()
}

/// The same in our words.
pub(crate) fn ours(value: &jms::Value) -> Value {
    match value {
        jms::Value::Null => Value::Null,
        jms::Value::Bool(value) => Value::Bool(*value),
        jms::Value::Byte(value) => Value::Byte(*value),
        jms::Value::Short(value) => Value::Short(*value),
        jms::Value::Char(value) => Value::Char(*value),
        jms::Value::Int(value) => Value::Int(*value),
        jms::Value::Long(value) => Value::Long(*value),
        jms::Value::Float(value) => Value::Float(*value),
        jms::Value::Double(value) => Value::Double(*value),
        jms::Value::Text(value) => Value::from(value.as_str()),
        jms::Value::Bytes(value) => Value::Bytes(Bytes::copy_from_slice(value)),
        jms::Value::List(values) => Value::List(values.iter().map(ours).collect()),
        jms::Value::Map(map) => Value::Map(our_map(map)),
    }
}

pub(crate) fn our_map(map: &BTreeMap<String, jms::Value>) -> PrimitiveMap {
    PrimitiveMap::from_iter(map.iter().map(|(name, value)| (name.as_str(), ours(value))))
}

/// Whether two maps hold the same: in any order, and with the bits of their numbers.
#[track_caller]
pub(crate) fn assert_same(one: &PrimitiveMap, other: &PrimitiveMap) {
    let sorted = |map: &PrimitiveMap| {
        let mut entries: Vec<_> =
            map.iter().map(|(name, value)| (name.to_string(), bits(value))).collect();
        entries.sort();
        entries
    };
    assert_eq!(sorted(one), sorted(other));
}

/// A text that tells every value from every other.
pub(crate) fn bits(value: &Value) -> String {
    match value {
        Value::Float(value) => format!("float {:x}", value.to_bits()),
        Value::Double(value) => format!("double {:x}", value.to_bits()),
        Value::String(text) => format!("string {:x?}", text.as_wire()),
        Value::Bytes(bytes) => format!("bytes {bytes:x?}"),
        Value::List(values) => format!("list {:?}", values.iter().map(bits).collect::<Vec<_>>()),
        Value::Map(map) => {
            let entries: BTreeMap<String, String> =
                map.iter().map(|(name, value)| (name.to_string(), bits(value))).collect();
            format!("map {entries:?}")
        }
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Byte(_)
        | Value::Char(_)
        | Value::Short(_)
        | Value::Int(_)
        | Value::Long(_)) => format!("{other:?}"),
    }
}
