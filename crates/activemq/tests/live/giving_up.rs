//! What becomes of a message that is given up: it is in the dead-letter queue with everything that it
//! had and why, or still where it was. What must never happen: that it is in neither.

use std::time::{Duration, Instant};

use gristmill_broker::{Disposition, Settlement, Source, StopCode};
use gristmill_testkit::activemq::{ActiveMqServer, Rights, Settings};
use gristmill_testkit::jms::{Body, Login as PeerLogin, Mode, Value};
use gristmill_testkit::proxy::Proxy;

use super::*;

const CAUSE: &str = "dlqDeliveryFailureCause";
const REASON: &str = "no customer 17 – größer 🦀";

fn with_everything(persistent: bool) -> jms::Message {
    jms::Message {
        correlation_id: Some("c-1".to_owned()),
        reply_to: Some("topic://answers".to_owned()),
        message_type: Some("order".to_owned()),
        group: Some("g".to_owned()),
        priority: 7,
        ttl: Duration::from_secs(3_600),
        persistent,
        ..jms::Message::text(TEXT).property("shop", Value::Int(7))
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Everything that a message has besides properties and who is to have it.
fn essence(of: &jms::Received) -> impl PartialEq + std::fmt::Debug + use<> {
    let of = of.clone();
    let headers = (of.correlation_id, of.reply_to, of.message_type, of.group, of.group_sequence);
    (of.body, headers, of.priority, of.timestamp)
}

#[tokio::test]
async fn a_batch_of_both_kinds_becomes_dead_letters_with_all_that_the_messages_had() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let messages = [true, false, true, false].map(with_everything);
    peer.send(&queue, &messages).await.unwrap();
    let before = peer.browse(&queue).await.unwrap();
    let mut source = subscribed(server, &queue, 10).await;
    let taken = take(&mut source, 4).await;
    assert_eq!(settle(&mut source, Settlement::Reject(REASON), &tokens(&taken)).await, sent(4));
    wait_for(server, &queue, 0, 0).await;

    let letters = dead_letters(&mut peer, &queue).await;
    assert_eq!(letters.len(), 4);
    for was in &before {
        let is_its = |letter: &&jms::Received| {
            letter.id == was.id
                || letter.properties.get("originalMessageID") == Some(&text(&was.id))
        };
        let letter = letters.iter().find(is_its).unwrap();
        assert_eq!(essence(letter), essence(was));
        assert!(letter.persistent && letter.expiration == 0 && !letter.redelivered);
        let properties = &letter.properties;
        assert_eq!(properties["shop"], Value::Int(7));
        assert_eq!(properties["originalExpiration"], Value::Long(was.expiration));
        assert_eq!(properties[CAUSE], text(&format!("java.lang.Throwable: {REASON}")));
        let mode = (!was.persistent).then(|| text("NON_PERSISTENT"));
        assert_eq!(properties.get("originalDeliveryMode"), mode.as_ref());
        assert_eq!(letter.id == was.id, was.persistent);
        assert_eq!(properties.len(), if was.persistent { 3 } else { 5 });
    }
    // Settled once: nothing happens to them any more, and nothing is sent for them.
    assert_eq!(settle(&mut source, Settlement::Reject(REASON), &tokens(&taken)).await, stale(4));
    assert_eq!(dead_letters(&mut peer, &queue).await.len(), 4);
    source.close().await;
}

/// The copies of a message of a virtual topic have one id, and a broker makes a dead letter of the first
/// only.
#[tokio::test]
async fn both_copies_of_a_virtual_topic_become_dead_letters() {
    let server = ActiveMqServer::start().await.unwrap();
    let queues = ["Consumer.a.VirtualTopic.t", "Consumer.b.VirtualTopic.t"];
    for queue in queues {
        server.create_queue(queue).await.unwrap();
    }
    let mut peer = server.peer().await.unwrap();
    peer.send("topic://VirtualTopic.t", &[jms::Message::text("1")]).await.unwrap();
    for queue in queues {
        let mut source = subscribed(&server, queue, 10).await;
        let taken = take(&mut source, 1).await;
        let rejected = settle(&mut source, Settlement::Reject(REASON), &tokens(&taken)).await;
        assert_eq!(rejected, sent(1));
        wait_for(&server, queue, 0, 0).await;
        source.close().await;
    }
    let letters = peer.take("ActiveMQ.DLQ", 2, LONG).await.unwrap();
    let from: Vec<_> = letters.iter().map(|letter| letter.original_destination.clone()).collect();
    assert_eq!(from, queues.map(|queue| Some(format!("queue://{queue}"))));
    assert!(letters.iter().all(|letter| letter.text() == Some("1")));
}

#[tokio::test]
async fn the_copy_is_what_the_broker_would_make_itself() {
    // A broker that keeps what is not persistent, and Java's client giving up.
    let settings = Settings::new().policy(">", &[("processNonPersistent", "true")]);
    let server = ActiveMqServer::start_with(&settings).await.unwrap();
    server.create_queue(DEAD_LETTER_QUEUE).await.unwrap();
    let login = PeerLogin::to(server.url()).redeliveries(0);
    let mut peer = Peer::connect(&login).await.unwrap();
    for message in
        [with_everything(false), jms::Message { persistent: false, ..jms::Message::text("plain") }]
    {
        peer.send("theirs", std::slice::from_ref(&message)).await.unwrap();
        let consumer = peer.subscribe("theirs", Mode::Transacted, None).await.unwrap();
        assert!(peer.receive(consumer, LONG).await.unwrap().is_some());
        peer.rollback(consumer).await.unwrap();
        wait_for(&server, DEAD_LETTER_QUEUE, 1, 0).await;
        let theirs = peer.take(DEAD_LETTER_QUEUE, 1, LONG).await.unwrap().remove(0);
        peer.unsubscribe(consumer).await.unwrap();

        peer.send("ours", &[message]).await.unwrap();
        let mut source = subscribed(&server, "ours", 10).await;
        let taken = take(&mut source, 1).await;
        assert_eq!(settle(&mut source, Settlement::Reject("x"), &tokens(&taken)).await, sent(1));
        let ours = peer.take(DEAD_LETTER_QUEUE, 1, LONG).await.unwrap().remove(0);
        source.close().await;

        let names = |letter: &jms::Received| letter.properties.keys().cloned().collect::<Vec<_>>();
        let mut expected = names(&theirs);
        expected.push("originalMessageID".to_owned());
        expected.sort();
        assert_eq!(names(&ours), expected);
        assert_eq!(
            ours.properties["originalDeliveryMode"],
            theirs.properties["originalDeliveryMode"]
        );
        assert_eq!(ours.original_destination.as_deref(), Some("queue://ours"));
        assert_eq!(theirs.original_destination.as_deref(), Some("queue://theirs"));
        assert_eq!((ours.persistent, ours.expiration), (theirs.persistent, theirs.expiration));
        assert!(theirs.persistent);
    }
}

#[tokio::test]
async fn without_the_right_to_dead_letters_nothing_is_lost_and_the_right_is_named() {
    let ours = Rights { read: "hosts,admins", write: "hosts,admins", admin: "hosts,admins" };
    let dead_letters_rights = Rights { read: "admins", write: "admins,writers", admin: "admins" };
    let settings = Settings::new()
        .user("host", "h", "hosts")
        .user("writer", "w", "hosts,writers")
        .user("admin", "a", "admins")
        .rights("orders", ours)
        .rights("ActiveMQ.DLQ", dead_letters_rights);
    let server = ActiveMqServer::start_with(&settings).await.unwrap();
    let mut peer = server.peer_as("admin", "a").await.unwrap();
    let settings = |user, password| ConnectionSettings {
        login: Some(login(user, password).into()),
        ..super::settings(&server.url())
    };
    let fleeting = jms::Message { persistent: false, ..jms::Message::text("fleeting") };
    peer.send("orders", &[fleeting]).await.unwrap();
    let refusals = [
        ("writer", "w", "User writer is not authorized to create: queue://ActiveMQ.DLQ"),
        ("host", "h", "User host is not authorized to write to: queue://ActiveMQ.DLQ"),
    ];
    for (user, password, refusal) in refusals {
        let mut source = source(settings(user, password), "orders", 10);
        source.subscribe().await.unwrap();
        let taken = take(&mut source, 1).await;
        let rejected = settle(&mut source, Settlement::Reject(REASON), &tokens(&taken)).await;
        assert_eq!(rejected, stale(1));
        let error = ended(&mut source).await;
        assert!(matches!(error, SourceError::DeadLetterRefused { .. }), "{error}");
        assert_eq!(error.disposition(), Disposition::Stop(StopCode::AuthorizationError));
        let said = error.to_string();
        assert!(
            said.contains("grant this login `write` on it") && said.contains(refusal),
            "{said}"
        );
        source.close().await;
        wait_for(&server, "orders", 1, 0).await;
    }
    // A persistent one is moved by the broker, which asks nobody for a right, also beside another.
    send_texts(&mut peer, "orders", &["kept"]).await;
    let mut source = source(settings("host", "h"), "orders", 10);
    source.subscribe().await.unwrap();
    let taken = tokens(&take(&mut source, 2).await);
    let rejected = settle(&mut source, Settlement::Reject(REASON), &taken).await;
    assert_eq!(rejected, Settled { sent: 1, stale: 1 });
    let error = ended(&mut source).await;
    assert!(matches!(error, SourceError::DeadLetterRefused { .. }), "{error}");
    assert_eq!(bodies_of(&dead_letters(&mut peer, "orders").await), ["kept"]);
    source.close().await;
    wait_for(&server, "orders", 1, 0).await;
    assert_eq!(bodies_of(&peer.browse("orders").await.unwrap()), ["fleeting"]);
}

#[tokio::test]
async fn a_loss_between_the_copy_and_the_ack_leaves_both() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let fleeting = jms::Message { persistent: false, ..jms::Message::text("fleeting") };
    peer.send(&queue, &[fleeting]).await.unwrap();
    let proxy = Proxy::start(server.port()).await.unwrap();
    let mut source = source(settings(&format!("tcp://127.0.0.1:{}", proxy.port())), &queue, 10);
    source.subscribe().await.unwrap();
    let taken = tokens(&take(&mut source, 1).await);
    // The confirmation of the copy is under way for longer than it takes to see the copy.
    proxy.delay(Duration::from_secs(2));
    let cutting = async {
        let begun = Instant::now();
        while dead_letters(&mut peer, &queue).await.is_empty() {
            assert!(begun.elapsed() < LONG);
        }
        proxy.cut();
        proxy.delay(Duration::ZERO);
    };
    let (settled, ()) =
        tokio::join!(settle(&mut source, Settlement::Reject(REASON), &taken), cutting);
    assert_eq!(settled, stale(1));
    let error = ended(&mut source).await;
    assert!(matches!(error, SourceError::Lost { .. }), "{error}");
    source.subscribe().await.unwrap();
    let again = take(&mut source, 1).await;
    assert_eq!((bodies(&again), returns(&again)), (vec!["fleeting"], vec![1]));
    assert_eq!(settle(&mut source, Settlement::Reject(REASON), &tokens(&again)).await, sent(1));
    assert_eq!(bodies_of(&dead_letters(&mut peer, &queue).await), ["fleeting", "fleeting"]);
    source.close().await;
}

