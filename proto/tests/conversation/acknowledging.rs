//! Acknowledgements that go out together, by bit sets, and with receipts.

use pulsewire_proto::wire::*;
use pulsewire_proto::{
    ConnId, ConsumerConfig, ConsumerId, ErrorKind, MessageId, OpId, Output, RedeliveryBackoff,
    SubscriptionType,
};

use crate::talk::*;

fn at(entry_id: u64) -> MessageId {
    MessageId { ledger_id: 3, entry_id, partition: -1, batch_index: -1, batch_size: 0, first_chunk: None }
}

fn of(entry_id: u64, batch_index: i32, batch_size: i32) -> MessageId {
    MessageId { batch_index, batch_size, ..at(entry_id) }
}

fn grouped() -> ConsumerConfig {
    ConsumerConfig::new(topic(), "s")
}

fn by_index() -> ConsumerConfig {
    ConsumerConfig { batch_index_acknowledgment: true, ..grouped() }
}

fn ack(talk: &mut Talk, id: ConsumerId, message: MessageId) {
    talk.client.acknowledge(id, message, false, talk.now).expect("open");
}

fn confirmed(talk: &mut Talk, id: ConsumerId, messages: &[MessageId]) -> OpId {
    talk.client.acknowledge_confirmed(id, messages, false, talk.now)
}

/// Entries and open bits of the next ACK.
fn heard(talk: &mut Talk, conn: ConnId) -> (AckType, Vec<(u64, Vec<i64>)>) {
    let ack = hear!(talk, conn, Ack);
    (ack.ack_type, ack.message_id.into_iter().map(|id| (id.entry_id, id.ack_set)).collect())
}

fn answer(talk: &mut Talk, conn: ConnId, request_id: Option<u64>, error: Option<ServerError>) {
    let consumer_id = 0;
    talk.say(conn, CommandAckResponse { consumer_id, request_id, error, ..Default::default() });
}

#[test]
fn c07_acknowledgements_go_out_together_after_the_group_time() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(grouped());
    for n in [3, 1, 2, 1] {
        ack(&mut talk, id, at(n));
        talk.pass(ms(20));
    }
    talk.quiet(conn);
    talk.pass(ms(20));
    let entries = [1, 2, 3].map(|n| (n, vec![])).to_vec();
    assert_eq!(heard(&mut talk, conn), (AckType::INDIVIDUAL, entries));
    talk.pass(secs(1));
    talk.quiet(conn);
}

#[test]
fn c07_a_full_group_goes_out_at_once() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(ConsumerConfig { max_acknowledgment_group_size: 3, ..grouped() });
    for n in 0..7 {
        ack(&mut talk, id, at(n));
    }
    for _ in 0..2 {
        assert_eq!(heard(&mut talk, conn).1.len(), 3);
    }
    talk.quiet(conn);
    talk.pass(ms(100));
    assert_eq!(heard(&mut talk, conn).1, [(6, vec![])]);
}

#[test]
fn c07_a_cumulative_acknowledgement_covers_what_is_before_it() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(grouped());
    ack(&mut talk, id, at(2));
    for n in [5, 7, 6] {
        talk.client.acknowledge(id, at(n), true, talk.now).expect("open");
    }
    ack(&mut talk, id, at(9));
    talk.pass(ms(100));
    assert_eq!(heard(&mut talk, conn), (AckType::CUMULATIVE, vec![(7, vec![])]));
    assert_eq!(heard(&mut talk, conn), (AckType::INDIVIDUAL, vec![(9, vec![])]));
}

#[test]
fn c07_close_unsubscribe_and_seek_send_what_is_pending_first() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(grouped());
    ack(&mut talk, id, at(1));
    talk.client.seek(id, pulsewire_proto::SeekTarget::PublishTime(1), talk.now);
    assert_eq!(heard(&mut talk, conn).1, [(1, vec![])]);
    hear!(talk, conn, Seek);
    ack(&mut talk, id, at(2));
    talk.client.unsubscribe(id, false, talk.now);
    assert_eq!(heard(&mut talk, conn).1, [(2, vec![])]);
    hear!(talk, conn, Unsubscribe);
    ack(&mut talk, id, at(3));
    talk.client.close_consumer(id, talk.now);
    assert_eq!(heard(&mut talk, conn).1, [(3, vec![])]);
    hear!(talk, conn, CloseConsumer);
}

