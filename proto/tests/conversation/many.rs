//! Handles that are made of others: producers and consumers of partitioned topics, several topics,
//! patterns.

use std::collections::BTreeSet;

use pulsewire_proto::wire::*;
use pulsewire_proto::{
    ClientConfig, ConnId, ConsumerConfig, ConsumerId, ErrorKind, Event, Key, MessageId, OpId, Outgoing,
    Output, Payload, ProducerConfig, ProducerId, RegexSubscriptionMode, SeekTarget, TopicName, TopicsPattern,
};

use crate::talk::*;

fn name(topic: &str) -> TopicName {
    TopicName::parse(topic).expect("a topic")
}

/// The service has said how many partitions there are, which was just asked.
fn says_partitions(talk: &mut Talk, conn: ConnId, n: u32) -> String {
    let asked = hear!(talk, conn, PartitionedTopicMetadata);
    talk.say(conn, partitions(asked.request_id, n));
    asked.topic
}

/// Answers a lookup and hears the PRODUCER that follows.
fn opens_producer(talk: &mut Talk, conn: ConnId) -> CommandProducer {
    talk.locate_again(conn);
    hear!(talk, conn, Producer)
}

/// A producer of two partitions, which have these producers on the wire.
fn two_partitions(talk: &mut Talk, config: ProducerConfig) -> (ProducerId, ConnId, [ProducerId; 2]) {
    let (id, op) = talk.client.create_producer(config, talk.now).expect("options");
    let conn = talk.accept(BROKER);
    assert_eq!(says_partitions(talk, conn, 2), TOPIC);
    let first = opens_producer(talk, conn);
    assert_eq!((first.topic, first.producer_name), (format!("{TOPIC}-partition-0"), None));
    talk.quiet(conn);
    talk.say(conn, producer_success(first.request_id, "named", -1));
    assert_eq!(talk.ended_yet(op), None);
    let second = opens_producer(talk, conn);
    // As Java: the others are called as the first, whose name is the broker's.
    assert_eq!(second.topic, format!("{TOPIC}-partition-1"));
    assert_eq!(second.producer_name.as_deref(), Some("named"));
    assert_eq!(second.user_provided_producer_name, Some(false));
    talk.say(conn, producer_success(second.request_id, "named", -1));
    assert_eq!(talk.ended(op), Ok(Output::Producer { name: "named".to_owned() }));
    (id, conn, [ProducerId(first.producer_id), ProducerId(second.producer_id)])
}

fn grown_soon() -> ProducerConfig {
    ProducerConfig { auto_update_partitions_interval: secs(1), ..unbatched() }
}

/// A consumer of two partitions; their consumers on the wire.
fn two_parts(talk: &mut Talk, config: ConsumerConfig) -> (ConsumerId, ConnId, [ConsumerId; 2]) {
    let (id, op) = talk.client.subscribe(config, talk.now).expect("options");
    let conn = talk.accept(BROKER);
    says_partitions(talk, conn, 2);
    let parts = opens_consumers(talk, conn, 2);
    assert_eq!(talk.ended(op), Ok(Output::Done));
    (id, conn, [parts[0], parts[1]])
}

/// Answers lookups and SUBSCRIBEs.
fn opens_consumers(talk: &mut Talk, conn: ConnId, n: usize) -> Vec<ConsumerId> {
    let asked: Vec<_> = (0..n).map(|_| hear!(talk, conn, LookupTopic).request_id).collect();
    asked.into_iter().for_each(|request| talk.say(conn, serves(request, BROKER)));
    let opened: Vec<_> = (0..n).map(|_| hear!(talk, conn, Subscribe)).collect();
    let mut parts = Vec::new();
    for open in opened {
        talk.say(conn, success(open.request_id));
        hear!(talk, conn, Flow);
        parts.push(ConsumerId(open.consumer_id));
    }
    parts
}

fn delivers(talk: &mut Talk, conn: ConnId, part: ConsumerId, partition: i32, entry: u64, payload: &str) {
    let command = CommandMessage {
        consumer_id: part.0,
        message_id: MessageIdData {
            ledger_id: 3,
            entry_id: entry,
            partition: Some(partition),
            ..Default::default()
        },
        ..Default::default()
    };
    let mut out = bytes::BytesMut::new();
    frame::encode_with_entry(&command.into(), &single(payload), &mut out);
    talk.say_bytes(conn, out.freeze());
}

