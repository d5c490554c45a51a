//! A consumer of several topics: one consumer to its user, made of one for each topic, and for each
//! partition of a topic that has partitions.
//!
//! ```text
//!            every topic of the list, or of the pattern, is open
//! Opening --------------------------------------------------------> Open -> Closing -> (gone)
//!    \-- a topic cannot be opened, the deadline: all parts are closed, failed
//!
//! of each topic:      partitions             parts
//! (added) -> Asking -------------> Opening --------> Open --removed, deleted--> (gone)
//!               \-------------------/-- failed: gone; told to who added it
//! ```
//!
//! A part that was open once is never given up: its link tries again, and the user is told once.
//! Parts of partitions that came later begin at their first message, so that nothing is missed.
//!
//! Messages are taken from the parts in turn, one from each that has any: a topic with a backlog
//! does not keep others waiting, and each topic stays in order.

use std::collections::VecDeque;

use super::pattern::Pattern;
use crate::config::ConsumerConfig;
use crate::consumer::BatchReceives;
use crate::error::{Error, ErrorKind};
use crate::ids::{ConsumerId, MessageId, OpId};
use crate::topic::TopicName;

/// Failures that wait at most, should the user not come to read them. Of those after them the number is told.
const FAILURES: usize = 1000;

#[derive(Debug)]
pub(crate) struct MultiTopicsConsumer {
    pub(crate) config: ConsumerConfig,
    /// All parts have it.
    pub(crate) name: String,
    pub(crate) state: State,
    /// Closings that came while it was closing already.
    pub(crate) also_closing: Vec<OpId>,
    pub(crate) topics: Vec<Topic>,
    /// What waits until its letters have names: see `client::letter_topics`.
    pub(crate) unnamed: Option<Unnamed>,
    parts: Vec<Part>,
    /// What each part was told that it may hold.
    shared: Option<Share>,
    pub(crate) pattern: Option<Box<Pattern>>,
    /// Parts that have messages, in the order of their turns.
    ready: VecDeque<ConsumerId>,
    /// Whose messages were taken and not reported as delivered, oldest first.
    taken: VecDeque<(ConsumerId, u32)>,
    /// What the user is to be told between messages; [`FAILURES`] at most.
    failures: VecDeque<Error>,
    /// How many more there were, and the last of them.
    more_failures: Option<(u64, Error)>,
    /// Those who wait for several messages at once.
    pub(crate) batches: BatchReceives,
    /// The user was told that messages wait.
    announced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Opening(OpId),
    Open,
    Closing(OpId),
}

/// Topics that are to be opened once it is known what the topics of letters are called.
#[derive(Debug)]
pub(crate) struct Unnamed {
    pub(crate) topics: Vec<TopicName>,
    /// Questions that are not answered.
    pub(crate) left: usize,
}

/// A topic as it was named: with its partitions, if it has any.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: TopicName,
    /// `None` while that is asked.
    pub(crate) partitions: Option<u32>,
    /// Whether all its parts are open, or were.
    pub(crate) open: bool,
    pub(crate) added: Added,
}

/// Who wants a topic, and is told if it cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    /// The handle itself.
    First,
    /// This operation.
    By(OpId),
    /// The pattern, which will look again.
    Found,
}

/// What a part may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) messages: u32,
    pub(crate) bytes: Option<usize>,
}

#[derive(Debug)]
struct Part {
    id: ConsumerId,
    topic: TopicName,
    open: bool,
    /// The user knows that it has failed.
    failing: bool,
}

impl MultiTopicsConsumer {
    pub(crate) fn new(config: ConsumerConfig, name: String, created: OpId) -> Self {
        Self {
            config,
            name,
            state: State::Opening(created),
            also_closing: Vec::new(),
            topics: Vec::new(),
            unnamed: None,
            parts: Vec::new(),
            shared: None,
            pattern: None,
            ready: VecDeque::new(),
            taken: VecDeque::new(),
            failures: VecDeque::new(),
            more_failures: None,
            batches: BatchReceives::default(),
            announced: false,
        }
    }

    // ---- topics and parts ----

