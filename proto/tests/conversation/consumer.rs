//! Consumers: permits, receiving, acknowledgements, redelivery, endings.

use bytes::Bytes;
use pulsewire_proto::wire::*;
use pulsewire_proto::{
    ConnId, ConsumerConfig, ConsumerId, ErrorKind, Event, InitialPosition, MessageId, Output,
    SubscriptionType,
};

use crate::talk::*;

fn shared() -> ConsumerConfig {
    ConsumerConfig { subscription_type: SubscriptionType::Shared, ..ungrouped() }
}

/// A queue of two: every permit comes back at once.
fn small() -> ConsumerConfig {
    ConsumerConfig { receiver_queue_size: 2, ..shared() }
}

/// All permits that the client gave back since it was last asked, and nothing else was said.
fn permits(talk: &mut Talk, conn: ConnId) -> u32 {
    let mut sum = 0;
    while let Some((command, _)) = talk.heard(conn) {
        match command {
            Command::Flow(flow) => sum += flow.message_permits,
            other => panic!("{other:?}"),
        }
    }
    sum
}

fn texts(payloads: &[&'static str]) -> Vec<Option<&'static str>> {
    payloads.iter().copied().map(Some).collect()
}

#[test]
fn c01_subscribe_says_what_was_asked_for() {
    let mut talk = Talk::new();
    let config = ConsumerConfig {
        subscription_type: SubscriptionType::KeyShared,
        initial_position: InitialPosition::Earliest,
        name: Some("me".to_owned()),
        priority_level: 3,
        properties: vec![("k".to_owned(), "v".to_owned())],
        ..ConsumerConfig::new(topic(), "sub")
    };
    let (id, _) = talk.client.subscribe(config, talk.now).expect("options");
    let conn = talk.accept(BROKER);
    talk.locate(conn);
    let open = hear!(talk, conn, Subscribe);
    let expected = CommandSubscribe {
        topic: TOPIC.to_owned(),
        subscription: "sub".to_owned(),
        sub_type: SubType::KEY_SHARED,
        consumer_id: id.0,
        request_id: open.request_id,
        consumer_name: Some("me".to_owned()),
        priority_level: Some(3),
        durable: Some(true),
        metadata: vec![KeyValue { key: "k".to_owned(), value: "v".to_owned() }],
        read_compacted: Some(false),
        initial_position: Some(wire_position()),
        force_topic_creation: Some(true),
        ..Default::default()
    };
    assert_eq!(open, expected);
}

fn wire_position() -> pulsewire_proto::wire::InitialPosition {
    pulsewire_proto::wire::InitialPosition::EARLIEST
}

#[test]
fn c23_the_first_flow_is_said_once_and_after_success() {
    let mut talk = Talk::new();
    let (_, op) = talk.client.subscribe(ConsumerConfig::new(topic(), "s"), talk.now).expect("options");
    let conn = talk.accept(BROKER);
    talk.locate(conn);
    let open = hear!(talk, conn, Subscribe);
    talk.quiet(conn);
    talk.say(conn, success(open.request_id));
    assert_eq!(talk.ended(op), Ok(Output::Done));
    assert_eq!(permits(&mut talk, conn), 1000);
    talk.say(conn, success(open.request_id));
    talk.quiet(conn);
}

#[test]
fn c02_messages_come_in_order_and_are_announced_once() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    for n in 0..5 {
        talk.deliver(conn, id, n, &format!("m{n}"));
    }
    assert_eq!(talk.event(), Some(Event::Ready(id)));
    assert_eq!(talk.event(), None);
    assert!(talk.client.has_messages(id));
    assert_eq!(talk.payloads(id), ["m0", "m1", "m2", "m3", "m4"]);
    assert!(!talk.client.has_messages(id));
    talk.deliver(conn, id, 5, "m5");
    assert_eq!(talk.event(), Some(Event::Ready(id)));
}

#[test]
fn c30_a_message_has_all_its_fields() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    let metadata = MessageMetadata {
        sequence_id: 17,
        properties: vec![KeyValue { key: "k".to_owned(), value: "v".to_owned() }],
        partition_key: Some("key".to_owned()),
        ordering_key: Some(Bytes::from_static(b"o")),
        event_time: Some(5),
        schema_version: Some(Bytes::from_static(&[0, 1])),
        replicated_from: Some("west".to_owned()),
        ..metadata()
    };
    talk.say_bytes(conn, delivery(id, 8, &[], &entry_of(&metadata, b"hello")));
    talk.say_bytes(conn, delivery(id, 9, &[], &batch(&texts(&["a", "b"]))));
    let messages: Vec<_> = talk.receive(id).into_iter().map(|m| m.expect("a message")).collect();
    let m = &messages[0];
    assert_eq!((m.payload(), m.topic(), m.producer_name()), (&b"hello"[..], TOPIC, "elsewhere"));
    assert_eq!((m.id().to_string().as_str(), m.sequence_id(), m.event_time()), ("3:8:-1", 17, Some(5)));
    assert_eq!((m.key(), m.has_base64_key(), m.ordering_key()), (Some("key"), false, Some(&b"o"[..])));
    assert_eq!(m.properties(), [("k".to_owned(), "v".to_owned())]);
    assert_eq!((m.schema_version(), m.replicated_from()), (Some(&[0, 1][..]), Some("west")));
    assert_eq!((m.publish_time(), m.index(), m.is_null()), (1_700_000_000_000, None, false));
    let b = &messages[2];
    assert_eq!((payload(b).as_str(), b.id().to_string().as_str(), b.id().batch_size), ("b", "3:9:-1:1", 2));
    assert_eq!((b.index(), b.broker_publish_time()), (Some(101), Some(9)));
    assert_eq!(messages[1].index(), Some(100));
}

