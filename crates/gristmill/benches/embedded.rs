//! The embedded queue against RabbitMQ: publishing with confirmation, consuming, and the time of one message
//! from its publisher to its consumer. Each through our own publisher and source, with batches of 100, turn
//! by turn.
//!
//! The variable `AMQP_PORT` says where RabbitMQ listens, with a queue `bench` that has 100 messages;
//! `cargo xtask bench embedded` starts one.
#![expect(clippy::print_stdout, reason = "it is how a benchmark tells its figures")]

use std::error::Error;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use gristmill::embedded::{EmbeddedBroker, RabbitMqMessage};
use gristmill_broker::{
    Delivery, Login, LoginSource, Original, Received, Secret, Settlement, Source,
};
use gristmill_rabbitmq::{
    Address, ConnectionSettings, RabbitMq, RabbitMqPublisher, SourceSettings,
};
use gristmill_store::embedded::{EmbeddedSettings, QueueSettings};
use tokio::runtime::Runtime;

type Done<T> = Result<T, Box<dyn Error + Send + Sync>>;

const QUEUE: &str = "bench";
const MESSAGES: usize = 50_000;
const BODY_BYTES: usize = 1_000;
const BATCH: usize = 100;
const PREFETCH: u16 = 200;
/// How many publish at once, each its next batch when the last is confirmed.
const PUBLISHERS: usize = 4;
const ROUNDS: usize = 5;
/// How many messages are sent one after another, each when the last has come.
const SINGLE: usize = 1_000;

/// What is measured.
trait Broker {
    async fn publish(&self, messages: usize) -> Done<()>;
    fn source(&self) -> impl Source;
}

struct Rabbit {
    broker: std::sync::Arc<RabbitMq>,
    publisher: RabbitMqPublisher,
    originals: Vec<Original>,
}

impl Rabbit {
    async fn connect(port: u16) -> Done<Self> {
        let settings = || ConnectionSettings {
            addresses: vec![Address { host: "127.0.0.1".to_owned(), port }],
            tls: None,
            virtual_host: "/".to_owned(),
            login: LoginSource::new(|| {
                Ok(Login {
                    username: "guest".to_owned(),
                    password: Secret::new("guest".to_owned()),
                })
            }),
            heartbeat_s: 10,
            connect_timeout: Duration::from_secs(10),
            connection_name: "bench".to_owned(),
        };
        let (broker, publisher) =
            (RabbitMq::new(settings()), RabbitMq::new(settings()).publisher());
        let mut rabbit = Self { publisher, broker, originals: Vec::new() };
        let mut source = rabbit.source();
        source.subscribe().await?;
        let taken = take(&mut source, BATCH).await?;
        let original =
            |delivery: &Delivery| source.original(delivery.token, Some(&delivery.message));
        rabbit.originals = taken.iter().filter_map(original).collect();
        settle(&mut source, &taken).await;
        source.close().await;
        Ok(rabbit)
    }
}

impl Broker for Rabbit {
    async fn publish(&self, messages: usize) -> Done<()> {
        let originals = self.originals[..messages].to_vec();
        Ok(self.publisher.publish(QUEUE, originals).await?)
    }

    fn source(&self) -> impl Source {
        self.broker.source(SourceSettings {
            queue: QUEUE.to_owned(),
            consumer_tag: "bench".to_owned(),
            prefetch: NonZeroU16::new(PREFETCH).unwrap_or(NonZeroU16::MIN),
        })
    }
}

impl Broker for EmbeddedBroker {
    async fn publish(&self, messages: usize) -> Done<()> {
        let message = RabbitMqMessage::from(vec![b'x'; BODY_BYTES]);
        Ok(EmbeddedBroker::publish(self, QUEUE, vec![message; messages]).await?)
    }

    fn source(&self) -> impl Source {
        EmbeddedBroker::source(self, QUEUE, PREFETCH)
    }
}

async fn take(source: &mut impl Source, count: usize) -> Done<Vec<Delivery>> {
    let mut taken = Vec::with_capacity(count);
    while taken.len() < count {
        match source.receive().await? {
            Received::Delivery(delivery) => taken.push(delivery),
            other @ (Received::Unusable(_) | Received::Cancelled) => {
                return Err(format!("{other:?}").into());
            }
        }
    }
    Ok(taken)
}

