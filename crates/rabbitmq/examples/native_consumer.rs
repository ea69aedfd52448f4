//! What `cargo xtask bench line` measures the host against: a consumer that does nothing but ack.
//!
//! `native_consumer URL QUEUE MESSAGES PREFETCH` acks every hundred messages together. It says
//! `subscribed` and `done` on its output, and then waits for the end of its input, so that whoever
//! runs it can look at what it has used.
#![expect(clippy::print_stdout, reason = "a program answers on its output")]

use std::env;
use std::error::Error;
use std::io::{self, Read};

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};

const ACK_EVERY: u64 = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, queue, messages, prefetch] = arguments.as_slice() else {
        return Err("usage: native_consumer URL QUEUE MESSAGES PREFETCH".into());
    };
    let messages: u64 = messages.parse()?;
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(prefetch.parse()?, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let consumer = channel
        .basic_consume(queue.as_str().into(), "native".into(), options, FieldTable::default())
        .await?;
    println!("subscribed");
    let mut deliveries = consumer.take(usize::try_from(messages)?);
    let mut taken = 0;
    while let Some(delivery) = deliveries.next().await {
        let tag = delivery?.delivery_tag;
        taken += 1;
        if taken % ACK_EVERY == 0 || taken == messages {
            channel.basic_ack(tag, BasicAckOptions { multiple: true }).await?;
        }
    }
    println!("done");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
