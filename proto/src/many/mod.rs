//! Handles that are made of others: producers and consumers of partitioned topics, consumers of
//! several topics and of patterns.
//!
//! Their parts are ordinary producers and consumers with ids of their own; here is what they share
//! and how it is divided. What they do together is in `client::partitioned` and `client::multi`.

pub(crate) mod consumer;
pub(crate) mod hash;
pub(crate) mod parked;
pub(crate) mod pattern;
pub(crate) mod producer;
pub(crate) mod router;
