//! Receiving: permits of every kind of queue, pauses, batches, notices, statistics, the watchdog.

use bytes::Bytes;
use pulsewire_proto::wire::*;
use pulsewire_proto::{
    BatchReceivePolicy, ClientConfig, ConnId, ConsumerConfig, ConsumerId, ErrorKind, Event, MessageId,
    Output, SubscriptionType,
};

use crate::talk::*;

fn shared() -> ConsumerConfig {
    ConsumerConfig { subscription_type: SubscriptionType::Shared, ..ungrouped() }
}

fn queue_of(size: u32) -> ConsumerConfig {
    ConsumerConfig { receiver_queue_size: size, ..shared() }
}

/// A consumer that is open; what it said of permits is still to be heard.
fn open(talk: &mut Talk, config: ConsumerConfig) -> (ConsumerId, ConnId) {
    let (id, op) = talk.client.subscribe(config, talk.now).expect("options");
    let conn = talk.accept(BROKER);
    talk.locate(conn);
    let open = hear!(talk, conn, Subscribe);
    talk.say(conn, success(open.request_id));
    talk.ended(op).expect("a consumer");
    (id, conn)
}

fn reopen(talk: &mut Talk) -> ConnId {
    let conn = talk.come_back();
    let open = hear!(talk, conn, Subscribe);
    talk.say(conn, success(open.request_id));
    conn
}

/// Permits that were given since this was asked last.
fn permits(talk: &mut Talk, conn: ConnId) -> u32 {
    let mut sum = 0;
    while let Some((command, _)) = talk.heard(conn) {
        match command {
            Command::Flow(flow) => sum += flow.message_permits,
            Command::Ack(ack) if ack.validation_error.is_some() => {}
            Command::RedeliverUnacknowledgedMessages(_) => {}
            other => panic!("{other:?}"),
        }
    }
    sum
}

fn take(talk: &mut Talk, id: ConsumerId) -> Option<String> {
    let taken = talk.client.take(id).expect("open");
    taken.map(|message| payload(&message.expect("a message")))
}

fn receive(talk: &mut Talk, id: ConsumerId) -> Option<String> {
    let taken = take(talk, id);
    if taken.is_some() {
        talk.client.delivered(id, 1);
    }
    taken
}

fn ready(talk: &mut Talk) -> bool {
    let mut ready = false;
    while let Some(event) = talk.event() {
        ready |= matches!(event, Event::Ready(_));
    }
    ready
}

// ---- permits ----

/// Plays a broker and a user at random; after each step all permits are accounted for.
struct Play {
    talk: Talk,
    rng: fastrand::Rng,
    id: ConsumerId,
    conn: ConnId,
    /// Permits that the broker has; below zero after a batch of more.
    broker: i64,
    taken: u32,
    entry: u64,
    epoch: u64,
    paused: bool,
}

impl Play {
    fn new(seed: u64, config: ConsumerConfig) -> Self {
        let mut talk = Talk::new();
        let (id, conn) = open(&mut talk, config);
        let rng = fastrand::Rng::with_seed(seed);
        Self { talk, rng, id, conn, broker: 0, taken: 0, entry: 0, epoch: 0, paused: false }
    }

    fn hear(&mut self) {
        while let Some((command, _)) = self.talk.heard(self.conn) {
            match command {
                Command::Flow(flow) => {
                    assert!(!self.paused, "a FLOW during a pause");
                    self.broker += i64::from(flow.message_permits);
                }
                Command::RedeliverUnacknowledgedMessages(again) => {
                    self.epoch = again.consumer_epoch.unwrap_or(self.epoch);
                }
                _ => {}
            }
        }
    }

    fn check(&mut self) {
        self.hear();
        let state = self.talk.client.consumer_state(self.id).expect("open");
        let size = i64::from(state.receiver_queue_size.max(1));
        let here = i64::from(state.queued_messages) + i64::from(state.available_permits);
        assert_eq!(self.broker + i64::from(self.taken) + here, size, "{state:?}");
    }

    fn deliver(&mut self, entry: Bytes, ack_set: &[i64], counted: i64, epoch: Option<u64>) {
        if self.broker <= 0 {
            return;
        }
        self.entry += 1;
        let command = CommandMessage {
            consumer_id: self.id.0,
            message_id: MessageIdData { ledger_id: 3, entry_id: self.entry, ..Default::default() },
            redelivery_count: Some(0),
            ack_set: ack_set.to_vec(),
            consumer_epoch: epoch,
        };
        let mut out = bytes::BytesMut::new();
        frame::encode_with_entry(&command.into(), &entry, &mut out);
        self.broker -= counted;
        self.talk.say_bytes(self.conn, out);
    }

