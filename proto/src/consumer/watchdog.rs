//! Noticing that a broker does not serve a consumer any more although its connection is alive.
//!
//! ```text
//!   +--- something came, or nothing could: paused, no permits out, not the active one ---+
//!   v                                                                                    |
//! Quiet --interval--> looks -- silent, permits out --> Asked (CONSUMER_STATS) -- all well +
//!                                                        |
//!                                     the broker does not know it, has none of its permits,
//!                                     or does not answer: CLOSE_CONSUMER, subscribes again
//! ```
//!
//! Off unless `watchdog_interval` is set: to subscribe again brings what is not acknowledged once more,
//! and an idle consumer costs a question each interval. Brokers older than 2.0 do not answer it.

use crate::error::{Error, ErrorKind};

use super::stats::BrokerConsumerStats;

#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    /// Entries that had come when it looked last.
    seen: u64,
    /// The question that is under way; a later one makes an answer void.
    pub(crate) asked: u64,
}

impl Watchdog {
    /// Whether nothing came since it looked last.
    pub(crate) fn is_silent(&mut self, arrivals: u64) -> bool {
        std::mem::replace(&mut self.seen, arrivals) == arrivals
    }
}

/// Why the consumer must subscribe again, if the broker's answer shows that it must.
pub(crate) fn verdict(answer: Result<BrokerConsumerStats, Error>) -> Option<Error> {
    let why = match answer {
        Ok(stats) if stats.available_permits <= 0 && !stats.blocked_on_unacked_messages => {
            "the broker has none of the consumer's permits".to_owned()
        }
        Ok(_) => return None,
        // The link is being opened again anyway.
        Err(error) if error.kind() == ErrorKind::Disconnected => return None,
        Err(error) => error.to_string(),
    };
    Some(Error::new(ErrorKind::Disconnected, format!("the consumer had gone silent: {why}")))
}
