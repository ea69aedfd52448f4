//! Where a frame is written to.
//!
//! Mistakes are kept until the end, so that a caller who checks [`Writer::finish`] cannot have half
//! a frame.

use bytes::{BufMut, BytesMut};

use super::error::EncodeError;
use super::{Format, Gate};
use crate::Text;

pub(crate) struct Writer<'a> {
    out: &'a mut BytesMut,
    format: Format,
    /// The type code of the structure that is being written.
    code: u8,
    error: Option<EncodeError>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut BytesMut, format: Format) -> Self {
        Self { out, format, code: 0, error: None }
    }

    pub(crate) fn has_stack_traces(&self) -> bool {
        self.format.stack_traces
    }

    /// Whether a field is to be written.
    pub(crate) fn has(&self, gate: Gate) -> bool {
        gate.is_open(self.format.version, self.code)
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.out.put_u8(u8::from(value));
    }

    pub(crate) fn short_count(&mut self, count: usize) {
        match i16::try_from(count) {
            Ok(count) => self.out.put_i16(count),
            Err(_) => self.fail(EncodeError::TooManyElements { count }),
        }
    }

    pub(crate) fn length(&mut self, length: usize) {
        match i32::try_from(length) {
            Ok(length) => self.out.put_i32(length),
            Err(_) => {
                let max = usize::try_from(i32::MAX).unwrap_or(usize::MAX);
                self.fail(EncodeError::FrameTooLarge { size: length, max });
            }
        }
    }

    /// A string with two bytes of length.
    pub(crate) fn text(&mut self, text: &Text) {
        match u16::try_from(text.len()) {
            Ok(length) => {
                self.out.put_u16(length);
                self.out.put_slice(text.as_wire());
            }
            Err(_) => self.fail(EncodeError::StringTooLong { length: text.len() }),
        }
    }

    /// Writes a structure's fields after its type code.
    pub(crate) fn structure(&mut self, code: u8, write: impl FnOnce(&mut Self)) {
        self.out.put_u8(code);
        let outer = std::mem::replace(&mut self.code, code);
        write(self);
        self.code = outer;
    }

    fn fail(&mut self, error: EncodeError) {
        self.error.get_or_insert(error);
    }

    pub(crate) fn finish(self) -> Result<(), EncodeError> {
        self.error.map_or(Ok(()), Err)
    }
}
