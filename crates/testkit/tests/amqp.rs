//! The raw client against a real RabbitMQ: every field type, raw properties, settling.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use gristmill_testkit::amqp::{Client, Field, Properties, Table};
use gristmill_testkit::rabbitmq::RabbitServer;

async fn client_with_queue() -> Client {
    let server = RabbitServer::shared().await.unwrap();
    let vhost = server.test_vhost().await.unwrap();
    let mut client = server.client(&vhost).await.unwrap();
    client.declare_queue("q", &Table::new()).await.unwrap();
    client
}

/// One field of every type, some of them nested.
fn every_field() -> Table {
    let inner = Table::new().with("deep", Field::Array(vec![Field::text("a"), Field::Void]));
    Table::new()
        .with("t", Field::Bool(true))
        .with("b", Field::I8(-128))
        .with("B", Field::U8(255))
        .with("s", Field::I16(-32_768))
        .with("u", Field::U16(65_535))
        .with("I", Field::I32(i32::MIN))
        .with("i", Field::U32(u32::MAX))
        .with("l", Field::I64(i64::MIN))
        .with("f", Field::F32(-0.5))
        .with("d", Field::F64(1e300))
        .with("D", Field::Decimal { scale: 2, value: 12_345 })
        .with("S", Field::LongString(vec![0, 255, b'x']))
        .with("A", Field::Array(vec![Field::I8(1), Field::Array(vec![]), Field::Bool(false)]))
        .with("T", Field::Timestamp(1_700_000_000))
        .with("F", Field::Table(inner))
        .with("V", Field::Void)
        .with("x", Field::Bytes(vec![1, 2, 3]))
}

#[tokio::test]
async fn every_field_type_passes_through_the_broker_unchanged() {
    let mut client = client_with_queue().await;
    let headers = every_field();
    let properties = Properties { headers: Some(headers.clone()), ..Properties::persistent() };
    client.publish("q", &properties, b"body").await.unwrap();
    let message = client.get("q").await.unwrap().unwrap();
    let received = message.properties.headers.unwrap();
    for (name, sent) in &headers.0 {
        assert_eq!(received.get(name), Some(sent), "field {name}");
    }
    assert_eq!((message.body.as_slice(), message.routing_key.as_str()), (b"body".as_slice(), "q"));
}

#[tokio::test]
async fn raw_properties_arrive_byte_for_byte() {
    let mut client = client_with_queue().await;
    // Only message-id, which is not valid UTF-8.
    let raw = [0b0000_0000, 0b1000_0000, 2, 0xFF, 0xFE];
    client.publish_raw("q", &raw, b"").await.unwrap();
    let message = client.get("q").await.unwrap().unwrap();
    assert_eq!(message.raw_properties, raw);
    assert_eq!(message.body, b"");
}

#[tokio::test]
async fn malformed_properties_are_sent_all_the_same() {
    let mut client = client_with_queue().await;
    // Promises headers and has none.
    client.publish_raw("q", &[0b0010_0000, 0], b"x").await.unwrap();
    let error = client.queue_status("q").await.unwrap_err();
    assert!(error.to_string().contains("the broker closed the connection"), "{error:#}");
}

#[tokio::test]
async fn bodies_larger_than_a_frame_are_split_and_joined() {
    let mut client = client_with_queue().await;
    let body: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    client.confirm_select().await.unwrap();
    client.publish("q", &Properties::default(), &body).await.unwrap();
    client.wait_for_confirms().await.unwrap();
    client.consume("q", 1).await.unwrap();
    let delivery = client.next_delivery().await.unwrap();
    assert!(delivery.body == body, "the body has changed");
}

#[tokio::test]
async fn unsettled_deliveries_come_back_and_settled_ones_do_not() {
    let mut client = client_with_queue().await;
    client.confirm_select().await.unwrap();
    for body in [b"0", b"1", b"2", b"3"] {
        client.publish("q", &Properties::default(), body).await.unwrap();
    }
    client.wait_for_confirms().await.unwrap();
    client.consume("q", 0).await.unwrap();
    let mut tags = Vec::new();
    for expected in [b"0", b"1", b"2", b"3"] {
        let delivery = client.next_delivery().await.unwrap();
        assert!(!delivery.redelivered);
        assert_eq!(delivery.body, expected);
        tags.push(delivery.tag);
    }
    client.ack(tags[1], true).await.unwrap();
    client.nack(tags[2], false).await.unwrap();
    client.nack(tags[3], true).await.unwrap();
    let again = client.next_delivery().await.unwrap();
    assert_eq!((again.body.as_slice(), again.redelivered), (b"3".as_slice(), true));
    client.ack(again.tag, false).await.unwrap();
    client.close().await.unwrap();
}

#[tokio::test]
async fn a_purge_and_a_deletion_say_how_many_messages_they_dropped() {
    let mut client = client_with_queue().await;
    client.confirm_select().await.unwrap();
    for _ in 0..3 {
        client.publish("q", &Properties::default(), b"x").await.unwrap();
    }
    client.wait_for_confirms().await.unwrap();
    assert_eq!(client.queue_status("q").await.unwrap().messages, 3);
    assert_eq!(client.purge_queue("q").await.unwrap(), 3);
    client.publish("q", &Properties::default(), b"x").await.unwrap();
    client.wait_for_confirms().await.unwrap();
    assert_eq!(client.delete_queue("q").await.unwrap(), 1);
    assert!(client.get("q").await.is_err());
}
