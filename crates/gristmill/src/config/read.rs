//! From text to [`Config`]: the sections of the file, their keys, defaults and ranges.
//!
//! Brokers and functions are read first, because mappings refer to them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gristmill_sandbox::EngineSettings;
use toml::de::{DeTable, DeValue};
use uuid::Uuid;

use super::error::Problems;
use super::section::Section;
use super::{
    Config, ConfigError, FunctionConfig, HostConfig, LogFormat, broker, function, mapping, plugins,
    value,
};

/// The longest drain, well over what the longest timeout needs.
const DRAIN_MAX: Duration = Duration::from_secs(3600);

/// The compiler's range of deadlines, and its default: large Python handlers take some seconds.
const COMPILE_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3600);
const COMPILE_TIMEOUT: Duration = Duration::from_secs(300);

/// How much each mapping's dead letters may take in the store: at least one of the largest messages
/// that a broker has by default, and no more than a database of its kind is good for.
const DEAD_LETTERS_SIZES: RangeInclusive<u64> = 1 << 20..=1 << 40;
const DEAD_LETTERS_SIZE: u64 = 1 << 30;

/// What is thrown away after less than an hour is not kept, and more than ten years are for ever.
const DEAD_LETTERS_AGES: RangeInclusive<Duration> =
    Duration::from_secs(3600)..=Duration::from_secs(10 * 365 * 24 * 3600);

/// Reads the text of a whole file that stands at `path`.
pub(super) fn config(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let mut problems = Problems::new(text);
    let folder = path.parent().unwrap_or(Path::new(""));
    let config = root(text, &mut problems).map(|root| sections(root, folder));
    match (config, problems.into_sorted()) {
        (Some(config), problems) if problems.is_empty() => Ok(config),
        (_, problems) => Err(ConfigError::Invalid { path: path.to_owned(), problems }),
    }
}

/// The tables of a text; `None` if it is no TOML, which becomes a problem.
pub(super) fn root<'p, 't>(
    text: &'t str,
    problems: &'p mut Problems<'t>,
) -> Option<Section<'p, 't>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        problems.add(at, "", format!("not TOML: {}", error.message()));
    }
    errors.is_empty().then(|| Section::root(root.into_inner(), problems))
}

fn sections(mut root: Section<'_, '_>, folder: &Path) -> Config {
    let host = host(root.table("host"), folder);
    let (broker_names, read) =
        root.table("broker").each(value::name, |section| broker::read(section, folder));
    let (mut brokers, mut broker_types) = (BTreeMap::new(), BTreeMap::new());
    for (name, (broker_type, broker)) in read {
        broker_types.insert(name.clone(), broker_type);
        brokers.extend(broker.map(|broker| (name, broker)));
    }
    let mut granted = Vec::new();
    let (function_names, functions) = root
        .table("function")
        .each(value::name, |section| function::read(section, folder, &host, &mut granted));
    let plugins = plugins::read(&mut root, folder, &broker_names, &host);
    let mut uuids = BTreeSet::new();
    let mut functions: BTreeMap<String, FunctionConfig> = BTreeMap::from_iter(functions);
    let (_, mappings) = root.table("mapping").each(value::name, |mut section| {
        let broker = section.required("broker", "the name of a broker", |value| {
            one_of(value, "broker", &broker_names)
        });
        let function = section.required("function", "the name of a function", |value| {
            // With a plugins folder, a handler of this name may be dropped into it.
            match (one_of(value, "function", &function_names), &plugins) {
                (Err(_), Some(_)) => {
                    let name = value::string(value)?;
                    value::name(name).map(|()| name.to_owned())
                }
                (named, _) => named,
            }
        });
        let uuid = section.optional("uuid", |value| uuid(value, &mut uuids));
        let broker_type = broker.as_ref().and_then(|name| broker_types.get(name)).copied();
        let file = mapping::File::Gristmill;
        let mapping = mapping::read(&mut section, broker, broker_type, function, uuid, file);
        if let Some(mapping) = &mapping {
            if let Some(plugins) = &plugins
                && !function_names.contains(&mapping.function)
            {
                let name = mapping.function.clone();
                functions.entry(name).or_insert_with_key(|name| plugins.function(name, &host));
            }
            mapping::together(&mut section, mapping, &brokers, &functions);
        }
        section.finish();
        mapping
    });
    root.finish();
    Config { host, plugins, brokers, functions, mappings: BTreeMap::from_iter(mappings) }
}

