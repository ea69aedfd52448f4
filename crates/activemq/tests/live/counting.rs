//! What the broker counts: how often a message was handed out, who has a group, and how much is on its
//! way. A mapping's attempts are made of it.

use std::collections::{BTreeSet, HashMap};

use futures_util::FutureExt;
use gristmill_broker::{Settlement, Source};
use gristmill_testkit::activemq::{ActiveMqServer, Settings};
use gristmill_testkit::jms::Mode;
use gristmill_testkit::proxy::Proxy;

use super::*;

async fn with_messages(count: usize) -> (&'static ActiveMqServer, String, Peer) {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let texts: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    send_texts(&mut peer, &queue, &texts).await;
    (server, queue, peer)
}

#[tokio::test]
async fn a_close_counts_what_was_tried_and_nothing_else() {
    let (server, queue, mut peer) = with_messages(4).await;
    let mut source = subscribed(server, &queue, 10).await;
    let taken = take(&mut source, 4).await;
    assert_eq!(returns(&taken), [0; 4]);
    source.close().await;
    wait_for(server, &queue, 4, 0).await;

    // Nothing was tried, so nothing is counted.
    source.subscribe().await.unwrap();
    let taken = take(&mut source, 4).await;
    assert_eq!(returns(&taken), [0; 4]);
    source.tried(taken[1].token);
    // One that is settled does not hide those before it.
    assert_eq!(settle(&mut source, Settlement::Ack, &[taken[1].token]).await, sent(1));
    source.close().await;
    wait_for(server, &queue, 3, 0).await;

    source.subscribe().await.unwrap();
    let taken = take(&mut source, 3).await;
    assert_eq!(bodies(&taken), ["0", "2", "3"]);
    assert_eq!(returns(&taken), [1, 0, 0]);
    let redelivered = taken.iter().map(|delivery| delivery.message.redelivered());
    assert_eq!(redelivered.collect::<Vec<_>>(), [true, false, false]);
    // A requeue is a try of it, and of all before it.
    assert_eq!(settle(&mut source, Settlement::Requeue, &[taken[1].token]).await, sent(1));
    source.close().await;
    wait_for(server, &queue, 3, 0).await;

    // Java's client sees the same numbers.
    let consumer = peer.subscribe(&queue, Mode::Individual, None).await.unwrap();
    for (text, count) in [("0", 2), ("2", 1), ("3", 0)] {
        let message = peer.receive(consumer, LONG).await.unwrap().unwrap();
        assert_eq!((message.text(), message.redelivery_counter), (Some(text), count));
        peer.acknowledge(consumer).await.unwrap();
    }
}

#[tokio::test]
async fn a_cut_connection_counts_everything_that_was_on_its_way() {
    let (server, queue, _) = with_messages(3).await;
    let proxy = Proxy::start(server.port()).await.unwrap();
    let settings = settings(&format!("tcp://127.0.0.1:{}", proxy.port()));
    let mut source = source(settings, &queue, 2);
    source.subscribe().await.unwrap();
    let taken = take(&mut source, 1).await;
    source.tried(taken[0].token);
    wait_for(server, &queue, 3, 2).await;
    proxy.cut();
    let error = ended(&mut source).await;
    assert!(matches!(error, SourceError::Lost { .. }), "{error}");
    wait_for(server, &queue, 3, 0).await;
    source.subscribe().await.unwrap();
    let taken = take(&mut source, 2).await;
    assert_eq!((bodies(&taken), returns(&taken)), (vec!["0", "1"], vec![1, 1]));
    assert_eq!(settle(&mut source, Settlement::Ack, &tokens(&taken)).await, sent(2));
    let taken = take(&mut source, 1).await;
    assert_eq!((bodies(&taken), returns(&taken)), (vec!["2"], vec![0]));
    source.close().await;
}

#[tokio::test]
async fn a_drain_gives_nothing_more_out_and_what_was_on_its_way_is_not_counted() {
    let (server, queue, mut peer) = with_messages(5).await;
    let mut source = subscribed(server, &queue, 3).await;
    let taken = take(&mut source, 1).await;
    source.tried(taken[0].token);
    // Two more are here and not given out.
    wait_for(server, &queue, 5, 3).await;
    source.cancel().await;
    assert!(source.receive().now_or_never().is_none());
    assert_eq!(settle(&mut source, Settlement::Ack, &tokens(&taken)).await, sent(1));
    wait_for(server, &queue, 4, 2).await;
    assert!(source.receive().now_or_never().is_none());
    send_texts(&mut peer, &queue, &["5"]).await;
    wait_for(server, &queue, 5, 2).await;
    source.close().await;
    wait_for(server, &queue, 5, 0).await;
    source.subscribe().await.unwrap();
    let mut again = take(&mut source, 3).await;
    assert_eq!(settle(&mut source, Settlement::Ack, &tokens(&again)).await, sent(3));
    again.extend(take(&mut source, 2).await);
    assert_eq!(bodies(&again), ["1", "2", "3", "4", "5"]);
    assert_eq!(returns(&again), [0; 5]);
    assert_eq!(settle(&mut source, Settlement::Ack, &tokens(&again[3..])).await, sent(2));
    wait_for(server, &queue, 0, 0).await;
    source.close().await;
}

