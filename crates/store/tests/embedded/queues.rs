//! What a queue does: order, priorities, time to live, dead letters, and how often a message was handed out.

use std::time::Duration;

use futures_util::FutureExt;
use gristmill_broker::{DeadLetter, DeadLetters, Delivery, Settlement, Source};
use gristmill_event::{BasicProperties, HeaderInteger, HeaderValue, RabbitMqMessage};
use gristmill_store::embedded::{
    self, EmbeddedBroker, EmbeddedError, EmbeddedSource, QueueSettings,
};
use gristmill_testkit::wait::until;

use super::{
    DEAD, LONG, QUEUE, bodies, broker, files, message, properties, publish, ready, seen, settings,
    settle, subscribed, take, wait_for, with, with_properties,
};

#[tokio::test]
async fn a_message_comes_as_it_was_published() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    let headers = vec![
        ("text".to_owned(), HeaderValue::LongString(vec![0xff, b'a'])),
        (
            "list".to_owned(),
            HeaderValue::Array(vec![HeaderValue::Void, HeaderValue::Boolean(true)]),
        ),
        ("number".to_owned(), HeaderValue::Integer(HeaderInteger::U16(7))),
        ("ratio".to_owned(), HeaderValue::Double(0.1)),
    ];
    let sent = BasicProperties {
        content_type: Some("application/json".to_owned()),
        headers: Some(headers),
        priority: Some(3),
        message_id: Some("order-1".to_owned()),
        timestamp: Some(17),
        ..BasicProperties::default()
    };
    broker.publish(QUEUE, vec![with_properties("{}", sent.clone())]).await.unwrap();
    let mut source = subscribed(&broker, QUEUE, 10).await;
    let taken = take(&mut source, 1).await;
    assert_eq!((properties(&taken[0]), bodies(&taken)), (&sent, vec!["{}"]));
    let original = source.original(taken[0].token, Some(&taken[0].message)).unwrap();
    assert_eq!(embedded::message(&original).unwrap(), taken[0].message);
}

#[tokio::test]
async fn one_without_a_timestamp_gets_the_time_when_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    publish(&broker, &["a"]).await;
    let mut source = subscribed(&broker, QUEUE, 10).await;
    let taken = take(&mut source, 1).await;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(properties(&taken[0]).timestamp.unwrap().abs_diff(now) <= 60);
}

#[tokio::test]
async fn messages_outlive_the_broker_and_say_how_often_they_were_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let first = broker(folder.path());
    publish(&first, &["a", "b", "c", "d"]).await;
    let mut source = subscribed(&first, QUEUE, 3).await;
    let taken = take(&mut source, 3).await;
    settle(&mut source, Settlement::Ack, &taken[..1]).await;
    // `b` was given to a function; `c` merely waited, and `d` came into the room of `a`.
    source.tried(taken[1].token);
    source.close().await;
    first.close().await;

    let second = broker(folder.path());
    let mut source = subscribed(&second, QUEUE, 10).await;
    let taken = take(&mut source, 3).await;
    assert_eq!(seen(&taken), [("b", true, 1), ("c", false, 0), ("d", false, 0)]);
    // This time nobody closes anything in order.
    second.close().await;
    source.subscribe().await.unwrap();
    let taken = take(&mut source, 3).await;
    assert_eq!(seen(&taken), [("b", true, 2), ("c", true, 1), ("d", true, 1)]);
    settle(&mut source, Settlement::Requeue, &taken[..1]).await;
    let again = take(&mut source, 1).await;
    assert_eq!(seen(&again), [("b", true, 3)]);
    settle(&mut source, Settlement::Ack, &again).await;
    settle(&mut source, Settlement::Ack, &taken[1..]).await;
    wait_for(&second, QUEUE, 0, 0).await;
}

#[tokio::test]
async fn a_higher_priority_comes_first_as_far_as_the_queue_knows_it() {
    let folder = tempfile::tempdir().unwrap();
    let orders = QueueSettings { priority_max: 5, ..QueueSettings::default() };
    let broker = EmbeddedBroker::new(with(folder.path(), orders)).unwrap();
    let of = |body: &str, priority| {
        let properties = BasicProperties { priority, ..BasicProperties::default() };
        with_properties(body, properties)
    };
    let messages =
        vec![of("none", None), of("two", Some(2)), of("nine", Some(9)), of("five", Some(5))];
    broker.publish(QUEUE, messages).await.unwrap();
    let mut source = subscribed(&broker, QUEUE, 1).await;
    let mut order = Vec::new();
    for round in 0..5 {
        let taken = take(&mut source, 1).await;
        order.extend(bodies(&taken).into_iter().map(str::to_owned));
        if round == 1 {
            // One that comes later overtakes all that wait.
            broker.publish(QUEUE, vec![of("three", Some(3))]).await.unwrap();
        }
        settle(&mut source, Settlement::Ack, &taken).await;
    }
    assert_eq!(order, ["nine", "five", "three", "two", "none"]);
}

