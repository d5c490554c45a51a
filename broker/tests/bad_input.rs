//! What broken clients do, and that no other client notices.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::*;
use pulsewire_broker::core::DisconnectReason;
use pulsewire_broker::{BrokerConfig, ConnId};
use pulsewire_proto::wire::*;

const TOPIC: &str = "persistent://public/default/t";

fn broke_protocol(w: &World, id: pulsewire_broker::ConnId) -> bool {
    matches!(w.cut(id), Some(DisconnectReason::Protocol(_)))
}

#[test]
fn frames_may_be_cut_anywhere() {
    let mut w = World::new();
    let c = w.stranger();
    let mut bytes = bytes::BytesMut::new();
    frame::encode_command(&connect().into(), &mut bytes);
    frame::encode_command(&producer_on(1, TOPIC).into(), &mut bytes);
    bytes.extend_from_slice(&send_frame(1, 0, MessageMetadata::default(), b"hello"));
    for byte in bytes {
        w.bytes(c, [byte]);
    }
    assert!(matches!(w.hear(c), Command::Connected(_)));
    assert!(matches!(w.hear(c), Command::ProducerSuccess(_)));
    assert!(matches!(w.hear(c), Command::SendReceipt(_)));
}

#[test]
fn commands_before_connect_are_not_answered() {
    let mut w = World::new();
    let c = w.stranger();
    assert!(matches!(w.ask(c, CommandPing::default()), Command::Pong(_)), "PING may come first");
    w.say(c, producer_on(1, TOPIC));
    assert!(broke_protocol(&w, c) && w.silent(c));
    assert!(w.broker.topics("public/default", true).is_empty());
}

#[test]
fn a_second_connect_and_words_of_brokers_end_the_connection() {
    let mut w = World::new();
    for word in [
        Command::from(connect()),
        CommandConnected { server_version: "x".to_owned(), ..CommandConnected::default() }.into(),
        CommandSuccess::default().into(),
        CommandMessage::default().into(),
    ] {
        let c = w.client();
        w.say(c, word);
        assert!(broke_protocol(&w, c));
    }
}

#[test]
fn unknown_commands_end_the_connection() {
    let mut w = World::new();
    let other = w.client();
    let c = w.client();
    w.bytes(c, [0, 0, 0, 8, 0, 0, 0, 4, 8, 99, 16, 1]);
    assert!(broke_protocol(&w, c));
    let c = w.client();
    w.say(c, CommandWatchTcAssignments { watch_id: 1 });
    assert!(broke_protocol(&w, c));
    assert!(matches!(w.ask(other, CommandPing::default()), Command::Pong(_)));
}

#[test]
fn lying_and_huge_sizes_end_the_connection() {
    let mut w = World::new();
    for bytes in [
        &[0, 0, 0, 8, 0, 0, 0, 40, 8, 18, 16, 1][..], // the command is larger than its frame
        &[0, 0, 0, 2, 0, 0],                          // a frame too small for its own sizes
        &[0x7f, 0, 0, 0, 0, 0, 0, 0],                 // 2 GB
        &[0xff, 0xff, 0xff, 0xff],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0, 0, 0, 6, 0, 0, 0, 2, 8, 5], // PRODUCER without its body
    ] {
        let c = w.client();
        w.bytes(c, bytes);
        assert!(broke_protocol(&w, c), "{bytes:?}");
    }
}

#[test]
fn a_message_over_the_limit_ends_the_connection_and_one_at_it_does_not() {
    let mut w = World::with(BrokerConfig { max_message_size: 1000, ..BrokerConfig::default() });
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.bytes(c, send_frame(1, 0, MessageMetadata::default(), &[b'x'; 1000]));
    w.receipt(c);
    w.bytes(c, send_frame(1, 1, MessageMetadata::default(), &[b'x'; 1000 + FRAME_OVERHEAD]));
    assert!(broke_protocol(&w, c));
}

#[test]
fn a_wrong_checksum_fails_that_send_only() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    let mut frame = send_frame(1, 0, MessageMetadata::default(), b"hello");
    let last = frame.len() - 1;
    frame[last] ^= 1;
    w.bytes(c, frame);
    let Command::SendError(error) = w.hear(c) else { panic!() };
    assert_eq!((error.error, error.sequence_id), (ServerError::CHECKSUM_ERROR, 0));
    assert_eq!(w.publish(c, 1, 0, "hello").entry_id, 0);
}

