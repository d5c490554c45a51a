//! Sends and receives: `cargo run --example hello -- pulsar://localhost:6650`.
#![forbid(unsafe_code)]

use pulsewire::{Client, InitialPosition};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), pulsewire::Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "pulsar://localhost:6650".to_owned());
    let client = Client::builder(url).build()?;
    let consumer = client
        .consumer("hello", "hello-subscription")
        .initial_position(InitialPosition::Earliest)
        .subscribe()
        .await?;
    let producer = client.producer("hello").create().await?;
    let sends: Vec<_> = (0..10).map(|i| producer.send(format!("hello {i}"))).collect();
    for send in sends {
        eprintln!("stored at {}", send.await?);
    }
    for _ in 0..10 {
        let message = consumer.receive().await?;
        eprintln!("{} {}", message.id(), String::from_utf8_lossy(message.payload()));
        consumer.acknowledge(&message)?;
    }
    client.close().await
}
