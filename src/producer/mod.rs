//! Producers.

mod builder;
mod interceptor;
mod message;
mod routing;

use std::sync::Arc;

use bytes::Bytes;
use pulsewire_proto::{Error, ProducerId, ProducerStats, ProducerStatus, TopicName};

pub use builder::ProducerBuilder;
pub(crate) use interceptor::Interceptors;
pub use interceptor::{OutgoingMessage, ProducerInterceptor};
pub(crate) use message::OwnedMessage;
pub use message::{MessageBuilder, Sending, TrySendError};
pub use routing::RoutedMessage;

use crate::client::Client;
use crate::waiters::PendingSends;

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
    router: Option<routing::Router>,
    interceptors: Option<Arc<Interceptors>>,
    sends: PendingSends,
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

    /// How many partitions it sends to by now; 0 when the topic is not partitioned.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        self.handle.client.inner.shared.lock().core.producer_partitions(self.id)
    }

    /// The producer's name, given or by the broker.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.handle.name
    }

    /// Sends a payload. The message is on its way when this returns, in order with other sends, or in a batch that
    /// goes out soon; the future is for its receipt, and may be dropped. When there is no room, in the client's
    /// [memory](crate::ClientBuilder::memory_limit) or in the producer's
    /// [number of pending messages](ProducerBuilder::max_pending_messages), it waits in its turn, as with Java's
    /// `blockIfQueueFull(true)`, and goes out as soon as there is; no later send of the producer overtakes it, and
    /// dropping the future takes it back. [`MessageBuilder::try_send`] does not wait.
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

    /// How it is doing: whether it is connected, its sequence ids, what is pending. All of it is empty once it is
    /// closed or has failed.
    #[must_use]
    pub fn status(&self) -> ProducerStatus {
        self.handle.client.inner.shared.lock().core.producer_status(self.id).unwrap_or_default()
    }

    /// Whether it is open on a broker now; while it is not, what is sent waits. Java's `isConnected`.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.status().is_connected
    }

    /// When it lost its broker last, in milliseconds since the Unix epoch; `None` when it never did. Java's
    /// `getLastDisconnectedTimestamp`, which is 0 then.
    #[must_use]
    pub fn last_disconnected_timestamp(&self) -> Option<u64> {
        self.status().last_disconnected_timestamp
    }

    /// The highest sequence id that is stored, by this producer or, under its name, before it; or the
    /// [initial one](ProducerBuilder::initial_sequence_id). Java's `getLastSequenceId`, which is -1 for none.
    #[must_use]
    pub fn last_sequence_id(&self) -> Option<u64> {
        self.status().last_sequence_id
    }

    /// The sequence id of the last message that was sent, stored or not.
    #[must_use]
    pub fn last_sequence_id_pushed(&self) -> Option<u64> {
        self.status().last_sequence_id_pushed
    }

    /// What it has done, by the client's [`stats_interval`](crate::ClientBuilder::stats_interval). Java's
    /// `getStats`.
    ///
    /// ```
    /// # fn show(producer: &pulsewire::Producer) {
    /// let stats = producer.stats();
    /// println!("{:.0} msg/s, 99 % within {} ms", stats.send_msgs_rate, stats.send_latency_millis(99.0));
    /// # }
    /// ```
    #[must_use]
    pub fn stats(&self) -> ProducerStats {
        let shared = &self.handle.client.inner.shared;
        let now = shared.now();
        shared.lock().core.producer_stats(self.id, now).unwrap_or_default()
    }

    /// Sends now what waits in a batch, and waits until all that was sent before has its receipt.
    ///
    /// # Errors
    /// The first failure among those sends; or `AlreadyClosed`.
    pub async fn flush(&self) -> Result<(), Error> {
        let id = self.id;
        self.handle.client.operation(|core, now| Ok(((), core.flush(id, now)))).await.map(drop)
    }

    /// Closes the producer: what is pending goes out first and gets its receipts. Sends that wait for room
    /// fail. Closed again meanwhile, it waits for the same end.
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
