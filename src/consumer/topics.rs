//! Consumers of several topics, and of topics with partitions.

use std::collections::BTreeMap;

use pulsewire_proto::{ConsumerId, Error, Message, MessageId, Output, SeekTarget, TopicName};

use super::Consumer;
use crate::guarded::typed;

impl Consumer {
    /// The topics that it consumes now; one that has partitions once.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        self.handle.client.inner.shared.lock().core.consumer_topics(self.id)
    }

    /// The topics that it consumes now, partition by partition.
    #[must_use]
    pub fn partitions(&self) -> Vec<String> {
        let parts = self.handle.client.inner.shared.lock().core.parts(self.id);
        parts.into_iter().map(|(_, topic)| topic).collect()
    }

    /// Adds a topic to a consumer of several; it is open when this returns.
    ///
    /// ```
    /// # async fn run(client: pulsewire::Client) -> Result<(), pulsewire::Error> {
    /// let consumer = client.consumer_of_topics(["orders", "refunds"], "books").subscribe().await?;
    /// consumer.add_topic("gifts").await?;
    /// consumer.remove_topic("refunds").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidTopicName`, `InvalidOption` when it has it already, `NotSupported` when it has a single
    /// topic or a pattern, what the broker says, `AlreadyClosed`, or `Timeout`. The others go on.
    pub async fn add_topic(&self, topic: &str) -> Result<(), Error> {
        let (id, topic) = (self.id, TopicName::parse(topic)?);
        self.handle.client.operation(|core, now| Ok(((), core.add_topic(id, topic, now)))).await.map(drop)
    }

    /// Takes a topic away from a consumer of several. Its subscription stays.
    ///
    /// # Errors
    /// `InvalidTopicName` when it does not have it, `NotSupported` when it has a single topic,
    /// `AlreadyClosed`, or `Timeout`.
    pub async fn remove_topic(&self, topic: &str) -> Result<(), Error> {
        let (id, topic) = (self.id, TopicName::parse(topic)?);
        self.handle.client.operation(|core, now| Ok(((), core.remove_topic(id, &topic, now)))).await.map(drop)
    }

    /// The last message of each topic, partition by partition; `-1:-1` where there is none.
    ///
    /// # Errors
    /// `Disconnected` while a topic reconnects, what the broker says, or `Timeout`.
    pub async fn last_message_ids(&self) -> Result<Vec<(String, MessageId)>, Error> {
        let id = self.id;
        match self.handle.client.operation(|core, now| Ok(((), core.last_message_ids(id, now)))).await?.1 {
            Output::LastMessageIds(ids) => Ok(ids),
            _ => Ok(Vec::new()),
        }
    }

    /// Acknowledges a message of a topic, or of the partition of it that the id names: Java's
    /// `TopicMessageId`.
    ///
    /// # Errors
    /// `InvalidTopicName` when the consumer does not have it, `AlreadyClosed`.
    pub fn acknowledge_topic_id(&self, topic: &str, id: MessageId) -> Result<(), Error> {
        let done = self.on_part(topic, id, |core, part, now| core.acknowledge(part, id, false, now));
        self.acknowledged(&[id], false, done.as_ref().err());
        done
    }

    /// Acknowledges all messages of a topic, or of the partition that the id names, up to this one.
    ///
    /// # Errors
    /// As [`Consumer::acknowledge_topic_id`].
    pub fn acknowledge_cumulative_topic_id(&self, topic: &str, id: MessageId) -> Result<(), Error> {
        let done = self.on_part(topic, id, |core, part, now| core.acknowledge(part, id, true, now));
        self.acknowledged(&[id], true, done.as_ref().err());
        done
    }

    /// Asks for a message of a topic to come again: see [`Consumer::negative_acknowledge`].
    ///
    /// # Errors
    /// As [`Consumer::acknowledge_topic_id`].
    pub fn negative_acknowledge_topic_id(&self, topic: &str, id: MessageId) -> Result<(), Error> {
        self.on_part(topic, id, |core, part, now| core.negative_acknowledge(part, id, now))
    }

    fn on_part(
        &self,
        topic: &str,
        id: MessageId,
        call: impl FnOnce(&mut pulsewire_proto::Client, ConsumerId, pulsewire_proto::Now) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.handle.client.inner.shared.command(|core, _, now| {
            let part = core.part_of_topic(self.id, topic, Some(id))?;
            call(core, part, now)
        })
    }

    /// Acknowledges messages of any of the topics, and waits until the brokers have confirmed it: see
    /// [`Consumer::acknowledge_confirmed`].
    ///
    /// # Errors
    /// The first failure among the topics.
    pub async fn acknowledge_messages_confirmed(&self, messages: &[Message]) -> Result<(), Error> {
        let id = self.id;
        let confirmed = self.handle.client.operation(|core, now| {
            let mut parts = BTreeMap::<ConsumerId, Vec<MessageId>>::new();
            for message in messages {
                parts.entry(core.part_of_message(id, message)?).or_default().push(message.id());
            }
            Ok(((), core.acknowledge_parts(parts, false, now)))
        });
        let done = confirmed.await.map(drop);
        if self.is_intercepted() {
            let ids: Vec<MessageId> = messages.iter().map(Message::id).collect();
            self.acknowledged(&ids, false, done.as_ref().err());
        }
        done
    }

    /// Moves the subscription in one of the topics, or in a partition that is named or that the id
    /// names. The others stay where they are.
    ///
    /// # Errors
    /// `InvalidTopicName` when the consumer does not have it; else as [`Consumer::seek`].
    pub async fn seek_topic(&self, topic: &str, target: SeekTarget) -> Result<(), Error> {
        let id = self.id;
        let message = if let SeekTarget::Id(id) = target { Some(id) } else { None };
        let sought = self.handle.client.operation(|core, now| {
            let part = core.part_of_topic(id, topic, message)?;
            Ok(((), core.seek(part, target, now)))
        });
        sought.await.map(drop)
    }

    /// Moves the subscription in each topic, and in each partition, to where `place` says for its name;
    /// `None` leaves it. Java's `seek` with a function.
    ///
    /// ```
    /// # async fn run(consumer: pulsewire::Consumer) -> Result<(), pulsewire::Error> {
    /// use pulsewire::{MessageId, SeekTarget};
    /// consumer.seek_each(|topic| {
    ///     topic.ends_with("-partition-0").then_some(SeekTarget::Id(MessageId::EARLIEST))
    /// }).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The first failure among the topics: as [`Consumer::seek`]. Natively, `InvalidOption` when `place` panics: none
    /// is moved then.
    pub async fn seek_each(&self, place: impl Fn(&str) -> Option<SeekTarget>) -> Result<(), Error> {
        let id = self.id;
        // The user's code is called with no lock held.
        let parts = self.handle.client.inner.shared.lock().core.parts(id);
        let targets: Vec<(ConsumerId, SeekTarget)> = typed("the function of seek_each", || {
            parts.into_iter().filter_map(|(part, topic)| Some((part, place(&topic)?))).collect()
        })?;
        self.handle.client.operation(|core, now| Ok(((), core.seek_parts(targets, now)))).await.map(drop)
    }
}
