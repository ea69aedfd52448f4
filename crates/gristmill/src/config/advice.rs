//! What a configuration allows and its author has probably not meant.

use std::collections::{BTreeMap, BTreeSet};

use super::function::overlaps;
use super::{Config, Credentials, MappingConfig, OnFailure};

/// One sentence for each finding: brokers first, then mappings, then functions.
pub(super) fn advice(config: &Config) -> Vec<String> {
    let mut advice = credentials_in_urls(config);
    advice.extend(competing_mappings(config));
    advice.extend(rejecting_mappings(config));
    advice.extend(unused_functions(config));
    advice.extend(handlers_in_reach(config));
    advice
}

fn credentials_in_urls(config: &Config) -> Vec<String> {
    let in_url = |credentials: &Credentials| matches!(credentials, Credentials::Url(_));
    let brokers = config.brokers.iter().filter(|(_, broker)| in_url(&broker.credentials));
    brokers
        .map(|(name, _)| {
            format!(
                "broker.{name} has credentials in its URL, which whoever reads the file can see; \
                 put them into an environment variable or a file that `credentials` names"
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
            format!(
                "{} compete for the messages of the queue {queue:?} of broker.{broker} \
                 (virtual host {virtual_host:?}): each message goes to one of them only",
                mappings.join(" and ")
            )
        })
        .collect()
}

/// Mappings that reject. AMQP does not tell a consumer whether a reject moves or deletes.
fn rejecting_mappings(config: &Config) -> Vec<String> {
    let rejects = |mapping: &MappingConfig| mapping.on_failure == Some(OnFailure::Broker);
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
            let reached = handlers.filter(|(_, other)| overlaps(&dir.host, &other.component));
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
