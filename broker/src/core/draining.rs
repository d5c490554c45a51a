//! Keys of a key-shared subscription that change hands while messages with them are out: they
//! *drain*. Until the old consumer has acknowledged those, later ones wait.
//!
//! ```text
//!    held by whose turn it is --- another consumer comes or goes, it is his turn now ---> draining
//!               ^                                                                          |
//!               +------------------------- it is the holder's turn again -----------------+
//!   (nobody holds it) <------------------- its last message is acknowledged --------------+
//! ```

use std::collections::BTreeMap;

use pulsewire_proto::wire::SubType;

use super::ids::ConsumerKey;
use super::subscription::Subscription;

/// Hash -> how often messages with it had to wait, of those that drain.
pub(super) type Draining = BTreeMap<u32, u64>;

/// A hash that drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainingHash {
    /// Which.
    pub hash: u32,
    /// Entries with it that are not acknowledged.
    pub unacked: u64,
    /// How often messages with it had to wait.
    pub blocked: u64,
}

/// Whether messages with that hash wait; it is counted.
pub(super) fn waits(draining: &mut Draining, hash: u32) -> bool {
    draining.get_mut(&hash).map(|blocked| *blocked += 1).is_some()
}

impl Subscription {
    /// The consumers are others now.
    pub(super) fn redivide(&mut self) {
        let Self { holders, draining, selector, consumers, .. } = self;
        draining.retain(|hash, _| holders.contains_key(hash));
        for (hash, (holder, _)) in holders {
            if selector.pick(*hash) != Some(*holder) {
                draining.entry(*hash).or_default();
            } else if draining.remove(hash).is_some()
                && let Some(consumer) = consumers.iter_mut().find(|consumer| consumer.key == *holder)
            {
                consumer.drained += 1;
            }
        }
    }

    /// Whether keys drain here at all.
    pub(super) fn drains(&self) -> bool {
        self.kind == SubType::KEY_SHARED && self.selector.divides() && !self.out_of_order
    }

    /// Nothing with that hash is out any more.
    pub(super) fn drained(&mut self, holder: ConsumerKey, hash: u32) {
        if self.draining.remove(&hash).is_some()
            && let Some(consumer) = self.consumer_mut(holder)
        {
            consumer.drained += 1;
        }
    }

    /// The hashes of a consumer that drain.
    pub(super) fn draining_of(&self, consumer: ConsumerKey) -> Vec<DrainingHash> {
        let of = |(hash, blocked): (&u32, &u64)| {
            let (holder, unacked) = self.holders.get(hash)?;
            (*holder == consumer).then_some(DrainingHash {
                hash: *hash,
                unacked: *unacked,
                blocked: *blocked,
            })
        };
        self.draining.iter().filter_map(of).collect()
    }
}
