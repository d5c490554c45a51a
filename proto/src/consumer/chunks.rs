//! Messages that come in chunks.
//!
//! ```text
//!            chunk 0                 the next chunk            the last chunk
//! (unknown) ---------> gathering(n) ---------------> gathering ---------------> whole: taken like any message,
//!     ^                   |   |  +--- a chunk that is there: dropped             its chunks are kept by its id
//!     |                   |   +------ not the next one, or one too large: given up until it is acknowledged
//!     +-------------------+---------- too many messages, or bytes (in all parts together): the oldest given up
//!                                     too old: acknowledged
//! ```
//!
//! Each chunk repays its permit when it comes, the last one with its message. Chunks of a message that
//! was given up come again after the delay of negative acknowledgements where the subscription lets
//! single messages come again (shared, key-shared), else with the next link; or they are acknowledged,
//! by `auto_ack_oldest_chunked_message_on_queue_full` or because the message is past its time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::config::ConsumerConfig;
use crate::ids::{FirstChunk, MessageId};
use crate::time::{Now, Time};
use crate::wire::entry::{find_bytes, find_varint};

/// Ledger and entry.
type Key = (u64, u64);

/// Whole messages whose chunks are known, for when they are acknowledged. The chunks of older ones come again, and
/// then run out of time.
const MAX_KNOWN: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Chunks {
    /// Oldest first: there are few.
    gathering: VecDeque<Gathering>,
    /// Chunks of whole messages, by the last of them.
    known: BTreeMap<Key, Vec<Key>>,
    /// Entries to acknowledge.
    done: Vec<Key>,
    /// Entries to ask for again.
    again: Vec<Key>,
    bytes: usize,
    /// The last chunk that was taken in.
    latest: Option<Key>,
}

#[derive(Debug, Default)]
struct Gathering {
    uuid: Vec<u8>,
    count: u32,
    /// Bytes of all of its chunks, as declared.
    total: usize,
    payload: BytesMut,
    keys: Vec<Key>,
    since: Time,
}

impl Gathering {
    /// Bytes that it holds.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.uuid.len() + self.payload.len() + self.keys.len() * size_of::<Key>()
    }
}

/// What a chunk says of itself.
#[derive(Debug)]
struct Part<'a> {
    uuid: &'a [u8],
    number: u32,
    count: u32,
    total: usize,
    publish_time: u64,
}

/// What has become of a chunk.
#[derive(Debug)]
pub(crate) enum Gathered {
    /// It waits for others, or is not for the user.
    Nothing,
    /// It was the last one: the payload of the message.
    Whole(Bytes, FirstChunk),
    /// Its message cannot be put together.
    Impossible(String),
}

impl<'a> Part<'a> {
    fn read(metadata: &'a [u8]) -> Result<Self, &'static str> {
        let number = |field| find_varint(metadata, field).and_then(|n| i32::try_from(n as i64).ok());
        let positive = |field| number(field).and_then(|n| u32::try_from(n).ok());
        let part = Self {
            uuid: find_bytes(metadata, 26).ok_or("it is a chunk without an id")?,
            number: positive(29).ok_or("it is a chunk without a number")?,
            count: positive(27).ok_or("its number of chunks is none")?,
            total: positive(28).ok_or("it is a chunk without a size of the whole")? as usize,
            publish_time: find_varint(metadata, 3).unwrap_or(0),
        };
        if part.number >= part.count { Err("its chunk's number is beyond the last") } else { Ok(part) }
    }
}

impl Chunks {
    /// Takes in a chunk. `limit` is for the bytes of a message, and of all that are gathered.
    pub(crate) fn take(
        &mut self,
        config: &ConsumerConfig,
        limit: usize,
        key: Key,
        metadata: &[u8],
        payload: &[u8],
        now: Now,
    ) -> Gathered {
        let part = match Part::read(metadata) {
            Ok(part) => part,
            Err(why) => return Gathered::Impossible(why.to_owned()),
        };
        let mut at = self.gathering.iter().position(|g| g.uuid == part.uuid);
        if part.number == 0
            && let Some(old) = at
            && !self.gathering[old].keys.contains(&key)
        {
            // The producer began anew: what came before will never be whole.
            let old = self.remove(old);
            self.done.extend(old.keys);
            at = None;
        }
        if part.number == 0 && at.is_none() {
            if part.total > limit {
                let total = part.total;
                return Gathered::Impossible(format!("its {total} bytes are more than the {limit} allowed"));
            }
            self.begin(config, &part, now);
            at = Some(self.gathering.len() - 1);
        }
        let Some(at) = at else {
            self.stray(config, key, &part, now);
            return Gathered::Nothing;
        };
        let g = &mut self.gathering[at];
        if (part.number as usize) < g.keys.len() {
            // Sent twice; the same entry delivered twice is still to be acknowledged with its message.
            if !g.keys.contains(&key) {
                self.done.push(key);
            }
            return Gathered::Nothing;
        }
        let fits = (part.count, part.total) == (g.count, g.total)
            && !payload.is_empty()
            && g.payload.len() + payload.len() <= g.total
            && g.bytes() <= limit.saturating_mul(2);
        if part.number as usize > g.keys.len() || !fits {
            let given_up = self.remove(at);
            given_up.keys.iter().for_each(|key| self.give_up(config, *key));
            if !fits {
                self.give_up(config, key);
                return Gathered::Impossible("its chunks do not belong together".to_owned());
            }
            self.stray(config, key, &part, now);
            return Gathered::Nothing;
        }
        let before = g.bytes();
        g.keys.push(key);
        g.payload.extend_from_slice(payload);
        self.bytes += g.bytes() - before;
        self.latest = Some(key);
        if part.number + 1 == part.count {
            return self.whole(at, key);
        }
        let over = |chunks: &Self| chunks.bytes > limit && chunks.gathering.len() > 1;
        while over(self) {
            self.give_up_oldest(config, Some(part.uuid));
        }
        Gathered::Nothing
    }

