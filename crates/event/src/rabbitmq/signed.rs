//! Bytes as signed integers, from -128 to 127, as Java has them.
//!
//! Most headers are long strings, so most of what an event costs beside its bodies is spelling their
//! bytes. Each byte is therefore spelled at compile time, and a sink gets many of them at once, which
//! costs about two fifths less than formatting one by one. The text must stay ASCII.

use crate::sink::Sink;

/// How many bytes a sink gets at once.
const CHUNK_BYTES: usize = 32;

/// The longest text of a byte and its comma: `-128,`.
const ELEMENT_BYTES: usize = 5;

/// Writes an array with an integer for every byte.
pub(crate) fn write(sink: &mut impl Sink, bytes: &[u8]) {
    sink.text("[");
    if let Some((last, others)) = bytes.split_last() {
        let mut buffer = [0; CHUNK_BYTES * ELEMENT_BYTES];
        for chunk in others.chunks(CHUNK_BYTES) {
            sink.text(spell(chunk, &mut buffer));
        }
        sink.integer(last.cast_signed());
    }
    sink.text("]");
}

/// Spells at most [`CHUNK_BYTES`] bytes, with a comma after each.
#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "the buffer has room for as many of the longest elements as a chunk has bytes"
)]
fn spell<'a>(chunk: &[u8], buffer: &'a mut [u8; CHUNK_BYTES * ELEMENT_BYTES]) -> &'a str {
    let mut end = 0;
    for byte in chunk {
        let Element { text, length } = ELEMENTS[usize::from(*byte)];
        // Copying the longest size, whatever this element's, is one instruction or two.
        buffer[end..end + ELEMENT_BYTES].copy_from_slice(&text);
        end += length;
    }
    // The text is ASCII, so it is never the empty default.
    str::from_utf8(&buffer[..end]).unwrap_or_default()
}

/// The text of one byte and the comma after it.
#[derive(Clone, Copy)]
struct Element {
    /// What stands behind `length` does not count.
    text: [u8; ELEMENT_BYTES],
    length: usize,
}

/// The element of every byte.
#[expect(clippy::indexing_slicing, reason = "runs at compile time, for each of the 256 bytes")]
static ELEMENTS: [Element; 256] = {
    let mut elements = [Element::of(0); 256];
    let mut byte = u8::MAX;
    while byte > 0 {
        elements[byte as usize] = Element::of(byte);
        byte -= 1;
    }
    elements
};

impl Element {
    #[expect(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "runs at compile time, for each of the 256 bytes"
    )]
    const fn of(byte: u8) -> Self {
        let number = byte.cast_signed();
        let magnitude = number.unsigned_abs();
        let mut text = [b','; ELEMENT_BYTES];
        let mut length = 0;
        if number < 0 {
            text[length] = b'-';
            length += 1;
        }
        if magnitude >= 100 {
            text[length] = b'0' + magnitude / 100;
            length += 1;
        }
        if magnitude >= 10 {
            text[length] = b'0' + magnitude / 10 % 10;
            length += 1;
        }
        text[length] = b'0' + magnitude % 10;
        Self { text, length: length + 2 }
    }
}
