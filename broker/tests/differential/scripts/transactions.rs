//! Transactions: coordinators, messages that wait for a commit, acknowledgements that do.

use pulsewire_proto::wire::*;

use super::scripts;
use crate::common::{batch_of, id, key, producer_on, subscribe};
use crate::side::{Side, Who};

pub(super) const ASSIGN: &str = "persistent://pulsar/system/transaction_coordinator_assign";

/// A transaction's id: most bits, least bits.
pub(super) type Txn = (u64, u64);

pub(super) const COMMIT: TxnAction = TxnAction::COMMIT;
pub(super) const ABORT: TxnAction = TxnAction::ABORT;

/// A client that is attached to the first coordinator.
pub(super) fn attached(s: &mut Side) -> Who {
    attached_to(s, 0)
}

pub(super) fn attached_to(s: &mut Side, coordinator: u64) -> Who {
    let a = s.client();
    attach_to(s, a, coordinator);
    a
}

/// Attaches a client to a coordinator, which may still be about to begin.
pub(super) fn attach_to(s: &mut Side, a: Who, coordinator: u64) {
    s.find(a, &format!("{ASSIGN}-partition-{coordinator}"));
    for _ in 0..50 {
        s.say(a, attach(coordinator));
        if matches!(s.quietly(a), Some(Command::TcClientConnectResponse(response)) if response.error.is_none())
        {
            return;
        }
        s.pause(200);
    }
    panic!("no coordinator");
}

pub(super) fn attach(coordinator: u64) -> CommandTcClientConnectRequest {
    CommandTcClientConnectRequest { request_id: 1, tc_id: coordinator, ..Default::default() }
}

pub(super) fn open(coordinator: u64, ttl: u64) -> CommandNewTxn {
    CommandNewTxn { request_id: 2, txn_ttl_millis: Some(ttl), tc_id: Some(coordinator), ..Default::default() }
}

/// A new transaction of the first coordinator.
pub(super) fn begin(s: &mut Side, who: Who, ttl: u64) -> Txn {
    begin_at(s, who, 0, ttl)
}

pub(super) fn begin_at(s: &mut Side, who: Who, coordinator: u64, ttl: u64) -> Txn {
    match s.ask_amid(who, open(coordinator, ttl)) {
        Some(Command::NewTxnResponse(response)) => {
            (response.txnid_most_bits.unwrap(), response.txnid_least_bits.unwrap())
        }
        other => panic!("no transaction: {other:?}"),
    }
}

pub(super) fn with_topic(txn: Txn, topic: &str) -> CommandAddPartitionToTxn {
    CommandAddPartitionToTxn {
        request_id: 3,
        txnid_most_bits: Some(txn.0),
        txnid_least_bits: Some(txn.1),
        partitions: vec![topic.to_owned()],
        ..Default::default()
    }
}

pub(super) fn with_sub(txn: Txn, topic: &str, sub: &str) -> CommandAddSubscriptionToTxn {
    CommandAddSubscriptionToTxn {
        request_id: 4,
        txnid_most_bits: Some(txn.0),
        txnid_least_bits: Some(txn.1),
        subscription: vec![Subscription { topic: topic.to_owned(), subscription: sub.to_owned() }],
        ..Default::default()
    }
}

pub(super) fn end(txn: Txn, action: TxnAction) -> CommandEndTxn {
    CommandEndTxn {
        request_id: 5,
        txnid_most_bits: Some(txn.0),
        txnid_least_bits: Some(txn.1),
        txn_action: Some(action),
        ..Default::default()
    }
}

/// Sends a message in a transaction and hears what becomes of it.
pub(super) fn send(
    s: &mut Side,
    who: Who,
    sequence: u64,
    txn: Txn,
    metadata: MessageMetadata,
    text: &str,
) -> MessageIdData {
    let metadata =
        MessageMetadata { txnid_most_bits: Some(txn.0), txnid_least_bits: Some(txn.1), ..metadata };
    let command = CommandSend {
        producer_id: 1,
        sequence_id: sequence,
        txnid_most_bits: Some(txn.0),
        txnid_least_bits: Some(txn.1),
        num_messages: metadata.num_messages_in_batch,
        ..CommandSend::default()
    };
    s.send_as(who, command, metadata, text);
    match s.hear_answer(who) {
        Some(Command::SendReceipt(receipt)) => receipt.message_id.unwrap(),
        _ => MessageIdData::default(),
    }
}

