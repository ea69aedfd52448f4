//! What the broker says in the game.

use activemq_openwire::bytes::Bytes;
use activemq_openwire::structures::{
    ConsumerControl, Destination, Magic, Message, MessageDispatch, MessageId, Structure,
    WireFormatInfo,
};
use activemq_openwire::{Limits, Opaque, PrimitiveMap, Value, decode, encode};

use super::super::LIMITS;
use super::{Game, Program};

impl Game {
    pub(super) fn says(&mut self, structure: impl Into<Structure>) {
        let format = self.connection.agreement().format;
        encode(&structure.into(), format, &Limits::default(), &mut self.input).unwrap();
        self.connection.receive(self.now, &mut self.input);
    }

    /// A frame of any bytes, which ends the connection if it means nothing.
    pub(super) fn says_in_bytes(&mut self, frame: &[u8]) {
        let format = self.connection.agreement().format;
        let is_whole = self.input.is_empty();
        let size = u32::try_from(frame.len()).unwrap();
        self.input.extend_from_slice(&size.to_be_bytes());
        self.input.extend_from_slice(frame);
        self.connection.receive(self.now, &mut self.input);
        if is_whole && decode(Bytes::copy_from_slice(frame), format, &LIMITS).is_err() {
            assert!(self.connection.is_closed());
        }
    }

    pub(super) fn offers(&mut self, version: i32, inactivity: i64, frame_size: i64) {
        let properties: PrimitiveMap = [
            ("MaxInactivityDuration", Value::Long(inactivity)),
            ("MaxFrameSize", Value::Long(frame_size)),
        ]
        .into_iter()
        .collect();
        let marshalled_properties = Some(Opaque(properties.encode().unwrap()));
        self.says(WireFormatInfo { magic: Magic, version, marshalled_properties });
    }

    pub(super) fn dispatches(&mut self, program: &mut Program<'_>) {
        let consumer_id = program.pick(&(0..self.consumer_ids.len()).collect::<Vec<_>>());
        let consumer_id = consumer_id.map(|place| self.consumer_ids[place].clone());
        let (what, number) = (program.byte(), program.byte());
        let message_id = MessageId {
            broker_sequence_id: number.into(),
            // Long enough that an ack does not fit what the broker takes.
            text_view: (what & 4 != 0).then(|| "x".repeat(usize::from(number)).into()),
            ..MessageId::default()
        };
        let message_id = (what != 1).then_some(message_id);
        let message = Message { message_id, ..Message::default() };
        self.says(MessageDispatch {
            consumer_id,
            destination: (what & 8 != 0).then(|| Destination::queue("dispatched")),
            message: (what != 0).then(|| Box::new(message)),
            ..MessageDispatch::default()
        });
    }

    pub(super) fn controls(&mut self, program: &mut Program<'_>) {
        let consumer_id = program.pick(&(0..self.consumer_ids.len()).collect::<Vec<_>>());
        self.says(ConsumerControl {
            consumer_id: consumer_id.map(|place| self.consumer_ids[place].clone()),
            close: program.byte() == 0,
            prefetch: program.pick(&[0, -1, 1, 10, 1_000, i32::MAX]).unwrap(),
            ..ConsumerControl::default()
        });
    }
}
