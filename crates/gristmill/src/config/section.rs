//! One table of the file while it is being read: key after key is taken out and checked, and
//! whatever is left in the end is unknown.
//!
//! A key that is wrong becomes a problem and reads as absent, so that the keys after it are still
//! checked. The values that stand in for it are never seen: a file with a problem gives no
//! configuration.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problems;
use super::value;

/// One table, with the place where problems with it are noted.
pub(super) struct Section<'p, 't> {
    /// The table's full path, such as `mapping.orders`; empty for the whole file.
    path: String,
    /// Its last part.
    name: String,
    /// The byte offset of the table's name, where problems with absent keys are noted.
    at: usize,
    /// What has not been taken yet.
    left: DeTable<'t>,
    /// Every key that was asked for, present or not: what an unknown key is compared with.
    known: Vec<&'static str>,
    problems: &'p mut Problems<'t>,
}

impl<'p, 't> Section<'p, 't> {
    /// The whole file.
    pub(super) fn root(table: DeTable<'t>, problems: &'p mut Problems<'t>) -> Self {
        Self {
            path: String::new(),
            name: String::new(),
            at: 0,
            left: table,
            known: Vec::new(),
            problems,
        }
    }

    /// Whether a key is there that has not been taken yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.left.contains_key(key)
    }

    /// The table's own name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Notes a problem with the table as a whole.
    pub(super) fn problem(&mut self, message: String) {
        let path = self.path.clone();
        self.problems.add(self.at, &path, message);
    }

    /// Takes a key that has to be there. `what` completes "missing; set it to".
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        what: &str,
        read: impl FnOnce(&DeValue<'t>) -> Result<T, String>,
    ) -> Option<T> {
        if !self.left.contains_key(key) {
            let path = self.path_of(key);
            self.problems.add(self.at, &path, format!("missing; set it to {what}"));
        }
        self.optional(key, read)
    }

    /// Takes a key that has a default.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&DeValue<'t>) -> Result<T, String>,
    ) -> T {
        self.optional(key, read).unwrap_or(default)
    }

    /// Takes a key that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&DeValue<'t>) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(key);
        let value = self.left.remove(key)?;
        match read(value.get_ref()) {
            Ok(value) => Some(value),
            Err(message) => {
                let path = self.path_of(key);
                self.problems.add(value.span().start, &path, message);
                None
            }
        }
    }

    /// Takes a key that may not be there, and says why if it is.
    pub(super) fn refuse(&mut self, key: &str, message: &str) {
        if let Some(value) = self.left.remove(key) {
            let path = self.path_of(key);
            self.problems.add(value.span().start, &path, message.to_owned());
        }
    }

    /// Takes the table `key`; an absent one is empty.
    pub(super) fn table(&mut self, key: &'static str) -> Section<'_, 't> {
        self.known.push(key);
        let path = self.path_of(key);
        let (at, value) = match self.left.remove_entry(key) {
            Some((name, value)) => (name.span().start, Some(value)),
            None => (self.at, None),
        };
        let left = value.and_then(|value| into_table(value, &path, self.problems));
        let left = left.unwrap_or_default();
        let name = key.to_owned();
        Section { path, name, at, left, known: Vec::new(), problems: &mut *self.problems }
    }

    /// Takes every table in this one, by name, and reads it as a section of its own. A name has to pass
    /// `check_name`.
    ///
    /// Gives all names, those with problems among them, so that whoever refers to a section that is
    /// wrong is not told that it is missing; and what was read.
    pub(super) fn each<T>(
        mut self,
        check_name: impl Fn(&str) -> Result<(), String>,
        mut read: impl FnMut(Section<'_, 't>) -> Option<T>,
    ) -> (Vec<String>, Vec<(String, T)>) {
        let (mut names, mut sections) = (Vec::new(), Vec::new());
        for (name, value) in std::mem::take(&mut self.left) {
            let path = self.path_of(name.get_ref());
            let at = name.span().start;
            let name = name.into_inner().into_owned();
            if let Err(message) = check_name(&name) {
                self.problems.add(at, &path, message);
            }
            if let Some(left) = into_table(value, &path, self.problems) {
                let problems = &mut *self.problems;
                let known = Vec::new();
                let section = Section { path, name: name.clone(), at, left, known, problems };
                sections.extend(read(section).map(|section| (name.clone(), section)));
            }
            names.push(name);
        }
        (names, sections)
    }

    /// Takes every value in this table, whatever its key.
    pub(super) fn values<T>(
        mut self,
        read: impl Fn(&str, &DeValue<'t>) -> Result<T, String>,
    ) -> Vec<(String, T)> {
        let mut values = Vec::new();
        for (key, value) in std::mem::take(&mut self.left) {
            match read(key.get_ref(), value.get_ref()) {
                Ok(read) => values.push((key.into_inner().into_owned(), read)),
                Err(message) => {
                    let path = self.path_of(key.get_ref());
                    self.problems.add(value.span().start, &path, message);
                }
            }
        }
        values
    }

    /// Takes an array of tables, each read as a section of its own; an absent one is empty.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(Section<'_, 't>) -> Option<T>,
    ) -> Vec<T> {
        self.known.push(key);
        let Some(value) = self.left.remove(key) else { return Vec::new() };
        let (at, path) = (value.span().start, self.path_of(key));
        let value = value.into_inner();
        let DeValue::Array(array) = value else {
            self.problems.add(at, &path, value::wrong_type(&value, "an array of tables"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (number, value) in array.into_iter().enumerate() {
            let (at, path) = (value.span().start, format!("{path}[{number}]"));
            if let Some(left) = into_table(value, &path, self.problems) {
                let problems = &mut *self.problems;
                let (name, known) = (number.to_string(), Vec::new());
                sections.extend(read(Section { path, name, at, left, known, problems }));
            }
        }
        sections
    }

    /// Ends the reading: what nobody asked for is unknown.
    pub(super) fn finish(mut self) {
        for (key, _) in std::mem::take(&mut self.left) {
            let path = self.path_of(key.get_ref());
            let hint = value::hint(key.get_ref(), self.known.iter().copied());
            self.problems.add(key.span().start, &path, format!("unknown key; {hint}"));
        }
    }

    /// The full path of a key in this table, quoted where TOML would want it quoted.
    fn path_of(&self, key: &str) -> String {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let key = if !key.is_empty() && key.chars().all(bare) {
            key.to_owned()
        } else {
            format!("{key:?}")
        };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }
}

fn into_table<'t>(
    found: Spanned<DeValue<'t>>,
    path: &str,
    problems: &mut Problems<'t>,
) -> Option<DeTable<'t>> {
    let at = found.span().start;
    let found = found.into_inner();
    let DeValue::Table(table) = found else {
        problems.add(at, path, value::wrong_type(&found, "a table"));
        return None;
    };
    Some(table)
}
