//! One turn of the worker: requests, what has expired, and what is handed out, all in one transaction.
//!
//! What must never happen: a message that leaves the file without an ack, or without a rejection or an expiry
//! on a queue of the settings that has no dead-letter queue.

use std::cell::OnceCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use gristmill_event::{BasicProperties, RabbitMqMessage};
use rusqlite::Connection;

use super::content::{read_properties, write_properties};
use super::death::{Death, died};
use super::error::EmbeddedError;
use super::memory::{Consumer, Memory, Place, Queue};
use super::tables::{self, Key};
use super::worker::{Answer, Request, Verdict};
use super::{EmbeddedSettings, QueueCounts, QueueSettings};
use crate::error::Fault;

/// One turn has so many messages expire.
const EXPIRE_MESSAGES: usize = 1_000;

pub(super) struct Turn<'a> {
    pub(super) file: &'a Connection,
    settings: &'a EmbeddedSettings,
    pub(super) memory: &'a mut Memory,
    pub(super) now_ms: u64,
    /// What is to be added to each queue: messages and bytes.
    added: BTreeMap<i64, (i64, i64)>,
    /// The queues whose sums are not what is there.
    drifted: BTreeSet<i64>,
    /// What the next message of each rank gets.
    next_keys: BTreeMap<(i64, u8), Key>,
    pub(super) more: bool,
    has_removed: bool,
}

/// When there is something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum More {
    Now,
    /// In milliseconds since 1970.
    At(u64),
    Nothing,
}

