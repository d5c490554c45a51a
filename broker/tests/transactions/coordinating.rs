//! Coordinators and the life of a transaction.

use super::*;

#[test]
fn there_are_as_many_coordinators_as_are_found() {
    let mut w = World::with(BrokerConfig { transaction_coordinators: 3, ..BrokerConfig::default() });
    let c = w.client();
    let ask = CommandPartitionedTopicMetadata { topic: ASSIGN.to_owned(), ..Default::default() };
    let Command::PartitionedTopicMetadataResponse(found) = w.ask(c, ask) else { panic!() };
    assert_eq!(found.partitions, Some(3));
    let attach = |tc_id| CommandTcClientConnectRequest { request_id: 1, tc_id, ..Default::default() };
    let open = |tc_id| CommandNewTxn { request_id: 2, tc_id: Some(tc_id), ..Default::default() };
    let opens = |w: &mut World, tc_id| match w.ask(c, open(tc_id)) {
        Command::NewTxnResponse(response) => response.error,
        other => panic!("{other:?}"),
    };
    assert_eq!(opens(&mut w, 3), Some(ServerError::TRANSACTION_COORDINATOR_NOT_FOUND));
    for tc_id in [2, 3, u64::MAX] {
        let Command::TcClientConnectResponse(response) = w.ask(c, attach(tc_id)) else { panic!() };
        assert_eq!((response.request_id, response.error), (1, None));
        assert_eq!(opens(&mut w, tc_id), None);
    }
    assert_eq!(w.broker.topics("pulsar/system", true), Vec::<String>::new());
}

#[test]
fn coordinators_that_nobody_made_are_not_without_end() {
    let mut w = World::with(BrokerConfig { max_stored_bytes: 10_000, ..BrokerConfig::default() });
    let c = w.client();
    let mut attach = |tc_id| {
        let attach = CommandTcClientConnectRequest { request_id: 1, tc_id, ..Default::default() };
        let Command::TcClientConnectResponse(response) = w.ask(c, attach) else { panic!() };
        response.error
    };
    let refused = (1000..2000).filter(|tc_id| attach(*tc_id).is_some()).count();
    assert!((800..1000).contains(&refused), "{refused}");
    assert_eq!(attach(0), None);
}

#[test]
fn too_many_transactions_are_refused_politely() {
    let mut w = World::with(BrokerConfig { max_transactions: 2, ..BrokerConfig::default() });
    let c = w.client();
    let (first, _) = (begin(&mut w, c, MINUTE), begin(&mut w, c, 1000));
    let Command::NewTxnResponse(refused) = w.ask(c, new_txn(MINUTE)) else { panic!() };
    assert_eq!(refused.error, Some(ServerError::TOO_MANY_REQUESTS));
    assert_eq!(refused.txnid_least_bits, None);
    assert_eq!(end(&mut w, c, first, TxnAction::ABORT), None);
    begin(&mut w, c, MINUTE);
    assert!(matches!(w.ask(c, new_txn(MINUTE)), Command::NewTxnResponse(r) if r.error.is_some()));
    w.pass(Duration::from_secs(1));
    begin(&mut w, c, MINUTE);
}

#[test]
fn what_transactions_know_counts_as_memory_and_is_given_back() {
    let mut w = World::with(BrokerConfig { max_stored_bytes: 100_000, ..BrokerConfig::default() });
    let c = w.client();
    let txn = begin(&mut w, c, MINUTE);
    let mut refused = 0;
    for n in 0..100 {
        let names: Vec<String> = (0..20).map(|m| format!("{TOPIC}-{n}-{m}")).collect();
        let add = CommandAddPartitionToTxn { partitions: names, ..with_topic(txn, TOPIC) };
        let Command::AddPartitionToTxnResponse(response) = w.ask(c, add) else { panic!() };
        refused += usize::from(response.error == Some(ServerError::TOO_MANY_REQUESTS));
    }
    assert!((1..90).contains(&refused), "{refused}");
    assert_eq!(end(&mut w, c, txn, TxnAction::COMMIT), None);
    w.produce(c, 1, TOPIC);
    for n in 0..100 {
        w.publish(c, 1, n, &"x".repeat(500));
    }
}

