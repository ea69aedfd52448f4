//! Messages that no event can show: each is told apart with its reason, disturbs no other, and when it
//! is given up arrives in the dead-letter queue whole.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use activemq_openwire::connection::ConsumerOptions;
use activemq_openwire::structures::{Destination, Message as Raw};
use activemq_openwire::{Opaque, Outgoing};
use gristmill_broker::{Defect, Settlement, Source, Unusable};
use gristmill_testkit::activemq::ActiveMqServer;
use gristmill_testkit::jms::{Body, Value};
use miniz_oxide::deflate::compress_to_vec_zlib;

use super::*;

async fn next_unusable(source: &mut ActiveMqSource) -> Unusable {
    match next(source).await {
        Received::Unusable(unusable) => unusable,
        other @ (Received::Delivery(_) | Received::Cancelled) => {
            panic!("expected an unusable message, received {other:?}")
        }
    }
}

/// Messages as they are on the wire, without taking them.
async fn browsed(server: &ActiveMqServer, queue: &str, count: usize) -> Vec<Raw> {
    let client = raw_client(server, &format!("browse-{queue}-{count}")).await;
    let options =
        ConsumerOptions { browses: true, ..ConsumerOptions::new(Destination::queue(queue), 500) };
    let mut consumer = client.session().await.unwrap().consumer(&options).await.unwrap();
    let mut messages = Vec::new();
    while messages.len() < count {
        messages.push(*timeout(LONG, consumer.receive()).await.unwrap().unwrap().message);
    }
    client.close().await;
    messages
}

async fn send_raw(server: &ActiveMqServer, queue: &str, messages: Vec<Raw>) {
    let client = raw_client(server, &format!("send-{queue}")).await;
    let producer = client.session().await.unwrap().producer().await.unwrap();
    for message in messages {
        producer.forward(&Destination::queue(queue), message).await.unwrap();
    }
    client.close().await;
}

fn raw_text(text: &str) -> Raw {
    Outgoing::text(text, SystemTime::now()).into_message().unwrap()
}

