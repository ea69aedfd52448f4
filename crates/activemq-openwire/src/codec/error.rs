//! Why bytes are not what they should be, and why a structure cannot be written.

/// Why a frame, a content or a property map cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("the bytes end inside a field")]
    Truncated,
    /// Everything is decoded and bytes are left.
    #[error("{count} bytes are left after the last field")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// The size before a frame is not positive, or larger than the limit.
    #[error("a frame of {size} bytes is outside of 1 to {max}")]
    FrameSize {
        /// The size, without its own four bytes.
        size: i32,
        /// The limit.
        max: usize,
    },
    /// A length or count is negative.
    #[error("a length or count is negative")]
    NegativeLength,
    /// A string is longer than the limit.
    #[error("a string of {length} bytes is longer than the limit of {max}")]
    StringTooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// Structures, or maps and lists, nest deeper than the limit.
    #[error("the nesting is deeper than the limit")]
    TooDeep,
    /// More elements than the limit.
    #[error("more elements than the limit")]
    TooManyElements,
    /// A boolean that is neither 0 nor 1.
    #[error("a boolean of {value}")]
    NotABool {
        /// What it is.
        value: u8,
    },
    /// A nested structure of an unknown type, or of one that does not belong there.
    #[error("a structure of type {code} is not known in this place")]
    UnexpectedType {
        /// The type code.
        code: u8,
    },
    /// A primitive value of an unknown type.
    #[error("a primitive value of type {code} is not known")]
    UnknownPrimitive {
        /// The type code.
        code: u8,
    },
    /// The first frame does not say `ActiveMQ`.
    #[error("the peer does not speak OpenWire")]
    NotOpenWire,
    /// A compressed content that cannot be inflated.
    #[error("the compressed content cannot be inflated")]
    Inflate,
    /// A compressed content that is larger than the limit when inflated.
    #[error("the content is longer than {max} bytes when inflated")]
    InflatedTooLarge {
        /// The limit.
        max: usize,
    },
}

/// Why a structure cannot be encoded. Nothing of it has been written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A string of more than 65,535 bytes, where the wire has two bytes for its length.
    #[error("a string of {length} bytes is longer than the 65535 that fit")]
    StringTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// An array with more elements than the wire can count.
    #[error("{count} elements are more than can be counted")]
    TooManyElements {
        /// How many.
        count: usize,
    },
    /// The frame is larger than the limit, or than the wire can say.
    #[error("a frame of {size} bytes is larger than the limit of {max}")]
    FrameTooLarge {
        /// The size, without its own four bytes.
        size: usize,
        /// The limit.
        max: usize,
    },
}
