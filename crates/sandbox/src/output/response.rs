//! What a command writes to stdout: its response, up to the most that a response may hold.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use gristmill_invocation::Outcome;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::WRITE_BYTES_MAX;
use crate::limits::RESPONSE_BYTES_MAX;

/// The stdout of one command. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Response(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    is_too_large: bool,
}

impl Response {
    /// Whether the command wrote more than a response may hold, which has ended it.
    pub(crate) fn is_too_large(&self) -> bool {
        self.lock().is_too_large
    }

    /// What a command that ended well has answered: nothing if it wrote nothing but white space.
    pub(crate) fn outcome(&self) -> Outcome {
        let mut written = self.lock();
        if written.is_too_large {
            return Outcome::ResponseTooLarge;
        }
        match String::from_utf8(std::mem::take(&mut written.bytes)) {
            Ok(mut text) => {
                text.truncate(text.trim_end().len());
                Outcome::Succeeded((!text.is_empty()).then_some(text))
            }
            Err(_) => Outcome::HandlerError("its response on stdout is not UTF-8".to_owned()),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut written = self.lock();
        if bytes.len() > RESPONSE_BYTES_MAX - written.bytes.len() {
            written.is_too_large = true;
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the response is too large"));
        }
        written.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IsTerminal for Response {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Response {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Response {
    async fn ready(&mut self) {}
}

impl OutputStream for Response {
    /// Too much ends the command at once: whatever else it writes is for nobody.
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        Response::write(self, &bytes).map_err(|error| StreamError::trap(&error.to_string()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for Response {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Response::write(&self, bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> Response {
        let response = Response::default();
        response.write(bytes).unwrap();
        response
    }

    #[test]
    fn a_response_is_what_was_written_without_its_last_line_break() {
        assert_eq!(written(b"{}\n").outcome(), Outcome::Succeeded(Some("{}".to_owned())));
        assert_eq!(written(b" \n").outcome(), Outcome::Succeeded(None));
        assert_eq!(written(b"").outcome(), Outcome::Succeeded(None));
        assert!(matches!(written(b"\xff").outcome(), Outcome::HandlerError(_)));
    }

    #[test]
    fn a_response_holds_six_megabytes_and_no_byte_more() {
        let response = written(&vec![b'x'; RESPONSE_BYTES_MAX]);
        assert!(!response.is_too_large());
        response.write(b"x").unwrap_err();
        assert!(response.is_too_large());
        assert_eq!(response.outcome(), Outcome::ResponseTooLarge);
    }
}
