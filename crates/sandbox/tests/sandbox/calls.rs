//! One call after another: what a handler gets and answers, and which instance serves it.

use gristmill_invocation::{Function, Outcome};
use gristmill_sandbox::Limits;

use crate::support::{ONE_RECORD, call, load};

#[tokio::test]
async fn an_event_arrives_and_an_answer_returns_unchanged() {
    let echo = load("echo", Limits::default());
    assert_eq!(echo.name(), "echo");
    for event in ["{}", "", "\"größer 😀 \u{0} ﷽\"", ONE_RECORD] {
        let report = call(&echo, event).await;
        assert_eq!(report.outcome, Outcome::Succeeded(Some(event.to_owned())));
        assert!(report.fuel > 0 && report.memory_bytes > 0, "{report:?}");
    }
}

#[tokio::test]
async fn an_event_of_six_megabytes_arrives() {
    let echo = load("echo", Limits::default());
    let event = format!("\"{}\"", "ö".repeat(3 * 1024 * 1024 - 1));
    assert_eq!(call(&echo, &event).await.outcome, Outcome::Succeeded(Some(event)));
}

#[tokio::test]
async fn a_handler_may_answer_nothing() {
    let silent = load("silent", Limits::default());
    assert_eq!(call(&silent, "{}").await.outcome, Outcome::Succeeded(None));
}

#[tokio::test]
async fn what_a_handler_answers_is_not_read() {
    let bad_json = load("bad-json", Limits::default());
    let answer = call(&bad_json, "{}").await.outcome;
    assert_eq!(answer, Outcome::Succeeded(Some("not json".to_owned())));
}

#[tokio::test]
async fn a_response_over_six_megabytes_is_no_success() {
    let huge = load("huge-response", Limits::default());
    assert_eq!(call(&huge, "{}").await.outcome, Outcome::ResponseTooLarge);
}

#[tokio::test]
async fn a_warm_instance_serves_the_next_call() {
    let counts = load("counts-calls", Limits::default());
    for calls in 1..=3 {
        let answer = format!(r#"{{"calls":{calls}}}"#);
        assert_eq!(call(&counts, "{}").await.outcome, Outcome::Succeeded(Some(answer)));
    }
}

#[tokio::test]
async fn without_reuse_every_call_has_a_fresh_instance() {
    let counts = load("counts-calls", Limits { instance_reuse: false, ..Limits::default() });
    for _ in 0..3 {
        let answer = r#"{"calls":1}"#.to_owned();
        assert_eq!(call(&counts, "{}").await.outcome, Outcome::Succeeded(Some(answer)));
    }
}

#[tokio::test]
async fn an_error_is_the_handlers_own_and_keeps_the_instance() {
    let always_err = load("always-err", Limits::default());
    let first = call(&always_err, "{}").await;
    assert_eq!(first.outcome, Outcome::HandlerError("no".to_owned()));

    // It counts its failures in memory, so it succeeds only if that memory outlives them.
    let fails_twice = load("fails-twice", Limits::default());
    let order = r#"{"rmqMessagesByQueue":{"orders::/":[{"basicProperties":{},"data":"eyJpZCI6MSwiY3VzdG9tZXIiOiJhIiwiaXRlbXMiOlt7InNrdSI6IngiLCJxdWFudGl0eSI6MSwicHJpY2VfY2VudHMiOjEwMH1dLCJmYWlsX3R3aWNlIjp0cnVlfQ=="}]}}"#;
    for _ in 0..2 {
        let outcome = call(&fails_twice, order).await.outcome;
        assert!(matches!(outcome, Outcome::HandlerError(_)), "{outcome:?}");
    }
    let third = call(&fails_twice, order).await.outcome;
    assert!(third.is_success(), "{third:?}");
}

#[tokio::test]
async fn a_trap_is_told_with_its_functions() {
    let traps = load("always-traps", Limits::default());
    let Outcome::Trapped(reason) = call(&traps, "{}").await.outcome else { panic!() };
    assert_eq!(reason, "a panic in handle-batch");
    let overflows = load("stack-overflow", Limits::default());
    let Outcome::Trapped(reason) = call(&overflows, "{}").await.outcome else { panic!() };
    assert!(reason.starts_with("call stack exhausted in stack_overflow::descend < "), "{reason}");
    assert_eq!(reason.matches("descend").count(), 12, "{reason}");
}
