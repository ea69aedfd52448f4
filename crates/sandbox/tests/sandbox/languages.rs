//! The handler `order-totals` in all languages that there are templates in: one behaviour, five times.
//!
//! What each answers is compared with sums made here, so all are equal. A language's own words are
//! free only behind the beginnings of errors. Nothing that is wrong may end in a trap, and the default
//! limits must do for all of them.

mod events;

use std::sync::LazyLock;

use gristmill_event::{BasicProperties, Envelope, Message, RabbitMqMessage};
use gristmill_invocation::Outcome;
use gristmill_sandbox::{Code, FunctionSettings, LoadedFunction};
use gristmill_testkit::guests::ORDER_TOTALS;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::runtime;

use crate::support::{Captured, ENGINE, call, guest};
use events::{Record, both_shapes, generated, order, rabbit};

/// The largest integer that every JSON number carries exactly.
const COUNT_MAX: u64 = (1 << 53) - 1;

/// Compiled once for all tests here, which takes seconds for those that bring an engine along.
static CODES: LazyLock<[Code; 5]> =
    LazyLock::new(|| ORDER_TOTALS.map(|name| Code::compile(&ENGINE, &guest(name)).unwrap()));

/// A test's own handlers, with default settings.
struct Handlers([LoadedFunction; 5]);

impl Handlers {
    fn load() -> Self {
        let mut codes = CODES.iter();
        Self(ORDER_TOTALS.map(|name| {
            let settings =
                FunctionSettings { name: name.to_owned(), ..FunctionSettings::default() };
            LoadedFunction::load(&ENGINE, codes.next().unwrap(), settings).unwrap()
        }))
    }

    fn named(&self) -> impl Iterator<Item = (&LoadedFunction, &str)> {
        self.0.iter().zip(ORDER_TOTALS)
    }

