//! What a handler costs by its language: the same one, `order-totals`, on the same event of 100 records
//! of 1 KB, by the host's defaults.
//!
//! The table is made for the documentation. Medians, of which the machine decides; fuel, memory and
//! size are the same everywhere.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has nothing to tell")]

use std::fs;
use std::time::{Duration, Instant};

use gristmill_event::{BasicProperties, Envelope, Message, RabbitMqMessage};
use gristmill_invocation::{Function, Invocation, Report, Uuid};
use gristmill_sandbox::{Code, Engine, EngineSettings, FunctionSettings, Limits, LoadedFunction};
use gristmill_testkit::guests;
use tokio::runtime::Builder;

const COMPILED: usize = 3;
const CALLED: usize = 50;

fn event() -> String {
    let message = |number| {
        let head = format!(
            r#"{{"id":{number},"items":[{{"sku":"A-1","quantity":2,"price_cents":1250}}],"note":""#
        );
        let note = "x".repeat(1024 - head.len() - 2);
        let properties = BasicProperties {
            content_type: Some("application/json".to_owned()),
            delivery_mode: Some(2),
            message_id: Some(format!("order-{number:04}")),
            ..BasicProperties::default()
        };
        let body = format!(r#"{head}{note}"}}"#).into();
        RabbitMqMessage { properties, redelivered: false, body }.into()
    };
    let messages: Vec<Message> = (0..100).map(message).collect();
    Envelope::rabbitmq("arn:aws:mq:eu-west-1:1:broker:shop:b-1", "orders", "/").encode(&messages, 0)
}

/// The last of some calls, with the median of their durations.
async fn calls(function: &LoadedFunction, event: &str) -> Report {
    let mut reports = Vec::new();
    for _ in 0..CALLED {
        let (request_id, wait_max) = (Uuid::nil(), Duration::from_secs(60));
        let invocation = Invocation { request_id, event, attempt: 1, wait_max };
        let report = function.invoke(invocation).await;
        assert!(report.outcome.is_success(), "{report:?}");
        reports.push(report);
    }
    let duration = median(reports.iter().map(|report| report.duration));
    Report { duration, ..reports.pop().unwrap() }
}

fn median(durations: impl Iterator<Item = Duration>) -> Duration {
    let mut durations: Vec<_> = durations.collect();
    durations.sort();
    durations[durations.len() / 2]
}

#[expect(clippy::print_stdout, reason = "the figures are what this is run for")]
fn main() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let engine = Engine::new(EngineSettings::default()).unwrap();
    let event = event();
    println!(
        "| handler | size, KiB | compile, s | cold, ms | warm, ms | memory, MiB | fuel, million |"
    );
    println!("|---|---|---|---|---|---|---|");
    for name in guests::ORDER_TOTALS {
        let wasm = fs::read(guests::component(name)).unwrap();
        let compile = || {
            let started = Instant::now();
            (Code::compile(&engine, &wasm).unwrap(), started.elapsed())
        };
        let (code, _) = compile();
        let compiled = median((0..COMPILED).map(|_| compile().1));
        let [fresh, kept] = [false, true].map(|instance_reuse| {
            let limits = Limits { instance_reuse, ..Limits::default() };
            let settings = FunctionSettings { name: name.to_owned(), limits, ..Default::default() };
            let function = LoadedFunction::load(&engine, &code, settings).unwrap();
            runtime.block_on(calls(&function, &event))
        });
        let warm = match kept.cold {
            // A command has a fresh instance for every call.
            true => "-".to_owned(),
            false => format!("{:.2}", kept.duration.as_secs_f64() * 1e3),
        };
        println!(
            "| {name} | {} | {:.1} | {:.2} | {warm} | {:.1} | {:.1} |",
            wasm.len() / 1024,
            compiled.as_secs_f64(),
            fresh.duration.as_secs_f64() * 1e3,
            kept.memory_bytes as f64 / f64::from(1 << 20),
            kept.fuel as f64 / 1e6,
        );
    }
}
