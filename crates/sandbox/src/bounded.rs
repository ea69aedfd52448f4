//! Text from a handler's file, which can be of any size and hold any character.

use std::fmt::{self, Display, Write};

/// The most bytes of what is told about a file.
const TOLD_BYTES_MAX: usize = 4 * 1024;

/// Text up to a number of bytes, control characters escaped. Whoever writes more gets an error, and can
/// stop.
pub(crate) struct Bounded {
    pub(crate) text: String,
    bytes_max: usize,
}

impl Bounded {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { text: String::new(), bytes_max }
    }
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            if self.text.len() >= self.bytes_max {
                self.text.push('…');
                return Err(fmt::Error);
            }
            if letter.is_control() {
                self.text.extend(letter.escape_debug());
            } else {
                self.text.push(letter);
            }
        }
        Ok(())
    }
}

/// What fits of a text.
pub(crate) fn told(text: impl Display) -> String {
    let mut bounded = Bounded::new(TOLD_BYTES_MAX);
    // What does not fit is cut, by an error that ends the writing.
    write!(bounded, "{text}").unwrap_or_default();
    bounded.text
}

/// The parts one after another, with commas.
pub(crate) fn list<T>(
    f: &mut fmt::Formatter<'_>,
    parts: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (place, part) in parts.into_iter().enumerate() {
        if place > 0 {
            f.write_str(", ")?;
        }
        write(f, part)?;
    }
    Ok(())
}
