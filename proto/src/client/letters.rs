//! Dead letters and retry letters: their producers, and what their ends mean. The states are drawn in
//! `consumer::letters`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Client;
use super::inner::{Asker, Listener};
use crate::consumer::{Letter, Post, PostState, Way};
use crate::error::{Error, ErrorKind};
use crate::event::{Output, SendOutcome};
use crate::ids::{ConsumerId, OpId, ProducerId};
use crate::producer::{Deliver, Key, Outgoing, Payload};
use crate::time::Now;
use crate::{Message, MessageId};

impl Client {
    /// Puts a message off: publishes it to the retry letter topic, to be delivered after `delay`, with
    /// properties of its own and those added here, and acknowledges it (with `cumulative`, all before it
    /// too) when the broker has it there. One that was put off too often goes to the dead letter topic.
    /// Completes with [`Output::Done`]. When it fails, the message comes again after the delay of a
    /// negative acknowledgement.
    pub fn reconsume_later(
        &mut self,
        consumer: ConsumerId,
        message: &Message,
        properties: &[(String, String)],
        delay: Duration,
        cumulative: bool,
        now: Now,
    ) -> OpId {
        let op = self.new_op(now);
        let consumer = match self.part_of_message(consumer, message) {
            Ok(part) => part,
            Err(error) => {
                self.complete(op, Err(error));
                return op;
            }
        };
        // The opening of the producer and the send have deadlines of their own.
        self.timers.cancel(crate::timer::Timer::Operation(op));
        let prepared = match self.consumers.get(&consumer) {
            None => Err(Error::closed("consumer")),
            Some(c) => match c.letters.as_ref().filter(|letters| letters.retry.is_some()) {
                Some(letters) if cfg!(feature = "redelivery") => c.check(message.id()).map(|()| {
                    let topic = without_partition(message.topic());
                    letters.retry_letter(message.clone(), topic, properties, delay)
                }),
                _ => Err(Error::new(ErrorKind::NotSupported, "enable_retry is off: nothing can be put off")),
            },
        };
        match prepared {
            Ok((way, letter)) => {
                let delay = Some(delay).filter(|delay| way == Way::Retry && !delay.is_zero());
                self.post(consumer, way, Letter { op: Some(op), delay, cumulative, ..letter }, now);
            }
            Err(error) => self.complete(op, Err(error)),
        }
        op
    }

    /// Messages came too often.
    pub(super) fn bury(&mut self, consumer: ConsumerId, messages: Vec<Message>, now: Now) {
        for message in messages {
            let letters = self.consumers.get(&consumer).and_then(|c| c.letters.as_ref());
            let Some(letter) = letters.map(|letters| letters.dead_letter(message)) else { return };
            self.post(consumer, Way::Dead, letter, now);
        }
    }

    fn post_of(&mut self, consumer: ConsumerId, way: Way) -> Option<&mut Post> {
        self.consumers.get_mut(&consumer)?.letters.as_mut()?.post(way)
    }

    fn post(&mut self, consumer: ConsumerId, way: Way, letter: Letter, now: Now) {
        let Some(post) = self.post_of(consumer, way) else { return };
        match post.state {
            PostState::Open(producer) => return self.send_letter(consumer, producer, letter, now),
            PostState::Opening(..) => {}
            PostState::Closed => {
                let config = post.config.clone();
                let (producer, op) = match self.create_producer(config, now) {
                    Ok(opening) => opening,
                    Err(error) => return self.letter_failed(consumer, letter, error, now),
                };
                self.ask(op, Asker { handle: consumer.0, ended: Self::post_opened });
                if let Some(p) = self.producers.get_mut(&producer) {
                    p.listener = Some(Listener {
                        handle: consumer.0,
                        sent: Self::letter_ended,
                        ended: Self::post_ended,
                    });
                }
                if let Some(post) = self.post_of(consumer, way) {
                    post.state = PostState::Opening(producer, op);
                }
            }
        }
        let size = letter.size();
        if self.pending_bytes > 0 && self.pending_bytes + size > self.config.memory_limit {
            let why = "letters that wait for their producer use up the memory limit";
            return self.letter_failed(consumer, letter, Error::new(ErrorKind::QueueFull, why), now);
        }
        if let Some(post) = self.post_of(consumer, way) {
            post.wait(letter);
            self.pending_bytes += size;
        }
    }

