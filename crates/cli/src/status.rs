//! `gristmill status`: what a running host says about its mappings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

use crate::{ConfigArgument, answer, complain, exit};

/// A host that does not answer in this time has other troubles.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The most bytes of an answer: thousands of mappings.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Print what the host answered, as JSON.
    #[arg(long)]
    json: bool,
}

/// Asks the host that runs with this configuration, and says what to exit with.
pub(crate) fn run(arguments: &Arguments) -> u8 {
    let config = match arguments.config.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    let Some(listen) = config.host.listen.filter(|listen| listen.port() != 0) else {
        complain(&anyhow::anyhow!(
            "this host listens on no port that is known: write listen = \"127.0.0.1:9480\" into \
             [host] and start it again"
        ));
        return exit::CONFIGURATION;
    };
    match ask(reachable(listen)) {
        Ok(text) if arguments.json => answer(&text),
        Ok(text) => match serde_json::from_str(&text).context("the answer is no JSON") {
            Ok(status) => answer(&table(&status)),
            Err(error) => return fail(&error),
        },
        Err(error) => return fail(&error),
    }
    exit::OK
}

fn fail(error: &anyhow::Error) -> u8 {
    complain(error);
    exit::FAILED
}

fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .proxy(None)
        .build();
    let agent = ureq::Agent::new_with_config(config);
    let mut answer = agent
        .get(format!("http://{address}/status"))
        .call()
        .with_context(|| format!("no host answers at {address}: is it running?"))?;
    if answer.status() != 200 {
        bail!("what answers at {address} is no host of this version: {}", answer.status());
    }
    let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    body.read_to_string().with_context(|| format!("the answer of {address} broke off"))
}

/// Where to ask a host that listens on every address of its machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// One line for each mapping, and below it what is wrong with it.
fn table(status: &Value) -> String {
    let mappings = status["mappings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let header = ["MAPPING", "STATE", "REASON", "HANDLED", "FAILED CALLS", "GIVEN UP"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(mappings.iter().map(|mapping| {
        let counts = &mapping["counts"];
        [
            text(&mapping["name"]),
            text(&mapping["state"]),
            text(&mapping["state_transition_reason"]),
            counts["handled"].to_string(),
            counts["invocations_failed"].to_string(),
            counts["given_up"].to_string(),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; 6] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let results = mappings.iter().map(|mapping| text(&mapping["last_processing_result"]));
    let results = std::iter::once(String::new()).chain(results);
    let mut table = String::new();
    for (row, result) in rows.iter().zip(results) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        table += cells.collect::<Vec<_>>().join("  ").trim_end();
        table.push('\n');
        if !result.is_empty() {
            table += &format!("  {result}\n");
        }
    }
    table
}

/// A string without control characters: a handler repeats what producers wrote.
fn text(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default().chars();
    text.map(|char| if char.is_control() { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_each_mapping_and_what_is_wrong_with_it() {
        let status = serde_json::json!({ "mappings": [
            {
                "name": "orders", "state": "Enabled", "state_transition_reason": "USER_INITIATED",
                "last_processing_result": "OK",
                "counts": { "handled": 12345, "invocations_failed": 0, "given_up": 0 },
            },
            {
                "name": "mail", "state": "Disabled",
                "state_transition_reason": "EVENT_SOURCE_AUTHN_ERROR",
                "last_processing_result": "PROBLEM: no\x1b[31m login",
                "counts": { "handled": 0, "invocations_failed": 7, "given_up": 1 },
            },
        ] });
        let expected = "\
MAPPING  STATE     REASON                    HANDLED  FAILED CALLS  GIVEN UP
orders   Enabled   USER_INITIATED            12345    0             0
  OK
mail     Disabled  EVENT_SOURCE_AUTHN_ERROR  0        7             1
  PROBLEM: no [31m login
";
        assert_eq!(table(&status), expected);
    }

    #[test]
    fn a_host_that_listens_everywhere_is_asked_on_loopback() {
        let asked = |listen: &str| reachable(listen.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:9480"), "127.0.0.1:9480");
        assert_eq!(asked("[::]:9480"), "[::1]:9480");
        assert_eq!(asked("10.0.0.7:9480"), "10.0.0.7:9480");
    }
}
