#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod codec;
pub mod connection;
mod content;
mod limits;
mod negotiation;
mod opaque;
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
pub use text::Text;
pub use value::{PrimitiveMap, Value};
