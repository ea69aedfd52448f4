//! A message as OpenWire writes it, to be kept or published again.
//!
//! ```text
//! format (1 byte) · version of OpenWire (1 byte) · frame of the message, loosely encoded, without its size
//! ```
//!
//! What must never happen: a message that is changed by being kept, or damaged bytes that are taken for one.

use activemq_openwire::bytes::{Buf, Bytes, BytesMut};
use activemq_openwire::structures::{Message, Structure};
use activemq_openwire::{Format, Frame, Limits, decode, encode};
use gristmill_broker::{Original, Unreadable};

use crate::translate::Translator;

const FORMAT: u8 = 1;

/// The bytes of a frame's size.
const SIZE_BYTES: usize = 4;

/// Room for what a message usually has beside its body.
const REST_BYTES: usize = 1_024;

/// Writes a message. `None` if it cannot be written, which no message is that came from a broker.
pub(crate) fn write(message: &Message) -> Option<Original> {
    let format = Format::default();
    let structure = Structure::Message(Box::new(message.clone()));
    let body_bytes = message.content.as_ref().map_or(0, |content| content.0.len());
    let mut frame = BytesMut::with_capacity(body_bytes + REST_BYTES);
    encode(&structure, format, &Limits::default(), &mut frame).ok()?;
    let mut bytes = Vec::from(frame);
    // In place of the size.
    drop(bytes.splice(..SIZE_BYTES, [FORMAT, format.version]));
    Some(Original(bytes))
}

/// Reads what was written.
pub(crate) fn read(original: Original) -> Result<Message, Unreadable> {
    let mut frame = Bytes::from(original.0);
    let (Ok(format), Ok(version)) = (frame.try_get_u8(), frame.try_get_u8()) else {
        return Err(Unreadable::Damaged);
    };
    match format {
        FORMAT => {}
        0 => return Err(Unreadable::Damaged),
        later => return Err(Unreadable::Later(later)),
    }
    let format = Format { version, stack_traces: false };
    match decode(frame, format, &Limits::default()) {
        Ok(Frame::Structure(Structure::Message(message))) => Ok(*message),
        Ok(_) | Err(_) => Err(Unreadable::Damaged),
    }
}

/// The message that was kept, as its event shows it.
///
/// # Errors
///
/// [`Unreadable`].
pub fn message(original: &Original) -> Result<gristmill_event::Message, Unreadable> {
    let message = read(original.clone())?;
    let shown = Translator::new().message(&message, message.redelivery_counter);
    shown.map(Into::into).map_err(|no_form| Unreadable::NoEvent(no_form.reason))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use activemq_openwire::Outgoing;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut outgoing = Outgoing::text("zwölf 🦀 \0", SystemTime::UNIX_EPOCH);
        outgoing.properties.insert("shop", 7);
        let mut sent = outgoing.into_message().unwrap();
        sent.redelivery_counter = 3;
        let original = write(&sent).unwrap();
        assert_eq!(read(original.clone()), Ok(sent));
        let gristmill_event::Message::ActiveMq(shown) = message(&original).unwrap() else {
            unreachable!("it is one of ActiveMQ")
        };
        assert!(shown.redelivered);
    }

    #[test]
    fn a_body_is_not_copied_to_be_read() {
        let sent = Outgoing::bytes(vec![7; 10_000], SystemTime::UNIX_EPOCH).into_message().unwrap();
        let original = write(&sent).unwrap();
        let kept = original.0.as_ptr_range();
        let content = read(original).unwrap().content.unwrap();
        assert!(kept.contains(&content.0.as_ptr()));
    }

    #[test]
    fn later_and_damaged_ones_are_told_apart() {
        assert_eq!(read(Original(vec![2, 12, 1])), Err(Unreadable::Later(2)));
        for bytes in [vec![], vec![0, 0], vec![1, 12], vec![1, 12, 28, 0], vec![1, 12, 30, 0, 0]] {
            assert_eq!(read(Original(bytes)), Err(Unreadable::Damaged));
        }
        let whole = write(&Message::default()).unwrap();
        for end in 0..whole.0.len() {
            assert_eq!(read(Original(whole.0[..end].to_vec())), Err(Unreadable::Damaged));
        }
    }
}
