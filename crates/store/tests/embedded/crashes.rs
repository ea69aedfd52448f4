//! Whatever ends the process or the machine, what was confirmed is there, and what was settled is gone.
//!
//! The process that is killed is this test itself, begun again with a variable that says what to do.

#![expect(
    clippy::print_stdout,
    reason = "it is how a process that is killed says what it has done"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use gristmill_broker::{Received, Settlement, Source};
use gristmill_store::embedded::EmbeddedBroker;
use tokio::runtime::{Builder, Runtime};

use super::{QUEUE, body, broker, message, publish, ready, settings, settle, subscribed, take};

/// The folder of a process that publishes and consumes until it is killed, and says what.
const FOLDER: &str = "GRISTMILL_EMBEDDED_TEST_FOLDER";
/// The number that it begins with.
const FIRST: &str = "GRISTMILL_EMBEDDED_TEST_FIRST";
/// How large each message is.
const BYTES: &str = "GRISTMILL_EMBEDDED_TEST_BYTES";

/// How often a process is killed.
const ROUNDS: u64 = 1_000;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Publishes and consumes in the folder that the environment names, and prints what was published, handed
/// out, and settled for good. Without the variable it is nobody's, and does nothing.
#[test]
fn publishes_and_consumes_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let number = |name| std::env::var(name).unwrap().parse::<usize>().unwrap();
    let (first, bytes) = (number(FIRST), number(BYTES));
    runtime().block_on(async {
        let broker = EmbeddedBroker::new(settings(Path::new(&folder))).unwrap();
        let publishing = publish_on(&broker, first, bytes);
        let consuming = consume_on(&broker);
        tokio::join!(publishing, consuming);
    });
}

async fn publish_on(broker: &EmbeddedBroker, first: usize, bytes: usize) {
    for start in (first..).step_by(3) {
        let messages = (start..start + 3).map(|id| message(&format!("{id:0bytes$}")));
        if let Err(error) = broker.publish(QUEUE, messages.collect()).await {
            println!("refused {error}");
            return;
        }
        println!("published {start}");
    }
}

async fn consume_on(broker: &EmbeddedBroker) {
    // With one at a time, the next comes when the one before is settled for good.
    let mut source = broker.source(QUEUE, 1);
    let mut settling = None;
    if let Err(error) = source.subscribe().await {
        println!("refused {error}");
        return;
    }
    while let Ok(Received::Delivery(delivery)) = source.receive().await {
        let id: usize = body(&delivery).parse().unwrap();
        if let Some(settled) = settling.replace(id) {
            println!("settled {settled}");
        }
        println!("handed {id}");
        settle(&mut source, Settlement::Ack, &[delivery]).await;
    }
}

