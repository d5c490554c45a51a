//! What well-behaved clients do not do: coordinators, metadata and ids that nobody made.

use bytes::{BufMut, Bytes, BytesMut};
use pulsewire_proto::wire::frame::encode_with_entry;
use pulsewire_proto::wire::*;

use super::transactions::{ABORT, ASSIGN, COMMIT, attach, begin_at, end, open, send, with_sub, with_topic};
use super::{close_consumer, scripts};
use crate::common::{WALL, id, producer_on, subscribe};
use crate::side::{Side, Who};

/// A coordinator that no other run has opened.
fn nobodys(s: &mut Side) -> u64 {
    let digits: String = s.unique().chars().filter(char::is_ascii_digit).collect();
    let number = 1_000 + digits[9..17].parse::<u64>().unwrap();
    s.replace(&format!("{number},(-?\\d+)"), "NEW,N");
    s.replace(&format!("\\b{number}\\b"), "NEW");
    number
}

/// Fields of metadata: their numbers and what they are.
fn metadata(fields: &[(u8, &[u8])]) -> BytesMut {
    let mut out = BytesMut::new();
    for (number, value) in fields {
        match number {
            2 | 3 | 11 => {
                out.put_u8(number << 3);
                out.put_slice(value);
            }
            _ => {
                out.put_u8(number << 3 | 2);
                out.put_u8(value.len() as u8);
                out.put_slice(value);
            }
        }
    }
    out
}

/// Sends a message with metadata that is made by hand, without a checksum, and hears the answer.
fn send_raw(s: &mut Side, who: Who, sequence: u64, messages: Option<i32>, metadata: &[u8], payload: &[u8]) {
    let mut entry = BytesMut::new();
    entry.put_u32(metadata.len() as u32);
    entry.put_slice(metadata);
    entry.put_slice(payload);
    let command = CommandSend {
        producer_id: 1,
        sequence_id: sequence,
        num_messages: messages,
        ..CommandSend::default()
    };
    let mut out = BytesMut::new();
    encode_with_entry(&command.into(), &entry, &mut out);
    s.bytes(who, &out);
    s.hear(who);
}

const NAME: (u8, &[u8]) = (1, b"p");
const NUMBER: (u8, &[u8]) = (2, &[7]);
const TIME: (u8, &[u8]) = (3, &[1]);

