//! Tests of contents: what is compressed, what is missing, and what lies about its length.

use miniz_oxide::deflate::compress_to_vec_zlib;
use proptest::prelude::*;

use super::*;

fn message(kind: MessageKind, content: &[u8], compressed: bool) -> Message {
    let content = Some(Opaque(Bytes::copy_from_slice(content)));
    Message { kind, content, compressed, ..Message::default() }
}

/// A compressed body of bytes, as Java's client writes one.
fn deflated(length: i32, bytes: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes()[..], &compress_to_vec_zlib(bytes, 6)].concat()
}

const LIMITS: Limits = Limits {
    frame_bytes_max: 1_000,
    string_bytes_max: 100,
    nesting_max: 8,
    elements_max: 100,
    inflated_bytes_max: 1_000,
};

#[test]
fn missing_content_is_null_or_empty_by_kind() {
    for (kind, body) in [
        (MessageKind::Plain, Body::Plain),
        (MessageKind::Blob, Body::Blob),
        (MessageKind::Text, Body::Text(None)),
        (MessageKind::Bytes, Body::Bytes(Bytes::new())),
        (MessageKind::Map, Body::Map(PrimitiveMap::new())),
        (MessageKind::Stream, Body::Stream(Vec::new())),
        (MessageKind::Object, Body::Object(None)),
    ] {
        let missing = Message { kind, ..Message::default() };
        assert_eq!(missing.body(&LIMITS), Ok(body));
    }
}

#[test]
fn texts_that_lie_about_their_length_are_refused() {
    let text = |content: &[u8]| message(MessageKind::Text, content, false).body(&LIMITS);
    assert_eq!(text(&[0, 0, 0]), Err(DecodeError::Truncated));
    assert_eq!(text(&[0, 0, 0, 2, b'a']), Err(DecodeError::Truncated));
    assert_eq!(text(&[0x80, 0, 0, 0, b'a']), Err(DecodeError::NegativeLength));
    assert_eq!(text(&[0xFF; 4]), Ok(Body::Text(None)));
    assert_eq!(text(&[0, 0, 0, 0]), Ok(Body::Text(Some("".into()))));
}

#[test]
fn a_compressed_body_of_bytes_has_exactly_the_length_that_it_says() {
    let body = |content: &[u8]| message(MessageKind::Bytes, content, true).body(&LIMITS);
    // Java's client compresses what else was in its buffer along with the body.
    assert_eq!(body(&deflated(3, &[7; 500])), Ok(Body::Bytes(Bytes::from_static(&[7; 3]))));
    assert_eq!(body(&deflated(0, &[7; 500])), Ok(Body::Bytes(Bytes::new())));
    assert_eq!(body(&deflated(501, &[7; 500])), Err(DecodeError::Inflate));
    assert_eq!(body(&deflated(-1, &[7; 500])), Err(DecodeError::NegativeLength));
    assert_eq!(body(&[0, 0, 0]), Err(DecodeError::Truncated));
    assert_eq!(body(&[0, 0, 0, 5, 1, 2, 3]), Err(DecodeError::Inflate));
}

#[test]
fn nothing_inflates_beyond_the_limit() {
    let too_large = Err(DecodeError::InflatedTooLarge { max: 1_000 });
    let bomb = deflated(i32::MAX, &vec![0; 10_000_000]);
    assert!(bomb.len() < 20_000);
    assert_eq!(message(MessageKind::Bytes, &bomb, true).body(&LIMITS), too_large);
    for kind in [MessageKind::Text, MessageKind::Map, MessageKind::Stream, MessageKind::Object] {
        assert_eq!(message(kind, &bomb[4..], true).body(&LIMITS), too_large, "{kind:?}");
        assert_eq!(message(kind, b"garbage", true).body(&LIMITS), Err(DecodeError::Inflate));
    }
}

#[test]
fn streams_and_maps_are_bounded_as_well() {
    let stream = |content: &[u8]| message(MessageKind::Stream, content, false).body(&LIMITS);
    assert_eq!(stream(&[0; 100]), Ok(Body::Stream(vec![Value::Null; 100])));
    assert_eq!(stream(&[0; 101]), Err(DecodeError::TooManyElements));
    assert_eq!(stream(&[99]), Err(DecodeError::UnknownPrimitive { code: 99 }));
    let map = message(MessageKind::Map, &[0, 0, 0, 9], false);
    assert_eq!(map.body(&LIMITS), Err(DecodeError::Truncated));
}

#[test]
fn nobody_is_shown_a_body() {
    let mut secret = message(MessageKind::Text, b"\0\0\0\x06secret", false);
    secret.set_properties(&[("name", "secret")].into_iter().collect()).unwrap();
    let shown = format!("{secret:?} {:?}", secret.body(&LIMITS));
    assert!(!shown.contains("secret"), "{shown}");
    assert!(!shown.contains("115"), "{shown}");
}

proptest! {
    #[test]
    fn every_body_comes_back(text in any::<String>(), bytes in any::<Vec<u8>>(), number in any::<i32>()) {
        let map: PrimitiveMap = [("number", number)].into_iter().collect();
        for body in [
            Body::Plain,
            Body::Text(None),
            Body::Text(Some(text.as_str().into())),
            Body::Bytes(bytes.clone().into()),
            Body::Map(map),
            Body::Stream(vec![number.into(), text.as_str().into()]),
            Body::Object(Some(bytes.clone().into())),
            Body::Object(None),
        ] {
            let mut message = Message::default();
            message.set_body(&body).unwrap();
            prop_assert_eq!(message.body(&Limits::default()), Ok(body));
        }
    }

    #[test]
    fn any_content_can_be_looked_at(kind in 23..=29_u8, content in any::<Vec<u8>>(), compressed in any::<bool>()) {
        let kind = MessageKind::from_code(kind).unwrap();
        let message = message(kind, &content, compressed);
        if let Ok(Body::Bytes(bytes) | Body::Object(Some(bytes))) = message.body(&LIMITS) {
            prop_assert!(bytes.len() <= LIMITS.inflated_bytes_max.max(content.len()));
        }
    }
}
