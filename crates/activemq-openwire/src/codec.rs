//! The loose encoding: frames to structures and back, without any state.
//!
//! ```text
//! frame      size: i32, type: u8, fields         the size counts what follows it
//! structure  described once, in `crate::structures`, by the macros of `describe`
//! field      what each type is on the wire: `field`, over `reader` and `writer`
//! ```
//!
//! Tight encoding and the value cache are never negotiated (decision 14 of the project), so every
//! frame stands for itself, and one of an unknown type is skipped by its size.
//!
//! What must never happen: a panic, or memory beyond the [`Limits`], whatever the bytes are; and
//! what decodes must encode to the same bytes.

pub(crate) mod describe;
mod error;
pub(crate) mod field;
mod frames;
pub(crate) mod reader;
#[cfg(test)]
pub(crate) mod recorded;
#[cfg(test)]
mod tests;
pub(crate) mod writer;

use bytes::{BufMut, Bytes, BytesMut};

use crate::Limits;
use crate::structures::Structure;
use field::{Coded, Described, Field};
use reader::Reader;
use writer::Writer;

pub use error::{DecodeError, EncodeError};
pub use frames::next_frame;

/// The oldest version of OpenWire that is spoken: ActiveMQ 5.8.
pub const VERSION_MIN: u8 = 9;
/// The newest version of OpenWire that is spoken: ActiveMQ 5.14 and everything after it.
pub const VERSION_MAX: u8 = 12;

/// What both sides have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// The version, which decides what fields there are.
    pub version: u8,
    /// Whether exceptions come with their stack traces.
    pub stack_traces: bool,
}

impl Default for Format {
    /// The newest version, without stack traces.
    fn default() -> Self {
        Self { version: VERSION_MAX, stack_traces: false }
    }
}

/// When a field is there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gate {
    Always,
    /// From this version on.
    Since(u8),
    /// In structures of this type.
    Code(u8),
}

impl Gate {
    fn is_open(self, version: u8, code: u8) -> bool {
        match self {
            Self::Always => true,
            Self::Since(since) => version >= since,
            Self::Code(only) => code == only,
        }
    }
}

/// What a frame holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// A structure.
    Structure(Structure),
    /// Nothing, which is legal and means nothing.
    Null,
    /// A structure that this crate does not know and nobody needs.
    Unknown {
        /// Its type code.
        code: u8,
    },
}

/// Decodes a frame, which is given without its size. Bodies and strings are slices of it.
///
/// # Errors
///
/// When the bytes are no such frame, or more than the limits allow.
///
/// # Examples
///
/// ```
/// use activemq_openwire::{Format, Frame, Limits, decode, structures::Structure};
///
/// let bytes = bytes::Bytes::from_static(&[30, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
/// let frame = decode(bytes, Format::default(), &Limits::default())?;
/// let Frame::Structure(Structure::Response(response)) = frame else { panic!("{frame:?}") };
/// assert_eq!(response.correlation_id, 7);
/// # Ok::<(), activemq_openwire::DecodeError>(())
/// ```
pub fn decode(frame: Bytes, format: Format, limits: &Limits) -> Result<Frame, DecodeError> {
    let mut reader = Reader::new(frame, format, limits);
    let code = reader.u8()?;
    if code == 0 {
        return reader.finish().map(|()| Frame::Null);
    }
    if !Structure::has_code(code) {
        return Ok(Frame::Unknown { code });
    }
    let structure = reader.structure(code, Structure::decode_fields)?;
    reader.finish()?;
    Ok(Frame::Structure(structure))
}

/// Appends a frame with its size to `out`.
///
/// # Errors
///
/// When something is too long for the wire or for the limit of a frame; then `out` is unchanged.
pub fn encode(
    structure: &Structure,
    format: Format,
    limits: &Limits,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    encode_one(structure, format, limits, out)
}

pub(crate) fn encode_one(
    structure: &impl Described,
    format: Format,
    limits: &Limits,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let before = out.len();
    // The size is known when the frame is written, so it stands apart until then.
    let mut frame = out.split_off(before);
    frame.put_i32(0);
    let mut writer = Writer::new(&mut frame, format);
    writer.structure(structure.code(), |writer| structure.encode_fields(writer));
    writer.finish()?;
    let size = frame.len().saturating_sub(SIZE_BYTES);
    let max = limits.frame_bytes_max;
    let prefix = i32::try_from(size).ok().filter(|_| size <= max);
    let prefix = prefix.ok_or(EncodeError::FrameTooLarge { size, max })?;
    if let Some(place) = frame.first_chunk_mut::<SIZE_BYTES>() {
        *place = prefix.to_be_bytes();
    }
    out.unsplit(frame);
    Ok(())
}

/// The bytes of the size before a frame.
const SIZE_BYTES: usize = 4;

/// Where a command's frame says whether the sender waits for a response: behind the size, the type
/// and the number.
pub(crate) const RESPONSE_REQUIRED_AT: usize = 9;

/// What every command begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Header {
    /// The sender's number of the command. A broker sends 0 in its own; in the message of a
    /// dispatch it is the producer's.
    pub command_id: i32,
    /// Whether the sender waits for a response.
    pub response_required: bool,
}

impl Field for Header {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { command_id: Field::decode(reader)?, response_required: Field::decode(reader)? })
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.command_id.encode(writer);
        self.response_required.encode(writer);
    }
}
