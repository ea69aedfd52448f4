//! What arrives: everything as it was sent, and why it is there, by the eyes of Java's client.

use std::collections::BTreeMap;

use gristmill_testkit::jms::{Body, Value};

use super::*;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// One of each kind that JMS has, with all types that its bodies have.
fn every_kind() -> Vec<jms::Message> {
    let values = [
        ("bool", Value::Bool(true)),
        ("byte", Value::Byte(-8)),
        ("bytes", Value::Bytes(vec![0, 255])),
        ("char", Value::Char(0xD800)),
        ("double", Value::Double(-0.0)),
        ("float", Value::Float(1.1)),
        ("int", Value::Int(-32)),
        ("long", Value::Long(i64::MIN)),
        ("null", Value::Null),
        ("short", Value::Short(-16)),
        ("text", text(TEXT)),
    ];
    let stream = values.iter().map(|(_, value)| value.clone()).collect();
    let map = values.map(|(name, value)| (name.to_owned(), value));
    let bodies = [
        Body::Text(Some(TEXT.to_owned())),
        Body::Text(None),
        Body::Bytes((0..=255).collect()),
        Body::Bytes(Vec::new()),
        Body::Map(BTreeMap::from(map)),
        Body::Stream(stream),
        Body::Object(text(TEXT)),
        Body::Nothing,
    ];
    bodies.into_iter().map(jms::Message::new).collect()
}

fn with_everything(of: jms::Message, persistent: bool) -> jms::Message {
    let nested = Value::List(vec![Value::Byte(-1), Value::Null, Value::Char(0xD800)]);
    let of = of
        .property("bool", Value::Bool(false))
        .property("byte", Value::Byte(-8))
        .property("double", Value::Double(f64::INFINITY))
        .property("float", Value::Float(0.5))
        .property("int", Value::Int(i32::MIN))
        .property("list", nested)
        .property("long", Value::Long(i64::MAX))
        .property("map", Value::Map(BTreeMap::from([("größer".to_owned(), text("🦀"))])))
        .property("short", Value::Short(-16))
        .property("text", text(TEXT));
    jms::Message {
        correlation_id: Some("c-1".to_owned()),
        reply_to: Some("topic://answers".to_owned()),
        message_type: Some("order".to_owned()),
        group: Some("g".to_owned()),
        priority: 4,
        ttl: Duration::from_secs(3_600),
        persistent,
        ..of
    }
}

/// Everything that a message has besides properties and its place.
fn essence(of: &jms::Received) -> impl PartialEq + std::fmt::Debug + use<> {
    let of = of.clone();
    let headers = (of.correlation_id, of.reply_to, of.message_type, of.group, of.group_sequence);
    (of.body, of.compressed, headers, of.priority, of.timestamp)
}

/// That a letter is the message that it was, under a new id, and says why it is there.
fn is_dead_letter(letter: &jms::Received, was: &jms::Received, line: &Line) {
    assert_eq!(essence(letter), essence(was));
    assert!(letter.persistent && !letter.redelivered && letter.id != was.id);
    assert_eq!((letter.expiration, letter.redelivery_counter), (0, 0));
    assert_eq!(letter.destination, Some(format!("queue://{}", line.dead)));
    assert_eq!(letter.original_destination, Some(format!("queue://{}", line.queue)));
    let mut properties = was.properties.clone();
    if !was.persistent {
        properties.insert("originalDeliveryMode".to_owned(), text("NON_PERSISTENT"));
    }
    for (name, value) in [
        ("dlqDeliveryFailureCause", text(&format!("java.lang.Throwable: {CAUSE}"))),
        ("gristmillCondition", text(CONDITION)),
        ("gristmillInvocationRecord", text(RECORD)),
        ("originalExpiration", Value::Long(was.expiration)),
        ("originalMessageID", text(&was.id)),
    ] {
        properties.insert(name.to_owned(), value);
    }
    assert_eq!(letter.properties, properties);
}

async fn arrive_whole(line: &mut Line, count: usize) {
    let before = line.peer.browse(&line.queue).await.unwrap();
    assert_eq!(before.len(), count);
    let letters = line.received(count).await;
    let place = line.place();
    ends(place.check()).await.unwrap();
    ends(place.keep(letters)).await.unwrap();
    for (letter, was) in line.take(count).await.iter().zip(&before) {
        is_dead_letter(letter, was, line);
    }
}

#[tokio::test]
async fn every_kind_of_message_arrives_whole_and_says_why() {
    for persistent in [true, false] {
        let (_, mut line) = Line::shared().await;
        let mut messages = Vec::new();
        for message in every_kind() {
            messages.push(with_everything(message.clone(), persistent));
            messages.push(jms::Message { persistent, ..message });
        }
        line.peer.send(&line.queue, &messages).await.unwrap();
        arrive_whole(&mut line, messages.len()).await;
    }
}

#[tokio::test]
async fn compressed_ones_stay_compressed() {
    let (_, mut line) = Line::shared().await;
    let mut messages = every_kind();
    messages.push(jms::Message::text("größer".repeat(10_000)));
    messages.push(with_everything(jms::Message::bytes(vec![7; 100_000]), false));
    line.peer.send_compressed(&line.queue, &messages).await.unwrap();
    let before = line.peer.browse(&line.queue).await.unwrap();
    assert!(before.iter().filter(|message| message.compressed).count() >= 6);
    arrive_whole(&mut line, messages.len()).await;
}

