//! Which releases of the brokers a command runs with, where it is not Debian's.

use std::env;
use std::ffi::OsStr;
use std::process::{Command, ExitCode};

use clap::Args;
use gristmill_testkit::{activemq, rabbitmq};

#[derive(Debug, Args)]
pub(crate) struct Releases {
    /// The releases of ActiveMQ to use, in place of Debian's 5.17
    #[arg(long, value_parser = activemq::LINES)]
    activemq: Option<String>,
    /// The releases of RabbitMQ to use, in place of Debian's 3.10
    #[arg(long, value_parser = rabbitmq::LINES)]
    rabbitmq: Option<String>,
}

impl Releases {
    /// Runs this program once more with the variables that choose the releases, which have to reach both
    /// the tests and what is done here for them; `None` where they are set as they should be.
    pub(crate) fn run_again(&self) -> Option<ExitCode> {
        let chosen = [
            (activemq::VERSION_VARIABLE, &self.activemq),
            (rabbitmq::VERSION_VARIABLE, &self.rabbitmq),
        ];
        let chosen = chosen.into_iter().filter_map(|(name, line)| Some((name, line.as_deref()?)));
        let missing: Vec<_> = chosen
            .filter(|(name, line)| env::var_os(name).as_deref() != Some(OsStr::new(line)))
            .collect();
        if missing.is_empty() {
            return None;
        }
        let status = env::current_exe().and_then(|program| {
            Command::new(program).args(env::args_os().skip(1)).envs(missing).status()
        });
        Some(match status {
            Ok(status) if status.success() => ExitCode::SUCCESS,
            Ok(_) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: cannot run this program again: {error}");
                ExitCode::FAILURE
            }
        })
    }
}
