//! What a topic stores: entries as they came, in order.
//!
//! Inside the broker an entry is named by its *offset*, which counts entries over the life of the
//! topic. Ledger and entry ids are made of offsets at the edge, here and nowhere else: a topic gets
//! another ledger whenever it is unloaded, and nobody else notices.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use pulsewire_proto::wire::entry::{
    Checksum, Entry, Unpack, encode_broker_metadata, find_varint, is_complete,
};
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
    /// Set when it is a chunk of a message.
    pub(super) chunk: bool,
    /// Set when a transaction has to do with it: it is a message of one, or a marker.
    pub(super) txn: bool,
    /// Set when its metadata cannot be read, or lacks what must be there: it is stored, and delivered to
    /// nobody.
    pub(super) unreadable: bool,
    /// Set when it was stored as it came, without the broker's time and number.
    pub(super) plain: bool,
    metadata_start: u32,
    metadata_end: u32,
}

/// A field of a message's metadata.
pub(super) const PUBLISH_TIME: u32 = 3;

/// Runs of ids that a topic may have; then the last one stays the last.
const MAX_RUNS: usize = 100_000;

/// The checksum of an entry is not what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WrongChecksum;

/// Whether what came with a SEND ends before the checksum that it begins with does.
pub(super) fn is_cut_short(sent: &[u8]) -> bool {
    sent.len() < 2 || sent.len() < 6 && sent.starts_with(&[0x0e, 0x01])
}

impl Stored {
    /// Checks what came with a SEND and makes it ready to be stored.
    pub(super) fn new(sent: &Bytes, timestamp: u64) -> Result<Self, WrongChecksum> {
        let Ok(entry) = Entry::parse(sent) else { return Ok(Self::unreadable(sent, timestamp)) };
        if entry.checksum == Checksum::Wrong {
            return Err(WrongChecksum);
        }
        let Some(unpack) = Unpack::read(&entry.metadata).ok().filter(|_| is_complete(&entry.metadata)) else {
            return Ok(Self::unreadable(sent, timestamp));
        };
        let head = if entry.checksum == Checksum::Absent { 4 } else { 10 };
        let kept = head + entry.metadata.len() + entry.payload.len();
        // Broker metadata that a client put before it is not kept.
        let start = sent.len().saturating_sub(kept);
        Ok(Self {
            bytes: sent.slice(start..),
            timestamp,
            index: 0,
            deliver_at: find_varint(&entry.metadata, 19).unwrap_or(0),
            messages: unpack.batch.map_or(1, |n| n.max(1).unsigned_abs()),
            batch: unpack.batch.is_some(),
            chunk: unpack.chunk,
            txn: false,
            unreadable: false,
            plain: false,
            metadata_start: head as u32,
            metadata_end: (head + entry.metadata.len()) as u32,
        })
    }