/// The four kinds that have no form, and what is said of each.
fn kinds() -> [(Body, &'static str); 4] {
    let map = BTreeMap::from([
        ("text".to_owned(), Value::Text(TEXT.to_owned())),
        ("bytes".to_owned(), Value::Bytes(vec![0, 255])),
        ("half".to_owned(), Value::Char(0xD800)),
    ]);
    let values = vec![Value::Long(i64::MIN), Value::Float(0.5), Value::Text(TEXT.to_owned())];
    [
        (Body::Map(map), "a MapMessage"),
        (Body::Object(Value::Text(TEXT.to_owned())), "an ObjectMessage"),
        (Body::Stream(values), "a StreamMessage"),
        (Body::Nothing, "a Message without a body"),
    ]
}

async fn become_dead_letters_whole(persistent: bool) {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let mut messages = Vec::new();
    for (index, (body, _)) in kinds().into_iter().enumerate() {
        let unusable = jms::Message::new(body).property("shop", Value::Int(7));
        messages.push(jms::Message { persistent, ..unusable });
        messages.push(jms::Message { persistent, ..jms::Message::text(index.to_string()) });
    }
    let ids = peer.send(&queue, &messages).await.unwrap();
    let before = browsed(server, &queue, 8).await;

    let mut source = subscribed(server, &queue, 100).await;
    let (mut usable, mut unusable) = (Vec::new(), Vec::new());
    for (index, (_, name)) in kinds().into_iter().enumerate() {
        let found = next_unusable(&mut source).await;
        assert_eq!(found.message_id.as_deref(), Some(&*ids[index * 2]));
        assert_eq!(found.defect, Defect::Unsupported);
        let reason = format!("it is {name}; send a TextMessage or a BytesMessage instead");
        assert_eq!(found.reason, reason);
        unusable.push(found.token);
        usable.extend(take(&mut source, 1).await);
    }
    assert_eq!(bodies(&usable), ["0", "1", "2", "3"]);
    let cause = "no form in an event";
    assert_eq!(settle(&mut source, Settlement::Reject(cause), &unusable).await, sent(4));
    assert_eq!(settle(&mut source, Settlement::Ack, &tokens(&usable)).await, sent(4));
    wait_for(server, &queue, 0, 0).await;

    let letters = dead_letters(&mut peer, &queue).await;
    assert_eq!(letters.len(), 4);
    for (letter, (body, _)) in letters.iter().zip(kinds()) {
        assert_eq!(letter.body, body);
        assert_eq!(letter.properties["shop"], Value::Int(7));
        let Value::Text(said) = &letter.properties["dlqDeliveryFailureCause"] else { panic!() };
        assert!(said.contains(cause), "{said}");
    }
    let everything = server.queue_counts(DEAD_LETTER_QUEUE).await.unwrap().messages;
    let everything = usize::try_from(everything).unwrap();
    let mut after = browsed(server, DEAD_LETTER_QUEUE, everything).await;
    let origin = Some(Destination::queue(&queue));
    after.retain(|letter| letter.original_destination == origin);
    assert_eq!(after.len(), 4);
    for (before, after) in before.iter().step_by(2).zip(after) {
        assert_eq!((before.kind, &before.content), (after.kind, &after.content));
    }
    source.close().await;
}

#[tokio::test]
async fn persistent_ones_become_dead_letters_whole() {
    become_dead_letters_whole(true).await;
}

#[tokio::test]
async fn others_become_dead_letters_whole_too() {
    become_dead_letters_whole(false).await;
}

#[tokio::test]
async fn a_body_that_inflates_beyond_all_events_is_too_large_at_once() {
    // Of its own, since others look into the bodies of all dead letters.
    let server = &ActiveMqServer::start().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let length: u32 = 50 << 20;
    let zeros = vec![0; length as usize];
    let prefixed = [&length.to_be_bytes()[..], &zeros].concat();
    let text = Raw {
        content: Some(Opaque(compress_to_vec_zlib(&prefixed, 6).into())),
        compressed: true,
        ..raw_text("")
    };
    let bytes = Outgoing::bytes(vec![1], SystemTime::now()).into_message().unwrap();
    let squeezed = compress_to_vec_zlib(&zeros, 6);
    let honest = [&length.to_be_bytes()[..], &squeezed].concat();
    let honest = Raw { content: Some(Opaque(honest.into())), compressed: true, ..bytes.clone() };
    // Says that it is short: what it says counts, and no more of it is inflated.
    let modest = [&3_u32.to_be_bytes()[..], &squeezed].concat();
    let modest = Raw { content: Some(Opaque(modest.into())), compressed: true, ..bytes };
    send_raw(server, &queue, vec![text, honest, modest]).await;
    send_texts(&mut peer, &queue, &["behind"]).await;

    let mut source = subscribed(server, &queue, 100).await;
    let begun = Instant::now();
    let mut unusable = Vec::new();
    for _ in 0..2 {
        let found = next_unusable(&mut source).await;
        assert_eq!(found.defect, Defect::TooLarge);
        let reason = "it cannot be read: the content is longer than 6291456 bytes when inflated";
        assert_eq!(found.reason, reason);
        unusable.push(found.token);
    }
    let taken = take(&mut source, 2).await;
    // A second is what a debug build on a busy machine takes; to inflate all takes many times that.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(bodies(&taken), ["\0\0\0", "behind"]);
    let too_large = Settlement::Reject("RecordTooLarge");
    assert_eq!(settle(&mut source, too_large, &unusable).await, sent(2));
    assert_eq!(settle(&mut source, Settlement::Ack, &tokens(&taken)).await, sent(2));
    wait_for(server, &queue, 0, 0).await;
    source.close().await;
}

#[tokio::test]
async fn what_is_not_what_its_kind_says_is_given_up_like_any_other() {
    let server = &ActiveMqServer::start().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let cut = Raw { content: Some(Opaque(vec![0, 0, 0, 9, b'h'].into())), ..raw_text("") };
    let not_zlib = Raw { compressed: true, ..raw_text("hello") };
    // Properties that are no map do not come so far: the broker refuses them.
    let mut crowded = raw_text("more properties than anybody reads");
    let count: u32 = 70_000;
    let mut properties = count.to_be_bytes().to_vec();
    for number in 0..count {
        // A name of four bytes, and null.
        properties.extend([0, 4]);
        properties.extend(format!("{number:04x}").as_bytes().last_chunk::<4>().unwrap());
        properties.push(0);
    }
    crowded.marshalled_properties = Some(Opaque(properties.into()));
    for persistent in [true, false] {
        let messages = vec![
            Raw { persistent, ..cut.clone() },
            Raw { persistent, ..not_zlib.clone() },
            Raw { persistent, ..crowded.clone() },
        ];
        send_raw(server, &queue, messages).await;
        let behind = jms::Message { persistent, ..jms::Message::text("behind") };
        peer.send(&queue, &[behind]).await.unwrap();
        let mut source = subscribed(server, &queue, 100).await;
        let mut unusable = Vec::new();
        for _ in 0..3 {
            let found = next_unusable(&mut source).await;
            assert_eq!(found.defect, Defect::Unsupported);
            assert!(found.reason.starts_with("it cannot be read: "), "{}", found.reason);
            unusable.push(found.token);
        }
        let taken = take(&mut source, 1).await;
        assert_eq!(bodies(&taken), ["behind"]);
        let unread = Settlement::Reject("unreadable");
        assert_eq!(settle(&mut source, unread, &unusable).await, sent(3), "{persistent}");
        assert_eq!(settle(&mut source, Settlement::Ack, &tokens(&taken)).await, sent(1));
        wait_for(server, &queue, 0, 0).await;
        source.close().await;
    }
}
