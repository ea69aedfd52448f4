//! A queue for dead letters that has no room: it refuses them, or it takes nothing for as long as that
//! lasts and then all that it was sent.

use futures_util::FutureExt;
use gristmill_broker::StopCode;
use gristmill_testkit::activemq::Settings;
use gristmill_testkit::proxy::Proxy;

use super::*;

/// A queue that is full with one large letter. Its cursor would put persistent messages that it has no
/// memory for on disk, and never be full.
fn with_room_for_one(more: &[(&str, &str)]) -> Settings {
    let full = [("memoryLimit", "100000"), ("cursorMemoryHighWaterMark", "1000")];
    Settings::new().policy(DEAD, &[&full, more].concat())
}

/// A queue for which there is never room on the disk.
fn without_a_disk() -> Settings {
    Settings::new().policy(DEAD, &[("storeUsageHighWaterMark", "0")])
}

/// What there is, by the first letter of each.
async fn kept(line: &mut Line) -> String {
    held(&mut line.peer, DEAD).await.iter().map(|text| &text[..1]).collect()
}

/// A large letter of `a`s, which has been kept, and some more that have not.
async fn filled(line: &mut Line, place: &DeadLetterQueue, more: &[&str]) -> Vec<DeadLetter> {
    let large = line.letters(&[&"a".repeat(200_000)]).await;
    ends(place.keep(large)).await.unwrap();
    line.letters(more).await
}

/// Waits until the broker says that it has no room.
async fn is_full(server: &ActiveMqServer, said: &str) {
    until(LONG, async || server.log().iter().any(|line| line.contains(said))).await;
}

/// What it says of a queue's memory, and of the disk. It goes on reading from a connection in the one case
/// and does not in the other.
const MEMORY: &str = "Usage Manager Memory Limit";
const STORE: &str = "Persistent store is Full";

/// Waits until letters wait for room.
async fn waits(server: &ActiveMqServer, keeping: &mut Keeping<'_>, said: &str) {
    tokio::select! {
        kept = keeping => panic!("{kept:?}"),
        () = is_full(server, said) => {}
    }
}

fn is_not_taken(error: &KeepError, said: &str) {
    let KeepError::NotTaken { queue, reason } = error else { panic!("{error}") };
    assert_eq!(queue, DEAD);
    assert!(reason.contains(said), "{reason}");
    assert_eq!(error.disposition(), Disposition::Stop(StopCode::ConfigNotValid));
}

#[tokio::test]
async fn a_full_queue_that_refuses_says_so_and_nothing_is_lost() {
    // At once, or after a while.
    for how in [("sendFailIfNoSpace", "true"), ("sendFailIfNoSpaceAfterTimeout", "500")] {
        let server = ActiveMqServer::start_with(&with_room_for_one(&[how])).await.unwrap();
        let mut line = Line::on(&server).await;
        let place = line.place();
        let letters = filled(&mut line, &place, &["b", "c"]).await;
        for _ in 0..2 {
            let error = ends(place.keep(letters.clone())).await.unwrap_err();
            is_not_taken(&error, MEMORY);
        }
        assert_eq!(kept(&mut line).await, "a");
        server.purge(DEAD).await.unwrap();
        ends(place.keep(letters)).await.unwrap();
        assert_eq!(kept(&mut line).await, "bc");
    }
}

#[tokio::test]
async fn a_full_disk_that_refuses_says_so() {
    for how in [("sendFailIfNoSpace", "true"), ("sendFailIfNoSpaceAfterTimeout", "500")] {
        let settings = Settings::new().policy(DEAD, &[("storeUsageHighWaterMark", "0"), how]);
        let server = ActiveMqServer::start_with(&settings).await.unwrap();
        let mut line = Line::on(&server).await;
        let place = line.place();
        let letters = line.letters(&["a", "b"]).await;
        for _ in 0..2 {
            let error = ends(place.keep(letters.clone())).await.unwrap_err();
            is_not_taken(&error, STORE);
        }
        assert!(held(&mut line.peer, DEAD).await.is_empty());
        let other = line.broker.dead_letter_queue("other", "gristmill-live", QUEUE);
        ends(other.keep(letters)).await.unwrap();
    }
}

/// It is no reason to take the broker for frozen, either.
#[tokio::test]
async fn a_full_queue_is_waited_for_and_each_is_kept_once() {
    let server = ActiveMqServer::start_with(&with_room_for_one(&[])).await.unwrap();
    let mut line = Line::on(&server).await;
    let place = line.place();
    let letters = filled(&mut line, &place, &["b", "c", "d"]).await;
    let mut keeping = place.keep(letters);
    assert!(timeout(BEYOND_HEARTBEATS, &mut keeping).await.is_err());
    assert_eq!(kept(&mut line).await, "a");
    server.purge(DEAD).await.unwrap();
    ends(keeping).await.unwrap();
    assert_eq!(kept(&mut line).await, "bcd");
}

/// A disk that is full stops the whole connection, since the broker reads no more from it.
#[tokio::test]
async fn a_full_disk_is_waited_for_and_each_is_kept_once() {
    // Of two gigabytes.
    let settings = Settings::new().policy(DEAD, &[("storeUsageHighWaterMark", "2")]);
    let server = ActiveMqServer::start_with(&settings).await.unwrap();
    let mut line = Line::on(&server).await;
    let place = line.place();
    let letters = line.letters(&["a", "b", "c"]).await;
    ends(place.keep(letters[..1].to_vec())).await.unwrap();
    line.peer.fill("ballast", 60, 1 << 20, true).await.unwrap();
    let mut keeping = place.keep(letters[1..].to_vec());
    waits(&server, &mut keeping, STORE).await;
    // The broker looks for what it can remove twice in a minute.
    assert!(timeout(BEYOND_HEARTBEATS, &mut keeping).await.is_err());
    server.purge("ballast").await.unwrap();
    ends(keeping).await.unwrap();
    assert_eq!(held(&mut line.peer, DEAD).await, ["a", "b", "c"]);
}

