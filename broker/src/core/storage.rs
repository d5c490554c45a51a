//! What a topic stores: entries as they came, in order.
//!
//! Inside the broker an entry is named by its *offset*, which counts entries over the life of the
//! topic. Ledger and entry ids are made of offsets at the edge, here and nowhere else, so that a
//! topic may later have several ledgers without anyone noticing.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use pulsewire_proto::wire::entry::{Checksum, Entry, Unpack, encode_broker_metadata, find_varint};
use pulsewire_proto::wire::{BrokerEntryMetadata, MessageIdData};

/// An entry, as stored.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// Checksum, metadata and payload, as the producer sent them.
    pub(super) bytes: Bytes,
    /// When it came: milliseconds since the Unix epoch.
    pub(super) timestamp: u64,
    /// Number of its last message, counted over the topic.
    pub(super) index: u64,
    /// Not to be delivered earlier, when not 0; milliseconds since the Unix epoch.
    pub(super) deliver_at: u64,
    /// How many messages it holds.
    pub(super) messages: u32,
    /// Set when it is a batch, also a batch of one.
    pub(super) batch: bool,
    metadata_start: u32,
    metadata_end: u32,
}

/// Why an entry cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadEntry {
    Checksum,
    Malformed,
}

impl Stored {
    /// Checks what came with a SEND and makes it ready to be stored.
    pub(super) fn new(sent: &Bytes, timestamp: u64) -> Result<Self, BadEntry> {
        let entry = Entry::parse(sent).map_err(|_| BadEntry::Malformed)?;
        if entry.checksum == Checksum::Wrong {
            return Err(BadEntry::Checksum);
        }
        let unpack = Unpack::read(&entry.metadata).map_err(|_| BadEntry::Malformed)?;
        let head = if entry.checksum == Checksum::Absent { 4 } else { 10 };
        let kept = head + entry.metadata.len() + entry.payload.len();
        // Broker metadata that a client put before it is not kept.
        let start = sent.len().checked_sub(kept).ok_or(BadEntry::Malformed)?;
        Ok(Self {
            bytes: sent.slice(start..),
            timestamp,
            index: 0,
            deliver_at: find_varint(&entry.metadata, 19).unwrap_or(0),
            messages: unpack.batch.map_or(1, |n| n.max(1).unsigned_abs()),
            batch: unpack.batch.is_some(),
            metadata_start: head as u32,
            metadata_end: (head + entry.metadata.len()) as u32,
        })
    }

    /// The encoded metadata of its message or batch.
    pub(super) fn metadata(&self) -> &[u8] {
        self.bytes.get(self.metadata_start as usize..self.metadata_end as usize).unwrap_or_default()
    }

    /// Whether it is a chunk of a message, and not the last one.
    pub(super) fn is_early_chunk(&self) -> bool {
        let chunks = find_varint(self.metadata(), 27).unwrap_or(0);
        find_varint(self.metadata(), 29).is_some_and(|chunk| chunk.saturating_add(1) != chunks)
    }

    /// Appends what the broker adds before it.
    pub(super) fn write_broker_metadata(&self, out: &mut BytesMut) {
        let metadata =
            BrokerEntryMetadata { broker_timestamp: Some(self.timestamp), index: Some(self.index) };
        encode_broker_metadata(&metadata, out);
    }

    fn cost(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }
}

/// Where a message id points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before all that the topic ever stored.
    Before,
    /// At this offset, which may not be written yet.
    At(u64),
    /// Beyond the topic's ledger.
    After,
}

/// The entries of a topic.
#[derive(Debug)]
pub(super) struct Log {
    ledger: u64,
    first: u64,
    entries: VecDeque<Stored>,
    bytes: usize,
    next_index: u64,
}

impl Log {
    pub(super) fn new(ledger: u64) -> Self {
        Self { ledger, first: 0, entries: VecDeque::new(), bytes: 0, next_index: 0 }
    }

    /// Stores an entry; answers its offset and what it costs in bytes.
    pub(super) fn append(&mut self, mut stored: Stored) -> (u64, usize) {
        let offset = self.end();
        self.next_index += u64::from(stored.messages);
        stored.index = self.next_index - 1;
        let cost = stored.cost();
        self.bytes += cost;
        self.entries.push_back(stored);
        (offset, cost)
    }

    pub(super) fn get(&self, offset: u64) -> Option<&Stored> {
        self.entries.get(usize::try_from(offset.checked_sub(self.first)?).ok()?)
    }

    /// The least offset that is still stored.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The offset that the next entry will have.
    pub(super) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(super) fn ledger(&self) -> u64 {
        self.ledger
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets entries below `offset`; answers how many bytes that freed.
    pub(super) fn trim(&mut self, offset: u64) -> usize {
        let mut freed = 0;
        while self.first < offset
            && let Some(stored) = self.entries.pop_front()
        {
            self.first += 1;
            freed += stored.cost();
        }
        self.bytes -= freed;
        freed
    }

    /// The id of the entry at `offset`, as the wire has it.
    pub(super) fn id_at(&self, offset: u64) -> MessageIdData {
        MessageIdData { ledger_id: self.ledger, entry_id: offset, ..Default::default() }
    }

    /// Where an id of the wire points. Ids are signed numbers in unsigned fields.
    pub(super) fn place_of(&self, id: &MessageIdData) -> Place {
        let (ledger, entry) = (id.ledger_id as i64, id.entry_id as i64);
        match ledger.cmp(&(self.ledger as i64)) {
            std::cmp::Ordering::Less => Place::Before,
            std::cmp::Ordering::Greater => Place::After,
            std::cmp::Ordering::Equal if entry < 0 => Place::Before,
            std::cmp::Ordering::Equal => Place::At(id.entry_id),
        }
    }

    /// The offset of an entry that is or was stored.
    pub(super) fn offset_of(&self, id: &MessageIdData) -> Option<u64> {
        match self.place_of(id) {
            Place::At(offset) if offset < self.end() => Some(offset),
            _ => None,
        }
    }

    /// The first entry that came at `timestamp` or later.
    pub(super) fn first_since(&self, timestamp: u64) -> u64 {
        self.first + self.entries.partition_point(|stored| stored.timestamp < timestamp) as u64
    }
}
