//! Consumers: subscribing, permits, acknowledging, redelivery, closing.

use pulsewire_proto::wire::{
    AckType, CommandAck, CommandAckResponse, CommandActiveConsumerChange, CommandCloseConsumer, CommandFlow,
    CommandRedeliverUnacknowledgedMessages, CommandSubscribe, CommandUnsubscribe, InitialPosition,
    ResourceType, SchemaType, ServerError, SubType,
};

use super::connection::ConsumerRef;
use super::connections::Connections;
use super::ending::LastRead;
use super::error::{DisconnectReason, Refusal};
use super::ids::{ConnId, SubKey, TopicKey};
use super::liveness::Newcomer;
use super::names::TopicName;
use super::notes::Note;
use super::producing::NO_REQUEST;
use super::storage::Place;
use super::subscription::{Consumer, NewConsumer, Subscription, type_name};
use super::time::Now;
use super::topic::Topic;
use super::transactions::TxnId;
use super::{Broker, Timer};

/// Of another type, nothing can be told.
const KNOWN_TYPES: [SubType; 4] =
    [SubType::EXCLUSIVE, SubType::SHARED, SubType::FAILOVER, SubType::KEY_SHARED];

impl Broker {
    pub(super) fn subscribe(&mut self, id: ConnId, c: CommandSubscribe, now: Now) {
        let request_id = c.request_id;
        let there = self.conns.get(id).is_some_and(|conn| conn.consumers.contains_key(&c.consumer_id));
        if there && TopicName::parse(&c.topic).is_ok() {
            // The same request again.
            if let Some(conn) = self.conns.out(id) {
                conn.success(request_id);
            }
            return;
        }
        if self.conns.get(id).is_some_and(|conn| conn.opening_consumers.contains(&c.consumer_id)) {
            let message = "Consumer is already present on the connection";
            return self.refuse(id, request_id, Refusal::new(ServerError::SERVICE_NOT_READY, message));
        }
        if !KNOWN_TYPES.contains(&c.sub_type) {
            let what = format!("SUBSCRIBE of type {:?}", c.sub_type);
            return self.cut(id, DisconnectReason::Protocol(what), now);
        }
        let consumer_id = c.consumer_id;
        match self.open_consumer(id, &c, now) {
            Ok(consumer) => {
                if let Some(conn) = self.conns.get_mut(id) {
                    conn.consumers.insert(consumer_id, consumer);
                }
                self.note_of_sub(consumer.topic, consumer.sub, |topic, subscription| Note::ConsumerOpened {
                    id,
                    consumer: consumer_id,
                    topic,
                    subscription,
                });
                if self.sends_elsewhere(id, consumer.topic, ResourceType::CONSUMER, consumer_id) {
                    return self.close_consumer_of(id, consumer_id, now);
                }
                self.choose_active(consumer.topic, consumer.sub, Some(consumer), now);
                if let Some(conn) = self.conns.out(id) {
                    conn.success(request_id);
                }
            }
            Err((refusal, holder)) => {
                let refused = match holder {
                    Some(holder) => {
                        self.ask_holder(holder, (id, Newcomer::Consumer(Box::new(c))), refusal, now)
                    }
                    None => Err(refusal),
                };
                if let Err(refusal) = refused {
                    self.refuse(id, request_id, refusal);
                }
            }
        }
    }

