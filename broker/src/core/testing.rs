//! What tests ask of a broker and nobody else: sends that fail, connections that are cut, a look at
//! what is stored.

use bytes::Bytes;
use pulsewire_proto::wire::batch::BatchReader;
use pulsewire_proto::wire::{
    CommandSend, CommandSendError, CompressionType, KeyValue, MessageIdData, MessageMetadata, ServerError,
    SingleMessageMetadata,
};

use super::Broker;
use super::admin::AdminError;
use super::error::DisconnectReason;
use super::ids::ConnId;
use super::names::TopicName;
use super::storage::Stored;
use super::time::Now;
use super::transactions::is_marker;

/// Failures that may be planned at a time.
const MAX_FAILURES: usize = 1000;

/// Sends that are to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendFailure {
    /// What the producer is told; `None` for nothing at all, so that it runs into its timeout.
    pub error: Option<ServerError>,
    /// The text that goes with it.
    pub message: String,
    /// Only sends to this topic, or to its partitions; `None` for any topic.
    pub topic: Option<TopicName>,
    /// How many sends fail, at least one. A batch is one send.
    pub times: u32,
}

/// A connection, as a test sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Its number, counted from 1.
    pub id: u64,
    /// Its producers: topic and name.
    pub producers: Vec<(String, String)>,
    /// Its consumers: topic, subscription and name.
    pub consumers: Vec<(String, String, String)>,
}

/// A message, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// The topic that holds it; of a partitioned topic, the partition.
    pub topic: String,
    /// Its ledger.
    pub ledger_id: u64,
    /// Its entry.
    pub entry_id: u64,
    /// Its partition, -1 for a topic without partitions.
    pub partition: i32,
    /// Its place in its batch, -1 for a message that was sent alone.
    pub batch_index: i32,
    /// How many messages its batch has, 0 when it was sent alone.
    pub batch_size: i32,
    /// The payload. While `compression` or `encrypted` is set: as it was sent, a batch unopened.
    pub payload: Bytes,
    /// The message has no value (a tombstone).
    pub null_value: bool,
    /// The key, as on the wire.
    pub key: Option<String>,
    /// Whether the key is base64 of bytes.
    pub key_is_base64: bool,
    /// What chooses the consumer in place of the key.
    pub ordering_key: Option<Bytes>,
    /// Names and values.
    pub properties: Vec<(String, String)>,
    /// Who sent it.
    pub producer_name: String,
    /// Its number at its producer.
    pub sequence_id: u64,
    /// When the client sent it, by the client's clock: milliseconds since the Unix epoch.
    pub publish_time: u64,
    /// When the broker stored it, by the broker's clock.
    pub stored_time: u64,
    /// The application's own time of the event; 0 for none.
    pub event_time: u64,
    /// Not to be delivered earlier, by the broker's clock; 0 for at once.
    pub deliver_at: u64,
    /// The codec of a payload that is still packed.
    pub compression: CompressionType,
    /// Whether the payload is encrypted.
    pub encrypted: bool,
}

/// For tests of applications; the block [`testing`](crate::testing) makes a test's broker of it.
impl Broker {
    /// Plans sends to fail: those that come next, in the order in which they were planned. False
    /// when 1000 plans wait already.
    pub fn fail_sends(&mut self, failure: SendFailure) -> bool {
        let room = self.failures.len() < MAX_FAILURES;
        if room && failure.times > 0 {
            self.failures.push_back(failure);
        }
        room
    }

    /// Whether a send was to fail; it is answered then.
    pub(super) fn fails(&mut self, id: ConnId, c: &CommandSend) -> bool {
        let producer = self.conns.get(id).and_then(|conn| conn.producers.get(&c.producer_id));
        let topic = producer.filter(|producer| producer.ready).and_then(|open| self.topics.get(open.topic));
        let Some(name) = topic.map(|topic| topic.name.base()) else { return false };
        let fits = |failure: &SendFailure| failure.topic.as_ref().is_none_or(|wanted| *wanted == name);
        let Some(at) = self.failures.iter().position(fits) else { return false };
        let Some(failure) = self.failures.get_mut(at) else { return false };
        failure.times = failure.times.saturating_sub(1);
        let (error, message, over) = (failure.error, failure.message.clone(), failure.times == 0);
        if over {
            self.failures.remove(at);
        }
        if let (Some(error), Some(conn)) = (error, self.conns.out(id)) {
            let (producer_id, sequence_id) = (c.producer_id, c.sequence_id);
            conn.send(CommandSendError { producer_id, sequence_id, error, message });
        }
        true
    }

