//! Dead letters and retry letters.

use std::collections::BTreeMap;

use pulsewire_proto::wire::*;
use pulsewire_proto::{
    ClientConfig, ConnId, ConsumerConfig, ConsumerId, DeadLetterPolicy, ErrorKind, Message, MessageId,
    Output, ProducerId, SubscriptionType,
};

use crate::talk::*;

const DLQ: &str = "persistent://public/default/t-s-DLQ";
const RETRY: &str = "persistent://public/default/t-s-RETRY";

fn with(policy: DeadLetterPolicy) -> ConsumerConfig {
    ConsumerConfig {
        subscription_type: SubscriptionType::Shared,
        dead_letter_policy: Some(policy),
        negative_ack_redelivery_delay: secs(1),
        ..ungrouped()
    }
}

fn limited() -> ConsumerConfig {
    with(DeadLetterPolicy::new(2))
}

/// A consumer that reads its retry letter topic too: itself, its parts, and the connection.
fn retrying(talk: &mut Talk) -> (ConsumerId, [ConsumerId; 2], ConnId) {
    let config = ConsumerConfig { enable_retry: true, ..limited() };
    let (id, op) = talk.client.subscribe(config, talk.now).expect("options");
    let conn = talk.accept(BROKER);
    let mut parts = Vec::new();
    let mut topics = Vec::new();
    let mut flows = 0;
    while flows < 2 {
        match talk.hear(conn).0 {
            Command::PartitionedTopicMetadata(asked) => talk.say(conn, partitions(asked.request_id, 0)),
            Command::LookupTopic(asked) => talk.say(conn, serves(asked.request_id, BROKER)),
            Command::Subscribe(open) => {
                talk.say(conn, success(open.request_id));
                parts.push(ConsumerId(open.consumer_id));
                topics.push(open.topic);
            }
            Command::Flow(_) => flows += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(topics, [TOPIC, RETRY]);
    talk.ended(op).expect("a consumer");
    (id, [parts[0], parts[1]], conn)
}

fn keyed(key: &str, properties: &[(&str, &str)], payload: &str) -> bytes::Bytes {
    let properties =
        properties.iter().map(|(k, v)| KeyValue { key: (*k).to_owned(), value: (*v).to_owned() }).collect();
    let metadata = MessageMetadata {
        partition_key: Some(key.to_owned()),
        ordering_key: Some(bytes::Bytes::from_static(b"order")),
        event_time: Some(1_700_000_000_123),
        properties,
        ..metadata()
    };
    entry_of(&metadata, payload.as_bytes())
}

fn take(talk: &mut Talk, id: ConsumerId) -> Vec<Message> {
    talk.receive(id).into_iter().map(|message| message.expect("a message")).collect()
}

fn nack(talk: &mut Talk, id: ConsumerId, message: MessageId) {
    talk.client.negative_acknowledge(id, message, talk.now).expect("open");
}

/// The producer of letters is asked for: to which topic.
fn opens(talk: &mut Talk, conn: ConnId) -> (String, ProducerId, u64) {
    talk.locate(conn);
    let open = hear!(talk, conn, Producer);
    (open.topic, ProducerId(open.producer_id), open.request_id)
}

/// It is, and opens.
fn opened(talk: &mut Talk, conn: ConnId, topic: &str) -> ProducerId {
    let (asked, producer, request) = opens(talk, conn);
    assert_eq!(asked, topic);
    talk.say(conn, producer_success(request, "letters", -1));
    producer
}

/// A letter has what its message had beside the payload and the properties.
fn keeps_keys_and_time(heard: &Heard) {
    let metadata = &heard.metadata;
    assert_eq!(metadata.partition_key.as_deref(), Some("k"));
    assert_eq!(metadata.ordering_key.as_deref(), Some(&b"order"[..]));
    assert_eq!(metadata.event_time, Some(1_700_000_000_123));
}

fn properties(heard: &Heard) -> BTreeMap<&str, &str> {
    heard.metadata.properties.iter().map(|p| (p.key.as_str(), p.value.as_str())).collect()
}

#[test]
fn c12_a_message_at_its_limit_goes_to_the_dead_letter_topic_and_is_acked_after_the_receipt() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(limited());
    talk.say_bytes(conn, redelivery(id, 7, 1, &[], &keyed("k", &[], "once more")));
    talk.say_bytes(conn, redelivery(id, 8, 2, &[], &keyed("k", &[("a", "b")], "the last time")));
    for message in take(&mut talk, id) {
        nack(&mut talk, id, message.id());
    }
    talk.pass(ms(1_010));
    // The one may come again, the other not.
    let again = hear!(talk, conn, RedeliverUnacknowledgedMessages).message_ids;
    assert_eq!(again.iter().map(|id| id.entry_id).collect::<Vec<_>>(), [7]);
    let producer = opened(&mut talk, conn, DLQ);
    let sent = talk.hear_send(conn);
    assert_eq!(&sent.payload[..], b"the last time");
    keeps_keys_and_time(&sent);
    let expected = [
        ("ORIGIN_MESSAGE_ID", "3:8:-1"),
        ("ORIGIN_MESSAGE_IDY_TIME", "3:8:-1"),
        ("REAL_SUBSCRIPTION", "s"),
        ("REAL_TOPIC", TOPIC),
        ("a", "b"),
    ];
    assert_eq!(properties(&sent), expected.into());
    talk.quiet(conn);
    talk.receipt(conn, producer, 0);
    assert_eq!(hear!(talk, conn, Ack).message_id[0].entry_id, 8);
    talk.pass(secs(5));
    talk.quiet(conn);
}

#[test]
fn c12_what_came_too_often_is_not_for_the_user() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { receiver_queue_size: 6, ..limited() };
    let (id, conn) = talk.consumer_with(config);
    talk.say_bytes(conn, redelivery(id, 7, 3, &[0b101], &batch(&[Some("a"), Some("b"), Some("c")])));
    let producer = opened(&mut talk, conn, DLQ);
    talk.say_bytes(conn, redelivery(id, 8, 9, &[], &single("d")));
    assert!(take(&mut talk, id).is_empty());
    let mut payloads = Vec::new();
    for n in 0..3 {
        if n == 2 {
            // The permits of all three go back.
            assert_eq!(hear!(talk, conn, Flow).message_permits, 3);
        }
        let sent = talk.hear_send(conn);
        payloads.push(String::from_utf8(sent.payload.to_vec()).expect("text"));
        let origin = properties(&sent)["ORIGIN_MESSAGE_ID"].to_owned();
        assert_eq!(origin, ["3:7:-1:0", "3:7:-1:2", "3:8:-1"][n]);
    }
    assert_eq!(payloads, ["a", "c", "d"]);
    for n in 0..3 {
        talk.receipt(conn, producer, n);
    }
    // The batch is done with when all that was left of it is.
    assert_eq!(hear!(talk, conn, Ack).message_id[0].entry_id, 7);
    assert_eq!(hear!(talk, conn, Ack).message_id[0].entry_id, 8);
    talk.quiet(conn);
}

