//! Transactions outlive the broker.

use super::*;

#[test]
fn open_and_ended_transactions_survive_the_broker() {
    let mut disk = Disk::default();
    let mut w = disk.start();
    let c = back(&mut w, SubType::SHARED);
    let [committed, aborted, open] = [0, 1, 2].map(|_| begin(&mut w, c, MINUTE));
    for (n, txn) in [committed, aborted, open].into_iter().enumerate() {
        join(&mut w, c, txn);
        assert!(matches!(send(&mut w, c, n as u64, txn, &format!("t{n}")), Command::SendReceipt(_)));
    }
    assert!(acked(&mut w, c, ack(AckType::INDIVIDUAL, Some(open), &id(7, 77))).is_none());
    w.say(
        c,
        CommandEndTxn {
            txnid_most_bits: Some(committed.0),
            txnid_least_bits: Some(committed.1),
            txn_action: Some(TxnAction::COMMIT),
            ..CommandEndTxn::default()
        },
    );
    assert!(matches!(w.hear(c), Command::EndTxnResponse(_)));
    assert_eq!(w.payloads(c), ["t0"]);
    assert_eq!(end(&mut w, c, aborted, TxnAction::ABORT), None);
    disk.keep(&mut w);
    assert_eq!(w.broker.poll_kept(), [], "nothing happened since");

    let mut w = disk.start();
    let c = back(&mut w, SubType::SHARED);
    assert_eq!(w.payloads(c), ["t0"]);
    for ended in [committed, aborted] {
        let again = end(&mut w, c, ended, TxnAction::COMMIT);
        assert_eq!(again, Some(ServerError::TRANSACTION_NOT_FOUND));
    }
    assert!(begin(&mut w, c, MINUTE).1 > open.1);
    w.say(
        c,
        CommandEndTxn {
            txnid_most_bits: Some(open.0),
            txnid_least_bits: Some(open.1),
            txn_action: Some(TxnAction::COMMIT),
            ..CommandEndTxn::default()
        },
    );
    assert!(matches!(w.hear(c), Command::EndTxnResponse(r) if r.error.is_none()));
    assert_eq!(w.payloads(c), ["t2"]);
}

#[test]
fn a_transaction_times_out_while_the_broker_is_away() {
    let mut disk = Disk::default();
    let mut w = disk.start();
    let c = back(&mut w, SubType::SHARED);
    let txn = begin(&mut w, c, 10_000);
    join(&mut w, c, txn);
    send(&mut w, c, 0, txn, "t");
    w.publish(c, 1, 1, "m");
    disk.keep(&mut w);
    let mut w = disk.start_at(7);
    let c = back(&mut w, SubType::SHARED);
    assert!(w.silent(c));
    w.pass(Duration::from_secs(3));
    assert_eq!(w.payloads(c), ["m"]);
    let mut w = disk.start_at(60);
    w.pass(Duration::from_millis(1));
    let c = back(&mut w, SubType::SHARED);
    assert_eq!(w.payloads(c), ["m"]);
}

#[test]
fn pending_acknowledgements_survive_the_broker() {
    for (action, kind) in [
        (TxnAction::COMMIT, SubType::SHARED),
        (TxnAction::ABORT, SubType::SHARED),
        (TxnAction::COMMIT, SubType::EXCLUSIVE),
        (TxnAction::ABORT, SubType::EXCLUSIVE),
    ] {
        let mut disk = Disk::default();
        let mut w = disk.start();
        let c = w.client();
        w.produce(c, 1, TOPIC);
        let ids: Vec<_> = (0..4).map(|n| w.publish(c, 1, n, &format!("m{n}"))).collect();
        w.send(c, 1, 4, batch_of(4), "batch");
        let batch = w.receipt(c);
        w.consume(c, 1, TOPIC, "s", kind);
        w.flow(c, 1, 100);
        w.payloads(c);
        let txn = begin(&mut w, c, MINUTE);
        join(&mut w, c, txn);
        let in_part = MessageIdData { ack_set: vec![0b1010], batch_size: Some(4), ..batch };
        for id in [&ids[1], &ids[2], &in_part] {
            assert_eq!(acked(&mut w, c, ack(AckType::INDIVIDUAL, Some(txn), id)), None);
        }
        // One is acknowledged by somebody else after all.
        assert_eq!(acked(&mut w, c, ack(AckType::INDIVIDUAL, None, &ids[2])), None);
        disk.keep(&mut w);
        for _ in 0..2 {
            let mut w = disk.start();
            let c = back(&mut w, kind);
            let found = w.deliveries(c);
            let texts: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
            assert_eq!(texts, ["m0", "m3", "batch"]);
            assert_eq!(found[2].0.ack_set, [0b1010]);
            let other = begin(&mut w, c, MINUTE);
            let conflict = acked(&mut w, c, ack(AckType::INDIVIDUAL, Some(other), &ids[1]));
            assert_eq!(conflict, Some(ServerError::TRANSACTION_CONFLICT));
            disk.keep(&mut w);
        }
        let mut w = disk.start();
        let c = w.client();
        assert_eq!(end(&mut w, c, txn, action), None);
        disk.keep(&mut w);
        assert!(disk.0.keys().all(|key| key[0] != b'V'), "nothing is pending");
        let mut w = disk.start();
        let c = back(&mut w, kind);
        let found = w.deliveries(c);
        let texts: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
        let (left, bits): (&[&str], &[i64]) = match action {
            TxnAction::COMMIT => (&["m0", "m3", "batch"], &[0b1010]),
            _ => (&["m0", "m1", "m3", "batch"], &[]),
        };
        assert_eq!((texts.as_slice(), found[left.len() - 1].0.ack_set.as_slice()), (left, bits));
    }
}

#[test]
fn all_up_to_an_entry_survives_the_broker() {
    let mut disk = Disk::default();
    let mut w = disk.start();
    let c = back(&mut w, SubType::FAILOVER);
    w.pass(Duration::from_secs(2));
    let txn = begin_past(&mut w, c);
    let ids: Vec<_> = (0..4)
        .map(|n| {
            w.send(c, 1, n, MessageMetadata::default(), &format!("m{n}"));
            loop {
                if let Command::SendReceipt(receipt) = w.hear(c) {
                    break receipt.message_id.unwrap();
                }
            }
        })
        .collect();
    while !w.silent(c) {
        w.hear(c);
    }
    join(&mut w, c, txn);
    assert_eq!(acked(&mut w, c, ack(AckType::CUMULATIVE, Some(txn), &ids[1])), None);
    disk.keep(&mut w);
    let mut w = disk.start();
    let c = w.client();
    assert_eq!(end(&mut w, c, txn, TxnAction::COMMIT), None);
    disk.keep(&mut w);
    let mut w = disk.start();
    let c = back(&mut w, SubType::EXCLUSIVE);
    assert_eq!(w.payloads(c), ["m2", "m3"]);
}