#[test]
fn markers_that_nobody_waits_for_do_not_fill_the_memory() {
    let mut w = World::with(BrokerConfig { max_stored_bytes: 100_000, ..BrokerConfig::default() });
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    let txn = begin(&mut w, c, MINUTE);
    w.ask(c, with_topic(txn, TOPIC));
    assert!(matches!(send(&mut w, c, 0, txn, "t"), Command::SendReceipt(_)));
    let mut refused = 0;
    for n in 0..1000 {
        let command = on_partition((5, n), TxnAction::COMMIT, 0);
        let Command::EndTxnOnPartitionResponse(response) = w.ask(c, command) else { panic!() };
        refused += usize::from(response.error == Some(ServerError::PERSISTENCE_ERROR));
    }
    assert!(refused > 100, "{refused}");
    assert!(w.broker.stats(&name()).unwrap().storage_size < 110_000);
    // One that somebody waits for ends all the same.
    assert_eq!(end(&mut w, c, txn, TxnAction::COMMIT), None);
    w.flow(c, 1, 10);
    assert_eq!(w.payloads(c), ["t"]);
}

#[test]
fn an_end_that_does_not_say_how_is_a_fault() {
    let mut w = World::new();
    let c = w.client();
    let txn = begin(&mut w, c, MINUTE);
    let odd = |action| CommandEndTxn {
        request_id: 5,
        txnid_most_bits: Some(txn.0),
        txnid_least_bits: Some(txn.1),
        txn_action: action,
        ..Default::default()
    };
    for action in [None, Some(TxnAction(7))] {
        let c = w.client();
        w.say(c, odd(action));
        assert!(matches!(w.cut(c), Some(DisconnectReason::Protocol(what)) if what.contains("END_TXN")));
    }
    assert_eq!(end(&mut w, c, txn, TxnAction::COMMIT), None);
}

#[test]
fn a_transaction_outlives_its_connection_but_not_its_time() {
    let mut w = World::new();
    let (c, reader) = (w.client(), w.client());
    w.produce(c, 1, TOPIC);
    w.consume(reader, 1, TOPIC, "s", SubType::EXCLUSIVE);
    w.flow(reader, 1, 10);
    let txn = begin(&mut w, c, 5000);
    join(&mut w, c, txn);
    send(&mut w, c, 0, txn, "t");
    w.publish(c, 1, 1, "m");
    w.leave(c);
    w.pass(Duration::from_millis(4999));
    assert!(w.silent(reader));
    w.pass(Duration::from_millis(1));
    assert_eq!(w.payloads(reader), ["m"]);
    let c = w.client();
    assert_eq!(end(&mut w, c, txn, TxnAction::COMMIT), Some(ServerError::TRANSACTION_NOT_FOUND));
    let stats = w.broker.stats(&name()).unwrap();
    assert_eq!((stats.ongoing_txns, stats.aborted_txns, stats.committed_txns), (0, 1, 0));
}

#[test]
fn an_end_that_cannot_be_is_given_up_when_its_time_is_over() {
    let mut w = World::with(BrokerConfig { max_transactions: 1, ..BrokerConfig::default() });
    let c = w.client();
    let txn = begin(&mut w, c, 5000);
    w.ask(c, with_topic(txn, "not://a/topic"));
    assert_eq!(end(&mut w, c, txn, TxnAction::COMMIT), Some(ServerError::UNKNOWN_ERROR));
    assert_eq!(end(&mut w, c, txn, TxnAction::ABORT), Some(ServerError::INVALID_TXN_STATUS));
    w.pass(Duration::from_secs(5));
    assert_eq!(end(&mut w, c, txn, TxnAction::COMMIT), Some(ServerError::TRANSACTION_NOT_FOUND));
    begin(&mut w, c, 5000);
}