#[test]
fn c12_of_a_batch_only_those_messages_that_were_given_back() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(limited());
    talk.say_bytes(conn, redelivery(id, 7, 2, &[], &batch(&[Some("a"), Some("b"), Some("c")])));
    let messages = take(&mut talk, id);
    nack(&mut talk, id, messages[1].id());
    talk.client.acknowledge(id, messages[0].id(), false, talk.now).expect("open");
    talk.pass(ms(1_010));
    let producer = opened(&mut talk, conn, DLQ);
    assert_eq!(&talk.hear_send(conn).payload[..], b"b");
    talk.receipt(conn, producer, 0);
    talk.quiet(conn);
    talk.client.acknowledge(id, messages[2].id(), false, talk.now).expect("open");
    assert_eq!(hear!(talk, conn, Ack).message_id[0].entry_id, 7);
}

#[test]
fn c12_an_ack_timeout_at_the_limit_makes_a_dead_letter_and_an_ack_none() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { ack_timeout: secs(2), ack_timeout_tick_time: ms(100), ..limited() };
    let (id, conn) = talk.consumer_with(config);
    // What is given back of a batch takes nothing from the time of the rest.
    talk.say_bytes(conn, redelivery(id, 6, 2, &[], &batch(&[Some("a"), Some("b")])));
    let messages = take(&mut talk, id);
    nack(&mut talk, id, messages[1].id());
    talk.pass(ms(1_010));
    let producer = opened(&mut talk, conn, DLQ);
    assert_eq!(&talk.hear_send(conn).payload[..], b"b");
    talk.receipt(conn, producer, 0);
    talk.pass(ms(1_190));
    assert_eq!(&talk.hear_send(conn).payload[..], b"a");
    talk.receipt(conn, producer, 1);
    hear!(talk, conn, Ack);
    for n in 7..9 {
        talk.say_bytes(conn, redelivery(id, n, 2, &[], &single("x")));
    }
    let messages = take(&mut talk, id);
    talk.client.acknowledge(id, messages[0].id(), false, talk.now).expect("open");
    hear!(talk, conn, Ack);
    talk.pass(ms(2_300));
    assert_eq!(properties(&talk.hear_send(conn))["ORIGIN_MESSAGE_ID"], "3:8:-1");
    talk.quiet(conn);
}

