//! From text to [`Config`]: the sections of the file, their keys, defaults and ranges.
//!
//! Brokers and functions are read first, because mappings refer to them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use gristmill_mapping::consumer_timeout::{MARGIN, latest_start};
use gristmill_sandbox::EngineSettings;
use toml::de::{DeTable, DeValue};
use uuid::Uuid;

use super::error::Problems;
use super::section::Section;
use super::{
    BrokerConfig, Config, ConfigError, FunctionConfig, HostConfig, LogFormat, MappingConfig,
    OnFailure, broker, function, plugins, value,
};

/// The longest batching window, Lambda's.
const WINDOW_MAX: Duration = Duration::from_secs(300);

/// The longest drain, well over what the longest timeout needs.
const DRAIN_MAX: Duration = Duration::from_secs(3600);

/// The compiler's range of deadlines, and its default: large Python handlers take some seconds.
const COMPILE_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3600);
const COMPILE_TIMEOUT: Duration = Duration::from_secs(300);

/// The batch size and batching window of a mapping that sets none.
const BATCH_SIZE: NonZeroU16 = NonZeroU16::new(100).unwrap();
const WINDOW: Duration = Duration::from_millis(500);

/// RabbitMQ 4's default of a quorum queue's `delivery-limit`.
const DELIVERY_LIMIT: u32 = 20;

/// Below three a single failed attempt would already be too near.
const DELIVERY_LIMITS: RangeInclusive<u32> = 3..=1_000_000;

/// Lambda's range for event sources that have an age at all.
const RECORD_AGES: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3600);

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
    let (broker_names, brokers) =
        root.table("broker").each(|section| broker::read(section, folder));
    let (function_names, functions) =
        root.table("function").each(|section| function::read(section, folder, &host));
    let plugins = plugins::read(&mut root, folder, &broker_names, &host);
    let mut uuids = BTreeSet::new();
    let (brokers, functions) = (BTreeMap::from_iter(brokers), BTreeMap::from_iter(functions));
    let mut functions: BTreeMap<String, FunctionConfig> = functions;
    let (_, mappings) = root.table("mapping").each(|mut section| {
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
        let mapping = mapping(&mut section, broker, function, uuid);
        if let Some(mapping) = &mapping {
            if let Some(plugins) = &plugins
                && !function_names.contains(&mapping.function)
            {
                let name = mapping.function.clone();
                functions.entry(name).or_insert_with_key(|name| plugins.function(name, &host));
            }
            together(&mut section, mapping, &brokers, &functions);
        }
        section.finish();
        mapping
    });
    root.finish();
    Config { host, plugins, brokers, functions, mappings: BTreeMap::from_iter(mappings) }
}

/// Whether the broker's patience is enough for the window and a whole call.
pub(super) fn fits(
    mapping: &MappingConfig,
    broker: &BrokerConfig,
    function: &FunctionConfig,
) -> bool {
    let window = mapping.maximum_batching_window;
    latest_start(broker.consumer_timeout, window, function.timeout).is_some()
}

/// The rules that several sections keep together.
pub(super) fn together(
    section: &mut Section<'_, '_>,
    mapping: &MappingConfig,
    brokers: &BTreeMap<String, BrokerConfig>,
    functions: &BTreeMap<String, FunctionConfig>,
) {
    let sections = brokers.get(&mapping.broker).zip(functions.get(&mapping.function));
    // One with a problem of its own has said so.
    let Some((broker, function)) = sections else { return };
    let (consumer_timeout, timeout) = (broker.consumer_timeout, function.timeout);
    let window = mapping.maximum_batching_window;
    if !fits(mapping, broker, function) {
        let [window, timeout] = [window, timeout].map(value::duration_text);
        let most = value::duration_text(consumer_timeout.saturating_sub(MARGIN));
        section.problem(format!(
            "its `maximum_batching_window` ({window}) and the `timeout` of its function ({timeout}) \
             have to be together below {most}, which is broker.{}.consumer_timeout less a minute: \
             the broker closes the channel of a consumer that keeps a message for longer; shorten \
             them, or raise consumer_timeout in the broker and here",
            mapping.broker
        ));
    }
}

