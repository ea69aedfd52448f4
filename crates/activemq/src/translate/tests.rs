//! What becomes of each kind of message and property.

use activemq_openwire::structures::{Destination, MessageId, ProducerId};
use activemq_openwire::{Opaque, Outgoing};
use std::time::SystemTime;

use super::*;

fn sent(body: Body) -> Message {
    let mut message = Outgoing::new(body, SystemTime::UNIX_EPOCH).into_message().unwrap();
    message.destination = Some(Destination::queue("orders"));
    message
}

fn translated(message: &Message) -> Result<ActiveMqMessage, NoForm> {
    Translator::new().message(message, 0)
}

#[test]
fn everything_that_an_event_shows_is_there() {
    let mut message = sent(Body::Bytes(vec![0, 255].into()));
    message.message_id = Some(MessageId {
        producer_id: Some(ProducerId {
            connection_id: Some("ID:host-1-2-3:4".into()),
            value: 1,
            session_id: 2,
        }),
        producer_sequence_id: 3,
        ..MessageId::default()
    });
    message.reply_to = Some(Destination::topic("answers"));
    message.r#type = Some("order".into());
    message.correlation_id = Some("c-1".into());
    message.expiration = 4;
    message.timestamp = 1;
    message.broker_in_time = 2;
    message.broker_out_time = 3;
    message.priority = 9;
    let shown = Translator::new().message(&message, 1).unwrap();
    assert_eq!(
        shown,
        ActiveMqMessage {
            message_id: "ID:host-1-2-3:4:2:1:3".to_owned(),
            message_type: MessageType::Bytes,
            persistent: true,
            reply_to: Some("topic://answers".to_owned()),
            kind: Some("order".to_owned()),
            expiration: 4,
            priority: 9,
            correlation_id: Some("c-1".to_owned()),
            redelivered: true,
            destination: "orders".into(),
            timestamp: 1,
            broker_in_time: 2,
            broker_out_time: 3,
            properties: Vec::new(),
            body: vec![0, 255].into(),
        }
    );
}

#[test]
fn text_is_utf_8_and_not_copied_where_it_is_so_already() {
    let message = sent(Body::Text(Some("größer".into())));
    let Some(Opaque(content)) = &message.content else { panic!("no content") };
    let shown = translated(&message).unwrap();
    assert_eq!((shown.message_type, &*shown.body), (MessageType::Text, "größer".as_bytes()));
    assert!(content.as_ptr_range().contains(&shown.body.as_ptr()));
    let odd = translated(&sent(Body::Text(Some("a\0🦀".into())))).unwrap();
    assert_eq!(&*odd.body, "a\0🦀".as_bytes());
    let none = translated(&sent(Body::Text(None))).unwrap();
    assert_eq!((none.message_type, none.body.len()), (MessageType::Text, 0));
}

#[test]
fn properties_keep_their_types_and_what_jms_does_not_have_is_left_out() {
    let mut message = sent(Body::Text(None));
    let properties = PrimitiveMap::from_iter([
        ("yes", Value::Bool(true)),
        ("byte", Value::Byte(-1)),
        ("short", Value::Short(-2)),
        ("int", Value::Int(-3)),
        ("long", Value::Long(i64::MIN)),
        ("float", Value::Float(1.5)),
        ("double", Value::Double(0.1)),
        ("char", Value::Char(0x263A)),
        ("half", Value::Char(0xD800)),
        ("text", Value::from("🦀")),
        ("nothing", Value::Null),
        ("bytes", Value::Bytes(vec![1].into())),
        ("list", Value::List(vec![Value::Null])),
    ]);
    message.set_properties(&properties).unwrap();
    let shown = translated(&message).unwrap().properties;
    let text = |text: &str| PropertyValue::String(text.to_owned());
    let expected = [
        ("yes", PropertyValue::Boolean(true)),
        ("byte", PropertyValue::Integer(-1)),
        ("short", PropertyValue::Integer(-2)),
        ("int", PropertyValue::Integer(-3)),
        ("long", PropertyValue::Integer(i64::MIN)),
        ("float", PropertyValue::Float(1.5)),
        ("double", PropertyValue::Double(0.1)),
        ("char", text("☺")),
        ("half", text("\u{FFFD}")),
        ("text", text("🦀")),
        ("nothing", PropertyValue::Null),
        ("bytes", PropertyValue::Null),
        ("list", PropertyValue::Null),
    ];
    assert_eq!(shown, expected.map(|(name, value)| (name.to_owned(), value)));
}

#[test]
fn other_kinds_of_messages_have_no_form_and_say_what_they_are() {
    for (body, name) in [
        (Body::Plain, "a Message without a body"),
        (Body::Map(PrimitiveMap::new()), "a MapMessage"),
        (Body::Stream(Vec::new()), "a StreamMessage"),
        (Body::Object(None), "an ObjectMessage"),
        (Body::Blob, "a BlobMessage"),
    ] {
        let NoForm { defect, reason } = translated(&sent(body)).unwrap_err();
        assert_eq!(defect, Defect::Unsupported);
        assert!(reason.starts_with(&format!("it is {name}; ")), "{reason}");
    }
}

#[test]
fn what_cannot_be_read_has_no_form_either() {
    let mut short = sent(Body::Text(Some("hello".into())));
    short.content = Some(Opaque(vec![0, 0, 0, 9, b'h'].into()));
    let mut squeezed = sent(Body::Text(Some("hello".into())));
    squeezed.compressed = true;
    let mut odd = sent(Body::Text(None));
    odd.marshalled_properties = Some(Opaque(vec![0xFF; 3].into()));
    for message in [short, squeezed, odd] {
        assert_eq!(translated(&message).unwrap_err().defect, Defect::Unsupported);
    }
}

#[test]
fn one_name_is_kept_for_all_messages_of_a_queue() {
    let mut translator = Translator::new();
    let mut message = sent(Body::Text(None));
    message.group_id = Some("g".into());
    let one = translator.message(&message, 0).unwrap().destination;
    let group = translator.group(&message).unwrap();
    let other = translator.message(&message, 0).unwrap().destination;
    assert!(Arc::ptr_eq(&one, &other));
    assert!(Arc::ptr_eq(&group, &translator.group(&message).unwrap()));
    message.destination = Some(Destination::queue("others"));
    message.group_id = None;
    assert_eq!(&*translator.message(&message, 0).unwrap().destination, "others");
    assert_eq!(translator.group(&message), None);
}
