//! Sources that do what a client's library may do at a bad moment.

use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use gristmill_broker::fake::{FakeBroker, FakeSource};
use gristmill_broker::{
    DeliveryToken, Epoch, Original, Received, Settled, Settlement, Source, SourceError,
};
use gristmill_event::Message;
use gristmill_invocation::Outcome;
use gristmill_mapping::Settings;

use crate::keeping::{fails_on, limited, singly};
use crate::place::{Answer, Place};
use crate::support::{Line, QUEUE, Scripted, concurrency, publish, texts};

struct Flawed {
    source: FakeSource,
    flaw: Flaw,
}

#[derive(PartialEq)]
enum Flaw {
    /// It does not know an original any more, in its first epoch: the record is the broker's again.
    Forgets,
    /// It hands over messages while it is cancelled, until it is closed.
    IsLate,
}

impl Flawed {
    fn forgets(source: FakeSource) -> Self {
        Self { source, flaw: Flaw::Forgets }
    }

    fn late(source: FakeSource) -> Self {
        Self { source, flaw: Flaw::IsLate }
    }
}

impl Source for Flawed {
    async fn subscribe(&mut self) -> Result<Epoch, SourceError> {
        self.source.subscribe().await
    }

    async fn receive(&mut self) -> Result<Received, SourceError> {
        self.source.receive().await
    }

    async fn settle(&mut self, settlement: Settlement<'_>, tokens: &[DeliveryToken]) -> Settled {
        self.source.settle(settlement, tokens).await
    }

    fn original(&self, token: DeliveryToken, message: Option<&Message>) -> Option<Original> {
        let forgets = self.flaw == Flaw::Forgets && token.epoch == Epoch(1);
        if forgets { None } else { self.source.original(token, message) }
    }

    async fn cancel(&mut self) {
        if self.flaw != Flaw::IsLate {
            self.source.cancel().await;
        }
    }

    async fn close(&mut self) {
        self.source.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_without_its_original_ends_the_epoch_and_comes_again() {
    let place = Place::new(Answer::Keeps);
    let broker = FakeBroker::default();
    publish(&broker, &["bad", "a"]);
    let line = Line::start_from(broker, Flawed::forgets, fails_on("bad"), singly(&place));
    let trouble = "the client no longer has a message that was given up";
    line.status(|status| status.last_processing_result().contains(trouble)).await;
    assert_eq!(line.broker.unsettled(QUEUE), 0);
    assert_eq!(line.acked(2).await, ["bad", "a"]);
    assert_eq!(place.bodies(), ["bad"]);
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_last_chance_that_comes_while_the_mapping_finishes_is_watched_over() {
    let place = Place::new(Answer::Keeps);
    let broker = FakeBroker::default();
    publish(&broker, &["last"]);
    let mut other = broker.source(QUEUE, 1);
    other.subscribe().await.unwrap();
    other.receive().await.unwrap();
    publish(&broker, &["a", "b"]);
    let function = Scripted::new(|_, bodies| {
        let seconds = if bodies[0] == "a" { 5 } else { 10 };
        (Duration::from_secs(seconds), Outcome::Succeeded(None))
    });
    let adjust = |settings: &mut Settings| {
        limited(2, &place)(settings);
        concurrency(2)(settings);
        settings.batch.records_max = NonZeroUsize::MIN;
        settings.prefetch = NonZeroU16::new(2).unwrap();
    };
    let line = Line::start_from(broker, Flawed::late, function, adjust);
    line.called(2).await;
    // It returns to the queue, and comes when "a" is done.
    other.close().await;
    let hold = Arc::clone(&line.hold);
    let (broker, _) = line.stop().await;
    assert_eq!(texts(broker.acked(QUEUE)), ["a", "b"]);
    assert_eq!(texts(broker.ready(QUEUE)), ["last"]);
    assert!(hold.sentence().unwrap().contains("back 1 times"));
}