    fn step(&mut self, batches: bool) {
        match self.rng.u32(..if batches { 16 } else { 10 }) {
            0..3 => self.deliver(single("one"), &[], 1, None),
            3..6 => {
                if let Ok(Some(Ok(_))) = self.talk.client.take(self.id) {
                    self.taken += 1;
                }
            }
            6 => {
                let n = self.rng.u32(..=self.taken);
                self.talk.client.delivered(self.id, n);
                self.taken -= n;
            }
            7 => {
                let mut bytes = single("damaged").to_vec();
                *bytes.last_mut().expect("bytes") ^= 1;
                self.deliver(bytes.into(), &[], 1, None);
            }
            8 if self.rng.u32(..4) == 0 => {
                self.paused = !self.paused;
                let done = if self.paused {
                    self.talk.client.pause(self.id)
                } else {
                    self.talk.client.resume(self.id)
                };
                done.expect("open");
            }
            9 if self.rng.u32(..20) == 0 => {
                self.talk.cut(self.conn);
                (self.broker, self.taken) = (0, 0);
                self.conn = reopen(&mut self.talk);
            }
            10 => self.deliver(single("of before"), &[], 1, self.epoch.checked_sub(1)),
            11 if self.rng.u32(..10) == 0 => {
                self.talk.client.redeliver_unacknowledged(self.id, self.talk.now).expect("open");
                self.taken = 0;
            }
            12 => {
                let packed = MessageMetadata { compression: Some(CompressionType(99)), ..metadata() };
                self.deliver(entry_of(&packed, b"unknown codec"), &[], 1, None);
            }
            13..16 => {
                let size = self.rng.usize(1..9);
                let payloads: Vec<Option<&str>> =
                    (0..size).map(|_| (self.rng.u32(..4) > 0).then_some("of a batch")).collect();
                let bits = if self.rng.bool() { Vec::new() } else { vec![self.rng.i64(..) | 1] };
                let open = bits.first().map_or(size as u32, |b: &i64| (b & ((1 << size) - 1)).count_ones());
                self.deliver(batch(&payloads), &bits, i64::from(open), None);
            }
            _ => {}
        }
    }
}

#[test]
fn c23_permits_are_conserved_whatever_happens() {
    for seed in 0..300 {
        let size = [1, 2, 3, 10, 100][seed as usize % 5];
        let kind = if seed % 2 == 0 { SubscriptionType::Exclusive } else { SubscriptionType::Shared };
        let scaled = seed % 3 == 0;
        let config = ConsumerConfig {
            subscription_type: kind,
            receiver_queue_size: size,
            auto_scaled_receiver_queue_size: scaled,
            ..ungrouped()
        };
        let mut play = Play::new(seed, config);
        for _ in 0..400 {
            play.check();
            play.step(true);
        }
    }
}

#[test]
fn c23_permits_of_a_queue_of_zero_are_conserved_too() {
    for seed in 0..100 {
        let mut play = Play::new(seed, queue_of(0));
        for _ in 0..400 {
            play.check();
            assert!(play.broker <= 1, "one at a time");
            play.step(false);
        }
    }
}

#[test]
fn c23_a_queue_of_zero_has_one_permit_out_while_somebody_waits() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, queue_of(0));
    talk.quiet(conn);
    for n in 0..3 {
        assert_eq!(take(&mut talk, id), None);
        assert_eq!(permits(&mut talk, conn), 1);
        assert_eq!(take(&mut talk, id), None);
        assert_eq!(permits(&mut talk, conn), 0, "one who asks again waits for the same");
        talk.deliver(conn, id, n, "x");
        assert_eq!(receive(&mut talk, id).as_deref(), Some("x"));
        talk.quiet(conn);
    }
    // What is not for the user does not count as the answer.
    assert_eq!(take(&mut talk, id), None);
    assert_eq!(permits(&mut talk, conn), 1);
    let mut bytes = single("damaged").to_vec();
    *bytes.last_mut().expect("bytes") ^= 1;
    talk.say_bytes(conn, delivery(id, 4, &[], &bytes));
    assert_eq!(permits(&mut talk, conn), 1);
    // Nor does a lost connection.
    talk.cut(conn);
    let conn = reopen(&mut talk);
    assert_eq!(permits(&mut talk, conn), 1);
    talk.deliver(conn, id, 5, "y");
    assert_eq!(receive(&mut talk, id).as_deref(), Some("y"));
    talk.cut(conn);
    let conn = reopen(&mut talk);
    talk.quiet(conn);
}

