//! Options, with the Java client's defaults.

mod client;
mod consumer;
mod key_shared;
mod producer;
mod reader;

pub use client::{Authentication, ClientConfig};
pub use consumer::{ConsumerConfig, InitialPosition, SubscriptionMode, SubscriptionType};
pub use key_shared::KeySharedPolicy;
pub use producer::{BatcherBuilder, ProducerConfig};
pub use reader::ReaderConfig;

use crate::error::{Error, ErrorKind};

fn refuse(wrong: Vec<String>) -> Result<(), Error> {
    if wrong.is_empty() { Ok(()) } else { Err(Error::new(ErrorKind::InvalidOption, wrong.join("; "))) }
}
