//! What a broken or hostile peer may send. It never panics, never hangs, and never costs more memory
//! than was sent.

use bytes::{Bytes, BytesMut};
use pulsewire_proto::wire::frame::encode_with_entry;
use pulsewire_proto::wire::*;
use pulsewire_proto::{ConsumerConfig, ErrorKind, Event, SubscriptionType};

use crate::talk::*;

fn shared(queue: u32) -> ConsumerConfig {
    ConsumerConfig { receiver_queue_size: queue, subscription_type: SubscriptionType::Shared, ..ungrouped() }
}

/// A burst of everything that an open connection may say.
fn burst(consumer: pulsewire_proto::ConsumerId, producer: pulsewire_proto::ProducerId) -> Bytes {
    let mut out = BytesMut::new();
    for part in [
        frame(CommandPing::default()),
        delivery(consumer, 0, &[], &single("one")),
        frame(receipt(producer, 0)),
        delivery(consumer, 1, &[0b101], &batch(&[Some("a"), Some("b"), Some("c")])),
        frame(Command::Unknown(99)),
        frame(receipt(producer, 1)),
        frame(CommandPong::default()),
    ] {
        out.extend_from_slice(&part);
    }
    out.freeze()
}

#[test]
fn w02_frames_cut_at_every_byte_are_put_together_again() {
    let said = |cuts: &[usize]| {
        let mut talk = Talk::new();
        let (consumer, conn) = talk.consumer();
        let (producer, _) = talk.producer();
        talk.send(producer, b"x");
        talk.send(producer, b"y");
        talk.hear_send(conn);
        talk.hear_send(conn);
        let all = burst(consumer, producer);
        let mut start = 0;
        for &cut in cuts.iter().chain([&all.len()]) {
            talk.say_bytes(conn, all.slice(start..cut));
            start = cut;
        }
        assert!(talk.is_open(conn));
        hear!(talk, conn, Pong);
        let outcomes: Vec<_> = std::iter::from_fn(|| talk.outcome()).collect();
        (talk.payloads(consumer), outcomes)
    };
    let whole = said(&[]);
    assert_eq!(whole.0, ["one", "a", "c"]);
    assert_eq!(whole.1.len(), 2);
    let len = {
        let mut talk = Talk::new();
        let (consumer, _) = talk.consumer();
        let (producer, _) = talk.producer();
        burst(consumer, producer).len()
    };
    for cut in 1..len {
        assert_eq!(said(&[cut]), whole, "cut at {cut}");
    }
    for (a, b) in (1..len).zip(4..len) {
        assert_eq!(said(&[a, b]), whole, "cut at {a} and {b}");
    }
    assert_eq!(said(&(1..len).collect::<Vec<_>>()), whole, "byte by byte");
}

#[test]
fn w02_sizes_that_lie_close_the_connection_with_a_reason() {
    let cases: [(&[u8], &str); 6] = [
        (&[0, 0, 0, 0], "contradict"),
        (&[0, 0, 0, 3, 1, 2, 3], "contradict"),
        (&[0, 0, 0, 4, 0, 0, 0, 1], "contradict"),
        (&[0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff, 8, 18], "contradict"),
        (&[0xff, 0xff, 0xff, 0xff], "larger than"),
        (&[0x00, 0x60, 0, 0, 0, 0, 0, 2], "larger than"),
    ];
    for (bytes, reason) in cases {
        let mut talk = Talk::new();
        let (_, conn) = talk.producer();
        talk.say_bytes(conn, bytes.to_vec());
        let said = talk.hung_up(conn);
        assert!(said.contains(reason), "{bytes:?}: {said}");
        // And it is opened again: the peer may come to its senses.
        talk.come_back();
    }
}

#[test]
fn w02_a_command_that_is_cut_or_malformed_closes_the_connection() {
    let whole = frame(producer_success(1, "name", 5));
    for end in 9..whole.len() {
        let mut bytes = BytesMut::new();
        bytes.extend_from_slice(&((end - 4) as u32).to_be_bytes());
        bytes.extend_from_slice(&((end - 8) as u32).to_be_bytes());
        bytes.extend_from_slice(&whole[8..end]);
        let mut talk = Talk::new();
        let (_, conn) = talk.producer();
        talk.say_bytes(conn, bytes);
        assert!(!talk.is_open(conn), "cut to {end} bytes");
        assert!(talk.hung_up(conn).contains("broke the protocol"));
    }
    for command in
        [&[][..], &[0x08], &[0x10, 1], &[0x08, 18], &[0x0f, 1, 2], &[0x08, 17, 0x8a, 1, 2, 0x10, 0xff]]
    {
        let mut talk = Talk::new();
        let (_, conn) = talk.producer();
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&(command.len() as u32 + 4).to_be_bytes());
        bytes.extend_from_slice(&(command.len() as u32).to_be_bytes());
        bytes.extend_from_slice(command);
        talk.say_bytes(conn, bytes);
        talk.hung_up(conn);
    }
}