#[test]
fn c23_a_batch_for_a_queue_of_zero_closes_the_consumer() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, queue_of(0));
    assert_eq!(take(&mut talk, id), None);
    hear!(talk, conn, Flow);
    talk.say_bytes(conn, delivery(id, 0, &[], &batch(&[Some("alone")])));
    assert_eq!(hear!(talk, conn, CloseConsumer).consumer_id, id.0);
    match talk.event() {
        Some(Event::ConsumerEnded { consumer, error }) => {
            assert_eq!((consumer, error.kind()), (id, ErrorKind::NotSupported));
        }
        other => panic!("{other:?}"),
    }
    assert!(talk.is_open(conn));
    assert_eq!(kind(talk.client.take(id)), ErrorKind::AlreadyClosed);
}

/// Java would say at 50, and of the first two FLOWs of a batch one is in vain.
#[test]
fn c23_when_a_batch_took_all_permits_the_broker_hears_of_an_eighth_of_the_queue() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, queue_of(100));
    assert_eq!(permits(&mut talk, conn), 100);
    let letters = vec![Some("x"); 100];
    talk.say_bytes(conn, delivery(id, 0, &[], &batch(&letters)));
    let mut said = Vec::new();
    let mut taken = |talk: &mut Talk, to: u32| {
        while said.last().is_none_or(|(n, _)| *n < to) {
            receive(talk, id).expect("one is left");
            said.push((said.len() as u32 + 1, permits(talk, conn)));
        }
        said.iter().filter(|(_, permits)| *permits > 0).copied().collect::<Vec<_>>()
    };
    assert_eq!(taken(&mut talk, 50), [(13, 13)]);
    // The broker sends an entry for one permit, and has 87 less than none then.
    talk.say_bytes(conn, delivery(id, 1, &[], &batch(&letters)));
    assert_eq!(taken(&mut talk, 150), [(13, 13), (113, 100)]);
    // Whatever is under way, it is no more than the queue: the rest comes as messages that stand alone.
    for n in 0..13 {
        talk.deliver(conn, id, 2 + n, "y");
    }
    assert_eq!(taken(&mut talk, 213), [(13, 13), (113, 100), (163, 50), (213, 50)]);
}

#[test]
fn c23_permits_that_wait_for_a_batch_to_be_taken_go_out_all_the_same_on_another_connection() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, queue_of(10));
    assert_eq!(permits(&mut talk, conn), 10);
    talk.say_bytes(conn, delivery(id, 0, &[], &batch(&[Some("x"); 50])));
    for _ in 0..30 {
        receive(&mut talk, id);
    }
    talk.quiet(conn);
    talk.cut(conn);
    let conn = reopen(&mut talk);
    assert_eq!(permits(&mut talk, conn), 10);
}

#[test]
fn c23_an_auto_scaled_queue_doubles_when_it_ran_empty_after_it_was_full() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { auto_scaled_receiver_queue_size: true, ..queue_of(7) };
    let (id, conn) = open(&mut talk, config);
    assert_eq!(permits(&mut talk, conn), 1);
    let size = |talk: &Talk| talk.client.consumer_state(id).expect("open").receiver_queue_size;
    // To look into an empty queue is no reason to grow.
    assert_eq!((take(&mut talk, id), size(&talk)), (None, 1));
    let (mut out, mut entry, mut sizes) = (1, 0, Vec::new());
    for _ in 0..4 {
        for _ in 0..out {
            talk.deliver(conn, id, entry, "x");
            entry += 1;
        }
        while receive(&mut talk, id).is_some() {}
        out = permits(&mut talk, conn);
        sizes.push((size(&talk), out));
    }
    // The permits that it grew by go out with others, half a queue at a time.
    assert_eq!(sizes, [(2, 2), (4, 4), (7, 4), (7, 4)]);
}

