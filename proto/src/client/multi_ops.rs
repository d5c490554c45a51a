//! What is asked of a consumer of several topics: of the part that it is about, or of all of them.

use std::collections::BTreeMap;

use super::Client;
use super::joining::{Ask, Joined};
use crate::consumer::{Message, SeekTarget};
use crate::error::Error;
use crate::ids::{ConsumerId, MessageId, OpId};
use crate::time::Now;

impl Client {
    /// The part of a consumer that a message came from: with it, other calls are about that topic
    /// alone. A consumer of a single topic is its own part.
    ///
    /// # Errors
    /// `InvalidTopicName` when the consumer does not have its topic, `AlreadyClosed`.
    pub fn part_of_message(&self, consumer: ConsumerId, message: &Message) -> Result<ConsumerId, Error> {
        if !cfg!(feature = "many") || self.consumers.contains_key(&consumer) {
            return Ok(consumer);
        }
        let multi = self.multi.get(&consumer).ok_or_else(|| Error::closed("consumer"))?;
        let from = self.consumers.get(&message.consumer()).and_then(|c| c.member);
        if from.is_some_and(|member| member.group == consumer) {
            return Ok(message.consumer());
        }
        multi.part_by_topic(message.topic(), None)
    }

    /// The part of a consumer that has a topic, or the partition of it that an id names.
    ///
    /// # Errors
    /// `InvalidTopicName` when the consumer does not have it, `AlreadyClosed`.
    pub fn part_of_topic(
        &self,
        consumer: ConsumerId,
        topic: &str,
        id: Option<MessageId>,
    ) -> Result<ConsumerId, Error> {
        if let Some(single) = self.consumers.get(&consumer) {
            return single.is_of(topic).map(|()| consumer);
        }
        let multi = self.multi.get(&consumer).ok_or_else(|| Error::closed("consumer"))?;
        multi.part_by_topic(topic, id)
    }

    /// The parts of a consumer, each with its topic. A consumer of a single topic is its own part.
    #[must_use]
    pub fn parts(&self, consumer: ConsumerId) -> Vec<(ConsumerId, String)> {
        if let Some(single) = self.consumers.get(&consumer) {
            return vec![(consumer, single.config.topic.to_string())];
        }
        let parts = self.multi.get(&consumer).map(|multi| multi.parts()).unwrap_or_default();
        parts.into_iter().map(|(part, topic)| (part, topic.to_string())).collect()
    }

    pub(super) fn part_by_id(&self, consumer: ConsumerId, id: MessageId) -> Result<ConsumerId, Error> {
        self.multi.get(&consumer).ok_or_else(|| Error::closed("consumer"))?.part_by_id(id)
    }

    #[cold]
    pub(super) fn acknowledge_of_several(
        &mut self,
        consumer: ConsumerId,
        ids: &[MessageId],
        cumulative: bool,
        now: Now,
    ) -> Result<bool, Error> {
        let mut pending = false;
        for (part, ids) in self.divided(consumer, ids)? {
            pending |= self.acknowledge_all(part, &ids, cumulative, now)?;
        }
        Ok(pending)
    }

    /// Which ids are for which part.
    fn divided(
        &self,
        consumer: ConsumerId,
        ids: &[MessageId],
    ) -> Result<BTreeMap<ConsumerId, Vec<MessageId>>, Error> {
        let mut divided = BTreeMap::<_, Vec<MessageId>>::new();
        for id in ids {
            divided.entry(self.part_by_id(consumer, *id)?).or_default().push(*id);
        }
        Ok(divided)
    }

    #[cold]
    pub(super) fn confirm_of_several(
        &mut self,
        consumer: ConsumerId,
        ids: &[MessageId],
        cumulative: bool,
        now: Now,
    ) -> OpId {
        match self.divided(consumer, ids) {
            Ok(divided) => self.acknowledge_parts(divided, cumulative, now),
            Err(error) => self.failed_op(error, now),
        }
    }

