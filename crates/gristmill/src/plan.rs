//! What one mapping is made of, from all sections of the configuration: its plan.
//!
//! Two equal plans are the same mapping, which is how a changed configuration finds out what it leaves
//! alone.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use gristmill_event::{EVENT_BYTES_MAX, Envelope};
use gristmill_mapping::backoff::Backoff;
use gristmill_mapping::consumer_timeout::latest_start;
use gristmill_mapping::{BatchLimits, GiveUp, Settings};
use gristmill_store::Origin;
use uuid::Uuid;

use crate::config::{
    BrokerConfig, BrokerKind, Config, Credentials, FunctionConfig, MappingConfig, OnFailure,
    Variable,
};

/// One mapping of a configuration, with everything that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) uuid: Uuid,
    pub(crate) mapping: MappingConfig,
    pub(crate) broker: BrokerConfig,
    pub(crate) function: FunctionConfig,
    arn: String,
    function_arn: String,
    drain_timeout: Duration,
}

/// A broker as far as its mappings have to begin anew when it changes: an embedded one changes while it
/// runs.
fn plan_of(broker: &BrokerConfig) -> BrokerConfig {
    match &broker.kind {
        BrokerKind::Embedded(_) => {
            BrokerConfig { arn: broker.arn.clone(), ..BrokerConfig::embedded() }
        }
        BrokerKind::RabbitMq { .. } | BrokerKind::ActiveMq { .. } | BrokerKind::Custom(_) => {
            broker.clone()
        }
    }
}

/// The plans of a configuration, by their names.
pub(crate) type Plans = BTreeMap<String, Plan>;

impl Plan {
    /// The plans of all mappings. `data_dir_id` is what their UUIDs and ARNs are made of.
    pub(crate) fn all(config: &Config, data_dir_id: Uuid) -> Plans {
        let plan = |(name, mapping): (&String, &MappingConfig)| {
            let broker = config.brokers.get(&mapping.broker)?;
            let plan = Self {
                name: name.clone(),
                uuid: config.mapping_uuid(name, data_dir_id),
                mapping: mapping.clone(),
                broker: plan_of(broker),
                function: config.functions.get(&mapping.function)?.clone(),
                arn: match &broker.arn {
                    Some(arn) => arn.clone(),
                    None => config.default_arn(&mapping.broker, data_dir_id),
                },
                function_arn: config.function_arn(&mapping.function),
                drain_timeout: config.host.drain_timeout,
            };
            Some((name.clone(), plan))
        };
        config.mappings.iter().filter_map(plan).collect()
    }

    /// The files that the mapping's connection proves itself with.
    pub(crate) fn secrets(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let Some(remote) = self.broker.remote() else { return files };
        if let Credentials::File(path) = &remote.credentials {
            files.push(path.clone());
        }
        if let Some(tls) = &remote.tls {
            files.extend(tls.ca.clone());
            files.extend(
                tls.certificate.iter().flat_map(|(chain, key)| [chain.clone(), key.clone()]),
            );
        }
        files
    }

    /// What the mapping is held with: stands for all settings that could make it able to go on.
    pub(crate) fn fingerprint(&self) -> Uuid {
        let Self { uuid, mapping, broker, function, .. } = self;
        let mut settings = format!("{mapping:?} {broker:?} {function:?}");
        for variable in function.environment.values() {
            // Others hide nothing from `Debug`.
            if let Variable::Literal(value) = variable {
                settings += value.expose();
            }
        }
        Uuid::new_v5(uuid, settings.as_bytes())
    }

    pub(crate) fn rabbitmq_source(&self) -> gristmill_rabbitmq::SourceSettings {
        gristmill_rabbitmq::SourceSettings {
            queue: self.mapping.queue.clone(),
            consumer_tag: self.consumer_name(),
            prefetch: self.mapping.prefetch,
        }
    }