#[test]
fn c23_permits_are_conserved_over_single_messages() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(ConsumerConfig { receiver_queue_size: 10, ..shared() });
    for round in 0..20 {
        for n in 0..10 {
            talk.deliver(conn, id, round * 10 + n, "x");
        }
        talk.quiet(conn);
        // Prefetched messages give nothing back; those that the user has do.
        for n in 0..10 {
            talk.client.take(id).expect("open").expect("one").expect("a message");
            talk.quiet(conn);
            talk.client.delivered(id, 1);
            assert_eq!(permits(&mut talk, conn), if n % 5 == 4 { 5 } else { 0 });
        }
    }
}

#[test]
fn c23_permits_are_conserved_over_batches() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(small());
    talk.say_bytes(conn, delivery(id, 0, &[], &batch(&texts(&["a", "b", "c", "d", "e"]))));
    talk.quiet(conn);
    assert_eq!(talk.payloads(id), ["a", "b", "c", "d", "e"]);
    assert_eq!(permits(&mut talk, conn), 5);
}

#[test]
fn c30_a_batch_of_one_is_a_batch() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(ConsumerConfig { receiver_queue_size: 1, ..small() });
    talk.say_bytes(conn, delivery(id, 1, &[], &batch(&texts(&["alone"]))));
    let alone = talk.receive(id).remove(0).expect("a message");
    assert_eq!((alone.id().batch_index, alone.id().batch_size), (0, 1));
    assert_eq!(permits(&mut talk, conn), 1);
}

#[test]
fn c22_permits_are_conserved_over_what_was_compacted_out() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(small());
    talk.say_bytes(conn, delivery(id, 0, &[], &batch(&[None, Some("b"), None, None, Some("e"), None])));
    assert_eq!(talk.payloads(id), ["b", "e"]);
    assert_eq!(permits(&mut talk, conn), 6);
    talk.say_bytes(conn, delivery(id, 1, &[], &batch(&[None, None, None])));
    assert_eq!(talk.payloads(id), [""; 0]);
    assert_eq!(permits(&mut talk, conn), 3, "also when nothing is left for the user");
}

#[test]
fn c08_permits_are_conserved_over_acknowledged_bits() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(small());
    // The broker does not count what is acknowledged already (`Consumer.sendMessages`), so neither do we.
    talk.say_bytes(conn, delivery(id, 0, &[0b1010], &batch(&texts(&["a", "b", "c", "d"]))));
    assert_eq!(talk.payloads(id), ["b", "d"]);
    assert_eq!(permits(&mut talk, conn), 2);
    // Bits that are open and compacted out were counted.
    talk.say_bytes(conn, delivery(id, 1, &[0b0110], &batch(&[Some("a"), None, Some("c"), None])));
    assert_eq!(talk.payloads(id), ["c"]);
    assert_eq!(permits(&mut talk, conn), 2);
}

