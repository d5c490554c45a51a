//! Messages that come in chunks.

use bytes::Bytes;
use pulsewire_proto::wire::*;
use pulsewire_proto::{
    ConnId, ConsumerConfig, ConsumerId, ErrorKind, FirstChunk, MessageId, SubscriptionType, TopicName,
};

use crate::talk::*;

/// A queue of two, so that every permit comes back at once.
fn shared() -> ConsumerConfig {
    ConsumerConfig {
        subscription_type: SubscriptionType::Shared,
        receiver_queue_size: 2,
        negative_ack_redelivery_delay: ms(500),
        ..ungrouped()
    }
}

fn chunk(uuid: &str, number: i32, count: i32, total: i32, payload: &str) -> Bytes {
    let metadata = MessageMetadata {
        uuid: Some(uuid.to_owned()),
        chunk_id: Some(number),
        num_chunks_from_msg: Some(count),
        total_chunk_msg_size: Some(total),
        ..metadata()
    };
    entry_of(&metadata, payload.as_bytes())
}

/// Delivers a chunk of a message of three times two bytes.
fn deliver(talk: &mut Talk, conn: ConnId, id: ConsumerId, entry: u64, uuid: &str, number: i32) {
    let payload = ["ab", "cd", "ef"][number as usize];
    talk.say_bytes(conn, delivery(id, entry, &[], &chunk(uuid, number, 3, 6, payload)));
}

#[derive(Debug, Default, PartialEq)]
struct Said {
    permits: u32,
    acknowledged: Vec<u64>,
    again: Vec<u64>,
}

/// What the client said since it was last asked.
fn said(talk: &mut Talk, conn: ConnId) -> Said {
    let mut said = Said::default();
    while let Some((command, _)) = talk.heard(conn) {
        match command {
            Command::Flow(flow) => said.permits += flow.message_permits,
            Command::Ack(ack) => said.acknowledged.extend(ack.message_id.iter().map(|id| id.entry_id)),
            Command::RedeliverUnacknowledgedMessages(r) => {
                said.again.extend(r.message_ids.iter().map(|id| id.entry_id));
            }
            Command::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
    said
}

fn acknowledged(entries: &[u64]) -> Said {
    Said { acknowledged: entries.to_vec(), ..Said::default() }
}

fn whole(talk: &mut Talk, id: ConsumerId) -> (String, MessageId) {
    let mut taken = talk.receive(id);
    assert_eq!(taken.len(), 1);
    let message = taken.remove(0).expect("a message");
    (payload(&message), message.id())
}

fn id_of(first: u64, last: u64) -> MessageId {
    MessageId {
        ledger_id: 3,
        entry_id: last,
        partition: -1,
        batch_index: -1,
        batch_size: 0,
        first_chunk: Some(FirstChunk { ledger_id: 3, entry_id: first }),
    }
}

#[test]
fn c28_chunks_become_one_message_and_each_repays_its_permit() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(shared());
    deliver(&mut talk, conn, id, 1, "p-0", 0);
    deliver(&mut talk, conn, id, 4, "p-0", 1);
    assert_eq!(said(&mut talk, conn), Said { permits: 2, ..Said::default() });
    assert!(talk.receive(id).is_empty());
    deliver(&mut talk, conn, id, 6, "p-0", 2);
    assert_eq!(whole(&mut talk, id), ("abcdef".to_owned(), id_of(1, 6)));
    assert_eq!(said(&mut talk, conn).permits, 1);
    talk.client.acknowledge(id, id_of(1, 6), false, talk.now).expect("acknowledged");
    assert_eq!(said(&mut talk, conn), acknowledged(&[1, 4, 6]));
}

#[test]
fn c28_a_cumulative_acknowledgement_names_the_last_chunk() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    (0..3).for_each(|n| deliver(&mut talk, conn, id, n as u64, "p-0", n));
    whole(&mut talk, id);
    talk.client.acknowledge(id, id_of(0, 2), true, talk.now).expect("acknowledged");
    assert_eq!(said(&mut talk, conn).acknowledged, [2]);
}

#[test]
fn c28_a_negative_acknowledgement_asks_for_all_chunks_again() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(shared());
    (0..3).for_each(|n| deliver(&mut talk, conn, id, n as u64, "p-0", n));
    whole(&mut talk, id);
    talk.client.negative_acknowledge(id, id_of(0, 2), talk.now).expect("noted");
    said(&mut talk, conn);
    talk.pass(secs(1));
    assert_eq!(said(&mut talk, conn).again, [0, 1, 2]);
    (0..3).for_each(|n| deliver(&mut talk, conn, id, n as u64, "p-0", n));
    assert_eq!(whole(&mut talk, id).0, "abcdef");
}

