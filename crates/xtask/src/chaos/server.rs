//! A broker beside the hosts, whichever it is, and who sends to it.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result};
use gristmill_testkit::activemq::{ActiveMqServer, QueueCounts as ActiveMqCounts};
use gristmill_testkit::amqp::{Client, Properties, Table};
use gristmill_testkit::jms::{Login, Message, Peer};
use gristmill_testkit::rabbitmq::{QueueCounts, RabbitServer};
use tokio::time::timeout;

use super::target::QUEUE;

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
        client.declare_queue(QUEUE, &Table::new()).await?;
        client.close().await?;
        Ok(Self::RabbitMq(Box::new(server)))
    }

    pub(super) async fn activemq() -> Result<Self> {
        let server = ActiveMqServer::start().await?;
        server.create_queue(QUEUE).await?;
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
    pub(super) fn mapping(&self) -> &'static str {
        match self {
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

    /// Waits until the queue is empty.
    pub(super) async fn empty(&self, patience: Duration) -> Result<()> {
        match self {
            Server::RabbitMq(server) => {
                let empty = |counts: QueueCounts| (counts.ready, counts.unacked) == (0, 0);
                server.wait_for_counts("/", QUEUE, patience, empty).await.map(drop)
            }
            Server::ActiveMq(server) => {
                let empty = |counts: ActiveMqCounts| counts.messages == 0;
                server.wait_for_counts(QUEUE, patience, empty).await.map(drop)
            }
        }
    }
}

impl Sender {
    pub(super) async fn publish(&mut self, numbers: Range<u64>) -> Result<()> {
        let published = match self {
            Sender::RabbitMq { port, client } => {
                timeout(CONFIRM_TIMEOUT, to_rabbitmq(*port, client, numbers)).await
            }
            Sender::ActiveMq { url, peer } => {
                timeout(CONFIRM_TIMEOUT, to_activemq(url, peer, numbers)).await
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
    numbers: Range<u64>,
) -> Result<()> {
    let client = match client {
        Some(client) => client,
        None => {
            let mut new = Client::connect(port, "/").await?;
            new.confirm_select().await?;
            client.insert(Box::new(new))
        }
    };
    for number in numbers {
        client.publish(QUEUE, &Properties::persistent(), number.to_string().as_bytes()).await?;
    }
    client.wait_for_confirms().await
}

async fn to_activemq(url: &str, peer: &mut Option<Box<Peer>>, numbers: Range<u64>) -> Result<()> {
    let peer = match peer {
        Some(peer) => peer,
        None => peer.insert(Box::new(Peer::connect(&Login::to(url)).await?)),
    };
    let messages: Vec<Message> = numbers.map(|number| Message::text(number.to_string())).collect();
    peer.send(QUEUE, &messages).await.map(drop)
}
