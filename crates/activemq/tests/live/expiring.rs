//! Messages whose time is over while they are held: the broker does with them what it does with all
//! that expire.

use std::collections::HashMap;
use std::time::Duration;

use activemq_openwire::connection::{ConsumerOptions, Settlement as Verdict};
use activemq_openwire::structures::Destination;
use gristmill_broker::{Settlement, Source};
use gristmill_testkit::activemq::ActiveMqServer;
use gristmill_testkit::wait::until;

use super::*;

fn lives(text: &str, ttl: Duration, persistent: bool) -> jms::Message {
    jms::Message { ttl, persistent, ..jms::Message::text(text) }
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
    let mut source = subscribed(server, &queue, 10).await;
    let taken = take(&mut source, 3).await;
    let (expired, stays): (Vec<_>, Vec<_>) =
        taken.iter().partition(|delivery| delivery.message.body() != b"stays");
    let expired: Vec<_> = expired.iter().map(|delivery| delivery.token).collect();
    let last = expirations["kept"].max(expirations["gone"]);
    until(LONG, async || now() > last).await;
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

/// Why it has to be true, and the clock be the broker's.
#[tokio::test]
async fn a_broker_takes_a_clients_word_for_it_that_a_message_has_expired() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let hour = Duration::from_secs(3_600);
    peer.send(&queue, &[lives("kept", hour, true), lives("lost", hour, false)]).await.unwrap();
    let client = raw_client(server, "early").await;
    let options = ConsumerOptions::new(Destination::queue(&queue), 10);
    let mut consumer = client.session().await.unwrap().consumer(&options).await.unwrap();
    for _ in 0..2 {
        let delivery = timeout(LONG, consumer.receive()).await.unwrap().unwrap();
        consumer.settle(&Verdict::Expired(delivery.tag)).await.unwrap();
    }
    client.close().await;
    let counts = server.queue_counts(&queue).await.unwrap();
    assert_eq!((counts.messages, counts.expired), (0, 2));
    assert_eq!(bodies_of(&dead_letters(&mut peer, &queue).await), ["kept"]);
}