/// What was on its way may be kept later; nothing else is lost or waits.
#[tokio::test]
async fn a_dropped_future_hangs_nothing() {
    let server = ActiveMqServer::start_with(&with_room_for_one(&[])).await.unwrap();
    let mut line = Line::on(&server).await;
    let place = line.place();
    let letters = filled(&mut line, &place, &["b", "c"]).await;
    waits(&server, &mut place.keep(letters[..1].to_vec()), MEMORY).await;
    let mut keeping = place.keep(letters[..1].to_vec());
    assert!(timeout(Duration::from_secs(1), &mut keeping).await.is_err());
    // Behind one that is dropped, and over a connection of its own.
    let mut behind = place.keep(letters[1..].to_vec());
    assert!((&mut behind).now_or_never().is_none());
    drop(keeping);
    assert!(timeout(Duration::from_secs(1), &mut behind).await.is_err());
    // Other queues of the broker have room.
    let other = line.broker.dead_letter_queue("other", "gristmill-live", QUEUE);
    ends(other.keep(letters[..1].to_vec())).await.unwrap();
    drop(other);
    server.purge(DEAD).await.unwrap();
    ends(behind).await.unwrap();
    let kept = kept(&mut line).await;
    assert_eq!(kept.replace('b', ""), "c", "{kept}");
    ends(place.check()).await.unwrap();
    are_connected(&server, 3).await;
}

/// The broker reads no more from a connection whose letters wait for the disk, and sees by its own writing
/// that it is gone.
#[tokio::test]
async fn a_dropped_future_leaves_no_connection_behind() {
    let server = ActiveMqServer::start_with(&without_a_disk()).await.unwrap();
    let mut line = Line::on(&server).await;
    let place = line.place();
    let letters = line.letters(&["a"]).await;
    waits(&server, &mut place.keep(letters), STORE).await;
    are_connected(&server, 2).await;
    ends(place.check()).await.unwrap();
    are_connected(&server, 3).await;
    drop(place);
    are_connected(&server, 2).await;
    assert!(held(&mut line.peer, DEAD).await.is_empty());
}

#[tokio::test]
async fn a_connection_cut_while_letters_wait_is_an_error_and_the_next_try_makes_another() {
    let server = ActiveMqServer::start_with(&with_room_for_one(&[])).await.unwrap();
    let proxy = Proxy::start(server.port()).await.unwrap();
    let url = format!("tcp://127.0.0.1:{}", proxy.port());
    let mut line = Line::through(&server, &url).await;
    let place = line.place();
    let letters = filled(&mut line, &place, &["b"]).await;
    let mut keeping = place.keep(letters.clone());
    waits(&server, &mut keeping, MEMORY).await;
    proxy.cut();
    is_lost(keeping).await;
    ends(place.check()).await.unwrap();
    server.purge(DEAD).await.unwrap();
    ends(place.keep(letters)).await.unwrap();
    // The broker has taken the first as well, once it had room: nothing tells it that nobody waits.
    let kept = kept(&mut line).await;
    assert!(["b", "bb"].contains(&kept.as_str()), "{kept}");
}

#[tokio::test]
async fn a_connection_cut_while_letters_wait_for_the_disk_is_an_error_and_they_are_not_kept() {
    let server = ActiveMqServer::start_with(&without_a_disk()).await.unwrap();
    let proxy = Proxy::start(server.port()).await.unwrap();
    let url = format!("tcp://127.0.0.1:{}", proxy.port());
    let mut line = Line::through(&server, &url).await;
    let place = line.place();
    let letters = line.letters(&["a"]).await;
    let mut keeping = place.keep(letters);
    waits(&server, &mut keeping, STORE).await;
    proxy.cut();
    is_lost(keeping).await;
    ends(place.check()).await.unwrap();
    assert!(held(&mut line.peer, DEAD).await.is_empty());
}

#[tokio::test]
async fn a_broker_that_freezes_without_room_is_lost() {
    let mut server = ActiveMqServer::start_with(&with_room_for_one(&[])).await.unwrap();
    let mut line = Line::on(&server).await;
    let place = line.place();
    let letters = filled(&mut line, &place, &["b"]).await;
    let mut keeping = place.keep(letters.clone());
    waits(&server, &mut keeping, MEMORY).await;
    server.freeze().await.unwrap();
    is_lost(keeping).await;
    server.thaw().unwrap();
    server.purge(DEAD).await.unwrap();
    kept_at_last(&place, &letters).await;
    let kept = kept(&mut line).await;
    assert!(kept.starts_with('b'), "{kept}");
}

/// As an operator does, whom the client answers before anything else.
#[tokio::test]
async fn a_connection_closed_while_letters_wait_is_an_error() {
    for (settings, said) in [(with_room_for_one(&[]), MEMORY), (without_a_disk(), STORE)] {
        let server = ActiveMqServer::start_with(&settings).await.unwrap();
        let mut line = Line::on(&server).await;
        let place = line.place();
        let letters = if said == MEMORY {
            filled(&mut line, &place, &["b"]).await
        } else {
            line.letters(&["b"]).await
        };
        let mut keeping = place.keep(letters);
        waits(&server, &mut keeping, said).await;
        let (error, closed) = tokio::join!(ends(keeping), server.close_connections());
        closed.unwrap();
        let error = error.unwrap_err();
        assert!(matches!(error, KeepError::Lost { .. }), "{error}");
        ends(place.check()).await.unwrap();
    }
}
