//! From the client's types to the event's, once, at the edge; [`back`] is the way back.
//!
//! What must never happen: a body that is copied, nesting that a producer chooses the depth of, or two
//! types that become one.

pub(crate) mod back;

use gristmill_broker::Returns;
use gristmill_event::{
    BasicProperties, HEADER_LEVELS_MAX, HeaderInteger, HeaderTable, HeaderValue, Message,
    RabbitMqMessage,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};

/// The header in which RabbitMQ's quorum queues count returns (RabbitMQ, "Quorum Queues", poison
/// message handling): those that bring the message nearer to its deletion.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// The header in which they count all returns, where that is something else: since RabbitMQ 4.3, what
/// is requeued is not counted in the other.
const ACQUIRED_COUNT: &str = "x-acquired-count";

/// What the producer sent. The body is moved, not copied.
pub(crate) fn message(delivery: lapin::message::Delivery) -> Message {
    let properties = properties(&delivery.properties);
    let redelivered = delivery.redelivered;
    RabbitMqMessage { properties, redelivered, body: delivery.data }.into()
}

/// How often the broker has taken the message back, as quorum queues count it in headers that they
/// set themselves.
///
/// Other queues, and earlier releases, pass on what the producer put there, so the headers count only on
/// a message that the broker says it has handed over before. RabbitMQ 4.3 then sets the count of all
/// returns, but the other only when it is not 0: one from another queue, which a message can bring along,
/// must not make it look as if it were near the limit.
pub(crate) fn returns(delivery: &lapin::message::Delivery) -> Returns {
    let headers = delivery.properties.headers().as_ref().filter(|_| delivery.redelivered);
    let count = |name| {
        let count = headers.and_then(|headers| headers.inner().get(name))?;
        let HeaderValue::Integer(count) = value(count, 0) else { return None };
        u32::try_from(i64::from(count)).ok()
    };
    let counted = count(DELIVERY_COUNT).unwrap_or(0);
    match count(ACQUIRED_COUNT) {
        Some(all) => Returns { all, counted: counted.min(all) },
        None => counted.into(),
    }
}

/// As the event shows them.
pub(crate) fn properties(given: &lapin::BasicProperties) -> BasicProperties {
    BasicProperties {
        content_type: text(given.content_type()),
        content_encoding: text(given.content_encoding()),
        headers: given.headers().as_ref().map(|headers| table(headers, 0)),
        delivery_mode: *given.delivery_mode(),
        priority: *given.priority(),
        correlation_id: text(given.correlation_id()),
        reply_to: text(given.reply_to()),
        expiration: text(given.expiration()),
        message_id: text(given.message_id()),
        timestamp: *given.timestamp(),
        kind: text(given.kind()),
        user_id: text(given.user_id()),
        app_id: text(given.app_id()),
        cluster_id: text(given.cluster_id()),
    }
}

fn text(given: &Option<ShortString>) -> Option<String> {
    given.as_ref().map(|given| given.as_str().to_owned())
}

/// Tables nest as deep as a producer likes; below the levels that an event shows, nothing is read.
fn table(given: &FieldTable, level: u8) -> HeaderTable {
    given.into_iter().map(|(name, given)| (name.as_str().to_owned(), value(given, level))).collect()
}

fn value(given: &AMQPValue, level: u8) -> HeaderValue {
    match given {
        AMQPValue::Boolean(given) => HeaderValue::Boolean(*given),
        AMQPValue::ShortShortInt(given) => HeaderValue::Integer(HeaderInteger::I8(*given)),
        AMQPValue::ShortShortUInt(given) => HeaderValue::Integer(HeaderInteger::U8(*given)),
        AMQPValue::ShortInt(given) => HeaderValue::Integer(HeaderInteger::I16(*given)),
        AMQPValue::ShortUInt(given) => HeaderValue::Integer(HeaderInteger::U16(*given)),
        AMQPValue::LongInt(given) => HeaderValue::Integer(HeaderInteger::I32(*given)),
        AMQPValue::LongUInt(given) => HeaderValue::Integer(HeaderInteger::U32(*given)),
        AMQPValue::LongLongInt(given) => HeaderValue::Integer(HeaderInteger::I64(*given)),
        AMQPValue::Float(given) => HeaderValue::Float(*given),
        AMQPValue::Double(given) => HeaderValue::Double(*given),
        AMQPValue::DecimalValue(given) => {
            HeaderValue::Decimal { scale: given.scale, value: given.value.cast_signed() }
        }
        // No field of a table has this type; the client uses it for method arguments.
        AMQPValue::ShortString(given) => HeaderValue::LongString(given.as_str().into()),
        AMQPValue::LongString(given) => HeaderValue::LongString(given.as_bytes().to_vec()),
        AMQPValue::ByteArray(given) => HeaderValue::ByteArray(given.as_slice().to_vec()),
        AMQPValue::Timestamp(given) => HeaderValue::Timestamp(*given),
        AMQPValue::Void => HeaderValue::Void,
        AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) if level >= HEADER_LEVELS_MAX => {
            HeaderValue::Void
        }
        AMQPValue::FieldArray(given) => HeaderValue::Array(
            given.as_slice().iter().map(|given| value(given, level + 1)).collect(),
        ),
        AMQPValue::FieldTable(given) => HeaderValue::Table(table(given, level + 1)),
    }
}