#[tokio::test]
async fn a_group_stays_with_one_source_until_that_has_gone() {
    let (server, queue, mut peer) = with_messages(0).await;
    let mut one = subscribed(server, &queue, 100).await;
    let mut other = subscribed(server, &queue, 100).await;
    let message = |number: usize| jms::Message {
        group: Some(format!("g{}", number % 4)),
        ..jms::Message::text(number.to_string())
    };
    peer.send(&queue, &(0..40).map(message).collect::<Vec<_>>()).await.unwrap();
    wait_for(server, &queue, 40, 40).await;
    let mut counts = Vec::new();
    for consumer in server.consumers(&queue).await.unwrap() {
        counts.push(usize::try_from(consumer.in_flight).unwrap());
    }
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    // Which of the two is which does not show, so that each tries both.
    let in_hand = async |source: &mut ActiveMqSource| {
        let mut taken = Vec::new();
        while taken.len() < 40 {
            let Some(received) = source.receive().now_or_never() else { break };
            let Ok(Received::Delivery(delivery)) = received else { panic!("{received:?}") };
            taken.push(delivery);
        }
        taken
    };
    let (mut ones, mut others) = (take(&mut one, 1).await, take(&mut other, 1).await);
    while ones.len() + others.len() < 40 {
        ones.extend(in_hand(&mut one).await);
        others.extend(in_hand(&mut other).await);
        tokio::task::yield_now().await;
    }
    let groups = |taken: &[Delivery]| -> BTreeSet<String> {
        taken.iter().map(|delivery| delivery.group.as_deref().unwrap().to_owned()).collect()
    };
    assert!(groups(&ones).is_disjoint(&groups(&others)));
    assert_eq!(groups(&ones).len() + groups(&others).len(), 4);
    let mut next: HashMap<usize, usize> = HashMap::new();
    for delivery in ones.iter().chain(&others) {
        let number: usize = str::from_utf8(delivery.message.body()).unwrap().parse().unwrap();
        assert_eq!(delivery.group.as_deref(), Some(&*format!("g{}", number % 4)));
        let expected = next.entry(number % 4).or_insert(number % 4);
        assert_eq!(number, *expected, "in the order in which they were sent");
        *expected += 4;
    }
    // With one gone, the other has its groups, and what it had not settled.
    one.close().await;
    let inherited = take(&mut other, ones.len()).await;
    assert_eq!(groups(&inherited), groups(&ones));
    assert_eq!(bodies(&inherited), bodies(&ones));
    other.close().await;
}

#[tokio::test]
async fn a_virtual_topics_queue_is_the_destination_of_its_messages() {
    let (server, _, mut peer) = with_messages(0).await;
    let queues = ["Consumer.a.VirtualTopic.orders", "Consumer.b.VirtualTopic.orders"];
    let mut sources = Vec::new();
    for queue in queues {
        sources.push(subscribed(server, queue, 10).await);
    }
    send_texts(&mut peer, "topic://VirtualTopic.orders", &["to both"]).await;
    for (mut source, queue) in sources.into_iter().zip(queues) {
        let taken = take(&mut source, 1).await;
        assert_eq!(bodies(&taken), ["to both"]);
        let gristmill_event::Message::ActiveMq(message) = &taken[0].message else { panic!() };
        assert_eq!(&*message.destination, queue);
        assert_eq!(settle(&mut source, Settlement::Ack, &tokens(&taken)).await, sent(1));
        wait_for(server, queue, 0, 0).await;
        source.close().await;
    }
}

#[tokio::test]
async fn a_policy_for_those_who_chose_no_prefetch_changes_nothing() {
    let settings =
        Settings::new().policy(">", &[("queuePrefetch", "2000"), ("maxPageSize", "5000")]);
    let server = ActiveMqServer::start_with(&settings).await.unwrap();
    let mut peer = server.peer().await.unwrap();
    peer.fill("orders", 2_500, 10, false).await.unwrap();
    for (wanted, asked_for) in [(1_000, 999), (1_001, 1_001), (1, 1)] {
        let mut source = subscribed(&server, "orders", wanted).await;
        wait_for(&server, "orders", 2_500, asked_for).await;
        let consumers = server.consumers("orders").await.unwrap();
        assert_eq!((consumers.len(), consumers[0].prefetch), (1, asked_for));
        take(&mut source, usize::try_from(asked_for).unwrap()).await;
        assert!(source.receive().now_or_never().is_none());
        source.close().await;
        wait_for(&server, "orders", 2_500, 0).await;
    }
}

/// By itself a broker hands out one page, and waits for the first ack.
#[tokio::test]
async fn a_prefetch_that_is_larger_than_a_page_is_reached() {
    for page in ["200", "7"] {
        let settings = Settings::new().policy(">", &[("maxPageSize", page)]);
        let server = ActiveMqServer::start_with(&settings).await.unwrap();
        let mut peer = server.peer().await.unwrap();
        peer.fill("orders", 1_000, 10, true).await.unwrap();
        let mut source = subscribed(&server, "orders", 700).await;
        take(&mut source, 700).await;
        wait_for(&server, "orders", 1_000, 700).await;
        source.close().await;
        wait_for(&server, "orders", 1_000, 0).await;
    }
}
