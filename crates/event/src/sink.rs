//! Where JSON goes, and how its strings and numbers are spelled.
//!
//! A record is written once, for any [`Sink`]. A `String` keeps the text and [`Count`] only measures
//! it, so that the size and the text cannot drift apart. Text that a producer chose must go through
//! [`Sink::string`] or [`Sink::escaped`], never through [`Sink::text`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Takes JSON from left to right.
pub(crate) trait Sink {
    /// Takes text as it is.
    fn text(&mut self, text: &str);

    /// Takes the base64 of these bytes: RFC 4648, section 4, with padding.
    fn base64(&mut self, bytes: &[u8]);

    /// Takes a JSON string.
    fn string(&mut self, text: &str) {
        self.text("\"");
        self.escaped(text);
        self.text("\"");
    }

    /// Takes the inside of a JSON string, escaping what RFC 8259 (section 7) demands and no more.
    fn escaped(&mut self, text: &str) {
        if !text.bytes().any(|byte| escape(byte.into()).is_some()) {
            return self.text(text);
        }
        for letter in text.chars() {
            match escape(letter) {
                Some(sequence) => self.text(sequence),
                None => self.text(letter.encode_utf8(&mut [0; 4])),
            }
        }
    }

    /// Takes an integer.
    fn integer(&mut self, value: impl itoa::Integer) {
        self.text(itoa::Buffer::new().format(value));
    }

    /// Takes a finite number, in the fewest digits that tell it from its neighbours of its width.
    fn float(&mut self, value: impl zmij::Float) {
        self.text(zmij::Buffer::new().format_finite(value));
    }
}

impl Sink for String {
    fn text(&mut self, text: &str) {
        self.push_str(text);
    }

    fn base64(&mut self, bytes: &[u8]) {
        STANDARD.encode_string(bytes, self);
    }
}

/// Measures JSON and keeps none of it.
#[derive(Debug, Default)]
pub(crate) struct Count(usize);

impl Count {
    /// How many bytes of JSON it was given.
    pub(crate) fn bytes(&self) -> usize {
        self.0
    }
}

impl Sink for Count {
    fn text(&mut self, text: &str) {
        self.0 = self.0.saturating_add(text.len());
    }

    fn base64(&mut self, bytes: &[u8]) {
        let encoded = bytes.len().div_ceil(3).saturating_mul(4);
        self.0 = self.0.saturating_add(encoded);
    }
}

/// What stands in a JSON string for a letter that cannot stand there itself.
fn escape(letter: char) -> Option<&'static str> {
    match letter {
        '"' => Some("\\\""),
        '\\' => Some("\\\\"),
        _ => CONTROLS.get(letter as usize).copied(),
    }
}

/// The escapes of the control characters, U+0000 to U+001F.
#[rustfmt::skip]
const CONTROLS: [&str; 32] = [
    "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007",
    "\\b",     "\\t",     "\\n",     "\\u000b", "\\f",     "\\r",     "\\u000e", "\\u000f",
    "\\u0010", "\\u0011", "\\u0012", "\\u0013", "\\u0014", "\\u0015", "\\u0016", "\\u0017",
    "\\u0018", "\\u0019", "\\u001a", "\\u001b", "\\u001c", "\\u001d", "\\u001e", "\\u001f",
];
