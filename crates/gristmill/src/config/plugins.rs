//! Handlers that are dropped into a folder: the section `[plugins]`, and the files `NAME.toml` beside
//! them, their sidecars.
//!
//! Whoever may drop a file must not be able to grant himself anything: a sidecar sets limits below the
//! operator's, literal variables, and mappings on brokers that the operator has opened.
//! What must never happen: a sidecar that is taken in part.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gristmill_sandbox::{MEMORY_MAX_BYTES, TIMEOUT_MAX};
use toml::Spanned;
use toml::de::DeValue;

use super::error::Problems;
use super::section::Section;
use super::{
    BrokerConfig, Config, ConfigError, FunctionConfig, HostConfig, MappingConfig, Variable,
};
use super::{function, mapping, read, value};

/// What a sidecar may not hold, although a function's section may.
const OPERATORS_ONLY: [&str; 7] = [
    "allow",
    "component",
    "fuel_per_second",
    "instance_max_invocations",
    "instance_reuse",
    "reserved_concurrency",
    "trusted",
];

/// The most mappings of all sidecars, and the most that may be set: RabbitMQ takes 2,047 channels on a
/// connection, one for each mapping.
const MAPPINGS_MAX: usize = 100;
const MAPPINGS_MOST: u16 = 2_000;

/// Handlers dropped into a folder, and what their sidecars may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginsConfig {
    /// The folder.
    pub dir: PathBuf,
    /// The brokers that sidecars may map, keys of [`Config::brokers`].
    pub brokers: Vec<String>,
    /// The longest timeout that a sidecar may set, and the timeout of those that set none.
    pub timeout_max: Duration,
    /// The most memory that a sidecar may set, in bytes, and the default is no more.
    pub memory_max_bytes: u64,
    /// The most mappings that all sidecars have together.
    pub mappings_max: usize,
}

/// What a sidecar says, checked: nothing in it is more than it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    /// The function that the dropped-in handler is.
    pub function: FunctionConfig,
    /// Its mappings, by their full names: that of the handler, a dot, and their own.
    pub mappings: BTreeMap<String, MappingConfig>,
}

/// Takes the section `[plugins]`, if it is there.
pub(super) fn read(
    root: &mut Section<'_, '_>,
    folder: &Path,
    brokers: &[String],
    host: &HostConfig,
) -> Option<PluginsConfig> {
    if !root.has("plugins") {
        root.optional("plugins", |_| Ok(()));
        return None;
    }
    let mut section = root.table("plugins");
    let dir = section.or("dir", folder.join("plugins"), |value| {
        let dir = value::path(value, folder)?;
        if function::overlaps(&dir, &host.data_dir) {
            return Err("and host.data_dir are one in the other: what the host keeps there is \
                        trusted, and what is dropped in is not; name another folder"
                .to_owned());
        }
        Ok(dir)
    });
    let brokers = section.or("brokers", Vec::new(), |value| {
        let DeValue::Array(names) = value else {
            return Err(value::wrong_type(value, "an array of names of brokers"));
        };
        let read = |name: &Spanned<DeValue<'_>>| read::one_of(name.get_ref(), "broker", brokers);
        names.iter().map(read).collect()
    });
    let timeout_max = section.or("timeout_max", TIMEOUT_MAX, function::timeout);
    let memory_max_bytes =
        section.or("memory_max", host.memory_max_bytes, |value| function::memory(value, host));
    let mappings_max = section.or("mappings_max", MAPPINGS_MAX, |value| {
        value::count(value, MAPPINGS_MOST).map(|most| usize::from(most.get()))
    });
    section.finish();
    Some(PluginsConfig { dir, brokers, timeout_max, memory_max_bytes, mappings_max })
}

impl PluginsConfig {
    /// The file that a handler of this name is expected in.
    #[must_use]
    pub fn handler(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.wasm"))
    }

    /// The file that the sidecar of a handler of this name is expected in.
    #[must_use]
    pub fn sidecar(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.toml"))
    }

    /// The function that a handler is which has no sidecar.
    pub(super) fn function(&self, name: &str, host: &HostConfig) -> FunctionConfig {
        FunctionConfig {
            timeout: self.timeout_max,
            memory_bytes: MEMORY_MAX_BYTES.min(self.memory_max_bytes).min(host.memory_max_bytes),
            dropped_in: true,
            ..FunctionConfig::new(self.handler(name))
        }
    }
}

/// Whether a handler of this name can be a function.
///
/// # Errors
///
/// Says why not.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    value::name(name)
        .map_err(|message| format!("{name:?} cannot be the name of a function: {message}"))
}

impl Sidecar {
    /// Reads the sidecar of the handler `name`, which can be the name of a function; an empty `text` is as good as none. `path` is where it
    /// stands, for errors, and `config` what it is to be joined to.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] with everything that is wrong, or that it may not have.
    pub fn parse(
        text: &str,
        path: &Path,
        name: &str,
        config: &Config,
        plugins: &PluginsConfig,
    ) -> Result<Self, ConfigError> {
        let mut problems = Problems::new(text);
        let sidecar =
            read::root(text, &mut problems).and_then(|root| sidecar(root, name, config, plugins));
        match (sidecar, problems.into_sorted()) {
            (Some(sidecar), problems) if problems.is_empty() => Ok(sidecar),
            (_, problems) => Err(ConfigError::Invalid { path: path.to_owned(), problems }),
        }
    }
}

