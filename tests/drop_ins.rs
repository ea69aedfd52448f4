//! Handlers that are dropped into a folder of a running host, with or without a sidecar.

use std::fs;
use std::path::{Path, PathBuf};

use gristmill_testkit::guests;
use gristmill_testkit::host::Host;
use serde_json::Value;

use crate::support::{Broker, GRISTMILL, LONG, drain, host_on, moved, report, subscribed};

/// A host whose folder `plugins` is open for one broker, with more sections.
fn host(broker: &Broker, sections: &str) -> (Host, PathBuf) {
    let plugins = "[plugins]\nbrokers = [\"broker\"]\ntimeout_max = \"1m\"\n\n".to_owned();
    let host = host_on(broker.server, &[plugins, sections.to_owned()]);
    let folder = host.folder().join("plugins");
    fs::create_dir(&folder).unwrap();
    (host, folder)
}

fn mapping(broker: &Broker, queue: &str) -> String {
    let virtual_host = &broker.virtual_host;
    format!("broker = \"broker\"\nqueue = \"{queue}\"\nvirtual_host = \"{virtual_host}\"\n")
}

fn drop_in(folder: &Path, name: &str, guest: &str, sidecar: &str) {
    fs::copy(guests::component(guest), folder.join(name).with_extension("wasm")).unwrap();
    if !sidecar.is_empty() {
        fs::write(folder.join(name).with_extension("toml"), sidecar).unwrap();
    }
}

/// Waits until a drop-in is refused, and says why.
async fn refused(host: &Host, name: &str) -> (String, bool) {
    let refused = |line: &Value| line["message"] == "drop-in refused" && line["drop_in"] == name;
    let line = host.wait_for(LONG, refused).await.unwrap();
    (line["reason"].as_str().unwrap().to_owned(), line["old_goes_on"].as_bool().unwrap())
}

async fn taken(host: &Host, name: &str) {
    let taken = |line: &Value| line["message"] == "drop-in taken" && line["drop_in"] == name;
    host.wait_for(LONG, taken).await.unwrap();
}

#[tokio::test]
async fn a_dropped_in_handler_works_changes_with_its_sidecar_and_goes_with_its_files() {
    let mut broker = Broker::with(&["orders"]).await;
    let (host, folder) = host(&broker, "");
    let sidecar = format!("timeout = \"10s\"\n[mapping.all]\n{}", mapping(&broker, "orders"));
    drop_in(&folder, "counts", "echo", &sidecar);
    subscribed(&host, "counts.all").await;
    broker.publish("orders", [b"1".to_vec()]).await;
    let line = report(&host, "counts.all").await;
    assert_eq!((&line["outcome"], &line["function"]), (&"succeeded".into(), &"counts".into()));

    // Deleting the handler does not end what its sidecar maps.
    fs::remove_file(folder.join("counts.wasm")).unwrap();
    let kept = "the changed handler does not load; the old one goes on";
    host.wait_for(LONG, |line| line["message"] == kept).await.unwrap();
    broker.publish("orders", [b"2".to_vec()]).await;
    report(&host, "counts.all").await;

    // Nor does a sidecar that asks for too much.
    let greedy = sidecar.replace("10s", "10m");
    fs::copy(guests::component("echo"), folder.join("counts.wasm")).unwrap();
    fs::write(folder.join("counts.toml"), &greedy).unwrap();
    let (reason, old_goes_on) = refused(&host, "counts").await;
    assert!(old_goes_on && reason.contains("timeout: 10m is more"), "{reason}");
    broker.publish("orders", [b"3".to_vec()]).await;
    report(&host, "counts.all").await;

    fs::write(folder.join("counts.toml"), sidecar.replace("10s", "20s")).unwrap();
    taken(&host, "counts").await;
    subscribed(&host, "counts.all").await;

    fs::remove_file(folder.join("counts.toml")).unwrap();
    fs::remove_file(folder.join("counts.wasm")).unwrap();
    moved(&host, "counts.all", "Deleting", "USER_INITIATED").await;
    broker.publish("orders", [b"4".to_vec()]).await;
    broker.wait_for("orders", 1, 0).await;
    drain(&host).await;
}

#[tokio::test]
async fn a_mapping_of_the_operators_waits_for_its_handler() {
    let mut broker = Broker::with(&["orders"]).await;
    let section = format!("[mapping.m]\nfunction = \"totals\"\n{}", mapping(&broker, "orders"));
    let (host, folder) = host(&broker, &section);
    moved(&host, "m", "Disabled", "FUNCTION_CONFIG_NOT_VALID").await;
    broker.publish("orders", [b"{}".to_vec()]).await;
    drop_in(&folder, "totals", "silent", "");
    moved(&host, "m", "Enabled", "USER_INITIATED").await;
    assert_eq!(report(&host, "m").await["outcome"], "succeeded");
    drain(&host).await;
}

/// What was taken away under it does not keep anybody from changing anything.
#[tokio::test]
async fn a_mapping_of_the_operators_stops_without_its_drop_in_and_others_go_on() {
    let mut broker = Broker::with(&["orders", "other"]).await;
    let section = format!("[mapping.m]\nfunction = \"totals\"\n{}", mapping(&broker, "orders"));
    let (host, folder) = host(&broker, &section);
    drop_in(&folder, "totals", "silent", "timeout = \"30s\"");
    taken(&host, "totals").await;
    fs::remove_file(folder.join("totals.toml")).unwrap();
    fs::remove_file(folder.join("totals.wasm")).unwrap();
    moved(&host, "m", "Disabled", "FUNCTION_CONFIG_NOT_VALID").await;
    drop_in(&folder, "other", "silent", &format!("[mapping.m]\n{}", mapping(&broker, "other")));
    subscribed(&host, "other.m").await;
    drop_in(&folder, "totals", "silent", "");
    broker.publish("orders", [b"{}".to_vec()]).await;
    assert_eq!(report(&host, "m").await["outcome"], "succeeded");
    drain(&host).await;
}

