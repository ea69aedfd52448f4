//! What may be dropped in: the section `[plugins]`, and sidecars under its rules.
//!
//! What must never happen: a sidecar that gives its handler anything, or is taken in part.

use std::path::Path;

use gristmill::config::{Config, OnFailure, Sidecar};
use insta::assert_snapshot;

use crate::{parse, refused};

/// A host that opens one of two brokers, with a little less than it might.
const HOST: &str = r#"
[plugins]
brokers = ["open"]
timeout_max = "5m"
memory_max = "64MiB"

[broker.open]
type = "rabbitmq"
url = "amqp://h"

[broker.closed]
type = "rabbitmq"
url = "amqp://h"

[function.granted]
component = "plugins/granted.wasm"
allow.network = ["db:5432"]

[function.elsewhere]
component = "elsewhere.wasm"

[mapping.promised]
broker = "closed"
queue = "q"
function = "promised"
"#;

fn sidecar_in(config: &Config, name: &str, text: &str) -> Result<Sidecar, String> {
    let plugins = config.plugins.as_ref().unwrap();
    let sidecar = Sidecar::parse(text, Path::new("totals.toml"), name, config, plugins);
    sidecar.map_err(|error| error.to_string())
}

fn refusal(name: &str, text: &str) -> String {
    sidecar_in(&parse(HOST), name, text).unwrap_err()
}

#[test]
fn without_the_section_nothing_is_dropped_in() {
    assert_eq!(parse("").plugins, None);
    let plugins = parse("[plugins]").plugins.unwrap();
    assert_eq!(plugins.dir, Path::new("etc/plugins"));
    assert!(plugins.brokers.is_empty(), "no broker is open by itself");
}

