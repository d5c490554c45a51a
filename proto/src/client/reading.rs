//! Readers: reading on, and what is there to be read.

use super::Client;
use super::inner::Asker;
use super::link::{LinkState, Owner, is_unknown_there};
use super::requests::Reply;
use crate::config::ReaderConfig;
use crate::consumer::{Message, Question, SeekTarget, Verdict, verdict};
use crate::error::{Error, ErrorKind};
use crate::event::Output;
use crate::ids::{ConsumerId, MessageId, OpId};
use crate::time::Now;
use crate::topic::TopicName;
use crate::wire::{Command, CommandGetLastMessageId, CommandGetLastMessageIdResponse};

impl Client {
    /// Opens a reader: a consumer of a subscription that nobody keeps. Completes with [`Output::Done`].
    ///
    /// # Errors
    /// `InvalidOption`, or `AlreadyClosed`.
    pub fn create_reader(&mut self, config: ReaderConfig, now: Now) -> Result<(ConsumerId, OpId), Error> {
        config.validate()?;
        let consumer = config.to_consumer(self.rng.u64(..));
        self.subscribe(consumer, now)
    }

    /// Opens a reader of several topics, each with or without partitions. The topic of `config` is not
    /// looked at. Completes with [`Output::Done`].
    ///
    /// # Errors
    /// As [`Client::create_reader`]; a start within a topic, or one that is named twice, is not possible.
    pub fn create_reader_of_topics(
        &mut self,
        config: ReaderConfig,
        topics: &[TopicName],
        now: Now,
    ) -> Result<(ConsumerId, OpId), Error> {
        config.validate_topics(topics)?;
        let consumer = config.to_consumer(self.rng.u64(..));
        self.subscribe_topics(consumer, topics, now)
    }

