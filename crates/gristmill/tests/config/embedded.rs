//! A broker in the host itself: its queues, and what it has no notion of.

use gristmill::config::{BrokerKind, EmbeddedQueueConfig, OnFailure};
use insta::assert_snapshot;

use super::{parse, refused};

/// A file with an embedded broker and one mapping on it, with more keys in both.
fn file(broker: &str, mapping: &str) -> String {
    format!(
        "[broker.here]\ntype = 'embedded'\n{broker}\n\
         [function.f]\ncomponent = 'f.wasm'\n\
         [mapping.m]\nbroker = 'here'\nqueue = 'orders'\nfunction = 'f'\n{mapping}\n"
    )
}

#[test]
fn a_mapping_that_sets_nothing_has_the_defaults_of_rabbitmq_and_no_delivery_limit() {
    let config = parse(&file("", ""));
    let mapping = &config.mappings["m"];
    assert_eq!(mapping.maximum_concurrency.get(), 1);
    assert_eq!((mapping.maximum_retry_attempts, mapping.delivery_limit), (None, None));
    assert_eq!(
        (&mapping.on_failure, mapping.virtual_host.as_deref()),
        (&OnFailure::Store, Some("/"))
    );
    let BrokerKind::Embedded(embedded) = &config.brokers["here"].kind else { panic!() };
    assert_eq!((embedded.bytes_max, embedded.http_publish), (1 << 30, false));
    assert_eq!(config.advice(), Vec::<String>::new());
}

#[test]
fn a_queue_is_there_when_somebody_names_it() {
    let broker = "size_max = '10MiB'\nhttp_publish = true\n\
                  queues.orders = { dead_letter_queue = 'later', message_ttl = '1h', priority_max = 9 }\n\
                  queues.\"with a dot.\" = {}";
    let other = "on_failure = 'queue:failed'\n\
                 [mapping.n]\nbroker = 'here'\nqueue = 'mail'\nfunction = 'f'\non_failure = 'store'";
    let config = parse(&file(broker, other));
    let queues = config.embedded_queues("here");
    let names: Vec<&str> = queues.keys().map(String::as_str).collect();
    assert_eq!(names, ["failed", "later", "mail", "orders", "with a dot."]);
    let EmbeddedQueueConfig { dead_letter_queue, message_ttl, priority_max } = &queues["orders"];
    assert_eq!((dead_letter_queue.as_deref(), *priority_max), (Some("later"), 9));
    assert_eq!(message_ttl.map(|ttl| ttl.as_secs()), Some(3_600));
    assert_eq!(queues["mail"], EmbeddedQueueConfig::default());
    assert!(config.embedded_queues("nowhere").is_empty());
    let unheard = parse(&file(broker, "on_failure = 'broker'"));
    assert_snapshot!(unheard.advice().join("\n"), @"broker.here has `http_publish`, and the host listens nowhere; set `listen` in [host]");
}

#[test]
fn the_example_of_the_page_is_one() {
    let page = include_str!("../../../../docs/embedded-queue.md");
    let (_, example) = page.split_once("```toml\n").unwrap();
    let config = parse(example.split_once("```").unwrap().0);
    let names: Vec<String> = config.embedded_queues("here").into_keys().collect();
    assert_eq!((names, config.advice()), (vec!["failed".to_owned(), "orders".to_owned()], vec![]));
}

#[test]
fn what_an_embedded_broker_has_no_notion_of_is_refused() {
    let broker =
        "url = 'amqp://h'\ncredentials = 'env:X'\ntls = {}\nconsumer_timeout = '1h'\nqueue = {}";
    assert_snapshot!(refused(&file(broker, "virtual_host = '/'\ndelivery_limit = 3")), @r#"
    gristmill.toml:3: broker.here.url: is for brokers elsewhere; one of the type "embedded" is in the host itself: take it out
    gristmill.toml:4: broker.here.credentials: is for brokers elsewhere; one of the type "embedded" is in the host itself: take it out
    gristmill.toml:5: broker.here.tls: is for brokers elsewhere; one of the type "embedded" is in the host itself: take it out
    gristmill.toml:6: broker.here.consumer_timeout: is for brokers elsewhere; one of the type "embedded" is in the host itself: take it out
    gristmill.toml:7: broker.here.queue: unknown key; did you mean `queues`?
    gristmill.toml:14: mapping.m.virtual_host: is for brokers of the type "rabbitmq"; an embedded one has no virtual hosts: take it out
    gristmill.toml:15: mapping.m.delivery_limit: is for brokers of the type "rabbitmq"; an embedded queue takes a message back as often as need be: take it out, and bound the tries by `maximum_retry_attempts`
    "#);
    let elsewhere =
        "[broker.b]\ntype = 'rabbitmq'\nurl = 'amqp://h'\nsize_max = '1MiB'\nqueues = {}";
    assert_snapshot!(refused(elsewhere), @r#"
    gristmill.toml:4: broker.b.size_max: is for the type "embedded"; take it out
    gristmill.toml:5: broker.b.queues: is for the type "embedded"; take it out
    "#);
}

#[test]
fn dead_letters_that_would_be_deleted_or_come_again_are_refused() {
    assert_snapshot!(refused(&file("", "on_failure = 'broker'")), @r#"gristmill.toml:6: mapping.m: its `on_failure` is "broker", and the queue "orders" has no `dead_letter_queue`, so what is given up would be deleted; set one in [broker.here.queues."orders"], or write "store" or "queue:NAME""#);
    let queues = "queues.orders = { dead_letter_queue = 'orders', message_ttl = '1ms', priority_max = 256, \
                  max = 1 }\nqueues.\"\" = {}";
    assert_snapshot!(refused(&file(queues, "on_failure = 'queue:orders'")), @r#"
    gristmill.toml:3: broker.here.queues.orders: its dead letters would come again; name another `dead_letter_queue`
    gristmill.toml:3: broker.here.queues.orders.message_ttl: 1ms is out of range; it has to be between 1s and 8760h
    gristmill.toml:3: broker.here.queues.orders.priority_max: 256 is out of range; it has to be between 0 and 255
    gristmill.toml:3: broker.here.queues.orders.max: unknown key; choose from `dead_letter_queue`, `message_ttl`, `priority_max`
    gristmill.toml:4: broker.here.queues."": the queue's name is empty, but has to be 1 to 255 bytes long
    gristmill.toml:11: mapping.m.on_failure: names the queue that the messages come from, so they would come again; write another one
    "#);
}