fn sidecar(
    mut root: Section<'_, '_>,
    name: &str,
    config: &Config,
    plugins: &PluginsConfig,
) -> Option<Sidecar> {
    let plain = plugins.function(name, &config.host);
    // A section in gristmill.toml has the last word on its function; one that only a mapping names has
    // none.
    let section = config.functions.get(name).filter(|function| !function.dropped_in);
    let is_here = |section: &FunctionConfig| {
        section.component.path().map(function::plain) == plain.component.path().map(function::plain)
    };
    if section.is_some_and(|section| !is_here(section)) {
        root.problem(format!(
            "function.{name} in gristmill.toml has another handler; give this one another name"
        ));
        return None;
    }
    let advice = format!(
        "is for gristmill.toml only; ask whoever runs the host to set it in [function.{name}]"
    );
    OPERATORS_ONLY.iter().for_each(|key| root.refuse(key, &advice));
    let timeout = root.optional("timeout", |value| {
        not_in_section(section, name)?;
        at_most(function::timeout(value)?, plugins.timeout_max, "timeout_max", value::duration_text)
    });
    let memory_bytes = root.optional("memory", |value| {
        not_in_section(section, name)?;
        let bytes = function::memory(value, &config.host)?;
        at_most(bytes, plugins.memory_max_bytes, "memory_max", value::size_text)
    });
    let has_environment = root.has("environment");
    let mut environment = root.table("environment");
    if let (true, Err(message)) = (has_environment, not_in_section(section, name)) {
        environment.problem(message);
    }
    let environment = environment.values(|name, value| {
        function::variable_name(name)?;
        literal(value)
    });
    let function = match section {
        Some(section) => section.clone(),
        None => FunctionConfig {
            timeout: timeout.unwrap_or(plain.timeout),
            memory_bytes: memory_bytes.unwrap_or(plain.memory_bytes),
            environment: environment.into_iter().collect(),
            ..plain
        },
    };
    let functions = BTreeMap::from([(name.to_owned(), function.clone())]);
    let (_, mappings) = root.table("mapping").each(value::name, |mut section| {
        let mapping = sidecar_mapping(&mut section, name, config, plugins);
        if let Some(mapping) = &mapping {
            mapping::together(&mut section, mapping, &config.brokers, &functions);
        }
        section.finish();
        mapping
    });
    for (other, mapping) in &config.mappings {
        let broker = config.brokers.get(&mapping.broker);
        if mapping.function == name
            && broker.is_some_and(|broker| !mapping::fits(mapping, broker, &function))
        {
            root.problem(format!("its timeout is too long for mapping.{other} of gristmill.toml"));
        }
    }
    root.finish();
    let full_name = |(own, mapping)| (format!("{name}.{own}"), mapping);
    Some(Sidecar { function, mappings: mappings.into_iter().map(full_name).collect() })
}

/// Takes a mapping of a sidecar.
fn sidecar_mapping(
    section: &mut Section<'_, '_>,
    function: &str,
    config: &Config,
    plugins: &PluginsConfig,
) -> Option<MappingConfig> {
    let broker = section.required("broker", "the name of a broker", |value| {
        let named = value::string(value)?;
        if config.brokers.contains_key(named) && !plugins.brokers.iter().any(|open| open == named) {
            return Err(format!(
                "{named:?} is not open to dropped-in handlers; ask whoever runs the host to add it \
                 to `brokers` in [plugins]"
            ));
        }
        read::one_of(value, "broker", &plugins.brokers)
    });
    section
        .refuse("function", &format!("is {function}, the handler beside this file; take it out"));
    section.refuse("uuid", "is for gristmill.toml only; take it out");
    let settings = broker.as_ref().and_then(|name| config.brokers.get(name));
    let broker_type = settings.and_then(BrokerConfig::broker_type);
    let function = Some(function.to_owned());
    mapping::read(section, broker, broker_type, function, None, mapping::File::Sidecar)
}

fn not_in_section(section: Option<&FunctionConfig>, name: &str) -> Result<(), String> {
    match section {
        None => Ok(()),
        Some(_) => Err(format!("is what [function.{name}] in gristmill.toml says; take it out")),
    }
}

fn at_most<T: PartialOrd>(
    value: T,
    most: T,
    key: &str,
    text: fn(T) -> String,
) -> Result<T, String> {
    if value <= most {
        return Ok(value);
    }
    Err(format!(
        "{} is more than dropped-in handlers may have, {}, which is `{key}` in [plugins]",
        text(value),
        text(most)
    ))
}

/// The value of a variable; not that of a variable or file of the host, which would be a grant.
fn literal(value: &DeValue<'_>) -> Result<Variable, String> {
    match function::variable(value, Path::new(""))? {
        literal @ Variable::Literal(_) => Ok(literal),
        Variable::Environment(_) | Variable::File(_) => {
            Err("takes a value from the host, which only gristmill.toml may; write the value \
                 itself, or ask whoever runs the host"
                .to_owned())
        }
    }
}
