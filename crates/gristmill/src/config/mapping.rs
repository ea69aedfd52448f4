//! The keys of a mapping, in `gristmill.toml` and in sidecars alike, and the rules that they keep with
//! the mapping's broker and function.
//!
//! Brokers differ: what one has no notion of is refused on its mappings, with what to do instead. Where
//! the broker is not known, because its own section is wrong, such keys are passed over.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::time::Duration;

use gristmill_mapping::consumer_timeout::{MARGIN, latest_start};
use toml::de::DeValue;
use uuid::Uuid;

use super::broker::BrokerType;
use super::section::Section;
use super::{
    BrokerConfig, BrokerKind, EmbeddedConfig, FunctionConfig, MappingConfig, OnFailure, queue_name,
    value,
};

/// The longest batching window, Lambda's.
const WINDOW_MAX: Duration = Duration::from_secs(300);

/// The batch size and batching window of a mapping that sets none.
const BATCH_SIZE: NonZeroU16 = NonZeroU16::new(100).unwrap();
const WINDOW: Duration = Duration::from_millis(500);

/// RabbitMQ's own default, which events of embedded queues have too.
pub(super) const VIRTUAL_HOST: &str = "/";

/// Below three a single failed attempt would already be too near.
const DELIVERY_LIMITS: RangeInclusive<u32> = 3..=1_000_000;

/// Lambda's range for event sources that have an age at all.
const RECORD_AGES: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3600);

/// What a mapping has that sets nothing else, where that depends on its broker.
struct Defaults {
    maximum_concurrency: NonZeroU16,
    maximum_retry_attempts: Option<u32>,
    on_failure: OnFailure,
}

/// One batch at once, in order, again and again. RabbitMQ tells no consumer whether what it rejects is
/// kept anywhere, so what has to be given up all the same is kept here.
const RABBITMQ: Defaults = Defaults {
    maximum_concurrency: NonZeroU16::MIN,
    maximum_retry_attempts: None,
    on_failure: OnFailure::Store,
};

/// Five batches at once, as Lambda has it, and five tries again. A broker of ActiveMQ always has a
/// queue for dead letters.
const ACTIVEMQ: Defaults = Defaults {
    maximum_concurrency: NonZeroU16::new(5).unwrap(),
    maximum_retry_attempts: Some(5),
    on_failure: OnFailure::Broker,
};

/// A dead letter that is given up again is deleted by a broker of ActiveMQ.
const DEAD_LETTERS: Defaults = Defaults { on_failure: OnFailure::Store, ..ACTIVEMQ };

impl MappingConfig {
    /// A mapping on an embedded broker, or on one of the embedder's own, with what a section has that sets
    /// nothing else.
    pub fn new(
        broker: impl Into<String>,
        queue: impl Into<String>,
        function: impl Into<String>,
    ) -> Self {
        let names = [broker.into(), queue.into(), function.into()];
        Self { virtual_host: Some(VIRTUAL_HOST.to_owned()), ..Self::of(names, RABBITMQ) }
    }

    /// The same on RabbitMQ.
    pub fn rabbitmq(
        broker: impl Into<String>,
        queue: impl Into<String>,
        function: impl Into<String>,
    ) -> Self {
        Self { delivery_limit: Some(DELIVERY_LIMIT), ..Self::new(broker, queue, function) }
    }

    /// The same on ActiveMQ.
    pub fn activemq(
        broker: impl Into<String>,
        queue: impl Into<String>,
        function: impl Into<String>,
    ) -> Self {
        Self::of([broker.into(), queue.into(), function.into()], ACTIVEMQ)
    }

    fn of([broker, queue, function]: [String; 3], defaults: Defaults) -> Self {
        Self {
            broker,
            queue,
            virtual_host: None,
            function,
            batch_size: BATCH_SIZE,
            maximum_batching_window: WINDOW,
            maximum_concurrency: defaults.maximum_concurrency,
            prefetch: default_prefetch(BATCH_SIZE, defaults.maximum_concurrency),
            maximum_retry_attempts: defaults.maximum_retry_attempts,
            maximum_record_age: None,
            delivery_limit: None,
            on_failure: defaults.on_failure,
            bisect_batch_on_function_error: false,
            report_batch_item_failures: false,
            enabled: true,
            uuid: None,
        }
    }
}

/// Where a mapping is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    Gristmill,
    Sidecar,
}

/// RabbitMQ 4's default of a quorum queue's `delivery-limit`.
const DELIVERY_LIMIT: u32 = 20;

