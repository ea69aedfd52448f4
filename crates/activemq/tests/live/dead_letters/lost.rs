//! Connections that end and brokers that die: what was said to be kept is there.

use std::future::poll_fn;
use std::task::Poll;

use futures_util::FutureExt;
use gristmill_testkit::proxy::Proxy;

use super::*;

async fn proxied(server: &ActiveMqServer) -> (Proxy, Line) {
    let proxy = Proxy::start(server.port()).await.unwrap();
    let line = Line::through(server, &format!("tcp://127.0.0.1:{}", proxy.port())).await;
    (proxy, line)
}

#[tokio::test]
async fn letters_outlive_the_broker() {
    let mut server = ActiveMqServer::start().await.unwrap();
    let mut line = Line::on(&server).await;
    let place = line.place();
    let (letters, texts) = numbered(&mut line, 100).await;
    ends(place.keep(letters.clone())).await.unwrap();
    server.kill9().await.unwrap();
    let error = ends(place.keep(letters.clone())).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Reconnect, "{error}");
    let error = ends(place.check()).await.unwrap_err();
    assert!(matches!(error, KeepError::Connection(_)), "{error}");
    assert_eq!(error.disposition(), Disposition::Reconnect);
    server.restart().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    assert_eq!(bodies_of(&peer.take(DEAD, 100, LONG).await.unwrap()), texts);
    kept_at_last(&place, &letters[..1]).await;
    assert_eq!(held(&mut peer, DEAD).await, ["0"]);
}

/// Whenever it dies: what it said that it has, it has, and what it did not say may be there too.
#[tokio::test]
async fn a_broker_that_dies_meanwhile_has_everything_that_was_confirmed() {
    let mut server = ActiveMqServer::start().await.unwrap();
    let mut line = Line::on(&server).await;
    let place = line.place();
    let (letters, texts) = numbered(&mut line, 100).await;
    let mut confirmed = Vec::new();
    let keeping = async {
        for (letter, text) in letters.iter().cycle().zip(texts.iter().cycle()) {
            if let Err(error) = place.keep(vec![letter.clone()]).await {
                assert_eq!(error.disposition(), Disposition::Reconnect, "{error}");
                return;
            }
            confirmed.push(text.as_str());
        }
    };
    let killing = async {
        let some = |counts: gristmill_testkit::activemq::QueueCounts| counts.enqueued > 20;
        server.wait_for_counts(DEAD, LONG, some).await.unwrap();
        server.kill9().await.unwrap();
    };
    timeout(LONGEST, async { tokio::join!(keeping, killing) }).await.unwrap();
    server.restart().await.unwrap();
    let count = server.queue_counts(DEAD).await.unwrap().messages.try_into().unwrap();
    let taken = server.peer().await.unwrap().take(DEAD, count, LONG).await.unwrap();
    let held = bodies_of(&taken);
    assert!(confirmed.len() >= 20 && held[..confirmed.len()] == confirmed[..]);
    assert!(held.len() <= confirmed.len() + 1);
}

#[tokio::test]
async fn a_frozen_broker_is_lost_by_its_silence() {
    let mut server = ActiveMqServer::start().await.unwrap();
    let mut line = Line::on(&server).await;
    let place = line.place();
    let letters = line.letters(&["a"]).await;
    ends(place.check()).await.unwrap();
    server.freeze().await.unwrap();
    let error = ends(place.keep(letters.clone())).await.unwrap_err();
    assert!(matches!(error, KeepError::Lost { .. }), "{error}");
    assert!(error.to_string().contains("silent"), "{error}");
    // A new connection is given up in its own time.
    let settings =
        ConnectionSettings { connect_timeout: Duration::from_secs(2), ..publishing(&server.url()) };
    let late = ActiveMq::new(settings).dead_letter_queue(DEAD, "gristmill-live", QUEUE);
    let error = ends(late.keep(letters.clone())).await.unwrap_err();
    assert!(matches!(error, KeepError::Connection(_)), "{error}");
    assert_eq!(error.disposition(), Disposition::Reconnect);
    server.thaw().unwrap();
    kept_at_last(&place, &letters).await;
    // What it had been sent before, it may find when it goes on.
    let held = held(&mut line.peer, DEAD).await;
    assert!((1..=2).contains(&held.len()), "{held:?}");
}

