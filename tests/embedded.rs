//! The whole job with no broker: queues in the host itself.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use gristmill_testkit::guests;
use gristmill_testkit::host::Host;
use gristmill_testkit::wait::until;
use serde_json::{Value, json};

use crate::dead_letters::{gave_up, list, prints};
use crate::support::{
    GRISTMILL, LONG, at_any_moment, drain, handled, nothing_panicked, report, subscribed,
};
use crate::watching::{listening, request};

fn configuration(broker: &str, queue: &str, guest: &str, mapping: &str) -> String {
    let component = guests::component(guest);
    format!(
        "[host]\nlisten = \"127.0.0.1:0\"\n[broker.here]\ntype = \"embedded\"\n{broker}\n\n\
         [function.{guest}-on-{queue}]\ncomponent = {component:?}\n\n\
         [mapping.{queue}]\nbroker = \"here\"\nqueue = \"{queue}\"\nfunction = \"{guest}-on-{queue}\"\n\
         {mapping}\n\n"
    )
}

fn host(configuration: &str) -> Host {
    Host::start(Path::new(GRISTMILL), configuration).unwrap()
}

/// Runs `gristmill publish` in a folder, with something on its stdin.
fn publish(folder: &Path, arguments: &[&str], stdin: &[u8]) -> Output {
    let mut command = Command::new(GRISTMILL);
    command.arg("publish").args(arguments).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut publishing = command.spawn().unwrap();
    // One that takes nothing may be gone.
    publishing.stdin.take().unwrap().write_all(stdin).unwrap_or_default();
    publishing.wait_with_output().unwrap()
}

