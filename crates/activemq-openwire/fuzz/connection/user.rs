//! What the user asks for in the game, and what may come of it.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use activemq_openwire::Outgoing;
use activemq_openwire::connection::{CommandError, ConsumerOptions, PullTimeout, Settlement, Tag};
use activemq_openwire::structures::Destination;

use super::{Consumer, Game, Program};

impl Game {
    pub(super) fn consumer(&self, program: &mut Program<'_>) -> Option<usize> {
        program.pick(&(0..self.consumers.len()).collect::<Vec<_>>())
    }

    /// What a command may come to depends on whether there is still what it is for.
    fn judge<T>(&self, is_there: bool, result: &Result<T, CommandError>) {
        match result {
            Err(CommandError::NotOpen) => assert!(!self.is_open),
            Err(CommandError::Unknown) => assert!(self.is_open && !is_there),
            Ok(_) | Err(_) => assert!(self.is_open && is_there),
        }
    }

    pub(super) fn opens_session(&mut self) {
        let opened = self.connection.open_session();
        self.judge(true, &opened);
        self.sessions.extend(opened.map(|(session, _)| session));
    }

    pub(super) fn opens_consumer(&mut self, session: usize, prefetch: u16) {
        let Some(session) = session.checked_rem(self.sessions.len()) else { return };
        let options = ConsumerOptions::new(Destination::queue("fuzz"), prefetch);
        let opened = self.connection.open_consumer(self.sessions[session], &options);
        self.judge(true, &opened);
        let Ok((key, request)) = opened else { return };
        self.requests.insert(request, (key, false));
        self.consumers.push(Consumer {
            key,
            unsettled: BTreeSet::new(),
            delivered: Vec::new(),
            prefetch_max: prefetch.into(),
            pulls: 0,
            is_pulling: false,
            is_closing: false,
            is_gone: false,
        });
    }

    pub(super) fn opens_producer(&mut self, program: &mut Program<'_>) {
        let Some(session) = program.pick(&self.sessions) else { return };
        let opened = self.connection.open_producer(session);
        self.judge(true, &opened);
        self.producers.extend(opened.map(|(producer, _)| producer));
    }

    pub(super) fn settles(&mut self, program: &mut Program<'_>) {
        let Some(place) = self.consumer(program) else { return };
        let (how, tag) = (program.byte() % 6, Tag(program.byte().into()));
        let cause = (how == 3).then(|| "é".repeat(usize::from(program.byte()) << 8));
        let settlement = match how {
            0 => Settlement::Individual(tag),
            1 => Settlement::UpTo(tag),
            5 => Settlement::Range { first: Tag(program.byte().into()), last: tag },
            2 | 3 => Settlement::Poison { tag, cause },
            _ => Settlement::Expired(tag),
        };
        let consumer = &self.consumers[place];
        let settled = self.connection.settle(consumer.key, &settlement);
        self.judge(consumer.is_there(), &settled);
        let first = match settlement {
            Settlement::UpTo(_) => Tag(0),
            Settlement::Range { first, .. } => first,
            Settlement::Individual(tag)
            | Settlement::Poison { tag, .. }
            | Settlement::Expired(tag) => tag,
        };
        let is_concerned = |own: &&Tag| (first..=tag).contains(own);
        let concerned: BTreeSet<Tag> =
            consumer.unsettled.iter().filter(is_concerned).copied().collect();
        match settled {
            Ok(_) => {
                assert!(!concerned.is_empty());
                self.consumers[place].unsettled.retain(|tag| !concerned.contains(tag));
            }
            Err(CommandError::NotUnsettled) => assert!(concerned.is_empty()),
            Err(_) => {}
        }
    }

    pub(super) fn pulls(&mut self, program: &mut Program<'_>) {
        let Some(place) = self.consumer(program) else { return };
        let after = PullTimeout::After(Duration::MAX);
        let timeout = program.pick(&[PullTimeout::None, PullTimeout::Never, after]).unwrap();
        let consumer = &self.consumers[place];
        let pulled = self.connection.pull(consumer.key, timeout);
        self.judge(consumer.is_there(), &pulled);
        match pulled {
            Ok(_) => {
                assert!(!consumer.is_pulling);
                let consumer = &mut self.consumers[place];
                consumer.pulls += 1;
                consumer.is_pulling = true;
            }
            Err(CommandError::PullPending) => assert!(consumer.is_pulling),
            Err(_) => {}
        }
    }

    pub(super) fn sets_prefetch(&mut self, program: &mut Program<'_>) {
        let Some(place) = self.consumer(program) else { return };
        let prefetch = u16::from(program.byte());
        let set = self.connection.set_prefetch(self.consumers[place].key, prefetch);
        self.judge(self.consumers[place].is_there(), &set);
        if set.is_ok() {
            self.consumers[place].may_have(prefetch.into());
        }
    }

    pub(super) fn closes_consumer(&mut self, program: &mut Program<'_>) {
        let Some(place) = self.consumer(program) else { return };
        let key = self.consumers[place].key;
        let closed = self.connection.close_consumer(key);
        self.judge(self.consumers[place].is_there(), &closed);
        if let Ok(request) = closed {
            self.consumers[place].is_closing = true;
            self.requests.insert(request, (key, true));
        }
    }

    pub(super) fn closes_producer(&mut self, program: &mut Program<'_>) {
        let Some(producer) = program.pick(&self.producers) else { return };
        if self.connection.close_producer(producer).is_ok() {
            // Once is enough.
            assert_eq!(self.connection.close_producer(producer), Err(CommandError::Unknown));
        }
    }

    pub(super) fn sends(&mut self, program: &mut Program<'_>) {
        let Some(producer) = program.pick(&self.producers) else { return };
        let text = "x".repeat(usize::from(program.byte()));
        let message = Outgoing::text(&text, SystemTime::UNIX_EPOCH).into_message();
        drop(self.connection.send(producer, Destination::topic("fuzz"), message.unwrap()));
    }
}
