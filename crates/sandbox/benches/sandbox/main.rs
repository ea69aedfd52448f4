//! What the host adds to a call, against bare wasmtime in a loop with the same settings; and what
//! metering costs.
//!
//! Every figure is of a call on a runtime like that of the host's handlers, and the compared ones take
//! turns in one run. The host is to add at most 5 µs to a call of a warm instance and 20 µs to one
//! with a fresh instance; a fresh instance of a small WASI component is to take at most 60 µs. The
//! machine decides about the figures, so their differences and ratios count.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has nothing to tell")]

mod bare;
mod handlers;
mod turns;

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use gristmill_sandbox::{Engine, EngineSettings, LoadedFunction};
use tokio::runtime::{Builder, Runtime};

use bare::{Bare, Metering};

/// As `crates/gristmill/src/guests.rs` makes it.
fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.event_interval(1).global_queue_interval(2).enable_all().build().unwrap()
}

/// So many calls by the host, of a fresh or a warm instance as the function was loaded.
async fn hosted(function: Arc<LoadedFunction>, event: Arc<str>, count: u64) -> Duration {
    handlers::invoke(&function, &event).await;
    let started = Instant::now();
    for _ in 0..count {
        handlers::invoke(&function, &event).await;
    }
    started.elapsed()
}

/// So many calls of one instance without a host.
async fn bare_warm(bare: Arc<Bare>, event: Arc<str>, count: u64) -> Duration {
    let mut instance = bare.instance().await;
    bare.call(&mut instance, &event).await;
    let started = Instant::now();
    for _ in 0..count {
        bare.call(&mut instance, &event).await;
    }
    started.elapsed()
}

/// So many instances without a host, and one call of each.
async fn bare_fresh(bare: Arc<Bare>, event: Arc<str>, count: u64) -> Duration {
    let started = Instant::now();
    for _ in 0..count {
        let mut instance = bare.instance().await;
        bare.call(&mut instance, &event).await;
    }
    started.elapsed()
}

/// A call by the host against a bare one: name, µs by the host, µs bare.
type Added = (String, [f64; 2]);

fn calls(criterion: &mut Criterion, runtime: &Runtime) -> Vec<Added> {
    let engine = Engine::new(EngineSettings::default()).unwrap();
    let mut rows = Vec::new();
    for (handler, wasm) in handlers::handlers() {
        let bare = Arc::new(Bare::of_host(&wasm));
        let code = handlers::compile(&engine, &wasm);
        for is_warm in [true, false] {
            let mut group = criterion.benchmark_group(if is_warm { "warm" } else { "fresh" });
            let function = Arc::new(handlers::load(&engine, &code, handler, is_warm));
            for (size, event) in handlers::events() {
                let event: Arc<str> = event.into();
                let host = |count| {
                    let calls = hosted(Arc::clone(&function), Arc::clone(&event), count);
                    runtime.block_on(runtime.spawn(calls)).unwrap()
                };
                let bare = |count| {
                    let (bare, event) = (Arc::clone(&bare), Arc::clone(&event));
                    let calls = async move {
                        if is_warm {
                            bare_warm(bare, event, count).await
                        } else {
                            bare_fresh(bare, event, count).await
                        }
                    };
                    runtime.block_on(runtime.spawn(calls)).unwrap()
                };
                let name = format!("{handler}, {size}");
                let medians = turns::measure(&mut group, &name, [&host, &bare]);
                let warmth = if is_warm { "warm" } else { "fresh" };
                rows.extend(medians.map(|medians| (format!("{warmth}, {name}"), medians)));
            }
            group.finish();
        }
    }
    rows
}

/// What a handler that computes takes without metering, with either kind and with both, in µs.
fn metering(criterion: &mut Criterion, runtime: &Runtime) -> Option<[f64; 4]> {
    let [_, _, (handler, wasm)] = handlers::handlers();
    let [_, (size, event), _] = handlers::events();
    let event: Arc<str> = event.into();
    let bare = [(true, true), (true, false), (false, true), (false, false)]
        .map(|(fuel, epoch)| Arc::new(Bare::metered(&wasm, Metering { fuel, epoch })));
    let [both, fuel, epoch, none] = bare.map(|bare| {
        let event = Arc::clone(&event);
        move |count| {
            let calls = bare_warm(Arc::clone(&bare), Arc::clone(&event), count);
            runtime.block_on(runtime.spawn(calls)).unwrap()
        }
    });
    let mut group = criterion.benchmark_group("metering");
    let name = format!("{handler}, {size}");
    turns::measure(&mut group, &name, [&both, &fuel, &epoch, &none])
}

#[expect(clippy::print_stdout, reason = "the figures are what this is run for")]
fn show(rows: &[Added], metered: Option<[f64; 4]>) {
    if !rows.is_empty() {
        println!("\n{:<32}{:>12}{:>12}{:>12}", "µs a call", "host", "bare", "host adds");
    }
    for (name, [host, bare]) in rows {
        println!("{name:<32}{host:>12.1}{bare:>12.1}{:>12.1}", host - bare);
    }
    if let Some([both, fuel, epoch, none]) = metered {
        println!(
            "\nmetering, µs a call: none {none:.0}, epoch {epoch:.0} ({:.2}), fuel {fuel:.0} ({:.2}), \
             both {both:.0} ({:.2})",
            epoch / none,
            fuel / none,
            both / none
        );
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = runtime();
    let rows = calls(&mut criterion, &runtime);
    let metered = metering(&mut criterion, &runtime);
    show(&rows, metered);
    criterion.final_summary();
}
