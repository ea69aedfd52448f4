//! How attempts and epochs end: what each refusal means, and how long it takes to notice that a broker
//! has gone.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gristmill_broker::{Disposition, LoginSource, Settlement, Source, StopCode, with_causes};
use gristmill_testkit::activemq::{ActiveMqServer, Rights, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// What an attempt to subscribe to a queue says.
async fn refused(settings: ConnectionSettings, queue: &str) -> SourceError {
    let mut source = source(settings, queue, 10);
    timeout(LONG, source.subscribe()).await.unwrap().unwrap_err()
}

fn stops_with(error: &SourceError, code: StopCode) {
    assert_eq!(error.disposition(), Disposition::Stop(code), "{error}");
}

#[tokio::test]
async fn the_login_is_looked_up_for_every_connection() {
    let settings = Settings::new().user("host", "right", "hosts");
    let server = ActiveMqServer::start_with(&settings).await.unwrap();
    let password = Arc::new(Mutex::new(None::<String>));
    let current = Arc::clone(&password);
    let look_up = LoginSource::new(move || match &*current.lock().unwrap() {
        None => Err("nothing there".into()),
        Some(password) => Ok(login("host", password)),
    });
    let settings = ConnectionSettings { login: Some(look_up), ..super::settings(&server.url()) };
    let error = refused(settings.clone(), "orders").await;
    assert!(matches!(error, SourceError::LoginMissing { .. }), "{error}");
    assert_eq!(with_causes(&error), format!("no login for {}: nothing there", server.url()));
    stops_with(&error, StopCode::AuthenticationError);

    *password.lock().unwrap() = Some("hunter2".to_owned());
    let error = refused(settings.clone(), "orders").await;
    assert!(matches!(error, SourceError::LoginRefused { .. }), "{error}");
    stops_with(&error, StopCode::AuthenticationError);
    assert!(!format!("{error:?} {error} {settings:?}").contains("hunter2"));
    let nobody = refused(super::settings(&server.url()), "orders").await;
    assert!(matches!(nobody, SourceError::LoginRefused { .. }), "{nobody}");

    *password.lock().unwrap() = Some("right".to_owned());
    let mut source = source(settings, "orders", 10);
    source.subscribe().await.unwrap();
    source.close().await;
}

#[tokio::test]
async fn a_missing_right_is_told_from_a_missing_queue() {
    let settings = Settings::new()
        .user("reader", "r", "readers")
        .user("maker", "m", "makers")
        .rights("orders.>", Rights { read: "readers,makers", write: "makers", admin: "makers" })
        .rights("payments", Rights { read: "makers", write: "makers", admin: "makers" });
    let server = ActiveMqServer::start_with(&settings).await.unwrap();
    server.create_queue("payments").await.unwrap();
    let as_user = |name, password| ConnectionSettings {
        login: Some(login(name, password).into()),
        ..super::settings(&server.url())
    };
    let error = refused(as_user("reader", "r"), "payments").await;
    assert!(matches!(error, SourceError::ReadRefused { .. }), "{error}");
    stops_with(&error, StopCode::AuthorizationError);
    let said = error.to_string();
    assert!(
        said.contains("User reader is not authorized to read from: queue://payments"),
        "{said}"
    );

    let error = refused(as_user("reader", "r"), "orders.new").await;
    assert!(matches!(error, SourceError::QueueMissing { .. }), "{error}");
    stops_with(&error, StopCode::ConfigNotValid);
    let said = error.to_string();
    assert!(said.starts_with("no queue `orders.new`: declare it, or correct"), "{said}");
    assert!(said.contains("or grant this login `admin` on it"), "{said}");
    assert!(!server.queues().await.unwrap().contains(&"orders.new".to_owned()));

    // Whoever may, makes it, and then the other can read it.
    for (user, password) in [("maker", "m"), ("reader", "r")] {
        let mut source = source(as_user(user, password), "orders.new", 10);
        source.subscribe().await.unwrap();
        source.close().await;
    }
    assert!(server.queues().await.unwrap().contains(&"orders.new".to_owned()));
}

#[tokio::test]
async fn an_attempt_that_times_out_leaves_no_socket_behind() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tcp://{}", silent.local_addr().unwrap());
    let connect_timeout = Duration::from_millis(200);
    let error = refused(ConnectionSettings { connect_timeout, ..settings(&url) }, "orders").await;
    assert!(matches!(&error, SourceError::Unreachable { .. }), "{error}");
    assert_eq!(error.disposition(), Disposition::Reconnect);
    let (mut accepted, _) = silent.accept().await.unwrap();
    let mut said = Vec::new();
    timeout(LONG, accepted.read_to_end(&mut said)).await.unwrap().unwrap();
    assert_eq!(&said[4..13], b"\x01ActiveMQ", "an offer, and then the end");
    assert_eq!(said.len(), 4 + usize::from(said[3]));
}

