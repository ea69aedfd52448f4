//! A small AMQP 0-9-1 client for tests, which can say anything.
//!
//! It shares no code with the client that the product uses, writes every type of header field, and
//! sends message properties as raw bytes when asked to, also malformed ones. Section numbers in
//! this module are those of the AMQP 0-9-1 specification; where RabbitMQ differs from it, RabbitMQ
//! is followed.
//!
//! ```text
//! Client ── methods ──▶ connection (frames, contents, what the broker says unasked)
//!    │                      └──▶ wire (bytes)
//!    └── messages ──▶ properties ──▶ field ──▶ wire
//! ```
//!
//! A [`Client`] is one connection with one channel: a test that wants two channels opens two
//! clients. Any error ends its use: the broker has closed the channel, or sent something that a
//! test should hear of.

mod connection;
mod field;
mod properties;
mod wire;

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use connection::{Connection, Method};

pub use connection::Delivery;
pub use field::{Field, Table};
pub use properties::Properties;

/// What a queue holds, as the answer to declaring it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueStatus {
    /// Messages waiting to be delivered; those delivered and not settled are not among them.
    pub messages: u32,
    /// Consumers subscribed.
    pub consumers: u32,
}

/// A connection with one open channel.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
}

impl Client {
    /// Connects to a virtual host of a broker on loopback as `guest`.
    ///
    /// # Errors
    ///
    /// When the broker does not answer or refuses.
    pub async fn connect(port: u16, virtual_host: &str) -> Result<Self> {
        Self::connect_as(port, virtual_host, "guest", "guest").await
    }

    /// Connects as another user, with the mechanism `PLAIN`.
    ///
    /// # Errors
    ///
    /// When the broker does not answer or refuses.
    pub async fn connect_as(
        port: u16,
        virtual_host: &str,
        user: &str,
        password: &str,
    ) -> Result<Self> {
        let connection = Connection::open(port, virtual_host, user, password).await?;
        Ok(Self { connection })
    }

    /// Declares a durable queue, which has to be new or have the same arguments.
    ///
    /// # Errors
    ///
    /// When the broker refuses.
    pub async fn declare_queue(&mut self, queue: &str, arguments: &Table) -> Result<QueueStatus> {
        self.queue_declare(queue, QUEUE_DURABLE, arguments).await
    }

    /// Asks how many messages and consumers a queue has.
    ///
    /// # Errors
    ///
    /// When there is no such queue.
    pub async fn queue_status(&mut self, queue: &str) -> Result<QueueStatus> {
        self.queue_declare(queue, QUEUE_PASSIVE, &Table::new()).await
    }

    async fn queue_declare(
        &mut self,
        queue: &str,
        flags: u8,
        arguments: &Table,
    ) -> Result<QueueStatus> {
        let mut method = Method::writer(QUEUE_DECLARE);
        method.u16(0).short_string(queue)?.u8(flags);
        arguments.encode(&mut method)?;
        let answer = self.connection.call(method, QUEUE_DECLARE_OK).await?;
        let mut answer = answer.reader();
        answer.short_string()?;
        Ok(QueueStatus { messages: answer.u32()?, consumers: answer.u32()? })
    }

    /// Deletes a queue with all it holds and returns how many messages that was. Its consumers are
    /// cancelled.
    ///
    /// # Errors
    ///
    /// When the broker refuses.
    pub async fn delete_queue(&mut self, queue: &str) -> Result<u32> {
        let mut method = Method::writer(QUEUE_DELETE);
        method.u16(0).short_string(queue)?.u8(0);
        self.connection.call(method, QUEUE_DELETE_OK).await?.reader().u32()
    }

    /// Drops all messages that wait in a queue and returns how many there were.
    ///
    /// # Errors
    ///
    /// When there is no such queue.
    pub async fn purge_queue(&mut self, queue: &str) -> Result<u32> {
        let mut method = Method::writer(QUEUE_PURGE);
        method.u16(0).short_string(queue)?.u8(0);
        self.connection.call(method, QUEUE_PURGE_OK).await?.reader().u32()
    }

    /// Publishes a message to a queue by its name, through the default exchange.
    ///
    /// # Errors
    ///
    /// When the properties cannot be written or the connection is gone. A broker that minds the
    /// message closes the channel, which the next call that waits for an answer reports.
    pub async fn publish(
        &mut self,
        queue: &str,
        properties: &Properties,
        body: &[u8],
    ) -> Result<()> {
        self.publish_raw(queue, &properties.encode()?, body).await
    }

    /// Publishes a message whose properties are these very bytes: the flags and the values after
    /// them (section 4.2.6.1), well-formed or not.
    ///
    /// # Errors
    ///
    /// As [`Client::publish`].
    pub async fn publish_raw(&mut self, queue: &str, properties: &[u8], body: &[u8]) -> Result<()> {
        let mut method = Method::writer(BASIC_PUBLISH);
        method.u16(0).short_string("")?.short_string(queue)?.u8(0);
        self.connection.send_content(method, properties, body).await
    }

    /// Has the broker confirm what is published from now on.
    ///
    /// # Errors
    ///
    /// When the broker refuses.
    pub async fn confirm_select(&mut self) -> Result<()> {
        let mut method = Method::writer(CONFIRM_SELECT);
        method.u8(0);
        self.connection.call(method, CONFIRM_SELECT_OK).await?;
        self.connection.count_published();
        Ok(())
    }