#[test]
fn r01_one_stream_of_outcomes_comes_from_all_partitions() {
    let mut talk = Talk::new();
    let (id, conn, parts) = two_partitions(&mut talk, unbatched());
    let tokens: Vec<_> = (0..4).map(|_| talk.send(id, b"x")).collect();
    assert_eq!(tokens.iter().map(|t| t.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let mut order = Vec::new();
    for _ in 0..4 {
        order.push(talk.hear_send(conn).command.producer_id);
    }
    assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 2);
    assert_eq!(talk.client.producer_partitions(id), 2);
    // The second partition is quicker.
    let (slow, quick) = (parts[0], parts[1]);
    for sequence_id in 0..2 {
        talk.receipt(conn, quick, sequence_id);
    }
    let flush = talk.client.flush(id, talk.now);
    talk.receipt(conn, slow, 0);
    assert_eq!(talk.ended_yet(flush), None);
    talk.receipt(conn, slow, 1);
    assert_eq!(talk.ended(flush), Ok(Output::Done));
    let all: BTreeSet<_> = talk.sent.iter().map(|o| (o.producer, o.token.0)).collect();
    assert_eq!(all, (0..4).map(|token| (id, token)).collect());
    for outcome in &talk.sent {
        let sent = outcome.result.clone().expect("a receipt");
        assert!((0..2).contains(&sent.partition), "{sent}");
    }
    let close = talk.client.close_producer(id, talk.now);
    let again = talk.client.close_producer(id, talk.now);
    for _ in parts {
        assert_eq!((talk.ended_yet(close), talk.ended_yet(again)), (None, None));
        let close = hear!(talk, conn, CloseProducer);
        talk.say(conn, success(close.request_id));
    }
    assert_eq!((talk.ended(close), talk.ended(again)), (Ok(Output::Done), Ok(Output::Done)));
    assert!(matches!(talk.event(), Some(Event::ProducerEnded { producer, .. }) if producer == id));
    assert_eq!(talk.event(), None);
    assert_eq!(talk.try_send(id, b"late").map_err(|e| e.kind()), Err(ErrorKind::AlreadyClosed));
}

#[test]
fn r01_sends_of_a_lost_connection_go_out_again_under_their_own_tokens() {
    let mut talk = Talk::new();
    let (id, conn, _) = two_partitions(&mut talk, unbatched());
    for _ in 0..4 {
        talk.send(id, b"x");
    }
    talk.cut(conn);
    talk.pass(ms(100));
    let conn = talk.accept(BROKER);
    let asked: Vec<_> = (0..2).map(|_| hear!(talk, conn, LookupTopic).request_id).collect();
    asked.into_iter().for_each(|request| talk.say(conn, serves(request, BROKER)));
    let opened: Vec<_> = (0..2).map(|_| hear!(talk, conn, Producer)).collect();
    for open in opened {
        talk.say(conn, producer_success(open.request_id, "named", -1));
        for _ in 0..2 {
            let sent = talk.hear_send(conn);
            talk.receipt(conn, ProducerId(open.producer_id), sent.command.sequence_id);
        }
    }
    let all: BTreeSet<_> = talk.sent.iter().map(|o| (o.token.0, o.result.is_ok())).collect();
    assert_eq!(all, (0..4).map(|token| (token, true)).collect());
}

#[test]
fn r01_a_partition_that_cannot_be_opened_fails_the_producer_and_closes_the_others() {
    let mut talk = Talk::new();
    let (id, op) = talk.client.create_producer(unbatched(), talk.now).expect("options");
    let conn = talk.accept(BROKER);
    says_partitions(&mut talk, conn, 3);
    let first = opens_producer(&mut talk, conn);
    talk.say(conn, producer_success(first.request_id, "p", -1));
    let asked: Vec<_> = (0..2).map(|_| hear!(talk, conn, LookupTopic).request_id).collect();
    talk.say(conn, serves(asked[0], BROKER));
    let second = hear!(talk, conn, Producer);
    talk.say(conn, failure(second.request_id, ServerError::TOPIC_TERMINATED_ERROR));
    assert_eq!(kind(talk.ended(op)), ErrorKind::Broker(ServerError::TOPIC_TERMINATED_ERROR));
    assert_eq!(hear!(talk, conn, CloseProducer).producer_id, first.producer_id);
    assert!(matches!(talk.event(), Some(Event::ProducerEnded { producer, .. }) if producer == id));
    assert_eq!(talk.event(), None);
    // What was still being looked up is not opened.
    talk.say(conn, serves(asked[1], BROKER));
    talk.quiet(conn);
}

#[test]
fn r01_a_range_that_the_broker_names_is_bounded_first() {
    let mut talk = Talk::new();
    let (_, op) = talk.client.create_producer(unbatched(), talk.now).expect("options");
    let conn = talk.accept(BROKER);
    says_partitions(&mut talk, conn, u32::MAX);
    let error = talk.ended(op).expect_err("a failure");
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("4294967295 partitions"), "{error}");
    talk.quiet(conn);
}

#[test]
fn r01_a_producer_dropped_while_its_partitions_open_leaves_nothing_behind() {
    let mut talk = Talk::new();
    let (id, op) = talk.client.create_producer(unbatched(), talk.now).expect("options");
    let conn = talk.accept(BROKER);
    says_partitions(&mut talk, conn, 2);
    let first = opens_producer(&mut talk, conn);
    talk.say(conn, producer_success(first.request_id, "p", -1));
    let second = opens_producer(&mut talk, conn);
    let close = talk.client.close_producer(id, talk.now);
    assert_eq!(kind(talk.ended(op)), ErrorKind::AlreadyClosed);
    assert_eq!(talk.ended(close), Ok(Output::Done));
    let closed: BTreeSet<_> = (0..2).map(|_| hear!(talk, conn, CloseProducer).producer_id).collect();
    assert_eq!(closed, [first.producer_id, second.producer_id].into());
}

#[test]
fn r01_the_deadline_of_an_opening_is_one_for_all_partitions() {
    let mut talk = Talk::new();
    let (_, op) = talk.client.subscribe(ungrouped(), talk.now).expect("options");
    let conn = talk.accept(BROKER);
    talk.pass(secs(10));
    says_partitions(&mut talk, conn, 2);
    talk.pass(secs(20));
    assert_eq!(kind(talk.ended(op)), ErrorKind::Timeout);
}

