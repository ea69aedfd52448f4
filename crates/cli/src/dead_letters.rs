//! `gristmill dead-letters`: looks after the messages that were given up into the store.
//!
//! Works beside a running host and without one. What must never happen: a letter that is removed before
//! the broker has confirmed its message, or one that nobody named.

use std::io::{self, IsTerminal, Write};
use std::iter;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use gristmill::dead_letters::{
    DeadLetterStore, Destination, Filter, KeepError, Origin, ReplayError, Replayer, StoredLetter,
    Summary, dead_letter_store, event, message,
};
use gristmill::{Config, with_drop_ins};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{ConfigArgument, answer, complain, environment, exit};

/// How much is put back between two removals: what a kill can double.
const REPLAY_RECORDS: usize = 100;
const REPLAY_BYTES: u64 = 16 << 20;

/// How many are shown or dropped at once.
const PAGE_RECORDS: usize = 1_000;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what is there, oldest first.
    List(List),
    /// Show everything about one of them.
    Show(Show),
    /// Put them back on the queues that they came from; each leaves when the broker has confirmed it.
    Replay(Chosen),
    /// Delete them for good.
    Drop(Chosen),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    config: ConfigArgument,
    /// Only those of this mapping.
    #[arg(long, value_name = "NAME")]
    mapping: Option<String>,
    /// Print a line of JSON for each.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    config: ConfigArgument,
    /// Its number in the list.
    id: i64,
    /// Print the event of this message alone, for `gristmill invoke --event -`.
    #[arg(long, group = "what")]
    event: bool,
    /// Print the message's body as it is.
    #[arg(long, group = "what")]
    body: bool,
    /// Print the invocation record.
    #[arg(long, group = "what")]
    json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false, args = ["ids", "mapping", "all"])]