async fn settle(source: &mut impl Source, taken: &[Delivery]) {
    let tokens: Vec<_> = taken.iter().map(|delivery| delivery.token).collect();
    source.settle(Settlement::Ack, &tokens).await;
}

/// Messages per second, published and then consumed.
async fn rates(broker: &impl Broker) -> Done<(f64, f64)> {
    let per_second = |began: Instant| MESSAGES as f64 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    let publisher = async || {
        for _ in 0..MESSAGES / BATCH / PUBLISHERS {
            broker.publish(BATCH).await?;
        }
        Done::Ok(())
    };
    try_join_all((0..PUBLISHERS).map(|_| publisher())).await?;
    let published = per_second(began);
    let began = Instant::now();
    let mut source = broker.source();
    source.subscribe().await?;
    for _ in 0..MESSAGES / BATCH {
        let taken = take(&mut source, BATCH).await?;
        settle(&mut source, &taken).await;
    }
    // Has settled everything before it ends.
    source.close().await;
    Ok((published, per_second(began)))
}

/// How long single messages take, in microseconds, sorted.
async fn latencies(broker: &impl Broker) -> Done<Vec<f64>> {
    let mut source = broker.source();
    source.subscribe().await?;
    let mut all = Vec::with_capacity(SINGLE);
    for _ in 0..SINGLE {
        let began = Instant::now();
        let (published, taken) = tokio::join!(broker.publish(1), take(&mut source, 1));
        published?;
        settle(&mut source, &taken?).await;
        all.push(began.elapsed().as_secs_f64() * 1e6);
    }
    source.close().await;
    all.sort_by(f64::total_cmp);
    Ok(all)
}

async fn compare(rabbit: &Rabbit, embedded: &EmbeddedBroker) -> Done<()> {
    println!(
        "{MESSAGES} messages of {BODY_BYTES} bytes, batches of {BATCH}, {PUBLISHERS} publishers, prefetch \
         {PREFETCH}; messages per second\n\n\
         round   RabbitMQ: publish   consume   embedded: publish   consume   ratios"
    );
    let (mut publishing, mut consuming) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let (theirs, ours);
        if round % 2 == 0 {
            ours = rates(embedded).await?;
            theirs = rates(rabbit).await?;
        } else {
            theirs = rates(rabbit).await?;
            ours = rates(embedded).await?;
        }
        let ratios = (ours.0 / theirs.0, ours.1 / theirs.1);
        println!(
            "{round:5} {:19.0} {:9.0} {:19.0} {:9.0}   {:.2} and {:.2}",
            theirs.0, theirs.1, ours.0, ours.1, ratios.0, ratios.1
        );
        publishing.push(ratios.0);
        consuming.push(ratios.1);
    }
    for (what, ratios) in [("publish", &mut publishing), ("consume", &mut consuming)] {
        ratios.sort_by(f64::total_cmp);
        let (least, median, most) = (ratios[0], ratios[ROUNDS / 2], ratios[ROUNDS - 1]);
        println!("{what}: embedded against RabbitMQ {median:.2} ({least:.2} to {most:.2})");
    }
    println!("\none message at a time, from its publisher to its consumer, in microseconds");
    for (name, all) in
        [("RabbitMQ", latencies(rabbit).await?), ("embedded", latencies(embedded).await?)]
    {
        println!("{name}  p50 {:6.0}  p99 {:6.0}", all[SINGLE / 2], all[SINGLE * 99 / 100]);
    }
    Ok(())
}

fn main() -> Done<()> {
    let Ok(port) = std::env::var("AMQP_PORT") else {
        println!("it needs a RabbitMQ: run `cargo xtask bench embedded`");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let embedded = EmbeddedBroker::new(EmbeddedSettings {
        path: folder.path().join("queues.sqlite3"),
        queues: [(QUEUE.to_owned(), QueueSettings::default())].into(),
        bytes_max: 1 << 40,
        body_bytes_max: 1 << 20,
        consumes: true,
    })?;
    Runtime::new()?.block_on(async {
        let rabbit = Rabbit::connect(port.parse()?).await?;
        compare(&rabbit, &embedded).await
    })
}
