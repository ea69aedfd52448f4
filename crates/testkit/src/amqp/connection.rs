//! One connection with its one channel: frames, contents, and what the broker says unasked.
//!
//! Deliveries and confirms arrive whenever the broker likes, also before the answer to a call.
//! [`Connection::advance`] reads exactly one frame and sorts them out; everything it has begun to
//! read is kept in the connection, so cancelling it loses nothing.

use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::properties::Properties;
use super::wire::{Reader, Writer};
use super::{BASIC_ACK, BASIC_NACK, CONNECTION_CLOSE, MethodId};

const START: MethodId = (10, 10);
const START_OK: MethodId = (10, 11);
const TUNE: MethodId = (10, 30);
const TUNE_OK: MethodId = (10, 31);
const OPEN: MethodId = (10, 40);
const OPEN_OK: MethodId = (10, 41);
const CHANNEL_OPEN: MethodId = (20, 10);
const CHANNEL_OPEN_OK: MethodId = (20, 11);
const CHANNEL_CLOSE: MethodId = (20, 40);
const BASIC_CLASS: u16 = 60;
const BASIC_DELIVER: MethodId = (BASIC_CLASS, 60);
const BASIC_GET_OK: MethodId = (BASIC_CLASS, 71);

/// Frame types (section 4.2.3).
const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
const FRAME_END: u8 = 0xCE;
/// Type, channel and size before a frame's payload, and the end mark after it.
const FRAME_OVERHEAD: usize = 8;

const CHANNEL: u16 = 1;

/// A message that the broker has handed over.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Names this delivery to [`super::Client::ack`] and [`super::Client::nack`].
    pub tag: u64,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// The exchange it was published to.
    pub exchange: String,
    /// The routing key it was published with.
    pub routing_key: String,
    /// Its properties.
    pub properties: Properties,
    /// The same as bytes: the flags and the values after them.
    pub raw_properties: Vec<u8>,
    /// Its body.
    pub body: Vec<u8>,
}

/// A method with its arguments.
#[derive(Debug)]
pub(super) struct Method {
    pub(super) id: MethodId,
    arguments: Vec<u8>,
}

impl Method {
    /// Begins a method; its arguments are to follow.
    pub(super) fn writer((class, method): MethodId) -> Writer {
        let mut writer = Writer::default();
        writer.u16(class).u16(method);
        writer
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader::new(&self.arguments)
    }
}

/// A delivery whose header or body frames are still to come.
#[derive(Debug)]
struct Partial {
    method: Method,
    /// `None` until the header frame.
    header: Option<Header>,
    body: Vec<u8>,
}

#[derive(Debug)]
struct Header {
    body_size: usize,
    properties: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// Received and not yet a whole frame.
    received: Vec<u8>,
    /// The largest frame that the broker takes.
    frame_max: usize,
    partial: Option<Partial>,
    delivered: VecDeque<Delivery>,
    got: Option<Delivery>,
    /// The number of the last message published, once they are counted.
    published: Option<u64>,
    unconfirmed: BTreeSet<u64>,
    refused: BTreeSet<u64>,
}

