//! What can be wrong with the file, each with what to do about it; and that it goes on when it is mended.

use std::error::Error;
use std::fs;
use std::path::Path;

use gristmill_broker::{Disposition, KeepError, StopCode};
use rusqlite::Connection;

use super::{UNBOUNDED, check, keep, letter, message_ids, origin, store};

/// What a keeper on this folder says, which it says in the same words when it is asked for letters.
fn complaint(folder: &Path) -> String {
    let kept = store(folder, UNBOUNDED);
    let error = check(&kept.keeper(origin("orders"))).unwrap_err();
    assert_eq!(error.disposition(), Disposition::Stop(StopCode::ConfigNotValid));
    assert_eq!(kept.get(1).unwrap_err().to_string(), error.to_string());
    assert!(error.source().is_some());
    error.to_string()
}

#[test]
fn what_is_no_store_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dead-letters.sqlite3");
    fs::write(&file, "no database at all, but long enough to be read as one".repeat(100)).unwrap();
    assert!(complaint(folder.path()).contains("move it away"));
    fs::remove_file(&file).unwrap();

    Connection::open(&file).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = fs::read(&file).unwrap();
    assert!(complaint(folder.path()).contains("move the file away"));
    assert_eq!(fs::read(&file).unwrap(), before);
    fs::remove_file(&file).unwrap();

    fs::create_dir(&file).unwrap();
    assert!(complaint(folder.path()).contains("make its folder and its files writable"));
}

#[test]
fn a_later_version_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(folder.path(), UNBOUNDED);
    keep(&kept.keeper(origin("orders")), vec![letter(1, vec![])]).unwrap();
    drop(kept);
    let file = folder.path().join("dead-letters.sqlite3");
    Connection::open(file).unwrap().pragma_update(None, "user_version", 2).unwrap();
    assert!(complaint(folder.path()).contains("a later version of this program"));
}

#[test]
fn a_missing_folder_is_an_error_until_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let kept = store(&data, UNBOUNDED);
    let keeper = kept.keeper(origin("orders"));
    check(&keeper).unwrap_err();
    keep(&keeper, vec![letter(1, vec![])]).unwrap_err();
    fs::create_dir(&data).unwrap();
    check(&keeper).unwrap();
    keep(&keeper, vec![letter(2, vec![])]).unwrap();
    assert_eq!(message_ids(&kept), [2]);
}

#[test]
fn a_file_that_lost_its_end_says_so_and_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(folder.path(), UNBOUNDED);
    let keeper = kept.keeper(origin("orders"));
    keep(&keeper, (0..200).map(|id| letter(id, vec![7; 2_000])).collect()).unwrap();
    kept.shrink().unwrap();
    drop((kept, keeper));
    let file = folder.path().join("dead-letters.sqlite3");
    let length = fs::metadata(&file).unwrap().len();
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(length / 2).unwrap();
    let kept = store(folder.path(), UNBOUNDED);
    let keeper = kept.keeper(origin("orders"));
    let said = match keep(&keeper, vec![letter(1, vec![1; 1_000_000])]) {
        Err(error @ KeepError::File(_)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(said.contains("it is damaged: move it away"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_file_that_is_moved_away_gets_no_more_letters() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(folder.path(), UNBOUNDED);
    let keeper = kept.keeper(origin("orders"));
    keep(&keeper, vec![letter(1, vec![])]).unwrap();
    let away = tempfile::tempdir_in(folder.path()).unwrap();
    for file in folder.path().read_dir().unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file() {
            fs::rename(file.path(), away.path().join(file.file_name())).unwrap();
        }
    }
    keep(&keeper, vec![letter(2, vec![])]).unwrap();
    assert_eq!(message_ids(&kept), [2]);
    assert_eq!(message_ids(&store(away.path(), UNBOUNDED)), [1]);
}

#[cfg(unix)]
#[test]
fn what_cannot_be_looked_at_is_not_called_empty() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    // Fails for root too, to whom no folder is closed.
    symlink("loop", folder.path().join("loop")).unwrap();
    let kept = store(&folder.path().join("loop"), UNBOUNDED);
    assert!(kept.get(1).unwrap_err().to_string().contains("make its folder"));
}
