//! What arrives: everything as it came, but for what would lose the message or send it elsewhere.

use gristmill_broker::{DeadLetters, KeepError, Settlement, Source};
use gristmill_testkit::amqp::{Client, Field, Properties, Table};
use gristmill_testkit::rabbitmq::RabbitServer;

use crate::support::{CONDITION, DEAD, Line, QUEUE, RECORD, bodies, broker, letter};

/// A table with every type of RabbitMQ's (which has no number that is none), and one inside the other, in the order of their names, which the
/// client puts them into.
fn every_type() -> Table {
    let nested =
        Table::new().with("a", Field::Array(vec![Field::I8(-1), Field::U16(1), Field::Void]));
    let fields = [
        ("bool", Field::Bool(true)),
        ("bytes", Field::LongString(vec![0xFF, 0, 7])),
        ("decimal", Field::Decimal { scale: 2, value: u32::MAX }),
        ("f32", Field::F32(1.1)),
        ("f64", Field::F64(-0.0)),
        ("i16", Field::I16(-16)),
        ("i32", Field::I32(-32)),
        ("i64", Field::I64(i64::MIN)),
        ("i8", Field::I8(-8)),
        ("small", Field::I64(1)),
        ("table", Field::Table(nested)),
        ("time", Field::Timestamp(1_700_000_000)),
        ("u16", Field::U16(60_000)),
        ("u32", Field::U32(u32::MAX)),
        ("u8", Field::U8(200)),
        ("void", Field::Void),
        ("x", Field::Bytes(vec![1, 2, 3])),
    ];
    fields.into_iter().fold(Table::new(), |table, (name, field)| table.with(name, field))
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// All of them, with what is not published again.
fn every_property() -> Properties {
    let headers = every_type()
        .with("BCC", Field::Array(vec![Field::text("copies")]))
        .with("CC", Field::Array(vec![Field::text("copies")]))
        .with("x-acquired-count", Field::I64(7))
        .with("x-delivery-count", Field::I64(7));
    Properties {
        content_type: text("a/b"),
        content_encoding: text("gzip"),
        headers: Some(headers),
        delivery_mode: Some(1),
        priority: Some(9),
        correlation_id: text("c"),
        reply_to: text("answers"),
        expiration: text("600000"),
        message_id: text("m"),
        timestamp: Some(1_700_000_000),
        kind: text("created"),
        user_id: text("guest"),
        app_id: text("app"),
        cluster_id: text("cluster"),
    }
}

/// Those as they are published again.
fn published(headers: Table) -> Properties {
    let mut fields = headers.0;
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    Properties {
        headers: Some(Table(fields)),
        delivery_mode: Some(2),
        expiration: None,
        ..every_property()
    }
}

#[tokio::test]
async fn what_is_published_again_is_the_same_to_the_byte() {
    let mut line = Line::on(RabbitServer::shared().await.unwrap()).await;
    let given = Properties { expiration: None, delivery_mode: Some(2), ..every_property() };
    let given = Properties { headers: Some(every_type()), ..given };
    let delivery = line.send(&given, b"the body").await;
    let original = line.original(&delivery);
    assert_eq!(gristmill_rabbitmq::message(&original).unwrap(), delivery.message);
    line.publishing.publisher().publish(DEAD, vec![original]).await.unwrap();
    let again = line.take(DEAD).await;
    assert_eq!(again.raw_properties, given.encode().unwrap());
    assert_eq!(again.body, b"the body");
    assert_eq!((again.exchange.as_str(), again.routing_key.as_str()), ("", DEAD));
}

#[tokio::test]
async fn a_dead_letter_says_why_and_a_replay_says_nothing() {
    let mut line = Line::on(RabbitServer::shared().await.unwrap()).await;
    line.client.declare_queue("copies", &Table::new()).await.unwrap();
    let delivery = line.send(&every_property(), b"the body").await;
    let original = line.original(&delivery);
    assert_eq!(bodies(&mut line.client, "copies").await.len(), 1, "by its producer");

    let place = line.place();
    place.check().await.unwrap();
    place.keep(vec![letter(original.clone())]).await.unwrap();
    let dead = line.take(DEAD).await;
    let said = every_type()
        .with("gristmill-condition", Field::text(CONDITION))
        .with("gristmill-invocation-record", Field::text(RECORD))
        .with("gristmill-original-expiration", Field::text("600000"));
    assert_eq!(dead.raw_properties, published(said).encode().unwrap());
    assert_eq!(dead.body, b"the body");

    line.publishing.publisher().publish(DEAD, vec![original]).await.unwrap();
    let again = line.take(DEAD).await;
    assert_eq!(again.raw_properties, published(every_type()).encode().unwrap());
    assert!(bodies(&mut line.client, "copies").await.is_empty(), "nothing goes there again");
}

#[tokio::test]
async fn another_users_id_is_told_in_a_header() {
    let server = RabbitServer::start().await.unwrap();
    let mut line = Line::on(&server).await;
    server.add_user("producer", "producer").await.unwrap();
    server.set_permissions(&line.virtual_host, "producer", ["", ".*", ""]).await.unwrap();
    let port = server.amqp_port();
    let mut producer =
        Client::connect_as(port, &line.virtual_host, "producer", "producer").await.unwrap();
    let given = Properties { user_id: text("producer"), ..Properties::default() };
    producer.publish(QUEUE, &given, b"a").await.unwrap();
    let delivery = line.receive().await;
    let original = line.original(&delivery);
    line.place().keep(vec![letter(original.clone())]).await.unwrap();
    let dead = line.take(DEAD).await.properties;
    assert_eq!(dead.user_id, None);
    let said = dead.headers.unwrap();
    assert_eq!(said.get("gristmill-original-user-id"), Some(&Field::text("producer")));

    // Published by that user itself, it stays.
    let own = broker(port, &line.virtual_host, "producer");
    own.dead_letter_queue(DEAD).keep(vec![letter(original)]).await.unwrap();
    let dead = line.take(DEAD).await.properties;
    assert_eq!(dead.user_id, text("producer"));
    assert_eq!(dead.headers.unwrap().get("gristmill-original-user-id"), None);
}

#[tokio::test]
async fn a_bare_message_stays_bare_and_a_settled_one_has_no_original() {
    let mut line = Line::on(RabbitServer::shared().await.unwrap()).await;
    let delivery = line.send(&Properties::default(), b"").await;
    let original = line.original(&delivery);
    line.publishing.publisher().publish(DEAD, vec![original]).await.unwrap();
    let again = line.take(DEAD).await;
    assert_eq!((again.properties, again.body), (Properties::persistent(), Vec::new()));

    let original = |line: &Line, delivery: &gristmill_broker::Delivery| {
        line.source.original(delivery.token, Some(&delivery.message))
    };
    assert_eq!(line.source.original(delivery.token, None), None);
    line.source.settle(Settlement::Ack, &[delivery.token]).await;
    assert_eq!(original(&line, &delivery), None);
    let delivery = line.send(&Properties::default(), b"").await;
    line.source.close().await;
    assert_eq!(original(&line, &delivery), None);
    line.source.subscribe().await.unwrap();
    assert_eq!(original(&line, &delivery), None);
}

/// 131,072 bytes, of which a frame of a content header takes 20 itself (AMQP 0-9-1, 4.2.6.1).
#[tokio::test]
async fn what_is_said_is_left_out_of_a_frame_that_is_full() {
    let mut line = Line::on(RabbitServer::shared().await.unwrap()).await;
    let place = line.place();
    let given = |bytes: usize| Properties {
        headers: Some(Table::new().with("large", Field::LongString(vec![b'x'; bytes]))),
        ..Properties::persistent()
    };
    let beside = given(0).encode().unwrap().len();
    let most = 131_072 - 20 - beside;
    let condition = 1 + "gristmill-condition".len() + 1 + 4 + CONDITION.len();
    let record = 1 + "gristmill-invocation-record".len() + 1 + 4 + RECORD.len();
    for (bytes, expected) in [
        (most - condition - record, [true, true]),
        (most - condition - record + 1, [true, false]),
        (most - condition + 1, [false, false]),
        (most, [false, false]),
    ] {
        let delivery = line.send(&given(bytes), b"body").await;
        let original = line.original(&delivery);
        place.keep(vec![letter(original)]).await.unwrap();
        let headers = line.take(DEAD).await.properties.headers.unwrap();
        let said = ["gristmill-condition", "gristmill-invocation-record"];
        assert_eq!(said.map(|name| headers.get(name).is_some()), expected, "{bytes}");
        assert!(headers.get("large") == Some(&Field::LongString(vec![b'x'; bytes])));
    }

    // What fills a frame without a delivery mode has no room for one. The others are not sent either,
    // or they would be again each time.
    let full = Properties { delivery_mode: None, ..given(most + 1) };
    let delivery = line.send(&full, b"body").await;
    let unsendable = letter(line.original(&delivery));
    let mut letters = line.letters(&["a"]).await;
    letters.push(unsendable);
    let error = place.keep(letters.clone()).await.unwrap_err();
    assert!(matches!(error, KeepError::Unsendable { .. }), "{error}");
    letters.pop();
    place.keep(letters).await.unwrap();
    assert_eq!(bodies(&mut line.client, DEAD).await, ["a"]);
}
