//! Where a subscription is: seek, start positions, redelivery on request, unsubscribing.

use pulsewire_proto::wire::*;
use pulsewire_proto::{
    ConnId, ConsumerConfig, ConsumerId, ErrorKind, Event, MessageId, OpId, Output, SeekTarget,
    SubscriptionMode, SubscriptionType,
};

use crate::talk::*;

fn at(entry_id: u64) -> MessageId {
    MessageId { ledger_id: 3, entry_id, partition: -1, batch_index: -1, batch_size: 0, first_chunk: None }
}

fn from(id: MessageId) -> ConsumerConfig {
    ConsumerConfig {
        subscription_mode: SubscriptionMode::NonDurable,
        start_message_id: Some(id),
        ..ConsumerConfig::new(topic(), "s")
    }
}

fn abc() -> bytes::Bytes {
    batch(&[Some("a"), Some("b"), Some("c")])
}

fn seek(talk: &mut Talk, id: ConsumerId, target: SeekTarget) -> OpId {
    talk.client.seek(id, target, talk.now)
}

/// CLOSE_CONSUMER, SUCCESS, and the consumer comes back.
fn moves(talk: &mut Talk, conn: ConnId, id: ConsumerId, request_id: u64) {
    talk.say(conn, CommandCloseConsumer { consumer_id: id.0, ..Default::default() });
    talk.say(conn, success(request_id));
    back(talk, conn);
}

fn back(talk: &mut Talk, conn: ConnId) {
    talk.pass(ms(100));
    talk.locate_again(conn);
    let open = hear!(talk, conn, Subscribe);
    talk.say(conn, success(open.request_id));
    hear!(talk, conn, Flow);
}

#[test]
fn c13_seek_is_done_when_the_consumer_is_there() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    talk.deliver(conn, id, 8, "before");
    let op = seek(&mut talk, id, SeekTarget::Id(at(4)));
    let asked = hear!(talk, conn, Seek);
    let expected = MessageIdData { ledger_id: 3, entry_id: 4, ..Default::default() };
    assert_eq!((asked.message_id, asked.message_publish_time), (Some(expected), None));
    talk.say(conn, CommandCloseConsumer { consumer_id: id.0, ..Default::default() });
    assert_eq!(talk.payloads(id), [""; 0], "what was delivered before does not come after");
    talk.say(conn, success(asked.request_id));
    assert_eq!(talk.ended_yet(op), None);
    back(&mut talk, conn);
    assert_eq!(talk.ended(op), Ok(Output::Done));
    talk.deliver(conn, id, 4, "the message itself");
    talk.deliver(conn, id, 5, "after");
    assert_eq!(talk.payloads(id), ["after"], "a seek is exclusive, as Java's");
}

#[test]
fn c13_success_may_come_after_the_consumer() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    let op = seek(&mut talk, id, SeekTarget::Id(MessageId::EARLIEST));
    let asked = hear!(talk, conn, Seek);
    let earliest = MessageIdData { ledger_id: u64::MAX, entry_id: u64::MAX, ..Default::default() };
    assert_eq!(asked.message_id, Some(earliest));
    talk.say(conn, CommandCloseConsumer { consumer_id: id.0, ..Default::default() });
    back(&mut talk, conn);
    talk.deliver(conn, id, 0, "first");
    assert_eq!(talk.ended_yet(op), None);
    talk.say(conn, success(asked.request_id));
    assert_eq!(talk.ended(op), Ok(Output::Done));
    assert_eq!(talk.payloads(id), ["first"]);
}

#[test]
fn c13_a_broker_that_does_not_close_the_consumer_gets_its_permits_back() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { receiver_queue_size: 4, ..ConsumerConfig::new(topic(), "s") };
    let (id, conn) = talk.consumer_with(config);
    talk.deliver(conn, id, 8, "x");
    talk.say_bytes(conn, delivery(id, 9, &[], &abc()));
    assert_eq!(talk.event(), Some(Event::Ready(id)));
    let op = seek(&mut talk, id, SeekTarget::PublishTime(17));
    let asked = hear!(talk, conn, Seek);
    assert_eq!((asked.message_id, asked.message_publish_time), (None, Some(17)));
    talk.say(conn, success(asked.request_id));
    assert_eq!(talk.ended(op), Ok(Output::Done));
    assert_eq!(talk.event(), Some(Event::ConsumerReset(id)));
    assert_eq!(hear!(talk, conn, Flow).message_permits, 4);
    talk.deliver(conn, id, 1, "y");
    assert_eq!(talk.payloads(id), ["y"]);
}

