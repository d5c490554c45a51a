//! Where a consumer's subscription is: seek, redelivery of all that is open.

use super::link::LinkState;
use super::requests::Reply;
use super::{Client, OpKind};
use crate::consumer::{Seek, SeekState, SeekTarget};
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Output};
use crate::ids::{ConsumerId, OpId};
use crate::time::Now;
use crate::timer::Timer;
use crate::wire::Command;

impl Client {
    /// Moves a consumer's subscription. Done when the consumer is there: what was delivered before
    /// does not come after.
    pub fn seek(&mut self, consumer: ConsumerId, target: SeekTarget, now: Now) -> OpId {
        let op = self.new_op(now);
        self.seek_for(op, consumer, target, now);
        op
    }

    pub(super) fn seek_for(&mut self, op: OpId, consumer: ConsumerId, target: SeekTarget, now: Now) {
        let error = match self.consumers.get_mut(&consumer) {
            None => Error::closed("consumer"),
            Some(c) if matches!(c.link.state, LinkState::Closing(..)) => Error::closed("consumer"),
            Some(c) if c.seek.is_some() => {
                Error::new(ErrorKind::NotSupported, "the consumer is seeking already")
            }
            Some(c) => {
                let target = match target {
                    SeekTarget::Id(id) => SeekTarget::Id(id.start(c.config.start_message_id_inclusive)),
                    time => time,
                };
                c.seek = Some(Seek::new(op, target, Self::seek_opened));
                self.ops.insert(op, OpKind::Seek(consumer));
                return self.seek_opened(consumer, now);
            }
        };
        self.complete(op, Err(error));
    }

    /// The link is open: what waits for it goes on.
    fn seek_opened(&mut self, id: ConsumerId, now: Now) {
        self.flush_acks(id, now);
        let Some(consumer) = self.consumers.get(&id) else { return };
        let (Some(seek), Some(conn)) = (&consumer.seek, consumer.link.open_conn()) else { return };
        match seek.state {
            SeekState::Waiting => {
                let (op, generation) = (seek.op, consumer.link.generation());
                let request = self.request(conn, Reply::Consumer(id, op.0, Self::seek_replied), now);
                let Some(seek) = self.consumers.get_mut(&id).and_then(|c| c.seek.as_mut()) else { return };
                seek.state = SeekState::Asked(generation);
                let command = seek.command(id.0, request);
                self.write(conn, command);
            }
            SeekState::Asked(_) => {}
            SeekState::Answered => self.seek_ended(id, Ok(Output::Done)),
        }
    }

    fn seek_replied(&mut self, id: ConsumerId, op: u64, result: Result<Command, Error>) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        let Some(seek) = consumer.seek.as_mut().filter(|seek| seek.op.0 == op) else { return };
        match result {
            // It is asked again on the next connection: to seek twice is to seek.
            Err(error) if error.kind() == ErrorKind::Disconnected => seek.state = SeekState::Waiting,
            Err(error) => self.seek_ended(id, Err(error)),
            Ok(_) => {
                let asked = std::mem::replace(&mut seek.state, SeekState::Answered);
                let start = seek.start();
                if consumer.link.open_conn().is_some() {
                    // Not closed by the broker: what is queued is from before.
                    if asked == SeekState::Asked(consumer.link.generation()) {
                        consumer.start.moved(start.0, start.1);
                        consumer.grouping.clear();
                        self.start_over(id);
                    }
                    self.seek_ended(id, Ok(Output::Done));
                }
            }
        }
    }

    pub(super) fn seek_ended(&mut self, id: ConsumerId, result: Result<Output, Error>) {
        if let Some(seek) = self.consumers.get_mut(&id).and_then(|c| c.seek.take()) {
            self.complete(seek.op, result);
            self.questions_go_on(id);
        }
    }

    /// Asks for all that was delivered to a consumer and not acknowledged to come again, now. Does
    /// nothing without a link: it comes again then anyway.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn redeliver_unacknowledged(&mut self, consumer: ConsumerId, now: Now) -> Result<(), Error> {
        self.flush_acks(consumer, now);
        let c = self.consumers.get_mut(&consumer).ok_or_else(|| Error::closed("consumer"))?;
        if let Some(conn) = c.link.open_conn() {
            let command = c.redeliver_all();
            c.start.start_over();
            self.write(conn, command);
            self.start_over(consumer);
        }
        Ok(())
    }

    /// Forgets what waits to be received, and gives its permits back.
    fn start_over(&mut self, id: ConsumerId) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        consumer.start_over();
        self.timers.cancel(Timer::Nack(id));
        self.emit(Event::ConsumerReset(id));
        self.delivered(id, 0);
    }
}
