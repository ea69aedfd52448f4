//! The server: one request for each connection, a bounded number of them, each for a bounded time.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use gristmill::{CancellationToken, HostHandle, HostStatus};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::{answers, publishing};

/// The most connections at once; whoever comes then waits.
const CONNECTIONS_MAX: usize = 64;

/// How long a connection may take, from its first byte to its last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// What a lack of file descriptors is given to pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers until `stop` is cancelled; what is being answered then is cut off.
///
/// # Cancel safety
///
/// Dropping the future closes every connection.
pub async fn serve(listener: TcpListener, host: HostHandle, stop: CancellationToken) {
    let service = TowerToHyperService::new(router(host));
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &permits)).await {
        while connections.try_join_next().is_some() {}
        let Some((stream, permit)) = accepted else { continue };
        let service = service.clone();
        connections.spawn(async move {
            let _permit = permit;
            let mut builder = http1::Builder::new();
            builder.keep_alive(false);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            match timeout(CONNECTION_TIMEOUT, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%error, "a visitor went before it was answered"),
                Err(_elapsed) => debug!("a visitor took too long"),
            }
        });
    }
}

/// The next visitor; `None` when it was gone before it was let in.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            warn!(%error, "cannot let a visitor in");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn router(host: HostHandle) -> Router {
    let (ready, status) = (host.status(), host.status());
    let publish = async move |queue, wishes, request| {
        publishing::publish(&host, queue, wishes, request).await
    };
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || readyz(&ready)))
        .route("/status", get(async move || json(&status)))
        .route("/queues/{name}/messages", post(publish))
        .layer(DefaultBodyLimit::max(publishing::REQUEST_BYTES_MAX))
}

fn readyz(status: &HostStatus) -> Response {
    let waiting = answers::not_ready(status);
    if waiting.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, waiting.join("\n") + "\n").into_response()
}

fn json(status: &HostStatus) -> Response {
    let text = answers::status(status).to_string() + "\n";
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}
