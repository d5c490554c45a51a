//! Producers: opening, sending, closing.

use std::time::Duration;

use bytes::Bytes;
use pulsewire_proto::wire::entry::{find_bytes, find_varint};
use pulsewire_proto::wire::{
    CommandCloseProducer, CommandProducer, CommandProducerSuccess, CommandSend, CommandSendError,
    CommandSendReceipt, CommandTopicMigrated, MessageIdData, ProducerAccessMode, ResourceType, ServerError,
};

use super::Broker;
use super::connection::ProducerRef;
use super::error::{DisconnectReason, Refusal};
use super::ids::{ConnId, TopicKey};
use super::liveness::Newcomer;
use super::measuring::Measured;
use super::names::TopicName;
use super::notes::Note;
use super::policies::QuotaPolicy;
use super::storage::{PUBLISH_TIME, Stored};
use super::subscription::Subscription;
use super::time::Now;
use super::topic::{Admission, NotAdmitted, Producer};
use super::transactions::TxnId;

/// Producers closed by the broker that a connection remembers, so that late sends are not faults.
const REMEMBERED: usize = 1024;

/// A field of a message's metadata.
const ENCRYPTION_KEYS: u32 = 13;

/// The request id of a close that the broker starts: -1.
pub(super) const NO_REQUEST: u64 = u64::MAX;

impl Broker {
    pub(super) fn producer(&mut self, id: ConnId, c: CommandProducer, now: Now) {
        if let Err(message) = TopicName::parse(&c.topic) {
            let refusal = Refusal::new(ServerError::INVALID_TOPIC_NAME, message);
            return self.refuse(id, c.request_id, refusal);
        }
        let Some(conn) = self.conns.get(id) else { return };
        if let Some(open) = conn.producers.get(&c.producer_id).filter(|open| open.ready) {
            // The same request again: the answer was lost, or the client is impatient.
            let response = CommandProducerSuccess {
                request_id: c.request_id,
                producer_name: open.name.clone(),
                last_sequence_id: Some(-1),
                schema_version: Some(open.schema_version.clone()),
                topic_epoch: None,
                producer_ready: Some(true),
            };
            return self.reply(id, response);
        }
        if conn.producers.contains_key(&c.producer_id) || conn.opening_producers.contains(&c.producer_id) {
            let message = "Producer is already present on the connection";
            return self.refuse(id, c.request_id, Refusal::new(ServerError::SERVICE_NOT_READY, message));
        }
        let request_id = c.request_id;
        let result = match self.open_producer(id, &c, now) {
            Ok(response) => {
                let open = self.conns.get(id).and_then(|conn| conn.producers.get(&c.producer_id));
                if let Some(topic) = open.map(|open| open.topic)
                    && self.sends_elsewhere(id, topic, ResourceType::PRODUCER, c.producer_id)
                {
                    return self.close_producer_of(id, c.producer_id);
                }
                return self.reply(id, response);
            }
            Err(NotAdmitted { refusal, holder: Some(holder), .. }) => {
                self.ask_holder(holder, (id, Newcomer::Producer(Box::new(c))), refusal, now)
            }
            Err(NotAdmitted { refusal, fenced, .. }) => {
                self.fence(&fenced);
                Err(refusal)
            }
        };
        if let Err(refusal) = result {
            self.refuse(id, request_id, refusal);
        }
    }

    /// Whether clients of a topic are to go to another cluster; then this one is told.
    pub(super) fn sends_elsewhere(
        &mut self,
        id: ConnId,
        topic: TopicKey,
        resource_type: ResourceType,
        resource_id: u64,
    ) -> bool {
        let Some(to) = self.topics.get(topic).and_then(|topic| topic.moved.as_deref()) else { return false };
        let (broker_service_url, broker_service_url_tls) = (to.url.clone(), to.url_tls.clone());
        self.reply(
            id,
            CommandTopicMigrated { resource_id, resource_type, broker_service_url, broker_service_url_tls },
        );
        true
    }