#[test]
fn w02_a_frame_that_promises_much_and_brings_little_costs_little() {
    let mut talk = Talk::new();
    talk.client.partitions(topic(), talk.now);
    // Messages of 2 GB are agreed, and a frame of as much begins.
    let conn = talk.accept_with(BROKER, i32::MAX);
    hear!(talk, conn, PartitionedTopicMetadata);
    let mut start = (i32::MAX as u32).to_be_bytes().to_vec();
    start.extend_from_slice(&[0; 100]);
    for byte in start {
        talk.say_bytes(conn, vec![byte]);
    }
    assert!(talk.is_open(conn));
}

#[test]
fn k05_what_comes_before_connected_is_refused() {
    for early in [frame(CommandPing::default()), frame(success(0)), frame(CommandPong::default())] {
        let mut talk = Talk::new();
        let op = talk.client.partitions(topic(), talk.now);
        let conn = talk.answer(BROKER);
        talk.say_bytes(conn, early);
        assert!(talk.hung_up(conn).contains("before the connection was accepted"));
        assert_eq!(kind(talk.ended(op)), ErrorKind::Protocol);
    }
}

#[test]
fn k05_a_peer_that_is_no_broker_is_named_as_one() {
    for text in
        ["HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "\u{15}\u{3}\u{3}\0\u{2}\u{2}F"]
    {
        let mut talk = Talk::new();
        let op = talk.client.partitions(topic(), talk.now);
        let conn = talk.answer(BROKER);
        talk.say_bytes(conn, text.as_bytes().to_vec());
        talk.hung_up(conn);
        assert_eq!(kind(talk.ended(op)), ErrorKind::Protocol);
    }
}

#[test]
fn c23_any_number_of_messages_that_a_batch_claims_is_bounded() {
    let payload = batch_payload(&[Some("a"), Some("b")]);
    // (claimed, readable, whether an error follows, permits given back)
    for (claimed, readable, fails, took) in [
        (2, 2, false, 2),
        (1, 1, false, 1),
        (3, 2, true, 3),
        (1_000_000, 2, true, 1_000_000),
        (i32::MAX, 2, true, i32::MAX as u32),
        (0, 0, true, 1),
        (-1, 0, true, 1),
        (i32::MIN, 0, true, 1),
    ] {
        let mut talk = Talk::new();
        let (id, conn) = talk.consumer_with(shared(1));
        let metadata = MessageMetadata { num_messages_in_batch: Some(claimed), ..metadata() };
        talk.say_bytes(conn, delivery(id, 0, &[], &entry_of(&metadata, &payload)));
        let taken = talk.receive(id);
        let (good, bad): (Vec<_>, Vec<_>) = taken.into_iter().partition(Result::is_ok);
        assert_eq!((good.len(), bad.len()), (readable, usize::from(fails)), "claimed {claimed}");
        let mut permits = 0u64;
        while let Some((command, _)) = talk.heard(conn) {
            let Command::Flow(flow) = command else { panic!("{command:?}") };
            permits += u64::from(flow.message_permits);
        }
        assert_eq!(permits, u64::from(took), "claimed {claimed}");
        // Any of its messages may be acknowledged in any way.
        for message in good {
            let id_of = message.expect("a message").id();
            talk.client.acknowledge(id, id_of, false, talk.now).expect("open");
            talk.client.acknowledge(id, id_of, true, talk.now).expect("open");
            talk.client.negative_acknowledge(id, id_of, talk.now).expect("open");
        }
    }
}

#[test]
fn c08_any_ack_set_is_taken() {
    for set in [&[i64::MIN, -1, 0][..], &[0], &[-1; 1000], &[1]] {
        let mut talk = Talk::new();
        let (id, conn) = talk.consumer_with(shared(2));
        talk.say_bytes(conn, delivery(id, 0, set, &batch(&[Some("a"), Some("b"), Some("c")])));
        let read = talk.payloads(id).len();
        let open = (0..3).filter(|bit| set[0] >> bit & 1 == 1).count();
        assert_eq!(read, open, "{set:?}");
    }
}

#[test]
fn c08_a_packed_ack_set_is_read_too() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(shared(2));
    // consumer_id, message_id {ledger 3, entry 0}, then field 4 as a packed list.
    let body = [0x08, id.0 as u8, 0x12, 4, 0x08, 3, 0x10, 0, 0x22, 1, 0b010];
    let mut command = vec![0x08, 9, 9 << 3 | 2, body.len() as u8];
    command.extend_from_slice(&body);
    let entry = batch(&[Some("a"), Some("b"), Some("c")]);
    let mut bytes = ((command.len() + 4 + entry.len()) as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&(command.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&command);
    bytes.extend_from_slice(&entry);
    talk.say_bytes(conn, bytes);
    assert_eq!(talk.payloads(id), ["b"]);
}

#[test]
fn c24_entries_cut_at_every_byte_are_an_error_and_no_more() {
    let checked = batch(&[Some("a"), Some("b"), Some("c")]);
    let mut unchecked = BytesMut::new();
    let metadata = MessageMetadata { num_messages_in_batch: Some(2), ..metadata() };
    unchecked.extend_from_slice(&(metadata.encoded_len() as u32).to_be_bytes());
    metadata.encode(&mut unchecked);
    unchecked.extend_from_slice(&batch_payload(&[Some("a"), Some("b")]));
    for whole in [checked, unchecked.freeze()] {
        for end in 0..whole.len() {
            let mut talk = Talk::new();
            let (id, conn) = talk.consumer_with(shared(1));
            talk.say_bytes(conn, delivery(id, 0, &[], &whole[..end]));
            talk.deliver(conn, id, 1, "next");
            let last = talk.receive(id).pop().expect("something").expect("the next is readable");
            assert_eq!(payload(&last), "next");
            assert!(talk.is_open(conn));
        }
    }
}

#[test]
fn c24_any_byte_of_an_entry_may_be_changed() {
    let whole = batch(&[Some("aa"), None, Some("cc")]);
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut entry = whole.to_vec();
            entry[at] ^= flip;
            let mut talk = Talk::new();
            let (id, conn) = talk.consumer_with(shared(1));
            talk.say_bytes(conn, delivery(id, 0, &[], &entry));
            for message in talk.receive(id).into_iter().flatten() {
                // Only the broker's own metadata stands outside of the checksum.
                assert!(["aa", "cc"].contains(&payload(&message).as_str()), "byte {at}");
            }
            talk.deliver(conn, id, 1, "next");
            assert_eq!(talk.payloads(id), ["next"]);
        }
    }
}

