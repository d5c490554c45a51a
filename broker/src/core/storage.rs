//! What a topic stores: entries as they came, in order.
//!
//! Inside the broker an entry is named by its *offset*, which counts entries over the life of the
//! topic. Ledger and entry ids are made of offsets at the edge, here and nowhere else: a topic gets
//! another ledger whenever it is unloaded, and nobody else notices.

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

/// Ledgers that a topic may have; then the last one stays the last.
const MAX_LEDGERS: usize = 100_000;

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

    /// What follows the metadata.
    pub(super) fn payload(&self) -> &[u8] {
        self.bytes.get(self.metadata_end as usize..).unwrap_or_default()
    }

    pub(super) fn cost(&self) -> usize {
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
    /// First offset of a ledger, and its number; in order, at least one.
    ledgers: Vec<(u64, u64)>,
    first: u64,
    entries: VecDeque<Stored>,
    bytes: usize,
    next_index: u64,
    /// Nothing may come any more.
    pub(super) terminated: bool,
}

impl Log {
    pub(super) fn new(ledger: u64) -> Self {
        Self {
            ledgers: vec![(0, ledger)],
            first: 0,
            entries: VecDeque::new(),
            bytes: 0,
            next_index: 0,
            terminated: false,
        }
    }

    /// What comes from now on belongs to another ledger.
    pub(super) fn roll(&mut self, ledger: u64) {
        let end = self.end();
        let full = self.ledgers.len() >= MAX_LEDGERS;
        match self.ledgers.last_mut() {
            // Nobody has seen an id of an empty ledger.
            Some(last) if last.0 == end => last.1 = ledger,
            _ if full => {}
            _ => self.ledgers.push((end, ledger)),
        }
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
        let (start, ledger_id) = match self.ledgers.last() {
            Some(last) if last.0 <= offset => *last,
            _ => {
                let at = self.ledgers.partition_point(|(start, _)| *start <= offset);
                self.ledgers.get(at.saturating_sub(1)).copied().unwrap_or_default()
            }
        };
        MessageIdData { ledger_id, entry_id: offset - start, ..Default::default() }
    }

    /// The id of the last entry below `offset`; entry -1 when there is none in its ledger.
    pub(super) fn id_before(&self, offset: u64) -> MessageIdData {
        match offset.checked_sub(1) {
            Some(before) => self.id_at(before),
            None => MessageIdData { entry_id: u64::MAX, ..self.id_at(0) },
        }
    }

    /// Where an id of the wire points. Ids are signed numbers in unsigned fields.
    pub(super) fn place_of(&self, id: &MessageIdData) -> Place {
        let (ledger, entry) = (id.ledger_id as i64, id.entry_id as i64);
        let at = self.ledgers.partition_point(|(_, known)| (*known as i64) < ledger);
        match self.ledgers.get(at) {
            None => Place::After,
            Some((start, known)) if *known as i64 == ledger => {
                let next = self.ledgers.get(at + 1).map(|(next, _)| *next);
                match u64::try_from(entry) {
                    Err(_) if at == 0 => Place::Before,
                    Err(_) => Place::At(*start),
                    // Beyond a ledger that is closed, the next one follows.
                    Ok(entry) => {
                        let offset = start.saturating_add(entry);
                        Place::At(next.map_or(offset, |next| offset.min(next)))
                    }
                }
            }
            Some(_) if at == 0 => Place::Before,
            Some((start, _)) => Place::At(*start),
        }
    }

    /// The offset of an entry that is or was stored.
    pub(super) fn offset_of(&self, id: &MessageIdData) -> Option<u64> {
        match self.place_of(id) {
            Place::At(offset) if offset < self.end() && self.id_at(offset).entry_id == id.entry_id => {
                Some(offset)
            }
            _ => None,
        }
    }

    /// The first entry that came at `timestamp` or later.
    pub(super) fn first_since(&self, timestamp: u64) -> u64 {
        self.first + self.entries.partition_point(|stored| stored.timestamp < timestamp) as u64
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_several_ledgers_are_found_again() {
        let mut log = Log::new(5);
        let mut sent = BytesMut::new();
        let metadata = pulsewire_proto::wire::MessageMetadata::default();
        pulsewire_proto::wire::entry::encode_entry(&metadata, b"x", &mut sent);
        let stored = Stored::new(&sent.freeze(), 0).unwrap();
        let id = |ledger: i64, entry: i64| MessageIdData {
            ledger_id: ledger as u64,
            entry_id: entry as u64,
            ..MessageIdData::default()
        };
        log.roll(6);
        for ledger in [8, 11, 12] {
            log.append(stored.clone());
            log.append(stored.clone());
            log.roll(ledger);
        }
        for (offset, (ledger, entry)) in
            [(6, 0), (6, 1), (8, 0), (8, 1), (11, 0), (11, 1), (12, 0)].into_iter().enumerate()
        {
            let offset = offset as u64;
            assert_eq!(log.id_at(offset), id(ledger, entry));
            assert_eq!(log.place_of(&id(ledger, entry)), Place::At(offset));
            assert_eq!(log.offset_of(&id(ledger, entry)), Some(offset).filter(|offset| *offset < 6));
        }
        assert_eq!(log.place_of(&id(-1, -1)), Place::Before);
        assert_eq!(log.place_of(&id(6, -1)), Place::Before);
        assert_eq!(log.place_of(&id(8, -1)), Place::At(2));
        assert_eq!(log.place_of(&id(8, 7)), Place::At(4));
        assert_eq!(log.offset_of(&id(8, 7)), None);
        assert_eq!(log.place_of(&id(9, 3)), Place::At(4));
        assert_eq!(log.place_of(&id(13, 0)), Place::After);
        assert_eq!(log.id_before(0).entry_id, u64::MAX);
    }
}