/// Takes the keys of a mapping whose broker, function and UUID have been taken. `broker_type` is
/// `None` where there is no such broker, or one of no type.
pub(super) fn read(
    section: &mut Section<'_, '_>,
    broker: Option<String>,
    broker_type: Option<BrokerType>,
    function: Option<String>,
    uuid: Option<Uuid>,
    file: File,
) -> Option<MappingConfig> {
    let queue = section.required("queue", "the queue's name", |value| match broker_type {
        Some(BrokerType::RabbitMq | BrokerType::Embedded) => value::short_string(value),
        Some(BrokerType::ActiveMq) => queue_name::activemq(value),
        None => value::string(value).map(str::to_owned),
    });
    let is_dead_letters = broker_type == Some(BrokerType::ActiveMq)
        && queue.as_deref() == Some(gristmill_activemq::DEAD_LETTER_QUEUE);
    let defaults = match broker_type {
        Some(BrokerType::ActiveMq) if is_dead_letters => DEAD_LETTERS,
        Some(BrokerType::ActiveMq) => ACTIVEMQ,
        Some(BrokerType::RabbitMq | BrokerType::Embedded) | None => RABBITMQ,
    };
    let virtual_host = virtual_host(section, broker_type);
    let batch_size = section.or("batch_size", BATCH_SIZE, |value| value::count(value, 10_000));
    let window = section.or("maximum_batching_window", WINDOW, |value| {
        value::duration_in(value, Duration::ZERO..=WINDOW_MAX)
    });
    let maximum_concurrency =
        section.or("maximum_concurrency", defaults.maximum_concurrency, |value| {
            value::count(value, 1_000)
        });
    let prefetch =
        section.or("prefetch", default_prefetch(batch_size, maximum_concurrency), |value| {
            value::count(value, u16::MAX)
        });
    let maximum_retry_attempts =
        section.or("maximum_retry_attempts", defaults.maximum_retry_attempts, |value| {
            unlimited_or(value, 0..=10_000)
        });
    let maximum_record_age = section.or("maximum_record_age", None, maximum_record_age);
    let delivery_limit = delivery_limit(section, broker_type);
    let on_failure = section.or("on_failure", defaults.on_failure, |value| {
        let on_failure = on_failure(value, broker_type, queue.as_deref())?;
        match on_failure {
            OnFailure::Queue(_) if file == File::Sidecar => {
                Err("writes to a queue, which only gristmill.toml can allow; write \"broker\" or \
                     \"store\""
                    .to_owned())
            }
            OnFailure::Broker if is_dead_letters => {
                Err("is what a broker deletes dead letters by; write \"store\", or \"queue:NAME\" with \
                     another queue"
                    .to_owned())
            }
            OnFailure::Broker | OnFailure::Store | OnFailure::Queue(_) => Ok(on_failure),
        }
    });
    let bisect_batch_on_function_error =
        section.or("bisect_batch_on_function_error", false, value::boolean);
    let report_batch_item_failures =
        section.or("report_batch_item_failures", false, value::boolean);
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
        bisect_batch_on_function_error,
        report_batch_item_failures,
        enabled,
        uuid,
    })
}

fn virtual_host(section: &mut Section<'_, '_>, broker_type: Option<BrokerType>) -> Option<String> {
    match broker_type {
        Some(BrokerType::ActiveMq) => {
            section.refuse(
                "virtual_host",
                "is for brokers of the type \"rabbitmq\"; ActiveMQ has no virtual hosts: take it out",
            );
            None
        }
        Some(BrokerType::Embedded) => {
            section.refuse(
                "virtual_host",
                "is for brokers of the type \"rabbitmq\"; an embedded one has no virtual hosts: take it \
                 out",
            );
            Some(VIRTUAL_HOST.to_owned())
        }
        Some(BrokerType::RabbitMq) | None => {
            Some(section.or("virtual_host", VIRTUAL_HOST.to_owned(), value::short_string))
        }
    }
}

fn delivery_limit(section: &mut Section<'_, '_>, broker_type: Option<BrokerType>) -> Option<u32> {
    match broker_type {
        Some(BrokerType::ActiveMq) => {
            section.refuse(
                "delivery_limit",
                "is for brokers of the type \"rabbitmq\"; ActiveMQ takes a message back as often as \
                 need be: take it out, and bound the tries by `maximum_retry_attempts`",
            );
            None
        }
        Some(BrokerType::Embedded) => {
            section.refuse(
                "delivery_limit",
                "is for brokers of the type \"rabbitmq\"; an embedded queue takes a message back as often \
                 as need be: take it out, and bound the tries by `maximum_retry_attempts`",
            );
            None
        }
        Some(BrokerType::RabbitMq) | None => {
            section.or("delivery_limit", Some(DELIVERY_LIMIT), |value| {
                unlimited_or(value, DELIVERY_LIMITS)
            })
        }
    }
}