#[test]
fn c01_ids_and_numbers_at_their_limits_are_taken() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(shared(1));
    let command = CommandMessage {
        consumer_id: id.0,
        message_id: MessageIdData {
            ledger_id: u64::MAX,
            entry_id: 0,
            partition: Some(i32::MIN),
            batch_index: Some(i32::MAX),
            batch_size: Some(i32::MIN),
            ..Default::default()
        },
        redelivery_count: Some(u32::MAX),
        ack_set: vec![],
        consumer_epoch: Some(u64::MAX),
    };
    let mut out = BytesMut::new();
    encode_with_entry(&command.into(), &batch(&[Some("a"), Some("b")]), &mut out);
    talk.say_bytes(conn, out);
    for message in talk.receive(id) {
        let message = message.expect("a message");
        assert_eq!(message.redelivery_count(), u32::MAX);
        for cumulative in [true, false] {
            talk.client.acknowledge(id, message.id(), cumulative, talk.now).expect("open");
        }
    }
    // What the user hands in may be as odd.
    for odd in [pulsewire_proto::MessageId::EARLIEST, pulsewire_proto::MessageId::LATEST] {
        for batch_size in [i32::MIN, -1, 0, 1, i32::MAX] {
            let odd =
                pulsewire_proto::MessageId { batch_index: batch_size.wrapping_sub(1), batch_size, ..odd };
            for cumulative in [true, false] {
                talk.client.acknowledge(id, odd, cumulative, talk.now).expect("open");
            }
            talk.client.negative_acknowledge(id, odd, talk.now).expect("open");
        }
    }
    talk.pass(secs(70));
}

#[test]
fn k05_nested_ids_are_bounded() {
    let mut inner = MessageIdData::default();
    for _ in 0..5000 {
        inner = MessageIdData { first_chunk_message_id: Some(Box::new(inner)), ..Default::default() };
        if inner.encoded_len() > 20_000 {
            break;
        }
    }
    let mut talk = Talk::new();
    let (_, conn) = talk.consumer();
    talk.say(conn, CommandSendReceipt { message_id: Some(inner.clone()), ..Default::default() });
    assert!(talk.is_open(conn), "the hot path passes over what it does not want");
    let response = CommandGetLastMessageIdResponse { last_message_id: inner, ..Default::default() };
    talk.say(conn, response);
    assert!(talk.hung_up(conn).contains("nested too deep"));
}

#[test]
fn w05_unknown_enum_values_are_kept_and_reported() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    let op = talk.client.unsubscribe(id, false, talk.now);
    let asked = hear!(talk, conn, Unsubscribe);
    talk.say(conn, failure(asked.request_id, ServerError(4711)));
    let error = talk.ended(op).expect_err("a failure");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Broker(ServerError(4711)), "UnknownBrokerError"));
}

#[test]
fn k11_facts_about_connections_that_are_gone_do_nothing() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    talk.cut(conn);
    while talk.event().is_some() {}
    talk.client.received(conn, delivery(id, 0, &[], &single("late")), talk.now);
    talk.client.closed(conn, lost(), talk.now);
    talk.client.connected(conn, talk.now);
    talk.client.timeout(talk.now);
    assert!(!talk.client.wants_transmit(conn));
    assert_eq!(talk.event(), None::<Event>);
    assert!(!talk.client.has_messages(id));
}
