//! Child processes that tests start: their output as it comes, and their certain end.
//!
//! A [`Supervised`] process is read by a thread of its own, because a server shared by several
//! tests outlives the runtime of the test that happened to start it.
//! A [`Watchdog`] ends processes and removes their folder when the test process is gone, also when
//! it was killed. Nothing here may leave a process behind.

use std::fs;
use std::io::{self, BufRead, BufReader, PipeReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::watch;

/// Lines kept of one process. A test that writes more has gone wrong, and its end matters less than
/// the machine's memory: later lines are read and dropped.
const LINES_MAX: usize = 100_000;

/// Lines that an error message quotes.
const LINES_QUOTED: usize = 30;

/// Hears each line of a process as it comes, all of them.
pub type Listener = Arc<dyn Fn(&str) + Send + Sync>;

/// What a process has said so far, and how it ended.
#[derive(Debug, Default)]
struct Output {
    lines: Vec<String>,
    exit: Option<ExitStatus>,
}

/// A running child process. Dropping it kills the process and waits for its end.
#[derive(Debug)]
pub(crate) struct Supervised {
    name: String,
    pid: u32,
    output: watch::Receiver<Output>,
    /// How many lines [`Supervised::find`] has shown.
    shown: AtomicUsize,
    /// Reads until the end of the output and then reaps the process; ends with the process.
    reader: Option<JoinHandle<()>>,
}

impl Supervised {
    /// Starts `command` in a process group of its own, so that Ctrl-C in a terminal reaches only
    /// the test process, with nothing to read and both outputs going into one stream of lines.
    pub(crate) fn spawn(name: &str, command: Command) -> Result<Self> {
        Self::spawn_heard(name, command, Arc::new(|_| {}))
    }

    /// The same, and each line is told.
    pub(crate) fn spawn_heard(
        name: &str,
        mut command: Command,
        listener: Listener,
    ) -> Result<Self> {
        let (read, write) = io::pipe().context("cannot make a pipe for a child's output")?;
        command
            .stdin(Stdio::null())
            .stdout(write.try_clone().context("cannot share a pipe between two outputs")?)
            .stderr(write)
            .process_group(0);
        let child = command.spawn().with_context(|| {
            format!("cannot start {name} with {}", command.get_program().display())
        })?;
        // The command still holds the writing ends; while it does, the output never ends.
        drop(command);

        let pid = child.id();
        let (sender, output) = watch::channel(Output::default());
        let reader = std::thread::spawn(move || follow(child, read, &sender, &*listener));
        let shown = AtomicUsize::new(0);
        Ok(Self { name: name.to_owned(), pid, output, shown, reader: Some(reader) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// All lines so far, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.output.borrow().lines.clone()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.output.borrow().exit.is_none()
    }

    /// Shows `pick` one line after another, from the one behind the last that was shown, until it
    /// finds what it looks for.
    ///
    /// # Errors
    ///
    /// When the process ends first or `timeout` passes; the message says so with the last lines.
    pub(crate) async fn find<T>(
        &self,
        what: &str,
        timeout: Duration,
        mut pick: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let mut output = self.output.clone();
        let search = async {
            loop {
                {
                    let now = output.borrow_and_update();
                    while let Some(line) = now.lines.get(self.shown.load(Ordering::Relaxed)) {
                        self.shown.fetch_add(1, Ordering::Relaxed);
                        if let Some(found) = pick(line) {
                            return Ok(found);
                        }
                    }
                    if let Some(status) = now.exit {
                        bail!("{} ended with {status} before {what}", self.name);
                    }
                }
                output.changed().await.context("the reader of a child's output is gone")?;
            }
        };
        let result = match tokio::time::timeout(timeout, search).await {
            Ok(result) => result,
            Err(_) => Err(anyhow::anyhow!("{} took more than {timeout:?} for {what}", self.name)),
        };
        result.with_context(|| format!("the last lines of {}:\n{}", self.name, self.last_lines()))
    }

    /// Waits until the process has ended by itself or by a signal.
    pub(crate) async fn wait_exit(&self, timeout: Duration) -> Result<ExitStatus> {
        let mut output = self.output.clone();
        let ended = tokio::time::timeout(timeout, output.wait_for(|now| now.exit.is_some())).await;
        let Ok(ended) = ended else {
            bail!(
                "{} still runs after {timeout:?}; its last lines:\n{}",
                self.name,
                self.last_lines()
            );
        };
        let output = ended.context("the reader of a child's output is gone")?;
        output.exit.context("a process ended without a status")
    }

    /// Sends a signal by its name, as in `TERM`.
    pub(crate) fn signal(&self, signal: &str) -> Result<()> {
        ensure!(
            self.is_running(),
            "{} has ended, so it cannot be sent the signal {signal}",
            self.name
        );
        // The shell's own `kill` is there everywhere, also where no `kill` program is installed.
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "sh", signal, &self.pid.to_string()])
            .status()
            .context("cannot run sh to send a signal")?;
        ensure!(
            status.success(),
            "cannot send the signal {signal} to {} (process {})",
            self.name,
            self.pid
        );
        Ok(())
    }

    /// Stops the process where it is, and returns when none of its threads runs any more.
    pub(crate) async fn freeze(&self) -> Result<()> {
        self.signal("STOP")?;
        // On a busy machine the signal waits for the one thread that gets it, while the others may
        // go on for milliseconds and answer what the test believes to be unanswered.
        while self.has_running_thread() {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Whether Linux says so; other systems have no `/proc`, and there nothing is known.
    fn has_running_thread(&self) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.pid)) else { return false };
        threads.flatten().any(|thread| {
            // As in `17 (name, which may have blanks) T …`.
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('T'))
        })
    }

    fn last_lines(&self) -> String {
        let output = self.output.borrow();
        let skipped = output.lines.len().saturating_sub(LINES_QUOTED);
        output.lines.iter().skip(skipped).map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // Neither step can fail in a way a test could mend, and a panic here would hide the test's
        // own message; the watchdog stays behind as the second way.
        if self.is_running() {
            drop(self.signal("KILL"));
        }
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }
}

