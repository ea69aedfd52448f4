//! What a file becomes: values, defaults, identities, advice.
//!
//! What must never happen: a value differs from what the file says.

use std::time::Duration;

use insta::{assert_debug_snapshot, assert_snapshot};
use uuid::Uuid;

use crate::{FULL, consumer_timeout, parse};
use gristmill::config::{BrokerKind, MappingConfig};

#[test]
fn a_full_file_becomes_a_config_whose_debug_holds_no_secret() {
    let config = parse(FULL);
    assert!(!format!("{config:?}").contains("hunter"));
    assert_debug_snapshot!(config, @r#"
    Config {
        host: HostConfig {
            data_dir: "/var/lib/gristmill",
            region: "eu-central-1",
            account_id: "123456789012",
            drain_timeout: 90s,
            log_format: Json,
            listen: None,
            instances_max: 1000,
            memory_max_bytes: 4294967296,
            dead_letters_bytes_max: 1073741824,
            dead_letters_age_max: None,
            compile_timeout: 300s,
        },
        plugins: None,
        brokers: {
            "local": BrokerConfig {
                arn: None,
                kind: RabbitMq {
                    remote: RemoteConfig {
                        addresses: [
                            Address {
                                host: "::1",
                                port: 5672,
                            },
                        ],
                        tls: None,
                        credentials: Url(
                            Login([hidden]),
                        ),
                        heartbeat: 10s,
                        ignored_options: {},
                    },
                    consumer_timeout: 1800s,
                },
            },
            "shop": BrokerConfig {
                arn: Some(
                    "arn:aws:mq:eu-central-1:123456789012:broker:shop:b-1",
                ),
                kind: RabbitMq {
                    remote: RemoteConfig {
                        addresses: [
                            Address {
                                host: "rabbit.example.com",
                                port: 5673,
                            },
                        ],
                        tls: None,
                        credentials: File(
                            "etc/secrets/shop.json",
                        ),
                        heartbeat: 30s,
                        ignored_options: {},
                    },
                    consumer_timeout: 1800s,
                },
            },
        },
        functions: {
            "order-totals": FunctionConfig {
                component: "etc/plugins/order-totals.wasm",
                timeout: 90s,
                memory_bytes: 1073741824,
                fuel_per_second: 5000000000,
                reserved_concurrency: None,
                instance_reuse: false,
                instance_max_invocations: None,
                trusted: false,
                dropped_in: false,
                environment: {},
                grants: Grants {
                    dirs: [],
                    network: [],
                    http: [],
                },
            },
        },
        mappings: {
            "audit": MappingConfig {
                broker: "local",
                queue: "audit",
                virtual_host: Some(
                    "/",
                ),
                function: "order-totals",
                batch_size: 100,
                maximum_batching_window: 500ms,
                maximum_concurrency: 1,
                prefetch: 200,
                maximum_retry_attempts: None,
                maximum_record_age: None,
                delivery_limit: Some(
                    20,
                ),
                on_failure: Store,
                bisect_batch_on_function_error: false,
                report_batch_item_failures: false,
                enabled: true,
                uuid: None,
            },
            "orders": MappingConfig {
                broker: "shop",
                queue: "orders",
                virtual_host: Some(
                    "sales",
                ),
                function: "order-totals",
                batch_size: 10000,
                maximum_batching_window: 300s,
                maximum_concurrency: 1000,
                prefetch: 500,
                maximum_retry_attempts: None,
                maximum_record_age: None,
                delivery_limit: Some(
                    20,
                ),
                on_failure: Store,
                bisect_batch_on_function_error: false,
                report_batch_item_failures: false,
                enabled: false,
                uuid: Some(
                    8f14e45f-ceea-467f-a8d4-0123456789ab,
                ),
            },
            "refunds": MappingConfig {
                broker: "local",
                queue: "refunds",
                virtual_host: Some(
                    "/",
                ),
                function: "order-totals",
                batch_size: 9000,
                maximum_batching_window: 500ms,
                maximum_concurrency: 1,
                prefetch: 18000,
                maximum_retry_attempts: None,
                maximum_record_age: None,
                delivery_limit: Some(
                    20,
                ),
                on_failure: Store,
                bisect_batch_on_function_error: false,
                report_batch_item_failures: false,
                enabled: true,
                uuid: None,
            },
        },
    }
    "#);
}

#[test]
fn an_empty_file_is_all_defaults() {
    assert_debug_snapshot!(parse("").host, @r#"
    HostConfig {
        data_dir: "etc/data",
        region: "us-east-1",
        account_id: "000000000000",
        drain_timeout: 30s,
        log_format: Text,
        listen: None,
        instances_max: 1000,
        memory_max_bytes: 4294967296,
        dead_letters_bytes_max: 1073741824,
        dead_letters_age_max: None,
        compile_timeout: 300s,
    }
    "#);
}

#[test]
fn the_example_of_the_reference_is_accepted() {
    let reference = include_str!("../../../../docs/configuration.md");
    let (_, example) = reference.split_once("```toml\n").unwrap();
    let config = parse(example.split_once("```").unwrap().0);
    assert_eq!(config.mappings["orders"].prefetch.get(), 300);
    assert_eq!(config.advice(), Vec::<String>::new());
}

#[test]
fn prefetch_holds_the_running_batches_and_one_more_and_never_overflows() {
    let prefetch = |settings: &str| {
        let text = format!(
            "{FULL}more = {{ broker = 'local', queue = 'q', function = 'order-totals', {settings} }}"
        );
        parse(&text).mappings["more"].prefetch.get()
    };
    assert_eq!(prefetch("enabled = true"), 200);
    assert_eq!(prefetch("batch_size = 50, maximum_concurrency = 3"), 200);
    assert_eq!(prefetch("batch_size = 10000, maximum_concurrency = 1000"), 65_535);
    assert_eq!(prefetch("batch_size = 50, prefetch = 7"), 7);
}

#[test]
fn hosts_and_ports_are_read_from_urls() {
    let config = parse(FULL);
    let address = |broker: &str| {
        let address = &config.brokers[broker].remote().unwrap().addresses[0];
        (address.host.clone(), address.port)
    };
    assert_eq!(address("local"), ("::1".to_owned(), 5672));
    assert_eq!(address("shop"), ("rabbit.example.com".to_owned(), 5673));
}

#[test]
fn several_urls_are_one_broker_and_amqps_brings_its_port_and_settings() {
    let text = "[broker.b]\ntype = 'rabbitmq'\n\
                urls = ['amqps://a:hunter2@one', 'amqps://a:hunter2@two:7']\n\
                tls = { ca = 'ca.pem', server_name = 'Broker.test', certificate = 'c.pem', \
                key = '/k.pem' }\nconsumer_timeout = '1h'";
    assert_debug_snapshot!(parse(text).brokers["b"], @r#"
    BrokerConfig {
        arn: None,
        kind: RabbitMq {
            remote: RemoteConfig {
                addresses: [
                    Address {
                        host: "one",
                        port: 5671,
                    },
                    Address {
                        host: "two",
                        port: 7,
                    },
                ],
                tls: Some(
                    TlsConfig {
                        ca: Some(
                            "etc/ca.pem",
                        ),
                        server_name: Some(
                            "broker.test",
                        ),
                        certificate: Some(
                            (
                                "etc/c.pem",
                                "/k.pem",
                            ),
                        ),
                    },
                ),
                credentials: Url(
                    Login([hidden]),
                ),
                heartbeat: 10s,
                ignored_options: {},
            },
            consumer_timeout: 3600s,
        },
    }
    "#);
    let text = "[broker.b]\ntype = 'rabbitmq'\nurl = 'amqps://one'";
    assert_debug_snapshot!(parse(text).brokers["b"].remote().unwrap().tls, @"
    Some(
        TlsConfig {
            ca: None,
            server_name: None,
            certificate: None,
        },
    )
    ");
}

#[test]
fn limits_are_read_and_minus_one_is_none() {
    let limits = |settings: &str| {
        let text = format!(
            "{FULL}more = {{ broker = 'local', queue = 'q', function = 'order-totals', {settings} }}"
        );
        let mapping = parse(&text).mappings["more"].clone();
        let MappingConfig { maximum_retry_attempts, maximum_record_age, delivery_limit, .. } =
            mapping;
        (maximum_retry_attempts, maximum_record_age.map(|age| age.as_secs()), delivery_limit)
    };
    assert_eq!(limits("enabled = true"), (None, None, Some(20)));
    let unlimited = "maximum_retry_attempts = -1, maximum_record_age = -1, delivery_limit = -1";
    assert_eq!(limits(unlimited), (None, None, None));
    let limited = "maximum_retry_attempts = 0, maximum_record_age = '168h', delivery_limit = 3, \
                   on_failure = 'broker'";
    assert_eq!(limits(limited), (Some(0), Some(604_800), Some(3)));
}

#[test]
fn window_and_timeout_just_below_the_consumer_timeout_are_accepted() {
    let config = parse(&consumer_timeout("15m2s", "1s", "14m"));
    let consumer_timeout = Duration::from_secs(902);
    let BrokerKind::RabbitMq { consumer_timeout: read, .. } = config.brokers["b"].kind else {
        panic!()
    };
    assert_eq!(read, consumer_timeout);
}

#[test]
fn identities_depend_on_name_and_data_directory_only() {
    let id = Uuid::from_u128(7);
    let config = parse(FULL);
    assert_snapshot!(config.default_arn("local", id), @"arn:aws:mq:eu-central-1:123456789012:broker:local:b-887be778-65a8-5012-8b73-a42571aa57bd");
    assert_snapshot!(config.mapping_uuid("audit", id), @"030d89a3-69ce-5c67-ab99-8816d299e2ee");
    assert_snapshot!(config.mapping_uuid("orders", id), @"8f14e45f-ceea-467f-a8d4-0123456789ab");
    assert_ne!(config.mapping_uuid("audit", id), config.mapping_uuid("audit", Uuid::from_u128(8)));
}

#[test]
fn advice_names_what_is_seldom_meant() {
    let more = "second = { broker = 'local', queue = 'audit', function = 'order-totals', \
                on_failure = 'broker' }\n\
                third = { broker = 'local', queue = 'orders', function = 'order-totals' }\n\
                [function.idle]\ncomponent = 'idle.wasm'";
    let advice = parse(&format!("{FULL}{more}")).advice().join("\n");
    assert!(!advice.contains("hunter"));
    assert_snapshot!(advice, @r#"
    broker.local has credentials in its URL, which whoever reads the file can see; put them into an environment variable or a file that `credentials` names
    mapping.audit and mapping.second compete for the messages of the queue "audit" of broker.local (virtual host "/"): each message goes to one of them only
    mapping.second leaves given-up messages to the dead-letter exchange of the queue "audit"; make sure that it has one (rabbitmqctl list_queues name arguments policy), for without it they are deleted
    function.idle is used by no mapping, so nothing calls it
    "#);
}

#[test]
fn what_a_function_is_given_is_as_written_and_its_literals_are_hidden() {
    let config = parse(
        r#"
        [function.f]
        component = "f.wasm"
        reserved_concurrency = 3
        instance_max_invocations = 1000
        trusted = true
        environment = { TABLE = "hunter2", TOKEN = "env:F_TOKEN", KEY = "file:f.key" }
        [function.f.allow]
        dirs = [{ host = "in", guest = "/in" }, { host = "/out", guest = "/out", write = true }]
        network = ["DB.local:5432", "[::1]:53"]
        http = ["api.example.com", "localhost:8080"]
        "#,
    );
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_debug_snapshot!(config.functions["f"], @r#"
    FunctionConfig {
        component: "etc/f.wasm",
        timeout: 840s,
        memory_bytes: 134217728,
        fuel_per_second: 20000000000,
        reserved_concurrency: Some(
            3,
        ),
        instance_reuse: true,
        instance_max_invocations: Some(
            1000,
        ),
        trusted: true,
        dropped_in: false,
        environment: {
            "KEY": File(
                "etc/f.key",
            ),
            "TABLE": Literal(
                [hidden],
            ),
            "TOKEN": Environment(
                "F_TOKEN",
            ),
        },
        grants: Grants {
            dirs: [
                DirGrant {
                    host: "etc/in",
                    guest: "/in",
                    write: false,
                },
                DirGrant {
                    host: "/out",
                    guest: "/out",
                    write: true,
                },
            ],
            network: [
                Address {
                    host: Name(
                        "db.local",
                    ),
                    port: 5432,
                },
                Address {
                    host: Ip(
                        ::1,
                    ),
                    port: 53,
                },
            ],
            http: [
                HttpHost {
                    host: Name(
                        "api.example.com",
                    ),
                    port: None,
                },
                HttpHost {
                    host: Name(
                        "localhost",
                    ),
                    port: Some(
                        8080,
                    ),
                },
            ],
        },
    }
    "#);
}

#[test]
fn a_handler_that_could_replace_another_is_advised_against() {
    let config = parse(
        "[function.f]\ncomponent = 'plugins/f.wasm'\n\
         [function.g]\ncomponent = 'g.wasm'\n\
         allow.dirs = [{ host = 'plugins', guest = '/p', write = true }]\n",
    );
    let advice = config.advice();
    let advice = advice.iter().find(|advice| advice.contains("may write in")).unwrap();
    assert!(
        advice.starts_with("function.g may write in etc/plugins, where the handler of function.f")
    );
}
