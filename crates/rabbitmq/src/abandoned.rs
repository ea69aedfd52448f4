//! Channels of publishers whose messages nobody waits for any more, and which may not all be written yet.
//!
//! While the broker blocks a connection, the client holds messages back. Dropping their channel then would
//! close it ahead of them, and the broker ends a whole connection for frames on a channel that is not open
//! (seen with RabbitMQ 3.10: 505 UNEXPECTED_FRAME): so such channels are kept until a message that was
//! published after theirs is confirmed, since the client writes messages in their order.
//!
//! What must never happen: what one publisher no longer waits for ends what another still does.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lapin::Channel;

/// Those of one connection, and of earlier ones until somebody looks.
#[derive(Debug, Default)]
pub(crate) struct Abandoned(Mutex<Vec<Channel>>);

impl Abandoned {
    /// Notes that messages are about to be published. Dropping what it returns abandons their channel.
    pub(crate) fn publishing(&self, channel: &Channel) -> Publishing<'_> {
        let earlier = mem::take(&mut *self.lock());
        Publishing { abandoned: self, earlier, own: Some(channel.clone()) }
    }

    /// Forgets them, once their connection has ended.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Channel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Messages under way on a channel.
#[derive(Debug)]
pub(crate) struct Publishing<'a> {
    abandoned: &'a Abandoned,
    /// The channels that were abandoned before.
    earlier: Vec<Channel>,
    own: Option<Channel>,
}

impl Publishing<'_> {
    /// All were waited for, and perhaps confirmed.
    pub(crate) fn end(mut self, confirmed: bool) {
        self.own = None;
        if confirmed {
            self.earlier.clear();
        }
    }
}

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        let left = mem::take(&mut self.earlier).into_iter().chain(self.own.take());
        self.abandoned.lock().extend(left.filter(|channel| channel.status().connected()));
    }
}
