//! Events as they are written by this host, by AWS Lambda and by the test data of libraries for
//! either, of which the files in `events/` have the shapes.

#![expect(clippy::panic, reason = "a helper's panic fails the test that called it")]

use gristmill_handler::{
    ActiveMqRecord, BasicProperties, BatchItemFailures, Event, EventError, HeaderValue,
    MessageType, Record, RecordErrorReason, RecordSource,
};

const RABBITMQ: &str = include_str!("events/rabbitmq.json");
const RABBITMQ_ODD: &str = include_str!("events/rabbitmq_odd.json");
const DOCUMENTED: &str = include_str!("events/activemq_documented.json");
const OBSERVED: &str = include_str!("events/activemq_observed.json");
const SPARSE: &str = include_str!("events/activemq_sparse.json");

fn properties<'e>(record: &Record<'e>) -> &'e BasicProperties<'e> {
    match record.source() {
        RecordSource::RabbitMq(record) => &record.basic_properties,
        RecordSource::ActiveMq(_) => panic!("a record of RabbitMQ"),
    }
}

fn messages<'e>(event: &'e Event<'e>) -> &'e [ActiveMqRecord<'e>] {
    match event {
        Event::ActiveMq(event) => &event.messages,
        Event::RabbitMq(_) => panic!("an event of ActiveMQ"),
    }
}

#[test]
fn a_rabbitmq_record_has_all_fifteen_properties() {
    let event = Event::parse(RABBITMQ).unwrap();
    assert_eq!(
        event.event_source_arn(),
        Some("arn:aws:mq:eu-west-1:111122223333:broker:bakery:b-1")
    );
    let records: Vec<_> = event.records().collect();
    let [full, empty] = records.as_slice() else { panic!("two records") };

    let of_full = properties(full);
    assert_eq!(of_full.content_type.as_deref(), Some("application/json"));
    assert_eq!(of_full.content_encoding.as_deref(), Some("gzip"));
    assert_eq!(of_full.headers.as_ref().unwrap().len(), 12);
    assert_eq!((of_full.delivery_mode, of_full.priority), (Some(2), Some(255)));
    assert_eq!(of_full.correlation_id.as_deref(), Some("c-1"));
    assert_eq!(of_full.reply_to.as_deref(), Some("answers"));
    assert_eq!(of_full.expiration.as_deref(), Some("60000"));
    assert_eq!(of_full.message_id.as_deref(), Some("m-1"));
    assert_eq!(of_full.timestamp.as_ref().unwrap().unix_seconds(), Some(2_021));
    assert_eq!(of_full.kind.as_deref(), Some("order \"placed\""));
    assert_eq!(of_full.user_id.as_deref(), Some("guest"));
    assert_eq!(of_full.app_id.as_deref(), Some("shop"));
    assert_eq!(of_full.cluster_id.as_deref(), Some("cluster"));
    assert_eq!(of_full.body_size, Some(13));
    assert!(full.redelivered());
    assert_eq!(full.json::<serde_json::Value>().unwrap()["bread"], 2);
    assert_eq!(full.to_string(), "record 0 of orders::/ (message id m-1)");

    let of_empty = properties(empty);
    assert!(of_empty.headers.as_ref().unwrap().is_empty());
    assert_eq!((of_empty.delivery_mode, of_empty.priority), (None, None));
    assert!(of_empty.timestamp.is_none() && of_empty.message_id.is_none());
    assert_eq!((empty.data().unwrap(), empty.redelivered()), (Vec::new(), false));
    assert_eq!(empty.to_string(), "record 1 of orders::/ (message id none)");
}

