//! Facts: what the host says has happened.

use bytes::Bytes;

use super::Client;
use super::link::{LinkState, Owner};
use super::requests::failure;
use crate::connection::{Connection, State, Waiting, incoming};
use crate::error::{Error, ErrorKind};
use crate::event::{ConnectionState, Event};
use crate::ids::{ConnId, ConsumerId, ProducerId};
use crate::time::Now;
use crate::timer::Timer;
use crate::wire::frame::RawFrame;
use crate::wire::{Command, CommandConnected, DecodeError, command_number, hot};

const SEND_RECEIPT: i32 = 7;
const MESSAGE: i32 = 9;

/// A frame of one of the two commands that come with every message.
enum Hot {
    Receipt(Result<hot::Receipt, DecodeError>),
    Message(Result<hot::Delivery, DecodeError>, Bytes),
}

/// Takes out the next frame if it is one of those and at hand in one piece: its command is read in place.
#[inline]
fn hot_frame(c: &mut Connection) -> Option<Hot> {
    if c.state != State::Ready {
        return None;
    }
    let peeked = c.decoder.peek()?;
    let command = c.decoder.peeked_command(peeked);
    match command_number(command) {
        Ok(SEND_RECEIPT) => {
            let receipt = hot::read_receipt(command);
            c.decoder.skip(peeked);
            Some(Hot::Receipt(receipt))
        }
        Ok(MESSAGE) => {
            let delivery = hot::read_delivery(command);
            Some(Hot::Message(delivery, c.decoder.take_entry(peeked)))
        }
        _ => None,
    }
}

impl Client {
    /// The connection is open: the handshake begins.
    pub fn connected(&mut self, conn: ConnId, now: Now) {
        self.now = now;
        let interval = self.config.keep_alive_interval;
        if let Some(c) = self.pool.get_mut(conn) {
            c.open(&self.config, now);
            self.timers.arm(Timer::Keepalive(conn), now.time + interval);
        }
    }

    /// Bytes came.
    pub fn received(&mut self, conn: ConnId, bytes: Bytes, now: Now) {
        self.now = now;
        let Some(c) = self.pool.get_mut(conn) else { return };
        c.decoder.push(bytes);
        loop {
            // The connection may be given up over any of its frames.
            let Some(c) = self.pool.get_mut(conn) else { return };
            let done = match hot_frame(c) {
                Some(Hot::Receipt(receipt)) => {
                    c.heard(now);
                    receipt.map_err(Error::protocol).and_then(|receipt| self.receipt(conn, &receipt))
                }
                Some(Hot::Message(delivery, entry)) => {
                    c.heard(now);
                    delivery.map_err(Error::protocol).map(|delivery| self.message(conn, delivery, entry))
                }
                None => match c.decoder.next_frame() {
                    Ok(Some(frame)) => {
                        c.heard(now);
                        self.frame(conn, &frame, now)
                    }
                    Ok(None) => return,
                    Err(error) => Err(Error::protocol(error)),
                },
            };
            if let Err(error) = done {
                return self.give_up(conn, error, now);
            }
        }
    }

    /// The connection is gone, or was never opened.
    pub fn closed(&mut self, conn: ConnId, why: Error, now: Now) {
        self.now = now;
        let Some(connection) = self.pool.remove(conn) else { return };
        self.timers.cancel(Timer::Handshake(conn));
        self.timers.cancel(Timer::Keepalive(conn));
        let endpoint = connection.key.physical;
        if connection.state != State::Ready {
            // Another address of the service may do better.
            self.service_index = self.service_index.wrapping_add(1);
        }
        self.emit(Event::Connection { endpoint, state: ConnectionState::Disconnected(why.clone()) });
        for waiting in connection.waiting {
            if let Waiting::Task(task) = waiting {
                self.task_failed(task, why.clone(), now);
            }
        }
        self.requests_lost(conn, &why, now);
        self.links_lost(conn, &why, now);
    }

    /// A deadline has passed, or perhaps not yet.
    pub fn timeout(&mut self, now: Now) {
        self.now = now;
        while let Some(timer) = self.timers.pop_due(now.time) {
            match timer {
                Timer::Handshake(conn) => {
                    if self.pool.get(conn).is_some_and(|c| c.state != State::Ready) {
                        self.give_up(conn, Error::timeout("opening the connection"), now);
                    }
                }
                Timer::Keepalive(conn) => {
                    let interval = self.config.keep_alive_interval;
                    let Some(c) = self.pool.get_mut(conn) else { continue };
                    match c.keep_alive(&self.config, now) {
                        Some(at) => self.timers.arm(Timer::Keepalive(conn), at),
                        None => {
                            let seconds = interval.saturating_mul(2).as_secs();
                            let why = format!("nothing came for {seconds} s");
                            self.give_up(conn, Error::new(ErrorKind::Disconnected, why), now);
                        }
                    }
                }
                Timer::Request(id) => self.request_timed_out(id, now),
                Timer::Operation(op) => self.end_op(op, Error::timeout("the operation")),
                Timer::RetryTask(task) => self.task_start(task, now),
                Timer::Reopen(owner) => self.link_start(owner, now),
                Timer::SendTimeout(producer) => self.sends_timed_out(producer, now),
                Timer::Acks(consumer) => self.flush_acks(consumer, now),
                Timer::Batch(producer) => self.batch_due(producer, now),
                Timer::Nack(consumer) => self.nacks_due(consumer, now),
                Timer::Chunks(consumer) => self.chunks_due(consumer, now),
            }
        }
    }

