//! What is wrong with a configuration file, and where.
//!
//! Problems are collected while the file is read and told together, so that one round of editing
//! can mend them all. No problem quotes the value of a key that may hold a password.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration file {}: check that it exists and may be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file was read and is wrong. Displays as one line per problem, each with file and line.
    #[error("{}", Lines { path, problems })]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong with it, at least one thing, in the order of its lines.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong with a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line it stands in, from 1.
    pub line: usize,
    /// The full path of the key, such as `mapping.orders.queue`; empty where the text is not TOML.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, key, message } = self;
        if key.is_empty() {
            write!(f, "{line}: {message}")
        } else {
            write!(f, "{line}: {key}: {message}")
        }
    }
}

struct Lines<'a> {
    path: &'a Path,
    problems: &'a [Problem],
}

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{}:{problem}", self.path.display())?;
        }
        Ok(())
    }
}

/// The problems of one text while it is being read.
pub(super) struct Problems<'t> {
    text: &'t str,
    /// Each with the byte offset it was found at, by which they are sorted in the end.
    found: Vec<(usize, Problem)>,
}

impl<'t> Problems<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, found: Vec::new() }
    }

    /// Notes a problem at a byte offset of the text.
    pub(super) fn add(&mut self, at: usize, key: &str, message: String) {
        let line = 1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        self.found.push((at, Problem { line, key: key.to_owned(), message }));
    }

    /// All problems in the order of the text.
    pub(super) fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|(at, _)| *at);
        self.found.into_iter().map(|(_, problem)| problem).collect()
    }
}
