//! Sends texts to a queue: `produce tcp://localhost:61616 QUEUE TEXT…`.
//!
//! The login is read from `BROKER_USER` and `BROKER_PASSWORD`, if they are set.

use std::env;
use std::error::Error;
use std::time::SystemTime;

use activemq_openwire::Outgoing;
use activemq_openwire::client::{Address, ClientSettings, Connector};
use activemq_openwire::connection::Login;
use activemq_openwire::structures::Destination;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(url), Some(queue)) = (arguments.next(), arguments.next()) else {
        return Err("usage: produce URL QUEUE TEXT…".into());
    };
    let started = SystemTime::UNIX_EPOCH.elapsed()?.as_millis();
    let name = format!("produce-{}-{started}", std::process::id());
    let mut settings = ClientSettings::new(&name, Address::parse(&url)?);
    if let (Ok(user), Ok(password)) = (env::var("BROKER_USER"), env::var("BROKER_PASSWORD")) {
        settings.login = Some(Login::new(&user, &password));
    }

    let client = Connector::new(settings).connect().await?;
    let producer = client.session().await?.producer().await?;
    let queue = Destination::queue(&queue);
    for text in arguments {
        // A persistent message is stored when this returns.
        producer.send(&queue, Outgoing::text(&text, SystemTime::now())).await?;
    }
    client.close().await;
    Ok(())
}
