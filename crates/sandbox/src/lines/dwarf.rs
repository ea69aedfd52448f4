//! From the debug information in a handler's file to its lines.
//!
//! The file is a stranger's. What is odd is left out, and nothing in here is an error: a handler runs
//! without its lines as well.

use std::collections::{HashMap, HashSet};

use gimli::{AttributeValue, EndianSlice, LineProgramHeader, LittleEndian};

use super::{Reader, Row};

/// How deep components stand inside one another.
const DEPTH_MAX: u8 = 4;

/// The most rows that are looked at; a handler of 10 MB has some 500,000.
const ROWS_MAX: usize = 4_000_000;

/// The source of Rust's own libraries, as the compiler's makers built them, and as a user would.
/// Nobody's handler is there: an instruction of theirs inside of a handler's function belongs to the
/// line that they were called from.
const RUST_LIBRARIES: [&str; 2] = ["/rustc/", "/lib/rustlib/src/rust/library/"];

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Dwarf<'a> = gimli::Dwarf<Slice<'a>>;
type Unit<'a> = gimli::Unit<Slice<'a>>;

/// The files, and the rows of all modules. None if there are no lines.
pub(super) fn read(wasm: &[u8]) -> Option<(Vec<String>, Vec<Row>)> {
    let mut modules = Vec::new();
    find_modules(wasm, 0, DEPTH_MAX, &mut modules)?;
    let mut lines = Found::default();
    for module in &modules {
        // Of a damaged module, what came before the damage.
        let _until_damage = module.read(&mut lines);
    }
    (!lines.rows.is_empty()).then_some((lines.files, lines.rows))
}

/// A core module with debug information.
#[derive(Default)]
struct Module<'a> {
    /// Where the content of its code section begins, in bytes of the whole file: what addresses in
    /// its debug information count from.
    code: usize,
    code_bytes: usize,
    /// The sections `.debug_*` by name.
    debug: HashMap<&'a str, &'a [u8]>,
}

/// Looks for modules in a file, or in a part of it that begins at `start`.
fn find_modules<'a>(
    wasm: &'a [u8],
    start: usize,
    depth: u8,
    modules: &mut Vec<Module<'a>>,
) -> Option<()> {
    let is_component = *wasm.get(6)? == 1;
    let mut reader = Reader(wasm.get(8..)?);
    let mut module = Module::default();
    while let Some(id) = reader.byte() {
        let length = reader.number()?;
        let begins = start.checked_add(wasm.len().checked_sub(reader.0.len())?)?;
        let content = reader.bytes(length)?;
        match (is_component, id) {
            (true, 1 | 4) if depth > 0 => {
                find_modules(content, begins, depth.saturating_sub(1), modules)?;
            }
            (false, 10) => (module.code, module.code_bytes) = (begins, content.len()),
            (false, 0) => {
                let mut section = Reader(content);
                let name = section.text()?;
                if name.starts_with(".debug_") {
                    module.debug.insert(name, section.0);
                }
            }
            _ => {}
        }
    }
    if !module.debug.is_empty() {
        modules.push(module);
    }
    Some(())
}

impl<'a> Module<'a> {
    fn read(&self, lines: &mut Found) -> gimli::Result<()> {
        let section = |id: gimli::SectionId| {
            let bytes = self.debug.get(id.name()).copied().unwrap_or_default();
            Ok::<_, gimli::Error>(Slice::new(bytes, LittleEndian))
        };
        let mut dwarf = Dwarf::load(section)?;
        // What several units share is read once.
        dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
        let mut seen = HashSet::new();
        let mut units = dwarf.units();
        while let Some(header) = units.next()? {
            let unit = dwarf.unit(header)?;
            let Some(program) = unit.line_program.clone() else { continue };
            if !seen.insert(program.header().offset().0) {
                continue;
            }
            let mut sequence = Vec::new();
            let mut files = HashMap::new();
            let mut rows = program.rows();
            while let Some((header, row)) = rows.next_row()? {
                lines.looked_at = lines.looked_at.saturating_add(1);
                if lines.looked_at > ROWS_MAX {
                    return Ok(());
                }
                if row.end_sequence() {
                    self.take(lines, std::mem::take(&mut sequence), row.address());
                    continue;
                }
                let file = *files.entry(row.file_index()).or_insert_with(|| {
                    let path = path(&dwarf, &unit, header, row.file_index())?;
                    lines.file(path)
                });
                let line = row.line().and_then(|line| u32::try_from(line.get()).ok());
                sequence.push((row.address(), file.zip(line)));
            }
        }
        Ok(())
    }

