//! The contract of a [`Source`], as tests: one suite that every implementation passes.
//!
//! [`contract_suite!`](crate::contract_suite) makes a test of each rule, for anything that can make
//! a [`Harness`]. A fake that does not pass it is no stand-in for the real thing.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "these are tests: a rule that does not hold panics"
)]

use std::time::Duration;

use futures_util::FutureExt;
use gristmill_broker::{
    Delivery, DeliveryToken, Received, Settled, Settlement, Source, SourceError,
};
use tokio::time::timeout;

/// Everything here is over in a moment; a broker on a busy machine may take longer.
const LONG: Duration = Duration::from_secs(60);

/// A broker with one queue, made for one test.
pub trait Harness {
    /// The implementation under test.
    type Source: Source;

    /// A source on the queue, not yet subscribed.
    fn source(&self, prefetch: u16) -> Self::Source;

    /// Puts messages on the queue, by another way than the source's.
    fn publish(&self, bodies: &[&str]) -> impl Future<Output = ()>;

    /// Waits until so many messages are ready on the queue and so many unsettled.
    fn wait_for(&self, ready: usize, unsettled: usize) -> impl Future<Output = ()>;

    /// Waits until so many messages are dead letters, and says which.
    fn dead_letters(&self, count: usize) -> impl Future<Output = Vec<String>>;

    /// Drops the connections of every source.
    fn cut_connections(&self) -> impl Future<Output = ()>;

    /// Makes the broker cancel the queue's consumers.
    fn cancel_consumers(&self) -> impl Future<Output = ()>;
}

/// Makes one test of each rule of the contract. `$harness` is an expression that makes a
/// [`Harness`] and may await.
#[macro_export]
macro_rules! contract_suite {
    ($harness:expr) => {
        $crate::contract_suite!(@tests $harness;
            deliveries_come_in_queue_order_and_an_ack_removes_them
            no_more_than_the_prefetch_is_unsettled
            a_loss_ends_the_epoch_and_the_unsettled_comes_again
            a_token_of_an_ended_epoch_settles_nothing
            a_requeued_delivery_comes_again_before_later_ones
            a_rejected_delivery_becomes_a_dead_letter
            deliveries_settle_in_any_order
            after_a_cancel_nothing_comes_and_what_is_in_hand_settles
            a_consumer_cancelled_by_the_broker_is_told_and_what_is_in_hand_settles
            a_close_gives_back_what_is_unsettled
            a_dropped_receive_takes_nothing
        );
    };
    (@tests $harness:expr; $($rule:ident)*) => {
        $(
            #[tokio::test]
            async fn $rule() {
                $crate::contract::$rule(&$harness).await;
            }
        )*
    };
}

/// See its name.
pub async fn deliveries_come_in_queue_order_and_an_ack_removes_them(harness: &impl Harness) {
    let mut source = subscribed(harness, 10).await;
    harness.publish(&["a", "b", "c"]).await;
    let taken = take(&mut source, 3).await;
    assert_eq!(bodies(&taken), ["a", "b", "c"]);
    assert!(taken.iter().all(|delivery| !delivery.message.redelivered()));
    assert_eq!(settle(&mut source, Settlement::Ack, &taken).await, sent(3));
    harness.wait_for(0, 0).await;
}

/// See its name.
pub async fn no_more_than_the_prefetch_is_unsettled(harness: &impl Harness) {
    harness.publish(&["a", "b", "c", "d", "e"]).await;
    let mut source = subscribed(harness, 2).await;
    let taken = take(&mut source, 2).await;
    harness.wait_for(3, 2).await;
    assert!(source.receive().now_or_never().is_none());
    assert_eq!(settle(&mut source, Settlement::Ack, &taken[..1]).await, sent(1));
    assert_eq!(bodies(&take(&mut source, 1).await), ["c"]);
    harness.wait_for(2, 2).await;
}

/// See its name.
pub async fn a_loss_ends_the_epoch_and_the_unsettled_comes_again(harness: &impl Harness) {
    harness.publish(&["a", "b"]).await;
    let mut source = subscribed(harness, 10).await;
    let first = take(&mut source, 2).await;
    harness.cut_connections().await;
    lost(&mut source).await;
    let epoch = timeout(LONG, source.subscribe()).await.expect("in time").expect("subscribed");
    assert!(epoch > first[0].token.epoch);
    let again = take(&mut source, 2).await;
    assert_eq!(bodies(&again), ["a", "b"]);
    assert!(again.iter().all(|delivery| delivery.message.redelivered()));
    assert!(again.iter().all(|delivery| delivery.token.epoch == epoch));
}

/// See its name.
pub async fn a_token_of_an_ended_epoch_settles_nothing(harness: &impl Harness) {
    harness.publish(&["a", "b"]).await;
    let mut source = subscribed(harness, 10).await;
    let old = take(&mut source, 2).await;
    harness.cut_connections().await;
    lost(&mut source).await;
    // Without a subscription, and under a new one in which the same tags mean other deliveries.
    assert_eq!(settle(&mut source, Settlement::Ack, &old).await, stale(2));
    timeout(LONG, source.subscribe()).await.expect("in time").expect("subscribed");
    let new = take(&mut source, 2).await;
    assert_eq!(settle(&mut source, Settlement::Ack, &old).await, stale(2));
    harness.wait_for(0, 2).await;
    assert_eq!(settle(&mut source, Settlement::Ack, &new).await, sent(2));
    harness.wait_for(0, 0).await;
}

