//! What the host says over HTTP, whether it lives, whether it works, and what its mappings say; and what it
//! takes, where the configuration opens it: messages.
//!
//! | path | answers |
//! |---|---|
//! | `/healthz` | 200 as long as the process can answer |
//! | `/readyz` | 200 when every enabled mapping has its queue; otherwise 503, and a line for each that has not |
//! | `/status` | 200 and JSON: version, and of each mapping its state, why, its last result and its counts |
//! | `POST /queues/{name}/messages` | 200 and JSON, when the message is on the disk: only for embedded brokers with `http_publish` |
//!
//! Open to whoever can reach the address. What must never happen: a login in an answer, a visitor that
//! costs the host more than a connection for a few seconds, or one that publishes what nobody opened.

#![forbid(unsafe_code)]

mod answers;
mod publishing;
mod server;

pub use server::serve;
