//! From the bytes of a handler to something that can be called.
//!
//! The steps are apart so that inspecting a file goes the same way: [`compile`], then
//! [`find_handle_batch`], then [`link`]. Whatever is wrong with a handler is found here and
//! named, not at its first call.

use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

use crate::engine::Engine;
use crate::error::Refusal;
use crate::limits::Limits;
use crate::recognise::FileKind;
use crate::store::State;
use crate::types;

/// The export that makes a component a handler.
const HANDLE_BATCH: &str = "handle-batch";

/// Its type, as WIT writes it.
pub(crate) const HANDLE_BATCH_TYPE: &str = "func(event: string) -> result<option<string>, string>";

/// The packages of WASI that every handler may import, whatever it was granted.
const GIVEN_PACKAGES: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];

/// The bytes of a page of linear memory.
const PAGE_BYTES: u64 = 64 * 1024;

/// Where a component exports `handle-batch`.
pub(crate) struct HandleBatch {
    /// `handle-batch`, or `package:name/interface@version#handle-batch`.
    pub(crate) path: String,
    /// The same for calls, without looking up names.
    pub(crate) index: ComponentExportIndex,
}

/// Compiles a component. Blocks for as long as that takes, up to seconds.
pub(crate) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component, Refusal> {
    if let Some(refusal) = FileKind::of(bytes).refusal(bytes) {
        return Err(refusal);
    }
    Component::from_binary(engine.wasmtime(), bytes).map_err(|e| Refusal::Invalid(e.into()))
}

/// Finds the one export called `handle-batch`, in the component's world or in an interface that
/// it exports, and checks its type.
pub(crate) fn find_handle_batch(
    engine: &Engine,
    component: &Component,
) -> Result<HandleBatch, Refusal> {
    let mut candidates = candidates(engine, component);
    if candidates.len() > 1 {
        return Err(Refusal::Ambiguous {
            candidates: candidates.into_iter().map(|c| c.0.path).collect(),
        });
    }
    let Some((handle_batch, func)) = candidates.pop() else {
        let exports = component.component_type();
        let exports = exports.exports(engine.wasmtime()).map(|(name, _)| name.to_owned());
        return Err(Refusal::NoHandleBatch { exports: exports.collect() });
    };
    if !takes_an_event(&func) {
        return Err(Refusal::WrongType {
            export: handle_batch.path,
            found: types::function(&func),
        });
    }
    Ok(handle_batch)
}

/// Every function export with the right name, whatever its type.
fn candidates(engine: &Engine, component: &Component) -> Vec<(HandleBatch, ComponentFunc)> {
    let mut found = Vec::new();
    if let Some((ComponentItem::ComponentFunc(func), index)) =
        component.get_export(None, HANDLE_BATCH)
    {
        found.push((HandleBatch { path: HANDLE_BATCH.to_owned(), index }, func));
    }
    for (interface, _) in component.component_type().exports(engine.wasmtime()) {
        let Some((ComponentItem::ComponentInstance(_), instance)) =
            component.get_export(None, interface)
        else {
            continue;
        };
        if let Some((ComponentItem::ComponentFunc(func), index)) =
            component.get_export(Some(&instance), HANDLE_BATCH)
        {
            let path = format!("{interface}#{HANDLE_BATCH}");
            found.push((HandleBatch { path, index }, func));
        }
    }
    found
}

/// Whether a function has the type [`HANDLE_BATCH_TYPE`], whatever it calls its parameter.
fn takes_an_event(func: &ComponentFunc) -> bool {
    let params: Vec<Type> = func.params().map(|(_, ty)| ty).collect();
    let results: Vec<Type> = func.results().collect();
    let [Type::Result(result)] = results.as_slice() else { return false };
    let Some(Type::Option(answer)) = result.ok() else { return false };
    !func.async_()
        && params == [Type::String]
        && answer.ty() == Type::String
        && result.err() == Some(Type::String)
}

/// Checks that a component gets everything that it imports, and prepares its instances.
pub(crate) fn link(engine: &Engine, component: &Component) -> Result<InstancePre<State>, Refusal> {
    engine.linker().instantiate_pre(component).map_err(|e| {
        let imports = component.component_type();
        let imports = imports.imports(engine.wasmtime()).map(|(name, _)| name);
        Refusal::Imports {
            imports: imports.filter(|name| !is_given(name)).map(str::to_owned).collect(),
            source: e.into(),
        }
    })
}

/// Whether an import such as `wasi:io/streams@0.2.6` is of a package that every handler gets.
/// Every 0.2 version is: later ones only add, and the linker gives the latest.
fn is_given(import: &str) -> bool {
    let Some((package, rest)) = import.strip_prefix("wasi:").and_then(|i| i.split_once('/')) else {
        return false;
    };
    let version = rest.split_once('@').map(|(_, version)| version);
    GIVEN_PACKAGES.contains(&package) && version.is_some_and(|v| v.starts_with("0.2."))
}

/// Checks that the memory a component starts with is within its limit.
pub(crate) fn check_memory(component: &Component, limits: &Limits) -> Result<(), Refusal> {
    let resources = component.resources_required();
    let pages = resources.and_then(|resources| resources.max_initial_memory_size).unwrap_or(0);
    let needed_bytes = pages.saturating_mul(PAGE_BYTES);
    if needed_bytes > limits.memory_max_bytes {
        return Err(Refusal::Memory { needed_bytes, limit_bytes: limits.memory_max_bytes });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wasi_0_2_is_given_and_nothing_else() {
        for given in ["wasi:cli/exit@0.2.0", "wasi:io/streams@0.2.12", "wasi:sockets/tcp@0.2.6"] {
            assert!(is_given(given), "{given}");
        }
        for not_given in [
            "wasi:http/types@0.2.0",
            "wasi:cli/exit@0.3.0",
            "wasi:cli/exit",
            "my:own/thing@0.2.0",
            "log",
        ] {
            assert!(!is_given(not_given), "{not_given}");
        }
    }
}
