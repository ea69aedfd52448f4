//! Handlers and configuration change while the host runs: nothing is lost, nothing handled twice, and
//! who is not concerned never notices.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gristmill_testkit::guests;
use gristmill_testkit::host::Host;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Broker, LONG, drain, host_on, moved, report, subscribed};

const NOT_LOADED: &str = "the changed handler does not load; the old one goes on";

/// The guest `versioned` in one of its versions.
fn version(number: u32) -> Vec<u8> {
    let mut bytes = fs::read(guests::component("versioned")).unwrap();
    let marker = b"version-0000";
    let mut found = (0..bytes.len() - marker.len()).filter(|at| bytes[*at..].starts_with(marker));
    let (at, again) = (found.next().unwrap(), found.next());
    assert_eq!(again, None, "it stands there once");
    bytes[at..][..marker.len()].copy_from_slice(format!("version-{number:04}").as_bytes());
    bytes
}

/// Puts a file in the place of another in one step, as whoever deploys should.
fn replace(path: &Path, content: &[u8]) {
    let partial = path.with_extension("partial");
    fs::write(&partial, content).unwrap();
    fs::rename(&partial, path).unwrap();
}

/// A broker, a folder with version 0 of the guest, and the host on both.
struct Scene {
    broker: Broker,
    host: Host,
    handler: PathBuf,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new(mapping: &str) -> Self {
        let broker = Broker::with(&["m"]).await;
        let folder = tempfile::tempdir().unwrap();
        let handler = folder.path().join("handler.wasm");
        fs::write(&handler, version(0)).unwrap();
        let built = guests::component("versioned");
        let sections = broker.mapping("m", "versioned", "", mapping);
        let sections = sections.replace(&format!("{built:?}"), &format!("{handler:?}"));
        let host = broker.host(&[sections]);
        subscribed(&host, "m").await;
        Self { broker, host, handler, _folder: folder }
    }

    /// Publishes a message and waits until this version has handled it.
    async fn is_handled_by(&mut self, version: u32, number: u32) {
        self.broker.publish("m", [body(number)]).await;
        let line = format!("version-{version:04} handled {number}");
        self.host.wait_for(LONG, |said| said["message"] == line.as_str()).await.unwrap();
    }

    async fn reloaded(&self) -> Value {
        self.host.wait_for(LONG, |line| line["message"] == "handler reloaded").await.unwrap()
    }

    async fn kept(&self) -> String {
        let line = self.host.wait_for(LONG, |line| line["message"] == NOT_LOADED).await.unwrap();
        line["reason"].as_str().unwrap().to_owned()
    }
}

fn body(number: u32) -> Vec<u8> {
    json!({ "number": number }).to_string().into_bytes()
}

/// What versions have said that they handled: by invocation, the versions and the numbers.
fn said(host: &Host) -> BTreeMap<String, (BTreeSet<String>, Vec<u32>)> {
    let mut said: BTreeMap<String, (BTreeSet<String>, Vec<u32>)> = BTreeMap::new();
    for line in host.logs() {
        let (Some(request_id), Some(text)) =
            (line["request_id"].as_str(), line["message"].as_str())
        else {
            continue;
        };
        let Some((version, rest)) = text.split_once(' ').filter(|_| text.starts_with("version-"))
        else {
            continue;
        };
        let (versions, numbers) = said.entry(request_id.to_owned()).or_default();
        versions.insert(version.to_owned());
        if let Some(handled) = rest.strip_prefix("handled ") {
            numbers.extend(handled.split(' ').map(|number| number.parse::<u32>().unwrap()));
        }
    }
    said
}

#[tokio::test]
async fn a_call_that_runs_while_its_handler_is_replaced_is_ended_by_the_one_that_began_it() {
    let mut scene = Scene::new("batch_size = 1").await;
    // Longer than compiling takes on a busy machine.
    let slow = json!({ "number": 1, "sleep_ms": 10_000 }).to_string().into_bytes();
    scene.broker.publish("m", [slow]).await;
    let begins = |line: &Value| line["message"] == "version-0000 begins";
    scene.host.wait_for(LONG, begins).await.unwrap();
    replace(&scene.handler, &version(1));
    scene.reloaded().await;
    let ends = |line: &Value| line["message"] == "version-0000 handled 1";
    scene.host.wait_for(LONG, ends).await.unwrap();
    scene.is_handled_by(1, 2).await;
    drain(&scene.host).await;
    let began =
        said(&scene.host).into_values().map(|(versions, numbers)| (versions.len(), numbers));
    assert_eq!(began.collect::<BTreeSet<_>>(), BTreeSet::from([(1, vec![1]), (1, vec![2])]));
    assert_eq!(scene.host.logs().iter().filter(|line| begins(line)).count(), 1);
}