#[test]
fn c28_chunks_of_two_producers_are_told_apart() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(shared());
    for (entry, (uuid, n)) in
        [("p-0", 0), ("q-0", 0), ("q-0", 1), ("p-0", 1), ("q-0", 2), ("p-0", 2)].into_iter().enumerate()
    {
        deliver(&mut talk, conn, id, entry as u64, uuid, n);
    }
    let ids: Vec<_> = talk.receive(id).into_iter().map(|m| m.expect("a message").id()).collect();
    assert_eq!(ids, [id_of(1, 4), id_of(0, 5)]);
}

#[test]
fn c28_a_chunk_that_was_sent_twice_is_acknowledged() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(shared());
    deliver(&mut talk, conn, id, 1, "p-0", 0);
    deliver(&mut talk, conn, id, 2, "p-0", 1);
    // The producer reconnected: its chunk is there twice. The same entry delivered twice is not.
    deliver(&mut talk, conn, id, 2, "p-0", 1);
    deliver(&mut talk, conn, id, 3, "p-0", 1);
    deliver(&mut talk, conn, id, 4, "p-0", 2);
    assert_eq!(whole(&mut talk, id), ("abcdef".to_owned(), id_of(1, 4)));
    assert_eq!(said(&mut talk, conn), Said { permits: 5, acknowledged: vec![3], again: vec![] });
}

#[test]
fn c28_a_message_that_begins_anew_leaves_its_first_beginning() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(shared());
    deliver(&mut talk, conn, id, 1, "p-0", 0);
    deliver(&mut talk, conn, id, 2, "p-0", 1);
    (0..3).for_each(|n| deliver(&mut talk, conn, id, 5 + n as u64, "p-0", n));
    assert_eq!(whole(&mut talk, id), ("abcdef".to_owned(), id_of(5, 7)));
    assert_eq!(said(&mut talk, conn), Said { permits: 5, acknowledged: vec![1, 2], again: vec![] });
}

#[test]
fn c28_chunks_missing_or_out_of_order_come_again_until_their_time_is_over() {
    for (numbers, again) in [(&[1][..], &[1][..]), (&[0, 2], &[0, 2]), (&[2, 0, 1], &[2])] {
        let mut talk = Talk::new();
        let (id, conn) = talk.consumer_with(shared());
        for n in numbers {
            deliver(&mut talk, conn, id, *n as u64, "p-0", *n);
        }
        assert!(talk.receive(id).is_empty());
        talk.pass(secs(1));
        let heard = said(&mut talk, conn);
        assert_eq!(
            heard,
            Said { permits: numbers.len() as u32, acknowledged: vec![], again: again.to_vec() }
        );
        // The message is older than it may be.
        for _ in 0..4 {
            talk.say(conn, CommandPong::default());
            talk.pass(secs(20));
        }
        said(&mut talk, conn);
        deliver(&mut talk, conn, id, 2, "p-0", 2);
        assert_eq!(said(&mut talk, conn).acknowledged, [2]);
    }
}

#[test]
fn c28_on_an_exclusive_subscription_nothing_else_is_made_to_come_again() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    deliver(&mut talk, conn, id, 1, "p-0", 1);
    talk.pass(secs(30));
    assert_eq!(said(&mut talk, conn), Said::default());
}

#[test]
fn c28_gathering_is_bounded_by_count() {
    for acknowledge in [false, true] {
        let mut talk = Talk::new();
        let config =
            ConsumerConfig { auto_ack_oldest_chunked_message_on_queue_full: acknowledge, ..shared() };
        let (id, conn) = talk.consumer_with(config);
        for n in 0..11 {
            deliver(&mut talk, conn, id, n, &format!("p-{n}"), 0);
        }
        talk.pass(secs(1));
        let (done, again) = if acknowledge { (vec![0], vec![]) } else { (vec![], vec![0]) };
        assert_eq!(said(&mut talk, conn), Said { permits: 10 + 1, acknowledged: done, again });
        // The others are all there.
        for n in 1..11 {
            deliver(&mut talk, conn, id, 100 + n, &format!("p-{n}"), 1);
            deliver(&mut talk, conn, id, 200 + n, &format!("p-{n}"), 2);
            assert_eq!(whole(&mut talk, id).1, id_of(n, 200 + n));
        }
    }
}