#[test]
fn c23_permits_of_what_an_earlier_subscription_delivered_are_not_given_to_the_next() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(small());
    talk.deliver(conn, id, 0, "a");
    talk.deliver(conn, id, 1, "b");
    talk.client.take(id).expect("open").expect("one").expect("a message");
    talk.client.take(id).expect("open").expect("one").expect("a message");
    talk.cut(conn);
    let conn = talk.come_back();
    let open = hear!(talk, conn, Subscribe);
    talk.say(conn, success(open.request_id));
    assert_eq!(permits(&mut talk, conn), 2);
    talk.client.delivered(id, 2);
    talk.quiet(conn);
    talk.deliver(conn, id, 0, "a");
    assert_eq!(talk.payloads(id), ["a"]);
    assert_eq!(permits(&mut talk, conn), 1);
}

#[test]
fn c05_each_acknowledgement_of_a_single_message_is_sent() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    talk.deliver(conn, id, 4, "x");
    let message = talk.receive(id).remove(0).expect("a message");
    talk.client.acknowledge(id, message.id(), false, talk.now).expect("open");
    let expected = CommandAck {
        consumer_id: id.0,
        ack_type: AckType::INDIVIDUAL,
        message_id: vec![at(4)],
        ..Default::default()
    };
    assert_eq!(hear!(talk, conn, Ack), expected);
    talk.client.acknowledge(id, message.id(), true, talk.now).expect("open");
    assert_eq!(hear!(talk, conn, Ack), CommandAck { ack_type: AckType::CUMULATIVE, ..expected });
}

fn at(entry_id: u64) -> MessageIdData {
    MessageIdData { ledger_id: 3, entry_id, ..Default::default() }
}

#[test]
fn c08_ack_of_one_index_never_acks_the_batch() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    talk.say_bytes(conn, delivery(id, 7, &[], &batch(&texts(&["a", "b", "c"]))));
    let ids: Vec<MessageId> = talk.receive(id).into_iter().map(|m| m.expect("a message").id()).collect();
    for index in [2, 0, 0, 2] {
        talk.client.acknowledge(id, ids[index], false, talk.now).expect("open");
        talk.quiet(conn);
    }
    talk.client.acknowledge(id, ids[1], false, talk.now).expect("open");
    let ack = hear!(talk, conn, Ack);
    assert_eq!((ack.ack_type, ack.message_id), (AckType::INDIVIDUAL, vec![at(7)]));
    talk.quiet(conn);
}

#[test]
fn c08_cumulative_ack_within_a_batch_reaches_the_entry_before() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    talk.deliver(conn, id, 6, "before");
    talk.say_bytes(conn, delivery(id, 7, &[], &batch(&texts(&["a", "b", "c"]))));
    let ids: Vec<MessageId> = talk.receive(id).into_iter().map(|m| m.expect("a message").id()).collect();
    talk.client.acknowledge(id, ids[2], true, talk.now).expect("open");
    let ack = hear!(talk, conn, Ack);
    assert_eq!((ack.ack_type, ack.message_id), (AckType::CUMULATIVE, vec![at(6)]));
    talk.client.acknowledge(id, ids[3], true, talk.now).expect("open");
    let ack = hear!(talk, conn, Ack);
    assert_eq!((ack.ack_type, ack.message_id), (AckType::CUMULATIVE, vec![at(7)]));
}

#[test]
fn c08_open_bits_alone_are_waited_for_after_a_redelivery() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    talk.say_bytes(conn, delivery(id, 7, &[0b100], &batch(&texts(&["a", "b", "c"]))));
    let c = talk.receive(id).remove(0).expect("a message");
    assert_eq!(payload(&c), "c");
    talk.client.acknowledge(id, c.id(), false, talk.now).expect("open");
    assert_eq!(hear!(talk, conn, Ack).message_id, [at(7)]);
}

#[test]
fn c09_nack_honours_its_delay() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { negative_ack_redelivery_delay: secs(20), ..shared() };
    let (id, conn) = talk.consumer_with(config);
    for n in 0..3 {
        talk.deliver(conn, id, n, "x");
    }
    talk.say_bytes(conn, delivery(id, 3, &[], &batch(&texts(&["a", "b"]))));
    let ids: Vec<MessageId> = talk.receive(id).into_iter().map(|m| m.expect("a message").id()).collect();
    talk.client.negative_acknowledge(id, ids[1], talk.now).expect("open");
    talk.pass(secs(10));
    talk.client.negative_acknowledge(id, ids[3], talk.now).expect("open");
    talk.client.negative_acknowledge(id, ids[4], talk.now).expect("open");
    talk.pass(ms(9_900));
    talk.quiet(conn);
    talk.pass(ms(200));
    assert_eq!(hear!(talk, conn, RedeliverUnacknowledgedMessages).message_ids, [at(1)]);
    talk.quiet(conn);
    talk.pass(secs(10));
    hear!(talk, conn, Ping);
    let again = hear!(talk, conn, RedeliverUnacknowledgedMessages);
    assert_eq!((again.consumer_id, again.message_ids), (id.0, vec![at(3)]));
    talk.pass(secs(29));
    talk.quiet(conn);
}

