//! Which line of which source file an instruction of a handler comes from.
//!
//! Wasmtime can find that out by itself when a handler traps, and reads all of its debug information
//! for every function on the way: 15 ms for a small handler, and for one that was made for it any
//! time and memory, outside of every limit. So the lines are taken out when the handler is compiled,
//! where time and memory have a bound, into a table in which a trap is looked up in one short pass.
//! The table lies behind the native code, and is left out where it would be large.

mod dwarf;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// What a table ends with.
const MARK: &[u8; 8] = b"gmlines1";

/// The most bytes of a table. Rust handlers of some megabytes have a tenth of it.
const TABLE_BYTES_MAX: usize = 1024 * 1024;

/// The lines of a handler, ordered by where its instructions stand in its file. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Lines(Arc<[u8]>);

/// From an instruction on, until the next one in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    /// Bytes from the beginning of the handler's file.
    offset: u32,
    /// `None` where there is no line, such as between functions.
    place: Option<(u32, u32)>,
}

impl Lines {
    /// Takes the lines out of a handler's debug information.
    pub(crate) fn of_wasm(wasm: &[u8]) -> Option<Lines> {
        let (files, rows) = dwarf::read(wasm)?;
        Lines::encode(&files, rows)
    }

    /// Parts native code and the lines behind it.
    pub(crate) fn split(native: &[u8]) -> (&[u8], Option<Lines>) {
        let split = || {
            let (rest, length) = native.strip_suffix(MARK)?.split_last_chunk::<4>()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            rest.split_at_checked(rest.len().checked_sub(length)?)
        };
        match split() {
            Some((native, table)) => (native, Some(Lines(table.into()))),
            None => (native, None),
        }
    }

    /// Puts the lines behind native code.
    pub(crate) fn append(&self, native: &mut Vec<u8>) {
        native.extend_from_slice(&self.0);
        // A table is never as large as that.
        native.extend_from_slice(&u32::try_from(self.0.len()).unwrap_or(0).to_le_bytes());
        native.extend_from_slice(MARK);
    }

    /// The file and the line of the instruction at an offset.
    pub(crate) fn find(&self, offset: usize) -> Option<(&str, u32)> {
        let offset = u32::try_from(offset).ok()?;
        let mut table = Reader(&self.0);
        let files: Option<Vec<&str>> = (0..table.number()?).map(|_| table.text()).collect();
        let (mut at, mut found) = (0_u32, None);
        while let Some(delta) = table.number() {
            at = at.checked_add(delta)?;
            if at > offset {
                break;
            }
            let (file, line) = (table.number()?, table.number()?);
            found = file.checked_sub(1).map(|file| (file, line));
        }
        let (file, line) = found?;
        Some((*files?.get(usize::try_from(file).ok()?)?, line))
    }

    /// Files by their numbers, and rows in any order.
    fn encode(files: &[String], mut rows: Vec<Row>) -> Option<Lines> {
        rows.sort();
        // Of what begins at one place, what has a line counts: the end of a function stands where
        // the next begins.
        rows.reverse();
        rows.dedup_by_key(|row| row.offset);
        rows.reverse();
        rows.dedup_by_key(|row| row.place);
        let mut numbers = HashMap::new();
        let mut used = Vec::new();
        let mut body = Vec::new();
        let mut at = 0;
        for Row { offset, place } in rows {
            write_number(&mut body, offset.saturating_sub(at));
            at = offset;
            let (file, line) = match place {
                Some((file, line)) => {
                    let number = *numbers.entry(file).or_insert_with(|| {
                        used.push(file);
                        u32::try_from(used.len()).unwrap_or(0)
                    });
                    (number, line)
                }
                None => (0, 0),
            };
            write_number(&mut body, file);
            write_number(&mut body, line);
        }
        let mut table = Vec::new();
        write_number(&mut table, u32::try_from(used.len()).ok()?);
        for file in used {
            let path = files.get(usize::try_from(file).ok()?)?;
            write_number(&mut table, u32::try_from(path.len()).ok()?);
            table.extend_from_slice(path.as_bytes());
        }
        table.extend(body);
        (!numbers.is_empty() && table.len() <= TABLE_BYTES_MAX).then(|| Lines(table.into()))
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of lines", self.0.len())
    }
}

/// Seven bits a byte, the lowest first, as everywhere in WebAssembly.
fn write_number(table: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        table.push(0x80 | u8::try_from(number & 0x7f).unwrap_or(0));
        number >>= 7;
    }
    table.push(u8::try_from(number).unwrap_or(0));
}

/// Reads what may have been cut or made up.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, length: u32) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    fn number(&mut self) -> Option<u32> {
        let mut number = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.number()?;
        str::from_utf8(self.bytes(length)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(offset: u32, place: Option<(u32, u32)>) -> Row {
        Row { offset, place }
    }

    fn lines() -> Lines {
        let files = ["a.rs".to_owned(), "unused.rs".to_owned(), "b.rs".to_owned()];
        let rows = vec![
            row(900, Some((2, 70_000))),
            row(100, Some((0, 1))),
            row(110, Some((0, 1))),
            row(120, Some((0, 300))),
            row(200, None),
            row(200, Some((2, 1))),
            row(300, None),
            row(1_000, None),
        ];
        Lines::encode(&files, rows).unwrap()
    }

    #[test]
    fn an_instruction_has_the_line_of_the_last_row_before_it() {
        let lines = lines();
        for (offset, expected) in [
            (0, None),
            (99, None),
            (100, Some(("a.rs", 1))),
            (119, Some(("a.rs", 1))),
            (120, Some(("a.rs", 300))),
            (200, Some(("b.rs", 1))),
            (299, Some(("b.rs", 1))),
            (300, None),
            (999, Some(("b.rs", 70_000))),
            (1_000, None),
            (usize::MAX, None),
        ] {
            assert_eq!(lines.find(offset), expected, "{offset}");
        }
    }

    #[test]
    fn lines_are_found_again_behind_native_code() {
        let mut file = b"code".to_vec();
        lines().append(&mut file);
        let (native, found) = Lines::split(&file);
        assert_eq!((native, found.unwrap().find(100)), (&b"code"[..], Some(("a.rs", 1))));
        for without in [&b"code"[..], b"", b"gmlines1", b"\xff\xff\xff\xffgmlines1"] {
            let (native, found) = Lines::split(without);
            assert!(native == without && found.is_none(), "{without:?}");
        }
    }

    #[test]
    fn a_damaged_table_has_no_lines() {
        let whole = lines();
        for length in 0..whole.0.len() {
            let cut = Lines(whole.0[..length].into());
            assert!(cut.find(900).is_none_or(|(file, _)| file.ends_with(".rs")));
            let mut changed = whole.0.to_vec();
            changed[length] = 0xff;
            assert_ne!(Lines(changed.into()).find(100), Some(("b.rs", 300)));
        }
    }

    #[test]
    fn what_has_no_lines_or_too_many_has_no_table() {
        assert!(Lines::encode(&[], Vec::new()).is_none());
        assert!(Lines::encode(&[], vec![row(1, None)]).is_none());
        let many = (0..400_000).map(|n| row(n * 7, Some((0, n)))).collect();
        assert!(Lines::encode(&["a.rs".to_owned()], many).is_none());
    }
}
