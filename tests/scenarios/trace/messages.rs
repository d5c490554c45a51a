//! Messages as they came.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use pulsewire_proto::wire::batch::BatchReader;
use pulsewire_proto::wire::entry::Entry;
use pulsewire_proto::wire::{
    CommandMessage, CompressionType, KeyValue, MessageMetadata, SingleMessageMetadata, SubType,
};

use super::recorder::Recorder;
use super::requests::ordered;
use super::words::{any_partition, digest, shape};

/// What a consumer was given since it subscribed or sought.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    entries: BTreeSet<(u64, u64)>,
    /// By the key: the last entry. Where all are in order, of one key.
    last: BTreeMap<String, (u64, u64)>,
}

impl Delivered {
    /// Whether an entry that comes for the first time comes after those before it.
    fn in_order(&mut self, key: String, place: (u64, u64)) -> bool {
        if !self.entries.insert(place) {
            return true;
        }
        let last = self.last.insert(key, place);
        last.is_none_or(|last| last < place)
    }
}

/// What a message has of its own, in a batch or not.
struct Own<'a> {
    sequence: u64,
    properties: &'a [KeyValue],
    key: Option<&'a str>,
    ordering_key: bool,
    event_time: bool,
    null: bool,
    payload: Bytes,
}

impl Recorder {
    pub(super) fn message(&mut self, conn: u64, command: &CommandMessage, entry: &Bytes) {
        let name = self.consumer(conn, command.consumer_id);
        let Ok(entry) = Entry::parse(entry) else {
            return self.fact(format!("{name}: an entry that cannot be read"));
        };
        let Ok(metadata) = MessageMetadata::decode(&entry.metadata) else {
            return self.fact(format!("{name}: metadata that cannot be read"));
        };
        let place = (command.message_id.ledger_id, command.message_id.entry_id);
        self.fact(format!("{name}: ids as {}", shape(&command.message_id)));
        let added = entry.broker.map(|b| (b.broker_timestamp.is_some(), b.index.is_some()));
        self.fact(format!("{name}: checksum {:?}, the broker's time and index {added:?}", entry.checksum));
        self.fact(format!("{name}: consumer epoch {}", command.consumer_epoch.is_some()));
        self.order(conn, command.consumer_id, &metadata, place);

        let producer = self.producer_name(&metadata.producer_name);
        let packed = metadata.compression.unwrap_or_default() != CompressionType::NONE
            || !metadata.encryption_keys.is_empty();
        let around = self.around(&metadata);
        let count = metadata.num_messages_in_batch;
        let open = |n: i32| {
            command.ack_set.is_empty()
                || command.ack_set.get(n as usize / 64).is_some_and(|bits| bits & (1 << (n % 64)) != 0)
        };
        if let (Some(count), false) = (count, packed) {
            let mut reader = BatchReader::new();
            for n in 0..count {
                let Ok(slot) = reader.next(&entry.payload) else {
                    return self.fact(format!("{name}: a batch that cannot be read"));
                };
                let single = entry.payload.slice(slot.metadata_start as usize..slot.payload_start as usize);
                let Ok(single) = SingleMessageMetadata::decode(&single) else { continue };
                if slot.compacted_out || !open(n) {
                    continue;
                }
                let own = Own {
                    sequence: single.sequence_id.unwrap_or(metadata.sequence_id + n as u64),
                    properties: &single.properties,
                    key: single.partition_key.as_deref(),
                    ordering_key: single.ordering_key.is_some(),
                    event_time: single.event_time.is_some_and(|t| t > 0),
                    null: single.null_value == Some(true),
                    payload: entry.payload.slice(slot.payload_start as usize..slot.payload_end as usize),
                };
                self.one(&name, &producer, &own, &around, command.redelivery_count);
            }
            return;
        }
        let own = Own {
            sequence: metadata.sequence_id,
            properties: &metadata.properties,
            key: metadata.partition_key.as_deref(),
            ordering_key: metadata.ordering_key.is_some(),
            event_time: metadata.event_time.is_some_and(|t| t > 0),
            null: metadata.null_value == Some(true),
            payload: entry.payload,
        };
        let of = count.map(|count| format!("{count} together, ")).unwrap_or_default();
        self.one(&name, &producer, &own, &format!("{of}{around}"), command.redelivery_count);
    }