    /// The next message of a reader, if one has arrived; or the error of one that cannot be read. It is
    /// the user's, and done with.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn read(&mut self, reader: ConsumerId, now: Now) -> Result<Option<Result<Message, Error>>, Error> {
        let taken = self.receive(reader)?;
        if let Some(Ok(message)) = &taken {
            let part = self.part_of_message(reader, message)?;
            self.acknowledge(part, message.id(), true, now)?;
        }
        Ok(taken)
    }

    /// Asks for the last message of a consumer's topic; waits for the link. Completes with
    /// [`Output::LastMessageId`].
    pub fn last_message_id(&mut self, consumer: ConsumerId, now: Now) -> OpId {
        if cfg!(feature = "many") && self.multi.contains_key(&consumer) {
            let why = "the consumer has several topics: ask for the last message of each of them";
            return self.failed_op(Error::new(ErrorKind::NotSupported, why), now);
        }
        let op = self.new_op(now);
        self.ask_broker(consumer, op, Question::LastId, now);
        op
    }

    /// Asks whether a consumer has a message to receive, here or at the broker; waits for the link.
    /// Completes with [`Output::MessageAvailable`].
    pub fn has_message_available(&mut self, consumer: ConsumerId, now: Now) -> OpId {
        if cfg!(feature = "many") && self.multi.contains_key(&consumer) {
            return self.several_have_available(consumer, now);
        }
        let op = self.new_op(now);
        let here = self.consumers.get_mut(&consumer).is_some_and(|c| {
            c.seek.is_none()
                && !matches!(c.link.state, LinkState::Closing(..))
                && (c.has_wanted(&mut self.unpacker) || c.questions.know_of(c.start.place()))
        });
        // Permits of what was skipped.
        self.delivered(consumer, 0);
        if here {
            self.complete(op, Ok(Output::MessageAvailable(true)));
        } else {
            self.ask_broker(consumer, op, Question::Available, now);
        }
        op
    }

    fn ask_broker(&mut self, consumer: ConsumerId, op: OpId, question: Question, now: Now) {
        match self.consumers.get_mut(&consumer) {
            // Brokers answer that with an error that says something else.
            Some(c) if !c.config.topic.is_persistent() => {
                let why = "a topic that is not persistent has no last message";
                self.complete(op, Err(Error::new(ErrorKind::NotSupported, why)));
            }
            Some(c) if !matches!(c.link.state, LinkState::Closing(..)) => {
                c.questions.wait(op, question, Self::ask_on);
                self.ops.insert(op, super::OpKind::Question(consumer));
                self.ask_on(consumer, now);
            }
            _ => self.complete(op, Err(Error::closed("consumer"))),
        }
    }

    /// Asks what waits to be asked, if it can be asked now.
    fn ask_on(&mut self, id: ConsumerId, now: Now) {
        loop {
            let Some(c) = self.consumers.get_mut(&id).filter(|c| c.seek.is_none()) else { return };
            let Some(conn) = c.link.open_conn() else { return };
            let Some(number) = c.questions.next() else { return };
            let request_id = self.request(conn, Reply::Consumer(id, number, Self::last_answered), now);
            self.write(conn, CommandGetLastMessageId { consumer_id: id.0, request_id });
        }
    }

    fn last_answered(&mut self, id: ConsumerId, number: u64, result: Result<Command, Error>) {
        // A lost link has taken the question back.
        let Some(c) = self.consumers.get_mut(&id) else { return };
        let result = match result {
            Err(error) if error.kind() == ErrorKind::Disconnected => return,
            Err(error) if is_unknown_there(&error) => {
                return self.link_failed(Owner::Consumer(id), error, self.now);
            }
            other => other,
        };
        let Some((op, question)) = c.questions.answered(number) else { return };
        match (result, question) {
            (Ok(Command::GetLastMessageIdResponse(answer)), Question::Available) => {
                self.weigh(id, op, &answer);
            }
            (Ok(Command::GetLastMessageIdResponse(answer)), Question::LastId) => {
                let last = MessageId::from_wire(&answer.last_message_id);
                self.complete(op, Ok(Output::LastMessageId(last)));
            }
            (Ok(other), _) => {
                let why = format!("{} answers no question for the last message", other.name());
                self.complete(op, Err(Error::new(ErrorKind::Protocol, why)));
            }
            (Err(error), _) => self.complete(op, Err(error)),
        }
    }

    fn weigh(&mut self, id: ConsumerId, op: OpId, answer: &CommandGetLastMessageIdResponse) {
        let now = self.now;
        let Some(c) = self.consumers.get_mut(&id) else { return };
        if c.seek.is_some() {
            // It was asked about the place before.
            c.questions.wait(op, Question::Available, Self::ask_on);
            return;
        }
        let last = MessageId::from_wire(&answer.last_message_id);
        let marked = answer.consumer_mark_delete_position.as_ref().map(MessageId::from_wire);
        c.questions.learned(last);
        let verdict = match c.has_wanted(&mut self.unpacker) {
            true => Verdict::Available(true),
            false => verdict(c.start.place(), last, marked),
        };
        self.delivered(id, 0);
        match verdict {
            Verdict::Available(available) => self.complete(op, Ok(Output::MessageAvailable(available))),
            Verdict::SeekTo(last) => {
                // The seek has a deadline of its own, and so has the question.
                let seek = self.new_op(now);
                self.ask(seek, Asker { handle: op.0, ended: Self::stands_at_last });
                self.seek_for(seek, id, SeekTarget::Id(last), now);
            }
        }
    }

    fn stands_at_last(&mut self, op: u64, _: OpId, result: Result<Output, Error>) {
        self.complete(OpId(op), result.map(|_| Output::MessageAvailable(true)));
    }

    /// Nothing stands in the way of what waits to be asked any more, perhaps.
    pub(super) fn questions_go_on(&mut self, id: ConsumerId) {
        if let Some(go_on) = self.consumers.get(&id).and_then(|c| c.questions.go_on()) {
            go_on(self, id, self.now);
        }
    }
}