    fn open_producer(
        &mut self,
        id: ConnId,
        c: &CommandProducer,
        now: Now,
    ) -> Result<CommandProducerSuccess, NotAdmitted> {
        let name = TopicName::parse(&c.topic)
            .map_err(|message| Refusal::new(ServerError::INVALID_TOPIC_NAME, message))?;
        self.is_served_here(id, &name)?;
        let (create, _) = self.topics.auto_creation(&name, &self.config);
        let create = create && self.topics.may_be_alone(&name);
        let key = self.topics.resolve(&name, create, &self.config).map_err(|refusal| {
            match refusal.error == ServerError::TOPIC_NOT_FOUND {
                true => Refusal::new(refusal.error, format!("Topic not found {name}")),
                false => refusal,
            }
        })?;
        if self.topics.is_full(self.config.max_stored_bytes) {
            return Err(Refusal::new(
                ServerError::PRODUCER_BLOCKED_QUOTA_EXCEEDED_EXCEPTION,
                "Cannot create producer on topic with backlog quota exceeded",
            )
            .into());
        }
        let schema_version = self.producer_schema(&name, c.schema.as_ref(), now)?;
        let producer_name = c.producer_name.clone().unwrap_or_else(|| {
            let generated = format!("{}-{}-{}", self.config.cluster, self.run, self.next_producer);
            self.next_producer += 1;
            generated
        });
        let topic = self.topics.get_mut(key).ok_or_else(|| Refusal::topic_not_found(&c.topic))?;
        if topic.log.terminated {
            let message = "Topic was already terminated";
            let exception = "TopicTerminatedException";
            return Err(Refusal::service(ServerError::TOPIC_TERMINATED_ERROR, exception, message).into());
        }
        if let Some(quota) = topic.exceeded(now) {
            let error = match quota.policy {
                QuotaPolicy::ProducerRequestHold => Some(ServerError::PRODUCER_BLOCKED_QUOTA_EXCEEDED_ERROR),
                QuotaPolicy::ProducerException => {
                    Some(ServerError::PRODUCER_BLOCKED_QUOTA_EXCEEDED_EXCEPTION)
                }
                QuotaPolicy::ConsumerBacklogEviction => None,
            };
            if let Some(error) = error {
                let message = "Cannot create producer on topic with backlog quota exceeded";
                return Err(Refusal::service(error, "TopicBacklogQuotaExceededException", message).into());
            }
        }
        if topic.rules.encryption_required && c.encrypted != Some(true) {
            let message = format!("Encryption is required in {}", topic.name);
            return Err(Refusal::new(ServerError::METADATA_ERROR, message).into());
        }
        if let Some(sub) = c.initial_subscription_name.as_ref().filter(|sub| !sub.is_empty())
            && name.persistent
            && topic.sub(sub).is_none()
        {
            let start = topic.log.first();
            let mut new = Subscription::new(sub.clone(), true, start, Vec::new());
            new.made_ms = now.wall_ms;
            let made = topic.add_sub(new);
            self.note_created(key, made);
        }
        let topic = self.topics.get_mut(key).ok_or_else(|| Refusal::topic_not_found(&c.topic))?;
        let admission = topic.admit(Producer {
            conn: id,
            id: c.producer_id,
            name: producer_name.clone(),
            epoch: c.epoch.unwrap_or(0),
            access: c.producer_access_mode.unwrap_or(ProducerAccessMode::SHARED),
            topic_epoch: c.topic_epoch,
            metadata: c.metadata.clone(),
            connected_wall_ms: now.wall_ms,
            request_id: c.request_id,
            encrypts: c.encrypted == Some(true),
        })?;
        let last_sequence = topic.last_sequence(&producer_name);
        if let Some(old) = &admission.replaced {
            self.expel_producer(old);
        }
        self.fence(&admission);
        if let Some(conn) = self.conns.get_mut(id) {
            conn.closed_producers.remove(&c.producer_id);
            conn.producers.insert(
                c.producer_id,
                ProducerRef {
                    topic: key,
                    name: producer_name.clone(),
                    schema_version: schema_version.clone(),
                    ready: !admission.waits,
                    sent: std::cell::Cell::default(),
                    measured: Measured::since(now),
                },
            );
        }
        self.note_of(key, |topic| Note::ProducerOpened {
            id,
            producer: c.producer_id,
            name: producer_name.clone(),
            topic,
            waits: admission.waits,
        });
        Ok(CommandProducerSuccess {
            request_id: c.request_id,
            producer_name,
            last_sequence_id: Some(last_sequence),
            schema_version: Some(schema_version),
            topic_epoch: admission.topic_epoch,
            producer_ready: Some(!admission.waits),
        })
    }

