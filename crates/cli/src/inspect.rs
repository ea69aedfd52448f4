//! `gristmill inspect`: what a handler file is, without running it.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use gristmill_sandbox::{Engine, Inspection, Item, inspect};
use serde_json::{Value, json};

use crate::{complain, exit};

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
            if arguments.json {
                print_json(&inspection);
            } else {
                print(&inspection);
            }
            if inspection.handle_batch.is_ok() { exit::OK } else { exit::CONFIGURATION }
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
    Ok(inspect(&Engine::new()?, &bytes))
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
fn print(inspection: &Inspection) {
    let Inspection { kind, exports, imports, handle_batch } = inspection;
    println!("kind: {kind}");
    match handle_batch {
        Ok(path) => println!("handler: {path}"),
        Err(refusal) => println!("not a handler: {refusal}"),
    }
    for (title, items) in [("exports", exports), ("imports", imports)] {
        println!("{title}: {}", if items.is_empty() { "none" } else { "" });
        print_items(items, 1);
    }
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
fn print_items(items: &[Item], depth: usize) {
    for Item { name, kind, parts } in items {
        println!("{:indent$}{name}: {kind}", "", indent = depth * 2);
        print_items(parts, depth + 1);
    }
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
fn print_json(inspection: &Inspection) {
    let Inspection { kind, exports, imports, handle_batch } = inspection;
    let object = json!({
        "kind": kind.to_string(),
        "handler": handle_batch.as_ref().ok(),
        "refusal": handle_batch.as_ref().err().map(ToString::to_string),
        "exports": exports.iter().map(item).collect::<Value>(),
        "imports": imports.iter().map(item).collect::<Value>(),
    });
    println!("{object:#}");
}

fn item(item: &Item) -> Value {
    let parts: Value = item.parts.iter().map(self::item).collect();
    json!({ "name": item.name, "kind": item.kind, "parts": parts })
}
