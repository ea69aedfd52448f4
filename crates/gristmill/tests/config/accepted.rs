//! What a file becomes: values, defaults, identities, advice.
//!
//! What must never happen: a value differs from what the file says.

use insta::{assert_debug_snapshot, assert_snapshot};
use uuid::Uuid;

use crate::{FULL, parse};

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
        },
        brokers: {
            "local": BrokerConfig {
                host: "::1",
                port: 5672,
                credentials: Url(
                    Login([hidden]),
                ),
                arn: None,
                heartbeat: 10s,
            },
            "shop": BrokerConfig {
                host: "rabbit.example.com",
                port: 5673,
                credentials: File(
                    "etc/secrets/shop.json",
                ),
                arn: Some(
                    "arn:aws:mq:eu-central-1:123456789012:broker:shop:b-1",
                ),
                heartbeat: 30s,
            },
        },
        functions: {
            "order-totals": FunctionConfig {
                component: "etc/plugins/order-totals.wasm",
                timeout: 90s,
                memory_bytes: 1073741824,
                fuel_per_second: 5000000000,
                instance_reuse: false,
            },
        },
        mappings: {
            "audit": MappingConfig {
                broker: "local",
                queue: "audit",
                virtual_host: "/",
                function: "order-totals",
                batch_size: 100,
                maximum_batching_window: 500ms,
                maximum_concurrency: 1,
                prefetch: 200,
                enabled: true,
                uuid: None,
            },
            "orders": MappingConfig {
                broker: "shop",
                queue: "orders",
                virtual_host: "sales",
                function: "order-totals",
                batch_size: 10000,
                maximum_batching_window: 300s,
                maximum_concurrency: 1000,
                prefetch: 500,
                enabled: false,
                uuid: Some(
                    8f14e45f-ceea-467f-a8d4-0123456789ab,
                ),
            },
            "refunds": MappingConfig {
                broker: "local",
                queue: "refunds",
                virtual_host: "/",
                function: "order-totals",
                batch_size: 9000,
                maximum_batching_window: 500ms,
                maximum_concurrency: 1,
                prefetch: 18000,
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
        let broker = &config.brokers[broker];
        (broker.host.clone(), broker.port)
    };
    assert_eq!(address("local"), ("::1".to_owned(), 5672));
    assert_eq!(address("shop"), ("rabbit.example.com".to_owned(), 5673));
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
    let more = "second = { broker = 'local', queue = 'audit', function = 'order-totals' }\n\
                third = { broker = 'local', queue = 'orders', function = 'order-totals' }\n\
                [function.idle]\ncomponent = 'idle.wasm'";
    let advice = parse(&format!("{FULL}{more}")).advice().join("\n");
    assert!(!advice.contains("hunter"));
    assert_snapshot!(advice, @r#"
    broker.local.url holds credentials, which whoever reads the file can see; put them into an environment variable or a file that `credentials` names
    mapping.audit and mapping.second compete for the messages of the queue "audit" of broker.local (virtual host "/"): each message goes to one of them only
    function.idle is used by no mapping, so nothing calls it
    "#);
}
