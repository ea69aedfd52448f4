//! The program as a user types it: exit codes, answers, and errors that say what to do.

use std::fs;
use std::path::Path;
use std::process::Command;

use gristmill_testkit::guests;
use serde_json::{Value, json};

/// Runs the program to its end: exit code, stdout, stderr.
fn gristmill(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gristmill")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn guest(name: &str) -> String {
    guests::component(name).to_str().unwrap().to_owned()
}

/// An event with one record, which some guests wait for.
fn event(folder: &Path) -> String {
    let record = json!({ "basicProperties": {}, "redelivered": false, "data": "e30=" });
    let event = json!({ "eventSource": "aws:rmq", "rmqMessagesByQueue": { "q::/": [record] } });
    let path = folder.join("event.json");
    fs::write(&path, event.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn invoke_exits_with_how_the_call_ended() {
    let folder = tempfile::tempdir().unwrap();
    let event = event(folder.path());
    let cases: &[(&str, &[&str], i32, &str)] = &[
        ("silent", &[], 0, "succeeded"),
        ("always-err", &[], 1, "the handler answered: no"),
        ("always-traps", &[], 3, "the handler trapped: "),
        ("spins", &["--timeout", "200ms"], 4, "the handler ran longer than its timeout"),
        ("spins", &["--fuel-per-second", "1000"], 4, "the handler burned the fuel of its timeout"),
        ("sleeps", &["--timeout", "200ms"], 4, "the handler ran longer than its timeout"),
        ("grows-memory", &["--memory", "16MiB"], 5, "the handler needs more memory than its limit"),
    ];
    for (name, options, code, report) in cases {
        let handler = guest(name);
        let mut arguments = vec!["invoke", &handler, "--event", &event];
        arguments.extend(*options);
        let (exited, stdout, stderr) = gristmill(&arguments);
        assert_eq!(exited, *code, "{name} {options:?}: {stderr}");
        assert!(stderr.contains(&format!("REPORT {report}")), "{name} {options:?}: {stderr}");
        assert_eq!(stdout, "", "{name}");
    }
}

/// What WASI says of the calls is as much as the handler likes.
#[test]
fn no_filter_lets_the_calls_of_a_handler_into_the_log() {
    for filter in ["trace", "info,wasmtime_wasi=trace"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gristmill"));
        command.args(["invoke", &guest("command")]).env("GRISTMILL_LOG", filter);
        let output = command.output().unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains("REPORT ") && !log.contains("wasmtime_wasi"), "{log}");
    }
}

#[test]
fn invoke_prints_the_response_and_logs_what_the_handler_prints() {
    let folder = tempfile::tempdir().unwrap();
    let event = event(folder.path());
    let (code, stdout, _) = gristmill(&["invoke", &guest("echo"), "--event", &event]);
    assert_eq!(code, 0);
    assert_eq!(stdout.trim_end(), fs::read_to_string(&event).unwrap());

    let arguments = ["invoke", &guest("prints-event"), "--event", &event, "--json"];
    let (code, stdout, stderr) = gristmill(&arguments);
    assert_eq!((code, stdout.as_str()), (0, ""));
    let lines: Vec<Value> =
        stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["stream"], "stdout");
    assert_eq!(lines[0]["function"], "prints-event");
    assert_eq!(lines[0]["message"], fs::read_to_string(&event).unwrap());
    assert!(lines[0]["request_id"].is_string());
    assert_eq!(
        (&lines[1]["message"], &lines[1]["outcome"]),
        (&json!("REPORT"), &json!("succeeded"))
    );
    assert!(lines[1]["fuel"].as_u64().unwrap() > 0);
}

#[test]
fn invoke_without_an_event_uses_a_sample_and_notes_what_is_not_json() {
    let (code, stdout, _) = gristmill(&["invoke", &guest("order-totals")]);
    assert_eq!((code, stdout.as_str()), (0, "{\"orders\":1,\"items\":3,\"total_cents\":2505}\n"));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("event.json");
    for (event, notes) in [("{", true), ("\u{feff}{}", false)] {
        fs::write(&path, event).unwrap();
        let arguments = ["invoke", &guest("silent"), "--event", path.to_str().unwrap()];
        let (code, _, stderr) = gristmill(&arguments);
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(stderr.contains("note: the event is not JSON"), notes, "{stderr}");
    }
    let (code, stdout, stderr) = gristmill(&["invoke", &guest("bad-json")]);
    assert_eq!((code, stdout.as_str()), (0, "not json\n"));
    assert!(stderr.contains("note: the response is not JSON"), "{stderr}");
}

#[test]
fn the_plugin_sums_its_own_sample_event() {
    let sample =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/order-totals/event.json");
    let arguments = ["invoke", &guest("order-totals"), "--event", sample.to_str().unwrap()];
    let (code, stdout, _) = gristmill(&arguments);
    assert_eq!((code, stdout.as_str()), (0, "{\"orders\":1,\"items\":3,\"total_cents\":2505}\n"));
}

#[test]
fn what_cannot_be_called_exits_2_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("handler.wasm");
    fs::write(&text, "not a component").unwrap();
    let text = text.to_str().unwrap();
    let silent = guest("silent");
    let cases: &[(&[&str], &str)] = &[
        (&["invoke", "no-such-file.wasm"], "cannot read the handler no-such-file.wasm"),
        (&["invoke", text], "cannot load function `handler`"),
        (&["invoke", &silent, "--event", "no-such-file.json"], "cannot read the event file"),
        (&["invoke", &silent, "--timeout", "15m"], "out of range"),
        (&["invoke", &silent, "--timeout", "soon"], "write a number and its unit"),
        (&["invoke"], "<HANDLER>"),
        (&["inspect", text], ""),
        (&["inspect", "no-such-file.wasm"], "cannot read no-such-file.wasm"),
        (&["run", "-c", "no-such-file.toml"], "no-such-file.toml"),
        (&["check", "-c", "no-such-file.toml"], "no-such-file.toml"),
        (&["rum"], "run"),
    ];
    for (arguments, says) in cases {
        let (code, _, stderr) = gristmill(arguments);
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
    }
}

