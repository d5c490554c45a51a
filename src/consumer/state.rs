//! How a consumer is, and pauses.

use pulsewire_proto::{BrokerConsumerStats, ConsumerState, ConsumerStats, Error, Output};

use super::Consumer;

impl Consumer {
    /// Stops asking the broker for messages. Those that have arrived, or are on their way, are still handed out,
    /// to [`Consumer::receive`] and to a listener alike, as with Java's `pause`.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn pause(&self) -> Result<(), Error> {
        self.handle.client.inner.shared.command(|core, _, _| core.pause(self.id))
    }

    /// Asks the broker for messages again, after [`Consumer::pause`].
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn resume(&self) -> Result<(), Error> {
        self.handle.client.inner.shared.command(|core, _, _| core.resume(self.id))
    }

    /// How the consumer is now; `None` once it is closed.
    #[must_use]
    pub fn state(&self) -> Option<ConsumerState> {
        self.handle.client.inner.shared.lock().core.consumer_state(self.id)
    }

    /// Whether it is subscribed now; `false` while it reconnects and once it is closed.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state().is_some_and(|state| state.connected)
    }

    /// When it lost its broker last, in milliseconds since the Unix epoch; 0 when it never did or is closed.
    #[must_use]
    pub fn last_disconnected(&self) -> u64 {
        self.state().map_or(0, |state| state.last_disconnected)
    }

    /// Whether the topic is terminated and the broker has delivered all of it. What has arrived can still be
    /// received; after that, [`Consumer::receive`] waits, as in Java.
    #[must_use]
    pub fn has_reached_end_of_topic(&self) -> bool {
        self.state().is_some_and(|state| state.end_of_topic)
    }

    /// What it has counted, with rates since this was asked last.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn stats(&self) -> Result<ConsumerStats, Error> {
        self.handle.client.inner.shared.command(|core, _, now| core.consumer_stats(self.id, now))
    }

    /// What the broker knows of it. The Java client has no such call; the C++ client's is
    /// `getBrokerConsumerStats`. Brokers renew the rates once a minute.
    ///
    /// # Errors
    /// `Disconnected` while it reconnects, what the broker says, or `Timeout`.
    pub async fn broker_stats(&self) -> Result<BrokerConsumerStats, Error> {
        let id = self.id;
        let asked = self.handle.client.operation(|core, now| Ok(((), core.broker_consumer_stats(id, now))));
        match asked.await?.1 {
            Output::ConsumerStats(stats) => Ok(*stats),
            _ => Ok(BrokerConsumerStats::default()),
        }
    }
}