    pub(crate) fn topic(&mut self, name: &TopicName) -> Option<&mut Topic> {
        self.topics.iter_mut().find(|topic| topic.name == *name)
    }

    pub(crate) fn has_topic(&self, name: &TopicName) -> bool {
        self.topics.iter().any(|topic| topic.name == *name)
    }

    pub(crate) fn ids(&self) -> Vec<ConsumerId> {
        self.parts.iter().map(|part| part.id).collect()
    }

    /// Each part with its topic.
    pub(crate) fn parts(&self) -> Vec<(ConsumerId, TopicName)> {
        self.parts.iter().map(|part| (part.id, part.topic.clone())).collect()
    }

    /// The topic that a part belongs to, as it was named.
    pub(crate) fn topic_of(&mut self, id: ConsumerId) -> Option<&mut Topic> {
        let part = self.parts.iter().find(|part| part.id == id)?;
        self.topics.iter_mut().find(|topic| belongs(&part.topic, topic))
    }

    /// The parts of a topic.
    pub(crate) fn parts_of(&self, topic: &TopicName) -> Vec<ConsumerId> {
        let topic = self.topics.iter().find(|known| known.name == *topic);
        let of = |part: &&Part| topic.is_some_and(|topic| belongs(&part.topic, topic));
        self.parts.iter().filter(of).map(|part| part.id).collect()
    }

    pub(crate) fn add_part(&mut self, id: ConsumerId, topic: TopicName) {
        self.parts.push(Part { id, topic, open: false, failing: false });
    }

    /// A part is open, perhaps again; whether all of its topic's are now.
    pub(crate) fn part_is_open(&mut self, id: ConsumerId) -> bool {
        if let Some(part) = self.parts.iter_mut().find(|part| part.id == id) {
            (part.open, part.failing) = (true, false);
        }
        let Self { topics, parts, .. } = self;
        let Some(part) = parts.iter().find(|part| part.id == id) else { return false };
        let Some(topic) = topics.iter().find(|topic| belongs(&part.topic, topic)) else { return false };
        parts.iter().filter(|part| belongs(&part.topic, topic)).all(|part| part.open)
    }

    pub(crate) fn remove_part(&mut self, id: ConsumerId) {
        self.parts.retain(|part| part.id != id);
        self.reset(id);
    }

    /// How many messages and bytes each part may hold.
    pub(crate) fn share(&self) -> Share {
        let parts = u32::try_from(self.parts.len()).unwrap_or(u32::MAX).max(1);
        let total = self.config.max_total_receiver_queue_size_across_partitions;
        Share {
            messages: self.config.receiver_queue_size.min(total / parts).max(1),
            bytes: self.config.receiver_queue_bytes.map(|bytes| (bytes / parts as usize).max(1)),
        }
    }

    /// The share of each part, if it is another than it was.
    pub(crate) fn share_anew(&mut self) -> Option<Share> {
        let share = Some(self.share());
        (self.shared != share).then(|| self.shared = share).and(share)
    }

    // ---- messages ----

    /// A part has messages; whether the user is to be told.
    pub(crate) fn is_ready(&mut self, id: ConsumerId) -> bool {
        if !self.ready.contains(&id) {
            self.ready.push_back(id);
        }
        !std::mem::replace(&mut self.announced, true)
    }

    /// Whose turn it is.
    pub(crate) fn next(&mut self) -> Option<ConsumerId> {
        let next = self.ready.pop_front();
        if next.is_none() {
            self.announced = false;
        }
        next
    }

    /// A part's turn is over, and it may have more.
    pub(crate) fn again(&mut self, id: ConsumerId) {
        self.ready.push_back(id);
    }

    pub(crate) fn waiting(&self) -> impl Iterator<Item = &ConsumerId> {
        self.ready.iter()
    }

    pub(crate) fn taken(&mut self, id: ConsumerId) {
        match self.taken.back_mut() {
            Some((last, n)) if *last == id => *n += 1,
            _ => self.taken.push_back((id, 1)),
        }
    }