    fn frame(&mut self, conn: ConnId, frame: &RawFrame, now: Now) -> Result<(), Error> {
        let number = command_number(&frame.command).map_err(Error::protocol)?;
        let ready = self.pool.get(conn).is_some_and(|c| c.state == State::Ready);
        match number {
            // These are here when they did not come in one piece.
            SEND_RECEIPT if ready => {
                let receipt = hot::read_receipt(&frame.command).map_err(Error::protocol)?;
                self.receipt(conn, &receipt)
            }
            MESSAGE if ready => {
                let delivery = hot::read_delivery(&frame.command).map_err(Error::protocol)?;
                self.message(conn, delivery, frame.entry.clone());
                Ok(())
            }
            _ => {
                let command = incoming::decode(&frame.command).map_err(Error::protocol)?;
                if ready { self.command(conn, command, now) } else { self.handshake(conn, command, now) }
            }
        }
    }

    /// Commands before CONNECTED.
    fn handshake(&mut self, conn: ConnId, command: Command, now: Now) -> Result<(), Error> {
        match command {
            Command::Connected(connected) => {
                self.accepted(conn, &connected, now);
                Ok(())
            }
            Command::AuthChallenge(_) => {
                if let Some(c) = self.pool.get_mut(conn) {
                    c.answer_challenge(&self.config);
                }
                Ok(())
            }
            Command::Error(error) => Err(Error::broker(error.error, &error.message)),
            Command::Unknown(_) => {
                self.skipped_commands += 1;
                Ok(())
            }
            other => Err(Error::new(
                ErrorKind::Protocol,
                format!("{} came before the connection was accepted", other.name()),
            )),
        }
    }

    fn accepted(&mut self, conn: ConnId, connected: &CommandConnected, now: Now) {
        let Some(c) = self.pool.get_mut(conn) else { return };
        c.accept(connected);
        let waiting = std::mem::take(&mut c.waiting);
        let endpoint = c.key.physical.clone();
        self.timers.cancel(Timer::Handshake(conn));
        self.emit(Event::Connection { endpoint, state: ConnectionState::Connected });
        for waiting in waiting {
            match waiting {
                Waiting::Task(task) => self.task_send(task, conn, now),
                Waiting::Link(owner, generation) => self.link_connected(owner, generation, conn, now),
            }
        }
    }

    /// Commands on an open connection.
    fn command(&mut self, conn: ConnId, command: Command, now: Now) -> Result<(), Error> {
        match command {
            Command::Ping(_) => {
                if let Some(c) = self.pool.get_mut(conn) {
                    c.pong();
                }
            }
            Command::Pong(_) => {}
            Command::AuthChallenge(_) => {
                if let Some(c) = self.pool.get_mut(conn) {
                    c.answer_challenge(&self.config);
                }
            }
            Command::ProducerSuccess(success) => self.producer_success(conn, success, now),
            Command::Success(success) => {
                self.replied(conn, success.request_id, Ok(success.into()), now);
            }
            Command::Error(error) => {
                let reply = Err(Error::broker(error.error, &error.message));
                self.replied(conn, error.request_id, reply, now);
            }
            Command::PartitionedTopicMetadataResponse(r) => {
                self.replied(conn, r.request_id, Ok(r.into()), now)
            }
            Command::LookupTopicResponse(r) => self.replied(conn, r.request_id, Ok(r.into()), now),
            Command::GetTopicsOfNamespaceResponse(r) => self.replied(conn, r.request_id, Ok(r.into()), now),
            Command::GetLastMessageIdResponse(r) => self.replied(conn, r.request_id, Ok(r.into()), now),
            Command::AckResponse(r) => {
                if let Some(request) = r.request_id {
                    let failed = failure(r.error, r.message.as_deref());
                    self.replied(conn, request, failed.map_or(Ok(r.into()), Err), now);
                }
            }
            Command::SendError(error) => return self.send_error(conn, &error, now),
            Command::CloseProducer(close) => {
                let assigned =
                    self.assigned(close.assigned_broker_service_url, close.assigned_broker_service_url_tls);
                let owner = Owner::Producer(ProducerId(close.producer_id));
                self.link_closed_by_broker(owner, conn, assigned, now);
            }
            Command::CloseConsumer(close) => {
                let assigned =
                    self.assigned(close.assigned_broker_service_url, close.assigned_broker_service_url_tls);
                let owner = Owner::Consumer(ConsumerId(close.consumer_id));
                self.link_closed_by_broker(owner, conn, assigned, now);
            }
            // Known, but nothing that was asked for depends on it; or not known at all.
            _ => self.skipped_commands += 1,
        }
        Ok(())
    }

    /// PRODUCER or SUBSCRIBE failed.
    pub(super) fn open_failed(&mut self, owner: Owner, generation: u64, error: Error, now: Now) {
        let state = match owner {
            Owner::Producer(id) => self.producers.get(&id).map(|p| p.link.state_of(generation)),
            Owner::Consumer(id) => self.consumers.get(&id).map(|c| c.link.state_of(generation)),
        };
        let Some(Some(LinkState::Opening(conn, _))) = state else { return };
        if error.kind() == ErrorKind::Timeout {
            // The broker may open it yet.
            self.abandon_opening(owner, conn);
        }
        self.link_failed(owner, error, now);
    }

    /// Ends a connection from our side.
    fn give_up(&mut self, conn: ConnId, error: Error, now: Now) {
        let reason = error.to_string();
        self.actions.push_back(crate::event::Action::Disconnect { conn, reason });
        self.closed(conn, error, now);
    }
}
