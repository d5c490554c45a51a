//! Readers: what is there to be read, where they go on, and what a subscription may ask for.

use pulsewire_proto::wire::*;
use pulsewire_proto::{
    ConnId, ConsumerConfig, ConsumerId, ErrorKind, KeySharedPolicy, MessageId, OpId, Output, ReaderConfig,
    SeekTarget, SubscriptionMode, SubscriptionType,
};

use crate::talk::*;

fn id_of(entry_id: u64) -> MessageId {
    MessageId { ledger_id: 3, entry_id, partition: -1, batch_index: -1, batch_size: 0, first_chunk: None }
}

fn data(entry_id: u64) -> MessageIdData {
    MessageIdData { ledger_id: 3, entry_id, ..Default::default() }
}

fn reader_from(id: MessageId) -> ReaderConfig {
    ReaderConfig { start_message_id: Some(id), ..ReaderConfig::new(topic()) }
}

/// An open reader, its SUBSCRIBE and its connection.
fn open(talk: &mut Talk, config: ReaderConfig) -> (ConsumerId, ConnId, CommandSubscribe) {
    let (id, op) = talk.client.create_reader(config, talk.now).expect("options");
    let conn = talk.accept(BROKER);
    talk.locate(conn);
    let open = hear!(talk, conn, Subscribe);
    talk.say(conn, success(open.request_id));
    talk.ended(op).expect("a reader");
    hear!(talk, conn, Flow);
    (id, conn, open)
}

fn available(talk: &mut Talk, id: ConsumerId) -> OpId {
    talk.client.has_message_available(id, talk.now)
}

fn answer(talk: &mut Talk, conn: ConnId, last: MessageIdData, marked: Option<MessageIdData>) {
    let asked = hear!(talk, conn, GetLastMessageId);
    let answer = CommandGetLastMessageIdResponse {
        last_message_id: last,
        request_id: asked.request_id,
        consumer_mark_delete_position: marked,
    };
    talk.say(conn, answer);
}

fn is(talk: &mut Talk, op: OpId, expected: bool) {
    assert_eq!(talk.ended(op), Ok(Output::MessageAvailable(expected)));
}

fn read(talk: &mut Talk, id: ConsumerId) -> Option<String> {
    let read = talk.client.read(id, talk.now).expect("open");
    read.map(|message| payload(&message.expect("a message")))
}

fn none() -> MessageIdData {
    MessageIdData { ledger_id: u64::MAX, entry_id: u64::MAX, ..Default::default() }
}

#[test]
fn v01_a_reader_is_a_non_durable_exclusive_consumer_that_acknowledges_by_itself() {
    let mut talk = Talk::new();
    let prefix = Some("role".to_owned());
    let config = ReaderConfig {
        subscription_role_prefix: prefix,
        name: Some("me".to_owned()),
        read_compacted: true,
        ..reader_from(id_of(4))
    };
    let (id, conn, open) = open(&mut talk, config);
    assert_eq!(
        (open.sub_type, open.durable, open.read_compacted),
        (SubType::EXCLUSIVE, Some(false), Some(true))
    );
    assert_eq!(open.start_message_id, Some(data(4)));
    assert_eq!(open.consumer_name.as_deref(), Some("me"));
    assert!(open.subscription.starts_with("role-reader-"), "{}", open.subscription);
    assert_eq!(open.subscription.len(), "role-reader-0123456789".len());
    talk.deliver(conn, id, 5, "x");
    talk.say_bytes(conn, delivery(id, 6, &[], &batch(&[Some("a"), Some("b")])));
    assert_eq!(read(&mut talk, id).as_deref(), Some("x"));
    assert_eq!(read(&mut talk, id).as_deref(), Some("a"));
    talk.pass(ms(100));
    let ack = hear!(talk, conn, Ack);
    assert_eq!((ack.ack_type, ack.message_id), (AckType::CUMULATIVE, vec![data(5)]));
    // In the middle of the batch: it goes on there.
    talk.cut(conn);
    let conn = talk.come_back();
    let open = hear!(talk, conn, Subscribe);
    assert_eq!(open.start_message_id, Some(MessageIdData { batch_index: Some(0), ..data(6) }));
    talk.say(conn, success(open.request_id));
    talk.say_bytes(conn, delivery(id, 6, &[], &batch(&[Some("a"), Some("b")])));
    assert_eq!(read(&mut talk, id).as_deref(), Some("b"));
    assert_eq!(read(&mut talk, id), None);
}

