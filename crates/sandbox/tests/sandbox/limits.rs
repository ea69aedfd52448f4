//! What ends a handler that does not end, and that nothing else ends with it.

use std::sync::Arc;
use std::time::Duration;

use gristmill_invocation::Outcome;
use gristmill_sandbox::{FunctionSettings, Limits};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{ONE_RECORD, call, load, load_bytes};

fn brief() -> Limits {
    Limits { timeout: Duration::from_millis(200), ..Limits::default() }
}

#[tokio::test]
async fn a_spinning_handler_runs_into_the_clock() {
    // Far more fuel than the handler can burn in its time.
    let spins = load("spins", Limits { fuel_per_second: u64::MAX, ..brief() });
    let report = call(&spins, ONE_RECORD).await;
    assert_eq!(report.outcome, Outcome::TimedOut);
    assert!(report.duration >= Duration::from_millis(200), "{report:?}");
    assert!(report.fuel > 0, "{report:?}");
}

#[tokio::test]
async fn a_spinning_handler_runs_out_of_fuel() {
    let limits = Limits { fuel_per_second: 100_000, ..Limits::default() };
    let spins = load("spins", limits);
    let report = call(&spins, ONE_RECORD).await;
    assert_eq!(report.outcome, Outcome::OutOfFuel);
    assert_eq!(report.fuel, 14 * 60 * 100_000);
}

#[tokio::test]
async fn a_sleeping_handler_runs_into_the_clock_and_burns_next_to_nothing() {
    let sleeps = load("sleeps", brief());
    let report = call(&sleeps, "{}").await;
    assert_eq!(report.outcome, Outcome::TimedOut);
    assert!(report.fuel < 1_000_000, "{report:?}");
}

#[tokio::test]
async fn memory_beyond_the_limit_is_refused_and_said_so() {
    let limit = 32 * 1024 * 1024;
    let grows = load("grows-memory", Limits { memory_max_bytes: limit, ..Limits::default() });
    let report = call(&grows, "{}").await;
    assert_eq!(report.outcome, Outcome::OutOfMemory);
    assert!(report.memory_bytes > limit / 2 && report.memory_bytes <= limit, "{report:?}");
}

#[tokio::test]
async fn a_stack_overflow_is_a_trap() {
    let overflows = load("stack-overflow", Limits::default());
    let Outcome::Trapped(reason) = call(&overflows, "{}").await.outcome else { panic!() };
    assert!(reason.starts_with("call stack exhausted in stack_overflow::descend"), "{reason}");
}

#[tokio::test]
async fn a_call_that_did_not_end_by_itself_leaves_a_function_that_works() {
    let spins = load("spins", brief());
    assert_eq!(call(&spins, ONE_RECORD).await.outcome, Outcome::TimedOut);
    assert_eq!(call(&spins, "{}").await.outcome, Outcome::Succeeded(None));

    let dropped = timeout(Duration::from_millis(20), call(&spins, ONE_RECORD)).await;
    assert!(dropped.is_err());
    assert_eq!(call(&spins, "{}").await.outcome, Outcome::Succeeded(None));
}

#[tokio::test]
async fn an_instance_that_trapped_serves_no_further_call() {
    let settings = FunctionSettings { limits: brief(), ..FunctionSettings::default() };
    let counts = load_bytes(&traps_on_second_call(), settings).unwrap();
    for _ in 0..3 {
        assert_eq!(call(&counts, "").await.outcome, Outcome::Succeeded(None));
        let second = call(&counts, "").await.outcome;
        assert!(matches!(second, Outcome::Trapped(_)), "{second:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_is_served_while_as_many_spin_as_there_are_threads() {
    let limits = Limits { timeout: Duration::from_secs(2), ..Limits::default() };
    let spins = Arc::new(load("spins", limits));
    let echo = load("echo", Limits::default());
    let mut calls = JoinSet::new();
    for _ in 0..2 {
        let spins = spins.clone();
        calls.spawn(async move { call(&spins, ONE_RECORD).await.outcome });
    }
    calls.spawn(async move { call(&echo, "{}").await.outcome });

    let first = calls.join_next().await.unwrap().unwrap();
    assert_eq!(first, Outcome::Succeeded(Some("{}".to_owned())));
    for outcome in calls.join_all().await {
        assert_eq!(outcome, Outcome::TimedOut);
    }
}

/// A component whose instances answer once and trap from then on.
fn traps_on_second_call() -> Vec<u8> {
    wat::parse_str(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                (global $called (mut i32) (i32.const 0))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
                (func (export "handle") (param i32 i32) (result i32)
                    (if (global.get $called) (then unreachable))
                    (global.set $called (i32.const 1))
                    i32.const 0))
            (core instance $i (instantiate $m))
            (func (export "handle-batch")
                (param "event" string) (result (result (option string) (error string)))
                (canon lift (core func $i "handle")
                    (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#,
    )
    .unwrap()
}