    fn one(&mut self, name: &str, producer: &str, own: &Own<'_>, around: &str, again: Option<u32>) {
        let payload = match std::str::from_utf8(&own.payload) {
            Ok(text) => digest(self.words.of(text).as_bytes()),
            Err(_) => digest(&own.payload),
        };
        let properties = self.words.pairs(own.properties.iter().map(|p| (p.key.as_str(), p.value.as_str())));
        let key = own.key.map(|key| self.words.of(key));
        let flags = [(own.ordering_key, "ordering key"), (own.event_time, "event time"), (own.null, "null")];
        let flags: Vec<&str> = flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag).collect();
        // Without a key, the partition is where the round began.
        let (name, which) = match own.key {
            None if name.contains("-partition-") => (any_partition(name), format!("a message of {producer}")),
            _ => (name.to_owned(), format!("message {} of {producer}", own.sequence)),
        };
        let name = name.as_str();
        // How much goes into a chunk depends on the length of the producer's name.
        if around.contains("chunk ") && producer.starts_with('<') {
            return self.line(name, format!("{which}: key {key:?} {properties} {flags:?} {around}"));
        }
        let line = format!(
            "{which}: key {key:?} {properties} {flags:?} {around}, {} B {payload}",
            own.payload.len()
        );
        self.line(name, line);
        let again = again.unwrap_or(0);
        if again > 0 {
            self.line(name, format!("{which} came again, count {again}"));
        }
    }

    /// What an entry's messages share.
    fn around(&self, metadata: &MessageMetadata) -> String {
        let mut around = String::new();
        let mut note = |text: String| {
            around.push_str(&text);
            around.push(' ');
        };
        if let Some(codec) = metadata.compression.filter(|codec| *codec != CompressionType::NONE) {
            note(format!("{codec:?}"));
        }
        if !metadata.encryption_keys.is_empty() {
            note("encrypted".to_owned());
        }
        if let (Some(chunk), Some(of)) = (metadata.chunk_id, metadata.num_chunks_from_msg) {
            note(format!("chunk {chunk} of {of}"));
        }
        if let Some(from) = &metadata.replicated_from {
            note(format!("from {from}"));
        }
        if !metadata.replicate_to.is_empty() {
            note(format!("for {:?}", metadata.replicate_to));
        }
        if metadata.deliver_at_time.is_some() {
            note("put off".to_owned());
        }
        if let Some(marker) = metadata.marker_type {
            note(format!("marker {marker}"));
        }
        if metadata.txnid_most_bits.is_some() {
            note("of a transaction".to_owned());
        }
        if let Some(version) = &metadata.schema_version {
            note(format!("schema version of {} B", version.len()));
        }
        around.trim_end().to_owned()
    }

    fn producer_name(&self, name: &str) -> String {
        // Also of producers that we do not see: both brokers make up names so.
        let made_up = self.made_up.contains(name) || name.starts_with("standalone-");
        if made_up && !self.named.contains(name) {
            "<a name of the broker's>".to_owned()
        } else {
            self.words.of(name)
        }
    }

    fn order(&mut self, conn: u64, consumer: u64, metadata: &MessageMetadata, place: (u64, u64)) {
        let Some(consumer) = self.consumers.get_mut(&(conn, consumer)) else {
            return self.fact("a message for nobody".to_owned());
        };
        // A delayed message comes when it is due.
        if metadata.deliver_at_time.is_some() {
            return;
        }
        let key = match consumer.sub_type {
            SubType::KEY_SHARED if consumer.by_key => metadata.partition_key.clone().unwrap_or_default(),
            kind if ordered(kind) => String::new(),
            _ => return,
        };
        let order = if consumer.seen.in_order(key, place) { "in order" } else { "out of order" };
        let fact = format!("messages of {} come {order}", consumer.name);
        self.ids.entry(consumer.topic.clone()).or_default().insert(place);
        self.fact(fact);
    }
}
