//! A source that still hands over messages while the mapping finishes, as one whose cancelling is under way.

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

use crate::keeping::limited;
use crate::place::{Answer, Place};
use crate::support::{Line, QUEUE, Scripted, concurrency, publish, texts};

/// Is cancelled when it is closed.
struct Late(FakeSource);

impl Source for Late {
    async fn subscribe(&mut self) -> Result<Epoch, SourceError> {
        self.0.subscribe().await
    }

    async fn receive(&mut self) -> Result<Received, SourceError> {
        self.0.receive().await
    }

    async fn settle(&mut self, settlement: Settlement<'_>, tokens: &[DeliveryToken]) -> Settled {
        self.0.settle(settlement, tokens).await
    }

    fn original(&self, token: DeliveryToken, message: Option<&Message>) -> Option<Original> {
        self.0.original(token, message)
    }

    async fn cancel(&mut self) {}

    async fn close(&mut self) {
        self.0.close().await;
    }
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
    let line = Line::start_from(broker, Late, function, adjust);
    line.called(2).await;
    // It returns to the queue, and comes when "a" is done.
    other.close().await;
    let hold = Arc::clone(&line.hold);
    let (broker, _) = line.stop().await;
    assert_eq!(texts(broker.acked(QUEUE)), ["a", "b"]);
    assert_eq!(texts(broker.ready(QUEUE)), ["last"]);
    assert!(hold.sentence().unwrap().contains("back 1 times"));
}