    /// Waits until the broker has confirmed everything published since
    /// [`Client::confirm_select`].
    ///
    /// # Errors
    ///
    /// When the broker could not take a message.
    ///
    /// # Cancel safety
    ///
    /// Safe to cancel, as with `tokio::time::timeout`: no confirm is lost.
    pub async fn wait_for_confirms(&mut self) -> Result<()> {
        while self.connection.waiting()? > 0 {
            self.connection.advance().await?;
        }
        Ok(())
    }

    /// How many messages were published since [`Client::confirm_select`].
    pub fn published(&self) -> u64 {
        self.connection.published()
    }

    /// Which of them, counted from 1, the broker has not confirmed as far as is known, or refused.
    pub fn unconfirmed(&self) -> BTreeSet<u64> {
        self.connection.unconfirmed()
    }

    /// Takes the next message of a queue, if there is one. It stays unsettled.
    ///
    /// # Errors
    ///
    /// When there is no such queue.
    pub async fn get(&mut self, queue: &str) -> Result<Option<Delivery>> {
        let mut method = Method::writer(BASIC_GET);
        method.u16(0).short_string(queue)?.u8(0);
        self.connection.send(method).await?;
        loop {
            if let Some(delivery) = self.connection.take_got() {
                return Ok(Some(delivery));
            }
            match self.connection.advance().await? {
                Some(answer) if answer.id == BASIC_GET_EMPTY => return Ok(None),
                Some(other) => bail!("the broker answered basic.get with {:?}", other.id),
                None => {}
            }
        }
    }

    /// Subscribes to a queue with at most `prefetch` unsettled deliveries; 0 means no limit.
    ///
    /// # Errors
    ///
    /// When the broker refuses.
    pub async fn consume(&mut self, queue: &str, prefetch: u16) -> Result<()> {
        let mut qos = Method::writer(BASIC_QOS);
        qos.u32(0).u16(prefetch).u8(0);
        self.connection.call(qos, BASIC_QOS_OK).await?;

        let mut method = Method::writer(BASIC_CONSUME);
        method.u16(0).short_string(queue)?.short_string("")?.u8(0);
        Table::new().encode(&mut method)?;
        self.connection.call(method, BASIC_CONSUME_OK).await?;
        Ok(())
    }

    /// Waits for the next delivery. It stays unsettled. When the queue is deleted none comes, and
    /// nothing else either, because this client does not offer to hear of it.
    ///
    /// # Errors
    ///
    /// When the broker closes the channel or the connection.
    ///
    /// # Cancel safety
    ///
    /// Safe to cancel, as with `tokio::time::timeout`: no delivery is lost.
    pub async fn next_delivery(&mut self) -> Result<Delivery> {
        loop {
            if let Some(delivery) = self.connection.take_delivered() {
                return Ok(delivery);
            }
            if let Some(method) = self.connection.advance().await? {
                bail!("the broker sent {:?} where a delivery was awaited", method.id);
            }
        }
    }

    /// Settles a delivery, or with `multiple` all up to it, as done.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub async fn ack(&mut self, tag: u64, multiple: bool) -> Result<()> {
        let mut method = Method::writer(BASIC_ACK);
        method.u64(tag).u8(u8::from(multiple));
        self.connection.send(method).await
    }

    /// Gives a delivery back to its queue, or rejects it when `requeue` is false.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub async fn nack(&mut self, tag: u64, requeue: bool) -> Result<()> {
        let mut method = Method::writer(BASIC_NACK);
        method.u64(tag).u8(u8::from(requeue) << 1);
        self.connection.send(method).await
    }

    /// Closes the connection in order: the broker has then settled all it was sent, and requeued
    /// the rest. Dropping a client closes only the socket, which the broker notices later.
    ///
    /// # Errors
    ///
    /// When the connection is gone already.
    pub async fn close(mut self) -> Result<()> {
        let mut method = Method::writer(CONNECTION_CLOSE);
        method.u16(200).short_string("done")?.u16(0).u16(0);
        self.connection.send_on_connection(method).await?;
        loop {
            match self.connection.advance().await? {
                Some(answer) if answer.id == CONNECTION_CLOSE_OK => return Ok(()),
                _ => {}
            }
        }
    }
}

/// Class and method number.
type MethodId = (u16, u16);

const CONNECTION_CLOSE: MethodId = (10, 50);
const CONNECTION_CLOSE_OK: MethodId = (10, 51);
const QUEUE_DECLARE: MethodId = (50, 10);
const QUEUE_DECLARE_OK: MethodId = (50, 11);
const QUEUE_PURGE: MethodId = (50, 30);
const QUEUE_PURGE_OK: MethodId = (50, 31);
const QUEUE_DELETE: MethodId = (50, 40);
const QUEUE_DELETE_OK: MethodId = (50, 41);
const BASIC_QOS: MethodId = (60, 10);
const BASIC_QOS_OK: MethodId = (60, 11);
const BASIC_CONSUME: MethodId = (60, 20);
const BASIC_CONSUME_OK: MethodId = (60, 21);
const BASIC_PUBLISH: MethodId = (60, 40);
const BASIC_GET: MethodId = (60, 70);
const BASIC_GET_EMPTY: MethodId = (60, 72);
const BASIC_ACK: MethodId = (60, 80);
const BASIC_NACK: MethodId = (60, 120);
const CONFIRM_SELECT: MethodId = (85, 10);
const CONFIRM_SELECT_OK: MethodId = (85, 11);

/// Bits of `queue.declare`.
const QUEUE_PASSIVE: u8 = 1;
const QUEUE_DURABLE: u8 = 2;
