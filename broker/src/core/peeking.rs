//! Looking at what is stored without consuming it.

use bytes::Bytes;
use pulsewire_proto::wire::{MessageIdData, MessageMetadata};

use super::Broker;
use super::admin::AdminError;
use super::compaction::cursor_of;
use super::names::TopicName;
use super::statistics::size_since;
use super::statistics::stored_size;
use super::storage::Place;
use super::topic::Topic;

/// An entry that somebody looks at.
#[derive(Debug, Clone)]
pub struct Peeked {
    /// Its ledger and its number in it.
    pub id: (i64, i64),
    /// What the broker added: when it came, milliseconds since the Unix epoch, and the number of its last message,
    /// counted over the topic.
    pub added: Option<(u64, u64)>,
    /// What its producer said of it.
    pub metadata: MessageMetadata,
    /// How much of what is stored of it is not metadata of the producer's.
    pub size: u64,
    /// As it was sent: packed, when the producer packs.
    pub payload: Bytes,
    /// It is, or comes after, a message of a transaction that is still open: nobody reads it yet.
    pub waits: bool,
    /// Its transaction was aborted.
    pub aborted: bool,
}

/// What a subscription has not acknowledged.
#[derive(Debug, Clone, Default)]
pub struct Backlog {
    /// Entries that wait.
    pub entries: u64,
    /// Messages in them.
    pub messages: u64,
    /// The first and the last of them.
    pub ends: Option<((i64, i64), (i64, i64))>,
}

/// How Apache BookKeeper says it.
const NO_SUCH_ENTRY: &str = "Incorrect parameter input error code: -14";

fn place((ledger, entry): (u64, u64)) -> (i64, i64) {
    (ledger as i64, entry as i64)
}

fn peek(topic: &Topic, offset: u64) -> Option<Peeked> {
    let stored = topic.log.get(offset)?;
    let id = topic.log.id_at(offset);
    Some(Peeked {
        id: place((id.ledger_id, id.entry_id)),
        added: (!stored.plain).then_some((stored.timestamp, stored.index)),
        size: stored_size(stored).saturating_sub(stored.metadata().len() as u64),
        metadata: MessageMetadata::decode(&Bytes::copy_from_slice(stored.metadata())).ok()?,
        payload: Bytes::copy_from_slice(stored.payload()),
        waits: offset >= topic.limit(),
        aborted: stored.txn && topic.txns.as_ref().is_some_and(|txns| txns.is_of_aborted(stored)),
    })
}

/// Questions of whoever runs the broker.
impl Broker {
    fn single(&self, name: &TopicName) -> Result<&Topic, AdminError> {
        let key = self.topics.key(&name.to_string());
        key.and_then(|key| self.topics.get(key)).ok_or_else(|| AdminError::no_topic(name))
    }

    /// The entry that a subscription gets as the `position`th, from 1; of no subscription, of the topic.
    ///
    /// # Errors
    /// The topic is not there, or has not so many.
    pub fn peek(&self, name: &TopicName, sub: &str, position: u64) -> Result<Peeked, AdminError> {
        let topic = self.single(name)?;
        let none = || AdminError::new(404, "Message not found");
        let skip = position.max(1) - 1;
        let compaction = cursor_of(topic).filter(|cursor| cursor.name == sub);
        let offset = match topic.sub(sub) {
            None => {
                let first = compaction.map_or(0, |cursor| cursor.cursor.mark()).max(topic.log.first());
                first.checked_add(skip).ok_or_else(none)?
            }
            Some((_, sub)) => {
                let mut offset = sub.cursor.next_open(sub.cursor.mark());
                for _ in 0..skip.min(topic.log.end()) {
                    offset = sub.cursor.next_open(offset + 1);
                }
                offset
            }
        };
        peek(topic, offset).ok_or_else(none)
    }