/// A consumer that may gather 1000 bytes, of any number of messages.
fn of_thousand_bytes(talk: &mut Talk) -> (ConsumerId, ConnId) {
    let config = ConsumerConfig { max_uncompressed_size: 1, max_pending_chunked_message: 0, ..shared() };
    let (id, op) = talk.client.subscribe(config, talk.now).expect("options");
    let conn = talk.accept_with(BROKER, 1000);
    talk.locate(conn);
    let open = hear!(talk, conn, Subscribe);
    talk.say(conn, success(open.request_id));
    talk.ended(op).expect("a consumer");
    said(talk, conn);
    (id, conn)
}

#[test]
fn c28_gathering_is_bounded_by_bytes() {
    let mut talk = Talk::new();
    let (id, conn) = of_thousand_bytes(&mut talk);
    let piece = "x".repeat(300);
    for n in 0..3 {
        talk.say_bytes(conn, delivery(id, n, &[], &chunk(&format!("p-{n}"), 0, 2, 600, &piece)));
    }
    talk.pass(secs(1));
    assert_eq!(said(&mut talk, conn), Said { permits: 3, acknowledged: vec![], again: vec![0] });
    for (entry, uuid) in [(7, "p-1"), (8, "p-2")] {
        talk.say_bytes(conn, delivery(id, entry, &[], &chunk(uuid, 1, 2, 600, &piece)));
        assert_eq!(whole(&mut talk, id).0.len(), 600);
    }
    // One that says it is larger is not even begun.
    talk.say_bytes(conn, delivery(id, 9, &[], &chunk("p-9", 0, 2, 1001, "x")));
    assert_eq!(kind(talk.receive(id).remove(0)), ErrorKind::Corrupted);
}

#[test]
fn c28_all_topics_of_a_consumer_gather_within_one_bound() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { max_uncompressed_size: 1, max_pending_chunked_message: 0, ..shared() };
    let topics = ["a", "b"].map(|topic| TopicName::parse(topic).expect("a topic"));
    let (id, op) = talk.client.subscribe_topics(config, &topics, talk.now).expect("options");
    let conn = talk.accept_with(BROKER, 1000);
    let mut parts = Vec::new();
    while parts.len() < 2 {
        match talk.hear(conn).0 {
            Command::PartitionedTopicMetadata(asked) => talk.say(conn, partitions(asked.request_id, 0)),
            Command::LookupTopic(asked) => talk.say(conn, serves(asked.request_id, BROKER)),
            Command::Subscribe(open) => {
                talk.say(conn, success(open.request_id));
                parts.push(ConsumerId(open.consumer_id));
            }
            Command::Flow(_) => {}
            other => panic!("{other:?}"),
        }
    }
    talk.ended(op).expect("a consumer");
    said(&mut talk, conn);
    // Of the one topic two messages, then two of the other: the oldest of all gives way to the last.
    let piece = "x".repeat(180);
    for (entry, part) in [(1, parts[0]), (2, parts[0]), (3, parts[1]), (4, parts[1])] {
        talk.say_bytes(conn, delivery(part, entry, &[], &chunk(&format!("p-{entry}"), 0, 2, 360, &piece)));
        talk.pass(ms(10));
    }
    talk.pass(secs(1));
    assert_eq!(said(&mut talk, conn).again, [1]);
    for (entry, part) in [(2, parts[0]), (3, parts[1]), (4, parts[1])] {
        let last = chunk(&format!("p-{entry}"), 1, 2, 360, &piece);
        talk.say_bytes(conn, delivery(part, 10 + entry, &[], &last));
        assert_eq!(whole(&mut talk, id).0.len(), 360);
    }
    // One that grows does not give way to itself, however old it is.
    let long = |number: i32| chunk("long", number, 3, 990, &"x".repeat(330));
    talk.say_bytes(conn, delivery(parts[0], 20, &[], &long(0)));
    talk.pass(ms(10));
    talk.say_bytes(conn, delivery(parts[1], 21, &[], &chunk("p-21", 0, 2, 360, &piece)));
    talk.say_bytes(conn, delivery(parts[0], 22, &[], &long(1)));
    talk.pass(secs(1));
    assert_eq!(said(&mut talk, conn).again, [21]);
    talk.say_bytes(conn, delivery(parts[0], 23, &[], &long(2)));
    assert_eq!(whole(&mut talk, id).0.len(), 990);
}

