//! Primitive values and maps of them: properties, map and stream bodies, and what both sides say
//! first about themselves.
//!
//! What must never happen: what somebody wrote into a message, in `Debug` output.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::reader::Reader;
use crate::{DecodeError, EncodeError, Format, Limits, Text};

/// A primitive value. `Debug` shows no strings and no bytes.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// A signed byte.
    Byte(i8),
    /// A UTF-16 unit.
    Char(u16),
    /// A short.
    Short(i16),
    /// An int.
    Int(i32),
    /// A long.
    Long(i64),
    /// A double.
    Double(f64),
    /// A float.
    Float(f32),
    /// A string of any length.
    String(Text),
    /// Bytes.
    Bytes(Bytes),
    /// A map; null inside a value is an empty one.
    Map(PrimitiveMap),
    /// A list.
    List(Vec<Value>),
}

/// Names and values in the order of the wire, which means nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PrimitiveMap(Vec<(Text, Value)>);

mod code {
    pub(super) const NULL: u8 = 0;
    pub(super) const BOOL: u8 = 1;
    pub(super) const BYTE: u8 = 2;
    pub(super) const CHAR: u8 = 3;
    pub(super) const SHORT: u8 = 4;
    pub(super) const INT: u8 = 5;
    pub(super) const LONG: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const FLOAT: u8 = 8;
    pub(super) const STRING: u8 = 9;
    pub(super) const BYTES: u8 = 10;
    pub(super) const MAP: u8 = 11;
    pub(super) const LIST: u8 = 12;
    pub(super) const BIG_STRING: u8 = 13;
}

/// Longer strings, in bytes, are written as big ones; Java's writers go by units of UTF-16.
const STRING_BYTES_MAX: usize = 8190;

impl PrimitiveMap {
    /// A map of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a map; a null map reads as an empty one.
    ///
    /// # Errors
    ///
    /// When the bytes are no such map, or more than the limits allow.
    pub fn decode(bytes: Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, Format::default(), limits);
        let map = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(map)
    }

    /// Writes the map.
    ///
    /// # Errors
    ///
    /// When a name or a count is too large for the wire.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut out = BytesMut::new();
        self.write(&mut out)?;
        Ok(out.freeze())
    }

    /// Adds or replaces a value.
    pub fn insert(&mut self, name: impl Into<Text>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, place)) => *place = value,
            None => self.0.push((name, value)),
        }
    }

    /// The value of a name; the last one, if a peer has sent several.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Value)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        // Also a null map is a level, because an empty one, as which it is written, is.
        reader.nested(|reader| {
            let count = reader.i32()?;
            if count == -1 {
                return Ok(Self::default());
            }
            let count = usize::try_from(count).map_err(|_| DecodeError::NegativeLength)?;
            let entries = (0..reader.elements(count)?).map(|_| {
                let length = usize::from(reader.u16()?);
                Ok((reader.text(length)?, Value::read(reader)?))
            });
            entries.collect::<Result<_, _>>().map(Self)
        })
    }

    fn write(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        out.put_i32(count(self.0.len())?);
        for (name, value) in &self.0 {
            let length = u16::try_from(name.len())
                .map_err(|_| EncodeError::StringTooLong { length: name.len() })?;
            out.put_u16(length);
            out.put_slice(name.as_wire());
            value.write(out)?;
        }
        Ok(())
    }
}

impl<N: Into<Text>, V: Into<Value>> FromIterator<(N, V)> for PrimitiveMap {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut map = Self::new();
        for (name, value) in pairs {
            map.insert(name, value);
        }
        map
    }
}