#[test]
fn r01_partition_growth_attaches_producers_not_just_a_count() {
    let mut talk = Talk::new();
    let (id, conn, _) = two_partitions(&mut talk, grown_soon());
    talk.pass(secs(1));
    says_partitions(&mut talk, conn, 2);
    talk.pass(secs(1));
    says_partitions(&mut talk, conn, 3);
    let third = opens_producer(&mut talk, conn);
    assert_eq!(third.topic, format!("{TOPIC}-partition-2"));
    assert_eq!(talk.client.producer_partitions(id), 2);
    // One that cannot be opened is tried again at the next look.
    talk.say(conn, failure(third.request_id, ServerError::TOPIC_TERMINATED_ERROR));
    talk.pass(secs(1));
    says_partitions(&mut talk, conn, 3);
    let third = opens_producer(&mut talk, conn);
    talk.say(conn, producer_success(third.request_id, "named", -1));
    assert_eq!(talk.client.producer_partitions(id), 3);
    let sent: BTreeSet<_> = (0..3)
        .map(|_| {
            talk.send(id, b"x");
            talk.hear_send(conn).command.producer_id
        })
        .collect();
    assert_eq!(sent.len(), 3);
}

#[test]
fn p24_messages_wait_for_a_partition_that_is_opened_for_them() {
    let mut talk = Talk::new();
    let config = ProducerConfig { lazy_start_partitioned_producers: true, ..unbatched() };
    let (id, op) = talk.client.create_producer(config, talk.now).expect("options");
    let conn = talk.accept(BROKER);
    says_partitions(&mut talk, conn, 2);
    let first = opens_producer(&mut talk, conn);
    talk.say(conn, producer_success(first.request_id, "p", -1));
    talk.ended(op).expect("a producer");
    talk.quiet(conn);
    let tokens: Vec<_> = (0..4).map(|i: u8| talk.send(id, &[b'0' + i])).collect();
    let flush = talk.client.flush(id, talk.now);
    let mut open = None;
    let mut sent = Vec::new();
    while let Some((command, _)) = talk.heard(conn) {
        match command {
            Command::Send(send) => sent.push(send.sequence_id),
            Command::LookupTopic(asked) => talk.say(conn, serves(asked.request_id, BROKER)),
            Command::Producer(command) => open = Some(command),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sent, [0, 1]);
    let open = open.expect("the other partition is opened");
    sent.iter().for_each(|sequence_id| talk.receipt(conn, ProducerId(first.producer_id), *sequence_id));
    talk.say(conn, producer_success(open.request_id, "p", -1));
    let waited: Vec<_> = (0..2).map(|_| talk.hear_send(conn)).collect();
    assert!(waited[0].payload < waited[1].payload, "in order");
    assert_eq!(talk.ended_yet(flush), None);
    for sequence_id in 0..2 {
        talk.receipt(conn, ProducerId(open.producer_id), sequence_id);
    }
    assert_eq!(talk.ended(flush), Ok(Output::Done));
    for token in tokens {
        assert!(talk.all_settled()[&(id, token)].is_ok());
    }
}

#[test]
fn p24_messages_that_wait_for_a_partition_end_once_each() {
    let lazy = |talk: &mut Talk| {
        let send_timeout = secs(5);
        let config = ProducerConfig { lazy_start_partitioned_producers: true, send_timeout, ..unbatched() };
        let (id, op) = talk.client.create_producer(config, talk.now).expect("options");
        let conn = talk.accept(BROKER);
        says_partitions(talk, conn, 2);
        let first = opens_producer(talk, conn);
        talk.say(conn, producer_success(first.request_id, "p", -1));
        talk.ended(op).expect("a producer");
        for _ in 0..2 {
            talk.send(id, b"x");
        }
        talk.locate_again(conn);
        talk.hear_send(conn);
        talk.receipt(conn, ProducerId(first.producer_id), 0);
        let open = hear!(talk, conn, Producer);
        talk.sent.clear();
        (id, conn, open)
    };
    // The broker refuses: that send alone fails, and the next one tries again.
    let mut talk = Talk::new();
    let (id, conn, open) = lazy(&mut talk);
    talk.say(conn, failure(open.request_id, ServerError::TOPIC_TERMINATED_ERROR));
    let (_, outcome) = talk.outcome().expect("it has ended");
    assert_eq!(outcome, Err(ErrorKind::Broker(ServerError::TOPIC_TERMINATED_ERROR)));
    for _ in 0..2 {
        talk.send(id, b"y");
    }
    talk.locate_again(conn);
    talk.hear_send(conn);
    hear!(talk, conn, Producer);
    // The producer is closed.
    let mut talk = Talk::new();
    let (id, ..) = lazy(&mut talk);
    talk.client.close_producer(id, talk.now);
    assert_eq!(talk.outcome().map(|(_, result)| result), Some(Err(ErrorKind::AlreadyClosed)));
    talk.pass(secs(40));
    assert_eq!(talk.outcome(), None);
    // It takes longer than a send may.
    let mut talk = Talk::new();
    let (_, conn, open) = lazy(&mut talk);
    talk.pass(secs(5));
    assert_eq!(talk.outcome().map(|(_, result)| result), Some(Err(ErrorKind::Timeout)));
    talk.say(conn, producer_success(open.request_id, "p", -1));
    talk.quiet(conn);
}

#[test]
fn p18_what_waits_for_a_partition_keeps_both_limits() {
    use pulsewire_proto::MessageRoutingMode::CustomPartition;
    let custom = || ProducerConfig { message_routing_mode: CustomPartition, ..unbatched() };
    let park = |talk: &mut Talk, id, message: &Outgoing<'_>| talk.client.send_to(id, 1, message, talk.now);
    let lazy = |talk: &mut Talk, config: ProducerConfig| {
        let config = ProducerConfig { lazy_start_partitioned_producers: true, ..config };
        let (id, op) = talk.client.create_producer(config, talk.now).expect("options");
        let conn = talk.accept(BROKER);
        says_partitions(talk, conn, 2);
        let first = opens_producer(talk, conn);
        talk.say(conn, producer_success(first.request_id, "p", -1));
        talk.ended(op).expect("a producer");
        (id, conn)
    };
    let empty = Outgoing::default();

    // The number of messages: the third is refused when it is sent, and the two go out.
    let mut talk = Talk::new();
    let (id, conn) = lazy(&mut talk, ProducerConfig { max_pending_messages: 2, ..custom() });
    let tokens: Vec<_> = (0..2).map(|_| park(&mut talk, id, &empty).expect("room")).collect();
    assert_eq!(kind(park(&mut talk, id, &empty)), ErrorKind::QueueFull);
    talk.locate_again(conn);
    let open = hear!(talk, conn, Producer);
    let part = ProducerId(open.producer_id);
    talk.say(conn, producer_success(open.request_id, "p", -1));
    (0..2).for_each(|_| drop(talk.hear_send(conn)));
    assert_eq!(kind(park(&mut talk, id, &empty)), ErrorKind::QueueFull);
    while talk.event().is_some() {}
    talk.receipt(conn, part, 0);
    assert_eq!(talk.event(), Some(Event::Writable));
    talk.receipt(conn, part, 1);
    for token in tokens {
        assert!(talk.all_settled()[&(id, token)].is_ok());
    }

    // What fails while it waits leaves room, and whoever was refused hears of it.
    for timeout in [true, false] {
        let mut talk = Talk::new();
        let config = ProducerConfig { max_pending_messages: 1, send_timeout: secs(5), ..custom() };
        let (id, conn) = lazy(&mut talk, config);
        park(&mut talk, id, &empty).expect("room");
        assert_eq!(kind(park(&mut talk, id, &empty)), ErrorKind::QueueFull);
        talk.locate_again(conn);
        let open = hear!(talk, conn, Producer);
        while talk.event().is_some() {}
        if timeout {
            talk.pass(secs(5));
        } else {
            talk.say(conn, failure(open.request_id, ServerError::TOPIC_TERMINATED_ERROR));
        }
        assert_eq!(talk.event(), Some(Event::Writable));
        park(&mut talk, id, &empty).expect("room");
    }

    // Memory: a null value with a key and properties takes some, too; and what was let in is sent.
    let limit = 4000;
    let mut talk = Talk::with(ClientConfig { memory_limit: limit, ..config(BROKER) });
    let (id, conn) = lazy(&mut talk, custom());
    let long = "v".repeat(300);
    let message = Outgoing {
        key: Some(Key::Text("key")),
        properties: &[("name", long.as_str())],
        ..Default::default()
    };
    let mut tokens = Vec::new();
    let refused = loop {
        match park(&mut talk, id, &message) {
            Ok(token) => tokens.push(token),
            Err(error) => break error,
        }
        assert!(tokens.len() * long.len() <= limit, "more waits than the memory limit allows");
    };
    assert_eq!(refused.kind(), ErrorKind::QueueFull);
    talk.locate_again(conn);
    let open = hear!(talk, conn, Producer);
    talk.say(conn, producer_success(open.request_id, "p", -1));
    for (sequence_id, token) in (0..).zip(tokens) {
        talk.hear_send(conn);
        talk.receipt(conn, ProducerId(open.producer_id), sequence_id);
        assert!(talk.all_settled()[&(id, token)].is_ok());
    }

    // A small memory limit that frames exceed refuses nothing that was let in: one message, however large.
    let mut talk = Talk::with(ClientConfig { memory_limit: 1, ..config(BROKER) });
    let (id, conn) = lazy(&mut talk, custom());
    let token = park(&mut talk, id, &message).expect("one is always let in");
    assert_eq!(kind(park(&mut talk, id, &message)), ErrorKind::QueueFull);
    talk.locate_again(conn);
    let open = hear!(talk, conn, Producer);
    talk.say(conn, producer_success(open.request_id, "p", -1));
    talk.hear_send(conn);
    talk.receipt(conn, ProducerId(open.producer_id), 0);
    assert!(talk.all_settled()[&(id, token)].is_ok());
}

#[test]
fn r02_a_key_goes_where_its_hash_says_in_every_mode() {
    let mut talk = Talk::new();
    let (id, conn, parts) = two_partitions(&mut talk, unbatched());
    // "a" is 97, "b" is 98.
    for (key, part) in [("a", parts[1]), ("b", parts[0]), ("a", parts[1])] {
        let message =
            Outgoing { payload: Some(Payload::Slice(b"x")), key: Some(Key::Text(key)), ..Default::default() };
        talk.client.send(id, &message, talk.now).expect("a send");
        assert_eq!(talk.hear_send(conn).command.producer_id, part.0, "{key}");
    }
    let message = Outgoing::default();
    let error = talk.client.send_to(id, 2, &message, talk.now).expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
    talk.client.send_to(id, 1, &message, talk.now).expect("a send");
    assert_eq!(talk.hear_send(conn).command.producer_id, parts[1].0);
}

#[test]
fn m03_parts_take_turns_and_get_their_own_permits_back() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { receiver_queue_size: 4, ..ungrouped() };
    let (id, conn, [a, b]) = two_parts(&mut talk, config);
    for entry in 0..4 {
        delivers(&mut talk, conn, a, 0, entry, &format!("a{entry}"));
    }
    for entry in 0..2 {
        delivers(&mut talk, conn, b, 1, entry, &format!("b{entry}"));
    }
    assert_eq!(talk.event(), Some(Event::Ready(id)));
    assert_eq!(talk.event(), None);
    let mut taken = Vec::new();
    while let Some(message) = talk.client.take(id).expect("open") {
        taken.push(message.expect("a message"));
    }
    let order: Vec<String> = taken.iter().map(payload).collect();
    assert_eq!(order, ["a0", "b0", "a1", "b1", "a2", "a3"]);
    assert!(taken.iter().all(|m| m.consumer() == if m.id().partition == 0 { a } else { b }));
    talk.quiet(conn);
    talk.client.delivered(id, 4);
    let permits = |flow: CommandFlow| (flow.consumer_id, flow.message_permits);
    assert_eq!(permits(hear!(talk, conn, Flow)), (a.0, 2));
    assert_eq!(permits(hear!(talk, conn, Flow)), (b.0, 2));
    talk.client.delivered(id, 2);
    assert_eq!(permits(hear!(talk, conn, Flow)), (a.0, 2));
    // By id, by message, by topic: to the part.
    talk.client.acknowledge(id, taken[1].id(), false, talk.now).expect("open");
    assert_eq!(hear!(talk, conn, Ack).consumer_id, b.0);
    assert_eq!(talk.client.part_of_message(id, &taken[0]), Ok(a));
    assert_eq!(talk.client.part_of_topic(id, TOPIC, Some(taken[1].id())), Ok(b));
    let nobody = talk.client.acknowledge(id, MessageId { partition: 7, ..taken[0].id() }, false, talk.now);
    assert_eq!(nobody.map_err(|e| e.kind()), Err(ErrorKind::InvalidMessageId));
    talk.quiet(conn);
}