#[test]
fn headers_are_what_their_types_are() {
    let event = Event::parse(RABBITMQ).unwrap();
    let first = event.records().next().unwrap();
    let headers = properties(&first).headers.as_ref().unwrap();
    let value = |name| headers.get(name).unwrap();
    assert_eq!(headers.text("tenant"), Some("Zoë"));
    assert_eq!(value("attempt").integer(), Some(10));
    assert_eq!(value("largest").integer(), Some(i64::MAX));
    assert_eq!(value("beyond 2^53").integer(), Some(9_007_199_254_740_993));
    assert_eq!(*value("half"), HeaderValue::Number(0.5));
    assert_eq!(*value("flag"), HeaderValue::Boolean(true));
    let HeaderValue::Date(since) = value("since") else { panic!("a date") };
    assert_eq!(since.unix_seconds(), Some(1_688_261_434));
    assert_eq!(*value("raw"), HeaderValue::ByteArray(vec![0, 127, 128, 255]));
    let HeaderValue::Array(list) = value("list") else { panic!("an array") };
    let expected = [
        HeaderValue::Integer(1),
        HeaderValue::LongString(b"a".to_vec()),
        HeaderValue::Null,
        HeaderValue::Array(Vec::new()),
    ];
    assert_eq!(*list, expected);
    let HeaderValue::Table(table) = value("table") else { panic!("a table") };
    let HeaderValue::Table(inner) = table.get("inner").unwrap() else { panic!("a table") };
    assert!(matches!(inner.get("deeper"), Some(HeaderValue::Table(table)) if table.is_empty()));
    assert_eq!(*value("nothing"), HeaderValue::Null);
    let HeaderValue::Table(not_text) = value("bytes") else { panic!("a table") };
    assert_eq!(not_text.len(), 2);
    assert!(headers.get("other").is_none());
    assert_eq!(headers.iter().next().unwrap().0, "tenant");
}

#[test]
fn an_array_of_small_integers_is_bytes_and_still_has_its_elements() {
    let value = HeaderValue::ByteArray(vec![1, 255]);
    let expected = [HeaderValue::Integer(1), HeaderValue::Integer(-1)];
    assert_eq!(value.elements().unwrap().as_ref(), expected);
}

#[test]
fn records_stand_in_the_order_of_the_text() {
    let event = Event::parse(RABBITMQ_ODD).unwrap();
    let told: Vec<_> = event
        .records()
        .map(|record| (record.item_identifier(), record.position_in_queue(), record.queue()))
        .collect();
    let expected = [
        ("#0".to_owned(), 0, "zwieback::kitchen"),
        ("#1".to_owned(), 0, "a::b::/"),
        ("#2".to_owned(), 1, "a::b::/"),
    ];
    assert_eq!(told, expected);
    let Event::RabbitMq(event) = &event else { panic!("an event of RabbitMQ") };
    let names: Vec<_> =
        event.queues.iter().map(|queue| (queue.name(), queue.virtual_host())).collect();
    let expected = [("zwieback", Some("kitchen")), ("a::b", Some("/")), ("empty", Some("/"))];
    assert_eq!(names, expected);
}

#[test]
fn odd_spellings_are_read_as_well() {
    let event = Event::parse(RABBITMQ_ODD).unwrap();
    let records: Vec<_> = event.records().collect();
    let [odd, nulls, bare] = records.as_slice() else { panic!("three records") };
    let of_odd = properties(odd);
    assert_eq!(of_odd.headers.as_ref().unwrap().text("unsigned"), Some("ë"));
    assert_eq!(of_odd.expiration.as_deref(), Some("60000"));
    assert_eq!(of_odd.delivery_mode, Some(2));
    assert_eq!(odd.message_id(), Some("7"));
    assert_eq!(odd.data().unwrap(), [0, 255]);
    assert_eq!(*properties(nulls), BasicProperties::default());
    assert!(!nulls.redelivered());
    assert_eq!((nulls.text().unwrap(), bare.text().unwrap()), ("!".to_owned(), "#".to_owned()));
}

