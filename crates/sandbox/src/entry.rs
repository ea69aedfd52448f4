//! How a handler is called: the export that makes it one, and everything it imports.
//!
//! ```text
//! component ─┬─ handle-batch, or handle-batch-with ──▶ called with the event
//!            └─ wasi:cli/run ────────────────────┬───▶ event on stdin, response on stdout
//! core module ── _start ─────────────────────────┘
//! ```
//!
//! Whatever is wrong with a handler is found here and named, not at its first call.

use wasmtime::ResourcesRequired;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

use crate::code::{Code, Native};
use crate::engine::Engine;
use crate::error::Refusal;
use crate::limits::Limits;
use crate::state::{self, State};
use crate::types;

/// The exports that make a component a handler, and their types as WIT writes them, without the
/// names of parameters.
const HANDLE_BATCH: &str = "handle-batch";
const HANDLE_BATCH_TYPE: &str = "func(string) -> result<option<string>, string>";
const HANDLE_BATCH_WITH: &str = "handle-batch-with";
const HANDLE_BATCH_WITH_TYPE: &str = "func(string, record { request-id: string, \
     function-name: string, attempt: u32, deadline-ms: u64, memory-mib: u32 }) -> \
     result<option<string>, variant { retry(string), retry-after(tuple<u32, string>), \
     give-up(string) }>";

/// What makes a component a command, in any version of WASI 0.2.
const COMMAND: &str = "wasi:cli/run@0.2.";
const RUN: &str = "run";
const RUN_TYPE: &str = "func() -> result";

/// What makes a core module a command (WASI preview 1, "application ABI").
const START: &str = "_start";

/// What a core module may import.
const PREVIEW_1: &str = "wasi_snapshot_preview1";

/// The packages of WASI that every handler may import, whatever it was granted.
const GIVEN_PACKAGES: [&str; 7] =
    ["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];

/// The bytes of a page of linear memory.
const PAGE_BYTES: u64 = 64 * 1024;

/// A handler, linked and ready to be instantiated.
pub(crate) struct Entry {
    /// `handle-batch`, `package:name/interface@version#handle-batch`, `_start` and the like.
    pub(crate) path: String,
    pub(crate) linked: Linked,
    /// As how many instances one of it counts in the pool.
    pub(crate) places: u32,
}

/// What is called, and how.
pub(crate) enum Linked {
    Batch(InstancePre<State>, ComponentExportIndex),
    BatchWithContext(InstancePre<State>, ComponentExportIndex),
    Command(InstancePre<State>, ComponentExportIndex),
    Module(wasmtime::InstancePre<State>),
}

/// Which of them an export is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Batch,
    BatchWithContext,
    Command,
}

/// A function export that may be the one.
struct Candidate {
    path: String,
    kind: Kind,
    index: ComponentExportIndex,
    func: ComponentFunc,
}

/// Finds out how a handler is called, and checks that it gets what it imports.
pub(crate) fn link(engine: &Engine, code: &Code) -> Result<Entry, Refusal> {
    match &code.native {
        Native::Component(component) => link_component(engine, component),
        Native::Module(module) => link_module(engine, module),
    }
}

fn link_component(engine: &Engine, component: &Component) -> Result<Entry, Refusal> {
    let Candidate { path, kind, index, .. } = find(engine, component)?;
    let instance = engine.components().instantiate_pre(component).map_err(|e| {
        let imports = component.component_type();
        let imports = imports.imports(engine.wasmtime()).map(|(name, _)| name);
        Refusal::Imports {
            imports: imports.filter(|name| !is_given(name)).map(str::to_owned).collect(),
            source: e.into(),
        }
    })?;
    let linked = match kind {
        Kind::Batch => Linked::Batch(instance, index),
        Kind::BatchWithContext => Linked::BatchWithContext(instance, index),
        Kind::Command => Linked::Command(instance, index),
    };
    Ok(Entry { path, linked, places: places(component.resources_required().as_ref()) })
}

fn link_module(engine: &Engine, module: &wasmtime::Module) -> Result<Entry, Refusal> {
    let start = module.get_export(START);
    let start = start.as_ref().and_then(|start| start.func());
    if !start.is_some_and(|start| start.params().len() == 0 && start.results().len() == 0) {
        return Err(Refusal::CoreModule);
    }
    let instance = engine.modules().instantiate_pre(module).map_err(|e| {
        let imports = module.imports().map(|import| (import.module(), import.name()));
        let other = imports.filter(|(from, _)| *from != PREVIEW_1);
        Refusal::Imports {
            imports: other.map(|(from, name)| format!("{from}.{name}")).collect(),
            source: e.into(),
        }
    })?;
    let places = places(Some(&module.resources_required()));
    Ok(Entry { path: START.to_owned(), linked: Linked::Module(instance), places })
}