fn published(folder: &Path, arguments: &[&str], stdin: &[u8]) -> String {
    let output = publish(folder, arguments, stdin);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What is complained of, and what is exited with.
fn refused(folder: &Path, arguments: &[&str], stdin: &[u8]) -> (i32, String) {
    let output = publish(folder, arguments, stdin);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn what_is_published_beside_the_host_is_handled_by_it() {
    let host = host(&configuration("", "orders", "prints-event", "batch_size = 2"));
    subscribed(&host, "orders").await;
    let arguments = [
        "orders",
        "--body",
        "{}",
        "--message-id",
        "m-1",
        "--header",
        "tenant=blue",
        "--content-type",
        "application/json",
        "--expiration",
        "600000",
    ];
    assert_eq!(published(host.folder(), &arguments, b""), "published 1\n");
    let event = host.wait_for(LONG, |line| line["stream"] == "stdout").await.unwrap();
    let event: Value = serde_json::from_str(event["message"].as_str().unwrap()).unwrap();
    assert_eq!(event["eventSource"], "aws:rmq");
    let record = &event["rmqMessagesByQueue"]["orders::/"][0];
    assert_eq!((&record["data"], &record["redelivered"]), (&json!("e30="), &json!(false)));
    let properties = &record["basicProperties"];
    assert_eq!(properties["messageId"], "m-1");
    assert_eq!(properties["contentType"], "application/json");
    assert_eq!(
        (&properties["expiration"], &properties["deliveryMode"]),
        (&json!("600000"), &json!(2))
    );
    let tenant: Vec<u8> =
        serde_json::from_value(properties["headers"]["tenant"]["bytes"].clone()).unwrap();
    assert_eq!(tenant, b"blue");
    assert_eq!(report(&host, "orders").await["outcome"], "succeeded");
    drain(&host).await;
}

#[tokio::test]
async fn files_and_lines_are_published_also_without_a_host() {
    let host = host(&configuration("", "orders", "chaotic", "batch_size = 100"));
    subscribed(&host, "orders").await;
    drain(&host).await;
    let folder = host.folder();
    fs::write(folder.join("one"), "0").unwrap();
    fs::write(folder.join("two"), "1").unwrap();
    assert_eq!(published(folder, &["orders", "one", "two"], b""), "published 2\n");
    assert_eq!(published(folder, &["orders"], b"2"), "published 1\n");
    fs::write(folder.join("more"), "3\r\n\n4\n5").unwrap();
    assert_eq!(published(folder, &["orders", "--lines", "more"], b""), "published 3\n");
    let mut host = host;
    host.restart().await.unwrap();
    while handled(&host, "chaotic-on-orders").len() < 6 {
        report(&host, "orders").await;
    }
    let all: BTreeSet<u64> = handled(&host, "chaotic-on-orders").into_iter().collect();
    assert_eq!(all, (0..6).collect());
    drain(&host).await;
}

#[tokio::test]
async fn what_is_published_wrongly_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gristmill.toml");
    fs::write(&file, configuration("", "orders", "silent", "")).unwrap();
    let (code, said) = refused(folder.path(), &["order", "--body", "x"], b"");
    assert!(
        code == 2 && said.contains("no queue `order` on this broker, which has `orders`"),
        "{said}"
    );
    let (code, said) = refused(folder.path(), &["orders", "nowhere"], b"");
    assert!(code == 1 && said.contains("cannot read nowhere"), "{said}");
    let (code, said) = refused(folder.path(), &["orders"], &vec![b'x'; 9 << 20]);
    assert!(code == 1 && said.contains("longer than any event"), "{said}");
    let (code, said) = refused(folder.path(), &["orders"], &vec![b'x'; 5 << 20]);
    assert!(code == 1 && said.contains("too large"), "{said}");
    let (code, said) = refused(folder.path(), &["orders", "--broker", "there"], b"x");
    assert!(code == 2 && said.contains("no [broker.there]"), "{said}");
    fs::write(&file, "[broker.shop]\ntype = 'rabbitmq'\nurl = 'amqp://h'").unwrap();
    let (code, said) = refused(folder.path(), &["orders"], b"x");
    assert!(code == 2 && said.contains("type = \"embedded\""), "{said}");
    let (code, said) = refused(folder.path(), &["orders", "--broker", "shop"], b"x");
    assert!(code == 2 && said.contains("broker.shop is not embedded"), "{said}");
}

#[tokio::test]
async fn a_full_broker_says_so_and_takes_more_when_there_is_room() {
    let disabled = "enabled = false";
    let host = host(&configuration("size_max = \"1MiB\"", "orders", "silent", disabled));
    host.wait_for(LONG, |line| line["message"] == "host started").await.unwrap();
    let half = vec![b'x'; 600_000];
    published(host.folder(), &["orders"], &half);
    let (code, said) = refused(host.folder(), &["orders"], &half);
    assert!(code == 1 && said.contains("are full") && said.contains("`size_max`"), "{said}");
    let file = host.folder().join("gristmill.toml");
    let enabled = fs::read_to_string(&file).unwrap().replace("enabled = false", "");
    fs::write(&file, enabled).unwrap();
    assert_eq!(report(&host, "orders").await["outcome"], "succeeded");
    // Settled a moment after it is told.
    let fits = async || publish(host.folder(), &["orders"], &half).status.success();
    until(LONG, fits).await;
    drain(&host).await;
}

#[tokio::test]
async fn what_is_given_up_goes_to_the_store_and_back_or_to_another_queue() {
    let settings = "batch_size = 1\nmaximum_retry_attempts = 0";
    let other = "[mapping.failed]\nbroker = \"here\"\nqueue = \"failed\"\nfunction = \"keeps\"\n\
                 enabled = false\n[function.keeps]\ncomponent = \"x\"\n";
    let host = host(&(configuration("", "orders", "always-err", settings) + other));
    published(host.folder(), &["orders", "--body", "x", "--message-id", "m"], b"");
    gave_up(&host, 1).await;
    let letters = list(&host);
    assert_eq!((letters.len(), &letters[0]["condition"]), (1, &json!("RetryAttemptsExhausted")));
    let event: Value = serde_json::from_str(&prints(&host, &["show", "1", "--event"])).unwrap();
    assert_eq!(event["rmqMessagesByQueue"]["orders::/"][0]["data"], "eA==");
    // Back, and given up again.
    assert_eq!(prints(&host, &["replay", "1"]), "replayed 1\n");
    gave_up(&host, 1).await;
    assert_eq!(list(&host)[0]["id"], 2);

    let file = host.folder().join("gristmill.toml");
    let to_queue = format!("{settings}\non_failure = \"queue:failed\"");
    let changed = fs::read_to_string(&file).unwrap().replace(settings, &to_queue);
    fs::write(&file, changed).unwrap();
    host.wait_for(LONG, |line| line["message"] == "configuration applied").await.unwrap();
    published(host.folder(), &["orders", "--body", "y"], b"");
    gave_up(&host, 1).await;
    assert_eq!(list(&host).len(), 1, "only what was there");
    let shows = fs::read_to_string(&file).unwrap().replace("enabled = false", "");
    let component = format!("component = {:?}", guests::component("prints-event"));
    fs::write(&file, shows.replace("component = \"x\"", &component)).unwrap();
    let event = host.wait_for(LONG, |line| line["stream"] == "stdout").await.unwrap();
    let event: Value = serde_json::from_str(event["message"].as_str().unwrap()).unwrap();
    let record = &event["rmqMessagesByQueue"]["failed::/"][0];
    assert_eq!(record["data"], "eQ==");
    assert!(record["basicProperties"]["headers"]["gristmill-condition"].is_object(), "{record}");
    drain(&host).await;
}

#[tokio::test]
async fn over_http_messages_are_taken_where_that_is_open() {
    let open = host(&configuration("http_publish = true", "orders", "chaotic", "batch_size = 100"));
    let address = listening(&open).await;
    let post = async |path: &str, headers: &str, body: &[u8]| {
        request(address, "POST", path, headers, body).await
    };
    let (status, answer) = post("/queues/orders/messages?message_id=m", "", b"0").await;
    assert_eq!((status, answer.as_str()), (200, "{\"published\":1}\n"));
    let ndjson = "content-type: application/x-ndjson\r\n";
    let (status, answer) = post("/queues/orders/messages", ndjson, b"1\n2\n\n3").await;
    assert_eq!((status, answer.as_str()), (200, "{\"published\":3}\n"));
    while handled(&open, "chaotic-on-orders").len() < 4 {
        report(&open, "orders").await;
    }
    let status = async |path: &str, headers: &str, body: &[u8]| post(path, headers, body).await.0;
    let long = format!("/queues/orders/messages?message_id={}", "x".repeat(256));
    assert_eq!(status(&long, "", b"x").await, 400);
    assert_eq!(status("/queues/orders/messages", ndjson, &b"1\n".repeat(10_001)).await, 413);
    assert_eq!(status("/queues/order/messages", "", b"x").await, 404);
    assert_eq!(status("/queues/orders/messages?nonsense=1", "", b"x").await, 400);
    assert_eq!(status("/queues/orders/messages", "origin: http://evil\r\n", b"x").await, 403);
    assert_eq!(status("/queues/orders/messages", "", &vec![b'x'; 5 << 20]).await, 413);
    assert_eq!(status("/queues/orders/messages", "", &vec![b'x'; 9 << 20]).await, 413);
    assert_eq!(request(address, "GET", "/queues/orders/messages", "", b"").await.0, 405);
    drain(&open).await;

    let closed = host(&configuration("", "orders", "silent", ""));
    let address: SocketAddr = listening(&closed).await;
    let (status, said) = request(address, "POST", "/queues/orders/messages", "", b"x").await;
    assert!(status == 403 && said.contains("`http_publish = true`"), "{said}");
    drain(&closed).await;
}

#[tokio::test]
async fn a_host_killed_at_any_moment_handles_everything_that_was_confirmed() {
    const ROUNDS: u64 = 15;
    const EACH: u64 = 2_000;
    let settings = "batch_size = 20\nmaximum_concurrency = 4";
    let mut host = host(&configuration("", "orders", "chaotic", settings));
    let mut all = BTreeSet::new();
    for round in 0..ROUNDS {
        let bodies = (round * EACH..(round + 1) * EACH).map(|number| format!("{number}\n"));
        let bodies: String = bodies.collect();
        let folder = host.folder().to_owned();
        let publishing = tokio::task::spawn_blocking(move || {
            published(&folder, &["orders", "--lines"], bodies.as_bytes())
        });
        at_any_moment(&host).await;
        host.kill9().await.unwrap();
        nothing_panicked(&host);
        all.extend(handled(&host, "chaotic-on-orders"));
        host.restart().await.unwrap();
        assert_eq!(publishing.await.unwrap(), format!("published {EACH}\n"));
    }
    loop {
        all.extend(handled(&host, "chaotic-on-orders"));
        if all.len() as u64 == ROUNDS * EACH {
            break;
        }
        let next = host.wait_for(LONG, |line| line["message"] == "REPORT").await;
        assert!(next.is_ok(), "{} of {} were handled", all.len(), ROUNDS * EACH);
    }
    drain(&host).await;
}

#[tokio::test]
async fn one_data_directory_has_one_host() {
    let first = host(&configuration("", "orders", "silent", ""));
    subscribed(&first, "orders").await;
    let second = Command::new(GRISTMILL).arg("run").current_dir(first.folder()).output().unwrap();
    assert_eq!(second.status.code(), Some(2));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("belongs to a running host"), "{said}");
    published(first.folder(), &["orders", "--body", "x"], b"");
    assert_eq!(report(&first, "orders").await["outcome"], "succeeded");
    drain(&first).await;
}

#[test]
fn the_demonstration_shows_the_main_job() {
    let shown = Command::new(GRISTMILL).arg("demo").output().unwrap();
    let said = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success(), "{said}{}", String::from_utf8_lossy(&shown.stderr));
    assert!(said.contains("handled     9999 orders in "), "{said}");
    assert!(said.contains("order-7777-poison (RetryAttemptsExhausted, 3 tries)"), "{said}");
}
