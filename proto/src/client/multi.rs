//! Consumers of several topics: opening their parts, their messages, their ends. See
//! `many::consumer`; what is asked of all parts together is in `multi_ops.rs`, patterns are in
//! `discovery.rs`.

use super::inner::Member;
use super::joining::{Ask, Joined};
use super::link::{Link, LinkState, Owner};
use super::{Client, OpKind};
use crate::config::{ConsumerConfig, InitialPosition, SubscriptionMode};
use crate::consumer::{Consumer, Letters, Message};
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Output};
use crate::ids::{ConsumerId, MessageId, OpId};
use crate::many::consumer::{Added, MultiTopicsConsumer, State, Topic};
use crate::many::pattern::{Pattern, RegexSubscriptionMode, TopicsPattern};
use crate::time::Now;
use crate::timer::Timer;
use crate::topic::TopicName;
use crate::wire::ServerError;

impl Client {
    /// Opens a consumer of several topics, each with or without partitions. The topic of `config` is
    /// not looked at. Completes with [`Output::Done`].
    ///
    /// # Errors
    /// `InvalidOption`, also for a topic that is named twice or when there is none, or `AlreadyClosed`.
    pub fn subscribe_topics(
        &mut self,
        config: ConsumerConfig,
        topics: &[TopicName],
        now: Now,
    ) -> Result<(ConsumerId, OpId), Error> {
        let mut config = config;
        if let Some(first) = topics.first() {
            // Letters are named after it.
            config.topic = first.clone();
        }
        config.make_letter_producers()?;
        config.validate_topics(topics)?;
        let (id, op) = self.new_multi(config, now)?;
        self.open_named(id, topics, now);
        Ok((id, op))
    }

    /// Opens a consumer of all topics of a namespace that match a pattern, now and later. Completes
    /// with [`Output::Done`] when those that there are now are open; there may be none.
    ///
    /// # Errors
    /// `InvalidOption`, or `AlreadyClosed`.
    pub fn subscribe_pattern(
        &mut self,
        mut config: ConsumerConfig,
        pattern: TopicsPattern,
        mode: RegexSubscriptionMode,
        now: Now,
    ) -> Result<(ConsumerId, OpId), Error> {
        config.make_letter_producers()?;
        config.validate_pattern(mode)?;
        let (id, op) = self.new_multi(config, now)?;
        if let Some(multi) = self.multi.get_mut(&id) {
            multi.pattern = Some(Box::new(Pattern::new(pattern, mode)));
        }
        self.list_pattern(id, now);
        Ok((id, op))
    }

    fn new_multi(&mut self, mut config: ConsumerConfig, now: Now) -> Result<(ConsumerId, OpId), Error> {
        config.make_room_for_batches();
        self.check_open()?;
        let id = ConsumerId(self.next_handle);
        self.next_handle += 1;
        let op = self.new_op(now);
        self.ops.insert(op, OpKind::Create(Owner::Consumer(id)));
        let name = config.name.clone().unwrap_or_else(|| format!("{:08x}", self.rng.u32(..)));
        self.multi.insert(id, MultiTopicsConsumer::new(config, name, op));
        Ok((id, op))
    }

    /// The topic of a consumer that is being opened turned out to have partitions.
    pub(super) fn consumer_found(&mut self, id: ConsumerId, generation: u64, partitions: u32) {
        let state = self.consumers.get(&id).and_then(|c| c.link.state_of(generation));
        if state != Some(LinkState::Locating) {
            return;
        }
        // Whoever asked before it was open asked a part that is not there.
        self.answer_all(id, &Error::new(ErrorKind::Disconnected, "the consumer was not open yet"));
        let Some(single) = self.consumers.remove(&id) else { return };
        let Some(created) = single.link.created() else { return };
        let mut wrong = Vec::new();
        single.config.check_several(&mut wrong);
        if !wrong.is_empty() {
            let error = Error::new(ErrorKind::InvalidOption, wrong.join("; "));
            self.emit(Event::ConsumerEnded { consumer: id, error: error.clone() });
            return self.complete(created, Err(error));
        }
        let topic = single.config.topic.clone();
        let name = single.name().to_owned();
        let mut multi = MultiTopicsConsumer::new(single.config, name, created);
        multi.topics.push(Topic { name: topic.clone(), partitions: None, open: false, added: Added::First });
        self.multi.insert(id, multi);
        self.topic_answered(id, &topic, Ok(partitions));
    }

