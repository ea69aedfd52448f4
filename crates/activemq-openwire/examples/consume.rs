//! Consumes a queue.
fn main() {}