#[tokio::test]
async fn whoever_speaks_something_else_is_told_by_name() {
    // A web server waits to be asked; a broker of another kind says what it wants to hear.
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"AMQP\0\0\x09\x01"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("tcp://{}", listener.local_addr().unwrap());
        let answering = async {
            let (mut accepted, _) = listener.accept().await.unwrap();
            assert!(accepted.read(&mut [0; 512]).await.unwrap() > 0);
            accepted.write_all(answer).await.unwrap();
        };
        let (error, ()) = tokio::join!(refused(settings(&url), "orders"), answering);
        assert_eq!(error.disposition(), Disposition::Reconnect);
        let said = with_causes(&error);
        let advice = format!(
            "cannot connect to {url}: {url} does not keep to OpenWire: check that the port"
        );
        assert!(said.starts_with(&advice), "{said}");
    }
    let error = refused(settings("tcp://127.0.0.1:1"), "orders").await;
    assert_eq!(error.disposition(), Disposition::Reconnect);
    assert!(with_causes(&error).contains("refused"), "{error:?}");
    let url = "failover:(tcp://127.0.0.1:1,tcp://127.0.0.1:2)";
    let error = refused(settings(url), "orders").await;
    assert_eq!(error.to_string(), "cannot connect to tcp://127.0.0.1:1, tcp://127.0.0.1:2");
}

#[tokio::test]
async fn a_broker_without_a_place_for_connections_is_tried_again() {
    let settings = Settings::new().transport("maximumConnections=1");
    let server = ActiveMqServer::start_with(&settings).await.unwrap();
    let first = server.peer().await.unwrap();
    let settings = ConnectionSettings {
        connect_timeout: Duration::from_secs(5),
        ..super::settings(&server.url())
    };
    let error = refused(settings.clone(), "orders").await;
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error}");
    assert_eq!(error.disposition(), Disposition::Reconnect);
    first.close().await.unwrap();
    let mut source = source(settings, "orders", 10);
    let begun = Instant::now();
    while let Err(error) = source.subscribe().await {
        assert!(begun.elapsed() < LONG, "{error}");
    }
    source.close().await;
}

#[tokio::test]
async fn the_next_address_takes_over_from_a_broker_that_dies_or_freezes() {
    let (master, standby) = tokio::join!(ActiveMqServer::start(), ActiveMqServer::start());
    let (mut master, mut standby) = (master.unwrap(), standby.unwrap());
    send_texts(&mut master.peer().await.unwrap(), "orders", &["of the master"]).await;
    send_texts(&mut standby.peer().await.unwrap(), "orders", &["of the standby"]).await;
    let url = format!("failover:(tcp://127.0.0.1:1,{},{})", master.url(), standby.url());
    let settings = ConnectionSettings { connect_timeout: Duration::from_secs(5), ..settings(&url) };
    let mut source = source(settings, "orders", 10);
    source.subscribe().await.unwrap();
    assert_eq!(bodies(&take(&mut source, 1).await), ["of the master"]);

    master.kill9().await.unwrap();
    let error = ended(&mut source).await;
    assert!(matches!(error, SourceError::Lost { .. }), "{error}");
    source.subscribe().await.unwrap();
    let taken = take(&mut source, 1).await;
    assert_eq!(bodies(&taken), ["of the standby"]);

    // It is the first that is asked first, when it is there again.
    standby.freeze().await.unwrap();
    master.restart().await.unwrap();
    assert_eq!(settle(&mut source, Settlement::Ack, &tokens(&taken)).await, sent(1));
    source.subscribe().await.unwrap();
    let taken = take(&mut source, 1).await;
    assert_eq!(bodies(&taken), ["of the master"]);
    assert_eq!(settle(&mut source, Settlement::Ack, &tokens(&taken)).await, sent(1));
    source.close().await;
    wait_for(&master, "orders", 0, 0).await;

    // One that hangs is passed by as well.
    master.freeze().await.unwrap();
    standby.thaw().unwrap();
    let begun = Instant::now();
    source.subscribe().await.unwrap();
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(5) && waited < Duration::from_secs(15), "{waited:?}");
    source.close().await;
}

#[tokio::test]
async fn a_frozen_broker_is_noticed_and_a_restarted_one_has_the_messages() {
    let mut server = ActiveMqServer::start().await.unwrap();
    send_texts(&mut server.peer().await.unwrap(), "orders", &["a", "b"]).await;
    let heartbeat = Duration::from_millis(600);
    let settings = ConnectionSettings { heartbeat, ..settings(&server.url()) };
    let mut source = source(settings, "orders", 10);
    source.subscribe().await.unwrap();
    let taken = take(&mut source, 2).await;
    server.freeze().await.unwrap();
    let begun = Instant::now();
    let error = ended(&mut source).await;
    let noticed = begun.elapsed();
    assert!(matches!(error, SourceError::Lost { .. }), "{error}");
    assert!(error.to_string().contains("silent"), "{error}");
    // A silence of three heartbeats is agreed on, and half as much again is given. It is not counted
    // in the first moments of a connection.
    let agreed = heartbeat * 3;
    assert!(noticed >= agreed && noticed < agreed * 3, "{noticed:?}");
    assert_eq!(settle(&mut source, Settlement::Ack, &tokens(&taken)).await, stale(2));

    server.kill9().await.unwrap();
    server.restart().await.unwrap();
    source.subscribe().await.unwrap();
    let taken = take(&mut source, 2).await;
    assert_eq!((bodies(&taken), returns(&taken)), (vec!["a", "b"], vec![0, 0]));
    // An orderly end of the broker is a loss like any other.
    let (error, restarted) = tokio::join!(ended(&mut source), server.restart());
    restarted.unwrap();
    assert!(matches!(error, SourceError::Lost { .. }), "{error}");
    source.subscribe().await.unwrap();
    let taken = take(&mut source, 2).await;
    assert_eq!(settle(&mut source, Settlement::Ack, &tokens(&taken)).await, sent(2));
    wait_for(&server, "orders", 0, 0).await;
    source.close().await;
}
