//! The runtimes on which handlers run, apart from the one that does I/O.

use std::io;
use std::time::Duration;

use gristmill_mapping::Lanes;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

/// How much lower the priority of handlers is that compute for long, on Linux. The lowest: they have
/// what the others leave, under a full load a sixtieth. With 10, a neighbour's p99 was over twice its
/// quiet value beside handlers that spin (`cargo xtask bench neighbours`); in the crowd it is twice that at
/// most with this, and 2.5 times with the policy `SCHED_IDLE`.
#[cfg(target_os = "linux")]
const LONG_NICENESS: i32 = 19;

/// A handler that computes yields about as often.
const YIELD: Duration = Duration::from_millis(1);
/// How long those that were broken off may take to notice it.
const REST: Duration = Duration::from_secs(1);

/// The threads of the handlers, for each processor one for those that are short and one for those
/// that compute for long.
///
/// Dropping it does not wait: a handler inside a blocking host call must not hang the exit.
#[derive(Debug)]
pub(crate) struct Guests {
    lanes: Lanes,
    runtimes: [Option<Runtime>; 2],
}

impl Guests {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// When the operating system gives no threads.
    pub(crate) fn start() -> io::Result<Self> {
        let short = runtime("gristmill-guest", || {})?;
        let long = runtime("gristmill-long", lower_priority)?;
        let lanes = Lanes::new(short.handle().clone(), long.handle().clone());
        Ok(Self { lanes, runtimes: [Some(short), Some(long)] })
    }

    /// Waits for the handlers that were broken off to come to their next yield, since one that meets
    /// its runtime's end there panics; for a moment only, since one inside a blocking host call may not
    /// notice.
    pub(crate) async fn rest(&self) {
        let at_rest = async {
            let is_alive = |runtime: &Runtime| runtime.metrics().num_alive_tasks() > 0;
            while self.runtimes.iter().flatten().any(is_alive) {
                sleep(YIELD).await;
            }
        };
        timeout(REST, at_rest).await.unwrap_or_default();
    }

    /// Where to run invocations.
    pub(crate) fn lanes(&self) -> Lanes {
        self.lanes.clone()
    }
}

fn runtime(name: &str, on_start: fn()) -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .thread_name(name)
        .on_thread_start(on_start)
        // A handler that computes yields every millisecond or two. By default a worker looks at
        // its timers every 61 yields and at new calls not much more often, so that a timeout
        // would come late and a neighbour's call would wait as long.
        .event_interval(1)
        .global_queue_interval(2)
        .enable_all()
        .build()
}

/// Lowers the calling thread's priority. Without success it keeps the usual one.
fn lower_priority() {
    // Elsewhere the call means the whole process.
    #[cfg(target_os = "linux")]
    rustix::process::setpriority_process(None, LONG_NICENESS).unwrap_or_default();
}

impl Drop for Guests {
    fn drop(&mut self) {
        for runtime in self.runtimes.iter_mut().filter_map(Option::take) {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::*;

    /// A call that was broken off while it computes, and goes on with that until it is told to yield,
    /// or to end.
    async fn broken_off(guests: &Guests) -> (JoinHandle<()>, mpsc::Sender<()>) {
        let (tell, told) = mpsc::channel();
        let (begin, begun) = oneshot::channel();
        let long = guests.runtimes[1].as_ref().unwrap();
        let call = long.spawn(async move {
            begin.send(()).unwrap();
            if told.recv().is_ok() {
                sleep(YIELD).await;
            }
        });
        begun.await.unwrap();
        call.abort();
        (call, tell)
    }

    #[tokio::test]
    async fn a_call_that_was_broken_off_ends_before_its_runtime() {
        let guests = Guests::start().unwrap();
        let (call, tell) = broken_off(&guests).await;
        timeout(10 * YIELD, guests.rest()).await.unwrap_err();
        tell.send(()).unwrap();
        guests.rest().await;
        drop(guests);
        assert!(call.await.unwrap_err().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_does_not_yield_does_not_hold_up_the_exit() {
        let guests = Guests::start().unwrap();
        let (call, tell) = broken_off(&guests).await;
        guests.rest().await;
        drop(guests);
        assert!(!call.is_finished());
        drop(tell);
    }
}
