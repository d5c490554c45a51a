//! Messages that a consumer gives away: to the dead letter topic, or to the retry letter topic.
//!
//! ```text
//! came as often as allowed -> held while the user has it --acknowledged--> (none)
//!                               | negatively acknowledged, ack timeout         came more often than that,
//!                               v                                              or is put off by the user
//!                             letter <-------------------------------------------------+
//!                               v
//!                     waits for the producer --open--> sent --receipt--> acknowledged
//!                               |                        |
//!                               +-- memory, opening, send failed: comes again after the nack delay
//! ```
//!
//! The producer of a topic: `Closed -> Opening -> Open`, opened by the first letter; it ends with the
//! consumer. When it ends before, the next letter opens another.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::entries::Key;
use super::message::Message;
use super::{Redelivery, redelivery};
use crate::config::{ConsumerConfig, ProducerConfig};
use crate::error::Error;
use crate::ids::{MessageId, OpId, ProducerId, SendToken};

const REAL_TOPIC: &str = "REAL_TOPIC";
const REAL_SUBSCRIPTION: &str = "REAL_SUBSCRIPTION";
const RECONSUMETIMES: &str = "RECONSUMETIMES";
const DELAY_TIME: &str = "DELAY_TIME";
const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
/// What Java called it first, and still writes.
const ORIGIN_MESSAGE_IDY_TIME: &str = "ORIGIN_MESSAGE_IDY_TIME";

/// Names and values, in the order of names as Java writes them.
pub(crate) type Properties = BTreeMap<String, String>;

#[derive(Debug)]
pub(crate) struct Letters {
    subscription: String,
    /// How often a message may come again.
    max: u32,
    /// Messages that may not come again, while the user has them; and whether they are given back.
    held: BTreeMap<Key, Vec<(Message, bool)>>,
    pub(crate) dead: Post,
    /// Where messages can be put off.
    pub(crate) retry: Option<Post>,
}

/// The way to a topic.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) config: ProducerConfig,
    pub(crate) state: PostState,
    waiting: VecDeque<Letter>,
    sent: BTreeMap<SendToken, Letter>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PostState {
    Closed,
    Opening(ProducerId, OpId),
    Open(ProducerId),
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Dead,
    Retry,
}

#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) message: Message,
    pub(crate) properties: Properties,
    /// How long after it is sent it is to be delivered.
    pub(crate) delay: Option<Duration>,
    /// Whether all before it is acknowledged with it.
    pub(crate) cumulative: bool,
    /// Who waits for its end.
    pub(crate) op: Option<OpId>,
}

impl Letters {
    /// `name` is the consumer's, and `salt` makes the producer's its own.
    pub(crate) fn new(config: &ConsumerConfig, name: &str, salt: u32) -> Result<Redelivery<Self>, Error> {
        let policy = config.dead_letter_policy.as_ref();
        if !cfg!(feature = "redelivery") || (policy.is_none() && !config.enable_retry) {
            return Ok(None);
        }
        let mut dead = config.dead_letter_producer()?;
        if dead.name.is_none() {
            let (topic, subscription) = (&config.topic, &config.subscription);
            dead.name = Some(format!("{topic}-{subscription}-{name}-{salt:05x}-DLQ"));
        }
        let retry = config.enable_retry.then(|| config.retry_letter_producer()).transpose()?;
        Ok(redelivery(Self {
            subscription: config.subscription.clone(),
            max: policy.map_or(16, |policy| policy.max_redeliver_count),
            held: BTreeMap::new(),
            dead: Post::new(dead),
            retry: retry.map(Post::new),
        }))
    }

    /// Whether a message that came so often is not for the user any more.
    pub(crate) fn is_overdue(&self, redelivery_count: u32) -> bool {
        redelivery_count > self.max
    }

    /// The user is about to have a message.
    pub(crate) fn taken(&mut self, message: &Message) {
        if message.redelivery_count() >= self.max {
            self.held.entry(message.id().key()).or_default().push((message.clone(), false));
        }
    }

    /// The user gives a message back; of a batch without naming a message, all of them. Whether its entry
    /// is held.
    pub(crate) fn given_back(&mut self, id: MessageId) -> bool {
        let Some(held) = self.held.get_mut(&id.key()) else { return false };
        for (message, given_back) in held {
            *given_back |= id.batch_index < 0 || message.id().batch_index == id.batch_index;
        }
        true
    }

    /// The user is done with a message.
    pub(crate) fn acknowledged(&mut self, id: MessageId) {
        if let Some(held) = self.held.get_mut(&id.key()) {
            held.retain(|(message, _)| id.batch_index >= 0 && message.id().batch_index != id.batch_index);
            if held.is_empty() {
                self.held.remove(&id.key());
            }
        }
    }

