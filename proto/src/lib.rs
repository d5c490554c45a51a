//! The protocol of Apache Pulsar and the state of a client, with no I/O at all.
//!
//! [`Client`] is the door: commands and facts go in, actions, bytes and events come out. It has no
//! clock, no randomness of its own, no lock, no task: the crate `pulsewire` drives it, natively and
//! in WebAssembly. [`wire`] is the protocol's definition, which the embedded broker shares.
#![forbid(unsafe_code)]

mod client;
mod compression;
mod config;
mod connection;
mod consumer;
mod error;
mod event;
mod id_map;
mod ids;
mod many;
mod producer;
mod service_url;
pub mod table_view;
mod time;
mod timer;
mod topic;
pub mod wire;

pub use client::Client;
pub use config::{
    Authentication, BatcherBuilder, ClientConfig, ConsumerConfig, DeadLetterPolicy, InitialPosition,
    KeySharedPolicy, ProducerConfig, ReaderConfig, SubscriptionMode, SubscriptionType,
};
#[cfg(feature = "many")]
pub use config::{TopicConfiguration, TopicMatcher};
pub use consumer::{
    BatchReceivePolicy, BatchTicket, BrokerConsumerStats, ConsumerStats, Message, RedeliveryBackoff,
    SeekTarget,
};
pub use error::{Error, ErrorKind, Fault};
pub use event::{Action, ConnectionState, ConsumerState, Event, Output, SendOutcome};
pub use ids::{ConnId, ConsumerId, FirstChunk, MessageId, OpId, ProducerId, SendToken};
pub use many::hash::HashingScheme;
pub use many::pattern::{RegexSubscriptionMode, TopicsPattern};
pub use many::router::MessageRoutingMode;
pub use producer::{
    Deliver, Key, NO_REPLICATION, Outgoing, Payload, ProducerAccessMode, ProducerStats, ProducerStatus,
};
pub use service_url::{Endpoint, Scheme, ServiceUrl};
pub use time::{Now, Time};
pub use topic::TopicName;
