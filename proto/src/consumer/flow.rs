//! Permits: how many messages the broker may send, and when it is told of more.
//!
//! ```text
//!             FLOW                MESSAGE          take           delivered
//! returned ---------> at broker ---------> queued ------> taken ------------> returned
//!    ^  when it is due                       |  skipped     |  damaged, not wanted
//!    +---------------------------------------+--------------+
//! ```
//!
//! The four together are the size of the queue, always. An entry of more messages than there are permits
//! makes "at broker" negative until they are back. What holds FLOW back: a pause; a queue of zero while
//! nobody waits; a queue that holds as many bytes as it may.
//!
//! ```text
//!                    a batch came, and the broker has no permits left
//! half a queue due -------------------------------------------------> due when the broker has an eighth again
//!        ^                                FLOW                                          |
//!        +------------------------------------------------------------------------------+
//! ```
//! Half a queue is Java's rule. With batches as large as the queue, the broker would wait for half of one to be
//! taken, and what is given back while it has less than none is of no use to it.
//!
//! ```text
//! size of a fixed queue:      max
//! size of an auto-scaled one: min --ran empty after it had been full: x2--> max; memory short: /2 --> min
//! with a cap on bytes:        never more messages than the cap has room for, by what the last ones took
//! one of several parts:       max and cap are its share, which changes as parts come and go
//! ```

use super::queue::Queue;
use crate::config::ConsumerConfig;

#[derive(Debug)]
pub(crate) struct Flow {
    /// Messages that may wait or be on their way at present.
    size: u32,
    /// The most of that.
    max: u32,
    /// Permits to give back from which on a FLOW goes out.
    due: i64,
    /// Messages of this subscription that were taken and not reported as delivered.
    taken: u32,
    /// Permits to give back; negative when the queue became smaller than what is under way.
    returned: i64,
    paused: bool,
    /// Set for a queue of zero: its one permit goes out only while somebody waits.
    zero: bool,
    wanted: bool,
    scale: Option<Scale>,
    bytes: Option<ByteCap>,
}

/// A queue whose size follows its use.
#[derive(Debug)]
struct Scale {
    min: u32,
    size: u32,
    /// It was full since it last grew.
    full: bool,
}

#[derive(Debug)]
struct ByteCap {
    cap: usize,
    /// Bytes that a message takes: rises at once, falls slowly.
    estimate: usize,
}

impl ByteCap {
    fn messages(&self) -> u32 {
        // Nothing is known before the first message, so that one is asked for alone.
        let room = self.cap.checked_div(self.estimate).unwrap_or(1);
        u32::try_from(room).unwrap_or(u32::MAX)
    }
}

impl Flow {
    pub(crate) fn new(config: &ConsumerConfig) -> Self {
        let zero = config.receiver_queue_size == 0;
        let max = config.receiver_queue_size.max(1);
        let scale =
            (cfg!(feature = "notices") && config.auto_scaled_receiver_queue_size && !zero).then(|| {
                // A batch must be able to fill up although almost half a queue's permits may be here.
                let batch = config.batch_receive_policy.max_num_messages.unwrap_or(0);
                let min = max.min(batch.saturating_mul(2).saturating_sub(2).max(1));
                Scale { min, size: min, full: false }
            });
        let bytes = config
            .receiver_queue_bytes
            .filter(|_| cfg!(feature = "notices") && !zero)
            .map(|cap| ByteCap { cap, estimate: 0 });
        let (paused, wanted) = (config.start_paused, false);
        let mut flow =
            Self { size: 0, max, due: 0, taken: 0, returned: 0, paused, zero, wanted, scale, bytes };
        flow.resize();
        flow
    }

    /// Sets the size to what it should be, and with it when a FLOW is due.
    fn resize(&mut self) {
        let scaled = self.scale.as_ref().map_or(self.max, |scale| scale.size);
        let size = self.bytes.as_ref().map_or(scaled, |bytes| scaled.min(bytes.messages()).max(1));
        self.returned += i64::from(size) - i64::from(self.size);
        self.size = size;
        self.set_due();
    }

    /// The most that it may hold is another, as it shares with others; whether it may hold more now than before.
    pub(crate) fn share(&mut self, max: u32, bytes: Option<usize>) -> bool {
        let before = self.size;
        self.max = max.max(1);
        if let Some(scale) = &mut self.scale {
            scale.min = scale.min.min(self.max);
            scale.size = scale.size.min(self.max);
        }
        if let (Some(cap), Some(bytes)) = (&mut self.bytes, bytes) {
            cap.cap = bytes;
        }
        self.resize();
        self.size > before
    }

    fn set_due(&mut self) {
        self.due = match self {
            Self { paused: true, .. } | Self { zero: true, wanted: false, .. } => i64::MAX,
            _ => i64::from(self.size.div_ceil(2)),
        };
    }

    /// A batch is in the queue: if it took all permits that the broker had, more are due sooner, and all at once.
    pub(crate) fn drew(&mut self, queue: &Queue) {
        let at_broker = self.at_broker(queue);
        if at_broker <= 0 && self.due != i64::MAX {
            self.due = i64::from(self.size.div_ceil(8)) - at_broker;
        }
    }

