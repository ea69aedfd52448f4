//! Handlers become native code once, in a process that can be ended; and what a function is given
//! comes from the host's surroundings.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use gristmill_testkit::guests;
use gristmill_testkit::host::Host;
use serde_json::Value;

use crate::support::{Broker, GRISTMILL, drain, moved, report, subscribed};

/// A component of which every function takes the compiler a while.
fn slow_to_compile(folder: &Path) -> String {
    let mut body = String::new();
    for number in 0..4_000 {
        let (from, to) = (number % 61, (number * 7 + 3) % 61);
        write!(body, "(local.set {to} (i64.mul (i64.add (local.get {from}) (local.get {to})) (i64.const {number})))").unwrap();
        write!(
            body,
            "(if (i64.eqz (local.get {from})) (then (local.set {from} (i64.ctz (local.get {to})))))"
        )
        .unwrap();
    }
    let locals = "(local ".to_owned() + &"i64 ".repeat(61) + ")";
    let function = format!("(func (export \"NAME\") (result i64) {locals} {body} (local.get 0))");
    let functions: String =
        (0..40).map(|number| function.replace("NAME", &format!("f{number}"))).collect();
    let path = folder.join("slow.wasm");
    let text = format!("(component (core module {functions}))");
    fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn compilations(host: &Host) -> usize {
    host.logs().iter().filter(|line| line["message"] == "compiling").count()
}

#[tokio::test]
async fn a_handler_is_compiled_once_and_again_when_its_entry_is_damaged() {
    let mut broker = Broker::with(&["m"]).await;
    let mapping = broker.mapping("m", "silent", "", "");
    let mut host = broker.host(&[mapping]);
    subscribed(&host, "m").await;
    assert_eq!(compilations(&host), 1);
    drain(&host).await;

    host.restart().await.unwrap();
    broker.publish("m", [b"{}".to_vec()]).await;
    assert_eq!(report(&host, "m").await["outcome"], "succeeded");
    assert_eq!(compilations(&host), 0, "it was in the cache");
    drain(&host).await;

    let cache = host.folder().join("data/cache");
    let entries: Vec<_> = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    let mut bytes = fs::read(entry).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(entry, bytes).unwrap();
    host.restart().await.unwrap();
    broker.publish("m", [b"{}".to_vec()]).await;
    assert_eq!(report(&host, "m").await["outcome"], "succeeded");
    assert_eq!(compilations(&host), 1);
    let damaged = |line: &Value| {
        line["message"].as_str().is_some_and(|text| text.starts_with("removed a damaged entry"))
    };
    assert!(host.logs().iter().any(damaged));
}

#[tokio::test]
async fn a_handler_that_takes_too_long_to_compile_stops_its_own_mapping_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Broker::with(&["slow", "good"]).await;
    let slow = broker.mapping("slow", "silent", "", "");
    let slow = slow
        .replace(guests::component("silent").to_str().unwrap(), &slow_to_compile(folder.path()));
    let good = broker.mapping("good", "silent", "", "");
    let host = broker.host(&["[host]\ncompile_timeout = \"1s\"\n".to_owned(), slow, good]);
    let moved = moved(&host, "slow", "Disabled", "FUNCTION_CONFIG_NOT_VALID").await;
    let result = moved["last_processing_result"].as_str().unwrap();
    assert!(result.contains("compiling the handler took longer than 1s"), "{result}");
    broker.publish("good", [b"{}".to_vec()]).await;
    assert_eq!(report(&host, "good").await["outcome"], "succeeded");
}

#[tokio::test]
async fn native_code_runs_only_where_it_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let native = folder.path().join("silent.cwasm");
    let silent = guests::component("silent");
    let mut compile = Command::new(GRISTMILL);
    compile.arg("compile").arg(&silent).arg("-o").arg(&native);
    assert!(compile.status().unwrap().success());
    let mut broker = Broker::with(&["trusting", "wary"]).await;
    let mapping = |queue, function| {
        let mapping = broker.mapping(queue, "silent", function, "");
        mapping.replace(silent.to_str().unwrap(), native.to_str().unwrap())
    };
    let host = broker.host(&[mapping("trusting", "trusted = true"), mapping("wary", "")]);
    let refused = moved(&host, "wary", "Disabled", "FUNCTION_CONFIG_NOT_VALID").await;
    let result = refused["last_processing_result"].as_str().unwrap();
    assert!(result.contains("set trusted = true"), "{result}");
    for queue in ["wary", "trusting"] {
        broker.publish(queue, [b"{}".to_vec()]).await;
    }
    assert_eq!(report(&host, "trusting").await["outcome"], "succeeded");
    assert_eq!(compilations(&host), 0, "it was compiled before");
    broker.wait_for("wary", 1, 0).await;
    drain(&host).await;
}

#[tokio::test]
async fn a_function_has_the_environment_and_the_directory_that_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("key"), "from a file\n").unwrap();
    let dir = folder.path().join("orders");
    let function = format!(
        "environment = {{ A = \"as written\", B = \"env:OF_THE_HOST\", C = {:?} }}\n\
         allow.dirs = [{{ host = {dir:?}, guest = \"/orders\" }}]",
        format!("file:{}", folder.path().join("key").display()),
    );
    let mut broker = Broker::with(&["m"]).await;
    let mapping = broker.mapping("m", "environment", &function, "");
    let config = format!(
        "[broker.broker]\ntype = \"rabbitmq\"\nurl = \"amqp://127.0.0.1:{}\"\n{mapping}",
        broker.server.amqp_port()
    );
    let environment = [("OF_THE_HOST", "from the host")];
    let host = Host::start_with(Path::new(GRISTMILL), &config, &environment).unwrap();
    let refused = moved(&host, "m", "Disabled", "FUNCTION_CONFIG_NOT_VALID").await;
    let result = refused["last_processing_result"].as_str().unwrap();
    assert!(result.contains("cannot open the granted directory"), "{result}");
    // What is mended is seen when a file changes.
    fs::create_dir(&dir).unwrap();
    fs::write(folder.path().join("key"), "from another file\n").unwrap();
    broker.publish("m", [b"{}".to_vec()]).await;
    assert_eq!(report(&host, "m").await["outcome"], "succeeded");
    drain(&host).await;
    let printed = host.logs();
    let told = |log: &Value| serde_json::from_str::<Value>(log["message"].as_str()?).ok();
    let told = printed.iter().find_map(told).unwrap();
    let variables = &told["variables"];
    assert_eq!(variables["A"], "as written");
    assert_eq!(variables["B"], "from the host");
    assert_eq!(variables["C"], "from another file");
}
