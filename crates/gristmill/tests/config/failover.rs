//! URLs of ActiveMQ: as people have them from Java, several in one, with options and passwords.
//!
//! The password of these tests is `hunter2`, whole or in parts. What must never happen: it shows.

use std::path::Path;

use gristmill::config::{Config, Credentials, RemoteConfig};
use insta::assert_snapshot;

use crate::{parse, refused, refused_values_on};

const PLAIN: [&str; 2] = ["type = 'activemq'", "url = 'tcp://h'"];

fn config(url: &str) -> Config {
    parse(&format!("[broker.b]\ntype = 'activemq'\n{url}"))
}

fn broker(url: &str) -> RemoteConfig {
    config(url).brokers["b"].remote().unwrap().clone()
}

/// What a broker's addresses are, and whether they are encrypted.
fn addresses(url: &str) -> String {
    let broker = broker(url);
    let addresses =
        broker.addresses.iter().map(|address| format!("{}:{}", address.host, address.port));
    let tls = if broker.tls.is_some() { " with TLS" } else { "" };
    format!("{}{tls}", addresses.collect::<Vec<_>>().join(" "))
}

#[test]
fn schemes_and_ports_are_those_of_java() {
    for scheme in ["tcp", "nio", "auto", "TCP"] {
        assert_eq!(addresses(&format!("url = '{scheme}://h'")), "h:61616");
    }
    for scheme in ["ssl", "nio+ssl", "auto+ssl"] {
        assert_eq!(addresses(&format!("url = '{scheme}://h'")), "h:61617 with TLS");
    }
    assert_eq!(addresses("url = 'tcp://[::1]:7'"), "::1:7");
    assert_eq!(addresses("url = 'tcp://h:61616/'"), "h:61616");
    assert_eq!(addresses("urls = ['tcp://one', 'nio://two:7?a=b']"), "one:61616 two:7");
    let tls = broker("url = 'ssl://h'\ntls = { ca = 'ca.pem', server_name = 'x' }").tls.unwrap();
    assert_eq!(tls.server_name.as_deref(), Some("x"));
}

#[test]
fn failover_is_read_in_all_its_spellings() {
    for url in [
        "failover:(tcp://one,tcp://two:7)",
        "failover://(tcp://one,tcp://two:7)",
        "failover:tcp://one,tcp://two:7",
        "failover://tcp://one,tcp://two:7",
        "FAILOVER: ( tcp://one , tcp://two:7 ) ",
        "failover:(tcp://one?a=b&c=d,tcp://two:7)?randomize=false&nested.a=b",
        "failover:tcp://one,tcp://two:7?randomize=false",
        "failover:(tcp://one,nio://two:7)?",
    ] {
        assert_eq!(addresses(&format!("url = '{url}'")), "one:61616 two:7", "{url}");
    }
    assert_eq!(addresses("url = 'failover:(ssl://one,ssl://two)'"), "one:61617 two:61617 with TLS");
    let sixteen = vec!["tcp://h"; 16].join(",");
    assert_eq!(broker(&format!("url = 'failover:({sixteen})'")).addresses.len(), 16);
}

#[test]
fn a_login_in_the_url_is_taken_and_hidden() {
    for url in ["tcp://u:hunt%65r2@h", "failover:(tcp://u:hunter2@one,tcp://u:hunter2@two)?a=b"] {
        let config = config(&format!("url = '{url}'"));
        assert!(!format!("{config:?} {:?}", config.advice()).contains("hunt"), "{config:?}");
        assert!(config.advice()[0].starts_with("broker.b has credentials in its URL"));
        let broker = config.brokers["b"].remote().unwrap();
        let login = broker.credentials.resolve(|_| None).unwrap().unwrap();
        assert_eq!((login.username.as_str(), login.password.expose()), ("u", "hunter2"));
    }
    assert_eq!(broker("url = 'tcp://h'").credentials, Credentials::None);
    let both = "[broker.b]\ntype = 'activemq'\nurl = 'failover:(tcp://u:hunter2@h)'\n\
                credentials = 'env:B'";
    assert_snapshot!(refused(both), @"gristmill.toml:4: broker.b.credentials: the URL holds credentials too; take them out of the URL");
}

