//! Deliveries, pulls, settlements and sends.

use std::future::ready;
use std::time::{Duration, SystemTime};

use activemq_openwire::Outgoing;
use activemq_openwire::client::{Client, Consumer, ReceiveError, RequestError};
use activemq_openwire::connection::{CloseReason, ConsumerOptions, PullTimeout, Settlement};
use activemq_openwire::structures::{
    ConsumerControl, ConsumerId, Destination, RemovedObject, Structure,
};
use tokio::net::TcpStream;

use super::broker::{Peer, Port};

async fn consuming(prefetch: u16) -> (Client, Consumer, Peer<TcpStream>, ConsumerId) {
    let port = Port::open().await;
    let (client, mut peer) = port.meet().await;
    let options = ConsumerOptions::new(Destination::queue("orders"), prefetch);
    let opening = async { client.session().await?.consumer(&options).await };
    let (consumer, id) = tokio::join!(opening, peer.accept_consumer());
    (client, consumer.unwrap(), peer, id)
}

/// Begins something that cannot end yet, and drops it.
async fn begin<T>(future: impl Future<Output = T>) {
    tokio::select! {
        biased;
        _ = future => panic!("it has ended"),
        () = ready(()) => {}
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let port = Port::open().await;
    let (client, mut peer) = port.meet().await;
    let classes = [
        "java.lang.SecurityException",
        "org.apache.activemq.DestinationDoesNotExistException",
        "jakarta.jms.InvalidSelectorException",
    ];
    let refusing = async {
        let Some(Structure::SessionInfo(session)) = peer.next().await else { panic!() };
        peer.accept(session.header).await;
        for class in classes {
            let Some(Structure::ConsumerInfo(info)) = peer.next().await else { panic!() };
            peer.refuse(info.header, class).await;
        }
    };
    let asking = async {
        let session = client.session().await.unwrap();
        let options = ConsumerOptions::new(Destination::queue("orders"), 1);
        let mut errors = Vec::new();
        for _ in classes {
            errors.push(session.consumer(&options).await.unwrap_err());
        }
        errors
    };
    let (errors, ()) = tokio::join!(asking, refusing);
    assert!(matches!(errors[0], RequestError::MissingRight(_)));
    assert!(matches!(errors[1], RequestError::UnknownDestination(_)));
    assert!(matches!(errors[2], RequestError::Refused(_)));
}

#[tokio::test]
async fn a_dropped_receive_loses_no_delivery() {
    let (_client, mut consumer, mut peer, id) = consuming(5).await;
    begin(consumer.receive()).await;
    peer.dispatch(&id, 1).await;
    peer.dispatch(&id, 2).await;
    for tag in 0..2 {
        assert_eq!(consumer.receive().await.unwrap().tag.0, tag);
    }
}

#[tokio::test]
async fn a_dropped_pull_leaves_its_answer_to_the_next() {
    let (_client, mut consumer, mut peer, id) = consuming(0).await;
    begin(consumer.pull(PullTimeout::Never)).await;
    assert!(matches!(peer.next().await, Some(Structure::MessagePull(_))));
    peer.dispatch(&id, 7).await;
    let delivery = consumer.pull(PullTimeout::None).await.unwrap().unwrap();
    assert_eq!(delivery.message.message_id.unwrap().broker_sequence_id, 7);
    let answering = async {
        assert!(matches!(peer.next().await, Some(Structure::MessagePull(_))));
        peer.has_nothing(&id).await;
    };
    let (nothing, ()) = tokio::join!(consumer.pull(PullTimeout::None), answering);
    assert!(nothing.unwrap().is_none());
}

#[tokio::test]
async fn settlements_are_on_their_way_before_anybody_waits_for_them() {
    let (_client, mut consumer, mut peer, id) = consuming(5).await;
    peer.dispatch(&id, 1).await;
    peer.dispatch(&id, 2).await;
    let first = consumer.receive().await.unwrap().tag;
    let second = consumer.receive().await.unwrap().tag;
    let one = consumer.ack(first);
    let other = consumer.settle(&Settlement::Poison { tag: second, cause: None });
    let mut headers = Vec::new();
    for _ in 0..2 {
        let Some(Structure::MessageAck(ack)) = peer.next().await else { panic!() };
        headers.push(ack.header);
    }
    peer.refuse(headers[1], "javax.jms.JMSException").await;
    peer.accept(headers[0]).await;
    assert_eq!(one.await, Ok(()));
    assert!(matches!(other.await, Err(RequestError::Refused(_))));
}

#[tokio::test]
async fn a_lost_broker_ends_what_waits_for_it() {
    let (client, mut consumer, mut peer, id) = consuming(5).await;
    peer.dispatch(&id, 1).await;
    let tag = consumer.receive().await.unwrap().tag;
    let settling = consumer.ack(tag);
    peer.next().await;
    drop(peer);
    assert_eq!(settling.await, Err(RequestError::BrokerGone(CloseReason::Lost)));
    let ended = consumer.receive().await.map(|_| ());
    assert_eq!(ended, Err(ReceiveError::Ended(CloseReason::Lost)));
    assert_eq!(client.closed().await, CloseReason::Lost);
    assert_eq!(consumer.close().await, Err(RequestError::BrokerGone(CloseReason::Lost)));
}

#[tokio::test]
async fn a_dropped_client_ends_what_is_left_of_it() {
    let (client, mut consumer, mut peer, id) = consuming(5).await;
    peer.dispatch(&id, 1).await;
    let tag = consumer.receive().await.unwrap().tag;
    let settling = consumer.ack(tag);
    drop(client);
    let ended = consumer.receive().await.map(|_| ());
    assert_eq!(ended, Err(ReceiveError::Ended(CloseReason::Lost)));
    assert_eq!(settling.await, Err(RequestError::BrokerGone(CloseReason::Lost)));
}

#[tokio::test]
async fn the_broker_can_ask_to_close_a_consumer() {
    let (_client, mut consumer, mut peer, id) = consuming(5).await;
    let consumer_id = Some(id);
    peer.say(ConsumerControl { consumer_id, close: true, ..Default::default() }).await;
    assert_eq!(consumer.receive().await.map(|_| ()), Err(ReceiveError::CloseAsked));
}

#[tokio::test]
async fn a_dropped_consumer_tells_the_broker_what_was_received() {
    let (_client, mut consumer, mut peer, id) = consuming(5).await;
    peer.dispatch(&id, 50).await;
    peer.dispatch(&id, 51).await;
    consumer.receive().await.unwrap();
    drop(consumer);
    let Some(Structure::RemoveInfo(info)) = peer.next().await else { panic!() };
    assert_eq!(info.object_id, Some(RemovedObject::Consumer(id)));
    assert_eq!(info.last_delivered_sequence_id, 50);
}

#[tokio::test]
async fn sends_run_side_by_side() {
    let port = Port::open().await;
    let (client, mut peer) = port.meet().await;
    let opening = async { client.session().await?.producer().await };
    let accepting = async {
        let Some(Structure::SessionInfo(session)) = peer.next().await else { panic!() };
        peer.accept(session.header).await;
        let Some(Structure::ProducerInfo(producer)) = peer.next().await else { panic!() };
        peer.accept(producer.header).await;
    };
    let (producer, ()) = tokio::join!(opening, accepting);
    let producer = producer.unwrap();
    let queue = Destination::queue("orders");
    let mut urgent = Outgoing::text("urgent", SystemTime::UNIX_EPOCH);
    urgent.priority = 9;
    urgent.time_to_live = Some(Duration::from_secs(1));
    let plain = Outgoing::bytes(&b"plain"[..], SystemTime::UNIX_EPOCH);
    let answering = async {
        let mut messages = Vec::new();
        for _ in 0..2 {
            let Some(Structure::Message(message)) = peer.next().await else { panic!() };
            messages.push(message);
        }
        assert_eq!((messages[0].priority, messages[0].expiration), (9, 1_000));
        peer.accept(messages[1].header).await;
        peer.accept(messages[0].header).await;
    };
    let sending =
        async { tokio::join!(producer.send(&queue, urgent), producer.send(&queue, plain)) };
    let ((one, other), ()) = tokio::join!(sending, answering);
    assert_eq!(one.unwrap().producer_sequence_id, 1);
    assert_eq!(other.unwrap().producer_sequence_id, 2);
}
