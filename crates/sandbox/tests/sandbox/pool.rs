//! Places for instances: who waits for one, who gives one up, and who is never let in.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use gristmill_invocation::{Function, Invocation, Outcome, Report};
use gristmill_sandbox::{
    Engine, EngineError, EngineSettings, FunctionSettings, Limits, LoadedFunction, Refusal,
};
use tokio::sync::Semaphore;

use crate::support::{ENGINE, answer, call, causes, component_with, guest, invocation, load_in};

/// Small enough that many engines fit beside each other.
const MEMORY: u64 = 16 * 1024 * 1024;

fn engine(instances_max: u32) -> Engine {
    LazyLock::force(&ENGINE);
    Engine::new(EngineSettings { instances_max, memory_max_bytes: MEMORY }).unwrap()
}

fn settings() -> FunctionSettings {
    let limits = Limits { memory_max_bytes: MEMORY, ..Limits::default() };
    FunctionSettings { limits, ..FunctionSettings::default() }
}

fn load(engine: &Engine, name: &str) -> LoadedFunction {
    load_in(engine, &guest(name), settings()).unwrap()
}

/// A call that does not wait at all.
async fn call_now(function: &LoadedFunction) -> Report {
    function.invoke(Invocation { wait_max: Duration::ZERO, ..invocation("{}") }).await
}

/// Does something while a call of the function runs that does not end. The call comes first.
async fn during<T>(function: &LoadedFunction, something: impl Future<Output = T>) -> T {
    let endless = pin!(call(function, "{}"));
    tokio::select! {
        biased;
        report = endless => panic!("it has ended: {report:?}"),
        done = something => done,
    }
}

#[tokio::test]
async fn two_functions_share_one_place_and_the_second_waits() {
    let engine = engine(1);
    let (slow, other) = (load(&engine, "slow"), load(&engine, "echo"));
    // It sleeps for 50 ms: {"sleep_ms":50}.
    let event = r#"{"rmqMessagesByQueue":{"q::/":[{"data":"eyJzbGVlcF9tcyI6NTB9"}]}}"#;
    let (first, second) = tokio::join!(call(&slow, event), call(&other, "{}"));
    assert_eq!(first.outcome, Outcome::Succeeded(None));
    assert_eq!(second.outcome, Outcome::Succeeded(Some("{}".to_owned())));
    assert!(second.waited > first.waited + Duration::from_millis(20), "{first:?} {second:?}");
    assert!(second.duration < second.waited, "waiting is no part of the call: {second:?}");
}

#[tokio::test]
async fn an_idle_instance_makes_room_for_another_function_and_at_once() {
    for (places, cold_again) in [(1, true), (2, false)] {
        let engine = engine(places);
        let (one, other) = (load(&engine, "counts-calls"), load(&engine, "echo"));
        let cold = async |function| {
            let report = call_now(function).await;
            assert!(report.outcome.is_success(), "{report:?}");
            report.cold
        };
        assert!(cold(&one).await && !cold(&one).await && cold(&other).await);
        assert_eq!(cold(&one).await, cold_again, "{places} places");
    }
}

