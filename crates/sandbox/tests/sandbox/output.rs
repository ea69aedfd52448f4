//! What a handler writes becomes log lines, each with its invocation, and within bounds.

use std::time::Duration;

use gristmill_invocation::{Function, Outcome};
use gristmill_sandbox::{LINE_BYTES_MAX, LOG_BYTES_MAX, LOG_LINES_MAX, Limits};

use crate::support::{Captured, call, invocation, load};

#[tokio::test]
async fn each_line_carries_function_and_stream_and_the_request_of_its_own_call() {
    let prints = load("prints-event", Limits::default());
    let captured = Captured::start();
    // The second call is served by the instance of the first.
    for event in ["first\n\nthird", "größer"] {
        let invocation = invocation(event);
        let request_id = invocation.request_id;
        let report = prints.invoke(invocation).await;
        assert_eq!(report.outcome, Outcome::Succeeded(None));
        let lines = captured.take();
        let texts: Vec<&str> = lines.iter().map(|line| line["message"].as_str()).collect();
        assert_eq!(texts, event.split('\n').collect::<Vec<_>>());
        for line in &lines {
            assert_eq!(line["function"], "prints-event");
            assert_eq!(line["request_id"], request_id.to_string());
            assert_eq!(line["stream"], "stdout");
            assert_eq!(line["level"], "INFO");
        }
    }
}

#[tokio::test]
async fn a_panic_is_told_on_stderr() {
    let traps = load("always-traps", Limits::default());
    let captured = Captured::start();
    call(&traps, "{}").await;
    let lines = captured.take();
    assert!(lines.iter().all(|line| line["stream"] == "stderr"), "{lines:?}");
    assert!(lines.iter().any(|line| line["message"] == "this guest always traps"), "{lines:?}");
}

#[tokio::test]
async fn a_long_line_is_cut_and_the_rest_counted() {
    let prints = load("prints-event", Limits::default());
    let captured = Captured::start();
    call(&prints, &"x".repeat(LINE_BYTES_MAX + 5)).await;
    let [line, cut] = captured.take().try_into().unwrap();
    assert_eq!(line["message"], "x".repeat(LINE_BYTES_MAX));
    assert_eq!(cut["level"], "WARN");
    assert_eq!((cut["lines_cut"].as_str(), cut["bytes_cut"].as_str()), ("0", "5"));
}

#[tokio::test]
async fn bytes_are_bounded_over_all_lines() {
    let prints = load("prints-event", Limits::default());
    let captured = Captured::start();
    // One line more than may be logged.
    let lines = LOG_BYTES_MAX / LINE_BYTES_MAX + 1;
    call(&prints, &vec!["y".repeat(LINE_BYTES_MAX); lines].join("\n")).await;
    let events = captured.take();
    assert_eq!(events.len(), lines, "the lines that fit, and what was cut");
    let cut = events.last().unwrap();
    assert_eq!(cut["lines_cut"], "1");
    assert_eq!(cut["bytes_cut"], LINE_BYTES_MAX.to_string());
}

// On its own thread the runtime's clock is punctual even while the guest computes.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_flood_is_bounded_and_counted() {
    let limits = Limits { timeout: Duration::from_millis(500), ..Limits::default() };
    let floods = load("floods-stdout", limits);
    let captured = Captured::start();
    call(&floods, "{}").await;
    let events = captured.take();
    assert_eq!(events.len() as u64, LOG_LINES_MAX + 1);
    assert_eq!(events[999]["message"], "line 999");
    let cut = events.last().unwrap();
    assert_eq!(cut["message"], "the handler wrote more than is logged for one invocation");
    assert!(cut["lines_cut"].parse::<u64>().unwrap() > 1_000, "{cut:?}");
}