    /// Cuts a connection, as a network does; false when it is not there. Poll after it.
    pub fn disconnect(&mut self, id: ConnId, now: Now) -> bool {
        let there = self.conns.get(id).is_some_and(|conn| !conn.is_cut());
        self.cut(id, DisconnectReason::Ordered, now);
        self.settle(now);
        there
    }

    /// All connections.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        let topic = |key| self.topics.get(key);
        let info = |(id, conn): (&ConnId, &super::connection::Connection)| ConnectionInfo {
            id: id.0,
            producers: conn
                .producers
                .values()
                .filter_map(|producer| Some((topic(producer.topic)?.name.to_string(), producer.name.clone())))
                .collect(),
            consumers: conn
                .consumers
                .values()
                .filter_map(|consumer| {
                    let topic = topic(consumer.topic)?;
                    let sub = topic.subs.get(&consumer.sub)?;
                    let name = sub.consumer(consumer.key).map(|consumer| consumer.name.clone())?;
                    Some((topic.name.to_string(), sub.name.clone(), name))
                })
                .collect(),
        };
        self.conns.iter().filter(|(_, conn)| !conn.is_cut()).map(info).collect()
    }

    /// Names of all topics, those with partitions once.
    #[must_use]
    pub fn all_topics(&self) -> Vec<String> {
        self.topics.all_names()
    }

    /// The messages that a topic, or all partitions of one, still stores, each partition's in order.
    /// What can be read is read: messages that are neither packed nor encrypted.
    ///
    /// # Errors
    /// The topic is not there.
    pub fn stored_messages(&self, name: &TopicName) -> Result<Vec<StoredMessage>, AdminError> {
        let mut found = Vec::new();
        for topic in self.parts(name)?.into_iter().filter_map(|key| self.topics.get(key)) {
            for offset in topic.log.first()..topic.log.end() {
                let Some(stored) = topic.log.get(offset).filter(|stored| !is_marker(stored)) else {
                    continue;
                };
                read(stored, &topic.name, &topic.log.id_at(offset), &mut found);
            }
        }
        Ok(found)
    }
}

/// Reads an entry's messages.
fn read(stored: &Stored, topic: &TopicName, id: &MessageIdData, found: &mut Vec<StoredMessage>) {
    // What is stored was checked when it came.
    let Ok(metadata) = MessageMetadata::decode(&Bytes::copy_from_slice(stored.metadata())) else { return };
    let payload = stored.bytes.slice(stored.bytes.len() - stored.payload().len()..);
    let encrypted = !metadata.encryption_keys.is_empty();
    let compression = metadata.compression.unwrap_or_default();
    let whole = StoredMessage {
        topic: topic.to_string(),
        ledger_id: id.ledger_id,
        entry_id: id.entry_id,
        partition: topic.partition().and_then(|index| i32::try_from(index).ok()).unwrap_or(-1),
        batch_index: -1,
        batch_size: metadata.num_messages_in_batch.unwrap_or(0),
        payload,
        null_value: metadata.null_value == Some(true),
        key: metadata.partition_key,
        key_is_base64: metadata.partition_key_b64_encoded == Some(true),
        ordering_key: metadata.ordering_key,
        properties: pairs(metadata.properties),
        producer_name: metadata.producer_name,
        sequence_id: metadata.sequence_id,
        publish_time: metadata.publish_time,
        stored_time: stored.timestamp,
        event_time: metadata.event_time.unwrap_or(0),
        deliver_at: stored.deliver_at,
        compression,
        encrypted,
    };
    if !stored.batch || encrypted || compression != CompressionType::NONE {
        found.push(whole);
        return;
    }
    let mut reader = BatchReader::new();
    for index in 0..whole.batch_size.max(1) {
        let Ok(slot) = reader.next(&whole.payload) else { return };
        let metadata = whole.payload.slice(slot.metadata_start as usize..slot.payload_start as usize);
        let Ok(single) = SingleMessageMetadata::decode(&metadata) else { return };
        if slot.compacted_out {
            continue;
        }
        found.push(StoredMessage {
            batch_index: index,
            payload: whole.payload.slice(slot.payload_start as usize..slot.payload_end as usize),
            null_value: slot.null_value,
            key: single.partition_key,
            key_is_base64: single.partition_key_b64_encoded == Some(true),
            ordering_key: single.ordering_key,
            properties: pairs(single.properties),
            sequence_id: single.sequence_id.unwrap_or(whole.sequence_id + index as u64),
            event_time: single.event_time.unwrap_or(0),
            ..whole.clone()
        });
    }
}

fn pairs(of: Vec<KeyValue>) -> Vec<(String, String)> {
    of.into_iter().map(|pair| (pair.key, pair.value)).collect()
}