#[test]
fn an_entry_that_cannot_be_read_is_stored_and_delivered_to_nobody() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    w.consume(c, 2, TOPIC, "e", SubType::EXCLUSIVE);
    w.flow(c, 1, 100);
    w.flow(c, 2, 100);
    let command: Command = CommandSend { producer_id: 1, sequence_id: 3, ..CommandSend::default() }.into();
    let sent = |w: &mut World, c, entry: &[u8]| {
        let mut out = bytes::BytesMut::new();
        frame::encode_with_entry(&command, entry, &mut out);
        w.bytes(c, out);
    };
    for entry in [&[0, 0, 0, 200, 1][..], &[0, 0, 0, 1, 0x80], &[0x0e, 2, 255, 255, 255, 255]] {
        sent(&mut w, c, entry);
        w.receipt(c);
    }
    assert_eq!(w.publish(c, 1, 0, "hello").entry_id, 3);
    assert_eq!(w.payloads(c), ["hello", "hello"]);
    for entry in [&[0x0e][..], &[0x0e, 1, 0]] {
        let c = w.client();
        w.produce(c, 1, TOPIC);
        sent(&mut w, c, entry);
        assert!(broke_protocol(&w, c), "{entry:?} ends before its checksum");
    }
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.say(c, command);
    assert!(broke_protocol(&w, c), "a message without anything");
}

#[test]
fn sends_to_a_producer_never_opened_end_the_connection() {
    let mut w = World::new();
    let (c, other) = (w.client(), w.client());
    w.produce(other, 1, TOPIC);
    w.bytes(c, send_frame(1, 0, MessageMetadata::default(), b"hello"));
    assert!(broke_protocol(&w, c));
    assert_eq!(w.publish(other, 1, 0, "x").entry_id, 0);
}

#[test]
fn ids_never_opened_are_answered_or_passed_over() {
    let mut w = World::new();
    let c = w.client();
    w.flow(c, 9, 10);
    w.ack(c, 9, AckType::INDIVIDUAL, &[id(0, 0)]);
    w.say(c, CommandRedeliverUnacknowledgedMessages { consumer_id: 9, ..Default::default() });
    assert!(w.silent(c));
    let close = CommandCloseConsumer { consumer_id: 9, request_id: 1, ..CommandCloseConsumer::default() };
    assert!(matches!(w.ask(c, close), Command::Success(_)));
    let close = CommandCloseProducer { producer_id: 9, request_id: 1, ..CommandCloseProducer::default() };
    assert!(matches!(w.ask(c, close), Command::Success(_)));
    let last = CommandGetLastMessageId { consumer_id: 9, request_id: 1 };
    assert_eq!(refusal(w.ask(c, last)).0, ServerError::METADATA_ERROR);
    let unsubscribe = CommandUnsubscribe { consumer_id: 9, request_id: 1, force: None };
    assert_eq!(refusal(w.ask(c, unsubscribe)).0, ServerError::METADATA_ERROR);
    w.say(c, CommandConsumerStats { request_id: 1, consumer_id: 9 });
    assert!(broke_protocol(&w, c), "as at the real broker");
}

#[test]
fn permits_of_nothing_or_less_end_the_connection_and_huge_ones_do_not() {
    let mut w = World::new();
    for permits in [0, u32::MAX, 1 << 31] {
        let c = w.client();
        w.consume(c, 1, TOPIC, "s", SubType::SHARED);
        w.flow(c, 1, permits);
        assert!(broke_protocol(&w, c), "{permits}");
    }
    let c = w.client();
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    for _ in 0..10 {
        w.flow(c, 1, i32::MAX as u32);
    }
    w.produce(c, 1, TOPIC);
    w.send(c, 1, 0, MessageMetadata::default(), "m");
    w.receipt(c);
    assert_eq!(w.payloads(c), ["m"]);
}

#[test]
fn acks_of_what_never_was_change_nothing() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    let at = w.publish(c, 1, 0, "m");
    for kind in [SubType::SHARED, SubType::EXCLUSIVE] {
        let sub = format!("{kind:?}");
        w.consume(c, 1, TOPIC, &sub, kind);
        for (ledger, entry) in [(-1, -1), (0, i64::MAX), (i64::MAX, 0), (0, 1), (0, -1), (99, 0)] {
            w.ack(c, 1, AckType::INDIVIDUAL, &[id(ledger, entry)]);
            w.ack(c, 1, AckType::CUMULATIVE, &[id(ledger, entry)]);
        }
        // A set far larger than the entry, all bits open.
        w.ack(c, 1, AckType::INDIVIDUAL, &[MessageIdData { ack_set: vec![-1; 100], ..at.clone() }]);
        w.flow(c, 1, 1);
        assert_eq!(w.payloads(c), ["m"], "{sub}");
        w.say(c, CommandCloseConsumer { consumer_id: 1, request_id: 1, ..CommandCloseConsumer::default() });
        w.hear(c);
    }
}

