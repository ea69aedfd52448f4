//! One attempt to connect, which leaves nothing behind when it fails.
//!
//! The client reads each connection on a thread of its own, and that thread outlives the future that
//! waits for the handshake: it ends when its socket does, and a broker that hangs never closes it.
//! So the attempt keeps a second handle of the socket and shuts it down unless it has succeeded.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_rs::TokioRuntime;
use lapin::tcp::{AMQPUriTcpExt, AsyncTcpStream};
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, Error};

use crate::tls::Tls;

/// An attempt under way. Dropping it with the socket inside ends the connection.
#[derive(Debug, Default)]
struct Attempt {
    socket: Arc<Mutex<Option<TcpStream>>>,
    /// Whether the TLS handshake is over, as seen from this side.
    encrypted: Arc<AtomicBool>,
}

/// An attempt that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// Whether it failed behind a TLS handshake.
    pub(crate) encrypted: bool,
}

/// Connects and logs in, encrypted if `tls` says how.
///
/// # Cancel safety
///
/// Dropping the future ends the attempt, the client's thread and the socket included.
pub(crate) async fn connect(
    uri: AMQPUri,
    tls: Option<Tls>,
    properties: ConnectionProperties,
) -> Result<Connection, Failed> {
    let attempt = Attempt::default();
    let (socket, encrypted) = (Arc::clone(&attempt.socket), Arc::clone(&attempt.encrypted));
    let open = async move |uri: AMQPUri, runtime: TokioRuntime| {
        let stream = uri.connect_async(&runtime).await?;
        let AsyncTcpStream::Plain(plain) = &stream else {
            return Err(io::Error::other("the client encrypted a plain connection").into());
        };
        let second: TcpStream = plain.get_ref().as_fd().try_clone_to_owned()?.into();
        *socket.lock().unwrap_or_else(PoisonError::into_inner) = Some(second);
        let Some(Tls { connector, server_name }) = &tls else { return Ok(stream) };
        let server_name = server_name.as_deref().unwrap_or(&uri.authority.host);
        let stream = stream.into_rustls(connector, server_name).await?;
        encrypted.store(true, Ordering::Relaxed);
        Ok(stream)
    };
    let connecting = async {
        let runtime = lapin::runtime::default_runtime()?;
        Connection::connector(uri, runtime, open, properties).await
    };
    match connecting.await {
        Ok(connection) => {
            attempt.succeed();
            Ok(connection)
        }
        Err(error) => Err(Failed { error, encrypted: attempt.encrypted.load(Ordering::Relaxed) }),
    }
}

impl Attempt {
    /// Leaves the socket to the connection.
    fn succeed(&self) {
        *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // An error says that the other side was faster.
            drop::<io::Result<()>>(socket.shutdown(Shutdown::Both));
        }
    }
}