fn working(program: &mut Command, folder: &Path, first: usize, bytes: usize) -> Child {
    program
        .args(["crashes::publishes_and_consumes_until_it_is_killed", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .env(BYTES, bytes.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What processes have said.
#[derive(Debug, Default)]
struct Said {
    /// The numbers from which three were published for sure.
    published: BTreeSet<usize>,
    handed: BTreeSet<usize>,
    settled: BTreeSet<usize>,
    refused: Vec<String>,
}

impl Said {
    /// Listens until the process has ended; it is killed after so many lines.
    fn listen(&mut self, child: &mut Child, lines: u64) {
        let mut left = lines;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            let mut words = line.split(' ');
            let (what, id) = (words.next().unwrap_or_default(), words.next());
            let id = id.and_then(|id| id.parse().ok());
            match (what, id) {
                ("published", Some(id)) => drop(self.published.insert(id)),
                ("handed", Some(id)) => {
                    assert!(!self.settled.contains(&id), "{id} was settled, and came again");
                    self.handed.insert(id);
                }
                ("settled", Some(id)) => drop(self.settled.insert(id)),
                ("refused", _) => self.refused.push(line),
                _ => continue,
            }
            left = left.saturating_sub(1);
            if left == 0 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
    }

    /// Everything that was published for sure and not settled has to be there, and nothing twice.
    fn check(&self, folder: &Path) {
        let there: Vec<usize> = runtime().block_on(async {
            let broker = broker(folder);
            ready(&broker, QUEUE).await.iter().map(|body| body.parse().unwrap()).collect()
        });
        assert!(there.is_sorted_by(|one, next| one < next), "each once, in order");
        let there: BTreeSet<usize> = there.into_iter().collect();
        let again: Vec<_> = there.intersection(&self.settled).collect();
        assert!(again.is_empty(), "settled, and there again: {again:?}");
        let confirmed = self.published.iter().flat_map(|start| *start..start + 3);
        // What was handed out may have been settled without anybody having heard of it.
        let missing: Vec<_> =
            confirmed.filter(|id| !there.contains(id) && !self.handed.contains(id)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}

#[test]
fn killed_at_any_moment_it_has_what_it_confirmed_and_not_what_was_settled() {
    let folder = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let mut said = Said::default();
    for round in 0..ROUNDS {
        // Whatever the last round has published without saying so is below this.
        let first = usize::try_from(round).unwrap() * 10_000;
        let mut child = working(&mut Command::new(&program), folder.path(), first, 8);
        said.listen(&mut child, 1 + round * 7 % 41);
        if round % 100 == 99 {
            said.check(folder.path());
        }
    }
    assert_eq!(said.refused, Vec::<String>::new());
    assert!(said.published.len() > 1_000 && said.settled.len() > 1_000);
}

#[test]
fn a_disk_that_takes_no_more_refuses_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    // Writing beyond this fails, as it does on a full disk.
    let limited = "trap '' XFSZ; ulimit -S -f 1024; exec \"$0\" \"$@\"";
    let mut program = Command::new("sh");
    program.args(["-c", limited]).arg(std::env::current_exe().unwrap());
    // Far more comes than is consumed.
    let mut child = working(&mut program, folder.path(), 0, 60_000);
    let mut said = Said::default();
    said.listen(&mut child, u64::MAX);
    let refused = said.refused.first().unwrap();
    assert!(refused.contains("see that its disk is well and has room"), "{refused}");
    said.check(folder.path());
}

/// A machine that loses its power keeps what was synced, and of what was being written anything. So each
/// prefix of what is written ahead has to be a file with all that was confirmed before.
#[test]
fn what_was_confirmed_survives_any_end_of_what_is_written_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let wal = folder.path().join("queues.sqlite3-wal");
    let mut synced = Vec::new();
    let runtime = runtime();
    let broker = broker(folder.path());
    runtime.block_on(async {
        let mut source = subscribed(&broker, QUEUE, 10).await;
        for id in 0..20 {
            publish(&broker, &[&format!("{id:03000}")]).await;
            synced.push(fs::metadata(&wal).unwrap().len());
            let taken = take(&mut source, 1).await;
            // Settling is not synced; it may come again, and nothing else.
            if id % 2 == 0 {
                settle(&mut source, Settlement::Ack, &taken).await;
            }
        }
        source.close().await;
    });
    let length = fs::metadata(&wal).unwrap().len();
    for cut in (0..=length).step_by(1_997) {
        let copy = tempfile::tempdir().unwrap();
        let file = |name: &str| (folder.path().join(name), copy.path().join(name));
        let (from, to) = file("queues.sqlite3");
        fs::copy(from, to).unwrap();
        let (from, to) = file("queues.sqlite3-wal");
        let mut bytes = fs::read(from).unwrap();
        bytes.truncate(usize::try_from(cut).unwrap());
        fs::write(to, bytes).unwrap();
        let confirmed = synced.iter().filter(|length| **length <= cut).count();
        let there = runtime.block_on(async {
            let broker = super::broker(copy.path());
            ready(&broker, QUEUE).await
        });
        let there: BTreeSet<usize> = there.iter().map(|body| body.parse().unwrap()).collect();
        let unsettled = (0..confirmed).filter(|id| id % 2 == 1);
        let missing: Vec<_> = unsettled.filter(|id| !there.contains(id)).collect();
        assert!(missing.is_empty(), "cut at {cut} of {length}: {missing:?} of {there:?}");
    }
}