pub(super) fn plain(s: &mut Side, who: Who, sequence: u64, text: &str) -> MessageIdData {
    s.publish(who, 1, sequence, MessageMetadata::default(), text)
}

pub(super) fn ack(consumer: u64, kind: AckType, txn: Option<Txn>, ids: &[&MessageIdData]) -> CommandAck {
    CommandAck {
        consumer_id: consumer,
        ack_type: kind,
        message_id: ids.iter().map(|id| (*id).clone()).collect(),
        txnid_most_bits: txn.map(|txn| txn.0),
        txnid_least_bits: txn.map(|txn| txn.1),
        request_id: Some(77),
        ..CommandAck::default()
    }
}

pub(super) fn bits(id: &MessageIdData, set: i64, size: i32) -> MessageIdData {
    MessageIdData { ack_set: vec![set], batch_size: Some(size), ..id.clone() }
}

pub(super) fn again(consumer: u64) -> CommandRedeliverUnacknowledgedMessages {
    CommandRedeliverUnacknowledgedMessages { consumer_id: consumer, ..Default::default() }
}

pub(super) fn last(consumer: u64) -> CommandGetLastMessageId {
    CommandGetLastMessageId { consumer_id: consumer, request_id: 50 }
}

/// A client with a producer 1 and a consumer 1, which waits for messages.
pub(super) fn both(s: &mut Side, topic: &str, kind: SubType) -> Who {
    let a = s.client();
    s.ask_amid(a, producer_on(1, topic));
    s.ask_amid(a, subscribe(1, topic, "s", kind));
    s.flow(a, 1, 1000);
    a
}

