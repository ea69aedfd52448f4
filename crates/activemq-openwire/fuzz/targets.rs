//! What must hold for any bytes. Fuzzers call these with theirs, and `tests/fuzz.rs` with those of
//! `proptest` and with recorded frames that it has spoilt.
#![allow(dead_code, reason = "each program that includes this calls a part of it")]

mod connection;

use activemq_openwire::bytes::{Bytes, BytesMut};
use activemq_openwire::structures::{Message, MessageKind, Structure};
use activemq_openwire::{
    DecodeError, Format, Frame, Limits, Opaque, PrimitiveMap, Text, decode, encode,
};
use miniz_oxide::deflate::compress_to_vec_zlib;

/// Limits that bytes of a test can reach.
const LIMITS: Limits = Limits {
    frame_bytes_max: 1 << 16,
    string_bytes_max: 1 << 12,
    nesting_max: 16,
    elements_max: 1 << 10,
    inflated_bytes_max: 1 << 14,
};

/// What decodes, in whatever format, encodes to the same bytes.
pub(crate) fn frame(data: &[u8]) {
    if data.len() > LIMITS.frame_bytes_max {
        return;
    }
    for version in [9, 10, 11, 12] {
        for stack_traces in [false, true] {
            let format = Format { version, stack_traces };
            let frame = decode(Bytes::copy_from_slice(data), format, &LIMITS);
            let Ok(Frame::Structure(structure)) = frame else { continue };
            let mut again = BytesMut::new();
            encode(&structure, format, &LIMITS, &mut again).expect("what was read fits");
            assert_eq!(&again[4..], data, "{structure:?}");
            if let Structure::Message(message) = &structure {
                look_into(message);
            } else if let Structure::MessageDispatch(dispatch) = &structure
                && let Some(message) = &dispatch.message
            {
                look_into(message);
            }
        }
    }
}

/// Contents of any kind can be looked at, say the same when they are compressed, and come back.
///
/// The first byte says of which kind the rest is, and whether that is compressed or is to be.
pub(crate) fn content(data: &[u8]) {
    let Some((what, data)) = data.split_first() else { return };
    if data.len() > LIMITS.inflated_bytes_max {
        return;
    }
    let plain = Bytes::copy_from_slice(data);
    let kind = MessageKind::from_code(23 + what % 8).unwrap_or_default();
    let message = |content: Bytes, compressed| {
        let content = Some(Opaque(content));
        Message { kind, content, compressed, ..Message::default() }
    };
    let body = what_it_says(&message(plain.clone(), what & 8 != 0));
    if let Ok(again) = &body {
        assert_eq!(body, what_it_says(again));
    }
    if what & 24 == 16 {
        let deflated = compress_to_vec_zlib(data, 1);
        let length = i32::try_from(data.len()).expect("it is below the limit").to_be_bytes();
        // Only bytes say their length before the compressed part.
        let prefix = if kind == MessageKind::Bytes { &length[..] } else { &[] };
        assert_eq!(body, what_it_says(&message([prefix, &deflated].concat().into(), true)));
    }
    if let Ok(map) = PrimitiveMap::decode(plain.clone(), &LIMITS) {
        let encoded = map.encode().expect("what was read fits");
        let again = PrimitiveMap::decode(encoded, &LIMITS).expect("what was written can be read");
        // Not compared as values, because a NaN differs from itself.
        assert_eq!(again.encode(), map.encode());
        drop(format!("{map:?}"));
    }
    let text = Text::from_wire(plain);
    assert_eq!(Text::new(&text.to_str()).to_str(), text.to_str());
}

/// A message whose body this one's says, as this crate writes it.
fn what_it_says(message: &Message) -> Result<Message, DecodeError> {
    let mut again = Message::default();
    again.set_body(&message.body(&LIMITS)?).expect("what was read fits");
    Ok(again)
}

fn look_into(message: &Message) {
    drop(message.body(&LIMITS));
    drop(message.properties(&LIMITS));
    drop(message.message_id.as_ref().map(ToString::to_string));
}

/// See [`connection::play`].
pub(crate) fn connection(data: &[u8]) {
    connection::play(data);
}