    /// Whose messages the next `n` of those taken are, as far as they are of one part.
    pub(crate) fn delivered(&mut self, n: u32) -> Option<(ConsumerId, u32)> {
        let (id, run) = self.taken.front_mut().filter(|_| n > 0)?;
        let (id, of) = (*id, n.min(*run));
        *run -= of;
        if *run == 0 {
            self.taken.pop_front();
        }
        Some((id, of))
    }

    /// What a part had queued or delivered comes again, or never.
    pub(crate) fn reset(&mut self, id: ConsumerId) {
        self.ready.retain(|ready| *ready != id);
        self.taken.retain(|(of, _)| *of != id);
    }

    // ---- failures ----

    /// A part that was open cannot be opened again; whether the user is to be told that something waits.
    pub(crate) fn part_fails(&mut self, id: ConsumerId, error: &Error) -> bool {
        let Some(part) = self.parts.iter_mut().find(|part| part.id == id && !part.failing) else {
            return false;
        };
        part.failing = true;
        let why = format!("{} has failed and is tried again: {error}", part.topic);
        self.tell(Error::new(error.kind(), why))
    }

    /// Each topic is told once until it is open again; whether the user is to be told that something waits.
    pub(crate) fn tell(&mut self, error: Error) -> bool {
        match &mut self.more_failures {
            Some((more, last)) => {
                *more += 1;
                *last = error;
            }
            None if self.failures.back() == Some(&error) => {}
            None if self.failures.len() >= FAILURES => self.more_failures = Some((1, error)),
            None => self.failures.push_back(error),
        }
        !std::mem::replace(&mut self.announced, true)
    }

    pub(crate) fn failure(&mut self) -> Option<Error> {
        self.failures.pop_front().or_else(|| {
            let (more, last) = self.more_failures.take()?;
            Some(Error::new(last.kind(), format!("{more} more failures, the last of them: {last}")))
        })
    }

    pub(crate) fn has_failures(&self) -> bool {
        !self.failures.is_empty() || self.more_failures.is_some()
    }

    // ---- ids ----

    /// The part that a message came from, by its id alone.
    pub(crate) fn part_by_id(&self, id: MessageId) -> Result<ConsumerId, Error> {
        let what = match (self.topics.len(), self.parts.len(), u32::try_from(id.partition).ok()) {
            (1, 1, _) => return Ok(self.parts[0].id),
            (1, _, Some(partition)) => {
                let part = self.parts.iter().find(|part| part.topic.partition() == Some(partition));
                match part {
                    Some(part) => return Ok(part.id),
                    None => format!("the topic has no partition {partition}"),
                }
            }
            (1, _, None) => "it names no partition of the topic".to_owned(),
            _ => "the consumer has several topics: give the message, or name its topic".to_owned(),
        };
        Err(Error::new(ErrorKind::InvalidMessageId, format!("the message id {id} is not enough: {what}")))
    }

    /// The part that consumes a topic; of one with partitions, the partition that the id names.
    pub(crate) fn part_by_topic(&self, topic: &str, id: Option<MessageId>) -> Result<ConsumerId, Error> {
        let mut name = TopicName::parse(topic)?;
        let partition = id.and_then(|id| u32::try_from(id.partition).ok());
        if let Some(partition) = partition
            && self.topics.iter().any(|known| known.name == name && known.partitions.is_some_and(|n| n > 0))
        {
            name = name.of_partition(partition);
        }
        let part = self.parts.iter().find(|part| part.topic == name);
        part.map(|part| part.id).ok_or_else(|| {
            Error::new(ErrorKind::InvalidTopicName, format!("{name} is not a topic of this consumer"))
        })
    }
}