#[test]
fn c23_auto_scaled_queues_shrink_when_memory_is_short() {
    let mut talk = Talk::with(ClientConfig { memory_limit: 10_000, ..config(BROKER) });
    let config = ConsumerConfig { auto_scaled_receiver_queue_size: true, ..queue_of(8) };
    let (id, conn) = open(&mut talk, config);
    let size = |talk: &Talk| talk.client.consumer_state(id).expect("open").receiver_queue_size;
    let mut entry = 0;
    for _ in 0..3 {
        for _ in 0..permits(&mut talk, conn) {
            talk.deliver(conn, id, entry, "x");
            entry += 1;
        }
        while receive(&mut talk, id).is_some() {}
    }
    assert_eq!((size(&talk), permits(&mut talk, conn)), (8, 8));
    for n in 0..8 {
        talk.deliver(conn, id, 100 + n, &"y".repeat(1300));
    }
    assert_eq!(size(&talk), 4);
    // Only half of the permits are due again.
    while receive(&mut talk, id).is_some() {}
    assert_eq!(permits(&mut talk, conn), 8, "memory is free again, and it grows");
    assert_eq!(size(&talk), 8);
}

#[test]
fn c23_a_cap_on_bytes_asks_for_what_it_has_room_for() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { receiver_queue_bytes: Some(1000), ..queue_of(100) };
    let (id, conn) = open(&mut talk, config);
    // Nothing is known of the messages yet.
    assert_eq!(permits(&mut talk, conn), 1);
    talk.deliver(conn, id, 0, &"x".repeat(100));
    assert_eq!(permits(&mut talk, conn), 9);
    for n in 1..10 {
        talk.deliver(conn, id, n, &"x".repeat(100));
    }
    assert_eq!(talk.client.consumer_state(id).expect("open").queued_bytes, 1000);
    talk.quiet(conn);
    for _ in 0..5 {
        receive(&mut talk, id);
    }
    assert_eq!(permits(&mut talk, conn), 5);
    // A message that is larger than the cap comes alone, and holds the rest back.
    talk.deliver(conn, id, 10, &"x".repeat(2000));
    for _ in 0..5 {
        receive(&mut talk, id);
    }
    talk.quiet(conn);
    receive(&mut talk, id);
    let mut state = talk.client.consumer_state(id).expect("open");
    assert_eq!((state.receiver_queue_size, state.queued_bytes), (1, 0));
    // Small ones again: it opens up step by step.
    for n in 11..40 {
        talk.deliver(conn, id, n, "small");
        receive(&mut talk, id);
    }
    state = talk.client.consumer_state(id).expect("open");
    assert!(state.receiver_queue_size > 20, "{state:?}");
}

#[test]
fn c23_options_of_the_queue_are_checked_together() {
    let config = ConsumerConfig {
        receiver_queue_size: u32::MAX,
        receiver_queue_bytes: Some(0),
        watchdog_interval: Some(ms(1)),
        batch_receive_policy: BatchReceivePolicy {
            max_num_messages: None,
            max_num_bytes: None,
            timeout: None,
        },
        ..shared()
    };
    let error = config.validate().expect_err("four that are wrong").to_string();
    for word in ["receiver_queue_size", "receiver_queue_bytes", "watchdog_interval", "batch_receive_policy"] {
        assert!(error.contains(word), "{error}");
    }
}

// ---- pauses ----

#[test]
fn c14_no_permits_go_out_while_paused_not_even_through_a_reconnect() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, queue_of(4));
    assert_eq!(permits(&mut talk, conn), 4);
    for n in 0..4 {
        talk.deliver(conn, id, n, "x");
    }
    talk.client.pause(id).expect("open");
    for _ in 0..4 {
        assert_eq!(receive(&mut talk, id).as_deref(), Some("x"), "what is here is handed out");
    }
    talk.quiet(conn);
    talk.client.resume(id).expect("open");
    assert_eq!(permits(&mut talk, conn), 4);
    talk.client.pause(id).expect("open");
    talk.cut(conn);
    let conn = reopen(&mut talk);
    talk.quiet(conn);
    talk.client.resume(id).expect("open");
    assert_eq!(permits(&mut talk, conn), 4);
    talk.client.resume(id).expect("open");
    talk.quiet(conn);
}

#[test]
fn c14_a_consumer_may_start_paused() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, ConsumerConfig { start_paused: true, ..queue_of(0) });
    assert_eq!(take(&mut talk, id), None);
    talk.quiet(conn);
    talk.client.resume(id).expect("open");
    assert_eq!(permits(&mut talk, conn), 1);
}

// ---- batches ----

fn batches_of(messages: u32) -> ConsumerConfig {
    let policy =
        BatchReceivePolicy { max_num_messages: Some(messages), max_num_bytes: None, timeout: Some(ms(100)) };
    ConsumerConfig { batch_receive_policy: policy, ..queue_of(100) }
}

