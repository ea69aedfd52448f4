//! What opens, keeps and ends connections and sessions.

use crate::codec::describe::{structure, union};
use crate::codec::field::Field;
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;
use crate::codec::{DecodeError, Header};
use crate::{Hidden, Opaque, Text};

use super::{BrokerId, ConnectionId, ConsumerId, ProducerId, SessionId, Throwable};

structure! {
    /// What a side can do; the first frame each way. `negotiation` makes and reads it.
    pub struct WireFormatInfo = 1 {
        /// That it is OpenWire.
        pub magic: Magic,
        /// The newest version that the sender speaks.
        pub version: i32,
        /// A map of primitive values.
        pub marshalled_properties: Option<Opaque>,
    }
}

/// The eight bytes that say that this is OpenWire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Magic;

const MAGIC: [u8; 8] = *b"ActiveMQ";

impl Field for Magic {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        (reader.array()? == MAGIC).then_some(Self).ok_or(DecodeError::NotOpenWire)
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.put(&MAGIC);
    }
}

structure! {
    /// Who the broker is. It comes once after negotiation, in any order with other things.
    pub struct BrokerInfo = 2 {
        /// Number and whether to respond.
        pub header: Header,
        /// The broker.
        pub broker_id: Option<BrokerId>,
        /// Where it says that it is.
        pub broker_url: Option<Text>,
        /// Others that it knows.
        pub peer_broker_infos: Option<Vec<Option<BrokerInfo>>>,
        /// Its name.
        pub broker_name: Option<Text>,
        /// Of the master and slave of long ago.
        pub slave_broker: bool,
        /// Of the master and slave of long ago.
        pub master_broker: bool,
        /// Of the master and slave of long ago.
        pub fault_tolerant_configuration: bool,
        /// For networks of brokers.
        pub duplex_connection: bool,
        /// For networks of brokers.
        pub network_connection: bool,
        /// The broker's number of the connection.
        pub connection_id: i64,
        /// Where large messages are uploaded to.
        pub broker_upload_url: Option<Text>,
        /// For networks of brokers.
        pub network_properties: Option<Text>,
    }
}

structure! {
    /// Logs in.
    pub struct ConnectionInfo = 3 {
        /// Number and whether to respond.
        pub header: Header,
        /// The connection, which no other may have: a broker drops the earlier one of two.
        pub connection_id: Option<ConnectionId>,
        /// The client, which no other may have: a broker refuses the later one of two.
        pub client_id: Option<Text>,
        /// The password.
        pub password: Option<Hidden>,
        /// The user name.
        pub user_name: Option<Hidden>,
        /// For networks of brokers.
        pub broker_path: Option<Vec<Option<BrokerId>>>,
        /// For networks of brokers.
        pub broker_master_connector: bool,
        /// Whether the broker may send [`ConnectionControl`].
        pub manageable: bool,
        /// True for clients.
        pub client_master: bool,
        /// Whether the client goes to another broker if it loses this one.
        pub fault_tolerant: bool,
        /// Whether the client has been here before under the same names.
        pub failover_reconnect: bool,
        /// Where the client is, which the broker fills in.
        pub client_ip: Option<Text>,
    }
}

structure! {
    /// Opens a session.
    pub struct SessionInfo = 4 {
        /// Number and whether to respond.
        pub header: Header,
        /// The session.
        pub session_id: Option<SessionId>,
    }
}

structure! {
    /// Says that the sender is there.
    pub struct KeepAliveInfo = 10 {
        /// Number and whether to respond.
        pub header: Header,
    }
}

structure! {
    /// Says that the sender is about to close the socket.
    pub struct ShutdownInfo = 11 {
        /// Number and whether to respond.
        pub header: Header,
    }
}

structure! {
    /// Closes a connection, session, consumer or producer.
    pub struct RemoveInfo = 12 {
        /// Number and whether to respond.
        pub header: Header,
        /// What to close.
        pub object_id: Option<RemovedObject>,
        /// The broker's number of the last message handed to the application that is unsettled;
        /// -1 for none, -2 for not known.
        pub last_delivered_sequence_id: i64,
    }
}

union! {
    /// What can be closed.
    pub enum RemovedObject {
        /// A connection.
        Connection(ConnectionId),
        /// A session.
        Session(SessionId),
        /// A consumer.
        Consumer(ConsumerId),
        /// A producer.
        Producer(ProducerId),
    }
}

structure! {
    /// A command to a broker by its name.
    pub struct ControlCommand = 14 {
        /// Number and whether to respond.
        pub header: Header,
        /// The name.
        pub command: Option<Text>,
    }
}

structure! {
    /// Asks for what is buffered.
    pub struct FlushCommand = 15 {
        /// Number and whether to respond.
        pub header: Header,
    }
}

structure! {
    /// A failure of a command that asked for no response, without saying which.
    pub struct ConnectionError = 16 {
        /// Number and whether to respond.
        pub header: Header,
        /// What failed.
        pub exception: Option<Throwable>,
        /// The connection.
        pub connection_id: Option<ConnectionId>,
    }
}

structure! {
    /// What a broker wants of a connection.
    pub struct ConnectionControl = 18 {
        /// Number and whether to respond.
        pub header: Header,
        /// That the client closes it.
        pub close: bool,
        /// That the client ends.
        pub exit: bool,
        /// Whether it knows of other brokers.
        pub fault_tolerant: bool,
        /// That the client goes on.
        pub resume: bool,
        /// That the client pauses.
        pub suspend: bool,
        /// Other brokers, as URIs with commas between.
        pub connected_brokers: Option<Text>,
        /// Where to go instead.
        pub reconnect_to: Option<Text>,
        /// Whether to spread over the other brokers.
        pub rebalance_connection: bool,
        /// For networks of brokers.
        pub token: Option<Opaque>,
    }
}
