//! Tests of the codec with frames that nobody has recorded, mostly hostile ones.

use proptest::prelude::*;

use super::*;
use crate::structures::*;
use crate::{Opaque, Text};

fn with(limits: Limits, bytes: &[u8]) -> Result<Frame, DecodeError> {
    decode(Bytes::copy_from_slice(bytes), Format::default(), &limits)
}

fn plain(bytes: &[u8]) -> Result<Frame, DecodeError> {
    with(Limits::default(), bytes)
}

fn encoded(structure: impl Into<Structure>) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode(&structure.into(), Format::default(), &Limits::default(), &mut out).unwrap();
    out[SIZE_BYTES..].to_vec()
}

/// A message that is about a message that is about a message.
fn messages_in_messages(depth: u8) -> Vec<u8> {
    let mut message = Message::default();
    for _ in 1..depth {
        let inner = Some(Box::new(Structure::from(Box::new(message))));
        message = Message { data_structure: inner, ..Message::default() };
    }
    encoded(Box::new(message))
}

#[test]
fn nothing_and_the_unknown_are_frames_too() {
    assert_eq!(plain(&[0]), Ok(Frame::Null));
    assert_eq!(plain(&[0, 0]), Err(DecodeError::Trailing { count: 1 }));
    assert_eq!(plain(&[65, 1, 2, 3]), Ok(Frame::Unknown { code: 65 }));
    assert_eq!(plain(&[]), Err(DecodeError::Truncated));
}

#[test]
fn every_byte_counts() {
    let frame = encoded(Response { correlation_id: 7, ..Response::default() });
    assert!(plain(&frame).is_ok());
    for length in 0..frame.len() {
        assert_eq!(plain(&frame[..length]), Err(DecodeError::Truncated), "{length}");
    }
    let longer = [&frame[..], &[0]].concat();
    assert_eq!(plain(&longer), Err(DecodeError::Trailing { count: 1 }));
    let mut odd = frame;
    odd[5] = 2;
    assert_eq!(plain(&odd), Err(DecodeError::NotABool { value: 2 }));
}

#[test]
fn structures_nest_as_deep_as_the_limit_and_no_deeper() {
    assert!(plain(&messages_in_messages(32)).is_ok());
    assert_eq!(plain(&messages_in_messages(33)), Err(DecodeError::TooDeep));
    assert_eq!(plain(&messages_in_messages(200)), Err(DecodeError::TooDeep));
}

#[test]
fn causes_nest_as_deep_as_the_limit() {
    let format = Format { stack_traces: true, ..Format::default() };
    let mut cause = Throwable::default();
    for _ in 0..100 {
        cause = Throwable { cause: Some(Box::new(cause)), ..Throwable::default() };
    }
    let error = Box::new(ConnectionError { exception: Some(cause), ..Default::default() });
    let mut out = BytesMut::new();
    encode(&error.into(), format, &Limits::default(), &mut out).unwrap();
    let frame = out.split_off(SIZE_BYTES).freeze();
    assert_eq!(decode(frame, format, &Limits::default()), Err(DecodeError::TooDeep));
}

#[test]
fn elements_are_counted_over_the_whole_frame() {
    let few = || Some(vec![None; 40]);
    let info = ConsumerInfo {
        broker_path: few(),
        network_consumer_path: Some(vec![None; 40]),
        ..Default::default()
    };
    let frame = encoded(Box::new(info));
    let limits = Limits { elements_max: 80, ..Limits::default() };
    assert!(with(limits, &frame).is_ok());
    let limits = Limits { elements_max: 79, ..Limits::default() };
    assert_eq!(with(limits, &frame), Err(DecodeError::TooManyElements));
}

#[test]
fn lengths_beyond_the_frame_take_no_memory() {
    // XaTransactionId with two gigabytes of id, and a DataArrayResponse with 32,767 elements.
    let long = [112, 0, 0, 0, 1, 1, 0x7F, 0xFF, 0xFF, 0xFF, 0];
    assert_eq!(plain(&long), Err(DecodeError::Truncated));
    let negative = [112, 0, 0, 0, 1, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0];
    assert_eq!(plain(&negative), Err(DecodeError::NegativeLength));
    let many = [33, 0, 0, 0, 0, 0, 0, 0, 0, 7, 1, 0x7F, 0xFF, 0];
    assert_eq!(plain(&many), Err(DecodeError::Truncated));
    let negative = [33, 0, 0, 0, 0, 0, 0, 0, 0, 7, 1, 0xFF, 0xFF, 0];
    assert_eq!(plain(&negative), Err(DecodeError::NegativeLength));
    let limits = Limits { string_bytes_max: 2, ..Limits::default() };
    let long = encoded(ConnectionId { value: Some("abc".into()) });
    assert_eq!(with(limits, &long), Err(DecodeError::StringTooLong { length: 3, max: 2 }));
}

