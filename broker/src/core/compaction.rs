//! Compaction: of every key the last value, for those who want no more than that.
//!
//! As the real broker does it: entries keep their ids; a batch of which something is left keeps its
//! places, with those that are gone marked; messages without a key, and keys whose last value is
//! null, go.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use pulsewire_proto::wire::batch::{self, BatchReader};
use pulsewire_proto::wire::entry::{encode_entry, find_bytes, find_varint};
use pulsewire_proto::wire::{CompressionType, MessageMetadata, SingleMessageMetadata};

use super::statistics::stored_size;
use super::storage::{Log, Stored};
use super::subscription::Subscription;
use super::topic::Topic;

/// How the last compaction of a topic went, since it was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompactionStats {
    /// Messages that it found to be of no use: others took their place, or they delete, or have no key.
    pub removed: u64,
    /// When it was: milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Messages and bytes that compactions have read since the topic was loaded: each looks at all twice.
    pub read: (u64, u64),
}

/// What the real broker's compaction reads by; it is listed among the subscriptions.
pub(super) const COMPACTION: &str = "__compaction";

/// What compaction left of a topic.
#[derive(Debug, Default)]
pub(super) struct Compacted {
    /// Entries from here on were not looked at.
    horizon: u64,
    entries: BTreeMap<u64, Stored>,
    bytes: usize,
    /// Which compaction of the topic it was.
    generation: u64,
}

