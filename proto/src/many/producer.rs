//! A producer of a partitioned topic: one producer to its user, made of one for each partition.
//!
//! ```text
//!            first partition, for the name       the others, unless they start lazily
//! Opening --------------------------------------------------------------------------> Open -> Closing -> (gone)
//!    \-- one cannot be opened, the deadline: the others are closed, failed
//!
//! of each partition:
//!           opened, or sent to        open            messages that came before it go first
//! Unused ------------------> Opening -----> Open
//!    ^                          |             |
//!    +------- failed, ended ----+-------------+   opened again by the next message
//! ```
//!
//! The user's tokens are numbered here; each partition keeps those of its sends in a queue, so
//! that the user sees one stream of outcomes. More partitions are found by asking again from time
//! to time, and are sent to once all of them are open.

use std::collections::VecDeque;

use super::parked::Parked;
use super::router::Router;
use crate::client::inner::Listener;
use crate::config::ProducerConfig;
use crate::id_map::IdMap;
use crate::ids::{OpId, ProducerId, SendToken};

#[derive(Debug)]
pub(crate) struct PartitionedProducer {
    pub(crate) config: ProducerConfig,
    /// Set when it is not the user's own.
    pub(crate) listener: Option<Listener>,
    pub(crate) state: State,
    /// Closings that came while it was closing already.
    pub(crate) also_closing: Vec<OpId>,
    pub(crate) router: Router,
    /// By partition. There may be more than are sent to yet.
    pub(crate) parts: Vec<Part>,
    by_id: IdMap<ProducerId, u32>,
    /// How many partitions are sent to.
    pub(crate) routed: u32,
    /// What the broker called the first partition's producer; the others are called the same.
    pub(crate) name: Option<String>,
    next_token: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Opening(OpId),
    Open,
    Closing(OpId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartState {
    Unused,
    Opening(ProducerId),
    Open(ProducerId),
}

impl PartState {
    pub(crate) fn id(self) -> Option<ProducerId> {
        match self {
            Self::Unused => None,
            Self::Opening(id) | Self::Open(id) => Some(id),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) state: PartState,
    /// The user's tokens of its sends, oldest first.
    tokens: VecDeque<u64>,
    /// Its own token of the oldest.
    first: u64,
    pub(crate) parked: VecDeque<Parked>,
    /// Flushes that wait for what is parked.
    pub(crate) flushes: Vec<u64>,
}

/// A send that has ended already, in a queue of tokens.
const ENDED: u64 = u64::MAX;

impl PartitionedProducer {
    pub(crate) fn new(
        config: ProducerConfig,
        listener: Option<Listener>,
        created: OpId,
        partitions: u32,
        rng: &mut fastrand::Rng,
    ) -> Self {
        let mut producer = Self {
            listener,
            state: State::Opening(created),
            also_closing: Vec::new(),
            router: Router::new(&config, partitions, rng),
            parts: Vec::new(),
            by_id: IdMap::default(),
            routed: partitions,
            name: config.name.clone(),
            next_token: 0,
            config,
        };
        producer.grow(partitions);
        producer
    }

    /// Makes room for more partitions.
    pub(crate) fn grow(&mut self, partitions: u32) {
        while self.parts.len() < partitions as usize {
            self.parts.push(Part {
                state: PartState::Unused,
                tokens: VecDeque::new(),
                first: 0,
                parked: VecDeque::new(),
                flushes: Vec::new(),
            });
        }
    }

    pub(crate) fn part_of(&mut self, id: ProducerId) -> Option<(u32, &mut Part)> {
        let partition = *self.by_id.get(&id)?;
        self.parts.get_mut(partition as usize).map(|part| (partition, part))
    }

    pub(crate) fn ids(&self) -> Vec<ProducerId> {
        self.parts.iter().filter_map(|part| part.state.id()).collect()
    }

    /// Partitions from `from` on that are not open, nor being opened.
    pub(crate) fn unused(&self, from: u32) -> Vec<u32> {
        let parts = (0..).zip(&self.parts).skip(from as usize);
        parts.filter(|(_, part)| part.state == PartState::Unused).map(|(at, _)| at).collect()
    }

    pub(crate) fn is_open(&self, partitions: usize) -> bool {
        self.parts.iter().take(partitions).all(|part| matches!(part.state, PartState::Open(_)))
    }

    /// A producer of its own for a partition is being opened.
    pub(crate) fn opening(&mut self, partition: u32, id: ProducerId) {
        self.by_id.insert(id, partition);
        let part = &mut self.parts[partition as usize];
        (part.state, part.first) = (PartState::Opening(id), 0);
        part.tokens.clear();
    }

    /// A partition's producer is gone.
    pub(crate) fn gone(&mut self, id: ProducerId) {
        if let Some(partition) = self.by_id.remove(&id)
            && let Some(part) = self.parts.get_mut(partition as usize)
        {
            part.state = PartState::Unused;
        }
    }

    pub(crate) fn take_token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token - 1
    }
}

impl Part {
    /// Notes whose send went out.
    pub(crate) fn sent(&mut self, token: u64) {
        self.tokens.push_back(token);
    }

    /// The user's token of a send that has ended.
    pub(crate) fn ended(&mut self, own: SendToken) -> Option<u64> {
        let at = usize::try_from(own.0.checked_sub(self.first)?).ok()?;
        let token = std::mem::replace(self.tokens.get_mut(at)?, ENDED);
        while self.tokens.front() == Some(&ENDED) {
            self.tokens.pop_front();
            self.first += 1;
        }
        (token != ENDED).then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_of_a_partition_end_in_any_order_each_once() {
        let mut part = Part {
            state: PartState::Unused,
            tokens: VecDeque::new(),
            first: 0,
            parked: VecDeque::new(),
            flushes: Vec::new(),
        };
        [3, 5, 8, 9].into_iter().for_each(|token| part.sent(token));
        assert_eq!(part.ended(SendToken(2)), Some(8));
        assert_eq!(part.ended(SendToken(0)), Some(3));
        assert_eq!(part.ended(SendToken(0)), None);
        assert_eq!(part.ended(SendToken(2)), None);
        assert_eq!(part.ended(SendToken(1)), Some(5));
        assert_eq!(part.first, 3);
        part.sent(11);
        assert_eq!(part.ended(SendToken(4)), Some(11));
        assert_eq!(part.ended(SendToken(3)), Some(9));
    }
}
