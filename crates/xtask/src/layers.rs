//! `cargo xtask layers`: which crate uses which, and who owns which dependency.
//!
//! The direction keeps the part that must be right small: an event source mapping compiles and is
//! tested without a broker and without an engine. The owners keep upgrades small: a new version of
//! a heavy dependency touches one crate. A new crate fails this until it has a row here.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::workspace;

/// A crate's place. Rows stand in order; a crate uses only crates in rows above its own.
struct Place {
    name: &'static str,
    layer: u8,
    /// The highest layer it may use.
    uses_up_to: u8,
    reason: &'static str,
}

const PLACES: &[Place] = &[
    place("gristmill-handler", 0, 0, "handlers use it, and it must build without the host"),
    place("gristmill-event", 0, 0, "the event's JSON is pure data"),
    place("gristmill-broker", 0, 0, "a vocabulary; a delivery holds what the event is made of"),
    place("activemq-openwire", 0, 0, "a protocol library that others can use"),
    place("gristmill-invocation", 0, 0, "a vocabulary between mappings and the sandbox"),
    place("gristmill-sandbox", 1, 0, "runs one call and knows neither brokers nor mappings"),
    place("gristmill-rabbitmq", 1, 0, "one broker behind the common vocabulary"),
    place("gristmill-activemq", 1, 0, "one broker behind the common vocabulary"),
    place("gristmill-store", 1, 0, "one file behind the common vocabulary"),
    place("gristmill-mapping", 2, 0, "must be tested without any broker or engine"),
    place("gristmill", 3, 2, "wires everything below together"),
    place("gristmill-control", 4, 3, "a server beside the host, which works without it"),
    place("gristmill-cli", 5, 4, "a program around the library"),
    place(TESTKIT, 8, 0, "a tool; what it drives runs as separate processes"),
    place("xtask", 9, 8, "a tool; nothing may use it"),
];

const TESTKIT: &str = "gristmill-testkit";

/// A dependency that only some crates may name.
struct Owned {
    /// A `*` at the end stands for any further letters.
    dependency: &'static str,
    owners: &'static [&'static str],
    /// Whether the tests of any crate may use it.
    free_in_tests: bool,
    reason: &'static str,
}

const OWNED: &[Owned] = &[
    owned("wasmtime*", &["gristmill-sandbox"], false, "the engine is replaceable in one place"),
    owned("cap-std", &["gristmill-sandbox"], false, "grants of files belong to the sandbox"),
    owned("lapin", &["gristmill-rabbitmq"], false, "its odd sides are handled in one place"),
    owned("activemq-openwire", &["gristmill-activemq"], false, "its protocol stays in one place"),
    owned("rusqlite", &["gristmill-store"], false, "the file's layout is known in one place"),
    owned("toml", &["gristmill"], false, "the configuration format is known in one place"),
    owned("axum", &["gristmill-control"], false, "HTTP stays beside the host"),
    owned("clap", &["gristmill-cli", "xtask"], true, "libraries take no arguments"),
    owned("tracing-subscriber", &["gristmill-cli"], true, "libraries write no logs themselves"),
    owned("anyhow", &["gristmill-cli", "xtask", TESTKIT], true, "libraries have typed errors"),
];

const fn place(name: &'static str, layer: u8, uses_up_to: u8, reason: &'static str) -> Place {
    Place { name, layer, uses_up_to, reason }
}

const fn owned(
    dependency: &'static str,
    owners: &'static [&'static str],
    free_in_tests: bool,
    reason: &'static str,
) -> Owned {
    Owned { dependency, owners, free_in_tests, reason }
}

impl Owned {
    fn names(&self, dependency: &str) -> bool {
        match self.dependency.strip_suffix('*') {
            Some(start) => dependency.starts_with(start),
            None => dependency == self.dependency,
        }
    }
}

/// One line of one manifest.
#[derive(Debug)]
struct Dependency {
    user: String,
    name: String,
    is_for_tests: bool,
}

pub(crate) fn run() -> Result<()> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1"];
    let metadata = workspace::output_of(workspace::cargo().args(arguments))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is not JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let crates: Vec<String> = packages.iter().map(|package| text(&package["name"])).collect();
    let problems = problems(&crates, &packages.iter().flat_map(dependencies).collect::<Vec<_>>());
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

