//! Tests of the codec over recorded frames: each decodes to its meaning and back to its bytes.
//!
//! `tests/frames` holds what Java's client and ActiveMQ 5.17 have said to each other, and what
//! Java's own codec makes of edge cases. A file has a frame a line, as JSON: its format, its bytes
//! as `hex`, and as `fields` every field that is not null, false or 0, and by the name that the
//! protocol has for it.

use std::fs;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value as Json, json};

use super::field::Described;
use super::{Format, Frame, Header, decode, encode};
use crate::structures::{DestinationKind, Magic, MessageKind, StackElement, Structure, Throwable};
use crate::{Body, Hidden, Limits, Opaque, PrimitiveMap, Text, Value};

/// What a field says, as in the recordings.
pub(crate) trait Meaning {
    fn meaning(&self) -> Json;
}

/// A structure's meaning: names as in the recordings, and nothing that is null, false or 0.
pub(crate) fn named(name: &str, fields: Map<String, Json>) -> Json {
    let mut all = Map::new();
    all.insert("$".into(), name.to_lowercase().into());
    for (name, value) in fields {
        let nothing = value.is_null() || value == json!(false) || value == json!(0);
        if name == "header" {
            all.extend(value.as_object().unwrap().clone());
        } else if !nothing {
            all.insert(plain(&name), value);
        }
    }
    all.into()
}

/// Names differ in case and underscores.
fn plain(name: &str) -> String {
    name.trim_start_matches("r#").replace('_', "").to_lowercase()
}

macro_rules! as_they_are {
    ($($type:ty),*) => {$(
        impl Meaning for $type {
            fn meaning(&self) -> Json {
                json!(self)
            }
        }
    )*};
}

as_they_are!(bool, i8, i32, i64);

impl<T: Described> Meaning for T {
    fn meaning(&self) -> Json {
        Described::meaning(self)
    }
}

impl<T: Meaning> Meaning for Option<T> {
    fn meaning(&self) -> Json {
        self.as_ref().map_or(Json::Null, Meaning::meaning)
    }
}

impl<T: Meaning> Meaning for Vec<T> {
    fn meaning(&self) -> Json {
        self.iter().map(Meaning::meaning).collect()
    }
}

impl Meaning for Text {
    fn meaning(&self) -> Json {
        json!(self.to_str())
    }
}

impl Meaning for Hidden {
    fn meaning(&self) -> Json {
        self.expose().meaning()
    }
}

impl Meaning for Opaque {
    fn meaning(&self) -> Json {
        json!(format!("{} bytes", self.0.len()))
    }
}

impl Meaning for Magic {
    fn meaning(&self) -> Json {
        Json::Null
    }
}

impl Meaning for Header {
    fn meaning(&self) -> Json {
        let mut fields = Map::new();
        if self.command_id != 0 {
            fields.insert("commandid".into(), self.command_id.into());
        }
        if self.response_required {
            fields.insert("responserequired".into(), true.into());
        }
        fields.into()
    }
}

impl Meaning for MessageKind {
    fn meaning(&self) -> Json {
        if *self == Self::Plain { Json::Null } else { json!(format!("{self:?}")) }
    }
}

impl Meaning for DestinationKind {
    fn meaning(&self) -> Json {
        if *self == Self::Queue { Json::Null } else { json!(format!("{self:?}")) }
    }
}

impl Meaning for Throwable {
    fn meaning(&self) -> Json {
        let mut fields = Map::new();
        for (name, value) in [
            ("class", self.class.meaning()),
            ("message", self.message.meaning()),
            ("stack", self.trace.meaning()),
            ("cause", self.cause.as_ref().map_or(Json::Null, |cause| cause.meaning())),
        ] {
            if !value.is_null() && value != json!([]) {
                fields.insert(name.into(), value);
            }
        }
        fields.into()
    }
}

impl Meaning for StackElement {
    fn meaning(&self) -> Json {
        json!([
            self.class.meaning(),
            self.method.meaning(),
            self.file.meaning(),
            self.line.meaning()
        ])
    }
}

/// A recording's fields with plain names.
fn expected(json: &Json) -> Json {
    match json {
        Json::Object(fields) => {
            let plain = |(name, value): (&String, &Json)| {
                let value = if name == "$" {
                    json!(value.as_str().unwrap().to_lowercase())
                } else {
                    expected(value)
                };
                (plain(name), value)
            };
            let keep = |(_, value): &(String, Json)| *value != json!([]);
            Json::Object(fields.iter().map(plain).filter(keep).collect())
        }
        Json::Array(values) => values.iter().map(expected).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => json.clone(),
    }
}

/// All lines of all files whose name passes.
fn lines(passes: impl Fn(&str) -> bool) -> Vec<(String, Json)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frames");
    let mut lines = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if passes(&name) {
            for line in fs::read_to_string(&path).unwrap().lines() {
                lines.push((name.clone(), serde_json::from_str(line).unwrap()));
            }
        }
    }
    lines
}

