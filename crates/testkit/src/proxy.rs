//! A proxy between a client and a server that does to connections what networks do.
//!
//! It forwards bytes both ways on loopback, and on demand cuts connections, refuses new ones, holds
//! every byte back for a while, or swallows all of them without a word, as a network does whose
//! firewall has forgotten a connection.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What the proxy does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Conduct {
    /// Connections of an older generation are cut.
    generation: u64,
    refuses: bool,
    delay: Duration,
    swallows: bool,
}

/// A proxy in front of a server on loopback. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    conduct: watch::Sender<Conduct>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Starts to forward to the server at `target_port`.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub async fn start(target_port: u16) -> Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port for a proxy")?;
        let port = listener.local_addr().context("no port for a proxy")?.port();
        let conduct = watch::Sender::new(Conduct {
            generation: 0,
            refuses: false,
            delay: Duration::ZERO,
            swallows: false,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, target_port, conduct.subscribe()));
        Ok(Self { port, conduct, _tasks: tasks })
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts every connection there is.
    pub fn cut(&self) {
        self.conduct.send_modify(|conduct| conduct.generation += 1);
    }

    /// Closes new connections at once, or lets them in again.
    pub fn refuse(&self, refuses: bool) {
        self.conduct.send_modify(|conduct| conduct.refuses = refuses);
    }

    /// Holds every chunk back for this long.
    pub fn delay(&self, delay: Duration) {
        self.conduct.send_modify(|conduct| conduct.delay = delay);
    }

    /// Swallows every byte both ways while connections stay open; or forwards again, in connections
    /// made from then on.
    pub fn swallow(&self, swallows: bool) {
        self.conduct.send_modify(|conduct| conduct.swallows = swallows);
    }
}

async fn serve(listener: TcpListener, target_port: u16, conduct: watch::Receiver<Conduct>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        if !conduct.borrow().refuses {
            connections.spawn(connect(client, target_port, conduct.clone()));
        }
    }
}

async fn connect(client: TcpStream, target_port: u16, conduct: watch::Receiver<Conduct>) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target_port)).await else { return };
    let born = conduct.borrow().generation;
    let mut cut = conduct.clone();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let conduct = Arc::new(conduct);
    tokio::select! {
        _ = cut.wait_for(|conduct| conduct.generation != born) => {}
        _ = forward(from_client, to_server, &conduct) => {}
        _ = forward(from_server, to_client, &conduct) => {}
    }
}

/// Forwards until one side ends. A connection that once lost bytes loses all that follow.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    conduct: &watch::Receiver<Conduct>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut swallowed = false;
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let Conduct { delay, swallows, .. } = *conduct.borrow();
        swallowed |= swallows;
        if swallowed {
            continue;
        }
        if !delay.is_zero() {
            sleep(delay).await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}
