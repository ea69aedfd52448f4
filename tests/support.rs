//! What the whole-system tests share: a virtual host on the shared RabbitMQ, and the real program
//! on it.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::Duration;

use gristmill_testkit::amqp::{Client, Field, Properties, Table};
use gristmill_testkit::guests;
use gristmill_testkit::host::Host;
use gristmill_testkit::rabbitmq::RabbitServer;
use serde_json::{Value, json};

/// Everything here is over in seconds on a quiet machine.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// The program under test, as cargo has built it.
pub(crate) const GRISTMILL: &str = env!("CARGO_BIN_EXE_gristmill");

/// A broker for one test: a virtual host of its own on the shared server.
pub(crate) struct Broker {
    pub(crate) server: &'static RabbitServer,
    pub(crate) virtual_host: String,
    pub(crate) client: Client,
}

impl Broker {
    /// With these queues.
    pub(crate) async fn with(queues: &[&str]) -> Self {
        let server = RabbitServer::shared().await.unwrap();
        let virtual_host = server.test_vhost().await.unwrap();
        let mut client = server.client(&virtual_host).await.unwrap();
        for queue in queues {
            client.declare_queue(queue, &Table::new()).await.unwrap();
        }
        client.confirm_select().await.unwrap();
        Self { server, virtual_host, client }
    }

    /// Puts persistent messages on a queue and waits until the broker has them.
    pub(crate) async fn publish(&mut self, queue: &str, bodies: impl IntoIterator<Item = Vec<u8>>) {
        for (number, body) in bodies.into_iter().enumerate() {
            let message_id = Some(number.to_string());
            let properties = Properties { message_id, ..Properties::persistent() };
            self.client.publish(queue, &properties, &body).await.unwrap();
        }
        self.client.wait_for_confirms().await.unwrap();
    }

    /// Waits until a queue holds so many ready and unsettled messages.
    pub(crate) async fn wait_for(&self, queue: &str, ready: u64, unacked: u64) {
        let wanted = (ready, unacked);
        let holds = |counts: gristmill_testkit::rabbitmq::QueueCounts| {
            (counts.ready, counts.unacked) == wanted
        };
        self.server.wait_for_counts(&self.virtual_host, queue, LONG, holds).await.unwrap();
    }

    /// A mapping of a queue to a guest, with further lines for the function and the mapping.
    pub(crate) fn mapping(
        &self,
        queue: &str,
        guest: &str,
        function: &str,
        mapping: &str,
    ) -> String {
        self.mapping_named(queue, queue, guest, function, mapping)
    }

    /// The same under a name of its own, for queues whose names are no names of mappings.
    pub(crate) fn mapping_named(
        &self,
        name: &str,
        queue: &str,
        guest: &str,
        function: &str,
        mapping: &str,
    ) -> String {
        mapping_on(&self.virtual_host, name, queue, guest, function, mapping)
    }

    /// Runs the host on this broker with these mappings.
    pub(crate) fn host(&self, mappings: &[String]) -> Host {
        host_on(self.server, mappings)
    }
}

/// Runs the host on a server, under the name `broker`, with these sections of configuration.
pub(crate) fn host_on(server: &RabbitServer, sections: &[String]) -> Host {
    host_on_with(server, "", sections)
}

/// The same with further lines for the broker.
pub(crate) fn host_on_with(server: &RabbitServer, broker: &str, sections: &[String]) -> Host {
    host_at(server.amqp_port(), broker, sections)
}

/// The same with whatever listens on a port.
pub(crate) fn host_at(port: u16, broker: &str, sections: &[String]) -> Host {
    let broker = format!(
        "[broker.broker]\ntype = \"rabbitmq\"\nurl = \"amqp://127.0.0.1:{port}\"\n{broker}\n"
    );
    Host::start(Path::new(GRISTMILL), &(broker + &sections.concat())).unwrap()
}

