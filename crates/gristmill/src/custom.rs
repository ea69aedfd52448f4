//! Brokers that the host does not know: sources of the embedder's own.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::Arc;

use gristmill_broker::Source;
use gristmill_mapping::Finished;
use tokio_util::sync::CancellationToken;

use crate::held::HoldFile;
use crate::life::Life;

/// A broker of the embedder's own: whatever a [`Source`] reads.
///
/// Its messages are [`Message::RabbitMq`](gristmill_event::Message::RabbitMq), and its events have
/// RabbitMQ's shape, with the virtual host `/`. What it has to keep to is the contract at [`Source`]; the
/// example `own_source` shows one. Two are equal if one is a clone of the other.
#[derive(Clone)]
pub struct CustomBroker(Arc<dyn Runs>);

/// The work of one mapping.
pub(crate) type Working<'a> = Pin<Box<dyn Future<Output = Option<Finished>> + Send + 'a>>;

trait Runs: Send + Sync {
    fn work<'a>(
        &'a self,
        life: &'a Life,
        hold: Arc<HoldFile>,
        stop: CancellationToken,
    ) -> Working<'a>;
}

impl CustomBroker {
    /// A broker. `source` makes the source of one mapping: from the name of its queue, and the most
    /// deliveries that may be unsettled. It may be called again, when a mapping begins anew.
    pub fn new<S: Source>(source: impl Fn(&str, NonZeroU16) -> S + Send + Sync + 'static) -> Self {
        Self(Arc::new(Sources(source)))
    }

    pub(crate) fn work<'a>(
        &'a self,
        life: &'a Life,
        hold: Arc<HoldFile>,
        stop: CancellationToken,
    ) -> Working<'a> {
        self.0.work(life, hold, stop)
    }
}

struct Sources<F>(F);

impl<S: Source, F: Fn(&str, NonZeroU16) -> S + Send + Sync> Runs for Sources<F> {
    fn work<'a>(
        &'a self,
        life: &'a Life,
        hold: Arc<HoldFile>,
        stop: CancellationToken,
    ) -> Working<'a> {
        let mapping = &life.plan.mapping;
        let source = (self.0)(&mapping.queue, mapping.prefetch);
        Box::pin(life.work_on(source, hold, stop))
    }
}

impl PartialEq for CustomBroker {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CustomBroker {}

impl fmt::Debug for CustomBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomBroker").finish_non_exhaustive()
    }
}