    // ---- topics ----

    /// Adds a topic to a consumer of several. Completes with [`Output::Done`] when it is open.
    pub fn add_topic(&mut self, consumer: ConsumerId, topic: TopicName, now: Now) -> OpId {
        let op = self.new_op(now);
        let error = match self.multi.get_mut(&consumer) {
            None if self.consumers.contains_key(&consumer) => not_several(),
            None => Error::closed("consumer"),
            Some(multi) if matches!(multi.state, State::Closing(_)) => Error::closed("consumer"),
            Some(multi) if multi.has_topic(&topic) => {
                Error::new(ErrorKind::InvalidOption, format!("the consumer has {topic} already"))
            }
            Some(multi) if multi.pattern.is_some() => {
                Error::new(ErrorKind::NotSupported, "the topics of this consumer are found by its pattern")
            }
            Some(_) => {
                self.ops.insert(op, OpKind::AddTopic(consumer));
                self.add(consumer, topic, Added::By(op), now);
                return op;
            }
        };
        self.complete(op, Err(error));
        op
    }

    /// Takes a topic away from a consumer of several. Its subscription stays. Completes with
    /// [`Output::Done`] when it is closed.
    pub fn remove_topic(&mut self, consumer: ConsumerId, topic: &TopicName, now: Now) -> OpId {
        let op = self.new_op(now);
        let error = match self.multi.get_mut(&consumer) {
            None if self.consumers.contains_key(&consumer) => not_several(),
            None => Error::closed("consumer"),
            Some(multi) if !multi.has_topic(topic) => {
                Error::new(ErrorKind::InvalidTopicName, format!("{topic} is not a topic of this consumer"))
            }
            Some(_) => {
                let join = self.join(Joined::Op(op));
                self.remove(consumer, topic, &Error::closed("topic of the consumer"), Some(join));
                self.join_ended(join, None);
                return op;
            }
        };
        self.complete(op, Err(error));
        op
    }

    /// The topics of a consumer, as they were named or found; one that has partitions once. Of one that
    /// has a single topic without partitions, that.
    #[must_use]
    pub fn consumer_topics(&self, consumer: ConsumerId) -> Vec<String> {
        if let Some(single) = self.consumers.get(&consumer) {
            return vec![single.config.topic.to_string()];
        }
        let topics = self.multi.get(&consumer).map_or(&[][..], |multi| &multi.topics);
        topics.iter().map(|topic| topic.name.to_string()).collect()
    }

    pub(super) fn add(&mut self, id: ConsumerId, name: TopicName, added: Added, now: Now) {
        let Some(multi) = self.multi.get_mut(&id) else { return };
        multi.topics.push(Topic { name: name.clone(), partitions: None, open: false, added });
        let create = added != Added::Found && multi.pattern.is_none();
        let ask = Ask::Topic(id, name.clone());
        self.asking(ask, |client| client.ask_partitions(name, create, now));
    }

    /// The topic has so many partitions: a part for each of them is opened.
    pub(super) fn topic_answered(
        &mut self,
        id: ConsumerId,
        name: &TopicName,
        partitions: Result<u32, Error>,
    ) {
        let Some(topic) = self.multi.get_mut(&id).and_then(|multi| multi.topic(name)) else { return };
        match partitions {
            Ok(0) => {
                topic.partitions = Some(0);
                if let Err(error) = self.open_topic_part(id, name.clone(), false) {
                    self.topic_failed(id, name, error);
                }
            }
            Ok(n) => {
                topic.partitions = Some(n);
                for partition in 0..n {
                    if let Err(error) = self.open_topic_part(id, name.of_partition(partition), false) {
                        return self.topic_failed(id, name, error);
                    }
                }
            }
            Err(error) => return self.topic_failed(id, name, error),
        }
        self.share_queue(id);
    }

    /// Parts have come or gone: each has another share of the queue. What was asked for before still comes.
    fn share_queue(&mut self, id: ConsumerId) {
        let Some(multi) = self.multi.get_mut(&id) else { return };
        let Some(share) = multi.share_anew() else { return };
        for part in multi.ids() {
            let Some(c) = self.consumers.get_mut(&part) else { continue };
            if c.flow.share(share.messages, share.bytes) {
                self.delivered_of_one(part, 0);
            }
        }
    }

