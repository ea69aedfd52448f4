//! A broker's part, played frame by frame: what a real one cannot be made to say, and what nobody sees
//! of a real one.

use activemq_openwire::bytes::BytesMut;
use activemq_openwire::structures::*;
use activemq_openwire::{Format, Frame, Limits, Opaque, PrimitiveMap, decode, encode, next_frame};
use gristmill_broker::{Disposition, Settlement, Source, StopCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// The broker's end of a connection.
struct Played {
    stream: TcpStream,
    input: BytesMut,
}

impl Played {
    /// Lets a source in, up to its consumer, which is not answered yet.
    async fn accept(listener: &TcpListener) -> (Self, ConsumerInfo) {
        let stream = listener.accept().await.unwrap().0;
        let mut played = Self { stream, input: BytesMut::new() };
        let marshalled_properties = Some(Opaque(PrimitiveMap::new().encode().unwrap()));
        played.say(WireFormatInfo { magic: Magic, version: 12, marshalled_properties }).await;
        assert!(matches!(played.next().await, Some(Structure::WireFormatInfo(_))));
        let Some(Structure::ConnectionInfo(login)) = played.next().await else { panic!() };
        played.answer(login.header).await;
        let Some(Structure::SessionInfo(session)) = played.next().await else { panic!() };
        played.answer(session.header).await;
        let Some(Structure::ConsumerInfo(consumer)) = played.next().await else { panic!() };
        (played, *consumer)
    }

    async fn next(&mut self) -> Option<Structure> {
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

    async fn say(&mut self, structure: impl Into<Structure>) {
        let mut output = BytesMut::new();
        encode(&structure.into(), Format::default(), &Limits::default(), &mut output).unwrap();
        self.stream.write_all(&output).await.unwrap();
    }

    async fn answer(&mut self, header: Header) {
        let correlation_id = header.command_id;
        self.say(Response { correlation_id, ..Response::default() }).await;
    }

    async fn dispatch(&mut self, consumer: &ConsumerInfo, sequence: i64) {
        let message_id = MessageId {
            producer_sequence_id: sequence,
            broker_sequence_id: sequence,
            ..MessageId::default()
        };
        let message = Message {
            kind: MessageKind::Text,
            message_id: Some(message_id),
            persistent: true,
            ..Message::default()
        };
        self.say(MessageDispatch {
            consumer_id: consumer.consumer_id.clone(),
            destination: consumer.destination.clone(),
            message: Some(Box::new(message)),
            ..MessageDispatch::default()
        })
        .await;
    }

    /// The beginning of a frame that is larger than the client takes.
    async fn begin_a_frame_too_large(&mut self) {
        let size: u32 = (100 << 20) + 1;
        self.stream.write_all(&size.to_be_bytes()).await.unwrap();
    }
}

async fn listen() -> (TcpListener, ActiveMqSource) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    (listener, source(settings(&url), "orders", 100))
}

/// A source that holds so many messages, with their tokens in order.
async fn holding(messages: usize) -> (ActiveMqSource, Played, Vec<DeliveryToken>) {
    let (listener, mut source) = listen().await;
    let playing = async {
        let (mut played, consumer) = Played::accept(&listener).await;
        played.answer(consumer.header).await;
        for sequence in (1..).take(messages) {
            played.dispatch(&consumer, sequence).await;
        }
        played
    };
    let (subscribed, played) = tokio::join!(source.subscribe(), playing);
    subscribed.unwrap();
    let taken = tokens(&take(&mut source, messages).await);
    (source, played, taken)
}

async fn is_undecodable(error: SourceError) {
    assert!(matches!(error, SourceError::Undecodable { .. }), "{error}");
    assert_eq!(error.disposition(), Disposition::Stop(StopCode::ConfigNotValid));
    let said = error.to_string();
    assert!(
        said.contains(
            "this host cannot read, as a rule a message at the head of the queue `orders`"
        ),
        "{said}"
    );
    assert!(said.contains("104857601"), "{said}");
}

#[tokio::test]
async fn a_batch_that_follows_one_another_is_one_ack_whatever_else_is_unsettled() {
    let (mut source, mut played, taken) = holding(100).await;
    // Given in any order, around one that is settled already and one that is not to be.
    assert_eq!(settle(&mut source, Settlement::Ack, &taken[50..51]).await, sent(1));
    let mut batch = [&taken[10..50], &taken[51..60], &taken[61..90]].concat();
    batch.reverse();
    assert_eq!(settle(&mut source, Settlement::Ack, &batch).await, sent(78));
    let mut acks = Vec::new();
    while acks.len() < 4 {
        let ack = timeout(LONG, played.next()).await.unwrap();
        let Some(Structure::MessageAck(ack)) = ack else { panic!("{ack:?}") };
        let sequence = |id: &Option<MessageId>| id.as_ref().unwrap().broker_sequence_id;
        let ends = (sequence(&ack.first_message_id), sequence(&ack.last_message_id));
        acks.push((ack.ack_type, ends, ack.message_count));
        played.answer(ack.header).await;
    }
    let standard = AckType::Standard as i8;
    let expected = [((51, 51), 1), ((11, 50), 40), ((52, 60), 9), ((62, 90), 29)];
    assert_eq!(acks, expected.map(|(ends, count)| (standard, ends, count)));
}

#[tokio::test]
async fn a_frame_beyond_the_limit_stops_the_mapping() {
    let (mut source, mut played, taken) = holding(1).await;
    // An ack that is not answered any more says the same.
    assert_eq!(settle(&mut source, Settlement::Ack, &taken).await, sent(1));
    assert!(matches!(played.next().await, Some(Structure::MessageAck(_))));
    played.begin_a_frame_too_large().await;
    is_undecodable(ended(&mut source).await).await;
}

#[tokio::test]
async fn so_does_one_that_comes_before_the_consumer_is_confirmed() {
    let (listener, mut source) = listen().await;
    let playing = async {
        let (mut played, _) = Played::accept(&listener).await;
        played.begin_a_frame_too_large().await;
        played
    };
    let (subscribed, _played) = tokio::join!(source.subscribe(), playing);
    is_undecodable(subscribed.unwrap_err()).await;
}

#[tokio::test]
async fn and_one_that_comes_while_a_dead_letter_is_waited_for() {
    let (mut source, mut played, taken) = holding(1).await;
    let (settled, ()) = tokio::join!(
        settle(&mut source, Settlement::Reject("on purpose"), &taken),
        played.begin_a_frame_too_large()
    );
    assert_eq!(settled, stale(1));
    is_undecodable(ended(&mut source).await).await;
}
