//! How each kind of field is read and written: section by section the table of the loose encoding.
//!
//! A structure is a list of fields in order (`describe`), and each field's type says here what it is
//! on the wire, both ways side by side. `Option` is the presence byte; what can stand behind one is
//! [`Nullable`].

use bytes::Bytes;

use super::error::DecodeError;
use super::reader::Reader;
use super::writer::Writer;
use crate::{Hidden, Opaque, Text};

/// Something with a place in every structure that lists it.
pub(crate) trait Field: Sized {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError>;
    fn encode(&self, writer: &mut Writer<'_>);
}

/// Something behind a presence byte.
pub(crate) trait Nullable: Sized {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError>;
    fn encode(&self, writer: &mut Writer<'_>);
}

/// Something with a type code.
pub(crate) trait Coded {
    fn has_code(code: u8) -> bool;
    fn code(&self) -> u8;
}

/// The fields behind a type code: a structure, or one of several.
pub(crate) trait Described: Coded + Sized {
    /// Reads the fields; the reader knows the type code.
    fn decode_fields(reader: &mut Reader) -> Result<Self, DecodeError>;
    fn encode_fields(&self, writer: &mut Writer<'_>);
    #[cfg(test)]
    fn meaning(&self) -> serde_json::Value;
}

impl Field for bool {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.bool()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.bool(*self);
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
                reader.array().map(Self::from_be_bytes)
            }

            fn encode(&self, writer: &mut Writer<'_>) {
                writer.put(&self.to_be_bytes());
            }
        }
    )*};
}

integers!(i8, i32, i64);

impl<T: Nullable> Field for Option<T> {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        if reader.bool()? { T::decode(reader).map(Some) } else { Ok(None) }
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.bool(self.is_some());
        if let Some(value) = self {
            value.encode(writer);
        }
    }
}

impl Nullable for Text {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let length = usize::from(reader.u16()?);
        reader.text(length)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.text(self);
    }
}

impl Nullable for Hidden {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        <Text as Nullable>::decode(reader).map(Hidden::new)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.text(self.expose());
    }
}

impl Nullable for Opaque {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let length = reader.length()?;
        reader.bytes(length).map(Opaque)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        let bytes: &Bytes = &self.0;
        writer.length(bytes.len());
        writer.put(bytes);
    }
}

/// A nested structure.
impl<T: Described> Nullable for T {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let code = reader.u8()?;
        if !T::has_code(code) {
            return Err(DecodeError::UnexpectedType { code });
        }
        reader.structure(code, T::decode_fields)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.structure(self.code(), |writer| self.encode_fields(writer));
    }
}

/// An array of nested structures, each of which can be null.
impl<T: Described> Nullable for Vec<Option<T>> {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let count = reader.short_count()?;
        (0..count).map(|_| Field::decode(reader)).collect()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.short_count(self.len());
        for element in self {
            element.encode(writer);
        }
    }
}

impl<T: Coded> Coded for Box<T> {
    fn has_code(code: u8) -> bool {
        T::has_code(code)
    }

    fn code(&self) -> u8 {
        (**self).code()
    }
}

impl<T: Described> Described for Box<T> {
    fn decode_fields(reader: &mut Reader) -> Result<Self, DecodeError> {
        T::decode_fields(reader).map(Box::new)
    }

    fn encode_fields(&self, writer: &mut Writer<'_>) {
        (**self).encode_fields(writer);
    }

    #[cfg(test)]
    fn meaning(&self) -> serde_json::Value {
        (**self).meaning()
    }
}
