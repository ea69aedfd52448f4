//! `gristmill run`: the host.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use gristmill::{CancellationToken, Follower, Host, StartError};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tracing::info;

use crate::compiler::ChildCompiler;
use crate::log::{self, Format};
use crate::signals::{Hangups, Signals};
use crate::{ConfigArgument, complain, environment, exit};

/// What the runtime may take to end after everything on it has; a hanging look-up must not hang the
/// exit.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// How log lines are written; without it as the configuration says.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<Format>,
}

/// Runs the host until a signal, and says what to exit with.
pub(crate) fn run(arguments: &Arguments) -> u8 {
    let config = match arguments.config.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    if let Err(error) = log::start(arguments.log_format.unwrap_or(config.host.log_format.into())) {
        complain(&error);
        return exit::CONFIGURATION;
    }
    raise_open_files();
    bound_what_is_kept();
    let listener = match config.host.listen.map(listen).transpose() {
        Ok(listener) => listener,
        Err(error) => {
            complain(&error);
            return exit::CONFIGURATION;
        }
    };
    let compiler = match ChildCompiler::new(config.host.compile_timeout) {
        Ok(compiler) => compiler,
        Err(error) => {
            complain(&error);
            return exit::FAILED;
        }
    };
    let host = match Host::new(config.clone(), environment, compiler) {
        Ok(host) => host,
        Err(error) => return refuse(error),
    };
    let follower = Follower::new(arguments.config.config.clone(), config, host.handle());
    match serve(host, follower, listener) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            exit::FAILED
        }
    }
}

/// Takes the address before anything else starts.
fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .with_context(|| format!("cannot listen on {address}: change `listen` in [host]"))?;
    let address = listener.local_addr().unwrap_or(address);
    info!(%address, "listening");
    Ok(listener)
}

/// Takes all the open files that the operating system gives: handlers may hold many, and brokers must
/// still find one.
fn raise_open_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // Where it fails, what was given before is what there is.
        setrlimit(Resource::Nofile, limit).unwrap_or_default();
    }
}

/// Bounds what glibc's allocator keeps of what was freed.
///
/// Each of its arenas keeps something, and it would make eight for each processor: here there are as many
/// as threads that take part in handling messages, for each processor two that run handlers and one for
/// input and output. With one for each the line takes longer (`cargo xtask bench line`).
///
/// What is as large as the buffers of a connection to RabbitMQ goes back at once when it is lost. glibc
/// would do so the first time only, and from then on keep the like.
fn bound_what_is_kept() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let arenas = i32::try_from(3 * processors).unwrap_or(i32::MAX);
        for (parameter, value) in [
            (libc::M_ARENA_MAX, arenas),
            (libc::M_MMAP_THRESHOLD, 4 << 20),
            (libc::M_TRIM_THRESHOLD, 8 << 20),
        ] {
            // SAFETY: it takes two numbers, before there are other threads. Where it refuses them,
            // what was set before holds.
            #[expect(unsafe_code, reason = "nothing safe tells the C library's allocator")]
            unsafe {
                libc::mallopt(parameter, value)
            };
        }
    }
}

/// Says why the host does not start, in full.
fn refuse(error: StartError) -> u8 {
    let code = match error {
        StartError::Config(_) | StartError::DataDir(_) => exit::CONFIGURATION,
        StartError::Engine(_) | StartError::Guests(_) | StartError::Embedded(_) => exit::FAILED,
    };
    complain(&error.into());
    code
}

fn serve(host: Host, follower: Follower, listener: Option<TcpListener>) -> anyhow::Result<u8> {
    let runtime = Runtime::new().context("cannot start the threads for input and output")?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        let mut hangups = Hangups::listen().context("cannot listen for signals")?;
        let stop = CancellationToken::new();
        let handle = host.handle();
        let running = host.run(stop.clone());
        let following = follower.run(async || hangups.next().await);
        tokio::pin!(running, following);
        // Dropped with this block, after the drain, during which it still answers.
        let mut answering = JoinSet::new();
        if let Some(listener) = listener {
            let listener = tokio::net::TcpListener::from_std(listener).context("cannot listen")?;
            answering.spawn(gristmill_control::serve(listener, handle, CancellationToken::new()));
        }
        tokio::select! {
            () = &mut running => return Ok(exit::OK),
            () = &mut following => return Ok(exit::OK),
            () = signals.next() => {}
        }
        info!("draining; a second signal stops at once");
        stop.cancel();
        tokio::select! {
            () = &mut running => Ok(exit::OK),
            () = signals.next() => {
                info!("stopped before the drain was over; the brokers have what was not settled");
                Ok(exit::FAILED)
            }
        }
    });
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    ended
}
