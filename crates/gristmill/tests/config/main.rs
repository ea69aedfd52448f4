//! Golden tests of the configuration file: what a file becomes, and what is said about a broken one.
//!
//! Ring 2. The texts are part of the program: whoever changes one looks at it here first.
//! What must never happen: a secret of these files shows up in any text here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accepted;
mod activemq;
mod embedded;
mod failover;
mod plugins;
mod refused;
mod secrets;

use std::fmt::Write as _;
use std::path::Path;

use gristmill::config::Config;

const FULL: &str = r#"
[host]
data_dir = "/var/lib/gristmill"
region = "eu-central-1"
account_id = "123456789012"
drain_timeout = "1m30s"
log_format = "json"

[broker.shop]
type = "rabbitmq"
url = "amqp://rabbit.example.com:5673"
credentials = "file:secrets/shop.json"
arn = "arn:aws:mq:eu-central-1:123456789012:broker:shop:b-1"
heartbeat = "30s"

[broker.local]
type = "rabbitmq"
url = "amqp://app:hunter%322@[::1]"

[function.order-totals]
component = "plugins/order-totals.wasm"
timeout = "90s"
memory = "1GiB"
fuel_per_second = 5_000_000_000
instance_reuse = false

[mapping.orders]
broker = "shop"
queue = "orders"
virtual_host = "sales"
function = "order-totals"
batch_size = 10_000
maximum_batching_window = "300s"
maximum_concurrency = 1000
prefetch = 500
enabled = false
uuid = "8f14e45f-ceea-467f-a8d4-0123456789ab"

# The other spellings of TOML, and every default.
[mapping]
audit.broker = "local"
audit.queue = "audit"
audit.function = "order-totals"
refunds = { broker = "local", queue = "refunds", function = "order-totals", batch_size = 9000 }
"#;

fn parse(text: &str) -> Config {
    Config::parse(text, Path::new("etc/gristmill.toml")).unwrap()
}

fn refused(text: &str) -> String {
    Config::parse(text, Path::new("gristmill.toml")).unwrap_err().to_string()
}

/// What is said about each of some values of one key, in a file that is otherwise right.
fn refused_values(section: &str, key: &str, values: &[&str]) -> String {
    refused_values_on(["type = 'rabbitmq'", "url = 'amqp://h'"], section, key, values)
}

/// The same on a broker of any kind.
fn refused_values_on(broker: [&str; 2], section: &str, key: &str, values: &[&str]) -> String {
    let mut said = String::new();
    for value in values {
        let mut sections = [
            ("broker.b", broker.to_vec()),
            ("function.f", vec!["component = 'f.wasm'"]),
            ("host", vec![]),
            ("mapping.m", vec!["broker = 'b'", "queue = 'q'", "function = 'f'"]),
        ];
        let line = format!("{key} = {value}");
        let mut text = String::new();
        for (name, lines) in &mut sections {
            if *name == section {
                lines.retain(|line| !line.starts_with(&format!("{key} =")));
                lines.push(&line);
            }
            write!(text, "[{name}]\n{}\n", lines.join("\n")).unwrap();
        }
        let refusal = refused(&text);
        let message = refusal.split_once(&format!("{section}.{key}: ")).map(|(_, message)| message);
        writeln!(said, "{value}: {}", message.unwrap_or(&refusal)).unwrap();
    }
    said
}

/// A file with one mapping, whose window and timeout stand against the broker's patience.
fn consumer_timeout(consumer_timeout: &str, window: &str, timeout: &str) -> String {
    format!(
        "[broker.b]\ntype = 'rabbitmq'\nurl = 'amqp://h'\nconsumer_timeout = '{consumer_timeout}'\n\
         [function.f]\ncomponent = 'f.wasm'\ntimeout = '{timeout}'\n\
         [mapping.m]\nbroker = 'b'\nqueue = 'q'\nfunction = 'f'\n\
         maximum_batching_window = '{window}'\n"
    )
}