#[tokio::test]
async fn a_call_that_finds_no_place_in_its_time_does_not_start() {
    let engine = engine(1);
    let (sleeps, counts) = (load(&engine, "sleeps"), load(&engine, "counts-calls"));
    let report = during(&sleeps, call_now(&counts)).await;
    assert_eq!(report.outcome, Outcome::NotStarted);
    let waiting = Invocation { wait_max: Duration::from_millis(20), ..invocation("{}") };
    let report = during(&sleeps, counts.invoke(waiting)).await;
    assert_eq!(report.outcome, Outcome::NotStarted);
    assert!(report.waited >= Duration::from_millis(20) && !report.cold, "{report:?}");
    // The place is free again, nobody is thought to wait, and the instance is kept.
    assert_eq!(answer(&counts, "{}").await, r#"{"calls":1}"#);
    assert_eq!(answer(&counts, "{}").await, r#"{"calls":2}"#);
}

#[tokio::test]
async fn a_shared_bound_keeps_a_function_and_its_successor_to_one_call_at_a_time() {
    let engine = engine(3);
    let concurrency = Some(Arc::new(Semaphore::new(1)));
    let bounded = |name: &str| {
        let settings = FunctionSettings { concurrency: concurrency.clone(), ..settings() };
        load_in(&engine, &guest(name), settings).unwrap()
    };
    let (old, new) = (bounded("sleeps"), bounded("echo"));
    let unbounded = load(&engine, "echo");
    let (bounded, free) =
        during(&old, async { (call_now(&new).await.outcome, call_now(&unbounded).await.outcome) })
            .await;
    assert_eq!(bounded, Outcome::NotStarted);
    assert!(free.is_success(), "{free:?}");
    assert!(call_now(&new).await.outcome.is_success());
}

#[tokio::test]
async fn an_instance_serves_so_many_calls_and_no_more() {
    let engine = engine(1);
    let instance_max_invocations = NonZeroU32::new(2);
    let limits = Limits { instance_max_invocations, ..settings().limits };
    let settings = FunctionSettings { limits, ..settings() };
    let counts = load_in(&engine, &guest("counts-calls"), settings).unwrap();
    for (calls, cold) in [(1, true), (2, false), (1, true), (2, false)] {
        let report = call(&counts, "{}").await;
        assert_eq!(report.cold, cold);
        assert_eq!(report.outcome, Outcome::Succeeded(Some(format!(r#"{{"calls":{calls}}}"#))));
    }
}

#[tokio::test]
async fn a_function_that_is_no_more_leaves_its_places() {
    let engine = engine(1);
    for _ in 0..3 {
        let echo = load(&engine, "echo");
        assert!(call_now(&echo).await.outcome.is_success());
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_its_place() {
    let engine = engine(1);
    let (sleeps, echo) = (load(&engine, "sleeps"), load(&engine, "echo"));
    for _ in 0..3 {
        during(&sleeps, async {}).await;
        // One that waits, and is dropped too.
        during(&sleeps, async {
            let mut waiting = pin!(call(&echo, "{}"));
            tokio::select! {
                biased;
                report = &mut waiting => panic!("{report:?}"),
                () = async {} => {}
            }
        })
        .await;
    }
    assert!(call_now(&echo).await.outcome.is_success());
}

#[test]
fn what_the_engine_has_no_room_for_is_refused() {
    let refusal = |bytes: &[u8], settings| {
        let error = load_in(&engine(1), bytes, settings).unwrap_err();
        (causes(&error), error.refusal)
    };
    let limits = Limits { memory_max_bytes: MEMORY + 1, ..Limits::default() };
    let over = refusal(&guest("echo"), FunctionSettings { limits, ..settings() });
    let Refusal::OverTheEngine { limit_bytes, most_bytes } = over.1 else { panic!("{}", over.0) };
    assert_eq!((limit_bytes, most_bytes), (MEMORY + 1, MEMORY));

    // wasmtime looks at the pool before we do.
    for (what, memory, module) in [
        ("memories count of 2 exceeds", 1, "(memory 1)"),
        ("minimum byte size of 16842752", 257, ""),
    ] {
        let module = format!(
            r#"(memory (export "memory") {memory}) {module}
               (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
               (func (export "handle") (param i32 i32) (result i32) i32.const 0)"#
        );
        let (causes, refusal) = refusal(&component_with("", &module), settings());
        assert!(matches!(refusal, Refusal::Invalid(_)), "{causes}");
        assert!(causes.contains(what), "{causes}");
    }
}

#[test]
fn an_engine_of_an_impossible_size_is_refused() {
    let new = |instances_max, memory_max_bytes| {
        Engine::new(EngineSettings { instances_max, memory_max_bytes }).map(drop)
    };
    for instances in [0, EngineSettings::INSTANCES_MOST + 1] {
        assert!(matches!(new(instances, MEMORY), Err(EngineError::Instances { .. })));
    }
    for bytes in [0, 65_535, (4 << 30) + 1] {
        assert!(matches!(new(1, bytes), Err(EngineError::Memory { .. })), "{bytes}");
    }
    new(1, 65_536).unwrap();
}
