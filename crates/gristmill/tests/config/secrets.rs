//! Credentials: where they come from, and that nothing ever says them.
//!
//! The password of these tests is `hunter2`, whole or in parts. What must never happen: it shows.

use gristmill::config::{Credentials, CredentialsError};
use insta::assert_snapshot;

use crate::{FULL, parse, refused, refused_values};

#[test]
fn broken_urls_are_told_without_a_part_of_them() {
    let values = [
        "'localhost:5672'",
        "'amqpss://u:hunter2@h'",
        "'http://u:hunter2@h'",
        "'amqp://'",
        "'amqp://u:hunter2@'",
        "'amqp://u:hunter2@:5672'",
        "'amqp://u:hunter2@h:0'",
        "'amqp://u:hunter2@h:99999'",
        "'amqp://u:hunter2@h/sales'",
        "'amqp://u:hun/ter2@h'",
        "'amqp://u:12/hunter2@h'",
        "'amqp://h?hunter2'",
        "'amqp://h#hunter2'",
        "'amqp://hunter2@h'",
        "'amqp://:hunter2@h'",
        "'amqp://u:hunter2%FF@h'",
        "['amqp://h']",
    ];
    let mut said = String::new();
    for value in values {
        let refusal = refused_values("broker.b", "url", &[value]);
        let message = refusal.strip_prefix(&format!("{value}: ")).unwrap();
        assert!(!message.contains("hun") && !message.contains("ter2"), "{message}");
        said += &refusal;
    }
    assert_snapshot!(said, @"
    'localhost:5672': has to begin with amqp:// or amqps://
    'amqpss://u:hunter2@h': has to begin with amqp:// or amqps://
    'http://u:hunter2@h': has to begin with amqp:// or amqps://
    'amqp://': has no host; write amqp://HOST:PORT
    'amqp://u:hunter2@': is not a URL (empty host); write amqp://HOST:PORT, with %XX for special characters
    'amqp://u:hunter2@:5672': is not a URL (empty host); write amqp://HOST:PORT, with %XX for special characters
    'amqp://u:hunter2@h:0': has the port 0; write one from 1 to 65535, or none for 5672 (amqps: 5671)
    'amqp://u:hunter2@h:99999': is not a URL (invalid port number); write amqp://HOST:PORT, with %XX for special characters
    'amqp://u:hunter2@h/sales': has a path; take it off, slash included: a mapping names its virtual host in `virtual_host`, and a `/` of the password is written %2F
    'amqp://u:hun/ter2@h': is not a URL (invalid port number); write amqp://HOST:PORT, with %XX for special characters
    'amqp://u:12/hunter2@h': has a path; take it off, slash included: a mapping names its virtual host in `virtual_host`, and a `/` of the password is written %2F
    'amqp://h?hunter2': has a `?` or `#`; take off what begins there, or, in the password, write %3F for `?` and %23 for `#`
    'amqp://h#hunter2': has a `?` or `#`; take off what begins there, or, in the password, write %3F for `?` and %23 for `#`
    'amqp://hunter2@h': has a user name but no password; write both, or neither
    'amqp://:hunter2@h': has a password but no user name; write both, or neither
    'amqp://u:hunter2%FF@h': has credentials that are not UTF-8 once decoded
    ['amqp://h']: is an array, but has to be a string
    ");
}

#[test]
fn credentials_stand_in_one_place_and_are_never_quoted() {
    let bare = FULL.replace("\"file:secrets/shop.json\"", "'hunter2'");
    assert_snapshot!(refused(&bare), @r#"gristmill.toml:12: broker.shop.credentials: has to be "env:NAME", an environment variable, or "file:PATH"; either holds {"username": …, "password": …}"#);
    let both = FULL.replace("hunter%322@[::1]\"", "hunter%322@[::1]\"\ncredentials = 'env:SHOP'");
    assert_snapshot!(refused(&both), @"gristmill.toml:19: broker.local.credentials: the URL holds credentials too; take them out of the URL");
}

#[test]
fn credentials_come_from_url_file_variable_or_the_broker_itself() {
    let no_environment = |_: &str| -> Option<String> { unreachable!("nothing to look up") };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.json");
    std::fs::write(&file, r#"{"username": "f", "password": "hunter2", "engine": "MQ"}"#).unwrap();

    let from_file = Credentials::File(file).resolve(no_environment).unwrap().unwrap();
    assert_eq!((from_file.username.as_str(), from_file.password.expose()), ("f", "hunter2"));
    let from_url =
        parse(FULL).brokers["local"].remote().unwrap().credentials.resolve(no_environment);
    let from_url = from_url.unwrap().unwrap();
    assert_eq!((from_url.username.as_str(), from_url.password.expose()), ("app", "hunter22"));
    let guest = Credentials::Guest.resolve(no_environment).unwrap().unwrap();
    assert_eq!(Credentials::None.resolve(no_environment).unwrap(), None);
    assert_eq!((guest.username.as_str(), guest.password.expose()), ("guest", "guest"));

    let variable = Credentials::Environment("SHOP".to_owned());
    let json =
        |name: &str| (name == "SHOP").then(|| r#"{"username":"e","password":"p"}"#.to_owned());
    assert_eq!(variable.resolve(json).unwrap().unwrap().username, "e");
    assert_eq!(
        format!("{from_url:?} {} {:?}", guest.password, guest.password),
        "Login([hidden]) [hidden] [hidden]"
    );
}

#[test]
fn credentials_that_cannot_be_read_are_told_without_what_was_read() {
    let said = |value: Option<&str>| -> String {
        let variable = Credentials::Environment("SHOP".to_owned());
        let error: CredentialsError = variable.resolve(|_| value.map(str::to_owned)).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("hunter2"));
        error.to_string()
    };
    let all = [
        said(None),
        said(Some("hunter2")),
        said(Some("\"hunter2\"")),
        said(Some(r#"{"password": "hunter2"}"#)),
        said(Some(r#"{"username": "hunter2", "password": 7}"#)),
        Credentials::File("no/such.json".into()).resolve(|_| None).unwrap_err().to_string(),
    ];
    assert_snapshot!(all.join("\n"), @r#"
    the environment variable SHOP is not set: set it to {"username": …, "password": …}
    the environment variable SHOP does not hold JSON: write {"username": …, "password": …}
    the environment variable SHOP has no string `username`: write {"username": …, "password": …}
    the environment variable SHOP has no string `username`: write {"username": …, "password": …}
    the environment variable SHOP has no string `password`: write {"username": …, "password": …}
    cannot read the credentials file no/such.json: check that it exists and may be read
    "#);
}

#[test]
fn text_that_is_not_toml_is_not_quoted() {
    let said = refused("[broker.b]\nurl = amqp://u:hunter2@h\npassword = hunter2\n'hunter2");
    assert!(!said.contains("hunter2"), "{said}");
    assert_snapshot!(said, @"
    gristmill.toml:2: not TOML: string values must be quoted, expected literal string
    gristmill.toml:3: not TOML: string values must be quoted, expected literal string
    gristmill.toml:4: not TOML: key with no value, expected `=`
    gristmill.toml:4: not TOML: invalid literal string, expected `'`
    ");
}
