//! Operations that are made of others: what is asked on the way, and what waits for all of it.
//!
//! ```text
//! join -> parts under way -> the last has ended: done, or the first failure among them
//! ```

use super::Client;
use super::inner::Asker;
use super::link::Owner;
use crate::consumer::Way;
use crate::error::Error;
use crate::event::Output;
use crate::id_map::IdMap;
use crate::ids::{ConsumerId, MessageId, OpId};
use crate::topic::TopicName;

/// Why something was asked for.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// Whether a topic has more partitions by now.
    Grow(Owner, TopicName),
    /// How many partitions a topic of a consumer has, to begin with.
    Topic(ConsumerId, TopicName),
    /// Whether there is a topic that letters of a consumer could go to.
    LetterTopic(ConsumerId, Way, TopicName),
    /// Which topics there are, for a pattern.
    List(ConsumerId),
    /// To open a part. Its failure is told by its end.
    Part(Owner),
    /// A part of a join.
    Join(u64),
    /// The last message of a topic, for a join.
    LastId(u64, TopicName),
    /// To be rid of it.
    Nothing,
}

/// What a join is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Joined {
    /// An operation that only wants to know.
    Op(OpId),
    /// One that wants the last messages of all topics.
    LastIds(OpId),
    /// One that wants to know whether any has a message.
    Available(OpId),
    /// The closing of a handle.
    Closed(Owner, OpId),
}

#[derive(Debug)]
struct Join {
    left: usize,
    error: Option<Error>,
    ids: Vec<(TopicName, MessageId)>,
    available: bool,
    joined: Joined,
}

/// All that is asked for and joined.
#[derive(Debug, Default)]
pub(crate) struct Joins {
    next: u64,
    asks: IdMap<u64, Ask>,
    joins: IdMap<u64, Join>,
}

impl Joins {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Client {
    /// Starts one operation whose end is for `ask`, however soon it comes.
    pub(super) fn asking<T>(&mut self, ask: Ask, start: impl FnOnce(&mut Self) -> T) -> T {
        let handle = self.joins.number();
        self.joins.asks.insert(handle, ask);
        let outer = self.asking.replace(Asker { handle, ended: Self::answered });
        let started = start(self);
        if std::mem::replace(&mut self.asking, outer).is_some_and(|unused| unused.handle == handle) {
            self.joins.asks.remove(&handle);
        }
        started
    }

    fn answered(&mut self, handle: u64, _: OpId, result: Result<Output, Error>) {
        let Some(ask) = self.joins.asks.remove(&handle) else { return };
        match (ask, result) {
            (Ask::Grow(owner, topic), result) => {
                let partitions = if let Ok(Output::Partitions(n)) = result { n } else { 0 };
                self.partitions_grown(owner, &topic, partitions);
            }
            (Ask::Topic(group, topic), Ok(Output::Partitions(n))) => {
                self.topic_answered(group, &topic, Ok(n))
            }
            (Ask::Topic(group, topic), Err(error)) => self.topic_answered(group, &topic, Err(error)),
            (Ask::LetterTopic(group, way, topic), result) => {
                self.letter_topic_answered(group, way, &topic, result);
            }
            (Ask::List(group), result) => self.pattern_listed(group, result),
            (Ask::Part(Owner::Producer(id)), Ok(Output::Producer { name })) => {
                self.producer_part_opened(id, &name);
            }
            (Ask::Join(join), result) => {
                if let (Ok(Output::MessageAvailable(true)), Some(join)) =
                    (&result, self.joins.joins.get_mut(&join))
                {
                    join.available = true;
                }
                self.join_ended(join, result.err());
            }
            (Ask::LastId(join, topic), result) => {
                if let (Ok(Output::LastMessageId(id)), Some(join)) =
                    (&result, self.joins.joins.get_mut(&join))
                {
                    join.ids.push((topic, *id));
                }
                self.join_ended(join, result.err());
            }
            (Ask::Part(_) | Ask::Topic(..) | Ask::Nothing, _) => {}
        }
    }

    /// Begins a join; [`Client::join_ended`] is said once when all its parts are under way.
    pub(super) fn join(&mut self, joined: Joined) -> u64 {
        let id = self.joins.number();
        self.joins.joins.insert(id, Join { left: 1, error: None, ids: Vec::new(), available: false, joined });
        id
    }

    /// One more part is waited for.
    pub(super) fn join_waits(&mut self, join: u64) {
        if let Some(join) = self.joins.joins.get_mut(&join) {
            join.left += 1;
        }
    }

    /// Starts a part of a join.
    pub(super) fn join_part<T>(&mut self, join: u64, start: impl FnOnce(&mut Self) -> T) -> T {
        self.join_waits(join);
        self.asking(Ask::Join(join), start)
    }

    /// It will fail, and waits for the rest all the same.
    pub(super) fn join_fails(&mut self, join: u64, error: &Error) {
        if let Some(join) = self.joins.joins.get_mut(&join) {
            join.error.get_or_insert_with(|| error.clone());
        }
    }

    /// A part has ended.
    pub(super) fn join_ended(&mut self, id: u64, error: Option<Error>) {
        let Some(join) = self.joins.joins.get_mut(&id) else { return };
        join.left -= 1;
        join.error = join.error.take().or(error);
        if join.left > 0 {
            return;
        }
        let Some(Join { error, mut ids, joined, available, .. }) = self.joins.joins.remove(&id) else {
            return;
        };
        match joined {
            Joined::Op(op) => self.complete(op, error.map_or(Ok(Output::Done), Err)),
            // One that has a message is enough, whatever the others say.
            Joined::Available(op) if available => self.complete(op, Ok(Output::MessageAvailable(true))),
            Joined::Available(op) => {
                self.complete(op, error.map_or(Ok(Output::MessageAvailable(false)), Err));
            }
            Joined::LastIds(op) => {
                ids.sort_by(|(a, _), (b, _)| (a.base(), a.partition()).cmp(&(b.base(), b.partition())));
                let ids = ids.into_iter().map(|(topic, id)| (topic.as_str().to_owned(), id)).collect();
                self.complete(op, error.map_or(Ok(Output::LastMessageIds(ids)), Err));
            }
            Joined::Closed(owner, op) => {
                self.forget(owner, &owner.closed());
                self.complete(op, error.map_or(Ok(Output::Done), Err));
            }
        }
    }
}
