#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod codec;
mod content;
mod limits;
mod opaque;
pub mod structures;
mod text;
mod value;

pub use bytes;
pub use codec::{
    DecodeError, EncodeError, Format, Frame, VERSION_MAX, VERSION_MIN, decode, encode, next_frame,
};
pub use content::Body;
pub use limits::Limits;
pub use opaque::{Hidden, Opaque};
pub use text::Text;
pub use value::{PrimitiveMap, Value};