#[tokio::test]
async fn what_is_given_back_keeps_its_place_among_priorities() {
    let folder = tempfile::tempdir().unwrap();
    let orders = QueueSettings { priority_max: 1, ..QueueSettings::default() };
    let broker = EmbeddedBroker::new(with(folder.path(), orders)).unwrap();
    let high = BasicProperties { priority: Some(1), ..BasicProperties::default() };
    let messages = vec![message("b"), message("c"), with_properties("a", high)];
    broker.publish(QUEUE, messages).await.unwrap();
    let mut source = subscribed(&broker, QUEUE, 2).await;
    let taken = take(&mut source, 2).await;
    assert_eq!(bodies(&taken), ["a", "b"]);
    settle(&mut source, Settlement::Requeue, &taken).await;
    assert_eq!(bodies(&take(&mut source, 2).await), ["a", "b"]);
    source.close().await;
    assert_eq!(ready(&broker, QUEUE).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn what_expires_becomes_a_dead_letter_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let orders = QueueSettings {
        dead_letter_queue: Some(DEAD.to_owned()),
        message_ttl: Some(Duration::from_millis(60)),
        ..QueueSettings::default()
    };
    let broker = EmbeddedBroker::new(with(folder.path(), orders)).unwrap();
    // What is held does not expire by itself.
    publish(&broker, &["held"]).await;
    let mut source = subscribed(&broker, QUEUE, 1).await;
    let held = take(&mut source, 1).await;
    let own = |body, ms: &str| {
        let expiration = Some(ms.to_owned());
        with_properties(body, BasicProperties { expiration, ..BasicProperties::default() })
    };
    // Whichever is shorter counts.
    let messages = vec![own("own", "1"), own("queue's", "3600000"), message("none")];
    broker.publish(QUEUE, messages).await.unwrap();
    wait_for(&broker, DEAD, 3, 0).await;
    assert_eq!(ready(&broker, DEAD).await, ["own", "queue's", "none"]);
    wait_for(&broker, QUEUE, 0, 1).await;
    settle(&mut source, Settlement::Expire, &held).await;
    wait_for(&broker, DEAD, 4, 0).await;

    let mut dead = subscribed(&broker, DEAD, 10).await;
    let taken = take(&mut dead, 4).await;
    assert!(
        taken.iter().all(|delivery| !delivery.message.redelivered() && delivery.returns.all <= 1)
    );
    let of = properties(&taken[0]);
    assert_eq!(of.expiration, None);
    let headers = of.headers.as_ref().unwrap();
    let said = |name: &str| &headers.iter().find(|(given, _)| given == name).unwrap().1;
    assert_eq!(*said("x-first-death-reason"), HeaderValue::LongString("expired".into()));
    assert_eq!(*said("x-first-death-queue"), HeaderValue::LongString(QUEUE.into()));
}

#[tokio::test]
async fn a_queue_whose_messages_expire_needs_no_consumer() {
    let folder = tempfile::tempdir().unwrap();
    // Rejected, kept waiting, and tried again.
    let mut settings = settings(folder.path());
    let later = QueueSettings {
        dead_letter_queue: Some(QUEUE.to_owned()),
        message_ttl: Some(Duration::from_millis(30)),
        ..QueueSettings::default()
    };
    settings.queues.insert(DEAD.to_owned(), later);
    let broker = EmbeddedBroker::new(settings).unwrap();
    publish(&broker, &["a"]).await;
    let mut source = subscribed(&broker, QUEUE, 10).await;
    for round in 1..=3 {
        let taken = take(&mut source, 1).await;
        if round == 3 {
            let headers = properties(&taken[0]).headers.as_ref().unwrap();
            let (_, deaths) = headers.iter().find(|(name, _)| name == "x-death").unwrap();
            let HeaderValue::Array(deaths) = deaths else { panic!("{deaths:?}") };
            assert_eq!(deaths.len(), 2, "one for each queue: {deaths:?}");
        }
        settle(&mut source, Settlement::Reject("no"), &taken).await;
    }
}

#[tokio::test]
async fn without_a_dead_letter_queue_what_is_rejected_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::new(with(folder.path(), QueueSettings::default())).unwrap();
    publish(&broker, &["a", "b"]).await;
    let mut source = subscribed(&broker, QUEUE, 10).await;
    let taken = take(&mut source, 2).await;
    settle(&mut source, Settlement::Reject("no"), &taken[..1]).await;
    settle(&mut source, Settlement::Expire, &taken[1..]).await;
    wait_for(&broker, QUEUE, 0, 0).await;
    wait_for(&broker, DEAD, 0, 0).await;
}

