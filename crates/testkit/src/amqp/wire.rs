//! Numbers and strings as AMQP 0-9-1 writes them: big-endian, strings with their length before.
//!
//! The bottom of the client. A reader never reads past its end: a broker that sent too little is an
//! error of the test, with its place.

use anyhow::{Context, Result};

/// Collects bytes. Methods that cannot fail return the writer, so that they chain.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// At most 255 bytes.
    pub(super) fn short_string(&mut self, text: &str) -> Result<&mut Self> {
        let length = u8::try_from(text.len())
            .with_context(|| format!("{text:?} is too long for a short string"))?;
        Ok(self.u8(length).bytes(text.as_bytes()))
    }

    /// Any bytes, in spite of the name that the protocol gives them.
    pub(super) fn long_string(&mut self, bytes: &[u8]) -> Result<&mut Self> {
        let length = u32::try_from(bytes.len()).context("a long string holds at most 4 GiB")?;
        Ok(self.u32(length).bytes(bytes))
    }
}

/// Reads from the front of borrowed bytes.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count).with_context(|| {
            format!("the broker sent {} bytes where {count} were due", self.0.len())
        })?;
        self.0 = rest;
        Ok(front)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.bytes(N)?.try_into()?)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn short_string(&mut self) -> Result<String> {
        let length = self.u8()?;
        let bytes = self.bytes(usize::from(length))?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    pub(super) fn long_string(&mut self) -> Result<&'a [u8]> {
        let length = self.u32()?;
        self.bytes(usize::try_from(length)?)
    }
}