fn take_batch(talk: &mut Talk, id: ConsumerId, ticket: pulsewire_proto::BatchTicket) -> Option<Vec<String>> {
    let taken = talk.client.take_batch(id, ticket, talk.now).expect("open");
    taken.map(|messages| messages.iter().map(payload).collect())
}

#[test]
fn c03_a_batch_waits_for_its_number_or_its_time() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, batches_of(3));
    permits(&mut talk, conn);
    let ticket = talk.client.batch_receive(id, talk.now).expect("open");
    for n in 0..2 {
        talk.deliver(conn, id, n, &n.to_string());
        assert_eq!(take_batch(&mut talk, id, ticket), None);
    }
    ready(&mut talk);
    talk.deliver(conn, id, 2, "2");
    assert!(ready(&mut talk), "it is told when there are enough");
    talk.deliver(conn, id, 3, "3");
    assert_eq!(take_batch(&mut talk, id, ticket).expect("enough"), ["0", "1", "2"]);
    assert_eq!(take_batch(&mut talk, id, ticket), None, "a ticket is good for one");
    let ticket = talk.client.batch_receive(id, talk.now).expect("open");
    talk.pass(ms(99));
    ready(&mut talk);
    assert_eq!(take_batch(&mut talk, id, ticket), None);
    talk.pass(ms(1));
    assert!(ready(&mut talk), "and when time is up");
    assert_eq!(take_batch(&mut talk, id, ticket).expect("time is up"), ["3"]);
    let ticket = talk.client.batch_receive(id, talk.now).expect("open");
    talk.pass(ms(100));
    assert_eq!(take_batch(&mut talk, id, ticket).expect("time is up"), [""; 0]);
    talk.quiet(conn);
}

#[test]
fn c03_those_who_wait_are_served_in_their_order_and_one_who_leaves_loses_nothing() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, batches_of(2));
    let tickets: Vec<_> = (0..3).map(|_| talk.client.batch_receive(id, talk.now).expect("open")).collect();
    for n in 0..4 {
        talk.deliver(conn, id, n, &n.to_string());
    }
    assert_eq!(take_batch(&mut talk, id, tickets[1]), None, "not its turn");
    talk.client.forget_batch(id, tickets[0]);
    assert_eq!(take_batch(&mut talk, id, tickets[1]).expect("its turn"), ["0", "1"]);
    ready(&mut talk);
    assert_eq!(take_batch(&mut talk, id, tickets[2]).expect("its turn"), ["2", "3"]);
}

#[test]
fn c03_bytes_bound_a_batch_but_for_its_first_message() {
    let mut talk = Talk::new();
    let policy = BatchReceivePolicy { max_num_messages: None, max_num_bytes: Some(10), timeout: None };
    let (id, conn) = open(&mut talk, ConsumerConfig { batch_receive_policy: policy, ..queue_of(100) });
    talk.say_bytes(conn, delivery(id, 0, &[], &batch(&[Some("aaaa"), Some("bbbb"), None, Some("cccc")])));
    talk.deliver(conn, id, 1, "ddddddddddddddd");
    let ticket = talk.client.batch_receive(id, talk.now).expect("open");
    assert_eq!(take_batch(&mut talk, id, ticket).expect("enough"), ["aaaa", "bbbb"]);
    let ticket = talk.client.batch_receive(id, talk.now).expect("open");
    assert_eq!(take_batch(&mut talk, id, ticket).expect("enough"), ["cccc"]);
    let ticket = talk.client.batch_receive(id, talk.now).expect("open");
    assert_eq!(take_batch(&mut talk, id, ticket).expect("more than enough"), ["ddddddddddddddd"]);
}

#[test]
fn c03_a_full_queue_is_enough_since_nothing_more_can_come() {
    let mut talk = Talk::new();
    let policy = BatchReceivePolicy { max_num_messages: None, max_num_bytes: Some(1000), timeout: None };
    let (id, conn) = open(&mut talk, ConsumerConfig { batch_receive_policy: policy, ..queue_of(3) });
    let ticket = talk.client.batch_receive(id, talk.now).expect("open");
    for n in 0..3 {
        assert_eq!(take_batch(&mut talk, id, ticket), None);
        talk.deliver(conn, id, n, "x");
    }
    assert_eq!(take_batch(&mut talk, id, ticket).expect("full").len(), 3);
}