scripts! {
    fn coordinators_are_found(s) {
        let a = attached(s);
        s.find(a, &format!("{ASSIGN}-partition-3"));
        s.say(a, attach(3));
        s.quietly(a);
        s.pause(1000);
        s.ask_amid(a, attach(3));
        s.ask_amid(a, attach(3));
        s.ask_amid(a, open(999, 1000));
        s.ask_amid(a, CommandNewTxn { request_id: 8, ..Default::default() });
        // A number that no coordinator has come to yet.
        let none = (999, 1 << 40);
        s.ask_amid(a, with_topic(none, "x"));
        s.ask_amid(a, with_sub(none, "x", "s"));
        s.ask_amid(a, end(none, COMMIT));
    }

    /// Topics of what the broker keeps of transactions are not for clients to make.
    fn names_of_its_own(s) {
        let a = s.client();
        let short = s.short();
        for (id, (namespace, local)) in (1..).zip([
            ("public/default", format!("{short}-s__transaction_pending_ack")),
            ("public/default", "__transaction_log_0".to_owned()),
            ("pulsar/system", format!("__transaction_log_{short}")),
            ("pulsar/system", format!("transaction_coordinator_assign-{short}")),
        ]) {
            let topic = format!("persistent://{namespace}/{local}");
            s.ask(a, producer_on(id, &topic));
            s.ask(a, subscribe(id, &topic, "s", SubType::SHARED));
            if local.contains(&short) {
                for path in ["", "/partitions"] {
                    let body = if path.is_empty() { "" } else { "2" };
                    s.inquire("PUT", &format!("persistent/{namespace}/{local}{path}"), body);
                }
            }
        }
        s.ask(a, producer_on(9, &format!("non-persistent://public/default/{short}-s__transaction_pending_ack")));
    }

    fn messages_of_a_transaction_come_with_its_commit(s) {
        let topic = s.topic();
        let tc = attached(s);
        let a = both(s, &topic, SubType::EXCLUSIVE);
        let txn = begin(s, tc, 60_000);
        s.ask_amid(tc, with_topic(txn, &topic));
        send(s, a, 0, txn, MessageMetadata::default(), "t0");
        send(s, a, 1, txn, batch_of(3), "t1");
        s.ask_amid(a, last(1));
        s.hear_all(a);
        s.ask_amid(tc, end(txn, COMMIT));
        s.hear_all(a);
        s.ask_amid(a, last(1));
        s.send(a, 1, 2, MessageMetadata::default(), "m2");
        s.hear_in_any_order(a);
    }

    fn messages_of_an_aborted_transaction_never_come(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let tc = attached(s);
        let a = both(s, &topic, SubType::SHARED);
        let txn = begin(s, tc, 60_000);
        s.ask_amid(tc, with_topic(txn, &topic));
        plain(s, a, 0, "m0");
        s.hear_all(a);
        send(s, a, 1, txn, MessageMetadata::default(), "t1");
        send(s, a, 2, txn, MessageMetadata::default(), "t2");
        plain(s, a, 3, "m3");
        s.hear_all(a);
        s.look(&format!("persistent/public/default/{unique}/stats"), &[
            "ongoingTxnCount", "abortedTxnCount", "committedTxnCount", "msgInCounter",
            "subscriptions.s.msgBacklog", "subscriptions.s.unackedMessages",
        ]);
        s.ask_amid(tc, end(txn, ABORT));
        s.hear_all(a);
        s.ask_amid(a, last(1));
        s.look(&format!("persistent/public/default/{unique}/stats"), &[
            "ongoingTxnCount", "abortedTxnCount", "committedTxnCount", "msgInCounter",
            "subscriptions.s.msgBacklog", "subscriptions.s.unackedMessages",
        ]);
        let b = s.client();
        s.ask_amid(b, subscribe(1, &topic, "late", SubType::FAILOVER));
        s.flow(b, 1, 1000);
        s.hear_long(b);
        s.look(&format!("persistent/public/default/{unique}/stats"), &["subscriptions.late.msgBacklog"]);
    }

    fn later_messages_wait_behind_an_open_transaction(s) {
        let topic = s.topic();
        let tc = attached(s);
        let a = both(s, &topic, SubType::KEY_SHARED);
        let (one, two) = (begin(s, tc, 60_000), begin(s, tc, 60_000));
        s.ask_amid(tc, with_topic(one, &topic));
        s.ask_amid(tc, with_topic(two, &topic));
        plain(s, a, 0, "m0");
        send(s, a, 1, one, key("a"), "one1");
        plain(s, a, 2, "m2");
        send(s, a, 3, two, key("b"), "two3");
        send(s, a, 4, one, key("a"), "one4");
        plain(s, a, 5, "m5");
        s.hear_all(a);
        s.ask_amid(a, last(1));
        s.ask_amid(tc, end(two, COMMIT));
        s.hear_all(a);
        s.ask_amid(a, last(1));
        s.ask_amid(tc, end(one, COMMIT));
        s.hear_all(a);
        s.ask_amid(a, last(1));
    }

    fn a_second_transaction_holds_what_follows_it(s) {
        let topic = s.topic();
        let tc = attached(s);
        let a = both(s, &topic, SubType::EXCLUSIVE);
        let (one, two) = (begin(s, tc, 60_000), begin(s, tc, 60_000));
        s.ask_amid(tc, with_topic(one, &topic));
        s.ask_amid(tc, with_topic(two, &topic));
        send(s, a, 0, one, MessageMetadata::default(), "one0");
        plain(s, a, 1, "m1");
        send(s, a, 2, two, MessageMetadata::default(), "two2");
        plain(s, a, 3, "m3");
        s.ask_amid(tc, end(one, ABORT));
        s.hear_all(a);
        s.ask_amid(a, last(1));
        s.ask_amid(tc, end(two, ABORT));
        s.hear_all(a);
    }

    fn transactions_that_are_not_open(s) {
        let topic = s.topic();
        let (tc, other) = (attached(s), attached(s));
        let a = s.client();
        s.ask_amid(a, producer_on(1, &topic));
        let txn = begin(s, tc, 60_000);
        s.ask_amid(other, with_topic(txn, &topic));
        s.ask_amid(other, with_sub(txn, &topic, "none"));
        s.ask_amid(other, end(txn, COMMIT));
        s.ask_amid(tc, end(txn, COMMIT));
        s.ask_amid(tc, end(txn, ABORT));
        s.ask_amid(tc, with_topic(txn, &topic));
        s.ask_amid(tc, with_sub(txn, &topic, "s"));
        let never = (0, 1 << 40);
        s.ask_amid(tc, with_topic(never, &topic));
        s.ask_amid(tc, with_sub(never, &topic, "s"));
        s.ask_amid(tc, end(never, COMMIT));
        s.ask_amid(tc, end(never, ABORT));
        let odd = begin(s, tc, 60_000);
        s.ask_amid(tc, CommandAddPartitionToTxn { partitions: Vec::new(), ..with_topic(odd, &topic) });
        s.ask_amid(tc, CommandAddSubscriptionToTxn { subscription: Vec::new(), ..with_sub(odd, &topic, "s") });
        s.ask_amid(tc, end(odd, ABORT));
        let empty = begin(s, tc, 60_000);
        s.ask_amid(tc, with_topic(empty, &topic));
        s.ask_amid(tc, with_topic(empty, &topic));
        s.ask_amid(tc, end(empty, ABORT));
        plain(s, a, 0, "after nothing");
        s.ask_amid(tc, CommandEndTxn { request_id: 9, ..Default::default() });
    }

    fn a_transaction_takes_too_long(s) {
        let topic = s.topic();
        // A coordinator of its own: others' transactions delay its clock.
        let tc = attached_to(s, 7);
        s.replace(r"\(7,\d+\)", "(7,T)");
        let a = both(s, &topic, SubType::SHARED);
        let first = plain(s, a, 0, "m0");
        s.hear(a);
        let txn = begin_at(s, tc, 7, 1000);
        s.ask_amid(tc, with_topic(txn, &topic));
        s.ask_amid(tc, with_sub(txn, &topic, "s"));
        send(s, a, 1, txn, MessageMetadata::default(), "t1");
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(txn), &[&first]));
        plain(s, a, 2, "m2");
        s.hear_within(a, std::time::Duration::from_secs(5));
        s.hear_in_any_order(a);
        s.ask_amid(tc, end(txn, COMMIT));
        s.ask_amid(tc, with_topic(txn, &topic));
        send(s, a, 3, txn, MessageMetadata::default(), "t3");
        s.ask_amid(a, last(1));
    }

    fn lifetimes_out_of_range(s) {
        let tc = attached_to(s, 8);
        s.replace(r"\(8,\d+\)", "(8,T)");
        let none = begin_at(s, tc, 8, 0);
        s.pause(2500);
        s.ask_amid(tc, end(none, COMMIT));
        // One beyond what the real broker's clock can add stops its clock.
        for ttl in [u64::MAX, 1 << 40] {
            let (most, least) = begin_at(s, tc, 8, ttl);
            s.pause(500);
            s.ask_amid(tc, end((most, least), COMMIT));
        }
        s.ask_amid(tc, CommandNewTxn { txn_ttl_millis: None, ..open(8, 0) });
    }

    fn acknowledgements_wait_for_the_commit(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let tc = attached(s);
        let a = both(s, &topic, SubType::SHARED);
        let ids: Vec<_> = (0..4).map(|n| plain(s, a, n, &format!("m{n}"))).collect();
        s.hear_all(a);
        let txn = begin(s, tc, 60_000);
        s.ask_amid(tc, with_sub(txn, &topic, "s"));
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(txn), &[&ids[0], &ids[2]]));
        s.look(&format!("persistent/public/default/{unique}/stats"), &[
            "subscriptions.s.msgBacklog", "subscriptions.s.unackedMessages",
        ]);
        s.say(a, again(1));
        s.hear_all(a);
        s.ask_amid(tc, end(txn, ABORT));
        s.hear_all(a);
        let txn = begin(s, tc, 60_000);
        s.ask_amid(tc, with_sub(txn, &topic, "s"));
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(txn), &[&ids[1], &ids[2]]));
        s.ask_amid(tc, end(txn, COMMIT));
        s.look(&format!("persistent/public/default/{unique}/stats"), &[
            "subscriptions.s.msgBacklog", "subscriptions.s.unackedMessages",
        ]);
        s.say(a, again(1));
        s.hear_all(a);
    }

    fn acknowledgements_of_an_exclusive_consumer(s) {
        let topic = s.topic();
        let tc = attached(s);
        let a = both(s, &topic, SubType::EXCLUSIVE);
        let ids: Vec<_> = (0..4).map(|n| plain(s, a, n, &format!("m{n}"))).collect();
        s.hear_all(a);
        let txn = begin(s, tc, 60_000);
        s.ask_amid(tc, with_sub(txn, &topic, "s"));
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(txn), &[&ids[1]]));
        s.say(a, again(1));
        s.hear_all(a);
        s.ask_amid(tc, end(txn, ABORT));
        s.hear_all(a);
        let txn = begin(s, tc, 60_000);
        s.ask_amid(tc, with_sub(txn, &topic, "s"));
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(txn), &[&ids[1]]));
        s.ask_amid(tc, end(txn, COMMIT));
        s.hear_all(a);
        s.say(a, again(1));
        s.hear_all(a);
    }

    fn everything_up_to_a_message_in_a_transaction(s) {
        let topic = s.topic();
        let tc = attached(s);
        let a = both(s, &topic, SubType::FAILOVER);
        let ids: Vec<_> = (0..5).map(|n| plain(s, a, n, &format!("m{n}"))).collect();
        s.hear_long(a);
        let (one, two) = (begin(s, tc, 60_000), begin(s, tc, 60_000));
        s.ask_amid(tc, with_sub(one, &topic, "s"));
        s.ask_amid(tc, with_sub(two, &topic, "s"));
        let up_to = |txn, id| ack(1, AckType::CUMULATIVE, Some(txn), &[id]);
        s.replace(r"\b\d+:(\d+)", "LEDGER:$1");
        s.ask_amid(a, up_to(one, &ids[1]));
        s.ask_amid(a, up_to(two, &ids[2]));
        s.ask_amid(a, up_to(one, &ids[1]));
        s.ask_amid(a, up_to(one, &ids[0]));
        s.ask_amid(a, up_to(one, &ids[2]));
        s.say(a, again(1));
        s.hear_all(a);
        s.ask_amid(a, last(1));
        s.ask_amid(tc, end(one, ABORT));
        s.hear_all(a);
        s.ask_amid(a, up_to(two, &ids[2]));
        s.ask_amid(a, last(1));
        s.ask_amid(tc, end(two, COMMIT));
        s.ask_amid(a, last(1));
        s.say(a, again(1));
        s.hear_all(a);
        let three = begin(s, tc, 60_000);
        s.ask_amid(a, up_to(three, &ids[2]));
        s.ask_amid(a, up_to(three, &ids[0]));
        s.ask_amid(a, ack(1, AckType::CUMULATIVE, Some(three), &[&ids[3], &ids[4]]));
        s.ask_amid(a, ack(1, AckType::CUMULATIVE, Some(three), &[]));
        s.ask_amid(tc, end(three, ABORT));
    }

    fn up_to_a_message_on_a_shared_subscription(s) {
        let topic = s.topic();
        let tc = attached(s);
        let a = both(s, &topic, SubType::SHARED);
        let first = plain(s, a, 0, "m0");
        s.hear_all(a);
        let txn = begin(s, tc, 60_000);
        s.ask_amid(a, ack(1, AckType::CUMULATIVE, Some(txn), &[&first]));
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(txn), &[]));
        s.ask_amid(a, ack(9, AckType::INDIVIDUAL, Some(txn), &[&first]));
        s.hear_all(a);
        s.ask_amid(tc, end(txn, ABORT));
    }

    fn two_transactions_want_the_same_message(s) {
        let topic = s.topic();
        let tc = attached(s);
        s.replace(r"\b\d+:(\d+)", "LEDGER:$1");
        let a = both(s, &topic, SubType::SHARED);
        let ids: Vec<_> = (0..4).map(|n| plain(s, a, n, &format!("m{n}"))).collect();
        s.hear_all(a);
        let (one, two) = (begin(s, tc, 60_000), begin(s, tc, 60_000));
        s.ask_amid(tc, with_sub(one, &topic, "s"));
        s.ask_amid(tc, with_sub(two, &topic, "s"));
        let single = |txn, ids: &[&MessageIdData]| ack(1, AckType::INDIVIDUAL, Some(txn), ids);
        s.ask_amid(a, single(one, &[&ids[0]]));
        s.ask_amid(a, single(two, &[&ids[0]]));
        s.ask_amid(a, single(one, &[&ids[0]]));
        s.ask_amid(a, single(two, &[&ids[1], &ids[0]]));
        s.ask_amid(a, single(one, &[&ids[1]]));
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, None, &[&ids[2]]));
        s.ask_amid(a, single(two, &[&ids[2]]));
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, None, &[&ids[1]]));
        s.ask_amid(a, single(two, &[&ids[1]]));
        s.ask_amid(tc, end(one, ABORT));
        s.hear_all(a);
        s.ask_amid(a, single(two, &[&ids[0]]));
        s.ask_amid(a, single(two, &[&id(ids[0].ledger_id as i64, 99)]));
        s.ask_amid(a, single(two, &[&id(-1, -1)]));
        s.ask_amid(tc, end(two, COMMIT));
        s.say(a, again(1));
        s.hear_all(a);
    }

    fn messages_of_a_batch_in_transactions(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let tc = attached(s);
        s.replace(r"\b\d+:(\d+)", "LEDGER:$1");
        let a = both(s, &topic, SubType::SHARED);
        let batch = s.publish(a, 1, 0, batch_of(5), "x");
        let other = s.publish(a, 1, 1, batch_of(2), "y");
        s.hear_all(a);
        let (one, two) = (begin(s, tc, 60_000), begin(s, tc, 60_000));
        s.ask_amid(tc, with_sub(one, &topic, "s"));
        s.ask_amid(tc, with_sub(two, &topic, "s"));
        let single = |txn, id: &MessageIdData| ack(1, AckType::INDIVIDUAL, Some(txn), &[id]);
        let stats = format!("persistent/public/default/{unique}/stats");
        let unacked = ["subscriptions.s.msgBacklog", "subscriptions.s.unackedMessages"];
        s.ask_amid(a, single(one, &bits(&batch, 0b11110, 5)));
        s.ask_amid(a, single(two, &bits(&batch, 0b11101, 5)));
        s.look(&stats, &unacked);
        s.ask_amid(a, single(two, &bits(&batch, 0b11110, 5)));
        s.ask_amid(a, single(two, &batch));
        s.say(a, again(1));
        s.hear_all(a);
        s.ask_amid(tc, end(one, COMMIT));
        s.look(&stats, &unacked);
        s.say(a, again(1));
        s.hear_all(a);
        s.ask_amid(tc, end(two, ABORT));
        s.hear_all(a);
        s.look(&stats, &unacked);
        let three = begin(s, tc, 60_000);
        s.ask_amid(tc, with_sub(three, &topic, "s"));
        s.ask_amid(a, single(three, &bits(&batch, 0b11110, 5)));
        s.ask_amid(a, single(three, &bits(&batch, 0b00001, 5)));
        s.ask_amid(a, single(three, &other));
        s.say(a, again(1));
        s.hear_all(a);
        s.ask_amid(tc, end(three, COMMIT));
        s.look(&stats, &unacked);
        s.say(a, again(1));
        s.hear_all(a);
    }
}
