//! The proxy does to connections what it says.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use gristmill_testkit::proxy::Proxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);

/// A proxy in front of a server that answers every byte with the same.
async fn echo(tasks: &mut JoinSet<()>) -> Proxy {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap().port()).await.unwrap();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut from, mut to) = stream.into_split();
                drop(tokio::io::copy(&mut from, &mut to).await);
            });
        }
    });
    proxy
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await.unwrap()
}

async fn says_back(stream: &mut TcpStream) -> bool {
    stream.write_all(b"a").await.unwrap();
    let mut answer = [0];
    timeout(LONG, stream.read(&mut answer)).await.unwrap().unwrap_or(0) == 1
}

#[tokio::test]
async fn a_cut_ends_what_there_is_and_nothing_later() {
    let mut tasks = JoinSet::new();
    let proxy = echo(&mut tasks).await;
    let mut stream = connect(&proxy).await;
    assert!(says_back(&mut stream).await);
    proxy.cut();
    let mut end = [0];
    assert_eq!(timeout(LONG, stream.read(&mut end)).await.unwrap().unwrap_or(0), 0);
    assert!(says_back(&mut connect(&proxy).await).await);
    proxy.refuse(true);
    let mut refused = connect(&proxy).await;
    assert_eq!(timeout(LONG, refused.read(&mut end)).await.unwrap().unwrap_or(0), 0);
    proxy.refuse(false);
    assert!(says_back(&mut connect(&proxy).await).await);
}

#[tokio::test]
async fn swallowed_bytes_never_come_and_the_connection_stays_open() {
    let mut tasks = JoinSet::new();
    let proxy = echo(&mut tasks).await;
    let mut stream = connect(&proxy).await;
    assert!(says_back(&mut stream).await);
    proxy.swallow(true);
    stream.write_all(b"a").await.unwrap();
    let mut answer = [0];
    assert!(timeout(Duration::from_millis(200), stream.read(&mut answer)).await.is_err());
    proxy.swallow(false);
    assert!(says_back(&mut connect(&proxy).await).await);
}

#[tokio::test]
async fn a_delay_holds_back_each_way() {
    let mut tasks = JoinSet::new();
    let proxy = echo(&mut tasks).await;
    let mut stream = connect(&proxy).await;
    proxy.delay(Duration::from_millis(100));
    let since = Instant::now();
    assert!(says_back(&mut stream).await);
    assert!(since.elapsed() >= Duration::from_millis(200));
}
