//! The host as a library: configuration, wiring, supervision, the two runtimes.
//!
//! From a file, as the program does it:
//!
//! ```no_run
//! use std::path::Path;
//! use gristmill::{Config, Host, InProcess};
//!
//! # async fn example(stop: gristmill::CancellationToken) -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::load(Path::new("gristmill.toml"))?;
//! let host = Host::new(config, |name| std::env::var(name).ok(), InProcess)?;
//! host.run(stop).await; // until `stop` is cancelled and everything taken is settled
//! # Ok(())
//! # }
//! ```
//!
//! From code, with a queue of its own:
//!
//! ```
//! use gristmill::config::{BrokerConfig, FunctionConfig, MappingConfig};
//! use gristmill::embedded::{EmbeddedError, QueueCounts};
//! use gristmill::{CancellationToken, Config, Host, InProcess};
//! use tokio::time::{Duration, sleep};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let data_dir = folder.path();
//! # let handler = wat::parse_file(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/handler.wat"))?;
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let config = Config::new(data_dir)
//!     .with_broker("here", BrokerConfig::embedded())
//!     .with_function("totals", FunctionConfig::new(handler)) // bytes, or the path of a file
//!     .with_mapping("orders", MappingConfig::new("here", "orders", "totals"));
//! let host = Host::new(config, |_| None, InProcess)?;
//! let (queues, stop) = (host.handle().embedded("here"), CancellationToken::new());
//! let queues = queues.ok_or("there is no such broker")?;
//! queues.publish("orders", vec![r#"{"id": 17}"#.into()]).await?; // on the disk when it returns
//! let handled = async {
//!     while queues.counts("orders").await? != QueueCounts::default() {
//!         sleep(Duration::from_millis(10)).await;
//!     }
//!     stop.cancel();
//!     Ok::<(), EmbeddedError>(())
//! };
//! let ((), handled) = tokio::join!(host.run(stop.clone()), handled);
//! # Ok(handled?)
//! # })
//! # }
//! ```
//!
//! `examples/` has programs, among them one with a source of its own ([`CustomBroker`]).
//!
//! Threads: whoever calls [`Host::run`] lends the runtime that does I/O, times and settles; the host
//! owns two more, on which handlers run, one for short invocations and one for long. A handler that
//! spins can then delay other long ones, but neither a short one nor a heartbeat.
//!
//! Unsafe code is where native code is loaded (`loader`), and nowhere else.

mod bounded;
mod cache;
mod compile;
pub mod config;
mod connections;
mod custom;
mod data_dir;
pub mod dead_letters;
mod drop_ins;
pub mod embedded;
mod follow;
mod function;
mod functions;
mod guests;
mod handle;
mod held;
mod host;
mod life;
mod loader;
mod plan;
mod status;
mod telemetry;
mod watch;

pub use gristmill_broker as broker;
pub use gristmill_event::Message;

pub use compile::{CompileError, Compiler, InProcess};
pub use config::Config;
pub use connections::{ProbeError, probe_brokers};
pub use custom::CustomBroker;
pub use data_dir::DataDirError;
pub use drop_ins::with_drop_ins;
pub use embedded::OpenError;
pub use follow::Follower;
pub use gristmill_mapping::status::{Counts, State, StateTransitionReason, Status};
pub use handle::{Applied, ApplyError, HostHandle};
pub use host::{Host, StartError, engine_settings};
pub use loader::{FunctionError, Loader};
pub use status::{HostStatus, MappingStatus};
pub use tokio_util::sync::CancellationToken;
