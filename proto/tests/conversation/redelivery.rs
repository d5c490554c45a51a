//! What comes again: ack timeouts, negative acknowledgements in large numbers and in order.

use pulsewire_proto::wire::*;
use pulsewire_proto::{
    ConnId, ConsumerConfig, ConsumerId, ErrorKind, MessageId, RedeliveryBackoff, SubscriptionType,
};

use crate::talk::*;

fn at(entry_id: u64) -> MessageId {
    MessageId { ledger_id: 3, entry_id, partition: -1, batch_index: -1, batch_size: 0, first_chunk: None }
}

fn shared() -> ConsumerConfig {
    ConsumerConfig { subscription_type: SubscriptionType::Shared, ..ungrouped() }
}

fn timed() -> ConsumerConfig {
    ConsumerConfig { ack_timeout: secs(3), ..shared() }
}

/// Takes all that waits, as the user does.
fn take(talk: &mut Talk, id: ConsumerId) -> Vec<MessageId> {
    talk.receive(id).into_iter().map(|message| message.expect("a message").id()).collect()
}

/// Entries of the next request for redelivery.
fn asked(talk: &mut Talk, conn: ConnId) -> Vec<u64> {
    let asked = hear!(talk, conn, RedeliverUnacknowledgedMessages);
    asked.message_ids.iter().map(|id| id.entry_id).collect()
}

fn ack(talk: &mut Talk, conn: ConnId, id: ConsumerId, message: MessageId, cumulative: bool) {
    talk.client.acknowledge(id, message, cumulative, talk.now).expect("open");
    hear!(talk, conn, Ack);
}

#[test]
fn c10_what_the_user_keeps_comes_again_after_the_timeout() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(timed());
    for n in 0..4 {
        talk.deliver(conn, id, n, "x");
    }
    // What waits in the queue is not with the user.
    talk.pass(secs(20));
    talk.quiet(conn);
    let ids = take(&mut talk, id);
    ack(&mut talk, conn, id, ids[1], false);
    talk.pass(ms(2_999));
    talk.quiet(conn);
    talk.pass(ms(1_101));
    assert_eq!(asked(&mut talk, conn), [0, 2, 3]);
    // Asked for once; what comes again is with the user again, for as long.
    talk.pass(secs(2));
    talk.say_bytes(conn, redelivery(id, 2, 1, &[], &single("x")));
    take(&mut talk, id);
    talk.pass(ms(2_900));
    talk.quiet(conn);
    talk.pass(ms(1_200));
    assert_eq!(asked(&mut talk, conn), [2]);
}

#[test]
fn c10_the_timeout_has_a_backoff_of_its_own_and_ticks_as_told() {
    let mut talk = Talk::new();
    let backoff = RedeliveryBackoff { min_delay: secs(1), max_delay: secs(8), multiplier: 2.0 };
    let config = ConsumerConfig {
        ack_timeout: secs(2),
        ack_timeout_tick_time: ms(100),
        ack_timeout_redelivery_backoff: Some(backoff),
        ..shared()
    };
    let (id, conn) = talk.consumer_with(config);
    for (entry, count) in [(1, 0), (2, 1), (3, 9)] {
        talk.say_bytes(conn, redelivery(id, entry, count, &[], &single("x")));
    }
    take(&mut talk, id);
    // A tick late at the most, and never early.
    for (entry, quiet) in [(1, 2_950), (2, 800), (3, 5_800)] {
        talk.pass(ms(quiet));
        talk.quiet(conn);
        talk.pass(ms(200));
        assert_eq!(asked(&mut talk, conn), [entry]);
    }
}

#[test]
fn c10_cumulative_acks_and_negative_acks_clear_the_tracker() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { subscription_type: SubscriptionType::Failover, ..timed() };
    let (id, conn) = talk.consumer_with(config);
    for n in 0..3 {
        talk.deliver(conn, id, n, "x");
    }
    talk.say_bytes(conn, delivery(id, 3, &[], &batch(&[Some("a"), Some("b")])));
    let ids = take(&mut talk, id);
    ack(&mut talk, conn, id, ids[4], true);
    talk.pass(secs(10));
    talk.quiet(conn);
    // A part of a batch leaves its entry.
    talk.say_bytes(conn, delivery(id, 4, &[], &batch(&[Some("a"), Some("b")])));
    let ids = take(&mut talk, id);
    ack(&mut talk, conn, id, ids[0], true);
    talk.pass(secs(5));
    assert_eq!(asked(&mut talk, conn), [0; 0]);

    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(timed());
    talk.deliver(conn, id, 1, "x");
    take(&mut talk, id);
    talk.client.negative_acknowledge(id, at(1), talk.now).expect("open");
    talk.pass(secs(20));
    talk.quiet(conn);
}