#[test]
fn c13_a_lost_seek_is_asked_again_and_a_refused_one_fails() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    let op = seek(&mut talk, id, SeekTarget::Id(at(4)));
    hear!(talk, conn, Seek);
    let second = seek(&mut talk, id, SeekTarget::Id(at(5)));
    assert_eq!(kind(talk.ended(second)), ErrorKind::NotSupported);
    talk.cut(conn);
    let conn = talk.come_back();
    let open = hear!(talk, conn, Subscribe);
    talk.say(conn, success(open.request_id));
    hear!(talk, conn, Flow);
    let asked = hear!(talk, conn, Seek);
    assert_eq!(talk.ended_yet(op), None);
    talk.say(conn, failure(asked.request_id, ServerError::METADATA_ERROR));
    assert_eq!(kind(talk.ended(op)), ErrorKind::Broker(ServerError::METADATA_ERROR));
    talk.deliver(conn, id, 4, "goes on");
    assert_eq!(talk.payloads(id), ["goes on"]);
}

#[test]
fn c13_a_seek_ends_with_its_deadline_or_its_consumer() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    let op = seek(&mut talk, id, SeekTarget::Id(at(4)));
    hear!(talk, conn, Seek);
    talk.pass(secs(29));
    assert_eq!(talk.ended_yet(op), None);
    talk.pass(secs(2));
    hear!(talk, conn, Ping);
    talk.say(conn, CommandPong::default());
    assert_eq!(kind(talk.ended(op)), ErrorKind::Timeout);
    let op = seek(&mut talk, id, SeekTarget::Id(at(4)));
    hear!(talk, conn, Seek);
    let close = talk.client.close_consumer(id, talk.now);
    let closing = hear!(talk, conn, CloseConsumer);
    talk.say(conn, success(closing.request_id));
    assert_eq!(talk.ended(close), Ok(Output::Done));
    assert_eq!(kind(talk.ended(op)), ErrorKind::AlreadyClosed);
    let late = seek(&mut talk, id, SeekTarget::Id(at(4)));
    assert_eq!(kind(talk.ended(late)), ErrorKind::AlreadyClosed);
}

#[test]
fn c13_seek_into_a_batch_begins_after_the_message_or_with_it() {
    for (inclusive, expected) in [(false, vec!["c"]), (true, vec!["b", "c"])] {
        let mut talk = Talk::new();
        let config = ConsumerConfig {
            start_message_id_inclusive: inclusive,
            receiver_queue_size: 1,
            ..ConsumerConfig::new(topic(), "s")
        };
        let (id, conn) = talk.consumer_with(config);
        let target = MessageId { batch_index: 1, batch_size: 3, ..at(4) };
        let op = seek(&mut talk, id, SeekTarget::Id(target));
        let asked = hear!(talk, conn, Seek);
        assert_eq!(asked.message_id.map(|id| id.ack_set), Some(vec![0b110]));
        moves(&mut talk, conn, id, asked.request_id);
        talk.ended(op).expect("a seek");
        // A broker without acknowledgement by index sends all of the batch.
        talk.say_bytes(conn, delivery(id, 4, &[], &abc()));
        assert_eq!(talk.payloads(id), expected);
        let mut permits = 0;
        while let Some((Command::Flow(flow), _)) = talk.heard(conn) {
            permits += flow.message_permits;
        }
        assert_eq!(permits, 3, "also for what was not wanted");
    }
}