#[test]
fn c09_many_nacks_are_cut_into_frames() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(shared());
    for n in 0..2500 {
        talk.client
            .negative_acknowledge(id, MessageId { entry_id: n, ..message_id(0) }, talk.now)
            .expect("open");
    }
    talk.pass(secs(30));
    hear!(talk, conn, Ping);
    talk.say(conn, CommandPong::default());
    talk.pass(secs(31));
    let mut named = Vec::new();
    while let Some((command, frame)) = talk.heard(conn) {
        assert!(frame.command.len() < 64 * 1024);
        match command {
            Command::RedeliverUnacknowledgedMessages(r) => named.extend(r.message_ids),
            Command::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(named.len(), 2500);
}

fn message_id(entry_id: u64) -> MessageId {
    MessageId { ledger_id: 3, entry_id, partition: -1, batch_index: -1, batch_size: 0, first_chunk: None }
}

#[test]
fn c01_what_was_not_acknowledged_comes_again_after_a_reconnect() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    for n in 0..4 {
        talk.deliver(conn, id, n, &format!("m{n}"));
    }
    talk.client.take(id).expect("open").expect("one").expect("a message");
    talk.client.negative_acknowledge(id, message_id(0), talk.now).expect("open");
    talk.cut(conn);
    // What the lost connection had prefetched is not handed out: it comes again.
    assert_eq!(talk.payloads(id), [""; 0]);
    talk.client.acknowledge(id, message_id(0), false, talk.now).expect("open");
    let conn = talk.come_back();
    let open = hear!(talk, conn, Subscribe);
    assert_eq!((open.consumer_id, open.subscription.as_str()), (id.0, "s"));
    talk.say(conn, success(open.request_id));
    assert_eq!(hear!(talk, conn, Ack).message_id, [at(0)], "what was done with in between");
    assert_eq!(permits(&mut talk, conn), 1000);
    for n in 0..4 {
        talk.deliver(conn, id, n, &format!("m{n}"));
    }
    assert_eq!(talk.payloads(id), ["m0", "m1", "m2", "m3"]);
    assert_eq!(talk.event(), Some(Event::Ready(id)));
    // The old connection's negative acknowledgement went with it.
    talk.pass(secs(59));
    while let Some((command, _)) = talk.heard(conn) {
        assert!(matches!(command, Command::Ping(_)), "{command:?}");
    }
}

#[test]
fn c01_the_consumer_keeps_its_name_through_a_reconnect() {
    let mut talk = Talk::new();
    talk.client.subscribe(ConsumerConfig::new(topic(), "s"), talk.now).expect("options");
    let conn = talk.accept(BROKER);
    talk.locate(conn);
    let first = hear!(talk, conn, Subscribe);
    talk.say(conn, success(first.request_id));
    talk.cut(conn);
    let conn = talk.come_back();
    let second = hear!(talk, conn, Subscribe);
    assert!(first.consumer_name.as_ref().is_some_and(|name| !name.is_empty()));
    assert_eq!(CommandSubscribe { request_id: 0, ..first }, CommandSubscribe { request_id: 0, ..second });
}

#[test]
fn c01_close_consumer_on_a_live_socket_subscribes_again_with_new_permits() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(small());
    talk.deliver(conn, id, 0, "x");
    talk.say(conn, CommandCloseConsumer { consumer_id: id.0, ..Default::default() });
    talk.say(conn, CommandCloseConsumer { consumer_id: 77, ..Default::default() });
    // No permits, acks or messages in between.
    assert_eq!(talk.payloads(id), [""; 0]);
    talk.client.delivered(id, 1);
    talk.client.acknowledge(id, message_id(0), false, talk.now).expect("open");
    talk.deliver(conn, id, 0, "late");
    assert!(!talk.client.has_messages(id));
    talk.quiet(conn);
    assert!(talk.is_open(conn));
    talk.pass(ms(100));
    talk.locate_again(conn);
    let open = hear!(talk, conn, Subscribe);
    talk.quiet(conn);
    talk.deliver(conn, id, 0, "still too early");
    assert!(!talk.client.has_messages(id));
    talk.say(conn, success(open.request_id));
    assert_eq!(hear!(talk, conn, Ack).message_id, [at(0)], "what was done with in between");
    assert_eq!(permits(&mut talk, conn), 2);
    talk.deliver(conn, id, 0, "x");
    assert_eq!(talk.payloads(id), ["x"]);
    assert_eq!(permits(&mut talk, conn), 1);
}