#[test]
fn c10_a_batch_is_tracked_until_all_of_it_is_acknowledged() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(timed());
    for n in 1..3 {
        talk.say_bytes(conn, delivery(id, n, &[], &batch(&[Some("a"), Some("b")])));
    }
    let ids = take(&mut talk, id);
    talk.client.acknowledge(id, ids[0], false, talk.now).expect("open");
    talk.client.acknowledge(id, ids[2], false, talk.now).expect("open");
    ack(&mut talk, conn, id, ids[1], false);
    talk.pass(secs(5));
    assert_eq!(asked(&mut talk, conn), [2]);
}

#[test]
fn c10_what_is_taken_ahead_of_the_user_is_not_with_the_user() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(timed());
    for n in 0..2 {
        talk.deliver(conn, id, n, "x");
    }
    talk.pump();
    for _ in 0..2 {
        talk.client.take(id).expect("open").expect("waiting").expect("a message");
    }
    talk.client.delivered(id, 1);
    talk.pass(secs(5));
    assert_eq!(asked(&mut talk, conn), [0]);
    talk.client.delivered(id, 1);
    talk.pass(ms(2_900));
    talk.quiet(conn);
    talk.pass(ms(1_200));
    assert_eq!(asked(&mut talk, conn), [1]);
}

#[test]
fn c10_a_lost_link_and_a_closed_consumer_end_it() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(timed());
    talk.deliver(conn, id, 1, "x");
    take(&mut talk, id);
    talk.pass(secs(2));
    talk.cut(conn);
    let conn = talk.come_back();
    let open = hear!(talk, conn, Subscribe);
    talk.say(conn, success(open.request_id));
    hear!(talk, conn, Flow);
    talk.pass(secs(20));
    talk.quiet(conn);
    talk.deliver(conn, id, 1, "x");
    take(&mut talk, id);
    talk.client.close_consumer(id, talk.now);
    hear!(talk, conn, CloseConsumer);
    talk.pass(secs(9));
    talk.quiet(conn);
}

