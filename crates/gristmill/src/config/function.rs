//! The section `[function.NAME]`: the handler, its limits, and what it may reach.
//!
//! What must never happen: a grant that was not written, or one by which a handler could change what
//! the host trusts.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::ops::RangeInclusive;
use std::path::{self, Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use gristmill_broker::Secret;
use gristmill_sandbox::{
    DirGrant, FUEL_PER_SECOND, Grants, MEMORY_MAX_BYTES, RESERVED_VARIABLES, TIMEOUT_MAX,
};
use toml::de::DeValue;

use super::section::Section;
use super::{HostConfig, value};

/// From what a small handler needs for its stack and data to all that 32-bit WebAssembly addresses.
pub(super) const MEMORY_BYTES: RangeInclusive<u64> = 1 << 20..=4 << 30;

/// The most is chosen so that the budget of the longest timeout, 840 s, fits an `i64`.
const FUEL: RangeInclusive<u64> = 1_000_000..=1_000_000_000_000_000;

/// A handler, its limits and its grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionConfig {
    /// The handler.
    pub component: Component,
    /// The longest that one invocation may run: more than nothing, at most 14 minutes.
    pub timeout: Duration,
    /// The most linear memory of one instance, in bytes: 1 MiB to 4 GiB.
    pub memory_bytes: u64,
    /// The fuel that one second of `timeout` buys. Its product with any timeout fits an `i64`.
    pub fuel_per_second: u64,
    /// The most invocations at once, over all mappings; `None`: as many as there is room for.
    pub reserved_concurrency: Option<NonZeroU16>,
    /// Whether an instance is kept for the next batch.
    pub instance_reuse: bool,
    /// After so many invocations an instance is not kept; `None`: after any number.
    pub instance_max_invocations: Option<NonZeroU32>,
    /// Whether the file may hold native code.
    pub trusted: bool,
    /// Whether it has no section of its own, but stands in the plugins folder.
    pub dropped_in: bool,
    /// Environment variables, by their names.
    pub environment: BTreeMap<String, Variable>,
    /// What else it may reach.
    pub grants: Grants,
}

/// Where a handler stands.
#[derive(Clone, PartialEq, Eq)]
pub enum Component {
    /// In this file, which is followed: when it changes, the new handler takes over.
    File(PathBuf),
    /// In memory.
    Bytes(Arc<[u8]>),
}

impl Component {
    /// Its file, if it has one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Component::File(path) => Some(path),
            Component::Bytes(_) => None,
        }
    }
}

impl From<PathBuf> for Component {
    fn from(path: PathBuf) -> Self {
        Component::File(path)
    }
}

impl From<&str> for Component {
    fn from(path: &str) -> Self {
        Component::File(path.into())
    }
}