#[test]
fn c01_close_consumer_moves_to_the_broker_that_it_names() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    talk.say(
        conn,
        CommandCloseConsumer {
            consumer_id: id.0,
            assigned_broker_service_url: Some("pulsar://next:6650".to_owned()),
            ..Default::default()
        },
    );
    talk.pass(ms(100));
    let next = talk.accept("pulsar://next:6650");
    hear!(talk, next, Subscribe);
}

/// An entry in which one byte of the payload was changed on its way.
fn damaged(entry: &Bytes) -> Bytes {
    let mut bytes = entry.to_vec();
    *bytes.last_mut().expect("bytes") ^= 1;
    bytes.into()
}

#[test]
fn c24_a_wrong_checksum_is_reported_and_the_others_go_on() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    talk.deliver(conn, id, 0, "before");
    talk.say_bytes(conn, delivery(id, 1, &[], &damaged(&single("damaged"))));
    talk.deliver(conn, id, 2, "after");
    let expected = CommandAck {
        consumer_id: id.0,
        ack_type: AckType::INDIVIDUAL,
        message_id: vec![at(1)],
        validation_error: Some(ValidationError::CHECKSUM_MISMATCH),
        ..Default::default()
    };
    assert_eq!(hear!(talk, conn, Ack), expected);
    assert_eq!(talk.payloads(id), ["before", "after"]);
    assert!(talk.is_open(conn));
}

#[test]
fn c23_permits_are_conserved_over_damaged_entries() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(ConsumerConfig { receiver_queue_size: 8, ..shared() });
    let mut flows = 0;
    for n in 0..16 {
        talk.say_bytes(conn, delivery(id, n, &[], &damaged(&single("x"))));
        hear!(talk, conn, Ack);
        flows += permits(&mut talk, conn);
    }
    assert_eq!(flows, 16, "a queue's worth of them does not stop the consumer");
    talk.say_bytes(conn, delivery(id, 16, &[], &damaged(&batch(&texts(&["a", "b", "c", "d"])))));
    hear!(talk, conn, Ack);
    assert_eq!(permits(&mut talk, conn), 4, "a damaged batch took as many as it says");
}

#[test]
fn c24_an_entry_that_cannot_be_read_is_said_once_and_takes_its_permits_back() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(small());
    let encrypted = MessageMetadata {
        encryption_keys: vec![EncryptionKeys { key: "k".to_owned(), ..Default::default() }],
        ..metadata()
    };
    let compressed = MessageMetadata {
        compression: Some(CompressionType::LZ4),
        num_messages_in_batch: Some(3),
        ..metadata()
    };
    let unknown_codec = MessageMetadata { compression: Some(CompressionType(99)), ..metadata() };
    let chunk = MessageMetadata { num_chunks_from_msg: Some(2), chunk_id: Some(0), ..metadata() };
    let lies = MessageMetadata { num_messages_in_batch: Some(4), ..metadata() };
    let cut = batch_payload(&texts(&["a", "b", "c", "d"]));
    let cases: [(Bytes, &[&str], ErrorKind, u32); 8] = [
        (entry_of(&encrypted, b"?"), &[], ErrorKind::NotSupported, 1),
        (entry_of(&compressed, b"?"), &[], ErrorKind::Corrupted, 3),
        (entry_of(&unknown_codec, b"?"), &[], ErrorKind::NotSupported, 1),
        (entry_of(&chunk, b"?"), &[], ErrorKind::Corrupted, 1),
        (entry_of(&lies, &cut[..cut.len() - 1]), &["a", "b", "c"], ErrorKind::Corrupted, 4),
        (entry_of(&lies, b""), &[], ErrorKind::Corrupted, 4),
        (Bytes::new(), &[], ErrorKind::Corrupted, 1),
        (Bytes::from_static(&[0, 0, 0, 9, 1]), &[], ErrorKind::Corrupted, 1),
    ];
    for (n, (entry, readable, expected, took)) in cases.into_iter().enumerate() {
        talk.say_bytes(conn, delivery(id, n as u64, &[], &entry));
        assert_eq!(talk.event(), Some(Event::Ready(id)), "case {n}");
        let mut taken = talk.receive(id);
        let error = taken.pop().expect("an error").expect_err("an error");
        assert_eq!(error.kind(), expected, "case {n}: {error}");
        assert!(error.to_string().contains(&format!("3:{n}")), "{error}");
        let read: Vec<String> = taken.into_iter().map(|m| payload(&m.expect("a message"))).collect();
        assert_eq!(read, readable, "case {n}");
        assert_eq!(permits(&mut talk, conn), took, "case {n}");
        assert!(talk.is_open(conn));
    }
    talk.deliver(conn, id, 99, "others go on");
    assert_eq!(talk.payloads(id), ["others go on"]);
}

