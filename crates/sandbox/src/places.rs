//! The places of an engine's pool: who may make an instance, and who keeps one between calls.
//!
//! ```text
//! call ─┬─ an idle instance of its function ─────────────────────────────▶ runs
//!       └─ a free place, one that another function's idle instance gives
//!          up, or one that a running call leaves ─▶ new instance ────────▶ runs
//! ends well: idle, if nobody waits      otherwise: dropped, its place is free
//! ```
//!
//! What must never happen: an instance without a place, which would find the pool full and fail its
//! batch; or a call that waits while idle instances of others hold what it needs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::function::Warm;

/// The places of one engine.
pub(crate) struct Places {
    free: Arc<Semaphore>,
    shelf: Mutex<Shelf>,
    next_id: AtomicU64,
}

/// Which function an idle instance is of. Every loaded handler has its own.
pub(crate) type FunctionId = u64;

/// The idle instances. Locked to look, put or take, never while one is dropped or runs.
#[derive(Default)]
struct Shelf {
    /// By function; the one used last is at the back, so that a burst's further instances rest in
    /// front. No list is empty.
    idle: BTreeMap<FunctionId, VecDeque<Idle>>,
    /// Calls that wait for a place. While there are any, nothing is put here.
    waiting: usize,
    /// Counts what was put here, so that the oldest is known.
    clock: u64,
}

struct Idle {
    since: u64,
    warm: Warm,
}

/// The right to one instance. Dropping it frees the place, so it is dropped after the instance.
pub(crate) struct Place {
    _permits: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(places: u32) -> Places {
        Places {
            free: Arc::new(Semaphore::new(places as usize)),
            shelf: Mutex::default(),
            next_id: AtomicU64::new(0),
        }
    }

    /// A name for a newly loaded handler.
    pub(crate) fn new_id(&self) -> FunctionId {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The idle instance of a function that was used last.
    pub(crate) fn take_idle(&self, id: FunctionId) -> Option<Warm> {
        let mut shelf = self.shelf();
        let idle = shelf.idle.get_mut(&id)?;
        let taken = idle.pop_back();
        if idle.is_empty() {
            shelf.idle.remove(&id);
        }
        taken.map(|idle| idle.warm)
    }

    /// Keeps an instance for the function's next call, unless somebody waits for its place.
    pub(crate) fn keep_idle(&self, id: FunctionId, warm: Warm) {
        let mut shelf = self.shelf();
        if shelf.waiting == 0 {
            shelf.clock += 1;
            let since = shelf.clock;
            shelf.idle.entry(id).or_default().push_back(Idle { since, warm });
            return;
        }
        drop(shelf);
        drop(warm);
    }

    /// Drops the idle instances of a function that is no more.
    pub(crate) fn forget(&self, id: FunctionId) {
        let forgotten = self.shelf().idle.remove(&id);
        drop(forgotten);
    }

    /// A place for an instance that counts as so many. Waits for it, after those who came before.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future gives up the turn, and nothing else.
    pub(crate) async fn acquire(&self, count: u32) -> Option<Place> {
        if let Ok(permits) = Arc::clone(&self.free).try_acquire_many_owned(count) {
            return Some(Place { _permits: permits });
        }
        self.shelf().waiting += 1;
        let _waiting = Waiting(self);
        while self.free.available_permits() < count as usize {
            // Dropped outside of the lock: to unmap memory takes a while.
            let Some(oldest) = self.shelf().take_oldest() else { break };
            drop(oldest);
        }
        // Only a closed semaphore fails, and this one never is.
        let permits = Arc::clone(&self.free).acquire_many_owned(count).await.ok()?;
        Some(Place { _permits: permits })
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn take_oldest(&mut self) -> Option<Warm> {
        let since = |idle: &VecDeque<Idle>| idle.front().map(|idle| idle.since);
        let (id, _) = self.idle.iter().min_by_key(|(_, idle)| since(idle))?;
        let id = *id;
        let idle = self.idle.get_mut(&id)?;
        let oldest = idle.pop_front();
        if idle.is_empty() {
            self.idle.remove(&id);
        }
        oldest.map(|idle| idle.warm)
    }
}

/// A call that waits for a place. Dropping it is the end of its waiting.
struct Waiting<'a>(&'a Places);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.shelf().waiting -= 1;
    }
}