/// The sections of a mapping of a queue to a guest.
pub(crate) fn mapping_on(
    virtual_host: &str,
    name: &str,
    queue: &str,
    guest: &str,
    function: &str,
    mapping: &str,
) -> String {
    let component = guests::component(guest);
    let (queue, virtual_host) = (toml_string(queue), toml_string(virtual_host));
    format!(
        "[function.{guest}-on-{name}]\ncomponent = {component:?}\n{function}\n\n\
         [mapping.{name}]\nbroker = \"broker\"\nqueue = {queue}\n\
         virtual_host = {virtual_host}\nfunction = \"{guest}-on-{name}\"\n{mapping}\n\n"
    )
}

/// Waits until a mapping has subscribed.
pub(crate) async fn subscribed(host: &Host, mapping: &str) {
    host.wait_for(LONG, |line| line["message"] == "subscribed" && line["mapping"] == mapping)
        .await
        .unwrap();
}

/// Waits for the REPORT of a mapping's next invocation.
pub(crate) async fn report(host: &Host, mapping: &str) -> Value {
    host.wait_for(LONG, |line| line["message"] == "REPORT" && line["mapping"] == mapping)
        .await
        .unwrap()
}

/// Waits for a random number of invocations, so that the next thing comes at a random moment.
pub(crate) async fn at_any_moment(host: &Host) {
    let mut left = 1 + RandomState::new().hash_one(0) % 60;
    let passed = |line: &Value| {
        left -= u64::from(line["message"] == "REPORT");
        left == 0
    };
    host.wait_for(LONG, passed).await.unwrap();
}

/// Waits for the next line that a handler prints on stdout.
pub(crate) async fn printed(host: &Host) -> String {
    let line = host.wait_for(LONG, |line| line["stream"] == "stdout").await.unwrap();
    line["message"].as_str().unwrap().to_owned()
}

/// Asks the host to end and waits until it has, which must be in order.
pub(crate) async fn drain(host: &Host) {
    host.signal("TERM").unwrap();
    let status = host.wait_exit(LONG).await.unwrap();
    assert!(status.success(), "{status}: {:#?}", host.logs());
}

/// The numbers that the lines `handled FIRST-LAST` of a function name, in their order.
pub(crate) fn handled(host: &Host, function: &str) -> Vec<u64> {
    let lines = host.logs();
    let ranges = lines.iter().filter(|line| line["function"] == function).filter_map(|line| {
        let range = line["message"].as_str()?.strip_prefix("handled ")?;
        let (first, last) = range.split_once('-')?;
        Some(first.parse::<u64>().unwrap()..=last.parse::<u64>().unwrap())
    });
    ranges.flatten().collect()
}

/// The numbers from 0 on, as bodies.
pub(crate) fn numbers(count: u64) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|number| number.to_string().into_bytes())
}

/// What makes a queue a quorum queue.
pub(crate) fn quorum() -> Table {
    Table::new().with("x-queue-type", Field::text("quorum"))
}

/// Waits until a mapping says that it is in a state, with a reason.
pub(crate) async fn moved(host: &Host, mapping: &str, state: &str, reason: &str) -> Value {
    let wanted = |line: &Value| {
        line["message"] == "state changed"
            && line["mapping"] == mapping
            && line["state"] == state
            && line["state_transition_reason"] == reason
    };
    host.wait_for(LONG, wanted).await.unwrap()
}

/// Writes a credentials file, or replaces it as tools do it, so that nobody reads half of it.
pub(crate) fn credentials(file: &Path, user: &str, password: &str) {
    let json = json!({ "username": user, "password": password }).to_string();
    let new = file.with_extension("new");
    fs::write(&new, json).unwrap();
    fs::rename(new, file).unwrap();
}

/// No task of the host has died. What a handler says of its own panics is a line of JSON.
pub(crate) fn nothing_panicked(host: &Host) {
    let lines = host.logs();
    let died = |line: &&Value| {
        let message = line["message"].as_str().unwrap_or_default();
        line.is_string() || message.contains("which is a bug of the host")
    };
    let died: Vec<&Value> = lines.iter().filter(died).collect();
    assert!(died.is_empty(), "{died:?}");
}

/// JSON's escapes are TOML's too.
fn toml_string(text: &str) -> String {
    Value::from(text).to_string()
}
