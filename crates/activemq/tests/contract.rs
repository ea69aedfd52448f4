//! ActiveMQ, a real one, keeps the contract of a source.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::num::NonZeroU16;
use std::time::Duration;

use gristmill_activemq::{
    ActiveMq, ActiveMqSource, Address, ConnectionSettings, DEAD_LETTER_QUEUE, SourceSettings,
    TlsSettings,
};
use gristmill_testkit::activemq::{ActiveMqServer, QueueCounts};
use gristmill_testkit::contract::Harness;
use gristmill_testkit::contract_suite;
use gristmill_testkit::jms::{Message, Peer};
use tokio::sync::Mutex;

const QUEUE: &str = "orders";
const LONG: Duration = Duration::from_secs(60);

/// A server of its own: to cut connections is to cut all of them, and dead letters have one queue.
struct Real {
    server: ActiveMqServer,
    broker: ActiveMq,
    peer: Mutex<Peer>,
}

impl Real {
    async fn new() -> Self {
        let server = ActiveMqServer::start().await.unwrap();
        server.create_queue(QUEUE).await.unwrap();
        server.create_queue(DEAD_LETTER_QUEUE).await.unwrap();
        let broker = ActiveMq::new(ConnectionSettings {
            addresses: Address::parse(&server.url()).unwrap(),
            tls: TlsSettings::default(),
            login: None,
            heartbeat: Duration::from_secs(10),
            connect_timeout: LONG,
        });
        let peer = Mutex::new(server.peer().await.unwrap());
        Self { server, broker, peer }
    }

    async fn wait_for(&self, queue: &str, wanted: impl Fn(QueueCounts) -> bool) {
        self.server.wait_for_counts(queue, LONG, wanted).await.unwrap();
    }
}

impl Harness for Real {
    type Source = ActiveMqSource;

    fn source(&self, prefetch: u16) -> ActiveMqSource {
        self.broker.source(SourceSettings {
            queue: QUEUE.to_owned(),
            client_id: "gristmill-contract".to_owned(),
            prefetch: NonZeroU16::new(prefetch).unwrap(),
            keeps_originals: false,
        })
    }

    async fn publish(&self, bodies: &[&str]) {
        let messages: Vec<_> = bodies.iter().map(|body| Message::text(*body)).collect();
        self.peer.lock().await.send(QUEUE, &messages).await.unwrap();
    }

    async fn wait_for(&self, ready: usize, unsettled: usize) {
        let wanted = ((ready + unsettled) as u64, unsettled as u64);
        self.wait_for(QUEUE, |counts| (counts.messages, counts.in_flight) == wanted).await;
    }

    async fn dead_letters(&self, count: usize) -> Vec<String> {
        self.wait_for(DEAD_LETTER_QUEUE, |counts| counts.messages == count as u64).await;
        let letters = self.peer.lock().await.take(DEAD_LETTER_QUEUE, count, LONG).await.unwrap();
        letters.iter().map(|letter| letter.text().unwrap().to_owned()).collect()
    }

    async fn cut_connections(&self) {
        self.server.close_connections().await.unwrap();
        // The peer's own connection went with the others.
        *self.peer.lock().await = self.server.peer().await.unwrap();
    }

    async fn cancel_consumers(&self) {
        self.server.close_consumers(QUEUE).await.unwrap();
    }
}

contract_suite!(Real::new().await);