scripts! {
    fn coordinators_that_nobody_made(s) {
        let topic = s.topic();
        let fresh = nobodys(s);
        let a = s.client();
        s.find(a, &format!("{ASSIGN}-partition-0"));
        s.find(a, &topic);
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        s.ask(a, producer_on(1, &topic));
        s.note("-- before anybody attached");
        s.ask(a, open(fresh, 60_000));
        s.ask(a, with_topic((fresh, 99), &topic));
        s.ask(a, end((fresh, 99), COMMIT));
        s.order("GET", &format!("/admin/v3/transactions/coordinatorStats?coordinatorId={fresh}"), "");
        s.note("-- attached");
        s.ask(a, attach(fresh));
        s.pause_if_real(1000);
        s.ask(a, attach(fresh));
        s.look(&format!("/admin/v3/transactions/coordinatorStats?coordinatorId={fresh}"), &["ongoingTxnSize", "state"]);
        let txn = begin_at(s, a, fresh, 60_000);
        s.ask(a, with_topic(txn, &topic));
        s.ask(a, with_sub(txn, &topic, "s"));
        send(s, a, 0, txn, MessageMetadata::default(), "m");
        s.look(&format!("/admin/v3/transactions/coordinatorStats?coordinatorId={fresh}"), &["ongoingTxnSize", "state"]);
        s.ask_amid(a, end(txn, COMMIT));
        s.flow(a, 1, 10);
        s.hear_all(a);
        s.ask(a, end(txn, COMMIT));
        let txn = begin_at(s, a, fresh, 60_000);
        s.ask(a, end(txn, ABORT));
        s.note("-- another client, which did not attach");
        let b = s.client();
        s.ask(b, open(fresh, 60_000));
        s.note("-- numbers that are none");
        for odd in [u64::MAX, i64::MAX as u64] {
            let c = s.client();
            s.ask(c, attach(odd));
        }
    }

    fn metadata_that_lacks_something(s) {
        let base = s.topic();
        let unique = s.unique().to_owned();
        // -1 as everywhere, but for the first messages that the real one takes.
        s.replace(r"highest_sequence_id: Some\((0|-1)\)", "highest_sequence_id: NONE");
        s.replace(r"highest_sequence_id: Some\(18446744073709551615\)", "highest_sequence_id: NONE");
        let key_only: &[u8] = &[0x0a, 1, b'k'];
        let whole_pair: &[u8] = &[0x0a, 1, b'k', 0x12, 1, b'v'];
        let single = SingleMessageMetadata { payload_size: 1, ..SingleMessageMetadata::default() };
        let mut batch = BytesMut::new();
        for _ in 0..3 {
            batch.put_u32(single.encoded_len() as u32);
            single.encode(&mut batch);
            batch.put_u8(b'b');
        }
        let broken = BytesMut::from(&[0, 0, 0, 2, 0x18, 0][..]);
        let x = Bytes::from_static(b"x");
        let batch = batch.freeze();
        let sent: Vec<(&str, Option<i32>, BytesMut, Bytes)> = vec![
            ("whole", None, metadata(&[NAME, NUMBER, TIME]), x.clone()),
            ("no name", None, metadata(&[NUMBER, TIME]), x.clone()),
            ("no number", None, metadata(&[NAME, TIME]), x.clone()),
            ("no time", None, metadata(&[NAME, NUMBER]), x.clone()),
            ("nothing", None, metadata(&[]), x.clone()),
            ("half a property", None, metadata(&[NAME, NUMBER, TIME, (4, key_only)]), x.clone()),
            ("half a key", None, metadata(&[NAME, NUMBER, TIME, (13, key_only)]), x.clone()),
            ("a property", None, metadata(&[NAME, NUMBER, TIME, (4, whole_pair)]), x.clone()),
            ("a name that is no text", None, metadata(&[(1, &[0xff, 0xfe]), NUMBER, TIME]), x.clone()),
            ("a batch", Some(3), metadata(&[NAME, NUMBER, TIME, (11, &[3])]), batch.clone()),
            ("a batch without a time", Some(3), metadata(&[NAME, NUMBER, (11, &[3])]), batch.clone()),
            ("a batch of messages without sizes", Some(1), metadata(&[NAME, NUMBER, TIME, (11, &[1])]), broken.freeze()),
            ("whole again", None, metadata(&[NAME, NUMBER, TIME]), x.clone()),
        ];
        for kind in [SubType::EXCLUSIVE, SubType::FAILOVER, SubType::SHARED, SubType::KEY_SHARED] {
            s.note(format!("-- {kind:?}"));
            let (topic, path) = (format!("{base}-{}", kind.0), format!("persistent/public/default/{unique}-{}", kind.0));
            let (a, b) = (s.client(), s.client());
            s.find(a, &topic);
            s.ask(a, subscribe(1, &topic, "s", kind));
            s.ask(b, producer_on(1, &topic));
            s.pause(1200);
            s.flow(a, 1, 10);
            for (n, (what, messages, metadata, payload)) in sent.iter().enumerate() {
                s.note(*what);
                send_raw(s, b, n as u64, *messages, metadata, payload);
                s.pause_if_real(50);
            }
            s.hear_long(a);
            let look = |s: &mut Side| s.look(&format!("{path}/stats"), &[
                "msgInCounter", "subscriptions.s.msgBacklog", "subscriptions.s.unackedMessages", "subscriptions.s.msgOutCounter",
                "subscriptions.s.consumers.0.availablePermits", "subscriptions.s.consumers.0.unackedMessages",
            ]);
            look(s);
            s.note("the last one; coming again; from the beginning");
            s.ask(a, CommandGetLastMessageId { consumer_id: 1, request_id: 7 });
            s.ask(a, close_consumer(1));
            s.ask(a, CommandSubscribe { initial_position: Some(InitialPosition::EARLIEST), ..subscribe(2, &topic, "late", SubType::SHARED) });
            s.flow(a, 2, 100);
            s.hear_all(a);
            look(s);
        }
        s.note("-- at the end");
        let topic = format!("{base}-end");
        let a = s.client();
        s.find(a, &topic);
        s.ask(a, producer_on(1, &topic));
        send_raw(s, a, 0, None, &metadata(&[NAME, NUMBER, TIME]), b"x");
        send_raw(s, a, 1, None, &metadata(&[NAME, NUMBER]), b"x");
        let reader = CommandSubscribe { durable: Some(false), start_message_id: Some(id(-1, -1)), ..subscribe(1, &topic, "r", SubType::EXCLUSIVE) };
        s.ask(a, reader);
        s.ask(a, CommandGetLastMessageId { consumer_id: 1, request_id: 7 });
        s.flow(a, 1, 10);
        s.hear_all(a);
    }

    /// Ids of ledgers that are gone, or that were never there, to begin at and to seek.
    fn places_that_are_not_there(s) {
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let a = s.client();
        s.find(a, &topic);
        let mut ids: Vec<MessageIdData> = Vec::new();
        let holder = CommandSubscribe { initial_position: Some(InitialPosition::EARLIEST), ..subscribe(1, &topic, "holds", SubType::SHARED) };
        s.ask(a, holder);
        for ledger in 0..3 {
            s.ask(a, producer_on(1, &topic));
            for n in 0..2 {
                ids.push(s.publish(a, 1, n, MessageMetadata { publish_time: WALL, ..MessageMetadata::default() }, &format!("m{ledger}-{n}")));
            }
            if ledger < 2 {
                s.order("PUT", &format!("{path}/unload"), "");
                s.hear_in_any_order(a);
                s.pause(300);
                s.find(a, &topic);
                s.ask(a, subscribe(1, &topic, "holds", SubType::SHARED));
            }
        }
        let (first, second, last) = (ids[0].ledger_id as i64, ids[2].ledger_id as i64, ids[4].ledger_id as i64);
        let places = [
            ("a ledger before the first", first - 1, 0),
            ("far before the first", 1, 1),
            ("before the first entry", first, -1),
            ("the first entry", first, 0),
            ("the second entry", first, 1),
            ("just beyond the first ledger", first, 2),
            ("far beyond the first ledger", first, 1000),
            ("before the second ledger's first", second, -1),
            ("the second ledger's last", second, 1),
            ("beyond the second ledger", second, 5),
            ("the last entry", last, 1),
            ("the next entry", last, 2),
            ("far beyond the last", last, 1000),
            ("a ledger after the last", last + 1, 0),
            ("a ledger after the last, before its first", last + 1, -1),
            ("far after the last", last + 1000, 7),
            ("a negative entry", first, -5),
            ("a negative ledger", -7, 3),
            ("the least", i64::MIN, i64::MIN),
            ("the largest", i64::MAX, i64::MAX),
        ];
        s.note("-- readers");
        for (n, (what, ledger, entry)) in places.iter().enumerate() {
            s.note(*what);
            let c = s.client();
            let consumer = 10 + n as u64;
            let start = CommandSubscribe {
                durable: Some(false),
                start_message_id: Some(id(*ledger, *entry)),
                initial_position: None,
                ..subscribe(consumer, &topic, &format!("r{n}"), SubType::EXCLUSIVE)
            };
            s.ask(c, start);
            s.ask(c, CommandGetLastMessageId { consumer_id: consumer, request_id: 7 });
            s.flow(c, consumer, 100);
            s.hear_all(c);
            s.leave(c);
        }
        for durable in [true, false] {
            s.note(format!("-- seeks, durable {durable}"));
            for (n, (what, ledger, entry)) in places.iter().enumerate() {
                s.note(*what);
                let c = s.client();
                let sub = CommandSubscribe {
                    durable: Some(durable),
                    initial_position: Some(InitialPosition::LATEST),
                    ..subscribe(1, &topic, &format!("s{n}{durable}"), SubType::EXCLUSIVE)
                };
                s.ask(c, sub.clone());
                s.ask(c, CommandSeek { consumer_id: 1, request_id: 30, message_id: Some(id(*ledger, *entry)), ..CommandSeek::default() });
                s.hear_all(c);
                s.ask(c, sub);
                s.ask(c, CommandGetLastMessageId { consumer_id: 1, request_id: 7 });
                s.flow(c, 1, 100);
                s.hear_all(c);
                s.leave(c);
            }
        }
    }
}