    /// The `position`th entry of a topic, from 1, from its start or its end.
    ///
    /// # Errors
    /// The topic is not there, or has not so many.
    pub fn examine(&self, name: &TopicName, from_start: bool, position: u64) -> Result<Peeked, AdminError> {
        let topic = self.single(name)?;
        let (first, end) = (topic.log.first(), topic.log.end());
        let count = end.saturating_sub(first);
        if !from_start && count > 0 && position > count {
            return Err(AdminError::new(500, NO_SUCH_ENTRY));
        }
        let position = position.clamp(1, count.max(1));
        let offset = if from_start { first.checked_add(position - 1) } else { end.checked_sub(position) };
        let stored = offset.filter(|offset| *offset >= first).and_then(|offset| peek(topic, offset));
        stored.ok_or_else(|| {
            AdminError::new(412, "Could not examine messages due to the total message is zero")
        })
    }

    /// The entry of that id.
    ///
    /// # Errors
    /// The topic is not there, or has none of that id.
    pub fn entry(&self, name: &TopicName, ledger: u64, entry: u64) -> Result<Peeked, AdminError> {
        let topic = self.single(name)?;
        let id = MessageIdData { ledger_id: ledger, entry_id: entry, ..MessageIdData::default() };
        let stored = topic.log.offset_of(&id).and_then(|offset| peek(topic, offset));
        let last = topic.log.id_before(topic.log.end());
        stored.ok_or_else(|| match (entry as i64) < 0 {
            // Only of the ledger that is written now it is known that it has not so many.
            _ if ledger != last.ledger_id => AdminError::new(404, "Message id not found"),
            true => AdminError::new(500, NO_SUCH_ENTRY),
            false => {
                let end = format!("{ledger}:{}", last.entry_id as i64);
                AdminError::new(500, format!("LastConfirmedEntry is {end} when reading entry {entry}"))
            }
        })
    }

    /// The id of a topic's last entry.
    ///
    /// # Errors
    /// The topic is not there.
    pub fn last_id(&self, name: &TopicName) -> Result<(i64, i64), AdminError> {
        let log = &self.single(name)?.log;
        if log.first() == log.end() && log.end() > 0 {
            // All that there was is gone.
            return Ok((-1, -1));
        }
        let id = log.id_before(log.end());
        Ok(place((id.ledger_id, id.entry_id)))
    }

    /// The id of the first entry that is of that time or later.
    ///
    /// # Errors
    /// The topic is not there.
    pub fn id_by_time(&self, name: &TopicName, wall_ms: u64) -> Result<(i64, i64), AdminError> {
        let topic = self.single(name)?;
        let id = topic.log.id_at(topic.log.first_since(wall_ms));
        Ok(place((id.ledger_id, id.entry_id)))
    }

    /// How many bytes are stored after an id; all where it is none of the topic's.
    ///
    /// # Errors
    /// The topic is not there.
    pub fn backlog_size(&self, name: &TopicName, ledger: u64, entry: u64) -> Result<u64, AdminError> {
        let topic = self.single(name)?;
        let id = MessageIdData { ledger_id: ledger, entry_id: entry, ..MessageIdData::default() };
        Ok(match topic.log.place_of(&id) {
            Place::Before | Place::After => size_since(topic, topic.log.first()),
            Place::At(offset) => size_since(topic, offset.saturating_add(1)),
        })
    }

    /// What a subscription has not acknowledged.
    ///
    /// # Errors
    /// The topic or the subscription is not there.
    pub fn backlog(&self, name: &TopicName, sub: &str) -> Result<Backlog, AdminError> {
        let topic = self.single(name)?;
        let missing = || AdminError::new(404, format!("Subscription {sub} not found for topic {name}"));
        let (_, sub) = topic.sub(sub).ok_or_else(missing)?;
        let mut found = Backlog::default();
        let mut offset = sub.cursor.next_open(sub.cursor.mark());
        while let Some(stored) = topic.log.get(offset) {
            let id = topic.log.id_at(offset);
            let id = place((id.ledger_id, id.entry_id));
            found.ends = Some((found.ends.map_or(id, |(first, _)| first), id));
            found.entries += 1;
            found.messages += sub.cursor.open_messages(offset, stored.messages);
            offset = sub.cursor.next_open(offset + 1);
        }
        Ok(found)
    }
}
