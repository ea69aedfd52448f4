//! The line from a source to its settlements, on the in-memory broker and a scripted function, with
//! paused time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod answers;
mod chaos;
mod drain;
mod flawed;
mod keeping;
mod limits;
mod loss;
mod overtaking;
mod partly;
mod place;
mod retry;
mod states;
mod support;
