//! Given-up messages on a queue of one's own: a queue that is consumed from, a second one for dead
//! letters, and a connection for each.

mod full;
mod lost;
mod properties;
mod refused;

use gristmill_activemq::DeadLetterQueue;
use gristmill_broker::{DeadLetter, DeadLetters, Disposition, KeepError, Keeping, Original};
use gristmill_testkit::wait::until;

use super::*;

const QUEUE: &str = "orders";
const DEAD: &str = "dead";
const CONDITION: &str = "RetryAttemptsExhausted";
const CAUSE: &str = "RetryAttemptsExhausted: no customer 17 – größer 🦀";
const RECORD: &str = r#"{"version":"1.0","größer":"🦀"}"#;

/// A broker that is silent for four and a half of these is taken for frozen, but not in the first three
/// of a connection.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Longer than a broker that looks frozen is waited for.
const BEYOND_HEARTBEATS: Duration = Duration::from_secs(10);

/// An end that may take as long as that, on a busy machine.
const LONGEST: Duration = Duration::from_secs(60);

struct Line {
    queue: String,
    dead: String,
    peer: Peer,
    source: ActiveMqSource,
    /// Where letters are published.
    broker: ActiveMq,
}

impl Line {
    /// On a server of one's own.
    async fn on(server: &ActiveMqServer) -> Self {
        Self::through(server, &server.url()).await
    }

    /// On the server that others use as well.
    async fn shared() -> (&'static ActiveMqServer, Self) {
        let server = ActiveMqServer::shared().await.unwrap();
        let queue = server.test_queue().await.unwrap();
        let dead = server.test_queue().await.unwrap();
        (server, Self::between(server, &server.url(), &queue, &dead).await)
    }

    /// Publishes over another address of a server of one's own.
    async fn through(server: &ActiveMqServer, url: &str) -> Self {
        Self::between(server, url, QUEUE, DEAD).await
    }

    async fn between(server: &ActiveMqServer, url: &str, queue: &str, dead: &str) -> Self {
        for queue in [queue, dead] {
            server.create_queue(queue).await.unwrap();
        }
        let mut source = ActiveMq::new(settings(&server.url())).source(SourceSettings {
            queue: queue.to_owned(),
            client_id: "gristmill-live".to_owned(),
            prefetch: NonZeroU16::new(100).unwrap(),
            keeps_originals: true,
        });
        timeout(LONG, source.subscribe()).await.unwrap().unwrap();
        Self {
            queue: queue.to_owned(),
            dead: dead.to_owned(),
            peer: server.peer().await.unwrap(),
            source,
            broker: ActiveMq::new(publishing(url)),
        }
    }

    fn place(&self) -> DeadLetterQueue {
        self.broker.dead_letter_queue(&self.dead, "gristmill-live-dead", &self.queue)
    }

    /// What the source makes of the next messages, whether an event can show them or not.
    async fn received(&mut self, count: usize) -> Vec<DeadLetter> {
        let mut letters = Vec::new();
        while letters.len() < count {
            let (token, message_id) = match next(&mut self.source).await {
                Received::Delivery(delivery) => (delivery.token, None),
                Received::Unusable(unusable) => (unusable.token, unusable.message_id),
                Received::Cancelled => panic!("expected a message"),
            };
            let original = self.source.original(token, None).unwrap();
            letters.push(DeadLetter { message_id, ..letter(original) });
        }
        letters
    }

    async fn letters_of(&mut self, messages: &[jms::Message]) -> Vec<DeadLetter> {
        self.peer.send(&self.queue, messages).await.unwrap();
        self.received(messages.len()).await
    }

    /// Dead letters of messages that are not persistent.
    async fn letters(&mut self, texts: &[&str]) -> Vec<DeadLetter> {
        let fleeting =
            |text: &&str| jms::Message { persistent: false, ..jms::Message::text(*text) };
        let messages: Vec<_> = texts.iter().map(fleeting).collect();
        self.letters_of(&messages).await
    }

    /// Takes what was kept.
    async fn take(&mut self, count: usize) -> Vec<jms::Received> {
        let taken = self.peer.take(&self.dead, count, LONG).await.unwrap();
        assert_eq!(taken.len(), count);
        taken
    }
}

fn publishing(url: &str) -> ConnectionSettings {
    ConnectionSettings { heartbeat: HEARTBEAT, ..settings(url) }
}

fn letter(original: Original) -> DeadLetter {
    DeadLetter {
        original,
        message_id: None,
        condition: CONDITION,
        cause: CAUSE.to_owned(),
        record: RECORD.to_owned(),
        given_up_at_ms: 0,
    }
}

async fn ends(keeping: Keeping<'_>) -> Result<(), KeepError> {
    timeout(LONGEST, keeping).await.unwrap()
}

async fn is_lost(keeping: Keeping<'_>) {
    let error = ends(keeping).await.unwrap_err();
    assert!(matches!(error, KeepError::Lost { .. }), "{error}");
    assert_eq!(error.disposition(), Disposition::Reconnect);
}

/// What is in a queue and stays there.
async fn held(peer: &mut Peer, queue: &str) -> Vec<String> {
    let held = peer.browse(queue).await.unwrap();
    held.iter().map(|message| message.text().unwrap().to_owned()).collect()
}

/// Waits until a server has so many connections: one consumes, one is Java's client's.
async fn are_connected(server: &ActiveMqServer, count: u64) {
    until(LONGEST, async || server.connections().await.unwrap() == count).await;
}

/// Tries until it goes, as a mapping does.
async fn kept_at_last(place: &DeadLetterQueue, letters: &[DeadLetter]) {
    let is_kept = async || {
        let kept = place.keep(letters.to_vec()).await;
        kept.inspect_err(|error| assert_eq!(error.disposition(), Disposition::Reconnect, "{error}"))
            .is_ok()
    };
    until(LONGEST, is_kept).await;
}

/// So many letters whose messages are their numbers, and those numbers.
async fn numbered(line: &mut Line, count: usize) -> (Vec<DeadLetter>, Vec<String>) {
    let texts: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    let letters = line.letters(&texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    (letters, texts)
}