/// Whichever is first, negative acknowledgement or ack timeout: the other one asks for nothing that has become a letter.
#[test]
fn c12_what_is_a_letter_already_is_not_asked_for() {
    let config = ConsumerConfig { ack_timeout: secs(2), ack_timeout_tick_time: ms(100), ..limited() };
    for early in [false, true] {
        let mut talk = Talk::new();
        let (id, conn) = talk.consumer_with(config.clone());
        talk.say_bytes(conn, redelivery(id, 7, 2, &[], &batch(&[Some("a"), Some("b")])));
        let messages = take(&mut talk, id);
        if early {
            nack(&mut talk, id, messages[0].id());
            talk.pass(ms(500));
            nack(&mut talk, id, messages[1].id());
        } else {
            talk.pass(ms(1_500));
            nack(&mut talk, id, messages[1].id());
        }
        talk.pass(ms(800));
        let producer = opened(&mut talk, conn, DLQ);
        for payload in [b"a", b"b"] {
            assert_eq!(&talk.hear_send(conn).payload[..], payload);
        }
        // Its producer is slow, and so is the user.
        nack(&mut talk, id, messages[0].id());
        talk.pass(secs(5));
        talk.quiet(conn);
        talk.receipt(conn, producer, 0);
        talk.receipt(conn, producer, 1);
        assert_eq!(hear!(talk, conn, Ack).message_id[0].entry_id, 7);
    }
}

#[test]
fn c12_a_letter_that_fails_comes_again() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(limited());
    talk.say_bytes(conn, redelivery(id, 7, 3, &[], &single("x")));
    let (_, _, request) = opens(&mut talk, conn);
    talk.say(conn, failure(request, ServerError::AUTHORIZATION_ERROR));
    talk.quiet(conn);
    talk.pass(ms(1_010));
    assert_eq!(hear!(talk, conn, RedeliverUnacknowledgedMessages).message_ids[0].entry_id, 7);
    // The next one opens another producer; its send fails.
    talk.say_bytes(conn, redelivery(id, 7, 4, &[], &single("x")));
    let producer = opened(&mut talk, conn, DLQ);
    let sent = talk.hear_send(conn);
    let refused = CommandSendError {
        producer_id: producer.0,
        sequence_id: sent.command.sequence_id,
        error: ServerError::NOT_ALLOWED_ERROR,
        message: String::new(),
    };
    talk.say(conn, refused);
    talk.pass(ms(1_010));
    assert_eq!(hear!(talk, conn, RedeliverUnacknowledgedMessages).message_ids[0].entry_id, 7);
    // And through a lost link nothing is lost.
    talk.say_bytes(conn, redelivery(id, 7, 5, &[], &single("x")));
    talk.hear_send(conn);
    talk.cut(conn);
    assert!(talk.sent.is_empty());
}

