//! `gristmill run`: the host.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use gristmill::{CancellationToken, Host, StartError};
use tokio::runtime::Runtime;
use tracing::info;

use crate::log::{self, Format};
use crate::signals::Signals;
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
    let host = match Host::load(config, environment) {
        Ok(host) => host,
        Err(error) => return refuse(error),
    };
    match serve(host) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            exit::FAILED
        }
    }
}

/// Says why the host does not start, in full.
fn refuse(error: StartError) -> u8 {
    match error {
        StartError::Functions(errors) => {
            for error in errors {
                complain(&error.into());
            }
            exit::CONFIGURATION
        }
        error @ (StartError::DataDir(_) | StartError::Wiring(_)) => {
            complain(&error.into());
            exit::CONFIGURATION
        }
        error @ (StartError::Engine(_) | StartError::Guests(_)) => {
            complain(&error.into());
            exit::FAILED
        }
    }
}

fn serve(host: Host) -> anyhow::Result<u8> {
    let runtime = Runtime::new().context("cannot start the threads for input and output")?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        let stop = CancellationToken::new();
        let running = host.run(stop.clone());
        tokio::pin!(running);
        tokio::select! {
            // Without an enabled mapping there is nothing to do.
            () = &mut running => return Ok(exit::OK),
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
