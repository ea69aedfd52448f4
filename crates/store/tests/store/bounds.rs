//! Each mapping has its own bound, nothing is dropped to keep it, and only what is too old leaves.

use std::time::{Duration, SystemTime};

use gristmill_broker::{DeadLetter, KeepError};
use gristmill_store::{Bounds, Filter};

use super::{UNBOUNDED, check, keep, letter, list, message_ids, origin, store};

fn is_full(kept: Result<(), KeepError>) -> bool {
    matches!(kept, Err(KeepError::StoreFull { .. }))
}

#[test]
fn what_does_not_fit_is_refused_whole_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(folder.path(), Bounds { bytes_max: 100_000, age_max: None });
    let orders = kept.keeper(origin("orders"));
    let some = |count| (0..count).map(|id| letter(id, vec![0; 10_000])).collect::<Vec<_>>();
    keep(&orders, some(5)).unwrap();
    assert!(is_full(keep(&orders, some(5))));
    assert_eq!(message_ids(&kept).len(), 5);
    keep(&kept.keeper(origin("mail")), some(9)).unwrap();
    // It needs room for what was refused, and not for anything.
    assert!(is_full(check(&orders)));
    kept.remove(&[1]).unwrap();
    check(&orders).unwrap();
    keep(&orders, some(5)).unwrap();
    let of_orders = Filter { mapping: Some("orders".to_owned()), ..Filter::default() };
    assert_eq!(kept.count(&of_orders).unwrap(), 9);
}

#[test]
fn the_disk_gets_back_what_removed_letters_took() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(folder.path(), UNBOUNDED);
    let keeper = kept.keeper(origin("orders"));
    for _ in 0..10 {
        keep(&keeper, (0..10).map(|id| letter(id, vec![0; 50_000])).collect()).unwrap();
    }
    let ids: Vec<i64> = list(&kept, &Filter::default()).iter().map(|letter| letter.id).collect();
    assert_eq!(kept.remove(&ids[..95]).unwrap(), 95);
    kept.shrink().unwrap();
    let files = folder.path().read_dir().unwrap().map(Result::unwrap);
    let bytes: u64 = files.map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes < 500_000, "{bytes}");
    assert_eq!(kept.get(ids[99]).unwrap().unwrap().original.0.len(), 50_000);
}

#[test]
fn what_is_larger_than_the_bound_is_kept_alone() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(folder.path(), Bounds { bytes_max: 100_000, age_max: None });
    let keeper = kept.keeper(origin("orders"));
    keep(&keeper, vec![letter(0, vec![0; 200_000])]).unwrap();
    assert!(is_full(keep(&keeper, vec![letter(1, vec![])])));
    kept.remove(&[1]).unwrap();
    check(&keeper).unwrap();
}

/// A letter that was given up so many hours ago.
fn aged(id: usize, hours: u64, body: Vec<u8>) -> DeadLetter {
    let age = Duration::from_secs(3600 * hours);
    let given_up_at = SystemTime::UNIX_EPOCH.elapsed().unwrap().saturating_sub(age);
    let given_up_at_ms = u64::try_from(given_up_at.as_millis()).unwrap();
    DeadLetter { given_up_at_ms, ..letter(id, body) }
}

#[test]
fn what_is_too_old_leaves_with_the_next_letter() {
    let folder = tempfile::tempdir().unwrap();
    let age_max = Some(Duration::from_secs(3600 * 24));
    let kept = store(folder.path(), Bounds { bytes_max: u64::MAX, age_max });
    let keeper = kept.keeper(origin("orders"));
    let letters = [(0, 30), (1, 20), (2, 0)].map(|(id, hours)| aged(id, hours, vec![]));
    keep(&keeper, letters.into()).unwrap();
    assert_eq!(message_ids(&kept), [0, 1, 2]);
    keep(&keeper, vec![aged(3, 0, vec![])]).unwrap();
    assert_eq!(message_ids(&kept), [1, 2, 3]);
}

#[test]
fn a_full_store_gets_room_by_age() {
    let folder = tempfile::tempdir().unwrap();
    let age_max = Some(Duration::from_secs(3600));
    let kept = store(folder.path(), Bounds { bytes_max: 100_000, age_max });
    let keeper = kept.keeper(origin("orders"));
    keep(&keeper, vec![aged(0, 0, vec![0; 60_000])]).unwrap();
    assert!(is_full(keep(&keeper, vec![aged(1, 0, vec![0; 60_000])])));
    assert!(is_full(check(&keeper)));
    kept.remove(&[1]).unwrap();
    keep(&keeper, vec![aged(2, 2, vec![0; 60_000])]).unwrap();
    check(&keeper).unwrap();
    assert!(message_ids(&kept).is_empty());
}