    pub(crate) fn activemq_source(&self) -> gristmill_activemq::SourceSettings {
        gristmill_activemq::SourceSettings {
            queue: self.mapping.queue.clone(),
            client_id: self.consumer_name(),
            prefetch: self.prefetch(),
            keeps_originals: self.mapping.on_failure != OnFailure::Broker,
        }
    }

    /// What the dead-letter store knows of the mapping.
    pub(crate) fn origin(&self) -> Origin {
        let Self { name, mapping, broker, .. } = self;
        Origin {
            mapping: name.clone(),
            broker: mapping.broker.clone(),
            broker_type: broker.type_name().to_owned(),
            queue: mapping.queue.clone(),
            virtual_host: mapping.virtual_host.clone(),
            function: mapping.function.clone(),
            arn: self.arn.clone(),
            event_profile: broker.profile_name().map(str::to_owned),
        }
    }

    /// ActiveMQ takes exactly 1,000 for unset, which a policy of the broker may replace by more or less
    /// (ActiveMQ, "Per Destination Policies", `queuePrefetch`); so nobody here counts on it.
    fn prefetch(&self) -> NonZeroU16 {
        const UNSET: u16 = 1_000;
        const INSTEAD: NonZeroU16 = NonZeroU16::new(UNSET - 1).unwrap();
        let prefetch = self.mapping.prefetch;
        let is_activemq = matches!(self.broker.kind, BrokerKind::ActiveMq { .. });
        if is_activemq && prefetch.get() == UNSET { INSTEAD } else { prefetch }
    }

    fn consumer_name(&self) -> String {
        format!("gristmill-{}", self.uuid)
    }

    /// `None` where the rules that broker, function and mapping keep together are broken, which the
    /// configuration is refused for.
    pub(crate) fn settings(&self, on_failure: gristmill_mapping::OnFailure) -> Option<Settings> {
        let Self { mapping, broker, function, .. } = self;
        let window = mapping.maximum_batching_window;
        let (envelope, retry, latest_start) = match broker.kind {
            BrokerKind::RabbitMq { consumer_timeout, .. } => {
                let virtual_host = mapping.virtual_host.as_deref().unwrap_or_default();
                (
                    Envelope::rabbitmq(&self.arn, &mapping.queue, virtual_host),
                    Backoff::RETRY,
                    latest_start(consumer_timeout, window, function.timeout)?,
                )
            }
            // It leaves a delivery unsettled for as long as the consumer is there.
            BrokerKind::ActiveMq { event_profile, .. } => {
                (Envelope::activemq(&self.arn, event_profile), Backoff::REDELIVERY, Duration::MAX)
            }
            BrokerKind::Embedded(_) | BrokerKind::Custom(_) => {
                let virtual_host = mapping.virtual_host.as_deref().unwrap_or_default();
                let envelope = Envelope::rabbitmq(&self.arn, &mapping.queue, virtual_host);
                (envelope, Backoff::RETRY, Duration::MAX)
            }
        };
        Some(Settings {
            name: self.name.clone(),
            queue: mapping.queue.clone(),
            virtual_host: mapping.virtual_host.clone(),
            event_source_arn: self.arn.clone(),
            function_arn: self.function_arn.clone(),
            envelope,
            batch: BatchLimits {
                records_max: NonZeroUsize::from(mapping.batch_size),
                bytes_max: EVENT_BYTES_MAX,
                window,
            },
            prefetch: self.prefetch(),
            maximum_concurrency: NonZeroUsize::from(mapping.maximum_concurrency),
            retry,
            latest_start,
            bisect_batch_on_function_error: mapping.bisect_batch_on_function_error,
            report_batch_item_failures: mapping.report_batch_item_failures,
            give_up: GiveUp {
                maximum_retry_attempts: mapping.maximum_retry_attempts,
                maximum_record_age: mapping.maximum_record_age,
                delivery_limit: mapping.delivery_limit,
                on_failure,
            },
            drain_timeout: self.drain_timeout,
        })
    }
}
