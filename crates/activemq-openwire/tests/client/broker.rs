//! A broker's part, played by a test frame by frame.

use activemq_openwire::bytes::BytesMut;
use activemq_openwire::client::{Address, Client, ClientSettings, Connector};
use activemq_openwire::structures::*;
use activemq_openwire::{Format, Frame, Limits, Opaque, PrimitiveMap, decode, encode, next_frame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A port where a test waits for clients.
pub(crate) struct Port(pub(crate) TcpListener);

impl Port {
    pub(crate) async fn open() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn address(&self) -> Address {
        let port = self.0.local_addr().unwrap().port();
        Address { host: "127.0.0.1".to_owned(), port, tls: false }
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector::new(ClientSettings::new("test", vec![self.address()]))
    }

    pub(crate) async fn accept(&self) -> Peer<TcpStream> {
        Peer::new(self.0.accept().await.unwrap().0)
    }

    /// Lets a client in.
    pub(crate) async fn meet(&self) -> (Client, Peer<TcpStream>) {
        let connector = self.connector();
        let accepting = async {
            let mut peer = self.accept().await;
            peer.log_in().await;
            peer
        };
        let (client, peer) = tokio::join!(connector.connect(), accepting);
        (client.unwrap(), peer)
    }
}

/// The broker's end of a connection.
pub(crate) struct Peer<S> {
    stream: S,
    input: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, input: BytesMut::new() }
    }

    /// What the client says next; `None` once it has closed its socket.
    pub(crate) async fn next(&mut self) -> Option<Structure> {
        loop {
            if let Some(frame) = next_frame(&mut self.input, &Limits::default()).unwrap() {
                let frame = decode(frame, Format::default(), &Limits::default()).unwrap();
                let Frame::Structure(structure) = frame else { panic!("{frame:?}") };
                return Some(structure);
            }
            if self.stream.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub(crate) async fn say(&mut self, structure: impl Into<Structure>) {
        let mut output = BytesMut::new();
        encode(&structure.into(), Format::default(), &Limits::default(), &mut output).unwrap();
        self.say_bytes(&output).await;
    }

    pub(crate) async fn say_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(crate) async fn offer(&mut self) {
        let marshalled_properties = Some(Opaque(PrimitiveMap::new().encode().unwrap()));
        self.say(WireFormatInfo { magic: Magic, version: 12, marshalled_properties }).await;
    }

    /// Negotiates, and returns the client's login without answering it.
    pub(crate) async fn negotiate(&mut self) -> ConnectionInfo {
        self.offer().await;
        assert!(matches!(self.next().await, Some(Structure::WireFormatInfo(_))));
        let Some(Structure::ConnectionInfo(info)) = self.next().await else { panic!() };
        *info
    }

    pub(crate) async fn log_in(&mut self) -> ConnectionInfo {
        let info = self.negotiate().await;
        self.accept(info.header).await;
        info
    }

    pub(crate) async fn accept(&mut self, header: Header) {
        assert!(header.response_required);
        let correlation_id = header.command_id;
        self.say(Response { correlation_id, ..Response::default() }).await;
    }

    pub(crate) async fn refuse(&mut self, header: Header, class: &str) {
        let correlation_id = header.command_id;
        let exception = Some(Throwable::new(class, "no"));
        let response = ExceptionResponse { correlation_id, exception, ..Default::default() };
        self.say(Box::new(response)).await;
    }

    /// Accepts the session and the consumer that the client opens, and returns the consumer.
    pub(crate) async fn accept_consumer(&mut self) -> ConsumerId {
        let Some(Structure::SessionInfo(session)) = self.next().await else { panic!() };
        self.accept(session.header).await;
        let Some(Structure::ConsumerInfo(consumer)) = self.next().await else { panic!() };
        self.accept(consumer.header).await;
        consumer.consumer_id.unwrap()
    }

    pub(crate) async fn dispatch(&mut self, consumer: &ConsumerId, sequence: i64) {
        let message_id = MessageId { broker_sequence_id: sequence, ..MessageId::default() };
        let message = Message { message_id: Some(message_id), ..Message::default() };
        self.say(MessageDispatch {
            consumer_id: Some(consumer.clone()),
            destination: Some(Destination::queue("orders")),
            message: Some(Box::new(message)),
            ..MessageDispatch::default()
        })
        .await;
    }

    pub(crate) async fn has_nothing(&mut self, consumer: &ConsumerId) {
        let consumer_id = Some(consumer.clone());
        self.say(MessageDispatch { consumer_id, ..MessageDispatch::default() }).await;
    }
}