#[test]
fn m03_a_part_that_starts_over_throws_away_nothing_of_the_others() {
    let mut talk = Talk::new();
    let (id, conn, [a, b]) = two_parts(&mut talk, ungrouped());
    delivers(&mut talk, conn, a, 0, 0, "a0");
    delivers(&mut talk, conn, b, 1, 0, "b0");
    assert_eq!(talk.event(), Some(Event::Ready(id)));
    let close = CommandCloseConsumer { consumer_id: a.0, ..Default::default() };
    talk.say(conn, close);
    assert_eq!(talk.event(), Some(Event::ConsumerReset(a)));
    assert_eq!(talk.payloads(id), ["b0"]);
    talk.pass(ms(100));
    opens_consumers(&mut talk, conn, 1);
    delivers(&mut talk, conn, a, 0, 0, "a0");
    assert_eq!(talk.event(), Some(Event::Ready(id)));
    assert_eq!(talk.payloads(id), ["a0"]);
    assert_eq!(talk.event(), None);
}

#[test]
fn m01_multi_topic_consumers_never_drop_a_topic_silently() {
    let mut talk = Talk::new();
    let (id, conn, [a, b]) = two_parts(&mut talk, ungrouped());
    talk.say(conn, CommandCloseConsumer { consumer_id: a.0, ..Default::default() });
    assert_eq!(talk.event(), Some(Event::ConsumerReset(a)));
    // A failure that would end a single consumer is told once, between messages, and tried again.
    for attempt in 0..3 {
        talk.pass(secs(2));
        let asked = hear!(talk, conn, LookupTopic);
        talk.say(conn, serves(asked.request_id, BROKER));
        let open = hear!(talk, conn, Subscribe);
        talk.say(conn, failure(open.request_id, ServerError::AUTHORIZATION_ERROR));
        assert_eq!(talk.event(), (attempt == 0).then_some(Event::Ready(id)));
        let told = talk.client.take(id).expect("open");
        match (attempt, told) {
            (0, Some(Err(error))) => {
                assert_eq!(error.kind(), ErrorKind::Broker(ServerError::AUTHORIZATION_ERROR));
                assert!(error.to_string().contains("t-partition-0"), "{error}");
                assert!(talk.client.take(id).expect("open").is_none());
            }
            (1 | 2, None) => {}
            (_, other) => panic!("{other:?}"),
        }
    }
    delivers(&mut talk, conn, b, 1, 0, "b0");
    assert_eq!(talk.payloads(id), ["b0"]);
    talk.pass(secs(4));
    opens_consumers(&mut talk, conn, 1);
    delivers(&mut talk, conn, a, 0, 0, "a0");
    assert_eq!(talk.payloads(id), ["a0"]);
}

