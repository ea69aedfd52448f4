//! From the bytes of a handler to native code: compiled here, or loaded as it was compiled before.
//!
//! What must never happen: that native code from a stranger is loaded. It runs with all rights of
//! this process; nothing about it can be checked but that wasmtime of this version wrote it.

use wasmtime::component::Component;
use wasmtime::{Engine as Wasmtime, Module};

use crate::engine::{self, Engine};
use crate::error::Refusal;
use crate::lines::Lines;
use crate::recognise::FileKind;

/// Every kind of file that cannot be compiled, as a pattern.
macro_rules! not_wasm {
    () => {
        FileKind::Precompiled
            | FileKind::Text
            | FileKind::NativeProgram
            | FileKind::Empty
            | FileKind::CutShort
            | FileKind::Other
    };
}

/// A handler's native code, ready to be linked. Cloning shares it.
#[derive(Clone)]
pub struct Code {
    pub(crate) native: Native,
    /// What a trap's place is told by.
    pub(crate) lines: Option<Lines>,
}

#[derive(Clone)]
pub(crate) enum Native {
    Component(Component),
    Module(Module),
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Code").finish_non_exhaustive()
    }
}

impl Code {
    /// Compiles a component or a core module. Takes from a tenth of a second to minutes, on all
    /// cores, and blocks the thread; it cannot be interrupted. Whoever compiles what strangers wrote
    /// does it in a process of its own, with [`precompile`], which can be ended.
    ///
    /// # Errors
    ///
    /// If the file is neither, or is not valid. The [`Refusal`] says which, and what to change.
    pub fn compile(engine: &Engine, wasm: &[u8]) -> Result<Code, Refusal> {
        let invalid = |e: wasmtime::Error| Refusal::Invalid(e.into());
        let engine = engine.wasmtime();
        let native = match FileKind::of(wasm) {
            FileKind::Component => {
                Native::Component(Component::from_binary(engine, wasm).map_err(invalid)?)
            }
            FileKind::CoreModule => {
                Native::Module(Module::from_binary(engine, wasm).map_err(invalid)?)
            }
            kind @ not_wasm!() => return Err(kind.refusal(wasm)),
        };
        native.prepared(Lines::of_wasm(wasm))
    }

    /// Loads native code that [`precompile`], or `wasmtime compile` with the same settings, made.
    ///
    /// # Errors
    ///
    /// If it is something else, or was made by another version, for another processor or under other
    /// settings than this engine's.
    ///
    /// # Safety
    ///
    /// The bytes must be exactly what one of the two wrote. Anything else that gets past wasmtime's
    /// look at the header runs as this process, with all its rights.
    #[expect(unsafe_code, reason = "what the function is for; its contract is the caller's")]
    pub unsafe fn from_native(engine: &Engine, native: &[u8]) -> Result<Code, Refusal> {
        let engine = engine.wasmtime();
        // Lines are no code: whatever they are, a trap names another line at the worst.
        let (native, lines) = Lines::split(native);
        let other = |e: wasmtime::Error| Refusal::OtherNative(e.into());
        let native = match Wasmtime::detect_precompiled(native) {
            Some(wasmtime::Precompiled::Component) => {
                // SAFETY: by this function's contract wasmtime itself wrote these bytes, all of
                // them; it checks that version, processor and settings are this engine's.
                let component = unsafe { Component::deserialize(engine, native) };
                Native::Component(component.map_err(other)?)
            }
            Some(wasmtime::Precompiled::Module) => {
                // SAFETY: the same.
                let module = unsafe { Module::deserialize(engine, native) };
                Native::Module(module.map_err(other)?)
            }
            None => return Err(FileKind::of(native).refusal(native)),
        };
        native.prepared(lines)
    }
}

impl Native {
    /// Does now what the first call would otherwise pay for.
    fn prepared(self, lines: Option<Lines>) -> Result<Code, Refusal> {
        match &self {
            Native::Component(component) => component.initialize_copy_on_write_image(),
            Native::Module(module) => module.initialize_copy_on_write_image(),
        }
        .map_err(|e| Refusal::Invalid(e.into()))?;
        Ok(Code { native: self, lines })
    }
}

/// Compiles a component or a core module to native code for [`Code::from_native`], in an engine of
/// its own that can do nothing else. Blocks as long as [`Code::compile`] does.
///
/// # Errors
///
/// As [`Code::compile`].
pub fn precompile(wasm: &[u8]) -> Result<Vec<u8>, Refusal> {
    let invalid = |e: wasmtime::Error| Refusal::Invalid(e.into());
    let engine = Wasmtime::new(&engine::compiled_as()).map_err(invalid)?;
    let mut native = match FileKind::of(wasm) {
        FileKind::Component => engine.precompile_component(wasm).map_err(invalid)?,
        FileKind::CoreModule => engine.precompile_module(wasm).map_err(invalid)?,
        kind @ not_wasm!() => return Err(kind.refusal(wasm)),
    };
    if let Some(lines) = Lines::of_wasm(wasm) {
        lines.append(&mut native);
    }
    Ok(native)
}