/// What a turn leaves behind.
pub(super) struct Finished {
    pub(super) more: More,
    pub(super) has_removed: bool,
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        file: &'a Connection,
        settings: &'a EmbeddedSettings,
        memory: &'a mut Memory,
        now_ms: u64,
    ) -> Self {
        Self {
            file,
            settings,
            memory,
            now_ms,
            added: BTreeMap::new(),
            drifted: BTreeSet::new(),
            next_keys: BTreeMap::new(),
            more: false,
            has_removed: false,
        }
    }

    /// Does what somebody has asked for.
    pub(super) fn request(&mut self, request: Request) -> Result<Answer, Fault> {
        match request {
            Request::Publish { queue, messages, are_letters } => {
                return Ok(self.publish(&queue, messages, are_letters)?.map(|()| None));
            }
            Request::Subscribe { queue, consumer, prefetch, inbox } => {
                let settings = match self.find(&queue) {
                    Ok(settings) => settings,
                    Err(missing) => return Ok(Err(missing)),
                };
                tables::check(self.file)?;
                let new = Consumer::new(queue, prefetch, settings.dead_letter_queue, inbox);
                self.memory.consumers.insert(consumer, new);
            }
            Request::Check { queue } => {
                if let Err(missing) = self.find(&queue) {
                    return Ok(Err(missing));
                }
                tables::check(self.file)?;
            }
            Request::Settle { consumer, verdict, tags } => {
                self.settle(consumer, verdict, &tags)?;
            }
            Request::Cancel { consumer } => {
                if let Some(consumer) = self.memory.consumers.get_mut(&consumer) {
                    consumer.is_cancelled = true;
                }
            }
            Request::Unsubscribe { consumer, tried } => self.unsubscribe(consumer, tried)?,
            Request::Count { queue } => return self.count(&queue),
            Request::Configure(_) => self.cancel_consumers(),
            Request::Look | Request::Close => {}
        }
        Ok(Ok(None))
    }

    fn find(&self, queue: &str) -> Result<QueueSettings, EmbeddedError> {
        let settings = self.settings.queues.get(queue).cloned();
        settings.ok_or_else(|| EmbeddedError::missing(queue, self.settings.queues.keys()))
    }

    /// Those of queues that are no longer there.
    fn cancel_consumers(&mut self) {
        for consumer in self.memory.consumers.values_mut() {
            if !self.settings.queues.contains_key(&consumer.queue) {
                consumer.cancel();
            }
        }
    }

    fn count(&mut self, name: &str) -> Result<Answer, Fault> {
        if let Err(missing) = self.find(name) {
            return Ok(Err(missing));
        }
        let queue = self.queue(name)?.id;
        let (added, _) = self.added.get(&queue).copied().unwrap_or_default();
        let all = tables::messages(self.file, queue)?.saturating_add_signed(added);
        let unsettled = self.memory.unsettled(name) as u64;
        Ok(Ok(Some(QueueCounts { ready: all.saturating_sub(unsettled), unsettled })))
    }

    fn publish(
        &mut self,
        name: &str,
        messages: Vec<RabbitMqMessage>,
        are_letters: bool,
    ) -> Result<Result<(), EmbeddedError>, Fault> {
        let settings = match self.find(name) {
            Ok(settings) => settings,
            Err(missing) => return Ok(Err(missing)),
        };
        let mut more = 0;
        let mut new = Vec::with_capacity(messages.len());
        for RabbitMqMessage { mut properties, body, .. } in messages {
            let body_bytes_max = self.settings.body_bytes_max;
            if body.len() > body_bytes_max {
                let bytes = body.len();
                return Ok(Err(EmbeddedError::TooLarge { bytes, bytes_max: body_bytes_max }));
            }
            // When it came is what a mapping's `maximum_record_age` counts from.
            properties.timestamp.get_or_insert(self.now_ms / 1_000);
            let Ok(written) = write_properties(&properties) else {
                return Ok(Err(EmbeddedError::Headers));
            };
            more += tables::bytes(written.as_deref(), &body);
            new.push((properties, written, body));
        }
        if !are_letters && !self.has_room(more)? {
            let (path, bytes_max) = (self.settings.path.clone(), self.settings.bytes_max);
            let held_bytes = self.held_bytes()?;
            return Ok(Err(EmbeddedError::Full { path, held_bytes, bytes_max }));
        }
        let queue = self.queue(name)?.id;
        for (properties, written, body) in new {
            let rank = rank(&properties, &settings);
            let expires_at_ms = self.expiry_ms(&properties, &settings);
            let key = self.next_key(queue, rank)?;
            tables::insert(self.file, key, expires_at_ms, written.as_deref(), &body)?;
            self.add(queue, 1, tables::bytes(written.as_deref(), &body).cast_signed());
        }
        Ok(Ok(()))
    }

    /// What has expired leaves before anything is refused.
    fn has_room(&mut self, more: u64) -> Result<bool, Fault> {
        let bytes_max = self.settings.bytes_max;
        if self.held_bytes()?.saturating_add(more) <= bytes_max {
            return Ok(true);
        }
        self.expire()?;
        Ok(self.held_bytes()?.saturating_add(more) <= bytes_max)
    }

    fn held_bytes(&self) -> Result<u64, Fault> {
        let added: i64 = self.added.values().map(|(_, bytes)| bytes).sum();
        Ok(tables::held_bytes(self.file)?.saturating_add_signed(added))
    }

    /// When a message's time in a queue is over (RabbitMQ, "Time-to-Live": whichever is shorter).
    fn expiry_ms(&self, properties: &BasicProperties, settings: &QueueSettings) -> Option<u64> {
        let own_ms = properties.expiration.as_ref().and_then(|text| text.parse().ok());
        let queue_ms =
            settings.message_ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        let shorter_ms = own_ms.into_iter().chain(queue_ms).min()?;
        Some(self.now_ms.saturating_add(shorter_ms))
    }

    fn next_key(&mut self, queue: i64, rank: u8) -> Result<Key, Fault> {
        let next = match self.next_keys.entry((queue, rank)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(tables::next_key(self.file, queue, rank)?),
        };
        let key = *next;
        *next = key.next();
        Ok(key)
    }

    pub(super) fn write_next_keys(&mut self) -> Result<(), Fault> {
        for ((queue, rank), next) in mem::take(&mut self.next_keys) {
            tables::set_next_key(self.file, queue, rank, next)?;
        }
        Ok(())
    }

    fn add(&mut self, queue: i64, messages: i64, bytes: i64) {
        let (all_messages, all_bytes) = self.added.entry(queue).or_default();
        *all_messages += messages;
        *all_bytes += bytes;
    }

    /// The queue of a name, which is read on from its beginning if it was not used yet.
    pub(super) fn queue(&mut self, name: &str) -> Result<&mut Queue, Fault> {
        if !self.memory.queues.contains_key(name) {
            let id = tables::queue_id(self.file, name)?;
            if id > tables::QUEUES_MAX {
                return Err(Fault::TooManyQueues);
            }
            let queue = Queue { id, ..Queue::default() };
            self.memory.queues.insert(name.to_owned(), queue);
        }
        self.memory.queues.get_mut(name).ok_or(Fault::TooManyQueues)
    }

    fn settle(&mut self, consumer: u64, verdict: Verdict, tags: &[u64]) -> Result<(), Fault> {
        // One that was lost meanwhile: the messages come again.
        let Some(consumer) = self.memory.consumers.get_mut(&consumer) else { return Ok(()) };
        let (name, target) = (consumer.queue.clone(), consumer.dead_letter_queue.clone());
        let places = tags.iter().filter_map(|tag| consumer.unsettled.remove(tag));
        let places: Vec<Place> = places.collect();
        match verdict {
            Verdict::Ack => {
                let queue = self.queue(&name)?.id;
                self.remove(queue, places)
            }
            Verdict::Requeue => {
                let queue = self.queue(&name)?;
                queue.returned.extend(places.iter().map(|place| (place.key, place.times)));
                Ok(())
            }
            Verdict::Expire => self.bury(&name, places, Death::Expired, target),
            Verdict::Reject => self.bury(&name, places, Death::Rejected, target),
        }
    }

    fn remove(&mut self, queue: i64, mut places: Vec<Place>) -> Result<(), Fault> {
        places.sort_unstable_by_key(|place| place.key);
        for run in places.chunk_by(|one, next| one.key.next() == next.key) {
            if let (Some(first), Some(last)) = (run.first(), run.last())
                && tables::remove(self.file, first.key, last.key)? != run.len()
            {
                self.drifted.insert(queue);
            }
        }
        for place in places.iter().filter(|place| place.is_counted) {
            tables::forget_times(self.file, place.key)?;
        }
        let bytes: u64 = places.iter().map(|place| place.bytes).sum();
        self.add(queue, -places.len().cast_signed() as i64, -bytes.cast_signed());
        self.has_removed = true;
        Ok(())
    }

    /// Has messages go to the dead-letter queue of their queue, or to the one that it had, or away.
    fn bury(
        &mut self,
        name: &str,
        places: Vec<Place>,
        death: Death,
        had: Option<String>,
    ) -> Result<(), Fault> {
        let settings = self.settings;
        let queue = self.queue(name)?;
        let Some(of_queue) = settings.queues.get(name) else {
            // Nobody says where its dead letters go, so it keeps them.
            queue.returned.extend(places.iter().map(|place| (place.key, place.times)));
            return Ok(());
        };
        let queue = queue.id;
        let Some(target) = of_queue.dead_letter_queue.as_ref().or(had.as_ref()) else {
            return self.remove(queue, places);
        };
        let plain = QueueSettings::default();
        let target_settings = settings.queues.get(target).unwrap_or(&plain);
        let target_queue = self.queue(target)?.id;
        for place in places {
            let Some(stored) = tables::get(self.file, place.key)? else {
                self.drifted.insert(queue);
                continue;
            };
            // What cannot be read goes as it is.
            let read = read_properties(stored.properties.as_deref()).and_then(|mut properties| {
                died(&mut properties, name, death, self.now_ms / 1_000);
                Ok((write_properties(&properties)?, properties))
            });
            let (written, properties) =
                read.unwrap_or((stored.properties.clone(), BasicProperties::default()));
            let rank = rank(&properties, target_settings);
            let key = self.next_key(target_queue, rank)?;
            let expires_at_ms = self.expiry_ms(&properties, target_settings);
            tables::r#move(self.file, place.key, key, expires_at_ms, written.as_deref())?;
            tables::forget_times(self.file, place.key)?;
            self.add(queue, -1, -stored.bytes().cast_signed());
            let bytes = tables::bytes(written.as_deref(), &stored.body);
            self.add(target_queue, 1, bytes.cast_signed());
        }
        self.has_removed = true;
        Ok(())
    }

    /// Has messages expire that nobody holds, on queues of the settings.
    pub(super) fn expire(&mut self) -> Result<(), Fault> {
        if !self.settings.consumes {
            return Ok(());
        }
        let file = self.file;
        if tables::next_expiry(file, 0)?.is_none_or(|first_ms| first_ms >= self.now_ms) {
            return Ok(());
        }
        let (held, names) = (OnceCell::new(), tables::queue_names(file)?);
        let mut expired: BTreeMap<i64, Vec<Key>> = BTreeMap::new();
        let mut count = 0;
        tables::expired(file, self.now_ms, |key| {
            let has_settings =
                names.get(&key.queue()).is_some_and(|name| self.settings.queues.contains_key(name));
            if has_settings && !held.get_or_init(|| self.memory.held()).contains(&key) {
                expired.entry(key.queue()).or_default().push(key);
                count += 1;
            }
            count < EXPIRE_MESSAGES
        })?;
        self.more |= count == EXPIRE_MESSAGES;
        for (queue, keys) in expired {
            let Some(name) = names.get(&queue) else { continue };
            let mut places = Vec::with_capacity(keys.len());
            for key in keys {
                let Some(stored) = tables::get(file, key)? else { continue };
                self.queue(name)?.returned.remove(&key);
                let is_counted = stored.times.is_some();
                places.push(Place { key, times: 0, is_counted, bytes: stored.bytes() });
            }
            self.bury(name, places, Death::Expired, None)?;
        }
        Ok(())
    }

    /// What it was handed goes back. What was not tried is as if it had stayed.
    fn unsubscribe(&mut self, consumer: u64, tried: u64) -> Result<(), Fault> {
        let Some(consumer) = self.memory.consumers.remove(&consumer) else { return Ok(()) };
        let file = self.file;
        let returned = &mut self.queue(&consumer.queue)?.returned;
        for (tag, place) in consumer.unsettled {
            let mut times = place.times;
            if tag > tried {
                times = times.saturating_sub(1);
                tables::set_times(file, place.key, times)?;
            }
            returned.insert(place.key, times);
        }
        Ok(())
    }

    /// Writes down what has changed.
    pub(super) fn finish(self) -> Result<Finished, Fault> {
        for (queue, (messages, bytes)) in self.added {
            if (messages, bytes) != (0, 0) {
                tables::add(self.file, queue, messages, bytes)?;
            }
        }
        for queue in self.drifted {
            tables::recount(self.file, queue)?;
        }
        let more = match tables::next_expiry(self.file, self.now_ms)? {
            _ if self.more => More::Now,
            Some(expiry_ms) if self.settings.consumes => More::At(expiry_ms),
            Some(_) | None => More::Nothing,
        };
        Ok(Finished { more, has_removed: self.has_removed })
    }
}

/// A higher priority comes first, as far as the queue knows it (RabbitMQ, "Priority Queue Support").
fn rank(properties: &BasicProperties, settings: &QueueSettings) -> u8 {
    u8::MAX - properties.priority.unwrap_or(0).min(settings.priority_max)
}