impl Value {
    /// Reads values until the end of the bytes.
    pub(crate) fn read_all(mut reader: Reader) -> Result<Vec<Self>, DecodeError> {
        let mut values = Vec::new();
        while !reader.is_empty() {
            reader.elements(1)?;
            values.push(Self::read(&mut reader)?);
        }
        Ok(values)
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            code::NULL => Self::Null,
            code::BOOL => Self::Bool(reader.bool()?),
            code::BYTE => Self::Byte(reader.array().map(i8::from_be_bytes)?),
            code::CHAR => Self::Char(reader.u16()?),
            code::SHORT => Self::Short(reader.array().map(i16::from_be_bytes)?),
            code::INT => Self::Int(reader.i32()?),
            code::LONG => Self::Long(reader.array().map(i64::from_be_bytes)?),
            code::DOUBLE => Self::Double(reader.array().map(f64::from_be_bytes)?),
            code::FLOAT => Self::Float(reader.array().map(f32::from_be_bytes)?),
            code::STRING => {
                let length = usize::from(reader.u16()?);
                Self::String(reader.text(length)?)
            }
            code::BIG_STRING => {
                let length = reader.length()?;
                Self::String(reader.text(length)?)
            }
            code::BYTES => {
                let length = reader.length()?;
                Self::Bytes(reader.bytes(length)?)
            }
            code::MAP => Self::Map(PrimitiveMap::read(reader)?),
            code::LIST => {
                let count = reader.length()?;
                let count = reader.elements(count)?;
                let read = |reader: &mut Reader| (0..count).map(|_| Self::read(reader)).collect();
                Self::List(reader.nested(read)?)
            }
            code => return Err(DecodeError::UnknownPrimitive { code }),
        })
    }

    pub(crate) fn write(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let mut put = |code, bytes: &[u8]| {
            out.put_u8(code);
            out.put_slice(bytes);
        };
        match self {
            Self::Null => put(code::NULL, &[]),
            Self::Bool(value) => put(code::BOOL, &[u8::from(*value)]),
            Self::Byte(value) => put(code::BYTE, &value.to_be_bytes()),
            Self::Char(value) => put(code::CHAR, &value.to_be_bytes()),
            Self::Short(value) => put(code::SHORT, &value.to_be_bytes()),
            Self::Int(value) => put(code::INT, &value.to_be_bytes()),
            Self::Long(value) => put(code::LONG, &value.to_be_bytes()),
            Self::Double(value) => put(code::DOUBLE, &value.to_be_bytes()),
            Self::Float(value) => put(code::FLOAT, &value.to_be_bytes()),
            Self::String(value) => {
                match u16::try_from(value.len()) {
                    Ok(length) if value.len() <= STRING_BYTES_MAX => {
                        put(code::STRING, &length.to_be_bytes());
                    }
                    Ok(_) | Err(_) => put(code::BIG_STRING, &count(value.len())?.to_be_bytes()),
                }
                out.put_slice(value.as_wire());
            }
            Self::Bytes(value) => {
                put(code::BYTES, &count(value.len())?.to_be_bytes());
                out.put_slice(value);
            }
            Self::Map(value) => {
                put(code::MAP, &[]);
                value.write(out)?;
            }
            Self::List(values) => {
                put(code::LIST, &count(values.len())?.to_be_bytes());
                for value in values {
                    value.write(out)?;
                }
            }
        }
        Ok(())
    }
}

fn count(count: usize) -> Result<i32, EncodeError> {
    i32::try_from(count).map_err(|_| EncodeError::TooManyElements { count })
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Bool(value) => write!(f, "Bool({value})"),
            Self::Byte(value) => write!(f, "Byte({value})"),
            Self::Char(value) => write!(f, "Char({value})"),
            Self::Short(value) => write!(f, "Short({value})"),
            Self::Int(value) => write!(f, "Int({value})"),
            Self::Long(value) => write!(f, "Long({value})"),
            Self::Double(value) => write!(f, "Double({value:?})"),
            Self::Float(value) => write!(f, "Float({value:?})"),
            Self::String(value) => write!(f, "String([{} bytes])", value.len()),
            Self::Bytes(value) => write!(f, "Bytes([{} bytes])", value.len()),
            Self::Map(value) => fmt::Debug::fmt(value, f),
            Self::List(value) => f.debug_list().entries(value).finish(),
        }
    }
}

macro_rules! from {
    ($($variant:ident: $type:ty),*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

from!(Bool: bool, Byte: i8, Short: i16, Int: i32, Long: i64, Double: f64, Float: f32);
from!(String: &str, String: String, String: Text, Bytes: Bytes, Map: PrimitiveMap);
from!(List: Vec<Value>);

#[cfg(test)]
mod tests;
