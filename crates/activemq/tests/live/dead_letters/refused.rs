//! Queues that do not take what is given up, each with what a person has to do.

use gristmill_broker::{LoginSource, StopCode};
use gristmill_testkit::activemq::{Rights, Settings};

use super::*;

const NOT_VALID: Disposition = Disposition::Stop(StopCode::ConfigNotValid);

fn as_user(server: &ActiveMqServer, name: &str, password: &str) -> ActiveMq {
    let login = Some(login(name, password).into());
    ActiveMq::new(ConnectionSettings { login, ..publishing(&server.url()) })
}

/// Letters of another server, since these are not about where they come from.
async fn letters(texts: &[&str]) -> Vec<DeadLetter> {
    Line::shared().await.1.letters(texts).await
}

fn guarded() -> Settings {
    let admins = Rights { read: "admins", write: "admins", admin: "admins" };
    Settings::new()
        .user("admin", "a", "admins")
        .user("host", "h", "hosts")
        .user("writer", "w", "writers")
        .rights(">", admins)
        .rights(DEAD, Rights { read: "", write: "writers", admin: "" })
}

/// ActiveMQ asks for the right to write with the first message only.
#[tokio::test]
async fn a_login_that_may_not_write_is_told_which_right_it_lacks() {
    let server = ActiveMqServer::start_with(&guarded()).await.unwrap();
    server.create_queue(DEAD).await.unwrap();
    let letters = letters(&["a", "b"]).await;
    let place = as_user(&server, "host", "h").dead_letter_queue(DEAD, "host", QUEUE);
    for _ in 0..2 {
        ends(place.check()).await.unwrap();
        let error = ends(place.keep(letters.clone())).await.unwrap_err();
        assert_eq!(error.disposition(), Disposition::Stop(StopCode::AuthorizationError));
        let KeepError::WriteRefused { queue, right, reason } = &error else { panic!("{error}") };
        assert_eq!(queue, DEAD);
        assert!(right.starts_with("`write` on it"), "{right}");
        let refusal = "User host is not authorized to write to: queue://dead";
        assert!(reason.contains(refusal), "{reason}");
    }
    let place = as_user(&server, "writer", "w").dead_letter_queue(DEAD, "writer", QUEUE);
    ends(place.keep(letters)).await.unwrap();
    let mut peer = server.peer_as("admin", "a").await.unwrap();
    assert_eq!(held(&mut peer, DEAD).await, ["a", "b"]);
}

#[tokio::test]
async fn a_login_that_may_not_make_the_queue_is_told_so_and_goes_on_once_it_is_there() {
    let server = ActiveMqServer::start_with(&guarded()).await.unwrap();
    let letters = letters(&["a"]).await;
    let place = as_user(&server, "writer", "w").dead_letter_queue(DEAD, "writer", QUEUE);
    ends(place.check()).await.unwrap();
    let error = ends(place.keep(letters.clone())).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Stop(StopCode::AuthorizationError));
    let KeepError::WriteRefused { right, reason, .. } = &error else { panic!("{error}") };
    assert!(right.contains("`admin` where it does not exist yet"), "{right}");
    assert!(reason.contains("User writer is not authorized to create: queue://dead"), "{reason}");
    assert!(!server.queues().await.unwrap().contains(&DEAD.to_owned()));

    server.create_queue(DEAD).await.unwrap();
    ends(place.keep(letters)).await.unwrap();
    let mut peer = server.peer_as("admin", "a").await.unwrap();
    assert_eq!(held(&mut peer, DEAD).await, ["a"]);
}

#[tokio::test]
async fn a_login_that_is_wrong_is_told_before() {
    let server = ActiveMqServer::start_with(&guarded()).await.unwrap();
    let letters = letters(&["a"]).await;
    let missing = LoginSource::new(|| Err("nothing there".into()));
    let login = Some(missing);
    let without = ActiveMq::new(ConnectionSettings { login, ..publishing(&server.url()) });
    for broker in [as_user(&server, "writer", "wrong"), without] {
        let place = broker.dead_letter_queue(DEAD, "writer", QUEUE);
        for error in [ends(place.check()).await, ends(place.keep(letters.clone())).await] {
            let error = error.unwrap_err();
            assert!(matches!(error, KeepError::Connection(_)), "{error}");
            assert_eq!(error.disposition(), Disposition::Stop(StopCode::AuthenticationError));
        }
    }
}

#[tokio::test]
async fn a_queue_that_is_missing_is_made_and_made_again() {
    let server = ActiveMqServer::start().await.unwrap();
    let letters = letters(&["a"]).await;
    let broker = ActiveMq::new(publishing(&server.url()));
    let place = broker.dead_letter_queue("made", "gristmill-live", QUEUE);
    ends(place.check()).await.unwrap();
    assert!(!server.queues().await.unwrap().contains(&"made".to_owned()));
    let mut peer = server.peer().await.unwrap();
    for _ in 0..2 {
        ends(place.keep(letters.clone())).await.unwrap();
        assert_eq!(held(&mut peer, "made").await, ["a"]);
        server.delete_queue("made").await.unwrap();
    }
}

#[tokio::test]
async fn a_message_that_does_not_fit_the_brokers_frames_is_told_apart() {
    let settings = Settings::new().transport("wireFormat.maxFrameSize=100000");
    let server = ActiveMqServer::start_with(&settings).await.unwrap();
    let mut line = Line::on(&server).await;
    let place = line.place();
    // It has room as it is, and not with what is said about it.
    let letters = line.letters(&["x".repeat(99_000).as_str(), "small"]).await;
    let large = DeadLetter { record: "r".repeat(2_000), ..letters[0].clone() };
    for _ in 0..2 {
        let error = ends(place.keep(vec![large.clone()])).await.unwrap_err();
        assert!(matches!(error, KeepError::Unsendable { .. }), "{error}");
        assert_eq!(error.disposition(), NOT_VALID);
    }
    ends(place.keep(letters[1..].to_vec())).await.unwrap();
    assert_eq!(bodies_of(&line.take(1).await), ["small"]);
}

#[tokio::test]
async fn damaged_bytes_are_refused_and_nothing_is_sent() {
    let (server, mut line) = Line::shared().await;
    let mut letters = line.letters(&["a"]).await;
    let later = Original(vec![2, 12, 1]);
    for damaged in [Original(vec![1, 12, 0xFF]), Original(Vec::new()), later] {
        letters.truncate(1);
        letters.push(letter(damaged));
        let error = ends(line.place().keep(letters.clone())).await.unwrap_err();
        assert!(matches!(error, KeepError::Unsendable { .. }), "{error}");
        assert_eq!(error.disposition(), NOT_VALID);
    }
    assert_eq!(server.queue_counts(&line.dead).await.unwrap().enqueued, 0);
}
