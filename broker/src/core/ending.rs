//! The end of a topic: when the consumers of a subscription hear that nothing more will come.
//!
//! Whenever something is acknowledged or the topic is terminated (again), and nothing is left to
//! acknowledge: then all hear it. Besides, a read that finds the end tells them, but not twice, as
//! Apache Pulsar's reads do it, of which one that failed at the end keeps the place for the next:
//!
//! ```text
//!              a read finds the end: all hear it, if nothing is left to acknowledge
//!        Free ---------------------------------------------------------------------> Over
//!         ^  \                                                                        |
//!         |   +--> Waits: it was at the end already when the topic was terminated     |
//!         |          |                                                                |
//!         +----------+ no consumer is left, or another one is active                  |
//!         +----------+----------------------------------------------------------------+
//!           the active consumer of an exclusive or failover subscription asks for redelivery
//! ```

use pulsewire_proto::wire::CommandReachedEndOfTopic;

use super::connections::Connections;
use super::subscription::Subscription;

/// What a subscription's read at the end of a terminated topic does.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastRead {
    /// There was none yet.
    #[default]
    Free,
    /// It waits for entries that will not come.
    Waits,
    /// It found the end; another one finds nothing out.
    Over,
}

impl Subscription {
    /// The topic ends here, for the first time if `newly`.
    pub(super) fn terminated(&mut self, conns: &mut Connections, end: u64, newly: bool) {
        if newly && self.is_reading_at(end) {
            self.last_read = LastRead::Waits;
        }
        self.tell_end_if_done(conns, end);
    }

    /// Nothing of a terminated topic is left to deliver: a read that finds it out tells it.
    pub(super) fn reach_end(&mut self, conns: &mut Connections, end: u64) {
        if self.last_read == LastRead::Free && self.is_reading_at(end) {
            self.last_read = LastRead::Over;
            self.tell_end_if_done(conns, end);
        }
    }

    /// A read that waits is given up.
    pub(super) fn stop_waiting(&mut self) {
        if self.last_read == LastRead::Waits {
            self.last_read = LastRead::Free;
        }
    }

    /// Whether somebody has permits, and all up to `end` is read.
    fn is_reading_at(&self, end: u64) -> bool {
        self.settles.is_none() && self.reads() && self.cursor.next_open(self.read) >= end
    }

    /// Tells all consumers that nothing more will come, if nothing is left to acknowledge.
    pub(super) fn tell_end_if_done(&self, conns: &mut Connections, end: u64) {
        if self.cursor.backlog(end) > 0 {
            return;
        }
        for consumer in &self.consumers {
            if let Some(conn) = conns.out(consumer.conn)
                && conn.can.protocol_version >= 9
            {
                conn.send(CommandReachedEndOfTopic { consumer_id: consumer.id });
            }
        }
    }
}