#[test]
fn inspect_shows_what_a_handler_is() {
    let (code, stdout, _) = gristmill(&["inspect", &guest("order-totals")]);
    assert_eq!(code, 0);
    assert!(stdout.starts_with("kind: component\nhandler: handle-batch\n"), "{stdout}");
    assert!(stdout.contains("wasi:cli/stdout@0.2"), "{stdout}");
    let (code, stdout, _) = gristmill(&["inspect", "--json", &guest("order-totals")]);
    let inspection: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &inspection["kind"]), (0, &json!("component")));
    assert_eq!(inspection["handler"], "handle-batch");
}

#[test]
fn check_finds_what_is_wrong_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gristmill.toml");
    let config = |component: &str, more: &str| {
        format!(
            "[broker.shop]\ntype = \"rabbitmq\"\nurl = \"amqp://ann:s3cret@127.0.0.1:1\"\n\
             [function.f]\ncomponent = {component:?}\n\
             [mapping.m]\nbroker = \"shop\"\nqueue = \"q\"\nfunction = \"f\"\n{more}"
        )
    };
    let check = |text: String, connect: bool| {
        fs::write(&path, text).unwrap();
        let mut arguments = vec!["check", "-c", path.to_str().unwrap()];
        arguments.extend(connect.then_some("--connect"));
        gristmill(&arguments)
    };
    let silent = guest("silent");

    let (code, stdout, stderr) = check(config(&silent, ""), false);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("advice: ") && stdout.contains("ok: "), "{stdout}");
    assert!(!stdout.contains("s3cret"), "{stdout}");

    let (code, _, stderr) = check(config(&silent, ""), true);
    assert_eq!(code, 2);
    assert!(stderr.contains("cannot connect to 127.0.0.1:1"), "{stderr}");
    assert!(!stderr.contains("s3cret"), "{stderr}");

    let (code, _, stderr) = check(config(&silent, "batch_sise = 1\n"), false);
    assert_eq!(code, 2);
    assert!(stderr.contains("did you mean `batch_size`?"), "{stderr}");

    let (code, _, stderr) = check(config("missing.wasm", ""), false);
    assert_eq!(code, 2);
    assert!(stderr.contains("missing.wasm of function `f`"), "{stderr}");
}

#[test]
fn compile_makes_native_code_that_only_a_trusting_user_runs() {
    let folder = tempfile::tempdir().unwrap();
    let native = folder.path().join("echo.cwasm");
    let native = native.to_str().unwrap();
    let event = event(folder.path());
    let (code, _, stderr) = gristmill(&["compile", &guest("echo"), "-o", native]);
    assert_eq!(code, 0, "{stderr}");
    let (code, _, stderr) = gristmill(&["invoke", native, "--event", &event]);
    assert_eq!(code, 2);
    assert!(stderr.contains("set trusted = true"), "{stderr}");
    let (code, stdout, _) = gristmill(&["invoke", native, "--event", &event, "--trusted"]);
    assert_eq!((code, stdout.trim_end()), (0, fs::read_to_string(&event).unwrap().as_str()));

    let cases: &[(&[&str], &str)] = &[
        (&["compile", &guest("echo"), "-o", "no/such/folder"], "cannot write no/such/folder"),
        (&["compile", &event, "-o", native], "the file is not WebAssembly"),
        (&["compile", native, "-o", native], "compiled ahead of time"),
    ];
    for (arguments, says) in cases {
        let (code, _, stderr) = gristmill(arguments);
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
    }
    // Far too little for a compiler, which is ended rather than given more.
    let arguments = ["compile", &guest("order-totals"), "-o", native, "--memory-max", "16MiB"];
    let output = Command::new(env!("CARGO_BIN_EXE_gristmill")).args(arguments).output().unwrap();
    assert!(!output.status.success());
}

#[test]
fn invoke_gives_a_handler_what_is_asked_for_and_nothing_else() {
    let arguments = ["invoke", &guest("environment"), "--env", "A=1", "--env", "B=x=y"];
    let (code, stdout, stderr) = gristmill(&arguments);
    assert_eq!(code, 0, "{stderr}");
    let told: Value = serde_json::from_str(&stdout).unwrap();
    let variables = &told["variables"];
    assert_eq!((&variables["A"], &variables["B"]), (&json!("1"), &json!("x=y")));
    assert_eq!(variables["AWS_LAMBDA_FUNCTION_NAME"], "environment");
    assert!(variables["PATH"].is_null(), "{stdout}");
    for (option, value, says) in [
        ("--env", "A", "write NAME=VALUE"),
        ("--dir", "x", "write HOST::GUEST"),
        ("--network", "db", "has no port"),
        ("--dir", "/no/such::/x", "cannot open the granted directory /no/such"),
    ] {
        let (code, _, stderr) = gristmill(&["invoke", &guest("environment"), option, value]);
        assert_eq!(code, 2, "{option} {value}: {stderr}");
        assert!(stderr.contains(says), "{option} {value}: {stderr}");
    }
}
