//! Transactions: what is acknowledged in them, and what they leave behind.

use pulsewire_proto::wire::*;

use super::transactions::*;
use super::{close_consumer, scripts};
use crate::common::{batch_of, id, key, producer_on, subscribe};

scripts! {
    fn up_to_a_message_of_a_batch_in_a_transaction(s) {
        let topic = s.topic();
        let tc = attached(s);
        s.replace(r"\b\d+:(\d+)", "LEDGER:$1");
        let a = both(s, &topic, SubType::EXCLUSIVE);
        plain(s, a, 0, "m0");
        let batch = s.publish(a, 1, 1, batch_of(4), "x");
        s.hear_all(a);
        let txn = begin(s, tc, 60_000);
        s.ask_amid(tc, with_sub(txn, &topic, "s"));
        let up_to = |id: &MessageIdData| ack(1, AckType::CUMULATIVE, Some(txn), &[id]);
        s.ask_amid(a, up_to(&bits(&batch, 0b1100, 4)));
        s.ask_amid(a, up_to(&bits(&batch, 0b1110, 4)));
        s.ask_amid(a, up_to(&bits(&batch, 0b1000, 4)));
        s.ask_amid(tc, end(txn, COMMIT));
        s.ask_amid(a, last(1));
        s.say(a, again(1));
        s.hear_all(a);
    }

    fn acknowledgements_survive_their_consumer(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let tc = attached(s);
        let a = both(s, &topic, SubType::SHARED);
        let ids: Vec<_> = (0..4).map(|n| plain(s, a, n, &format!("m{n}"))).collect();
        s.hear_all(a);
        let txn = begin(s, tc, 60_000);
        s.ask_amid(tc, with_sub(txn, &topic, "s"));
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(txn), &[&ids[0], &ids[2]]));
        s.leave(a);
        let b = both(s, &topic, SubType::SHARED);
        s.hear_all(b);
        s.order("PUT", &format!("persistent/public/default/{unique}/unload"), "");
        s.hear_all(b);
        s.find(b, &topic);
        s.ask_amid(b, subscribe(1, &topic, "s", SubType::SHARED));
        s.flow(b, 1, 100);
        s.hear_long(b);
        s.ask_amid(tc, end(txn, ABORT));
        s.hear_long(b);
    }

    fn unloading_in_the_middle_of_a_transaction(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let tc = attached(s);
        let a = both(s, &topic, SubType::EXCLUSIVE);
        let (one, two) = (begin(s, tc, 60_000), begin(s, tc, 60_000));
        s.ask_amid(tc, with_topic(one, &topic));
        s.ask_amid(tc, with_topic(two, &topic));
        send(s, a, 0, one, MessageMetadata::default(), "one0");
        send(s, a, 1, two, MessageMetadata::default(), "two1");
        s.ask_amid(tc, end(one, ABORT));
        plain(s, a, 2, "m2");
        s.hear_all(a);
        s.order("PUT", &format!("persistent/public/default/{unique}/unload"), "");
        s.hear_all(a);
        s.find(a, &topic);
        s.ask_amid(a, producer_on(1, &topic));
        s.ask_amid(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.flow(a, 1, 100);
        s.hear_long(a);
        s.ask_amid(a, last(1));
        send(s, a, 3, two, MessageMetadata::default(), "two3");
        s.ask_amid(tc, end(two, COMMIT));
        s.hear_long(a);
    }

    fn seeking_past_an_open_transaction(s) {
        let topic = s.topic();
        let tc = attached(s);
        let a = both(s, &topic, SubType::EXCLUSIVE);
        let first = plain(s, a, 0, "m0");
        let txn = begin(s, tc, 60_000);
        s.ask_amid(tc, with_topic(txn, &topic));
        s.ask_amid(tc, with_sub(txn, &topic, "s"));
        let within = send(s, a, 1, txn, MessageMetadata::default(), "t1");
        plain(s, a, 2, "m2");
        s.hear_all(a);
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(txn), &[&first]));
        for target in [first, within, id(-1, -1), id(i64::MAX, i64::MAX)] {
            s.ask_amid(a, CommandSeek { consumer_id: 1, request_id: 70, message_id: Some(target), message_publish_time: None });
            s.hear_all(a);
            s.ask_amid(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
            s.flow(a, 1, 100);
            s.hear_all(a);
        }
        s.ask_amid(tc, end(txn, COMMIT));
        s.hear_all(a);
        s.say(a, again(1));
        s.hear_all(a);
    }

    fn a_subscription_that_begins_at_the_end(s) {
        let topic = s.topic();
        let tc = attached(s);
        let a = s.client();
        s.ask_amid(a, producer_on(1, &topic));
        let txn = begin(s, tc, 60_000);
        s.ask_amid(tc, with_topic(txn, &topic));
        plain(s, a, 0, "m0");
        send(s, a, 1, txn, MessageMetadata::default(), "t1");
        s.ask_amid(a, CommandSubscribe { initial_position: Some(InitialPosition::LATEST), ..subscribe(1, &topic, "late", SubType::EXCLUSIVE) });
        s.ask_amid(a, CommandSubscribe { durable: Some(false), ..subscribe(2, &topic, "reader", SubType::EXCLUSIVE) });
        s.flow(a, 1, 10);
        s.flow(a, 2, 10);
        plain(s, a, 2, "m2");
        s.ask_amid(a, last(1));
        s.ask_amid(a, last(2));
        s.ask_amid(tc, end(txn, COMMIT));
        s.hear_in_any_order(a);
        s.ask_amid(a, last(1));
    }

    fn compaction_stops_at_an_open_transaction(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let tc = attached(s);
        let a = s.client();
        s.ask_amid(a, producer_on(1, &topic));
        let (one, two) = (begin(s, tc, 60_000), begin(s, tc, 60_000));
        s.ask_amid(tc, with_topic(one, &topic));
        s.ask_amid(tc, with_topic(two, &topic));
        s.publish(a, 1, 0, key("a"), "a0");
        s.publish(a, 1, 1, key("b"), "b1");
        send(s, a, 2, one, key("a"), "a2");
        s.ask_amid(tc, end(one, ABORT));
        s.publish(a, 1, 3, key("b"), "b3");
        send(s, a, 4, two, key("b"), "b4");
        s.publish(a, 1, 5, key("b"), "b5");
        s.compact(&format!("persistent/public/default/{unique}"));
        let read = |id| CommandSubscribe {
            read_compacted: Some(true),
            durable: Some(false),
            start_message_id: Some(crate::common::id(-1, -1)),
            ..subscribe(id, &topic, &format!("r{id}"), SubType::EXCLUSIVE)
        };
        s.ask_amid(a, read(1));
        s.flow(a, 1, 100);
        s.hear_all(a);
        s.ask_amid(a, last(1));
        s.ask_amid(tc, end(two, COMMIT));
        s.hear_all(a);
        s.compact(&format!("persistent/public/default/{unique}"));
        s.ask_amid(a, read(2));
        s.flow(a, 2, 100);
        s.hear_all(a);
        s.ask_amid(a, last(2));
    }

    fn topics_and_subscriptions_go_before_their_transaction_ends(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let tc = attached(s);
        let a = both(s, &topic, SubType::SHARED);
        let first = plain(s, a, 0, "m0");
        s.hear_all(a);
        let (one, two) = (begin(s, tc, 60_000), begin(s, tc, 60_000));
        for txn in [one, two] {
            s.ask_amid(tc, with_topic(txn, &topic));
            s.ask_amid(tc, with_sub(txn, &topic, "s"));
        }
        send(s, a, 1, one, MessageMetadata::default(), "t1");
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(one), &[&first]));
        s.ask_amid(a, CommandUnsubscribe { consumer_id: 1, request_id: 41, force: None });
        s.ask_amid(tc, end(one, COMMIT));
        s.order("DELETE", &format!("persistent/public/default/{unique}?force=true"), "");
        s.hear_all(a);
        s.ask_amid(tc, end(two, COMMIT));
    }

    fn a_topic_without_storage_knows_no_transactions(s) {
        let topic = s.topic().replace("persistent://", "non-persistent://");
        let tc = attached_to(s, 9);
        let a = both(s, &topic, SubType::SHARED);
        let txn = begin_at(s, tc, 9, 60_000);
        s.ask_amid(tc, with_topic(txn, &topic));
        s.ask_amid(tc, with_sub(txn, &topic, "s"));
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(txn), &[&id(0, 0)]));
        send(s, a, 0, txn, MessageMetadata::default(), "t0");
        s.hear_all(a);
        s.ask_amid(tc, end(txn, ABORT));
    }

    fn ends_on_topics_and_subscriptions(s) {
        let topic = s.topic();
        let tc = attached(s);
        let a = both(s, &topic, SubType::SHARED);
        let first = plain(s, a, 0, "m0");
        s.hear_all(a);
        let txn = begin(s, tc, 60_000);
        send(s, a, 1, txn, MessageMetadata::default(), "t1");
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(txn), &[&first]));
        let on_topic = |topic: &str, action| CommandEndTxnOnPartition {
            request_id: 11,
            txnid_most_bits: Some(txn.0),
            txnid_least_bits: Some(txn.1),
            topic: Some(topic.to_owned()),
            txn_action: Some(action),
            txnid_least_bits_of_low_watermark: Some(0),
        };
        let on_sub = |topic: &str, sub: &str, action| CommandEndTxnOnSubscription {
            request_id: 12,
            txnid_most_bits: Some(txn.0),
            txnid_least_bits: Some(txn.1),
            subscription: Some(Subscription { topic: topic.to_owned(), subscription: sub.to_owned() }),
            txn_action: Some(action),
            txnid_least_bits_of_low_watermark: Some(0),
        };
        s.ask_amid(a, on_topic(&format!("{topic}-not-there"), COMMIT));
        s.ask_amid(a, on_sub(&format!("{topic}-not-there"), "s", COMMIT));
        s.ask_amid(a, on_sub(&topic, "not-there", COMMIT));
        s.ask_amid(a, on_sub(&topic, "s", ABORT));
        s.hear_all(a);
        s.say(a, on_topic(&topic, COMMIT));
        s.hear_in_any_order(a);
        s.ask_amid(a, on_topic(&topic, COMMIT));
        s.ask_amid(a, on_topic(&topic, ABORT));
        plain(s, a, 2, "m2");
        s.hear_all(a);
        s.ask_amid(tc, end(txn, ABORT));
    }

    fn messages_of_a_transaction_that_has_ended(s) {
        let topic = s.topic();
        let tc = attached(s);
        let a = both(s, &topic, SubType::EXCLUSIVE);
        let one = begin(s, tc, 60_000);
        s.ask_amid(tc, with_topic(one, &topic));
        send(s, a, 0, one, MessageMetadata::default(), "t0");
        s.ask_amid(tc, end(one, COMMIT));
        s.hear_all(a);
        send(s, a, 1, one, MessageMetadata::default(), "too late");
        plain(s, a, 2, "m2");
        s.hear_all(a);
        s.ask_amid(tc, end(one, ABORT));
        s.ask_amid(a, close_consumer(1));
    }

    fn duplicates_in_a_transaction(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let tc = attached(s);
        let a = s.client();
        s.order("PUT", &format!("persistent/public/default/{unique}"), "");
        s.order("POST", &format!("persistent/public/default/{unique}/deduplicationEnabled"), "true");
        s.pause(1000);
        s.ask_amid(a, CommandProducer { producer_name: Some("p".to_owned()), ..producer_on(1, &topic) });
        s.ask_amid(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.flow(a, 1, 100);
        let one = begin(s, tc, 60_000);
        s.ask_amid(tc, with_topic(one, &topic));
        send(s, a, 1, one, MessageMetadata::default(), "t1");
        send(s, a, 1, one, MessageMetadata::default(), "t1 again");
        s.ask_amid(tc, end(one, ABORT));
        s.send(a, 1, 1, MessageMetadata::default(), "m1 again");
        s.hear_all(a);
        s.send(a, 1, 2, MessageMetadata::default(), "m2");
        s.hear_in_any_order(a);
    }

    fn everything_up_to_a_message_is_aborted(s) {
        let topic = s.topic();
        let tc = attached(s);
        let a = both(s, &topic, SubType::EXCLUSIVE);
        let ids: Vec<_> = (0..4).map(|n| plain(s, a, n, &format!("m{n}"))).collect();
        s.hear_all(a);
        let (one, two) = (begin(s, tc, 60_000), begin(s, tc, 60_000));
        s.ask_amid(tc, with_sub(one, &topic, "s"));
        s.ask_amid(tc, with_sub(two, &topic, "s"));
        s.ask_amid(a, ack(1, AckType::CUMULATIVE, Some(one), &[&ids[1]]));
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, None, &[&ids[2]]));
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(two), &[&ids[3]]));
        s.ask_amid(tc, end(one, ABORT));
        s.hear_all(a);
        s.say(a, again(1));
        s.hear_all(a);
        s.ask_amid(tc, end(two, COMMIT));
        s.say(a, again(1));
        s.hear_all(a);
    }

    fn a_batch_is_acknowledged_in_part_in_a_transaction(s) {
        let topic = s.topic();
        let tc = attached(s);
        let a = both(s, &topic, SubType::SHARED);
        let batch = s.publish(a, 1, 0, batch_of(5), "x");
        s.hear_all(a);
        let txn = begin(s, tc, 60_000);
        s.ask_amid(tc, with_sub(txn, &topic, "s"));
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(txn), &[&bits(&batch, 0b11110, 5)]));
        s.say(a, CommandRedeliverUnacknowledgedMessages { message_ids: vec![batch.clone()], ..again(1) });
        s.hear_all(a);
        s.ask_amid(a, subscribe(2, &topic, "s", SubType::SHARED));
        s.flow(a, 2, 100);
        s.ask_amid(a, close_consumer(1));
        s.hear_all(a);
        s.ask_amid(a, close_consumer(2));
        s.ask_amid(a, subscribe(3, &topic, "s", SubType::SHARED));
        s.flow(a, 3, 100);
        s.hear_all(a);
        s.ask_amid(tc, end(txn, COMMIT));
        s.hear_all(a);
        s.say(a, again(3));
        s.hear_all(a);
    }

    fn a_batch_is_acknowledged_in_part_by_an_exclusive_consumer(s) {
        let topic = s.topic();
        let tc = attached(s);
        let a = both(s, &topic, SubType::EXCLUSIVE);
        let batch = s.publish(a, 1, 0, batch_of(5), "x");
        plain(s, a, 1, "m1");
        s.hear_all(a);
        let (one, two) = (begin(s, tc, 60_000), begin(s, tc, 60_000));
        s.ask_amid(tc, with_sub(one, &topic, "s"));
        s.ask_amid(tc, with_sub(two, &topic, "s"));
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(one), &[&bits(&batch, 0b11110, 5)]));
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, None, &[&bits(&batch, 0b11101, 5)]));
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(two), &[&bits(&batch, 0b11011, 5)]));
        s.say(a, again(1));
        s.hear_all(a);
        s.ask_amid(tc, end(one, ABORT));
        s.hear_all(a);
        s.ask_amid(tc, end(two, COMMIT));
        s.say(a, again(1));
        s.hear_all(a);
    }

    fn an_end_that_fails_stands(s) {
        let topic = s.topic();
        // They stand for ever at the real broker: not among those of the other scripts.
        let tc = attached_to(s, 9);
        s.replace(r"\(9,\d+\)", "(9,T)");
        let txn = begin_at(s, tc, 9, 60_000);
        s.ask_amid(tc, with_topic(txn, "not://a/topic"));
        s.ask_amid(tc, end(txn, ABORT));
        s.ask_amid(tc, end(txn, ABORT));
        s.ask_amid(tc, end(txn, COMMIT));
        s.ask_amid(tc, with_topic(txn, &topic));
        s.ask_amid(tc, with_sub(txn, &topic, "s"));
        let txn = begin_at(s, tc, 9, 60_000);
        s.ask_amid(tc, with_sub(txn, "not://a/topic", "s"));
        s.ask_amid(tc, end(txn, COMMIT));
        s.ask_amid(tc, end(txn, ABORT));
        s.ask_amid(tc, with_topic(txn, &topic));
    }

    fn transactions_by_admin_calls(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let tc = attached(s);
        s.replace(r"/0/\d+", "/0/TXN");
        s.replace(r"\b\d+:(-?\d+)", "LEDGER:$1");
        let a = both(s, &topic, SubType::EXCLUSIVE);
        let first = plain(s, a, 0, "m0");
        let (one, two) = (begin(s, tc, 60_000), begin(s, tc, 60_000));
        for txn in [one, two] {
            s.ask_amid(tc, with_topic(txn, &topic));
            s.ask_amid(tc, with_sub(txn, &topic, "s"));
        }
        send(s, a, 1, one, MessageMetadata::default(), "one1");
        send(s, a, 2, two, MessageMetadata::default(), "two2");
        s.ask_amid(a, ack(1, AckType::CUMULATIVE, Some(one), &[&first]));
        let of = |call: &str, rest: &str| format!("/admin/v3/transactions/{call}{rest}");
        let here = format!("/public/default/{unique}");
        let (one_id, two_id) = (format!("/0/{}", one.1), format!("/0/{}", two.1));
        let metadata = ["txnId", "status", "timeoutAt", "producedPartitions", "ackedPartitions"];
        s.look(&of("transactionMetadata", &one_id), &metadata);
        s.look(&of("transactionMetadata", &two_id), &metadata);
        s.inquire("GET", &of("transactionMetadata", "/0/99999999"), "");
        s.inquire("GET", &of("transactionMetadata", "/77/1"), "");
        s.inquire("GET", &of("transactionInBufferStats", &format!("{here}{one_id}")), "");
        s.inquire("GET", &of("transactionInBufferStats", &format!("{here}/0/99999999")), "");
        s.inquire("GET", &of("transactionInPendingAckStats", &format!("{here}/s{one_id}")), "");
        s.inquire("GET", &of("transactionInPendingAckStats", &format!("{here}/s{two_id}")), "");
        let buffer = ["state", "maxReadPosition", "ongoingTxnSize", "totalAbortedTransactions", "snapshotType"];
        s.look(&of("transactionBufferStats", &here), &buffer);
        s.inquire("GET", &of("transactionBufferStats", "/public/default/not-there"), "");
        s.look(&of("pendingAckStats", &format!("{here}/s")), &["state", "ongoingTxnSize"]);
        s.inquire("GET", &of("coordinatorStats", "?coordinatorId=99"), "");
        s.order("POST", &of("abortTransaction", &one_id), "");
        s.inquire("GET", &of("transactionInBufferStats", &format!("{here}{one_id}")), "");
        s.look(&of("transactionBufferStats", &here), &buffer);
        s.ask_amid(tc, end(one, COMMIT));
        s.ask_amid(tc, end(two, COMMIT));
        s.hear_all(a);
        s.look(&of("transactionBufferStats", &here), &buffer);
    }

    /// Transactions that no coordinator knows acknowledge what is there.
    fn acknowledged_by_nobodys_transactions(s) {
        s.replace(r"message:\d+:(\d+)", "message:LEDGER:$1");
        let topic = s.topic();
        let a = both(s, &topic, SubType::SHARED);
        let ids: Vec<_> = (0..3).map(|n| plain(s, a, n, &format!("m{n}"))).collect();
        let other = MessageIdData { ledger_id: 1, entry_id: 1, partition: Some(1), ..MessageIdData::default() };
        for txn in [(1, 1), (0, 9_999_999)] {
            s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(txn), &[&other]));
            s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(txn), &[&ids[0]]));
        }
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some((1, 1)), &[&ids[1], &other]));
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some((1, 1)), &[]));
    }
}