#[test]
fn p03_compressed_messages_and_batches_are_unpacked() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    let texts = ["a", "", "long enough to be worth it, long enough to be worth it"];
    for codec in [CompressionType::LZ4, CompressionType::ZLIB, CompressionType::ZSTD, CompressionType::SNAPPY]
    {
        for batched in [false, true] {
            let plain = if batched { batch_payload(&texts.map(Some)) } else { Bytes::from(texts[2]) };
            let metadata = MessageMetadata {
                compression: Some(codec),
                uncompressed_size: Some(plain.len() as u32),
                num_messages_in_batch: batched.then_some(3),
                ..metadata()
            };
            talk.say_bytes(conn, delivery(id, 0, &[], &entry_of(&metadata, &packed(codec, &plain))));
            let expected = if batched { &texts[..] } else { &texts[2..] };
            assert_eq!(talk.payloads(id), expected, "{codec:?}");
        }
    }
}

#[test]
fn p03_decompression_is_bounded_before_anything_is_allocated() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { max_uncompressed_size: 5000, ..ConsumerConfig::new(topic(), "s") };
    let (id, op) = talk.client.subscribe(config, talk.now).expect("options");
    let conn = talk.accept_with(BROKER, 1000);
    talk.locate(conn);
    let open = hear!(talk, conn, Subscribe);
    talk.say(conn, success(open.request_id));
    talk.ended(op).expect("a consumer");
    let codecs =
        [CompressionType::LZ4, CompressionType::ZLIB, CompressionType::ZSTD, CompressionType::SNAPPY];
    for codec in codecs {
        for (size, declared, readable) in [
            (1000, 1000, true),
            // What the broker takes is about the packed size.
            (1001, 1001, true),
            (5000, 5000, true),
            (5001, 5001, false),
            (1000, u32::MAX, false),
            (1000, 999, false),
            (1000, 1001, false),
            (900, 901, false),
        ] {
            let metadata =
                MessageMetadata { compression: Some(codec), uncompressed_size: Some(declared), ..metadata() };
            let entry = entry_of(&metadata, &packed(codec, &vec![b'x'; size]));
            talk.say_bytes(conn, delivery(id, 0, &[], &entry));
            let taken = talk.receive(id).pop().expect("a message or an error");
            let outcome = taken.map(|m| m.payload().len()).map_err(|e| e.kind());
            let expected = if readable { Ok(size) } else { Err(ErrorKind::Corrupted) };
            assert_eq!(outcome, expected, "{codec:?} {size} {declared}");
        }
    }
    assert!(talk.is_open(conn));
}

fn packed(codec: CompressionType, plain: &[u8]) -> Vec<u8> {
    match codec {
        CompressionType::LZ4 => lz4_flex::block::compress(plain),
        CompressionType::ZLIB => miniz_oxide::deflate::compress_to_vec_zlib(plain, 6),
        CompressionType::ZSTD => {
            ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest)
        }
        _ => snap::raw::Encoder::new().compress_vec(plain).expect("packed"),
    }
}

#[test]
fn c10_an_unknown_consumer_is_passed_over() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    talk.deliver(conn, ConsumerId(1234), 0, "for no one");
    talk.deliver(conn, id, 1, "for us");
    assert_eq!(talk.payloads(id), ["for us"]);
}

