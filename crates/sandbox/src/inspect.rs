//! What a file is, without running it.
//!
//! Goes the same way as loading a function, and reports instead of refusing.

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;
use wasmtime::{ExternType, Module};

use crate::code::{Code, Native};
use crate::engine::Engine;
use crate::entry;
use crate::error::Refusal;
use crate::recognise::FileKind;
use crate::types;

/// What a file is, what it exports and imports, and whether it can run.
#[derive(Debug)]
pub struct Inspection {
    /// What the file is, by its content.
    pub kind: FileKind,
    /// What it exports; nothing for what is no WebAssembly.
    pub exports: Vec<Item>,
    /// What it imports; nothing for what is no WebAssembly.
    pub imports: Vec<Item>,
    /// The grants without which some of its imports reach nothing, by their names in the
    /// configuration. Ordinary toolchains import more than their programs use.
    pub grants: Vec<&'static str>,
    /// Where the file exports what is called, or why it cannot run.
    pub handler: Result<String, Refusal>,
}

/// An import or export, or a part of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name, such as `handle-batch` or `wasi:io/streams@0.2.6`.
    pub name: String,
    /// `interface`, `resource`, or a type as WIT writes it.
    pub kind: String,
    /// The parts of an interface; nothing for anything else.
    pub parts: Vec<Item>,
}

/// The beginnings of imports, and the grant that each of them needs to reach anything.
const NEEDS: [(&str, &str); 5] = [
    ("wasi:filesystem/types@", "allow.dirs"),
    ("wasi_snapshot_preview1.path_open", "allow.dirs"),
    ("wasi:http/outgoing-handler@", "allow.http"),
    ("wasi:sockets/tcp@", "allow.network"),
    ("wasi:sockets/udp@", "allow.network"),
];

/// Says what a file is. Executes nothing of it.
///
/// WebAssembly is compiled for this, which takes up to minutes and blocks the thread: call it
/// where blocking is allowed.
#[must_use]
pub fn inspect(engine: &Engine, bytes: &[u8]) -> Inspection {
    let kind = FileKind::of(bytes);
    let code = match Code::compile(engine, bytes) {
        Ok(code) => code,
        Err(refusal) => {
            let (exports, imports, grants) = Default::default();
            return Inspection { kind, exports, imports, grants, handler: Err(refusal) };
        }
    };
    let handler = entry::link(engine, &code).map(|entry| entry.path);
    let (exports, imports) = match &code.native {
        Native::Component(component) => of_component(engine, component),
        Native::Module(module) => of_module(module),
    };
    let imported = |start: &str| imports.iter().any(|import| import.name.starts_with(start));
    let needed = NEEDS.iter().filter(|(start, _)| imported(start)).map(|(_, grant)| *grant);
    let mut grants: Vec<&'static str> = needed.collect();
    grants.dedup();
    Inspection { kind, exports, imports, grants, handler }
}

fn of_component(engine: &Engine, component: &Component) -> (Vec<Item>, Vec<Item>) {
    let ty = component.component_type();
    let exports = ty.exports(engine.wasmtime()).map(|(name, e)| item(engine, name, &e.ty));
    let imports = ty.imports(engine.wasmtime()).map(|(name, e)| item(engine, name, &e.ty));
    (exports.collect(), imports.collect())
}

fn of_module(module: &Module) -> (Vec<Item>, Vec<Item>) {
    let part = |name: String, ty: &ExternType| {
        let kind = match ty {
            ExternType::Func(ty) => ty.to_string(),
            ExternType::Global(_) => "global".to_owned(),
            ExternType::Table(_) => "table".to_owned(),
            ExternType::Memory(_) => "memory".to_owned(),
            ExternType::Tag(_) => "tag".to_owned(),
        };
        Item { name, kind, parts: Vec::new() }
    };
    let exports = module.exports().map(|export| part(export.name().to_owned(), &export.ty()));
    let imports = module
        .imports()
        .map(|import| part(format!("{}.{}", import.module(), import.name()), &import.ty()));
    (exports.collect(), imports.collect())
}

fn item(engine: &Engine, name: &str, ty: &ComponentItem) -> Item {
    let parts = match ty {
        ComponentItem::ComponentInstance(interface) => {
            let parts = interface.exports(engine.wasmtime());
            parts.map(|(name, part)| item(engine, name, &part.ty)).collect()
        }
        ComponentItem::ComponentFunc(_)
        | ComponentItem::CoreFunc(_)
        | ComponentItem::Module(_)
        | ComponentItem::Component(_)
        | ComponentItem::Type(_)
        | ComponentItem::Resource(_) => Vec::new(),
    };
    Item { name: name.to_owned(), kind: types::item(ty), parts }
}
