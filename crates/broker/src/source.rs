//! The port to one consumer on one queue, and the contract it keeps.
//!
//! ```text
//! source   Disconnected → Connecting → Subscribed(epoch) → Ending → Closed
//!              ▲                           │      cancelled  │         │
//!              └──────────── lost ─────────┴─────────────────┴─────────┘
//! ```

use std::future::Future;

use gristmill_event::Message;

use crate::{Delivery, DeliveryToken, Epoch, Original, Settlement, SourceError, Unusable};

/// One consumer on one queue.
///
/// The contract, which the testkit's suite checks on every implementation:
///
/// - Between [`subscribe`](Source::subscribe) and the end of its epoch, at most *prefetch*
///   deliveries are unsettled at any time, and they come in queue order.
/// - A delivery not settled when its epoch ends comes again, in this subscription or another. It then
///   says that it is redelivered if the epoch was lost, or if it was [`tried`](Source::tried).
/// - A token of an ended epoch is never sent to the broker; settling it is [`Settled::stale`].
/// - After [`Received::Cancelled`], or [`cancel`](Source::cancel), no delivery comes any more, and
///   those in hand can still be settled until the epoch ends.
/// - Loss of the channel or the connection ends the epoch: [`receive`](Source::receive) says so
///   once every delivery read before it has been given out, or earlier.
pub trait Source: Send + 'static {
    /// Connects if need be and subscribes: a new epoch begins.
    ///
    /// Whatever was left of an earlier epoch is closed first.
    ///
    /// # Errors
    ///
    /// [`SourceError`], whose disposition says whether trying again can help by itself.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the source without a subscription; subscribe again.
    fn subscribe(&mut self) -> impl Future<Output = Result<Epoch, SourceError>> + Send;

    /// The next thing the broker has to say. Waits for ever on an empty queue.
    ///
    /// # Errors
    ///
    /// [`SourceError`]: the epoch has ended, and every delivery of it is the broker's again, at the latest
    /// when the source is closed.
    ///
    /// # Cancel safety
    ///
    /// Safe: a dropped future has taken no delivery.
    fn receive(&mut self) -> impl Future<Output = Result<Received, SourceError>> + Send;

    /// Tells the broker one verdict on some deliveries, all of one epoch, in as few frames as
    /// correctness allows.
    ///
    /// Never fails: a delivery whose verdict was not or may not have been sent is stale, and comes
    /// again. That is what makes delivery at-least-once.
    ///
    /// # Cancel safety
    ///
    /// Not safe: after a dropped future it is unknown what was sent; end the epoch.
    fn settle(
        &mut self,
        settlement: Settlement<'_>,
        tokens: &[DeliveryToken],
    ) -> impl Future<Output = Settled> + Send;

    /// Notes that a delivery, and with it all before it, has been handed to a function. Where the
    /// consumer is whom the broker asks how far it has come, the broker hears of it when the epoch
    /// ends, and does not count what merely waited here as handed out.
    fn tried(&mut self, _up_to: DeliveryToken) {}

    /// The message of an unsettled delivery as the broker's own protocol writes it, to be kept or
    /// published somewhere else. `message` is what the delivery showed, if it did show one.
    ///
    /// `None` if the token is stale, or if the source was not told to keep what came
    /// (a setting of its own, where that costs something).
    fn original(&self, token: DeliveryToken, message: Option<&Message>) -> Option<Original>;

    /// Asks the broker for no further deliveries; those in hand can still be settled.
    fn cancel(&mut self) -> impl Future<Output = ()> + Send;

    /// Ends the epoch: whatever is unsettled goes back to the queue.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

/// What a broker has to say to a consumer.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation for every message")]
pub enum Received {
    /// A message.
    Delivery(Delivery),
    /// A message that no event can show.
    Unusable(Unusable),
    /// The broker has cancelled the consumer, because the queue was deleted or has moved. Settle
    /// what is in hand, close, and subscribe again.
    Cancelled,
}

/// What became of the tokens given to one [`Source::settle`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// Handed to the broker's connection.
    pub sent: usize,
    /// Of an ended epoch, or not surely sent: the messages come again.
    pub stale: usize,
}
