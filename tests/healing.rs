//! What needs a person stops its own mapping, says so, and is over as soon as it is mended.

use std::fs;
use std::path::Path;

use gristmill_testkit::amqp::Table;
use gristmill_testkit::guests;
use gristmill_testkit::host::Host;

use crate::support::{
    Broker, GRISTMILL, credentials, drain, moved, nothing_panicked, report, subscribed,
};

/// A password that no log may show.
const PASSWORD: &str = "hunter2-hunter2";

async fn disabled(host: &Host, mapping: &str, code: &str, sentence: &str) {
    let line = moved(host, mapping, "Disabled", code).await;
    let result = line["last_processing_result"].as_str().unwrap();
    assert!(result.starts_with("PROBLEM: ") && result.contains(sentence), "{mapping}: {result}");
}

async fn enabled(host: &Host, mapping: &str) {
    moved(host, mapping, "Enabled", "USER_INITIATED").await;
}

#[tokio::test]
async fn every_refusal_has_its_code_and_is_over_when_it_is_mended() {
    let mut broker = Broker::with(&["good", "orders"]).await;
    let folder = tempfile::tempdir().unwrap();
    let server = broker.server;
    let user = &broker.virtual_host.clone();
    server.add_user(user, PASSWORD).await.unwrap();
    server.set_permissions(&broker.virtual_host, user, ["", "", ""]).await.unwrap();
    let (login, right) = (folder.path().join("login.json"), folder.path().join("right.json"));
    credentials(&login, user, "wrong");
    credentials(&right, user, PASSWORD);
    let handler = folder.path().join("handler.wasm");
    fs::write(&handler, b"\0asm no handler").unwrap();

    let port = server.amqp_port();
    let broker_of = |name: &str, credentials: &str| {
        format!(
            "[broker.{name}]\ntype = \"rabbitmq\"\nurl = \"amqp://127.0.0.1:{port}\"\n{credentials}\n"
        )
    };
    let echo = guests::component("silent");
    let mapping = |name: &str, broker_name: &str, vhost: &str, queue: &str, component: &Path| {
        format!(
            "[function.{name}]\ncomponent = {component:?}\n[mapping.{name}]\nbroker = \"{broker_name}\"\n\
             virtual_host = \"{vhost}\"\nqueue = \"{queue}\"\nfunction = \"{name}\"\n"
        )
    };
    let missing_vhost = format!("{}-missing", broker.virtual_host);
    let vhost = user.as_str();
    let config = [
        broker_of("guest", ""),
        broker_of("login", &format!("credentials = \"file:{}\"", login.display())),
        broker_of("right", &format!("credentials = \"file:{}\"", right.display())),
        mapping("good", "guest", vhost, "good", &echo),
        mapping("login", "login", vhost, "orders", &echo),
        mapping("right", "right", vhost, "orders", &echo),
        mapping("queue", "guest", vhost, "missing", &echo),
        mapping("vhost", "guest", &missing_vhost, "orders", &echo),
        mapping("export", "guest", vhost, "orders", &handler),
        mapping("file", "guest", vhost, "orders", &folder.path().join("missing.wasm")),
    ];
    let host = Host::start(Path::new(GRISTMILL), &config.concat()).unwrap();

    let mut troubles = [
        ("login", "EVENT_SOURCE_AUTHN_ERROR", "check the user name and password"),
        ("right", "EVENT_SOURCE_AUTHZ_ERROR", "grant this login `read` on it"),
        ("queue", "ESM_CONFIG_NOT_VALID", "declare it, or correct the mapping's `queue`"),
        ("vhost", "ESM_CONFIG_NOT_VALID", "does not open the virtual host"),
        ("export", "FUNCTION_CONFIG_NOT_VALID", "handler"),
        ("file", "FUNCTION_CONFIG_NOT_VALID", "cannot read the handler"),
    ];
    // The log tells them in any order.
    while let Some(last) = troubles.iter().position(|(name, ..)| !name.is_empty()) {
        let line = host
            .wait_for(crate::support::LONG, |line| {
                line["message"] == "state changed" && line["state"] == "Disabled"
            })
            .await
            .unwrap();
        let of = |(name, ..): &&mut (&str, &str, &str)| line["mapping"] == *name;
        let (name, code, sentence) = troubles.iter_mut().find(of).unwrap();
        let result = line["last_processing_result"].as_str().unwrap();
        assert_eq!(line["state_transition_reason"], *code, "{name}: {result}");
        assert!(result.contains(*sentence), "{name}: {result}");
        *name = "";
        assert!(last < 6);
    }

    // The healthy one is not touched by any of it.
    broker.publish("good", [b"1".to_vec()]).await;
    assert_eq!(report(&host, "good").await["outcome"], "succeeded");

    credentials(&login, "guest", "guest");
    enabled(&host, "login").await;
    fs::copy(&echo, folder.path().join("new.wasm")).unwrap();
    fs::rename(folder.path().join("new.wasm"), &handler).unwrap();
    enabled(&host, "export").await;
    fs::copy(&echo, folder.path().join("new.wasm")).unwrap();
    fs::rename(folder.path().join("new.wasm"), folder.path().join("missing.wasm")).unwrap();
    enabled(&host, "file").await;
    drain(&host).await;

    // Nothing but the next look tells the host of what is mended in the broker.
    let host = Host::start(Path::new(GRISTMILL), &config.concat()).unwrap();
    subscribed(&host, "good").await;
    server.set_permissions(&broker.virtual_host, user, ["", "", ".*"]).await.unwrap();
    enabled(&host, "right").await;
    drain(&host).await;
    let host = Host::start(Path::new(GRISTMILL), &config.concat()).unwrap();
    disabled(&host, "queue", "ESM_CONFIG_NOT_VALID", "missing").await;
    broker.client.declare_queue("missing", &Table::new()).await.unwrap();
    enabled(&host, "queue").await;
    server.add_virtual_host(&missing_vhost).await.unwrap();
    let mut client = server.client(&missing_vhost).await.unwrap();
    client.declare_queue("orders", &Table::new()).await.unwrap();
    enabled(&host, "vhost").await;
    drain(&host).await;
    nothing_panicked(&host);
    assert!(!format!("{:?}", host.logs()).contains(PASSWORD));
}