#[tokio::test]
async fn a_broker_that_dies_before_it_answers_still_has_the_message() {
    let mut server = ActiveMqServer::start().await.unwrap();
    send_texts(&mut server.peer().await.unwrap(), "orders", &["kept"]).await;
    let mut source = subscribed(&server, "orders", 10).await;
    let taken = tokens(&take(&mut source, 1).await);
    server.freeze().await.unwrap();
    let (settled, killed) =
        tokio::join!(settle(&mut source, Settlement::Reject(REASON), &taken), server.kill9());
    killed.unwrap();
    assert_eq!(settled, stale(1));
    let error = ended(&mut source).await;
    assert_eq!(error.disposition(), Disposition::Reconnect, "{error}");
    let error = source.subscribe().await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Reconnect, "{error}");
    server.restart().await.unwrap();
    source.subscribe().await.unwrap();
    let again = take(&mut source, 1).await;
    // A broker forgets its counts with a restart.
    assert_eq!((bodies(&again), returns(&again)), (vec!["kept"], vec![0]));
    assert_eq!(settle(&mut source, Settlement::Reject(REASON), &tokens(&again)).await, sent(1));
    let mut peer = server.peer().await.unwrap();
    assert_eq!(bodies_of(&dead_letters(&mut peer, "orders").await), ["kept"]);
    source.close().await;
}

#[tokio::test]
async fn a_cause_of_any_length_reaches_the_dead_letter_as_far_as_it_fits() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let fleeting = jms::Message { persistent: false, ..jms::Message::text("fleeting") };
    peer.send(&queue, &[jms::Message::text("kept"), fleeting]).await.unwrap();
    let mut source = subscribed(server, &queue, 10).await;
    let taken = tokens(&take(&mut source, 2).await);
    let cause = "größer\0🦀".repeat(20_000);
    assert_eq!(settle(&mut source, Settlement::Reject(&cause), &taken).await, sent(2));
    let letters = dead_letters(&mut peer, &queue).await;
    assert_eq!(letters.len(), 2);
    for letter in letters {
        assert_eq!(letter.body, Body::Text(letter.text().map(str::to_owned)));
        let Value::Text(said) = &letter.properties[CAUSE] else { panic!() };
        let said = said.strip_prefix("java.lang.Throwable: ").unwrap();
        assert!(cause.starts_with(said) && (8_000..=8_192).contains(&said.len()), "{}", said.len());
    }
    source.close().await;
}