    /// Those who lose their access to another are not told: their next message ends the connection,
    /// as at the real broker. Those who waited for it are.
    fn fence(&mut self, admission: &Admission) {
        for producer in &admission.fenced {
            let open = self.conns.get_mut(producer.conn).and_then(|c| c.producers.remove(&producer.id));
            if let Some(open) = open {
                self.note_closed_producer(producer.conn, producer.id, open.topic, true);
            }
        }
        for producer in &admission.refused {
            self.send_off(producer, Refusal::producer_fenced("Fenced out"));
        }
    }

    /// Tells a producer that waited why it does not come in.
    pub(super) fn send_off(&mut self, producer: &Producer, why: Refusal) {
        let Some(conn) = self.conns.out(producer.conn) else { return };
        if let Some(open) = conn.producers.remove(&producer.id) {
            conn.refuse(producer.request_id, why);
            self.note_closed_producer(producer.conn, producer.id, open.topic, true);
        }
    }

    /// Closes one producer of a connection from the broker's side; its topic goes on without it.
    pub(super) fn close_producer_of(&mut self, id: ConnId, producer_id: u64) {
        let Some(open) = self.conns.get(id).and_then(|conn| conn.producers.get(&producer_id)).cloned() else {
            return;
        };
        self.expel_named(id, producer_id);
        self.take_out_producer(id, producer_id, open);
    }

    /// Closes a producer from the broker's side.
    pub(super) fn expel_producer(&mut self, producer: &Producer) {
        self.expel_named(producer.conn, producer.id);
    }

    fn expel_named(&mut self, id: ConnId, producer_id: u64) {
        let (assigned_broker_service_url, assigned_broker_service_url_tls) = self.assigned();
        let Some(conn) = self.conns.out(id) else { return };
        let Some(open) = conn.producers.remove(&producer_id) else { return };
        conn.closed_producers.insert(producer_id);
        if conn.closed_producers.len() > REMEMBERED {
            conn.closed_producers.pop_first();
        }
        conn.send(CommandCloseProducer {
            producer_id,
            request_id: NO_REQUEST,
            assigned_broker_service_url,
            assigned_broker_service_url_tls,
        });
        self.note_closed_producer(id, producer_id, open.topic, true);
    }

    pub(super) fn close_producer(&mut self, id: ConnId, c: &CommandCloseProducer) {
        let Some(conn) = self.conns.out(id) else { return };
        conn.success(c.request_id);
        conn.opening_producers.remove(&c.producer_id);
        if let Some(open) = conn.producers.remove(&c.producer_id) {
            self.dismiss_producer(id, c.producer_id, open);
        }
    }

    /// A producer goes by itself.
    pub(super) fn dismiss_producer(&mut self, conn: ConnId, producer_id: u64, open: ProducerRef) {
        self.note_closed_producer(conn, producer_id, open.topic, false);
        self.take_out_producer(conn, producer_id, open);
    }

    /// Takes a producer out of its topic; one that waited for that comes in.
    fn take_out_producer(&mut self, conn: ConnId, producer_id: u64, open: ProducerRef) {
        let Some(topic) = self.topics.get_mut(open.topic) else { return };
        let Some((next, epoch)) = topic.dismiss(&open.name, conn, producer_id) else { return };
        let last_sequence = topic.last_sequence(&next.name);
        let Some(conn) = self.conns.out(next.conn) else { return };
        let Some(waiting) = conn.producers.get_mut(&next.id) else { return };
        waiting.ready = true;
        let response = CommandProducerSuccess {
            request_id: next.request_id,
            producer_name: next.name.clone(),
            last_sequence_id: Some(last_sequence),
            schema_version: Some(waiting.schema_version.clone()),
            topic_epoch: Some(epoch),
            producer_ready: Some(true),
        };
        conn.send(response);
        self.note_of(open.topic, |topic| Note::ProducerOpened {
            id: next.conn,
            producer: next.id,
            name: next.name,
            topic,
            waits: false,
        });
    }

