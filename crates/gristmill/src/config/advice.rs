//! What a configuration allows and its author has probably not meant.

use std::collections::{BTreeMap, BTreeSet};

use super::function::overlaps;
use super::{
    BrokerConfig, BrokerKind, Config, Credentials, MappingConfig, OnFailure, RemoteConfig,
};

/// Options of Java's client that a key does the work of. What ends with a dot is a family.
const INSTEAD: [(&str, &str); 5] = [
    ("jms.password", "`credentials`"),
    ("jms.prefetchPolicy.", "`prefetch` in the mapping"),
    ("jms.redeliveryPolicy.maximumRedeliveries", "`maximum_retry_attempts` in the mapping"),
    ("jms.userName", "`credentials`"),
    ("wireFormat.maxInactivityDuration", "a third of it as `heartbeat`"),
];

/// One sentence for each finding: brokers first, then mappings, then functions.
pub(super) fn advice(config: &Config) -> Vec<String> {
    let mut advice = credentials_in_urls(config);
    advice.extend(options_in_urls(config));
    advice.extend(unreachable_brokers(config));
    advice.extend(competing_mappings(config));
    advice.extend(rejecting_mappings(config));
    advice.extend(unused_functions(config));
    advice.extend(handlers_in_reach(config));
    advice
}

fn credentials_in_urls(config: &Config) -> Vec<String> {
    let in_url = |remote: &RemoteConfig| matches!(remote.credentials, Credentials::Url(_));
    let brokers = config.brokers.iter().filter(|(_, broker)| broker.remote().is_some_and(in_url));
    brokers
        .map(|(name, _)| {
            format!(
                "broker.{name} has credentials in its URL, which whoever reads the file can see; \
                 put them into an environment variable or a file that `credentials` names"
            )
        })
        .collect()
}

/// Options of Java's client in a URL. Only their names are known here, and only they are told.
fn options_in_urls(config: &Config) -> Vec<String> {
    let options = |(name, broker): (_, &'_ BrokerConfig)| {
        let options = broker.remote().map(|remote| remote.ignored_options.clone());
        options.filter(|options| !options.is_empty()).map(|options| (name, options))
    };
    let brokers = config.brokers.iter().filter_map(options);
    let option = |name: &String| match INSTEAD.iter().find(|(java, _)| is_option(name, java)) {
        Some((_, instead)) => format!("`{name}` (write {instead})"),
        None => format!("`{name}`"),
    };
    brokers
        .map(|(name, options): (&String, _)| {
            let options: Vec<String> = options.iter().map(option).collect();
            format!(
                "broker.{name} has options in its URL that are passed over; take them out: {}",
                options.join(", ")
            )
        })
        .collect()
}

/// Whether an option is the one of this name, or, where that ends with a dot, one of that family.
/// Options of all addresses of a `failover:` are written `nested.NAME`.
fn is_option(written: &str, name: &str) -> bool {
    let written = written.strip_prefix("nested.").unwrap_or(written);
    if name.ends_with('.') { written.starts_with(name) } else { written == name }
}

/// Embedded brokers that are open where nobody listens.
fn unreachable_brokers(config: &Config) -> Vec<String> {
    let is_open = |broker: &BrokerConfig| matches!(&broker.kind, BrokerKind::Embedded(embedded) if embedded.http_publish);
    let unheard = config.host.listen.is_none();
    let brokers = config.brokers.iter().filter(|(_, broker)| unheard && is_open(broker));
    brokers
        .map(|(name, _)| {
            format!(
                "broker.{name} has `http_publish`, and the host listens nowhere; set `listen` in [host]"
            )
        })
        .collect()
}

/// Mappings on one queue. Disabled ones take nothing and are left out.
fn competing_mappings(config: &Config) -> Vec<String> {
    let mut by_queue: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for (name, mapping) in config.mappings.iter().filter(|(_, mapping)| mapping.enabled) {
        let queue = (&mapping.broker, &mapping.virtual_host, &mapping.queue);
        by_queue.entry(queue).or_default().push(format!("mapping.{name}"));
    }
    let shared = by_queue.into_iter().filter(|(_, mappings)| mappings.len() > 1);
    shared
        .map(|((broker, virtual_host, queue), mappings)| {
            let place = match virtual_host {
                Some(virtual_host) => format!(" (virtual host {virtual_host:?})"),
                None => String::new(),
            };
            format!(
                "{} compete for the messages of the queue {queue:?} of broker.{broker}{place}: each \
                 message goes to one of them only",
                mappings.join(" and ")
            )
        })
        .collect()
}

/// Mappings that reject. AMQP does not tell a consumer whether a reject moves or deletes; ActiveMQ
/// always has a dead-letter queue.
fn rejecting_mappings(config: &Config) -> Vec<String> {
    let is_rabbitmq = |broker: &BrokerConfig| matches!(broker.kind, BrokerKind::RabbitMq { .. });
    let rejects = |mapping: &MappingConfig| {
        mapping.on_failure == OnFailure::Broker
            && config.brokers.get(&mapping.broker).is_some_and(is_rabbitmq)
    };
    let mappings = config.mappings.iter().filter(|(_, mapping)| rejects(mapping));
    mappings
        .map(|(name, mapping)| {
            format!(
                "mapping.{name} leaves given-up messages to the dead-letter exchange of the queue \
                 {:?}; make sure that it has one (rabbitmqctl list_queues name arguments policy), \
                 for without it they are deleted",
                mapping.queue
            )
        })
        .collect()
}

fn unused_functions(config: &Config) -> Vec<String> {
    let used: BTreeSet<&String> =
        config.mappings.values().map(|mapping| &mapping.function).collect();
    let unused = config.functions.keys().filter(|name| !used.contains(name));
    unused
        .map(|name| format!("function.{name} is used by no mapping, so nothing calls it"))
        .collect()
}

/// Functions that may write where handlers stand.
fn handlers_in_reach(config: &Config) -> Vec<String> {
    let mut advice = Vec::new();
    for (name, function) in &config.functions {
        for dir in function.grants.dirs.iter().filter(|dir| dir.write) {
            let handlers = config.functions.iter();
            let reached = handlers.filter(|(_, other)| {
                other.component.path().is_some_and(|path| overlaps(&dir.host, path))
            });
            advice.extend(reached.map(|(other, _)| {
                format!(
                    "function.{name} may write in {}, where the handler of function.{other} stands, \
                     and could put another in its place; grant it a directory without handlers",
                    dir.host.display()
                )
            }));
        }
    }
    advice
}