/// Finds the one export by which a component is a handler, in the component's world or in an
/// interface that it exports, and checks its type.
fn find(engine: &Engine, component: &Component) -> Result<Candidate, Refusal> {
    let mut candidates = candidates(engine, component);
    // A component that is both is a handler: its command is for whoever has no host.
    if candidates.iter().any(|candidate| candidate.kind != Kind::Command) {
        candidates.retain(|candidate| candidate.kind != Kind::Command);
    }
    if candidates.len() > 1 {
        return Err(Refusal::Ambiguous {
            candidates: candidates.into_iter().map(|candidate| candidate.path).collect(),
        });
    }
    let Some(found) = candidates.pop() else {
        let exports = component.component_type();
        let exports = exports.exports(engine.wasmtime()).map(|(name, _)| name.to_owned());
        return Err(Refusal::NoHandler { exports: exports.collect() });
    };
    let wanted = match found.kind {
        Kind::Batch => HANDLE_BATCH_TYPE,
        Kind::BatchWithContext => HANDLE_BATCH_WITH_TYPE,
        Kind::Command => RUN_TYPE,
    };
    if types::signature(&found.func) != wanted {
        let found_type = types::function(&found.func);
        return Err(Refusal::WrongType { export: found.path, found: found_type, wanted });
    }
    Ok(found)
}

/// Every function export with a right name, whatever its type.
fn candidates(engine: &Engine, component: &Component) -> Vec<Candidate> {
    let mut found = Vec::new();
    let handlers = [(HANDLE_BATCH, Kind::Batch), (HANDLE_BATCH_WITH, Kind::BatchWithContext)];
    for (name, kind) in handlers {
        if let Some((ComponentItem::ComponentFunc(func), index)) = component.get_export(None, name)
        {
            found.push(Candidate { path: name.to_owned(), kind, index, func });
        }
    }
    for (interface, _) in component.component_type().exports(engine.wasmtime()) {
        let Some((ComponentItem::ComponentInstance(_), instance)) =
            component.get_export(None, interface)
        else {
            continue;
        };
        let command = interface.starts_with(COMMAND).then_some((RUN, Kind::Command));
        for (name, kind) in handlers.into_iter().chain(command) {
            if let Some((ComponentItem::ComponentFunc(func), index)) =
                component.get_export(Some(&instance), name)
            {
                found.push(Candidate { path: format!("{interface}#{name}"), kind, index, func });
            }
        }
    }
    found
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

/// As how many instances one with these memories and tables counts. What fits no pool of this size,
/// wasmtime has refused before. A component that takes modules as imports, whose needs are not known,
/// imports what cannot be given.
fn places(needs: Option<&ResourcesRequired>) -> u32 {
    let tables = |needs: &ResourcesRequired| needs.num_tables.div_ceil(state::TABLES_PER_PLACE);
    needs.map_or(1, |needs| needs.num_memories.max(tables(needs)).max(1))
}

/// Checks that the memory a handler starts with is within its limit, and that within the engine's.
pub(crate) fn check_memory(engine: &Engine, code: &Code, limits: &Limits) -> Result<(), Refusal> {
    let most_bytes = engine.settings().memory_max_bytes;
    if limits.memory_max_bytes > most_bytes {
        let limit_bytes = limits.memory_max_bytes;
        return Err(Refusal::OverTheEngine { limit_bytes, most_bytes });
    }
    let resources = match &code.native {
        Native::Component(component) => component.resources_required(),
        Native::Module(module) => Some(module.resources_required()),
    };
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
        for given in ["wasi:cli/exit@0.2.0", "wasi:io/streams@0.2.12", "wasi:http/types@0.2.6"] {
            assert!(is_given(given), "{given}");
        }
        for not_given in [
            "wasi:keyvalue/store@0.2.0",
            "wasi:cli/exit@0.3.0",
            "wasi:cli/exit",
            "my:own/thing@0.2.0",
            "log",
        ] {
            assert!(!is_given(not_given), "{not_given}");
        }
    }
}
