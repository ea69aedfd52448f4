//! Messages of JMS with all that a client can set or see, and their form as `java/Messages.java` reads
//! and writes it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value as Json, json};

/// A message to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The kind of message and its body.
    pub body: Body,
    /// The properties.
    pub properties: BTreeMap<String, Value>,
    /// `JMSCorrelationID`.
    pub correlation_id: Option<String>,
    /// `JMSReplyTo`: a queue's name, or as in `topic://name`.
    pub reply_to: Option<String>,
    /// `JMSType`.
    pub message_type: Option<String>,
    /// `JMSXGroupID`.
    pub group: Option<String>,
    /// `JMSPriority`, from 0 to 9.
    pub priority: u8,
    /// How long it lives; zero is for ever.
    pub ttl: Duration,
    /// Whether it outlives the broker.
    pub persistent: bool,
}

/// The six kinds of messages that JMS has.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A `TextMessage`, which may be without any text.
    Text(Option<String>),
    /// A `BytesMessage`.
    Bytes(Vec<u8>),
    /// A `MapMessage`.
    Map(BTreeMap<String, Value>),
    /// A `StreamMessage`.
    Stream(Vec<Value>),
    /// An `ObjectMessage` with an object of Java that is such a value.
    Object(Value),
    /// A plain `Message`, which has no body.
    Nothing,
}

/// A value of one of Java's types. Lists and maps go beyond JMS: ActiveMQ allows them.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `boolean`.
    Bool(bool),
    /// `byte`.
    Byte(i8),
    /// `short`.
    Short(i16),
    /// `char`, which may be half of a character; in maps and streams only.
    Char(u16),
    /// `int`.
    Int(i32),
    /// `long`.
    Long(i64),
    /// `float`.
    Float(f32),
    /// `double`.
    Double(f64),
    /// `String`.
    Text(String),
    /// `byte[]`; not in properties.
    Bytes(Vec<u8>),
    /// A `List`.
    List(Vec<Value>),
    /// A `Map`.
    Map(BTreeMap<String, Value>),
}

/// A message as the client received it.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// The kind of message and its body, after decompression.
    pub body: Body,
    /// The properties that came with the message.
    pub properties: BTreeMap<String, Value>,
    /// `JMSMessageID`.
    pub id: String,
    /// Where it was sent to, as in `queue://orders`.
    pub destination: Option<String>,
    /// `JMSCorrelationID`.
    pub correlation_id: Option<String>,
    /// `JMSReplyTo`, as in `queue://answers`.
    pub reply_to: Option<String>,
    /// `JMSType`.
    pub message_type: Option<String>,
    /// `JMSXGroupID`.
    pub group: Option<String>,
    /// `JMSXGroupSeq`.
    pub group_sequence: i64,
    /// `JMSPriority`.
    pub priority: u8,
    /// `JMSTimestamp`, in milliseconds since 1970.
    pub timestamp: i64,
    /// `JMSExpiration`, in milliseconds since 1970; 0 for never.
    pub expiration: i64,
    /// Whether it outlives the broker.
    pub persistent: bool,
    /// `JMSRedelivered`.
    pub redelivered: bool,
    /// How often it was delivered before.
    pub redelivery_counter: i64,
    /// Whether the body was compressed on its way.
    pub compressed: bool,
    /// `JMSXUserID`, of a broker that fills it in.
    pub user_id: Option<String>,
    /// When the broker got it, in milliseconds since 1970.
    pub broker_in_time: i64,
    /// Of a message in a dead-letter queue: where it was before.
    pub original_destination: Option<String>,
}

impl Message {
    /// A persistent message without properties, of the usual priority 4, that lives for ever.
    pub fn new(body: Body) -> Self {
        Self {
            body,
            properties: BTreeMap::new(),
            correlation_id: None,
            reply_to: None,
            message_type: None,
            group: None,
            priority: 4,
            ttl: Duration::ZERO,
            persistent: true,
        }
    }

    /// Such a message with a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Body::Text(Some(text.into())))
    }

    /// Such a message with bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Body::Bytes(bytes.into()))
    }

    /// The same message with one property more.
    #[must_use]
    pub fn property(mut self, name: &str, value: Value) -> Self {
        self.properties.insert(name.to_owned(), value);
        self
    }

    pub(super) fn to_json(&self) -> Json {
        let (kind, body) = match &self.body {
            Body::Text(text) => ("text", json!(text)),
            Body::Bytes(bytes) => ("bytes", json!(BASE64.encode(bytes))),
            Body::Map(map) => ("map", map_to_json(map)),
            Body::Stream(values) => ("stream", values.iter().map(Value::to_json).collect()),
            Body::Object(value) => ("object", value.to_json()),
            Body::Nothing => ("message", Json::Null),
        };
        json!({
            "kind": kind,
            "body": body,
            "properties": map_to_json(&self.properties),
            "correlationId": self.correlation_id,
            "replyTo": self.reply_to,
            "type": self.message_type,
            "group": self.group,
            "priority": self.priority,
            "ttl": u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX),
            "persistent": self.persistent,
        })
    }
}

