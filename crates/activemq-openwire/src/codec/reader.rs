//! A place in a frame, and what may still be taken from it.
//!
//! Every read is checked against what is left, and counts and depths against the limits. What must
//! never happen: a panic, or memory for something that is not there.

use bytes::{Buf, Bytes};

use super::error::DecodeError;
use super::{Format, Gate};
use crate::{Limits, Text};

pub(crate) struct Reader {
    rest: Bytes,
    format: Format,
    string_bytes_max: usize,
    nesting_left: u8,
    elements_left: usize,
    /// The type code of the structure that is being read.
    code: u8,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes, format: Format, limits: &Limits) -> Self {
        Self {
            rest: bytes,
            format,
            string_bytes_max: limits.string_bytes_max,
            nesting_left: limits.nesting_max,
            elements_left: limits.elements_max,
            code: 0,
        }
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    pub(crate) fn has_stack_traces(&self) -> bool {
        self.format.stack_traces
    }

    /// Whether a field is there.
    pub(crate) fn has(&self, gate: Gate) -> bool {
        gate.is_open(self.format.version, self.code)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(DecodeError::Trailing { count }),
        }
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(self.rest.split_to(length))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let array = *self.rest.first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest.advance(N);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(DecodeError::NotABool { value }),
        }
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// A length of four bytes, which must not be negative.
    pub(crate) fn length(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(self.i32()?).map_err(|_| DecodeError::NegativeLength)
    }

    /// A count of two bytes, as signed as Java's short.
    pub(crate) fn short_count(&mut self) -> Result<usize, DecodeError> {
        let count = self.array().map(i16::from_be_bytes)?;
        let count = usize::try_from(count).map_err(|_| DecodeError::NegativeLength)?;
        self.elements(count)
    }

    /// Takes elements from what the limit leaves. Each has at least a byte.
    pub(crate) fn elements(&mut self, count: usize) -> Result<usize, DecodeError> {
        if count > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        self.elements_left =
            self.elements_left.checked_sub(count).ok_or(DecodeError::TooManyElements)?;
        Ok(count)
    }

    /// A string's bytes after its length.
    pub(crate) fn text(&mut self, length: usize) -> Result<Text, DecodeError> {
        if length > self.string_bytes_max {
            return Err(DecodeError::StringTooLong { length, max: self.string_bytes_max });
        }
        self.bytes(length).map(Text::from_wire)
    }

    /// Reads one level deeper.
    pub(crate) fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let here = self.nesting_left;
        self.nesting_left = here.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        let value = read(self);
        self.nesting_left = here;
        value
    }

    /// Reads the fields of a structure after its type code.
    pub(crate) fn structure<T>(
        &mut self,
        code: u8,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let outer = std::mem::replace(&mut self.code, code);
        let value = self.nested(read);
        self.code = outer;
        value
    }
}
