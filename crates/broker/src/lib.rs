//! The vocabulary every broker speaks to us: delivery, settlement, source, and the contract they
//! keep.
//!
//! A broker's crate turns its client into a [`Source`] here, once, at the edge; nothing above it
//! knows which broker it talks to. What a source must do is written at the trait, and proved by one
//! suite of tests that every implementation passes, the in-memory fake included.
//!
//! What must never happen: a delivery that is dropped counts as handled, or a token of an ended
//! epoch reaches a broker.

mod dead_letter;
mod delivery;
mod error;
#[cfg(feature = "fake")]
pub mod fake;
pub mod letter_headers;
mod login;
mod source;
#[cfg(feature = "tls")]
pub mod tls;

pub use dead_letter::{DeadLetter, DeadLetters, KeepError, Keeping, Original, Unreadable};
pub use delivery::{Defect, Delivery, DeliveryToken, Epoch, Returns, Settlement, Unusable};
pub use error::{Disposition, FileError, SourceError, StopCode, with_causes};
pub use login::{Login, LoginSource, Secret};
pub use source::{Received, Settled, Source};
