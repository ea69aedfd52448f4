//! The thread that moves the engine's epoch on, by which running handlers yield.
//!
//! A handler looks at the epoch in every loop and function. When it has moved, the handler lets
//! others on its thread go first, and whoever waits for its timeout gets a look at the clock. So a
//! handler that computes, or that loops over dear calls of the host, is held up at least every tick
//! and the longest single call. Without running calls the thread sleeps.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

/// How often the epoch moves.
const TICK: Duration = Duration::from_millis(1);

/// After how many ticks without a running call the thread goes to sleep. Waking it costs a call some
/// microseconds, which a busy host must not pay for every batch.
const IDLE_TICKS_MAX: u32 = 100;

/// Moves the epoch on while calls run. Dropping it ends the thread.
pub(crate) struct Ticker(Arc<Shared>);

struct Shared {
    /// The calls that run.
    running: AtomicU64,
    /// Whether the thread sleeps, or is about to, until somebody notifies it.
    asleep: AtomicBool,
    /// Whether the thread is to end.
    over: AtomicBool,
    /// Guards nothing: the condition is in the atomics, which are looked at under it.
    lock: Mutex<()>,
    wake: Condvar,
}

/// A call that runs. Dropping it is its end.
pub(crate) struct Running<'a>(&'a Shared);

impl Ticker {
    /// Starts the thread.
    pub(crate) fn start(engine: Engine) -> io::Result<Ticker> {
        let shared = Arc::new(Shared {
            running: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            over: AtomicBool::new(false),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        });
        let ticking = Arc::clone(&shared);
        thread::Builder::new()
            .name("gristmill-ticker".to_owned())
            .spawn(move || ticking.tick(&engine))?;
        Ok(Ticker(shared))
    }

    /// Says that a call runs.
    pub(crate) fn run(&self) -> Running<'_> {
        self.0.running.fetch_add(1, Ordering::SeqCst);
        if self.0.asleep.load(Ordering::SeqCst) {
            self.0.notify();
        }
        Running(&self.0)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
        self.0.notify();
    }
}

impl Shared {
    fn notify(&self) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.wake.notify_one();
    }

    fn tick(&self, engine: &Engine) {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle_ticks = 0;
        while !self.over.load(Ordering::SeqCst) {
            engine.increment_epoch();
            let is_idle = self.running.load(Ordering::SeqCst) == 0;
            idle_ticks = if is_idle { idle_ticks + 1 } else { 0 };
            if idle_ticks <= IDLE_TICKS_MAX {
                let waited = self.wake.wait_timeout(guard, TICK);
                guard = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            self.asleep.store(true, Ordering::SeqCst);
            // A call that began before it could see the flag is seen here, and a later one notifies.
            while self.running.load(Ordering::SeqCst) == 0 && !self.over.load(Ordering::SeqCst) {
                guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            self.asleep.store(false, Ordering::SeqCst);
            idle_ticks = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_sleeps_without_calls_and_ticks_with_one() {
        let engine = Engine::default();
        let ticker = Ticker::start(engine.clone()).unwrap();
        for _ in 0..3 {
            while !ticker.0.asleep.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            let running = ticker.run();
            while ticker.0.asleep.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            drop(running);
        }
    }

    #[test]
    fn dropping_it_ends_the_thread() {
        let ticker = Ticker::start(Engine::default()).unwrap();
        let shared = Arc::downgrade(&ticker.0);
        drop(ticker);
        while shared.strong_count() > 0 {
            thread::yield_now();
        }
    }
}
