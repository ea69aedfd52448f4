//! The test server against a real ActiveMQ: what it keeps, whom it refuses, what it leaves behind.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use gristmill_testkit::activemq::{ActiveMqServer, Rights, Settings, VERSION_VARIABLE};
use gristmill_testkit::certificates::Certificates;
use gristmill_testkit::jms::{Login, Message, Mode, Peer};
use tokio::io::{AsyncBufReadExt, BufReader};

const PATIENCE: Duration = Duration::from_secs(30);

/// Set for the copy of this test program that is to be killed.
const VICTIM: &str = "GRISTMILL_TESTKIT_VICTIM";

/// The data folder of a server that runs.
fn folder_of(pid: u32) -> PathBuf {
    let folder = fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
    assert!(folder.join("data/kahadb").is_dir(), "no data in {}", folder.display());
    folder
}

/// Whether the process runs; one that has ended and waits to be reaped does not.
fn is_running(pid: u32) -> bool {
    let status = fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat"))).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

fn numbered(count: usize) -> Vec<Message> {
    (0..count).map(|number| Message::text(number.to_string())).collect()
}

#[tokio::test]
async fn a_server_is_of_the_release_that_was_asked_for() {
    let server = ActiveMqServer::shared().await.unwrap();
    let wanted = std::env::var(VERSION_VARIABLE).unwrap_or_else(|_| "5.17".to_owned());
    let version = server.version().unwrap();
    assert!(version.starts_with(&format!("{wanted}.")), "{version}, not {wanted}");
}

#[tokio::test]
async fn a_killed_server_comes_back_with_its_persistent_messages() {
    let mut server = ActiveMqServer::start().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    peer.send("orders", &numbered(50)).await.unwrap();
    let fleeting = Message { persistent: false, ..Message::text("fleeting") };
    peer.send("orders", &[fleeting]).await.unwrap();
    assert_eq!(server.queue_counts("orders").await.unwrap().messages, 51);

    server.kill9().await.unwrap();
    assert!(server.pid().is_none() && server.peer().await.is_err());
    let refused = peer.send("orders", &numbered(1)).await;
    assert!(refused.is_err(), "sent to a server that is dead: {refused:?}");

    server.restart().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let messages = peer.take("orders", 50, PATIENCE).await.unwrap();
    let texts: Vec<_> = messages.iter().map(|message| message.text().unwrap().to_owned()).collect();
    assert_eq!(texts, (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
    peer.close().await.unwrap();

    server.stop().await.unwrap();
    server.restart().await.unwrap();
    assert!(server.queue_counts("orders").await.is_ok_and(|counts| counts.messages == 0));
}

#[tokio::test]
async fn a_login_is_needed_where_there_are_users() {
    let settings = Settings::new().user("app", "s3cr3t päss", "apps");
    let server = ActiveMqServer::start_with(&settings).await.unwrap();
    for refused in [server.peer().await, server.peer_as("app", "wrong").await] {
        let error = format!("{:#}", refused.unwrap_err());
        assert!(error.contains("JMSSecurityException: User name ["), "{error}");
        assert!(!error.contains("wrong"), "{error}");
    }
    server.peer_as("app", "s3cr3t päss").await.unwrap().send("q", &numbered(1)).await.unwrap();
    assert!(!format!("{settings:?}").contains("s3cr3t"));
}

#[tokio::test]
async fn users_reach_only_what_they_may() {
    let orders = Rights { read: "apps,readers", write: "apps", admin: "apps" };
    let settings = Settings::new()
        .user("app", "a", "apps")
        .user("reader", "r", "readers")
        .rights("orders.>", orders);
    let server = ActiveMqServer::start_with(&settings).await.unwrap();
    let mut app = server.peer_as("app", "a").await.unwrap();
    app.send("orders.eu", &numbered(2)).await.unwrap();
    let error = app.send("payments", &numbered(1)).await.unwrap_err().to_string();
    assert!(error.contains("User app is not authorized to"), "{error}");

    let mut reader = server.peer_as("reader", "r").await.unwrap();
    assert_eq!(reader.browse("orders.eu").await.unwrap().len(), 2);
    let error = reader.send("orders.eu", &numbered(1)).await.unwrap_err().to_string();
    assert!(error.contains("not authorized to write to: queue://orders.eu"), "{error}");
    assert_eq!(reader.take("orders.eu", 2, PATIENCE).await.unwrap().len(), 2);
}

#[tokio::test]
async fn tls_is_for_those_who_trust_the_authority_and_may_demand_a_certificate() {
    let certificates = Certificates::make().unwrap();
    let others = Certificates::make().unwrap();
    let settings = Settings::new().tls(&certificates, false);
    let server = ActiveMqServer::start_with(&settings).await.unwrap();
    let login = Login::to(server.tls_url());
    let mut peer = Peer::connect(&login.clone().tls(&certificates, false)).await.unwrap();
    peer.send("q", &numbered(1)).await.unwrap();
    assert!(Peer::connect(&login.tls(&others, false)).await.is_err(), "trusts another authority");
    // The certificate is for a name, not for this address.
    let by_address = Login::to(format!("ssl://127.0.0.1:{}", server.tls_port()));
    assert!(Peer::connect(&by_address.tls(&certificates, false)).await.is_err());
    drop(server);

    let settings = Settings::new().tls(&certificates, true);
    let server = ActiveMqServer::start_with(&settings).await.unwrap();
    let login = Login::to(server.tls_url());
    assert!(Peer::connect(&login.clone().tls(&certificates, false)).await.is_err());
    let mut peer = Peer::connect(&login.tls(&certificates, true)).await.unwrap();
    peer.send("q", &numbered(1)).await.unwrap();
}

#[tokio::test]
async fn counts_tell_what_is_held_given_out_and_gone() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    assert!(server.queues().await.unwrap().contains(&queue));
    let mut peer = server.peer().await.unwrap();
    peer.send(&queue, &numbered(5)).await.unwrap();
    let consumer = peer.subscribe(&queue, Mode::Individual, Some(2)).await.unwrap();
    peer.receive(consumer, PATIENCE).await.unwrap().unwrap();
    peer.acknowledge(consumer).await.unwrap();

    let counts = server.wait_for_counts(&queue, PATIENCE, |counts| counts.dequeued == 1);
    let counts = counts.await.unwrap();
    assert_eq!((counts.messages, counts.enqueued, counts.consumers), (4, 5, 1));
    let counts = server.wait_for_counts(&queue, PATIENCE, |counts| counts.in_flight == 2);
    assert_eq!(counts.await.unwrap().dispatched, 3);
    let consumers = server.consumers(&queue).await.unwrap();
    assert_eq!((consumers.len(), consumers[0].prefetch, consumers[0].in_flight), (1, 2, 2));
    assert!(consumers[0].client_id.starts_with("ID:"));

    peer.unsubscribe(consumer).await.unwrap();
    server.purge(&queue).await.unwrap();
    assert_eq!(server.queue_counts(&queue).await.unwrap().messages, 0);
    server.delete_queue(&queue).await.unwrap();
    let error = server.queue_counts(&queue).await.unwrap_err().to_string();
    assert!(error.contains("there is no queue"), "{error}");
}

#[tokio::test]
async fn expired_messages_go_to_the_dead_letter_queue_of_the_policy() {
    let policy = [("expireMessagesPeriod", "100"), ("deadLetterPrefix", "DLQ.")];
    let server = ActiveMqServer::start_with(&Settings::new().policy(">", &policy)).await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let short = Message { ttl: Duration::from_millis(200), ..Message::text("short") };
    peer.send("orders", &[short]).await.unwrap();
    server.wait_for_counts("orders", PATIENCE, |counts| counts.expired == 1).await.unwrap();
    let dead = peer.browse("DLQ.orders").await.unwrap();
    assert_eq!(dead[0].text(), Some("short"));
    assert_eq!(dead[0].original_destination.as_deref(), Some("queue://orders"));

    let wrong = Settings::new().policy(">", &[("noSuchSetting", "1")]);
    let error = format!("{:#}", ActiveMqServer::start_with(&wrong).await.unwrap_err());
    assert!(error.contains("no such settings of a queue: [noSuchSetting]"), "{error}");
}

#[tokio::test]
async fn a_frozen_server_answers_once_it_is_thawed() {
    let mut server = ActiveMqServer::start().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    server.freeze().await.unwrap();
    let messages = numbered(1);
    let sent = tokio::time::timeout(Duration::from_millis(300), peer.send("q", &messages)).await;
    assert!(sent.is_err(), "a frozen server answered: {sent:?}");
    server.thaw().unwrap();
    // The answer that nobody waits for any more is passed over.
    assert_eq!(peer.browse("q").await.unwrap().len(), 1);

    assert_eq!(server.connections().await.unwrap(), 1);
    server.close_connections().await.unwrap();
    assert!(peer.browse("q").await.is_err());
}

#[tokio::test]
async fn two_servers_know_nothing_of_each_other_and_leave_nothing_behind() {
    let (one, two) = tokio::join!(ActiveMqServer::start(), ActiveMqServer::start());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.port(), two.port());
    one.create_queue("only-here").await.unwrap();
    assert!(two.queue_counts("only-here").await.is_err());

    let pid = one.pid().unwrap();
    let folder = folder_of(pid);
    assert!(is_running(pid));
    drop(one);
    assert!(!folder.exists() && !is_running(pid));
    assert!(two.queues().await.is_ok());
}

#[tokio::test]
async fn nothing_survives_the_kill_of_a_test_process() {
    // The process to be killed is this same program, running this same test.
    if std::env::var_os(VICTIM).is_some() {
        let server = ActiveMqServer::shared().await.unwrap();
        println!("server={}", server.pid().unwrap());
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
    let pid = loop {
        let line = lines.next_line().await.unwrap().expect("the victim ended by itself");
        if let Some((_, pid)) = line.split_once("server=") {
            break pid.parse::<u32>().unwrap();
        }
    };
    let folder = folder_of(pid);
    assert!(is_running(pid));
    victim.kill().await.unwrap();
    let gone = async {
        while is_running(pid) || folder.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}
