//! The task between a socket and a connection: bytes in, bytes out, and the time.
//!
//! It ends when the connection has. What must never happen: that it waits for a handle, since then
//! keep-alives would wait as well.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::shared::Shared;

/// Frames are slices of blocks of at least this size: the price of keeping a small one.
const BLOCK_BYTES: usize = 32 << 10;

/// A new block begins when less is left of the last one.
const READ_BYTES_MIN: usize = 4 << 10;

/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) async fn drive<S>(stream: S, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite,
{
    let guard = EndOnDrop(shared);
    let shared = &guard.0;
    let (mut reader, writer) = tokio::io::split(stream);
    let mut writer = Output { writer, bytes: Bytes::new(), is_unflushed: false };
    let mut input = BytesMut::with_capacity(BLOCK_BYTES);
    let mut alarm = pin!(sleep_until(Instant::now()));
    loop {
        let timeout = {
            let mut inner = shared.lock();
            let now = Instant::now().into_std();
            inner.connection.handle_timeout(now);
            if writer.bytes.is_empty()
                && let Some(output) = inner.connection.take_output(now)
            {
                writer.bytes = output;
                shared.output_taken();
            }
            shared.pass_on_events(&mut inner);
            if inner.connection.is_closed() {
                break;
            }
            inner.connection.next_timeout()
        };
        // The timeout moves with all that is read and written. To ring too early now and then costs
        // less than to set the alarm each time.
        if let Some(timeout) = timeout.map(Instant::from_std)
            && (alarm.is_elapsed() || timeout < alarm.deadline())
        {
            alarm.as_mut().reset(timeout);
        }
        if input.capacity().saturating_sub(input.len()) < READ_BYTES_MIN {
            input.reserve(BLOCK_BYTES);
        }
        let done = tokio::select! {
            read = reader.read_buf(&mut input) => read.and_then(|count| {
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let now = Instant::now().into_std();
                shared.lock().connection.receive(now, &mut input);
                Ok(())
            }),
            written = writer.advance(), if writer.has_work() => written,
            () = shared.wake.notified() => Ok(()),
            () = &mut alarm, if timeout.is_some() => Ok(()),
        };
        if let Err(error) = done {
            shared.lock().lose(error);
        }
    }
    // The other side may be gone, and then there is nobody to take leave of.
    drop(timeout(FAREWELL, take_leave(&mut writer, shared)).await);
}

/// Writes what is under way and what the connection has said last, and closes the socket.
async fn take_leave<W: AsyncWrite + Unpin>(
    writer: &mut Output<W>,
    shared: &Shared,
) -> io::Result<()> {
    writer.write_all().await?;
    let last = shared.lock().connection.take_output(Instant::now().into_std());
    writer.bytes = last.unwrap_or_default();
    writer.write_all().await?;
    writer.writer.shutdown().await
}

/// Ends the connection when the task ends by itself or is dropped, so that nobody waits for ever.
struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.connection.transport_lost();
        self.0.pass_on_events(&mut inner);
    }
}

/// What is on its way into the socket.
struct Output<W> {
    writer: W,
    bytes: Bytes,
    /// Whether something may wait inside of TLS.
    is_unflushed: bool,
}

impl<W: AsyncWrite + Unpin> Output<W> {
    fn has_work(&self) -> bool {
        self.is_unflushed || !self.bytes.is_empty()
    }

    /// Does one step, after which everything else is looked at again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    async fn advance(&mut self) -> io::Result<()> {
        if self.bytes.is_empty() {
            self.writer.flush().await?;
            self.is_unflushed = false;
            return Ok(());
        }
        let written = self.writer.write(&self.bytes).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.bytes.advance(written);
        self.is_unflushed = true;
        Ok(())
    }

    async fn write_all(&mut self) -> io::Result<()> {
        while self.has_work() {
            self.advance().await?;
        }
        Ok(())
    }
}
