//! The host's harness, tried on shell scripts that log as the program does.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use gristmill_testkit::host::Host;

const PATIENCE: Duration = Duration::from_secs(30);

/// A program that is started like the host.
fn script(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("program");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn log_lines_signals_and_the_exit_status_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(
        &folder,
        r#"trap 'echo "{\"message\":\"draining\"}" >&2; exit 3' TERM
echo "not JSON" >&2
echo "{\"message\":\"ready\",\"config\":\"$(cat gristmill.toml)\",\"args\":\"$1 $4 $5\"}" >&2
while :; do sleep 0.05; done"#,
    );
    let host = Host::start(&program, "[host]").unwrap();
    let ready = host.wait_for(PATIENCE, |line| line["message"] == "ready").await.unwrap();
    assert_eq!(ready["config"], "[host]");
    assert_eq!(ready["args"], "run --log-format json");
    assert_eq!(host.logs()[0], "not JSON");

    host.signal("TERM").unwrap();
    host.wait_for(PATIENCE, |line| line["message"] == "draining").await.unwrap();
    assert_eq!(host.wait_exit(PATIENCE).await.unwrap().code(), Some(3));
}

#[tokio::test]
async fn an_end_before_the_awaited_line_is_an_error_with_the_last_lines() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(&script(&folder, "echo 'no such queue' >&2; exit 2"), "").unwrap();
    let error = host.wait_for(PATIENCE, |_| false).await.unwrap_err();
    assert!(format!("{error:#}").contains("no such queue"), "{error:#}");
    assert!(format!("{error:#}").contains("exit status: 2"), "{error:#}");
}

#[tokio::test]
async fn a_restart_keeps_the_folder_and_a_drop_removes_it() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(
        &folder,
        r#"echo "$NAME" >> starts; echo "{\"starts\":$(wc -l < starts)}"; exec sleep 1000"#,
    );
    let mut host = Host::start_with(&program, "", &[("NAME", "value")]).unwrap();
    host.wait_for(PATIENCE, |line| line["starts"] == 1).await.unwrap();
    host.restart().await.unwrap();
    host.wait_for(PATIENCE, |line| line["starts"] == 2).await.unwrap();
    let kept = host.folder().to_owned();
    assert!(kept.join("starts").exists());
    drop(host);
    assert!(!kept.exists());
}