    /// All sum an event so.
    async fn sum(&self, event: &str, orders: u64, items: u64, cents: u64) {
        let answer = format!(r#"{{"orders":{orders},"items":{items},"total_cents":{cents}}}"#);
        let (units, rest) = (cents / 100, cents % 100);
        let line = format!("{orders} orders, {items} items, total {units}.{rest:02}");
        for (handler, name) in self.named() {
            let expected = Ok((answer.clone(), line.clone()));
            assert_eq!(result(handler, event).await, expected, "{name}: {event:.1000}");
        }
    }

    /// All answer an event with an error that begins so.
    async fn fail(&self, event: &str, beginning: &str) {
        for (handler, name) in self.named() {
            let result = result(handler, event).await;
            let Err(error) = result else { panic!("{name}: {event:.1000}: {result:?}") };
            assert!(error.starts_with(beginning), "{name}: {event:.1000}: {error:.1000}");
        }
    }
}

/// What a handler made of an event: its answer and the line that it logged, or its error.
async fn result(handler: &LoadedFunction, event: &str) -> Result<(String, String), String> {
    let captured = Captured::start();
    let outcome = call(handler, event).await.outcome;
    let lines: Vec<_> = captured.take().iter().map(|line| line["message"].clone()).collect();
    if let Outcome::Succeeded(Some(answer)) = outcome {
        return Ok((answer, lines.concat()));
    }
    let Outcome::HandlerError(error) = outcome else { panic!("{outcome:?} {lines:?}") };
    // A command says in the log why it failed.
    Err(if error == "exit code 1" { lines.concat() } else { error })
}

#[tokio::test]
async fn samples_and_empty_batches_are_summed() {
    let handlers = Handlers::load();
    handlers.sum(include_str!("../../../../plugins/order-totals/event.json"), 1, 3, 2505).await;
    handlers.sum(r#"{"rmqMessagesByQueue":{}}"#, 0, 0, 0).await;
    handlers.sum(r#"{"rmqMessagesByQueue":{"orders::/":[]}}"#, 0, 0, 0).await;
    handlers.sum(r#"{"messages":[]}"#, 0, 0, 0).await;
    for event in both_shapes("größe 🦀", &[Record::of(&order(&[(2, 1250), (1, 5)]))]) {
        handlers.sum(&event, 1, 3, 2505).await;
    }
}

#[tokio::test]
async fn a_thousand_records_are_summed_within_the_default_limits() {
    let handlers = Handlers::load();
    let envelope = Envelope::rabbitmq("arn:aws:mq:eu-west-1:1:broker:shop:b-1", "orders", "/");
    let properties = BasicProperties { priority: Some(3), ..BasicProperties::default() };
    let body = |number| order(&[(number, 100), (1, 1)]).into_bytes();
    let message = |number| {
        let properties = properties.clone();
        RabbitMqMessage { properties, redelivered: false, body: body(number) }.into()
    };
    let messages: Vec<Message> = (0..1000).map(message).collect();
    let record_bytes = |message: &Message| envelope.record_bytes(message);
    let bytes = envelope.event_bytes(1000, messages.iter().map(record_bytes).sum());
    let sum = 999 * 1000 / 2;
    handlers.sum(&envelope.encode(&messages, bytes), 1000, sum + 1000, 100 * sum + 1000).await;
}

#[tokio::test]
async fn sums_are_exact_up_to_64_bits_and_never_wrong() {
    let handlers = Handlers::load();
    // 2048 × (2^53 - 1) + 2047 = 2^64 - 1.
    let mut items = vec![(COUNT_MAX, 1); 2048];
    items.push((2047, 1));
    for event in both_shapes("orders", &[Record::of(&order(&items))]) {
        handlers.sum(&event, 1, u64::MAX, u64::MAX).await;
    }
    let reason = "the sum with this order does not fit into 64 bits";
    for more in [(1, 0), (0, 1)] {
        let fits = more.0 == 0;
        let records = [Record::of(&order(&items)), Record::of(&order(&[more]))];
        for event in both_shapes("orders", &records) {
            if fits {
                handlers.sum(&event, 2, u64::MAX, u64::MAX).await;
            } else {
                handlers.fail(&event, &format!("record 1 of {}: {reason}", place(&event))).await;
            }
        }
    }
    for item in [(COUNT_MAX, COUNT_MAX), (1 << 32, 1 << 32)] {
        for event in both_shapes("orders", &[Record::of(&order(&[item]))]) {
            handlers.fail(&event, &format!("record 0 of {}: {reason}", place(&event))).await;
        }
    }
}

/// How errors name the queue `orders` and a message of it, by the shape of the event.
fn place(event: &str) -> &'static str {
    let is_rabbit = event.contains("rmqMessagesByQueue");
    if is_rabbit { "orders::/ (message id none)" } else { "orders (message id ID:1)" }
}

/// A record without data is none in any language. How much of the rest one insists on is its types'
/// affair: the host writes all of it.
#[tokio::test]
async fn what_is_no_event_is_said_to_be_none() {
    let handlers = Handlers::load();
    let (bracket, brace) = ("[".repeat(100_000), r#"{"a":"#.repeat(100_000));
    let both = "[{\"a\":".repeat(10_000) + "7" + &"}]".repeat(10_000);
    let with = |record: &str| format!(r#"{{"rmqMessagesByQueue":{{"orders::/":[{record}]}}}}"#);
    let events = [
        "",
        " ",
        "nonsense",
        "null",
        "7",
        "\"messages\"",
        "[]",
        "{}",
        "{",
        &bracket,
        &brace,
        &both,
        r#"{"messages":[]"#,
        r#"{"messages":[]} ]"#,
        r#"{"messages":null}"#,
        r#"{"messages":{}}"#,
        r#"{"messages":"none"}"#,
        r#"{"messages":[1]}"#,
        r#"{"messages":[null]}"#,
        r#"{"messages":[{}]}"#,
        r#"{"messages":[{"messageID":"ID:1","destination":{"physicalName":"orders"},"data":7}]}"#,
        r#"{"rmqMessagesByQueue":null}"#,
        r#"{"rmqMessagesByQueue":[]}"#,
        r#"{"rmqMessagesByQueue":"none"}"#,
        r#"{"rmqMessagesByQueue":{"orders::/":null}}"#,
        r#"{"rmqMessagesByQueue":{"orders::/":{}}}"#,
        r#"{"rmqMessagesByQueue":{"orders::/":""}}"#,
        &with("1"),
        &with("null"),
        &with("{}"),
        &with(r#"{"basicProperties":{}}"#),
        &with(r#"{"basicProperties":{},"data":null}"#),
        &with(r#"{"basicProperties":{},"data":7}"#),
    ];
    for event in events {
        let beginning = "the event is not one of RabbitMQ or ActiveMQ messages";
        handlers.fail(event, beginning).await;
    }
}

#[tokio::test]
async fn what_is_no_order_is_said_to_be_none() {
    let handlers = Handlers::load();
    let item =
        |quantity: &str| format!(r#"{{"items":[{{"quantity":{quantity},"price_cents":1}}]}}"#);
    let price = |price: &str| format!(r#"{{"items":[{{"quantity":1,"price_cents":{price}}}]}}"#);
    let (bracket, brace) = ("[".repeat(100_000), r#"{"a":"#.repeat(100_000));
    let both = "[{\"a\":".repeat(10_000) + "7" + &"}]".repeat(10_000);
    let mut bodies = [
        "",
        " ",
        "nonsense",
        "null",
        "7",
        "\"items\"",
        "[]",
        "{}",
        "{",
        &bracket,
        &brace,
        &both,
        r#"{"items":null}"#,
        r#"{"items":{}}"#,
        r#"{"items":"none"}"#,
        r#"{"items":7}"#,
        r#"{"items":[]"#,
        r#"{"items":[]} x"#,
        r#"{"items":[],}"#,
        r#"{'items':[]}"#,
        r#"{"items":[1]}"#,
        r#"{"items":[null]}"#,
        r#"{"items":[[]]}"#,
        r#"{"items":[{}]}"#,
        r#"{"items":[{"quantity":1}]}"#,
        r#"{"items":[{"price_cents":1}]}"#,
        r#"{"items":[{"quantity":1,"price_cents":1},{}]}"#,
    ]
    .map(|body| body.as_bytes().to_vec())
    .to_vec();
    for number in ["-1", "0.5", "1e400", "NaN", "Infinity", "9007199254740992", "null", "true"] {
        bodies.extend([item(number).into_bytes(), price(number).into_bytes()]);
    }
    bodies.extend([item("\"1\"").into_bytes(), price("[1]").into_bytes(), vec![0xff, 0xfe]]);
    for body in bodies {
        let records = [Record::of(&order(&[(1, 1)])), Record { body, ..Record::of("") }];
        for event in both_shapes("orders", &records) {
            let place = format!("record 1 of {}: ", place(&event));
            handlers.fail(&event, &format!("{place}its body is not an order")).await;
        }
    }
}

#[tokio::test]
async fn what_is_no_base64_is_said_to_be_none() {
    let handlers = Handlers::load();
    for data in ["?", "e30", "e30==", "====", "e", "e 0=", "e30=e30=", "e_0=", "größ"] {
        for event in both_shapes("orders", &[Record { data: Some(data), ..Record::of("") }]) {
            let place = format!("record 0 of {}: ", place(&event));
            handlers.fail(&event, &format!("{place}its data is not base64")).await;
        }
    }
}

#[tokio::test]
async fn an_error_names_the_first_message_in_the_byte_order_of_the_queues() {
    let handlers = Handlers::load();
    let bad = Record { id: Some("größe \"7\""), ..Record::of("{}") };
    let good = Record::of(&order(&[(1, 1)]));
    // In UTF-16, the second sorts before the first.
    let queues = [("\u{1f600}::/", vec![bad.clone()]), ("\u{ff5e}::/", vec![good, bad.clone()])];
    let place = "record 1 of \u{ff5e}::/ (message id größe \"7\"): its body";
    handlers.fail(&rabbit(&queues), place).await;
    let queues = [("b::/", vec![bad.clone()]), ("a::/\"", vec![bad])];
    handlers.fail(&rabbit(&queues), "record 0 of a::/\" (message id größe \"7\"): its body").await;
}

#[test]
fn generated_events_are_summed_alike() {
    let handlers = Handlers::load();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let ran = runner.run(&generated(), |batch| {
        let (orders, items, cents) = batch.totals();
        for event in batch.events() {
            runtime.block_on(handlers.sum(&event, orders, items, cents));
        }
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn an_error_keeps_the_instance_of_a_component() {
    let handlers = Handlers::load();
    for (handler, name) in handlers.named() {
        assert!(result(handler, "{}").await.is_err(), "{name}");
        let report = call(handler, r#"{"messages":[]}"#).await;
        assert_eq!(report.cold, name == "order-totals-go", "{name}");
    }
}
