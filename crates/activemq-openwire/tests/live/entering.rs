//! Who is let in and what they may do, and that each refusal is told from every other.

use std::time::SystemTime;

use activemq_openwire::client::{
    Client, ClientSettings, ConnectError, Connector, ReceiveError, RequestError,
};
use activemq_openwire::connection::{CloseReason, ConsumerOptions, Login, RefusalKind, Violation};
use activemq_openwire::structures::{Destination, DestinationKind};
use activemq_openwire::{DecodeError, Limits, Outgoing};
use gristmill_testkit::activemq::{ActiveMqServer, Rights, Settings};
use tokio::sync::OnceCell;

use crate::support::{
    connected, consumer, left, line, next, producer, settings, text, told, try_consumer, try_send,
};

/// A server on which everybody needs a login, and `orders.eu` is there.
async fn guarded() -> &'static ActiveMqServer {
    static GUARDED: OnceCell<ActiveMqServer> = OnceCell::const_new();
    GUARDED
        .get_or_init(async || {
            let rights = Rights { read: "apps,readers", write: "apps,writers", admin: "apps" };
            let guarded = Settings::new()
                .user("app", "secret-a", "apps")
                .user("reader", "secret-r", "readers")
                .user("writer", "secret-w", "writers")
                .user("other", "secret-o", "others")
                .rights("orders.>", rights);
            let server = ActiveMqServer::start_with(&guarded).await.unwrap();
            server.create_queue("orders.eu").await.unwrap();
            server
        })
        .await
}

async fn try_login(login: Option<Login>) -> Result<Client, ConnectError> {
    let settings = ClientSettings { login, ..settings(guarded().await) };
    Connector::new(settings).connect().await
}

async fn logged_in(name: &str, password: &str) -> Client {
    try_login(Some(Login::new(name, password))).await.unwrap()
}

#[tokio::test]
async fn a_refused_login_is_told_without_it() {
    for login in [
        Some(Login::new("app", "secret-x")),
        Some(Login::new("nobody", "secret-x")),
        Some(Login::new("app", "")),
        None,
    ] {
        let refused = try_login(login).await.unwrap_err();
        assert!(matches!(refused, ConnectError::LoginRefused { .. }), "{refused:?}");
        let broker = guarded().await.url();
        let expected = format!("{broker} refuses the login: check the user name and password");
        assert_eq!(told(&refused), expected);
        assert!(!format!("{refused:?}").contains("secret"));
    }
    logged_in("app", "secret-a").await.close().await;
}

#[track_caller]
fn assert_right_missing<T: std::fmt::Debug>(refused: Result<T, RequestError>, what: &str) {
    let refused = refused.unwrap_err();
    let RequestError::MissingRight(refusal) = &refused else { panic!("{refused:?}") };
    assert_eq!(refusal.kind, RefusalKind::MissingRight);
    let expected = format!("the broker denies the right to do this: SecurityException: {what}");
    assert_eq!(told(&refused), expected);
}

#[tokio::test]
async fn a_missing_right_is_told_by_its_name_and_the_connection_stands() {
    let reader = logged_in("reader", "secret-r").await;
    let may_not = |what: &str| format!("User reader is not authorized to {what}");
    assert_right_missing(
        try_send(&reader, "orders.eu").await,
        &may_not("write to: queue://orders.eu"),
    );
    // It would come into being by being used.
    assert_right_missing(
        try_consumer(&reader, "orders.us", 1).await,
        &may_not("create: queue://orders.us"),
    );
    let writer = logged_in("writer", "secret-w").await;
    assert_right_missing(
        try_send(&writer, "orders.us").await,
        "User writer is not authorized to create: queue://orders.us",
    );
    assert_right_missing(
        try_consumer(&writer, "orders.eu", 1).await,
        "User writer is not authorized to read from: queue://orders.eu",
    );
    let other = logged_in("other", "secret-o").await;
    assert_right_missing(
        try_consumer(&other, "orders.eu", 1).await,
        "User other is not authorized to read from: queue://orders.eu",
    );
    assert_right_missing(
        try_send(&other, "orders.eu").await,
        "User other is not authorized to write to: queue://orders.eu",
    );

    // Each connection goes on with what its user may.
    let mut consumer = consumer(&reader, "orders.eu", 1).await;
    try_send(&writer, "orders.eu").await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!(text(&delivery), "1");
    consumer.ack(delivery.tag).await.unwrap();
    for client in [reader, writer, other] {
        assert_eq!(client.close().await, CloseReason::Requested);
    }
}