    fn begin(&mut self, config: &ConsumerConfig, part: &Part<'_>, now: Now) {
        let max = config.max_pending_chunked_message as usize;
        if max > 0 && self.gathering.len() >= max {
            self.give_up_oldest(config, None);
        }
        let begun = Gathering {
            uuid: part.uuid.to_vec(),
            count: part.count,
            total: part.total,
            since: now.time,
            ..Gathering::default()
        };
        self.bytes += begun.bytes();
        self.gathering.push_back(begun);
    }

    fn whole(&mut self, at: usize, key: Key) -> Gathered {
        let g = self.remove(at);
        let (ledger_id, entry_id) = g.keys.first().copied().unwrap_or(key);
        self.known.insert(key, g.keys);
        if self.known.len() > MAX_KNOWN {
            self.known.pop_first();
        }
        Gathered::Whole(g.payload.freeze(), FirstChunk { ledger_id, entry_id })
    }

    /// A chunk whose message is not gathered.
    fn stray(&mut self, config: &ConsumerConfig, key: Key, part: &Part<'_>, now: Now) {
        let expiry = config.expire_time_of_incomplete_chunked_message;
        let ends = part.publish_time.saturating_add(u64::try_from(expiry.as_millis()).unwrap_or(u64::MAX));
        if !expiry.is_zero() && now.wall_ms > ends {
            self.done.push(key);
        } else {
            self.give_up(config, key);
        }
    }

    fn give_up(&mut self, config: &ConsumerConfig, key: Key) {
        if config.subscription_type.is_shared() {
            self.again.push(key);
        }
    }

    fn give_up_oldest(&mut self, config: &ConsumerConfig, but: Option<&[u8]>) {
        let oldest = self.gathering.iter().position(|g| but.is_none_or(|uuid| g.uuid != uuid));
        let oldest = oldest.map(|at| self.remove(at));
        self.given_up(config, oldest);
    }

    fn given_up(&mut self, config: &ConsumerConfig, gathering: Option<Gathering>) {
        for key in gathering.map(|gathering| gathering.keys).unwrap_or_default() {
            if config.auto_ack_oldest_chunked_message_on_queue_full {
                self.done.push(key);
            } else {
                self.give_up(config, key);
            }
        }
    }

    /// Bytes that are gathered.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn oldest_at(&self, but_latest: bool) -> Option<usize> {
        let spared = self.latest.filter(|_| but_latest);
        self.gathering.iter().position(|g| spared.is_none() || g.keys.last() != spared.as_ref())
    }

    /// Since when the oldest message is gathered; of others than that which has grown last.
    pub(crate) fn oldest(&self, but_latest: bool) -> Option<Time> {
        self.oldest_at(but_latest).map(|at| self.gathering[at].since)
    }

    /// Gives that one up, as the chunks of several topics take too much together.
    pub(crate) fn give_way(&mut self, config: &ConsumerConfig, but_latest: bool) {
        let oldest = self.oldest_at(but_latest).map(|at| self.remove(at));
        self.given_up(config, oldest);
    }

    fn remove(&mut self, at: usize) -> Gathering {
        let Some(removed) = self.gathering.remove(at) else { return Gathering::default() };
        self.bytes -= removed.bytes();
        removed
    }

    /// Acknowledges what is past its time.
    pub(crate) fn expire(&mut self, expiry: Duration, now: Time) {
        while self.gathering.front().is_some_and(|g| g.since + expiry <= now) {
            let old = self.remove(0);
            self.done.extend(old.keys);
        }
    }

    /// When the oldest is past its time.
    pub(crate) fn due(&self, expiry: Duration) -> Option<Time> {
        let oldest = self.gathering.front().filter(|_| !expiry.is_zero())?;
        Some(oldest.since + expiry)
    }

    /// Whether there is anything to do for them.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        !(self.gathering.is_empty() && self.done.is_empty() && self.again.is_empty())
    }

    /// Entries to acknowledge, and those to ask for again.
    pub(crate) fn take_work(&mut self) -> (Vec<Key>, Vec<Key>) {
        (std::mem::take(&mut self.done), std::mem::take(&mut self.again))
    }

    /// All other chunks of a message.
    pub(crate) fn others_of(&mut self, id: MessageId) -> Vec<Key> {
        if self.known.is_empty() {
            return Vec::new();
        }
        let key = (id.ledger_id, id.entry_id);
        let mut keys = self.known.remove(&key).unwrap_or_default();
        keys.retain(|chunk| *chunk != key);
        keys
    }

    /// All up to a message is acknowledged.
    pub(crate) fn passed(&mut self, id: MessageId) {
        let key = (id.ledger_id, id.entry_id);
        while self.known.first_key_value().is_some_and(|(first, _)| *first <= key) {
            self.known.pop_first();
        }
    }

    /// What is not whole will come again.
    pub(crate) fn lost(&mut self) {
        self.gathering.clear();
        self.done.clear();
        self.again.clear();
        self.bytes = 0;
    }
}