fn host(mut section: Section<'_, '_>, folder: &Path) -> HostConfig {
    let drain_range = Duration::ZERO..=DRAIN_MAX;
    let pool = EngineSettings::default();
    let host = HostConfig {
        data_dir: section.or("data_dir", folder.join("data"), |value| value::path(value, folder)),
        region: section.or("region", "us-east-1".to_owned(), region),
        account_id: section.or("account_id", "000000000000".to_owned(), account_id),
        drain_timeout: section.or("drain_timeout", Duration::from_secs(30), |value| {
            value::duration_in(value, drain_range)
        }),
        log_format: section.or("log_format", LogFormat::Text, log_format),
        listen: section.optional("listen", listen),
        instances_max: section.or("instances_max", pool.instances_max, |value| {
            value::integer(value, 1..=EngineSettings::INSTANCES_MOST)
        }),
        memory_max_bytes: section.or("memory_max", pool.memory_max_bytes, |value| {
            value::size(value, function::MEMORY_BYTES)
        }),
        compile_timeout: section.or("compile_timeout", COMPILE_TIMEOUT, |value| {
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

/// Takes the keys of a mapping whose broker, function and UUID have been taken.
pub(super) fn mapping(
    section: &mut Section<'_, '_>,
    broker: Option<String>,
    function: Option<String>,
    uuid: Option<Uuid>,
) -> Option<MappingConfig> {
    let queue = section.required("queue", "the queue's name", value::short_string);
    let virtual_host = section.or("virtual_host", "/".to_owned(), value::short_string);
    let batch_size = section.or("batch_size", BATCH_SIZE, |value| value::count(value, 10_000));
    let window = section.or("maximum_batching_window", WINDOW, |value| {
        value::duration_in(value, Duration::ZERO..=WINDOW_MAX)
    });
    let maximum_concurrency =
        section.or("maximum_concurrency", NonZeroU16::MIN, |value| value::count(value, 1_000));
    let prefetch =
        section.or("prefetch", default_prefetch(batch_size, maximum_concurrency), |value| {
            value::count(value, u16::MAX)
        });
    let has_place = section.has("on_failure");
    let maximum_retry_attempts = section.or("maximum_retry_attempts", None, |value| {
        needs_place(unlimited_or(value, 0..=10_000)?, has_place)
    });
    let maximum_record_age = section
        .or("maximum_record_age", None, |value| needs_place(maximum_record_age(value)?, has_place));
    let delivery_limit = section
        .or("delivery_limit", Some(DELIVERY_LIMIT), |value| unlimited_or(value, DELIVERY_LIMITS));
    let on_failure = section.optional("on_failure", on_failure);
    let enabled = section.or("enabled", true, value::boolean);
    Some(MappingConfig {
        broker: broker?,
        queue: queue?,
        virtual_host,
        function: function?,
        batch_size,
        maximum_batching_window: window,
        maximum_concurrency,
        prefetch,
        maximum_retry_attempts,
        maximum_record_age,
        delivery_limit,
        on_failure,
        enabled,
        uuid,
    })
}

/// An integer in a range, or -1 for none.
fn unlimited_or(value: &DeValue<'_>, range: RangeInclusive<u32>) -> Result<Option<u32>, String> {
    match value::integer(value, -1..=i64::from(*range.end())) {
        Ok(-1) => Ok(None),
        _ => value::integer(value, range)
            .map(Some)
            .map_err(|message| format!("{message}, or -1 for no limit")),
    }
}

fn maximum_record_age(value: &DeValue<'_>) -> Result<Option<Duration>, String> {
    if matches!(value, DeValue::Integer(_)) && value::integer(value, -1..=-1_i64).is_ok() {
        return Ok(None);
    }
    value::duration_in(value, RECORD_AGES)
        .map(Some)
        .map_err(|message| format!("{message}, or the integer -1 for no limit"))
}

/// A limit that gives messages up, which there has to be a place for.
fn needs_place<T>(limit: Option<T>, has_place: bool) -> Result<Option<T>, String> {
    if limit.is_some() && !has_place {
        return Err(
            "gives messages up, so it needs a place for them: give the queue a dead-letter \
                    exchange and set on_failure = \"broker\""
                .to_owned(),
        );
    }
    Ok(limit)
}

fn on_failure(value: &DeValue<'_>) -> Result<OnFailure, String> {
    match value::string(value)? {
        "broker" => Ok(OnFailure::Broker),
        other => Err(format!("this version has no {other:?}; write \"broker\"")),
    }
}

/// Enough for every running batch and one that fills meanwhile, as far as AMQP can count.
fn default_prefetch(batch_size: NonZeroU16, maximum_concurrency: NonZeroU16) -> NonZeroU16 {
    batch_size.saturating_mul(maximum_concurrency.saturating_add(1))
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