fn from_hex(json: &Json) -> Bytes {
    let hex = json.as_str().unwrap();
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn format_of(line: &Json) -> Format {
    let version = u8::try_from(line["version"].as_u64().unwrap()).unwrap();
    Format { version, stack_traces: line["stack_traces"].as_bool().unwrap() }
}

#[test]
fn every_recorded_frame_decodes_to_its_meaning_and_back_to_its_bytes() {
    let limits = Limits::default();
    let lines = lines(|name| name != "contents");
    assert!(lines.len() > 400, "only {} frames found", lines.len());
    for (file, line) in lines {
        let name = format!("{file} {}", line["name"]);
        let bytes = from_hex(&line["hex"]);
        let format = format_of(&line);
        let frame = decode(bytes.slice(4..), format, &limits);
        let Ok(Frame::Structure(structure)) = frame else { panic!("{name}: {frame:?}") };
        assert_eq!(Described::meaning(&structure), expected(&line["fields"]), "{name}");
        let mut again = BytesMut::new();
        encode(&structure, format, &limits, &mut again).unwrap();
        assert_eq!(again.freeze(), bytes, "{name}");
    }
}

#[test]
fn every_recorded_message_shows_its_body_and_properties() {
    let limits = Limits::default();
    let mut count = 0;
    for (file, line) in lines(|name| name != "contents") {
        let frame = decode(from_hex(&line["hex"]).slice(4..), format_of(&line), &limits);
        let Ok(Frame::Structure(structure)) = frame else { panic!("{file}: {frame:?}") };
        let (Some(message), application) = (message_of(structure), &line["application"]) else {
            continue;
        };
        if application.is_null() {
            continue;
        }
        let id = message.message_id.as_ref().unwrap().to_string();
        assert_eq!(id, application["messageID"].as_str().unwrap());
        assert_eq!(body_of(&message, &limits), application["body"], "{file} {id}");
        let properties = message.properties(&limits).unwrap();
        assert_eq!(map_of(&properties), strings_alike(&application["properties"]), "{file} {id}");
        count += 1;
    }
    assert!(count > 60, "only {count} messages found");
}

#[test]
fn every_recorded_content_shows_its_body_also_compressed() {
    let limits = Limits::default();
    for (_, line) in lines(|name| name == "contents") {
        let bytes = |name: &str| line[name].as_str().map(|_| Opaque(from_hex(&line[name])));
        let kinds = (23..=29).filter_map(MessageKind::from_code);
        let message = crate::structures::Message {
            kind: kinds
                .into_iter()
                .find(|kind| json!(format!("{kind:?}")) == line["kind"])
                .unwrap(),
            compressed: line["compressed"].as_bool().unwrap(),
            content: bytes("content"),
            marshalled_properties: bytes("marshalled_properties"),
            ..Default::default()
        };
        assert_eq!(body_of(&message, &limits), strings_alike(&line["body"]));
        let properties = message.properties(&limits).unwrap();
        assert_eq!(map_of(&properties), strings_alike(&line["properties"]));
    }
}

fn message_of(structure: Structure) -> Option<crate::structures::Message> {
    if let Structure::Message(message) = structure {
        return Some(*message);
    }
    let Structure::MessageDispatch(dispatch) = structure else { return None };
    dispatch.message.map(|message| *message)
}

fn hex_of(bytes: &[u8]) -> Json {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "hex": hex })
}

/// The body as the recordings have it; an empty body of bytes is null there.
fn body_of(message: &crate::structures::Message, limits: &Limits) -> Json {
    match message.body(limits).unwrap() {
        Body::Plain | Body::Blob | Body::Text(None) | Body::Object(None) => Json::Null,
        Body::Text(Some(text)) => text.meaning(),
        Body::Bytes(bytes) if bytes.is_empty() => Json::Null,
        Body::Bytes(bytes) | Body::Object(Some(bytes)) => hex_of(&bytes),
        Body::Map(map) => map_of(&map),
        Body::Stream(values) => values.iter().map(value_of).collect(),
    }
}

fn map_of(map: &PrimitiveMap) -> Json {
    Json::Object(map.iter().map(|(name, value)| (name.to_string(), value_of(value))).collect())
}

fn value_of(value: &Value) -> Json {
    let of = |kind: &str, value: Json| json!({ "t": kind, "v": value });
    match value {
        Value::Null => of("null", Json::Null),
        Value::Bool(value) => of("bool", json!(value)),
        Value::Byte(value) => of("byte", json!(value)),
        Value::Char(value) => {
            of("char", json!(char::from_u32(u32::from(*value)).unwrap().to_string()))
        }
        Value::Short(value) => of("short", json!(value)),
        Value::Int(value) => of("int", json!(value)),
        Value::Long(value) => of("long", json!(value)),
        Value::Double(value) => of("double", json!(value)),
        Value::Float(value) => of("float", json!(f64::from(*value))),
        Value::String(value) => of("string", value.meaning()),
        Value::Bytes(value) => of("bytes", hex_of(value)),
        Value::Map(value) => of("map", map_of(value)),
        Value::List(values) => of("list", values.iter().map(value_of).collect()),
    }
}

/// The recordings tell long strings from others.
fn strings_alike(json: &Json) -> Json {
    serde_json::from_str(&json.to_string().replace(r#""t":"bigstring""#, r#""t":"string""#))
        .unwrap()
}