/// Of all topics: so it has a broker of its own.
#[test]
fn a_cluster_that_moved() {
    crate::play_alone("a_cluster_that_moved", moved);
}

fn moved(s: &mut Side) {
    let (topic, path) = (s.topic(), format!("persistent/public/default/{}", s.unique()));
    let urls = r#"{"serviceUrl":"http://elsewhere:8080","serviceUrlTls":"https://elsewhere:8443","brokerServiceUrl":"pulsar://elsewhere:6650","brokerServiceUrlTls":"pulsar+ssl://elsewhere:6651"}"#;
    let a = s.client();
    s.find(a, &topic);
    s.ask(a, producer_on(1, &topic));
    s.ask(a, subscribe(1, &topic, "behind", SubType::SHARED));
    s.ask(a, subscribe(2, &topic, "done", SubType::EXCLUSIVE));
    let ids: Vec<_> =
        (0..3).map(|n| s.publish(a, 1, n, MessageMetadata::default(), &format!("m{n}"))).collect();
    s.say(
        a,
        CommandAck {
            consumer_id: 2,
            ack_type: AckType::CUMULATIVE,
            message_id: ids[2..].to_vec(),
            ..CommandAck::default()
        },
    );
    s.pause(300);
    s.order("POST", "clusters/standalone/migrate?migrated=true", urls);
    s.pause_if_real(2000);
    s.publish(a, 1, 9, MessageMetadata::default(), "still");
    s.say(
        a,
        CommandAck {
            consumer_id: 2,
            ack_type: AckType::CUMULATIVE,
            message_id: ids[2..].to_vec(),
            ..CommandAck::default()
        },
    );
    s.hear_all(a);
    s.order("PUT", &format!("{path}/unload"), "");
    s.hear_in_any_order(a);
    s.find(a, &topic);
    s.note("producer");
    s.say(a, producer_on(1, &topic));
    s.hear_long(a);
    s.note("behind");
    s.say(a, subscribe(1, &topic, "behind", SubType::SHARED));
    s.hear_long(a);
    s.flow(a, 1, 10);
    s.hear_long(a);
    s.note("acked");
    let mut last = ids[2].clone();
    last.entry_id += 1;
    s.say(
        a,
        CommandAck {
            consumer_id: 1,
            ack_type: AckType::INDIVIDUAL,
            message_id: vec![ids[0].clone(), ids[1].clone(), ids[2].clone(), last.clone()],
            ..CommandAck::default()
        },
    );
    s.hear_long(a);
    s.note("done but for one");
    s.say(a, subscribe(2, &topic, "done", SubType::EXCLUSIVE));
    s.hear_long(a);
    s.flow(a, 2, 10);
    s.hear_long(a);
    s.say(
        a,
        CommandAck {
            consumer_id: 2,
            ack_type: AckType::CUMULATIVE,
            message_id: vec![last.clone()],
            ..CommandAck::default()
        },
    );
    s.hear_long(a);
    s.note("fresh");
    let b = s.client();
    s.say(b, subscribe(3, &topic, "fresh", SubType::SHARED));
    s.hear_long(b);
    s.flow(b, 3, 10);
    s.hear_long(b);
    s.say(
        b,
        CommandSubscribe {
            initial_position: Some(InitialPosition::LATEST),
            ..subscribe(4, &topic, "end", SubType::SHARED)
        },
    );
    s.hear_long(b);
    s.say(b, CommandSubscribe { durable: Some(false), ..subscribe(5, &topic, "reader", SubType::EXCLUSIVE) });
    s.hear_long(b);
    s.flow(b, 5, 10);
    s.hear_long(b);
    s.order("POST", "clusters/standalone/migrate?migrated=false", urls);
    s.pause_if_real(1000);
    s.order("PUT", &format!("{path}/unload"), "");
    s.hear_in_any_order(b);
    s.find(a, &topic);
    s.note("back");
    s.say(a, producer_on(1, &topic));
    s.hear_long(a);
}
