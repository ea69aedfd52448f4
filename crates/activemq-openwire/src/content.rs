//! What is inside a message: body and properties, read and written on demand.
//!
//! A consumer that only routes and settles pays for none of this. A body that is not compressed is
//! a slice of its frame. What must never happen: an inflated body beyond the limit, or an object
//! that anything here tries to understand.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use miniz_oxide::inflate::{DecompressError, TINFLStatus, decompress_to_vec_zlib_with_limit};

use crate::codec::reader::Reader;
use crate::structures::{Message, MessageKind};
use crate::{DecodeError, EncodeError, Format, Limits, Opaque, PrimitiveMap, Text, Value};

/// A message's body. `Debug` shows what it is and not what it says.
#[derive(Clone, PartialEq)]
pub enum Body {
    /// A message without a body.
    Plain,
    /// Text, which can be null.
    Text(Option<Text>),
    /// Bytes.
    Bytes(Bytes),
    /// Names and values.
    Map(PrimitiveMap),
    /// Values in a row.
    Stream(Vec<Value>),
    /// A serialized Java object, which can be null.
    Object(Option<Bytes>),
    /// The bytes are elsewhere: see the message's `remote_blob_url`.
    Blob,
}

impl Message {
    /// Reads the body, inflating it if it is compressed.
    ///
    /// # Errors
    ///
    /// When the content is not what the message's kind says, or more than the limits allow.
    pub fn body(&self, limits: &Limits) -> Result<Body, DecodeError> {
        let reader = |bytes| Reader::new(bytes, Format::default(), limits);
        Ok(match self.kind {
            MessageKind::Plain => Body::Plain,
            MessageKind::Blob => Body::Blob,
            MessageKind::Bytes => Body::Bytes(self.body_bytes(limits)?),
            MessageKind::Text => Body::Text(match self.inflated(limits)? {
                Some(content) => text(content)?,
                None => None,
            }),
            MessageKind::Map => Body::Map(match self.inflated(limits)? {
                Some(content) => PrimitiveMap::read(&mut reader(content))?,
                None => PrimitiveMap::new(),
            }),
            MessageKind::Stream => Body::Stream(match self.inflated(limits)? {
                Some(content) => Value::read_all(reader(content))?,
                None => Vec::new(),
            }),
            MessageKind::Object => Body::Object(self.inflated(limits)?),
        })
    }

    /// Reads the properties. What JMS calls `JMSX…` are fields of the message and not among them.
    ///
    /// # Errors
    ///
    /// When they are no map, or more than the limits allow.
    pub fn properties(&self, limits: &Limits) -> Result<PrimitiveMap, DecodeError> {
        match &self.marshalled_properties {
            Some(Opaque(bytes)) => PrimitiveMap::decode(bytes.clone(), limits),
            None => Ok(PrimitiveMap::new()),
        }
    }

    /// Sets kind and content, not compressed.
    ///
    /// # Errors
    ///
    /// When something in it is too long for the wire.
    pub fn set_body(&mut self, body: &Body) -> Result<(), EncodeError> {
        let (kind, content) = match body {
            Body::Plain => (MessageKind::Plain, None),
            Body::Blob => (MessageKind::Blob, None),
            Body::Text(text) => (MessageKind::Text, text.as_ref().map(text_content).transpose()?),
            Body::Bytes(bytes) => {
                (MessageKind::Bytes, Some(bytes.clone()).filter(|it| !it.is_empty()))
            }
            Body::Map(map) => (MessageKind::Map, Some(map.encode()?)),
            Body::Stream(values) => {
                let mut content = BytesMut::new();
                for value in values {
                    value.write(&mut content)?;
                }
                (MessageKind::Stream, Some(content.freeze()))
            }
            Body::Object(object) => (MessageKind::Object, object.clone()),
        };
        self.kind = kind;
        self.content = content.map(Opaque);
        self.compressed = false;
        Ok(())
    }