fn dependencies(package: &Value) -> Vec<Dependency> {
    let rows = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter()
        .map(|row| Dependency {
            user: text(&package["name"]),
            name: text(&row["name"]),
            is_for_tests: row["kind"] == "dev",
        })
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Everything wrong with these crates and dependencies, a sentence each.
fn problems(crates: &[String], dependencies: &[Dependency]) -> Vec<String> {
    let mut problems = Vec::new();
    for name in crates {
        if position(name).is_none() {
            problems.push(format!("{name} has no layer yet; give it a row in xtask's layers.rs"));
        }
    }
    for dependency in dependencies {
        problems.extend(wrong_direction(dependency));
        problems.extend(wrong_owner(dependency));
    }
    problems
}

fn position(name: &str) -> Option<(usize, &'static Place)> {
    PLACES.iter().enumerate().find(|(_, place)| place.name == name)
}

fn wrong_direction(dependency: &Dependency) -> Option<String> {
    // Whatever has no row is a dependency from elsewhere.
    let (used_row, used) = position(&dependency.name)?;
    let (user_row, user) = position(&dependency.user)?;
    if dependency.is_for_tests && used.name == TESTKIT {
        return None;
    }
    let is_allowed = used_row < user_row && used.layer <= user.uses_up_to;
    (!is_allowed)
        .then(|| format!("{} must not depend on {}: {}", user.name, used.name, user.reason))
}

fn wrong_owner(dependency: &Dependency) -> Option<String> {
    let row = OWNED.iter().find(|row| row.names(&dependency.name))?;
    let is_allowed = row.owners.contains(&dependency.user.as_str())
        || (row.free_in_tests && dependency.is_for_tests);
    (!is_allowed).then(|| {
        format!(
            "{} must not depend on {}, which only {} may: {}",
            dependency.user,
            dependency.name,
            row.owners.join(" and "),
            row.reason
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(user: &str, name: &str, is_for_tests: bool) -> Vec<String> {
        let dependency = Dependency { user: user.into(), name: name.into(), is_for_tests };
        problems(&[], &[dependency])
    }

    #[track_caller]
    fn refused(user: &str, name: &str) {
        assert_eq!(found(user, name, false).len(), 1, "{user} may use {name}");
    }

    #[track_caller]
    fn allowed(user: &str, name: &str) {
        assert_eq!(found(user, name, false), Vec::<String>::new());
    }

    #[test]
    fn a_crate_uses_only_what_stands_below_it() {
        allowed("gristmill-broker", "gristmill-event");
        refused("gristmill-event", "gristmill-broker");
        refused("gristmill-sandbox", "gristmill-rabbitmq");
        refused("gristmill-rabbitmq", "gristmill-sandbox");
        refused("gristmill-mapping", "gristmill");
        allowed("gristmill", "gristmill-mapping");
        allowed("gristmill-cli", "gristmill");
        refused("gristmill", "gristmill-cli");
    }

    #[test]
    fn a_mapping_names_no_broker_and_no_engine() {
        allowed("gristmill-mapping", "gristmill-broker");
        refused("gristmill-mapping", "gristmill-rabbitmq");
        refused("gristmill-mapping", "gristmill-sandbox");
        assert_eq!(found("gristmill-mapping", "gristmill-rabbitmq", true).len(), 1);
    }

    #[test]
    fn tools_are_for_tests_only() {
        refused("gristmill", "gristmill-testkit");
        refused("gristmill-cli", "xtask");
        assert!(found("gristmill", "gristmill-testkit", true).is_empty());
        assert_eq!(found("gristmill", "xtask", true).len(), 1);
        allowed("xtask", "gristmill-testkit");
        refused("gristmill-testkit", "gristmill-sandbox");
    }

    #[test]
    fn heavy_dependencies_have_one_owner() {
        allowed("gristmill-sandbox", "wasmtime-wasi");
        refused("gristmill-mapping", "wasmtime");
        refused("gristmill", "cap-std");
        refused("gristmill-broker", "lapin");
        refused("gristmill-cli", "toml");
        refused("gristmill", "clap");
        allowed("xtask", "clap");
        refused("gristmill", "tracing-subscriber");
        allowed("gristmill", "serde");
    }

    #[test]
    fn what_is_free_in_tests_is_not_free_elsewhere() {
        refused("gristmill-mapping", "anyhow");
        allowed("gristmill-testkit", "anyhow");
        assert!(found("gristmill-mapping", "anyhow", true).is_empty());
        assert!(found("gristmill-sandbox", "tracing-subscriber", true).is_empty());
        assert_eq!(found("gristmill-mapping", "lapin", true).len(), 1);
    }

    #[test]
    fn a_new_crate_needs_a_row() {
        assert_eq!(problems(&["gristmill-new".into()], &[]).len(), 1);
        assert!(problems(&["gristmill-event".into()], &[]).is_empty());
    }
}