#[test]
fn c07_what_was_acknowledged_without_a_link_goes_out_before_the_first_flow() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(by_index());
    ack(&mut talk, id, at(1));
    ack(&mut talk, id, of(3, 0, 2));
    talk.cut(conn);
    ack(&mut talk, id, at(2));
    let conn = talk.come_back();
    let open = hear!(talk, conn, Subscribe);
    talk.say(conn, success(open.request_id));
    // The bits of the third are forgotten with the link: it comes again whole.
    assert_eq!(heard(&mut talk, conn).1, [(1, vec![]), (2, vec![])]);
    hear!(talk, conn, Flow);
    talk.pass(secs(1));
    talk.quiet(conn);
}

#[test]
fn c08_bit_sets_are_merged_per_entry_and_none_once_it_is_whole() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(by_index());
    for index in [0, 2, 64] {
        ack(&mut talk, id, of(7, index, 66));
    }
    for index in [1, 0] {
        ack(&mut talk, id, of(8, index, 2));
    }
    talk.pass(ms(100));
    let bits = vec![!0b101, 0b10];
    assert_eq!(heard(&mut talk, conn), (AckType::INDIVIDUAL, vec![(7, bits), (8, vec![])]));
}

#[test]
fn c08_a_cumulative_bit_set_names_what_is_open_after_it() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(by_index());
    talk.client.acknowledge(id, of(7, 1, 4), true, talk.now).expect("open");
    talk.pass(ms(100));
    assert_eq!(heard(&mut talk, conn), (AckType::CUMULATIVE, vec![(7, vec![0b1100])]));
    talk.client.acknowledge(id, of(7, 2, 4), true, talk.now).expect("open");
    ack(&mut talk, id, of(7, 3, 4));
    talk.pass(ms(100));
    assert_eq!(heard(&mut talk, conn), (AckType::CUMULATIVE, vec![(6, vec![])]));
    assert_eq!(heard(&mut talk, conn), (AckType::INDIVIDUAL, vec![(7, vec![])]));
}

#[test]
fn c08_the_last_open_bits_may_be_those_that_a_cumulative_ack_covers() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(grouped());
    ack(&mut talk, id, of(7, 2, 3));
    talk.client.acknowledge(id, of(7, 1, 3), true, talk.now).expect("open");
    talk.pass(ms(100));
    assert_eq!(heard(&mut talk, conn), (AckType::CUMULATIVE, vec![(7, vec![])]));
}

#[test]
fn c08_no_ack_frame_nears_the_limit() {
    let mut talk = Talk::new();
    let config = ConsumerConfig { max_acknowledgment_group_size: 1_000_000, ..by_index() };
    let (id, conn) = talk.consumer_with(config);
    for n in 0..3000 {
        ack(&mut talk, id, of(n, 1, 10_000));
    }
    talk.pass(ms(100));
    let mut entries = 0;
    while let Some((Command::Ack(ack), frame)) = talk.heard(conn) {
        assert!(frame.command.len() < 64 * 1024, "{}", frame.command.len());
        entries += ack.message_id.len();
    }
    assert_eq!(entries, 3000);
}

#[test]
fn c09_a_list_comes_again_after_the_delay_that_each_count_gives() {
    let mut talk = Talk::new();
    let backoff = RedeliveryBackoff { min_delay: ms(100), max_delay: ms(350), multiplier: 2.0 };
    let config = ConsumerConfig {
        negative_ack_redelivery_backoff: Some(backoff),
        negative_ack_redelivery_delay_precision: 3,
        subscription_type: SubscriptionType::Shared,
        ..grouped()
    };
    let (id, conn) = talk.consumer_with(config);
    let messages = [(at(1), 0), (at(2), 1), (at(3), 2), (at(4), u32::MAX), (at(5), 0)];
    talk.client.negative_acknowledge_all(id, messages, talk.now).expect("open");
    talk.client.negative_acknowledge(id, at(6), talk.now).expect("open");
    for (delay, expected) in [(110, vec![1, 5, 6]), (100, vec![2]), (150, vec![3, 4])] {
        talk.pass(ms(delay));
        let asked = hear!(talk, conn, RedeliverUnacknowledgedMessages).message_ids;
        assert_eq!(asked.iter().map(|id| id.entry_id).collect::<Vec<_>>(), expected);
    }
    talk.pass(secs(1));
    talk.quiet(conn);
}

