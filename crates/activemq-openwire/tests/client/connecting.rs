//! Addresses in turn, logins, and the ends of connections.

use activemq_openwire::client::{ClientSettings, ConnectError, Connector, RequestError};
use activemq_openwire::connection::{CloseReason, Login};
use activemq_openwire::structures::{ConnectionControl, Structure};

use super::broker::Port;

#[tokio::test]
async fn addresses_are_tried_in_turn_from_the_one_that_was_good() {
    let (first, second) = (Port::open().await, Port::open().await);
    let settings = ClientSettings::new("test", vec![first.address(), second.address()]);
    let connector = Connector::new(settings);
    let address = first.address();
    drop(first);
    for _ in 0..2 {
        let accepting = async {
            let mut peer = second.accept().await;
            let info = peer.log_in().await;
            (peer, info.client_id.unwrap().to_string())
        };
        let (client, (peer, client_id)) = tokio::join!(connector.connect(), accepting);
        assert_eq!(client.unwrap().address(), &second.address());
        assert!(client_id.starts_with("ID:test:"), "{client_id}");
        drop(peer);
    }
    // From the second on, the first is the last to be tried.
    drop(second);
    let error = connector.connect().await.unwrap_err();
    let ConnectError::Unreachable { broker, .. } = error else { panic!("{error:?}") };
    assert_eq!(broker, address);
}

#[tokio::test]
async fn every_connection_has_ids_of_its_own() {
    let port = Port::open().await;
    let connector = port.connector();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let accepting = async {
            let mut peer = port.accept().await;
            let info = peer.log_in().await;
            (peer, info.connection_id.unwrap().to_string())
        };
        let (_client, (_peer, id)) = tokio::join!(connector.connect(), accepting);
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_refused_login_ends_the_round_and_is_shown_to_nobody() {
    let (first, second) = (Port::open().await, Port::open().await);
    let mut settings = ClientSettings::new("test", vec![first.address(), second.address()]);
    settings.login = Some(Login::new("user-7", "secret"));
    assert!(!format!("{settings:?}").contains("secret"));
    let connector = Connector::new(settings);
    let accepting = async {
        let mut peer = first.accept().await;
        let info = peer.negotiate().await;
        assert_eq!(info.password.as_ref().unwrap().expose(), &"secret");
        peer.refuse(info.header, "java.lang.SecurityException").await;
        peer
    };
    let (result, _peer) = tokio::join!(connector.connect(), accepting);
    let error = result.unwrap_err();
    assert!(matches!(error, ConnectError::LoginRefused { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("user-7"));
}

#[tokio::test]
async fn a_broker_that_hangs_up_is_asked_once_more() {
    let port = Port::open().await;
    let connector = port.connector();
    let accepting = async {
        port.accept().await.negotiate().await;
        let mut peer = port.accept().await;
        let info = peer.negotiate().await;
        peer.refuse(info.header, "java.lang.SecurityException").await;
        peer
    };
    let (result, _peer) = tokio::join!(connector.connect(), accepting);
    assert!(matches!(result.unwrap_err(), ConnectError::LoginRefused { .. }));
}

#[tokio::test]
async fn what_is_no_broker_is_told_from_one_that_is_gone() {
    let port = Port::open().await;
    let accepting = async {
        port.accept().await.say_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        drop(port.accept().await);
        drop(port.accept().await);
    };
    let connector = port.connector();
    let connecting = async { (connector.connect().await, connector.connect().await) };
    let ((not_a_broker, gone), ()) = tokio::join!(connecting, accepting);
    assert!(matches!(not_a_broker.unwrap_err(), ConnectError::Violation { .. }));
    let gone = gone.unwrap_err();
    assert!(matches!(gone, ConnectError::Lost { source: CloseReason::Lost, .. }), "{gone:?}");

    let address = port.address();
    drop(port);
    let connector = Connector::new(ClientSettings::new("test", vec![address]));
    let error = connector.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    let connector = Connector::new(ClientSettings::new("test", Vec::new()));
    assert!(matches!(connector.connect().await.unwrap_err(), ConnectError::NoAddress));
}

#[tokio::test]
async fn a_violation_later_on_ends_what_waits() {
    let port = Port::open().await;
    let (client, mut peer) = port.meet().await;
    let broken = async {
        peer.next().await;
        peer.say_bytes(&[0xFF; 8]).await;
    };
    let (session, ()) = tokio::join!(client.session(), broken);
    assert!(matches!(session.unwrap_err(), RequestError::Violation(_)));
    assert!(matches!(client.closed().await, CloseReason::Violated(_)));
    assert!(matches!(client.session().await.unwrap_err(), RequestError::Violation(_)));
}

#[tokio::test]
async fn a_close_is_confirmed_and_ends_with_a_farewell() {
    let port = Port::open().await;
    let (client, mut peer) = port.meet().await;
    let confirming = async {
        let Some(Structure::RemoveInfo(info)) = peer.next().await else { panic!() };
        peer.accept(info.header).await;
        assert!(matches!(peer.next().await, Some(Structure::ShutdownInfo(_))));
        assert!(peer.next().await.is_none());
    };
    let (reason, ()) = tokio::join!(client.close(), confirming);
    assert_eq!(reason, CloseReason::Requested);
}

#[tokio::test]
async fn a_broker_can_ask_to_leave_before_it_answers_the_login() {
    let port = Port::open().await;
    let connector = port.connector();
    let accepting = async {
        let mut peer = port.accept().await;
        let info = peer.negotiate().await;
        peer.say(ConnectionControl { close: true, ..ConnectionControl::default() }).await;
        peer.accept(info.header).await;
        peer
    };
    let (client, _peer) = tokio::join!(connector.connect(), accepting);
    client.unwrap().leave_asked().await;

    let accepting = async {
        let mut peer = port.accept().await;
        let info = peer.negotiate().await;
        peer.say(ConnectionControl { close: true, ..ConnectionControl::default() }).await;
        peer.refuse(info.header, "java.lang.SecurityException").await;
        peer
    };
    let (client, _peer) = tokio::join!(connector.connect(), accepting);
    assert!(matches!(client.unwrap_err(), ConnectError::LoginRefused { .. }));
}

#[tokio::test]
async fn a_dropped_client_cuts_the_connection() {
    let port = Port::open().await;
    let (client, mut peer) = port.meet().await;
    drop(client);
    assert!(peer.next().await.is_none());
}
