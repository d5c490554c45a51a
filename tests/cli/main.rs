//! The binary `pulsewire` as a person meets it: real processes, against its own broker.
#![cfg(unix)]
#![forbid(unsafe_code)]

mod broker;
mod deploy;
mod dev;
mod gateway;
mod interrupts;
mod messages;
mod perf;
mod refusals;
mod servers;
mod support;
