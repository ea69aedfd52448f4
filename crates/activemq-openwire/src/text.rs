//! Strings as the wire has them: Java's modified UTF-8, kept as a slice of the frame.
//!
//! Java writes U+0000 as two bytes and a supplementary character as two surrogates of three bytes
//! each; brokers also pass on standard UTF-8 which others have sent. Keeping the bytes costs no
//! copy, re-encodes them exactly, and leaves lone surrogates to whoever reads the text.
//!
//! What must never happen: text that cannot be read because of what somebody else has written.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

/// A string in modified UTF-8. Cloning it copies nothing; it keeps the frame it came in alive.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Bytes);

impl Text {
    /// Encodes a string.
    #[must_use]
    pub fn new(text: &str) -> Self {
        if !text.contains(|c| c == '\0' || c > '\u{FFFF}') {
            return Self(Bytes::copy_from_slice(text.as_bytes()));
        }
        let mut bytes = Vec::with_capacity(text.len());
        for unit in text.encode_utf16() {
            push_unit(&mut bytes, unit);
        }
        Self(bytes.into())
    }

    /// Takes bytes as they are.
    #[must_use]
    pub fn from_wire(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The bytes as they are on the wire.
    #[must_use]
    pub fn as_wire(&self) -> &Bytes {
        &self.0
    }

    /// Reads the text. What is not text, such as half a surrogate pair, reads as U+FFFD.
    ///
    /// Borrows unless the text holds U+0000, a supplementary character as Java writes it, or
    /// something that is not text.
    #[must_use]
    pub fn to_str(&self) -> Cow<'_, str> {
        // Standard UTF-8 has neither surrogates nor a long form of U+0000, so that what is valid as
        // such means the same in both.
        match std::str::from_utf8(&self.0) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(decode(&self.0)),
        }
    }

    /// Whether there are no characters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The length in bytes on the wire.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

fn push_unit(bytes: &mut Vec<u8>, unit: u16) {
    let [high, low] = unit.to_be_bytes();
    let continuation = 0x80 | (low & 0x3F);
    let middle = ((high & 0x0F) << 2) | (low >> 6);
    match unit {
        0x0001..=0x007F => bytes.push(low),
        0x0000 | 0x0080..=0x07FF => bytes.extend([0xC0 | middle, continuation]),
        0x0800.. => bytes.extend([0xE0 | (high >> 4), 0x80 | middle, continuation]),
    }
}

/// Decodes Java's form and standard UTF-8, also mixed.
fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((character, after)) = next(rest) {
        text.push(character);
        rest = after;
    }
    text
}

fn next(bytes: &[u8]) -> Option<(char, &[u8])> {
    let (first, after) = bytes.split_first()?;
    let one = (char::REPLACEMENT_CHARACTER, after);
    Some(match first {
        0x00..=0x7F => (char::from(*first), after),
        0xC0..=0xDF => match continued::<1>(after) {
            Some(([a], after)) => (character(u32::from(first & 0x1F) << 6 | a), after),
            None => one,
        },
        0xE0..=0xEF => match unit(bytes) {
            Some((high @ 0xD800..=0xDBFF, after)) => match unit(after) {
                Some((low @ 0xDC00..=0xDFFF, after)) => (
                    character(((high & 0x3FF) << 10 | (low & 0x3FF)).wrapping_add(0x1_0000)),
                    after,
                ),
                Some(_) | None => (char::REPLACEMENT_CHARACTER, after),
            },
            Some((unit, after)) => (character(unit), after),
            None => one,
        },
        0xF0..=0xF7 => match continued::<3>(after) {
            Some(([a, b, c], after)) => {
                (character(u32::from(first & 0x07) << 18 | a << 12 | b << 6 | c), after)
            }
            None => one,
        },
        0x80..=0xBF | 0xF8..=0xFF => one,
    })
}

/// A UTF-16 unit in three bytes.
fn unit(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (first, after) = bytes.split_first()?;
    let (0xE0..=0xEF, ([a, b], after)) = (*first, continued::<2>(after)?) else { return None };
    Some((u32::from(first & 0x0F) << 12 | a << 6 | b, after))
}

/// The values of the next bytes, if all of them continue a character.
fn continued<const N: usize>(bytes: &[u8]) -> Option<([u32; N], &[u8])> {
    let (taken, after) = bytes.split_first_chunk::<N>()?;
    let all = taken.iter().all(|byte| byte & 0xC0 == 0x80);
    all.then(|| (taken.map(|byte| u32::from(byte & 0x3F)), after))
}

fn character(code: u32) -> char {
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.to_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.to_str() == *other
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn java_writes_zero_and_supplementary_characters_in_its_own_way() {
        let text = Text::new("a\0é€😀");
        assert_eq!(&text.as_wire()[..], b"a\xC0\x80\xC3\xA9\xE2\x82\xAC\xED\xA0\xBD\xED\xB8\x80");
        assert_eq!(text.to_str(), "a\0é€😀");
    }

    #[test]
    fn standard_utf8_is_read_as_well_also_mixed_with_javas() {
        let text = Text::from_wire(Bytes::from_static(b"\xF0\x9F\x98\x80"));
        assert!(matches!(text.to_str(), Cow::Borrowed("😀")));
        let mixed = Text::from_wire(Bytes::from_static(b"\xF0\x9F\x98\x80\xC0\x80"));
        assert_eq!(mixed.to_str(), "😀\0");
    }

    #[test]
    fn what_is_no_text_reads_as_a_replacement() {
        for (bytes, text) in [
            (&b"\xED\xA0\xBDx"[..], "\u{FFFD}x"),
            (b"\xED\xB8\x80", "\u{FFFD}"),
            (b"\xED\xA0\xBD\xED\xA0\xBD", "\u{FFFD}\u{FFFD}"),
            (b"\xFFx", "\u{FFFD}x"),
            (b"\xE2\x82", "\u{FFFD}\u{FFFD}"),
            (b"\xC3", "\u{FFFD}"),
            (b"\xF7\xBF\xBF\xBF", "\u{FFFD}"),
        ] {
            assert_eq!(Text::from_wire(Bytes::from_static(bytes)).to_str(), text, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn every_string_comes_back(text in any::<String>()) {
            let encoded = Text::new(&text);
            prop_assert_eq!(encoded.to_str(), text);
        }

        #[test]
        fn any_bytes_can_be_read(bytes in any::<Vec<u8>>()) {
            let length = bytes.len();
            let text = Text::from_wire(bytes.into());
            prop_assert!(text.to_str().chars().count() <= length);
        }
    }
}
