//! The embedded development broker of pulsewire: a Pulsar small enough for a test.
//!
//! [`core`] is the broker itself, without I/O: bytes in, bytes out, time and randomness handed in.
//! It compiles to WebAssembly. [`server`] (feature `server`, on by default) puts it on TCP and TLS
//! sockets with tokio, with the few admin calls over HTTP that clients and their tests need.
//!
//! [`testing`] is the broker of a test: its clock can be put forward, its connections cut.
//!
//! It is a development broker for one machine. Whoever outgrows it runs Apache Pulsar.
#![cfg_attr(not(feature = "js"), forbid(unsafe_code))]

pub mod admin;
#[cfg(feature = "server")]
pub mod auth;
pub mod core;
#[cfg(feature = "server")]
pub mod server;
pub mod testing;
#[cfg(all(feature = "js", target_family = "wasm"))]
mod wasm;

pub use crate::core::{Broker, BrokerConfig, ConnId, Now};
#[cfg(feature = "server")]
pub use crate::server::{Server, ServerConfig};