#[test]
fn c01_late_answers_of_an_earlier_subscription_do_nothing() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    talk.say(conn, CommandCloseConsumer { consumer_id: id.0, ..Default::default() });
    talk.pass(ms(100));
    talk.locate_again(conn);
    let first = hear!(talk, conn, Subscribe);
    talk.pass(secs(29));
    talk.say(conn, CommandPong::default());
    talk.pass(secs(1));
    // It took too long: what the broker may still open is closed, and tried again.
    assert_eq!(hear!(talk, conn, CloseConsumer).consumer_id, id.0);
    talk.pass(ms(200));
    talk.locate_again(conn);
    let second = hear!(talk, conn, Subscribe);
    talk.say(conn, success(first.request_id));
    talk.say(conn, failure(first.request_id, ServerError::AUTHORIZATION_ERROR));
    talk.quiet(conn);
    talk.say(conn, success(second.request_id));
    assert_eq!(permits(&mut talk, conn), 1000);
}

#[test]
fn c01_an_error_that_will_not_pass_ends_the_consumer_with_a_reason() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    talk.cut(conn);
    let conn = talk.come_back();
    let open = hear!(talk, conn, Subscribe);
    talk.say(conn, failure(open.request_id, ServerError::AUTHORIZATION_ERROR));
    assert_eq!(talk.event(), Some(Event::ConsumerReset(id)));
    let Some(Event::ConsumerEnded { consumer, error }) = talk.event() else { panic!("it has failed") };
    assert_eq!((consumer, error.kind()), (id, ErrorKind::Broker(ServerError::AUTHORIZATION_ERROR)));
    assert_eq!(kind(talk.client.take(id)), ErrorKind::AlreadyClosed);
}

#[test]
fn c01_a_second_exclusive_consumer_is_refused_at_once() {
    let mut talk = Talk::new();
    let (_, op) = talk.client.subscribe(ConsumerConfig::new(topic(), "s"), talk.now).expect("options");
    let conn = talk.accept(BROKER);
    talk.locate(conn);
    let open = hear!(talk, conn, Subscribe);
    talk.say(conn, failure(open.request_id, ServerError::CONSUMER_BUSY));
    let busy = talk.ended(op).expect_err("a failure");
    assert_eq!((busy.kind(), busy.code()), (ErrorKind::Broker(ServerError::CONSUMER_BUSY), "ConsumerBusy"));
    talk.quiet(conn);
}

#[test]
fn c26_unsubscribe_and_c17_last_message_id_are_asked_for() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    let last = talk.client.last_message_id(id, talk.now);
    let asked = hear!(talk, conn, GetLastMessageId);
    talk.say(
        conn,
        CommandGetLastMessageIdResponse {
            last_message_id: MessageIdData { batch_index: Some(4), ..at(12) },
            request_id: asked.request_id,
            consumer_mark_delete_position: None,
        },
    );
    let Ok(Output::LastMessageId(found)) = talk.ended(last) else { panic!("an id") };
    assert_eq!(found.to_string(), "3:12:-1:4");
    let op = talk.client.unsubscribe(id, false, talk.now);
    let asked = hear!(talk, conn, Unsubscribe);
    talk.say(conn, success(asked.request_id));
    assert_eq!(talk.ended(op), Ok(Output::Done));
    // Without a connection, and without an answer.
    let op = talk.client.unsubscribe(id, false, talk.now);
    talk.cut(conn);
    assert_eq!(kind(talk.ended(op)), ErrorKind::Disconnected);
    let op = talk.client.unsubscribe(id, false, talk.now);
    assert_eq!(kind(talk.ended(op)), ErrorKind::Disconnected);
    let op = talk.client.last_message_id(ConsumerId(99), talk.now);
    assert_eq!(kind(talk.ended(op)), ErrorKind::AlreadyClosed);
}

#[test]
fn c05_acknowledgements_before_close_are_on_the_wire_before_it() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    talk.deliver(conn, id, 0, "x");
    talk.receive(id);
    talk.client.acknowledge(id, message_id(0), false, talk.now).expect("open");
    let op = talk.client.close_consumer(id, talk.now);
    assert_eq!(hear!(talk, conn, Ack).message_id, [at(0)]);
    let close = hear!(talk, conn, CloseConsumer);
    talk.deliver(conn, id, 1, "late");
    talk.say(conn, success(close.request_id));
    assert_eq!(talk.ended(op), Ok(Output::Done));
    talk.quiet(conn);
    assert!(talk.client.acknowledge(id, message_id(1), false, talk.now).is_err());
}