    /// Opens a part. One that is `late` is of a partition that came later.
    fn open_topic_part(&mut self, group: ConsumerId, topic: TopicName, late: bool) -> Result<(), Error> {
        let now = self.now;
        let Some(multi) = self.multi.get_mut(&group) else { return Ok(()) };
        let share = multi.share();
        let mut config = ConsumerConfig {
            topic: topic.clone(),
            receiver_queue_size: share.messages,
            receiver_queue_bytes: share.bytes,
            #[cfg(feature = "many")]
            priority_level: multi.config.priority_in(&topic),
            ..multi.config.clone()
        };
        let found = multi.pattern.is_some();
        if late {
            config.initial_position = InitialPosition::Earliest;
            if config.subscription_mode == SubscriptionMode::NonDurable {
                config.start_message_id = Some(MessageId::EARLIEST);
                config.start_message_rollback = std::time::Duration::ZERO;
            }
        }
        let name = multi.name.clone();
        let letters = Letters::new(&config, &name, self.rng.u32(..1 << 20))?;
        let id = ConsumerId(self.next_handle);
        self.next_handle += 1;
        multi.add_part(id, topic);
        let member = Some(Member { group, create: !found });
        if late {
            let link = Link::endless();
            self.consumers
                .insert(id, Consumer::new(id, config, link, name, letters).with_member(member, now));
            self.link_start(Owner::Consumer(id), now);
            return Ok(());
        }
        self.asking(Ask::Part(Owner::Consumer(id)), |client| {
            let op = client.new_op(now);
            client.ops.insert(op, OpKind::Create(Owner::Consumer(id)));
            let consumer = Consumer::new(id, config, Link::new(op), name, letters).with_member(member, now);
            client.consumers.insert(id, consumer);
            client.link_start(Owner::Consumer(id), now);
        });
        Ok(())
    }

    pub(super) fn consumer_part_opened(&mut self, id: ConsumerId) {
        let Some(group) = self.consumers.get(&id).and_then(|c| c.member).map(|member| member.group) else {
            return;
        };
        let Some(multi) = self.multi.get_mut(&group) else { return };
        if !multi.part_is_open(id) {
            return;
        }
        let Some(topic) = multi.topic_of(id) else { return };
        let (added, first) = (topic.added, !std::mem::replace(&mut topic.open, true));
        let partitioned = topic.partitions.is_some_and(|n| n > 0);
        if partitioned {
            self.watch_growth(Owner::Consumer(group));
        }
        match added {
            Added::By(op) if first => self.complete(op, Ok(Output::Done)),
            _ => self.multi_is_open(group),
        }
    }

    /// Whether all that it was to begin with is open.
    pub(super) fn multi_is_open(&mut self, id: ConsumerId) {
        let Some(multi) = self.multi.get_mut(&id) else { return };
        let State::Opening(created) = multi.state else { return };
        let named = multi.unnamed.is_none();
        if named && multi.topics.iter().all(|topic| topic.open || topic.added != Added::First) {
            multi.state = State::Open;
            self.complete(created, Ok(Output::Done));
        }
    }

    /// A topic could not be opened.
    fn topic_failed(&mut self, id: ConsumerId, name: &TopicName, error: Error) {
        let Some(multi) = self.multi.get_mut(&id) else { return };
        let Some(added) = multi.topic(name).map(|topic| topic.added) else { return };
        let gone = matches!(error.kind(), ErrorKind::Broker(ServerError::TOPIC_NOT_FOUND));
        match (added, multi.state) {
            // Deleted since it was listed.
            (_, State::Opening(_)) if gone && multi.pattern.is_some() => {
                self.remove(id, name, &error, None);
                self.multi_is_open(id);
            }
            (Added::First, State::Opening(created)) => {
                self.forget(Owner::Consumer(id), &error);
                self.complete(created, Err(error));
            }
            (Added::By(op), _) => {
                self.remove(id, name, &error, None);
                self.complete(op, Err(error));
            }
            _ => {
                if !gone {
                    let why = format!("{name} could not be opened and is looked for again: {error}");
                    self.tell(id, Error::new(error.kind(), why));
                }
                self.remove(id, name, &error, None);
            }
        }
    }

    pub(super) fn tell(&mut self, id: ConsumerId, error: Error) {
        if self.multi.get_mut(&id).is_some_and(|multi| multi.tell(error)) {
            self.emit(Event::Ready(id));
        }
    }

