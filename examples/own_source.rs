//! A source of one's own: a folder in which every file is a message, oldest name first. What is handled is
//! deleted, what is given up goes to the folder `rejected` in it.
//!
//! ```sh
//! cargo run --example own_source -- HANDLER.wasm FOLDER
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::future::pending;
use std::io;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gristmill::broker::{
    Delivery, DeliveryToken, Epoch, Original, Received, Settled, Settlement, Source, SourceError,
};
use gristmill::config::{BrokerConfig, FunctionConfig, MappingConfig};
use gristmill::embedded::{BasicProperties, RabbitMqMessage};
use gristmill::{CancellationToken, Config, CustomBroker, Host, InProcess, Message};
use tokio::time::sleep;

/// How often the folder is looked at while nothing new is in it.
const INTERVAL: Duration = Duration::from_millis(200);

struct FolderSource {
    folder: PathBuf,
    prefetch: usize,
    epoch: Epoch,
    subscribed: bool,
    cancelled: bool,
    last_tag: u64,
    /// The unsettled ones, by their tags.
    in_hand: BTreeMap<u64, String>,
    /// Those that were handed out before.
    returned: BTreeSet<String>,
}

impl FolderSource {
    fn new(folder: &Path, prefetch: NonZeroU16) -> Self {
        Self {
            folder: folder.to_owned(),
            prefetch: prefetch.get().into(),
            epoch: Epoch(0),
            subscribed: false,
            cancelled: false,
            last_tag: 0,
            in_hand: BTreeMap::new(),
            returned: BTreeSet::new(),
        }
    }

    fn missing(&self, error: &io::Error) -> SourceError {
        let queue = self.folder.display().to_string();
        SourceError::QueueMissing { queue, reason: error.to_string() }
    }

    /// The next file that is not in hand.
    fn next(&mut self) -> io::Result<Option<Delivery>> {
        if self.in_hand.len() >= self.prefetch {
            return Ok(None);
        }
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // What is still written has a name with a dot in front, and comes by renaming.
            if let Ok(name) = entry.file_name().into_string()
                && entry.file_type()?.is_file()
                && !name.starts_with('.')
                && !self.in_hand.values().any(|held| *held == name)
            {
                names.insert(name);
            }
        }
        let Some(name) = names.pop_first() else { return Ok(None) };
        let body = fs::read(self.folder.join(&name))?;
        let properties =
            BasicProperties { message_id: Some(name.clone()), ..BasicProperties::default() };
        let redelivered = self.returned.contains(&name);
        self.last_tag += 1;
        self.in_hand.insert(self.last_tag, name);
        Ok(Some(Delivery {
            token: DeliveryToken { epoch: self.epoch, tag: self.last_tag },
            message: Message::from(RabbitMqMessage { properties, redelivered, body }),
            returns: 0.into(),
            group: None,
        }))
    }

    /// A file that cannot be deleted or moved stays, and comes again.
    fn settle_one(&mut self, settlement: Settlement<'_>, name: String) {
        let file = self.folder.join(&name);
        self.returned.remove(&name);
        match settlement {
            Settlement::Ack => drop(fs::remove_file(file)),
            Settlement::Requeue => drop(self.returned.insert(name)),
            Settlement::Reject(_) | Settlement::Expire => {
                let rejected = self.folder.join("rejected");
                drop(fs::create_dir_all(&rejected));
                drop(fs::rename(file, rejected.join(name)));
            }
        }
    }
}

impl Source for FolderSource {
    async fn subscribe(&mut self) -> Result<Epoch, SourceError> {
        self.close().await;
        fs::read_dir(&self.folder).map_err(|error| self.missing(&error))?;
        (self.subscribed, self.cancelled, self.last_tag) = (true, false, 0);
        self.epoch = self.epoch.next();
        Ok(self.epoch)
    }

    async fn receive(&mut self) -> Result<Received, SourceError> {
        if self.cancelled {
            pending::<()>().await;
        }
        loop {
            match self.next() {
                Ok(Some(delivery)) => return Ok(Received::Delivery(delivery)),
                Ok(None) => sleep(INTERVAL).await,
                Err(error) => {
                    self.close().await;
                    return Err(self.missing(&error));
                }
            }
        }
    }

    async fn settle(&mut self, settlement: Settlement<'_>, tokens: &[DeliveryToken]) -> Settled {
        let mut settled = Settled::default();
        for token in tokens {
            let is_current = self.subscribed && token.epoch == self.epoch;
            let name = if is_current { self.in_hand.remove(&token.tag) } else { None };
            match name {
                Some(name) => {
                    self.settle_one(settlement, name);
                    settled.sent += 1;
                }
                None => settled.stale += 1,
            }
        }
        settled
    }

    fn original(&self, token: DeliveryToken, message: Option<&Message>) -> Option<Original> {
        let is_current = token.epoch == self.epoch && self.in_hand.contains_key(&token.tag);
        message.filter(|_| is_current).map(|message| Original(message.body().to_vec()))
    }

    async fn cancel(&mut self) {
        self.cancelled = true;
    }

    async fn close(&mut self) {
        self.returned.extend(std::mem::take(&mut self.in_hand).into_values());
        self.subscribed = false;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(handler), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("which handler, and which folder?".into());
    };
    // The name of a mapping's queue is that of its folder.
    let folders =
        CustomBroker::new(|queue, prefetch| FolderSource::new(Path::new(queue), prefetch));
    let config = Config::new("data")
        .with_broker("folders", BrokerConfig::custom(folders))
        .with_function("handler", FunctionConfig::new(handler.as_str()))
        .with_mapping("files", MappingConfig::new("folders", folder, "handler"));
    let host = Host::new(config, |_| None, InProcess)?;
    let stop = CancellationToken::new();
    let ctrl_c = async { tokio::signal::ctrl_c().await.inspect(|()| stop.cancel()) };
    let ((), stopped) = tokio::join!(host.run(stop.clone()), ctrl_c);
    Ok(stopped?)
}
