//! Several brokers in one: who serves what, redirects, bundles that move.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pulsewire_broker::core::names::TopicName;
use pulsewire_broker::core::{Bounds, Node};
use pulsewire_broker::{BrokerConfig, ConnId};
use pulsewire_proto::wire::*;

fn url(broker: usize) -> String {
    format!("pulsar://b{broker}:6650")
}

fn world(brokers: usize) -> World {
    let node = |broker| Node { service_url: url(broker), ..Node::default() };
    World::with(BrokerConfig {
        service_url: url(0),
        more_brokers: (1..brokers).map(node).collect(),
        ..BrokerConfig::default()
    })
}

/// A client of that broker.
fn client(w: &mut World, broker: usize) -> ConnId {
    let c = w.stranger_of(broker);
    assert!(matches!(w.ask(c, connect()), Command::Connected(_)));
    c
}

/// What a lookup answers: what to do, where, and whether that is to be authoritative.
fn lookup(w: &mut World, c: ConnId, topic: &str, authoritative: bool) -> (LookupResult, String, bool) {
    let ask = CommandLookupTopic {
        topic: topic.to_owned(),
        request_id: 1,
        authoritative: Some(authoritative),
        ..CommandLookupTopic::default()
    };
    let Command::LookupTopicResponse(found) = w.ask(c, ask) else { panic!() };
    (found.response.unwrap(), found.broker_service_url.unwrap(), found.authoritative.unwrap())
}

/// Names of topics of all four bundles, in their order.
fn topics() -> Vec<String> {
    let mut found = std::collections::BTreeMap::new();
    for n in 0.. {
        let topic = format!("persistent://public/default/t{n}");
        found.entry(Bounds::even(4).range_of(&TopicName::parse(&topic).unwrap())).or_insert(topic);
        if found.len() == 4 {
            break;
        }
    }
    found.into_values().collect()
}

/// Goes where lookups lead; the broker that serves a topic.
fn find(w: &mut World, clients: &[ConnId], from: usize, topic: &str) -> (usize, usize) {
    let (mut at, mut authoritative) = (from, false);
    for hops in 0..5 {
        let (result, found, takes) = lookup(w, clients[at], topic, authoritative);
        at = (0..clients.len()).find(|broker| url(*broker) == found).unwrap();
        authoritative = takes;
        if result == LookupResult::CONNECT {
            return (at, hops);
        }
        assert_eq!(result, LookupResult::REDIRECT);
    }
    panic!("lookups go in circles");
}

#[test]
fn topics_are_spread_and_lookups_lead_to_them() {
    let mut w = world(3);
    let clients: Vec<ConnId> = (0..3).map(|broker| client(&mut w, broker)).collect();
    let topics = topics();
    // Nobody has it: the second asks the first, who gives it to himself, having none.
    assert_eq!(lookup(&mut w, clients[1], &topics[0], false), (LookupResult::REDIRECT, url(0), false));
    assert_eq!(lookup(&mut w, clients[0], &topics[0], false), (LookupResult::CONNECT, url(0), true));
    assert_eq!(lookup(&mut w, clients[1], &topics[0], false), (LookupResult::CONNECT, url(0), true));
    // The next bundle goes to another, who takes it when he is asked with authority.
    assert_eq!(lookup(&mut w, clients[0], &topics[1], false), (LookupResult::REDIRECT, url(1), true));
    assert_eq!(lookup(&mut w, clients[1], &topics[1], true), (LookupResult::CONNECT, url(1), true));
    assert_eq!(find(&mut w, &clients, 2, &topics[2]), (2, 2));
    assert_eq!(find(&mut w, &clients, 2, &topics[3]).0, 0);
    assert_eq!(w.broker.owned_by(1), ["public/default/0x40000000_0x80000000"]);
    for broker in 0..3 {
        assert_eq!(find(&mut w, &clients, broker, &topics[1]), (1, 0));
    }
}

#[test]
fn the_wrong_broker_serves_nothing() {
    let mut w = world(2);
    let (a, b) = (client(&mut w, 0), client(&mut w, 1));
    let topic = &topics()[0];
    // Before anybody looked it up, and at the one who does not have it.
    for _ in 0..2 {
        for asked in [Command::from(producer_on(1, topic)), subscribe(1, topic, "s", SubType::SHARED).into()]
        {
            let (error, message) = refusal(w.ask(b, asked));
            assert_eq!(error, ServerError::SERVICE_NOT_READY);
            let words = format!(
                "Namespace bundle (public/default/0x00000000_0x40000000) for topic ({topic}) not served by \
                 this instance:b1:6650. Please redo the lookup."
            );
            assert!(message.ends_with(&words), "{message}");
        }
        lookup(&mut w, a, topic, false);
    }
    w.produce(a, 1, topic);
}

