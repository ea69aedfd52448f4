//! What is said about files that are wrong, key by key.
//!
//! What must never happen: a wrong file is accepted, or refused without its line and key.

use std::error::Error as _;
use std::path::Path;

use gristmill::config::Config;
use insta::assert_snapshot;

use crate::{FULL, consumer_timeout, refused, refused_values};

#[test]
fn a_file_that_is_missing_is_named() {
    let error = Config::load(Path::new("no/such/gristmill.toml")).unwrap_err();
    assert_snapshot!(error, @"cannot read the configuration file no/such/gristmill.toml: check that it exists and may be read");
    assert!(error.source().is_some());
}

#[test]
fn all_problems_are_told_in_the_order_of_their_lines() {
    let text = r#"
[mapping.orders]
queue = 7
batch_sise = 10
broker = "shp"

[plugin]
dir = "plugins"

[function."my totals"]
timeout = "10"

[broker.shop]
type = "rabbitmq"
url = "amqp://localhost/"
event_profile = "observed"

[host]
log_format = "jsn"
"#;
    assert_snapshot!(refused(text), @r#"
    gristmill.toml:2: mapping.orders.function: missing; set it to the name of a function
    gristmill.toml:3: mapping.orders.queue: is an integer, but has to be a string
    gristmill.toml:4: mapping.orders.batch_sise: unknown key; did you mean `batch_size`?
    gristmill.toml:5: mapping.orders.broker: there is no broker "shp"; did you mean `shop`?
    gristmill.toml:7: plugin: unknown key; did you mean `plugins`?
    gristmill.toml:10: function."my totals": a name has 1 to 64 characters, each a letter of a-z or A-Z, a digit, `-` or `_`
    gristmill.toml:10: function."my totals".component: missing; set it to the path of the handler
    gristmill.toml:11: function."my totals".timeout: "10" is not a duration; write whole numbers with their units, such as "500ms", "10s", "14m", "1h" or "1m30s"
    gristmill.toml:15: broker.shop.url: has a path; take it off, slash included: a mapping names its virtual host in `virtual_host`, and a `/` of the password is written %2F
    gristmill.toml:16: broker.shop.event_profile: is for the type "activemq", whose event is spelt in two ways; that of RabbitMQ has one form: take it out
    gristmill.toml:19: host.log_format: there is no log format "jsn"; did you mean `json`?
    "#);
}

#[test]
fn text_that_is_not_toml_is_told_with_its_line() {
    assert_snapshot!(refused("[host]\nregion = \"a\"\nregion = \"b\"\n[mapping.a\nqueue ="), @"
    gristmill.toml:3: not TOML: duplicate key
    gristmill.toml:4: not TOML: unclosed table, expected `]`
    ");
}

#[test]
fn tables_have_to_be_tables() {
    assert_snapshot!(refused("function = 3\nbroker.shop = \"amqp://h\"\n[[mapping]]\n"), @"
    gristmill.toml:1: function: is an integer, but has to be a table
    gristmill.toml:2: broker.shop: is a string, but has to be a table
    gristmill.toml:3: mapping: is an array, but has to be a table
    ");
}

#[test]
fn unknown_keys_get_the_nearest_or_all() {
    assert_snapshot!(refused("[host]\ndrain_timout = '1s'\nport = 80\n\"a\\nb\" = 1"), @r#"
    gristmill.toml:2: host.drain_timout: unknown key; did you mean `drain_timeout`?
    gristmill.toml:3: host.port: unknown key; choose from `data_dir`, `region`, `account_id`, `drain_timeout`, `log_format`, `listen`, `instances_max`, `memory_max`, `dead_letters_size_max`, `dead_letters_age_max`, `compile_timeout`
    gristmill.toml:4: host."a\nb": unknown key; choose from `data_dir`, `region`, `account_id`, `drain_timeout`, `log_format`, `listen`, `instances_max`, `memory_max`, `dead_letters_size_max`, `dead_letters_age_max`, `compile_timeout`
    "#);
}

#[test]
fn references_get_the_nearest_or_all() {
    let brokers = "[broker.shop]\ntype = 'rabbitmq'\nurl = 'amqp://h'\n";
    let mapping = "[mapping.m]\nqueue = 'q'\nbroker = 'shpo'\nfunction = 'totals'\n";
    assert_snapshot!(refused(&format!("{brokers}{mapping}")), @r#"
    gristmill.toml:6: mapping.m.broker: there is no broker "shpo"; did you mean `shop`?
    gristmill.toml:7: mapping.m.function: there is no function "totals"; there is none to choose from
    "#);
}

#[test]
fn a_section_with_a_problem_is_not_missing_too() {
    let text = "[broker.b]\n[function.f]\ncomponent = 'f.wasm'\n\
                [mapping.m]\nqueue = 'q'\nbroker = 'b'\nfunction = 'f'\n";
    assert_snapshot!(refused(text), @r#"
    gristmill.toml:1: broker.b.type: missing; set it to "rabbitmq", "activemq" or "embedded"
    gristmill.toml:1: broker.b.url: missing; set it to the broker's URL, amqp://HOST:PORT or tcp://HOST:PORT
    "#);
}

#[test]
fn host_values_out_of_range_or_type() {
    assert_snapshot!(refused_values("host", "account_id", &["12", "'12'"]), @r#"
    12: is an integer, but has to be a string of twelve digits, such as "000000000000"
    '12': "12" is not an account id; write twelve digits
    "#);
    assert_snapshot!(refused_values("host", "region", &["''", "'Mars 1'"]), @r#"
    '': "" is not a region; write a name such as "us-east-1"
    'Mars 1': "Mars 1" is not a region; write a name such as "us-east-1"
    "#);
    assert_snapshot!(refused_values("host", "data_dir", &["''", "[]"]), @"
    '': is empty, but has to be a path
    []: is an array, but has to be a string
    ");
    assert_snapshot!(refused_values("host", "log_format", &["'xml'", "true"]), @r#"
    'xml': there is no log format "xml"; choose from `text`, `json`
    true: is a boolean, but has to be a string
    "#);
}

#[test]
fn durations_out_of_spelling_or_range() {
    let values = ["10", "1.5", "'1.5s'", "'61m'"];
    assert_snapshot!(refused_values("host", "drain_timeout", &values), @r#"
    10: 10 has no unit; write a duration, such as "10s" or "10ms"
    1.5: is a float, but has to be a duration, such as "10s"
    '1.5s': "1.5s" is not a duration; write whole numbers with their units, such as "500ms", "10s", "14m", "1h" or "1m30s"
    '61m': 61m is out of range; it has to be between 0s and 1h
    "#);
    let misspelt =
        "|10|s|-1s|10 s|10sec|30s1m|1s1s|1m30|10µs|99999999999999999999h|9999999999999999h";
    for text in misspelt.split('|') {
        let said = refused_values("host", "drain_timeout", &[&format!("'{text}'")]);
        assert!(said.contains("is not a duration"), "{said}");
    }
    assert_snapshot!(refused_values("broker.b", "heartbeat", &["'0s'", "'1s500ms'", "'2h'"]), @"
    '0s': 0s is out of range; it has to be between 1s and 1h
    '1s500ms': 1s500ms is not whole seconds, in which AMQP counts
    '2h': 2h is out of range; it has to be between 1s and 1h
    ");
    assert_snapshot!(refused_values("function.f", "timeout", &["'0s'", "'14m1ms'", "840"]), @r#"
    '0s': 0s leaves no time to run; write at least 1ms
    '14m1ms': 14m1ms is more than 14m, the longest that Lambda's event source mapping for Amazon MQ lets a function run
    840: 840 has no unit; write a duration, such as "840s" or "840ms"
    "#);
    assert_snapshot!(refused_values("mapping.m", "maximum_batching_window", &["'301s'"]), @"'301s': 301s is out of range; it has to be between 0s and 5m");
}

#[test]
fn sizes_out_of_spelling_or_range() {
    let values = ["'64MB'", "'1023KiB'", "'5GiB'", "4294967297", "1e9"];
    assert_snapshot!(refused_values("function.f", "memory", &values), @r#"
    '64MB': "64MB" is not a size; write a whole number with the unit KiB, MiB or GiB, such as "128MiB", or an integer of bytes
    '1023KiB': 1023KiB is out of range; it has to be between 1MiB and 4GiB
    '5GiB': 5GiB is out of range; it has to be between 1MiB and 4GiB
    4294967297: 4294967297 is out of range; it has to be between 1048576 and 4294967296
    1e9: is a float, but has to be a size, such as "128MiB"
    "#);
    for value in ["''", "'64'", "'1.5GiB'", "'MiB'", "'64mib'", "'99999999999GiB'"] {
        let said = refused_values("function.f", "memory", &[value]);
        assert!(said.contains("is not a size"), "{said}");
    }
}

#[test]
fn numbers_out_of_range_or_type() {
    assert_snapshot!(refused_values("mapping.m", "batch_size", &["0", "10001", "-1", "'5'", "1.0"]), @"
    0: 0 is out of range; it has to be between 1 and 10000
    10001: 10001 is out of range; it has to be between 1 and 10000
    -1: -1 is out of range; it has to be between 1 and 10000
    '5': is a string, but has to be an integer
    1.0: is a float, but has to be an integer
    ");
    assert_snapshot!(refused_values("mapping.m", "maximum_concurrency", &["0", "1001"]), @"
    0: 0 is out of range; it has to be between 1 and 1000
    1001: 1001 is out of range; it has to be between 1 and 1000
    ");
    assert_snapshot!(refused_values("mapping.m", "prefetch", &["0", "65536", "0xFFFFFFFFFFFFFFFFFF"]), @"
    0: 0 is out of range; it has to be between 1 and 65535
    65536: 65536 is out of range; it has to be between 1 and 65535
    0xFFFFFFFFFFFFFFFFFF: 0xFFFFFFFFFFFFFFFFFF is out of range; it has to be between 1 and 65535
    ");
    assert_snapshot!(refused_values("function.f", "fuel_per_second", &["999999"]), @"999999: 999999 is out of range; it has to be between 1000000 and 1000000000000000");
}

#[test]
fn other_values_of_a_mapping() {
    let long = format!("'{}'", "q".repeat(256));
    let said = refused_values("mapping.m", "queue", &["''", &long]).replace(&long, "256 letters");
    assert_snapshot!(said, @"
    '': is empty, but has to be 1 to 255 bytes long
    256 letters: is 256 bytes long, but has to be 1 to 255
    ");
    assert_snapshot!(refused_values("mapping.m", "enabled", &["'yes'", "1979-05-27"]), @"
    'yes': is a string, but has to be a boolean, `true` or `false`
    1979-05-27: is a date-time, but has to be a boolean, `true` or `false`
    ");
    assert_snapshot!(refused_values("mapping.m", "uuid", &["'1234'", "12"]), @r#"
    '1234': "1234" is not a UUID; write 32 hexadecimal digits as 8-4-4-4-12
    12: is an integer, but has to be a string
    "#);
    let twice = FULL
        .replace("[mapping]\n", "[mapping]\naudit.uuid = '8f14e45f-ceea-467f-a8d4-0123456789ab'\n");
    assert_snapshot!(refused(&twice), @"gristmill.toml:37: mapping.orders.uuid: is the uuid of another mapping; give each its own");
}

#[test]
fn types_and_arns_of_brokers() {
    assert_snapshot!(refused_values("broker.b", "type", &["'kafka'", "'rabitmq'"]), @r#"
    'kafka': this version has no broker type "kafka"; choose from `rabbitmq`, `activemq`, `embedded`
    'rabitmq': this version has no broker type "rabitmq"; did you mean `rabbitmq`?
    "#);
    assert_snapshot!(refused_values("broker.b", "arn", &["'mq:1'"]), @r#"'mq:1': "mq:1" is not an ARN; it has to begin with arn:"#);
}

#[test]
fn urls_that_are_not_one_broker() {
    let urls = |urls: &str| refused(&format!("[broker.b]\ntype = 'rabbitmq'\nurls = {urls}"));
    assert_snapshot!(urls("'amqp://h'"), @"gristmill.toml:3: broker.b.urls: is a string, but has to be an array of URLs");
    assert_snapshot!(urls("[]"), @"gristmill.toml:3: broker.b.urls: has 0 URLs, but has to have 1 to 16");
    assert_snapshot!(urls("['amqp://h', 'http://h']"), @"gristmill.toml:3: broker.b.urls: URL 2: has to begin with amqp:// or amqps://");
    assert_snapshot!(urls("['amqp://h', 'amqps://h']"), @"gristmill.toml:3: broker.b.urls: have to begin all with amqp:// or all with amqps://");
    let said = urls("['amqp://a:hunter2@h', 'amqp://a:hunter3@h']");
    assert!(!said.contains("hunter"), "{said}");
    assert_snapshot!(said, @"gristmill.toml:3: broker.b.urls: have different credentials; write the same into each, or none");
    assert_snapshot!(urls("['amqp://h']\nurl = 'amqp://h'"), @"gristmill.toml:4: broker.b.url: `urls` is there too; write the one or the other");
}

#[test]
fn tls_that_cannot_be_meant() {
    let tls = |scheme: &str, tls: &str| {
        refused(&format!("[broker.b]\ntype = 'rabbitmq'\nurl = '{scheme}://h'\ntls = {tls}"))
    };
    assert_snapshot!(tls("amqp", "{ ca = 'ca.pem' }"), @"gristmill.toml:4: broker.b.tls: is for amqps:// only; write that in the URL, or take `tls` out");
    assert_snapshot!(tls("amqps", "{ certificate = 'c.pem' }"), @"gristmill.toml:4: broker.b.tls: has one of `certificate` and `key`; write both, or neither");
    assert_snapshot!(tls("amqps", "{ cert = 'c.pem', server_name = 'a b' }"), @r#"
    gristmill.toml:4: broker.b.tls.cert: unknown key; choose from `ca`, `server_name`, `certificate`, `key`
    gristmill.toml:4: broker.b.tls.server_name: "a b" is not a host name, such as "broker.example.com"
    "#);
    assert_snapshot!(tls("amqps", "true"), @"gristmill.toml:4: broker.b.tls: is a boolean, but has to be a table");
}

#[test]
fn limits_out_of_range() {
    let values = ["-2", "10001", "'1'"];
    assert_snapshot!(refused_values("mapping.m", "maximum_retry_attempts", &values), @"
    -2: -2 is out of range; it has to be between 0 and 10000, or -1 for no limit
    10001: 10001 is out of range; it has to be between 0 and 10000, or -1 for no limit
    '1': is a string, but has to be an integer, or -1 for no limit
    ");
    let values = ["0", "-1.0", "'59s'", "'169h'"];
    assert_snapshot!(refused_values("mapping.m", "maximum_record_age", &values), @r#"
    0: 0 has no unit; write a duration, such as "0s" or "0ms", or the integer -1 for no limit
    -1.0: is a float, but has to be a duration, such as "10s", or the integer -1 for no limit
    '59s': 59s is out of range; it has to be between 1m and 168h, or the integer -1 for no limit
    '169h': 169h is out of range; it has to be between 1m and 168h, or the integer -1 for no limit
    "#);
    assert_snapshot!(refused_values("mapping.m", "delivery_limit", &["2", "-5"]), @"
    2: 2 is out of range; it has to be between 3 and 1000000, or -1 for no limit
    -5: -5 is out of range; it has to be between 3 and 1000000, or -1 for no limit
    ");
    let values = ["'Store'", "'queue'", "'queue:'", "'queue:q'", "true"];
    assert_snapshot!(refused_values("mapping.m", "on_failure", &values), @r#"
    'Store': there is no "Store"; write "broker", "store", or "queue:NAME" with the name of a queue
    'queue': there is no "queue"; write "broker", "store", or "queue:NAME" with the name of a queue
    'queue:': the queue's name is empty, but has to be 1 to 255 bytes long
    'queue:q': names the queue that the messages come from, so they would come again; write another one
    true: is a boolean, but has to be a string
    "#);
    assert_snapshot!(refused_values("host", "dead_letters_size_max", &["'1KiB'", "'2TiB'", "-1"]), @r#"
    '1KiB': 1KiB is out of range; it has to be between 1MiB and 1024GiB
    '2TiB': "2TiB" is not a size; write a whole number with the unit KiB, MiB or GiB, such as "128MiB", or an integer of bytes
    -1: -1 is out of range; it has to be between 1048576 and 1099511627776
    "#);
    assert_snapshot!(refused_values("host", "dead_letters_age_max", &["'59m'"]), @"'59m': 59m is out of range; it has to be between 1h and 87600h");
    assert_snapshot!(refused_values("broker.b", "consumer_timeout", &["'60s'", "1800000"]), @r#"
    '60s': 60s is out of range; it has to be between 1m1s and 8760h
    1800000: 1800000 has no unit; write a duration, such as "1800000s" or "1800000ms"
    "#);
    assert_snapshot!(refused_values("host", "listen", &["'9480'", "9480", "'localhost:9480'"]), @r#"
    '9480': "9480" is not an address with a port, such as "127.0.0.1:9480"
    9480: is an integer, but has to be a string
    'localhost:9480': "localhost:9480" is not an address with a port, such as "127.0.0.1:9480"
    "#);
}

#[test]
fn window_and_timeout_that_reach_the_consumer_timeout() {
    assert_snapshot!(refused(&consumer_timeout("15m1s", "1s", "14m")), @"gristmill.toml:8: mapping.m: its `maximum_batching_window` (1s) and the `timeout` of its function (14m) have to be together below 14m1s, which is broker.b.consumer_timeout less a minute: the broker closes the channel of a consumer that keeps a message for longer; shorten them, or raise consumer_timeout in the broker and here");
}

#[test]
fn what_a_function_cannot_be_given_is_refused_with_what_to_write() {
    let text = r#"
[host]
memory_max = "64MiB"
instances_max = 10
[function.f]
component = "f.wasm"
memory = "65MiB"
reserved_concurrency = 11
instance_max_invocations = 0
[function.f.environment]
AWS_REGION = "x"
"A-B" = "x"
N = 1
E = "env:"
[function.f.allow]
dirs = [
    { host = "./data/cache", guest = "/x" },
    { host = "x", guest = "x" },
    { host = "y", guest = "/y", writable = true },
    { host = "z", guest = "/y" },
    { host = "open", guest = "/open", write = true },
    { host = "x/../open/inner", guest = "/inner" },
    "q",
]
network = ["db.local", "db:0"]
http = "api.example.com"
sockets = []
"#;
    assert_snapshot!(refused(text), @r#"
    gristmill.toml:7: function.f.memory: is more than host.memory_max, 64MiB; lower it, or raise the other
    gristmill.toml:8: function.f.reserved_concurrency: 11 is out of range; it has to be between 1 and 10
    gristmill.toml:9: function.f.instance_max_invocations: 0 is out of range; it has to be between 1 and 4294967295
    gristmill.toml:11: function.f.environment.AWS_REGION: is set by the host, as AWS Lambda sets it; take it out
    gristmill.toml:12: function.f.environment.A-B: is no name of a variable: letters a-z and A-Z, digits and `_`, not beginning with a digit
    gristmill.toml:13: function.f.environment.N: is an integer, but has to be a string
    gristmill.toml:14: function.f.environment.E: names no variable after env:
    gristmill.toml:17: function.f.allow.dirs[0].host: and host.data_dir are one in the other: what the host keeps there is trusted; grant another directory
    gristmill.toml:18: function.f.allow.dirs[1].guest: "x" is no absolute path, such as "/data"
    gristmill.toml:19: function.f.allow.dirs[2].writable: unknown key; choose from `write`, `host`, `guest`
    gristmill.toml:20: function.f.allow.dirs[3].guest: "/y" is the name of another directory too
    gristmill.toml:22: function.f.allow.dirs[5].host: and open are one in the other, and the outer one may be written: a link in the inner one's place would lead anywhere; grant directories side by side
    gristmill.toml:23: function.f.allow.dirs[6]: is a string, but has to be a table
    gristmill.toml:25: function.f.allow.network: "db.local" has no port; write HOST:PORT, such as "db.local:5432"
    gristmill.toml:26: function.f.allow.http: is a string, but has to be an array of strings
    gristmill.toml:27: function.f.allow.sockets: unknown key; choose from `dirs`, `network`, `http`
    "#);
}
