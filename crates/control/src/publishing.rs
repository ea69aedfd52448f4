//! `POST /queues/{name}/messages`: messages for an embedded broker that is open to it.
//!
//! A browser sends whatever a page tells it to, also to `127.0.0.1`, and says so in the header `Origin`;
//! who has that is refused.

use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use axum::response::{IntoResponse, Response};
use gristmill::embedded::{BasicProperties, EmbeddedError, RabbitMqMessage};
use gristmill::{HostHandle, OpenError};
use serde::Deserialize;
use serde_json::json;

/// The most that one request may bring, in bytes; one message alone is bounded by what fits into an event.
pub(crate) const REQUEST_BYTES_MAX: usize = 8 << 20;

/// The most messages of one request: each takes memory beside its body.
const MESSAGES_MAX: usize = 10_000;

/// What AMQP has for the longest of them, a short string; each message of a request has its own copy.
const TEXT_BYTES_MAX: usize = 255;

/// With this type every line is a message.
const NDJSON: &str = "application/x-ndjson";
const JSON: &str = "application/json";

/// What stands behind the `?`, for all messages of the request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wishes {
    /// The embedded broker, if several have the queue.
    broker: Option<String>,
    message_id: Option<String>,
    correlation_id: Option<String>,
    priority: Option<u8>,
    /// In milliseconds.
    expiration: Option<u64>,
}

pub(crate) async fn publish(
    host: &HostHandle,
    Path(queue): Path<String>,
    Query(wishes): Query<Wishes>,
    request: Request,
) -> Response {
    let headers = request.headers();
    if headers.contains_key(ORIGIN) {
        return say(StatusCode::FORBIDDEN, "pages in a browser may not publish");
    }
    let texts = [&wishes.message_id, &wishes.correlation_id].into_iter().flatten().map(String::len);
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.map(str::to_owned);
    if texts.chain(content_type.as_deref().map(str::len)).any(|length| length > TEXT_BYTES_MAX) {
        let most = format!("an identifier or a content type has at most {TEXT_BYTES_MAX} bytes");
        return say(StatusCode::BAD_REQUEST, most);
    }
    let broker = match host.open_embedded(&queue, wishes.broker.as_deref()) {
        Ok(broker) => broker,
        Err(error) => {
            let status = match error {
                OpenError::Closed => StatusCode::FORBIDDEN,
                OpenError::Missing { .. } => StatusCode::NOT_FOUND,
                OpenError::Several { .. } => StatusCode::BAD_REQUEST,
            };
            return say(status, error);
        }
    };
    // Whoever may not publish does not get its megabytes into this memory.
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(refused) => return refused.into_response(),
    };
    let Some(messages) = messages(wishes, content_type.as_deref(), body) else {
        let most = format!("at most {MESSAGES_MAX} messages fit into a request");
        return say(StatusCode::PAYLOAD_TOO_LARGE, most);
    };
    let published = messages.len();
    match broker.publish(&queue, messages).await {
        Ok(()) => json_of(published),
        Err(error) => {
            let status = match error {
                EmbeddedError::QueueMissing { .. } => StatusCode::NOT_FOUND,
                EmbeddedError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                EmbeddedError::Headers => StatusCode::BAD_REQUEST,
                EmbeddedError::Full { .. } => StatusCode::INSUFFICIENT_STORAGE,
                EmbeddedError::File(_) | EmbeddedError::Ended => StatusCode::SERVICE_UNAVAILABLE,
            };
            say(status, error)
        }
    }
}

fn json_of(published: usize) -> Response {
    let text = json!({ "published": published }).to_string() + "\n";
    ([(CONTENT_TYPE, JSON)], text).into_response()
}

fn say(status: StatusCode, what: impl ToString) -> Response {
    (status, what.to_string() + "\n").into_response()
}

/// `None` if there are too many.
fn messages(
    wishes: Wishes,
    content_type: Option<&str>,
    body: Bytes,
) -> Option<Vec<RabbitMqMessage>> {
    let is_lines = content_type.is_some_and(|given| {
        given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(NDJSON)
    });
    let properties = BasicProperties {
        content_type: if is_lines {
            Some(JSON.to_owned())
        } else {
            content_type.map(str::to_owned)
        },
        delivery_mode: Some(2),
        priority: wishes.priority,
        correlation_id: wishes.correlation_id,
        expiration: wishes.expiration.map(|ms| ms.to_string()),
        message_id: wishes.message_id,
        ..BasicProperties::default()
    };
    if !is_lines {
        let body = body.into();
        return Some(vec![RabbitMqMessage { properties, body, ..RabbitMqMessage::default() }]);
    }
    let lines = || {
        let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        lines.filter(|line| !line.is_empty())
    };
    let message = |line: &[u8]| {
        let (properties, body) = (properties.clone(), line.to_vec());
        RabbitMqMessage { properties, body, ..RabbitMqMessage::default() }
    };
    (lines().take(MESSAGES_MAX + 1).count() <= MESSAGES_MAX).then(|| lines().map(message).collect())
}
