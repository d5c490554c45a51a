//! Whether whoever holds a name is still there.
//!
//! A client that lost its connection comes back by a new one while the broker still believes in the
//! old: the name is taken. So the old connection is asked first, and the newcomer waits.
//! ```text
//!              PING to the holder                   anything heard from it
//!   taken ------------------------> asked ----+----------------------------> newcomers refused
//!                                             |   silent, or closed
//!                                             +----------------------------> holder cut, newcomers in
//! ```

use std::time::Duration;

use pulsewire_proto::wire::{CommandPing, CommandProducer, CommandSubscribe};

use super::error::{DisconnectReason, Refusal};
use super::ids::ConnId;
use super::time::Now;
use super::{Broker, Timer};

/// Newcomers that may wait for one holder.
const MAX_WAITING: usize = 10_000;

/// Somebody who wants what another connection holds.
#[derive(Debug)]
pub(super) enum Newcomer {
    Producer(Box<CommandProducer>),
    Consumer(Box<CommandSubscribe>),
}

/// A connection that was asked whether it lives.
#[derive(Debug)]
pub(super) struct Probe {
    until: Duration,
    /// Those who wait, and what they are told if it lives.
    waiting: Vec<(ConnId, Newcomer, Refusal)>,
}

impl Broker {
    /// Asks `holder` whether it lives; answers the refusal when that needs no asking.
    pub(super) fn ask_holder(
        &mut self,
        holder: ConnId,
        newcomer: (ConnId, Newcomer),
        refusal: Refusal,
        now: Now,
    ) -> Result<(), Refusal> {
        let timeout = self.config.liveness_timeout;
        if timeout.is_zero() || holder == newcomer.0 {
            return Err(refusal);
        }
        if let Some(probe) = self.probes.get_mut(&holder) {
            if probe.waiting.len() >= MAX_WAITING {
                return Err(refusal);
            }
            self.conns.opening(newcomer.0, &newcomer.1, true);
            probe.waiting.push((newcomer.0, newcomer.1, refusal));
            return Ok(());
        }
        let Some(conn) = self.conns.out(holder) else { return Err(refusal) };
        conn.send(CommandPing::default());
        let until = now.mono + timeout;
        self.timers.insert((until, Timer::Probe(holder)));
        self.conns.opening(newcomer.0, &newcomer.1, true);
        let waiting = vec![(newcomer.0, newcomer.1, refusal)];
        self.probes.insert(holder, Probe { until, waiting });
        Ok(())
    }

    /// Something came from a connection.
    pub(super) fn shows_life(&mut self, holder: ConnId) {
        let Some(probe) = self.probes.remove(&holder) else { return };
        self.timers.remove(&(probe.until, Timer::Probe(holder)));
        for (id, newcomer, refusal) in probe.waiting {
            if !self.conns.opening(id, &newcomer, false) {
                continue;
            }
            let request_id = match &newcomer {
                Newcomer::Producer(c) => c.request_id,
                Newcomer::Consumer(c) => c.request_id,
            };
            self.refuse(id, request_id, refusal);
        }
    }

    /// A connection that was asked said nothing.
    pub(super) fn shows_no_life(&mut self, holder: ConnId, now: Now) {
        self.cut(holder, DisconnectReason::LivenessTimeout, now);
    }

    /// A connection is gone, and has given up what it held.
    pub(super) fn holder_gone(&mut self, holder: ConnId, now: Now) {
        let Some(probe) = self.probes.remove(&holder) else { return };
        self.timers.remove(&(probe.until, Timer::Probe(holder)));
        for (id, newcomer, _) in probe.waiting {
            if !self.conns.opening(id, &newcomer, false) {
                continue;
            }
            match newcomer {
                Newcomer::Producer(c) => self.producer(id, *c, now),
                Newcomer::Consumer(c) => self.subscribe(id, *c, now),
            }
        }
    }
}