#[test]
fn c03_the_queue_is_as_large_as_a_batch() {
    let mut talk = Talk::new();
    let policy = BatchReceivePolicy { max_num_messages: Some(20), max_num_bytes: None, timeout: None };
    let (id, conn) = open(&mut talk, ConsumerConfig { batch_receive_policy: policy, ..queue_of(3) });
    assert_eq!(permits(&mut talk, conn), 20);
    let ticket = talk.client.batch_receive(id, talk.now).expect("open");
    for n in 0..20 {
        assert_eq!(take_batch(&mut talk, id, ticket), None);
        talk.deliver(conn, id, n, "x");
    }
    assert_eq!(take_batch(&mut talk, id, ticket).expect("a batch").len(), 20);
    // One that is larger stays as it is.
    let mut talk = Talk::new();
    let (_, conn) = open(&mut talk, ConsumerConfig { batch_receive_policy: policy, ..queue_of(50) });
    assert_eq!(permits(&mut talk, conn), 50);
}

#[test]
fn c03_an_unreadable_message_ends_a_batch_before_it_and_the_next_with_its_error() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, batches_of(2));
    talk.deliver(conn, id, 0, "a");
    let packed = MessageMetadata { compression: Some(CompressionType(99)), ..metadata() };
    talk.say_bytes(conn, delivery(id, 1, &[], &entry_of(&packed, b"x")));
    let ticket = talk.client.batch_receive(id, talk.now).expect("open");
    assert_eq!(take_batch(&mut talk, id, ticket).expect("two wait"), ["a"]);
    let ticket = talk.client.batch_receive(id, talk.now).expect("open");
    talk.deliver(conn, id, 2, "b");
    assert!(talk.client.take_batch(id, ticket, talk.now).is_err());
    let stats = talk.client.consumer_stats(id, talk.now).expect("open");
    assert_eq!((stats.total_batch_receive_failed, stats.total_receive_failed), (1, 1));
}

#[test]
fn c03_a_queue_of_zero_has_no_batches_and_a_closed_consumer_says_so() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, queue_of(0));
    assert_eq!(kind(talk.client.batch_receive(id, talk.now)), ErrorKind::InvalidOption);
    let op = talk.client.close_consumer(id, talk.now);
    let close = hear!(talk, conn, CloseConsumer);
    talk.say(conn, success(close.request_id));
    talk.ended(op).expect("closed");
    assert_eq!(kind(talk.client.batch_receive(id, talk.now)), ErrorKind::AlreadyClosed);
}

// ---- notices, state, statistics ----

#[test]
fn c15_the_end_of_a_topic_is_told_once() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, queue_of(4));
    permits(&mut talk, conn);
    talk.say(conn, CommandReachedEndOfTopic { consumer_id: id.0 });
    talk.say(conn, CommandReachedEndOfTopic { consumer_id: id.0 });
    assert_eq!((talk.event(), talk.event()), (Some(Event::EndOfTopic(id)), None));
    talk.cut(conn);
    let conn = reopen(&mut talk);
    assert_eq!(talk.event(), Some(Event::ConsumerReset(id)));
    talk.say(conn, CommandReachedEndOfTopic { consumer_id: id.0 });
    assert_eq!(talk.event(), None);
    assert!(talk.client.consumer_state(id).expect("open").end_of_topic);
}

#[test]
fn c27_the_active_consumer_is_told_also_before_the_answer_to_subscribe() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { subscription_type: SubscriptionType::Failover, ..ungrouped() };
    let (id, _) = talk.client.subscribe(config, talk.now).expect("options");
    let conn = talk.accept(BROKER);
    talk.locate(conn);
    let open = hear!(talk, conn, Subscribe);
    let active = |talk: &Talk| talk.client.consumer_state(id).expect("open").active;
    assert_eq!(active(&talk), None);
    talk.say(conn, CommandActiveConsumerChange { consumer_id: id.0, is_active: Some(true) });
    talk.say(conn, success(open.request_id));
    assert_eq!(active(&talk), Some(true));
    talk.say(conn, CommandActiveConsumerChange { consumer_id: id.0, is_active: None });
    assert_eq!(active(&talk), Some(false));
    let mut told = Vec::new();
    while let Some(event) = talk.event() {
        told.push(event);
    }
    let event = |active| Event::ActiveConsumer { consumer: id, partition: -1, active };
    assert_eq!(told, [event(true), event(false)]);
    talk.cut(conn);
    assert_eq!(active(&talk), None, "nobody knows while it is lost");
}

