//! The kinds of handlers that are components: told about their calls, or commands.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gristmill_invocation::{Function, Invocation, Outcome, Report};
use gristmill_sandbox::{FunctionSettings, Limits, Refusal};
use serde_json::{Value, json};

use crate::support::{
    Captured, answer, call, invocation, load, load_bytes, load_with, variables_of, with_variables,
};

fn succeeded(answer: &str) -> Outcome {
    Outcome::Succeeded(Some(answer.to_owned()))
}

fn failed(message: &str) -> Outcome {
    Outcome::HandlerError(message.to_owned())
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

#[tokio::test]
async fn a_handler_with_context_is_told_about_its_call() {
    let limits = Limits {
        timeout: Duration::from_secs(60),
        memory_max_bytes: 63 * 1024 * 1024 + 1,
        ..Limits::default()
    };
    let function = load("with-context", limits);
    let invocation = Invocation { attempt: 3, ..invocation("context") };
    let before_ms = now_ms();
    let Report { outcome, .. } = function.invoke(invocation).await;
    let Outcome::Succeeded(Some(context)) = outcome else { panic!("{outcome:?}") };
    let context: Value = serde_json::from_str(&context).unwrap();
    assert_eq!(context["request_id"], invocation.request_id.to_string());
    assert_eq!(context["function_name"], "with-context");
    assert_eq!(context["attempt"], 3);
    assert_eq!(context["memory_mib"], 64);
    let deadline_ms = context["deadline_ms"].as_u64().unwrap();
    assert!((before_ms + 60_000..=now_ms() + 60_000).contains(&deadline_ms), "{context}");
}

#[tokio::test]
async fn a_handler_with_context_says_how_it_failed() {
    let function = load("with-context", Limits::default());
    let closed = |seconds| {
        Outcome::RetryAfter(Duration::from_secs(seconds), "the shop is closed".to_owned())
    };
    for (event, outcome) in [
        ("nothing", Outcome::Succeeded(None)),
        ("retry", failed("not now")),
        ("retry-after 90", closed(90)),
        ("retry-after 0", closed(1)),
        ("retry-after 4294967295", closed(u64::from(u32::MAX))),
        ("give-up", Outcome::GaveUp("no such order".to_owned())),
    ] {
        assert_eq!(call(&function, event).await.outcome, outcome, "{event}");
    }
    // None of these is a reason to give the instance up.
    assert!(!call(&function, "retry").await.cold);
}

#[tokio::test]
async fn a_command_reads_the_event_and_writes_its_response() {
    let limits = Limits { timeout: Duration::from_secs(60), ..Limits::default() };
    let function = load("command", limits);
    let long = "ö".repeat(1024 * 1024);
    for (event, outcome) in [
        ("{}", succeeded("{}")),
        ("two\nlines\n", succeeded("two\nlines")),
        (&long, succeeded(&long)),
        ("silent", Outcome::Succeeded(None)),
        ("exit ok", Outcome::Succeeded(None)),
        ("fail", failed("exit code 1")),
        ("exit err", failed("exit code 1")),
        ("exit 3", failed("exit code 3")),
        ("endless", Outcome::ResponseTooLarge),
    ] {
        let report = call(&function, event).await;
        assert_eq!(report.outcome, outcome, "{}", event.get(..9).unwrap_or(event));
        assert!(report.cold, "{event}");
    }
    let Outcome::Trapped(reason) = call(&function, "trap").await.outcome else { panic!() };
    assert!(reason.starts_with("a panic in "), "{reason}");
    // A static in it starts anew each time.
    assert_eq!(answer(&function, "count").await, "1");
    assert_eq!(answer(&function, "count").await, "1");
}

#[tokio::test]
async fn what_a_command_says_on_stderr_is_logged_and_its_response_is_not() {
    let function = load("command", Limits::default());
    let captured = Captured::start();
    assert_eq!(answer(&function, "stderr").await, "answered");
    let [line] = captured.take().try_into().unwrap();
    assert_eq!((line["message"].as_str(), line["stream"].as_str()), ("said on stderr", "stderr"));
}

#[tokio::test]
async fn a_handler_sees_its_own_variables_and_none_of_the_hosts() {
    let told = |name: &'static str, event: &'static str| async move {
        let told = answer(&load_with(name, with_variables()), event).await;
        serde_json::from_str::<Value>(&told).unwrap()
    };
    let environment = told("environment", "").await;
    assert_eq!(environment["variables"], variables_of("environment"));
    assert_eq!(environment["arguments"], json!([]));
    assert_eq!(environment["directory"], Value::Null);
    for name in ["with-context", "command"] {
        assert_eq!(told(name, "variables").await, variables_of(name));
    }
    // This process has variables, which would be there if they were handed on.
    assert!(std::env::vars_os().any(|(name, _)| name == "PATH"));
}

/// A component in text form with one core function for each way to be called.
fn component(exports: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
                (func (export "handle") (param i32 i32) (result i32) i32.const 0)
                (func (export "with") (param i32 i32 i32 i32) (result i32) i32.const 0)
                (func (export "run") (result i32) i32.const 1))
            (core instance $i (instantiate $m))
            (type $told (record (field "request-id" string)))
            (export $context "context" (type $told))
            (func $with (param "event" string) (param "context" $context)
                (result (result (option string) (error string)))
                (canon lift (core func $i "with")
                    (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            (func $handle (param "event" string) (result (result (option string) (error string)))
                (canon lift (core func $i "handle")
                    (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (func $number (result u32) (canon lift (core func $i "run")))
            {exports})"#
    ))
    .unwrap()
}

fn refusal(exports: &str) -> Refusal {
    load_bytes(&component(exports), FunctionSettings::default()).unwrap_err().refusal
}

#[test]
fn another_context_is_refused_with_both_types() {
    let message = refusal(r#"(export "handle-batch-with" (func $with))"#).to_string();
    assert_eq!(
        message,
        "`handle-batch-with` is a func(event: string, context: record { request-id: string }) -> \
         result<option<string>, string>; it must be a func(string, record { request-id: string, \
         function-name: string, attempt: u32, deadline-ms: u64, memory-mib: u32 }) -> \
         result<option<string>, variant { retry(string), retry-after(tuple<u32, string>), \
         give-up(string) }>"
    );
}

#[test]
fn two_ways_to_handle_a_batch_are_refused_and_both_named() {
    let both =
        r#"(export "handle-batch" (func $handle)) (export "handle-batch-with" (func $with))"#;
    let Refusal::Ambiguous { candidates } = refusal(both) else { panic!() };
    assert_eq!(candidates, ["handle-batch", "handle-batch-with"]);
}

#[test]
fn a_command_of_another_type_is_refused() {
    let message = refusal(
        r#"(instance $run (export "run" (func $number)))
           (export "wasi:cli/run@0.2.3" (instance $run))"#,
    )
    .to_string();
    let expected = "`wasi:cli/run@0.2.3#run` is a func() -> u32; it must be a func() -> result";
    assert_eq!(message, expected);
}

#[tokio::test]
async fn what_is_both_handler_and_command_is_a_handler() {
    const RUN: &str = r#"(instance $run (export "run" (func $run)))
                         (export "wasi:cli/run@0.2.0" (instance $run))"#;
    let function =
        |exports: &str| load_bytes(&component(exports), FunctionSettings::default()).unwrap();
    let both = function(&format!(r#"{RUN} (export "handle-batch" (func $handle))"#));
    assert_eq!(call(&both, "").await.outcome, Outcome::Succeeded(None));
    assert_eq!(call(&function(RUN), "").await.outcome, failed("exit code 1"));
}
