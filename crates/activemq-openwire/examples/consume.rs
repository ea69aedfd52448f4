//! Prints the bodies of a queue's messages: `consume tcp://localhost:61616 QUEUE [COUNT]`.
//!
//! The login is read from `BROKER_USER` and `BROKER_PASSWORD`, if they are set, and an authority
//! to trust from the file that `BROKER_CA` names.

use std::env;
use std::error::Error;
use std::io::{Write, stdout};
use std::time::SystemTime;

use activemq_openwire::client::{Address, ClientSettings, Connector};
use activemq_openwire::connection::{ConsumerOptions, Login, Settlement};
use activemq_openwire::structures::Destination;
use activemq_openwire::{Body, Limits};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(url), Some(queue)) = (arguments.next(), arguments.next()) else {
        return Err("usage: consume URL QUEUE [COUNT]".into());
    };
    let count = arguments.next().map_or(Ok(usize::MAX), |count| count.parse())?;
    let started = SystemTime::UNIX_EPOCH.elapsed()?.as_millis();
    let name = format!("consume-{}-{started}", std::process::id());
    let mut settings = ClientSettings::new(&name, Address::parse(&url)?);
    if let (Ok(user), Ok(password)) = (env::var("BROKER_USER"), env::var("BROKER_PASSWORD")) {
        settings.login = Some(Login::new(&user, &password));
    }
    settings.tls.ca = env::var_os("BROKER_CA").map(Into::into);

    let client = Connector::new(settings).connect().await?;
    let options = ConsumerOptions::new(Destination::queue(&queue), 100);
    let mut consumer = client.session().await?.consumer(&options).await?;
    for _ in 0..count {
        let delivery = consumer.receive().await?;
        match delivery.message.body(&Limits::default()) {
            Ok(Body::Text(Some(text))) => writeln!(stdout(), "{text}")?,
            Ok(Body::Bytes(bytes)) => writeln!(stdout(), "{} bytes", bytes.len())?,
            Ok(other) => writeln!(stdout(), "{other:?}")?,
            Err(error) => {
                // It would be the same the next time.
                let cause = Some(error.to_string());
                let tag = delivery.tag;
                consumer.settle(&Settlement::Poison { tag, cause }).await?;
                continue;
            }
        }
        consumer.ack(delivery.tag).await?;
    }
    client.close().await;
    Ok(())
}
