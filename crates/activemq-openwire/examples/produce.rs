//! Produces.
fn main() {}