/// No confirmation comes, though the letter has arrived.
#[tokio::test]
async fn a_connection_cut_before_the_confirmation_is_an_error() {
    let server = ActiveMqServer::start().await.unwrap();
    let (proxy, mut line) = proxied(&server).await;
    let place = line.place();
    let letters = line.letters(&["a"]).await;
    ends(place.check()).await.unwrap();
    proxy.delay(Duration::from_secs(2));
    let mut keeping = place.keep(letters.clone());
    tokio::select! {
        kept = &mut keeping => panic!("{kept:?}"),
        () = wait_for(&server, DEAD, 1, 0) => {}
    }
    assert!((&mut keeping).now_or_never().is_none());
    proxy.cut();
    is_lost(keeping).await;
    proxy.delay(Duration::ZERO);
    ends(place.keep(letters)).await.unwrap();
    assert_eq!(held(&mut line.peer, DEAD).await, ["a", "a"]);
}

/// As a firewall does that has forgotten a connection.
#[tokio::test]
async fn a_network_that_swallows_everything_is_noticed() {
    let server = ActiveMqServer::start().await.unwrap();
    let (proxy, mut line) = proxied(&server).await;
    let place = line.place();
    let letters = line.letters(&["a"]).await;
    ends(place.check()).await.unwrap();
    proxy.swallow(true);
    is_lost(place.keep(letters.clone())).await;
    proxy.swallow(false);
    ends(place.keep(letters)).await.unwrap();
    assert_eq!(held(&mut line.peer, DEAD).await, ["a"]);
}

#[tokio::test]
async fn a_broker_that_cannot_be_reached_is_tried_again() {
    let server = ActiveMqServer::start().await.unwrap();
    let (proxy, mut line) = proxied(&server).await;
    let place = line.place();
    let letters = line.letters(&["a"]).await;
    proxy.refuse(true);
    for error in [ends(place.check()).await, ends(place.keep(letters.clone())).await] {
        let error = error.unwrap_err();
        assert!(matches!(error, KeepError::Connection(_)), "{error}");
        assert_eq!(error.disposition(), Disposition::Reconnect);
    }
    proxy.refuse(false);
    ends(place.keep(letters.clone())).await.unwrap();
    // A connection that has ended meanwhile is replaced without an error.
    server.close_connections().await.unwrap();
    line.peer = server.peer().await.unwrap();
    kept_at_last(&place, &letters).await;
    assert_eq!(held(&mut line.peer, DEAD).await, ["a", "a"]);
}

#[tokio::test]
async fn the_standby_has_what_the_master_confirmed() {
    let mut master = ActiveMqServer::start().await.unwrap();
    let standby = master.standby().unwrap();
    let url = format!("failover:({},{})", master.url(), standby.url());
    let mut line = Line::through(&master, &url).await;
    let place = line.place();
    let letters = line.letters(&["a", "b"]).await;
    ends(place.keep(letters[..1].to_vec())).await.unwrap();
    master.kill9().await.unwrap();
    standby.ready().await.unwrap();
    kept_at_last(&place, &letters[1..]).await;
    assert_eq!(held(&mut standby.peer().await.unwrap(), DEAD).await, ["a", "b"]);
}

/// Whether it has ended after so many steps, of which each is something that it waited for.
async fn after_steps(keeping: &mut Keeping<'_>, count: u32) -> bool {
    let mut steps = 0;
    let polling = poll_fn(|context| {
        steps += 1;
        match keeping.as_mut().poll(context) {
            Poll::Ready(kept) => {
                kept.unwrap();
                Poll::Ready(true)
            }
            Poll::Pending if steps > count => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    });
    timeout(LONGEST, polling).await.unwrap()
}

/// At each step of the way: while it connects, logs in, opens a producer, sends and waits.
#[tokio::test]
async fn a_dropped_future_hangs_nothing() {
    let server = ActiveMqServer::start().await.unwrap();
    let mut line = Line::on(&server).await;
    let letters = line.letters(&["dropped", "dropped", "kept"]).await;
    let mut count = 0;
    loop {
        let place = line.place();
        let mut keeping = place.keep(letters[..2].to_vec());
        let has_ended = after_steps(&mut keeping, count).await;
        drop(keeping);
        ends(place.keep(letters[2..].to_vec())).await.unwrap();
        count += 1;
        if has_ended {
            break;
        }
    }
    assert!(count > 4, "{count}");
    are_connected(&server, 2).await;
    let held = held(&mut line.peer, DEAD).await;
    let kept = held.iter().filter(|text| *text == "kept").count();
    assert_eq!(kept, usize::try_from(count).unwrap());
}