/// A host whose section sets nothing.
pub(super) fn host_of(data_dir: PathBuf) -> HostConfig {
    let pool = EngineSettings::default();
    HostConfig {
        data_dir,
        region: "us-east-1".to_owned(),
        account_id: "000000000000".to_owned(),
        drain_timeout: Duration::from_secs(30),
        log_format: LogFormat::Text,
        listen: None,
        instances_max: pool.instances_max,
        memory_max_bytes: pool.memory_max_bytes,
        dead_letters_bytes_max: DEAD_LETTERS_SIZE,
        dead_letters_age_max: None,
        compile_timeout: COMPILE_TIMEOUT,
    }
}

fn host(mut section: Section<'_, '_>, folder: &Path) -> HostConfig {
    let drain_range = Duration::ZERO..=DRAIN_MAX;
    let unset = host_of(folder.join("data"));
    let host = HostConfig {
        data_dir: section.or("data_dir", unset.data_dir, |value| value::path(value, folder)),
        region: section.or("region", unset.region, region),
        account_id: section.or("account_id", unset.account_id, account_id),
        drain_timeout: section.or("drain_timeout", unset.drain_timeout, |value| {
            value::duration_in(value, drain_range)
        }),
        log_format: section.or("log_format", unset.log_format, log_format),
        listen: section.optional("listen", listen),
        instances_max: section.or("instances_max", unset.instances_max, |value| {
            value::integer(value, 1..=EngineSettings::INSTANCES_MOST)
        }),
        memory_max_bytes: section.or("memory_max", unset.memory_max_bytes, |value| {
            value::size(value, function::MEMORY_BYTES)
        }),
        dead_letters_bytes_max: section.or(
            "dead_letters_size_max",
            unset.dead_letters_bytes_max,
            |value| value::size(value, DEAD_LETTERS_SIZES),
        ),
        dead_letters_age_max: section
            .optional("dead_letters_age_max", |value| value::duration_in(value, DEAD_LETTERS_AGES)),
        compile_timeout: section.or("compile_timeout", unset.compile_timeout, |value| {
            value::duration_in(value, COMPILE_TIMEOUTS)
        }),
    };
    section.finish();
    host
}

fn region(value: &DeValue<'_>) -> Result<String, String> {
    let region = value::string(value)?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=64).contains(&region.len()) && region.bytes().all(allowed) {
        Ok(region.to_owned())
    } else {
        Err(format!("{region:?} is not a region; write a name such as \"us-east-1\""))
    }
}

fn account_id(value: &DeValue<'_>) -> Result<String, String> {
    let account_id = value.as_str().ok_or_else(|| {
        value::wrong_type(value, "a string of twelve digits, such as \"000000000000\"")
    })?;
    if account_id.len() == 12 && account_id.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(account_id.to_owned())
    } else {
        Err(format!("{account_id:?} is not an account id; write twelve digits"))
    }
}

fn log_format(value: &DeValue<'_>) -> Result<LogFormat, String> {
    match value::string(value)? {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => {
            let hint = value::hint(other, ["text", "json"].into_iter());
            Err(format!("there is no log format {other:?}; {hint}"))
        }
    }
}

fn listen(value: &DeValue<'_>) -> Result<SocketAddr, String> {
    let written = value::string(value)?;
    written.parse().map_err(|_| {
        format!("{written:?} is not an address with a port, such as \"127.0.0.1:9480\"")
    })
}

/// A reference to one of the named sections.
pub(super) fn one_of(value: &DeValue<'_>, what: &str, names: &[String]) -> Result<String, String> {
    let written = value::string(value)?;
    if names.iter().any(|name| name == written) {
        return Ok(written.to_owned());
    }
    let hint = value::hint(written, names.iter().map(String::as_str));
    Err(format!("there is no {what} {written:?}; {hint}"))
}

/// A UUID that no mapping before this one has: it names the consumer, and two would be one.
fn uuid(value: &DeValue<'_>, taken: &mut BTreeSet<Uuid>) -> Result<Uuid, String> {
    let written = value::string(value)?;
    let uuid = Uuid::parse_str(written).map_err(|_| {
        format!("{written:?} is not a UUID; write 32 hexadecimal digits as 8-4-4-4-12")
    })?;
    if taken.insert(uuid) {
        Ok(uuid)
    } else {
        Err("is the uuid of another mapping; give each its own".to_owned())
    }
}