    fn send_letter(&mut self, consumer: ConsumerId, producer: ProducerId, letter: Letter, now: Now) {
        let message = &letter.message;
        let properties: Vec<(&str, &str)> =
            letter.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let payload = message.payload_bytes();
        let key_bytes =
            message.key().filter(|_| message.has_base64_key()).and_then(|key| STANDARD.decode(key).ok());
        let key = match &key_bytes {
            Some(bytes) => Some(Key::Bytes(bytes)),
            None => message.key().map(Key::Text),
        };
        let outgoing = Outgoing {
            payload: (!message.is_null()).then_some(Payload::Shared(&payload)),
            key,
            ordering_key: message.ordering_key(),
            properties: &properties,
            event_time: message.event_time(),
            deliver: letter.delay.map(Deliver::After),
            ..Default::default()
        };
        match self.send(producer, &outgoing, now) {
            Ok(token) => {
                let letters = self.consumers.get_mut(&consumer).and_then(|c| c.letters.as_mut());
                if let Some(post) = letters.and_then(|letters| letters.of_producer(producer)) {
                    post.sent(token, letter);
                }
            }
            Err(error) => self.letter_failed(consumer, letter, error, now),
        }
    }

    fn post_opened(&mut self, handle: u64, op: OpId, result: Result<Output, Error>) {
        let (consumer, now) = (ConsumerId(handle), self.now);
        let Some(letters) = self.consumers.get_mut(&consumer).and_then(|c| c.letters.as_mut()) else {
            return;
        };
        let Some(post) = letters.opened_by(op).and_then(|way| letters.post(way)) else { return };
        // What failed has ended the producer, and its letters with it.
        let (Ok(_), PostState::Opening(producer, _)) = (result, post.state) else { return };
        post.state = PostState::Open(producer);
        for letter in post.waiting() {
            self.released(letter.size());
            self.send_letter(consumer, producer, letter, now);
        }
    }

    fn post_ended(&mut self, handle: u64, producer: ProducerId, error: Error) {
        let (consumer, now) = (ConsumerId(handle), self.now);
        let letters = self.consumers.get_mut(&consumer).and_then(|c| c.letters.as_mut());
        let Some(post) = letters.and_then(|letters| letters.of_producer(producer)) else { return };
        post.state = PostState::Closed;
        for letter in post.waiting() {
            self.released(letter.size());
            self.letter_failed(consumer, letter, error.clone(), now);
        }
    }

    fn letter_ended(&mut self, handle: u64, outcome: SendOutcome) {
        let (consumer, now) = (ConsumerId(handle), self.now);
        let letters = self.consumers.get_mut(&consumer).and_then(|c| c.letters.as_mut());
        let post = letters.and_then(|letters| letters.of_producer(outcome.producer));
        let Some(letter) = post.and_then(|post| post.ended(outcome.token)) else { return };
        match outcome.result {
            Ok(_) => {
                let id: MessageId = letter.message.id();
                let done = self.acknowledge(consumer, id, letter.cumulative, now);
                if let Some(op) = letter.op {
                    self.complete(op, done.map(|()| Output::Done));
                }
            }
            Err(error) => self.letter_failed(consumer, letter, error, now),
        }
    }

    fn letter_failed(&mut self, consumer: ConsumerId, letter: Letter, error: Error, now: Now) {
        // It fails only when the consumer has ended, and then the message comes again anyway.
        let _ = self.negative_acknowledge(consumer, letter.message.id(), now);
        if let Some(op) = letter.op {
            self.complete(op, Err(error));
        }
    }

    /// The consumer is about to be forgotten, and its producers with it.
    pub(super) fn letters_ended(&mut self, consumer: ConsumerId, error: &Error) {
        if !cfg!(feature = "redelivery") {
            return;
        }
        #[cfg_attr(not(feature = "redelivery"), allow(unused_mut, reason = "a reference there, a box here"))]
        let Some(mut letters) = self.consumers.get_mut(&consumer).and_then(|c| c.letters.take()) else {
            return;
        };
        let letters = &mut *letters;
        for post in [Some(&mut letters.dead), letters.retry.as_mut()].into_iter().flatten() {
            let waiting = post.waiting();
            waiting.iter().for_each(|letter| self.released(letter.size()));
            for letter in waiting.into_iter().chain(post.under_way()) {
                if let Some(op) = letter.op {
                    self.complete(op, Err(error.clone()));
                }
            }
            if let PostState::Opening(producer, _) | PostState::Open(producer) = post.state {
                self.close_producer(producer, self.now);
            }
        }
    }
}

/// A topic as its users name it.
fn without_partition(topic: &str) -> &str {
    topic.rsplit_once("-partition-").map_or(topic, |(name, _)| name)
}
