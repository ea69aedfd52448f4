//! `gristmill inspect`: what a handler file is, without running it.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use gristmill_sandbox::{Engine, EngineSettings, Inspection, Item, inspect};
use serde_json::{Value, json};

use crate::{answer, complain, exit};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The handler file.
    handler: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Prints what the file is, and says what to exit with: as if it had been loaded.
pub(crate) fn run(arguments: &Arguments) -> u8 {
    match look(arguments) {
        Ok(inspection) => {
            answer(&if arguments.json { json(&inspection) } else { text(&inspection) });
            if inspection.handler.is_ok() { exit::OK } else { exit::CONFIGURATION }
        }
        Err(error) => {
            complain(&error);
            exit::CONFIGURATION
        }
    }
}

fn look(arguments: &Arguments) -> anyhow::Result<Inspection> {
    let path = &arguments.handler;
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(inspect(&Engine::new(EngineSettings::default())?, &bytes))
}

fn text(inspection: &Inspection) -> String {
    let Inspection { kind, exports, imports, grants, handler } = inspection;
    let mut text = format!("kind: {kind}\n");
    text += &match handler {
        Ok(path) => format!("handler: {path}\n"),
        Err(refusal) => format!("not a handler: {refusal}\n"),
    };
    if !grants.is_empty() {
        text += &format!("reaches nothing without: {}\n", grants.join(", "));
    }
    for (title, items) in [("exports", exports), ("imports", imports)] {
        text += &format!("{title}:{}\n", if items.is_empty() { " none" } else { "" });
        append_items(&mut text, items, 1);
    }
    text
}

fn append_items(text: &mut String, items: &[Item], depth: usize) {
    for Item { name, kind, parts } in items {
        *text += &format!("{:indent$}{name}: {kind}\n", "", indent = depth * 2);
        append_items(text, parts, depth + 1);
    }
}

fn json(inspection: &Inspection) -> String {
    let Inspection { kind, exports, imports, grants, handler } = inspection;
    let object = json!({
        "kind": kind.to_string(),
        "handler": handler.as_ref().ok(),
        "refusal": handler.as_ref().err().map(ToString::to_string),
        "grants": grants,
        "exports": exports.iter().map(item).collect::<Value>(),
        "imports": imports.iter().map(item).collect::<Value>(),
    });
    format!("{object:#}\n")
}

fn item(item: &Item) -> Value {
    let parts: Value = item.parts.iter().map(self::item).collect();
    json!({ "name": item.name, "kind": item.kind, "parts": parts })
}
