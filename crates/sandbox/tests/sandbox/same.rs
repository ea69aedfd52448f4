//! The same call burns the same fuel, and many or large handlers are handlers like any other.

use std::time::Duration;

use gristmill_invocation::Outcome;
use gristmill_sandbox::{FunctionSettings, Limits};
use tokio::task::JoinSet;

use crate::support::{ONE_RECORD, answer, call, component_of, guest, load, load_bytes};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_same_event_burns_the_same_fuel_whoever_else_runs() {
    let limits = Limits { instance_reuse: false, ..Limits::default() };
    let mut fuel = Vec::new();
    for is_alone in [true, false] {
        let mut neighbours = JoinSet::new();
        if !is_alone {
            let timeout = Duration::from_secs(600);
            let spins = load("spins", Limits { timeout, ..Limits::default() });
            neighbours.spawn(async move { call(&spins, ONE_RECORD).await });
        }
        let mut calls = JoinSet::new();
        let (reads, echo) = (load("reads", limits), load("echo", limits));
        calls.spawn(async move {
            let mut fuel = Vec::new();
            for _ in 0..10 {
                let burned =
                    [call(&reads, ONE_RECORD).await.fuel, call(&echo, ONE_RECORD).await.fuel];
                fuel.push(burned);
            }
            fuel
        });
        fuel.extend(calls.join_next().await.unwrap().unwrap());
        assert_eq!(neighbours.len(), usize::from(!is_alone), "it still spins");
        assert!(neighbours.try_join_next().is_none());
    }
    let [reads, echo] = fuel[0];
    assert!(reads > 0 && echo > 0 && reads != echo, "{fuel:?}");
    assert_eq!(fuel, vec![[reads, echo]; 20]);
}

#[tokio::test]
async fn a_thousand_handlers_come_and_go() {
    for number in 1000..2000 {
        let function = load_bytes(&answering(number), FunctionSettings::default()).unwrap();
        assert_eq!(answer(&function, "{}").await, number.to_string());
    }
}

/// A handler that answers a number of four digits, whatever it is asked.
fn answering(number: u32) -> Vec<u8> {
    component_of(
        1,
        &format!(
            r#"(data (i32.const 0) "\00\00\00\00\01\00\00\00\10\00\00\00\04\00\00\00{number}")
               (func (export "handle") (param i32 i32) (result i32) i32.const 0)"#
        ),
    )
}

#[tokio::test]
async fn a_handler_of_sixty_megabytes_runs() {
    const BYTES: usize = 60 * 1024 * 1024;
    // Most of it is for debuggers: a custom section, with its name and length in front (LEB128).
    let mut padded = guest("echo");
    let length = u32::try_from(BYTES).unwrap();
    padded.push(0);
    padded.extend((0..5).map(|i| {
        let bits = u8::try_from((length >> (7 * i)) & 0x7f).unwrap();
        if i < 4 { bits | 0x80 } else { bits }
    }));
    padded.extend(b"\x04junk");
    padded.resize(padded.len() + BYTES - 5, 0);
    let function = load_bytes(&padded, FunctionSettings::default()).unwrap();
    assert_eq!(answer(&function, "{}").await, "{}");

    // Most of it is data that it starts with.
    let pages = u32::try_from(BYTES / 65_536 + 2).unwrap();
    let data = component_of(
        pages,
        &format!(
            r#"(data (i32.const 65536) "{}")
               (func (export "handle") (param i32 i32) (result i32)
                    (if (i32.ne (i32.load8_u (i32.const {})) (i32.const 120)) (then unreachable))
                    i32.const 0)"#,
            "x".repeat(BYTES),
            65_535 + BYTES,
        ),
    );
    let function = load_bytes(&data, FunctionSettings::default()).unwrap();
    assert_eq!(call(&function, "{}").await.outcome, Outcome::Succeeded(None));
}
