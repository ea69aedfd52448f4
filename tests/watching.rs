//! What the host tells who watches it: over HTTP, and by `gristmill status`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use gristmill_testkit::host::Host;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Broker, GRISTMILL, LONG, drain, moved, report, subscribed};

/// Where the host says that it listens.
/// Where a host says that it listens.
pub(crate) async fn listening(host: &Host) -> SocketAddr {
    let line = host.wait_for(LONG, |line| line["message"] == "listening").await.unwrap();
    line["address"].as_str().unwrap().parse().unwrap()
}

/// Asks for a path; the status line's number, and the body.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    request(address, "GET", path, "", b"").await
}

/// The same with another method, further headers and a body.
pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // One that is refused is not read to its end.
    drop(stream.write_all(body).await);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn status(config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(GRISTMILL);
    command.arg("status").arg("-c").arg(config).args(arguments).output().unwrap()
}

#[tokio::test]
async fn a_host_tells_what_its_mappings_do() {
    let mut broker = Broker::with(&["good"]).await;
    let good = broker.mapping("good", "silent", "", "");
    let missing = broker.mapping("missing", "silent", "", "");
    let off = broker.mapping("off", "silent", "", "enabled = false");
    let listen = "[host]\nlisten = \"127.0.0.1:0\"\n\n".to_owned();
    let host = broker.host(&[listen, good, missing, off]);
    let address = listening(&host).await;
    assert_eq!(get(address, "/healthz").await, (200, "ok\n".to_owned()));
    host.wait_for(LONG, |line| line["code"] == "ESM_CONFIG_NOT_VALID").await.unwrap();
    subscribed_or_was(&host, "good").await;
    let (code, body) = get(address, "/readyz").await;
    assert_eq!(code, 503);
    assert!(
        body.starts_with("missing: Disabled (ESM_CONFIG_NOT_VALID), PROBLEM: no queue"),
        "{body}"
    );
    assert_eq!(body.lines().count(), 1);
    broker.client.declare_queue("missing", &gristmill_testkit::amqp::Table::new()).await.unwrap();
    moved(&host, "missing", "Enabled", "USER_INITIATED").await;
    assert_eq!(get(address, "/readyz").await, (200, "ready\n".to_owned()));

    broker.publish("good", [b"1".to_vec(), b"2".to_vec()]).await;
    report(&host, "good").await;
    broker.wait_for("good", 0, 0).await;
    let (code, body) = get(address, "/status").await;
    assert_eq!(code, 200);
    let status: Value = serde_json::from_str(&body).unwrap();
    let [good, missing, off] = status["mappings"].as_array().unwrap().as_slice() else {
        panic!("{status}")
    };
    assert_eq!((&good["name"], &good["state"]), (&json!("good"), &json!("Enabled")));
    assert_eq!(good["last_processing_result"], "OK");
    assert_eq!(good["counts"]["handled"], 2);
    assert_eq!(missing["last_processing_result"], "No records processed");
    assert_eq!((&off["state"], &off["enabled"]), (&json!("Disabled"), &json!(false)));
    assert_eq!(off["state_transition_reason"], "USER_INITIATED");
    assert_eq!(get(address, "/nothing").await.0, 404);
    drain(&host).await;
}

/// Waits for a line that an earlier wait may have passed.
async fn subscribed_or_was(host: &Host, mapping: &str) {
    let is = |line: &Value| line["message"] == "subscribed" && line["mapping"] == mapping;
    if !host.logs().iter().any(is) {
        host.wait_for(LONG, is).await.unwrap();
    }
}

#[tokio::test]
async fn status_asks_the_running_host() {
    let broker = Broker::with(&["orders"]).await;
    // A port that is free now; the host says so if somebody else was quicker.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let listen = format!("[host]\nlisten = \"127.0.0.1:{port}\"\n\n");
    let host = broker.host(&[listen, broker.mapping("orders", "silent", "", "")]);
    subscribed(&host, "orders").await;
    let config = host.folder().join("gristmill.toml");
    let output = status(&config, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("orders   Enabled  USER_INITIATED"), "{text}");
    let output = status(&config, &["--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["mappings"][0]["queue"], "orders");

    // A second host cannot have the same address, and says so before it starts anything.
    let second = Command::new(GRISTMILL).args(["run", "-c"]).arg(&config).output().unwrap();
    assert_eq!(second.status.code(), Some(2));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{said}");

    drain(&host).await;
    let output = status(&config, &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("is it running?"), "{said}");
}

#[test]
fn status_of_a_host_that_does_not_listen_says_what_to_add() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gristmill.toml");
    for text in ["", "host.listen = '127.0.0.1:0'"] {
        std::fs::write(&config, text).unwrap();
        let output = status(&config, &[]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("write listen = \"127.0.0.1:9480\""), "{said}");
    }
}
