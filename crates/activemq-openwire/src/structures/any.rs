//! Any structure, told by its type code.

use crate::codec::describe::union;

use super::{
    BrokerId, BrokerInfo, ConnectionControl, ConnectionError, ConnectionId, ConnectionInfo,
    ConsumerControl, ConsumerId, ConsumerInfo, ControlCommand, DataArrayResponse, DataResponse,
    Destination, DestinationInfo, ExceptionResponse, FlushCommand, IntegerResponse, KeepAliveInfo,
    LocalTransactionId, Message, MessageAck, MessageDispatch, MessageDispatchNotification,
    MessageId, MessagePull, ProducerAck, ProducerId, ProducerInfo, RemoveInfo,
    RemoveSubscriptionInfo, Response, SessionId, SessionInfo, ShutdownInfo, SubscriptionInfo,
    TransactionInfo, WireFormatInfo, XaTransactionId,
};

union! {
    /// Any structure that this crate knows.
    #[expect(missing_docs, reason = "each variant holds what it is called")]
    pub enum Structure {
        MessageDispatch(MessageDispatch),
        Response(Response),
        WireFormatInfo(WireFormatInfo),
        BrokerInfo(Box<BrokerInfo>),
        ConnectionInfo(Box<ConnectionInfo>),
        SessionInfo(SessionInfo),
        ConsumerInfo(Box<ConsumerInfo>),
        ProducerInfo(ProducerInfo),
        TransactionInfo(TransactionInfo),
        DestinationInfo(DestinationInfo),
        RemoveSubscriptionInfo(RemoveSubscriptionInfo),
        KeepAliveInfo(KeepAliveInfo),
        ShutdownInfo(ShutdownInfo),
        RemoveInfo(RemoveInfo),
        ControlCommand(ControlCommand),
        FlushCommand(FlushCommand),
        ConnectionError(Box<ConnectionError>),
        ConsumerControl(ConsumerControl),
        ConnectionControl(ConnectionControl),
        ProducerAck(ProducerAck),
        MessagePull(Box<MessagePull>),
        MessageAck(Box<MessageAck>),
        Message(Box<Message>),
        ExceptionResponse(Box<ExceptionResponse>),
        DataResponse(DataResponse),
        DataArrayResponse(DataArrayResponse),
        IntegerResponse(IntegerResponse),
        SubscriptionInfo(Box<SubscriptionInfo>),
        MessageDispatchNotification(Box<MessageDispatchNotification>),
        Destination(Destination),
        MessageId(MessageId),
        LocalTransactionId(LocalTransactionId),
        XaTransactionId(XaTransactionId),
        ConnectionId(ConnectionId),
        SessionId(SessionId),
        ConsumerId(ConsumerId),
        ProducerId(ProducerId),
        BrokerId(BrokerId),
    }
}
