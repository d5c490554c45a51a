//! Which partition a message goes to.
//!
//! ```text
//! with a key:      hash of the key, whatever the mode        (but for the last two)
//! RoundRobin:      message by message; with batching it stays for a while, so that batches fill
//! SinglePartition: one for the producer's life, chosen at random
//! PartialRoundRobinPartition: message by message over some of the partitions, chosen at random
//! CustomPartition: the user names it with every message
//! ```

use std::time::Duration;

use crate::config::ProducerConfig;
use crate::error::{Error, ErrorKind};
use crate::many::hash::HashingScheme;
use crate::producer::Outgoing;
use crate::time::Time;

/// How messages are spread over the partitions of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MessageRoutingMode {
    /// In turn; by the key's hash when there is a key. The default, as in Java.
    #[default]
    RoundRobinPartition,
    /// All to one that is chosen at random; by the key's hash when there is a key.
    SinglePartition,
    /// To the one that is named with each message.
    CustomPartition,
    /// In turn over so many that are chosen at random, whatever the key, as Java's
    /// `PartialRoundRobinMessageRouterImpl`. With
    /// [lazy start](crate::ProducerConfig::lazy_start_partitioned_producers) the producer is open on those alone. More
    /// than 0.
    PartialRoundRobinPartition(u32),
}

#[derive(Debug)]
pub(crate) struct Router {
    mode: MessageRoutingMode,
    hashing: HashingScheme,
    /// Where it began.
    start: u32,
    /// Messages that went in turn.
    turns: u32,
    /// Those that it goes round, where it does not go round all.
    part: Vec<u32>,
    rng: fastrand::Rng,
    /// How long it stays with a partition, when it does.
    stay: Option<Duration>,
}

impl Router {
    pub(crate) fn new(config: &ProducerConfig, partitions: u32, rng: &mut fastrand::Rng) -> Self {
        let batching = cfg!(feature = "batching") && config.batching;
        let times = config.round_robin_router_batching_partition_switch_frequency;
        let stay = config.batching_max_publish_delay.saturating_mul(times).max(Duration::from_millis(1));
        Self {
            mode: config.message_routing_mode,
            hashing: config.hashing_scheme,
            start: rng.u32(..partitions.max(1)),
            turns: 0,
            part: Vec::new(),
            rng: fastrand::Rng::with_seed(rng.u64(..)),
            stay: batching.then_some(stay),
        }
    }

    /// The partition of a message, of so many.
    pub(crate) fn choose(
        &mut self,
        message: &Outgoing<'_>,
        named: Option<u32>,
        partitions: u32,
        now: Time,
    ) -> Result<u32, Error> {
        if let Some(named) = named {
            return if named < partitions { Ok(named) } else { Err(out_of_range(named, partitions)) };
        }
        if self.mode == MessageRoutingMode::CustomPartition {
            let why = "with CustomPartition every message is sent to a partition that is named";
            return Err(Error::new(ErrorKind::InvalidOption, why));
        }
        if let MessageRoutingMode::PartialRoundRobinPartition(limit) = self.mode {
            return Ok(self.one_of_some(limit, partitions));
        }
        let base64 = message.base64_key();
        if let Some(key) = base64.as_deref().or(message.text_key()) {
            return Ok(self.hashing.hash(key) % partitions);
        }
        let turn = match (self.mode, self.stay) {
            (MessageRoutingMode::SinglePartition, _) => 0,
            (_, Some(stay)) => (now.as_micros() / u64::try_from(stay.as_micros()).unwrap_or(u64::MAX)) as u32,
            (_, None) => self.turn(),
        };
        Ok(self.start.wrapping_add(turn) % partitions)
    }

    fn turn(&mut self) -> u32 {
        let turn = self.turns;
        self.turns = turn.wrapping_add(1);
        turn
    }

    /// Partitions that come later are chosen too while there are too few.
    fn one_of_some(&mut self, limit: u32, partitions: u32) -> u32 {
        while self.part.len() < limit.min(partitions) as usize {
            let others: Vec<u32> = (0..partitions).filter(|other| !self.part.contains(other)).collect();
            self.part.push(others[self.rng.usize(..others.len())]);
        }
        let turn = self.turn() as usize % self.part.len().max(1);
        self.part.get(turn).copied().unwrap_or_default()
    }
}

#[cold]
fn out_of_range(named: u32, partitions: u32) -> Error {
    let why = format!("a message was routed to partition {named} of a topic that has {partitions}");
    Error::new(ErrorKind::InvalidOption, why)
}
