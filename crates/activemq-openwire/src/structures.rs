//! The structures of OpenWire, each described once.
//!
//! A field that is an `Option` can be null on the wire, and null and empty differ everywhere. The
//! names are those of the protocol. Fields below a version that does not have them are left out by
//! the codec and read as their default.

mod any;
mod connection;
mod consumer;
mod destination;
mod id;
mod message;
mod producer;
mod response;
mod throwable;

pub use crate::codec::Header;
pub use any::Structure;
pub use connection::{
    BrokerInfo, ConnectionControl, ConnectionError, ConnectionInfo, ControlCommand, FlushCommand,
    KeepAliveInfo, Magic, RemoveInfo, RemovedObject, SessionInfo, ShutdownInfo, WireFormatInfo,
};
pub use consumer::{
    AckType, ConsumerControl, ConsumerInfo, MessageAck, MessageDispatch,
    MessageDispatchNotification, MessagePull, RemoveSubscriptionInfo, SubscriptionInfo,
};
pub use destination::{Destination, DestinationInfo, DestinationKind};
pub use id::{
    BrokerId, ConnectionId, ConsumerId, LocalTransactionId, MessageId, ProducerId, SessionId,
    TransactionId, XaTransactionId,
};
pub use message::{Message, MessageKind};
pub use producer::{ProducerAck, ProducerInfo, TransactionInfo};
pub use response::{DataArrayResponse, DataResponse, ExceptionResponse, IntegerResponse, Response};
pub use throwable::{StackElement, Throwable};
