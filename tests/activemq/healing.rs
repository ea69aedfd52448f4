//! What needs a person stops its own mapping, says so, and is over as soon as it is mended.

use std::path::Path;

use gristmill_testkit::activemq::{ActiveMqServer, Rights, Settings};
use gristmill_testkit::guests;
use gristmill_testkit::host::Host;
use gristmill_testkit::jms;

use super::wait_for;
use crate::support::{GRISTMILL, LONG, credentials, drain, moved, nothing_panicked, report};

/// A password that no log may show.
const PASSWORD: &str = "hunter2-hunter2";

#[tokio::test]
async fn every_refusal_has_its_code_and_is_over_when_it_is_mended() {
    let everything = Rights { read: "apps", write: "apps", admin: "apps" };
    let no_new_queue = Rights { read: "apps", write: "apps", admin: "admins" };
    let settings = Settings::new()
        .user("app", PASSWORD, "apps")
        .user("stranger", PASSWORD, "strangers")
        .user("operator", PASSWORD, "admins")
        .rights("open.>", everything)
        .rights("closed.>", no_new_queue);
    let server = ActiveMqServer::start_with(&settings).await.unwrap();
    server.create_queue("open.good").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    credentials(&file("app"), "app", PASSWORD);
    credentials(&file("wrong"), "app", "wrong");
    credentials(&file("stranger"), "stranger", PASSWORD);

    let component = guests::component("silent");
    let url = server.url();
    let mapping = |name: &str, login: &str, queue: &str| {
        format!(
            "[broker.{name}]\ntype = \"activemq\"\nurl = \"{url}\"\ncredentials = \"file:{}\"\n\
             [function.{name}]\ncomponent = {component:?}\n\
             [mapping.{name}]\nbroker = \"{name}\"\nqueue = \"{queue}\"\nfunction = \"{name}\"\n",
            file(login).display()
        )
    };
    let config = [
        mapping("good", "app", "open.good"),
        mapping("login", "wrong", "open.login"),
        mapping("right", "stranger", "open.right"),
        mapping("queue", "app", "closed.missing"),
    ];
    let host = Host::start(Path::new(GRISTMILL), &config.concat()).unwrap();

    let mut troubles = vec![
        ("login", "EVENT_SOURCE_AUTHN_ERROR", "check the user name and password"),
        ("right", "EVENT_SOURCE_AUTHZ_ERROR", "grant this login `read`"),
        ("queue", "ESM_CONFIG_NOT_VALID", "no queue `closed.missing`"),
    ];
    // The log tells them in any order.
    while !troubles.is_empty() {
        let is_disabled = |line: &serde_json::Value| {
            line["message"] == "state changed" && line["state"] == "Disabled"
        };
        let line = host.wait_for(LONG, is_disabled).await.unwrap();
        let of = |(name, ..): &(&str, &str, &str)| line["mapping"] == *name;
        let (name, code, sentence) = troubles.remove(troubles.iter().position(of).unwrap());
        let result = line["last_processing_result"].as_str().unwrap();
        assert_eq!(line["state_transition_reason"], code, "{name}: {result}");
        assert!(result.starts_with("PROBLEM: ") && result.contains(sentence), "{name}: {result}");
    }

    // The healthy one is not touched by any of it.
    let mut peer = server.peer_as("app", PASSWORD).await.unwrap();
    peer.send("open.good", &[jms::Message::text("1")]).await.unwrap();
    assert_eq!(report(&host, "good").await["outcome"], "succeeded");

    credentials(&file("wrong"), "app", PASSWORD);
    moved(&host, "login", "Enabled", "USER_INITIATED").await;
    credentials(&file("stranger"), "app", PASSWORD);
    moved(&host, "right", "Enabled", "USER_INITIATED").await;
    // Nothing but the next look tells the host of what is mended in the broker.
    server.create_queue("closed.missing").await.unwrap();
    moved(&host, "queue", "Enabled", "USER_INITIATED").await;
    drain(&host).await;
    nothing_panicked(&host);
    assert!(!format!("{:?}", host.logs()).contains(PASSWORD));
}

#[tokio::test]
async fn dead_letters_that_may_not_be_put_anywhere_stay_until_they_may() {
    // Reading and writing orders, and nothing else.
    let orders = Rights { read: "apps", write: "apps", admin: "apps" };
    let dead = Rights { read: "admins", write: "admins", admin: "admins" };
    let settings = Settings::new()
        .user("app", PASSWORD, "apps")
        .user("operator", PASSWORD, "apps,admins")
        .rights("orders", orders)
        .rights("ActiveMQ.DLQ", dead);
    let server = ActiveMqServer::start_with(&settings).await.unwrap();
    let mut peer = server.peer_as("operator", PASSWORD).await.unwrap();
    let fleeting = jms::Message { persistent: false, ..jms::Message::text("fleeting") };
    peer.send("orders", &[fleeting]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let login = folder.path().join("login.json");
    credentials(&login, "app", PASSWORD);
    let broker = format!("credentials = \"file:{}\"", login.display());
    let mapping = super::mapping("orders", "always-err", "", "maximum_retry_attempts = 0");
    let host = super::host_with(&server, &broker, &[mapping]);
    let line = moved(&host, "orders", "Disabled", "EVENT_SOURCE_AUTHZ_ERROR").await;
    let result = line["last_processing_result"].as_str().unwrap();
    assert!(result.contains("grant this login `write` on it"), "{result}");
    wait_for(&server, "orders", 1, 0).await;
    credentials(&login, "operator", PASSWORD);
    let letters = peer.take(super::DEAD_LETTERS, 1, LONG).await.unwrap();
    assert_eq!(letters[0].text(), Some("fleeting"));
    wait_for(&server, "orders", 0, 0).await;
    drain(&host).await;
}