    /// Closes the parts of a topic and forgets it.
    pub(super) fn remove(&mut self, id: ConsumerId, name: &TopicName, error: &Error, join: Option<u64>) {
        let now = self.now;
        let Some(multi) = self.multi.get_mut(&id) else { return };
        let parts = multi.parts_of(name);
        let op = multi.topic(name).filter(|topic| !topic.open).map(|topic| topic.added);
        multi.topics.retain(|topic| topic.name != *name);
        for part in parts {
            if let Some(multi) = self.multi.get_mut(&id) {
                multi.remove_part(part);
            }
            let ask = join.map_or(Ask::Nothing, Ask::Join);
            if let Some(join) = join {
                self.join_waits(join);
            }
            self.asking(ask, |client| client.close_consumer(part, now));
        }
        self.share_queue(id);
        if let Some(Added::By(op)) = op {
            self.complete(op, Err(error.clone()));
        }
    }

    /// A topic that was being added did not open in time.
    pub(super) fn add_timed_out(&mut self, id: ConsumerId, op: OpId) {
        let Some(multi) = self.multi.get(&id) else { return };
        let Some(name) = multi.topics.iter().find(|t| t.added == Added::By(op)).map(|t| t.name.clone())
        else {
            return self.complete(op, Err(Error::timeout("opening it")));
        };
        let last = multi.parts_of(&name).into_iter().find_map(|part| self.link_error(Owner::Consumer(part)));
        self.topic_failed(id, &name, Error::timeout("opening it").because(last));
    }

    /// A topic has so many partitions by now.
    pub(super) fn consumer_grown(&mut self, id: ConsumerId, name: &TopicName, partitions: u32) {
        let Some(multi) = self.multi.get_mut(&id) else { return };
        let Some(topic) = multi.topic(name).filter(|topic| topic.open) else { return };
        let known = topic.partitions.unwrap_or(0);
        if known == 0 || partitions <= known {
            return;
        }
        topic.partitions = Some(partitions);
        if multi.config.tells_interceptors {
            self.emit(Event::PartitionsChanged { consumer: id, topic: name.clone(), partitions });
        }
        for partition in known..partitions {
            if let Err(error) = self.open_topic_part(id, name.of_partition(partition), true) {
                return self.tell(id, error);
            }
        }
        self.share_queue(id);
    }

    // ---- messages ----

    #[cold]
    pub(super) fn take_of_several(
        &mut self,
        id: ConsumerId,
    ) -> Result<Option<Result<Message, Error>>, Error> {
        loop {
            let multi = self.multi.get_mut(&id).ok_or_else(|| Error::closed("consumer"))?;
            if let Some(error) = multi.failure() {
                return Ok(Some(Err(error)));
            }
            let Some(part) = multi.next() else { return Ok(None) };
            let taken = self.take_of_one(part);
            let Some(multi) = self.multi.get_mut(&id) else { continue };
            if let Some(Some(message)) = taken {
                multi.again(part);
                if message.is_ok() {
                    multi.taken(part);
                }
                return Ok(Some(message));
            }
        }
    }

    #[cold]
    pub(super) fn several_have_messages(&self, id: ConsumerId) -> bool {
        self.multi
            .get(&id)
            .is_some_and(|multi| multi.has_failures() || multi.waiting().any(|part| self.has_messages(*part)))
    }

    #[cold]
    pub(super) fn delivered_of_several(&mut self, id: ConsumerId, mut n: u32) {
        while let Some((part, of)) = self.multi.get_mut(&id).and_then(|multi| multi.delivered(n)) {
            n -= of;
            self.delivered_of_one(part, of);
        }
    }