#[test]
fn c12_letters_that_wait_for_their_producer_count_against_the_memory_limit() {
    let mut talk = Talk::with(ClientConfig { memory_limit: 10, ..config(BROKER) });
    let (id, conn) = talk.consumer_with(limited());
    for n in 0..3 {
        talk.say_bytes(conn, redelivery(id, n, 3, &[], &single("12345678")));
    }
    opens(&mut talk, conn);
    talk.pass(ms(1_010));
    let again = hear!(talk, conn, RedeliverUnacknowledgedMessages).message_ids;
    assert_eq!(again.iter().map(|id| id.entry_id).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn c12_the_policy_names_topics_and_changes_the_producer() {
    let policy = DeadLetterPolicy::new(2).dead_letter_topic("dead").dead_letter_producer(|producer| {
        producer.name = Some("undertaker".to_owned());
        producer.properties.push(("a".to_owned(), "b".to_owned()));
    });
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(with(policy));
    talk.say_bytes(conn, redelivery(id, 7, 3, &[], &single("x")));
    talk.locate(conn);
    let open = hear!(talk, conn, Producer);
    assert_eq!(open.topic, "persistent://public/default/dead");
    assert_eq!(open.producer_name.as_deref(), Some("undertaker"));
    assert_eq!(open.metadata[0].key, "a");

    let bad = DeadLetterPolicy::new(0).dead_letter_topic("no/topic");
    let error = with(bad).validate().expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
    for part in ["max_redeliver_count is at least 1", "\"no/topic\" is not a topic name"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn c11_a_message_that_is_put_off_is_counted_and_acked_after_the_receipt() {
    let mut talk = Talk::new();
    let (id, [_, retry], conn) = retrying(&mut talk);
    let before = [("RECONSUMETIMES", "1"), ("REAL_TOPIC", "elsewhere"), ("ORIGIN_MESSAGE_ID", "1:1:-1")];
    talk.say_bytes(conn, delivery(retry, 7, &[], &keyed("k", &before, "x")));
    let message = take(&mut talk, id).remove(0);
    let more = [("why".to_owned(), "not yet".to_owned())];
    let op = talk.client.reconsume_later(id, &message, &more, ms(5_000), false, talk.now);
    let producer = opened(&mut talk, conn, RETRY);
    let sent = talk.hear_send(conn);
    let expected = [
        ("DELAY_TIME", "5000"),
        ("ORIGIN_MESSAGE_ID", "1:1:-1"),
        ("ORIGIN_MESSAGE_IDY_TIME", "3:7:-1"),
        ("REAL_SUBSCRIPTION", "s"),
        ("REAL_TOPIC", "elsewhere"),
        ("RECONSUMETIMES", "2"),
        ("why", "not yet"),
    ];
    assert_eq!(properties(&sent), expected.into());
    keeps_keys_and_time(&sent);
    assert_eq!(sent.metadata.deliver_at_time, Some(talk.now.wall_ms as i64 + 5_000));
    assert_eq!(talk.ended_yet(op), None);
    talk.receipt(conn, producer, 0);
    let ack = hear!(talk, conn, Ack);
    assert_eq!((ack.consumer_id, ack.message_id[0].entry_id), (retry.0, 7));
    assert_eq!(talk.ended(op), Ok(Output::Done));
}

#[test]
fn c11_one_that_was_put_off_too_often_is_a_dead_letter() {
    let mut talk = Talk::new();
    let (id, [first, _], conn) = retrying(&mut talk);
    talk.say_bytes(conn, delivery(first, 7, &[], &keyed("k", &[("RECONSUMETIMES", "2")], "x")));
    let message = take(&mut talk, id).remove(0);
    let op = talk.client.reconsume_later(id, &message, &[], ms(9), true, talk.now);
    let producer = opened(&mut talk, conn, DLQ);
    let sent = talk.hear_send(conn);
    assert_eq!(properties(&sent)["RECONSUMETIMES"], "3");
    keeps_keys_and_time(&sent);
    assert_eq!(sent.metadata.deliver_at_time, None);
    talk.receipt(conn, producer, 0);
    assert_eq!(hear!(talk, conn, Ack).ack_type, AckType::CUMULATIVE);
    assert_eq!(talk.ended(op), Ok(Output::Done));
}

#[test]
fn c11_putting_off_ends_with_its_reason() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(limited());
    talk.deliver(conn, id, 7, "x");
    let message = take(&mut talk, id).remove(0);
    let op = talk.client.reconsume_later(id, &message, &[], ms(0), false, talk.now);
    assert_eq!(kind(talk.ended(op)), ErrorKind::NotSupported);

    let mut talk = Talk::new();
    let (id, [first, _], conn) = retrying(&mut talk);
    talk.deliver(conn, first, 7, "x");
    let message = take(&mut talk, id).remove(0);
    let refused = talk.client.reconsume_later(id, &message, &[], ms(0), false, talk.now);
    let (_, _, request) = opens(&mut talk, conn);
    talk.say(conn, failure(request, ServerError::AUTHORIZATION_ERROR));
    assert_eq!(kind(talk.ended(refused)), ErrorKind::Broker(ServerError::AUTHORIZATION_ERROR));
    talk.pass(ms(1_010));
    assert_eq!(hear!(talk, conn, RedeliverUnacknowledgedMessages).message_ids[0].entry_id, 7);
    // It ends with the consumer too, whose producer goes with it.
    let closed = talk.client.reconsume_later(id, &message, &[], ms(0), false, talk.now);
    let producer = opened(&mut talk, conn, RETRY);
    talk.hear_send(conn);
    talk.client.close_consumer(id, talk.now);
    for _ in 0..2 {
        let close = hear!(talk, conn, CloseConsumer);
        talk.say(conn, success(close.request_id));
    }
    assert_eq!(kind(talk.ended(closed)), ErrorKind::AlreadyClosed);
    assert_eq!(hear!(talk, conn, CloseProducer).producer_id, producer.0);
    let late = talk.client.reconsume_later(id, &message, &[], ms(0), false, talk.now);
    assert_eq!(kind(talk.ended(late)), ErrorKind::AlreadyClosed);
}

#[test]
fn c12_what_changes_the_producers_of_letters_is_called_once_for_all_partitions() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    let calls = Arc::new(AtomicU32::new(0));
    let (dead, retry) = (calls.clone(), calls.clone());
    let policy = DeadLetterPolicy::new(2)
        .dead_letter_producer(move |producer| {
            assert_eq!(producer.topic.as_str(), DLQ);
            producer.name = Some(format!("undertaker {}", dead.fetch_add(1, Relaxed)));
        })
        .retry_letter_producer(move |_| assert_eq!(retry.fetch_add(10, Relaxed), 1));
    let mut config = with(policy);
    config.make_letter_producers().expect("made");
    config.validate().expect("options");
    let mut talk = Talk::new();
    let (id, op) = talk.client.subscribe(config, talk.now).expect("options");
    let conn = talk.accept(BROKER);
    let asked = hear!(talk, conn, PartitionedTopicMetadata);
    talk.say(conn, partitions(asked.request_id, 3));
    let mut parts = Vec::new();
    let mut flows = 0;
    while flows < 3 {
        match talk.hear(conn).0 {
            Command::LookupTopic(asked) => talk.say(conn, serves(asked.request_id, BROKER)),
            Command::Subscribe(open) => {
                talk.say(conn, success(open.request_id));
                parts.push(ConsumerId(open.consumer_id));
            }
            Command::Flow(_) => flows += 1,
            other => panic!("{other:?}"),
        }
    }
    talk.ended(op).expect("a consumer");
    talk.say_bytes(conn, redelivery(parts[2], 7, 3, &[], &single("x")));
    assert!(take(&mut talk, id).is_empty());
    // The options are those that were made; the topic is the partition's own.
    talk.locate(conn);
    let open = hear!(talk, conn, Producer);
    assert_eq!(open.topic, format!("{TOPIC}-partition-2-s-DLQ"));
    assert_eq!(open.producer_name.as_deref(), Some("undertaker 0"));
    assert_eq!(calls.load(Relaxed), 11);
}

#[test]
fn c12_a_panic_of_what_changes_the_producers_of_letters_is_an_error() {
    let dead = DeadLetterPolicy::new(2).dead_letter_producer(|_| panic!("no such option"));
    let retry = DeadLetterPolicy::new(2).retry_letter_producer(|_| panic!("{} options", 7));
    let mut talk = Talk::new();
    for (policy, words) in
        [(dead, "dead_letter_producer panicked: no such option"), (retry, "panicked: 7 options")]
    {
        let refused = talk.client.subscribe(with(policy.clone()), talk.now).expect_err("refused");
        assert_eq!(refused.kind(), ErrorKind::InvalidOption);
        assert!(refused.to_string().contains(words), "{refused}");
        let topics = [topic()];
        let refused = talk.client.subscribe_topics(with(policy), &topics, talk.now).expect_err("refused");
        assert!(refused.to_string().contains(words), "{refused}");
    }
    let bad = DeadLetterPolicy::new(2).dead_letter_producer(|producer| producer.batching_max_messages = 0);
    let refused = talk.client.subscribe(with(bad), talk.now).expect_err("refused");
    assert!(refused.to_string().contains("batching_max_messages"), "{refused}");
    talk.client.subscribe(limited(), talk.now).expect("options");
}

// ---- names that the first clients gave ----

/// A broker that says when a topic is not there.
fn knowing() -> FeatureFlags {
    FeatureFlags {
        supports_topic_watchers: Some(true),
        supports_get_partitioned_metadata_without_auto_creation: Some(true),
        ..Default::default()
    }
}

/// What a consumer subscribes to, where the broker says of these topics of the namespace that they are there.
fn named_where(config: ConsumerConfig, flags: FeatureFlags, there: &[&str]) -> Vec<String> {
    let mut talk = Talk::new();
    let (_, op) = talk.client.subscribe(config, talk.now).expect("options");
    let conn = talk.answer(BROKER);
    hear!(talk, conn, Connect);
    talk.say(conn, CommandConnected { feature_flags: Some(flags), ..connected(0) });
    let (mut topics, mut flows) = (Vec::new(), 0);
    while flows < 2 {
        match talk.hear(conn).0 {
            Command::PartitionedTopicMetadata(asked) => {
                let local = asked.topic.rsplit('/').next().unwrap_or("");
                // Asked so that nothing is made.
                if asked.metadata_auto_creation_enabled == Some(false) && !there.contains(&local) {
                    let mut absent = partitions(asked.request_id, 0);
                    absent.response = Some(PartitionedMetadataResult::FAILED);
                    absent.error = Some(ServerError::TOPIC_NOT_FOUND);
                    talk.say(conn, absent);
                } else {
                    talk.say(conn, partitions(asked.request_id, 0));
                }
            }
            Command::LookupTopic(asked) => talk.say(conn, serves(asked.request_id, BROKER)),
            Command::Subscribe(open) => {
                talk.say(conn, success(open.request_id));
                topics.push(open.topic.rsplit('/').next().unwrap_or("").to_owned());
            }
            Command::Flow(_) => flows += 1,
            other => panic!("{other:?}"),
        }
    }
    talk.ended(op).expect("a consumer");
    topics
}

#[test]
fn c11_topics_of_letters_that_older_clients_made_are_used() {
    let config = |policy| ConsumerConfig { enable_retry: true, dead_letter_policy: policy, ..ungrouped() };
    let limited = || Some(DeadLetterPolicy::new(2));
    assert_eq!(named_where(config(None), knowing(), &[]), ["t", "t-s-RETRY"]);
    assert_eq!(named_where(config(None), knowing(), &["s-RETRY"]), ["t", "s-RETRY"]);
    assert_eq!(named_where(config(limited()), knowing(), &["s-RETRY", "s-DLQ"]), ["t", "s-RETRY"]);
    assert_eq!(named_where(config(limited()), knowing(), &["s-DLQ"]), ["t", "t-s-RETRY"]);
    // A name that was given is not looked for.
    let given = DeadLetterPolicy::new(2).retry_letter_topic("mine");
    assert_eq!(named_where(config(Some(given)), knowing(), &["s-RETRY"]), ["t", "mine"]);
    // Proxies do not watch topics, and say that all of them are there; older brokers make what they are asked about.
    let proxy = FeatureFlags { supports_topic_watchers: None, ..knowing() };
    for flags in [proxy, FeatureFlags::default()] {
        assert_eq!(named_where(config(None), flags, &["s-RETRY", "s-DLQ"]), ["t", "t-s-RETRY"]);
    }
}

#[test]
fn c11_a_consumer_whose_letters_cannot_be_named_is_not_opened() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { enable_retry: true, ..ungrouped() };
    let (id, op) = talk.client.subscribe(config, talk.now).expect("options");
    let conn = talk.answer(BROKER);
    hear!(talk, conn, Connect);
    talk.say(conn, CommandConnected { feature_flags: Some(knowing()), ..connected(0) });
    let asked = [0; 2].map(|_| hear!(talk, conn, PartitionedTopicMetadata));
    for asked in asked {
        let mut refused = partitions(asked.request_id, 0);
        refused.response = Some(PartitionedMetadataResult::FAILED);
        refused.error = Some(ServerError::AUTHORIZATION_ERROR);
        talk.say(conn, refused);
    }
    let error = talk.ended(op).expect_err("an answer");
    assert_eq!(error.kind(), ErrorKind::Broker(ServerError::AUTHORIZATION_ERROR));
    talk.quiet(conn);
    assert!(talk.client.take(id).is_err());
}
