//! The fourteen properties of a message (section 1.8.3 of the specification's `basic` class).
//!
//! On the wire a word of flags says which follow, from the highest bit down, in the order in which
//! the struct lists them.

use anyhow::{Result, ensure};

use super::field::Table;
use super::wire::{Reader, Writer};

/// A message's properties; `None` is not sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Properties {
    /// The MIME type of the body.
    pub content_type: Option<String>,
    /// The MIME encoding of the body.
    pub content_encoding: Option<String>,
    /// The application's own fields.
    pub headers: Option<Table>,
    /// 2 keeps the message over a restart of the broker, 1 does not.
    pub delivery_mode: Option<u8>,
    /// 0 to 9.
    pub priority: Option<u8>,
    /// The application's own.
    pub correlation_id: Option<String>,
    /// Where an answer should go.
    pub reply_to: Option<String>,
    /// How long the message lives, as a number of milliseconds in text.
    pub expiration: Option<String>,
    /// The application's own.
    pub message_id: Option<String>,
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
    /// The application's own; called `type` in the protocol.
    pub kind: Option<String>,
    /// Must be the connection's user, or the broker refuses the message.
    pub user_id: Option<String>,
    /// The application's own.
    pub app_id: Option<String>,
    /// Reserved.
    pub cluster_id: Option<String>,
}

impl Properties {
    /// Properties of a message that outlives a restart of the broker, if its queue does.
    pub fn persistent() -> Self {
        Self { delivery_mode: Some(2), ..Self::default() }
    }

    /// The flags and the values after them, ready for [`super::Client::publish_raw`].
    ///
    /// # Errors
    ///
    /// When a text is longer than 255 bytes.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut values = Writer::default();
        let mut flags = Flags::default();
        let text = |writer: &mut Writer, flags: &mut Flags, text: &Option<String>| {
            if let Some(text) = flags.present(text) {
                writer.short_string(text)?;
            }
            anyhow::Ok(())
        };
        text(&mut values, &mut flags, &self.content_type)?;
        text(&mut values, &mut flags, &self.content_encoding)?;
        if let Some(headers) = flags.present(&self.headers) {
            headers.encode(&mut values)?;
        }
        for byte in [self.delivery_mode, self.priority] {
            if let Some(byte) = flags.present(&byte) {
                values.u8(*byte);
            }
        }
        text(&mut values, &mut flags, &self.correlation_id)?;
        text(&mut values, &mut flags, &self.reply_to)?;
        text(&mut values, &mut flags, &self.expiration)?;
        text(&mut values, &mut flags, &self.message_id)?;
        if let Some(timestamp) = flags.present(&self.timestamp) {
            values.u64(*timestamp);
        }
        text(&mut values, &mut flags, &self.kind)?;
        text(&mut values, &mut flags, &self.user_id)?;
        text(&mut values, &mut flags, &self.app_id)?;
        text(&mut values, &mut flags, &self.cluster_id)?;

        let mut all = Writer::default();
        all.u16(flags.word()).bytes(&values.into_bytes());
        Ok(all.into_bytes())
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u16()?;
        ensure!(flags & 1 == 0, "the broker sent more than one word of property flags");
        let mut bit = 0x8000_u16;
        let mut present = || {
            let is_set = flags & bit != 0;
            bit >>= 1;
            is_set
        };
        let text = |is_set: bool, reader: &mut Reader<'_>| {
            is_set.then(|| reader.short_string()).transpose()
        };
        // Fields of a struct expression are evaluated in the order in which they are written.
        Ok(Self {
            content_type: text(present(), &mut reader)?,
            content_encoding: text(present(), &mut reader)?,
            headers: present().then(|| Table::decode(&mut reader)).transpose()?,
            delivery_mode: present().then(|| reader.u8()).transpose()?,
            priority: present().then(|| reader.u8()).transpose()?,
            correlation_id: text(present(), &mut reader)?,
            reply_to: text(present(), &mut reader)?,
            expiration: text(present(), &mut reader)?,
            message_id: text(present(), &mut reader)?,
            timestamp: present().then(|| reader.u64()).transpose()?,
            kind: text(present(), &mut reader)?,
            user_id: text(present(), &mut reader)?,
            app_id: text(present(), &mut reader)?,
            cluster_id: text(present(), &mut reader)?,
        })
    }
}

/// Builds the word of flags from the highest bit down.
#[derive(Default)]
struct Flags {
    word: u16,
    seen: u16,
}

impl Flags {
    /// Notes whether the next property is there and hands it through.
    fn present<'a, T>(&mut self, property: &'a Option<T>) -> Option<&'a T> {
        if property.is_some() {
            self.word |= 0x8000 >> self.seen;
        }
        self.seen += 1;
        property.as_ref()
    }

    fn word(&self) -> u16 {
        self.word
    }
}

#[cfg(test)]
mod tests {
    use super::super::field::Field;
    use super::*;

    #[test]
    fn flags_and_values_stand_where_the_specification_says() {
        let properties = Properties {
            content_type: Some("a/b".into()),
            delivery_mode: Some(2),
            cluster_id: Some("c".into()),
            ..Properties::default()
        };
        let bytes = properties.encode().unwrap();
        assert_eq!(bytes, [0b1001_0000, 0b0000_0100, 3, b'a', b'/', b'b', 2, 1, b'c']);
    }

    #[test]
    fn what_is_encoded_is_decoded_the_same() {
        let text = |text: &str| Some(text.to_owned());
        let properties = Properties {
            content_type: text("1"),
            content_encoding: text("2"),
            headers: Some(Table::new().with("a", Field::Array(vec![Field::Void, Field::I8(-1)]))),
            delivery_mode: Some(2),
            priority: Some(9),
            correlation_id: text("3"),
            reply_to: text("4"),
            expiration: text("5"),
            message_id: text("6"),
            timestamp: Some(u64::MAX),
            kind: text("7"),
            user_id: text("8"),
            app_id: text("9"),
            cluster_id: text("10"),
        };
        assert_eq!(Properties::decode(&properties.encode().unwrap()).unwrap(), properties);
    }
}
