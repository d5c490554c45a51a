//! Options, with the Java client's defaults.

mod client;
mod consumer;
mod producer;

pub use client::{Authentication, ClientConfig};
pub use consumer::{ConsumerConfig, InitialPosition, SubscriptionMode, SubscriptionType};
pub use producer::{BatcherBuilder, ProducerConfig};

use crate::error::{Error, ErrorKind};

fn refuse(wrong: Vec<String>) -> Result<(), Error> {
    if wrong.is_empty() { Ok(()) } else { Err(Error::new(ErrorKind::InvalidOption, wrong.join("; "))) }
}
