//! From the event's types back to the client's, to keep a message or to publish it again.
//!
//! What must never happen: a property or a type that does not come out as it came in. Only what is nested
//! deeper than an event shows was left out on the way in.

use std::mem;

use gristmill_event::{BasicProperties, HeaderInteger, HeaderTable, HeaderValue};
use lapin::BasicProperties as Properties;
use lapin::types::{
    AMQPValue, DecimalValue, FieldArray, FieldTable, ShortString, ShortStringError,
};

/// As the client publishes them.
///
/// # Errors
///
/// If a text or a name has more than 255 bytes, which none has that came from a broker.
pub(crate) fn properties(given: &BasicProperties) -> Result<Properties, ShortStringError> {
    let BasicProperties {
        content_type,
        content_encoding,
        headers,
        delivery_mode,
        priority,
        correlation_id,
        reply_to,
        expiration,
        message_id,
        timestamp,
        kind,
        user_id,
        app_id,
        cluster_id,
    } = given;
    let headers = headers.as_ref().map(table).transpose()?;
    let mut to = Properties::default();
    set(&mut to, text(content_type)?, Properties::with_content_type);
    set(&mut to, text(content_encoding)?, Properties::with_content_encoding);
    set(&mut to, headers, Properties::with_headers);
    set(&mut to, *delivery_mode, Properties::with_delivery_mode);
    set(&mut to, *priority, Properties::with_priority);
    set(&mut to, text(correlation_id)?, Properties::with_correlation_id);
    set(&mut to, text(reply_to)?, Properties::with_reply_to);
    set(&mut to, text(expiration)?, Properties::with_expiration);
    set(&mut to, text(message_id)?, Properties::with_message_id);
    set(&mut to, *timestamp, Properties::with_timestamp);
    set(&mut to, text(kind)?, Properties::with_type);
    set(&mut to, text(user_id)?, Properties::with_user_id);
    set(&mut to, text(app_id)?, Properties::with_app_id);
    set(&mut to, text(cluster_id)?, Properties::with_cluster_id);
    Ok(to)
}

/// The client's properties are built by moving them through its setters.
fn set<T>(to: &mut Properties, given: Option<T>, with: fn(Properties, T) -> Properties) {
    if let Some(given) = given {
        *to = with(mem::take(to), given);
    }
}

fn text(given: &Option<String>) -> Result<Option<ShortString>, ShortStringError> {
    given.as_deref().map(ShortString::try_new).transpose()
}

fn table(given: &HeaderTable) -> Result<FieldTable, ShortStringError> {
    let mut table = FieldTable::default();
    for (name, given) in given {
        table.insert(ShortString::try_new(name.as_str())?, value(given)?);
    }
    Ok(table)
}

fn value(given: &HeaderValue) -> Result<AMQPValue, ShortStringError> {
    Ok(match given {
        HeaderValue::Boolean(given) => AMQPValue::Boolean(*given),
        HeaderValue::Integer(HeaderInteger::I8(given)) => AMQPValue::ShortShortInt(*given),
        HeaderValue::Integer(HeaderInteger::U8(given)) => AMQPValue::ShortShortUInt(*given),
        HeaderValue::Integer(HeaderInteger::I16(given)) => AMQPValue::ShortInt(*given),
        HeaderValue::Integer(HeaderInteger::U16(given)) => AMQPValue::ShortUInt(*given),
        HeaderValue::Integer(HeaderInteger::I32(given)) => AMQPValue::LongInt(*given),
        HeaderValue::Integer(HeaderInteger::U32(given)) => AMQPValue::LongUInt(*given),
        HeaderValue::Integer(HeaderInteger::I64(given)) => AMQPValue::LongLongInt(*given),
        HeaderValue::Float(given) => AMQPValue::Float(*given),
        HeaderValue::Double(given) => AMQPValue::Double(*given),
        HeaderValue::Decimal { scale, value } => {
            AMQPValue::DecimalValue(DecimalValue { scale: *scale, value: value.cast_unsigned() })
        }
        HeaderValue::LongString(given) => AMQPValue::LongString(given.as_slice().into()),
        HeaderValue::ByteArray(given) => AMQPValue::ByteArray(given.as_slice().into()),
        HeaderValue::Timestamp(given) => AMQPValue::Timestamp(*given),
        HeaderValue::Table(given) => AMQPValue::FieldTable(table(given)?),
        HeaderValue::Array(given) => {
            let values: Result<Vec<AMQPValue>, _> = given.iter().map(value).collect();
            AMQPValue::FieldArray(FieldArray::from(values?))
        }
        HeaderValue::Void => AMQPValue::Void,
    })
}
