//! Connections that end and brokers that die: what was said to be kept is there.

use std::time::Duration;

use gristmill_broker::{DeadLetter, DeadLetters, Disposition, KeepError};
use gristmill_rabbitmq::DeadLetterQueue;
use gristmill_testkit::proxy::Proxy;
use gristmill_testkit::rabbitmq::RabbitServer;
use gristmill_testkit::wait::until;
use tokio::time::timeout;

use crate::support::{DEAD, LONG, Line, bodies, clear_alarm, ends, set_alarm};

/// Tries until it goes, as a mapping does.
async fn kept_at_last(place: &DeadLetterQueue, letters: &[DeadLetter]) {
    let is_kept = async || {
        let kept = place.keep(letters.to_vec()).await;
        kept.inspect_err(|error| assert_eq!(error.disposition(), Disposition::Reconnect, "{error}"))
            .is_ok()
    };
    until(LONG, is_kept).await;
}

#[tokio::test]
async fn letters_outlive_the_broker() {
    let mut server = RabbitServer::start().await.unwrap();
    let mut line = Line::on(&server).await;
    let place = line.place();
    let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let letters = line.letters(&names).await;
    server.sync_declarations().await.unwrap();
    place.keep(letters.clone()).await.unwrap();
    server.kill9().await.unwrap();
    let error = ends(place.keep(letters.clone())).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Reconnect, "{error}");
    let error = ends(place.check()).await.unwrap_err();
    assert!(matches!(error, KeepError::Connection(_)), "{error}");
    server.restart().await.unwrap();
    let mut client = server.client(&line.virtual_host).await.unwrap();
    assert_eq!(bodies(&mut client, DEAD).await, names);
    kept_at_last(&place, &letters[..1]).await;
    assert_eq!(bodies(&mut client, DEAD).await, ["0"]);
}

#[tokio::test]
async fn a_connection_cut_while_letters_wait_is_an_error_and_the_next_try_makes_another() {
    let server = RabbitServer::start().await.unwrap();
    let proxy = Proxy::start(server.amqp_port()).await.unwrap();
    let mut line = Line::through(&server, proxy.port()).await;
    let place = line.place();
    let letters = line.letters(&["a"]).await;
    set_alarm(&server, "memory").await;
    let mut keeping = place.keep(letters.clone());
    assert!(timeout(Duration::from_secs(1), &mut keeping).await.is_err());
    proxy.cut();
    let error = ends(keeping).await.unwrap_err();
    assert!(matches!(error, KeepError::Lost { .. }), "{error}");
    assert_eq!(error.disposition(), Disposition::Reconnect);
    clear_alarm(&server, "memory").await;
    kept_at_last(&place, &letters).await;
}

/// As an operator closes it, whom the client answers before anything else.
#[tokio::test]
async fn a_connection_closed_while_letters_wait_is_an_error() {
    let server = RabbitServer::start().await.unwrap();
    let mut line = Line::on(&server).await;
    let place = line.place();
    let letters = line.letters(&["a"]).await;
    set_alarm(&server, "memory").await;
    let mut keeping = place.keep(letters.clone());
    assert!(timeout(Duration::from_secs(1), &mut keeping).await.is_err());
    server.close_connections(&line.virtual_host).await.unwrap();
    let error = ends(keeping).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Reconnect, "{error}");
    clear_alarm(&server, "memory").await;
    kept_at_last(&place, &letters).await;
}

#[tokio::test]
async fn a_frozen_broker_is_lost_by_its_heartbeat() {
    let mut server = RabbitServer::start().await.unwrap();
    let mut line = Line::on(&server).await;
    let place = line.place();
    let letters = line.letters(&["a"]).await;
    place.keep(letters.clone()).await.unwrap();
    server.freeze().await.unwrap();
    let error = ends(place.keep(letters.clone())).await.unwrap_err();
    assert!(matches!(error, KeepError::Lost { .. }), "{error}");
    server.thaw().unwrap();
    kept_at_last(&place, &letters).await;
}
