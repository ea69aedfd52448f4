//! Visitors who ask for the wrong thing, or for nothing at all.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;

use gristmill::{CancellationToken, Config, Host};
use gristmill_control::serve;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A server of a host without mappings.
struct Server {
    address: SocketAddr,
    _tasks: JoinSet<()>,
    _folder: TempDir,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::parse("", &folder.path().join("gristmill.toml")).unwrap();
        let handle = Host::new(config, |_| None, gristmill::InProcess).unwrap().handle();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, handle, CancellationToken::new()));
        Self { address, _tasks: tasks, _folder: folder }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// What is answered to a request line.
    async fn says(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(format!("{request}\r\nhost: test\r\n\r\n").as_bytes()).await.unwrap();
        read(stream).await
    }
}

async fn read(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn only_what_there_is_can_be_asked_for_and_nothing_can_be_changed() {
    let server = Server::start().await;
    assert!(server.says("GET /healthz HTTP/1.1").await.ends_with("\r\n\r\nok\n"));
    assert!(server.says("GET /readyz HTTP/1.1").await.ends_with("\r\n\r\nready\n"));
    assert!(server.says("GET /metrics HTTP/1.1").await.starts_with("HTTP/1.1 404 "));
    assert!(server.says("POST /status HTTP/1.1").await.starts_with("HTTP/1.1 405 "));
    assert!(server.says("nonsense").await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn a_body_that_is_refused_is_not_waited_for() {
    let server = Server::start().await;
    let publishes = "POST /queues/orders/messages HTTP/1.1\r\ncontent-length: 8000000";
    assert!(server.says(publishes).await.starts_with("HTTP/1.1 403 "));
}

/// Paused time passes as soon as nothing else happens.
#[tokio::test(start_paused = true)]
async fn visitors_who_say_nothing_are_shown_out_and_others_get_their_turn() {
    let server = Server::start().await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /healthz HT").await.unwrap();
        silent.push(stream);
    }
    assert!(server.says("GET /healthz HTTP/1.1").await.ends_with("ok\n"));
    for stream in silent {
        assert_eq!(read(stream).await, "");
    }
}