    pub(super) fn send(&mut self, id: ConnId, c: &CommandSend, entry: &Bytes, now: Now) {
        if !self.failures.is_empty() && self.fails(id, c) {
            return;
        }
        let Some(conn) = self.conns.get(id) else { return };
        let txn = TxnId::new(c.txnid_most_bits, c.txnid_least_bits);
        let Some(producer) = conn.producers.get(&c.producer_id).filter(|producer| producer.ready) else {
            if !conn.closed_producers.contains(&c.producer_id) {
                let what = format!("SEND for producer {}, which is not open", c.producer_id);
                self.cut(id, DisconnectReason::Protocol(what), now);
            }
            return;
        };
        let highest = c.highest_sequence_id.unwrap_or(c.sequence_id).max(c.sequence_id);
        if txn.is_some() && self.topics.get(producer.topic).is_some_and(|topic| !topic.name.persistent) {
            let what = "SEND in a transaction to a topic that stores nothing".to_owned();
            return self.cut(id, DisconnectReason::Protocol(what), now);
        }
        let (result, topic) =
            (store(&mut self.topics, &self.config, producer, c, highest, entry, now), producer.topic);
        let stored = result.is_ok();
        if stored && let Some(until) = self.sent_too_much(topic, now) {
            self.pause(id, until);
        }
        let Some(conn) = self.conns.out(id) else { return };
        match result {
            Ok(message_id) => conn.send(CommandSendReceipt {
                producer_id: c.producer_id,
                sequence_id: c.sequence_id,
                message_id: Some(message_id),
                // -1 when there was none, or none that makes sense; in a transaction, 0.
                highest_sequence_id: Some(match txn {
                    None => c.highest_sequence_id.filter(|id| *id >= c.sequence_id).unwrap_or(u64::MAX),
                    Some(_) => c.highest_sequence_id.unwrap_or(0),
                }),
            }),
            Err(refusal) => {
                conn.send(CommandSendError {
                    producer_id: c.producer_id,
                    sequence_id: c.sequence_id,
                    error: refusal.error,
                    message: refusal.message,
                });
                self.note_refused_send(entry.len(), now);
                // What came behind it must not be stored before it.
                if refusal.error == ServerError::PERSISTENCE_ERROR {
                    self.close_producer_of(id, c.producer_id);
                }
            }
        }
        if stored {
            self.published(topic);
        }
    }

    /// When more may be sent to a topic, if more was than its rate allows.
    fn sent_too_much(&self, key: TopicKey, now: Now) -> Option<Duration> {
        let topic = self.topics.get(key)?;
        topic.published.opens(topic.rules.publish, now)
    }

    /// Something new is there for the topic's subscriptions.
    pub(super) fn published(&mut self, key: TopicKey) {
        let Some(topic) = self.topics.get_mut(key) else { return };
        for (sub_key, sub) in &mut topic.subs {
            if !sub.ready && !sub.consumers.is_empty() {
                sub.ready = true;
                self.ready.push_back((key, *sub_key));
            }
        }
        let shadowed = topic.shadowed;
        if !topic.name.persistent {
            self.volatile.insert(key);
        }
        if shadowed {
            self.repeat(key);
        }
    }
}

