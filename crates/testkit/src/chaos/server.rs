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

/// On RabbitMQ this one is replicated, with all its rules about messages that come back too often.
const QUORUM: &str = "rough";

/// A broker that does not confirm in this time is asked again.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);

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
                format!("type = \"rabbitmq\"\nurl = \"amqp://127.0.0.1:{port}\"")
            }
            Server::ActiveMq(_) => format!("type = \"activemq\"\nurl = \"tcp://127.0.0.1:{port}\""),
        }
    }

    /// The lines of a mapping that only one of them has.
    pub(super) fn mapping(&self, queue: &str) -> &'static str {
        match self {
            Server::RabbitMq(_) if queue == QUORUM => "",
            // Every fault counts as a return.
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

    /// Waits until the queues are empty.
    pub(super) async fn empty(&self, patience: Duration) -> Result<()> {
        for queue in QUEUES {
            match self {
                Server::RabbitMq(server) => {
                    let empty = |counts: QueueCounts| (counts.ready, counts.unacked) == (0, 0);
                    server.wait_for_counts("/", queue, patience, empty).await.map(drop)?;
                }
                Server::ActiveMq(server) => {
                    let empty = |counts: ActiveMqCounts| counts.messages == 0;
                    server.wait_for_counts(queue, patience, empty).await.map(drop)?;
                }
            }
        }
        Ok(())
    }
}

impl Sender {
    pub(super) async fn publish(&mut self, publishing: Publishing) -> Result<()> {
        let published = match self {
            Sender::RabbitMq { port, client } => {
                timeout(CONFIRM_TIMEOUT, to_rabbitmq(*port, client, publishing)).await
            }
            Sender::ActiveMq { url, peer } => {
                timeout(CONFIRM_TIMEOUT, to_activemq(url, peer, publishing)).await
            }
        };
        let published = published.context("nothing was confirmed").flatten();
        if published.is_err() {
            match self {
                Sender::RabbitMq { client, .. } => *client = None,
                Sender::ActiveMq { peer, .. } => *peer = None,
            }
        }
        published
    }
}

async fn to_rabbitmq(
    port: u16,
    client: &mut Option<Box<Client>>,
    publishing: Publishing,
) -> Result<()> {
    let client = match client {
        Some(client) => client,
        None => {
            let mut new = Client::connect(port, "/").await?;
            new.confirm_select().await?;
            client.insert(Box::new(new))
        }
    };
    let Publishing { queue, numbers } = publishing;
    for number in numbers {
        client.publish(queue, &Properties::persistent(), number.to_string().as_bytes()).await?;
    }
    client.wait_for_confirms().await
}

async fn to_activemq(
    url: &str,
    peer: &mut Option<Box<Peer>>,
    publishing: Publishing,
) -> Result<()> {
    let peer = match peer {
        Some(peer) => peer,
        None => peer.insert(Box::new(Peer::connect(&Login::to(url)).await?)),
    };
    let Publishing { queue, numbers } = publishing;
    let messages: Vec<Message> = numbers.map(|number| Message::text(number.to_string())).collect();
    peer.send(queue, &messages).await.map(drop)
}