#[test]
fn r01_partition_growth_attaches_consumers_from_the_first_message_on() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { auto_update_partitions_interval: secs(1), ..ungrouped() };
    let (id, conn, _) = two_parts(&mut talk, config);
    talk.pass(secs(1));
    says_partitions(&mut talk, conn, 3);
    let asked = hear!(talk, conn, LookupTopic);
    // However long it takes: it is tried until it is open.
    talk.say(
        conn,
        CommandLookupTopicResponse {
            request_id: asked.request_id,
            response: Some(LookupResult::FAILED),
            error: Some(ServerError::SERVICE_NOT_READY),
            ..Default::default()
        },
    );
    talk.pass(ms(100));
    let asked = hear!(talk, conn, LookupTopic);
    talk.say(conn, serves(asked.request_id, BROKER));
    let open = hear!(talk, conn, Subscribe);
    assert_eq!(open.topic, format!("{TOPIC}-partition-2"));
    assert_eq!(open.initial_position, Some(InitialPosition::EARLIEST));
    talk.say(conn, success(open.request_id));
    delivers(&mut talk, conn, ConsumerId(open.consumer_id), 2, 0, "new");
    assert_eq!(talk.payloads(id), ["new"]);
    assert_eq!(talk.client.parts(id).len(), 3);
}

