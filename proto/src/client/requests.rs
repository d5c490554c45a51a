//! Requests that wait for their replies.

use super::Client;
use super::link::Owner;
use crate::error::{Error, ErrorKind};
use crate::event::Output;
use crate::id_map::IdMap;
use crate::ids::{ConnId, ConsumerId, OpId};
use crate::time::Now;
use crate::timer::Timer;
use crate::wire::{Command, CommandProducerSuccess, ServerError};

/// Who gets the reply.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    /// A task: partitions, lookup, topics.
    Task(u64),
    /// An opening, by its generation.
    Open(Owner, u64),
    /// A closing.
    Closed(Owner, OpId),
    /// A request of a consumer, with a number of its own. What handles it is linked only into programs
    /// that ask.
    Consumer(ConsumerId, u64, ConsumerReplied),
    /// An operation that only wants to know.
    Op(OpId),
}

/// Handles the reply to a request of a consumer.
pub(crate) type ConsumerReplied = fn(&mut Client, ConsumerId, u64, Result<Command, Error>);

#[derive(Debug, Default)]
pub(crate) struct Requests {
    next: u64,
    waiting: IdMap<u64, (ConnId, Reply)>,
}

impl Requests {
    pub(crate) fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Takes out the request, if it was made on `conn`.
    pub(crate) fn take(&mut self, conn: ConnId, id: u64) -> Option<Reply> {
        self.waiting.get(&id).filter(|(on, _)| *on == conn)?;
        self.waiting.remove(&id).map(|(_, reply)| reply)
    }

    fn peek(&self, conn: ConnId, id: u64) -> Option<Reply> {
        self.waiting.get(&id).filter(|(on, _)| *on == conn).map(|(_, reply)| *reply)
    }
}

impl Client {
    pub(super) fn next_request_id(&mut self) -> u64 {
        self.requests.next_id()
    }

    /// Enters a request that is about to go out on `conn`; returns its id.
    pub(super) fn request(&mut self, conn: ConnId, reply: Reply, now: Now) -> u64 {
        let id = self.requests.next_id();
        self.requests.waiting.insert(id, (conn, reply));
        self.timers.arm(Timer::Request(id), now.time + self.config.operation_timeout);
        id
    }

    pub(super) fn drop_request(&mut self, id: u64) {
        self.requests.waiting.remove(&id);
        self.timers.cancel(Timer::Request(id));
    }

    /// A reply came. One that nobody waits for any more does nothing.
    pub(super) fn replied(&mut self, conn: ConnId, id: u64, result: Result<Command, Error>, now: Now) {
        let Some(reply) = self.requests.take(conn, id) else { return };
        self.timers.cancel(Timer::Request(id));
        self.deliver_reply(reply, result, now);
    }

    /// PRODUCER_SUCCESS that is not ready means: wait on, however long it takes.
    pub(super) fn producer_success(&mut self, conn: ConnId, success: CommandProducerSuccess, now: Now) {
        if success.producer_ready == Some(false) {
            if let Some(Reply::Open(owner, _)) = self.requests.peek(conn, success.request_id) {
                self.timers.cancel(Timer::Request(success.request_id));
                self.link_waits(owner);
            }
            return;
        }
        self.replied(conn, success.request_id, Ok(success.into()), now);
    }

    pub(super) fn request_timed_out(&mut self, id: u64, now: Now) {
        if let Some((_, reply)) = self.requests.waiting.remove(&id) {
            self.deliver_reply(reply, Err(Error::timeout("the broker's answer to a request")), now);
        }
    }

    /// All requests on a connection that is gone have failed.
    pub(super) fn requests_lost(&mut self, conn: ConnId, error: &Error, now: Now) {
        let lost: Vec<u64> =
            self.requests.waiting.iter().filter(|(_, (on, _))| *on == conn).map(|(id, _)| *id).collect();
        for id in lost {
            self.replied(conn, id, Err(error.clone()), now);
        }
    }

    fn deliver_reply(&mut self, reply: Reply, result: Result<Command, Error>, now: Now) {
        match reply {
            Reply::Task(task) => self.task_replied(task, result, now),
            Reply::Open(owner, generation) => match result {
                Ok(Command::ProducerSuccess(success)) => {
                    self.link_opened(owner, generation, Some(&success), now);
                }
                Ok(_) => self.link_opened(owner, generation, None, now),
                Err(error) => self.open_failed(owner, generation, error, now),
            },
            Reply::Closed(owner, op) => {
                self.forget(owner, &owner.closed());
                // A connection that is gone has closed what was on it.
                let gone = matches!(&result, Err(e) if e.kind() == ErrorKind::Disconnected);
                self.complete(op, if gone { Ok(Output::Done) } else { result.map(|_| Output::Done) });
            }
            Reply::Consumer(consumer, number, replied) => replied(self, consumer, number, result),
            Reply::Op(op) => self.complete(op, result.map(|_| Output::Done)),
        }
    }
}

/// The reply in a command, if it is one that failed.
pub(super) fn failure(error: Option<ServerError>, message: Option<&str>) -> Option<Error> {
    error.map(|error| Error::broker(error, message.unwrap_or("")))
}