    /// Acknowledges messages of parts, and is done when the brokers have confirmed all of it.
    pub fn acknowledge_parts(
        &mut self,
        parts: impl IntoIterator<Item = (ConsumerId, Vec<MessageId>)>,
        cumulative: bool,
        now: Now,
    ) -> OpId {
        self.joined(now, |client, join| {
            for (part, ids) in parts {
                client.join_part(join, |client| client.acknowledge_confirmed(part, &ids, cumulative, now));
            }
        })
    }

    pub(super) fn negative_of_several(
        &mut self,
        consumer: ConsumerId,
        id: MessageId,
        now: Now,
    ) -> Result<(), Error> {
        let part = self.part_by_id(consumer, id)?;
        self.negative_acknowledge(part, id, now)
    }

    pub(super) fn unsubscribe_several(&mut self, consumer: ConsumerId, force: bool, now: Now) -> OpId {
        let parts = self.parts(consumer);
        self.joined(now, |client, join| {
            for (part, _) in parts {
                client.join_part(join, |client| client.unsubscribe(part, force, now));
            }
        })
    }

    /// To one place in all topics, or to a message in its partition.
    pub(super) fn seek_several(&mut self, consumer: ConsumerId, target: SeekTarget, now: Now) -> OpId {
        let place = match target {
            SeekTarget::Id(id) if id != MessageId::EARLIEST && id != MessageId::LATEST => Some(id),
            _ => None,
        };
        match place.map(|id| self.part_by_id(consumer, id)) {
            Some(Ok(part)) => self.seek(part, target, now),
            Some(Err(error)) => self.failed_op(error, now),
            None => {
                let parts = self.parts(consumer);
                self.seek_parts(parts.into_iter().map(|(part, _)| (part, target)), now)
            }
        }
    }

    /// Moves the subscription in parts of a consumer, each to a place of its own. Done when all of
    /// them are there.
    pub fn seek_parts(
        &mut self,
        targets: impl IntoIterator<Item = (ConsumerId, SeekTarget)>,
        now: Now,
    ) -> OpId {
        self.joined(now, |client, join| {
            for (part, target) in targets {
                client.join_part(join, |client| client.seek(part, target, now));
            }
        })
    }

    pub(super) fn redeliver_several(&mut self, consumer: ConsumerId, now: Now) -> Result<(), Error> {
        let multi = self.multi.get(&consumer).ok_or_else(|| Error::closed("consumer"))?;
        multi.ids().into_iter().try_for_each(|part| self.redeliver_unacknowledged(part, now))
    }

    /// Asks for the last message of each of a consumer's topics, partition by partition. Completes with
    /// [`Output::LastMessageIds`](crate::Output::LastMessageIds).
    pub fn last_message_ids(&mut self, consumer: ConsumerId, now: Now) -> OpId {
        let multi = self.multi.get(&consumer).map(|multi| multi.parts());
        let single = || self.consumers.get(&consumer).map(|c| vec![(consumer, c.config.topic.clone())]);
        let Some(parts) = multi.or_else(single) else {
            return self.failed_op(Error::closed("consumer"), now);
        };
        let op = self.new_op(now);
        let join = self.join(Joined::LastIds(op));
        for (part, topic) in parts {
            self.join_waits(join);
            self.asking(Ask::LastId(join, topic), |client| client.last_message_id(part, now));
        }
        self.join_ended(join, None);
        op
    }

    /// Whether any of the parts has a message.
    pub(super) fn several_have_available(&mut self, consumer: ConsumerId, now: Now) -> OpId {
        let op = self.new_op(now);
        let join = self.join(Joined::Available(op));
        for (part, _) in self.parts(consumer) {
            self.join_part(join, |client| client.has_message_available(part, now));
        }
        self.join_ended(join, None);
        op
    }

    /// An operation that is done when all that `start` began is.
    fn joined(&mut self, now: Now, start: impl FnOnce(&mut Self, u64)) -> OpId {
        let op = self.new_op(now);
        let join = self.join(Joined::Op(op));
        start(self, join);
        self.join_ended(join, None);
        op
    }

    pub(super) fn failed_op(&mut self, error: Error, now: Now) -> OpId {
        let op = self.new_op(now);
        self.complete(op, Err(error));
        op
    }
}