/// See its name.
pub async fn a_requeued_delivery_comes_again_before_later_ones(harness: &impl Harness) {
    harness.publish(&["a", "b", "c"]).await;
    let mut source = subscribed(harness, 2).await;
    let taken = take(&mut source, 2).await;
    assert_eq!(settle(&mut source, Settlement::Requeue, &taken).await, sent(2));
    timeout(LONG, source.subscribe()).await.expect("in time").expect("subscribed");
    let again = take(&mut source, 2).await;
    assert_eq!(bodies(&again), ["a", "b"]);
    assert!(again.iter().all(|delivery| delivery.message.redelivered()));
}

/// See its name.
pub async fn a_rejected_delivery_becomes_a_dead_letter(harness: &impl Harness) {
    harness.publish(&["a", "b"]).await;
    let mut source = subscribed(harness, 10).await;
    let taken = take(&mut source, 2).await;
    assert_eq!(settle(&mut source, Settlement::Reject("on purpose"), &taken[..1]).await, sent(1));
    assert_eq!(harness.dead_letters(1).await, ["a"]);
    harness.wait_for(0, 1).await;
}

/// See its name.
pub async fn deliveries_settle_in_any_order(harness: &impl Harness) {
    harness.publish(&["a", "b", "c", "d", "e"]).await;
    let mut source = subscribed(harness, 10).await;
    let taken = take(&mut source, 5).await;
    assert_eq!(settle(&mut source, Settlement::Ack, &taken[3..4]).await, sent(1));
    harness.wait_for(0, 4).await;
    assert_eq!(settle(&mut source, Settlement::Reject("on purpose"), &taken[1..2]).await, sent(1));
    assert_eq!(settle(&mut source, Settlement::Ack, &taken[..1]).await, sent(1));
    harness.wait_for(0, 2).await;
    assert_eq!(harness.dead_letters(1).await, ["b"]);
    source.close().await;
    harness.wait_for(2, 0).await;
}

/// See its name.
pub async fn after_a_cancel_nothing_comes_and_what_is_in_hand_settles(harness: &impl Harness) {
    harness.publish(&["a", "b", "c"]).await;
    let mut source = subscribed(harness, 1).await;
    let taken = take(&mut source, 1).await;
    source.cancel().await;
    assert_eq!(settle(&mut source, Settlement::Ack, &taken).await, sent(1));
    harness.wait_for(2, 0).await;
    assert!(source.receive().now_or_never().is_none());
}

/// See its name.
pub async fn a_consumer_cancelled_by_the_broker_is_told_and_what_is_in_hand_settles(
    harness: &impl Harness,
) {
    harness.publish(&["a"]).await;
    let mut source = subscribed(harness, 10).await;
    let taken = take(&mut source, 1).await;
    harness.cancel_consumers().await;
    let received = timeout(LONG, source.receive()).await.expect("in time");
    assert!(matches!(received, Ok(Received::Cancelled)), "{received:?}");
    assert_eq!(settle(&mut source, Settlement::Ack, &taken).await, sent(1));
}

/// See its name.
pub async fn a_close_gives_back_what_is_unsettled(harness: &impl Harness) {
    harness.publish(&["a", "b"]).await;
    let mut source = subscribed(harness, 10).await;
    let taken = take(&mut source, 2).await;
    assert_eq!(settle(&mut source, Settlement::Ack, &taken[..1]).await, sent(1));
    source.close().await;
    harness.wait_for(1, 0).await;
    assert_eq!(settle(&mut source, Settlement::Ack, &taken[1..]).await, stale(1));
    harness.wait_for(1, 0).await;
}

/// See its name.
pub async fn a_dropped_receive_takes_nothing(harness: &impl Harness) {
    let mut source = subscribed(harness, 100).await;
    let published: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    let mut taken = Vec::new();
    for body in &published {
        harness.publish(&[body.as_str()]).await;
        // Polled once and dropped, whether or not something was there.
        if let Some(received) = source.receive().now_or_never() {
            taken.push(delivery(received));
        }
    }
    taken.extend(take(&mut source, published.len() - taken.len()).await);
    assert_eq!(bodies(&taken), published);
}

async fn subscribed<H: Harness>(harness: &H, prefetch: u16) -> H::Source {
    let mut source = harness.source(prefetch);
    timeout(LONG, source.subscribe()).await.expect("subscribed in time").expect("subscribed");
    source
}

async fn take(source: &mut impl Source, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let received = timeout(LONG, source.receive()).await;
        taken.push(delivery(received.expect("a delivery in time")));
    }
    taken
}

/// Receives until the source says that its epoch has ended.
async fn lost(source: &mut impl Source) {
    while timeout(LONG, source.receive()).await.expect("a loss in time").is_ok() {}
}

async fn settle(
    source: &mut impl Source,
    settlement: Settlement<'_>,
    deliveries: &[Delivery],
) -> Settled {
    let tokens: Vec<DeliveryToken> = deliveries.iter().map(|delivery| delivery.token).collect();
    timeout(LONG, source.settle(settlement, &tokens)).await.expect("settled in time")
}

fn delivery(received: Result<Received, SourceError>) -> Delivery {
    match received {
        Ok(Received::Delivery(delivery)) => delivery,
        other => panic!("expected a delivery, received {other:?}"),
    }
}

fn bodies(deliveries: &[Delivery]) -> Vec<&str> {
    let texts = deliveries.iter().map(|delivery| str::from_utf8(delivery.message.body()));
    texts.collect::<Result<_, _>>().expect("bodies are text")
}

fn sent(sent: usize) -> Settled {
    Settled { sent, stale: 0 }
}

fn stale(stale: usize) -> Settled {
    Settled { sent: 0, stale }
}
