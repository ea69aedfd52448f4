//! The store on real files.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bounds;
mod crashes;
mod model;
mod trouble;

use std::path::Path;

use gristmill_broker::{DeadLetter, DeadLetters, KeepError, Original};
use gristmill_store::{Bounds, DeadLetterStore, Filter, Keeper, Origin, Summary};
use tokio::runtime::{Builder, Runtime};

const UNBOUNDED: Bounds = Bounds { bytes_max: u64::MAX, age_max: None };

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn store(folder: &Path, bounds: Bounds) -> DeadLetterStore {
    DeadLetterStore::new(folder.join("dead-letters.sqlite3"), bounds)
}

fn origin(mapping: &str) -> Origin {
    Origin {
        mapping: mapping.to_owned(),
        broker: "shop".to_owned(),
        broker_type: "rabbitmq".to_owned(),
        queue: "orders".to_owned(),
        virtual_host: Some("/".to_owned()),
        function: "totals".to_owned(),
        arn: "arn:aws:mq:::broker".to_owned(),
        event_profile: None,
    }
}

fn letter(id: usize, body: Vec<u8>) -> DeadLetter {
    DeadLetter {
        original: Original(body),
        message_id: Some(id.to_string()),
        condition: "RetryAttemptsExhausted",
        cause: "RetryAttemptsExhausted".to_owned(),
        record: r#"{"MQBatchInfo":{"lastError":"no"}}"#.to_owned(),
        given_up_at_ms: 1_000,
    }
}

fn keep(keeper: &Keeper, letters: Vec<DeadLetter>) -> Result<(), KeepError> {
    runtime().block_on(keeper.keep(letters))
}

fn check(keeper: &Keeper) -> Result<(), KeepError> {
    runtime().block_on(keeper.check())
}

fn list(store: &DeadLetterStore, filter: &Filter) -> Vec<Summary> {
    store.list(0, filter, usize::MAX).unwrap()
}

fn message_ids(store: &DeadLetterStore) -> Vec<usize> {
    let id = |letter: Summary| letter.message_id.unwrap().parse().unwrap();
    list(store, &Filter::default()).into_iter().map(id).collect()
}

#[test]
fn what_is_kept_is_there_as_it_was_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(folder.path(), UNBOUNDED);
    let keeper = kept.keeper(origin("orders"));
    let bodies = [vec![0, 255, 7], Vec::new(), vec![b'x'; 7_000_000]];
    let letters = bodies.iter().enumerate().map(|(id, body)| letter(id, body.clone()));
    keep(&keeper, letters.collect()).unwrap();
    let bare = DeadLetter { message_id: None, ..letter(9, vec![1]) };
    keep(&kept.keeper(origin("mail")), vec![bare]).unwrap();

    // Another process, for what it knows.
    let seen = store(folder.path(), UNBOUNDED);
    let letters = list(&seen, &Filter::default());
    assert_eq!(letters.iter().map(|letter| letter.id).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(letters[0].origin, origin("orders"));
    assert_eq!(letters[0].error().as_deref(), Some("no"));
    assert_eq!((letters[3].message_id.as_deref(), letters[3].given_up_at_ms), (None, 1_000));
    for (letter, body) in letters.iter().zip(&bodies) {
        let whole = seen.get(letter.id).unwrap().unwrap();
        assert_eq!((&whole.summary, &whole.original.0), (letter, body));
    }
    let of_mail = Filter { mapping: Some("mail".to_owned()), ..Filter::default() };
    assert_eq!((list(&seen, &of_mail).len(), seen.count(&of_mail).unwrap()), (1, 1));
    assert_eq!(seen.get(7).unwrap(), None);
}

#[test]
fn letters_are_given_out_in_batches_and_no_number_is_used_twice() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(folder.path(), UNBOUNDED);
    let keeper = kept.keeper(origin("orders"));
    keep(&keeper, (0..10).map(|id| letter(id, vec![0; 10_000])).collect()).unwrap();
    let ids = |after, records, bytes| -> Vec<i64> {
        let letters = kept.next(after, &Filter::default(), records, bytes).unwrap();
        letters.iter().map(|letter| letter.summary.id).collect()
    };
    assert_eq!(ids(0, 3, u64::MAX), [1, 2, 3]);
    assert_eq!(ids(3, 100, 15_000), [4, 5]);
    assert_eq!(ids(8, 100, 1), [9], "one at least");
    let until_9 = Filter { id_max: Some(9), ..Filter::default() };
    assert_eq!(kept.next(7, &until_9, 100, u64::MAX).unwrap().len(), 2);
    assert_eq!(kept.list(7, &until_9, 1).unwrap()[0].id, 8);
    assert_eq!(kept.newest_id().unwrap(), 10);
    assert_eq!(kept.remove(&[10, 10, 99]).unwrap(), 1);
    assert!(ids(9, 100, 1).is_empty());
    keep(&keeper, vec![letter(10, vec![])]).unwrap();
    assert_eq!(ids(9, 100, 1), [11]);
}

#[test]
fn to_read_a_store_that_is_not_there_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let missing = store(folder.path(), UNBOUNDED);
    assert!(list(&missing, &Filter::default()).is_empty());
    assert_eq!((missing.get(1).unwrap(), missing.remove(&[1]).unwrap()), (None, 0));
    assert_eq!(missing.newest_id().unwrap(), 0);
    missing.shrink().unwrap();
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let kept = store(folder.path(), UNBOUNDED);
    keep(&kept.keeper(origin("orders")), vec![letter(1, vec![0; 10_000])]).unwrap();
    let files = folder.path().read_dir().unwrap().map(Result::unwrap);
    let modes: Vec<u32> = files.map(|file| file.metadata().unwrap().permissions().mode()).collect();
    assert_eq!(modes.len(), 3, "with what is written ahead");
    assert!(modes.iter().all(|mode| mode & 0o077 == 0), "{modes:?}");
}
