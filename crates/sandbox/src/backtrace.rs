//! Where a handler trapped: its functions, innermost first, with file and line where the handler
//! carries debug information.
//!
//! A function can stand with the line of another one that the compiler put into it.
//!
//! Names and paths come from the handler's file and can be of any size and hold any character, and a
//! demangled name can be many times as long as the mangled one. So every part is cut while it is
//! written, and the whole is one line of printable text.

use std::fmt::Write;

use wasmtime::{FrameInfo, WasmBacktrace};

use crate::bounded::Bounded;
use crate::lines::Lines;

/// How many functions are told.
const FUNCTIONS_MAX: usize = 12;

/// The most bytes of a function's name: enough for most generic ones.
const NAME_BYTES_MAX: usize = 200;

/// The most bytes of a path; the end of it is what tells.
const PATH_BYTES_MAX: usize = 100;

/// Functions that Rust goes through from a panic to the trap. They stand outside of no handler's
/// function, so whatever is inside of them is the same in every panic and says nothing.
const PANICKING: [&str; 2] = ["core::panicking::", "__rustc::rust_begin_unwind"];

/// What a backtrace says.
pub(crate) struct Told {
    /// The functions that led to the trap on one line, innermost first: `orders::sum
    /// (src/orders.rs:12) < handle-batch`.
    pub(crate) functions: String,
    /// Whether it was a panic of Rust. What it went through is then left out of the functions.
    pub(crate) is_panic: bool,
}

/// Reads a backtrace.
pub(crate) fn told(backtrace: &WasmBacktrace, lines: Option<&Lines>) -> Told {
    let frames = backtrace.frames();
    let names: Vec<String> = frames.iter().map(name).collect();
    let first = first_told(&names);
    let told = frames.iter().zip(&names).skip(first).take(FUNCTIONS_MAX);
    let told = told.map(|(frame, name)| {
        let offset = frame.module_offset();
        match lines.zip(offset).and_then(|(lines, offset)| lines.find(offset)) {
            Some((path, line)) => format!("{name} ({}:{line})", end_of(path)),
            None => name.clone(),
        }
    });
    Told { functions: told.collect::<Vec<_>>().join(" < "), is_panic: first > 0 }
}

fn name(frame: &FrameInfo) -> String {
    match frame.func_name() {
        Some(name) => demangled(name),
        None => format!("function {}", frame.func_index()),
    }
}

/// Where the handler's own part begins.
fn first_told(names: &[String]) -> usize {
    let is_panicking = |name: &String| PANICKING.iter().any(|start| name.starts_with(start));
    let first = names.iter().rposition(is_panicking).map_or(0, |last| last.saturating_add(1));
    if first < names.len() { first } else { 0 }
}

/// The end of a path, which is what tells.
fn end_of(path: &str) -> String {
    let cut = path.len().saturating_sub(PATH_BYTES_MAX);
    let end = path.get(path.ceil_char_boundary(cut)..).unwrap_or_default();
    let mut text = Bounded::new(2 * PATH_BYTES_MAX);
    write!(text, "{}{end}", if cut > 0 { "…" } else { "" }).unwrap_or_default();
    text.text
}

/// A name as its author wrote it, without the hash that the compiler adds.
fn demangled(name: &str) -> String {
    let mut text = Bounded::new(NAME_BYTES_MAX);
    // What does not fit is cut, by an error that ends the writing.
    let written = match rustc_demangle::try_demangle(name) {
        Ok(name) => write!(text, "{name:#}"),
        Err(_) => text.write_str(name),
    };
    written.unwrap_or_default();
    text.text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_from_a_panic_to_the_trap_is_left_out() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let panic = ["abort", "__rustc::rust_begin_unwind", "core::panicking::panic_fmt", "sum"];
        assert_eq!(first_told(&names(&panic)), 3);
        assert_eq!(first_told(&names(&panic[..3])), 0);
        assert_eq!(first_told(&names(&["descend", "descend"])), 0);
        assert_eq!(first_told(&[]), 0);
    }

    #[test]
    fn names_are_read_as_they_were_written() {
        assert_eq!(demangled("_ZN6orders3sum17h5a19540810432947E"), "orders::sum");
        assert_eq!(
            demangled("_RNvNtCs9pv848UzQwQ_4core9panicking9panic_fmt"),
            "core::panicking::panic_fmt"
        );
        assert_eq!(demangled("main.main"), "main.main");
    }

    #[test]
    fn hostile_names_are_short_and_printable() {
        assert_eq!(demangled("a\nb\u{1b}[2J\u{9b}"), "a\\nb\\u{1b}[2J\\u{9b}");
        let long = demangled(&"é".repeat(100_000));
        assert_eq!(long.chars().count(), NAME_BYTES_MAX / 2 + 1);
        // Demangled, this would be some 2^40 characters: each part names the one before it twice.
        let bomb = format!("_RI{}", "C1aIB_B_E".repeat(40));
        assert!(demangled(&bomb).len() < 2 * NAME_BYTES_MAX);
        let path = end_of(&format!("{}/src/\nlib.rs", "a".repeat(1_000)));
        assert!(path.starts_with('…') && path.ends_with("/src/\\nlib.rs"), "{path}");
        assert!(path.len() < 2 * PATH_BYTES_MAX);
    }
}
