//! A source that does not know an original any more: the record is the broker's again.

use gristmill_broker::fake::{FakeBroker, FakeSource};
use gristmill_broker::{
    DeliveryToken, Epoch, Original, Received, Settled, Settlement, Source, SourceError,
};
use gristmill_event::Message;

use crate::keeping::{fails_on, singly};
use crate::place::{Answer, Place};
use crate::support::{Line, QUEUE, publish};

/// Has no original in its first epoch.
struct Forgetful(FakeSource);

impl Source for Forgetful {
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
        if token.epoch == Epoch(1) { None } else { self.0.original(token, message) }
    }

    async fn cancel(&mut self) {
        self.0.cancel().await;
    }

    async fn close(&mut self) {
        self.0.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_without_its_original_ends_the_epoch_and_comes_again() {
    let place = Place::new(Answer::Keeps);
    let broker = FakeBroker::default();
    publish(&broker, &["bad", "a"]);
    let line = Line::start_from(broker, Forgetful, fails_on("bad"), singly(&place));
    let trouble = "the client no longer has a message that was given up";
    line.status(|status| status.last_processing_result().contains(trouble)).await;
    assert_eq!(line.broker.unsettled(QUEUE), 0);
    assert_eq!(line.acked(2).await, ["bad", "a"]);
    assert_eq!(place.bodies(), ["bad"]);
    line.stop().await;
}
