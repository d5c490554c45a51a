//! Where a subscription is and where it is to go: seek, last message id, statistics.

use pulsewire_proto::wire::{
    CommandConsumerStats, CommandConsumerStatsResponse, CommandGetLastMessageId,
    CommandGetLastMessageIdResponse, CommandSeek, MessageIdData, ServerError,
};

use super::Broker;
use super::compaction::Compacted;
use super::error::{DisconnectReason, Refusal};
use super::ids::{ConnId, SubKey, TopicKey};
use super::notes::Note;
use super::subscription::type_name;
use super::time::{Now, iso_8601};
use super::topic::Topic;
use super::transactions::last_readable;

/// Where a seek goes.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Id(MessageIdData),
    Time(u64),
}

impl Broker {
    pub(super) fn seek(&mut self, id: ConnId, c: CommandSeek) {
        let refuse = |message: &str| Refusal::new(ServerError::METADATA_ERROR, message);
        let target = match (c.message_id, c.message_publish_time) {
            (Some(id), _) => Target::Id(id),
            (None, Some(time)) => Target::Time(time),
            (None, None) => {
                let message = "Message id and message publish time were not present";
                return self.refuse(id, c.request_id, refuse(message));
            }
        };
        let Some(at) = self.consumer_ref(id, c.consumer_id) else {
            return self.refuse(id, c.request_id, refuse("Consumer not found"));
        };
        if self.topics.get(at.topic).is_some_and(|topic| topic.name.persistent) {
            self.reset(at.topic, at.sub, &target);
        }
        if let Some(conn) = self.conns.out(id) {
            conn.success(c.request_id);
        }
    }

    /// Moves a subscription. Its consumers are sent away first, as the real broker does it, and
    /// come back to the new place.
    pub(super) fn reset(&mut self, topic_key: TopicKey, sub_key: SubKey, target: &Target) {
        let Some(sub) = self.topics.get_mut(topic_key).and_then(|t| t.subs.get_mut(&sub_key)) else { return };
        // A reader's subscription must still be there when it comes back.
        sub.keep = true;
        let compacted = sub.consumers.iter().any(|consumer| consumer.read_compacted);
        self.expel_consumers(topic_key, sub_key);
        let by_index = self.config.batch_index_ack;
        let Some(topic) = self.topics.get_mut(topic_key) else { return };
        let offset = match target {
            Target::Time(time) => topic.start_since(*time, compacted),
            Target::Id(id) => topic.start_at(topic.log.place_of(id), compacted),
        };
        let gone = topic.gone_since(offset);
        let Topic { log, subs, .. } = topic;
        let Some(sub) = subs.get_mut(&sub_key) else { return };
        sub.seek(offset);
        sub.cursor.pass_over(&gone);
        if let Target::Id(id) = target
            && !id.ack_set.is_empty()
            && by_index
            && let Some(stored) = log.get(offset)
            && stored.batch
        {
            sub.cursor.ack_bits(offset, &id.ack_set, stored.messages);
        }
        let to = log.id_at(offset);
        self.note_of_sub(topic_key, sub_key, |topic, subscription| Note::Sought {
            topic,
            subscription,
            ledger: to.ledger_id,
            entry: to.entry_id,
        });
    }

    pub(super) fn last_message_id(&mut self, id: ConnId, c: &CommandGetLastMessageId) {
        let found = self.consumer_ref(id, c.consumer_id).and_then(|at| {
            let topic = self.topics.get(at.topic)?;
            let sub = topic.subs.get(&at.sub)?;
            Some((topic, sub, sub.consumer(at.key)?.read_compacted))
        });
        let Some((topic, sub, read_compacted)) = found else {
            let refusal = Refusal::new(ServerError::METADATA_ERROR, "Consumer not found");
            return self.refuse(id, c.request_id, refusal);
        };
        if !topic.name.persistent {
            let refusal = Refusal::new(ServerError::UNKNOWN_ERROR, "Failed to recover Transaction Buffer.");
            return self.refuse(id, c.request_id, refusal);
        }
        let log = &topic.log;
        let compacted = topic.compacted.as_ref().filter(|_| read_compacted);
        let start = compacted.map_or(0, Compacted::horizon);
        let last = last_readable(log, topic.txns.as_deref(), start, log.end().min(topic.limit()));
        if last.is_some_and(|(_, stored)| stored.unreadable) {
            let message = "Failed to get batch size for entry java.lang.IllegalStateException: Some required fields are missing";
            return self.refuse(id, c.request_id, Refusal::new(ServerError::METADATA_ERROR, message));
        }
        let last = match (last, compacted) {
            (None, Some(compacted)) => compacted.last(),
            (last, _) => last.map(|(offset, stored)| {
                let index = i32::try_from(stored.messages).unwrap_or(i32::MAX) - 1;
                (offset, if stored.batch { index } else { -1 })
            }),
        };
        let mut last = match last {
            Some((offset, index)) => MessageIdData { batch_index: Some(index), ..log.id_at(offset) },
            None => MessageIdData {
                ledger_id: u64::MAX,
                entry_id: u64::MAX,
                batch_index: Some(-1),
                ..MessageIdData::default()
            },
        };
        last.partition = Some(topic.partition());
        // -1 when nothing is acknowledged.
        let mark = log.id_before(sub.cursor.mark());
        self.reply(
            id,
            CommandGetLastMessageIdResponse {
                last_message_id: last,
                request_id: c.request_id,
                consumer_mark_delete_position: Some(mark),
            },
        );
    }

    pub(super) fn consumer_stats(&mut self, id: ConnId, c: &CommandConsumerStats, now: Now) {
        let found = self.consumer_ref(id, c.consumer_id).and_then(|at| {
            let topic = self.topics.get(at.topic)?;
            let sub = topic.subs.get(&at.sub)?;
            let consumer = sub.consumer(at.key)?;
            Some((topic, sub, consumer, consumer.measured.rates()))
        });
        let response = match found {
            Some((topic, sub, consumer, rates)) => CommandConsumerStatsResponse {
                request_id: c.request_id,
                msg_rate_out: Some(rates.messages_out),
                msg_throughput_out: Some(rates.bytes_out),
                msg_rate_redeliver: Some(rates.redelivered),
                consumer_name: Some(consumer.name.clone()),
                available_permits: Some(consumer.permits.max(0).unsigned_abs()),
                unacked_messages: Some(consumer.unacked),
                blocked_consumer_on_unacked_msgs: Some(
                    consumer.unacked >= topic.rules.max_unacked_per_consumer,
                ),
                address: Some(self.address(id)),
                connected_since: Some(iso_8601(consumer.connected_wall_ms)),
                r#type: Some(type_name(sub.kind).to_owned()),
                msg_rate_expired: Some(0.0),
                msg_backlog: Some(sub.cursor.backlog(topic.log.end())),
                message_ack_rate: Some(rates.acknowledged),
                ..CommandConsumerStatsResponse::default()
            },
            // The real broker closes the connection too.
            None => {
                let what = format!("CONSUMER_STATS for consumer {}, which is not open", c.consumer_id);
                return self.cut(id, DisconnectReason::Protocol(what), now);
            }
        };
        self.reply(id, response);
    }
}
