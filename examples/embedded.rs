//! A host in a program of one's own, with a queue of its own and no broker:
//!
//! ```sh
//! cargo run --example embedded -- HANDLER.wasm
//! ```

use gristmill::config::{BrokerConfig, FunctionConfig, MappingConfig};
use gristmill::{CancellationToken, Config, Host, InProcess};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let handler = std::env::args().nth(1).ok_or("which handler?")?;
    let config = Config::new("data")
        .with_broker("here", BrokerConfig::embedded())
        .with_function("totals", FunctionConfig::new(handler.as_str()))
        .with_mapping("orders", MappingConfig::new("here", "orders", "totals"));
    let host = Host::new(config, |_| None, InProcess)?;
    let (queues, stop) = (host.handle().embedded("here"), CancellationToken::new());
    let queues = queues.ok_or("it has no such broker")?;
    queues.publish("orders", vec![r#"{"id": 17, "items": []}"#.into()]).await?;
    let ctrl_c = async { tokio::signal::ctrl_c().await.inspect(|()| stop.cancel()) };
    let ((), stopped) = tokio::join!(host.run(stop.clone()), ctrl_c);
    Ok(stopped?)
}