    /// Sets the properties.
    ///
    /// # Errors
    ///
    /// When something in them is too long for the wire.
    pub fn set_properties(&mut self, properties: &PrimitiveMap) -> Result<(), EncodeError> {
        self.marshalled_properties =
            if properties.is_empty() { None } else { Some(Opaque(properties.encode()?)) };
        Ok(())
    }

    /// The content without its compression.
    fn inflated(&self, limits: &Limits) -> Result<Option<Bytes>, DecodeError> {
        let Some(Opaque(content)) = &self.content else { return Ok(None) };
        if !self.compressed {
            return Ok(Some(content.clone()));
        }
        let max = limits.inflated_bytes_max;
        match decompress_to_vec_zlib_with_limit(content, max) {
            Ok(inflated) => Ok(Some(inflated.into())),
            Err(error) if error.status == TINFLStatus::HasMoreOutput => {
                Err(DecodeError::InflatedTooLarge { max })
            }
            Err(_) => Err(DecodeError::Inflate),
        }
    }

    /// A compressed body of bytes says how long it is, and Java's client appends what else was in
    /// its buffer: exactly the length that is said counts.
    fn body_bytes(&self, limits: &Limits) -> Result<Bytes, DecodeError> {
        let Some(Opaque(content)) = &self.content else { return Ok(Bytes::new()) };
        if !self.compressed {
            return Ok(content.clone());
        }
        let mut reader = Reader::new(content.clone(), Format::default(), limits);
        let length = reader.length()?;
        let max = limits.inflated_bytes_max;
        if length > max {
            return Err(DecodeError::InflatedTooLarge { max });
        }
        if length == 0 {
            return Ok(Bytes::new());
        }
        let rest = content.slice(LENGTH_BYTES..);
        let inflated = match decompress_to_vec_zlib_with_limit(&rest, length) {
            Ok(inflated) => inflated,
            Err(DecompressError { status: TINFLStatus::HasMoreOutput, output }) => output,
            Err(_) => return Err(DecodeError::Inflate),
        };
        if inflated.len() == length { Ok(inflated.into()) } else { Err(DecodeError::Inflate) }
    }
}

const LENGTH_BYTES: usize = 4;

/// A text's content: its length in bytes, which is -1 for null, and the text.
fn text(content: Bytes) -> Result<Option<Text>, DecodeError> {
    let prefix = content.first_chunk::<LENGTH_BYTES>().ok_or(DecodeError::Truncated)?;
    let length = i32::from_be_bytes(*prefix);
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| DecodeError::NegativeLength)?;
    let text = content.slice(LENGTH_BYTES..);
    if length > text.len() {
        return Err(DecodeError::Truncated);
    }
    Ok(Some(Text::from_wire(text.slice(..length))))
}

fn text_content(text: &Text) -> Result<Bytes, EncodeError> {
    let max = usize::try_from(i32::MAX).unwrap_or(usize::MAX);
    let length = i32::try_from(text.len())
        .map_err(|_| EncodeError::FrameTooLarge { size: text.len(), max })?;
    let mut content = BytesMut::with_capacity(text.len().saturating_add(LENGTH_BYTES));
    content.put_i32(length);
    content.put_slice(text.as_wire());
    Ok(content.freeze())
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("Plain"),
            Self::Blob => f.write_str("Blob"),
            Self::Text(None) => f.write_str("Text(null)"),
            Self::Text(Some(text)) => write!(f, "Text([{} bytes])", text.len()),
            Self::Bytes(bytes) => write!(f, "Bytes([{} bytes])", bytes.len()),
            Self::Map(map) => write!(f, "Map([{} entries])", map.len()),
            Self::Stream(values) => write!(f, "Stream([{} values])", values.len()),
            Self::Object(None) => f.write_str("Object(null)"),
            Self::Object(Some(bytes)) => write!(f, "Object([{} bytes])", bytes.len()),
        }
    }
}

#[cfg(test)]
mod tests;