impl Received {
    /// The text of a `TextMessage` that has one.
    pub fn text(&self) -> Option<&str> {
        if let Body::Text(Some(text)) = &self.body { Some(text) } else { None }
    }

    pub(super) fn from_json(json: &Json) -> Result<Self> {
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        let number =
            |name: &str| json[name].as_i64().with_context(|| format!("no {name} in {json}"));
        let is = |name: &str| json[name].as_bool().with_context(|| format!("no {name} in {json}"));
        Ok(Self {
            body: Body::from_json(&json["kind"], &json["body"])?,
            properties: map_from_json(&json["properties"])?,
            id: text("id").unwrap_or_default(),
            destination: text("destination"),
            correlation_id: text("correlationId"),
            reply_to: text("replyTo"),
            message_type: text("type"),
            group: text("group"),
            group_sequence: number("groupSequence")?,
            priority: u8::try_from(number("priority")?).context("a priority over 255")?,
            timestamp: number("timestamp")?,
            expiration: number("expiration")?,
            persistent: is("persistent")?,
            redelivered: is("redelivered")?,
            redelivery_counter: number("redeliveryCounter")?,
            compressed: is("compressed")?,
            user_id: text("userId"),
            broker_in_time: number("brokerInTime")?,
            original_destination: text("originalDestination"),
        })
    }
}

impl Body {
    fn from_json(kind: &Json, body: &Json) -> Result<Self> {
        Ok(match kind.as_str() {
            Some("text") => Self::Text(body.as_str().map(str::to_owned)),
            Some("bytes") => Self::Bytes(decoded(body)?),
            Some("map") => Self::Map(map_from_json(body)?),
            Some("stream") => Self::Stream(list_from_json(body)?),
            Some("object") => Self::Object(Value::from_json(body)?),
            Some("message") => Self::Nothing,
            _ => bail!("there is no kind of message {kind}"),
        })
    }
}

impl Value {
    fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => json!({ "bool": value }),
            Self::Byte(value) => json!({ "byte": value }),
            Self::Short(value) => json!({ "short": value }),
            Self::Char(value) => json!({ "char": value }),
            Self::Int(value) => json!({ "int": value }),
            Self::Long(value) => json!({ "long": value }),
            // JSON has neither NaN nor infinity, so these are text as Java writes it.
            Self::Float(value) => json!({ "float": java_number(f64::from(*value), value) }),
            Self::Double(value) => json!({ "double": java_number(*value, value) }),
            Self::Text(value) => json!({ "string": value }),
            Self::Bytes(value) => json!({ "bytes": BASE64.encode(value) }),
            Self::List(values) => {
                json!({ "list": values.iter().map(Self::to_json).collect::<Json>() })
            }
            Self::Map(map) => json!({ "map": map_to_json(map) }),
        }
    }

    fn from_json(json: &Json) -> Result<Self> {
        let Some(typed) = json.as_object() else { return Ok(Self::Null) };
        let (name, value) = typed.iter().next().context("a value without a type")?;
        let number = || value.as_i64().with_context(|| format!("no number: {json}"));
        let text = || value.as_str().with_context(|| format!("no text: {json}"));
        Ok(match name.as_str() {
            "bool" => Self::Bool(value.as_bool().context("no bool")?),
            "byte" => Self::Byte(number()?.try_into()?),
            "short" => Self::Short(number()?.try_into()?),
            "char" => Self::Char(number()?.try_into()?),
            "int" => Self::Int(number()?.try_into()?),
            "long" => Self::Long(number()?),
            "float" => Self::Float(text()?.parse()?),
            "double" => Self::Double(text()?.parse()?),
            "string" => Self::Text(text()?.to_owned()),
            "bytes" => Self::Bytes(decoded(value)?),
            "list" => Self::List(list_from_json(value)?),
            "map" => Self::Map(map_from_json(value)?),
            other => bail!("there is no type of value {other}"),
        })
    }
}

/// `value` is the same number in its own type, whose shortest form it has to be.
fn java_number(number: f64, value: &impl ToString) -> String {
    if number.is_infinite() {
        (if number > 0.0 { "Infinity" } else { "-Infinity" }).to_owned()
    } else {
        value.to_string()
    }
}

fn decoded(json: &Json) -> Result<Vec<u8>> {
    let text = json.as_str().context("bytes that are no text")?;
    BASE64.decode(text).context("bytes that are not in base64")
}

fn list_from_json(json: &Json) -> Result<Vec<Value>> {
    json.as_array().context("no list")?.iter().map(Value::from_json).collect()
}

fn map_to_json(map: &BTreeMap<String, Value>) -> Json {
    let entries = map.iter().map(|(name, value)| (name.clone(), value.to_json()));
    Json::Object(entries.collect::<Map<_, _>>())
}

fn map_from_json(json: &Json) -> Result<BTreeMap<String, Value>> {
    let entries = json.as_object().context("no map")?.iter();
    entries.map(|(name, value)| Ok((name.clone(), Value::from_json(value)?))).collect()
}