#[test]
fn a_batch_that_claims_two_billion_messages_costs_nothing() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    for claimed in [i32::MAX, i32::MIN, -1, 0] {
        w.send(c, 1, 0, batch_of(claimed), "m");
        w.receipt(c);
    }
    w.flow(c, 1, 1);
    let first = w.deliveries(c);
    let at = first[0].0.message_id.clone();
    w.ack(c, 1, AckType::INDIVIDUAL, &[MessageIdData { ack_set: vec![5], ..at }]);
    assert!(w.silent(c), "two billion permits are owed");
}

#[test]
fn half_a_frame_and_silence_is_cut() {
    let mut w = World::new();
    let c = w.client();
    w.bytes(c, &send_frame(1, 0, MessageMetadata::default(), b"hello")[..20]);
    w.pass(Duration::from_secs(61));
    assert_eq!(w.cut(c), Some(&DisconnectReason::KeepAliveTimeout));
}

#[test]
fn a_client_that_asks_and_never_reads_is_cut() {
    let mut w = World::with(BrokerConfig { connection_window: 1000, ..BrokerConfig::default() });
    let c = w.client();
    w.deaf.push(c);
    let mut asked = 0;
    while w.cut(c).is_none() {
        w.say(c, CommandPing::default());
        asked += 1;
        assert!(asked < 100_000);
        if asked == 1000 {
            assert!(!w.broker.wants_bytes(c), "a host that listens stops reading long before");
        }
    }
    assert_eq!(w.cut(c), Some(&DisconnectReason::NotReading));
}

#[test]
fn topics_and_subscriptions_that_are_none_are_refused() {
    let mut w = World::new();
    let c = w.client();
    for bad in ["", "kafka://x", "a/b", "persistent://a/b/", "persistent://a b/c/d", "persistent://t/n/\0"] {
        assert_eq!(refusal(w.ask(c, producer_on(1, bad))).0, ServerError::INVALID_TOPIC_NAME, "{bad:?}");
        let subscribe = subscribe(1, bad, "s", SubType::SHARED);
        assert_eq!(refusal(w.ask(c, subscribe)).0, ServerError::INVALID_TOPIC_NAME, "{bad:?}");
        let lookup =
            CommandLookupTopic { topic: bad.to_owned(), request_id: 1, ..CommandLookupTopic::default() };
        let Command::LookupTopicResponse(found) = w.ask(c, lookup) else { panic!() };
        assert_eq!(found.error, Some(ServerError::INVALID_TOPIC_NAME), "{bad:?}");
    }
    refusal(w.ask(c, subscribe(1, TOPIC, " ", SubType::SHARED)));
    let watch = CommandWatchTopicList {
        request_id: 1,
        watcher_id: 1,
        namespace: "public/default".to_owned(),
        topics_pattern: "(((".to_owned(),
        topics_hash: None,
    };
    refusal(w.ask(c, watch.clone()));
    let list = CommandGetTopicsOfNamespace {
        request_id: 1,
        namespace: "nonsense".to_owned(),
        ..CommandGetTopicsOfNamespace::default()
    };
    let watch = CommandWatchTopicList { namespace: "nonsense".to_owned(), ..watch };
    for said in [subscribe(1, TOPIC, "s", SubType(9)).into(), Command::from(list), watch.into()] {
        let c = w.client();
        w.say(c, said);
        assert!(broke_protocol(&w, c));
    }
}

#[test]
fn there_is_an_end_to_topics() {
    let mut w = World::with(BrokerConfig { max_topics: 3, ..BrokerConfig::default() });
    let c = w.client();
    for n in 0..3 {
        w.produce(c, n, &format!("persistent://public/default/t{n}"));
    }
    let more = producer_on(9, "persistent://public/default/more");
    assert_eq!(refusal(w.ask(c, more)).0, ServerError::NOT_ALLOWED_ERROR);
}

#[test]
fn noise_never_hurts_the_broker() {
    let mut rng = fastrand_like(11);
    let mut w = World::new();
    let good = w.client();
    w.produce(good, 1, TOPIC);
    for round in 0..300 {
        let c = w.client();
        let mut frame = send_frame(1, 0, MessageMetadata::default(), b"hello");
        frame.extend_from_slice(&send_frame(2, 7, batch_of(3), b"again"));
        for _ in 0..1 + round % 5 {
            let at = rng() as usize % frame.len();
            frame[at] = rng() as u8;
        }
        w.bytes(c, frame);
        w.leave(c);
    }
    assert!(w.cut(good).is_none());
    w.publish(good, 1, 0, "still here");
}

