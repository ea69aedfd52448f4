//! Each verdict is about exactly what it names: one, a range, or all up to one.

use activemq_openwire::client::RequestError;
use activemq_openwire::connection::{CommandError, Settlement, Tag};
use activemq_openwire::structures::Destination;
use gristmill_testkit::activemq::ActiveMqServer;

use crate::support::{connected, consumer, left, send_numbers, take, wait_until_held};

const SETTLED_ALREADY: Result<(), RequestError> =
    Err(RequestError::NotAsked(CommandError::NotUnsettled));

#[tokio::test]
async fn each_verdict_is_about_exactly_what_it_names() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    send_numbers(server, &queue, 12).await;
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 20).await;
    let tags: Vec<_> = take(&mut consumer, 12).await.iter().map(|delivery| delivery.tag).collect();
    // Out of order, and a range that others are settled in.
    consumer.ack(tags[6]).await.unwrap();
    consumer.settle(&Settlement::Poison { tag: tags[5], cause: None }).await.unwrap();
    let range = Settlement::Range { first: tags[4], last: tags[8] };
    consumer.settle(&range).await.unwrap();
    consumer.settle(&Settlement::UpTo(tags[1])).await.unwrap();
    // Nothing is settled twice.
    for again in [Settlement::Individual(tags[6]), range, Settlement::UpTo(tags[1])] {
        assert_eq!(consumer.settle(&again).await, SETTLED_ALREADY);
    }
    assert_eq!(consumer.unsettled(), 5);
    wait_until_held(server, &queue, 5).await;
    consumer.close().await.unwrap();
    assert_eq!(left(server, &queue).await, ["2", "3", "9", "10", "11"]);
    client.close().await;
}

#[tokio::test]
async fn single_acks_in_any_order_and_all_at_once_take_their_own_only() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    send_numbers(server, &queue, 30).await;
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 30).await;
    let deliveries = take(&mut consumer, 30).await;
    // Every third from the end on, without waiting for any answer in between.
    let acks: Vec<_> =
        deliveries.iter().rev().step_by(3).map(|delivery| consumer.ack(delivery.tag)).collect();
    for ack in acks {
        ack.await.unwrap();
    }
    wait_until_held(server, &queue, 20).await;
    consumer.close().await.unwrap();
    let expected: Vec<_> =
        (0..30).filter(|number| number % 3 != 2).map(|number| number.to_string()).collect();
    assert_eq!(left(server, &queue).await, expected);
    client.close().await;
}

#[tokio::test]
async fn a_range_of_a_thousand_is_settled_at_once() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 2_000).await;
    // After the consumer, because of what waits already only a page would come.
    server.peer().await.unwrap().fill(&queue, 1_100, 10, false).await.unwrap();
    let tags: Vec<_> =
        take(&mut consumer, 1_100).await.iter().map(|delivery| delivery.tag).collect();
    let range = Settlement::Range { first: tags[50], last: tags[1_049] };
    consumer.settle(&range).await.unwrap();
    wait_until_held(server, &queue, 100).await;
    assert_eq!(consumer.unsettled(), 100);
    consumer.settle(&Settlement::UpTo(tags[1_099])).await.unwrap();
    wait_until_held(server, &queue, 0).await;
    assert_eq!(consumer.settle(&Settlement::UpTo(tags[1_099])).await, SETTLED_ALREADY);
    client.close().await;
}

#[tokio::test]
async fn a_range_has_nothing_of_another_consumer() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let client = connected(server).await;
    let mut first = consumer(&client, &queue, 3).await;
    let mut second = consumer(&client, &queue, 3).await;
    send_numbers(server, &queue, 6).await;
    let (of_first, of_second) = (take(&mut first, 3).await, take(&mut second, 3).await);
    first.settle(&Settlement::UpTo(of_first[2].tag)).await.unwrap();
    wait_until_held(server, &queue, 3).await;
    assert_eq!((first.unsettled(), second.unsettled()), (0, 3));
    // What was never handed to it is unknown to a consumer.
    let beyond = Tag(of_second[2].tag.0 + 1);
    assert_eq!(second.ack(beyond).await, SETTLED_ALREADY);
    second.settle(&Settlement::UpTo(of_second[2].tag)).await.unwrap();
    wait_until_held(server, &queue, 0).await;
    client.close().await;
}

/// An ack has to name the queue that a message was in, which is not what the consumer asked for.
#[tokio::test]
async fn what_comes_from_several_queues_is_settled_in_its_own() {
    let server = ActiveMqServer::shared().await.unwrap();
    let (one, other) = (server.test_queue().await.unwrap(), server.test_queue().await.unwrap());
    let client = connected(server).await;
    let mut consumer = consumer(&client, &format!("{one},{other}"), 20).await;
    let mut deliveries = Vec::new();
    // By turns, so that a range has some of each.
    for number in 0..10 {
        send_numbers(server, if number % 2 == 0 { &one } else { &other }, 1).await;
        deliveries.extend(take(&mut consumer, 1).await);
    }
    let queues: Vec<_> =
        deliveries.iter().map(|delivery| delivery.destination.clone().unwrap()).collect();
    assert_eq!((&queues[0], &queues[1]), (&Destination::queue(&one), &Destination::queue(&other)));
    consumer.ack(deliveries[7].tag).await.unwrap();
    let poison = Settlement::Poison { tag: deliveries[8].tag, cause: None };
    consumer.settle(&poison).await.unwrap();
    wait_until_held(server, &one, 4).await;
    wait_until_held(server, &other, 4).await;
    consumer.settle(&Settlement::UpTo(deliveries[6].tag)).await.unwrap();
    wait_until_held(server, &one, 0).await;
    wait_until_held(server, &other, 1).await;
    consumer.close().await.unwrap();
    client.close().await;
}
