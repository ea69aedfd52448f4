//! What a handler may import: WASI 0.2, `wasi:http`, and for core modules WASI preview 1.
//!
//! Everything is linked for every handler, since ordinary toolchains import it unasked. What a
//! handler can reach through it is decided by its store: see [`crate::state`].

mod files;
mod http;
mod network;

use wasmtime::component::Linker;

use crate::state::State;

pub(crate) use http::HttpAccess;
pub(crate) use network::NetworkAccess;

/// All that a component may import.
pub(crate) fn component_linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    // Some of these need more of the host than WASI's own implementation has.
    linker.allow_shadowing(true);
    network::add_lookup_to_linker(&mut linker)?;
    files::add_paths_to_linker(&mut linker)?;
    http::add_names_to_linker(&mut linker)?;
    linker.allow_shadowing(false);
    Ok(linker)
}

/// All that a core module may import.
pub(crate) fn module_linker(
    engine: &wasmtime::Engine,
) -> wasmtime::Result<wasmtime::Linker<State>> {
    let mut linker = wasmtime::Linker::new(engine);
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, |state: &mut State| &mut state.wasi)?;
    Ok(linker)
}