#[test]
fn v01_options_that_exclude_each_other_are_all_named() {
    let nowhere = ReaderConfig::new(topic()).validate().expect_err("no start").to_string();
    assert!(nowhere.contains("start_message_id or start_message_rollback"), "{nowhere}");
    let config = ReaderConfig {
        start_message_rollback: secs(5),
        subscription: Some("s".to_owned()),
        subscription_role_prefix: Some("p".to_owned()),
        key_hash_ranges: vec![0..=9, 5..=20],
        receiver_queue_size: u32::MAX,
        ..reader_from(id_of(1))
    };
    let error = config.validate().expect_err("four that are wrong").to_string();
    for word in ["rollback exclude", "prefix exclude", "5..=20 holds 5", "receiver_queue_size"] {
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn v01_a_deleted_topic_ends_the_reader_with_the_reason() {
    let mut talk = Talk::new();
    let (id, conn, _) = open(&mut talk, reader_from(MessageId::EARLIEST));
    talk.say(conn, CommandCloseConsumer { consumer_id: id.0, ..Default::default() });
    let asks = available(&mut talk, id);
    talk.pass(ms(100));
    talk.locate_again(conn);
    let again = hear!(talk, conn, Subscribe);
    talk.say(conn, failure(again.request_id, ServerError::TOPIC_NOT_FOUND));
    assert_eq!(kind(talk.ended(asks)), ErrorKind::Broker(ServerError::TOPIC_NOT_FOUND));
    assert_eq!(kind(talk.client.read(id, talk.now)), ErrorKind::AlreadyClosed);
}

#[test]
fn c17_what_waits_here_is_available_without_a_question() {
    let mut talk = Talk::new();
    let (id, conn, _) = open(&mut talk, reader_from(MessageId::EARLIEST));
    talk.deliver(conn, id, 0, "x");
    let op = available(&mut talk, id);
    is(&mut talk, op, true);
    talk.quiet(conn);
}

#[test]
fn c17_an_empty_topic_has_nothing_and_a_start_that_is_the_last_has_it_when_inclusive() {
    for (start, inclusive, last, expected) in [
        (MessageId::EARLIEST, true, none(), false),
        (MessageId::EARLIEST, false, data(0), true),
        (id_of(4), false, data(4), false),
        (id_of(4), true, data(4), true),
        (id_of(4), false, data(5), true),
    ] {
        let mut talk = Talk::new();
        let config = ReaderConfig { start_message_id_inclusive: inclusive, ..reader_from(start) };
        let (id, conn, _) = open(&mut talk, config);
        let op = available(&mut talk, id);
        answer(&mut talk, conn, last, None);
        is(&mut talk, op, expected);
    }
}

#[test]
fn c17_what_is_known_of_the_end_is_asked_once() {
    let mut talk = Talk::new();
    let (id, conn, _) = open(&mut talk, reader_from(MessageId::EARLIEST));
    let op = available(&mut talk, id);
    answer(&mut talk, conn, data(1), None);
    is(&mut talk, op, true);
    talk.deliver(conn, id, 0, "0");
    assert_eq!(read(&mut talk, id).as_deref(), Some("0"));
    let op = available(&mut talk, id);
    is(&mut talk, op, true);
    talk.quiet(conn);
    talk.deliver(conn, id, 1, "1");
    assert_eq!(read(&mut talk, id).as_deref(), Some("1"));
    let op = available(&mut talk, id);
    answer(&mut talk, conn, data(1), None);
    is(&mut talk, op, false);
}

#[test]
fn c17_of_a_batch_what_is_left_counts_and_what_is_not_wanted_does_not() {
    let mut talk = Talk::new();
    let start = MessageId { batch_index: 1, batch_size: 2, ..id_of(4) };
    let config = ReaderConfig { receiver_queue_size: 2, ..reader_from(start) };
    let (id, conn, _) = open(&mut talk, config);
    talk.say_bytes(conn, delivery(id, 4, &[], &batch(&[Some("a"), Some("b")])));
    let op = available(&mut talk, id);
    assert_eq!(hear!(talk, conn, Flow).message_permits, 2, "of what is not wanted");
    answer(&mut talk, conn, MessageIdData { batch_index: Some(1), ..data(4) }, None);
    is(&mut talk, op, false);
    talk.say_bytes(conn, delivery(id, 5, &[], &batch(&[None, Some("c")])));
    let op = available(&mut talk, id);
    is(&mut talk, op, true);
    assert_eq!(read(&mut talk, id).as_deref(), Some("c"));
    for _ in 0..2 {
        assert_eq!(hear!(talk, conn, Flow).message_permits, 1);
    }
    let op = available(&mut talk, id);
    answer(&mut talk, conn, MessageIdData { batch_index: Some(1), ..data(5) }, None);
    is(&mut talk, op, false);
}

#[test]
fn c17_from_the_end_the_broker_s_mark_tells() {
    let mut talk = Talk::new();
    let (id, conn, _) = open(&mut talk, reader_from(MessageId::LATEST));
    for (last, marked, expected) in [(4, 4, false), (5, 4, true)] {
        let op = available(&mut talk, id);
        answer(&mut talk, conn, data(last), Some(data(marked)));
        is(&mut talk, op, expected);
    }
}

#[test]
fn c17_from_the_end_inclusive_goes_to_the_last_message() {
    let mut talk = Talk::new();
    let config = ReaderConfig { start_message_id_inclusive: true, ..reader_from(MessageId::LATEST) };
    let (id, conn, _) = open(&mut talk, config);
    let op = available(&mut talk, id);
    answer(&mut talk, conn, data(7), Some(data(7)));
    assert_eq!(talk.ended_yet(op), None);
    let asked = hear!(talk, conn, Seek);
    assert_eq!(asked.message_id, Some(data(7)));
    talk.say(conn, success(asked.request_id));
    is(&mut talk, op, true);
    talk.deliver(conn, id, 7, "last");
    assert_eq!(read(&mut talk, id).as_deref(), Some("last"));
}

#[test]
fn c17_a_seek_comes_first_and_a_time_is_the_brokers_to_know() {
    let mut talk = Talk::new();
    let (id, conn, _) = open(&mut talk, reader_from(MessageId::EARLIEST));
    let seek = talk.client.seek(id, SeekTarget::PublishTime(17), talk.now);
    let asked = hear!(talk, conn, Seek);
    let op = available(&mut talk, id);
    talk.quiet(conn);
    talk.say(conn, success(asked.request_id));
    talk.ended(seek).expect("a seek");
    answer(&mut talk, conn, data(7), Some(data(7)));
    is(&mut talk, op, false);
    let op = available(&mut talk, id);
    answer(&mut talk, conn, data(7), Some(data(6)));
    is(&mut talk, op, true);
}

#[test]
fn v01_the_place_of_a_time_is_sought_again_when_the_link_is_lost_before_a_message() {
    for closes in [true, false] {
        let mut talk = Talk::new();
        let (id, conn, _) = open(&mut talk, reader_from(MessageId::LATEST));
        let seek = talk.client.seek(id, SeekTarget::PublishTime(17), talk.now);
        let asked = hear!(talk, conn, Seek);
        talk.say(conn, success(asked.request_id));
        talk.ended(seek).expect("a seek");
        talk.deliver(conn, id, 5, "waits, and comes again");
        talk.cut(conn);
        let conn = talk.come_back();
        let again = hear!(talk, conn, Subscribe);
        talk.say(conn, success(again.request_id));
        // No FLOW yet: what the broker would send now is from the beginning.
        let asked = hear!(talk, conn, Seek);
        assert_eq!(asked.message_publish_time, Some(17));
        talk.quiet(conn);
        if closes {
            talk.say(conn, CommandCloseConsumer { consumer_id: id.0, ..Default::default() });
            talk.say(conn, success(asked.request_id));
            talk.pass(ms(100));
            talk.locate_again(conn);
            let again = hear!(talk, conn, Subscribe);
            talk.say(conn, success(again.request_id));
        } else {
            talk.say(conn, success(asked.request_id));
        }
        assert_eq!(hear!(talk, conn, Flow).message_permits, 1000);
        talk.deliver(conn, id, 5, "x");
        assert_eq!(read(&mut talk, id).as_deref(), Some("x"));
        talk.pass(ms(100));
        hear!(talk, conn, Ack);
        // From now on there is a message to go by.
        talk.cut(conn);
        let conn = talk.come_back();
        let again = hear!(talk, conn, Subscribe);
        assert_eq!(again.start_message_id, Some(data(5)));
        talk.say(conn, success(again.request_id));
        hear!(talk, conn, Flow);
        talk.quiet(conn);
    }
}

#[test]
fn v01_a_place_that_cannot_be_sought_again_ends_the_reader() {
    let mut talk = Talk::new();
    let (id, conn, _) = open(&mut talk, reader_from(MessageId::LATEST));
    let seek = talk.client.seek(id, SeekTarget::PublishTime(17), talk.now);
    let asked = hear!(talk, conn, Seek);
    talk.say(conn, success(asked.request_id));
    talk.ended(seek).expect("a seek");
    talk.say(conn, CommandCloseConsumer { consumer_id: id.0, ..Default::default() });
    for error in [ServerError::METADATA_ERROR, ServerError::NOT_ALLOWED_ERROR] {
        talk.pass(secs(1));
        talk.locate_again(conn);
        let again = hear!(talk, conn, Subscribe);
        talk.say(conn, success(again.request_id));
        let asked = hear!(talk, conn, Seek);
        talk.say(conn, failure(asked.request_id, error));
        hear!(talk, conn, CloseConsumer);
    }
    assert_eq!(kind(talk.client.read(id, talk.now)), ErrorKind::AlreadyClosed);
}

#[test]
fn v01_a_close_that_overtakes_the_answer_to_subscribe_is_no_dead_link() {
    let mut talk = Talk::new();
    let (id, conn, _) = open(&mut talk, reader_from(MessageId::EARLIEST));
    talk.say(conn, CommandCloseConsumer { consumer_id: id.0, ..Default::default() });
    talk.pass(ms(100));
    talk.locate_again(conn);
    let again = hear!(talk, conn, Subscribe);
    talk.say(conn, CommandCloseConsumer { consumer_id: id.0, ..Default::default() });
    talk.say(conn, success(again.request_id));
    talk.quiet(conn);
    talk.pass(ms(300));
    talk.locate_again(conn);
    let again = hear!(talk, conn, Subscribe);
    talk.say(conn, success(again.request_id));
    hear!(talk, conn, Flow);
    talk.deliver(conn, id, 0, "x");
    assert_eq!(read(&mut talk, id).as_deref(), Some("x"));
}

#[test]
fn c13_c17_a_broker_that_does_not_know_the_consumer_any_more_is_asked_on_the_next_link() {
    for seeks in [false, true] {
        let mut talk = Talk::new();
        let (id, conn, _) = open(&mut talk, reader_from(MessageId::EARLIEST));
        let op = if seeks {
            talk.client.seek(id, SeekTarget::Id(id_of(4)), talk.now)
        } else {
            available(&mut talk, id)
        };
        let request_id = match talk.hear(conn).0 {
            Command::Seek(asked) => asked.request_id,
            Command::GetLastMessageId(asked) => asked.request_id,
            other => panic!("{other:?}"),
        };
        let error = ServerError::METADATA_ERROR;
        talk.say(conn, CommandError { request_id, error, message: "Consumer not found".to_owned() });
        talk.say(conn, CommandCloseConsumer { consumer_id: id.0, ..Default::default() });
        assert_eq!(talk.ended_yet(op), None);
        talk.pass(ms(100));
        talk.locate_again(conn);
        let again = hear!(talk, conn, Subscribe);
        talk.say(conn, success(again.request_id));
        hear!(talk, conn, Flow);
        if seeks {
            let asked = hear!(talk, conn, Seek);
            talk.say(conn, success(asked.request_id));
            talk.ended(op).expect("a seek");
        } else {
            answer(&mut talk, conn, data(1), None);
            is(&mut talk, op, true);
        }
    }
}

#[test]
fn c17_questions_wait_for_the_link_and_end_with_their_deadline_or_the_reader() {
    let mut talk = Talk::new();
    let (id, conn, _) = open(&mut talk, reader_from(MessageId::EARLIEST));
    let lost = available(&mut talk, id);
    let old = hear!(talk, conn, GetLastMessageId);
    talk.say(conn, CommandCloseConsumer { consumer_id: id.0, ..Default::default() });
    let waits = talk.client.last_message_id(id, talk.now);
    talk.pass(ms(100));
    talk.locate_again(conn);
    let again = hear!(talk, conn, Subscribe);
    talk.say(conn, success(again.request_id));
    hear!(talk, conn, Flow);
    // A late answer to the earlier link does nothing.
    let late = CommandGetLastMessageIdResponse {
        last_message_id: data(9),
        request_id: old.request_id,
        consumer_mark_delete_position: None,
    };
    talk.say(conn, late);
    assert_eq!((talk.ended_yet(lost), talk.ended_yet(waits)), (None, None));
    answer(&mut talk, conn, data(2), None);
    answer(&mut talk, conn, data(2), None);
    is(&mut talk, lost, true);
    assert!(matches!(talk.ended(waits), Ok(Output::LastMessageId(last)) if last.entry_id == 2));
    let slow = talk.client.last_message_id(id, talk.now);
    talk.cut(conn);
    talk.pass(secs(31));
    assert_eq!(kind(talk.ended(slow)), ErrorKind::Timeout);
    let ends = available(&mut talk, id);
    let close = talk.client.close_consumer(id, talk.now);
    talk.ended(close).expect("closed");
    assert_eq!(kind(talk.ended(ends)), ErrorKind::AlreadyClosed);
    let after = available(&mut talk, id);
    assert_eq!(kind(talk.ended(after)), ErrorKind::AlreadyClosed);
}

#[test]
fn c17_a_durable_consumer_begins_behind_what_is_marked() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer();
    let op = available(&mut talk, id);
    answer(&mut talk, conn, data(7), Some(data(6)));
    is(&mut talk, op, true);
    talk.deliver(conn, id, 7, "x");
    assert_eq!(talk.payloads(id), ["x"]);
    let op = available(&mut talk, id);
    answer(&mut talk, conn, data(7), Some(data(6)));
    is(&mut talk, op, false);
    // What was received and not acknowledged comes again after a loss.
    talk.cut(conn);
    let conn = talk.come_back();
    let again = hear!(talk, conn, Subscribe);
    talk.say(conn, success(again.request_id));
    hear!(talk, conn, Flow);
    let op = available(&mut talk, id);
    answer(&mut talk, conn, data(7), Some(data(6)));
    is(&mut talk, op, true);
}

#[test]
fn c19_c20_c22_subscribe_says_what_was_asked_for() {
    let pairs = |name: &str| vec![(name.to_owned(), "v".to_owned())];
    for (policy, mode, ranges, out_of_order) in [
        (KeySharedPolicy::sticky([10..=20, 0..=5]), KeySharedMode::STICKY, vec![(10, 20), (0, 5)], false),
        (
            KeySharedPolicy::auto_split().allow_out_of_order_delivery(true),
            KeySharedMode::AUTO_SPLIT,
            vec![],
            true,
        ),
    ] {
        let mut talk = Talk::new();
        let config = ConsumerConfig {
            subscription_type: SubscriptionType::KeyShared,
            key_shared_policy: policy,
            replicate_subscription_state: true,
            subscription_properties: pairs("kept"),
            ..ConsumerConfig::new(topic(), "s")
        };
        talk.client.subscribe(config, talk.now).expect("options");
        let conn = talk.accept(BROKER);
        talk.locate(conn);
        let open = hear!(talk, conn, Subscribe);
        assert_eq!(
            open.subscription_properties,
            [KeyValue { key: "kept".to_owned(), value: "v".to_owned() }]
        );
        assert_eq!(open.replicate_subscription_state, Some(true));
        let meta = open.key_shared_meta.expect("how keys are shared");
        let heard: Vec<_> = meta.hash_ranges.iter().map(|r| (r.start, r.end)).collect();
        assert_eq!((meta.key_shared_mode, heard), (mode, ranges));
        assert_eq!(meta.allow_out_of_order_delivery, Some(out_of_order));
    }
}

#[test]
fn c20_c22_what_does_not_go_together_is_all_named() {
    let volatile = pulsewire_proto::TopicName::parse("non-persistent://public/default/t").expect("a name");
    #[expect(clippy::reversed_empty_ranges, reason = "it is to be refused")]
    let policy = KeySharedPolicy::sticky([0..=10, 10..=20, 9..=3]);
    let config = ConsumerConfig {
        subscription_type: SubscriptionType::Shared,
        subscription_mode: SubscriptionMode::NonDurable,
        key_shared_policy: policy,
        key_hash_ranges: vec![0..=1],
        read_compacted: true,
        replicate_subscription_state: true,
        ..ConsumerConfig::new(volatile, "s")
    };
    let error = config.validate().expect_err("many that are wrong").to_string();
    for word in [
        "for exclusive and failover",
        "persistent topics",
        "replicate_subscription_state is",
        "key_shared_policy is",
        "key_hash_ranges are",
        "10..=20 holds 10",
        "9..=3 does not",
    ] {
        assert!(error.contains(word), "{word}: {error}");
    }
    let none = ConsumerConfig {
        subscription_type: SubscriptionType::KeyShared,
        key_shared_policy: KeySharedPolicy::sticky([]),
        ..ConsumerConfig::new(topic(), "s")
    };
    assert!(none.validate().expect_err("no ranges").to_string().contains("one at least"));
    let gaps = KeySharedPolicy::sticky([60_000..=65_535, 0..=10]);
    let config = ConsumerConfig {
        subscription_type: SubscriptionType::KeyShared,
        key_shared_policy: gaps,
        ..ConsumerConfig::new(topic(), "s")
    };
    config.validate().expect("gaps are allowed");
}
