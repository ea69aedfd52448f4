//! What a handler reached for and was refused, each thing told once.
//!
//! The handler sees an ordinary WASI error. The operator sees one line in the log, so that a grant
//! that is missing is found, and a handler that tries for ever writes no log for ever.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::telemetry;

/// The most things that are told of one function. Names come from the handler, so there can be any
/// number of them.
const TOLD_MAX: usize = 100;

/// The most characters of a name that are told.
const NAME_CHARS_MAX: usize = 200;

/// The refusals of one function, shared by its instances.
#[derive(Debug)]
pub(crate) struct Refusals {
    function: String,
    told: Mutex<BTreeSet<String>>,
}

impl Refusals {
    pub(crate) fn new(function: &str) -> Refusals {
        Refusals { function: function.to_owned(), told: Mutex::default() }
    }

    /// Notes that the handler may not do this, such as `connect to`, with that, such as an address.
    pub(crate) fn note(&self, what: &'static str, with: impl fmt::Display) {
        let refused: String = format!("{what} {with}").chars().take(NAME_CHARS_MAX).collect();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD_MAX && !told.contains(&refused) {
            telemetry::refused(&self.function, &refused);
            told.insert(refused);
        }
    }
}
