//! A function that does as it is told, and a mapping around it.

use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gristmill_broker::Source;
use gristmill_broker::fake::{FakeBroker, FakeSource};
use gristmill_event::{BasicProperties, EVENT_BYTES_MAX, Envelope};
use gristmill_invocation::{Function, Invocation, Outcome, Report};
use gristmill_mapping::backoff::Backoff;
use gristmill_mapping::status::{Board, Status};
use gristmill_mapping::{BatchLimits, Finished, GiveUp, Hold, Lanes, Mapping, Ports, Settings};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) const QUEUE: &str = "orders";

/// Paused time passes as soon as nothing else happens, so an hour is no wait.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// Decides about a call by its number, counted from 0, and by the bodies it was given.
type Script = dyn Fn(usize, &[String]) -> (Duration, Outcome) + Send + Sync;

pub(crate) struct Scripted {
    script: Box<Script>,
    calls: Mutex<Vec<Call>>,
    running: Mutex<(usize, usize)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) event: String,
    pub(crate) bodies: Vec<String>,
    pub(crate) succeeded: bool,
}

impl Scripted {
    pub(crate) fn new(
        script: impl Fn(usize, &[String]) -> (Duration, Outcome) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let script = Box::new(script);
        Arc::new(Self { script, calls: Mutex::default(), running: Mutex::default() })
    }

    /// Every call so far, in the order of their beginnings.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The bodies of every call so far.
    pub(crate) fn bodies(&self) -> Vec<Vec<String>> {
        self.calls().into_iter().map(|call| call.bodies).collect()
    }

    /// The most calls that ran at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.running.lock().unwrap().1
    }
}

impl Function for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    async fn invoke(&self, invocation: Invocation<'_>) -> Report {
        let bodies = bodies(invocation.event);
        let number = {
            let mut calls = self.calls.lock().unwrap();
            let event = invocation.event.to_owned();
            calls.push(Call { event, bodies: bodies.clone(), succeeded: false });
            calls.len() - 1
        };
        {
            let mut running = self.running.lock().unwrap();
            running.0 += 1;
            running.1 = running.1.max(running.0);
        }
        let (duration, outcome) = (self.script)(number, &bodies);
        sleep(duration).await;
        self.running.lock().unwrap().0 -= 1;
        self.calls.lock().unwrap()[number].succeeded = outcome.is_success();
        Report { outcome, waited: Duration::ZERO, cold: false, duration, fuel: 0, memory_bytes: 0 }
    }
}

pub(crate) fn succeeds() -> (Duration, Outcome) {
    (Duration::ZERO, Outcome::Succeeded(None))
}

pub(crate) fn fails() -> (Duration, Outcome) {
    (Duration::ZERO, Outcome::HandlerError("no".to_owned()))
}

/// The bodies of an event, as text.
fn bodies(event: &str) -> Vec<String> {
    let event: serde_json::Value = serde_json::from_str(event).unwrap();
    let records = event["rmqMessagesByQueue"]["orders::/"].as_array().unwrap();
    let body = |data: &str| String::from_utf8(STANDARD.decode(data).unwrap()).unwrap();
    records.iter().map(|record| body(record["data"].as_str().unwrap())).collect()
}

/// Remembers in memory why a mapping is held.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<Option<String>>);

impl Held {
    pub(crate) fn sentence(&self) -> Option<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Hold for Held {
    fn set(&self, sentence: &str) {
        *self.0.lock().unwrap() = Some(sentence.to_owned());
    }

    fn clear(&self) {
        *self.0.lock().unwrap() = None;
    }
}

/// A running mapping on a broker of its own.
pub(crate) struct Line {
    pub(crate) broker: FakeBroker,
    pub(crate) function: Arc<Scripted>,
    pub(crate) stop: CancellationToken,
    pub(crate) board: Arc<Board>,
    pub(crate) hold: Arc<Held>,
    pub(crate) nudge: Arc<Notify>,
    task: JoinHandle<Finished>,
}

impl Line {
    pub(crate) fn start(
        function: Arc<Scripted>,
        adjust: impl FnOnce(&mut Settings),
        published: &[&str],
    ) -> Self {
        let broker = FakeBroker::default();
        publish(&broker, published);
        Self::start_on(broker, function, adjust)
    }

