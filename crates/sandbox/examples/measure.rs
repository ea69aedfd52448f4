//! Throwaway.
#![allow(warnings)]
use gristmill_invocation::{Function, Invocation, Uuid};
use gristmill_sandbox::{Engine, Limits, LoadedFunction};
use std::time::Instant;
fn main() {
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let engine = Engine::new().unwrap();
    let event = r#"{"a":1}"#;
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).unwrap();
        let t = Instant::now();
        let f = LoadedFunction::load(&engine, "f", &bytes, Limits::default()).unwrap();
        println!("{path}: load {:?}", t.elapsed());
        let id = Uuid::nil();
        for (label, f, n) in [
            ("warm", &f, 200_000u32),
            (
                "fresh",
                &LoadedFunction::load(
                    &engine,
                    "f",
                    &bytes,
                    Limits { instance_reuse: false, ..Limits::default() },
                )
                .unwrap(),
                5_000,
            ),
        ] {
            for round in 0..3 {
                let t = Instant::now();
                let mut fuel = 0;
                rt.block_on(async {
                    for _ in 0..n {
                        let r = f.invoke(Invocation { request_id: id, event }).await;
                        assert!(r.outcome.is_success(), "{:?}", r);
                        fuel = r.fuel;
                    }
                });
                println!(
                    "  {label}: {:.2} us per call, fuel {fuel}",
                    t.elapsed().as_secs_f64() * 1e6 / f64::from(n)
                );
            }
        }
    }
}
