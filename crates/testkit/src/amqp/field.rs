//! Header fields and the tables they stand in, with every type that RabbitMQ knows.
//!
//! The letters are those of RabbitMQ's parser, which differ from the specification (section
//! 4.2.1) in some places: see "AMQP 0-9-1 errata" on the RabbitMQ site, section 3.

use anyhow::{Result, bail};

use super::wire::{Reader, Writer};

/// A value in a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`
    I64(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`: `value` divided by ten to the power of `scale`.
    Decimal {
        /// Digits after the point.
        scale: u8,
        /// All digits as one number.
        value: u32,
    },
    /// `S`: any bytes, though most are text.
    LongString(Vec<u8>),
    /// `A`
    Array(Vec<Field>),
    /// `T`: seconds since 1970.
    Timestamp(u64),
    /// `F`
    Table(Table),
    /// `V`
    Void,
    /// `x`
    Bytes(Vec<u8>),
}

impl Field {
    /// A [`Field::LongString`] of this text.
    pub fn text(text: &str) -> Self {
        Self::LongString(text.into())
    }

    fn encode(&self, writer: &mut Writer) -> Result<()> {
        match self {
            Self::Bool(value) => writer.u8(b't').u8(u8::from(*value)),
            Self::I8(value) => writer.u8(b'b').bytes(&value.to_be_bytes()),
            Self::U8(value) => writer.u8(b'B').u8(*value),
            Self::I16(value) => writer.u8(b's').bytes(&value.to_be_bytes()),
            Self::U16(value) => writer.u8(b'u').u16(*value),
            Self::I32(value) => writer.u8(b'I').bytes(&value.to_be_bytes()),
            Self::U32(value) => writer.u8(b'i').u32(*value),
            Self::I64(value) => writer.u8(b'l').bytes(&value.to_be_bytes()),
            Self::F32(value) => writer.u8(b'f').bytes(&value.to_be_bytes()),
            Self::F64(value) => writer.u8(b'd').bytes(&value.to_be_bytes()),
            Self::Decimal { scale, value } => writer.u8(b'D').u8(*scale).u32(*value),
            Self::LongString(bytes) => writer.u8(b'S').long_string(bytes)?,
            Self::Array(fields) => {
                let mut inner = Writer::default();
                for field in fields {
                    field.encode(&mut inner)?;
                }
                writer.u8(b'A').long_string(&inner.into_bytes())?
            }
            Self::Timestamp(seconds) => writer.u8(b'T').u64(*seconds),
            Self::Table(table) => return table.encode(writer.u8(b'F')),
            Self::Void => writer.u8(b'V'),
            Self::Bytes(bytes) => writer.u8(b'x').long_string(bytes)?,
        };
        Ok(())
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(match reader.u8()? {
            b't' => Self::Bool(reader.u8()? != 0),
            b'b' => Self::I8(i8::from_be_bytes(reader.array()?)),
            b'B' => Self::U8(reader.u8()?),
            b's' => Self::I16(i16::from_be_bytes(reader.array()?)),
            b'u' => Self::U16(reader.u16()?),
            b'I' => Self::I32(i32::from_be_bytes(reader.array()?)),
            b'i' => Self::U32(reader.u32()?),
            b'l' => Self::I64(i64::from_be_bytes(reader.array()?)),
            b'f' => Self::F32(f32::from_be_bytes(reader.array()?)),
            b'd' => Self::F64(f64::from_be_bytes(reader.array()?)),
            b'D' => Self::Decimal { scale: reader.u8()?, value: reader.u32()? },
            b'S' => Self::LongString(reader.long_string()?.to_vec()),
            b'A' => {
                let mut inner = Reader::new(reader.long_string()?);
                let mut fields = Vec::new();
                while !inner.is_empty() {
                    fields.push(Self::decode(&mut inner)?);
                }
                Self::Array(fields)
            }
            b'T' => Self::Timestamp(reader.u64()?),
            b'F' => Self::Table(Table::decode(reader)?),
            b'V' => Self::Void,
            b'x' => Self::Bytes(reader.long_string()?.to_vec()),
            other => bail!("the broker sent a header field of the unknown type {other:#04x}"),
        })
    }
}

/// Names and values in the order in which they are written; a name may occur twice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table(pub Vec<(String, Field)>);

impl Table {
    /// A table without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field at the end.
    #[must_use]
    pub fn with(mut self, name: &str, field: Field) -> Self {
        self.0.push((name.to_owned(), field));
        self
    }

    /// The first field of that name.
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, field)| field)
    }

    pub(super) fn encode(&self, writer: &mut Writer) -> Result<()> {
        let mut inner = Writer::default();
        for (name, field) in &self.0 {
            inner.short_string(name)?;
            field.encode(&mut inner)?;
        }
        writer.long_string(&inner.into_bytes())?;
        Ok(())
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut inner = Reader::new(reader.long_string()?);
        let mut fields = Vec::new();
        while !inner.is_empty() {
            let name = inner.short_string()?;
            fields.push((name, Field::decode(&mut inner)?));
        }
        Ok(Self(fields))
    }
}