#[test]
fn c09_a_backoff_out_of_range_is_named() {
    for (min, max, multiplier) in [(0, 5, 2.0), (6, 5, 2.0), (1, 5, 0.5), (1, 5, f64::NAN)] {
        let backoff = RedeliveryBackoff { min_delay: ms(min), max_delay: ms(max), multiplier };
        let config = ConsumerConfig { negative_ack_redelivery_backoff: Some(backoff), ..grouped() };
        assert_eq!(kind(config.validate()), ErrorKind::InvalidOption);
    }
}

#[test]
fn c06_a_receipt_confirms_or_refuses() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(grouped());
    ack(&mut talk, id, at(1));
    let (first, second) = (confirmed(&mut talk, id, &[at(2), at(3)]), confirmed(&mut talk, id, &[at(4)]));
    talk.quiet(conn);
    talk.pass(ms(100));
    let said = hear!(talk, conn, Ack);
    assert_eq!(said.message_id.len(), 4);
    assert_eq!(talk.ended_yet(first), None);
    answer(&mut talk, conn, said.request_id, None);
    assert_eq!((talk.ended(first), talk.ended(second)), (Ok(Output::Done), Ok(Output::Done)));
    let refused = confirmed(&mut talk, id, &[at(5)]);
    talk.pass(ms(100));
    let said = hear!(talk, conn, Ack);
    answer(&mut talk, conn, said.request_id, Some(ServerError::PERSISTENCE_ERROR));
    assert_eq!(kind(talk.ended(refused)), ErrorKind::Broker(ServerError::PERSISTENCE_ERROR));
    // Nobody waits for the next.
    ack(&mut talk, id, at(6));
    talk.pass(ms(100));
    assert_eq!(hear!(talk, conn, Ack).request_id, None);
}

#[test]
fn c06_a_part_of_a_batch_is_nothing_to_wait_for() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(grouped());
    let op = confirmed(&mut talk, id, &[of(7, 0, 2)]);
    assert_eq!(talk.ended(op), Ok(Output::Done));
    talk.quiet(conn);
}

#[test]
fn c06_a_receipt_has_a_deadline_and_ends_with_the_link_and_the_consumer() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(grouped());
    let op = confirmed(&mut talk, id, &[at(1)]);
    talk.pass(ms(100));
    hear!(talk, conn, Ack);
    talk.pass(secs(29));
    assert_eq!(talk.ended_yet(op), None);
    talk.pass(secs(1));
    assert_eq!(kind(talk.ended(op)), ErrorKind::Timeout);
    let lost = confirmed(&mut talk, id, &[at(2)]);
    talk.pass(ms(100));
    talk.cut(conn);
    assert_eq!(kind(talk.ended(lost)), ErrorKind::Disconnected);
    let closed = confirmed(&mut talk, id, &[at(3)]);
    talk.client.close_consumer(id, talk.now);
    assert_eq!(kind(talk.ended(closed)), ErrorKind::AlreadyClosed);
    let late = confirmed(&mut talk, id, &[at(4)]);
    assert_eq!(kind(talk.ended(late)), ErrorKind::AlreadyClosed);
}

fn receipted() -> ConsumerConfig {
    ConsumerConfig { ack_receipt_enabled: true, subscription_type: SubscriptionType::Failover, ..grouped() }
}

#[test]
fn c06_what_the_broker_does_not_confirm_is_said_again() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(receipted());
    talk.client.acknowledge(id, at(3), true, talk.now).expect("open");
    ack(&mut talk, id, at(5));
    talk.pass(ms(100));
    let (first, second) = (hear!(talk, conn, Ack), hear!(talk, conn, Ack));
    answer(&mut talk, conn, first.request_id, None);
    talk.pass(secs(29));
    talk.quiet(conn);
    // Dropped around an unload: no answer comes.
    talk.pass(ms(1_100));
    hear!(talk, conn, Ping);
    assert_eq!(heard(&mut talk, conn), (AckType::CUMULATIVE, vec![(3, vec![])]));
    let again = hear!(talk, conn, Ack);
    assert_eq!(again.message_id, second.message_id);
    // The answer that comes late does nothing; one that refuses is the last word.
    answer(&mut talk, conn, second.request_id, None);
    answer(&mut talk, conn, again.request_id, Some(ServerError::CONSUMER_NOT_FOUND));
    talk.say(conn, CommandPong::default());
    talk.pass(secs(1));
    talk.quiet(conn);
}

