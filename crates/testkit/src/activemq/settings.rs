//! What a test server of ActiveMQ is to be like: users, rights, TLS, and how its queues behave.

use std::fmt;

use serde_json::{Value, json};

use crate::certificates::Certificates;

/// The settings of a server. Without any it lets everybody do everything.
#[derive(Clone)]
pub struct Settings {
    /// As `java/Broker.java` reads it, but for what each server gets of its own.
    pub(super) json: Value,
    pub(super) is_fast: bool,
}

/// The groups that may do something with queues, several of them with commas between.
#[derive(Debug, Clone, Copy)]
pub struct Rights<'a> {
    /// May consume and browse.
    pub read: &'a str,
    /// May send.
    pub write: &'a str,
    /// May bring a queue into being, which the first use of it does.
    pub admin: &'a str,
}

impl Settings {
    /// Settings of which nothing is set.
    pub fn new() -> Self {
        let json = json!({
            "users": [],
            "rights": [],
            "tls": null,
            "policies": [],
            "broker": {},
            "memory": 128 << 20,
            "transport": "maximumConnections=1000&wireFormat.maxFrameSize=104857600",
        });
        Self { json, is_fast: false }
    }

    /// Adds a user in one group. From the first on, nobody may connect without a login.
    #[must_use]
    pub fn user(self, name: &str, password: &str, group: &str) -> Self {
        self.push("users", json!({ "name": name, "password": password, "group": group }))
    }

    /// Gives groups rights to a queue, or to many with a pattern such as `orders.>`. From the first
    /// on, what is not given is refused, except temporary queues and the broker's own advisories.
    ///
    /// Rights of all patterns that fit a queue's name are added up.
    #[must_use]
    pub fn rights(self, queue: &str, rights: Rights<'_>) -> Self {
        let Rights { read, write, admin } = rights;
        self.push("rights", json!({ "queue": queue, "read": read, "write": write, "admin": admin }))
    }

    /// Lets the server speak TLS too. The certificates have to live as long as the server;
    /// `demands_one` refuses clients that have none of the same authority.
    #[must_use]
    pub fn tls(mut self, certificates: &Certificates, demands_one: bool) -> Self {
        let (certificate, key) = certificates.server();
        self.json["tls"] = json!({
            "certificate": certificate,
            "key": key,
            "ca": certificates.ca(),
            "demands": demands_one,
        });
        self
    }

    /// Sets properties of ActiveMQ's `policyEntry` for a queue or pattern, by the names that its XML
    /// has, as in `("expireMessagesPeriod", "1000")`. Two names are ours: `deadLetterPrefix` gives each
    /// queue a dead-letter queue of its own, named so and then as the queue, and
    /// `processNonPersistent` is that of the `deadLetterStrategy`.
    #[must_use]
    pub fn policy(self, queue: &str, properties: &[(&str, &str)]) -> Self {
        let mut policy = json!({ "queue": queue });
        for (name, value) in properties {
            policy[*name] = json!(value);
        }
        self.push("policies", policy)
    }

    /// Sets a property of ActiveMQ's `broker` by the name that its XML has, as in
    /// `("persistent", "false")`.
    #[must_use]
    pub fn broker(mut self, name: &str, value: &str) -> Self {
        self.json["broker"][name] = json!(value);
        self
    }

    /// Sets options of the ports that clients connect to, in place of the usual ones, as in
    /// `maximumConnections=1`.
    #[must_use]
    pub fn transport(mut self, options: &str) -> Self {
        self.json["transport"] = json!(options);
        self
    }

    /// For figures rather than for tests: more memory, also for messages, and code that Java compiles
    /// for speed.
    #[must_use]
    pub fn fast(mut self) -> Self {
        self.json["memory"] = json!(512 << 20);
        self.is_fast = true;
        self
    }

    fn push(mut self, list: &str, item: Value) -> Self {
        if let Some(list) = self.json[list].as_array_mut() {
            list.push(item);
        }
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Settings {
    /// Without the passwords.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Settings").field("is_fast", &self.is_fast).finish_non_exhaustive()
    }
}