/// As when both files are copied in place, the handler last and slowly.
#[tokio::test]
async fn a_new_sidecar_that_was_refused_for_its_handler_is_taken_when_that_is_mended() {
    let broker = Broker::with(&["a", "b"]).await;
    let (host, folder) = host(&broker, "");
    drop_in(&folder, "h", "silent", &format!("[mapping.a]\n{}", mapping(&broker, "a")));
    subscribed(&host, "h.a").await;
    fs::write(folder.join("h.wasm"), b"\0asm").unwrap();
    let sidecar = format!("timeout = \"7s\"\n[mapping.b]\n{}", mapping(&broker, "b"));
    fs::write(folder.join("h.toml"), sidecar).unwrap();
    let (reason, old_goes_on) = refused(&host, "h").await;
    assert!(old_goes_on && reason.contains("cut short"), "{reason}");
    fs::copy(guests::component("silent"), folder.join("h.wasm")).unwrap();
    subscribed(&host, "h.b").await;

    // And one that was refused for the rules, when those are others.
    let sidecar = format!("timeout = \"2m\"\n[mapping.a]\n{}", mapping(&broker, "a"));
    fs::write(folder.join("h.toml"), sidecar).unwrap();
    let (reason, old_goes_on) = refused(&host, "h").await;
    assert!(old_goes_on && reason.contains("timeout_max"), "{reason}");
    let path = host.folder().join("gristmill.toml");
    let rules = fs::read_to_string(&path).unwrap();
    fs::write(&path, rules.replace("timeout_max = \"1m\"", "timeout_max = \"3m\"")).unwrap();
    subscribed(&host, "h.a").await;
    fs::write(&path, rules.replace("timeout_max", "mappings_max = 1\ntimeout_max")).unwrap();
    refused(&host, "h").await;
    drop_in(&folder, "one", "silent", &format!("[mapping.b]\n{}", mapping(&broker, "b")));
    subscribed(&host, "one.b").await;
    drop_in(&folder, "two", "silent", &format!("[mapping.b]\n{}", mapping(&broker, "b")));
    let (reason, _) = refused(&host, "two").await;
    assert!(reason.contains("more than 1 of all sidecars"), "{reason}");
    drain(&host).await;
}

#[tokio::test]
async fn one_that_is_refused_says_why_and_keeps_nobody_else_out() {
    let broker = Broker::with(&["a", "b"]).await;
    let (host, folder) = host(&broker, "");
    let a = format!("trusted = true\n[mapping.m]\n{}", mapping(&broker, "a"));
    drop_in(&folder, "a", "silent", &a);
    let (reason, old_goes_on) = refused(&host, "a").await;
    assert!(!old_goes_on && reason.contains("trusted: is for gristmill.toml only"), "{reason}");
    drop_in(&folder, "b", "silent", &format!("[mapping.m]\n{}", mapping(&broker, "b")));
    subscribed(&host, "b.m").await;

    // Nothing of it was taken, and mending it is enough.
    fs::write(folder.join("a.toml"), a.replace("trusted = true", "")).unwrap();
    subscribed(&host, "a.m").await;

    fs::write(folder.join("half.toml"), format!("[mapping.m]\n{}", mapping(&broker, "b"))).unwrap();
    let (reason, _) = refused(&host, "half").await;
    assert!(reason.contains("put it beside its sidecar"), "{reason}");
    fs::write(folder.join("half.wasm"), b"\0asm").unwrap();
    let (reason, _) = refused(&host, "half").await;
    assert!(reason.contains("cut short"), "{reason}");

    // Whoever runs the host closes the broker to them: what was taken ends.
    let path = host.folder().join("gristmill.toml");
    let open = fs::read_to_string(&path).unwrap();
    fs::write(&path, open.replace("brokers = [\"broker\"]", "brokers = []")).unwrap();
    moved(&host, "b.m", "Deleting", "USER_INITIATED").await;
    let (reason, old_goes_on) = refused(&host, "a").await;
    assert!(!old_goes_on && reason.contains("is not open to dropped-in handlers"), "{reason}");
    fs::write(&path, open).unwrap();
    subscribed(&host, "a.m").await;
    drain(&host).await;
}

#[tokio::test]
async fn what_lies_there_already_is_taken_at_the_start_and_checked_by_check() {
    let mut broker = Broker::with(&["a", "own"]).await;
    let own = broker.mapping("own", "silent", "", "");
    let (mut host, folder) = host(&broker, &own);
    drop_in(&folder, "a", "silent", &format!("[mapping.m]\n{}", mapping(&broker, "a")));
    drop_in(&folder, "wrong", "silent", "allow = {}");
    host.restart().await.unwrap();
    subscribed(&host, "a.m").await;
    for queue in ["a", "own"] {
        broker.publish(queue, [b"{}".to_vec()]).await;
        broker.wait_for(queue, 0, 0).await;
    }
    drain(&host).await;

    let check = || {
        let mut command = std::process::Command::new(GRISTMILL);
        command.arg("check").current_dir(host.folder()).output().unwrap()
    };
    let output = check();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("drop-in wrong: ") && said.contains("allow: is for"), "{said}");
    fs::remove_file(folder.join("wrong.toml")).unwrap();
    let output = check();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("ok: 1 brokers, 3 functions, 2 mappings"), "{said}");
}