#[test]
fn what_is_wrong_with_the_section_is_told() {
    let text = "[plugins]\ndir = 'data/cache'\nbrokers = ['shop', 7]\ntimeout_max = '1h'\n\
                memory_max = '8GiB'\ntrusted = true\n";
    assert_snapshot!(refused(text), @r#"
    gristmill.toml:2: plugins.dir: and host.data_dir are one in the other: what the host keeps there is trusted, and what is dropped in is not; name another folder
    gristmill.toml:3: plugins.brokers: there is no broker "shop"; there is none to choose from
    gristmill.toml:4: plugins.timeout_max: 1h is more than 14m, the longest that Lambda's event source mapping for Amazon MQ lets a function run
    gristmill.toml:5: plugins.memory_max: 8GiB is out of range; it has to be between 1MiB and 4GiB
    gristmill.toml:6: plugins.trusted: unknown key; choose from `dir`, `brokers`, `timeout_max`, `memory_max`, `mappings_max`
    "#);
}

/// The operator may map a queue to a handler that is still to come.
#[test]
fn a_mapping_may_name_a_function_that_is_to_be_dropped_in() {
    let config = parse(HOST);
    let function = &config.functions["promised"];
    assert_eq!(function.component.path(), Some(Path::new("etc/plugins/promised.wasm")));
    assert_eq!(function.memory_bytes, 64 << 20);
    let without = HOST.split_once("[broker.open]").unwrap().1;
    let said = refused(&format!("[broker.open]{without}"));
    assert!(said.contains("mapping.promised.function: there is no function"), "{said}");
}

#[test]
fn a_sidecar_sets_limits_variables_and_mappings() {
    let text = r#"
        timeout = "30s"
        memory = "32MiB"
        environment = { MODE = "fast" }
        [mapping.orders]
        broker = "open"
        queue = "orders"
        batch_size = 7
    "#;
    let config = parse(HOST);
    let sidecar = sidecar_in(&config, "totals", text).unwrap();
    assert_eq!(sidecar.function.timeout.as_secs(), 30);
    assert_eq!(sidecar.function.memory_bytes, 32 << 20);
    let mapping = &sidecar.mappings["totals.orders"];
    assert_eq!((mapping.function.as_str(), mapping.batch_size.get()), ("totals", 7));
    let joined = config.with_drop_ins([("totals", &sidecar)]);
    assert_eq!(joined.functions["totals"], sidecar.function);
    assert_eq!(joined.mappings.len(), 2);

    let plain = sidecar_in(&config, "totals", "").unwrap();
    assert_eq!(plain.function.timeout.as_secs(), 300, "the operator's most");
    assert!(plain.mappings.is_empty());
}

/// Grants come from the operator's section, and the sidecar may add a mapping to it.
#[test]
fn a_section_of_the_operators_has_the_last_word_on_its_function() {
    let mapping = "[mapping.m]\nbroker = 'open'\nqueue = 'q'\n";
    let sidecar = sidecar_in(&parse(HOST), "granted", mapping).unwrap();
    assert_eq!(sidecar.function.grants.network.len(), 1);
    let limits = "timeout = '1s'\nmemory = '1MiB'\nenvironment = { A = 'a' }\n";
    assert_snapshot!(refusal("granted", limits), @"
    totals.toml:1: timeout: is what [function.granted] in gristmill.toml says; take it out
    totals.toml:2: memory: is what [function.granted] in gristmill.toml says; take it out
    totals.toml:3: environment: is what [function.granted] in gristmill.toml says; take it out
    ");
    assert_snapshot!(refusal("elsewhere", ""), @"totals.toml:1: function.elsewhere in gristmill.toml has another handler; give this one another name");
}

#[test]
fn a_sidecar_that_asks_for_more_is_refused_as_a_whole() {
    let text = r#"
timeout = "6m"
memory = "65MiB"
trusted = true
component = "/bin/true"
fuel_per_second = 1
environment = { TOKEN = "env:HOME", KEY = "file:/etc/shadow", AWS_REGION = "x" }
colour = "red"
[allow]
dirs = [{ host = "/", guest = "/host" }]
network = ["db:5432"]
[mapping.a]
broker = "closed"
queue = "q"
[mapping.b]
broker = "missing"
queue = "q"
function = "granted"
uuid = "8f14e45f-ceea-467f-a8d4-0123456789ab"
[mapping."c d"]
broker = "open"
queue = ""
"#;
    assert_snapshot!(refusal("totals", text), @r#"
    totals.toml:2: timeout: 6m is more than dropped-in handlers may have, 5m, which is `timeout_max` in [plugins]
    totals.toml:3: memory: 65MiB is more than dropped-in handlers may have, 64MiB, which is `memory_max` in [plugins]
    totals.toml:4: trusted: is for gristmill.toml only; ask whoever runs the host to set it in [function.totals]
    totals.toml:5: component: is for gristmill.toml only; ask whoever runs the host to set it in [function.totals]
    totals.toml:6: fuel_per_second: is for gristmill.toml only; ask whoever runs the host to set it in [function.totals]
    totals.toml:7: environment.TOKEN: takes a value from the host, which only gristmill.toml may; write the value itself, or ask whoever runs the host
    totals.toml:7: environment.KEY: takes a value from the host, which only gristmill.toml may; write the value itself, or ask whoever runs the host
    totals.toml:7: environment.AWS_REGION: is set by the host, as AWS Lambda sets it; take it out
    totals.toml:8: colour: unknown key; choose from `timeout`, `memory`, `environment`, `mapping`
    totals.toml:9: allow: is for gristmill.toml only; ask whoever runs the host to set it in [function.totals]
    totals.toml:13: mapping.a.broker: "closed" is not open to dropped-in handlers; ask whoever runs the host to add it to `brokers` in [plugins]
    totals.toml:16: mapping.b.broker: there is no broker "missing"; the only one is `open`
    totals.toml:18: mapping.b.function: is totals, the handler beside this file; take it out
    totals.toml:19: mapping.b.uuid: is for gristmill.toml only; take it out
    totals.toml:20: mapping."c d": a name has 1 to 64 characters, each a letter of a-z or A-Z, a digit, `-` or `_`
    totals.toml:22: mapping."c d".queue: is empty, but has to be 1 to 255 bytes long
    "#);
    assert_snapshot!(refusal("totals", "timeout = "), @"totals.toml:1: not TOML: string values must be quoted, expected literal string");
}

/// The rule of the broker's patience holds for the operator's mappings of a dropped-in handler too.
#[test]
fn a_timeout_that_the_operators_mapping_has_no_time_for_is_refused() {
    let host = HOST.replace("url = \"amqp://h\"", "url = \"amqp://h\"\nconsumer_timeout = \"3m\"");
    let said = refused(&host);
    assert!(said.contains("mapping.promised: its `maximum_batching_window`"), "{said}");
    let host = host.replace("timeout_max = \"5m\"", "timeout_max = \"100s\"");
    let config = parse(&host);
    sidecar_in(&config, "promised", "timeout = '100s'").unwrap();
    let text = "timeout = '90s'\n[mapping.m]\nbroker = 'open'\nqueue = 'q'\n\
                maximum_batching_window = '40s'";
    assert_snapshot!(sidecar_in(&config, "promised", text).unwrap_err(), @"totals.toml:2: mapping.m: its `maximum_batching_window` (40s) and the `timeout` of its function (1m30s) have to be together below 2m, which is broker.open.consumer_timeout less a minute: the broker closes the channel of a consumer that keeps a message for longer; shorten them, or raise consumer_timeout in the broker and here");
}

/// On a broker of ActiveMQ a sidecar's mapping has its defaults, and not what it has not.
#[test]
fn a_sidecars_mapping_is_read_by_the_type_of_its_broker() {
    let host = HOST.replace("\"open\"]", "\"open\", \"amq\"]");
    let host = format!("{host}[broker.amq]\ntype = 'activemq'\nurl = 'tcp://h'\n");
    let config = parse(&host);
    let mapping = "[mapping.m]\nbroker = 'amq'\nqueue = 'q'\n";
    let sidecar = sidecar_in(&config, "totals", mapping).unwrap();
    let mapped = &sidecar.mappings["totals.m"];
    assert_eq!((mapped.maximum_concurrency.get(), mapped.prefetch.get()), (5, 600));
    assert_eq!((mapped.maximum_retry_attempts, mapped.delivery_limit), (Some(5), None));
    assert_eq!((&mapped.on_failure, mapped.virtual_host.as_deref()), (&OnFailure::Broker, None));
    let text = format!("{mapping}on_failure = 'queue:elsewhere'\n");
    assert_snapshot!(sidecar_in(&config, "totals", &text).unwrap_err(), @r#"totals.toml:4: mapping.m.on_failure: writes to a queue, which only gristmill.toml can allow; write "broker" or "store""#);
    let text =
        format!("{mapping}virtual_host = '/'\ndelivery_limit = -1\n").replace("'q'", "'a.>'");
    assert_snapshot!(sidecar_in(&config, "totals", &text).unwrap_err(), @r#"
    totals.toml:3: mapping.m.queue: has a wildcard (`*` or `>`), but has to be one queue; write its name, and a mapping for each queue
    totals.toml:4: mapping.m.virtual_host: is for brokers of the type "rabbitmq"; ActiveMQ has no virtual hosts: take it out
    totals.toml:5: mapping.m.delivery_limit: is for brokers of the type "rabbitmq"; ActiveMQ takes a message back as often as need be: take it out, and bound the tries by `maximum_retry_attempts`
    "#);
}