#[test]
fn c10_options_out_of_range_are_named_together() {
    let backoff = RedeliveryBackoff { min_delay: ms(0), max_delay: ms(1), multiplier: 1.0 };
    let config = ConsumerConfig {
        ack_timeout: ms(999),
        ack_timeout_tick_time: ms(99),
        ack_timeout_redelivery_backoff: Some(backoff),
        negative_ack_redelivery_delay_precision: 21,
        ..shared()
    };
    let error = config.validate().expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
    for name in [
        "ack_timeout is",
        "ack_timeout_tick_time",
        "ack_timeout_redelivery_backoff",
        "negative_ack_redelivery_delay_precision",
    ] {
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn c16_on_one_consumer_a_negative_ack_brings_all_again_in_order() {
    for subscription_type in [SubscriptionType::Exclusive, SubscriptionType::Failover] {
        let mut talk = Talk::new();
        let config = ConsumerConfig { subscription_type, ..ungrouped() };
        let (id, conn) = talk.consumer_with(config);
        for n in 0..6 {
            talk.deliver(conn, id, n, "x");
        }
        for _ in 0..4 {
            talk.client.take(id).expect("open").expect("waiting").expect("a message");
            talk.client.delivered(id, 1);
        }
        ack(&mut talk, conn, id, at(0), false);
        for n in [1, 3] {
            talk.client.negative_acknowledge(id, at(n), talk.now).expect("open");
        }
        talk.pass(secs(30));
        hear!(talk, conn, Ping);
        talk.say(conn, CommandPong::default());
        talk.pass(secs(31));
        hear!(talk, conn, Ping);
        let again = hear!(talk, conn, RedeliverUnacknowledgedMessages);
        assert_eq!((again.message_ids.len(), again.consumer_epoch), (0, Some(1)));
        // What waited is gone: it comes after those before it.
        assert!(take(&mut talk, id).is_empty());
        talk.deliver(conn, id, 1, "again");
        assert_eq!(take(&mut talk, id), [at(1)]);
        talk.quiet(conn);
    }
}

#[test]
fn c09_the_rest_of_a_batch_in_the_queue_comes_with_it_and_not_before() {
    let mut talk = Talk::new();
    let config =
        ConsumerConfig { negative_ack_redelivery_delay: secs(1), receiver_queue_size: 4, ..shared() };
    let (id, conn) = talk.consumer_with(config);
    talk.say_bytes(conn, delivery(id, 1, &[], &batch(&[Some("a"), Some("b"), Some("c")])));
    talk.deliver(conn, id, 2, "x");
    talk.pump();
    let first = talk.client.take(id).expect("open").expect("waiting").expect("a message");
    talk.client.delivered(id, 1);
    talk.client.negative_acknowledge(id, first.id(), talk.now).expect("open");
    talk.pass(ms(1_100));
    assert_eq!(asked(&mut talk, conn), [1]);
    // Its permits go back: three of the batch.
    assert_eq!(hear!(talk, conn, Flow).message_permits, 3);
    assert_eq!(take(&mut talk, id), [at(2)]);
}

#[test]
fn c35_a_million_negative_acks_keep_their_time() {
    let mut talk = Talk::new();
    let backoff = RedeliveryBackoff { min_delay: secs(1), max_delay: secs(20), multiplier: 2.0 };
    let config = ConsumerConfig { negative_ack_redelivery_backoff: Some(backoff), ..shared() };
    let (id, conn) = talk.consumer_with(config);
    let messages = (0..1_000_000).map(|n| (at(n), (n % 3) as u32));
    talk.client.negative_acknowledge_all(id, messages, talk.now).expect("open");
    let mut early = secs(0);
    for (delay, remainder) in [(1, 0), (2, 1), (4, 2)] {
        talk.pass(secs(delay) - ms(1) - early);
        talk.quiet(conn);
        // A request names a thousand, ten go out in a millisecond.
        talk.pass(ms(60));
        early = secs(delay) + ms(59);
        let mut named = Vec::new();
        while let Some((Command::RedeliverUnacknowledgedMessages(asked), _)) = talk.heard(conn) {
            assert!(asked.message_ids.len() <= 1000);
            named.extend(asked.message_ids.iter().map(|id| id.entry_id));
        }
        assert!(named.iter().copied().eq((0..1_000_000).filter(|n| n % 3 == remainder)), "{}", named.len());
    }
}

#[test]
fn c09_by_default_a_delay_is_kept_to_256_ms_and_never_cut_short() {
    let mut talk = Talk::new();
    let default = ConsumerConfig::new(topic(), "s").negative_ack_redelivery_delay_precision;
    let config = ConsumerConfig { negative_ack_redelivery_delay_precision: default, ..shared() };
    let config = ConsumerConfig { negative_ack_redelivery_delay: secs(1), ..config };
    let (id, conn) = talk.consumer_with(config);
    for n in 0..5 {
        talk.client.negative_acknowledge(id, at(n), talk.now).expect("open");
        talk.pass(ms(10));
    }
    talk.pass(ms(949));
    talk.quiet(conn);
    talk.pass(ms(257));
    // What is due close together is asked for together.
    assert_eq!(asked(&mut talk, conn), [0, 1, 2, 3, 4]);
}

#[test]
fn c05_an_id_of_another_partition_is_refused() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(timed());
    let foreign = MessageId { partition: 2, ..at(1) };
    let now = talk.now;
    assert_eq!(kind(talk.client.acknowledge(id, foreign, false, now)), ErrorKind::InvalidMessageId);
    assert_eq!(kind(talk.client.negative_acknowledge(id, foreign, now)), ErrorKind::InvalidMessageId);
    let list = talk.client.acknowledge_all(id, &[at(1), foreign], false, now);
    assert_eq!(kind(list), ErrorKind::InvalidMessageId);
    let op = talk.client.acknowledge_confirmed(id, &[foreign], false, now);
    assert_eq!(kind(talk.ended(op)), ErrorKind::InvalidMessageId);
    talk.quiet(conn);
    // Twice, or never delivered: the broker's word counts.
    for _ in 0..2 {
        ack(&mut talk, conn, id, at(99), false);
    }
}