#[test]
fn options_are_told_by_name_with_the_key_that_does_the_same() {
    let config = config(
        "url = 'failover:(tcp://one?wireFormat.maxInactivityDuration=hunter2,\
         tcp://two?soTimeout=hunter2&socket.keyStorePassword=hunter2)?randomize=hunter2\
         &nested.wireFormat.maxInactivityDuration=hunter2&jms.userName=hunter2&jms.password=hunter2\
         &jms.prefetchPolicy.queuePrefetch=hunter2&jms.redeliveryPolicy.maximumRedeliveries=hunter2\
         &jms.redeliveryPolicy.useExponentialBackOff=hunter2&jms.prefetchPolicy.all=hunter2'",
    );
    let advice = config.advice().join("\n");
    assert!(!format!("{config:?} {advice}").contains("hunter"), "{config:?} {advice}");
    assert_snapshot!(advice, @"broker.b has options in its URL that are passed over; take them out: `jms.password` (write `credentials`), `jms.prefetchPolicy.all` (write `prefetch` in the mapping), `jms.prefetchPolicy.queuePrefetch` (write `prefetch` in the mapping), `jms.redeliveryPolicy.maximumRedeliveries` (write `maximum_retry_attempts` in the mapping), `jms.redeliveryPolicy.useExponentialBackOff`, `jms.userName` (write `credentials`), `nested.wireFormat.maxInactivityDuration` (write a third of it as `heartbeat`), `randomize`, `soTimeout`, `socket.keyStorePassword`, `wireFormat.maxInactivityDuration` (write a third of it as `heartbeat`)");
}

