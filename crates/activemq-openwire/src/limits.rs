//! How much a peer may make this side hold.
//!
//! Everything that a length or a count on the wire decides is checked against one of these before
//! memory is taken for it. What must never happen: an allocation as large as a peer says, before
//! the bytes for it are there.

/// The most that decoding takes on. All sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest frame, without its size prefix. Default: 100 MiB, as in Amazon MQ.
    pub frame_bytes_max: usize,
    /// The longest string but for a message's text, which the frame bounds. Default: 1 MiB.
    pub string_bytes_max: usize,
    /// How deep structures, and apart from them maps and lists, may nest. Default: 32.
    pub nesting_max: u8,
    /// The most elements of all arrays, maps, lists and stack traces of one frame, or of one
    /// content. Each takes some hundred bytes of memory and as little as one on the wire.
    /// Default: 65,536.
    pub elements_max: usize,
    /// The longest content after inflating it. Default: 100 MiB, as in Java's client.
    pub inflated_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 100 << 20,
            string_bytes_max: 1 << 20,
            nesting_max: 32,
            elements_max: 1 << 16,
            inflated_bytes_max: 100 << 20,
        }
    }
}