    /// The user is done with all messages up to one.
    pub(crate) fn acknowledged_until(&mut self, id: MessageId) {
        let mut rest = self.held.split_off(&id.key());
        if let Some(held) = rest.get_mut(&id.key()) {
            held.retain(|(message, _)| id.batch_index >= 0 && message.id().batch_index > id.batch_index);
            if held.is_empty() {
                rest.remove(&id.key());
            }
        }
        self.held = rest;
    }

    /// Those messages of an entry that are due, if it may not come again: those given back, or all.
    pub(crate) fn due(&mut self, key: Key, all: bool) -> Option<Vec<Message>> {
        let held = self.held.get_mut(&key)?;
        let due = held.extract_if(.., |(_, given_back)| all || *given_back).map(|(message, _)| message);
        let due = due.collect();
        if held.is_empty() {
            self.held.remove(&key);
        }
        Some(due)
    }

    /// Whether some of an entry is with the user, and may not come again.
    pub(crate) fn holds(&self, key: Key) -> bool {
        self.held.contains_key(&key)
    }

    /// Entries of which dead letters have not arrived yet.
    pub(crate) fn dying(&self) -> BTreeSet<Key> {
        let letters = self.dead.waiting.iter().chain(self.dead.sent.values());
        letters.map(|letter| letter.message.id().key()).collect()
    }

    /// All of it comes again.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
    }

    /// What a letter says of where it comes from. What an earlier one said stays.
    fn properties(&self, message: &Message, topic: &str) -> Properties {
        let mut properties: Properties = message.properties().into_iter().collect();
        let id = message.id().to_string();
        for (name, value) in [
            (REAL_TOPIC, topic),
            (ORIGIN_MESSAGE_IDY_TIME, id.as_str()),
            (ORIGIN_MESSAGE_ID, id.as_str()),
            (REAL_SUBSCRIPTION, self.subscription.as_str()),
        ] {
            properties.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        properties
    }

    /// A message that came too often.
    pub(crate) fn dead_letter(&self, message: Message) -> Letter {
        let properties = self.properties(&message, message.topic());
        Letter { message, properties, delay: None, cumulative: false, op: None }
    }

    /// A message that is put off; and which way it goes, as it may have been too often.
    pub(crate) fn retry_letter(
        &self,
        message: Message,
        topic: &str,
        more: &[(String, String)],
        delay: Duration,
    ) -> (Way, Letter) {
        let mut properties = self.properties(&message, topic);
        properties.extend(more.iter().cloned());
        let before = properties.get(RECONSUMETIMES).and_then(|times| times.parse::<u32>().ok());
        let times = before.unwrap_or(0).saturating_add(1);
        properties.insert(RECONSUMETIMES.to_owned(), times.to_string());
        properties.insert(DELAY_TIME.to_owned(), delay.as_millis().to_string());
        let way = if times > self.max { Way::Dead } else { Way::Retry };
        (way, Letter { message, properties, delay: None, cumulative: false, op: None })
    }

    pub(crate) fn post(&mut self, way: Way) -> Option<&mut Post> {
        match way {
            Way::Dead => Some(&mut self.dead),
            Way::Retry => self.retry.as_mut(),
        }
    }

    /// The way that a producer is for.
    pub(crate) fn of_producer(&mut self, producer: ProducerId) -> Option<&mut Post> {
        [Some(&mut self.dead), self.retry.as_mut()]
            .into_iter()
            .flatten()
            .find(|post| matches!(post.state, PostState::Opening(p, _) | PostState::Open(p) if p == producer))
    }

    /// The way whose producer an operation opens.
    pub(crate) fn opened_by(&mut self, op: OpId) -> Option<Way> {
        let opens = |post: &Post| matches!(post.state, PostState::Opening(_, opening) if opening == op);
        if opens(&self.dead) {
            return Some(Way::Dead);
        }
        self.retry.as_ref().filter(|retry| opens(retry)).map(|_| Way::Retry)
    }
}

impl Post {
    fn new(config: ProducerConfig) -> Self {
        Self { config, state: PostState::Closed, waiting: VecDeque::new(), sent: BTreeMap::new() }
    }

    /// A letter waits for the producer.
    pub(crate) fn wait(&mut self, letter: Letter) {
        self.waiting.push_back(letter);
    }

    /// The letters that wait.
    pub(crate) fn waiting(&mut self) -> VecDeque<Letter> {
        std::mem::take(&mut self.waiting)
    }

    /// A letter is on its way.
    pub(crate) fn sent(&mut self, token: SendToken, letter: Letter) {
        self.sent.insert(token, letter);
    }

    /// A letter has ended.
    pub(crate) fn ended(&mut self, token: SendToken) -> Option<Letter> {
        self.sent.remove(&token)
    }

    /// The letters that are on their way.
    pub(crate) fn under_way(&mut self) -> impl Iterator<Item = Letter> {
        std::mem::take(&mut self.sent).into_values()
    }
}

impl Letter {
    /// Bytes that it holds while it waits.
    pub(crate) fn size(&self) -> usize {
        self.message.payload().len()
    }
}