#[test]
fn a_client_that_asked_for_much_and_reads_nothing_is_cut_in_time() {
    let mut w = World::with(BrokerConfig { connection_window: 10_000, ..BrokerConfig::default() });
    let (p, c) = (w.client(), w.client());
    w.produce(p, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::EXCLUSIVE);
    w.deaf.push(c);
    w.flow(c, 1, 1_000_000);
    for n in 0..100 {
        w.publish(p, 1, n, &"x".repeat(1000));
    }
    for _ in 0..61 {
        w.pass(Duration::from_secs(1));
        w.say(p, CommandPong::default());
    }
    assert_eq!(w.cut(c), Some(&DisconnectReason::NotReading));
    assert!(w.cut(p).is_none());
}

/// What ill-behaved clients do, and what they are told; `None` is nothing, or a cut.
#[test]
fn nobody_else_notices() {
    type Deed = fn(&mut World, pulsewire_broker::ConnId);
    let deeds: &[(&str, Option<ServerError>, Deed)] = &[
        ("a producer before CONNECT is over twice", None, |w, c| w.say(c, connect())),
        ("SEND for a producer that is not open", None, |w, c| {
            w.bytes(c, send_frame(77, 0, MessageMetadata::default(), b"x"));
        }),
        ("a name that is taken", Some(ServerError::PRODUCER_BUSY), |w, c| {
            let taken = CommandProducer { producer_name: Some("good".to_owned()), ..producer_on(7, TOPIC) };
            w.say(c, taken.clone());
            // The one who has it shows that he lives.
            while !w.silent(ConnId(1)) {
                w.hear(ConnId(1));
            }
            w.say(ConnId(1), CommandPong::default());
        }),
        ("a place that is taken", Some(ServerError::CONSUMER_BUSY), |w, c| {
            w.say(c, subscribe(7, TOPIC, "good", SubType::EXCLUSIVE));
            while !w.silent(ConnId(1)) {
                w.hear(ConnId(1));
            }
            w.say(ConnId(1), CommandPong::default());
        }),
        ("another type of subscription", Some(ServerError::CONSUMER_BUSY), |w, c| {
            w.say(c, subscribe(7, TOPIC, "good", SubType::SHARED));
        }),
        ("no permits", None, |w, c| {
            w.consume(c, 7, TOPIC, "own", SubType::SHARED);
            w.flow(c, 7, u32::MAX);
        }),
        ("seeking with nobody", Some(ServerError::METADATA_ERROR), |w, c| {
            w.say(
                c,
                CommandSeek {
                    consumer_id: 5,
                    request_id: 1,
                    message_publish_time: Some(1),
                    ..Default::default()
                },
            );
        }),
        ("seeking nowhere", Some(ServerError::METADATA_ERROR), |w, c| {
            w.say(c, CommandSeek { consumer_id: 5, request_id: 1, ..Default::default() });
        }),
        ("words of brokers", None, |w, c| w.say(c, CommandConnected::default())),
        ("half a frame", None, |w, c| w.bytes(c, [0, 0, 1])),
        ("garbage", None, |w, c| w.bytes(c, [0xff; 64])),
        ("acks of others' messages", None, |w, c| w.ack(c, 1, AckType::CUMULATIVE, &[id(0, 0)])),
        ("a bad topic", Some(ServerError::INVALID_TOPIC_NAME), |w, c| w.say(c, producer_on(1, "a/b"))),
    ];
    for (deed, told, act) in deeds {
        let mut w = World::new();
        let good = w.client();
        assert_eq!(good, ConnId(1));
        let named = CommandProducer { producer_name: Some("good".to_owned()), ..producer_on(1, TOPIC) };
        assert!(matches!(w.ask(good, named), Command::ProducerSuccess(_)));
        w.consume(good, 1, TOPIC, "good", SubType::EXCLUSIVE);
        w.publish(good, 1, 0, "before");
        let bad = w.client();
        act(&mut w, bad);
        match told {
            Some(error) => assert_eq!(refusal(w.hear(bad)).0, *error, "{deed}"),
            None => assert!(w.silent(bad), "{deed}: {:?}", w.hear(bad)),
        }
        assert!(w.silent(good), "{deed}: {:?}", w.hear(good));
        w.publish(good, 1, 1, "after");
        w.flow(good, 1, 10);
        assert_eq!(w.payloads(good), ["before", "after"], "{deed}");
        assert!(w.cut(good).is_none(), "{deed}");
    }
}

/// A few bits of chance, the same every time.
fn fastrand_like(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}
