//! The network: nothing without a grant, with one what it names, and each refusal told once.
//!
//! What WASI 0.2 offers that could reach out of an instance, interface by interface, and why each is
//! harmless. Nothing else is linked.
//!
//! | interface | reaches | kept by |
//! |---|---|---|
//! | `cli/environment` | variables, arguments | own ones only: `kinds` |
//! | `cli/exit` | ends the instance | a trap to the host: `kinds` |
//! | `cli/stdin` | closed, or the event | `misbehaviour`, `kinds` |
//! | `cli/stdout`, `stderr` | log, or the response | bounded: `output`, `misbehaviour`, `kinds` |
//! | `cli/terminal-*` | nothing: no stream is a terminal | |
//! | `clocks/*` | time, waiting | the call's timeout: `limits`, `misbehaviour` |
//! | `filesystem/preopens` | the granted directories | `files` |
//! | `filesystem/types` | files below them | `files` |
//! | `http/types` | memory of the host | bounded: `tests/memory` |
//! | `http/outgoing-handler` | HTTP servers | here |
//! | `io/error`, `poll`, `streams` | what the others gave out | `misbehaviour` |
//! | `random/*` | random bytes | bounded: `misbehaviour` |
//! | `sockets/instance-network`, `network` | nothing by themselves | |
//! | `sockets/ip-name-lookup` | DNS | here |
//! | `sockets/tcp*`, `udp*` | sockets | here |

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use gristmill_sandbox::{FunctionSettings, Grants, Limits, LoadedFunction, Refusal};

use crate::support::{Captured, answer, causes, component_with, load_bytes, load_with};

fn granted(network: &[&str], http: &[&str]) -> LoadedFunction {
    let grants = Grants {
        network: network.iter().map(|text| text.parse().unwrap()).collect(),
        http: http.iter().map(|text| text.parse().unwrap()).collect(),
        ..Grants::default()
    };
    // Long for what ends at once, and short for what hangs because it was let through.
    let limits = Limits { timeout: Duration::from_secs(60), ..Limits::default() };
    load_with("reaches-out", FunctionSettings { limits, grants, ..FunctionSettings::default() })
}

/// A listener that nobody takes connections from: the operating system makes them.
fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn without_a_grant_nothing_is_reached_and_each_refusal_is_told_once() {
    let (_listener, address) = listener();
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    udp.set_nonblocking(true).unwrap();
    let udp_address = udp.local_addr().unwrap();
    for (way, error, told) in [
        (format!("tcp {address}"), "access-denied", "use sockets"),
        ("tcp [::1]:80".to_owned(), "access-denied", "use sockets"),
        (format!("udp {udp_address}"), "access-denied", "use sockets"),
        (format!("udp-stream {udp_address}"), "access-denied", "use sockets"),
        ("bind 127.0.0.1:0".to_owned(), "access-denied", "use sockets"),
        ("bind 127.0.0.1:9".to_owned(), "access-denied", "bind to 127.0.0.1:9"),
        ("udp-bind 0.0.0.0:9".to_owned(), "access-denied", "bind to 0.0.0.0:9"),
        ("listen 0.0.0.0:0".to_owned(), "access-denied", "use sockets"),
        ("lookup localhost".to_owned(), "access-denied", "look up localhost"),
        ("lookup 127.0.0.1".to_owned(), "access-denied", "look up 127.0.0.1"),
        (
            format!("http {address}"),
            "ErrorCode::HttpRequestDenied",
            &*format!("send a request to {address}"),
        ),
    ] {
        let function = granted(&[], &[]);
        let captured = Captured::start();
        let said = answer(&function, &format!("1000 times {way}")).await;
        assert_eq!(said, error, "{way}");
        // Another instance of the same function tells nothing new.
        answer(&function, &way).await;
        let lines: Vec<BTreeMap<String, String>> = captured.take();
        assert_eq!(lines.len(), 1, "{way}: {lines:?}");
        let message = "the handler was refused what it is not granted; told once";
        assert_eq!(lines[0]["message"], message);
        assert_eq!((lines[0]["refused"].as_str(), lines[0]["level"].as_str()), (told, "WARN"));
    }
    assert!(udp.recv(&mut [0; 16]).is_err(), "nothing has come");
}

#[tokio::test]
async fn a_thousand_different_refusals_are_told_as_far_as_the_log_goes() {
    let function = granted(&["localhost:1"], &[]);
    let captured = Captured::start();
    for port in 1..=300 {
        answer(&function, &format!("tcp 127.0.0.1:{port}")).await;
    }
    assert_eq!(captured.take().len(), 100);
}