#[tokio::test]
async fn a_hundred_replacements_under_load_lose_nothing_and_repeat_nothing() {
    const REPLACEMENTS: u32 = 100;
    let mut scene = Scene::new("batch_size = 10\nmaximum_concurrency = 4").await;
    let mut published = 0;
    let done = Cell::new(false);
    let replacing = async {
        for number in 1..=REPLACEMENTS {
            replace(&scene.handler, &version(number));
            let reloaded = |line: &Value| line["message"] == "handler reloaded";
            scene.host.wait_for(LONG, reloaded).await.unwrap();
        }
        done.set(true);
    };
    let publishing = async {
        while !done.get() {
            scene.broker.publish("m", (published..published + 20).map(body)).await;
            published += 20;
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(replacing, publishing);
    scene.broker.wait_for("m", 0, 0).await;
    drain(&scene.host).await;

    let said = said(&scene.host);
    let mut handled: Vec<u32> = said.values().flat_map(|(_, numbers)| numbers.clone()).collect();
    handled.sort_unstable();
    assert!(handled.iter().copied().eq(0..published), "each once: {published}");
    assert!(said.values().all(|(versions, _)| versions.len() == 1), "each batch by one version");
    let versions: BTreeSet<&String> = said.values().flat_map(|(versions, _)| versions).collect();
    // One that was replaced before a batch came has handled none.
    assert!(versions.len() > 90, "{}", versions.len());
    let logs = scene.host.logs();
    let mut before = None;
    for line in logs.iter().filter(|line| line["message"] == "handler reloaded") {
        assert_ne!(line["old_sha256"], line["new_sha256"]);
        assert!(before.is_none_or(|before| before == line["old_sha256"]), "one after the other");
        before = Some(line["new_sha256"].clone());
    }
}

#[tokio::test]
async fn a_failing_batch_is_tried_again_with_the_handler_that_mends_it() {
    let mut scene = Scene::new("").await;
    let needs = json!({ "number": 1, "needs": "version-0002" });
    scene.broker.publish("m", [needs.to_string().into_bytes()]).await;
    assert_eq!(report(&scene.host, "m").await["outcome"], "handler_error");
    replace(&scene.handler, &version(2));
    scene.reloaded().await;
    scene.host.wait_for(LONG, |line| line["message"] == "version-0002 handled 1").await.unwrap();
    scene.broker.wait_for("m", 0, 0).await;
    drain(&scene.host).await;
}

#[tokio::test]
async fn what_cannot_be_a_handler_leaves_the_old_one_in_charge() {
    let mut scene = Scene::new("").await;
    scene.is_handled_by(0, 0).await;
    let path = scene.handler.clone();
    let content = version(0);

    fs::File::options().write(true).open(&path).unwrap().set_len(1_000).unwrap();
    let reason = scene.kept().await;
    assert!(reason.contains("cut short"), "{reason}");
    scene.is_handled_by(0, 1).await;

    fs::remove_file(&path).unwrap();
    let reason = scene.kept().await;
    assert!(reason.contains("No such file"), "{reason}");
    scene.is_handled_by(0, 2).await;

    fs::create_dir(&path).unwrap();
    let reason = scene.kept().await;
    assert!(reason.contains("it is no ordinary file"), "{reason}");
    scene.is_handled_by(0, 3).await;

    fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let reason = scene.kept().await;
    assert!(reason.contains("symbolic links"), "{reason}");
    scene.is_handled_by(0, 4).await;

    fs::remove_file(&path).unwrap();
    fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
    let reason = scene.kept().await;
    assert!(reason.contains("1073741824 bytes"), "{reason}");
    scene.is_handled_by(0, 5).await;

    replace(&path, b"no WebAssembly at all");
    scene.kept().await;
    // Written bit by bit, without a pause that could be taken for the end: nobody looks at a part.
    let refusals = |host: &Host| {
        let lines = host.logs();
        lines.iter().filter(|line| line["message"] == NOT_LOADED).count()
    };
    let before = refusals(&scene.host);
    let mut file = fs::File::create(&path).unwrap();
    for part in content.chunks(content.len() / 20) {
        std::io::Write::write_all(&mut file, part).unwrap();
        sleep(Duration::from_millis(50)).await;
    }
    drop(file);
    let line = scene.reloaded().await;
    assert_eq!(line["old_sha256"], line["new_sha256"], "the same content again");
    assert_eq!(refusals(&scene.host), before);
    replace(&path, &version(7));
    scene.reloaded().await;
    scene.is_handled_by(7, 6).await;
    drain(&scene.host).await;
}

/// A host with a changeable configuration: sections by their mappings' names.
struct Configured {
    broker: Broker,
    host: Host,
    sections: BTreeMap<String, String>,
}

impl Configured {
    async fn new(queues: &[&str], mapping: impl Fn(&Broker, &str) -> String) -> Self {
        let broker = Broker::with(queues).await;
        let sections: BTreeMap<String, String> =
            queues.iter().map(|queue| ((*queue).to_owned(), mapping(&broker, queue))).collect();
        let texts: Vec<String> = sections.values().cloned().collect();
        let host = host_on(broker.server, &texts);
        let mut left: BTreeSet<String> = sections.keys().cloned().collect();
        let all = |line: &Value| {
            if line["message"] == "subscribed" {
                left.remove(line["mapping"].as_str().unwrap());
            }
            left.is_empty()
        };
        host.wait_for(LONG, all).await.unwrap();
        Self { broker, host, sections }
    }

    /// Writes the file anew and waits until it is in force.
    async fn apply(&self) -> Value {
        self.write("");
        self.host.wait_for(LONG, |line| line["message"] == "configuration applied").await.unwrap()
    }

    /// Writes the file anew, with something more.
    fn write(&self, more: &str) {
        let path = self.host.folder().join("gristmill.toml");
        let before = fs::read_to_string(&path).unwrap();
        let broker = before.split_once("[function").unwrap().0;
        let sections: String = self.sections.values().cloned().collect();
        replace(&path, format!("{broker}{sections}{more}").as_bytes());
    }

    /// Writes the file with something more that is wrong, and says why it was refused.
    async fn is_refused(&self, more: &str) -> String {
        self.write(more);
        let refused = |line: &Value| {
            line["message"] == "the changed configuration is refused; the old one goes on"
        };
        let line = self.host.wait_for(LONG, refused).await.unwrap();
        line["reason"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_change_of_one_mapping_among_twenty_is_not_noticed_by_the_other_nineteen() {
    let names: Vec<String> = (0..20).map(|number| format!("m{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mapping = |broker: &Broker, queue: &str| broker.mapping(queue, "slow", "", "");
    let mut scene = Configured::new(&names, mapping).await;
    // In each mapping a batch runs that ends after the change.
    for name in &names {
        scene.broker.publish(name, [br#"{"sleep_ms": 20000}"#.to_vec()]).await;
    }
    scene.broker.wait_for("m19", 0, 1).await;
    let changed = scene.broker.mapping("m07", "slow", "", "batch_size = 3");
    scene.sections.insert("m07".to_owned(), changed);
    let applied = scene.apply().await;
    assert_eq!((&applied["changed"], &applied["unchanged"]), (&json!(1), &json!(19)));
    let reports = scene.host.logs().iter().filter(|line| line["message"] == "REPORT").count();
    assert_eq!(reports, 0, "all still run");
    moved(&scene.host, "m07", "Enabled", "USER_INITIATED").await;
    for name in &names {
        scene.broker.wait_for(name, 0, 0).await;
    }
    drain(&scene.host).await;

    let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in scene.host.logs() {
        let (Some(mapping), Some(message)) = (line["mapping"].as_str(), line["message"].as_str())
        else {
            continue;
        };
        *seen.entry((mapping.to_owned(), message.to_owned())).or_default() += 1;
    }
    for name in &names {
        let count = |message: &str| seen.get(&((*name).to_owned(), message.to_owned())).copied();
        // The changed one drained before it began anew, so its message was not handed over again.
        assert_eq!(count("REPORT"), Some(1), "{name}: handled once, by the same consumer");
        assert_eq!(count("subscribed"), Some(if *name == "m07" { 2 } else { 1 }), "{name}");
    }
}

#[tokio::test]
async fn mappings_come_go_and_are_disabled_without_a_restart() {
    let mapping = |broker: &Broker, queue: &str| broker.mapping(queue, "silent", "", "");
    let mut scene = Configured::new(&["a", "b", "c"], mapping).await;
    let d = scene.broker.mapping_named("d", "c", "silent", "", "batch_size = 5");
    scene.sections.insert("d".to_owned(), d);
    scene.sections.remove("a");
    let b = scene.broker.mapping("b", "silent", "", "enabled = false");
    let enabled = scene.sections.insert("b".to_owned(), b).unwrap();
    let applied = scene.apply().await;
    for (key, count) in [("added", 1), ("changed", 1), ("removed", 1), ("unchanged", 1)] {
        assert_eq!(applied[key], count, "{key}");
    }
    moved(&scene.host, "b", "Disabled", "USER_INITIATED").await;
    let is = |mapping: &'static str, state: &'static str| {
        move |line: &Value| line["mapping"] == mapping && line["state"] == state
    };
    assert!(scene.host.logs().iter().any(is("a", "Deleting")));
    // Nobody takes what comes for those that are gone or disabled.
    for queue in ["a", "b"] {
        scene.broker.publish(queue, [b"{}".to_vec()]).await;
        scene.broker.wait_for(queue, 1, 0).await;
    }
    scene.sections.insert("b".to_owned(), enabled);
    scene.apply().await;
    scene.broker.wait_for("b", 0, 0).await;
    let a = scene.broker.mapping("a", "silent", "", "");
    scene.sections.insert("a".to_owned(), a);
    scene.apply().await;
    scene.broker.wait_for("a", 0, 0).await;
    drain(&scene.host).await;
}

#[tokio::test]
async fn a_wrong_change_is_refused_whole_while_the_old_configuration_goes_on() {
    let mapping = |broker: &Broker, queue: &str| broker.mapping(queue, "silent", "", "");
    let mut scene = Configured::new(&["a", "b"], mapping).await;
    // Right by itself, and not applied as long as something else is wrong.
    let b = scene.broker.mapping("b", "silent", "", "enabled = false");
    scene.sections.insert("b".to_owned(), b);
    let reason = scene.is_refused("[mapping.c]\nbrocker = \"broker\"\n").await;
    assert!(reason.contains("mapping.c.brocker: unknown key; did you mean `broker`?"), "{reason}");
    let changed_dir = scene.is_refused("[host]\ndata_dir = \"elsewhere\"\n").await;
    assert!(changed_dir.contains("takes a restart"), "{changed_dir}");
    let missing = "[function.c]\ncomponent = \"missing.wasm\"\n\
                   [mapping.c]\nbroker = \"broker\"\nqueue = \"c\"\nfunction = \"c\"\n";
    let reason = scene.is_refused(missing).await;
    assert!(reason.contains("cannot read the handler"), "{reason}");
    for queue in ["a", "b"] {
        scene.broker.publish(queue, [b"{}".to_vec()]).await;
        scene.broker.wait_for(queue, 0, 0).await;
    }
    let host_section = scene.is_refused("[host]\nregion = \"Mars\"\n").await;
    assert!(host_section.contains("host.region"), "{host_section}");

    scene.write("[host]\nregion = \"eu-central-1\"\n");
    let waits = "the section [host] has changed, which takes effect at the next start";
    scene.host.wait_for(LONG, |line| line["message"] == waits).await.unwrap();
    moved(&scene.host, "b", "Disabled", "USER_INITIATED").await;

    // Nothing has changed, and still it is read when somebody says so.
    scene.host.signal("HUP").unwrap();
    let applied = |line: &Value| line["message"] == "configuration applied";
    let line = scene.host.wait_for(LONG, applied).await.unwrap();
    assert_eq!((&line["changed"], &line["unchanged"]), (&json!(0), &json!(2)));
    drain(&scene.host).await;
}

/// As when a configuration is copied before the handlers that it names.
#[tokio::test]
async fn what_was_refused_for_a_missing_handler_is_applied_when_it_comes() {
    let mapping = |broker: &Broker, queue: &str| broker.mapping(queue, "silent", "", "");
    let mut scene = Configured::new(&["a"], mapping).await;
    let section = format!(
        "[function.c]\ncomponent = \"c.wasm\"\n\
         [mapping.c]\nbroker = \"broker\"\nqueue = \"a\"\nvirtual_host = \"{}\"\nfunction = \"c\"\n",
        scene.broker.virtual_host
    );
    scene.sections.remove("a");
    let reason = scene.is_refused(&section).await;
    assert!(reason.contains("c.wasm"), "{reason}");
    replace(&scene.host.folder().join("c.wasm"), &version(0));
    subscribed(&scene.host, "c").await;
    drain(&scene.host).await;
}