    /// What the user is told of a part: as if it were of the whole.
    pub(super) fn event_of_part(&mut self, event: Event) -> Option<Event> {
        let id = match &event {
            Event::Ready(id) | Event::ConsumerReset(id) | Event::EndOfTopic(id) => *id,
            Event::ActiveConsumer { consumer, .. } | Event::Redelivering { consumer, .. } => *consumer,
            _ => return Some(event),
        };
        let Some(member) = self.consumers.get(&id).and_then(|c| c.member) else { return Some(event) };
        let Some(multi) = self.multi.get_mut(&member.group) else { return Some(event) };
        match event {
            Event::Ready(_) => {
                // Whoever waits for a batch may have enough now.
                let told = multi.is_ready(id) || !multi.batches.is_empty();
                told.then_some(Event::Ready(member.group))
            }
            // The whole has ended when all of its parts have.
            Event::EndOfTopic(_) => {
                let ended = self.state_of_several(member.group).is_some_and(|state| state.end_of_topic);
                ended.then_some(Event::EndOfTopic(member.group))
            }
            Event::ActiveConsumer { partition, active, .. } => {
                Some(Event::ActiveConsumer { consumer: member.group, partition, active })
            }
            Event::Redelivering { ids, timed_out, .. } => {
                Some(Event::Redelivering { consumer: member.group, ids, timed_out })
            }
            // Those that are taken ahead are told apart by `Message::consumer`.
            other => {
                multi.reset(id);
                Some(other)
            }
        }
    }

    // ---- ends ----

    /// Whether a part that has failed is tried again, and what the user is told of it.
    pub(super) fn part_goes_on(&mut self, owner: Owner, error: &Error) -> bool {
        let Owner::Consumer(id) = owner else { return false };
        let Some(member) = self.consumers.get(&id).filter(|c| !c.link.is_first()).and_then(|c| c.member)
        else {
            return false;
        };
        let Some(multi) = self.multi.get_mut(&member.group) else { return false };
        // Of a topic that is gone the pattern's next look tells.
        if multi.pattern.is_some() && matches!(error.kind(), ErrorKind::Broker(ServerError::TOPIC_NOT_FOUND))
        {
            return false;
        }
        if !error.is_retryable() && multi.part_fails(id, error) {
            self.emit(Event::Ready(member.group));
        }
        true
    }

    /// A part is gone.
    pub(super) fn consumer_part_ended(&mut self, group: ConsumerId, id: ConsumerId, error: Error) {
        let Some(multi) = self.multi.get_mut(&group) else { return };
        // Those that are closed on purpose are not there any more.
        let name = multi.topic_of(id).map(|topic| topic.name.clone());
        multi.remove_part(id);
        if let Some(name) = name.filter(|_| !matches!(multi.state, State::Closing(_))) {
            self.topic_failed(group, &name, error);
        }
    }

    pub(super) fn close_several(&mut self, id: ConsumerId, op: OpId, now: Now) {
        let Some(multi) = self.multi.get_mut(&id) else { return };
        match std::mem::replace(&mut multi.state, State::Closing(op)) {
            State::Closing(earlier) => {
                multi.state = State::Closing(earlier);
                multi.also_closing.push(op);
            }
            State::Opening(created) => {
                let error = Error::closed("consumer");
                self.forget(Owner::Consumer(id), &error);
                self.complete(created, Err(error));
                self.complete(op, Ok(Output::Done));
            }
            State::Open => {
                let parts = multi.ids();
                let join = self.join(Joined::Closed(Owner::Consumer(id), op));
                for part in parts {
                    self.join_part(join, |client| client.close_consumer(part, now));
                }
                self.join_ended(join, None);
            }
        }
    }

    pub(super) fn several_timed_out(&mut self, id: ConsumerId) {
        let Some(multi) = self.multi.get(&id) else { return };
        let State::Opening(created) = multi.state else { return };
        let last = multi.ids().into_iter().find_map(|part| self.link_error(Owner::Consumer(part)));
        let error = Error::timeout("opening it").because(last);
        self.forget(Owner::Consumer(id), &error);
        self.complete(created, Err(error));
    }

    /// Removes it with all its parts.
    pub(super) fn forget_several(&mut self, id: ConsumerId, error: &Error) {
        let now = self.now;
        self.timers.cancel(Timer::Grow(Owner::Consumer(id)));
        self.unwatch(id);
        let Some(multi) = self.multi.remove(&id) else { return };
        for part in multi.ids() {
            self.asking(Ask::Nothing, |client| client.close_consumer(part, now));
        }
        for topic in multi.topics {
            if let Added::By(op) = topic.added {
                self.complete(op, Err(error.clone()));
            }
        }
        self.emit(Event::ConsumerEnded { consumer: id, error: error.clone() });
        for op in multi.also_closing {
            self.complete(op, Ok(Output::Done));
        }
    }
}

fn not_several() -> Error {
    Error::new(ErrorKind::NotSupported, "the consumer has a single topic, for good")
}