#[test]
fn c06_unconfirmed_acks_go_out_on_the_next_link_before_its_flow() {
    for group_time in [ms(100), ms(0)] {
        let mut talk = Talk::new();
        let config = ConsumerConfig { acknowledgment_group_time: group_time, ..receipted() };
        let (id, conn) = talk.consumer_with(config);
        ack(&mut talk, id, at(5));
        ack(&mut talk, id, of(6, 0, 2));
        talk.pass(ms(100));
        assert_eq!(heard(&mut talk, conn).1, [(5, vec![])]);
        talk.cut(conn);
        let conn = talk.come_back();
        let open = hear!(talk, conn, Subscribe);
        talk.say(conn, success(open.request_id));
        let said = hear!(talk, conn, Ack);
        assert_eq!(said.message_id.iter().map(|id| id.entry_id).collect::<Vec<_>>(), [5]);
        hear!(talk, conn, Flow);
        answer(&mut talk, conn, said.request_id, None);
        // What was confirmed is not said again, nor what a seek has made void.
        ack(&mut talk, id, at(7));
        talk.pass(ms(100));
        hear!(talk, conn, Ack);
        talk.client.seek(id, pulsewire_proto::SeekTarget::PublishTime(1), talk.now);
        let seek = hear!(talk, conn, Seek);
        talk.say(conn, success(seek.request_id));
        talk.pass(secs(31));
        while let Some((command, _)) = talk.heard(conn) {
            assert!(!matches!(command, Command::Ack(_)), "{command:?}");
        }
    }
}

#[test]
fn c05_properties_go_with_their_acknowledgement_alone() {
    let mut talk = Talk::new();
    let (id, conn) = talk.consumer_with(grouped());
    ack(&mut talk, id, at(1));
    let properties = [("ledger".to_owned(), 7), ("b".to_owned(), u64::MAX)];
    talk.client.acknowledge_with_properties(id, &[at(2)], true, &properties, talk.now).expect("open");
    ack(&mut talk, id, at(3));
    talk.pass(ms(100));
    let said = [hear!(talk, conn, Ack), hear!(talk, conn, Ack), hear!(talk, conn, Ack)];
    assert_eq!(said.each_ref().map(|ack| ack.properties.len()), [0, 2, 0]);
    assert_eq!(said.each_ref().map(|ack| ack.message_id[0].entry_id), [1, 2, 3]);
    assert_eq!((said[1].properties[0].key.as_str(), said[1].properties[0].value), ("ledger", 7));
    assert_eq!(said[1].ack_type, AckType::CUMULATIVE);
}

#[test]
fn c08_a_lost_tracker_entry_never_acks_the_batch() {
    for cumulative in [false, true] {
        let mut talk = Talk::new();
        let (id, conn) = talk.consumer_with(ungrouped());
        ack(&mut talk, id, of(7, 0, 3));
        ack(&mut talk, id, of(7, 1, 3));
        talk.quiet(conn);
        // What was acknowledged of it is forgotten with the link, and the whole batch comes again.
        talk.cut(conn);
        let conn = talk.come_back();
        let open = hear!(talk, conn, Subscribe);
        talk.say(conn, success(open.request_id));
        hear!(talk, conn, Flow);
        if cumulative {
            talk.client.acknowledge(id, of(7, 1, 3), true, talk.now).expect("open");
            assert_eq!(heard(&mut talk, conn), (AckType::CUMULATIVE, vec![(6, vec![])]));
        } else {
            ack(&mut talk, id, of(7, 2, 3));
            talk.quiet(conn);
            ack(&mut talk, id, of(7, 0, 3));
        }
        for index in [1, 2] {
            ack(&mut talk, id, of(7, index, 3));
        }
        assert_eq!(heard(&mut talk, conn), (AckType::INDIVIDUAL, vec![(7, vec![])]));
    }
}