impl Connection {
    pub(super) async fn open(
        port: u16,
        virtual_host: &str,
        user: &str,
        password: &str,
    ) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .with_context(|| format!("cannot connect to a broker on port {port}"))?;
        let mut connection = Self {
            stream,
            received: Vec::new(),
            frame_max: 4096,
            partial: None,
            delivered: VecDeque::new(),
            got: None,
            published: None,
            unconfirmed: BTreeSet::new(),
            refused: BTreeSet::new(),
        };
        connection
            .handshake(virtual_host, user, password)
            .await
            .with_context(|| format!("cannot open the virtual host {virtual_host} as {user}"))?;
        Ok(connection)
    }

    async fn handshake(&mut self, virtual_host: &str, user: &str, password: &str) -> Result<()> {
        self.stream.write_all(b"AMQP\0\0\x09\x01").await?;
        self.answer(START).await?;

        let mut start = Method::writer(START_OK);
        // No capabilities are offered, so the broker sends neither consumer cancels nor blocks.
        start.u32(0).short_string("PLAIN")?;
        start.long_string(format!("\0{user}\0{password}").as_bytes())?.short_string("en_US")?;
        self.send_on_connection(start).await?;

        let tune = self.answer(TUNE).await?;
        let mut tune = tune.reader();
        let (channel_max, frame_max) = (tune.u16()?, tune.u32()?);
        // 0 would mean no limit; frames of 4096 bytes are always allowed.
        self.frame_max = usize::try_from(frame_max)?.max(4096);
        let mut tune_ok = Method::writer(TUNE_OK);
        // No heartbeats: a test may sit still for as long as it likes.
        tune_ok.u16(channel_max).u32(frame_max).u16(0);
        self.send_on_connection(tune_ok).await?;

        let mut open = Method::writer(OPEN);
        open.short_string(virtual_host)?.short_string("")?.u8(0);
        self.send_on_connection(open).await?;
        self.answer(OPEN_OK).await?;

        let mut channel = Method::writer(CHANNEL_OPEN);
        channel.short_string("")?;
        self.call(channel, CHANNEL_OPEN_OK).await?;
        Ok(())
    }

    /// Sends a method on the channel and waits for its answer.
    pub(super) async fn call(&mut self, method: Writer, answer: MethodId) -> Result<Method> {
        self.send(method).await?;
        self.answer(answer).await
    }

    async fn answer(&mut self, awaited: MethodId) -> Result<Method> {
        loop {
            if let Some(method) = self.advance().await? {
                ensure!(
                    method.id == awaited,
                    "the broker sent {:?} where {awaited:?} was awaited",
                    method.id
                );
                return Ok(method);
            }
        }
    }

    pub(super) async fn send(&mut self, method: Writer) -> Result<()> {
        let mut frames = Writer::default();
        write_frame(&mut frames, METHOD, CHANNEL, &method.into_bytes())?;
        self.write(frames).await
    }

    /// Sends a method that concerns the connection as a whole.
    pub(super) async fn send_on_connection(&mut self, method: Writer) -> Result<()> {
        let mut frames = Writer::default();
        write_frame(&mut frames, METHOD, 0, &method.into_bytes())?;
        self.write(frames).await
    }

    /// Sends a method that carries a message.
    pub(super) async fn send_content(
        &mut self,
        method: Writer,
        properties: &[u8],
        body: &[u8],
    ) -> Result<()> {
        let mut header = Writer::default();
        header.u16(BASIC_CLASS).u16(0).u64(u64::try_from(body.len())?).bytes(properties);
        let mut frames = Writer::default();
        write_frame(&mut frames, METHOD, CHANNEL, &method.into_bytes())?;
        write_frame(&mut frames, HEADER, CHANNEL, &header.into_bytes())?;
        for part in body.chunks(self.frame_max - FRAME_OVERHEAD) {
            write_frame(&mut frames, BODY, CHANNEL, part)?;
        }
        if let Some(published) = &mut self.published {
            *published += 1;
            self.unconfirmed.insert(*published);
        }
        self.write(frames).await
    }

    async fn write(&mut self, frames: Writer) -> Result<()> {
        let written = self.stream.write_all(&frames.into_bytes()).await;
        written.context("cannot write to the broker, which has closed the connection")
    }

    /// Counts messages published from now on, as the broker does once it confirms them.
    pub(super) fn count_published(&mut self) {
        self.published.get_or_insert(0);
    }

    /// The number of the last message published since they are counted.
    pub(super) fn published(&self) -> u64 {
        self.published.unwrap_or(0)
    }

    /// The numbers of the messages that the broker has not confirmed, or refused.
    pub(super) fn unconfirmed(&self) -> BTreeSet<u64> {
        &self.unconfirmed | &self.refused
    }

    /// How many messages still wait for the broker's confirm.
    pub(super) fn waiting(&self) -> Result<usize> {
        ensure!(
            self.refused.is_empty(),
            "the broker could not take {} of the messages",
            self.refused.len()
        );
        Ok(self.unconfirmed.len())
    }

    pub(super) fn take_delivered(&mut self) -> Option<Delivery> {
        self.delivered.pop_front()
    }

    pub(super) fn take_got(&mut self) -> Option<Delivery> {
        self.got.take()
    }

    /// Reads one frame. Returns a method if it was the answer to a call; deliveries and confirms
    /// are put by.
    pub(super) async fn advance(&mut self) -> Result<Option<Method>> {
        let (kind, payload) = self.read_frame().await?;
        match kind {
            METHOD => {
                let mut reader = Reader::new(&payload);
                let id = (reader.u16()?, reader.u16()?);
                self.take_method(Method { id, arguments: reader.rest().to_vec() })
            }
            HEADER => {
                let mut reader = Reader::new(&payload);
                reader.bytes(4)?;
                let body_size = usize::try_from(reader.u64()?)?;
                let partial = self.partial.as_mut().context("a header came without a method")?;
                partial.header = Some(Header { body_size, properties: reader.rest().to_vec() });
                self.finish_content()?;
                Ok(None)
            }
            BODY => {
                let partial = self.partial.as_mut().context("a body came without a method")?;
                partial.body.extend_from_slice(&payload);
                self.finish_content()?;
                Ok(None)
            }
            HEARTBEAT => Ok(None),
            other => bail!("the broker sent a frame of the unknown type {other}"),
        }
    }

    fn take_method(&mut self, method: Method) -> Result<Option<Method>> {
        match method.id {
            BASIC_DELIVER | BASIC_GET_OK => {
                self.partial = Some(Partial { method, header: None, body: Vec::new() });
                Ok(None)
            }
            BASIC_ACK | BASIC_NACK => {
                self.confirm(&method)?;
                Ok(None)
            }
            CHANNEL_CLOSE | CONNECTION_CLOSE => {
                let what = if method.id == CHANNEL_CLOSE { "channel" } else { "connection" };
                let mut reader = method.reader();
                let (code, reason) = (reader.u16()?, reader.short_string()?);
                bail!("the broker closed the {what}: {code} {reason}")
            }
            _ => Ok(Some(method)),
        }
    }

    fn confirm(&mut self, method: &Method) -> Result<()> {
        let mut reader = method.reader();
        let (tag, flags) = (reader.u64()?, reader.u8()?);
        let is_multiple = flags & 1 != 0;
        let later = self.unconfirmed.split_off(&(tag + 1));
        let mut settled = std::mem::replace(&mut self.unconfirmed, later);
        if !is_multiple {
            settled.remove(&tag);
            self.unconfirmed.append(&mut settled);
            settled.insert(tag);
        }
        if method.id == BASIC_NACK {
            self.refused.append(&mut settled);
        }
        Ok(())
    }

    /// Puts the message by if its last frame has come.
    fn finish_content(&mut self) -> Result<()> {
        let is_whole = self.partial.as_ref().is_some_and(|partial| {
            partial.header.as_ref().is_some_and(|header| partial.body.len() >= header.body_size)
        });
        if !is_whole {
            return Ok(());
        }
        let Some(Partial { method, header: Some(header), body }) = self.partial.take() else {
            return Ok(());
        };
        let mut reader = method.reader();
        if method.id == BASIC_DELIVER {
            reader.short_string()?;
        }
        let delivery = Delivery {
            tag: reader.u64()?,
            redelivered: reader.u8()? != 0,
            exchange: reader.short_string()?,
            routing_key: reader.short_string()?,
            properties: Properties::decode(&header.properties)?,
            raw_properties: header.properties,
            body,
        };
        if method.id == BASIC_DELIVER {
            self.delivered.push_back(delivery);
        } else {
            self.got = Some(delivery);
        }
        Ok(())
    }

    /// The type and payload of the next frame.
    async fn read_frame(&mut self) -> Result<(u8, Vec<u8>)> {
        loop {
            let mut reader = Reader::new(&self.received);
            if let (Ok(kind), Ok(_channel), Ok(payload), Ok(end)) =
                (reader.u8(), reader.u16(), reader.long_string(), reader.u8())
            {
                ensure!(end == FRAME_END, "the broker sent a frame without its end mark");
                let payload = payload.to_vec();
                self.received.drain(..payload.len() + FRAME_OVERHEAD);
                return Ok((kind, payload));
            }
            // Without room the vector would grow, and so read, by 64 bytes at a time.
            self.received.reserve(16 * 1024);
            let count = self.stream.read_buf(&mut self.received).await;
            let count = count.context("cannot read from the broker")?;
            ensure!(count > 0, "the broker closed the connection without a word");
        }
    }
}

fn write_frame(frames: &mut Writer, kind: u8, channel: u16, payload: &[u8]) -> Result<()> {
    frames.u8(kind).u16(channel).long_string(payload)?.u8(FRAME_END);
    Ok(())
}
