//! Any sequence of what can be done to a queue, beside a model of it that fits on a page.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::path::Path;

use gristmill_broker::{Delivery, Received, Settlement, Source, SourceError};
use gristmill_event::BasicProperties;
use gristmill_store::embedded::{EmbeddedBroker, EmbeddedSource, QueueCounts, QueueSettings};
use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};

use super::{DEAD, QUEUE, body, ready, settle, take, with, with_properties};

const PRIORITY_MAX: u8 = 2;

#[derive(Debug, Clone)]
enum Step {
    Publish(Vec<u8>),
    Subscribe(u16),
    /// Takes so many of those that are there.
    Take(usize),
    /// The first so many of those in hand have been given to a function.
    Try(usize),
    /// Those in hand at these places.
    Settle(Verdict, Vec<prop::sample::Index>),
    Close,
    /// The subscription is lost, as when the process is killed.
    Lose,
    /// Another process has the file from now on.
    Reopen,
}

#[derive(Debug, Clone, Copy)]
enum Verdict {
    Ack,
    Requeue,
    Reject,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let verdict = prop_oneof![
        4 => Just(Verdict::Ack),
        1 => Just(Verdict::Requeue),
        1 => Just(Verdict::Reject),
    ];
    let step = prop_oneof![
        4 => prop::collection::vec(0..=PRIORITY_MAX + 1, 1..6).prop_map(Step::Publish),
        2 => (1_u16..6).prop_map(Step::Subscribe),
        4 => (1_usize..6).prop_map(Step::Take),
        2 => (1_usize..4).prop_map(Step::Try),
        4 => (verdict, prop::collection::vec(any::<prop::sample::Index>(), 1..4))
            .prop_map(|(verdict, places)| Step::Settle(verdict, places)),
        1 => Just(Step::Close),
        1 => Just(Step::Lose),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

/// A message's place: what comes first is smaller.
type Place = (u8, usize);

#[derive(Debug, Default)]
struct Model {
    published: usize,
    /// How often each was handed out.
    ready: BTreeMap<Place, u32>,
    prefetch: Option<usize>,
    /// Handed out and not received yet.
    inbox: VecDeque<(Place, u32)>,
    /// Received and not settled, in the order of their delivery, and whether it was tried.
    in_hand: Vec<(Place, u32, bool)>,
    dead: Vec<usize>,
}

impl Model {
    fn hand_out(&mut self) {
        let Some(prefetch) = self.prefetch else { return };
        while self.inbox.len() + self.in_hand.len() < prefetch {
            let Some((place, times)) = self.ready.pop_first() else { return };
            self.inbox.push_back((place, times + 1));
        }
    }

    /// Everything goes back; what was not tried as if it had stayed, unless the subscription was lost.
    fn end(&mut self, lost: bool) {
        self.prefetch = None;
        let inbox =
            mem::take(&mut self.inbox).into_iter().map(|(place, times)| (place, times, false));
        for (place, times, tried) in mem::take(&mut self.in_hand).into_iter().chain(inbox) {
            self.ready.insert(place, if lost || tried { times } else { times - 1 });
        }
    }

    fn counts(&self) -> QueueCounts {
        let unsettled = self.inbox.len() + self.in_hand.len();
        QueueCounts { ready: self.ready.len() as u64, unsettled: unsettled as u64 }
    }
}

/// The queue itself.
struct Real {
    broker: EmbeddedBroker,
    source: EmbeddedSource,
    in_hand: Vec<Delivery>,
}

impl Real {
    fn open(folder: &Path) -> Self {
        let orders = QueueSettings {
            dead_letter_queue: Some(DEAD.to_owned()),
            priority_max: PRIORITY_MAX,
            ..QueueSettings::default()
        };
        let broker = EmbeddedBroker::new(with(folder, orders)).unwrap();
        let source = broker.source(QUEUE, 1);
        Self { broker, source, in_hand: Vec::new() }
    }
}

async fn step(real: &mut Real, model: &mut Model, step: Step, folder: &Path) {
    match step {
        Step::Publish(priorities) => {
            let mut messages = Vec::new();
            for priority in priorities {
                let id = model.published;
                model.published += 1;
                model.ready.insert((PRIORITY_MAX - priority.min(PRIORITY_MAX), id), 0);
                let priority = Some(priority);
                let properties = BasicProperties { priority, ..BasicProperties::default() };
                messages.push(with_properties(&id.to_string(), properties));
            }
            real.broker.publish(QUEUE, messages).await.unwrap();
        }
        Step::Subscribe(prefetch) => {
            real.source.close().await;
            model.end(false);
            real.in_hand.clear();
            real.source = real.broker.source(QUEUE, prefetch);
            real.source.subscribe().await.unwrap();
            model.prefetch = Some(prefetch.into());
        }
        Step::Take(count) => {
            let count = count.min(model.inbox.len());
            let taken = take(&mut real.source, count).await;
            for (delivery, (place, times)) in taken.iter().zip(model.inbox.drain(..count)) {
                assert_eq!(body(delivery), place.1.to_string());
                let seen = (delivery.message.redelivered(), delivery.returns.all);
                assert_eq!(seen, (times > 1, times - 1), "{place:?}");
                model.in_hand.push((place, times, false));
            }
            real.in_hand.extend(taken);
        }
        Step::Try(count) => {
            let count = count.min(real.in_hand.len());
            if let Some(last) = real.in_hand[..count].last() {
                // All that were handed out before it were as well.
                real.source.tried(last.token);
                model.in_hand[..count].iter_mut().for_each(|(.., tried)| *tried = true);
            }
        }
        Step::Settle(verdict, places) => {
            for place in places {
                if real.in_hand.is_empty() {
                    break;
                }
                let index = place.index(real.in_hand.len());
                let delivery = real.in_hand.remove(index);
                let (place, times, _) = model.in_hand.remove(index);
                match verdict {
                    Verdict::Ack => settle(&mut real.source, Settlement::Ack, &[delivery]).await,
                    Verdict::Requeue => {
                        model.ready.insert(place, times);
                        settle(&mut real.source, Settlement::Requeue, &[delivery]).await;
                    }
                    Verdict::Reject => {
                        model.dead.push(place.1);
                        settle(&mut real.source, Settlement::Reject("no"), &[delivery]).await;
                    }
                }
                // One turn each, as the model has it.
                real.broker.counts(QUEUE).await.unwrap();
                model.hand_out();
            }
        }
        Step::Close => {
            real.source.close().await;
            model.end(false);
            real.in_hand.clear();
        }
        Step::Lose => {
            real.broker.close().await;
            assert!(matches!(lost(&mut real.source).await, SourceError::Lost { .. }));
            model.end(true);
            real.in_hand.clear();
        }
        Step::Reopen => {
            real.broker.close().await;
            model.end(true);
            *real = Real::open(folder);
        }
    }
    model.hand_out();
    assert_eq!(real.broker.counts(QUEUE).await.unwrap(), model.counts());
}

async fn lost(source: &mut EmbeddedSource) -> SourceError {
    loop {
        match source.receive().await {
            Ok(Received::Delivery(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => return error,
        }
    }
}

async fn run(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let (mut real, mut model) = (Real::open(folder.path()), Model::default());
    for next in steps {
        step(&mut real, &mut model, next, folder.path()).await;
    }
    real.source.close().await;
    model.end(false);
    let left: Vec<String> = model.ready.keys().map(|(_, id)| id.to_string()).collect();
    assert_eq!(ready(&real.broker, QUEUE).await, left);
    let dead: Vec<String> = model.dead.iter().map(ToString::to_string).collect();
    assert_eq!(ready(&real.broker, DEAD).await, dead);
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_queue_does_what_its_model_does(steps in steps()) {
        runtime().block_on(run(steps));
    }
}