struct Which {
    /// Their numbers in the list.
    #[arg(value_name = "ID")]
    ids: Vec<i64>,
    /// Those of this mapping.
    #[arg(long, value_name = "NAME")]
    mapping: Option<String>,
    /// All of them.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
struct Chosen {
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    which: Which,
}

/// Looks after the dead letters, and says what to exit with.
pub(crate) fn run(arguments: &Arguments) -> u8 {
    let config = match &arguments.command {
        Command::List(List { config, .. }) | Command::Show(Show { config, .. }) => config,
        Command::Replay(Chosen { config, .. }) | Command::Drop(Chosen { config, .. }) => config,
    };
    let config = match config.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    let store = dead_letter_store(&config.host);
    let done = match &arguments.command {
        Command::List(arguments) => list(&store, arguments),
        Command::Show(arguments) => show(&store, arguments),
        // A dropped-in handler may name queues too.
        Command::Replay(Chosen { which, .. }) => replay(with_drop_ins(&config).0, &store, which),
        Command::Drop(Chosen { which, .. }) => drop_letters(&store, which),
    };
    match done {
        Ok(()) => exit::OK,
        Err(error) => {
            complain(&error);
            exit::FAILED
        }
    }
}

impl Which {
    /// Those that are meant, which are there already: a message that is put back may be given up again.
    /// Each that was named has to be there: one that is not was mistyped, or is gone already.
    fn filter(&self, store: &DeadLetterStore) -> anyhow::Result<Filter> {
        let id_max = Some(store.newest_id()?);
        for id in &self.ids {
            let only = Filter { ids: Some(vec![*id]), ..Filter::default() };
            ensure!(store.count(&only)? == 1, "there is no dead letter {id}");
        }
        let ids = (!self.ids.is_empty()).then(|| self.ids.clone());
        let filter = Filter { mapping: self.mapping.clone(), ids, id_max };
        if let Some(mapping) = &self.mapping {
            ensure!(store.count(&filter)? > 0, "there are no dead letters of {mapping:?}");
        }
        Ok(filter)
    }
}

fn list(store: &DeadLetterStore, arguments: &List) -> anyhow::Result<()> {
    let filter = Filter { mapping: arguments.mapping.clone(), ..Filter::default() };
    let mut out = io::BufWriter::new(io::stdout());
    if !arguments.json {
        drop(writeln!(out, "{}", heading()));
    }
    let mut after = 0;
    loop {
        let letters = store.list(after, &filter, PAGE_RECORDS)?;
        let Some(last) = letters.last() else { return Ok(()) };
        after = last.id;
        let mut lines = letters
            .iter()
            .map(|letter| if arguments.json { json_line(letter) } else { table_line(letter) });
        // Who no longer reads it has had enough.
        if lines.any(|line| writeln!(out, "{line}").is_err()) || out.flush().is_err() {
            return Ok(());
        }
    }
}

fn heading() -> String {
    row(["ID", "GIVEN UP", "MAPPING", "QUEUE", "CONDITION", "BYTES", "MESSAGE ID", "ERROR"])
}

/// The columns have fixed widths, since there may be more letters than fit into memory.
fn row([id, at, mapping, queue, condition, bytes, message_id, error]: [&str; 8]) -> String {
    let row = format!(
        "{id:>6}  {at:24}  {mapping:16}  {queue:16}  {condition:24}  {bytes:>9}  {message_id:16}  {error}"
    );
    row.trim_end().to_owned()
}

fn table_line(letter: &Summary) -> String {
    let error = letter.error().unwrap_or_default();
    let error: String = error.lines().next().unwrap_or_default().chars().take(100).collect();
    row([
        &letter.id.to_string(),
        &time(letter.given_up_at_ms),
        &tame(&letter.origin.mapping),
        &tame(&letter.origin.queue),
        &letter.condition,
        &letter.bytes.to_string(),
        &tame(letter.message_id.as_deref().unwrap_or_default()),
        &tame(&error),
    ])
}

fn json_line(letter: &Summary) -> String {
    json!({
        "id": letter.id,
        "given_up_at": time(letter.given_up_at_ms),
        "mapping": letter.origin.mapping,
        "broker": letter.origin.broker,
        "queue": letter.origin.queue,
        "virtual_host": letter.origin.virtual_host,
        "function": letter.origin.function,
        "condition": letter.condition,
        "message_id": letter.message_id,
        "bytes": letter.bytes,
        "error": letter.error(),
    })
    .to_string()
}

fn time(unix_ms: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms);
    humantime::format_rfc3339_millis(time).to_string()
}