#[test]
fn c29_a_consumer_says_how_it_is() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, queue_of(10));
    for n in 0..4 {
        talk.deliver(conn, id, n, "four");
    }
    receive(&mut talk, id);
    let state = talk.client.consumer_state(id).expect("open");
    assert!(state.connected);
    assert_eq!((state.queued_messages, state.queued_bytes, state.available_permits), (3, 12, 1));
    assert_eq!((state.receiver_queue_size, state.last_disconnected), (10, 0));
    talk.cut(conn);
    let lost = talk.client.consumer_state(id).expect("open");
    assert_eq!((lost.connected, lost.queued_messages, lost.queued_bytes), (false, 0, 0));
    assert_eq!(lost.last_disconnected, talk.now.wall_ms);
    assert_eq!(talk.client.consumer_state(ConsumerId(77)), None);
}

#[test]
fn c18_statistics_have_totals_and_rates_since_they_were_asked_for() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, queue_of(10));
    for n in 0..6 {
        talk.deliver(conn, id, n, "four");
    }
    talk.pass(secs(2));
    for _ in 0..4 {
        receive(&mut talk, id);
    }
    let id_of = |entry_id| MessageId { ledger_id: 3, entry_id, ..MessageId::EARLIEST };
    talk.client.acknowledge(id, id_of(0), false, talk.now).expect("open");
    let stats = talk.client.consumer_stats(id, talk.now).expect("open");
    assert_eq!((stats.total_messages_received, stats.total_bytes_received), (4, 16));
    assert_eq!((stats.rate_messages_received, stats.rate_bytes_received), (2.0, 8.0));
    assert_eq!((stats.messages_in_receiver_queue, stats.total_acks_sent), (2, 1));
    talk.pass(secs(1));
    receive(&mut talk, id);
    let stats = talk.client.consumer_stats(id, talk.now).expect("open");
    assert_eq!((stats.total_messages_received, stats.rate_messages_received), (5, 1.0));
}

#[test]
fn c18_the_broker_is_asked_what_it_knows() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, queue_of(10));
    permits(&mut talk, conn);
    let op = talk.client.broker_consumer_stats(id, talk.now);
    let asked = hear!(talk, conn, ConsumerStats);
    assert_eq!(asked.consumer_id, id.0);
    talk.say(
        conn,
        CommandConsumerStatsResponse {
            request_id: asked.request_id,
            consumer_name: Some("me".to_owned()),
            available_permits: Some((-3_i64).cast_unsigned()),
            unacked_messages: Some(13),
            ..Default::default()
        },
    );
    let Ok(Output::ConsumerStats(stats)) = talk.ended(op) else { panic!("no statistics") };
    assert_eq!(
        (stats.consumer_name.as_str(), stats.available_permits, stats.unacked_messages),
        ("me", -3, 13)
    );
    let op = talk.client.broker_consumer_stats(id, talk.now);
    let asked = hear!(talk, conn, ConsumerStats);
    let failed = CommandConsumerStatsResponse {
        request_id: asked.request_id,
        error_code: Some(ServerError::CONSUMER_NOT_FOUND),
        ..Default::default()
    };
    talk.say(conn, failed);
    assert_eq!(kind(talk.ended(op)), ErrorKind::Broker(ServerError::CONSUMER_NOT_FOUND));
    talk.cut(conn);
    let op = talk.client.broker_consumer_stats(id, talk.now);
    assert_eq!(kind(talk.ended(op)), ErrorKind::Disconnected);
}

#[test]
fn c25_redelivery_is_told_where_it_is_asked_for() {
    let mut talk = Talk::new();
    let config = ConsumerConfig {
        tells_interceptors: true,
        negative_ack_redelivery_delay: ms(500),
        ack_timeout: secs(2),
        ..queue_of(10)
    };
    let (id, conn) = open(&mut talk, config);
    talk.deliver(conn, id, 0, "a");
    talk.deliver(conn, id, 1, "b");
    receive(&mut talk, id);
    receive(&mut talk, id);
    let entry = |entry_id| MessageId { ledger_id: 3, entry_id, ..MessageId::EARLIEST };
    talk.client.negative_acknowledge(id, entry(0), talk.now).expect("open");
    ready(&mut talk);
    talk.pass(secs(1));
    let told = Event::Redelivering { consumer: id, ids: vec![entry(0)], timed_out: false };
    assert_eq!(talk.event(), Some(told));
    talk.pass(secs(4));
    let told = Event::Redelivering { consumer: id, ids: vec![entry(1)], timed_out: true };
    assert_eq!(talk.event(), Some(told));
}