#[test]
fn c21_a_non_durable_subscription_says_where_it_begins_and_goes_on_after_a_loss() {
    let mut talk = Talk::new();
    let (id, conn) = {
        let (id, op) = talk.client.subscribe(from(at(4)), talk.now).expect("options");
        let conn = talk.accept(BROKER);
        talk.locate(conn);
        let open = hear!(talk, conn, Subscribe);
        let start = MessageIdData { ledger_id: 3, entry_id: 4, ..Default::default() };
        assert_eq!((open.durable, open.start_message_id), (Some(false), Some(start)));
        assert_eq!(open.start_message_rollback_duration_sec, None);
        talk.say(conn, success(open.request_id));
        talk.ended(op).expect("a consumer");
        hear!(talk, conn, Flow);
        (id, conn)
    };
    // The broker goes one entry back, as it does for batches.
    for n in 3..6 {
        talk.deliver(conn, id, n, &n.to_string());
    }
    talk.say_bytes(conn, delivery(id, 6, &[], &abc()));
    let a = (0..2).map(|_| talk.client.take(id).expect("open").expect("one").expect("a message"));
    let taken: Vec<_> = a.map(|m| payload(&m)).collect();
    assert_eq!(taken, ["5", "a"]);
    talk.cut(conn);
    let conn = talk.come_back();
    let open = hear!(talk, conn, Subscribe);
    let start = MessageIdData { ledger_id: 3, entry_id: 6, batch_index: Some(0), ..Default::default() };
    assert_eq!(open.start_message_id, Some(start));
    talk.say(conn, success(open.request_id));
    talk.deliver(conn, id, 5, "5");
    talk.say_bytes(conn, delivery(id, 6, &[], &abc()));
    assert_eq!(talk.payloads(id), ["b", "c"]);
}

#[test]
fn c21_the_start_is_inclusive_when_asked() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { start_message_id_inclusive: true, ..from(at(4)) };
    let (id, conn) = talk.consumer_with(config);
    for n in 3..6 {
        talk.deliver(conn, id, n, &n.to_string());
    }
    assert_eq!(talk.payloads(id), ["4", "5"]);
}

#[test]
fn c21_rollback_is_said_until_there_is_a_place() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { start_message_rollback: secs(90), ..ConsumerConfig::new(topic(), "s") };
    let (_, _) = talk.client.subscribe(config, talk.now).expect("options");
    let conn = talk.accept(BROKER);
    talk.locate(conn);
    assert_eq!(hear!(talk, conn, Subscribe).start_message_rollback_duration_sec, Some(90));
}

#[test]
fn c21_options_that_exclude_each_other_are_all_named() {
    let config = ConsumerConfig {
        subscription_mode: SubscriptionMode::Durable,
        start_message_rollback: ms(5),
        ..from(at(1))
    };
    let error = config.validate().expect_err("three that are wrong").to_string();
    for word in ["non-durable", "exclude", "at least 1 s"] {
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn c16_redelivery_on_request_starts_over() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { receiver_queue_size: 2, ..ConsumerConfig::new(topic(), "s") };
    let (id, conn) = talk.consumer_with(config);
    talk.deliver(conn, id, 0, "taken");
    assert_eq!(talk.payloads(id), ["taken"]);
    assert_eq!(hear!(talk, conn, Flow).message_permits, 1);
    talk.deliver(conn, id, 1, "waits");
    talk.client.redeliver_unacknowledged(id, talk.now).expect("open");
    let asked = hear!(talk, conn, RedeliverUnacknowledgedMessages);
    assert_eq!((asked.message_ids, asked.consumer_epoch), (vec![], Some(1)));
    assert_eq!(hear!(talk, conn, Flow).message_permits, 1);
    // What was on its way already comes again, so it is not handed out.
    let old = CommandMessage {
        consumer_id: id.0,
        message_id: MessageIdData { ledger_id: 3, entry_id: 2, ..Default::default() },
        consumer_epoch: Some(0),
        ..Default::default()
    };
    let mut bytes = bytes::BytesMut::new();
    frame::encode_with_entry(&old.into(), &single("old"), &mut bytes);
    talk.say_bytes(conn, bytes.freeze());
    assert_eq!(hear!(talk, conn, Flow).message_permits, 1);
    talk.deliver(conn, id, 0, "taken");
    assert_eq!(talk.payloads(id), ["taken"]);
}

#[test]
fn c16_a_shared_subscription_has_no_epochs() {
    let mut talk = Talk::new();
    let config =
        ConsumerConfig { subscription_type: SubscriptionType::Shared, ..ConsumerConfig::new(topic(), "s") };
    let (id, conn) = talk.consumer_with(config);
    talk.client.redeliver_unacknowledged(id, talk.now).expect("open");
    assert_eq!(hear!(talk, conn, RedeliverUnacknowledgedMessages).consumer_epoch, None);
    talk.quiet(conn);
}

#[test]
fn c26_unsubscribe_is_forced_only_when_asked() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    for (force, said) in [(false, None), (true, Some(true))] {
        talk.client.unsubscribe(id, force, talk.now);
        assert_eq!(hear!(talk, conn, Unsubscribe).force, said);
    }
}
