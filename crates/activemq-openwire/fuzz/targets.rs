//! What must hold for any bytes. Fuzzers call these with theirs, and `tests/fuzz.rs` with those of
//! `proptest` and with recorded frames that it has spoilt.
#![allow(dead_code, reason = "each program that includes this calls a part of it")]

use std::time::{Duration, Instant};

use activemq_openwire::bytes::{Bytes, BytesMut};
use activemq_openwire::connection::{
    Connection, ConsumerKey, ConsumerOptions, Event, PullTimeout, Settings, Settlement, Tag,
};
use activemq_openwire::structures::{Destination, Message, MessageKind, Structure};
use activemq_openwire::{Format, Frame, Limits, Opaque, PrimitiveMap, decode, encode};

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

/// Contents of any kind can be looked at, and what they say comes back.
pub(crate) fn content(data: &[u8]) {
    let content = Some(Opaque(Bytes::copy_from_slice(data)));
    for kind in (23..=29).filter_map(MessageKind::from_code) {
        for compressed in [false, true] {
            let content = content.clone();
            let marshalled_properties = content.clone();
            look_into(&Message {
                kind,
                content,
                marshalled_properties,
                compressed,
                ..Message::default()
            });
        }
    }
    if let Ok(map) = PrimitiveMap::decode(Bytes::copy_from_slice(data), &LIMITS) {
        let encoded = map.encode().expect("what was read fits");
        let again = PrimitiveMap::decode(encoded, &LIMITS).expect("what was written can be read");
        // Not compared as values, because a NaN differs from itself.
        assert_eq!(again.encode(), map.encode());
    }
}

fn look_into(message: &Message) {
    drop(message.body(&LIMITS));
    drop(message.properties(&LIMITS));
    drop(message.message_id.as_ref().map(ToString::to_string));
}

/// Each kind of verdict in turn, for some more than one delivery or none.
fn verdict(tag: Tag) -> Settlement {
    let Tag(number) = tag;
    let earlier = Tag(number.saturating_sub(3));
    match number % 7 {
        0 | 1 => Settlement::Individual(tag),
        2 => Settlement::UpTo(earlier),
        3 => Settlement::Range { first: earlier, last: tag },
        4 => Settlement::Poison { tag, cause: Some("\0🦀".repeat(5_000)) },
        5 => Settlement::Expired(tag),
        _ => Settlement::Range { first: tag, last: earlier },
    }
}

/// What an application might do at any time.
fn command(connection: &mut Connection, key: ConsumerKey, step: usize) {
    match step % 8 {
        0 => drop(connection.pull(key, PullTimeout::Never)),
        1 => drop(connection.set_prefetch(key, 7)),
        2 => drop(connection.set_prefetch(key, 0)),
        3 if step > 200 => drop(connection.close_consumer(key)),
        _ => {}
    }
}

/// A connection takes any bytes in any pieces, ends at most once, and keeps within bounds.
///
/// The first byte says how far the peer keeps to the protocol; the rest is what it says then.
pub(crate) fn connection(data: &[u8]) {
    let Some((first, mut rest)) = data.split_first() else { return };
    let now = Instant::now();
    let mut settings = Settings::new("ID:fuzz", "client");
    settings.limits = LIMITS;
    let mut connection = Connection::new(settings, now);
    let mut input = BytesMut::new();
    if first & 1 == 1 {
        input.extend_from_slice(b"\0\0\0\x0E\x01ActiveMQ\0\0\0\x0C\0");
        connection.receive(now, &mut input);
        // The login: only what was taken can be answered.
        drop(connection.take_output(now));
        input.extend_from_slice(b"\0\0\0\x0A\x1E\0\0\0\0\0\0\0\0\x01");
        connection.receive(now, &mut input);
        assert!(matches!(connection.poll_event(), Some(Event::LoggedIn)));
    }
    let mut consumer = None;
    if first & 3 == 3 {
        let (session, _) = connection.open_session().expect("it is open");
        let options = ConsumerOptions::new(Destination::queue("fuzz"), 5);
        let (key, _) = connection.open_consumer(session, &options).expect("it is open");
        consumer = Some(key);
        drop(connection.pull(key, PullTimeout::None));
    }
    let piece = usize::from(first >> 2).max(1);
    let (mut has_ended, mut time) = (false, now);
    while !rest.is_empty() {
        let (bytes, after) = rest.split_at(piece.min(rest.len()));
        rest = after;
        input.extend_from_slice(bytes);
        connection.receive(time, &mut input);
        time += Duration::from_secs(1);
        connection.handle_timeout(time);
        while let Some(event) = connection.poll_event() {
            assert!(!has_ended, "{event:?} after the end");
            has_ended = matches!(event, Event::Closed(_));
            if let Event::Delivered(delivery) = event {
                connection.hand(delivery.consumer, delivery.tag);
                drop(connection.settle(delivery.consumer, &verdict(delivery.tag)));
            }
        }
        if let Some(key) = consumer {
            // Twice the greatest prefetch, and a pull.
            assert!(connection.unsettled(key) <= 15);
            command(&mut connection, key, rest.len());
        }
        drop(connection.take_output(time));
    }
    connection.close(time);
    connection.handle_timeout(time + Duration::from_secs(3_600));
    assert!(connection.is_closed());
}
