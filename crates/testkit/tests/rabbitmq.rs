//! The test server against a real RabbitMQ: what it keeps, what it isolates, what it leaves behind.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use gristmill_testkit::amqp::{Client, Properties, Table};
use gristmill_testkit::pika;
use gristmill_testkit::rabbitmq::{QueueCounts, RabbitServer};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

const PATIENCE: Duration = Duration::from_secs(30);

/// Set for the copy of this test program that is to be killed.
const VICTIM: &str = "GRISTMILL_TESTKIT_VICTIM";

/// Other processes that have the text in their command line or environment.
fn processes_with(text: &str) -> Vec<String> {
    let has_text = |file: PathBuf| {
        let bytes = fs::read(file).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    let folders = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    folders
        .filter(|folder| has_text(folder.join("cmdline")) || has_text(folder.join("environ")))
        .map(|folder| folder.display().to_string())
        .collect()
}

/// Whether the data folder of the server with this port is still there.
fn has_folder(port: u16) -> bool {
    let prefix = format!("gristmill-rabbitmq-{port}-");
    let entries = fs::read_dir(std::env::temp_dir()).unwrap();
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
}

async fn publish_persistent(client: &mut Client, queue: &str, count: usize) {
    client.confirm_select().await.unwrap();
    for number in 0..count {
        let body = number.to_string();
        client.publish(queue, &Properties::persistent(), body.as_bytes()).await.unwrap();
    }
    client.wait_for_confirms().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_comes_back_with_its_persistent_messages() {
    let mut server = RabbitServer::start().await.unwrap();
    let mut client = server.client("/").await.unwrap();
    client.declare_queue("orders", &Table::new()).await.unwrap();
    publish_persistent(&mut client, "orders", 50).await;
    server.sync_declarations().await.unwrap();

    server.kill9().await.unwrap();
    assert!(client.queue_status("orders").await.is_err());
    assert!(server.client("/").await.is_err());

    server.restart().await.unwrap();
    let mut client = server.client("/").await.unwrap();
    assert_eq!(client.queue_status("orders").await.unwrap().messages, 50);
}

#[tokio::test]
async fn two_servers_know_nothing_of_each_other_and_leave_nothing_behind() {
    let (one, two) = tokio::join!(RabbitServer::start(), RabbitServer::start());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.amqp_port(), two.amqp_port());
    let mut client = one.client("/").await.unwrap();
    client.declare_queue("only-here", &Table::new()).await.unwrap();
    let mut other = two.client("/").await.unwrap();
    let error = other.queue_status("only-here").await.unwrap_err();
    assert!(error.to_string().contains("404 NOT_FOUND"), "{error:#}");

    let port = one.amqp_port();
    let node_name = format!("gristmill-{port}@localhost");
    assert!(has_folder(port) && !processes_with(&node_name).is_empty());
    drop(one);
    assert_eq!(processes_with(&node_name), Vec::<String>::new());
    assert!(!has_folder(port));
    assert!(two.client("/").await.is_ok());
}

#[tokio::test]
async fn a_frozen_server_answers_once_it_is_thawed() {
    let mut server = RabbitServer::start_with(&["consumer_timeout = 60000"]).await.unwrap();
    let mut client = server.client("/").await.unwrap();
    client.declare_queue("q", &Table::new()).await.unwrap();
    server.freeze().await.unwrap();
    let asked = tokio::time::timeout(Duration::from_millis(200), client.queue_status("q")).await;
    assert!(asked.is_err(), "a frozen server answered: {asked:?}");
    server.thaw().unwrap();
    // The answer to the first question comes first; both are the same.
    assert_eq!(client.queue_status("q").await.unwrap().messages, 0);
}

#[tokio::test]
async fn users_reach_only_what_they_may() {
    let server = RabbitServer::shared().await.unwrap();
    let vhost = server.test_vhost().await.unwrap();
    server.add_user("app", "p@ss word").await.unwrap();
    let port = server.amqp_port();
    assert!(Client::connect_as(port, &vhost, "app", "p@ss word").await.is_err());
    server.set_permissions(&vhost, "app", ["", "orders", "orders"]).await.unwrap();
    assert!(Client::connect_as(port, &vhost, "app", "wrong").await.is_err());

    let mut client = Client::connect_as(port, &vhost, "app", "p@ss word").await.unwrap();
    let error = client.declare_queue("orders", &Table::new()).await.unwrap_err();
    assert!(error.to_string().contains("403 ACCESS_REFUSED"), "{error:#}");
    assert!(server.url_as("app", "p@ss word", "/").contains("app:p%40ss%20word@"));
}

#[tokio::test]
async fn counts_tell_ready_from_unacked() {
    let server = RabbitServer::shared().await.unwrap();
    let vhost = server.test_vhost().await.unwrap();
    let mut client = server.client(&vhost).await.unwrap();
    client.declare_queue("orders", &Table::new()).await.unwrap();
    publish_persistent(&mut client, "orders", 5).await;
    client.consume("orders", 2).await.unwrap();
    client.next_delivery().await.unwrap();

    let wanted = QueueCounts { ready: 3, unacked: 2, consumers: 1 };
    let counts = server.wait_for_counts(&vhost, "orders", PATIENCE, |counts| counts == wanted);
    assert_eq!(counts.await.unwrap(), wanted);
    assert!(server.queue_counts(&vhost, "missing").await.is_err());
}

#[tokio::test]
async fn pika_publishes_and_reads_back() {
    let server = RabbitServer::shared().await.unwrap();
    let vhost = server.test_vhost().await.unwrap();
    let url = server.url(&vhost);
    let messages = json!([
        { "body": "héllo", "properties": { "content_type": "text/plain", "headers": { "n": 1 } } },
        { "body": [0, 255] },
    ]);
    assert!(pika::publish(&url, "orders", &messages).await.is_err(), "there is no queue yet");
    let mut client = server.client(&vhost).await.unwrap();
    client.declare_queue("orders", &Table::new()).await.unwrap();
    pika::publish(&url, "orders", &messages).await.unwrap();

    let peeked = pika::peek(&url, "orders").await.unwrap();
    assert_eq!((peeked.len(), peeked[0].redelivered), (2, false));
    let drained = pika::drain(&url, "orders").await.unwrap();
    assert!(drained[0].redelivered);
    assert_eq!(drained[0].text(), "héllo");
    assert_eq!(drained[0].properties["headers"]["n"], 1);
    assert_eq!(drained[1].body, [0, 255]);
    assert_eq!(pika::drain(&url, "orders").await.unwrap(), []);
}

#[tokio::test]
async fn nothing_survives_the_kill_of_a_test_process() {
    // The process to be killed is this same program, running this same test.
    if std::env::var_os(VICTIM).is_some() {
        let server = RabbitServer::shared().await.unwrap();
        println!("port={}", server.amqp_port());
        return std::future::pending().await;
    }
    let mut victim = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nothing_survives_the_kill_of_a_test_process", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let port = loop {
        let line = lines.next_line().await.unwrap().expect("the victim ended by itself");
        if let Some((_, port)) = line.split_once("port=") {
            break port.parse::<u16>().unwrap();
        }
    };
    let mut client = Client::connect(port, "/").await.unwrap();
    client.declare_queue("q", &Table::new()).await.unwrap();

    victim.kill().await.unwrap();
    // The connection breaks when the server dies; the last to go is the watchdog with the folder.
    let broken = client.next_delivery();
    assert!(tokio::time::timeout(PATIENCE, broken).await.unwrap().is_err());
    let node_name = format!("gristmill-{port}@localhost");
    let gone = async {
        while !processes_with(&node_name).is_empty() || has_folder(port) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}