#[test]
fn c13_what_concerns_all_parts_is_done_when_all_have_answered() {
    let mut talk = Talk::new();
    let (id, conn, [a, b]) = two_parts(&mut talk, ungrouped());
    let ids = talk.client.last_message_ids(id, talk.now);
    for entry_id in [5, 6] {
        let asked = hear!(talk, conn, GetLastMessageId);
        let last_message_id = MessageIdData { ledger_id: 3, entry_id, ..Default::default() };
        talk.say(
            conn,
            CommandGetLastMessageIdResponse {
                request_id: asked.request_id,
                last_message_id,
                ..Default::default()
            },
        );
    }
    let Ok(Output::LastMessageIds(ids)) = talk.ended(ids) else { panic!("no ids") };
    let ids: Vec<_> = ids.iter().map(|(topic, id)| (topic.as_str(), id.entry_id)).collect();
    let topics = [0, 1].map(|partition| format!("{TOPIC}-partition-{partition}"));
    assert_eq!(ids, [(topics[0].as_str(), 5), (topics[1].as_str(), 6)]);
    // To a message: its partition alone.
    let place = MessageId {
        ledger_id: 3,
        entry_id: 1,
        partition: 1,
        batch_index: -1,
        batch_size: 0,
        first_chunk: None,
    };
    let seek = talk.client.seek(id, SeekTarget::Id(place), talk.now);
    let asked = hear!(talk, conn, Seek);
    assert_eq!(asked.consumer_id, b.0);
    talk.say(conn, success(asked.request_id));
    assert_eq!(talk.ended(seek), Ok(Output::Done));
    talk.quiet(conn);
    // To a time: all; the first failure is told, when all have answered.
    let seek = talk.client.seek(id, SeekTarget::PublishTime(1), talk.now);
    let asked: Vec<_> = (0..2).map(|_| hear!(talk, conn, Seek)).collect();
    assert_eq!(asked.iter().map(|s| s.consumer_id).collect::<BTreeSet<_>>(), [a.0, b.0].into());
    talk.say(conn, failure(asked[0].request_id, ServerError::METADATA_ERROR));
    assert_eq!(talk.ended_yet(seek), None);
    talk.say(conn, success(asked[1].request_id));
    assert_eq!(kind(talk.ended(seek)), ErrorKind::Broker(ServerError::METADATA_ERROR));
}

#[test]
fn r01_queues_of_partitions_stay_within_their_sum() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { max_total_receiver_queue_size_across_partitions: 100, ..ungrouped() };
    let (_, _) = talk.client.subscribe(config, talk.now).expect("options");
    let conn = talk.accept(BROKER);
    says_partitions(&mut talk, conn, 4);
    for _ in 0..4 {
        talk.locate_again(conn);
    }
    for _ in 0..4 {
        let open = hear!(talk, conn, Subscribe);
        talk.say(conn, success(open.request_id));
    }
    for _ in 0..4 {
        assert_eq!(hear!(talk, conn, Flow).message_permits, 25);
    }
}

/// Parts are opened, each with so many permits.
fn subscribes(talk: &mut Talk, conn: ConnId, n: usize, permits: u32) -> Vec<ConsumerId> {
    (0..n).for_each(|_| talk.locate_again(conn));
    let opened: Vec<_> = (0..n).map(|_| hear!(talk, conn, Subscribe)).collect();
    let opened = opened.into_iter().map(|open| {
        talk.say(conn, success(open.request_id));
        assert_eq!(hear!(talk, conn, Flow).message_permits, permits);
        ConsumerId(open.consumer_id)
    });
    opened.collect()
}

#[test]
fn r01_queues_of_parts_that_come_and_go_stay_within_their_sum() {
    let mut talk = Talk::new();
    let total = 40;
    let config = ConsumerConfig { max_total_receiver_queue_size_across_partitions: total, ..ungrouped() };
    let (id, op) = talk.client.subscribe_topics(config, &[name("a")], talk.now).expect("options");
    let conn = talk.accept(BROKER);
    says_partitions(&mut talk, conn, 0);
    let a = subscribes(&mut talk, conn, 1, 40)[0];
    talk.ended(op).expect("a consumer");
    let state = |talk: &Talk| talk.client.consumer_state(id).expect("open").receiver_queue_size;
    // One more, of three partitions: each may hold ten. The first had been promised more, and asks for none
    // before it is down to that.
    let op = talk.client.add_topic(id, name("b"), talk.now);
    says_partitions(&mut talk, conn, 3);
    assert_eq!(state(&talk), total);
    subscribes(&mut talk, conn, 3, 10);
    talk.ended(op).expect("added");
    for entry in 0..40 {
        delivers(&mut talk, conn, a, -1, entry, "x");
    }
    for _ in 0..34 {
        talk.client.take(id).expect("open").expect("one waits").expect("a message");
        talk.client.delivered(id, 1);
    }
    talk.quiet(conn);
    talk.client.take(id).expect("open").expect("one waits").expect("a message");
    talk.client.delivered(id, 1);
    assert_eq!(hear!(talk, conn, Flow).message_permits, 5);
    // It goes again: the first has it all.
    talk.client.remove_topic(id, &name("b"), talk.now);
    (0..3).for_each(|_| drop(hear!(talk, conn, CloseConsumer)));
    assert_eq!(hear!(talk, conn, Flow).message_permits, 30);
    assert_eq!(state(&talk), total);
}

