//! Acknowledgements, positive and negative.

use std::time::Duration;

use pulsewire_proto::{Error, Message, MessageId};

use super::Consumer;

impl Consumer {
    /// Acknowledges a message: it will not come again. It goes out with others, after the
    /// [group time](crate::ConsumerBuilder::acknowledgment_group_time) at the latest; [`Consumer::close`] and
    /// the drop of the last handle send what is left.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn acknowledge(&self, message: &Message) -> Result<(), Error> {
        let done = self.handle.client.inner.shared.command(|core, _, now| {
            let part = core.part_of_message(self.id, message)?;
            core.acknowledge(part, message.id(), false, now)
        });
        if self.is_intercepted() {
            self.acknowledged(&[message.id()], false, done.as_ref().err());
        }
        done
    }

    /// Acknowledges by id.
    ///
    /// # Errors
    /// `AlreadyClosed`; `InvalidMessageId` for the id of another partition, and when there are several topics, so
    /// that the id alone does not say which: see [`Consumer::acknowledge_topic_id`].
    pub fn acknowledge_id(&self, id: MessageId) -> Result<(), Error> {
        let shared = &self.handle.client.inner.shared;
        let done = shared.command(|core, _, now| core.acknowledge(self.id, id, false, now));
        self.acknowledged(&[id], false, done.as_ref().err());
        done
    }

    /// Acknowledges several messages.
    ///
    /// # Errors
    /// As [`Consumer::acknowledge_id`]; none is acknowledged then.
    pub fn acknowledge_ids(&self, ids: &[MessageId]) -> Result<(), Error> {
        let shared = &self.handle.client.inner.shared;
        let done = shared.command(|core, _, now| core.acknowledge_all(self.id, ids, false, now)).map(drop);
        self.acknowledged(ids, false, done.as_ref().err());
        done
    }

    /// Acknowledges all messages up to this one, with properties that the broker keeps with the
    /// subscription's place until the next such call: the `properties` of a cursor in its internal
    /// statistics. It goes out at once.
    ///
    /// # Errors
    /// As [`Consumer::acknowledge_id`].
    pub fn acknowledge_cumulative_with(
        &self,
        id: MessageId,
        properties: &[(String, u64)],
    ) -> Result<(), Error> {
        let shared = &self.handle.client.inner.shared;
        let done = shared
            .command(|core, _, now| core.acknowledge_with_properties(self.id, &[id], true, properties, now));
        self.acknowledged(&[id], true, done.as_ref().err());
        done
    }

    /// Acknowledges messages, with properties. Brokers keep those of cumulative acknowledgements only. It goes
    /// out at once.
    ///
    /// # Errors
    /// As [`Consumer::acknowledge_ids`].
    pub fn acknowledge_ids_with(&self, ids: &[MessageId], properties: &[(String, u64)]) -> Result<(), Error> {
        let shared = &self.handle.client.inner.shared;
        let done = shared
            .command(|core, _, now| core.acknowledge_with_properties(self.id, ids, false, properties, now));
        self.acknowledged(ids, false, done.as_ref().err());
        done
    }

    /// Acknowledges messages, and waits until the broker has confirmed it. Java has this as
    /// `isAckReceiptEnabled` of the consumer; here each call chooses. A part of a batch is confirmed
    /// at once unless [`batch_index_acknowledgment`](crate::ConsumerBuilder::batch_index_acknowledgment) is on.
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
        let done = confirmed.await.map(drop);
        self.acknowledged(ids, cumulative, done.as_ref().err());
        done
    }

    /// Acknowledges all messages up to this one. Not for shared subscriptions.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn acknowledge_cumulative(&self, id: MessageId) -> Result<(), Error> {
        let shared = &self.handle.client.inner.shared;
        let done = shared.command(|core, _, now| core.acknowledge(self.id, id, true, now));
        self.acknowledged(&[id], true, done.as_ref().err());
        done
    }

    /// Asks for a message to come again, after the consumer's delay (with a backoff, its first). Of a batch
    /// all messages that are not acknowledged come again; on an exclusive or failover subscription all of
    /// the subscription.
    ///
    /// # Errors
    /// `AlreadyClosed`, or `InvalidMessageId` for the id of another partition.
    pub fn negative_acknowledge(&self, id: MessageId) -> Result<(), Error> {
        self.handle.client.inner.shared.command(|core, _, now| core.negative_acknowledge(self.id, id, now))
    }

    /// Asks for messages to come again, each after the consumer's delay: with a
    /// [backoff](crate::ConsumerBuilder::negative_ack_redelivery_backoff) the one that its redelivery count gives.
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

    /// Puts a message off: it comes again after the delay, with a count in its property `RECONSUMETIMES`.
    /// To that end it is published to the retry letter topic `{topic}-{subscription}-RETRY`, which a
    /// consumer with [`enable_retry`](crate::ConsumerBuilder::enable_retry) reads too, and acknowledged when it is
    /// stored there. One that was put off more often than the
    /// [policy](crate::ConsumerBuilder::dead_letter_policy) allows, 16 times by default, goes to the dead letter
    /// topic.
    ///
    /// # Errors
    /// `NotSupported` without `enable_retry`, `AlreadyClosed`, or why it could not be published: it comes
    /// again then as one that is negatively acknowledged.
    pub async fn reconsume_later(&self, message: &Message, delay: Duration) -> Result<(), Error> {
        self.reconsume(message, &[], delay, false).await
    }

    /// Puts a message off, with properties that are added to its own.
    ///
    /// # Errors
    /// As [`Consumer::reconsume_later`].
    pub async fn reconsume_later_with(
        &self,
        message: &Message,
        properties: &[(String, String)],
        delay: Duration,
    ) -> Result<(), Error> {
        self.reconsume(message, properties, delay, false).await
    }

    /// Puts a message off, and acknowledges all before it. Not for shared subscriptions.
    ///
    /// # Errors
    /// As [`Consumer::reconsume_later`].
    pub async fn reconsume_later_cumulative(&self, message: &Message, delay: Duration) -> Result<(), Error> {
        self.reconsume(message, &[], delay, true).await
    }

    async fn reconsume(
        &self,
        message: &Message,
        properties: &[(String, String)],
        delay: Duration,
        cumulative: bool,
    ) -> Result<(), Error> {
        let id = self.id;
        let put_off = self.handle.client.operation(|core, now| {
            Ok(((), core.reconsume_later(id, message, properties, delay, cumulative, now)))
        });
        put_off.await.map(drop)
    }
}
