//! Producers.

mod builder;
mod message;

use std::sync::Arc;

use bytes::Bytes;
use pulsewire_proto::{Error, ProducerId, TopicName};

pub use builder::ProducerBuilder;
pub use message::{MessageBuilder, Sending};

use crate::client::Client;
use message::OwnedMessage;

/// Publishes messages to a topic.
///
/// Clones are handles to the same producer; it closes when the last one is dropped.
#[derive(Clone)]
pub struct Producer {
    /// All of it, as each send has a clone.
    handle: Arc<Handle>,
    id: ProducerId,
}

struct Handle {
    client: Client,
    id: Option<ProducerId>,
    topic: TopicName,
    name: String,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.client.inner.shared.command(|core, waiters, now| {
                core.close_producer(id, now);
                waiters.forget_producer(id);
            });
        }
    }
}

impl Producer {
    /// The topic's full name.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.handle.topic.as_str()
    }

    /// The producer's name, given or by the broker.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.handle.name
    }

    /// Sends a payload. The message is on its way when this returns, in order with other sends, or in a
    /// batch that goes out soon; the future is for its receipt, and may be dropped. When the memory limit is reached the message
    /// waits in the future, which must then be polled.
    ///
    /// ```
    /// # async fn run(producer: pulsewire::Producer) -> Result<(), pulsewire::Error> {
    /// let first = producer.send("one");
    /// let second = producer.send("two");
    /// println!("{} {}", first.await?, second.await?);
    /// # Ok(()) }
    /// ```
    pub fn send(&self, payload: impl Into<Bytes>) -> Sending {
        self.new_message().payload(payload).send()
    }

    /// Prepares a message with more than a payload, as Java's `newMessage`.
    pub fn new_message(&self) -> MessageBuilder {
        MessageBuilder { producer: self.clone(), message: OwnedMessage::default() }
    }

    /// Sends now what waits in a batch, and waits until all that was sent before has its receipt.
    ///
    /// # Errors
    /// The first failure among those sends; or `AlreadyClosed`.
    pub async fn flush(&self) -> Result<(), Error> {
        let id = self.id;
        self.handle.client.operation(|core, now| Ok(((), core.flush(id, now)))).await.map(drop)
    }

    /// Closes the producer: what is pending goes out first and gets its receipts.
    ///
    /// # Errors
    /// `Timeout` when the broker does not answer in time; it is closed then too.
    pub async fn close(&self) -> Result<(), Error> {
        let id = self.id;
        self.handle.client.operation(|core, now| Ok(((), core.close_producer(id, now)))).await.map(drop)
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer")
            .field("topic", &self.handle.topic)
            .field("name", &self.handle.name)
            .finish_non_exhaustive()
    }
}
