//! A queue that is consumed from, a second one for dead letters, and a connection for each.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use gristmill_broker::{
    DeadLetter, Delivery, KeepError, Keeping, Login, Original, Received, Secret, Source,
};
use gristmill_rabbitmq::{
    Address, ConnectionSettings, DeadLetterQueue, RabbitMq, RabbitMqSource, SourceSettings,
};
use gristmill_testkit::amqp::{self, Client, Properties, Table};
use gristmill_testkit::rabbitmq::RabbitServer;
use tokio::time::timeout;

pub(crate) const LONG: Duration = Duration::from_secs(120);
pub(crate) const QUEUE: &str = "orders";
pub(crate) const DEAD: &str = "dead";
pub(crate) const CONDITION: &str = "GivenUpByFunction";
pub(crate) const RECORD: &str = r#"{"version":"1.0"}"#;
/// In seconds. The client takes a broker for frozen after two of them.
pub(crate) const HEARTBEAT: u16 = 2;
/// Longer than a broker that looks frozen is waited for.
pub(crate) const BEYOND_HEARTBEATS: Duration = Duration::from_secs(7);

/// A connection, of which a test has one to consume and one to publish.
pub(crate) fn broker(port: u16, virtual_host: &str, user: &str) -> Arc<RabbitMq> {
    RabbitMq::new(ConnectionSettings {
        addresses: vec![Address { host: "127.0.0.1".to_owned(), port }],
        tls: None,
        virtual_host: virtual_host.to_owned(),
        login: Login { username: user.to_owned(), password: Secret::new(user.to_owned()) }.into(),
        heartbeat_s: HEARTBEAT,
        connect_timeout: LONG,
        connection_name: "dead letters".to_owned(),
    })
}

pub(crate) struct Line {
    pub(crate) virtual_host: String,
    pub(crate) client: Client,
    pub(crate) source: RabbitMqSource,
    pub(crate) publishing: Arc<RabbitMq>,
}

impl Line {
    /// Publishes straight to the server.
    pub(crate) async fn on(server: &RabbitServer) -> Self {
        Self::through(server, server.amqp_port()).await
    }

    /// Publishes over another port.
    pub(crate) async fn through(server: &RabbitServer, port: u16) -> Self {
        let virtual_host = server.test_vhost().await.unwrap();
        let mut client = server.client(&virtual_host).await.unwrap();
        for queue in [QUEUE, DEAD] {
            client.declare_queue(queue, &Table::new()).await.unwrap();
        }
        let consuming = broker(server.amqp_port(), &virtual_host, "guest");
        let mut source = consuming.source(SourceSettings {
            queue: QUEUE.to_owned(),
            consumer_tag: "gristmill".to_owned(),
            prefetch: NonZeroU16::new(100).unwrap(),
        });
        source.subscribe().await.unwrap();
        let publishing = broker(port, &virtual_host, "guest");
        Self { virtual_host, client, source, publishing }
    }

    pub(crate) fn place(&self) -> DeadLetterQueue {
        self.publishing.dead_letter_queue(DEAD)
    }

    pub(crate) async fn send(&mut self, properties: &Properties, body: &[u8]) -> Delivery {
        self.client.publish(QUEUE, properties, body).await.unwrap();
        self.receive().await
    }

    pub(crate) async fn receive(&mut self) -> Delivery {
        let received = timeout(LONG, self.source.receive()).await.unwrap().unwrap();
        let Received::Delivery(delivery) = received else { panic!("expected a delivery") };
        delivery
    }

    pub(crate) fn original(&self, delivery: &Delivery) -> Original {
        self.source.original(delivery.token, Some(&delivery.message)).unwrap()
    }

    /// Dead letters of transient messages.
    pub(crate) async fn letters(&mut self, bodies: &[&str]) -> Vec<DeadLetter> {
        let mut letters = Vec::new();
        for body in bodies {
            let transient = Properties { delivery_mode: Some(1), ..Properties::default() };
            let delivery = self.send(&transient, body.as_bytes()).await;
            letters.push(letter(self.original(&delivery)));
        }
        letters
    }

    pub(crate) async fn take(&mut self, queue: &str) -> amqp::Delivery {
        self.client.get(queue).await.unwrap().unwrap()
    }
}

pub(crate) fn letter(original: Original) -> DeadLetter {
    DeadLetter {
        original,
        message_id: None,
        condition: CONDITION,
        cause: "GivenUpByFunction".to_owned(),
        record: RECORD.to_owned(),
        given_up_at_ms: 0,
    }
}

/// Everything that waits in a queue.
pub(crate) async fn bodies(client: &mut Client, queue: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    while let Some(delivery) = client.get(queue).await.unwrap() {
        bodies.push(String::from_utf8(delivery.body).unwrap());
    }
    bodies
}

pub(crate) async fn ends(keeping: Keeping<'_>) -> Result<(), KeepError> {
    timeout(LONG, keeping).await.unwrap()
}

pub(crate) async fn set_alarm(server: &RabbitServer, resource: &str) {
    let alarm = format!("rabbit_alarm:set_alarm({{{{resource_limit, {resource}, node()}}, []}}).");
    server.eval(&alarm).await.unwrap();
}

pub(crate) async fn clear_alarm(server: &RabbitServer, resource: &str) {
    let alarm = format!("rabbit_alarm:clear_alarm({{resource_limit, {resource}, node()}}).");
    server.eval(&alarm).await.unwrap();
}