    pub(crate) fn start_on(
        broker: FakeBroker,
        function: Arc<Scripted>,
        adjust: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::start_from(broker, |source| source, function, adjust)
    }

    /// With something around the source.
    pub(crate) fn start_from<S: Source>(
        broker: FakeBroker,
        around: impl FnOnce(FakeSource) -> S,
        function: Arc<Scripted>,
        adjust: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut settings = settings();
        adjust(&mut settings);
        let source = around(broker.source(QUEUE, settings.prefetch.get()));
        let (board, hold) = (Arc::<Board>::default(), Arc::<Held>::default());
        let nudge = Arc::<Notify>::default();
        let ports = Ports {
            guests: Lanes::one(Handle::current()),
            board: Arc::clone(&board),
            hold: hold.clone(),
            nudge: Arc::clone(&nudge),
        };
        let mapping = Mapping::new(settings, source, Arc::clone(&function), ports);
        let stop = CancellationToken::new();
        let task = Handle::current().spawn(mapping.run(stop.clone()));
        Self { broker, function, stop, board, hold, nudge, task }
    }

    /// Waits until the mapping's status is as wanted.
    pub(crate) async fn status(&self, wanted: impl FnMut(&Status) -> bool) -> Status {
        let mut watch = self.board.watch();
        timeout(LONG, watch.wait_for(wanted)).await.unwrap().unwrap().clone()
    }

    /// Waits until the mapping ends by itself.
    pub(crate) async fn end(self) -> (FakeBroker, Finished) {
        (self.broker, timeout(LONG, self.task).await.unwrap().unwrap())
    }

    /// Waits until something holds of the broker.
    pub(crate) async fn until(&self, holds: impl Fn(&FakeBroker) -> bool) {
        timeout(LONG, self.broker.wait_until(holds)).await.unwrap();
    }

    /// Waits until so many messages are acked.
    pub(crate) async fn acked(&self, count: usize) -> Vec<String> {
        self.until(|broker| broker.acked(QUEUE).len() >= count).await;
        texts(self.broker.acked(QUEUE))
    }

    /// Waits until the function has been called so often.
    pub(crate) async fn called(&self, count: usize) {
        let called = async {
            while self.function.calls().len() < count {
                tokio::task::yield_now().await;
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LONG, called).await.unwrap();
    }

    /// Asks for a drain and waits for its end.
    pub(crate) async fn stop(self) -> (FakeBroker, Arc<Scripted>) {
        self.stop.cancel();
        let finished = timeout(LONG, self.task).await.unwrap().unwrap();
        assert_eq!(finished, Finished::Stopped);
        (self.broker, self.function)
    }
}

pub(crate) fn publish(broker: &FakeBroker, bodies: &[&str]) {
    for body in bodies {
        broker.publish(QUEUE, BasicProperties::default(), body.as_bytes().to_vec());
    }
}

pub(crate) fn texts(bodies: Vec<Vec<u8>>) -> Vec<String> {
    bodies.into_iter().map(|body| String::from_utf8(body).unwrap()).collect()
}

fn settings() -> Settings {
    Settings {
        name: "test".to_owned(),
        queue: QUEUE.to_owned(),
        virtual_host: Some("/".to_owned()),
        event_source_arn: "arn".to_owned(),
        function_arn: "arn".to_owned(),
        envelope: Envelope::rabbitmq("arn", QUEUE, "/"),
        batch: BatchLimits {
            records_max: NonZeroUsize::new(2).unwrap(),
            bytes_max: EVENT_BYTES_MAX,
            window: Duration::from_millis(500),
        },
        prefetch: NonZeroU16::new(100).unwrap(),
        maximum_concurrency: NonZeroUsize::MIN,
        retry: Backoff::RETRY,
        latest_start: Duration::from_secs(15 * 60),
        bisect_batch_on_function_error: false,
        report_batch_item_failures: false,
        give_up: GiveUp::default(),
        drain_timeout: Duration::from_secs(30),
    }
}

/// Concurrency, where a test needs more than one.
pub(crate) fn concurrency(most: usize) -> impl FnOnce(&mut Settings) {
    move |settings| settings.maximum_concurrency = NonZeroUsize::new(most).unwrap()
}