#[test]
fn a_structure_in_the_wrong_place_is_refused() {
    let mut frame = encoded(SessionInfo::default());
    let place = frame.len() - 1;
    frame[place] = 1;
    frame.push(100);
    assert_eq!(plain(&frame), Err(DecodeError::UnexpectedType { code: 100 }));
}

#[test]
fn what_does_not_fit_leaves_nothing_behind() {
    let mut out = BytesMut::from(&b"before"[..]);
    let mut refused = |structure: Structure, limits: &Limits| {
        let error = encode(&structure, Format::default(), limits, &mut out).unwrap_err();
        assert_eq!(out, &b"before"[..]);
        error
    };
    let text = |length| Some(Text::from("x".repeat(length)));
    let long = ConnectionId { value: text(65_536) };
    let error = EncodeError::StringTooLong { length: 65_536 };
    assert_eq!(refused(long.into(), &Limits::default()), error);
    let many = DataArrayResponse { data: Some(vec![None; 32_768]), ..Default::default() };
    let error = EncodeError::TooManyElements { count: 32_768 };
    assert_eq!(refused(many.into(), &Limits::default()), error);
    let limits = Limits { frame_bytes_max: 9, ..Limits::default() };
    let large = ConnectionId { value: text(6) };
    assert_eq!(refused(large.into(), &limits), EncodeError::FrameTooLarge { size: 10, max: 9 });
    let longest = ConnectionId { value: text(65_535) };
    encode(&longest.into(), Format::default(), &Limits::default(), &mut out).unwrap();
}

#[test]
fn a_body_is_a_slice_of_its_frame() {
    let content = Some(Opaque(Bytes::from(vec![7; 1_000])));
    let message = Message { kind: MessageKind::Bytes, content, ..Message::default() };
    let frame = Bytes::from(encoded(Box::new(message)));
    let decoded = decode(frame.clone(), Format::default(), &Limits::default());
    let Ok(Frame::Structure(Structure::Message(message))) = decoded else { panic!() };
    let Ok(crate::Body::Bytes(body)) = message.body(&Limits::default()) else { panic!() };
    assert!(frame.as_ptr_range().contains(&body.as_ptr()));
}

proptest! {
    #[test]
    fn every_message_comes_back_in_every_version(
        version in VERSION_MIN..=VERSION_MAX,
        kind in 23..=29_u8,
        texts in prop::array::uniform5(prop::option::of(any::<String>())),
        numbers in any::<(i64, i64, i32, i8)>(),
        flags in any::<(bool, bool, bool)>(),
        content in prop::option::of(any::<Vec<u8>>()),
    ) {
        let [group, correlation, r#type, user, queue] = texts;
        let text = |text: Option<String>| text.map(Text::from);
        let message = Message {
            kind: MessageKind::from_code(kind).unwrap(),
            group_id: text(group),
            correlation_id: text(correlation),
            r#type: text(r#type),
            user_id: text(user),
            destination: queue.map(|name| Destination::topic(&name)),
            expiration: numbers.0,
            broker_out_time: numbers.1,
            group_sequence: numbers.2,
            priority: numbers.3,
            persistent: flags.0,
            compressed: flags.1,
            jms_x_group_first_for_consumer: flags.2 && version >= 10,
            content: content.map(|bytes| Opaque(bytes.into())),
            ..Message::default()
        };
        let message = Structure::from(Box::new(message));
        let format = Format { version, stack_traces: false };
        let mut out = BytesMut::new();
        encode(&message, format, &Limits::default(), &mut out).unwrap();
        let frame = out.split_off(SIZE_BYTES).freeze();
        let decoded = decode(frame, format, &Limits::default());
        prop_assert_eq!(decoded, Ok(Frame::Structure(message)));
    }
}
