//! Lists of brokers: the first that lives is taken, and after its death the next.

use std::time::Duration;

use activemq_openwire::client::{Address, ClientSettings, ConnectError, Connector};
use activemq_openwire::connection::{CloseReason, Login};
use gristmill_testkit::activemq::{ActiveMqServer, Settings};

use crate::support::{consumer, next, send_numbers, settings, text};

/// By Java's URL for such a pair.
fn failover(first: &ActiveMqServer, second: &ActiveMqServer) -> ClientSettings {
    let url = format!("failover:({},{})?randomize=false", first.url(), second.url());
    ClientSettings { addresses: Address::parse(&url).unwrap(), ..settings(first) }
}

#[tokio::test]
async fn the_next_of_a_list_is_taken_when_one_is_dead() {
    let (mut first, mut second) =
        tokio::try_join!(ActiveMqServer::start(), ActiveMqServer::start()).unwrap();
    send_numbers(&second, "orders", 1).await;
    let connector = Connector::new(failover(&first, &second));
    // The first is dead from the beginning.
    first.kill9().await.unwrap();
    let client = connector.connect().await.unwrap();
    assert_eq!(client.address().port, second.port());
    let mut on_second = consumer(&client, "orders", 1).await;
    assert_eq!(text(&next(&mut on_second).await), "0");

    // The first comes back, and the one in use dies.
    first.restart().await.unwrap();
    send_numbers(&first, "orders", 1).await;
    second.kill9().await.unwrap();
    assert_eq!(client.closed().await, CloseReason::Lost);
    let client = connector.connect().await.unwrap();
    assert_eq!(client.address().port, first.port());
    let mut on_first = consumer(&client, "orders", 1).await;
    let delivery = next(&mut on_first).await;
    assert_eq!(text(&delivery), "0");
    on_first.ack(delivery.tag).await.unwrap();
    client.close().await;
    // What was good the last time is asked first, also when both live.
    second.restart().await.unwrap();
    let client = connector.connect().await.unwrap();
    assert_eq!(client.address().port, first.port());
    client.close().await;

    // One that hangs is passed over, too.
    first.freeze().await.unwrap();
    let login_timeout = Duration::from_millis(500);
    let connector = Connector::new(ClientSettings { login_timeout, ..failover(&first, &second) });
    let client = connector.connect().await.unwrap();
    assert_eq!(client.address().port, second.port());
    client.close().await;

    // Nobody is there: the error is that of the last.
    first.kill9().await.unwrap();
    second.kill9().await.unwrap();
    let error = Connector::new(failover(&first, &second)).connect().await.unwrap_err();
    let ConnectError::Unreachable { broker, .. } = &error else { panic!("{error:?}") };
    assert_eq!(broker.port, second.port());
}

#[tokio::test]
async fn a_refused_login_is_not_taken_to_the_next() {
    let guarded = Settings::new().user("app", "secret", "apps");
    let guarded = ActiveMqServer::start_with(&guarded).await.unwrap();
    let open = ActiveMqServer::shared().await.unwrap();
    let login = Some(Login::new("app", "wrong"));
    let settings = ClientSettings { login, ..failover(&guarded, open) };
    let error = Connector::new(settings).connect().await.unwrap_err();
    let ConnectError::LoginRefused { broker } = &error else { panic!("{error:?}") };
    assert_eq!(broker.port, guarded.port());
}
