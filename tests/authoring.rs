//! What a handler's author does: make a project, build it, and call it with events of either broker.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use gristmill_testkit::guests;
use serde_json::{Value, json};

const SUM_OF_ONE: &str = "{\"orders\":1,\"items\":3,\"total_cents\":2505}\n";

fn gristmill(folder: &Path, arguments: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gristmill"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Whoever does not read it, such as a command that is refused, has closed it.
    drop(child.stdin.take().unwrap().write_all(stdin));
    child.wait_with_output().unwrap()
}

#[track_caller]
fn succeeds(folder: &Path, arguments: &[&str], stdin: &[u8]) -> String {
    let output = gristmill(folder, arguments, stdin);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_new_project_in_rust_builds_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let told = succeeds(folder.path(), &["new", "late-orders", "--lang", "rust"], b"");
    assert!(told.contains("cd late-orders\n"), "{told}");
    let handler = guests::build_package(&folder.path().join("late-orders")).unwrap();
    let handler = handler.to_str().unwrap();

    assert_eq!(succeeds(folder.path(), &["invoke", handler], b""), SUM_OF_ONE);
    for (broker, options) in [
        ("rabbitmq", &["--count", "3"][..]),
        ("activemq", &["--count", "3"]),
        ("activemq", &["--count", "3", "--profile", "observed", "--bytes"]),
    ] {
        let event = succeeds(folder.path(), &[&["event", broker], options].concat(), b"");
        let invoke = ["invoke", handler, "--event", "-"];
        let answer = succeeds(folder.path(), &invoke, event.as_bytes());
        assert_eq!(answer, "{\"orders\":3,\"items\":9,\"total_cents\":7515}\n", "{broker}");
    }

    let again = gristmill(folder.path(), &["new", "late-orders", "--lang", "rust"], b"");
    assert_eq!(again.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&again.stderr);
    assert!(stderr.contains("late-orders exists and is not empty"), "{stderr}");
}

#[test]
fn a_trap_names_the_line_of_a_new_project() {
    let folder = tempfile::tempdir().unwrap();
    succeeds(folder.path(), &["new", "trapping", "--lang", "rust"], b"");
    let project = folder.path().join("trapping");
    let source = project.join("src/totals.rs");
    let text = fs::read_to_string(&source).unwrap();
    let text = text.replace("self.orders += 1;", "std::process::abort();");
    fs::write(&source, &text).unwrap();
    let line = 1 + text.lines().position(|line| line.contains("process::abort")).unwrap();
    let says = format!(" (src/totals.rs:{line}) < handle-batch (src/");

    let handler = guests::build_package(&project).unwrap();
    let native = project.join("handler.cwasm");
    let (handler, native) = (handler.to_str().unwrap(), native.to_str().unwrap());
    succeeds(folder.path(), &["compile", handler, "-o", native], b"");
    for arguments in [&["invoke", handler][..], &["invoke", native, "--trusted"]] {
        let output = gristmill(folder.path(), arguments, b"");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        assert!(stderr.contains(&says), "{says}: {stderr}");
    }
}

#[test]
fn an_event_is_what_its_options_say() {
    let folder = tempfile::tempdir().unwrap();
    let event = |arguments: &[&str], stdin: &[u8]| -> Value {
        let arguments = [&["event"], arguments].concat();
        serde_json::from_str(&succeeds(folder.path(), &arguments, stdin)).unwrap()
    };
    let options = ["rabbitmq", "--body", "a", "--body", "b", "--count", "3", "--queue", "q"];
    let more = ["--virtual-host", "v", "--header", "z=1", "--header", "a=b=c", "--message-id", "m"];
    let rabbitmq = event(&[&options[..], &more].concat(), b"");
    let records = &rabbitmq["rmqMessagesByQueue"]["q::v"];
    let told: Vec<_> = records.as_array().unwrap().iter().map(|record| &record["data"]).collect();
    assert_eq!(told, ["YQ==", "Yg==", "YQ=="]);
    let properties = &records[1]["basicProperties"];
    assert_eq!(properties["messageId"], "m-2");
    let headers = json!({ "a": { "bytes": [98, 61, 99] }, "z": { "bytes": [49] } });
    assert_eq!(properties["headers"], headers);

    let activemq = ["activemq", "--body-file", "-", "--bytes", "--property", "x=1"];
    let activemq = event(&[&activemq[..], &["--profile", "observed"]].concat(), b"\xff\0");
    let message = &activemq["messages"][0];
    assert_eq!(message["messageType"], "jms/bytes-message");
    assert_eq!((&message["data"], &message["correlationID"]), (&json!("/wA="), &json!("")));
    assert_eq!(message["properties"], json!({ "x": "1" }));

    for (arguments, stdin, says) in [
        (&["event"][..], &b""[..], "rabbitmq"),
        (&["event", "activemq", "--body-file", "-"], b"\xff", "give --bytes"),
        (&["event", "rabbitmq", "--body-file", "none.json"], b"", "cannot read the body none.json"),
        (&["event", "rabbitmq", "--body", "a", "--body", "b", "--count", "1"], b"", "leaves out"),
        (&["event", "rabbitmq", "--body", "a", "--body-file", "-"], b"", "cannot be used with"),
        (&["event", "rabbitmq", "--count", "0"], b"", "not in 1..=10000"),
        (&["event", "rabbitmq", "--header", "a"], b"", "write NAME=VALUE"),
        (&["event", "rabbitmq", "--body-file", "-"], &vec![0; 5_000_000], "message 1 no longer"),
        (&["event", "rabbitmq", "--profile", "observed"], b"", "unexpected argument"),
        (&["new", "a b", "--lang", "go"], b"", "is no name of a function"),
        (&["new", "a", "--lang", "cobol"], b"", "[possible values: rust, js, python, c, go]"),
    ] {
        let output = gristmill(folder.path(), arguments, stdin);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
    }
}
