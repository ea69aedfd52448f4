//! What the host tells over HTTP: whether it lives, whether it works, and what its mappings say.
//!
//! | path | answers |
//! |---|---|
//! | `/healthz` | 200 as long as the process can answer |
//! | `/readyz` | 200 when every enabled mapping has its queue; otherwise 503, and a line for each that has not |
//! | `/status` | 200 and JSON: version, and of each mapping its state, why, its last result and its counts |
//!
//! Read-only, and open to whoever can reach the address. What must never happen: a login in an answer,
//! or a visitor that costs the host more than a connection for a few seconds.

#![forbid(unsafe_code)]

mod answers;
mod server;

pub use server::serve;
