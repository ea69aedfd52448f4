//! Java's exceptions.

use std::fmt;

use crate::Text;
use crate::codec::DecodeError;
use crate::codec::field::{Field, Nullable};
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;

/// An exception.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Throwable {
    /// The class with its package, which differs between versions of brokers.
    pub class: Option<Text>,
    /// What it says.
    pub message: Option<Text>,
    /// Where it was thrown. Only on the wire if [stack traces](crate::Format::stack_traces) are.
    pub trace: Vec<StackElement>,
    /// What caused it. Only on the wire if stack traces are.
    pub cause: Option<Box<Throwable>>,
}

/// One line of a stack trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StackElement {
    /// The class.
    pub class: Option<Text>,
    /// The method.
    pub method: Option<Text>,
    /// The file.
    pub file: Option<Text>,
    /// The line in the file.
    pub line: i32,
}

impl Throwable {
    /// One with a class and a message only.
    #[must_use]
    pub fn new(class: &str, message: &str) -> Self {
        Self { class: Some(class.into()), message: Some(message.into()), ..Self::default() }
    }

    /// The class without its package; empty if there is none.
    #[must_use]
    pub fn simple_class(&self) -> String {
        let class = self.class.as_ref().map(Text::to_str).unwrap_or_default();
        class.rsplit('.').next().unwrap_or_default().to_owned()
    }
}

impl fmt::Display for Throwable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.simple_class())?;
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

impl Nullable for Throwable {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (class, message) = (Field::decode(reader)?, Field::decode(reader)?);
        if !reader.has_stack_traces() {
            return Ok(Self { class, message, ..Self::default() });
        }
        let count = reader.short_count()?;
        let trace = (0..count).map(|_| Field::decode(reader)).collect::<Result<_, _>>()?;
        let cause = reader.nested(<Option<Self> as Field>::decode)?;
        Ok(Self { class, message, trace, cause: cause.map(Box::new) })
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.class.encode(writer);
        self.message.encode(writer);
        if !writer.has_stack_traces() {
            return;
        }
        writer.short_count(self.trace.len());
        for element in &self.trace {
            element.encode(writer);
        }
        writer.bool(self.cause.is_some());
        if let Some(cause) = &self.cause {
            Nullable::encode(&**cause, writer);
        }
    }
}

impl Field for StackElement {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            class: Field::decode(reader)?,
            method: Field::decode(reader)?,
            file: Field::decode(reader)?,
            line: Field::decode(reader)?,
        })
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.class.encode(writer);
        self.method.encode(writer);
        self.file.encode(writer);
        self.line.encode(writer);
    }
}
