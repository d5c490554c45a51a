//! Acknowledgements, positive and negative.

use pulsewire_proto::{Error, Message, MessageId};

use super::Consumer;

impl Consumer {
    /// Acknowledges a message: it will not come again. It goes out with others, after the
    /// [group time](super::ConsumerBuilder::acknowledgment_group_time) at the latest; [`Consumer::close`] and
    /// the drop of the last handle send what is left.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn acknowledge(&self, message: &Message) -> Result<(), Error> {
        self.handle.client.inner.shared.command(|core, _, now| {
            let part = core.part_of_message(self.id, message)?;
            core.acknowledge(part, message.id(), false, now)
        })
    }

    /// Acknowledges by id.
    ///
    /// # Errors
    /// `AlreadyClosed`; `InvalidMessageId` when there are several topics, so that the id alone does not
    /// say which: see [`Consumer::acknowledge_topic_id`].
    pub fn acknowledge_id(&self, id: MessageId) -> Result<(), Error> {
        self.handle.client.inner.shared.command(|core, _, now| core.acknowledge(self.id, id, false, now))
    }

    /// Acknowledges several messages.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn acknowledge_ids(&self, ids: &[MessageId]) -> Result<(), Error> {
        let shared = &self.handle.client.inner.shared;
        shared.command(|core, _, now| core.acknowledge_all(self.id, ids, false, now)).map(drop)
    }

    /// Acknowledges messages, and waits until the broker has confirmed it. Java has this as
    /// `isAckReceiptEnabled` of the consumer; here each call chooses. A part of a batch is confirmed
    /// at once unless [`batch_index_acknowledgment`](super::ConsumerBuilder::batch_index_acknowledgment) is on.
    ///
    /// # Errors
    /// What the broker says, `Disconnected` when the link was lost meanwhile, `AlreadyClosed`, or
    /// `Timeout`. The messages may come again then.
    pub async fn acknowledge_confirmed(&self, ids: &[MessageId]) -> Result<(), Error> {
        self.confirmed(ids, false).await
    }

    /// Acknowledges all messages up to this one, and waits until the broker has confirmed it.
    ///
    /// # Errors
    /// As [`Consumer::acknowledge_confirmed`].
    pub async fn acknowledge_cumulative_confirmed(&self, id: MessageId) -> Result<(), Error> {
        self.confirmed(&[id], true).await
    }

    async fn confirmed(&self, ids: &[MessageId], cumulative: bool) -> Result<(), Error> {
        let consumer = self.id;
        let confirmed = self
            .handle
            .client
            .operation(|core, now| Ok(((), core.acknowledge_confirmed(consumer, ids, cumulative, now))));
        confirmed.await.map(drop)
    }

    /// Acknowledges all messages up to this one. Not for shared subscriptions.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn acknowledge_cumulative(&self, id: MessageId) -> Result<(), Error> {
        self.handle.client.inner.shared.command(|core, _, now| core.acknowledge(self.id, id, true, now))
    }

    /// Asks for a message to come again, after the consumer's delay (with a backoff, its first). Of a batch all messages that
    /// are not acknowledged come again.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn negative_acknowledge(&self, id: MessageId) -> Result<(), Error> {
        self.handle.client.inner.shared.command(|core, _, now| core.negative_acknowledge(self.id, id, now))
    }

    /// Asks for messages to come again, each after the consumer's delay: with a
    /// [backoff](super::ConsumerBuilder::negative_ack_redelivery_backoff) the one that its redelivery count gives.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn negative_acknowledge_messages(&self, messages: &[Message]) -> Result<(), Error> {
        self.handle.client.inner.shared.command(|core, _, now| {
            messages.iter().try_for_each(|message| {
                let part = core.part_of_message(self.id, message)?;
                core.negative_acknowledge_all(part, [(message.id(), message.redelivery_count())], now)
            })
        })
    }
}
