//! An Apache Pulsar client for native Rust and for WebAssembly, from one source.
//!
//! ```
//! # async fn run() -> Result<(), pulsewire::Error> {
//! use pulsewire::{Client, InitialPosition};
//!
//! let client = Client::builder("pulsar://localhost:6650").build()?;
//! let producer = client.producer("news").create().await?;
//! let id = producer.send("hello").await?;
//!
//! let consumer = client
//!     .consumer("news", "my-subscription")
//!     .initial_position(InitialPosition::Earliest)
//!     .subscribe()
//!     .await?;
//! let message = consumer.receive().await?;
//! println!("{id} {:?}", message.payload());
//! consumer.acknowledge(&message)?;
//! client.close().await
//! # }
//! ```
//!
//! Natively the client's driver runs on the tokio runtime in which [`ClientBuilder::build`] was
//! called and speaks `pulsar://`, `pulsar+ssl://`, `ws://` and `wss://`. In WebAssembly it runs on the
//! page's own event loop and speaks `ws://` and `wss://`, through a pulsewire gateway.
#![cfg_attr(not(feature = "js"), forbid(unsafe_code))]
#![cfg_attr(
    target_family = "wasm",
    allow(clippy::arc_with_non_send_sync, reason = "the same source is shared between threads natively")
)]

mod client;
mod consumer;
mod driver;
mod guarded;
mod producer;
mod reader;
mod runtime;
mod shared;
mod table_view;
#[cfg(feature = "testing")]
pub mod testing;
mod waiters;
#[cfg(all(feature = "js", target_family = "wasm"))]
mod wasm;

pub use client::{Client, ClientBuilder};
pub use consumer::{Consumer, ConsumerBuilder, ConsumerEvent, ConsumerInterceptor, Messages, Receive};
pub use producer::{
    MessageBuilder, OutgoingMessage, Producer, ProducerBuilder, ProducerInterceptor, RoutedMessage, Sending,
    TrySendError,
};
#[cfg(feature = "many")]
pub use pulsewire_proto::TopicConfiguration;
pub use pulsewire_proto::table_view::Change;
pub use pulsewire_proto::wire::{CompressionType, ServerError};
pub use pulsewire_proto::{
    BatchReceivePolicy, BatcherBuilder, BrokerConsumerStats, ConnectionState, ConsumerState, ConsumerStats,
    DeadLetterPolicy, Error, ErrorKind, Fault, FirstChunk, HashingScheme, InitialPosition, KeySharedPolicy,
    Message, MessageId, MessageRoutingMode, ProducerAccessMode, ProducerConfig, ProducerStats,
    ProducerStatus, RedeliveryBackoff, RegexSubscriptionMode, SeekTarget, SubscriptionMode, SubscriptionType,
    TopicsPattern,
};
pub use pulsewire_transport as transport;
pub use reader::{ReadMessages, Reader, ReaderBuilder, ReaderInterceptor};
pub use runtime::{MaybeSend, MaybeSync};
pub use table_view::{Changes, TableView, TableViewBuilder};
