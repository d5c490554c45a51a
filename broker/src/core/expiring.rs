//! Messages that a subscription passes over because they are old.

use super::storage::Log;
use super::subscription::Subscription;
use super::time::Now;

/// With so many entries to acknowledge, Apache Pulsar looks for old ones in any case.
const LARGE_BACKLOG: u64 = 1000;

/// What a subscription has passed over because it was old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// How many entries.
    pub entries: u64,
    /// When it looked last: milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl Subscription {
    /// Passes over messages older than `seconds`; false where Apache Pulsar would not try. Of a
    /// subscription that has consumers and is nearly done, the oldest one must be older by half.
    pub(super) fn expire_older(&mut self, log: &Log, seconds: u64, now: Now) -> bool {
        let since = |ms: u64| now.wall_ms.saturating_sub(ms);
        let backlog = self.cursor.backlog(log.end());
        if backlog == 0 {
            return false;
        }
        if !self.consumers.is_empty() && backlog < LARGE_BACKLOG {
            let oldest = log.get(self.cursor.mark());
            let older = |at: u64| seconds > 0 && at < since(seconds.saturating_mul(1500));
            if !oldest.is_some_and(|oldest| older(oldest.time())) {
                return false;
            }
        }
        self.expired.at_ms = now.wall_ms;
        if seconds > 0 {
            self.expire(log, log.first_since(since(seconds.saturating_mul(1000))));
            self.expired.entries += backlog.saturating_sub(self.cursor.backlog(log.end()));
        }
        true
    }

    /// Passes over all below `offset`, as if it were acknowledged; false when it is already.
    pub(super) fn expire(&mut self, log: &Log, offset: u64) -> bool {
        if offset <= self.cursor.mark() {
            return false;
        }
        for at in self.cursor.mark()..offset {
            if let Some(key) = self.consumers.iter().find(|c| c.pending.contains(at)).map(|c| c.key) {
                self.ack(log, key, at, &[]);
            }
            self.replay.remove(at);
        }
        self.cursor.ack_below(offset);
        self.delayed.retain(|(_, at)| *at >= offset);
        self.read = self.read.max(offset);
        true
    }
}
