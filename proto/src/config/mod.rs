//! Options, with the Java client's defaults.

mod client;
mod consumer;
mod key_shared;
mod letters;
mod producer;
mod reader;
#[cfg(feature = "many")]
mod topics;

pub use client::{Authentication, ClientConfig};
pub use consumer::{ConsumerConfig, InitialPosition, SubscriptionMode, SubscriptionType};
pub use key_shared::KeySharedPolicy;
pub use letters::DeadLetterPolicy;
pub(crate) use producer::MAX_SEQUENCE_ID;
pub use producer::{BatcherBuilder, ProducerConfig};
pub use reader::ReaderConfig;
#[cfg(feature = "many")]
pub use topics::{TopicConfiguration, TopicMatcher};

use crate::error::{Error, ErrorKind};

/// Names and keys that are there are not blank, as in Java.
fn check_blank<'a>(
    names: impl IntoIterator<Item = (&'static str, Option<&'a String>)>,
    properties: &[(String, String)],
    wrong: &mut Vec<String>,
) {
    for (what, name) in names {
        if name.is_some_and(|name| name.trim().is_empty()) {
            wrong.push(format!("{what} is not blank"));
        }
    }
    if properties.iter().any(|(key, _)| key.trim().is_empty()) {
        wrong.push("the key of a property is not blank".to_owned());
    }
}

fn refuse(wrong: Vec<String>) -> Result<(), Error> {
    if wrong.is_empty() { Ok(()) } else { Err(Error::new(ErrorKind::InvalidOption, wrong.join("; "))) }
}
