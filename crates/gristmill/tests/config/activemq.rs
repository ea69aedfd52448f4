//! Brokers of ActiveMQ and mappings on them: defaults of their own, and keys that they have not.
//!
//! What must never happen: a key that means nothing to ActiveMQ is passed over.

use gristmill::config::{BrokerKind, Config, EventProfile, OnFailure};
use insta::{assert_debug_snapshot, assert_snapshot};

use crate::{parse, refused, refused_values_on};

const PLAIN: [&str; 2] = ["type = 'activemq'", "url = 'tcp://h'"];

/// A file with one mapping on an ActiveMQ, whose sections have these keys beside those they need.
fn file(broker: &str, mapping: &str) -> String {
    format!(
        "[broker.amq]\ntype = 'activemq'\nurl = 'tcp://h'\n{broker}\n\
         [function.f]\ncomponent = 'f.wasm'\n\
         [mapping.m]\nbroker = 'amq'\nqueue = 'q'\nfunction = 'f'\n{mapping}\n"
    )
}

#[test]
fn a_broker_and_its_mapping_that_set_nothing_have_the_defaults_of_activemq() {
    let config = parse(&file("", ""));
    assert_debug_snapshot!(config.brokers["amq"], @r#"
    BrokerConfig {
        arn: None,
        kind: ActiveMq {
            remote: RemoteConfig {
                addresses: [
                    Address {
                        host: "h",
                        port: 61616,
                    },
                ],
                tls: None,
                credentials: None,
                heartbeat: 10s,
                ignored_options: {},
            },
            event_profile: Documented,
        },
    }
    "#);
    assert_debug_snapshot!(config.mappings["m"], @r#"
    MappingConfig {
        broker: "amq",
        queue: "q",
        virtual_host: None,
        function: "f",
        batch_size: 100,
        maximum_batching_window: 500ms,
        maximum_concurrency: 5,
        prefetch: 600,
        maximum_retry_attempts: Some(
            5,
        ),
        maximum_record_age: None,
        delivery_limit: None,
        on_failure: Broker,
        bisect_batch_on_function_error: false,
        report_batch_item_failures: false,
        enabled: true,
        uuid: None,
    }
    "#);
    assert_eq!(config.advice(), Vec::<String>::new());
}

#[test]
fn what_is_written_is_taken() {
    let broker = "credentials = 'env:AMQ'\narn = 'arn:aws:mq:x'\nheartbeat = '20s'\n\
                  event_profile = 'observed'";
    let mapping = "maximum_concurrency = 1000\nbatch_size = 10_000\nmaximum_retry_attempts = -1\n\
                   maximum_record_age = '1h'\non_failure = 'broker'\nmaximum_batching_window = '5m'";
    let config = parse(&file(broker, mapping));
    let broker = &config.brokers["amq"];
    let BrokerKind::ActiveMq { remote, event_profile } = &broker.kind else { panic!("{broker:?}") };
    assert_eq!((remote.heartbeat.as_secs(), *event_profile), (20, EventProfile::Observed));
    let mapping = &config.mappings["m"];
    assert_eq!(mapping.prefetch.get(), 65_535);
    assert_eq!(mapping.maximum_retry_attempts, None);
    assert_eq!(mapping.maximum_record_age.map(|age| age.as_secs()), Some(3600));
    assert_eq!(mapping.on_failure, OnFailure::Broker);
    assert_eq!(parse(&file("event_profile = 'documented'", "")), parse(&file("", "")));
}

/// There is always a place for what is given up.
#[test]
fn limits_need_no_place() {
    let config = parse(&file("", "maximum_retry_attempts = 0\nmaximum_record_age = '60s'"));
    assert_eq!(config.mappings["m"].maximum_retry_attempts, Some(0));
    assert_eq!(config.mappings["m"].on_failure, OnFailure::Broker);
}

#[test]
fn the_other_kinds_keys_are_refused_with_the_reason() {
    let text =
        file("consumer_timeout = '1h'", "virtual_host = '/'\ndelivery_limit = 20\nprefech = 1");
    assert_snapshot!(refused(&text), @r#"
    gristmill.toml:4: broker.amq.consumer_timeout: is for the type "rabbitmq"; ActiveMQ lets a consumer leave a message unsettled for as long as it is connected: take it out
    gristmill.toml:11: mapping.m.virtual_host: is for brokers of the type "rabbitmq"; ActiveMQ has no virtual hosts: take it out
    gristmill.toml:12: mapping.m.delivery_limit: is for brokers of the type "rabbitmq"; ActiveMQ takes a message back as often as need be: take it out, and bound the tries by `maximum_retry_attempts`
    gristmill.toml:13: mapping.m.prefech: unknown key; did you mean `prefetch`?
    "#);
    let text = "[broker.b]\ntype = 'rabbitmq'\nurl = 'amqp://h'\nevent_profile = 'documented'";
    assert_snapshot!(refused(text), @r#"gristmill.toml:4: broker.b.event_profile: is for the type "activemq", whose event is spelt in two ways; that of RabbitMQ has one form: take it out"#);
}

/// Of a broker that has a type and another problem, the mappings are read by the rules of that type;
/// without a type, the keys of both are passed over.
#[test]
fn a_broken_broker_does_not_hide_what_is_wrong_with_its_mappings() {
    let broken = file("", "virtual_host = '/'\nqueue = ''")
        .replace("queue = 'q'\n", "")
        .replace("url = 'tcp://h'", "url = 'tcp://'");
    assert_snapshot!(refused(&broken), @r#"
    gristmill.toml:3: broker.amq.url: has no host; write tcp://HOST:PORT
    gristmill.toml:10: mapping.m.virtual_host: is for brokers of the type "rabbitmq"; ActiveMQ has no virtual hosts: take it out
    gristmill.toml:11: mapping.m.queue: is empty, but has to be 1 to 65535 bytes long
    "#);
    let untyped =
        file("consumer_timeout = 1\nevent_profile = 1", "virtual_host = '/'\ndelivery_limit = 3")
            .replace("type = 'activemq'", "type = 'activmq'");
    assert_snapshot!(refused(&untyped), @r#"gristmill.toml:2: broker.amq.type: this version has no broker type "activmq"; did you mean `activemq`?"#);
}

#[test]
fn values_out_of_range_or_type() {
    let values = ["'observd'", "'x'", "1"];
    assert_snapshot!(refused_values_on(PLAIN, "broker.b", "event_profile", &values), @r#"
    'observd': there is no event profile "observd"; did you mean `observed`?
    'x': there is no event profile "x"; choose from `documented`, `observed`
    1: is an integer, but has to be a string
    "#);
    let values = ["'0s'", "'1s500ms'", "'2h'"];
    assert_snapshot!(refused_values_on(PLAIN, "broker.b", "heartbeat", &values), @"
    '0s': 0s is out of range; it has to be between 1s and 1h
    '1s500ms': 1s500ms is not whole seconds
    '2h': 2h is out of range; it has to be between 1s and 1h
    ");
    assert_snapshot!(refused_values_on(PLAIN, "mapping.m", "maximum_retry_attempts", &["10001"]), @"10001: 10001 is out of range; it has to be between 0 and 10000, or -1 for no limit");
    let values = ["'queue:q'", "'queue:'", "'queue:a.>'", "'queue:a?b=c'", "'queue:topic://t'"];
    assert_snapshot!(refused_values_on(PLAIN, "mapping.m", "on_failure", &values), @"
    'queue:q': names the queue that the messages come from, so they would come again; write another one
    'queue:': the queue's name is empty, but has to be 1 to 65535 bytes long
    'queue:a.>': the queue's name has a wildcard (`*` or `>`), but has to be one queue; write its name, and a mapping for each queue
    'queue:a?b=c': the queue's name has a `?`, behind which ActiveMQ reads options; take it off, and write the mapping's own keys, such as `prefetch`
    'queue:topic://t': the queue's name is a topic, but has to be a queue; write that of a virtual topic's consumer, Consumer.NAME.VirtualTopic.TOPIC
    ");
    assert_snapshot!(refused_values_on(PLAIN, "broker.b", "tls", &["{}"]), @"{}: is for ssl:// only; write that in the URL, or take `tls` out");
}

#[test]
fn queues_that_are_not_one_queue() {
    let long = format!("'{}'", "q".repeat(65_536));
    let values = [
        "''",
        &long,
        "1",
        "'queue://orders'",
        "'topic://orders'",
        "'temp-queue://ID:h-1'",
        "'temp-topic://ID:h-1'",
        "'orders,refunds'",
        "'orders?consumer.prefetchSize=1'",
        "'orders.>'",
        "'*.orders'",
        "'>'",
        "' orders'",
        "'orders '",
    ];
    let said = refused_values_on(PLAIN, "mapping.m", "queue", &values);
    assert_snapshot!(said.replace(&long, "65536 letters"), @"
    '': is empty, but has to be 1 to 65535 bytes long
    65536 letters: is 65536 bytes long, but has to be 1 to 65535
    1: is an integer, but has to be a string
    'queue://orders': begins with queue://; write the name behind it alone
    'topic://orders': is a topic, but has to be a queue; write that of a virtual topic's consumer, Consumer.NAME.VirtualTopic.TOPIC
    'temp-queue://ID:h-1': is temporary, and only the connection that made it may read it; write the name of a queue that stays
    'temp-topic://ID:h-1': is temporary, and only the connection that made it may read it; write the name of a queue that stays
    'orders,refunds': has a `,`, which for ActiveMQ stands between several destinations; write one queue, and a mapping for each
    'orders?consumer.prefetchSize=1': has a `?`, behind which ActiveMQ reads options; take it off, and write the mapping's own keys, such as `prefetch`
    'orders.>': has a wildcard (`*` or `>`), but has to be one queue; write its name, and a mapping for each queue
    '*.orders': has a wildcard (`*` or `>`), but has to be one queue; write its name, and a mapping for each queue
    '>': has a wildcard (`*` or `>`), but has to be one queue; write its name, and a mapping for each queue
    ' orders': begins or ends with a blank, which ActiveMQ takes off; take it off here too
    'orders ': begins or ends with a blank, which ActiveMQ takes off; take it off here too
    ");
}

#[test]
fn names_of_queues_are_taken_as_written() {
    let long = "q".repeat(65_535);
    let names = [
        "orders",
        "Consumer.billing.VirtualTopic.Orders",
        "orders.a*b",
        "a>b",
        "ID:1/2 three",
        "größe",
        "/queue//x",
        &long,
    ];
    for name in names {
        let text = file("", "").replace("queue = 'q'", &format!("queue = '{name}'"));
        assert_eq!(parse(&text).mappings["m"].queue, name);
    }
}

/// RabbitMQ's patience is no limit here.
#[test]
fn window_and_timeout_may_be_as_long_as_they_may() {
    let config = parse(&file("", "maximum_batching_window = '5m'"));
    assert_eq!(config.functions["f"].timeout.as_secs(), 14 * 60);
    assert_eq!(config.mappings["m"].maximum_batching_window.as_secs(), 300);
}

#[test]
fn advice_is_for_the_kind_of_broker() {
    let two = |kind: &str| -> Config {
        parse(&format!(
            "[broker.b]\n{kind}\n[function.f]\ncomponent = 'f.wasm'\n[mapping]\n\
             m = {{ broker = 'b', queue = 'q', function = 'f', on_failure = 'broker' }}\n\
             n = {{ broker = 'b', queue = 'q', function = 'f' }}\n"
        ))
    };
    let activemq = two("type = 'activemq'\nurl = 'tcp://a:hunter2@h'").advice().join("\n");
    assert!(!activemq.contains("hunter"), "{activemq}");
    assert_snapshot!(activemq, @r#"
    broker.b has credentials in its URL, which whoever reads the file can see; put them into an environment variable or a file that `credentials` names
    mapping.m and mapping.n compete for the messages of the queue "q" of broker.b: each message goes to one of them only
    "#);
    let rabbitmq = two("type = 'rabbitmq'\nurl = 'amqp://h'").advice().join("\n");
    assert_snapshot!(rabbitmq, @r#"
    mapping.m and mapping.n compete for the messages of the queue "q" of broker.b (virtual host "/"): each message goes to one of them only
    mapping.m leaves given-up messages to the dead-letter exchange of the queue "q"; make sure that it has one (rabbitmqctl list_queues name arguments policy), for without it they are deleted
    "#);
}

#[test]
fn the_example_of_the_reference_is_accepted() {
    let reference = include_str!("../../../../docs/configuration.md");
    let (_, example) = reference.split_once("```toml\n# ActiveMQ\n").unwrap();
    let config = parse(example.split_once("```").unwrap().0);
    assert_eq!(config.brokers["amazon"].remote().unwrap().addresses.len(), 2);
    assert_eq!(config.mappings["orders"].prefetch.get(), 600);
    assert_eq!(config.advice(), Vec::<String>::new());
}

#[test]
fn what_is_given_up_on_the_queue_of_dead_letters_is_not_left_to_the_broker() {
    let on_dead_letters =
        |keys: &str| file("", keys).replace("queue = 'q'", "queue = 'ActiveMQ.DLQ'");
    let place = |keys: &str| parse(&on_dead_letters(keys)).mappings["m"].on_failure.clone();
    assert_eq!(place(""), OnFailure::Store);
    assert_eq!(place("on_failure = 'queue:dead'"), OnFailure::Queue("dead".to_owned()));
    assert_snapshot!(refused(&on_dead_letters("on_failure = 'broker'")), @r#"gristmill.toml:11: mapping.m.on_failure: is what a broker deletes dead letters by; write "store", or "queue:NAME" with another queue"#);
}
