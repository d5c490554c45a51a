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
mod producer;
mod service_url;
mod time;
mod timer;
mod topic;
pub mod wire;

pub use client::Client;
pub use config::{
    Authentication, BatcherBuilder, ClientConfig, ConsumerConfig, InitialPosition, KeySharedPolicy,
    ProducerConfig, ReaderConfig, SubscriptionMode, SubscriptionType,
};
pub use consumer::{Message, RedeliveryBackoff, SeekTarget};
pub use error::{Error, ErrorKind, Fault};
pub use event::{Action, ConnectionState, Event, Output, SendOutcome};
pub use ids::{ConnId, ConsumerId, FirstChunk, MessageId, OpId, ProducerId, SendToken};
pub use producer::{Deliver, Key, NO_REPLICATION, Outgoing, Payload};
pub use service_url::{Endpoint, Scheme, ServiceUrl};
pub use time::{Now, Time};
pub use topic::TopicName;