#[test]
fn c28_what_it_takes_to_gather_counts_too() {
    // Their ids are long.
    let mut talk = Talk::new();
    let (id, conn) = of_thousand_bytes(&mut talk);
    let long = |n: u64| format!("{n}{}", "p".repeat(350));
    (0..3).for_each(|n| deliver(&mut talk, conn, id, n, &long(n), 0));
    talk.pass(secs(1));
    assert_eq!(said(&mut talk, conn).again, [0]);
    // There are many of them, with hardly anything in each.
    let mut talk = Talk::new();
    let (id, conn) = of_thousand_bytes(&mut talk);
    (0..100).for_each(|n| deliver(&mut talk, conn, id, n, &n.to_string(), 0));
    talk.pass(secs(1));
    let given_up = said(&mut talk, conn).again.len();
    assert!((85..100).contains(&given_up), "{given_up}");
    // The latest are still there, and the sum is right when they end: there is room for as many again.
    for n in 98..100 {
        deliver(&mut talk, conn, id, n + 100, &n.to_string(), 1);
        deliver(&mut talk, conn, id, n + 200, &n.to_string(), 2);
        assert_eq!(whole(&mut talk, id).0, "abcdef");
    }
    talk.pass(secs(1));
    said(&mut talk, conn);
    (0..2).for_each(|n| deliver(&mut talk, conn, id, n + 300, &format!("a{n}"), 0));
    talk.pass(secs(1));
    assert_eq!(said(&mut talk, conn).again.len(), 0);
}

#[test]
fn c28_gathering_is_bounded_by_age() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(shared());
    deliver(&mut talk, conn, id, 1, "p-0", 0);
    talk.pass(secs(30));
    deliver(&mut talk, conn, id, 2, "p-0", 1);
    deliver(&mut talk, conn, id, 3, "q-0", 0);
    talk.say(conn, CommandPong::default());
    said(&mut talk, conn);
    talk.pass(ms(29_900));
    assert_eq!(said(&mut talk, conn), Said::default());
    talk.say(conn, CommandPong::default());
    talk.pass(ms(200));
    assert_eq!(said(&mut talk, conn), acknowledged(&[1, 2]));
    talk.pass(secs(25));
    talk.say(conn, CommandPong::default());
    talk.pass(secs(10));
    assert_eq!(said(&mut talk, conn), acknowledged(&[3]));
}

#[test]
fn c28_what_is_gathered_is_forgotten_with_the_link() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(shared());
    deliver(&mut talk, conn, id, 1, "p-0", 0);
    talk.cut(conn);
    let conn = talk.come_back();
    let open = hear!(talk, conn, Subscribe);
    talk.say(conn, success(open.request_id));
    said(&mut talk, conn);
    (0..3).for_each(|n| deliver(&mut talk, conn, id, 1 + n as u64, "p-0", n));
    assert_eq!(whole(&mut talk, id), ("abcdef".to_owned(), id_of(1, 3)));
    assert!(said(&mut talk, conn).acknowledged.is_empty());
}

#[test]
fn c28_chunks_that_lie_are_corrupted_and_nothing_else_is() {
    let bad = [
        chunk("", -1, 3, 6, "ab"),
        chunk("p", 3, 3, 6, "ab"),
        chunk("p", 0, 3, -6, "ab"),
        chunk("p", 0, 3, i32::MAX, "ab"),
        chunk("p", 0, 3, 6, "more than six"),
        chunk("p", 0, 3, 6, ""),
    ];
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(shared());
    for (n, entry) in bad.iter().enumerate() {
        talk.say_bytes(conn, delivery(id, n as u64, &[], entry));
        let mut taken = talk.receive(id);
        assert_eq!(kind(taken.remove(0)), ErrorKind::Corrupted, "case {n}");
        assert_eq!(said(&mut talk, conn).permits, 1, "case {n}");
    }
    // Others of the same message that say something else.
    for other in [chunk("q", 1, 4, 6, "cd"), chunk("q", 1, 3, 7, "cd"), chunk("q", 1, 3, 6, "cdefgh")] {
        talk.say_bytes(conn, delivery(id, 50, &[], &chunk("q", 0, 3, 6, "ab")));
        talk.say_bytes(conn, delivery(id, 51, &[], &other));
        assert_eq!(kind(talk.receive(id).remove(0)), ErrorKind::Corrupted);
    }
    (0..3).for_each(|n| deliver(&mut talk, conn, id, 60 + n as u64, "r", n));
    assert_eq!(whole(&mut talk, id).0, "abcdef");
}