#[tokio::test]
async fn a_dead_letter_is_kept_with_why_and_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    let expiration = Some("3600000".to_owned());
    let sent = with_properties("a", BasicProperties { expiration, ..BasicProperties::default() });
    broker.publish(QUEUE, vec![sent]).await.unwrap();
    let mut source = subscribed(&broker, QUEUE, 10).await;
    let taken = take(&mut source, 1).await;
    let original = source.original(taken[0].token, Some(&taken[0].message)).unwrap();
    let letter = DeadLetter {
        original: original.clone(),
        message_id: None,
        condition: "GivenUpByFunction",
        cause: "GivenUpByFunction".to_owned(),
        record: "{}".to_owned(),
        given_up_at_ms: 1,
    };
    let place = broker.dead_letter_queue(DEAD);
    place.check().await.unwrap();
    place.keep(vec![letter]).await.unwrap();
    settle(&mut source, Settlement::Ack, &taken).await;
    let mut dead = subscribed(&broker, DEAD, 1).await;
    let letters = take(&mut dead, 1).await;
    let of = properties(&letters[0]);
    let headers = of.headers.as_ref().unwrap().iter();
    let headers: Vec<&str> = headers.map(|(name, _)| name.as_str()).collect();
    let expected =
        ["gristmill-condition", "gristmill-original-expiration", "gristmill-invocation-record"];
    assert_eq!((headers, &of.expiration), (expected.to_vec(), &None));

    broker.publish_again(QUEUE, vec![original]).await.unwrap();
    let back = take(&mut source, 1).await;
    assert_eq!((properties(&back[0]).headers.is_none(), bodies(&back)), (true, vec!["a"]));
    assert_eq!(properties(&back[0]).expiration, None);
    broker.dead_letter_queue("nowhere").check().await.unwrap_err();
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_named_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    let refused = broker.publish("order", vec![message("a")]).await.unwrap_err();
    let said = "no queue `order` on this broker, which has `dead`, `orders`: correct the name, or add the \
                queue to the broker's section of the configuration";
    assert_eq!(refused.to_string(), said);
    let refused = broker.source("order", 1).subscribe().await.unwrap_err();
    assert!(refused.to_string().contains("order"), "{refused}");
    broker.counts("order").await.unwrap_err();
}

#[tokio::test]
async fn what_does_not_fit_is_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.bytes_max = 10_000;
    let broker = EmbeddedBroker::new(settings.clone()).unwrap();
    let kb = "x".repeat(1_000);
    publish(&broker, &[kb.as_str(); 8]).await;
    let refused = broker.publish(QUEUE, vec![message(&kb), message(&kb)]).await.unwrap_err();
    assert!(matches!(refused, EmbeddedError::Full { bytes_max: 10_000, .. }), "{refused}");
    assert!(refused.to_string().contains("`size_max`"), "{refused}");
    wait_for(&broker, QUEUE, 8, 0).await;
    let mut source = subscribed(&broker, QUEUE, 2).await;
    let taken = take(&mut source, 2).await;
    settle(&mut source, Settlement::Ack, &taken).await;
    publish(&broker, &[kb.as_str(); 2]).await;
    // A change of the settings counts at once.
    broker.configure(super::EmbeddedSettings { bytes_max: 100_000, ..settings });
    publish(&broker, &[kb.as_str(); 50]).await;
}

#[tokio::test]
async fn what_has_expired_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let orders =
        QueueSettings { message_ttl: Some(Duration::from_millis(1)), ..QueueSettings::default() };
    let mut settings = with(folder.path(), orders);
    settings.bytes_max = 10_000;
    let broker = EmbeddedBroker::new(settings).unwrap();
    let kb = "x".repeat(1_000);
    for _ in 0..20 {
        publish(&broker, &[kb.as_str(); 8]).await;
        wait_for(&broker, QUEUE, 0, 0).await;
    }
}