    /// Opens a consumer; else answers why not, and the connection that has its place.
    fn open_consumer(
        &mut self,
        id: ConnId,
        c: &CommandSubscribe,
        now: Now,
    ) -> Result<ConsumerRef, (Refusal, Option<ConnId>)> {
        let (topic_key, sub_key) = self.find_sub(id, c, now).map_err(|refusal| (refusal, None))?;
        let gone = || (Refusal::topic_not_found(&c.topic), None);
        let topic = self.topics.get_mut(topic_key).ok_or_else(gone)?;
        let consumer = NewConsumer {
            conn: id,
            id: c.consumer_id,
            name: c.consumer_name.clone().unwrap_or_default(),
            priority: c.priority_level.unwrap_or(0),
            epoch: c.consumer_epoch,
            now,
            metadata: c.metadata.clone(),
            read_compacted: c.read_compacted == Some(true),
            takes_any_schema: c.schema.as_ref().is_some_and(|s| s.r#type == SchemaType::AUTO_CONSUME),
            halves: self.config.key_shared_by_halves,
        };
        let sub = topic.subs.get_mut(&sub_key).ok_or_else(gone)?;
        sub.keep = false;
        let most = topic.rules.max_consumers_per_sub;
        // As Java writes a consumer, but for the channel's number and state.
        let kind = if topic.name.persistent { "Persistent" } else { "NonPersistent" };
        let describe = |holder: &Consumer| {
            let peer = self.conns.get(holder.conn).and_then(|conn| conn.peer.as_deref()).unwrap_or_default();
            format!(
                "Consumer{{subscription={kind}Subscription{{topic={}, name={}}}, consumerId={}, consumerName={}, \
                 address=/{peer}}}",
                topic.name, c.subscription, holder.id, holder.name
            )
        };
        match sub.add(c.sub_type, c.key_shared_meta.as_ref(), consumer, most, describe) {
            Ok(key) => Ok(ConsumerRef { topic: topic_key, sub: sub_key, key }),
            Err(refusal) => {
                let holder =
                    sub.consumers.first().filter(|_| c.sub_type == SubType::EXCLUSIVE).map(|c| c.conn);
                let holder = holder.filter(|_| sub.kind == SubType::EXCLUSIVE);
                if !sub.durable && sub.consumers.is_empty() {
                    self.delete_sub(topic_key, sub_key, false);
                }
                Err((refusal, holder))
            }
        }
    }

    /// The subscription that a consumer asks for; makes it if it is not there.
    fn find_sub(
        &mut self,
        id: ConnId,
        c: &CommandSubscribe,
        now: Now,
    ) -> Result<(TopicKey, SubKey), Refusal> {
        let name = TopicName::parse(&c.topic)
            .map_err(|message| Refusal::new(ServerError::INVALID_TOPIC_NAME, message))?;
        self.is_served_here(id, &name)?;
        let shared = c.sub_type == SubType::SHARED || c.sub_type == SubType::KEY_SHARED;
        let compacted = c.read_compacted == Some(true);
        if compacted && shared && name.persistent {
            let message = "readCompacted only allowed on failover or exclusive subscriptions";
            return Err(Refusal::not_allowed(message));
        }
        let (allowed, _) = self.topics.auto_creation(&name, &self.config);
        let create = c.force_topic_creation.unwrap_or(true) && allowed && self.topics.may_be_alone(&name);
        let topic_key = self.topics.resolve(&name, create, &self.config)?;
        // Without storage there is nothing that could outlive a subscription's consumers.
        let durable = c.durable.unwrap_or(true) && name.persistent;
        if let Some(topic) = self.topics.get(topic_key) {
            let consumers = topic.subs.values().map(|sub| sub.consumers.len() as u64);
            if consumers.sum::<u64>() >= topic.rules.max_consumers {
                let message = "Topic reached max consumers limit";
                return Err(Refusal::new(ServerError::CONSUMER_BUSY, message));
            }
            let known = topic.sub(&c.subscription).is_some();
            if durable && !topic.rules.auto_subscriptions && !known {
                let message = "Subscription does not exist";
                return Err(Refusal::new(ServerError::SUBSCRIPTION_NOT_FOUND, message));
            }
            if !topic.rules.sub_types.allow(c.sub_type) {
                let kind = type_name(c.sub_type);
                let message = format!("Topic[{{{}}}] doesn't support {kind} sub type!", topic.name);
                return Err(Refusal::not_allowed(message));
            }
        }
        if compacted && !name.persistent {
            return Err(Refusal::not_allowed("readCompacted only valid on persistent topics"));
        }
        if c.subscription.trim().is_empty() {
            return Err(Refusal::new(ServerError::PRODUCER_BUSY, "Empty subscription name"));
        }
        self.consumer_schema(&self.schema_owner(&name), topic_key, c, now)?;
        let topic = self.topics.get_mut(topic_key).ok_or_else(|| Refusal::topic_not_found(&c.topic))?;
        let peer = self.conns.get(id).and_then(|conn| conn.peer.as_deref()).unwrap_or_default();
        let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
        let who = (host, c.consumer_name.as_deref().unwrap_or_default(), c.consumer_id);
        if topic.name.persistent && !topic.subscribed.admit(topic.rules.subscribe, who, now) {
            return Err(Refusal::not_allowed("Subscribe limited by subscribe rate limit per consumer."));
        }
        let sub_key = match topic.sub(&c.subscription) {
            Some((key, sub)) => {
                if sub.durable != durable {
                    let message = if durable {
                        "NonDurable subscription with the same name already exists."
                    } else {
                        "Durable subscription with the same name already exists."
                    };
                    return Err(Refusal::not_allowed(message));
                }
                // A time to begin at holds for subscriptions that are there, too.
                let back = c.start_message_rollback_duration_sec.is_some_and(|seconds| seconds > 0);
                if back && sub.consumers.is_empty() {
                    let start = start_of(topic, c, durable, now);
                    let gone = topic.gone_since(start);
                    if let Some(sub) = topic.subs.get_mut(&key) {
                        sub.seek(start);
                        sub.cursor.pass_over(&gone);
                    }
                }
                key
            }
            None => {
                if topic.is_full_of_subs() {
                    let message =
                        format!("Exceed the maximum number of subscriptions of the topic: {}", c.topic);
                    return Err(Refusal::not_allowed(message));
                }
                let start = start_of(topic, c, durable, now);
                let properties = c.subscription_properties.clone();
                let mut sub = Subscription::new(c.subscription.clone(), durable, start, properties);
                sub.made_ms = now.wall_ms;
                sub.cursor.pass_over(&topic.gone_since(start));
                sub.replicated = c.replicate_subscription_state == Some(true);
                let made = topic.add_sub(sub);
                self.note_created(topic_key, made);
                made
            }
        };
        Ok((topic_key, sub_key))
    }

    /// Sees to it that a failover or exclusive subscription has its active consumer.
    fn choose_active(
        &mut self,
        topic_key: TopicKey,
        sub_key: SubKey,
        newcomer: Option<ConsumerRef>,
        now: Now,
    ) {
        let delay = self.config.failover_delay;
        let Some(topic) = self.topics.get_mut(topic_key) else { return };
        let (name, partition, stores) = (topic.name.to_string(), topic.partition(), topic.name.persistent);
        let Some(sub) = topic.subs.get_mut(&sub_key) else { return };
        if !sub.is_shared() {
            let changed = sub.choose_active(&name, partition);
            if changed {
                sub.rewind();
                sub.stop_waiting();
            }
            if sub.kind == SubType::FAILOVER {
                // Nobody waits for what is not stored: it would be lost.
                if changed && stores && sub.settles.is_none() {
                    let at = now.mono + delay;
                    sub.settles = Some(at);
                    self.timers.insert((at, Timer::Failover(topic_key, sub_key)));
                } else if !changed
                    && let Some(newcomer) = newcomer.and_then(|newcomer| sub.consumer(newcomer.key))
                {
                    tell_active(&mut self.conns, sub, newcomer);
                }
            }
        }
        self.wake(topic_key, sub_key);
    }

    /// A failover subscription has waited long enough: its consumers learn who is active.
    pub(super) fn failover_settles(&mut self, topic_key: TopicKey, sub_key: SubKey) {
        let Some(topic) = self.topics.get_mut(topic_key) else { return };
        let Some(sub) = topic.subs.get_mut(&sub_key) else { return };
        sub.settles = None;
        if sub.kind == SubType::FAILOVER {
            sub.rewind();
            for consumer in sub.by_priority() {
                tell_active(&mut self.conns, sub, consumer);
            }
        }
        self.wake(topic_key, sub_key);
    }

    pub(super) fn consumer_ref(&self, id: ConnId, consumer_id: u64) -> Option<ConsumerRef> {
        self.conns.get(id)?.consumers.get(&consumer_id).copied()
    }

    fn sub_mut(&mut self, consumer: ConsumerRef) -> Option<&mut Subscription> {
        self.topics.get_mut(consumer.topic)?.subs.get_mut(&consumer.sub)
    }

    pub(super) fn flow(&mut self, id: ConnId, c: &CommandFlow, now: Now) {
        let Some(at) = self.consumer_ref(id, c.consumer_id) else { return };
        // Java reads the number as a signed one, and takes what is not above 0 as a broken client.
        if i32::try_from(c.message_permits).map_or(true, |permits| permits == 0) {
            let what = format!("FLOW of {} permits", c.message_permits as i32);
            return self.cut(id, DisconnectReason::Protocol(what), now);
        }
        let Some(sub) = self.sub_mut(at) else { return };
        sub.flow_wall_ms = now.wall_ms;
        let Some(consumer) = sub.consumer_mut(at.key) else { return };
        consumer.permits = consumer.permits.saturating_add(i64::from(c.message_permits));
        consumer.flow_wall_ms = now.wall_ms;
        self.wake(at.topic, at.sub);
    }

    pub(super) fn ack(&mut self, id: ConnId, c: &CommandAck, now: Now) {
        // For a consumer that is not there: no answer either, as the real broker does it.
        let Some(at) = self.consumer_ref(id, c.consumer_id) else { return };
        let result = self.acknowledge(at, c, now);
        if let Some(request_id) = c.request_id {
            let refusal = result.err();
            self.reply(
                id,
                CommandAckResponse {
                    consumer_id: c.consumer_id,
                    error: refusal.as_ref().map(|refusal| refusal.error),
                    message: refusal.map(|refusal| refusal.message),
                    request_id: Some(request_id),
                    ..CommandAckResponse::default()
                },
            );
        }
    }

    fn acknowledge(&mut self, at: ConsumerRef, c: &CommandAck, now: Now) -> Result<(), Refusal> {
        if let Some(txn) = TxnId::new(c.txnid_most_bits, c.txnid_least_bits) {
            self.acknowledge_in_txn(at, c, txn)?;
            let consumer = self.sub_mut(at).and_then(|sub| sub.consumer_mut(at.key));
            if let Some(consumer) = consumer {
                consumer.acknowledged += c.message_id.len() as u64;
                consumer.acked_wall_ms = now.wall_ms;
            }
            return Ok(());
        }
        let by_index = self.config.batch_index_ack;
        let Some(Topic { log, subs, .. }) = self.topics.get_mut(at.topic) else { return Ok(()) };
        let Some(sub) = subs.get_mut(&at.sub) else { return Ok(()) };
        let (shared, mut go_on, mut acknowledged) = (sub.is_shared(), false, 0);
        let mark = sub.cursor.mark();
        if c.ack_type == AckType::CUMULATIVE {
            // On shared subscriptions, or for several ids at a time, it means nothing.
            if let [id] = c.message_id.as_slice()
                && !shared
                && let Some(offset) = log.offset_of(id)
            {
                // As the real broker counts them, however many they are.
                acknowledged = 1;
                if offset >= sub.cursor.mark() {
                    sub.mark_properties.clone_from(&c.properties);
                }
                if id.ack_set.is_empty() {
                    sub.cursor.ack_below(offset + 1);
                } else {
                    sub.cursor.ack_below(offset);
                    if by_index {
                        sub.ack(log, at.key, offset, &id.ack_set);
                    }
                }
            }
        } else {
            for id in &c.message_id {
                if let Some(offset) = log.offset_of(id)
                    && (id.ack_set.is_empty() || by_index)
                {
                    let count = sub.ack(log, at.key, offset, &id.ack_set);
                    (go_on, acknowledged) = (shared, acknowledged + if shared { count } else { 1 });
                }
            }
        }
        if let Some(consumer) = sub.consumer_mut(at.key) {
            consumer.acknowledged += acknowledged;
            consumer.acked_wall_ms = now.wall_ms;
        }
        if sub.cursor.mark() != mark {
            sub.advanced_wall_ms = now.wall_ms;
        }
        if log.terminated {
            sub.tell_end_if_done(&mut self.conns, log.end());
        }
        let keep = self.config.max_consumed_bytes;
        let freed = self.topics.get_mut(at.topic).map_or(0, |topic| topic.forget_long_consumed(keep));
        self.topics.stored -= freed;
        if go_on {
            self.wake(at.topic, at.sub);
        }
        Ok(())
    }

    pub(super) fn redeliver(&mut self, id: ConnId, c: &CommandRedeliverUnacknowledgedMessages) {
        let Some(at) = self.consumer_ref(id, c.consumer_id) else { return };
        let Some(Topic { log, subs, .. }) = self.topics.get_mut(at.topic) else { return };
        let Some(sub) = subs.get_mut(&at.sub) else { return };
        if sub.is_shared() {
            let offsets: Vec<u64> = if c.message_ids.is_empty() {
                sub.consumer(at.key).map(|consumer| consumer.pending.iter().collect()).unwrap_or_default()
            } else {
                c.message_ids.iter().filter_map(|id| log.offset_of(id)).collect()
            };
            for offset in offsets {
                sub.take_back(log, at.key, offset);
            }
            if c.message_ids.is_empty()
                && let Some(consumer) = sub.consumer_mut(at.key)
            {
                // It holds nothing now: not even what it let go of for a transaction that did not
                // get it.
                consumer.unacked = 0;
            }
        } else {
            if let Some(epoch) = c.consumer_epoch
                && let Some(consumer) = sub.consumer_mut(at.key)
            {
                consumer.epoch = Some(epoch.max(consumer.epoch.unwrap_or(0)));
            }
            if sub.active == Some(at.key) && sub.settles.is_none() {
                sub.rewind();
                sub.last_read = LastRead::Free;
            }
        }
        self.wake(at.topic, at.sub);
    }

    pub(super) fn close_consumer(&mut self, id: ConnId, c: &CommandCloseConsumer, now: Now) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.opening_consumers.remove(&c.consumer_id);
            if let Some(at) = conn.consumers.remove(&c.consumer_id) {
                self.dismiss_consumer(at, now);
            }
        }
        if let Some(conn) = self.conns.out(id) {
            conn.success(c.request_id);
        }
    }

    /// Takes a consumer out of its subscription; a non-durable one ends with its last consumer.
    pub(super) fn dismiss_consumer(&mut self, at: ConsumerRef, now: Now) {
        self.note_leaving(at, false);
        self.take_out_consumer(at, now);
    }

    /// Notes that a consumer goes.
    fn note_leaving(&mut self, at: ConsumerRef, expelled: bool) {
        let sub = self.topics.get(at.topic).and_then(|topic| topic.subs.get(&at.sub));
        if let Some(who) = sub.and_then(|sub| sub.consumer(at.key)).map(|c| (c.conn, c.id)) {
            self.note_closed_consumer(who, at.topic, at.sub, expelled);
        }
    }

    fn take_out_consumer(&mut self, at: ConsumerRef, now: Now) {
        let Some(topic) = self.topics.get_mut(at.topic) else { return };
        let Some(sub) = topic.subs.get_mut(&at.sub) else { return };
        sub.remove(at.key);
        if sub.consumers.is_empty() {
            if !sub.durable && !sub.keep {
                self.delete_sub(at.topic, at.sub, false);
            }
            return;
        }
        self.choose_active(at.topic, at.sub, None, now);
    }

    /// Closes one consumer of a connection from the broker's side.
    pub(super) fn close_consumer_of(&mut self, id: ConnId, consumer_id: u64, now: Now) {
        let (assigned_broker_service_url, assigned_broker_service_url_tls) = self.assigned();
        let Some(conn) = self.conns.out(id) else { return };
        let Some(at) = conn.consumers.remove(&consumer_id) else { return };
        conn.send(CommandCloseConsumer {
            consumer_id,
            request_id: NO_REQUEST,
            assigned_broker_service_url,
            assigned_broker_service_url_tls,
        });
        self.note_leaving(at, true);
        self.take_out_consumer(at, now);
    }

    /// Deletes a subscription without consumers; `unused` says that it is for that.
    pub(super) fn delete_sub(&mut self, topic: TopicKey, sub: SubKey, unused: bool) {
        self.note_deleted(topic, sub, unused);
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.remove_sub(sub);
        }
    }

    /// Sends the consumers of a subscription away; they will come back by themselves.
    pub(super) fn expel_consumers(&mut self, topic: TopicKey, sub: SubKey) {
        let Some(subscription) = self.topics.get_mut(topic).and_then(|t| t.subs.get_mut(&sub)) else {
            return;
        };
        let consumers: Vec<_> = subscription.consumers.iter().map(|c| (c.key, c.conn, c.id)).collect();
        let (assigned_broker_service_url, assigned_broker_service_url_tls) = self.assigned();
        for (key, conn, consumer_id) in consumers {
            self.note_closed_consumer((conn, consumer_id), topic, sub, true);
            if let Some(conn) = self.conns.out(conn) {
                conn.consumers.remove(&consumer_id);
                conn.send(CommandCloseConsumer {
                    consumer_id,
                    request_id: NO_REQUEST,
                    assigned_broker_service_url: assigned_broker_service_url.clone(),
                    assigned_broker_service_url_tls: assigned_broker_service_url_tls.clone(),
                });
            }
            if let Some(subscription) = self.topics.get_mut(topic).and_then(|t| t.subs.get_mut(&sub)) {
                subscription.remove(key);
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, id: ConnId, c: &CommandUnsubscribe) {
        let result = self.end_subscription(id, c);
        match (result, self.conns.out(id)) {
            (Ok(()), Some(conn)) => conn.success(c.request_id),
            (Err(refusal), Some(_)) => self.refuse(id, c.request_id, refusal),
            (_, None) => {}
        }
    }

    fn end_subscription(&mut self, id: ConnId, c: &CommandUnsubscribe) -> Result<(), Refusal> {
        let refuse = |message: &str| Refusal::new(ServerError::METADATA_ERROR, message);
        let at = self.consumer_ref(id, c.consumer_id).ok_or_else(|| refuse("Consumer not found"))?;
        let topic = self.topics.get_mut(at.topic).ok_or_else(|| refuse("Consumer not found"))?;
        let sub = topic.subs.get(&at.sub).ok_or_else(|| refuse("Consumer not found"))?;
        let alone = sub.consumers.len() == 1;
        let force = c.force == Some(true);
        if !alone && !force {
            return Err(refuse("Unconnected or shared consumer attempting to unsubscribe"));
        }
        if let Some(conn) = self.conns.get_mut(id) {
            conn.consumers.remove(&c.consumer_id);
        }
        self.note_leaving(at, false);
        if let Some(sub) = self.sub_mut(at) {
            sub.remove(at.key);
        }
        self.expel_consumers(at.topic, at.sub);
        self.delete_sub(at.topic, at.sub, false);
        Ok(())
    }
}

/// Tells a consumer whether it is the active one.
fn tell_active(conns: &mut Connections, sub: &Subscription, consumer: &Consumer) {
    if let Some(conn) = conns.out(consumer.conn)
        && conn.can.protocol_version >= 12
    {
        conn.send(CommandActiveConsumerChange {
            consumer_id: consumer.id,
            is_active: Some(sub.active == Some(consumer.key)),
        });
    }
}

/// Where a new subscription begins.
fn start_of(topic: &Topic, c: &CommandSubscribe, durable: bool, now: Now) -> u64 {
    let compacted = c.read_compacted == Some(true);
    if let Some(seconds) = c.start_message_rollback_duration_sec.filter(|seconds| *seconds > 0) {
        return topic.start_since(now.wall_ms.saturating_sub(seconds.saturating_mul(1000)), compacted);
    }
    let earliest = c.initial_position == Some(InitialPosition::EARLIEST);
    let place = match c.start_message_id.as_ref().filter(|_| !durable) {
        // The named entry itself comes too: the client drops what it does not want of it.
        Some(id) => topic.log.place_of(id),
        None if earliest => Place::Before,
        None => Place::After,
    };
    topic.start_at(place, compacted)
}
