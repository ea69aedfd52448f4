//! Messages whose time is over while they are held: the broker does with them what it does with all
//! that expire.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gristmill_broker::{Settlement, Source};
use gristmill_testkit::activemq::ActiveMqServer;

use super::*;

fn lives(text: &str, ttl: Duration, persistent: bool) -> jms::Message {
    jms::Message { ttl, persistent, ..jms::Message::text(text) }
}

/// Waits until it is later than a time in milliseconds, by the clock that the broker has too.
async fn wait_past(expiration: i64) {
    let expired = UNIX_EPOCH + Duration::from_millis(u64::try_from(expiration).unwrap() + 2);
    while let Ok(left) = expired.duration_since(SystemTime::now()) {
        tokio::time::sleep(left).await;
    }
}

#[tokio::test]
async fn the_broker_does_with_an_expired_message_what_it_does_with_all() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let short = Duration::from_secs(2);
    let messages = [lives("kept", short, true), lives("gone", short, false)];
    peer.send(&queue, &messages).await.unwrap();
    send_texts(&mut peer, &queue, &["stays"]).await;
    let seen = peer.browse(&queue).await.unwrap();
    let expirations: HashMap<_, _> =
        seen.iter().map(|said| (said.text().unwrap(), said.expiration)).collect();
    let last = *expirations.values().max().unwrap();
    let mut source = subscribed(server, &queue, 10).await;
    let taken = take(&mut source, 3).await;
    let (expired, stays): (Vec<_>, Vec<_>) =
        taken.iter().partition(|delivery| delivery.message.body() != b"stays");
    let expired: Vec<_> = expired.iter().map(|delivery| delivery.token).collect();
    wait_past(last).await;
    assert_eq!(settle(&mut source, Settlement::Expire, &expired).await, sent(2));
    wait_for(server, &queue, 1, 1).await;
    let letters = dead_letters(&mut peer, &queue).await;
    assert_eq!(bodies_of(&letters), ["kept"]);
    let cause = format!("java.lang.Throwable: Message Expired. Expiration:{}", expirations["kept"]);
    let properties = &letters[0].properties;
    assert_eq!(properties["dlqDeliveryFailureCause"], jms::Value::Text(cause));
    assert_eq!(settle(&mut source, Settlement::Ack, &[stays[0].token]).await, sent(1));
    wait_for(server, &queue, 0, 0).await;
    source.close().await;
}
