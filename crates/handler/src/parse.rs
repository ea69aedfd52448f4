//! From text to an event, keeping track of the record that is being read.
//!
//! serde's errors tell line and column. People look for a record by its queue and its place, so
//! these are noted while reading, and what was noted last is where an error is.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::activemq::{ActiveMqEvent, ActiveMqRecord};
use crate::error::EventError;
use crate::event::Event;
use crate::rabbitmq::{Queue, RabbitMqEvent};
use crate::value::Text;

/// Where the reading is.
#[derive(Default)]
struct Place {
    queue: Option<String>,
    /// None outside of any list of records.
    position: Option<usize>,
}

/// All that an event consists of, before it is known whose it is.
#[derive(Default)]
struct Parts<'a> {
    event_source: Option<Cow<'a, str>>,
    event_source_arn: Option<Cow<'a, str>>,
    queues: Option<Vec<Queue<'a>>>,
    messages: Option<Vec<ActiveMqRecord<'a>>>,
}

/// Reads an event; a byte order mark may stand before it.
pub(crate) fn event(text: &str) -> Result<Event<'_>, EventError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let place = RefCell::new(Place::default());
    let mut reader = serde_json::Deserializer::from_str(text);
    let parts = EventSeed(&place).deserialize(&mut reader).and_then(|parts| {
        reader.end()?;
        Ok(parts)
    });
    let parts = parts.map_err(|error| {
        let Place { queue, position } = place.into_inner();
        match position {
            Some(position) => EventError::Record { queue, position, error },
            None => EventError::Shape(error),
        }
    })?;
    let Parts { event_source, event_source_arn, queues, messages } = parts;
    match (queues, messages) {
        (Some(queues), None) => Ok(Event::RabbitMq(RabbitMqEvent { event_source_arn, queues })),
        (None, Some(messages)) => Ok(Event::ActiveMq(ActiveMqEvent { event_source_arn, messages })),
        (Some(_), Some(_)) => Err(EventError::TwoBrokers),
        (None, None) => {
            let event_source = event_source.map(Cow::into_owned);
            Err(EventError::NoMessages { event_source })
        }
    }
}

struct EventSeed<'p>(&'p RefCell<Place>);

impl<'de> DeserializeSeed<'de> for EventSeed<'_> {
    type Value = Parts<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Parts<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EventSeed<'_> {
    type Value = Parts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with messages")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parts<'de>, A::Error> {
        let mut parts = Parts::default();
        while let Some(Text(key)) = map.next_key()? {
            match key.as_ref() {
                "eventSource" => parts.event_source = optional_text(&mut map)?,
                "eventSourceArn" => parts.event_source_arn = optional_text(&mut map)?,
                "rmqMessagesByQueue" if parts.queues.is_none() => {
                    parts.queues = Some(map.next_value_seed(QueuesSeed(self.0))?);
                }
                "messages" if parts.messages.is_none() => {
                    parts.messages = Some(map.next_value_seed(RecordsSeed::new(self.0))?);
                }
                "rmqMessagesByQueue" | "messages" => {
                    return Err(A::Error::custom(format_args!("it has `{key}` twice")));
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(parts)
    }
}

fn optional_text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    Ok(map.next_value::<Option<Text<'de>>>()?.map(|Text(text)| text))
}

struct QueuesSeed<'p>(&'p RefCell<Place>);

impl<'de> DeserializeSeed<'de> for QueuesSeed<'_> {
    type Value = Vec<Queue<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for QueuesSeed<'_> {
    type Value = Vec<Queue<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of queues")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut queues = Vec::new();
        let mut keys = BTreeSet::new();
        while let Some(Text(key)) = map.next_key()? {
            // A map by key, as handlers in other languages have it, would lose one of two lists.
            if !keys.insert(key.clone()) {
                return Err(A::Error::custom("it has a queue twice"));
            }
            self.0.borrow_mut().queue = Some(key.as_ref().to_owned());
            let records = map.next_value_seed(RecordsSeed::new(self.0))?;
            queues.push(Queue { key, records });
        }
        Ok(queues)
    }
}

/// Reads a list of records of either kind.
struct RecordsSeed<'p, T> {
    place: &'p RefCell<Place>,
    of: std::marker::PhantomData<T>,
}

impl<'p, T> RecordsSeed<'p, T> {
    fn new(place: &'p RefCell<Place>) -> Self {
        Self { place, of: std::marker::PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for RecordsSeed<'_, T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for RecordsSeed<'_, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut records = Vec::new();
        loop {
            self.place.borrow_mut().position = Some(records.len());
            match list.next_element()? {
                Some(record) => records.push(record),
                None => break,
            }
        }
        *self.place.borrow_mut() = Place::default();
        Ok(records)
    }
}