#[test]
fn both_profiles_of_activemq_are_the_same_event() {
    let documented = Event::parse(DOCUMENTED).unwrap();
    assert_eq!(documented, Event::parse(OBSERVED).unwrap());
    let [text, bytes] = messages(&documented) else { panic!("two messages") };
    assert_eq!(text.message_id.as_deref(), Some("ID:bakery-1:1:1:1:1"));
    assert_eq!(text.message_type, Some(MessageType::Text));
    assert_eq!((text.delivery_mode, text.priority), (Some(1), Some(1)));
    assert_eq!((text.reply_to.as_deref(), text.kind.as_deref()), (None, None));
    assert_eq!((text.expiration, text.redelivered), (Some(60_000), false));
    assert_eq!(text.correlation_id.as_deref(), Some("c-1"));
    assert_eq!(text.destination.as_deref(), Some("orders"));
    assert_eq!(text.timestamp, Some(1_598_827_811_958));
    assert_eq!(text.broker_in_time, Some(1_598_827_811_959));
    assert_eq!(text.broker_out_time, Some(1_598_827_811_960));
    assert_eq!(text.properties.get("isFresh"), Some("false"));
    assert_eq!(text.properties.len(), 2);

    assert_eq!(bytes.message_type, Some(MessageType::Bytes));
    assert_eq!(bytes.reply_to.as_deref(), Some("queue://answers"));
    assert_eq!((bytes.kind.as_deref(), bytes.correlation_id.as_deref()), (Some("order"), None));
    assert!(bytes.properties.is_empty() && bytes.redelivered);

    let record = documented.records().nth(1).unwrap();
    assert_eq!(record.data().unwrap(), [0, 255]);
    assert_eq!((record.queue(), record.position()), ("orders", 1));
    assert_eq!(record.to_string(), "record 1 of orders (message id ID:bakery-1:1:1:1:2)");
}

#[test]
fn a_sparse_record_of_activemq_is_read() {
    let event = Event::parse(SPARSE).unwrap();
    let [first, second] = messages(&event) else { panic!("two messages") };
    assert!(
        matches!(&first.message_type, Some(MessageType::Other(kind)) if kind == "jms/map-message")
    );
    assert_eq!((first.delivery_mode, first.expiration), (None, None));
    assert_eq!(first.destination.as_deref(), Some("orders"));
    let properties: Vec<_> = first.properties.iter().collect();
    assert_eq!(properties, [("number", "7"), ("flag", "true")]);
    assert_eq!(second.reply_to.as_deref(), Some("answers"));
    assert!(second.message_id.is_none() && second.destination.is_none());
    let record = event.records().nth(1).unwrap();
    assert_eq!(record.to_string(), "record 1 of  (message id none)");
}

