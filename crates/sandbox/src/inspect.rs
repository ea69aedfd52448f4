//! What a file is, without running it.
//!
//! Goes the same way as loading a function, and reports instead of refusing.

use wasmtime::component::types::ComponentItem;

use crate::engine::Engine;
use crate::error::Refusal;
use crate::load;
use crate::recognise::FileKind;
use crate::types;

/// What a file is, what it exports and imports, and whether it can run.
#[derive(Debug)]
pub struct Inspection {
    /// What the file is, by its content.
    pub kind: FileKind,
    /// What the component exports; nothing for other kinds.
    pub exports: Vec<Item>,
    /// What the component imports; nothing for other kinds.
    pub imports: Vec<Item>,
    /// Where the component exports `handle-batch`, or why it cannot run.
    pub handle_batch: Result<String, Refusal>,
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

/// Says what a file is. Executes nothing of it.
///
/// A component is compiled for this, which takes up to seconds and blocks the thread: call it
/// where blocking is allowed.
#[must_use]
pub fn inspect(engine: &Engine, bytes: &[u8]) -> Inspection {
    let kind = FileKind::of(bytes);
    let component = match load::compile(engine, bytes) {
        Ok(component) => component,
        Err(refusal) => {
            return Inspection {
                kind,
                exports: Vec::new(),
                imports: Vec::new(),
                handle_batch: Err(refusal),
            };
        }
    };
    let handle_batch = load::find_handle_batch(engine, &component)
        .and_then(|found| load::link(engine, &component).map(|_| found.path));
    let ty = component.component_type();
    let exports = ty.exports(engine.wasmtime()).map(|(name, e)| item(engine, name, &e.ty));
    let imports = ty.imports(engine.wasmtime()).map(|(name, e)| item(engine, name, &e.ty));
    Inspection { kind, exports: exports.collect(), imports: imports.collect(), handle_batch }
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
