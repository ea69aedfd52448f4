//! `gristmill check`: is everything as the host needs it?

use anyhow::{Context, anyhow};
use clap::Args;
use gristmill::{Config, Loader, engine_settings, probe_brokers, with_drop_ins};
use gristmill_sandbox::Engine;
use tokio::runtime::Runtime;

use crate::compiler::ChildCompiler;
use crate::{ConfigArgument, answer, complain, environment, exit};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Also connect once to every broker and virtual host that a mapping consumes.
    #[arg(long)]
    connect: bool,
}

/// Checks, prints what was found, and says what to exit with.
pub(crate) fn run(arguments: &Arguments) -> u8 {
    let config = match arguments.config.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    let (config, refused) = with_drop_ins(&config);
    let mut code = if refused.is_empty() { exit::OK } else { exit::CONFIGURATION };
    for (name, reason) in refused {
        complain(&anyhow!("drop-in {}: {reason}", name.escape_debug()));
    }
    code = code.max(check_handlers(&config));
    if arguments.connect {
        code = code.max(check_brokers(&config));
    }
    print(&config, code);
    code
}

fn check_handlers(config: &Config) -> u8 {
    let loader = || -> anyhow::Result<Loader> {
        let engine = Engine::new(engine_settings(&config.host))?;
        let compiler = ChildCompiler::new(config.host.compile_timeout)?;
        Ok(Loader::new(engine, compiler, environment, &config.host.region))
    };
    let loader = match loader() {
        Ok(loader) => loader,
        Err(error) => {
            complain(&error);
            return exit::FAILED;
        }
    };
    match loader.check(config) {
        Ok(()) => exit::OK,
        Err(errors) => {
            errors.into_iter().for_each(|error| complain(&error.into()));
            exit::CONFIGURATION
        }
    }
}

fn check_brokers(config: &Config) -> u8 {
    let probed = Runtime::new()
        .context("cannot start the threads for input and output")
        .map(|runtime| runtime.block_on(probe_brokers(config, environment)));
    match probed {
        Ok(failures) if failures.is_empty() => exit::OK,
        Ok(failures) => {
            failures.into_iter().for_each(|failure| complain(&failure.into()));
            exit::CONFIGURATION
        }
        Err(error) => {
            complain(&error);
            exit::CONFIGURATION
        }
    }
}

fn print(config: &Config, code: u8) {
    for sentence in config.advice() {
        answer(&format!("advice: {sentence}\n"));
    }
    if code == exit::OK {
        let (brokers, functions) = (config.brokers.len(), config.functions.len());
        let mappings = config.mappings.len();
        answer(&format!("ok: {brokers} brokers, {functions} functions, {mappings} mappings\n"));
    }
}
