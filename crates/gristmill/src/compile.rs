//! Who makes native code of handlers: a port, since a library cannot know how to start a process.
//!
//! To compile can take minutes and gigabytes, and cannot be cancelled inside a process. The program
//! `gristmill` does it in a child that it can end; an embedder can do the same, or trusts its handlers
//! and compiles where it stands.

use std::error::Error;
use std::time::Duration;

use gristmill_sandbox::{Refusal, precompile};

/// Makes native code of WebAssembly.
///
/// # Safety
///
/// What [`Compiler::compile`] gives must be, byte for byte, what [`precompile`] of this version of
/// this library wrote. The host loads it and runs it with all rights of the process.
#[expect(unsafe_code, reason = "the host takes the implementor's word for native code")]
pub unsafe trait Compiler: Send + Sync {
    /// Compiles a component or a core module. Called where blocking is allowed.
    ///
    /// # Errors
    ///
    /// [`CompileError`], which says what to change.
    fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, CompileError>;
}

/// Why there is no native code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The handler is at fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The handler is at fault, and a child process said why.
    #[error("{0}")]
    RefusedElsewhere(String),
    /// It takes too long.
    #[error(
        "compiling the handler took longer than {0:?} and was ended; build it smaller, raise \
         compile_timeout of [host], or compile it elsewhere with `gristmill compile`"
    )]
    TimedOut(Duration),
    /// It takes too much memory, or the compiler has a bug.
    #[error(
        "the compiler ended without an answer ({0}), probably for want of memory; build the handler \
         smaller, or compile it elsewhere with `gristmill compile`"
    )]
    Died(String),
    /// There is no compiler.
    #[error("cannot run the compiler")]
    NotRun(#[source] Box<dyn Error + Send + Sync>),
}

/// Compiles in this process, without a bound on time and memory: for hosts that know their handlers.
#[derive(Debug, Clone, Copy, Default)]
pub struct InProcess;

// SAFETY: it is what `precompile` of this version wrote.
#[expect(unsafe_code, reason = "the promise that the trait asks for")]
unsafe impl Compiler for InProcess {
    fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
        Ok(precompile(wasm)?)
    }
}