/// A message of a transaction that no coordinator knows of (any more) would hold the topic for ever.
#[test]
fn a_transaction_that_nobody_ends_is_left_behind_by_later_ones() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    w.flow(c, 1, 100);
    let first = begin(&mut w, c, MINUTE);
    assert_eq!(end(&mut w, c, first, TxnAction::COMMIT), None);
    assert!(matches!(send(&mut w, c, 0, first, "too late"), Command::SendReceipt(_)));
    w.publish(c, 1, 1, "m1");
    assert!(w.silent(c));
    let second = begin(&mut w, c, MINUTE);
    w.ask(c, with_topic(second, TOPIC));
    assert!(matches!(send(&mut w, c, 2, second, "t2"), Command::SendReceipt(_)));
    assert_eq!(end(&mut w, c, second, TxnAction::COMMIT), None);
    assert_eq!(w.payloads(c), ["m1", "t2"]);
    let Command::SendError(refused) = send(&mut w, c, 3, first, "later still") else { panic!() };
    assert_eq!(refused.error, ServerError::NOT_ALLOWED_ERROR);
    assert!(refused.message.contains("has been ended"));
}

#[test]
fn a_low_water_mark_below_zero_says_nothing() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    let (one, two) = (begin(&mut w, c, MINUTE), begin(&mut w, c, MINUTE));
    send(&mut w, c, 0, one, "one");
    send(&mut w, c, 1, two, "two");
    w.ask(c, on_partition(two, TxnAction::COMMIT, u64::MAX));
    assert_eq!(w.broker.stats(&name()).unwrap().ongoing_txns, 1);
    w.ask(c, on_partition((0, 9), TxnAction::COMMIT, one.1));
    assert_eq!(w.broker.stats(&name()).unwrap().ongoing_txns, 0);
}

/// The real broker never ends it: its marker cannot be stored, and so all later messages wait.
#[test]
fn a_terminated_topic_still_ends_its_transactions() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::EXCLUSIVE);
    w.flow(c, 1, 100);
    let txn = begin(&mut w, c, MINUTE);
    w.ask(c, with_topic(txn, TOPIC));
    send(&mut w, c, 0, txn, "t");
    w.broker.terminate(&name(), w.now).unwrap();
    w.settle();
    assert!(matches!(w.hear(c), Command::CloseProducer(_)));
    assert!(w.silent(c));
    w.say(
        c,
        CommandEndTxn {
            txnid_most_bits: Some(txn.0),
            txnid_least_bits: Some(txn.1),
            txn_action: Some(TxnAction::COMMIT),
            ..CommandEndTxn::default()
        },
    );
    assert!(matches!(w.hear(c), Command::EndTxnResponse(_)));
    let Command::Message(message) = w.hear(c) else { panic!() };
    assert!(w.silent(c));
    w.ack(c, 1, AckType::INDIVIDUAL, &[message.message_id]);
    assert!(matches!(w.hear(c), Command::ReachedEndOfTopic(_)));
}

/// The real broker's clock cannot add the longest of them, and stands still after it.
#[test]
fn the_longest_of_lifetimes_holds_nobody_up() {
    let mut w = World::new();
    let c = w.client();
    let long = begin(&mut w, c, i64::MAX as u64);
    let short = begin(&mut w, c, 1000);
    w.pass(Duration::from_secs(2));
    assert_eq!(end(&mut w, c, short, TxnAction::COMMIT), Some(ServerError::TRANSACTION_NOT_FOUND));
    assert_eq!(end(&mut w, c, long, TxnAction::COMMIT), None);
}

#[test]
fn half_an_id_is_none() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    let at = w.publish(c, 1, 0, "m");
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    w.flow(c, 1, 1);
    assert_eq!(w.payloads(c), ["m"]);
    let half = CommandAck { txnid_most_bits: Some(1), ..ack(AckType::INDIVIDUAL, None, &at) };
    assert_eq!(acked(&mut w, c, half), None);
    assert_eq!(w.broker.stats(&name()).unwrap().subscriptions[0].backlog, 0);
}

#[test]
fn a_broker_without_transactions_says_so() {
    let mut w = World::with(BrokerConfig { transactions: false, ..BrokerConfig::default() });
    let c = w.client();
    let attach = CommandTcClientConnectRequest { request_id: 1, tc_id: 0, ..Default::default() };
    for command in [Command::from(attach), new_txn(MINUTE).into(), with_topic((0, 0), TOPIC).into()] {
        let heard = w.ask(c, command);
        assert!(matches!(heard, Command::Error(_)), "{heard:?}");
        let told = (ServerError::NOT_ALLOWED_ERROR, "Transactions are not enabled".to_owned());
        assert_eq!(refusal(heard), told);
    }
    w.produce(c, 1, TOPIC);
}