    /// The subscription is open: the first permits, unless they are held back.
    pub(crate) fn opened(&mut self, queue: &Queue) -> Option<u32> {
        self.renewed();
        self.permits(queue)
    }

    /// All permits are here, to go out with the next FLOW.
    pub(crate) fn renewed(&mut self) {
        self.lost();
        self.returned = i64::from(self.size);
        self.set_due();
    }

    /// The link is lost, and all permits with it.
    pub(crate) fn lost(&mut self) {
        (self.taken, self.returned) = (0, 0);
    }

    /// `cleared` messages were thrown away, and what was taken will not be reported.
    pub(crate) fn start_over(&mut self, cleared: u32) {
        let taken = std::mem::take(&mut self.taken);
        self.give_back(cleared);
        self.give_back(taken);
    }

    /// Permits of messages that the user does not see.
    pub(crate) fn give_back(&mut self, permits: u32) {
        self.returned += i64::from(permits);
    }

    /// The user took a message.
    #[inline]
    pub(crate) fn took(&mut self) {
        self.taken = self.taken.saturating_add(1);
        if self.zero {
            self.wanted = false;
            self.set_due();
        }
    }

    /// Nothing was there to take: a queue of zero asks for one, an auto-scaled one may grow.
    pub(crate) fn ran_empty(&mut self, memory_is_short: bool) {
        if self.zero && self.taken == 0 && !self.wanted {
            self.wanted = true;
            self.set_due();
        }
        if !cfg!(feature = "notices") {
            return;
        }
        if let Some(scale) = self.scale.as_mut().filter(|scale| scale.full && !memory_is_short) {
            scale.full = false;
            scale.size = scale.size.saturating_mul(2).min(self.max);
            self.resize();
        }
    }

    /// Whether arrivals have a bearing on the size.
    #[inline]
    pub(crate) fn adapts(&self) -> bool {
        cfg!(feature = "notices") && (self.scale.is_some() || self.bytes.is_some())
    }

    /// An entry of `messages` and `bytes` is in the queue.
    pub(crate) fn arrived(&mut self, messages: u32, bytes: usize, queue: &Queue) {
        if let Some(scale) = &mut self.scale {
            scale.full |= self.returned + i64::from(queue.messages()) >= i64::from(self.size);
        }
        if let Some(cap) = &mut self.bytes {
            let per_message = (bytes / messages.max(1) as usize).max(1);
            let fall = cap.estimate.saturating_sub(per_message).div_ceil(8);
            cap.estimate = per_message.max(cap.estimate - fall);
            self.resize();
        }
    }

    /// The client is short of memory.
    pub(crate) fn shrink(&mut self) {
        if let Some(scale) = &mut self.scale {
            scale.size = scale.min.max(scale.size / 2);
            self.resize();
        }
    }

    pub(crate) fn is_scaled(&self) -> bool {
        cfg!(feature = "notices") && self.scale.is_some()
    }

    /// The user has `n` messages more; what a lost subscription delivered was paid for there, and does not count.
    #[inline]
    pub(crate) fn reported(&mut self, n: u32) -> u32 {
        let n = n.min(self.taken);
        self.taken -= n;
        self.returned += i64::from(n);
        n
    }

    /// The user took a message and has it, which is all unless a FLOW is due with it: `false` then, and nothing is done.
    #[inline]
    pub(crate) fn passed(&mut self) -> bool {
        let returned = self.returned + 1;
        let passed = returned < self.due && !self.zero;
        if passed {
            self.returned = returned;
        }
        passed
    }

    /// The permits for a FLOW that is due now.
    #[inline]
    pub(crate) fn due(&mut self, queue: &Queue) -> Option<u32> {
        if self.returned < self.due { None } else { self.permits(queue) }
    }

    fn permits(&mut self, queue: &Queue) -> Option<u32> {
        let full = self.bytes.as_ref().is_some_and(|bytes| queue.bytes() >= bytes.cap);
        if full || self.returned < self.due {
            return None;
        }
        // More than one FLOW holds cannot be there, but if it were, the rest goes with the next.
        let permits = u32::try_from(self.returned).ok().filter(|permits| *permits > 0)?;
        self.returned = 0;
        self.set_due();
        Some(permits)
    }

    pub(crate) fn pause(&mut self, paused: bool) {
        self.paused = paused;
        self.set_due();
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.zero
    }

    /// Messages that may wait or be on their way at present.
    pub(crate) fn size(&self) -> u32 {
        if self.zero { 0 } else { self.size }
    }

    /// Permits that are here and were not given back yet.
    pub(crate) fn available(&self) -> u32 {
        u32::try_from(self.returned.max(0)).unwrap_or(u32::MAX)
    }

    /// Permits that the broker has.
    pub(crate) fn at_broker(&self, queue: &Queue) -> i64 {
        i64::from(self.size) - i64::from(queue.messages()) - i64::from(self.taken) - self.returned
    }
}