#[tokio::test]
async fn a_granted_address_is_reached_and_no_other_port_or_way() {
    let (_granted, address) = listener();
    let (_other, other) = listener();
    let function = granted(&[&address.to_string()], &[]);
    let captured = Captured::start();
    assert_eq!(answer(&function, &format!("tcp {address}")).await, "connected");
    for (way, error) in [
        (format!("tcp {other}"), "access-denied"),
        (format!("udp {other}"), "access-denied"),
        ("listen 0.0.0.0:0".to_owned(), "access-denied"),
        ("listen 127.0.0.1:0".to_owned(), "access-denied"),
        (format!("bind {address}"), "access-denied"),
        ("lookup localhost".to_owned(), "access-denied"),
        (format!("http {address}"), "ErrorCode::HttpRequestDenied"),
    ] {
        assert_eq!(answer(&function, &way).await, error, "{way}");
    }
    let told: Vec<String> = captured.take().iter().map(|line| line["refused"].clone()).collect();
    assert_eq!(told[0], format!("connect to {other}"));
    assert!(told.contains(&"look up localhost".to_owned()), "{told:?}");
}

#[tokio::test]
async fn a_granted_address_is_sent_to() {
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = udp.local_addr().unwrap();
    let function = granted(&[&address.to_string()], &[]);
    for way in ["udp", "udp-stream"] {
        assert_eq!(answer(&function, &format!("{way} {address}")).await, "sent 1");
        let mut buffer = [0; 16];
        let received = udp.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..received], b"hello");
    }
}

#[tokio::test]
async fn a_granted_name_is_looked_up_and_its_addresses_are_reached_on_its_port() {
    let (_granted, address) = listener();
    let (_other, other) = listener();
    let port = address.port();
    let function = granted(&[&format!("localhost:{port}")], &[]);
    // Not before it was looked up, and not what another instance has looked up.
    assert_eq!(answer(&function, &format!("tcp {address}")).await, "access-denied");
    assert_eq!(answer(&function, &format!("lookup-tcp LocalHost {port}")).await, "connected");
    let refused = answer(&function, &format!("lookup-tcp localhost {}", other.port())).await;
    assert_eq!(refused, "access-denied");
    for name in ["localhost.localdomain", "example.com", "127.0.0.1", "localhost.example.com"] {
        assert_eq!(answer(&function, &format!("lookup {name}")).await, "access-denied", "{name}");
    }
    for bad in ["", "local\u{0}host", "*", "localhost:80"] {
        assert_eq!(answer(&function, &format!("lookup {bad}")).await, "invalid-argument", "{bad}");
    }
}

#[tokio::test]
async fn a_call_that_gives_up_lookups_again_and_again_gets_no_more() {
    let function = granted(&["localhost:80"], &[]);
    assert_eq!(answer(&function, "100 times abandon localhost").await, "begun");
    let refused = answer(&function, "101 times abandon localhost").await;
    assert_eq!(refused, "temporary-resolver-failure");
    // Whoever waits for the answers has as many as it likes.
    assert!(answer(&function, "1000 times lookup localhost").await.ends_with(" found"));
}

/// Answers one request with one text, and shows the first line of the request.
fn serve_once(listener: TcpListener) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let (mut connection, _peer) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && connection.read(&mut byte).unwrap() > 0 {
            request.push(byte[0]);
        }
        let response = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nmill";
        connection.write_all(response).unwrap();
        String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned()
    })
}

#[tokio::test]
async fn a_request_goes_to_a_granted_host_and_to_no_other_port() {
    let (listener_of_granted, address) = listener();
    let (_other, other) = listener();
    let function = granted(&[], &[&address.to_string()]);
    let served = serve_once(listener_of_granted);
    assert_eq!(answer(&function, &format!("http {address}")).await, "200 mill");
    assert_eq!(served.join().unwrap(), "GET / HTTP/1.1");
    let captured = Captured::start();
    for authority in [other.to_string(), "127.0.0.1".to_owned(), format!("user@{address}")] {
        let said = answer(&function, &format!("http {authority}")).await;
        assert_eq!(said, "ErrorCode::HttpRequestDenied", "{authority}");
    }
    assert_eq!(captured.take()[0]["refused"], format!("send a request to {other}"));
    // HTTP is no way to sockets.
    assert_eq!(answer(&function, &format!("tcp {address}")).await, "access-denied");
}

#[test]
fn what_wasi_has_beside_that_is_refused() {
    let refused = |import: &str| {
        let module = r#"(memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
            (func (export "handle") (param i32 i32) (result i32) i32.const 0)"#;
        let import = format!(r#"(import "wasi:{import}" (instance (export "f" (func))))"#);
        load_bytes(&component_with(&import, module), FunctionSettings::default()).unwrap_err()
    };
    for import in [
        "keyvalue/store@0.2.0",
        "config/store@0.2.0",
        "blobstore/container@0.2.0",
        "messaging/producer@0.2.0",
        "nn/graph@0.2.0",
        "logging/logging@0.2.0",
        "tls/types@0.2.0",
        "cli/environment@0.3.0",
        "filesystem/types@0.3.0",
        "sockets/types@0.3.0",
    ] {
        let error = refused(import);
        let Refusal::Imports { imports, .. } = &error.refusal else { panic!("{error}") };
        assert_eq!(*imports, [format!("wasi:{import}")]);
    }
    // These are of a package that is given, so the cause has to name them.
    for import in ["http/incoming-handler@0.2.0", "clocks/timezone@0.2.0"] {
        let error = refused(import);
        assert!(matches!(error.refusal, Refusal::Imports { .. }), "{error}");
        assert!(causes(&error).contains(import), "{}", causes(&error));
    }
}