#[tokio::test]
async fn a_replay_says_nothing() {
    let (_, mut line) = Line::shared().await;
    let mut messages = every_kind();
    messages.extend(every_kind().into_iter().map(|message| with_everything(message, false)));
    line.peer.send(&line.queue, &messages).await.unwrap();
    let before = line.peer.browse(&line.queue).await.unwrap();
    let letters = line.received(messages.len()).await;
    let publisher = line.broker.publisher("gristmill-live-replay");
    let originals = letters.into_iter().map(|letter| letter.original).collect();
    timeout(LONG, publisher.publish(&line.dead, originals)).await.unwrap().unwrap();
    timeout(LONG, publisher.close()).await.unwrap();
    for (again, was) in line.take(before.len()).await.iter().zip(&before) {
        assert_eq!((essence(again), &again.properties), (essence(was), &was.properties));
        assert!(again.persistent && again.id != was.id);
        assert_eq!((again.expiration, &again.original_destination), (0, &None));
    }
}

#[tokio::test]
async fn a_letter_that_is_given_up_again_says_the_last_reason() {
    let (_, mut line) = Line::shared().await;
    let messages = [with_everything(jms::Message::text("a"), false)];
    let letters = line.letters_of(&messages).await;
    ends(line.place().keep(letters)).await.unwrap();
    let once = line.peer.browse(&line.dead).await.unwrap().remove(0);

    // What was the queue for letters is consumed from.
    let server = ActiveMqServer::shared().await.unwrap();
    let last = server.test_queue().await.unwrap();
    let mut again = Line::between(server, &server.url(), &line.dead, &last).await;
    let letters = again.received(1).await;
    let other = DeadLetter {
        condition: "RecordTooLarge",
        cause: "RecordTooLarge".to_owned(),
        record: "{}".to_owned(),
        ..letters[0].clone()
    };
    ends(again.place().keep(vec![other])).await.unwrap();
    let twice = again.take(1).await.remove(0);
    let mut properties = once.properties.clone();
    for (name, value) in [
        ("dlqDeliveryFailureCause", text("java.lang.Throwable: RecordTooLarge")),
        ("gristmillCondition", text("RecordTooLarge")),
        ("gristmillInvocationRecord", text("{}")),
        ("originalExpiration", Value::Long(0)),
        ("originalMessageID", text(&once.id)),
    ] {
        properties.insert(name.to_owned(), value);
    }
    assert_eq!((essence(&twice), twice.properties), (essence(&once), properties));
    assert_eq!(twice.original_destination, Some(format!("queue://{}", again.queue)));
}

#[tokio::test]
async fn a_message_whose_time_is_over_is_kept_for_ever() {
    // Of its own, since the messages themselves become the broker's dead letters in the end.
    let server = ActiveMqServer::start().await.unwrap();
    let mut line = Line::on(&server).await;
    let ttl = Duration::from_secs(2);
    let short = |persistent| jms::Message { ttl, persistent, ..jms::Message::text("short") };
    let letters = line.letters_of(&[short(true), short(false)]).await;
    let over = now() + 2_000;
    until(LONG, async || now() > over).await;
    ends(line.place().keep(letters)).await.unwrap();
    let letters = line.take(2).await;
    for letter in &letters {
        assert_eq!((letter.text(), letter.expiration, letter.persistent), (Some("short"), 0, true));
        let Value::Long(expiration) = letter.properties["originalExpiration"] else { panic!() };
        assert!((1..=over).contains(&expiration), "{expiration}");
    }
    assert_eq!(server.queue_counts(&line.dead).await.unwrap().expired, 0);
}

#[tokio::test]
async fn many_of_all_sizes_arrive_in_their_order() {
    let (_, mut line) = Line::shared().await;
    let lengths = (0..100_usize).map(|number| if number % 7 == 0 { 300_000 } else { number });
    let texts: Vec<String> = lengths.map(|length| "x".repeat(length)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let letters = line.letters(&texts).await;
    ends(line.place().keep(letters)).await.unwrap();
    let taken = line.take(100).await;
    let lengths = |texts: &[&str]| texts.iter().map(|text| text.len()).collect::<Vec<_>>();
    assert_eq!(lengths(&bodies_of(&taken)), lengths(&texts));
}

/// Longer than the lengths of Java's usual texts, 65,535 bytes.
#[tokio::test]
async fn a_record_of_any_length_arrives() {
    let (_, mut line) = Line::shared().await;
    let letters = line.letters(&["a", "b", "c"]).await;
    let records = [65_535, 65_536, 1 << 20].map(|length| "r".repeat(length));
    let letters = letters.into_iter().zip(&records);
    let letters = letters.map(|(letter, record)| DeadLetter { record: record.clone(), ..letter });
    ends(line.place().keep(letters.collect())).await.unwrap();
    for (letter, record) in line.take(3).await.iter().zip(&records) {
        assert!(letter.properties["gristmillInvocationRecord"] == text(record), "{}", record.len());
    }
}