/// Reads `child`'s output to its end, then reaps it.
fn follow(
    mut child: Child,
    read: PipeReader,
    output: &watch::Sender<Output>,
    listener: &dyn Fn(&str),
) {
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    while read.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        listener(&text);
        output.send_modify(|output| {
            if output.lines.len() < LINES_MAX {
                output.lines.push(text);
            }
        });
    }
    let exit = child.wait().ok();
    output.send_modify(|output| output.exit = exit);
}

/// Kills what it was told to watch and removes a folder, as soon as its input ends.
///
/// The input is a pipe whose only writing end is in the test process. However that process ends
/// (return, panic, abort, `kill -9`), the kernel closes the pipe. That is why this needs neither
/// destructors of statics, which never run, nor signal handlers.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
    /// `None` only while being dropped.
    input: Option<ChildStdin>,
}

/// Each line names all processes watched from then on. The second removal is for a process that
/// wrote a last file while it was being killed.
const WATCHDOG_SCRIPT: &str = r#"
pids=
while read -r line; do pids=$line; done
[ -z "$pids" ] || kill -s KILL $pids
rm -rf "$1" || { sleep 1; rm -rf "$1"; }
"#;

impl Watchdog {
    /// Starts watching with no process; `folder` is removed at the end.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", WATCHDOG_SCRIPT, "sh"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start sh to watch over child processes")?;
        let input = shell.stdin.take();
        Ok(Self { shell, input })
    }

    /// Replaces the list of processes to kill.
    pub(crate) fn watch(&mut self, pids: &[u32]) -> Result<()> {
        let line = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        let input = self.input.as_mut().context("the watchdog has ended")?;
        writeln!(input, "{line}").context("cannot tell the watchdog which processes to end")
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.input.take());
        // When the shell cannot be waited for it has ended, which is all that is wanted.
        drop(self.shell.wait());
    }
}
