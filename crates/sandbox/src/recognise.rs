//! Tells from its content what a file is, before anything is compiled.
//!
//! Names and extensions are never looked at. The answer is a guess good enough to say what to do
//! with a file that is no WebAssembly; whether a component is valid is for the compiler to say.

use std::fmt;

use crate::error::Refusal;

/// What a file is, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A component in binary form, complete as far as its sections tell.
    Component,
    /// A core module in binary form.
    CoreModule,
    /// Native code that wasmtime compiled ahead of time.
    Precompiled,
    /// WebAssembly text.
    Text,
    /// A program for Linux, macOS or Windows.
    NativeProgram,
    /// Nothing.
    Empty,
    /// WebAssembly that ends in the middle of its header or of a section.
    CutShort,
    /// Anything else.
    Other,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileKind::Component => "component",
            FileKind::CoreModule => "core module",
            FileKind::Precompiled => "precompiled native code",
            FileKind::Text => "WebAssembly text",
            FileKind::NativeProgram => "native program",
            FileKind::Empty => "empty file",
            FileKind::CutShort => "WebAssembly cut short",
            FileKind::Other => "not WebAssembly",
        })
    }
}

impl FileKind {
    /// Looks at the content.
    #[must_use]
    pub fn of(bytes: &[u8]) -> FileKind {
        if bytes.is_empty() {
            return FileKind::Empty;
        }
        if let Some(rest) = bytes.strip_prefix(b"\0asm") {
            return FileKind::of_wasm(rest);
        }
        if b"\0asm".starts_with(bytes) {
            return FileKind::CutShort;
        }
        if wasmtime::Engine::detect_precompiled(bytes).is_some() {
            return FileKind::Precompiled;
        }
        if is_native(bytes) {
            return FileKind::NativeProgram;
        }
        if is_text(bytes) { FileKind::Text } else { FileKind::Other }
    }

    /// What follows the magic number: two bytes of version and two of layer, which is 0 for core
    /// modules and 1 for components (component model, `Binary.md`), and then sections.
    fn of_wasm(rest: &[u8]) -> FileKind {
        match rest.split_at_checked(4) {
            Some((_, sections)) if !are_complete(sections) => FileKind::CutShort,
            Some(([_, _, 1, 0], _)) => FileKind::Component,
            Some((_, _)) => FileKind::CoreModule,
            None => FileKind::CutShort,
        }
    }

    /// Why a file of this kind cannot be compiled. Of what can be, this is asked by nobody.
    pub(crate) fn refusal(self, bytes: &[u8]) -> Refusal {
        match self {
            FileKind::Component | FileKind::CoreModule => Refusal::NotNative,
            FileKind::Precompiled => Refusal::Precompiled,
            FileKind::Text => Refusal::Text,
            FileKind::NativeProgram => Refusal::NativeProgram,
            FileKind::Empty => Refusal::Empty,
            FileKind::CutShort => Refusal::CutShort { bytes: bytes.len() },
            FileKind::Other => {
                let start = bytes.get(..8).unwrap_or(bytes).escape_ascii().to_string();
                Refusal::NotWebAssembly { start }
            }
        }
    }
}

/// Whether the last section ends where the file does. A section is an id, its length as LEB128,
/// and that many bytes.
fn are_complete(mut sections: &[u8]) -> bool {
    while let Some((_id, rest)) = sections.split_first() {
        let Some((length, body)) = leb128_u32(rest) else { return false };
        let Some(next) = body.get(length..) else { return false };
        sections = next;
    }
    true
}

/// An unsigned 32-bit LEB128 number and what follows it.
fn leb128_u32(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

/// ELF, Mach-O (either word size) or a Windows executable.
fn is_native(bytes: &[u8]) -> bool {
    const STARTS: [&[u8]; 5] =
        [b"\x7fELF", b"\xfe\xed\xfa\xce", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe", b"MZ"];
    STARTS.iter().any(|start| bytes.starts_with(start))
}

/// Whether the first thing that is neither space nor a line comment opens a module or component.
fn is_text(bytes: &[u8]) -> bool {
    let mut rest = bytes.trim_ascii_start();
    while rest.starts_with(b";;") {
        let line = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        rest = rest.split_at(line).1.trim_ascii_start();
    }
    let Some(inside) = rest.strip_prefix(b"(") else { return false };
    let word = inside.trim_ascii_start();
    word.starts_with(b"component") || word.starts_with(b"module")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_by_content() {
        let kinds: [(&[u8], FileKind); 13] = [
            (b"", FileKind::Empty),
            (b"\0a", FileKind::CutShort),
            (b"\0asm\x0d\0", FileKind::CutShort),
            (b"\0asm\x0d\0\x01\0", FileKind::Component),
            (b"\0asm\x01\0\0\0", FileKind::CoreModule),
            (b"\0asm\x01\0\0\0\x00\x01x", FileKind::CoreModule),
            (b"\0asm\x0d\0\x01\0\x00\x05x", FileKind::CutShort),
            (b"\0asm\x0d\0\x01\0\x00\xff\xff\xff\xff\xff\xff", FileKind::CutShort),
            (b"\x7fELF\x02\x01\x01", FileKind::NativeProgram),
            (b"MZ\x90\0", FileKind::NativeProgram),
            (b" ;; a comment\n ( component)", FileKind::Text),
            (b";; only a comment", FileKind::Other),
            (b"#!/bin/sh\n", FileKind::Other),
        ];
        for (bytes, kind) in kinds {
            assert_eq!(FileKind::of(bytes), kind, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_refusal_of_something_else_shows_how_it_starts() {
        let bytes = b"<!DOCTYPE html>";
        let refusal = FileKind::of(bytes).refusal(bytes).to_string();
        assert!(refusal.contains("it starts with `<!DOCTYP`"), "{refusal}");
    }
}
