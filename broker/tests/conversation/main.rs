//! What clients and the broker say to each other. As Apache Pulsar 4.0.8 was seen to say it, where
//! nothing else is noted.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod delivering;
mod noting;
mod opening;
mod placing;
mod topics;

use std::time::Duration;

use common::*;
use pulsewire_broker::BrokerConfig;
use pulsewire_broker::core::{
    AdvertisedListener, DisconnectReason, Policies, Retention, Scope, names::TopicName,
};
use pulsewire_proto::wire::entry::Entry;
use pulsewire_proto::wire::*;

const TOPIC: &str = "persistent://public/default/t";