#[tokio::test]
async fn what_no_event_can_hold_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    let large = RabbitMqMessage { body: vec![0; (1 << 20) + 1], ..RabbitMqMessage::default() };
    let refused = broker.publish(QUEUE, vec![message("a"), large]).await.unwrap_err();
    assert!(matches!(refused, EmbeddedError::TooLarge { bytes_max: 1_048_576, .. }), "{refused}");
    let mut deep = HeaderValue::Void;
    for _ in 0..10_000 {
        deep = HeaderValue::Array(vec![deep]);
    }
    let headers = Some(vec![("deep".to_owned(), deep)]);
    let sent = with_properties("a", BasicProperties { headers, ..BasicProperties::default() });
    let refused = broker.publish(QUEUE, vec![sent]).await.unwrap_err();
    assert!(refused.to_string().contains("nest deeper than 64 levels"), "{refused}");
    wait_for(&broker, QUEUE, 0, 0).await;
}

#[tokio::test]
async fn consumers_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    let mut one = subscribed(&broker, QUEUE, 10).await;
    let mut other = subscribed(&broker, QUEUE, 2).await;
    publish(&broker, &["a", "b", "c", "d", "e", "f"]).await;
    assert_eq!(bodies(&take(&mut one, 4).await), ["a", "c", "e", "f"]);
    let taken = take(&mut other, 2).await;
    assert_eq!(bodies(&taken), ["b", "d"]);
    publish(&broker, &["g"]).await;
    settle(&mut other, Settlement::Ack, &taken).await;
    assert_eq!(bodies(&take(&mut one, 1).await), ["g"]);
    drop(one);
    assert_eq!(bodies(&take(&mut other, 2).await), ["a", "c"]);
}

#[tokio::test]
async fn more_than_one_turn_hands_out_comes_in_several() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    let numbers: Vec<String> = (0..3_500).map(|number| number.to_string()).collect();
    publish(&broker, &numbers.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let large = "x".repeat(1 << 20);
    publish(&broker, &[large.as_str(); 20]).await;
    let mut source = subscribed(&broker, QUEUE, u16::MAX).await;
    let taken = take(&mut source, 3_520).await;
    assert_eq!(bodies(&taken[..3_500]), numbers);
    settle(&mut source, Settlement::Ack, &taken).await;
    wait_for(&broker, QUEUE, 0, 0).await;
    assert!(source.receive().now_or_never().is_none());
}

#[tokio::test]
async fn another_process_may_publish() {
    let folder = tempfile::tempdir().unwrap();
    let consuming = broker(folder.path());
    let mut source = subscribed(&consuming, QUEUE, 10).await;
    let publishing = broker(folder.path());
    publish(&publishing, &["a"]).await;
    consuming.look();
    let taken = take(&mut source, 1).await;
    assert_eq!(bodies(&taken), ["a"]);
    publish(&consuming, &["b"]).await;
    publish(&publishing, &["c"]).await;
    consuming.look();
    assert_eq!(bodies(&take(&mut source, 2).await), ["b", "c"]);
    settle(&mut source, Settlement::Ack, &taken).await;
    wait_for(&consuming, QUEUE, 0, 2).await;
}

#[tokio::test]
async fn the_disk_gets_back_what_was_handled() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    let large = "x".repeat(1 << 20);
    for _ in 0..10 {
        publish(&broker, &[large.as_str(); 10]).await;
    }
    let mut source = subscribed(&broker, QUEUE, 100).await;
    let taken = take(&mut source, 100).await;
    settle(&mut source, Settlement::Ack, &taken).await;
    wait_for(&broker, QUEUE, 0, 0).await;
    // Done while there is nothing else to do.
    until(LONG, async || files(folder.path())["queues.sqlite3"] <= 20 << 20).await;
}

/// A message that expires soon.
fn expiring(body: &str) -> RabbitMqMessage {
    let expiration = Some("40".to_owned());
    with_properties(body, BasicProperties { expiration, ..BasicProperties::default() })
}

/// A message in hand whose time is over: one that came with it has become a dead letter.
async fn held_too_long(broker: &EmbeddedBroker) -> (EmbeddedSource, Vec<Delivery>) {
    let mut source = subscribed(broker, QUEUE, 1).await;
    broker.publish(QUEUE, vec![expiring("a"), expiring("witness")]).await.unwrap();
    let taken = take(&mut source, 1).await;
    wait_for(broker, DEAD, 1, 0).await;
    (source, taken)
}