    fn unreadable(sent: &Bytes, timestamp: u64) -> Self {
        Self {
            bytes: sent.clone(),
            timestamp,
            index: 0,
            deliver_at: 0,
            messages: 1,
            batch: false,
            chunk: false,
            txn: false,
            unreadable: true,
            plain: false,
            metadata_start: sent.len() as u32,
            metadata_end: sent.len() as u32,
        }
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

    /// How old it is to whoever asks by time: when it came or, stored as it came, when its producer says that it
    /// was sent.
    pub(super) fn time(&self) -> u64 {
        match self.plain {
            true => find_varint(self.metadata(), PUBLISH_TIME).unwrap_or(self.timestamp),
            false => self.timestamp,
        }
    }

    /// Appends what the broker adds before it.
    pub(super) fn write_broker_metadata(&self, out: &mut BytesMut) {
        if self.plain {
            return;
        }
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

/// A run of entries whose ids follow one another.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    start: u64,
    ledger: u64,
    /// The entry id of the first one.
    entry: u64,
}

/// The entries of a topic.
#[derive(Debug)]
pub(super) struct Log {
    /// In order, at least one.
    runs: Vec<Run>,
    first: u64,
    entries: VecDeque<Stored>,
    bytes: usize,
    next_index: u64,
    /// Entries are stored as they come.
    pub(super) plain: bool,
    /// Nothing may come any more.
    pub(super) terminated: bool,
}

impl Log {
    pub(super) fn new(ledger: u64) -> Self {
        Self {
            runs: vec![Run { start: 0, ledger, entry: 0 }],
            first: 0,
            entries: VecDeque::new(),
            bytes: 0,
            next_index: 0,
            plain: false,
            terminated: false,
        }
    }

    /// A log as it was kept, without its entries.
    pub(super) fn restored(runs: &[u64], first: u64, next_index: u64) -> Option<Self> {
        let (runs, rest) = runs.as_chunks::<3>();
        let runs: Vec<Run> =
            runs.iter().map(|&[start, ledger, entry]| Run { start, ledger, entry }).collect();
        let whole = rest.is_empty() && runs.first().is_some_and(|run| run.start == 0);
        whole.then(|| Self { runs, first, next_index, ..Self::new(0) })
    }

    /// Puts an entry back; answers what it costs. `None` when it is not the next one.
    pub(super) fn restore(&mut self, offset: u64, stored: Stored) -> Option<usize> {
        if offset != self.end() {
            return None;
        }
        let cost = stored.cost();
        self.next_index = stored.index.checked_add(1)?;
        self.bytes += cost;
        self.entries.push_back(stored);
        Some(cost)
    }

    /// Its runs, as numbers.
    pub(super) fn runs(&self) -> Vec<u64> {
        self.runs.iter().flat_map(|run| [run.start, run.ledger, run.entry]).collect()
    }

    pub(super) fn last_ledger(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.ledger)
    }

    /// The number of the next message, while no entry tells it.
    pub(super) fn kept_index(&self) -> u64 {
        if self.entries.is_empty() { self.next_index } else { 0 }
    }

    /// What comes from now on belongs to another ledger.
    pub(super) fn roll(&mut self, ledger: u64) {
        self.go_on(ledger, 0);
    }

    fn go_on(&mut self, ledger: u64, entry: u64) -> bool {
        let run = Run { start: self.end(), ledger, entry };
        let full = self.runs.len() >= MAX_RUNS;
        match self.runs.last_mut() {
            // Nobody has seen an id of an empty ledger.
            Some(last) if last.start == run.start => *last = run,
            _ if full => return false,
            _ => self.runs.push(run),
        }
        true
    }

    /// Sees to it that the next entry gets this id; false when it cannot.
    pub(super) fn make_next(&mut self, id: &MessageIdData) -> bool {
        let next = self.id_at(self.end());
        let wanted = (id.ledger_id as i64, id.entry_id as i64);
        if (next.ledger_id, next.entry_id) == (id.ledger_id, id.entry_id) {
            return true;
        }
        let last = self.id_before(self.end());
        let later = self.end() == 0 || wanted > (last.ledger_id as i64, last.entry_id as i64);
        wanted.0 >= 0 && wanted.1 >= 0 && later && self.go_on(id.ledger_id, id.entry_id)
    }

    /// Stores an entry; answers its offset and what it costs in bytes.
    pub(super) fn append(&mut self, mut stored: Stored) -> (u64, usize) {
        let offset = self.end();
        // As at the real broker, which counts a batch once when it comes in a transaction.
        self.next_index += if stored.txn { 1 } else { u64::from(stored.messages) };
        stored.index = self.next_index - 1;
        stored.plain = self.plain;
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

    /// Bytes from an entry to the end.
    pub(super) fn bytes_since(&self, offset: u64) -> u64 {
        let skip = usize::try_from(offset.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.entries.iter().skip(skip).map(|stored| stored.bytes.len() as u64).sum()
    }

    /// The first of the last entries that together have no more than so many bytes.
    pub(super) fn last_bytes(&self, bytes: u64) -> u64 {
        let mut sum = 0u64;
        let fit = self.entries.iter().rev().take_while(|stored| {
            sum = sum.saturating_add(stored.bytes.len() as u64);
            sum <= bytes
        });
        self.end() - fit.count() as u64
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where the ledger begins that `offset` is in.
    pub(super) fn ledger_start(&self, offset: u64) -> u64 {
        let at = self.runs.partition_point(|run| run.start <= offset);
        at.checked_sub(1).and_then(|at| self.runs.get(at)).map_or(0, |run| run.start)
    }

    /// Forgets entries below `offset`; answers how many bytes that freed.
    pub(super) fn trim(&mut self, offset: u64) -> usize {
        self.trim_while(offset, |_, _| true)
    }

    /// Forgets entries below `offset` while there are more bytes than `keep`; answers how many that freed.
    pub(super) fn trim_to(&mut self, keep: usize, offset: u64) -> usize {
        let bytes = self.bytes;
        self.trim_while(offset, |_, freed| bytes - freed > keep)
    }

    /// Forgets entries below `offset` that came until `timestamp`, until so many bytes are freed; answers how many.
    pub(super) fn trim_until(&mut self, offset: u64, timestamp: u64, enough: usize) -> usize {
        self.trim_while(offset, |stored, freed| stored.timestamp <= timestamp && freed < enough)
    }

    fn trim_while(&mut self, offset: u64, goes: impl Fn(&Stored, usize) -> bool) -> usize {
        let mut freed = 0;
        while self.first < offset
            && self.entries.front().is_some_and(|stored| goes(stored, freed))
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
        let run = match self.runs.last() {
            Some(last) if last.start <= offset => *last,
            _ => {
                let at = self.runs.partition_point(|run| run.start <= offset);
                self.runs.get(at.saturating_sub(1)).copied().unwrap_or_default()
            }
        };
        let entry_id = run.entry.saturating_add(offset - run.start);
        MessageIdData { ledger_id: run.ledger, entry_id, ..Default::default() }
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
        let at = self.runs.partition_point(|run| (run.ledger as i64, run.entry as i64) <= (ledger, entry));
        let Some(run) = at.checked_sub(1).and_then(|at| self.runs.get(at)) else { return Place::Before };
        let next = self.runs.get(at).map(|next| next.start);
        if run.ledger != id.ledger_id {
            return next.map_or(Place::After, Place::At);
        }
        let offset = run.start.saturating_add(id.entry_id - run.entry);
        // Beyond a ledger that is closed, the next one follows.
        Place::At(next.map_or(offset, |next| offset.min(next)))
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

    /// The first entry that is of `time` or later.
    pub(super) fn first_since(&self, time: u64) -> u64 {
        self.first + self.entries.partition_point(|stored| stored.time() < time) as u64
    }

    /// The first entry that came at `timestamp` or later, whatever its producer says.
    pub(super) fn first_come_since(&self, timestamp: u64) -> u64 {
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

    #[test]
    fn ids_may_be_given() {
        let mut log = Log::new(5);
        let mut sent = BytesMut::new();
        let metadata = pulsewire_proto::wire::MessageMetadata::default();
        pulsewire_proto::wire::entry::encode_entry(&metadata, b"x", &mut sent);
        let stored = Stored::new(&sent.freeze(), 0).unwrap();
        let id = |ledger: u64, entry: u64| MessageIdData {
            ledger_id: ledger,
            entry_id: entry,
            ..MessageIdData::default()
        };
        for (n, (ledger, entry)) in [(3, 7), (3, 8), (3, 11), (4, 0), (4, 1)].into_iter().enumerate() {
            assert!(log.make_next(&id(ledger, entry)));
            let (offset, _) = log.append(stored.clone());
            assert_eq!((offset, log.id_at(offset)), (n as u64, id(ledger, entry)));
        }
        assert!(!log.make_next(&id(4, 1)) && !log.make_next(&id(3, 12)));
        for (ledger, entry, offset) in [(3, 7, 0), (3, 8, 1), (3, 9, 2), (3, 11, 2), (3, 20, 3), (4, 1, 4)] {
            assert_eq!(log.place_of(&id(ledger, entry)), Place::At(offset), "{ledger}:{entry}");
        }
    }
}
