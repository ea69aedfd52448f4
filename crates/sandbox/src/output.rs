//! What a handler writes to stdout and stderr, as bounded log lines.
//!
//! One [`Output`] stands behind the two streams of a store. It outlives calls, as a warm instance
//! does, and is opened for one invocation at a time: [`Output::open`] names the invocation, and
//! dropping what it returns logs an unfinished last line and what was cut. A handler can write
//! as much as it likes: it never waits, and what is held or logged for it stays bounded.

mod response;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use gristmill_invocation::Uuid;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::telemetry;

pub(crate) use response::Response;

/// The most lines that are logged for one invocation; the rest is counted.
pub const LOG_LINES_MAX: u64 = 1_000;

/// The most bytes that are logged for one invocation, both streams together; the rest is counted.
pub const LOG_BYTES_MAX: usize = 1024 * 1024;

/// The most bytes of one line; the rest of it is counted. As much as AWS keeps of one log event
/// (CloudWatch Logs quotas: 256 KB).
pub const LINE_BYTES_MAX: usize = 256 * 1024;

/// The most bytes that a handler may hand over at once; it splits longer writes itself.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// The two output streams of one store.
#[derive(Clone)]
pub(crate) struct Output(Arc<Mutex<Lines>>);

impl Output {
    /// Output of an instance of `function`.
    pub(crate) fn new(function: Arc<str>) -> Output {
        Output(Arc::new(Mutex::new(Lines {
            function,
            request_id: Uuid::nil(),
            stdout: Vec::new(),
            stderr: Vec::new(),
            lines_left: 0,
            bytes_left: 0,
            lines_cut: 0,
            bytes_cut: 0,
        })))
    }

    /// Starts an invocation, which lasts until the returned value is dropped.
    pub(crate) fn open(&self, request_id: Uuid) -> OpenOutput {
        let mut lines = self.lock();
        lines.request_id = request_id;
        lines.lines_left = LOG_LINES_MAX;
        lines.bytes_left = LOG_BYTES_MAX;
        lines.lines_cut = 0;
        lines.bytes_cut = 0;
        OpenOutput(self.clone())
    }

    pub(crate) fn stdout(&self) -> GuestStream {
        GuestStream { output: self.clone(), stream: Stream::Stdout }
    }

    pub(crate) fn stderr(&self) -> GuestStream {
        GuestStream { output: self.clone(), stream: Stream::Stderr }
    }

    /// Held for one write by the thread that polls the call, so nobody ever waits for it.
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The output of a running invocation. Dropping it, at the end of the call or with it, logs what
/// is left to log.
pub(crate) struct OpenOutput(Output);

impl Drop for OpenOutput {
    fn drop(&mut self) {
        self.0.lock().finish();
    }
}

#[derive(Debug, Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

/// Splits what is written into lines and counts what is too much.
struct Lines {
    function: Arc<str>,
    request_id: Uuid,
    /// The unfinished line of each stream, at most [`LINE_BYTES_MAX`] bytes.
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    lines_left: u64,
    bytes_left: usize,
    lines_cut: u64,
    bytes_cut: u64,
}

impl Lines {
    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let bytes_left = if self.lines_left == 0 { 0 } else { self.bytes_left };
            let line = self.line(stream);
            let room = LINE_BYTES_MAX.saturating_sub(line.len()).min(bytes_left);
            let (kept, cut) = text.split_at(text.len().min(room));
            line.extend_from_slice(kept);
            self.bytes_left -= kept.len();
            self.bytes_cut += cut.len() as u64;
            if piece.ends_with(b"\n") {
                self.end_line(stream);
            }
        }
    }

    /// Logs the unfinished line of `stream`, or counts it if no more is to be logged.
    fn end_line(&mut self, stream: Stream) {
        let mut line = std::mem::take(self.line(stream));
        if self.lines_left == 0 || (self.bytes_left == 0 && line.is_empty()) {
            self.lines_cut += 1;
            self.bytes_cut += line.len() as u64;
        } else {
            self.lines_left -= 1;
            // A line cut within a character ends with the replacement character.
            let text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line));
            let stream = match stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            };
            telemetry::handler_line(&self.function, self.request_id, stream, &text);
        }
        // The next line reuses the buffer.
        line.clear();
        *self.line(stream) = line;
    }

    fn finish(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.line(stream).is_empty() {
                self.end_line(stream);
            }
        }
        if self.lines_cut > 0 || self.bytes_cut > 0 {
            telemetry::output_cut(&self.function, self.request_id, self.lines_cut, self.bytes_cut);
        }
    }

    fn line(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

/// One stream as WASI sees it: never a terminal, always ready.
#[derive(Clone)]
pub(crate) struct GuestStream {
    output: Output,
    stream: Stream,
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.lock().write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.output.lock().write(self.stream, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
