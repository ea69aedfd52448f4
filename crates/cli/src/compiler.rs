//! The host's compiler: `gristmill compile` in a child process, which can be ended.
//!
//! ```text
//! host ── WebAssembly ──▶ stdin  ┌───────┐  stdout ── native code ──▶ host
//!                                │ child │  stderr ── why not ──────▶
//!                                └───────┘  memory, time: limited by itself; deadline: killed by us
//! ```

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use gristmill::{CompileError, Compiler};

use crate::exit;

/// The most memory of the child: several times what a handler of 60 MB takes.
const MEMORY_MAX: &str = "4GiB";

/// The most bytes of native code: what a component of the largest sort becomes, many times over.
const NATIVE_BYTES_MAX: u64 = 2 << 30;

/// The most bytes of what the child says on stderr.
const COMPLAINT_BYTES_MAX: u64 = 64 * 1024;

/// Runs this same program as a compiler.
#[derive(Debug)]
pub(crate) struct ChildCompiler {
    program: PathBuf,
    timeout: Duration,
    reader: mpsc::Sender<Reading>,
}

/// What a child prints, and who waits for the whole of it.
type Reading = (Option<ChildStdout>, mpsc::Sender<Vec<u8>>);

impl ChildCompiler {
    /// A compiler with so much time for each handler.
    pub(crate) fn new(timeout: Duration) -> anyhow::Result<Self> {
        // The name would mean the next version once somebody has put that in this one's place.
        let program = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe().context("cannot find this program's own file")?
        };
        // One thread for all children: what native code took is kept by the allocator for the thread that
        // read it, and with a thread for each that comes to several megabytes.
        let (reader, readings) = mpsc::channel::<Reading>();
        let read_all = move || {
            for (stdout, answer) in readings {
                drop(answer.send(read(stdout, NATIVE_BYTES_MAX)));
            }
        };
        let thread = thread::Builder::new().name("gristmill-native".to_owned());
        thread.spawn(read_all).context("cannot start a thread")?;
        Ok(Self { program, timeout, reader })
    }

    fn start(&self) -> std::io::Result<Child> {
        Command::new(&self.program)
            .args(["compile", "-", "--output", "-", "--with-parent"])
            .args(["--memory-max", MEMORY_MAX])
            .arg("--timeout")
            .arg(format!("{}s", self.timeout.as_secs().max(1)))
            // It needs nothing of what this process was told, secrets among it.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }
}

// SAFETY: the child is this very program, and what it prints is what its `precompile` wrote; an end
// without success, or before all was written, is an error.
#[expect(unsafe_code, reason = "the promise that the trait asks for")]
unsafe impl Compiler for ChildCompiler {
    fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
        let mut child = self.start().map_err(|error| CompileError::NotRun(error.into()))?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        thread::scope(|scope| {
            scope.spawn(|| {
                if let Some(mut stdin) = stdin {
                    // Who ends before it has read everything has said why.
                    drop(stdin.write_all(wasm));
                }
            });
            let complaint = scope.spawn(move || read(stderr, COMPLAINT_BYTES_MAX));
            let (answer, answered) = mpsc::channel();
            drop(self.reader.send((stdout, answer)));
            let native = answered.recv_timeout(self.timeout);
            if native.is_err() {
                // Otherwise it is over, or about to be: it has closed its stdout.
                drop(child.kill());
            }
            let status = child.wait().map_err(|error| CompileError::NotRun(error.into()))?;
            let complaint = complaint.join().unwrap_or_default();
            match native {
                Ok(native) => answer_of(status, native, &complaint),
                Err(_elapsed) => Err(CompileError::TimedOut(self.timeout)),
            }
        })
    }
}

fn answer_of(
    status: ExitStatus,
    native: Vec<u8>,
    complaint: &[u8],
) -> Result<Vec<u8>, CompileError> {
    let complaint = String::from_utf8_lossy(complaint);
    let complaint = complaint.trim_end();
    if status.success() {
        Ok(native)
    } else if status.code() == Some(i32::from(exit::CONFIGURATION)) {
        let complaint = complaint.strip_prefix("error: cannot compile -: ").unwrap_or(complaint);
        Err(CompileError::RefusedElsewhere(complaint.to_owned()))
    } else {
        let last = complaint.lines().last().map(|line| format!(": {line}")).unwrap_or_default();
        Err(CompileError::Died(format!("{status}{last}")))
    }
}

/// Everything up to a bound; what is beyond stays unread, which ends whoever writes it.
fn read(pipe: Option<impl Read>, bytes_max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What came before a failure is what there is.
        drop(pipe.take(bytes_max).read_to_end(&mut bytes));
    }
    bytes
}
