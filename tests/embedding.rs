//! The host in a program of one's own: the examples, as somebody outside would run them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use gristmill_testkit::guests;
use gristmill_testkit::wait::until;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{GRISTMILL, LONG};

/// An example, as cargo builds it beside the program.
fn example(name: &str) -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--workspace", "--examples"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(built.success());
    Path::new(GRISTMILL).parent().unwrap().join("examples").join(name)
}

/// Waits until the host of an example has compiled its handler: then it listens to Ctrl-C as well.
async fn compiled(folder: &Path) {
    let cache = folder.join("data/cache");
    until(LONG, async || fs::read_dir(&cache).is_ok_and(|mut entries| entries.next().is_some()))
        .await;
}

/// Ends it as Ctrl-C does.
async fn stop(mut running: Child) {
    kill_process(Pid::from_child(&running), Signal::INT).unwrap();
    until(LONG, async || running.try_wait().unwrap().is_some()).await;
    assert!(running.wait().unwrap().success());
}

#[tokio::test]
async fn a_queue_of_its_own_needs_fifteen_lines() {
    let folder = tempfile::tempdir().unwrap();
    let handler = guests::component("silent");
    let mut command = Command::new(example("embedded"));
    let running = command.arg(handler).current_dir(folder.path()).spawn().unwrap();
    compiled(folder.path()).await;
    stop(running).await;
    let text = include_str!("../examples/embedded.rs");
    let (_, main) = text.split_once("async fn main()").unwrap();
    assert!(main.lines().count() <= 17, "the first line and the last are none of them");
}

#[tokio::test]
async fn a_source_from_outside_is_read_settled_and_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = folder.path().join("inbox");
    fs::create_dir(&inbox).unwrap();
    for number in 0..250 {
        fs::write(inbox.join(format!("{number:03}")), number.to_string()).unwrap();
    }
    let left = || fs::read_dir(&inbox).unwrap().count();
    let mut command = Command::new(example("own_source"));
    command.arg(guests::component("silent")).arg(&inbox).current_dir(folder.path());
    let running = command.spawn().unwrap();
    until(LONG, async || left() == 0).await;
    fs::write(inbox.join(".later"), "later").unwrap();
    fs::rename(inbox.join(".later"), inbox.join("later")).unwrap();
    until(LONG, async || left() == 0).await;
    stop(running).await;

    // What fails stays, and comes again with the next one.
    fs::write(inbox.join("kept"), "kept").unwrap();
    let mut command = Command::new(example("own_source"));
    command.arg(guests::component("always-err")).arg(&inbox).current_dir(folder.path());
    fs::remove_dir_all(folder.path().join("data/cache")).unwrap();
    let running = command.spawn().unwrap();
    compiled(folder.path()).await;
    stop(running).await;
    assert_eq!(fs::read(inbox.join("kept")).unwrap(), b"kept");
}