impl Compacted {
    /// What comes at `offset` or after it, for a reader of compacted topics.
    pub(super) fn next<'a>(&'a self, log: &'a Log, offset: u64) -> Option<(u64, &'a Stored)> {
        if offset < self.horizon
            && let Some((offset, stored)) = self.entries.range(offset..).next()
        {
            return Some((*offset, stored));
        }
        let offset = offset.max(self.horizon).max(log.first());
        Some((offset, log.get(offset)?))
    }

    /// The least offset of an entry.
    pub(super) fn first(&self) -> Option<u64> {
        self.entries.first_key_value().map(|(offset, _)| *offset)
    }

    /// The first entry below `end` that is of `time` or later.
    pub(super) fn first_since(&self, time: u64, end: u64) -> Option<u64> {
        let mut below = self.entries.range(..end);
        below.find(|(_, stored)| stored.time() >= time).map(|(offset, _)| *offset)
    }

    /// Where nothing is left from `start` to `end`, as ranges.
    pub(super) fn gaps(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut from = start;
        for at in self.entries.range(start..end.max(start)).map(|(offset, _)| *offset).chain([end]) {
            if from < at {
                gaps.push((from, at));
            }
            from = at + 1;
        }
        gaps
    }

    /// The last entry, and the number of the last message in it.
    pub(super) fn last(&self) -> Option<(u64, i32)> {
        let (offset, stored) = self.entries.last_key_value()?;
        let last = messages(stored).unwrap_or_default().iter().rposition(|message| message.key.is_some());
        let last = last.map_or(stored.messages, |last| last as u32 + 1);
        Some((*offset, if stored.batch { i32::try_from(last).unwrap_or(i32::MAX) - 1 } else { -1 }))
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn horizon(&self) -> u64 {
        self.horizon
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, &Stored)> {
        self.entries.iter().map(|(offset, stored)| (*offset, stored))
    }

    pub(super) fn restore_end(&mut self, horizon: u64) {
        self.horizon = horizon;
    }

    /// Puts an entry back; answers what it costs.
    pub(super) fn restore(&mut self, offset: u64, stored: Stored) -> usize {
        let cost = stored.cost();
        self.bytes += cost;
        self.entries.insert(offset, stored);
        cost
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A message's place: its entry, and its number in a batch.
type Place = (u64, usize);

/// Compacts a topic up to its end. Answers how many bytes are held for it more than before.
pub(super) fn compact(topic: &mut Topic, wall_ms: u64) -> isize {
    let before = std::mem::take(&mut topic.compacted).unwrap_or_default();
    let horizon = topic.log.end().min(topic.limit());
    let hidden = |stored: &Stored| topic.txns.as_ref().is_some_and(|txns| txns.hides(stored));
    let rest =
        || (before.horizon.max(topic.log.first())..horizon).filter_map(|at| Some((at, topic.log.get(at)?)));
    let read = rest().fold(topic.compaction.read, |(messages, bytes), (_, stored)| {
        (messages + 2 * u64::from(stored.messages), bytes + 2 * stored_size(stored))
    });
    let rest = rest().filter(|(_, stored)| !hidden(stored));
    let entries: Vec<(u64, &Stored)> =
        before.entries.iter().map(|(at, stored)| (*at, stored)).chain(rest).collect();
    let mut last: BTreeMap<Bytes, Place> = BTreeMap::new();
    let mut removed = 0;
    for (offset, stored) in &entries {
        for (n, message) in messages(stored).unwrap_or_default().into_iter().enumerate() {
            let Some(key) = message.key else {
                removed += u64::from(!message.gone);
                continue;
            };
            if message.null {
                last.remove(&key);
                removed += 1;
            } else {
                removed += u64::from(last.insert(key, (*offset, n)).is_some());
            }
        }
    }
    let generation = before.generation.max(topic.kept.compacted.unwrap_or(0)) + 1;
    let mut compacted = Compacted { horizon, generation, ..Compacted::default() };
    for (offset, stored) in entries {
        let kept = match messages(stored) {
            // What cannot be read stays whole.
            None => Some(stored.clone()),
            Some(messages) => {
                let keep: Vec<bool> = messages
                    .iter()
                    .enumerate()
                    .map(|(n, message)| {
                        message.key.as_ref().and_then(|key| last.get(key)) == Some(&(offset, n))
                    })
                    .collect();
                match keep.iter().filter(|keep| **keep).count() {
                    0 => None,
                    count if count == keep.len() => Some(stored.clone()),
                    _ => thinned(stored, &keep),
                }
            }
        };
        if let Some(stored) = kept {
            compacted.bytes += stored.cost();
            compacted.entries.insert(offset, stored);
        }
    }
    let change = compacted.bytes as isize - before.bytes as isize;
    topic.compacted = Some(compacted);
    topic.compaction = CompactionStats { removed, at_ms: wall_ms, read };
    change
}

/// Where the cursor of a topic's compactions is, once there was one or will be one by itself.
pub(super) fn mark_of(topic: &Topic) -> Option<u64> {
    let mark = match &topic.compacted {
        _ if topic.sub_names.contains_key(COMPACTION) => return None,
        Some(compacted) => compacted.horizon(),
        None if topic.name.persistent && topic.rules.compaction_threshold > 0 => topic.log.first(),
        None => return None,
    };
    Some(mark.max(topic.compaction_passed))
}

/// How that cursor looks. It is no subscription that could be used.
pub(super) fn cursor_of(topic: &Topic) -> Option<Subscription> {
    let mark = mark_of(topic)?;
    let mut cursor = Subscription::new(COMPACTION.to_owned(), true, mark, Vec::new());
    cursor.made_ms = topic.made_ms;
    (cursor.messages_out, cursor.bytes_out) = topic.compaction.read;
    // A compaction reads it as an exclusive consumer does.
    cursor.used = cursor.messages_out > 0;
    if topic.compaction.at_ms > 0 {
        cursor.placed();
    }
    Some(cursor)
}

struct Message {
    key: Option<Bytes>,
    null: bool,
    /// An earlier compaction took it away.
    gone: bool,
}

/// The messages of an entry; `None` when they cannot be read.
fn messages(stored: &Stored) -> Option<Vec<Message>> {
    let metadata = stored.metadata();
    if !stored.batch {
        let key = find_bytes(metadata, 6).map(Bytes::copy_from_slice);
        // Clients always say the size; an entry that does not is never taken for null.
        let null = find_varint(metadata, 9) == Some(0);
        return Some(vec![Message { key, null, gone: false }]);
    }
    if find_varint(metadata, 8).is_some_and(|codec| codec != CompressionType::NONE.0 as u64) {
        return None;
    }
    if find_bytes(metadata, 13).is_some() {
        // Encrypted.
        return None;
    }
    let payload = stored.payload();
    let mut reader = BatchReader::new();
    let mut found = Vec::new();
    for _ in 0..stored.messages {
        let slot = reader.next(payload).ok()?;
        let single = payload.get(slot.metadata_start as usize..slot.payload_start as usize)?;
        let key = find_bytes(single, 2).filter(|_| !slot.compacted_out).map(Bytes::copy_from_slice);
        let null = slot.payload_start == slot.payload_end;
        found.push(Message { key, null, gone: slot.compacted_out });
    }
    Some(found)
}

/// A batch of which some messages are gone.
fn thinned(stored: &Stored, keep: &[bool]) -> Option<Stored> {
    let payload = stored.payload();
    let mut reader = BatchReader::new();
    let mut out = BytesMut::with_capacity(payload.len());
    let mut start = 0;
    for keep in keep {
        let slot = reader.next(payload).ok()?;
        let end = slot.payload_end as usize;
        if *keep {
            out.extend_from_slice(payload.get(start..end)?);
        } else {
            let mut gone =
                SingleMessageMetadata { compacted_out: Some(true), ..SingleMessageMetadata::default() };
            batch::push(&mut out, &mut gone, &Bytes::new());
        }
        start = end;
    }
    let mut metadata = MessageMetadata::decode(&Bytes::copy_from_slice(stored.metadata())).ok()?;
    metadata.uncompressed_size = Some(out.len() as u32);
    let mut bytes = BytesMut::new();
    encode_entry(&metadata, &out, &mut bytes);
    let mut entry = Stored::new(&bytes.freeze(), stored.timestamp).ok()?;
    (entry.index, entry.plain) = (stored.index, stored.plain);
    Some(entry)
}