#[test]
fn a_bundle_that_moves_takes_its_clients_along_and_loses_nothing() {
    let mut w = world(2);
    let (a, b) = (client(&mut w, 0), client(&mut w, 1));
    let topics = topics();
    for topic in &topics {
        find(&mut w, &[a, b], 0, topic);
    }
    w.produce(a, 1, &topics[0]);
    w.consume(a, 1, &topics[0], "s", SubType::SHARED);
    w.produce(b, 1, &topics[1]);
    w.publish(a, 1, 0, "before");
    let range = "0x00000000_0x40000000";
    w.broker.unload_bundles("public/default", Some(range), None, w.now).unwrap();
    w.settle();
    let Command::CloseProducer(close) = w.hear(a) else { panic!() };
    assert_eq!(close.assigned_broker_service_url, Some(url(1)));
    let Command::CloseConsumer(close) = w.hear(a) else { panic!() };
    assert_eq!(close.assigned_broker_service_url, Some(url(1)));
    assert!(w.silent(b), "the other bundle stays where it is");
    assert_eq!(refusal(w.ask(a, producer_on(2, &topics[0]))).0, ServerError::SERVICE_NOT_READY);
    assert_eq!(lookup(&mut w, a, &topics[0], false), (LookupResult::CONNECT, url(1), true));
    w.produce(b, 2, &topics[0]);
    w.consume(b, 2, &topics[0], "s", SubType::SHARED);
    w.publish(b, 2, 1, "after");
    w.flow(b, 2, 10);
    assert_eq!(w.payloads(b), ["before", "after"]);
    w.broker.unload_bundles("public/default", Some(range), Some(1), w.now).unwrap();
    w.settle();
    let Command::CloseProducer(close) = w.hear(b) else { panic!() };
    assert_eq!(close.assigned_broker_service_url, Some(url(1)), "where it was");
    for (namespace, range, destination) in [
        ("public/none", None, None),
        ("public/default", Some("0x00000000_0x50000000"), None),
        ("public/default", None, Some(2)),
    ] {
        assert!(w.broker.unload_bundles(namespace, range, destination, w.now).is_err());
    }
}

#[test]
fn one_broker_alone_names_nobody_when_it_unloads() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, &topics()[0]);
    w.broker.unload_bundles("public/default", None, None, w.now).unwrap();
    w.settle();
    let Command::CloseProducer(close) = w.hear(c) else { panic!() };
    assert_eq!(close.assigned_broker_service_url, None);
    w.produce(c, 1, &topics()[0]);
}

/// An answer of a coordinator, and the error in it.
fn coordinated(command: Command) -> (Option<u64>, Option<ServerError>) {
    match command {
        Command::TcClientConnectResponse(c) => (None, c.error),
        Command::NewTxnResponse(c) => (c.txnid_least_bits, c.error),
        Command::AddPartitionToTxnResponse(c) => (c.txnid_least_bits, c.error),
        Command::EndTxnResponse(c) => (c.txnid_least_bits, c.error),
        other => panic!("not of a coordinator: {other:?}"),
    }
}

#[test]
fn a_transaction_spans_brokers_and_its_coordinator_is_the_same_at_all() {
    let mut w = world(3);
    let clients: Vec<ConnId> = (0..3).map(|broker| client(&mut w, broker)).collect();
    let topics = topics();
    let served: Vec<usize> = topics.iter().map(|topic| find(&mut w, &clients, 0, topic).0).collect();
    assert!((0..3).all(|broker| served.contains(&broker)), "every broker serves a topic: {served:?}");
    let mut numbers = std::collections::BTreeSet::new();
    for (opens, ends) in [(0, 1), (1, 2), (2, 0)] {
        for c in &clients {
            let attach = CommandTcClientConnectRequest { request_id: 1, tc_id: 0, ..Default::default() };
            assert_eq!(coordinated(w.ask(*c, attach)), (None, None));
        }
        let open = CommandNewTxn {
            request_id: 2,
            txn_ttl_millis: Some(60_000),
            tc_id: Some(0),
            ..Default::default()
        };
        let (number, error) = coordinated(w.ask(clients[opens], open));
        assert_eq!(error, None);
        assert!(numbers.insert(number), "no two brokers give the same number: {number:?}");
        for (n, (at, topic)) in served.iter().zip(&topics).enumerate() {
            let add = CommandAddPartitionToTxn {
                request_id: 3,
                txnid_most_bits: Some(0),
                txnid_least_bits: number,
                partitions: vec![topic.clone()],
                ..Default::default()
            };
            assert_eq!(
                coordinated(w.ask(clients[ends], add)),
                (number, None),
                "opened elsewhere, known here"
            );
            let producer = (10 * opens + n) as u64;
            w.say(clients[*at], producer_on(producer, topic));
            assert!(matches!(w.hear(clients[*at]), Command::ProducerSuccess(_)));
            let metadata =
                MessageMetadata { txnid_most_bits: Some(0), txnid_least_bits: number, ..Default::default() };
            let send = CommandSend {
                producer_id: producer,
                txnid_most_bits: Some(0),
                txnid_least_bits: number,
                ..CommandSend::default()
            };
            let mut frame = bytes::BytesMut::new();
            let entry = entry(0, metadata, format!("of {number:?}").as_bytes());
            pulsewire_proto::wire::frame::encode_with_entry(&send.into(), &entry, &mut frame);
            w.bytes(clients[*at], frame);
            w.receipt(clients[*at]);
            w.consume(clients[*at], producer, topic, &format!("s{opens}"), SubType::EXCLUSIVE);
            w.flow(clients[*at], producer, 10);
            let before = w.payloads(clients[*at]);
            assert!(!before.contains(&format!("of {number:?}")), "not committed yet: {before:?}");
        }
        let end = CommandEndTxn {
            request_id: 4,
            txnid_most_bits: Some(0),
            txnid_least_bits: number,
            txn_action: Some(TxnAction::COMMIT),
            ..Default::default()
        };
        assert_eq!(coordinated(w.ask(clients[ends], end)), (number, None));
        for (broker, c) in clients.iter().enumerate() {
            let heard = w.payloads(*c);
            assert!(heard.contains(&format!("of {number:?}")), "committed at {broker}: {heard:?}");
        }
    }
}