/// Whether the broker's patience is enough for the window and a whole call.
pub(super) fn fits(
    mapping: &MappingConfig,
    broker: &BrokerConfig,
    function: &FunctionConfig,
) -> bool {
    match broker.kind {
        BrokerKind::RabbitMq { consumer_timeout, .. } => {
            let window = mapping.maximum_batching_window;
            latest_start(consumer_timeout, window, function.timeout).is_some()
        }
        BrokerKind::ActiveMq { .. } | BrokerKind::Embedded(_) | BrokerKind::Custom(_) => true,
    }
}

/// Notes what breaks the rules that several sections keep together.
pub(super) fn together(
    section: &mut Section<'_, '_>,
    mapping: &MappingConfig,
    brokers: &BTreeMap<String, BrokerConfig>,
    functions: &BTreeMap<String, FunctionConfig>,
) {
    let sections = brokers.get(&mapping.broker).zip(functions.get(&mapping.function));
    // One with a problem of its own has said so.
    if let Some((broker, function)) = sections
        && let Some(problem) = problem(mapping, broker, function)
    {
        section.problem(problem);
    }
}

/// What breaks the rules that a mapping, its broker and its function keep together.
pub(super) fn problem(
    mapping: &MappingConfig,
    broker: &BrokerConfig,
    function: &FunctionConfig,
) -> Option<String> {
    if let BrokerKind::Embedded(EmbeddedConfig { queues, .. }) = &broker.kind
        && mapping.on_failure == OnFailure::Broker
        && queues.get(&mapping.queue).is_none_or(|queue| queue.dead_letter_queue.is_none())
    {
        return Some(format!(
            "its `on_failure` is \"broker\", and the queue {queue:?} has no `dead_letter_queue`, so what is \
             given up would be deleted; set one in [broker.{broker}.queues.{queue:?}], or write \"store\" or \
             \"queue:NAME\"",
            queue = mapping.queue,
            broker = mapping.broker,
        ));
    }
    if let (BrokerKind::Custom(_), OnFailure::Queue(_)) = (&broker.kind, &mapping.on_failure) {
        return Some(
            "its broker has no queues to put given-up messages on; write OnFailure::Store or \
             OnFailure::Broker"
                .to_owned(),
        );
    }
    let BrokerKind::RabbitMq { consumer_timeout, .. } = broker.kind else { return None };
    let (window, timeout) = (mapping.maximum_batching_window, function.timeout);
    (!fits(mapping, broker, function)).then(|| {
        let [window, timeout] = [window, timeout].map(value::duration_text);
        let most = value::duration_text(consumer_timeout.saturating_sub(MARGIN));
        format!(
            "its `maximum_batching_window` ({window}) and the `timeout` of its function ({timeout}) \
             have to be together below {most}, which is broker.{}.consumer_timeout less a minute: \
             the broker closes the channel of a consumer that keeps a message for longer; shorten \
             them, or raise consumer_timeout in the broker and here",
            mapping.broker
        )
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

/// Where the given-up messages of a queue go.
fn on_failure(
    value: &DeValue<'_>,
    broker_type: Option<BrokerType>,
    queue: Option<&str>,
) -> Result<OnFailure, String> {
    let written = value::string(value)?;
    let Some(name) = written.strip_prefix("queue:") else {
        return match written {
            "broker" => Ok(OnFailure::Broker),
            "store" => Ok(OnFailure::Store),
            other => Err(format!(
                "there is no {other:?}; write \"broker\", \"store\", or \"queue:NAME\" with the name of \
                 a queue"
            )),
        };
    };
    let checked = match broker_type {
        Some(BrokerType::RabbitMq | BrokerType::Embedded) => value::queue_name(name),
        Some(BrokerType::ActiveMq) => {
            queue_name::activemq_name(name).map_err(|problem| format!("the queue's name {problem}"))
        }
        None => Ok(()),
    };
    checked?;
    if queue == Some(name) {
        return Err(
            "names the queue that the messages come from, so they would come again; write \
                    another one"
                .to_owned(),
        );
    }
    Ok(OnFailure::Queue(name.to_owned()))
}

/// Enough for every running batch and one that fills meanwhile, as far as AMQP can count, which
/// is enough for OpenWire too.
fn default_prefetch(batch_size: NonZeroU16, maximum_concurrency: NonZeroU16) -> NonZeroU16 {
    batch_size.saturating_mul(maximum_concurrency.saturating_add(1))
}