/// Whether a part's topic is this one, or a partition of it.
fn belongs(part: &TopicName, topic: &Topic) -> bool {
    match topic.partitions {
        Some(0) | None => *part == topic.name,
        Some(_) => part.partition().is_some() && part.base() == topic.name.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(topics: &[(&str, u32)]) -> MultiTopicsConsumer {
        let name = |name: &str| TopicName::parse(name).expect("a topic");
        let config = ConsumerConfig::new(name(topics[0].0), "s");
        let mut consumer = MultiTopicsConsumer::new(config, String::new(), OpId(0));
        for (topic, partitions) in topics {
            let topic = name(topic);
            for partition in 0..*partitions {
                let id = ConsumerId(consumer.parts.len() as u64);
                consumer.add_part(id, topic.of_partition(partition));
            }
            if *partitions == 0 {
                consumer.add_part(ConsumerId(consumer.parts.len() as u64), topic.clone());
            }
            let partitions = Some(*partitions);
            consumer.topics.push(Topic { name: topic, partitions, open: true, added: Added::First });
        }
        consumer
    }

    fn id(partition: i32) -> MessageId {
        MessageId { partition, ..MessageId::EARLIEST }
    }

    #[test]
    fn m03_an_id_finds_its_part_or_says_what_is_missing() {
        let one = consumer(&[("a", 3)]);
        assert_eq!(one.part_by_id(id(2)), Ok(ConsumerId(2)));
        assert_eq!(one.part_by_topic("a", Some(id(1))), Ok(ConsumerId(1)));
        assert_eq!(one.part_by_topic("a-partition-1", None), Ok(ConsumerId(1)));
        for (partition, word) in [(3, "no partition 3"), (-1, "names no partition")] {
            let error = one.part_by_id(id(partition)).expect_err("a failure");
            assert!(error.to_string().contains(word), "{error}");
        }
        let two = consumer(&[("a", 3), ("b", 0)]);
        assert!(two.part_by_id(id(1)).expect_err("a failure").to_string().contains("several topics"));
        assert_eq!(two.part_by_topic("b", Some(id(-1))), Ok(ConsumerId(3)));
        assert_eq!(two.part_by_topic("a", Some(id(2))), Ok(ConsumerId(2)));
        assert!(two.part_by_topic("c", None).is_err());
    }

    #[test]
    fn m03_what_is_delivered_is_counted_for_whom_it_came_from() {
        let mut consumer = consumer(&[("a", 2)]);
        for part in [0, 0, 1, 0] {
            consumer.taken(ConsumerId(part));
        }
        assert_eq!(consumer.delivered(1), Some((ConsumerId(0), 1)));
        assert_eq!(consumer.delivered(9), Some((ConsumerId(0), 1)));
        consumer.reset(ConsumerId(1));
        assert_eq!(consumer.delivered(9), Some((ConsumerId(0), 1)));
        assert_eq!(consumer.delivered(9), None);
    }

    #[test]
    fn m01_failures_that_nobody_reads_are_bounded_and_the_rest_is_counted() {
        let mut consumer = consumer(&[("a", 2)]);
        let error = |n: u32| Error::new(ErrorKind::Disconnected, format!("failure {n}"));
        for n in 0..5000 {
            assert_eq!(consumer.tell(error(n)), n == 0);
        }
        assert_eq!(consumer.failures.len(), FAILURES);
        for n in 0..1000 {
            assert_eq!(consumer.failure(), Some(error(n)));
        }
        assert!(consumer.has_failures());
        let rest = consumer.failure().expect("what became of the others");
        assert_eq!(rest.kind(), ErrorKind::Disconnected);
        assert_eq!(rest.to_string(), "4000 more failures, the last of them: failure 4999");
        assert!(!consumer.has_failures() && consumer.failure().is_none());
        assert!(!consumer.tell(error(7)));
        assert_eq!(consumer.failure(), Some(error(7)));
    }

    #[test]
    fn r01_queues_of_all_parts_stay_within_their_sum() {
        let mut two = consumer(&[("a", 2)]);
        two.config.receiver_queue_bytes = Some(5000);
        assert_eq!(two.share_anew(), Some(Share { messages: 1000, bytes: Some(2500) }));
        assert_eq!(two.share_anew(), None);
        let mut many = consumer(&[("a", 60), ("b", 40)]);
        assert_eq!(many.share(), Share { messages: 500, bytes: None });
        many.config.max_total_receiver_queue_size_across_partitions = 1;
        many.config.receiver_queue_bytes = Some(1);
        assert_eq!(many.share(), Share { messages: 1, bytes: Some(1) });
    }
}
