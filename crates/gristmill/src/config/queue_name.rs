//! Names of ActiveMQ's queues. The broker reads more into a name than a name: several destinations,
//! wildcards, options, a kind. A mapping reads one queue, so all of these are refused here.

use toml::de::DeValue;

use super::value;

/// What ActiveMQ's Java client takes for the kind of a destination, and what to write instead.
const KINDS: [(&str, &str); 4] = [
    ("queue://", "begins with queue://; write the name behind it alone"),
    (
        "topic://",
        "is a topic, but has to be a queue; write that of a virtual topic's consumer, \
         Consumer.NAME.VirtualTopic.TOPIC",
    ),
    ("temp-queue://", TEMPORARY),
    ("temp-topic://", TEMPORARY),
];

const TEMPORARY: &str = "is temporary, and only the connection that made it may read it; write the \
                         name of a queue that stays";

/// A name that is nothing else, of 1 to 65,535 bytes, which is what OpenWire counts.
pub(super) fn activemq(value: &DeValue<'_>) -> Result<String, String> {
    let name = value::string(value)?;
    activemq_name(name)?;
    Ok(name.to_owned())
}

/// The same, for a name that is a part of a value.
pub(super) fn activemq_name(name: &str) -> Result<(), String> {
    value::length(name, u16::MAX)?;
    let kind = KINDS.iter().find(|(prefix, _)| name.starts_with(prefix));
    let is_wildcard = |element: &str| matches!(element, "*" | ">");
    let refusal = if let Some((_, refusal)) = kind {
        refusal
    } else if name.contains(',') {
        "has a `,`, which for ActiveMQ stands between several destinations; write one queue, and \
         a mapping for each"
    } else if name.contains('?') {
        "has a `?`, behind which ActiveMQ reads options; take it off, and write the mapping's own \
         keys, such as `prefetch`"
    } else if name.split('.').any(is_wildcard) {
        "has a wildcard (`*` or `>`), but has to be one queue; write its name, and a mapping for \
         each queue"
    } else if name.trim_matches(|c| c <= ' ') != name {
        "begins or ends with a blank, which ActiveMQ takes off; take it off here too"
    } else {
        return Ok(());
    };
    Err(refusal.to_owned())
}
