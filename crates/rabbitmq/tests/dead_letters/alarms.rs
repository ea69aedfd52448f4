//! A broker that is short of memory or of disk: it takes nothing for as long as that lasts, and then all.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join_all;
use gristmill_broker::{DeadLetters, Disposition, KeepError, Settled, Settlement, Source};
use gristmill_testkit::amqp::Properties;
use gristmill_testkit::rabbitmq::{QueueCounts, RabbitServer};
use tokio::time::timeout;

use crate::support::{
    BEYOND_HEARTBEATS, DEAD, LONG, Line, QUEUE, bodies, clear_alarm, ends, set_alarm,
};

#[tokio::test]
async fn it_is_waited_for_while_acks_go_on_and_each_is_kept_once() {
    let server = RabbitServer::start().await.unwrap();
    let mut line = Line::on(&server).await;
    let place = line.place();
    place.check().await.unwrap();
    let letters = line.letters(&["a", "b", "c"]).await;
    let other = line.send(&Properties::default(), b"other").await;
    set_alarm(&server, "memory").await;
    let mut keeping = place.keep(letters);
    assert!(timeout(BEYOND_HEARTBEATS, &mut keeping).await.is_err());
    let settled = line.source.settle(Settlement::Ack, &[other.token]).await;
    assert_eq!(settled, Settled { sent: 1, stale: 0 });
    let acked = |counts: QueueCounts| counts.unacked == 3;
    server.wait_for_counts(&line.virtual_host, QUEUE, LONG, acked).await.unwrap();
    assert!((&mut keeping).now_or_never().is_none());
    clear_alarm(&server, "memory").await;
    ends(keeping).await.unwrap();
    let mut client = server.client(&line.virtual_host).await.unwrap();
    assert_eq!(bodies(&mut client, DEAD).await, ["a", "b", "c"]);
}

/// What was on its way may have been kept; nothing else is lost or waits.
#[tokio::test]
async fn a_dropped_future_hangs_nothing() {
    let server = RabbitServer::start().await.unwrap();
    let mut line = Line::on(&server).await;
    let place = line.place();
    let letters = line.letters(&["a"]).await;
    place.keep(letters.clone()).await.unwrap();
    set_alarm(&server, "disk").await;
    for _ in 0..3 {
        let waited = timeout(Duration::from_millis(300), place.keep(letters.clone())).await;
        assert!(waited.is_err());
    }
    clear_alarm(&server, "disk").await;
    ends(place.keep(letters)).await.unwrap();
    let mut client = server.client(&line.virtual_host).await.unwrap();
    let kept = bodies(&mut client, DEAD).await.len();
    assert!((2..=5).contains(&kept), "{kept}");
    timeout(LONG, line.publishing.close()).await.unwrap();
    timeout(LONG, line.source.close()).await.unwrap();
}

/// A large message, which the client has not written when its channel goes.
#[tokio::test]
async fn a_dropped_future_does_not_end_what_others_wait_for() {
    let server = RabbitServer::start().await.unwrap();
    let mut line = Line::on(&server).await;
    let (place, other) = (line.place(), line.place());
    let letters = line.letters(&["a", "b"]).await;
    let large = line.letters(&["x".repeat(8 << 20).as_str()]).await;
    // Both have their channels.
    for place in [&place, &other] {
        place.keep(letters.clone()).await.unwrap();
    }
    let mut client = server.client(&line.virtual_host).await.unwrap();
    client.purge_queue(DEAD).await.unwrap();
    set_alarm(&server, "memory").await;
    let mut keeping = place.keep(letters.clone());
    assert!(timeout(Duration::from_secs(1), &mut keeping).await.is_err());
    // The client knows by now that it is blocked, and holds this back itself.
    assert!(timeout(Duration::from_secs(1), other.keep(large)).await.is_err());
    clear_alarm(&server, "memory").await;
    ends(keeping).await.unwrap();
    ends(other.keep(letters)).await.unwrap();
    let kept = bodies(&mut client, DEAD).await;
    let small: String = kept.iter().filter(|body| body.len() == 1).map(String::as_str).collect();
    assert_eq!((small.as_str(), kept.len()), ("abab", 5));
}

#[tokio::test]
async fn a_connection_is_closed_in_an_alarm_without_waiting_for_its_end() {
    let server = RabbitServer::start().await.unwrap();
    let mut line = Line::on(&server).await;
    let place = line.place();
    let letters = line.letters(&["a"]).await;
    set_alarm(&server, "memory").await;
    assert!(timeout(Duration::from_secs(1), place.keep(letters.clone())).await.is_err());
    let began = Instant::now();
    line.publishing.close().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    clear_alarm(&server, "memory").await;
    ends(place.keep(letters)).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_freezes_in_an_alarm_is_lost() {
    let mut server = RabbitServer::start().await.unwrap();
    let mut line = Line::on(&server).await;
    let (place, other) = (line.place(), line.place());
    let letters = line.letters(&["a"]).await;
    other.keep(letters.clone()).await.unwrap();
    set_alarm(&server, "memory").await;
    let mut keeping = join_all([place.keep(letters.clone()), other.keep(letters.clone())]);
    assert!(timeout(Duration::from_secs(1), &mut keeping).await.is_err());
    server.freeze().await.unwrap();
    for kept in timeout(LONG, keeping).await.unwrap() {
        let error = kept.unwrap_err();
        assert!(matches!(error, KeepError::Lost { .. }), "{error}");
        assert_eq!(error.disposition(), Disposition::Reconnect);
    }
    server.thaw().unwrap();
    clear_alarm(&server, "memory").await;
    ends(place.keep(letters)).await.unwrap();
}