impl From<Vec<u8>> for Component {
    fn from(bytes: Vec<u8>) -> Self {
        Component::Bytes(bytes.into())
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Component::File(path) => path.fmt(f),
            Component::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

impl FunctionConfig {
    /// A handler with what a section has that sets nothing else; a path, or bytes.
    #[must_use]
    pub fn new(component: impl Into<Component>) -> Self {
        Self {
            component: component.into(),
            timeout: TIMEOUT_MAX,
            memory_bytes: MEMORY_MAX_BYTES,
            fuel_per_second: FUEL_PER_SECOND,
            reserved_concurrency: None,
            instance_reuse: true,
            instance_max_invocations: None,
            trusted: false,
            dropped_in: false,
            environment: BTreeMap::new(),
            grants: Grants::default(),
        }
    }
}

/// Where the value of an environment variable stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// In the configuration itself.
    Literal(Secret),
    /// In the environment variable of the host that has this name.
    Environment(String),
    /// In this file, without the line break at its end.
    File(PathBuf),
}

/// Reads one function. Relative paths are taken from `folder`.
/// `granted` are the directories that other functions see, and becomes those of this one too.
pub(super) fn read(
    mut section: Section<'_, '_>,
    folder: &Path,
    host: &HostConfig,
    granted: &mut Vec<DirGrant>,
) -> Option<FunctionConfig> {
    let component = section
        .required("component", "the path of the handler", |value| value::path(value, folder));
    let timeout = section.or("timeout", TIMEOUT_MAX, timeout);
    let memory_bytes = section
        .or("memory", MEMORY_MAX_BYTES.min(host.memory_max_bytes), |value| memory(value, host));
    let fuel_per_second =
        section.or("fuel_per_second", FUEL_PER_SECOND, |value| value::integer(value, FUEL));
    let instances_max = u16::try_from(host.instances_max).unwrap_or(u16::MAX);
    let reserved_concurrency =
        section.optional("reserved_concurrency", |value| value::count(value, instances_max));
    let instance_reuse = section.or("instance_reuse", true, value::boolean);
    let instance_max_invocations = section.optional("instance_max_invocations", |value| {
        let count = value::integer(value, 1..=u32::MAX)?;
        NonZeroU32::new(count).ok_or_else(|| "has to be above 0".to_owned())
    });
    let trusted = section.or("trusted", false, value::boolean);
    let environment = section.table("environment").values(|name, value| {
        variable_name(name)?;
        variable(value, folder)
    });
    let grants = grants(section.table("allow"), folder, host, granted);
    section.finish();
    Some(FunctionConfig {
        component: component?.into(),
        timeout,
        memory_bytes,
        fuel_per_second,
        reserved_concurrency,
        instance_reuse,
        instance_max_invocations,
        trusted,
        dropped_in: false,
        environment: BTreeMap::from_iter(environment),
        grants,
    })
}

pub(super) fn timeout(value: &DeValue<'_>) -> Result<Duration, String> {
    let timeout = value::duration(value)?;
    if timeout > TIMEOUT_MAX {
        return Err(format!(
            "{} is more than 14m, the longest that Lambda's event source mapping for Amazon MQ \
             lets a function run",
            value::string(value)?
        ));
    }
    if timeout.is_zero() {
        return Err(format!("{} leaves no time to run; write at least 1ms", value::string(value)?));
    }
    Ok(timeout)
}

pub(super) fn memory(value: &DeValue<'_>, host: &HostConfig) -> Result<u64, String> {
    let bytes = value::size(value, MEMORY_BYTES)?;
    if bytes > host.memory_max_bytes {
        let most = value::size_text(host.memory_max_bytes);
        return Err(format!("is more than host.memory_max, {most}; lower it, or raise the other"));
    }
    Ok(bytes)
}

/// The rule of POSIX for names, without those that Lambda's users cannot set either.
pub(super) fn variable_name(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if RESERVED_VARIABLES.contains(&name) {
        return Err("is set by the host, as AWS Lambda sets it; take it out".to_owned());
    }
    let starts_with_digit = name.starts_with(|first: char| first.is_ascii_digit());
    if name.is_empty() || starts_with_digit || !name.bytes().all(allowed) {
        return Err("is no name of a variable: letters a-z and A-Z, digits and `_`, \
                    not beginning with a digit"
            .to_owned());
    }
    Ok(())
}

/// Where a value stands. What was written is not quoted: it may be a secret.
pub(super) fn variable(value: &DeValue<'_>, folder: &Path) -> Result<Variable, String> {
    let written = value::string(value)?;
    match written.split_once(':') {
        Some(("env", "")) => Err("names no variable after env:".to_owned()),
        Some(("file", "")) => Err("names no file after file:".to_owned()),
        Some(("env", name)) => Ok(Variable::Environment(name.to_owned())),
        Some(("file", path)) => Ok(Variable::File(folder.join(path))),
        _ if written.contains('\0') => Err("has a NUL character, which no variable has".to_owned()),
        _ => Ok(Variable::Literal(Secret::new(written.to_owned()))),
    }
}

/// Takes the table `allow`.
fn grants(
    mut section: Section<'_, '_>,
    folder: &Path,
    host: &HostConfig,
    others: &mut Vec<DirGrant>,
) -> Grants {
    let mut guests = Vec::new();
    let dirs = section.tables("dirs", |mut dir| {
        let write = dir.or("write", false, value::boolean);
        let granted = dir.required("host", "a directory of this machine", |value| {
            let path = value::path(value, folder)?;
            if overlaps(&path, &host.data_dir) {
                return Err("and host.data_dir are one in the other: what the host keeps there \
                            is trusted; grant another directory"
                    .to_owned());
            }
            let opens = |other: &&DirGrant| {
                write && lies_in(&other.host, &path) || other.write && lies_in(&path, &other.host)
            };
            if let Some(other) = others.iter().find(opens) {
                return Err(format!(
                    "and {} are one in the other, and the outer one may be written: a link in the \
                     inner one's place would lead anywhere; grant directories side by side",
                    other.host.display()
                ));
            }
            Ok(path)
        });
        let guest = dir.required("guest", "the name under which the handler sees it", |value| {
            let guest = value::string(value)?;
            if !guest.starts_with('/') || guest.contains('\0') {
                return Err(format!("{guest:?} is no absolute path, such as \"/data\""));
            }
            if guests.iter().any(|taken| taken == guest) {
                return Err(format!("{guest:?} is the name of another directory too"));
            }
            guests.push(guest.to_owned());
            Ok(guest.to_owned())
        });
        dir.finish();
        let granted = DirGrant { host: granted?, guest: guest?, write };
        others.push(granted.clone());
        Some(granted)
    });
    let network = section.or("network", Vec::new(), addresses);
    let http = section.or("http", Vec::new(), addresses);
    section.finish();
    Grants { dirs, network, http }
}

/// An array of what is read from text.
fn addresses<T: FromStr<Err = impl fmt::Display>>(value: &DeValue<'_>) -> Result<Vec<T>, String> {
    let DeValue::Array(values) = value else {
        return Err(value::wrong_type(value, "an array of strings"));
    };
    let read = |value: &toml::Spanned<DeValue<'_>>| {
        let text = value::string(value.get_ref())?;
        text.parse().map_err(|error| format!("{text:?} {error}"))
    };
    values.iter().map(read).collect()
}

/// Whether one of two paths lies in the other, as far as their names tell.
pub(super) fn overlaps(one: &Path, other: &Path) -> bool {
    let (one, other) = (plain(one), plain(other));
    one.starts_with(&other) || other.starts_with(&one)
}

/// Whether a path lies below another.
fn lies_in(inner: &Path, outer: &Path) -> bool {
    let (inner, outer) = (plain(inner), plain(outer));
    inner != outer && inner.starts_with(outer)
}

/// A path without `.` and without the `..` that can be taken away.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            path::Component::CurDir => {}
            path::Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            path::Component::Prefix(_)
            | path::Component::RootDir
            | path::Component::ParentDir
            | path::Component::Normal(_) => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_overlap_whichever_is_inside() {
        for (one, other, overlap) in [
            ("/a/data", "/a/data/cache", true),
            ("/a/data/cache", "/a/data", true),
            ("/a/./x/../data", "/a/data", true),
            ("data", "./data", true),
            ("/", "/a/data", true),
            ("/a/database", "/a/data", false),
            ("../data", "data", false),
        ] {
            let (one, other) = (Path::new(one), Path::new(other));
            assert_eq!(overlaps(one, other), overlap, "{one:?} {other:?}");
        }
    }
}
