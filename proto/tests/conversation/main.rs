//! Conversations with the core: a scripted broker on the other side of bytes, and virtual time.
//!
//! The broker's part is built on `pulsewire_proto::wire`, which the golden vectors hold to Java's
//! bytes. Every test reads from top to bottom as what the two say to each other; [`talk::Talk`] is
//! the host between them, and checks throughout that every operation and send ends exactly once.

#[macro_use]
mod talk;

mod acknowledging;
mod bad_input;
mod batching;
mod chunks;
mod connection;
mod consumer;
mod entries;
mod faults;
mod inventory;
mod letters;
mod lookup;
mod many;
mod positions;
mod producer;
mod reading;
mod receiving;
mod redelivery;
mod sending;
