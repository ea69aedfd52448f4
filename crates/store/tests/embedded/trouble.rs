//! What can be wrong with the file, each with what to do about it; and that it goes on when it is mended.

use std::fs;

use gristmill_broker::{
    DeadLetter, DeadLetters, Disposition, Received, Settlement, Source, StopCode,
};
use rusqlite::Connection;

use super::{
    DEAD, QUEUE, bodies, broker, message, publish, ready, settle, subscribed, take, wait_for,
};

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_to_everybody_and_used_when_it_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queues.sqlite3");
    fs::write(&file, "no database at all, but long enough to be read as one".repeat(100)).unwrap();
    let broker = broker(folder.path());
    let mut source = broker.source(QUEUE, 10);
    let refused = source.subscribe().await.unwrap_err();
    assert_eq!(refused.disposition(), Disposition::Stop(StopCode::ConfigNotValid));
    assert!(refused.to_string().contains("cannot use the queues"), "{refused}");
    assert!(refused.to_string().contains("move it away"), "{refused}");
    let refused = broker.publish(QUEUE, vec![message("a")]).await.unwrap_err();
    assert!(refused.to_string().contains("move it away"), "{refused}");
    fs::remove_file(&file).unwrap();
    publish(&broker, &["a"]).await;
    source.subscribe().await.unwrap();
    assert_eq!(bodies(&take(&mut source, 1).await), ["a"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_moved_away_ends_its_subscriptions() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    publish(&broker, &["a"]).await;
    let mut source = subscribed(&broker, QUEUE, 10).await;
    take(&mut source, 1).await;
    let away = tempfile::tempdir_in(folder.path()).unwrap();
    for file in folder.path().read_dir().unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file() {
            fs::rename(file.path(), away.path().join(file.file_name())).unwrap();
        }
    }
    publish(&broker, &["b"]).await;
    source.receive().await.unwrap_err();
    source.subscribe().await.unwrap();
    assert_eq!(bodies(&take(&mut source, 1).await), ["b"]);
    assert_eq!(ready(&super::broker(away.path()), QUEUE).await, ["a"]);
}

#[tokio::test]
async fn a_file_that_lost_its_end_loses_subscriptions_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let before = broker(folder.path());
    let large = "x".repeat(10_000);
    publish(&before, &[large.as_str(); 200]).await;
    before.close().await;
    drop(before);
    let file = folder.path().join("queues.sqlite3");
    let length = fs::metadata(&file).unwrap().len();
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(length / 2).unwrap();
    let broker = broker(folder.path());
    let mut source = broker.source(QUEUE, 1_000);
    let mut said = None;
    for _ in 0..3 {
        match source.subscribe().await {
            Err(error) => said = Some(error),
            Ok(_) => while source.receive().await.is_ok() {},
        }
    }
    let said = said.unwrap().to_string();
    assert!(said.contains("it is damaged"), "{said}");
}

#[tokio::test]
async fn a_dropped_source_gives_its_messages_back() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    publish(&broker, &["a"]).await;
    let mut source = subscribed(&broker, QUEUE, 10).await;
    take(&mut source, 1).await;
    drop(source);
    wait_for(&broker, QUEUE, 1, 0).await;
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_given_out_to_be_given_up_and_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let before = broker(folder.path());
    publish(&before, &["a", "b"]).await;
    before.close().await;
    let file = Connection::open(folder.path().join("queues.sqlite3")).unwrap();
    let damage = "UPDATE message SET properties = x'c1' WHERE body = CAST('a' AS BLOB)";
    assert_eq!(file.execute(damage, []).unwrap(), 1);
    drop(file);
    let broker = broker(folder.path());
    let mut source = subscribed(&broker, QUEUE, 10).await;
    let received = source.receive().await.unwrap();
    let Received::Unusable(unusable) = received else { panic!("{received:?}") };
    assert_eq!(unusable.reason, "its bytes are damaged");
    assert_eq!(bodies(&take(&mut source, 1).await), ["b"]);
    let original = source.original(unusable.token, None).unwrap();
    assert!(original.0.ends_with(b"a"), "{original:?}");
    let letter = DeadLetter {
        original,
        message_id: None,
        condition: "UnsupportedMessageType",
        cause: String::new(),
        record: "{}".to_owned(),
        given_up_at_ms: 1,
    };
    broker.dead_letter_queue(DEAD).keep(vec![letter]).await.unwrap();
    assert_eq!(ready(&broker, DEAD).await, ["a"]);
    source.settle(Settlement::Reject("no"), &[unusable.token]).await;
    wait_for(&broker, DEAD, 2, 0).await;
    wait_for(&broker, QUEUE, 0, 1).await;
}

#[tokio::test]
async fn counts_that_are_wrong_are_counted_anew() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    publish(&broker, &["a", "b", "c"]).await;
    let mut source = subscribed(&broker, QUEUE, 2).await;
    let taken = take(&mut source, 2).await;
    // Somebody else has deleted one.
    let file = Connection::open(folder.path().join("queues.sqlite3")).unwrap();
    file.execute("DELETE FROM message WHERE body = CAST('a' AS BLOB)", []).unwrap();
    settle(&mut source, Settlement::Ack, &taken).await;
    wait_for(&broker, QUEUE, 0, 1).await;
    let bytes = "SELECT messages, bytes FROM queue WHERE name = 'orders'";
    let counted = file.query_row(bytes, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let (messages, bytes): (i64, i64) = counted;
    assert!(messages == 1 && (65..200).contains(&bytes), "{messages} and {bytes}");
}
