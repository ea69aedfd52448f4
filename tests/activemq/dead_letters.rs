//! Given-up messages of ActiveMQ in the store or on a queue of one's own choice, of every kind, and back.

use std::collections::BTreeMap;
use std::time::Duration;

use gristmill_testkit::activemq::ActiveMqServer;
use gristmill_testkit::jms::{Body, Message, Received, Value};

use super::{host_on, mapping, wait_for};
use crate::dead_letters::{gave_up, list, prints};
use crate::support::{LONG, drain};

/// What no event can show, what a broker would drop, and what is soon too late.
fn messages() -> [Message; 3] {
    let entry = BTreeMap::from([("key".to_owned(), Value::Int(1))]);
    let fleeting = Message { persistent: false, ..Message::text("fleeting") };
    let mortal = Message { ttl: Duration::from_secs(600), ..Message::text("größer 🦀") };
    [Message::new(Body::Map(entry)), fleeting, mortal.property("shop", Value::Int(7))]
}

const SETTINGS: &str = "batch_size = 1\nmaximum_concurrency = 1\nmaximum_retry_attempts = 0\n";

fn letter<'a>(letters: &'a [Received], body: &Body) -> &'a Received {
    let letter = letters.iter().find(|letter| letter.body == *body).unwrap();
    assert!(letter.persistent && letter.expiration == 0);
    letter
}

#[tokio::test]
async fn on_a_queue_of_ones_own_each_says_why_it_is_there() {
    let server = ActiveMqServer::shared().await.unwrap();
    let (queue, dead) = (server.test_queue().await.unwrap(), server.test_queue().await.unwrap());
    let mut peer = server.peer().await.unwrap();
    peer.send(&queue, &messages()).await.unwrap();
    let settings = format!("{SETTINGS}on_failure = \"queue:{dead}\"");
    let host = host_on(server, &[mapping(&queue, "always-err", "", &settings)]);
    gave_up(&host, 3).await;
    wait_for(server, &queue, 0, 0).await;
    drain(&host).await;
    let letters = peer.take(&dead, 3, LONG).await.unwrap();
    for (message, condition) in messages().into_iter().zip([
        "UnsupportedMessageType",
        "RetryAttemptsExhausted",
        "RetryAttemptsExhausted",
    ]) {
        let properties = &letter(&letters, &message.body).properties;
        assert_eq!(properties["gristmillCondition"], Value::Text(condition.to_owned()));
        let Value::Text(record) = &properties["gristmillInvocationRecord"] else {
            panic!("{properties:?}")
        };
        let record: serde_json::Value = serde_json::from_str(record).unwrap();
        assert_eq!(record["requestContext"]["condition"], condition);
        assert_eq!(record["MQBatchInfo"]["queue"], queue);
        assert_eq!(properties.get("shop"), message.properties.get("shop"));
    }
}

#[tokio::test]
async fn from_the_store_each_comes_back_as_it_was() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    peer.send(&queue, &messages()).await.unwrap();
    let settings = format!("{SETTINGS}on_failure = \"store\"");
    let host = host_on(server, &[mapping(&queue, "always-err", "", &settings)]);
    gave_up(&host, 3).await;
    wait_for(server, &queue, 0, 0).await;
    drain(&host).await;
    let letters = list(&host);
    assert_eq!(letters.len(), 3);
    let shown = letters.iter().find(|letter| letter["condition"] == "RetryAttemptsExhausted");
    let id = shown.unwrap()["id"].to_string();
    assert!(prints(&host, &["show", &id, "--event"]).contains("\"eventSource\":\"aws:mq\""));
    prints(&host, &["replay", "--all"]);
    assert!(list(&host).is_empty());
    let back = peer.take(&queue, 3, LONG).await.unwrap();
    for message in messages() {
        assert_eq!(letter(&back, &message.body).properties, message.properties);
    }
}
