//! ActiveMQ as a source against a real ActiveMQ, with Java's own client as whoever sends and looks on:
//! what the contract's suite cannot ask, since other brokers do not have it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod counting;
mod dead_letters;
mod endings;
mod expiring;
mod giving_up;
mod messages;
mod played;
mod ranges;
mod tls;
mod unusable;

use std::num::NonZeroU16;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use activemq_openwire::client::{Client, ClientSettings, Connector};
use gristmill_activemq::{
    ActiveMq, ActiveMqSource, Address, ConnectionSettings, DEAD_LETTER_QUEUE, SourceSettings,
    TlsSettings,
};
use gristmill_broker::{
    Delivery, DeliveryToken, Login, Received, Secret, Settled, Settlement, Source, SourceError,
};
use gristmill_testkit::activemq::ActiveMqServer;
use gristmill_testkit::jms::{self, Peer};
use tokio::time::timeout;

/// Everything here is over in a moment; a broker on a busy machine may take longer.
const LONG: Duration = Duration::from_secs(20);

/// Beyond the basic plane, and a zero in the middle.
const TEXT: &str = "zwölf 🦀 \0 Boxkämpfer";

fn settings(url: &str) -> ConnectionSettings {
    ConnectionSettings {
        addresses: Address::parse(url).unwrap(),
        tls: TlsSettings::default(),
        login: None,
        heartbeat: Duration::from_secs(10),
        connect_timeout: LONG,
    }
}

fn login(name: &str, password: &str) -> Login {
    Login { username: name.to_owned(), password: Secret::new(password.to_owned()) }
}

fn source(settings: ConnectionSettings, queue: &str, prefetch: u16) -> ActiveMqSource {
    ActiveMq::new(settings).source(SourceSettings {
        queue: queue.to_owned(),
        client_id: "gristmill-live".to_owned(),
        prefetch: NonZeroU16::new(prefetch).unwrap(),
        keeps_originals: false,
    })
}

/// A source that takes from a queue of a server without login.
async fn subscribed(server: &ActiveMqServer, queue: &str, prefetch: u16) -> ActiveMqSource {
    let mut source = source(settings(&server.url()), queue, prefetch);
    timeout(LONG, source.subscribe()).await.unwrap().unwrap();
    source
}

async fn next(source: &mut impl Source) -> Received {
    timeout(LONG, source.receive()).await.unwrap().unwrap()
}

async fn take(source: &mut impl Source, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        match next(source).await {
            Received::Delivery(delivery) => taken.push(delivery),
            other @ (Received::Unusable(_) | Received::Cancelled) => {
                panic!("expected a delivery, received {other:?}")
            }
        }
    }
    taken
}

/// Receives until the epoch ends, and says why it did.
async fn ended(source: &mut impl Source) -> SourceError {
    loop {
        if let Err(error) = timeout(LONG, source.receive()).await.unwrap() {
            return error;
        }
    }
}

async fn settle(
    source: &mut impl Source,
    settlement: Settlement<'_>,
    tokens: &[DeliveryToken],
) -> Settled {
    timeout(LONG, source.settle(settlement, tokens)).await.unwrap()
}

/// Milliseconds since 1970, as messages have them, by this machine's clock, which is the broker's too.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn tokens(deliveries: &[Delivery]) -> Vec<DeliveryToken> {
    deliveries.iter().map(|delivery| delivery.token).collect()
}

fn bodies(deliveries: &[Delivery]) -> Vec<&str> {
    let bodies = deliveries.iter().map(|delivery| str::from_utf8(delivery.message.body()));
    bodies.collect::<Result<_, _>>().unwrap()
}

/// How often the broker says that it has handed each out before.
fn returns(deliveries: &[Delivery]) -> Vec<u32> {
    deliveries.iter().map(|delivery| delivery.returns.all).collect()
}

fn sent(sent: usize) -> Settled {
    Settled { sent, stale: 0 }
}

fn stale(stale: usize) -> Settled {
    Settled { sent: 0, stale }
}

/// Waits until a queue holds so many messages, of which so many are unsettled.
async fn wait_for(server: &ActiveMqServer, queue: &str, messages: u64, unsettled: u64) {
    let wanted = (messages, unsettled);
    let counts =
        server.wait_for_counts(queue, LONG, |counts| (counts.messages, counts.in_flight) == wanted);
    counts.await.unwrap();
}

async fn send_texts(peer: &mut Peer, queue: &str, texts: &[&str]) {
    let messages: Vec<_> = texts.iter().map(|text| jms::Message::text(*text)).collect();
    peer.send(queue, &messages).await.unwrap();
}

/// The dead letters that were in this queue before: tests share a server, which has one queue for all.
async fn dead_letters(peer: &mut Peer, queue: &str) -> Vec<jms::Received> {
    let mut letters = peer.browse(DEAD_LETTER_QUEUE).await.unwrap();
    let origin = format!("queue://{queue}");
    letters.retain(|letter| letter.original_destination.as_deref() == Some(&origin));
    letters
}

fn bodies_of(letters: &[jms::Received]) -> Vec<&str> {
    letters.iter().map(|letter| letter.text().unwrap()).collect()
}

/// This side's client without a source around it, to see and to send what Java's would not.
async fn raw_client(server: &ActiveMqServer, name: &str) -> Client {
    let name = format!("raw-{name}-{}", std::process::id());
    let settings = ClientSettings::new(&name, Address::parse(&server.url()).unwrap());
    Connector::new(settings).connect().await.unwrap()
}
