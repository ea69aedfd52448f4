//! Ends of connections and consumers that a broker brings about: who is told what, and what is left.

use activemq_openwire::client::{
    Client, ConnectError, Connector, Consumer, ReceiveError, RequestError,
};
use activemq_openwire::connection::CloseReason;
use gristmill_testkit::activemq::ActiveMqServer;
use tokio::time::timeout;

use crate::support::{
    PATIENCE, connected, consumer, next, send_numbers, settings, take, text, try_send,
    wait_until_held,
};

/// What was taken in advance is received before the end is.
async fn end_of(consumer: &mut Consumer) -> ReceiveError {
    let end = async {
        loop {
            if let Err(end) = consumer.receive().await {
                return end;
            }
        }
    };
    timeout(PATIENCE, end).await.unwrap()
}

#[tokio::test]
async fn a_killed_broker_is_noticed_and_has_what_was_not_settled() {
    let mut server = ActiveMqServer::start().await.unwrap();
    send_numbers(&server, "orders", 3).await;
    let client = connected(&server).await;
    let mut before = consumer(&client, "orders", 5).await;
    let first = next(&mut before).await;
    before.ack(first.tag).await.unwrap();
    let held = next(&mut before).await;
    server.kill9().await.unwrap();
    let gone = RequestError::BrokerGone(CloseReason::Lost);
    assert_eq!(end_of(&mut before).await, ReceiveError::Ended(CloseReason::Lost));
    assert_eq!(before.ack(held.tag).await, Err(gone.clone()));
    assert_eq!(try_session(&client).await, Err(gone));
    let away = Connector::new(settings(&server)).connect().await.unwrap_err();
    assert!(matches!(away, ConnectError::Unreachable { .. }), "{away:?}");

    server.restart().await.unwrap();
    let client = connected(&server).await;
    let mut after = consumer(&client, "orders", 5).await;
    for number in ["1", "2"] {
        let delivery = next(&mut after).await;
        // A broker does not remember across its end what it had delivered.
        assert_eq!((text(&delivery), delivery.redelivery_counter), (number.to_owned(), 0));
        after.ack(delivery.tag).await.unwrap();
    }
    wait_until_held(&server, "orders", 0).await;

    // In order now.
    send_numbers(&server, "orders", 1).await;
    let held = next(&mut after).await;
    server.stop().await.unwrap();
    // A broker says no farewell.
    assert_eq!(end_of(&mut after).await, ReceiveError::Ended(CloseReason::Lost));
    let gone = RequestError::BrokerGone(CloseReason::Lost);
    assert_eq!(after.ack(held.tag).await, Err(gone));
}

async fn try_session(client: &Client) -> Result<(), RequestError> {
    client.session().await.map(drop)
}

#[tokio::test]
async fn a_broker_that_wants_a_consumer_closed_lets_it_settle_first() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    send_numbers(server, &queue, 3).await;
    let client = connected(server).await;
    let mut asked = consumer(&client, &queue, 2).await;
    let held = take(&mut asked, 2).await;
    server.close_consumers(&queue).await.unwrap();
    assert_eq!(end_of(&mut asked).await, ReceiveError::CloseAsked);
    asked.ack(held[1].tag).await.unwrap();
    asked.close().await.unwrap();
    // The connection is as good as before.
    let mut after = consumer(&client, &queue, 5).await;
    for expected in [("0", 1), ("2", 0)] {
        let delivery = next(&mut after).await;
        let counter = delivery.redelivery_counter;
        assert_eq!((&*text(&delivery), counter), expected);
    }
    try_send(&client, &queue).await.unwrap();
    assert_eq!(client.close().await, CloseReason::Requested);
}

#[tokio::test]
async fn an_orderly_close_leaves_nothing_behind() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    send_numbers(server, &queue, 5).await;
    let client = connected(server).await;
    let mut holding = consumer(&client, &queue, 5).await;
    let mut waiting = consumer(&client, &queue, 5).await;
    let deliveries = take(&mut holding, 5).await;
    // An ack that is on its way before the close is done.
    let ack = holding.ack(deliveries[0].tag);
    let (closed, end) = tokio::join!(client.close(), end_of(&mut waiting));
    assert_eq!(
        (closed, end),
        (CloseReason::Requested, ReceiveError::Ended(CloseReason::Requested))
    );
    ack.await.unwrap();
    let counts = server.queue_counts(&queue).await.unwrap();
    assert_eq!((counts.messages, counts.in_flight, counts.consumers), (4, 0, 0));
}