#[test]
fn c32_a_payload_is_a_slice_of_the_bytes_that_came() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, queue_of(10));
    let mut bytes = delivery(id, 0, &[], &single(&"s".repeat(500))).to_vec();
    bytes.extend_from_slice(&delivery(id, 1, &[], &batch(&[Some("first"), Some("second")])));
    let bytes = Bytes::from(bytes);
    let (from, to) = (bytes.as_ptr() as usize, bytes.as_ptr() as usize + bytes.len());
    talk.say_bytes(conn, bytes);
    for message in talk.receive(id) {
        let message = message.expect("a message");
        let (payload, shared) = (message.payload(), message.payload_bytes());
        assert!((from..to).contains(&(payload.as_ptr() as usize)), "no copy was made");
        assert_eq!((shared.as_ptr(), shared.len()), (payload.as_ptr(), message.size()));
    }
}

// ---- the watchdog ----

fn watched() -> ConsumerConfig {
    ConsumerConfig { watchdog_interval: Some(secs(5)), ..queue_of(4) }
}

/// Passes an interval, after which the broker is asked.
fn asked(talk: &mut Talk, conn: ConnId) -> CommandConsumerStats {
    talk.pass(secs(5));
    hear!(talk, conn, ConsumerStats)
}

fn knows(asked: &CommandConsumerStats, permits: u64) -> CommandConsumerStatsResponse {
    CommandConsumerStatsResponse {
        request_id: asked.request_id,
        available_permits: Some(permits),
        ..Default::default()
    }
}

#[test]
fn c23_a_consumer_that_goes_silent_although_the_socket_lives_is_noticed() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, watched());
    permits(&mut talk, conn);
    talk.deliver(conn, id, 0, "x");
    talk.pass(secs(5));
    talk.quiet(conn);
    // All is well while the broker has permits.
    let question = asked(&mut talk, conn);
    talk.say(conn, knows(&question, 3));
    talk.quiet(conn);
    // It has lost them.
    let question = asked(&mut talk, conn);
    talk.say(conn, knows(&question, 0));
    assert_eq!(hear!(talk, conn, CloseConsumer).consumer_id, id.0);
    talk.pass(ms(200));
    talk.locate_again(conn);
    let open = hear!(talk, conn, Subscribe);
    talk.say(conn, success(open.request_id));
    assert_eq!(permits(&mut talk, conn), 4);
    // It does not know the consumer at all.
    let question = asked(&mut talk, conn);
    let failed = CommandConsumerStatsResponse {
        request_id: question.request_id,
        error_code: Some(ServerError::CONSUMER_NOT_FOUND),
        ..Default::default()
    };
    talk.say(conn, failed);
    hear!(talk, conn, CloseConsumer);
}

#[test]
fn c23_the_watchdog_leaves_alone_what_cannot_get_anything() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, watched());
    permits(&mut talk, conn);
    talk.client.pause(id).expect("open");
    talk.pass(secs(11));
    talk.quiet(conn);
    talk.client.resume(id).expect("open");
    for n in 0..4 {
        talk.deliver(conn, id, n, "x");
    }
    talk.pass(secs(11));
    talk.quiet(conn);
    while receive(&mut talk, id).is_some() {}
    permits(&mut talk, conn);
    talk.say(conn, CommandActiveConsumerChange { consumer_id: id.0, is_active: Some(false) });
    talk.pass(secs(6));
    talk.quiet(conn);
    // A message that comes while it asks is answer enough.
    talk.say(conn, CommandActiveConsumerChange { consumer_id: id.0, is_active: Some(true) });
    let question = asked(&mut talk, conn);
    talk.deliver(conn, id, 9, "x");
    talk.say(conn, knows(&question, 0));
    talk.quiet(conn);
}

#[test]
fn c02_receive_during_a_reconnect_waits_and_a_failed_reopen_ends_it() {
    let mut talk = Talk::new();
    let (id, conn) = open(&mut talk, queue_of(4));
    talk.cut(conn);
    assert_eq!(take(&mut talk, id), None, "it waits");
    let conn = talk.come_back();
    let open = hear!(talk, conn, Subscribe);
    assert_eq!(take(&mut talk, id), None);
    talk.say(conn, failure(open.request_id, ServerError::AUTHORIZATION_ERROR));
    let mut ended = None;
    while let Some(event) = talk.event() {
        if let Event::ConsumerEnded { error, .. } = event {
            ended = Some(error.kind());
        }
    }
    assert_eq!(ended, Some(ErrorKind::Broker(ServerError::AUTHORIZATION_ERROR)));
}