fn several(talk: &mut Talk, topics: &[&str]) -> (ConsumerId, OpId) {
    let topics: Vec<_> = topics.iter().map(|topic| name(topic)).collect();
    talk.client.subscribe_topics(ungrouped(), &topics, talk.now).expect("options")
}

#[test]
fn m01_a_topic_of_the_first_that_cannot_be_opened_fails_all() {
    let mut talk = Talk::new();
    let (id, op) = several(&mut talk, &["a", "b"]);
    let conn = talk.accept(BROKER);
    let asked: Vec<_> = (0..2).map(|_| hear!(talk, conn, PartitionedTopicMetadata)).collect();
    talk.say(conn, partitions(asked[0].request_id, 0));
    talk.locate_again(conn);
    let open = hear!(talk, conn, Subscribe);
    talk.say(conn, success(open.request_id));
    hear!(talk, conn, Flow);
    assert_eq!(talk.ended_yet(op), None);
    talk.say(
        conn,
        CommandPartitionedTopicMetadataResponse {
            request_id: asked[1].request_id,
            response: Some(PartitionedMetadataResult::FAILED),
            error: Some(ServerError::AUTHORIZATION_ERROR),
            ..Default::default()
        },
    );
    assert_eq!(kind(talk.ended(op)), ErrorKind::Broker(ServerError::AUTHORIZATION_ERROR));
    assert_eq!(hear!(talk, conn, CloseConsumer).consumer_id, open.consumer_id);
    assert!(matches!(talk.event(), Some(Event::ConsumerEnded { consumer, .. }) if consumer == id));
    assert_eq!(talk.event(), None);
    let twice = talk.client.subscribe_topics(ungrouped(), &[name("a"), name("a")], talk.now);
    assert_eq!(twice.map(drop).map_err(|e| e.kind()), Err(ErrorKind::InvalidOption));
}

#[test]
fn m01_the_end_of_the_client_ends_all_parts_once() {
    let mut talk = Talk::new();
    let (id, conn, parts) = two_parts(&mut talk, ungrouped());
    let close = talk.client.close(talk.now);
    for _ in parts {
        let close = hear!(talk, conn, CloseConsumer);
        talk.say(conn, success(close.request_id));
    }
    assert_eq!(talk.ended(close), Ok(Output::Done));
    assert!(matches!(talk.event(), Some(Event::ConsumerEnded { consumer, .. }) if consumer == id));
    assert_eq!(talk.event(), None);
    assert!(talk.client.is_done());
}

// ---- patterns ----

fn watching_broker() -> CommandConnected {
    CommandConnected {
        feature_flags: Some(FeatureFlags { supports_topic_watchers: Some(true), ..Default::default() }),
        ..connected(0)
    }
}

fn names(locals: &[&str]) -> Vec<String> {
    locals.iter().map(|local| format!("persistent://public/default/{local}")).collect()
}

fn listed(request_id: u64, locals: &[&str]) -> CommandGetTopicsOfNamespaceResponse {
    CommandGetTopicsOfNamespaceResponse { request_id, topics: names(locals), ..Default::default() }
}

/// Answers what is asked of topics that a pattern found, and opens them.
fn opens_found(talk: &mut Talk, conn: ConnId, n: usize) -> Vec<CommandSubscribe> {
    let asked: Vec<_> = (0..n).map(|_| hear!(talk, conn, PartitionedTopicMetadata)).collect();
    for asked in asked {
        assert_eq!(asked.metadata_auto_creation_enabled, Some(false));
        talk.say(conn, partitions(asked.request_id, 0));
    }
    for _ in 0..n {
        talk.locate_again(conn);
    }
    let opened: Vec<_> = (0..n).map(|_| hear!(talk, conn, Subscribe)).collect();
    for open in &opened {
        // What was deleted meanwhile is not made again.
        assert_eq!(open.force_topic_creation, Some(false));
        talk.say(conn, success(open.request_id));
        hear!(talk, conn, Flow);
    }
    opened
}

fn pattern(talk: &mut Talk, can_watch: bool) -> (ConsumerId, ConnId) {
    let pattern = TopicsPattern::parse("a.*").expect("a pattern");
    let mode = RegexSubscriptionMode::PersistentOnly;
    let (id, op) = talk.client.subscribe_pattern(ungrouped(), pattern, mode, talk.now).expect("options");
    let conn = talk.answer(BROKER);
    hear!(talk, conn, Connect);
    talk.say(conn, if can_watch { watching_broker() } else { connected(0) });
    let asked = hear!(talk, conn, GetTopicsOfNamespace);
    assert_eq!(asked.topics_pattern.as_deref(), Some("persistent://public/default/a.*"));
    assert_eq!(asked.topics_hash.as_deref(), Some("00000000"));
    talk.say(conn, listed(asked.request_id, &["a1", "b1"]));
    let asked = hear!(talk, conn, PartitionedTopicMetadata);
    if can_watch {
        let watch = hear!(talk, conn, WatchTopicList);
        assert_eq!(watch.watcher_id, id.0);
        assert_ne!(watch.topics_hash.as_deref(), Some("00000000"));
        let topics_hash = watch.topics_hash.clone().unwrap_or_default();
        let known = CommandWatchTopicListSuccess {
            request_id: watch.request_id,
            watcher_id: id.0,
            topic: Vec::new(),
            topics_hash,
        };
        talk.say(conn, known);
    }
    talk.say(conn, partitions(asked.request_id, 0));
    talk.locate_again(conn);
    let open = hear!(talk, conn, Subscribe);
    assert_eq!(talk.ended_yet(op), None);
    talk.say(conn, success(open.request_id));
    hear!(talk, conn, Flow);
    assert_eq!(talk.ended(op), Ok(Output::Done));
    talk.quiet(conn);
    (id, conn)
}