/// Without control characters: producers choose what stands there.
fn tame(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

fn show(store: &DeadLetterStore, arguments: &Show) -> anyhow::Result<()> {
    let id = arguments.id;
    let letter = store.get(id)?.with_context(|| format!("there is no dead letter {id}"))?;
    if arguments.event {
        answer(&event(&letter)?);
    } else if arguments.body {
        // Who no longer reads it has had enough.
        drop(io::stdout().write_all(message(&letter)?.body()));
    } else if arguments.json {
        answer(&format!("{}\n", letter.summary.record));
    } else {
        answer(&description(&letter)?);
    }
    Ok(())
}

/// Everything about a letter but its body.
fn description(letter: &StoredLetter) -> anyhow::Result<String> {
    let Summary { id, given_up_at_ms, origin, condition, message_id, record, bytes } =
        &letter.summary;
    let mut fields = vec![
        ("id", id.to_string()),
        ("given up", time(*given_up_at_ms)),
        ("condition", condition.clone()),
        ("error", letter.summary.error().unwrap_or_default()),
        ("message id", message_id.clone().unwrap_or_default()),
        ("mapping", origin.mapping.clone()),
        ("function", origin.function.clone()),
        ("broker", origin.broker.clone()),
        ("queue", origin.queue.clone()),
        ("virtual host", origin.virtual_host.clone().unwrap_or_default()),
        ("bytes", bytes.to_string()),
    ];
    fields.retain(|(_, value)| !value.is_empty());
    let fields = fields.iter().map(|(name, value)| format!("{name:14}{}\n", tame(value)));
    let mut text: String = fields.collect();
    let record: Value = serde_json::from_str(record).context("its record is damaged")?;
    let record = format!("record        {record:#}");
    text.extend(record.lines().map(|line| tame(line) + "\n"));
    Ok(text)
}

fn drop_letters(store: &DeadLetterStore, which: &Which) -> anyhow::Result<()> {
    let filter = which.filter(store)?;
    let mut dropped = 0;
    loop {
        let letters = store.list(0, &filter, PAGE_RECORDS)?;
        if letters.is_empty() {
            break;
        }
        let ids: Vec<i64> = letters.iter().map(|letter| letter.id).collect();
        dropped += store.remove(&ids)?;
    }
    answer(&format!("dropped {dropped}\n"));
    store.shrink()?;
    Ok(())
}

fn replay(config: Config, store: &DeadLetterStore, which: &Which) -> anyhow::Result<()> {
    let filter = which.filter(store)?;
    let progress = progress(store.count(&filter)?);
    let mut replayer = Replayer::new(config, environment);
    let runtime = Runtime::new().context("cannot start the threads for input and output")?;
    let mut replayed = 0;
    let done = runtime.block_on(async {
        let done = replay_all(store, &filter, &mut replayer, |letters| {
            replayed += letters;
            progress.inc(letters);
        });
        let done = done.await;
        replayer.close().await;
        done
    });
    progress.finish_and_clear();
    answer(&format!("replayed {replayed}\n"));
    done?;
    store.shrink()?;
    Ok(())
}

/// Puts letters back, and removes each when the broker has confirmed it.
async fn replay_all(
    store: &DeadLetterStore,
    filter: &Filter,
    replayer: &mut Replayer,
    mut confirmed: impl FnMut(u64),
) -> anyhow::Result<()> {
    let mut after = 0;
    loop {
        let letters = store.next(after, filter, REPLAY_RECORDS, REPLAY_BYTES)?;
        let Some(last) = letters.last() else { return Ok(()) };
        after = last.summary.id;
        let mut letters = letters.into_iter().peekable();
        while let Some(first) = letters.next() {
            let origin = first.summary.origin.clone();
            let mut group = vec![first];
            group.extend(iter::from_fn(|| {
                letters.next_if(|next| is_of_one_queue(&next.summary.origin, &origin))
            }));
            let ids: Vec<i64> = group.iter().map(|letter| letter.summary.id).collect();
            match put_back(replayer, &origin, group).await {
                // One of them: which, is seen when each goes alone.
                Err(ReplayError::NotTaken(KeepError::Unsendable { .. })) => {
                    for id in ids {
                        let Some(letter) = store.get(id)? else { continue };
                        let alone = put_back(replayer, &origin, vec![letter]).await;
                        alone.with_context(|| format!("the dead letter {id} stays"))?;
                        store.remove(&[id])?;
                        confirmed(1);
                    }
                }
                done => {
                    done?;
                    store.remove(&ids)?;
                    confirmed(ids.len() as u64);
                }
            }
        }
    }
}

fn is_of_one_queue(one: &Origin, other: &Origin) -> bool {
    Destination::from(one) == Destination::from(other) && one.broker_type == other.broker_type
}

/// Done when the broker has confirmed them.
async fn put_back(
    replayer: &mut Replayer,
    origin: &Origin,
    letters: Vec<StoredLetter>,
) -> Result<(), ReplayError> {
    let originals = letters.into_iter().map(|letter| letter.original).collect();
    replayer.replay(&Destination::from(origin), &origin.broker_type, originals).await
}

fn progress(letters: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} replayed, {eta} to go");
    ProgressBar::new(letters)
        .with_style(style.unwrap_or_else(|_invalid| ProgressStyle::default_bar()))
}
