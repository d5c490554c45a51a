//! Packs messages for one crossing into JavaScript. The layout is written down in `js/src/core.ts`.

use pulsewire_proto::{Message, MessageId};

const HEADER: usize = 8;
const RECORD: usize = 144;
const ABSENT: u32 = u32::MAX;
const FLAG_NULL_VALUE: u32 = 1;
const FLAG_KEY_BASE64: u32 = 2;

/// Where something lies in the block: offset and length, or [`ABSENT`].
#[derive(Debug, Clone, Copy)]
struct Pair(u32, u32);

const NONE: Pair = Pair(0, ABSENT);

/// What messages of one entry share; packed once for all of them.
#[derive(Debug, Clone, Copy)]
struct Shared {
    ledger: u64,
    entry: u64,
    publish_time: u64,
    broker_publish_time: u64,
    producer_name: Pair,
    replicated_from: Pair,
    schema_version: Pair,
}

/// Packs messages into a block.
///
/// The records come first, so their number must be known: the messages are collected before.
pub(crate) fn pack(messages: &[Message], out: &mut Vec<u8>) {
    let head = HEADER + messages.len() * RECORD;
    out.clear();
    out.resize(head, 0);
    out[..4].copy_from_slice(&(messages.len() as u32).to_le_bytes());
    let mut topic: Option<(&str, Pair)> = None;
    let mut shared: Option<Shared> = None;
    for (number, message) in messages.iter().enumerate() {
        let id = message.id();
        let of_entry = match shared {
            Some(last) if last.ledger == id.ledger_id && last.entry == id.entry_id => last,
            _ => share(message, id, out),
        };
        shared = Some(of_entry);
        let topic_at = match topic {
            Some((name, at)) if name == message.topic() => at,
            _ => put(out, message.topic().as_bytes()),
        };
        topic = Some((message.topic(), topic_at));
        record(message, id, of_entry, topic_at, HEADER + number * RECORD, out);
    }
}

fn share(message: &Message, id: MessageId, out: &mut Vec<u8>) -> Shared {
    Shared {
        ledger: id.ledger_id,
        entry: id.entry_id,
        publish_time: message.publish_time(),
        broker_publish_time: message.broker_publish_time().unwrap_or(0),
        producer_name: put(out, message.producer_name().as_bytes()),
        replicated_from: put_some(out, message.replicated_from().map(str::as_bytes)),
        schema_version: put_some(out, message.schema_version()),
    }
}

fn record(message: &Message, id: MessageId, shared: Shared, topic: Pair, at: usize, out: &mut Vec<u8>) {
    let payload = if message.is_null() { NONE } else { put(out, message.payload()) };
    let key = put_some(out, message.key().map(str::as_bytes));
    let ordering_key = put_some(out, message.ordering_key());
    let properties = put_properties(out, &message.properties());
    let mut flags = 0;
    if message.is_null() {
        flags |= FLAG_NULL_VALUE;
    }
    if message.has_base64_key() {
        flags |= FLAG_KEY_BASE64;
    }

    let mut record = Record { bytes: &mut out[at..at + RECORD], at: 0 };
    record.put(&id.ledger_id.to_le_bytes());
    record.put(&id.entry_id.to_le_bytes());
    record.put(&id.partition.to_le_bytes());
    record.put(&id.batch_index.to_le_bytes());
    record.put(&id.batch_size.max(0).to_le_bytes());
    record.put(&message.redelivery_count().to_le_bytes());
    // Milliseconds stay exact in a double for 285,000 years.
    record.put(&(shared.publish_time as f64).to_le_bytes());
    record.put(&(message.event_time().unwrap_or(0) as f64).to_le_bytes());
    record.put(&(shared.broker_publish_time as f64).to_le_bytes());
    record.put(&message.index().unwrap_or(u64::MAX).to_le_bytes());
    record.put(&message.sequence_id().to_le_bytes());
    for pair in [
        payload,
        key,
        ordering_key,
        shared.producer_name,
        shared.replicated_from,
        properties,
        topic,
        shared.schema_version,
    ] {
        record.put(&pair.0.to_le_bytes());
        record.put(&pair.1.to_le_bytes());
    }
    record.put(&flags.to_le_bytes());
    record.put(&[0; 4]);
    debug_assert_eq!(record.at, RECORD);
}

struct Record<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Record<'_> {
    fn put(&mut self, value: &[u8]) {
        self.bytes[self.at..self.at + value.len()].copy_from_slice(value);
        self.at += value.len();
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) -> Pair {
    let at = out.len() as u32;
    out.extend_from_slice(bytes);
    Pair(at, bytes.len() as u32)
}

fn put_some(out: &mut Vec<u8>, bytes: Option<&[u8]>) -> Pair {
    bytes.map_or(NONE, |bytes| put(out, bytes))
}

fn put_properties(out: &mut Vec<u8>, properties: &[(String, String)]) -> Pair {
    if properties.is_empty() {
        return NONE;
    }
    let start = out.len();
    out.extend_from_slice(&(properties.len() as u32).to_le_bytes());
    for text in properties.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    Pair(start as u32, (out.len() - start) as u32)
}
