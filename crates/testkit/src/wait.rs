//! Waiting for what can only be asked for again and again.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until the answer is yes.
///
/// # Panics
///
/// When `patience` passes first.
#[expect(clippy::expect_used, reason = "it is for tests, which fail by panicking")]
pub async fn until(patience: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !holds().await {
            sleep(PAUSE).await;
        }
    };
    timeout(patience, asking).await.expect("it holds in time");
}