    /// Takes the rows of a function, which ends at an address.
    fn take(&self, lines: &mut Found, rows: Vec<(u64, Option<(u32, u32)>)>, end: u64) {
        // Functions that the linker left out begin at 0, or far behind everything.
        let is_here = rows.first().is_some_and(|(start, _)| *start > 0)
            && usize::try_from(end).is_ok_and(|end| end <= self.code_bytes);
        if !is_here {
            return;
        }
        let mut push = |address: u64, place| {
            let offset = usize::try_from(address).ok().and_then(|at| at.checked_add(self.code));
            if let Some(offset) = offset.and_then(|offset| u32::try_from(offset).ok()) {
                lines.rows.push(Row { offset, place });
            }
        };
        let mut is_known = false;
        for (address, place) in rows {
            // Rust's libraries have no file here: the line before goes on.
            if place.is_some() || !is_known {
                is_known |= place.is_some();
                push(address, place);
            }
        }
        push(end, None);
    }
}

#[derive(Default)]
struct Found {
    files: Vec<String>,
    numbers: HashMap<String, u32>,
    rows: Vec<Row>,
    looked_at: usize,
}

impl Found {
    /// The number of a file; none for those of Rust's libraries.
    fn file(&mut self, path: String) -> Option<u32> {
        if RUST_LIBRARIES.iter().any(|library| path.contains(library)) {
            return None;
        }
        let next = u32::try_from(self.files.len()).ok()?;
        let number = *self.numbers.entry(path.clone()).or_insert(next);
        if number == next {
            self.files.push(path);
        }
        Some(number)
    }
}

/// The path of a file, relative to where the compiler was called if it is below that.
fn path(
    dwarf: &Dwarf<'_>,
    unit: &Unit<'_>,
    header: &LineProgramHeader<Slice<'_>>,
    file: u64,
) -> Option<String> {
    let text = |value: AttributeValue<Slice<'_>>| {
        let bytes = dwarf.attr_string(unit, value).ok()?;
        Some(bytes.to_string_lossy().into_owned())
    };
    let file = header.file(file)?;
    let name = text(file.path_name())?;
    // Directory 0 is where the compiler was called.
    if file.directory_index() == 0 || name.starts_with('/') {
        return Some(name);
    }
    let directory = text(file.directory(header)?)?;
    Some(if directory.is_empty() { name } else { format!("{directory}/{name}") })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use gristmill_testkit::guests;

    use super::*;
    use crate::lines::Lines;

    fn guest(name: &str) -> Vec<u8> {
        fs::read(guests::component(name)).unwrap()
    }

    #[test]
    fn a_handlers_own_lines_are_found_and_no_library_of_rust() {
        let (files, rows) = read(&guest("order-totals")).unwrap();
        assert!(files.iter().any(|file| file == "src/totals.rs"), "{files:?}");
        assert!(!files.iter().any(|file| file.starts_with("/rustc/")), "{files:?}");
        assert!(rows.iter().any(|row| row.place.is_none()));
    }

    #[test]
    fn what_has_no_debug_information_has_no_lines() {
        assert!(read(&guest("silent")).is_none());
        for odd in [&b""[..], b"\0asm", b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0\x01\xff"] {
            assert!(read(odd).is_none());
        }
    }

    /// Damages every section of debug information in some ways.
    #[test]
    fn damaged_debug_information_is_no_error() {
        let whole = guest("order-totals");
        for name in ["_info", "_abbrev", "_line", "_str"] {
            let name = format!(".debug{name}");
            let found = whole.windows(name.len()).position(|bytes| bytes == name.as_bytes());
            let begins = found.unwrap() + name.len();
            for step in 0..40_u8 {
                let mut damaged = whole.clone();
                let place = begins + usize::from(step).pow(2) * 5;
                damaged[place..place + 3].copy_from_slice(&[0xff, step, 0x7f]);
                drop(Lines::of_wasm(&damaged));
            }
        }
    }
}
