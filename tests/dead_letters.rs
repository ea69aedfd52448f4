//! What is given up is kept in the host's store, and comes back from there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use gristmill_testkit::amqp::{Field, Properties, Table};
use gristmill_testkit::host::Host;
use serde_json::{Value, json};

use crate::support::{Broker, GRISTMILL, LONG, at_any_moment, drain, moved, numbers, report};

/// Runs `gristmill dead-letters` on a host's configuration.
pub(crate) fn dead_letters(host: &Host, arguments: &[&str]) -> Output {
    let mut command = Command::new(GRISTMILL);
    command.arg("dead-letters").args(arguments).current_dir(host.folder()).output().unwrap()
}

/// What it prints, if it ends well.
pub(crate) fn prints(host: &Host, arguments: &[&str]) -> String {
    let output = dead_letters(host, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What it says when it does not.
fn complains(host: &Host, arguments: &[&str]) -> String {
    let output = dead_letters(host, arguments);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// The letters in a host's store.
pub(crate) fn list(host: &Host) -> Vec<Value> {
    let lines = prints(host, &["list", "--json"]);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The messages' ids of the letters in a host's store, which are numbers.
fn ids(host: &Host) -> Vec<u64> {
    let id = |letter: Value| letter["message_id"].as_str().unwrap().parse().unwrap();
    list(host).into_iter().map(id).collect()
}

/// Waits until the host says that it has given up so many messages.
pub(crate) async fn gave_up(host: &Host, messages: u64) {
    let mut left = messages;
    let all = |line: &Value| {
        let message = line["message"].as_str().unwrap_or_default();
        if message.starts_with("gave up") {
            left = left.saturating_sub(line["messages"].as_u64().unwrap());
        }
        left == 0
    };
    host.wait_for(LONG, all).await.unwrap();
}

fn order(id: u32) -> Vec<u8> {
    json!({ "id": id, "items": [] }).to_string().into()
}

#[tokio::test]
async fn a_message_of_7_mb_lands_in_the_store_and_the_rest_goes_on() {
    let mut broker = Broker::with(&["orders"]).await;
    let large = vec![b'x'; 7_000_000];
    broker.publish("orders", [order(1), large.clone(), order(2)]).await;
    let host = broker.host(&[broker.mapping("orders", "order-totals", "", "batch_size = 1")]);
    gave_up(&host, 1).await;
    // The one behind it; that before it was handled before.
    assert_eq!(report(&host, "orders").await["outcome"], "succeeded");
    broker.wait_for("orders", 0, 0).await;
    let letters = list(&host);
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["condition"], "RecordTooLarge");
    assert_eq!(dead_letters(&host, &["show", "1", "--body"]).stdout, large);
    let table = prints(&host, &["list"]);
    assert!(table.contains("RecordTooLarge") && table.contains("orders"), "{table}");
    prints(&host, &["drop", "1"]);
    assert!(list(&host).is_empty());
    assert!(complains(&host, &["show", "1"]).contains("there is no dead letter 1"));
    drain(&host).await;
}

/// The way of a message that its handler cannot handle, until somebody has mended it.
#[tokio::test]
async fn a_dead_letter_says_why_is_tried_by_hand_and_goes_back_to_its_queue() {
    let mut broker = Broker::with(&["orders"]).await;
    let properties = Properties {
        message_id: Some("m-1".to_owned()),
        content_type: Some("text/plain".to_owned()),
        expiration: Some("600000".to_owned()),
        headers: Some(Table::new().with("tenant", Field::I32(7)).with("x-death", Field::Void)),
        ..Properties::default()
    };
    broker.client.publish("orders", &properties, b"no order").await.unwrap();
    broker.publish("orders", [order(1)]).await;
    let settings = "batch_size = 2\nmaximum_batching_window = \"5m\"\nmaximum_retry_attempts = 1\n\
                    prefetch = 2\nbisect_batch_on_function_error = true";
    let host = broker.host(&[broker.mapping("orders", "order-totals", "", settings)]);
    gave_up(&host, 1).await;
    broker.wait_for("orders", 0, 0).await;
    let record: Value = serde_json::from_str(&prints(&host, &["show", "1", "--json"])).unwrap();
    assert_eq!(record["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 2);
    let function = "arn:aws:lambda:us-east-1:000000000000:function:order-totals-on-orders";
    assert_eq!(record["requestContext"]["functionArn"], function);
    assert_eq!(record["MQBatchInfo"]["messageIds"], json!(["m-1"]));
    assert_eq!(record["MQBatchInfo"]["virtualHost"], json!(broker.virtual_host));
    let error = record["MQBatchInfo"]["lastError"].as_str().unwrap();
    assert!(error.starts_with("the handler answered: "), "{error}");
    let shown = prints(&host, &["show", "1"]);
    assert!(shown.contains(error) && shown.contains("m-1"), "{shown}");
    drain(&host).await;

    // Its event is the one that the function got, and invoke takes it.
    let event: Value = serde_json::from_str(&prints(&host, &["show", "1", "--event"])).unwrap();
    let key = format!("orders::{}", broker.virtual_host);
    let shown = &event["rmqMessagesByQueue"][&key][0];
    assert_eq!(shown["data"], "bm8gb3JkZXI=");
    assert_eq!(shown["basicProperties"]["messageId"], "m-1");
    assert_eq!(shown["basicProperties"]["headers"]["tenant"], 7);
    assert_eq!(shown["basicProperties"]["expiration"], "600000");
    let component = gristmill_testkit::guests::component("order-totals");
    let mut invoke = Command::new(GRISTMILL);
    invoke.arg("invoke").arg(component).args(["--event", "-"]);
    let mut invoked = invoke.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    serde_json::to_writer(invoked.stdin.take().unwrap(), &event).unwrap();
    let output = invoked.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "the same error again");

    prints(&host, &["replay", "--mapping", "orders"]);
    assert!(list(&host).is_empty());
    let back = broker.client.get("orders").await.unwrap().unwrap();
    assert_eq!(back.body, b"no order");
    let properties = back.properties;
    assert_eq!(properties.message_id.as_deref(), Some("m-1"));
    assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
    assert_eq!((properties.delivery_mode, properties.expiration), (Some(2), None));
    let headers = properties.headers.unwrap();
    assert_eq!(headers.get("tenant"), Some(&Field::I32(7)));
    assert!(headers.get("gristmill-condition").is_none());
}

#[tokio::test]
async fn a_full_store_stops_its_mapping_and_no_other_until_there_is_room() {
    let mut broker = Broker::with(&["large", "small"]).await;
    broker.publish("large", (0..3).map(|_| vec![b'x'; 5_000_000])).await;
    let host = broker.host(&[
        "[host]\ndead_letters_size_max = \"12MiB\"\n\n".to_owned(),
        broker.mapping("large", "silent", "", ""),
        broker.mapping("small", "always-err", "", "maximum_retry_attempts = 0"),
    ]);
    let line = moved(&host, "large", "Disabled", "ESM_CONFIG_NOT_VALID").await;
    let result = line["last_processing_result"].as_str().unwrap();
    assert!(
        result.contains("fill their part") && result.contains("dead_letters_size_max"),
        "{result}"
    );
    broker.publish("small", numbers(10)).await;
    gave_up(&host, 10).await;
    let kept = list(&host).iter().filter(|letter| letter["mapping"] == "large").count();
    assert!((1..3).contains(&kept), "{kept}");
    prints(&host, &["drop", "--mapping", "large"]);
    moved(&host, "large", "Enabled", "USER_INITIATED").await;
    broker.wait_for("large", 0, 0).await;
    drain(&host).await;
}

#[tokio::test]
async fn a_store_that_cannot_be_used_stops_what_needs_it_until_it_can() {
    let mut broker = Broker::with(&["orders"]).await;
    broker.publish("orders", numbers(3)).await;
    let settings = "enabled = false\nmaximum_retry_attempts = 0";
    let mapping = broker.mapping("orders", "always-err", "", settings);
    let host = broker.host(&[mapping]);
    host.wait_for(LONG, |line| line["message"] == "host started").await.unwrap();
    let store = host.folder().join("data/dead-letters.sqlite3");
    fs::create_dir(&store).unwrap();
    enable(&host);
    let line = moved(&host, "orders", "Disabled", "ESM_CONFIG_NOT_VALID").await;
    let result = line["last_processing_result"].as_str().unwrap();
    assert!(result.contains("cannot use the dead-letter store"), "{result}");
    broker.wait_for("orders", 3, 0).await;
    assert!(complains(&host, &["list"]).contains("cannot use the dead-letter store"));
    fs::remove_dir(&store).unwrap();
    gave_up(&host, 3).await;
    broker.wait_for("orders", 0, 0).await;
    drain(&host).await;
}

fn enable(host: &Host) {
    let file = host.folder().join("gristmill.toml");
    let text = fs::read_to_string(&file).unwrap().replace("enabled = false", "enabled = true");
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

/// A program that runs the host with files of at most so many bytes, as long as there is the file
/// `limited` beside it: what it writes beyond that fails, as on a full disk.
fn with_files_of_at_most(folder: &Path, bytes: u64) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;

    let (program, flag) = (folder.join("program"), folder.join("limited"));
    let (blocks, flag_path) = (bytes / 512, flag.display());
    let script = format!(
        "#!/bin/sh\nif [ -e '{flag_path}' ]; then trap '' XFSZ; ulimit -S -f {blocks}; fi\n\
         exec '{GRISTMILL}' \"$@\"\n"
    );
    fs::write(&program, script).unwrap();
    fs::write(flag, "").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

#[tokio::test]
async fn where_the_disk_takes_no_more_nothing_is_lost() {
    let mut broker = Broker::with(&["orders"]).await;
    let bodies: Vec<Vec<u8>> = (0..20).map(|number| vec![number; 5_000_000]).collect();
    broker.publish("orders", bodies).await;
    let folder = tempfile::tempdir().unwrap();
    let program = with_files_of_at_most(folder.path(), 30 << 20);
    let configuration = format!(
        "[broker.broker]\ntype = \"rabbitmq\"\nurl = \"amqp://127.0.0.1:{}\"\n\n{}",
        broker.server.amqp_port(),
        broker.mapping("orders", "silent", "", "")
    );
    let mut host = Host::start(&program, &configuration).unwrap();
    let line = moved(&host, "orders", "Disabled", "ESM_CONFIG_NOT_VALID").await;
    let result = line["last_processing_result"].as_str().unwrap();
    assert!(result.contains("cannot use the dead-letter store"), "{result}");
    let kept = ids(&host).len() as u64;
    assert!((1..20).contains(&kept), "{kept}");
    drain(&host).await;
    broker.wait_for("orders", 20 - kept, 0).await;
    // With room on the disk the rest follows.
    fs::remove_file(folder.path().join("limited")).unwrap();
    host.restart().await.unwrap();
    gave_up(&host, 20 - kept).await;
    broker.wait_for("orders", 0, 0).await;
    let mut ids = ids(&host);
    ids.sort_unstable();
    assert_eq!(ids, (0..20).collect::<Vec<_>>());
    drain(&host).await;
}

#[tokio::test]
async fn killed_at_any_moment_between_store_and_ack_a_host_loses_nothing() {
    let mut broker = Broker::with(&["orders"]).await;
    let count = 3_000;
    broker.publish("orders", numbers(count)).await;
    let settings = "batch_size = 5\nmaximum_retry_attempts = 0\nmaximum_batching_window = \"0s\"";
    let mapping = broker.mapping("orders", "always-err", "", settings);
    let mut host = broker.host(&[mapping]);
    for _ in 0..10 {
        at_any_moment(&host).await;
        host.kill9().await.unwrap();
        host.restart().await.unwrap();
    }
    broker.wait_for("orders", 0, 0).await;
    drain(&host).await;
    let mut ids = ids(&host);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, (0..count).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_replay_killed_at_any_moment_loses_nothing() {
    let mut broker = Broker::with(&["orders"]).await;
    let count = 5_000;
    broker.publish("orders", numbers(count)).await;
    let settings = "batch_size = 1000\nmaximum_retry_attempts = 0";
    let mapping = broker.mapping("orders", "always-err", "", settings);
    let host = broker.host(&[mapping]);
    gave_up(&host, count).await;
    drain(&host).await;
    let mut rounds = 0;
    while !list(&host).is_empty() {
        let mut replay = Command::new(GRISTMILL)
            .args(["dead-letters", "replay", "--all"])
            .current_dir(host.folder())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let before = list(&host).len();
        while list(&host).len() == before && replay.try_wait().unwrap().is_none() {}
        replay.kill().unwrap();
        replay.wait().unwrap();
        rounds += 1;
    }
    assert!(rounds > 1, "it was never interrupted");
    let mut back = Vec::new();
    while let Some(delivery) = broker.client.get("orders").await.unwrap() {
        back.push(String::from_utf8(delivery.body).unwrap().parse::<u64>().unwrap());
    }
    back.sort_unstable();
    back.dedup();
    assert_eq!(back, (0..count).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_told_and_nothing_is_touched() {
    let mut broker = Broker::with(&["orders"]).await;
    broker.publish("orders", numbers(2)).await;
    let mapping = broker.mapping("orders", "always-err", "", "maximum_retry_attempts = 0");
    let host = broker.host(&[mapping]);
    gave_up(&host, 2).await;
    drain(&host).await;
    assert!(complains(&host, &["drop", "1", "7"]).contains("there is no dead letter 7"));
    assert!(complains(&host, &["drop"]).contains("required"));
    assert!(complains(&host, &["replay", "--all", "1"]).contains("cannot be used with"));
    assert!(complains(&host, &["drop", "--mapping", "oders"]).contains("no dead letters of"));
    broker.client.delete_queue("orders").await.unwrap();
    let said = complains(&host, &["replay", "--all"]);
    assert!(said.contains("no queue `orders`"), "{said}");
    assert_eq!(ids(&host), [0, 1]);
}