fn update(id: ConsumerId, new: &[&str], deleted: &[&str], hash: &str) -> CommandWatchTopicUpdate {
    CommandWatchTopicUpdate {
        watcher_id: id.0,
        new_topics: names(new),
        deleted_topics: names(deleted),
        topics_hash: hash.to_owned(),
    }
}

#[test]
fn m02_a_watcher_tells_of_topics_and_a_hash_that_differs_has_them_listed() {
    let mut talk = Talk::new();
    let (id, conn) = pattern(&mut talk, true);
    // It says more than it told: listed anew at once.
    talk.say(conn, update(id, &["a2", "b2"], &[], "deadbeef"));
    let asked = hear!(talk, conn, PartitionedTopicMetadata);
    let list = hear!(talk, conn, GetTopicsOfNamespace);
    talk.say(conn, partitions(asked.request_id, 0));
    talk.locate_again(conn);
    let second = hear!(talk, conn, Subscribe);
    talk.say(conn, success(second.request_id));
    hear!(talk, conn, Flow);
    talk.say(conn, listed(list.request_id, &["a1", "a2", "a3"]));
    let opened = opens_found(&mut talk, conn, 1);
    assert_eq!(opened[0].topic, names(&["a3"])[0]);
    // Topics that are gone are let go of.
    talk.say(conn, update(id, &[], &["a2", "a3"], ""));
    let closed: BTreeSet<_> = (0..2).map(|_| hear!(talk, conn, CloseConsumer).consumer_id).collect();
    assert_eq!(closed, [second.consumer_id, opened[0].consumer_id].into());
    assert_eq!(talk.client.consumer_topics(id), names(&["a1"]));
    // On close the watcher goes too.
    let close = talk.client.close_consumer(id, talk.now);
    hear!(talk, conn, GetTopicsOfNamespace);
    let request = hear!(talk, conn, CloseConsumer).request_id;
    talk.say(conn, success(request));
    assert_eq!(talk.ended(close), Ok(Output::Done));
    assert_eq!(hear!(talk, conn, WatchTopicListClose).watcher_id, id.0);
}

#[test]
fn m02_without_a_watcher_topics_are_found_by_looking_again() {
    let mut talk = Talk::new();
    let (id, conn) = pattern(&mut talk, false);
    talk.pass(secs(30));
    while let Some((Command::Ping(_), _)) = talk.heard(conn) {
        talk.say(conn, CommandPong::default());
    }
    talk.pass(secs(30));
    let list = loop {
        match talk.hear(conn).0 {
            Command::GetTopicsOfNamespace(list) => break list,
            Command::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    };
    talk.say(conn, listed(list.request_id, &["a1", "a2"]));
    opens_found(&mut talk, conn, 1);
    assert_eq!(talk.client.consumer_topics(id), names(&["a1", "a2"]));
    talk.say(conn, update(id, &["a9"], &[], ""));
    talk.quiet(conn);
}

#[test]
fn m02_after_a_lost_connection_topics_are_listed_and_watched_anew() {
    let mut talk = Talk::new();
    let (id, conn) = pattern(&mut talk, true);
    talk.cut(conn);
    talk.pass(ms(100));
    let conn = talk.answer(BROKER);
    hear!(talk, conn, Connect);
    talk.say(conn, watching_broker());
    let (mut watched, mut subscribed) = (false, false);
    while let Some((command, _)) = talk.heard(conn) {
        match command {
            Command::GetTopicsOfNamespace(list) => talk.say(conn, listed(list.request_id, &["a1"])),
            Command::LookupTopic(asked) => talk.say(conn, serves(asked.request_id, BROKER)),
            Command::Subscribe(open) => {
                subscribed = true;
                talk.say(conn, success(open.request_id));
            }
            Command::WatchTopicList(watch) => {
                watched = true;
                let success = CommandWatchTopicListSuccess {
                    request_id: watch.request_id,
                    watcher_id: watch.watcher_id,
                    topic: names(&["a1", "a5"]),
                    topics_hash: "other".to_owned(),
                };
                talk.say(conn, success);
            }
            Command::PartitionedTopicMetadata(asked) => {
                assert_eq!(asked.topic, names(&["a5"])[0]);
                talk.say(conn, partitions(asked.request_id, 0));
            }
            Command::Flow(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(watched && subscribed);
    assert_eq!(talk.client.consumer_topics(id), names(&["a1", "a5"]));
}

#[test]
fn m02_a_topic_that_was_deleted_is_not_made_again() {
    let mut talk = Talk::new();
    let (id, conn) = pattern(&mut talk, true);
    let part = talk.client.parts(id)[0].0;
    talk.say(conn, CommandCloseConsumer { consumer_id: part.0, ..Default::default() });
    talk.pass(ms(100));
    talk.locate_again(conn);
    let open = hear!(talk, conn, Subscribe);
    assert_eq!(open.force_topic_creation, Some(false));
    talk.say(conn, failure(open.request_id, ServerError::TOPIC_NOT_FOUND));
    assert!(talk.client.consumer_topics(id).is_empty());
    assert!(talk.client.take(id).expect("open").is_none());
}