#[tokio::test]
async fn an_unknown_destination_is_told_from_a_missing_right() {
    let server = ActiveMqServer::shared().await.unwrap();
    let client = connected(server).await;
    let nobodys = Destination {
        kind: DestinationKind::TempQueue,
        physical_name: Some("ID:nobody-1-1:1:1".into()),
    };
    let message = Outgoing::text("1", SystemTime::now());
    let refused = producer(&client).await.send(&nobodys, message).await.unwrap_err();
    assert!(matches!(refused, RequestError::UnknownDestination(_)), "{refused:?}");
    let expected = "the broker has no such destination: \
                    DestinationDoesNotExistException: temp-queue://ID:nobody-1-1:1:1";
    assert_eq!(told(&refused), expected);
    // Before 6 only Java's client refuses to consume from another's temporary queue.
    let options = ConsumerOptions::new(nobodys, 1);
    let opened = client.session().await.unwrap().consumer(&options).await;
    if line(server) < (6, 0) {
        opened.unwrap();
    } else {
        let refused = opened.unwrap_err();
        assert!(matches!(refused, RequestError::UnknownDestination(_)), "{refused:?}");
        let expected = "the broker has no such destination: InvalidDestinationException: \
                        Subscribing to a temporary queue created by another connection is not \
                        permitted";
        assert_eq!(told(&refused), expected);
    }
    client.close().await;
}

#[tokio::test]
async fn an_invalid_selector_is_refused_and_the_connection_stands() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let client = connected(server).await;
    let selector = Some("no = (selector".to_owned());
    let options =
        ConsumerOptions { selector, ..ConsumerOptions::new(Destination::queue(&queue), 1) };
    let refused = client.session().await.unwrap().consumer(&options).await.unwrap_err();
    let RequestError::Refused(refusal) = &refused else { panic!("{refused:?}") };
    assert_eq!(refusal.kind, RefusalKind::InvalidSelector);
    try_send(&client, &queue).await.unwrap();
    let mut consumer = consumer(&client, &queue, 1).await;
    assert_eq!(text(&next(&mut consumer).await), "1");
    client.close().await;
}

#[tokio::test]
async fn a_selector_gets_what_it_names() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let client = connected(server).await;
    let producer = producer(&client).await;
    for number in 0..4 {
        let mut message = Outgoing::text(&number.to_string(), SystemTime::now());
        message.properties.insert("number", number);
        producer.send(&Destination::queue(&queue), message).await.unwrap();
    }
    let selector = Some("number > 1".to_owned());
    let options =
        ConsumerOptions { selector, ..ConsumerOptions::new(Destination::queue(&queue), 9) };
    let mut consumer = client.session().await.unwrap().consumer(&options).await.unwrap();
    for number in ["2", "3"] {
        let delivery = next(&mut consumer).await;
        assert_eq!(text(&delivery), number);
        consumer.ack(delivery.tag).await.unwrap();
    }
    consumer.close().await.unwrap();
    assert_eq!(left(server, &queue).await, ["0", "1"]);
    client.close().await;
}

/// A broker does not check what it sends against what the other side takes.
#[tokio::test]
async fn a_violation_is_told_from_a_broker_that_is_gone() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let limits = Limits { frame_bytes_max: 50_000, ..Limits::default() };
    let settings = ClientSettings { limits, ..settings(server) };
    let client = Connector::new(settings).connect().await.unwrap();
    let mut consumer = consumer(&client, &queue, 1).await;
    let sender = connected(server).await;
    let large = Outgoing::bytes(vec![7; 100_000], SystemTime::now());
    producer(&sender).await.send(&Destination::queue(&queue), large).await.unwrap();
    let ended = consumer.receive().await.map(drop);
    let Err(ReceiveError::Ended(CloseReason::Violated(violation))) = &ended else {
        panic!("{ended:?}")
    };
    assert!(
        matches!(violation, Violation::Undecodable(DecodeError::FrameSize { .. })),
        "{violation:?}"
    );
    let refused = client.session().await.map(drop);
    assert_eq!(refused, Err(RequestError::Violation(violation.clone())));
}

#[tokio::test]
async fn a_name_that_is_in_use_ends_the_earlier_connection() {
    let server = ActiveMqServer::shared().await.unwrap();
    let same = settings(server);
    let earlier = Connector::new(same.clone()).connect().await.unwrap();
    let later = Connector::new(same).connect().await.unwrap();
    assert_eq!(earlier.closed().await, CloseReason::Lost);
    later.session().await.unwrap();
    later.close().await;
}
