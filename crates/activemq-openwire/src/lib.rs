//! OpenWire, the protocol of ActiveMQ Classic. Bytes come from anywhere and are hostile: none of them
//! may panic, or take memory beyond the [`Limits`].
#![doc = ""]
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
// What a peer sends decides every length and count in here.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

#[cfg(feature = "client")]
pub mod client;
mod codec;
pub mod connection;
mod content;
mod limits;
mod negotiation;
mod opaque;
mod outgoing;
pub mod structures;
mod text;
mod value;

pub use bytes;
pub use codec::{
    DecodeError, EncodeError, Format, Frame, VERSION_MAX, VERSION_MIN, decode, encode, next_frame,
};
pub use connection::Connection;
pub use content::Body;
pub use limits::Limits;
pub use negotiation::Agreement;
pub use opaque::{Hidden, Opaque};
pub use outgoing::Outgoing;
pub use text::Text;
pub use value::{PrimitiveMap, Value};
