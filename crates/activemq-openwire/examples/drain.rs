//! What `cargo xtask bench openwire` measures against Java's client: a consumer that does nothing
//! but ack.
//!
//! `drain URL QUEUE MESSAGES PREFETCH ACK_EVERY` acks each message by itself if `ACK_EVERY` is 1, else
//! so many together. It says `subscribed` on its output, begins with a line on its input, says
//! `done` when the broker has accepted every ack, and waits for the end of its input, so that
//! whoever runs it can look at what it has used.
#![expect(clippy::print_stdout, reason = "a program answers on its output")]

use std::collections::VecDeque;
use std::env;
use std::error::Error;
use std::io;

use activemq_openwire::client::{Address, ClientSettings, Connector};
use activemq_openwire::connection::{ConsumerOptions, Settlement};
use activemq_openwire::structures::Destination;

/// How many acks are on their way before the oldest is waited for.
const UNANSWERED_MAX: usize = 500;

// Here is nothing to do beside the socket, so that a second thread would only have to be woken.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, queue, messages, prefetch, ack_every] = arguments.as_slice() else {
        return Err("usage: drain URL QUEUE MESSAGES PREFETCH ACK_EVERY".into());
    };
    let (messages, ack_every): (u64, u64) = (messages.parse()?, ack_every.parse()?);
    let name = format!("drain-{}", std::process::id());
    let client = Connector::new(ClientSettings::new(&name, Address::parse(url)?)).connect().await?;
    let options = ConsumerOptions::new(Destination::queue(queue), prefetch.parse()?);
    let mut consumer = client.session().await?.consumer(&options).await?;
    println!("subscribed");
    io::stdin().read_line(&mut String::new())?;
    let mut unanswered = VecDeque::new();
    for taken in 1..=messages {
        let tag = consumer.receive().await?.tag;
        if ack_every == 1 {
            unanswered.push_back(consumer.settle(&Settlement::Individual(tag)));
        } else if taken % ack_every == 0 || taken == messages {
            unanswered.push_back(consumer.settle(&Settlement::UpTo(tag)));
        }
        if unanswered.len() > UNANSWERED_MAX
            && let Some(oldest) = unanswered.pop_front()
        {
            oldest.await?;
        }
    }
    for answer in unanswered {
        answer.await?;
    }
    println!("done");
    while io::stdin().read_line(&mut String::new())? > 0 {}
    client.close().await;
    Ok(())
}
