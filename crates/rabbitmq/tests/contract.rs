//! RabbitMQ, a real one, keeps the contract of a source.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use gristmill_broker::{Login, Secret};
use gristmill_rabbitmq::{Address, ConnectionSettings, RabbitMq, RabbitMqSource, SourceSettings};
use gristmill_testkit::amqp::{Client, Field, Properties, Table};
use gristmill_testkit::contract::Harness;
use gristmill_testkit::contract_suite;
use gristmill_testkit::rabbitmq::{QueueCounts, RabbitServer};
use tokio::sync::Mutex;

const QUEUE: &str = "orders";
const DEAD_LETTERS: &str = "dead-letters";
const LONG: Duration = Duration::from_secs(60);

/// A virtual host of its own on the shared server.
struct Real {
    server: &'static RabbitServer,
    virtual_host: String,
    broker: Arc<RabbitMq>,
    client: Mutex<Client>,
}

impl Real {
    async fn new() -> Self {
        let server = RabbitServer::shared().await.unwrap();
        let virtual_host = server.test_vhost().await.unwrap();
        let mut client = server.client(&virtual_host).await.unwrap();
        let to_dead_letters = Table::new()
            .with("x-dead-letter-exchange", Field::text(""))
            .with("x-dead-letter-routing-key", Field::text(DEAD_LETTERS));
        client.declare_queue(QUEUE, &to_dead_letters).await.unwrap();
        client.declare_queue(DEAD_LETTERS, &Table::new()).await.unwrap();
        let broker = RabbitMq::new(ConnectionSettings {
            addresses: vec![Address { host: "127.0.0.1".to_owned(), port: server.amqp_port() }],
            tls: None,
            virtual_host: virtual_host.clone(),
            login: Login {
                username: "guest".to_owned(),
                password: Secret::new("guest".to_owned()),
            }
            .into(),
            heartbeat_s: 10,
            connect_timeout: LONG,
            connection_name: "contract".to_owned(),
        });
        Self { server, virtual_host, broker, client: Mutex::new(client) }
    }

    async fn wait_for(&self, queue: &str, wanted: impl Fn(QueueCounts) -> bool) {
        self.server.wait_for_counts(&self.virtual_host, queue, LONG, wanted).await.unwrap();
    }
}

impl Harness for Real {
    type Source = RabbitMqSource;

    fn source(&self, prefetch: u16) -> RabbitMqSource {
        self.broker.source(SourceSettings {
            queue: QUEUE.to_owned(),
            consumer_tag: "gristmill-contract".to_owned(),
            prefetch: NonZeroU16::new(prefetch).unwrap(),
        })
    }

    async fn publish(&self, bodies: &[&str]) {
        let mut client = self.client.lock().await;
        for body in bodies {
            client.publish(QUEUE, &Properties::persistent(), body.as_bytes()).await.unwrap();
        }
    }

    async fn wait_for(&self, ready: usize, unsettled: usize) {
        let wanted = (ready as u64, unsettled as u64);
        self.wait_for(QUEUE, |counts| (counts.ready, counts.unacked) == wanted).await;
    }

    async fn dead_letters(&self, count: usize) -> Vec<String> {
        self.wait_for(DEAD_LETTERS, |counts| counts.ready == count as u64).await;
        let mut client = self.client.lock().await;
        let mut letters = Vec::new();
        while let Some(letter) = client.get(DEAD_LETTERS).await.unwrap() {
            letters.push(String::from_utf8(letter.body).unwrap());
        }
        letters
    }

    async fn cut_connections(&self) {
        self.server.close_connections(&self.virtual_host).await.unwrap();
        // The client's own connection went with the others.
        *self.client.lock().await = self.server.client(&self.virtual_host).await.unwrap();
    }

    async fn cancel_consumers(&self) {
        self.client.lock().await.delete_queue(QUEUE).await.unwrap();
    }
}

contract_suite!(Real::new().await);