#[tokio::test]
async fn a_queue_that_is_taken_out_keeps_what_is_rejected_and_what_expires() {
    let folder = tempfile::tempdir().unwrap();
    let orders =
        QueueSettings { message_ttl: Some(Duration::from_millis(40)), ..QueueSettings::default() };
    let broker = EmbeddedBroker::new(with(folder.path(), orders)).unwrap();
    publish(&broker, &["a", "b", "c"]).await;
    let mut source = subscribed(&broker, QUEUE, 2).await;
    let taken = take(&mut source, 2).await;
    let mut without = settings(folder.path());
    without.queues.remove(QUEUE);
    broker.configure(without);
    settle(&mut source, Settlement::Reject("no"), &taken[..1]).await;
    settle(&mut source, Settlement::Expire, &taken[1..]).await;
    source.close().await;
    // What expires later is gone.
    broker.publish(DEAD, vec![expiring("witness")]).await.unwrap();
    wait_for(&broker, DEAD, 0, 0).await;
    broker.configure(settings(folder.path()));
    // They would expire now that it is there again, and go where its dead letters go.
    wait_for(&broker, DEAD, 3, 0).await;
}

#[tokio::test]
async fn another_process_has_nothing_expire_that_is_being_handled() {
    let folder = tempfile::tempdir().unwrap();
    let consuming = broker(folder.path());
    let (mut source, taken) = held_too_long(&consuming).await;
    let publisher = super::EmbeddedSettings { consumes: false, ..settings(folder.path()) };
    let publishing = EmbeddedBroker::new(publisher).unwrap();
    publish(&publishing, &["b"]).await;
    settle(&mut source, Settlement::Ack, &taken).await;
    consuming.look();
    assert_eq!(bodies(&take(&mut source, 1).await), ["b"]);
    wait_for(&consuming, DEAD, 1, 0).await;
    wait_for(&consuming, QUEUE, 0, 1).await;
}

#[tokio::test]
async fn what_has_expired_in_hand_is_not_handed_out_again() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    let (mut source, taken) = held_too_long(&broker).await;
    settle(&mut source, Settlement::Requeue, &taken).await;
    wait_for(&broker, DEAD, 2, 0).await;
    assert!(source.receive().now_or_never().is_none());
}

#[tokio::test]
async fn what_is_rejected_goes_where_it_went_when_its_consumer_subscribed() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    publish(&broker, &["a"]).await;
    let mut source = subscribed(&broker, QUEUE, 10).await;
    let taken = take(&mut source, 1).await;
    broker.configure(with(folder.path(), QueueSettings::default()));
    settle(&mut source, Settlement::Reject("no"), &taken).await;
    wait_for(&broker, DEAD, 1, 0).await;
}

#[tokio::test]
async fn a_dead_letter_needs_no_room_in_a_full_broker() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.bytes_max = 1_500;
    let broker = EmbeddedBroker::new(settings).unwrap();
    let kb = "x".repeat(1_000);
    publish(&broker, &[kb.as_str()]).await;
    let mut source = subscribed(&broker, QUEUE, 10).await;
    let taken = take(&mut source, 1).await;
    let letter = DeadLetter {
        original: source.original(taken[0].token, Some(&taken[0].message)).unwrap(),
        message_id: None,
        condition: "GivenUpByFunction",
        cause: String::new(),
        record: "{}".to_owned(),
        given_up_at_ms: 1,
    };
    broker.publish(QUEUE, vec![message(&kb)]).await.unwrap_err();
    broker.dead_letter_queue(DEAD).keep(vec![letter]).await.unwrap();
    settle(&mut source, Settlement::Ack, &taken).await;
    wait_for(&broker, DEAD, 1, 0).await;
}

#[tokio::test]
async fn many_that_expire_at_once_keep_no_other_queue_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    let expiration = Some("1".to_owned());
    let properties = BasicProperties { expiration, ..BasicProperties::default() };
    let many = (0..5_000).map(|_| with_properties("x", properties.clone())).collect();
    broker.publish(DEAD, many).await.unwrap();
    publish(&broker, &["a"]).await;
    let mut orders = subscribed(&broker, QUEUE, 10).await;
    let mut dead = subscribed(&broker, DEAD, u16::MAX).await;
    assert_eq!(bodies(&take(&mut orders, 1).await), ["a"]);
    // Each has expired or is in hand, which the clock decides.
    while dead.receive().now_or_never().is_some() {}
    drop(dead);
    wait_for(&broker, DEAD, 0, 0).await;
}