/// Stores one entry; answers its id.
pub(super) fn store(
    topics: &mut super::topics::Topics,
    config: &super::BrokerConfig,
    producer: &ProducerRef,
    c: &CommandSend,
    highest: u64,
    entry: &Bytes,
    now: Now,
) -> Result<MessageIdData, Refusal> {
    let txn = TxnId::new(c.txnid_most_bits, c.txnid_least_bits);
    let gone = || Refusal::new(ServerError::TOPIC_NOT_FOUND, "Topic was deleted");
    let mut stored = Stored::new(entry, now.wall_ms)
        .map_err(|_| Refusal::new(ServerError::CHECKSUM_ERROR, "Checksum failed on the broker"))?;
    if stored.unreadable {
        // Then the command is believed.
        stored.messages = c.num_messages.map_or(1, |count| count.max(1).unsigned_abs());
    }
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let topic = topics.get_mut(producer.topic).ok_or_else(gone)?;
    let (messages, bytes) = (u64::from(stored.messages), stored.bytes.len() as u64);
    topic.messages_in += messages;
    topic.bytes_in += bytes;
    // The chunks of a message have one sequence id: only the last one decides.
    if topic.log.terminated {
        return Err(Refusal::new(ServerError::TOPIC_TERMINATED_ERROR, "Topic was already terminated"));
    }
    if topic.rules.max_message_size.is_some_and(|limit| stored.payload().len() as u64 > limit) {
        let message = "Exceed maximum message size";
        return Err(Refusal::not_allowed(message));
    }
    if topic.rules.encryption_required && find_bytes(stored.metadata(), ENCRYPTION_KEYS).is_none() {
        return Err(Refusal::new(ServerError::METADATA_ERROR, "Messages must be encrypted"));
    }
    if let Some(most) = topic.rules.max_delay_ms.filter(|_| stored.deliver_at > 0) {
        let published = find_varint(stored.metadata(), PUBLISH_TIME).unwrap_or(0);
        if stored.deliver_at.saturating_sub(published) > most {
            let message = format!("Exceeds max allowed delivery delay of {most} milliseconds");
            return Err(Refusal::not_allowed(message));
        }
    }
    let counts = topic.rules.deduplication && !(c.is_chunk == Some(true) && stored.is_early_chunk());
    if counts && number(c.sequence_id) <= topic.last_sequence(&producer.name) {
        // Stored before: a receipt without a place.
        return Ok(MessageIdData { ledger_id: u64::MAX, entry_id: u64::MAX, ..MessageIdData::default() });
    }
    if topics.stored + stored.bytes.len() > config.max_stored_bytes
        && !topics.make_room(stored.bytes.len(), config.max_stored_bytes)
    {
        let message = format!("The broker's memory for messages is full: {} bytes", config.max_stored_bytes);
        return Err(Refusal::new(ServerError::PERSISTENCE_ERROR, message));
    }
    let topic = topics.get_mut(producer.topic).ok_or_else(gone)?;
    match &c.message_id {
        None if topic.is_shadow() => {
            return Err(Refusal::not_allowed("Cannot send messages to a shadow topic"));
        }
        Some(_) if !topic.is_shadow() => {
            return Err(Refusal::not_allowed("Only shadow topic supports sending messages with messageId"));
        }
        // It is there already, repeated by the broker itself.
        Some(id) if topic.log.offset_of(id).is_some() => {
            return Ok(MessageIdData {
                ledger_id: id.ledger_id,
                entry_id: id.entry_id,
                ..MessageIdData::default()
            });
        }
        Some(id) if !topic.log.make_next(id) => {
            return Err(Refusal::new(ServerError::PERSISTENCE_ERROR, "The id is not after the last one"));
        }
        _ => {}
    }
    if let Some(txn) = txn {
        topic.txns.get_or_insert_default().admits(txn)?;
        stored.txn = true;
    }
    if !topic.rules.publish.is_none() {
        topic.published.spend(topic.rules.publish, messages, bytes, now);
    }
    let (offset, cost) = topic.log.append(stored);
    if let (Some(txn), Some(buffer)) = (txn, &mut topic.txns) {
        buffer.stored(txn, offset);
    }
    let [count, sum, chunks] = producer.sent.get();
    let chunk = u64::from(c.is_chunk == Some(true));
    producer.sent.set([count + messages, sum + bytes, chunks + chunk]);
    let id = if topic.name.persistent { topic.log.id_at(offset) } else { MessageIdData::default() };
    if counts {
        topic.stored_sequence(&producer.name, number(highest));
    }
    let freed = topic.forget_long_consumed(config.max_consumed_bytes);
    topics.wall_ms = now.wall_ms;
    topics.stored = topics.stored + cost - freed;
    Ok(id)
}
