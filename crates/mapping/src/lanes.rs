//! Where invocations run: threads for short ones, and threads for those that compute for long.
//!
//! ```text
//! short lane ── has computed for more than a batch should ──▶ long lane, and the next one too
//!     ▲                                                           │
//!     └──────────────── one of the function's was short ──────────┘
//! ```
//!
//! A function that computes without end would else hold up every other on its thread, a millisecond
//! each time. Here the short ones have threads of their own, and the host gives the others a lower
//! priority at the operating system. What must never happen: an invocation that runs twice, or that
//! goes on after its mapping has dropped it.

use std::future::{Future, pending, poll_fn};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::{Id, JoinSet};

/// How long an invocation may compute before it is a long one. The largest event takes half of that
/// to be parsed.
const SHORT_MAX: Duration = Duration::from_millis(20);

/// The runtimes on which invocations run, never the one that does I/O for others.
#[derive(Debug, Clone)]
pub struct Lanes {
    short: Handle,
    long: Handle,
}

impl Lanes {
    /// Two runtimes; the threads of the second should have the lower priority.
    #[must_use]
    pub fn new(short: Handle, long: Handle) -> Self {
        Self { short, long }
    }

    /// One runtime for all, for hosts with one kind of function.
    #[must_use]
    pub fn one(runtime: Handle) -> Self {
        Self { short: runtime.clone(), long: runtime }
    }

    /// Starts an invocation of a function whose last one was long or not.
    pub(crate) fn spawn_in<T: Send + 'static>(
        &self,
        set: &mut JoinSet<T>,
        was_long: &Arc<AtomicBool>,
        invocation: impl Future<Output = T> + Send + 'static,
    ) -> Id {
        let was_long = Arc::clone(was_long);
        let starts_long = was_long.load(Ordering::Relaxed);
        let long = (!starts_long).then(|| self.long.clone());
        let lane = if starts_long { &self.long } else { &self.short };
        set.spawn_on(run(Box::pin(invocation), long, was_long), lane).id()
    }
}

type Invocation<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs an invocation to its end; on `long`, if there is one, once it has computed for long.
async fn run<T: Send + 'static>(
    mut invocation: Invocation<T>,
    mut long: Option<Handle>,
    was_long: Arc<AtomicBool>,
) -> T {
    let mut computed = Duration::ZERO;
    let ended = poll_fn(|context| {
        let polled_at = Instant::now();
        let polled = invocation.as_mut().poll(context);
        computed += polled_at.elapsed();
        match polled {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if computed > SHORT_MAX => match long.take() {
                Some(long) => Poll::Ready(Err(long)),
                None => Poll::Pending,
            },
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    was_long.store(computed > SHORT_MAX, Ordering::Relaxed);
    match ended {
        Ok(output) => output,
        Err(long) => run_on(&long, invocation).await,
    }
}

/// Runs the rest elsewhere. Dropping the future ends it there too.
async fn run_on<T: Send + 'static>(lane: &Handle, invocation: Invocation<T>) -> T {
    let mut rest = JoinSet::new();
    rest.spawn_on(invocation, lane);
    match rest.join_next().await {
        Some(Ok(output)) => output,
        Some(Err(error)) if error.is_panic() => resume_unwind(error.into_panic()),
        // The lane's runtime is being shut down, and this one with it.
        Some(Err(_)) | None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::runtime::{Builder, Runtime};
    use tokio::task::yield_now;

    use super::*;

    fn runtime(name: &str) -> Runtime {
        Builder::new_multi_thread().worker_threads(1).thread_name(name).build().unwrap()
    }

    fn thread_name() -> String {
        thread::current().name().unwrap_or_default().to_owned()
    }

    /// Computes for so long, a millisecond at a time, and says on which thread it ended.
    async fn computes(duration: Duration) -> String {
        for _ in 0..duration.as_millis() {
            let until = Instant::now() + Duration::from_millis(1);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            yield_now().await;
        }
        thread_name()
    }

    #[test]
    fn who_computes_for_long_moves_and_starts_there_until_it_is_short_again() {
        let (short, long) = (runtime("short"), runtime("long"));
        let lanes = Lanes::new(short.handle().clone(), long.handle().clone());
        let was_long = Arc::new(AtomicBool::new(false));
        let ends_on = |duration| {
            let mut set = JoinSet::new();
            lanes.spawn_in(&mut set, &was_long, computes(duration));
            short.block_on(set.join_next()).unwrap().unwrap()
        };
        assert_eq!(ends_on(Duration::ZERO), "short");
        assert_eq!(ends_on(3 * SHORT_MAX), "long");
        assert_eq!(ends_on(Duration::ZERO), "long", "remembered");
        assert_eq!(ends_on(Duration::ZERO), "short", "forgotten");
    }

    #[test]
    fn a_panic_in_the_long_lane_is_one_of_the_task() {
        let (short, long) = (runtime("short"), runtime("long"));
        let lanes = Lanes::new(short.handle().clone(), long.handle().clone());
        let mut set = JoinSet::new();
        lanes.spawn_in(&mut set, &Arc::default(), async {
            computes(2 * SHORT_MAX).await;
            assert_eq!(thread_name(), "short", "a panic on purpose");
        });
        let ended = short.block_on(set.join_next()).unwrap();
        assert!(ended.unwrap_err().is_panic());
    }

    #[test]
    fn dropping_the_task_ends_it_in_the_long_lane() {
        let (short, long) = (runtime("short"), runtime("long"));
        let lanes = Lanes::new(short.handle().clone(), long.handle().clone());
        let alive = Arc::new(());
        let (mut set, held) = (JoinSet::new(), Arc::clone(&alive));
        let (moved, has_moved) = tokio::sync::oneshot::channel();
        lanes.spawn_in(&mut set, &Arc::default(), async move {
            let _held = held;
            while thread_name() != "long" {
                computes(SHORT_MAX).await;
            }
            moved.send(()).unwrap();
            pending::<()>().await;
        });
        short.block_on(has_moved).unwrap();
        drop(set);
        while Arc::strong_count(&alive) > 1 {
            thread::yield_now();
        }
    }
}
