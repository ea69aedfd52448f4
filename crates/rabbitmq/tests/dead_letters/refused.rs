//! Queues that do not take what is given up, each with what a person has to do.

use gristmill_broker::{DeadLetter, DeadLetters, Disposition, KeepError, Original, StopCode};
use gristmill_testkit::amqp::{Field, Table};
use gristmill_testkit::rabbitmq::RabbitServer;

use crate::support::{DEAD, Line, bodies, broker, ends, letter};

const NOT_VALID: Disposition = Disposition::Stop(StopCode::ConfigNotValid);

#[tokio::test]
async fn a_queue_that_is_missing_is_told_before_and_after() {
    let mut line = Line::on(RabbitServer::shared().await.unwrap()).await;
    let place = line.publishing.dead_letter_queue("nowhere");
    let letters = line.letters(&["a", "b", "c"]).await;
    for error in [place.check().await, place.keep(letters.clone()).await] {
        let error = error.unwrap_err();
        assert!(matches!(error, KeepError::QueueMissing { .. }), "{error}");
        assert_eq!(error.disposition(), NOT_VALID);
    }
    line.client.declare_queue("nowhere", &Table::new()).await.unwrap();
    place.check().await.unwrap();
    place.keep(letters).await.unwrap();
    assert_eq!(bodies(&mut line.client, "nowhere").await, ["a", "b", "c"]);

    // It is published over the same channel before it is gone and after it.
    line.client.delete_queue("nowhere").await.unwrap();
    let letters = line.letters(&["d"]).await;
    let error = place.keep(letters).await.unwrap_err();
    assert!(matches!(error, KeepError::QueueMissing { .. }), "{error}");

    let place = line.publishing.dead_letter_queue(&"q".repeat(256));
    let error = place.check().await.unwrap_err();
    assert!(matches!(error, KeepError::QueueMissing { .. }), "{error}");
}

#[tokio::test]
async fn a_full_queue_takes_nothing_and_says_so() {
    let mut line = Line::on(RabbitServer::shared().await.unwrap()).await;
    let full = Table::new()
        .with("x-max-length", Field::I32(1))
        .with("x-overflow", Field::text("reject-publish"));
    line.client.declare_queue("full", &full).await.unwrap();
    let place = line.publishing.dead_letter_queue("full");
    let letters = line.letters(&["a", "b", "c", "d"]).await;
    let error = place.keep(letters).await.unwrap_err();
    assert!(matches!(error, KeepError::NotTaken { .. }), "{error}");
    assert_eq!(error.disposition(), NOT_VALID);
    line.client.purge_queue("full").await.unwrap();
    let letters = line.letters(&["e"]).await;
    place.keep(letters).await.unwrap();
    assert_eq!(bodies(&mut line.client, "full").await, ["e"]);
}

#[tokio::test]
async fn a_login_that_may_not_write_is_told_which_right_it_lacks() {
    let server = RabbitServer::start().await.unwrap();
    let mut line = Line::on(&server).await;
    server.add_user("reader", "reader").await.unwrap();
    server.set_permissions(&line.virtual_host, "reader", ["", "", ".*"]).await.unwrap();
    let reading = broker(server.amqp_port(), &line.virtual_host, "reader");
    let place = reading.dead_letter_queue(DEAD);
    place.check().await.unwrap();
    let letters = line.letters(&["a", "b"]).await;
    let error = place.keep(letters.clone()).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Stop(StopCode::AuthorizationError));
    let KeepError::WriteRefused { right, reason, .. } = &error else { panic!("{error}") };
    assert_eq!(*right, "`write` on `amq.default`");
    assert!(reason.contains("access to exchange 'amq.default'"), "{reason}");

    // Who is granted just that may. The broker remembers for a while what a channel may.
    let granted = ["", "^amq\\.default$", ""];
    server.set_permissions(&line.virtual_host, "reader", granted).await.unwrap();
    place.check().await.unwrap();
    place.keep(letters).await.unwrap();
    assert_eq!(bodies(&mut line.client, DEAD).await, ["a", "b"]);
}

#[tokio::test]
async fn a_message_that_the_broker_finds_too_large_is_told_apart() {
    let server = RabbitServer::start().await.unwrap();
    let mut line = Line::on(&server).await;
    let letters = line.letters(&["0123456789"]).await;
    server.eval("persistent_term:put(max_message_size, 8).").await.unwrap();
    server.eval("application:set_env(rabbit, max_message_size, 8).").await.unwrap();
    let place = line.place();
    let error = ends(place.keep(letters)).await.unwrap_err();
    assert!(matches!(error, KeepError::Unsendable { .. }), "{error}");
    assert!(error.to_string().contains("larger than"), "{error}");
    assert_eq!(error.disposition(), NOT_VALID);
    let letters = line.letters(&["0"]).await;
    place.keep(letters).await.unwrap();
}

#[tokio::test]
async fn damaged_bytes_are_refused_and_nothing_is_sent() {
    let mut line = Line::on(RabbitServer::shared().await.unwrap()).await;
    let damaged = DeadLetter { ..letter(Original(vec![1, 0, 0xFF])) };
    let mut letters = line.letters(&["a"]).await;
    letters.push(damaged);
    let error = line.place().keep(letters).await.unwrap_err();
    assert!(matches!(error, KeepError::Unsendable { .. }), "{error}");
    assert!(bodies(&mut line.client, DEAD).await.is_empty());
}
