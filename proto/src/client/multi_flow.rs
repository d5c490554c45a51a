//! What users ask of a consumer of several topics beside its messages, one by one: the sum of what
//! its parts say.

use super::Client;
use crate::ConsumerState;
use crate::consumer::{BatchReceivePolicy, BatchReceives, ConsumerStats};
use crate::error::Error;
use crate::event::Event;
use crate::ids::ConsumerId;
use crate::time::Now;

impl Client {
    fn parts_in(&self, consumer: ConsumerId) -> Result<Vec<ConsumerId>, Error> {
        self.multi.get(&consumer).map(|multi| multi.ids()).ok_or_else(|| Error::closed("consumer"))
    }

    pub(super) fn pause_several(&mut self, consumer: ConsumerId, paused: bool) -> Result<(), Error> {
        let multi = self.multi.get_mut(&consumer).ok_or_else(|| Error::closed("consumer"))?;
        // So that parts that come later are as the others.
        multi.config.start_paused = paused;
        for part in multi.ids() {
            if paused {
                self.pause(part)?;
            } else {
                self.resume(part)?;
            }
        }
        Ok(())
    }

    /// Connected and ended when all parts are, and active as long as one is.
    pub(super) fn state_of_several(&self, consumer: ConsumerId) -> Option<ConsumerState> {
        let parts = self.parts_in(consumer).ok()?;
        let mut parts = parts.into_iter().filter_map(|part| self.consumer_state(part));
        let first = parts.next().unwrap_or_default();
        Some(parts.fold(first, |sum, part| ConsumerState {
            connected: sum.connected && part.connected,
            last_disconnected: sum.last_disconnected.max(part.last_disconnected),
            queued_messages: sum.queued_messages.saturating_add(part.queued_messages),
            queued_bytes: sum.queued_bytes.saturating_add(part.queued_bytes),
            receiver_queue_size: sum.receiver_queue_size.saturating_add(part.receiver_queue_size),
            available_permits: sum.available_permits.saturating_add(part.available_permits),
            paused: sum.paused && part.paused,
            active: match (sum.active, part.active) {
                (Some(one), Some(other)) => Some(one || other),
                (one, other) => one.or(other),
            },
            end_of_topic: sum.end_of_topic && part.end_of_topic,
        }))
    }

    pub(super) fn stats_of_several(
        &mut self,
        consumer: ConsumerId,
        now: Now,
    ) -> Result<ConsumerStats, Error> {
        let mut sum = ConsumerStats::default();
        for part in self.parts_in(consumer)? {
            sum += self.consumer_stats(part, now)?;
        }
        Ok(sum)
    }

    // ---- several messages at once ----

    /// Those who wait for a batch of a consumer, and what they wait for.
    pub(super) fn batches(&mut self, id: ConsumerId) -> Option<(&mut BatchReceives, BatchReceivePolicy)> {
        if let Some(c) = self.consumers.get_mut(&id) {
            return Some((&mut c.batches, c.config.batch_receive_policy));
        }
        let multi = self.multi.get_mut(&id).filter(|_| cfg!(feature = "many"))?;
        Some((&mut multi.batches, multi.config.batch_receive_policy))
    }

    /// Whether what waits makes a batch before its time.
    pub(super) fn has_batch(&self, id: ConsumerId) -> bool {
        if let Some(c) = self.consumers.get(&id) {
            return c.has_batch();
        }
        let Some(multi) = self.multi.get(&id).filter(|_| cfg!(feature = "many")) else { return false };
        let parts = || multi.waiting().filter_map(|part| self.consumers.get(part));
        let messages = parts().fold(0_u32, |sum, c| sum.saturating_add(c.queue().messages()));
        let bytes = parts().fold(0_usize, |sum, c| sum.saturating_add(c.queue().bytes()));
        multi.config.batch_receive_policy.is_reached(messages, bytes) || parts().any(|c| c.is_full())
    }

    /// The bytes of what is taken next, where that can be known; `None` when there is nothing.
    pub(super) fn next_size(&mut self, id: ConsumerId) -> Option<Option<usize>> {
        if let Some(c) = self.consumers.get_mut(&id) {
            return c.has_wanted(&mut self.unpacker).then(|| c.queue().next_size());
        }
        if !cfg!(feature = "many") {
            return None;
        }
        loop {
            let multi = self.multi.get_mut(&id)?;
            if multi.has_failures() {
                return Some(None);
            }
            let part = *multi.waiting().next()?;
            if let Some(c) = self.consumers.get_mut(&part).filter(|c| !c.queue().is_empty())
                && c.has_wanted(&mut self.unpacker)
            {
                return Some(c.queue().next_size());
            }
            // Its permits go back, and it comes again when it has something.
            self.ran_empty(part);
            self.multi.get_mut(&id)?.next();
        }
    }

    /// A part has more messages: those who wait for a batch of the whole may have theirs.
    pub(super) fn part_has_more(&mut self, part: ConsumerId) {
        let Some(member) = self.consumers.get(&part).and_then(|c| c.member) else { return };
        let waits = self.multi.get(&member.group).is_some_and(|multi| !multi.batches.is_empty());
        if waits && self.has_batch(member.group) {
            self.emit(Event::Ready(member.group));
        }
    }

    /// A part has taken in a chunk: what all parts gather stays within the bound of one. The oldest message gives way,
    /// but not the one that has just grown.
    #[cold]
    pub(super) fn bound_chunks(&mut self, grown: ConsumerId) {
        let Some(consumer) = self.consumers.get(&grown) else { return };
        let limit = consumer.message_limit();
        let Some(multi) = consumer.member.and_then(|member| self.multi.get(&member.group)) else { return };
        let parts = multi.ids();
        loop {
            let of_parts = || parts.iter().filter_map(|part| Some((*part, self.consumers.get(part)?)));
            if of_parts().fold(0_usize, |sum, (_, c)| sum.saturating_add(c.chunks.bytes())) <= limit {
                return;
            }
            let oldest = of_parts().filter_map(|(id, c)| Some((c.chunks.oldest(id == grown)?, id))).min();
            let Some((_, oldest)) = oldest else { return };
            if let Some(c) = self.consumers.get_mut(&oldest) {
                c.chunks.give_way(&c.config, oldest == grown);
            }
            if oldest != grown {
                self.chunks_changed(oldest, self.now);
            }
        }
    }
}
