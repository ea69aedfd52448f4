//! A broker beside the hosts, whichever it is, and who sends to it.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::timeout;

use super::Publishing;
use super::target::QUEUES;
use crate::activemq::{ActiveMqServer, QueueCounts as ActiveMqCounts};
use crate::amqp::{Client, Field, Properties, Table};
use crate::jms::{Login, Message, Peer};
use crate::rabbitmq::{QueueCounts, RabbitServer};

/// On RabbitMQ this one counts how often each message came back.
const QUORUM: &str = "rough";

/// A connection on which nothing is confirmed in this time is given up for a new one.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);

/// What hosts and broker agree on: a connection that has gone silent is noticed in the time that a
/// fault has for its duplicates.
const HEARTBEAT: &str = "heartbeat = \"3s\"";

pub(super) enum Server {
    RabbitMq(Box<RabbitServer>),
    ActiveMq(Box<ActiveMqServer>),
}

/// Sends messages and waits until they are confirmed.
pub(super) enum Sender {
    RabbitMq { port: u16, client: Option<Box<Client>> },
    ActiveMq { url: String, peer: Option<Box<Peer>> },
}

impl Server {
    pub(super) async fn rabbitmq() -> Result<Self> {
        let server = RabbitServer::start().await?;
        let mut client = server.client("/").await?;
        for queue in QUEUES {
            let kind = if queue == QUORUM { "quorum" } else { "classic" };
            let arguments = Table::new().with("x-queue-type", Field::text(kind));
            client.declare_queue(queue, &arguments).await?;
        }
        client.close().await?;
        server.sync_declarations().await?;
        Ok(Self::RabbitMq(Box::new(server)))
    }

    pub(super) async fn activemq() -> Result<Self> {
        let server = ActiveMqServer::start().await?;
        for queue in QUEUES {
            server.create_queue(queue).await?;
        }
        Ok(Self::ActiveMq(Box::new(server)))
    }

    pub(super) fn port(&self) -> u16 {
        match self {
            Server::RabbitMq(server) => server.amqp_port(),
            Server::ActiveMq(server) => server.port(),
        }
    }

    /// The lines of a host's configuration for it, with another port in front of it.
    pub(super) fn section(&self, port: u16) -> String {
        match self {
            Server::RabbitMq(_) => {
                format!("type = \"rabbitmq\"\nurl = \"amqp://127.0.0.1:{port}\"\n{HEARTBEAT}")
            }
            Server::ActiveMq(_) => {
                format!("type = \"activemq\"\nurl = \"tcp://127.0.0.1:{port}\"\n{HEARTBEAT}")
            }
        }
    }

    /// The lines of a mapping that only one of them has.
    pub(super) fn mapping(&self, queue: &str) -> &'static str {
        match self {
            Server::RabbitMq(_) if queue == QUORUM => "",
            // A classic queue has no such limit.
            Server::RabbitMq(_) => "delivery_limit = -1\n",
            Server::ActiveMq(_) => "on_failure = \"store\"\n",
        }
    }

    pub(super) fn sender(&self) -> Sender {
        match self {
            Server::RabbitMq(server) => Sender::RabbitMq { port: server.amqp_port(), client: None },
            Server::ActiveMq(server) => Sender::ActiveMq { url: server.url(), peer: None },
        }
    }

    pub(super) async fn kill9(&mut self) -> Result<()> {
        match self {
            Server::RabbitMq(server) => server.kill9().await,
            Server::ActiveMq(server) => server.kill9().await,
        }
    }

    pub(super) async fn restart(&mut self) -> Result<()> {
        match self {
            Server::RabbitMq(server) => server.restart().await,
            Server::ActiveMq(server) => server.restart().await,
        }
    }

    pub(super) async fn freeze(&mut self) -> Result<()> {
        match self {
            Server::RabbitMq(server) => server.freeze().await,
            Server::ActiveMq(server) => server.freeze().await,
        }
    }

    pub(super) fn thaw(&mut self) -> Result<()> {
        match self {
            Server::RabbitMq(server) => server.thaw(),
            Server::ActiveMq(server) => server.thaw(),
        }
    }

    /// Waits until the queues are empty and consumed by so many.
    pub(super) async fn empty(&self, consumers: u64, patience: Duration) -> Result<()> {
        for queue in QUEUES {
            match self {
                Server::RabbitMq(server) => {
                    let wanted = QueueCounts { ready: 0, unacked: 0, consumers };
                    let empty = |counts| counts == wanted;
                    server.wait_for_counts("/", queue, patience, empty).await.map(drop)?;
                }
                Server::ActiveMq(server) => {
                    let wanted = (0, consumers);
                    let empty =
                        |counts: ActiveMqCounts| (counts.messages, counts.consumers) == wanted;
                    server.wait_for_counts(queue, patience, empty).await.map(drop)?;
                }
            }
        }
        Ok(())
    }
}

impl Sender {
    /// Sends messages, and returns which of them are confirmed.
    pub(super) async fn publish(&mut self, publishing: Publishing) -> Vec<u64> {
        let mut confirmed = Vec::new();
        let published = match self {
            Sender::RabbitMq { port, client } => {
                to_rabbitmq(*port, client, publishing, &mut confirmed).await
            }
            Sender::ActiveMq { url, peer } => {
                let sending = to_activemq(url, peer, publishing, &mut confirmed);
                timeout(CONFIRM_TIMEOUT, sending).await.context("no answer").flatten()
            }
        };
        if published.is_err() {
            match self {
                Sender::RabbitMq { client, .. } => *client = None,
                Sender::ActiveMq { peer, .. } => *peer = None,
            }
        }
        confirmed
    }
}

async fn to_rabbitmq(
    port: u16,
    client: &mut Option<Box<Client>>,
    publishing: Publishing,
    confirmed: &mut Vec<u64>,
) -> Result<()> {
    let client = match client {
        Some(client) => client,
        None => {
            let connecting = async {
                let mut new = Client::connect(port, "/").await?;
                new.confirm_select().await?;
                Ok(new)
            };
            let new = timeout(CONFIRM_TIMEOUT, connecting).await.context("no answer").flatten()?;
            client.insert(Box::new(new))
        }
    };
    let Publishing { queue, numbers } = publishing;
    let before = client.published();
    let sending = async {
        for number in numbers.clone() {
            let body = number.to_string();
            client.publish(queue, &Properties::persistent(), body.as_bytes()).await?;
        }
        client.wait_for_confirms().await
    };
    let sent = timeout(CONFIRM_TIMEOUT, sending).await.context("no confirm").flatten();
    let unconfirmed = client.unconfirmed();
    let tags = numbers.zip(before + 1..=client.published());
    confirmed.extend(tags.filter(|(_, tag)| !unconfirmed.contains(tag)).map(|(number, _)| number));
    sent
}
async fn to_activemq(
    url: &str,
    peer: &mut Option<Box<Peer>>,
    publishing: Publishing,
    confirmed: &mut Vec<u64>,
) -> Result<()> {
    let peer = match peer {
        Some(peer) => peer,
        None => peer.insert(Box::new(Peer::connect(&Login::to(url)).await?)),
    };
    let Publishing { queue, numbers } = publishing;
    for number in numbers {
        peer.send(queue, &[Message::text(number.to_string())]).await?;
        confirmed.push(number);
    }
    Ok(())
}
