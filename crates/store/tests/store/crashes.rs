//! Whatever ends the process or the machine, what was said to be kept is there.
//!
//! The process that is killed is this test itself, begun again with a variable that says what to do.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use gristmill_broker::DeadLetters;

use super::{UNBOUNDED, check, keep, letter, message_ids, origin, runtime, store};

/// The folder of a process that keeps letters until it is killed, and says which.
const FOLDER: &str = "GRISTMILL_STORE_TEST_FOLDER";
/// How large each is.
const BYTES: &str = "GRISTMILL_STORE_TEST_BYTES";

/// Keeps letters in the folder that the environment names, from the number on that follows the last; and
/// prints each that is kept. Without the variable it is nobody's, and does nothing.
#[test]
fn keeps_letters_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let bytes: usize = std::env::var(BYTES).unwrap().parse().unwrap();
    let kept = store(Path::new(&folder), UNBOUNDED);
    let keeper = kept.keeper(origin("orders"));
    let mut next = message_ids(&kept).last().map_or(0, |last| last + 1);
    // One for all of them: to end one waits for what is still being written.
    let runtime = runtime();
    loop {
        let ids = next..next + 3;
        let letters = ids.clone().map(|id| letter(id, vec![7; bytes])).collect();
        match runtime.block_on(keeper.keep(letters)) {
            Ok(()) => println!("kept {} {}", ids.start, ids.end),
            Err(error) => {
                println!("refused {error}");
                return;
            }
        }
        next = ids.end;
    }
}

fn keeping(program: &mut Command, folder: &Path, bytes: usize) -> Child {
    program
        .args(["crashes::keeps_letters_until_it_is_killed", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .env(BYTES, bytes.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The last number that it said to be kept, and what it said when it was refused one. It is killed after so
/// many answers.
fn said(child: &mut Child, answers: u64) -> (Option<usize>, Option<String>) {
    let (mut last, mut refused, mut left) = (None, None, answers);
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if let Some((_, ids)) = line.split_once("kept ") {
            // A line that was cut short says nothing.
            let ids: Vec<usize> = ids.split(' ').filter_map(|id| id.parse().ok()).collect();
            last = ids.get(1).map(|end| end - 1).or(last);
            left = left.saturating_sub(1);
            if left == 0 {
                child.kill().unwrap();
            }
        } else if let Some((_, error)) = line.split_once("refused ") {
            refused = Some(error.to_owned());
        }
    }
    (last, refused)
}

#[test]
fn killed_at_any_moment_it_has_what_it_said_to_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = None;
    for round in 0..60 {
        let mut child =
            keeping(&mut Command::new(std::env::current_exe().unwrap()), folder.path(), 5_000);
        last = said(&mut child, 1 + round * 7 % 23).0.or(last);
        child.wait().unwrap();
        let ids = message_ids(&store(folder.path(), UNBOUNDED));
        assert_eq!(ids, (0..ids.len()).collect::<Vec<_>>(), "each once, in order");
        assert!(last.is_none_or(|last| last < ids.len()), "{last:?} of {}", ids.len());
        assert_eq!(ids.len() % 3, 0, "whole transactions");
    }
    assert!(last.is_some_and(|last| last > 60));
}

#[test]
fn a_disk_that_takes_no_more_refuses_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    // Writing beyond this fails, as it does on a full disk.
    let limited = "trap '' XFSZ; ulimit -S -f 8192; exec \"$0\" \"$@\"";
    let mut program = Command::new("sh");
    program.args(["-c", limited]).arg(std::env::current_exe().unwrap());
    let mut child = keeping(&mut program, folder.path(), 100_000);
    let (last, refused) = said(&mut child, u64::MAX);
    assert!(child.wait().unwrap().success());
    let refused = refused.unwrap();
    assert!(refused.contains("see that its disk is well and has room"), "{refused}");
    let kept = store(folder.path(), UNBOUNDED);
    assert_eq!(message_ids(&kept), (0..=last.unwrap()).collect::<Vec<_>>());
    let keeper = kept.keeper(origin("orders"));
    check(&keeper).unwrap();
    keep(&keeper, vec![letter(0, vec![7; 1_000_000])]).unwrap();
}

/// A machine that loses its power keeps what was synced, and of what was being written anything. Synced was
/// what an earlier copy has; so each prefix of what is written ahead has to be a store with that at least.
#[test]
fn what_was_synced_survives_any_end_of_what_is_written_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(folder.path(), UNBOUNDED);
    let keeper = kept.keeper(origin("orders"));
    let wal = folder.path().join("dead-letters.sqlite3-wal");
    let mut synced = Vec::new();
    for id in 0..20 {
        keep(&keeper, vec![letter(id, vec![7; 3_000])]).unwrap();
        synced.push(fs::metadata(&wal).unwrap().len());
    }
    let length = fs::metadata(&wal).unwrap().len();
    for cut in (0..=length).step_by(997) {
        let copy = tempfile::tempdir().unwrap();
        let file = |name: &str| (folder.path().join(name), copy.path().join(name));
        let (from, to) = file("dead-letters.sqlite3");
        fs::copy(from, to).unwrap();
        let (from, to) = file("dead-letters.sqlite3-wal");
        let mut bytes = fs::read(from).unwrap();
        bytes.truncate(usize::try_from(cut).unwrap());
        fs::write(to, bytes).unwrap();
        let least = synced.iter().filter(|length| **length <= cut).count();
        assert_eq!(message_ids(&store(copy.path(), UNBOUNDED)), (0..least).collect::<Vec<_>>());
    }
}