#[test]
fn broken_urls_are_told_without_a_part_of_them() {
    let values = [
        "'localhost:61616'",
        "'http://u:hunter2@h'",
        "'stomp+ssl://u:hunter2@h'",
        "'amqp://u:hunter2@h'",
        "'AMQPS://u:hunter2@h'",
        "'tcp:h'",
        "'tcp://'",
        "'tcp://u:hunter2@'",
        "'tcp://u:hunter2@h:0'",
        "'tcp://u:hunter2@h:99999'",
        "'tcp://u:hunter2@h/x'",
        "'tcp://u:12/hunter2@h'",
        "'tcp://h#hunter2'",
        "'tcp://hunter2@h'",
        "'tcp://:hunter2@h'",
        "'tcp://u:hunter2%FF@h'",
        "'tcp://u:12?hunter2@h'",
        "'tcp://u:12?hunter2=1@h'",
        "'tcp://u:12?a=hunter2@h'",
        "'tcp://h?hunter2'",
        "'tcp://h?a=b&hunter2'",
        "'tcp://h?hun ter2=1'",
        "'tcp://one,tcp://u:hunter2@two'",
        "'tcp://one,hunter2:1'",
        "'failover'",
        "'failover:'",
        "'failover:()'",
        "'failover:(tcp://u:hunter2@h'",
        "'failover:(tcp://u:hunter2)x@h)'",
        "'failover:(tcp://u:hunter2@h)?hunter2'",
        "'failover:(tcp://u:hunter2@h)?a=hunter2@h'",
        "'failover:(tcp://u:hunter2@h)?a=b#hunter2'",
        "'failover:(tcp://u:hunter2@h)/hunter2'",
        "'failover:(tcp://u:12,hunter2@h)'",
        "'failover:(tcp://h,)'",
        "'failover:(tcp://h,amqp://u:hunter2@h)'",
        "'failover:(failover:(tcp://u:hunter2@h))'",
        "'failover:(tcp://h,failover:tcp://hunter2)'",
        "'failover:(tcp://u:hunter2@h,ssl://u:hunter2@h)'",
        "'failover:(tcp://u:hunter2@h,tcp://u:hunter3@h)'",
        "'failover:(tcp://u:hunter2@h,tcp://h)'",
        "['tcp://h']",
    ];
    let mut said = String::new();
    for value in values {
        let refusal = refused_values_on(PLAIN, "broker.b", "url", &[value]);
        let message = refusal.strip_prefix(&format!("{value}: ")).unwrap();
        assert!(!message.contains("hun") && !message.contains("ter2"), "{message}");
        said += &refusal;
    }
    assert_snapshot!(said, @r#"
    'localhost:61616': has to begin with tcp:// or ssl:// (or nio, auto, nio+ssl, auto+ssl), or, for several addresses, to be failover:(URL,URL)
    'http://u:hunter2@h': has to begin with tcp:// or ssl:// (or nio, auto, nio+ssl, auto+ssl), or, for several addresses, to be failover:(URL,URL)
    'stomp+ssl://u:hunter2@h': has to begin with tcp:// or ssl:// (or nio, auto, nio+ssl, auto+ssl), or, for several addresses, to be failover:(URL,URL)
    'amqp://u:hunter2@h': begins as the URLs of the type "rabbitmq" do; ActiveMQ is reached over OpenWire: write tcp:// or ssl://, or change the type
    'AMQPS://u:hunter2@h': begins as the URLs of the type "rabbitmq" do; ActiveMQ is reached over OpenWire: write tcp:// or ssl://, or change the type
    'tcp:h': has no host; write tcp://HOST:PORT
    'tcp://': has no host; write tcp://HOST:PORT
    'tcp://u:hunter2@': is not a URL (empty host); write tcp://HOST:PORT, with %XX for special characters
    'tcp://u:hunter2@h:0': has the port 0; write one from 1 to 65535, or none for 61616 (ssl: 61617)
    'tcp://u:hunter2@h:99999': is not a URL (invalid port number); write tcp://HOST:PORT, with %XX for special characters
    'tcp://u:hunter2@h/x': has a path; take it off: several addresses are written failover:(URL,URL) or in `urls`, and a `/` of the password is written %2F
    'tcp://u:12/hunter2@h': has a path; take it off: several addresses are written failover:(URL,URL) or in `urls`, and a `/` of the password is written %2F
    'tcp://h#hunter2': has a `#`; take off what begins there, or, in the password, write %23
    'tcp://hunter2@h': has a user name but no password; write both, or neither
    'tcp://:hunter2@h': has a password but no user name; write both, or neither
    'tcp://u:hunter2%FF@h': has credentials that are not UTF-8 once decoded
    'tcp://u:12?hunter2@h': has something else than options NAME=VALUE, with `&` between them, behind its `?`; take it off, or, in the password, write %3F for `?` (in a value, %40 for `@` and %23 for `#`)
    'tcp://u:12?hunter2=1@h': has something else than options NAME=VALUE, with `&` between them, behind its `?`; take it off, or, in the password, write %3F for `?` (in a value, %40 for `@` and %23 for `#`)
    'tcp://u:12?a=hunter2@h': has something else than options NAME=VALUE, with `&` between them, behind its `?`; take it off, or, in the password, write %3F for `?` (in a value, %40 for `@` and %23 for `#`)
    'tcp://h?hunter2': has something else than options NAME=VALUE, with `&` between them, behind its `?`; take it off, or, in the password, write %3F for `?` (in a value, %40 for `@` and %23 for `#`)
    'tcp://h?a=b&hunter2': has something else than options NAME=VALUE, with `&` between them, behind its `?`; take it off, or, in the password, write %3F for `?` (in a value, %40 for `@` and %23 for `#`)
    'tcp://h?hun ter2=1': has something else than options NAME=VALUE, with `&` between them, behind its `?`; take it off, or, in the password, write %3F for `?` (in a value, %40 for `@` and %23 for `#`)
    'tcp://one,tcp://u:hunter2@two': has a path; take it off: several addresses are written failover:(URL,URL) or in `urls`, and a `/` of the password is written %2F
    'tcp://one,hunter2:1': has a `,`, `(` or `)` in its host; write several addresses as failover:(URL,URL)
    'failover': is not a URL (relative URL without a base); write tcp://HOST:PORT, with %XX for special characters
    'failover:': has 0 addresses, but has to have 1 to 16
    'failover:()': has 0 addresses, but has to have 1 to 16
    'failover:(tcp://u:hunter2@h': has a `(` but no `)`; write failover:(URL,URL)
    'failover:(tcp://u:hunter2)x@h)': has something behind its `)`; take it off, or, in the password, write %28 for `(` and %29 for `)`
    'failover:(tcp://u:hunter2@h)?hunter2': has something else than options NAME=VALUE, with `&` between them, behind its `?`; take it off, or, in the password, write %3F for `?` (in a value, %40 for `@` and %23 for `#`)
    'failover:(tcp://u:hunter2@h)?a=hunter2@h': has something else than options NAME=VALUE, with `&` between them, behind its `?`; take it off, or, in the password, write %3F for `?` (in a value, %40 for `@` and %23 for `#`)
    'failover:(tcp://u:hunter2@h)?a=b#hunter2': has something else than options NAME=VALUE, with `&` between them, behind its `?`; take it off, or, in the password, write %3F for `?` (in a value, %40 for `@` and %23 for `#`)
    'failover:(tcp://u:hunter2@h)/hunter2': has something behind its `)`; take it off, or, in the password, write %28 for `(` and %29 for `)`
    'failover:(tcp://u:12,hunter2@h)': address 2: is not a URL (relative URL without a base); write tcp://HOST:PORT, with %XX for special characters
    'failover:(tcp://h,)': address 2: is not a URL (relative URL without a base); write tcp://HOST:PORT, with %XX for special characters
    'failover:(tcp://h,amqp://u:hunter2@h)': address 2: begins as the URLs of the type "rabbitmq" do; ActiveMQ is reached over OpenWire: write tcp:// or ssl://, or change the type
    'failover:(failover:(tcp://u:hunter2@h))': has something behind its `)`; take it off, or, in the password, write %28 for `(` and %29 for `)`
    'failover:(tcp://h,failover:tcp://hunter2)': address 2: is a failover:, but has to be one address; write failover:(URL,URL) into `url`, and one in it only
    'failover:(tcp://u:hunter2@h,ssl://u:hunter2@h)': has addresses with TLS (ssl://) and without (tcp://); write all with, or all without
    'failover:(tcp://u:hunter2@h,tcp://u:hunter3@h)': has addresses with different credentials; write the same into each, or none
    'failover:(tcp://u:hunter2@h,tcp://h)': has addresses with different credentials; write the same into each, or none
    ['tcp://h']: is an array, but has to be a string
    "#);
}

#[test]
fn urls_that_are_not_one_broker() {
    let urls = |urls: &str| refused(&format!("[broker.b]\ntype = 'activemq'\nurls = {urls}"));
    assert_snapshot!(urls("'tcp://h'"), @"gristmill.toml:3: broker.b.urls: is a string, but has to be an array of URLs");
    assert_snapshot!(urls("[]"), @"gristmill.toml:3: broker.b.urls: has 0 URLs, but has to have 1 to 16");
    assert_snapshot!(urls("['tcp://h', 7]"), @"gristmill.toml:3: broker.b.urls: URL 2: is an integer, but has to be a string");
    assert_snapshot!(urls("['tcp://h', 'failover:(tcp://h)']"), @"gristmill.toml:3: broker.b.urls: URL 2: is a failover:, but has to be one address; write failover:(URL,URL) into `url`, and one in it only");
    assert_snapshot!(urls("['tcp://h', 'ssl://h']"), @"gristmill.toml:3: broker.b.urls: has addresses with TLS (ssl://) and without (tcp://); write all with, or all without");
    let seventeen = vec!["tcp://h"; 17].join(",");
    let said = refused_values_on(PLAIN, "broker.b", "url", &[&format!("'failover:({seventeen})'")]);
    assert_snapshot!(said.replace(&seventeen, "…"), @"'failover:(…)': has 17 addresses, but has to have 1 to 16");
}

#[test]
fn a_url_of_the_other_type_is_told_as_such() {
    let rabbitmq = ["type = 'rabbitmq'", "url = 'amqp://h'"];
    let values = ["'tcp://u:hunter2@h'", "'nio+ssl://h'", "'failover:(tcp://u:hunter2@h:1,x)'"];
    let said: Vec<String> = values
        .iter()
        .map(|value| {
            let said = refused_values_on(rabbitmq, "broker.b", "url", &[value]);
            said.strip_prefix(&format!("{value}: ")).unwrap().to_owned()
        })
        .collect();
    assert_snapshot!(said.concat(), @r#"
    begins as the URLs of the type "activemq" do; write amqp:// or amqps://, or change the type
    begins as the URLs of the type "activemq" do; write amqp:// or amqps://, or change the type
    begins as the URLs of the type "activemq" do; write amqp:// or amqps://, or change the type
    "#);
    assert_snapshot!(refused("[broker.b]\ntype = 'rabbitmq'\nurls = ['amqp://h', 'ssl://h']"), @r#"gristmill.toml:3: broker.b.urls: URL 2: begins as the URLs of the type "activemq" do; write amqp:// or amqps://, or change the type"#);
}

/// Passwords of every printable character at every place of a URL: whatever becomes of it, no part of
/// the password is told.
#[test]
fn no_character_of_a_password_makes_it_show() {
    let specials = " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
    let templates = [
        "tcp://u:{}@h:61616",
        "failover:(tcp://u:{}@h,tcp://u:{}@i)?a=b",
        "failover:tcp://u:{}@h",
        "failover:(tcp://h?a={})?b={}",
        "tcp://h?jms.password={}",
        "{}",
        "failover:({})",
    ];
    for template in templates {
        for special in specials.chars() {
            for password in [
                format!("hunter{special}ter2"),
                format!("{special}hunter2"),
                format!("hunter2{special}"),
                format!("1{special}hunter2"),
            ] {
                let url = template.replace("{}", &password);
                let escaped = url.replace('\\', "\\\\").replace('"', "\\\"");
                for key in [format!("url = \"{escaped}\""), format!("urls = [\"{escaped}\"]")] {
                    let text = format!("[broker.b]\ntype = 'activemq'\n{key}");
                    let said = match Config::parse(&text, Path::new("g.toml")) {
                        Ok(config) => format!("{} {config:?}", config.advice().join("\n")),
                        Err(error) => format!("{error} {error:?}"),
                    };
                    assert!(!said.contains("hun") && !said.contains("ter2"), "{url}: {said}");
                }
            }
        }
    }
}
