//! Whatever breaks, every operation and every send ends exactly once, and the same seed gives the
//! same trace.

use std::collections::BTreeMap;

use pulsewire_proto::wire::*;
use pulsewire_proto::{
    ClientConfig, ConnId, ConsumerConfig, ConsumerId, Error, ErrorKind, OpId, Output, ProducerConfig,
    ProducerId, RegexSubscriptionMode, SeekTarget, SendToken, SubscriptionType, TopicName, TopicsPattern,
};

use crate::talk::*;

struct World {
    talk: Talk,
    rng: fastrand::Rng,
    ops: Vec<OpId>,
    producers: Vec<ProducerId>,
    consumers: Vec<ConsumerId>,
    sends: Vec<(ProducerId, SendToken)>,
    /// What the scripted broker knows of each connection: consumers that are open there.
    open: BTreeMap<ConnId, Vec<u64>>,
    watchers: Vec<(ConnId, u64)>,
    next_entry: u64,
    trace: Vec<String>,
}

/// How an operation ended, for the trace.
fn words(result: &Result<Output, Error>) -> String {
    match result {
        Ok(output) => format!("{output:?}"),
        Err(error) => error.code().to_owned(),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let config =
            ClientConfig { memory_limit: 4000, operation_timeout: secs(8), ..config("pulsar://one,two") };
        Self {
            talk: Talk::with(config),
            rng: fastrand::Rng::with_seed(seed),
            ops: Vec::new(),
            producers: Vec::new(),
            consumers: Vec::new(),
            sends: Vec::new(),
            open: BTreeMap::new(),
            watchers: Vec::new(),
            next_entry: 0,
            trace: Vec::new(),
        }
    }

    fn now(&self) -> pulsewire_proto::Now {
        self.talk.now
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        self.rng.choice(from).copied()
    }

    /// Something that a user does.
    fn user(&mut self) {
        let now = self.now();
        let producer = self.pick(&self.producers.clone());
        let consumer = self.pick(&self.consumers.clone());
        let soon = ms(300);
        match (self.rng.u32(..27), producer, consumer) {
            (0, ..) if self.producers.len() < 6 => {
                let config = ProducerConfig { send_timeout: secs(5), ..unbatched() };
                let (id, op) = self.talk.client.create_producer(config, now).expect("options");
                self.producers.push(id);
                self.ops.push(op);
            }
            (1, ..) if self.consumers.len() < 6 => {
                let config = ConsumerConfig {
                    subscription_type: SubscriptionType::Shared,
                    negative_ack_redelivery_delay: secs(1),
                    receiver_queue_size: 4,
                    ..ConsumerConfig::new(topic(), "s")
                };
                let (id, op) = self.talk.client.subscribe(config, now).expect("options");
                self.consumers.push(id);
                self.ops.push(op);
            }
            // Handles that are made of others.
            (20, ..) if self.producers.len() < 8 => {
                let config = ProducerConfig {
                    topic: TopicName::parse("many").expect("a topic"),
                    send_timeout: secs(5),
                    lazy_start_partitioned_producers: self.rng.bool(),
                    auto_update_partitions_interval: soon,
                    ..unbatched()
                };
                let (id, op) = self.talk.client.create_producer(config, now).expect("options");
                self.producers.push(id);
                self.ops.push(op);
            }
            (21, ..) if self.consumers.len() < 8 => {
                let many = TopicName::parse("many").expect("a topic");
                let config = ConsumerConfig {
                    subscription_type: SubscriptionType::Shared,
                    receiver_queue_size: 4,
                    auto_update_partitions_interval: soon,
                    pattern_auto_discovery_period: soon,
                    ..ConsumerConfig::new(many.clone(), "s")
                };
                let client = &mut self.talk.client;
                let (id, op) = match self.rng.u32(..3) {
                    0 => client.subscribe(config, now).expect("options"),
                    1 => client.subscribe_topics(config, &[topic(), many], now).expect("options"),
                    _ => {
                        let pattern = TopicsPattern::parse("a.*").expect("a pattern");
                        let mode = RegexSubscriptionMode::PersistentOnly;
                        client.subscribe_pattern(config, pattern, mode, now).expect("options")
                    }
                };
                self.consumers.push(id);
                self.ops.push(op);
            }
            (22, _, Some(id)) => {
                let name = TopicName::parse(["many", "more", "t"][self.rng.usize(..3)]).expect("a topic");
                let op = match self.rng.bool() {
                    true => self.talk.client.add_topic(id, name, now),
                    false => self.talk.client.remove_topic(id, &name, now),
                };
                self.ops.push(op);
            }
            (23, _, Some(id)) => self.ops.push(self.talk.client.last_message_ids(id, now)),
            (24, Some(id), _) => self.ops.push(self.talk.client.flush(id, now)),
            (2, ..) => self.ops.push(self.talk.client.partitions(topic(), now)),
            (3, ..) => self.ops.push(self.talk.client.topics("public/default", now)),
            (4, _, Some(id)) => self.ops.push(self.talk.client.last_message_id(id, now)),
            (5, _, Some(id)) => self.ops.push(self.talk.client.unsubscribe(id, false, now)),
            (15, _, Some(id)) if self.rng.bool() => {
                let target = SeekTarget::PublishTime(1);
                self.ops.push(self.talk.client.seek(id, target, now));
            }
            (16, _, Some(id)) if self.rng.bool() => {
                self.talk.client.redeliver_unacknowledged(id, now).ok();
            }
            (6, Some(id), _) if self.rng.u32(..4) == 0 => {
                self.ops.push(self.talk.client.close_producer(id, now));
            }
            (7, _, Some(id)) if self.rng.u32(..4) == 0 => {
                self.ops.push(self.talk.client.close_consumer(id, now));
            }
            (8..=14, Some(id), _) => {
                let payload = vec![1; self.rng.usize(..900)];
                if let Ok(token) = self.talk.try_send(id, &payload) {
                    self.sends.push((id, token));
                }
            }
            (_, _, Some(id)) => {
                while let Ok(Some(taken)) = self.talk.client.take(id) {
                    let Ok(message) = taken else { continue };
                    self.talk.client.delivered(id, 1);
                    let at = message.id();
                    match self.rng.u32(..4) {
                        0 => self.talk.client.negative_acknowledge(id, at, now).ok(),
                        n => self.talk.client.acknowledge(id, at, n == 1, now).ok(),
                    };
                }
            }
            _ => {}
        }
    }

    /// Connections are opened, refused, or left hanging.
    fn sockets(&mut self) {
        while let Some((conn, endpoint)) = self.talk.asked() {
            self.trace.push(format!("{conn:?} to {endpoint}"));
            match self.rng.u32(..10) {
                0 => self.talk.client.closed(conn, Error::new(ErrorKind::Connect, "refused"), self.talk.now),
                1 => {}
                _ => {
                    self.talk.line(conn, &endpoint);
                    self.open.insert(conn, Vec::new());
                }
            }
        }
    }

    /// The broker hears what was said and answers well, badly, late or not at all.
    fn brokers(&mut self) {
        for (conn, _) in self.talk.lines() {
            let patience = self.rng.usize(..12);
            for _ in 0..patience {
                let Some((command, _)) = self.talk.heard(conn) else { break };
                self.trace.push(format!("{conn:?} {}", command.name()));
                self.answer(conn, command);
                if !self.talk.is_open(conn) {
                    break;
                }
            }
        }
    }

    fn answer(&mut self, conn: ConnId, command: Command) {
        let mood = self.rng.u32(..16);
        let errors = [
            ServerError::SERVICE_NOT_READY,
            ServerError::PRODUCER_BUSY,
            ServerError::TOO_MANY_REQUESTS,
            ServerError::AUTHORIZATION_ERROR,
        ];
        let error = self.pick(&errors).expect("an error");
        let request_id = match &command {
            Command::PartitionedTopicMetadata(c) => Some(c.request_id),
            Command::LookupTopic(c) => Some(c.request_id),
            Command::Producer(c) => Some(c.request_id),
            Command::Subscribe(c) => Some(c.request_id),
            Command::CloseProducer(c) => Some(c.request_id),
            Command::CloseConsumer(c) => Some(c.request_id),
            Command::GetTopicsOfNamespace(c) => Some(c.request_id),
            Command::GetLastMessageId(c) => Some(c.request_id),
            Command::WatchTopicList(c) => Some(c.request_id),
            Command::Unsubscribe(c) => Some(c.request_id),
            _ => None,
        };
        match (mood, request_id) {
            (0, _) => return,
            (1, Some(request)) => return self.talk.say(conn, failure(request, error)),
            (2, Some(request)) if !matches!(command, Command::Producer(_)) => {
                return self.talk.say(conn, success(request));
            }
            _ => {}
        }
        match command {
            Command::Connect(_) if mood == 3 => {
                self.talk.say(conn, failure(u64::MAX, ServerError::SERVICE_NOT_READY))
            }
            Command::Connect(_) => {
                let watchers = FeatureFlags { supports_topic_watchers: Some(true), ..Default::default() };
                self.talk.say(conn, CommandConnected { feature_flags: Some(watchers), ..connected(0) });
            }
            Command::PartitionedTopicMetadata(c) => {
                let n = if c.topic.ends_with("many") { self.rng.u32(..5) } else { 0 };
                self.talk.say(conn, partitions(c.request_id, n));
            }
            Command::WatchTopicList(c) => {
                self.watchers.push((conn, c.watcher_id));
                let (topic, topics_hash) = (self.topics(), "hash".to_owned());
                let (request_id, watcher_id) = (c.request_id, c.watcher_id);
                let success = CommandWatchTopicListSuccess { request_id, watcher_id, topic, topics_hash };
                self.talk.say(conn, success);
            }
            Command::LookupTopic(c) => {
                let urls = ["pulsar://one:6650", "pulsar://two:6650", "pulsar://three:6650"];
                let url = self.pick(&urls).expect("a URL");
                let mut response = serves(c.request_id, url);
                if mood < 6 {
                    response.response = Some(LookupResult::REDIRECT);
                }
                self.talk.say(conn, response);
            }
            Command::Producer(c) => {
                self.talk.say(conn, producer_success(c.request_id, "p", -1));
            }
            Command::Subscribe(c) => {
                self.open.entry(conn).or_default().push(c.consumer_id);
                self.talk.say(conn, success(c.request_id));
            }
            Command::Send(c) => {
                let id = ProducerId(c.producer_id);
                match mood {
                    3 => {
                        let kinds = [
                            ServerError::CHECKSUM_ERROR,
                            ServerError::PERSISTENCE_ERROR,
                            ServerError::NOT_ALLOWED_ERROR,
                            ServerError::TOPIC_TERMINATED_ERROR,
                        ];
                        let most = if self.rng.u32(..4) == 0 { 4 } else { 3 };
                        let error = kinds[self.rng.usize(..most)];
                        let error = CommandSendError {
                            producer_id: c.producer_id,
                            sequence_id: c.sequence_id,
                            error,
                            message: "no".to_owned(),
                        };
                        self.talk.say(conn, error);
                    }
                    4 => self.talk.receipt(conn, id, c.sequence_id + 1),
                    5 => self.talk.receipt(conn, id, c.sequence_id.saturating_sub(1)),
                    _ => self.talk.receipt(conn, id, c.sequence_id),
                }
            }
            Command::Ping(_) => self.talk.say(conn, CommandPong::default()),
            Command::CloseProducer(c) => self.talk.say(conn, success(c.request_id)),
            Command::CloseConsumer(c) => self.talk.say(conn, success(c.request_id)),
            Command::Unsubscribe(c) => self.talk.say(conn, success(c.request_id)),
            Command::GetTopicsOfNamespace(c) => {
                let (request_id, topics) = (c.request_id, self.topics());
                let response =
                    CommandGetTopicsOfNamespaceResponse { request_id, topics, ..Default::default() };
                self.talk.say(conn, response);
            }
            Command::GetLastMessageId(c) => {
                let request_id = c.request_id;
                self.talk.say(conn, CommandGetLastMessageIdResponse { request_id, ..Default::default() });
            }
            _ => {}
        }
    }

    /// Topics that a namespace may have.
    fn topics(&mut self) -> Vec<String> {
        let all = ["a1", "a2", "a-many-partition-0", "a-many-partition-1", "b"];
        let all = all.iter().filter(|_| self.rng.bool());
        all.map(|local| format!("persistent://public/default/{local}")).collect()
    }

    /// Things break by themselves.
    fn faults(&mut self) {
        let Some((conn, _)) = self.pick_line() else { return };
        match self.rng.u32(..60) {
            0 => self.talk.cut(conn),
            1 => self.talk.say_bytes(conn, vec![0xff; 5]),
            2 => {
                let producer_id = self.rng.u64(..40);
                let assigned_broker_service_url = self.rng.bool().then(|| "pulsar://three:6650".to_owned());
                let close =
                    CommandCloseProducer { producer_id, assigned_broker_service_url, ..Default::default() };
                self.talk.say(conn, close);
            }
            3 => {
                let consumer_id = self.rng.u64(..40);
                self.talk.say(conn, CommandCloseConsumer { consumer_id, ..Default::default() });
            }
            31..=33 => {
                let watchers: Vec<_> =
                    self.watchers.iter().filter(|(on, _)| *on == conn).map(|(_, id)| *id).collect();
                if let Some(watcher_id) = self.pick(&watchers) {
                    let (new_topics, deleted_topics) = (self.topics(), self.topics());
                    let topics_hash = "hash".to_owned();
                    let update =
                        CommandWatchTopicUpdate { watcher_id, new_topics, deleted_topics, topics_hash };
                    self.talk.say(conn, update);
                }
            }
            4..=30 => {
                let consumers = self.open.get(&conn).cloned().unwrap_or_default();
                if let Some(id) = self.pick(&consumers) {
                    self.next_entry += 1;
                    let entry = match self.rng.u32(..4) {
                        0 => batch(&[Some("a"), None, Some("c")]),
                        1 => batch(&[Some("a"); 3]).slice(..30),
                        _ => single("x"),
                    };
                    self.talk.say_bytes(conn, delivery(ConsumerId(id), self.next_entry, &[], &entry));
                }
            }
            _ => {}
        }
    }

    fn pick_line(&mut self) -> Option<(ConnId, String)> {
        let lines = self.talk.lines();
        self.rng.choice(lines.iter()).cloned()
    }

    fn run(mut self, steps: usize) -> Vec<String> {
        for _ in 0..steps {
            self.user();
            self.sockets();
            self.brokers();
            self.faults();
            let wait = match self.rng.u32(..20) {
                0 => self.rng.u64(..10_000),
                1..=4 => self.rng.u64(..300),
                _ => self.rng.u64(..5),
            };
            self.talk.pass(ms(wait));
            assert!(self.talk.states.len() < 100_000);
        }
        // Whether or not it is closed, and whether or not the peer still speaks, all of it ends.
        if self.rng.bool() {
            let op = self.talk.client.close(self.talk.now);
            self.ops.push(op);
            for _ in 0..self.rng.usize(..10) {
                self.brokers();
            }
            self.talk.pass(secs(10));
            assert!(self.talk.client.is_done(), "a closed client is done after its timeout");
            assert_eq!(self.talk.client.next_deadline(), None);
        } else {
            self.talk.pass(secs(10));
        }
        let ended = self.talk.all_ended();
        for op in &self.ops {
            let result = ended.get(op).unwrap_or_else(|| panic!("{op:?} never ended"));
            self.trace.push(format!("{op:?} {}", words(result)));
        }
        let settled = self.talk.all_settled();
        for send in &self.sends {
            let result = settled.get(send).unwrap_or_else(|| panic!("{send:?} never ended"));
            let result = result.as_ref().map(ToString::to_string).map_err(Error::code);
            self.trace.push(format!("{send:?} {result:?}"));
        }
        assert_eq!(settled.len(), self.sends.len(), "no outcome without a send");
        self.trace
    }
}

#[test]
fn p07_every_operation_and_send_ends_exactly_once_whatever_breaks() {
    let (mut good, mut bad) = (0, 0);
    for seed in 0..300 {
        for line in World::new(seed).run(250) {
            good += usize::from(line.contains("Ok("));
            bad += usize::from(line.contains("Err("));
        }
    }
    // Both happen often, or the test says little.
    assert!(good > 1000 && bad > 1000, "{good} sends stored, {bad} failed");
}

#[test]
fn n06_the_same_seed_gives_the_same_trace() {
    for seed in 1000..1010 {
        assert_eq!(World::new(seed).run(250), World::new(seed).run(250), "seed {seed}");
    }
    assert_ne!(World::new(1).run(250), World::new(2).run(250));
}