#[test]
fn what_is_wrong_with_an_event_is_told() {
    for (text, says) in [
        ("", "EOF while parsing"),
        ("[]", "invalid type: sequence, expected an object with messages"),
        ("{}", "it has neither `rmqMessagesByQueue` nor `messages`"),
        (r#"{"eventSource":"aws:sqs","Records":[]}"#, r#"its source is "aws:sqs""#),
        (r#"{"messages":[],"rmqMessagesByQueue":{}}"#, "it has both"),
        (r#"{"messages":[],"messages":[]}"#, "it has `messages` twice"),
        (r#"{"rmqMessagesByQueue":{"q::/":[],"q::/":[]}}"#, "it has a queue twice"),
        (r#"{"messages":null}"#, "expected a list of records"),
        (r#"{"messages":[]} x"#, "trailing characters"),
        (r#"{"messages":[{"data":"","priority":256}]}"#, "record 0 of messages: a property"),
        (r#"{"messages":[{"data":""},{"data":7}]}"#, "record 1 of messages: invalid type"),
        (r#"{"rmqMessagesByQueue":{"q::/":[{}]}}"#, "record 0 of q::/: missing field `data`"),
        (r#"{"rmqMessagesByQueue":{"q::/":[null]}}"#, "record 0 of q::/: invalid type: null"),
        (
            r#"{"rmqMessagesByQueue":{"q::/":[],"r::/":[{"data":"","basicProperties":{"appId":[]}}]}}"#,
            "record 0 of r::/: invalid type: sequence, expected a string",
        ),
    ] {
        let error = Event::parse(text).unwrap_err().to_string();
        let start = "the event is not one of RabbitMQ or ActiveMQ messages: ";
        assert!(error.starts_with(start) && error.contains(says), "{text}: {error}");
    }
    let error = Event::parse(r#"{"rmqMessagesByQueue":{"q::/":[{"data":""},{}]}}"#).unwrap_err();
    let EventError::Record { queue, position, .. } = error else { panic!("{error}") };
    assert_eq!((queue.as_deref(), position), (Some("q::/"), 1));
}

#[test]
fn what_is_wrong_with_a_body_is_told_with_its_record() {
    let event = r#"{"rmqMessagesByQueue":{"q::/":[
        {"data":"?"},{"data":"/w==","basicProperties":{"messageId":"m-1"}},{"data":"e30"}]}}"#;
    let event = Event::parse(event).unwrap();
    let records: Vec<_> = event.records().collect();
    let [not_base64, not_text, not_padded] = records.as_slice() else { panic!("three records") };
    let error = not_base64.text().unwrap_err();
    assert!(matches!(error.reason(), RecordErrorReason::Base64(_)));
    let says = "record 0 of q::/ (message id none): its data is not base64: ";
    assert!(error.to_string().starts_with(says), "{error}");
    let error = not_text.text().unwrap_err();
    assert!(matches!(error.reason(), RecordErrorReason::Utf8(_)));
    let says = "record 1 of q::/ (message id m-1): its body is not text: ";
    assert!(error.to_string().starts_with(says), "{error}");
    let error = not_text.json::<u8>().unwrap_err();
    assert!(matches!(error.reason(), RecordErrorReason::Json(_)));
    assert_eq!(error.position(), 1);
    assert!(not_padded.data().is_err());
}

#[test]
fn deep_and_odd_texts_end_in_an_error() {
    let deep = |open: &str| {
        let headers = open.repeat(100_000);
        format!(r#"{{"rmqMessagesByQueue":{{"q":[{{"basicProperties":{{"headers":{headers}"#)
    };
    for text in [deep(r#"{"a":"#), deep("["), "[".repeat(100_000), "\u{feff}\u{feff}{}".to_owned()]
    {
        assert!(Event::parse(&text).is_err());
    }
}

/// Header names are a producer's choice, also the one that serde_json has for numbers.
#[test]
fn no_header_makes_an_event_unreadable() {
    for (headers, is_table) in [
        (r#"{"$serde_json::private::Number":"7"}"#, false),
        (r#"{"$serde_json::private::Number":"x"}"#, true),
        (r#"{"$serde_json::private::Number":{"bytes":[49]}}"#, true),
        (r#"{"bytes":{"bytes":[49]}}"#, true),
        (r#"{"bytes":[256]}"#, true),
        (r#"{"bytes":null}"#, true),
        (r#"{"":1,"":2}"#, true),
    ] {
        let event =
            r#"{"rmqMessagesByQueue":{"q":[{"data":"","basicProperties":{"headers":{"h":?}}}]}}"#
                .replace('?', headers);
        let event = Event::parse(&event).unwrap();
        let record = event.records().next().unwrap();
        let value = properties(&record).headers.as_ref().unwrap().get("h").unwrap();
        assert_eq!(matches!(value, HeaderValue::Table(_)), is_table, "{headers}: {value:?}");
    }
}

#[test]
fn escapes_are_read_in_every_place() {
    let event = r#"{"rmqMessagesByQueue":{"q\u002f::\/":[{"data":"e30\u003d","basicProperties":
        {"messageId":"\ud83c\udf55","headers":{"\u0061":"x\ty"}}}]}}"#;
    let event = Event::parse(event).unwrap();
    let record = event.records().next().unwrap();
    assert_eq!((record.queue(), record.message_id()), ("q/::/", Some("🍕")));
    assert_eq!(record.text().unwrap(), "{}");
    assert_eq!(properties(&record).headers.as_ref().unwrap().text("a"), Some("x\ty"));
}

#[test]
fn a_printed_event_does_not_show_bodies() {
    let event = Event::parse(DOCUMENTED).unwrap();
    let printed = format!("{event:?}");
    assert!(printed.contains("8 bytes of base64") && !printed.contains("YnJlYWQ"), "{printed}");
}

#[test]
fn a_response_names_records_by_their_place() {
    let event = Event::parse(RABBITMQ_ODD).unwrap();
    let mut failures = BatchItemFailures::new();
    assert_eq!((failures.to_json(), failures.len()), (r#"{"batchItemFailures":[]}"#.to_owned(), 0));
    assert_eq!(BatchItemFailures::new().into_response(), None);
    failures.extend(event.records().skip(1));
    failures.push_identifier("say \"hi\"");
    let expected = r##"{"batchItemFailures":[{"itemIdentifier":"#1"},{"itemIdentifier":"#2"},{"itemIdentifier":"say \"hi\""}]}"##;
    assert_eq!(failures.into_response().as_deref(), Some(expected));
}
