//! Shadow topics: what comes to a topic is repeated, with its ids, in those that are set as its shadows.
//!
//! How far a shadow is, its last id tells; what could not be repeated for want of memory is, with the next message.

use pulsewire_proto::wire::MessageIdData;
use serde_json::Value;

use super::Broker;
use super::ids::TopicKey;
use super::names::TopicName;
use super::topic::{SHADOW_SOURCE, Topic};

impl Broker {
    /// Repeats what came to a topic.
    pub(super) fn repeat(&mut self, key: TopicKey) {
        for shadow in self.shadows_of(key) {
            if self.follow(key, shadow) {
                self.published(shadow);
            }
        }
    }

    /// A topic that says that it is a shadow has what its source stores already.
    pub(super) fn begin_shadow(&mut self, key: TopicKey) {
        let said = self.topics.get(key).and_then(|topic| topic.properties.get(SHADOW_SOURCE));
        let source = said.and_then(|said| TopicName::parse(said).ok());
        if let Some(source) = source.and_then(|source| self.topics.key(&source.to_string())) {
            self.follow(source, key);
        }
    }

    /// Whose schemas a topic has: a shadow those of its source.
    pub(super) fn schema_owner(&self, name: &TopicName) -> TopicName {
        let topic = self.topics.key(&name.to_string()).and_then(|key| self.topics.get(key));
        let source = topic.and_then(|topic| topic.properties.get(SHADOW_SOURCE));
        source.and_then(|said| TopicName::parse(said).ok()).unwrap_or_else(|| name.clone())
    }

    /// Topics that are set as shadows of a topic and say that they are.
    fn shadows_of(&self, key: TopicKey) -> Vec<TopicKey> {
        let Some(topic) = self.topics.get(key) else { return Vec::new() };
        let source = topic.name.base().to_string();
        let policies = self.topics.policies.get(&source);
        let Some(Value::Array(names)) = policies.and_then(|policies| policies.setting("shadowTopics")) else {
            return Vec::new();
        };
        let shadow = |name: &Value| {
            let whole = TopicName::parse(name.as_str()?).ok()?;
            let name = topic.name.partition().map_or(whole.clone(), |part| whole.with_partition(part));
            let key = self.topics.key(&name.to_string())?;
            let said = match self.topics.partitioned(&whole.to_string()) {
                Some(partitioned) => partitioned.properties.get(SHADOW_SOURCE),
                None => self.topics.get(key)?.properties.get(SHADOW_SOURCE),
            };
            let same = said.and_then(|said| TopicName::parse(said).ok())?.to_string() == source;
            same.then_some(key)
        };
        names.iter().filter_map(shadow).collect()
    }

    /// Appends to a shadow what it has not yet of its source; true when that was something.
    fn follow(&mut self, source: TopicKey, shadow: TopicKey) -> bool {
        let (Some(from), Some(to)) = (self.topics.get(source), self.topics.get(shadow)) else { return false };
        let start = match to.log.end() {
            _ if to.log.terminated => return false,
            0 => from.log.first(),
            end => {
                let place = |id: &MessageIdData| (id.ledger_id as i64, id.entry_id as i64);
                let last = to.log.id_before(end);
                if place(&last) >= place(&from.log.id_before(from.log.end())) {
                    return false;
                }
                from.log.offset_of(&last).map_or(from.log.first(), |last| last + 1)
            }
        };
        let mut room = self.config.max_stored_bytes.saturating_sub(self.topics.stored);
        let hidden = |topic: &Topic, at: u64| {
            let hides = topic.txns.as_deref().zip(topic.log.get(at));
            hides.is_some_and(|(txns, stored)| txns.hides(stored))
        };
        let end = from.log.end().min(from.limit());
        let new: Vec<_> = (start.max(from.log.first())..end)
            .filter(|at| !hidden(from, *at))
            .filter_map(|at| Some((from.log.id_at(at), from.log.get(at)?.clone())))
            .take_while(|(_, stored)| {
                let fits = stored.cost() <= room;
                room = room.saturating_sub(stored.cost());
                fits
            })
            .collect();
        let mut any = false;
        for (id, mut stored) in new {
            let Some(topic) = self.topics.get_mut(shadow) else { break };
            if !topic.log.make_next(&id) {
                break;
            }
            stored.txn = false;
            topic.messages_in += u64::from(stored.messages);
            topic.bytes_in += stored.bytes.len() as u64;
            let cost = topic.log.append(stored).1;
            let freed = topic.forget_long_consumed(self.config.max_consumed_bytes);
            self.topics.stored = self.topics.stored + cost - freed;
            any = true;
        }
        any
    }
}
