//! The runtime on which handlers run, apart from the one that does I/O.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// The threads of the handlers, one for each processor.
///
/// Dropping it does not wait: a handler inside a blocking host call must not hang the exit.
#[derive(Debug)]
pub(crate) struct Guests(Option<Runtime>);

impl Guests {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// When the operating system gives no threads.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("gristmill-guest")
            // A handler that computes yields about every millisecond. By default a worker looks at
            // its timers every 61 yields and at new calls not much more often, so that a timeout
            // would come 40 ms late and a neighbour's call would wait as long.
            .event_interval(1)
            .global_queue_interval(2)
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Where to spawn.
    ///
    /// # Panics
    ///
    /// Never: the runtime is there until the drop.
    #[must_use]
    #[expect(clippy::expect_used, reason = "only the drop takes the runtime out")]
    pub(crate) fn handle(&self) -> Handle {
        self.0.as_ref().expect("the runtime is there until the drop").handle().clone()
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
