//! What a host that logs is told, in the order in which it happens.

use std::time::Duration;

use super::*;
use pulsewire_broker::ConnId;
use pulsewire_broker::core::{BacklogQuota, Bounds, Node, Policies, QuotaPolicy, Retention};

/// A broker that takes notes, and a client of it.
fn world(config: BrokerConfig) -> (World, ConnId) {
    let mut w = World::with(config);
    w.broker.take_notes();
    let c = w.client();
    noted(&mut w);
    (w, c)
}

/// What was noted since the last time, with `t` for the topic.
fn noted(w: &mut World) -> Vec<String> {
    w.broker.poll_notes().iter().map(|note| note.to_string().replace(TOPIC, "t")).collect()
}

fn name() -> TopicName {
    TopicName::parse(TOPIC).unwrap()
}

/// What a client heard does not matter here.
fn pass_over(w: &mut World, c: ConnId) {
    while !w.silent(c) {
        w.hear(c);
    }
}

fn set(w: &mut World, change: impl FnOnce(&mut Policies)) {
    w.broker.set_policies(&Scope::Topic(name()), change, w.now).unwrap();
}

/// Minutes in which all clients show that they live.
fn minutes(w: &mut World, minutes: u64, clients: &[ConnId]) {
    for _ in 0..minutes * 3 {
        clients.iter().for_each(|c| w.say(*c, CommandPing::default()));
        w.pass(Duration::from_secs(20));
    }
    w.pass(Duration::from_secs(1));
    for c in clients {
        pass_over(w, *c);
    }
}

#[test]
fn clients_coming_and_going_are_noted() {
    let (mut w, c) = world(BrokerConfig::default());
    w.ask(c, CommandPartitionedTopicMetadata { topic: TOPIC.to_owned(), ..Default::default() });
    w.ask(c, CommandLookupTopic { topic: TOPIC.to_owned(), ..Default::default() });
    w.ask(c, CommandLookupTopic { topic: "persistent://a/b/c".to_owned(), ..Default::default() });
    w.ask(c, CommandProducer { producer_name: Some("p".to_owned()), ..producer_on(1, TOPIC) });
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    w.publish(c, 1, 0, "m");
    w.ask(c, CommandCloseProducer { producer_id: 1, ..Default::default() });
    w.ask(c, CommandCloseConsumer { consumer_id: 1, ..Default::default() });
    w.ask(c, CommandSubscribe { durable: Some(false), ..subscribe(2, TOPIC, "r", SubType::EXCLUSIVE) });
    w.consume(c, 3, TOPIC, "s", SubType::SHARED);
    w.leave(c);
    assert_eq!(
        noted(&mut w),
        [
            "connection 1: partitions of t: 0",
            "connection 1: lookup of t: served at pulsar://localhost:6650",
            "connection 1: refused: lookup of persistent://a/b/c: Namespace not found",
            "topic created: t",
            "connection 1: producer 1 opened: \"p\" on t",
            "subscription created: \"s\" on t",
            "connection 1: consumer 1 opened: \"s\" on t",
            "connection 1: producer 1 closed: t",
            "connection 1: consumer 1 closed: \"s\" on t",
            "subscription created: \"r\" on t",
            "connection 1: consumer 2 opened: \"r\" on t",
            "connection 1: consumer 3 opened: \"s\" on t",
            "connection 1: consumer 2 closed: \"r\" on t",
            "subscription deleted: \"r\" on t",
            "connection 1: consumer 3 closed: \"s\" on t",
        ]
    );
}

#[test]
fn what_the_broker_does_to_clients_is_noted() {
    let (mut w, c) = world(BrokerConfig::default());
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    let id = w.publish(c, 1, 0, "m");
    noted(&mut w);
    w.say(c, CommandSeek { consumer_id: 1, message_id: Some(id.clone()), ..Default::default() });
    pass_over(&mut w, c);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    w.say(c, CommandUnsubscribe { consumer_id: 1, ..Default::default() });
    w.broker.unload_topic(&name(), w.now).unwrap();
    w.settle();
    pass_over(&mut w, c);
    w.produce(c, 2, TOPIC);
    w.broker.compact(&name(), w.now).unwrap();
    w.broker.terminate(&name(), w.now).unwrap();
    w.settle();
    pass_over(&mut w, c);
    w.say(c, producer_on(3, TOPIC));
    w.broker.delete_topic(&name(), false, w.now).unwrap();
    let told = noted(&mut w);
    let told: Vec<&str> =
        told.iter().map(String::as_str).filter(|note| !note.contains("producer 2 opened")).collect();
    let moved = format!("subscription moved: \"s\" on t, to {}:{}", id.ledger_id, id.entry_id);
    assert_eq!(
        told,
        [
            "connection 1: consumer 1 closed by the broker: \"s\" on t",
            &moved,
            "connection 1: consumer 1 opened: \"s\" on t",
            "connection 1: consumer 1 closed: \"s\" on t",
            "subscription deleted: \"s\" on t",
            "unloaded: t",
            "connection 1: producer 1 closed by the broker: t",
            "topic compacted: t: 0 entries are left",
            "topic terminated: t",
            "connection 1: producer 2 closed by the broker: t",
            "connection 1: refused: org.apache.pulsar.broker.service.BrokerServiceException$TopicTerminatedException: Topic was already terminated",
            "topic deleted: t",
        ]
    );
}

#[test]
fn what_upkeep_does_is_noted() {
    let (mut w, c) = world(BrokerConfig::default());
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    set(&mut w, |p| {
        p.message_ttl = Some(10);
        p.retention = Some(Retention { minutes: 0, megabytes: 0 });
    });
    w.publish(c, 1, 0, "old");
    noted(&mut w);
    minutes(&mut w, 1, &[c]);
    let told = noted(&mut w);
    assert_eq!(told[0], "entries expired: 1 of \"s\" on t");
    assert!(told[1].starts_with("topic trimmed: t: ") && told.len() == 2, "{told:?}");
    let quota = |policy| Some(BacklogQuota { bytes: 1000, seconds: -1, policy });
    set(&mut w, |p| {
        p.message_ttl = None;
        p.backlog_quota = quota(QuotaPolicy::ConsumerBacklogEviction);
    });
    (1..4).for_each(|n| drop(w.publish(c, 1, n, &"x".repeat(500))));
    w.broker.check_backlog_quotas(w.now);
    assert_eq!(noted(&mut w), ["backlog quota exceeded: 2 entries of \"s\" on t dropped"]);
    set(&mut w, |p| p.backlog_quota = quota(QuotaPolicy::ProducerException));
    (4..6).for_each(|n| drop(w.publish(c, 1, n, &"x".repeat(500))));
    w.broker.check_backlog_quotas(w.now);
    w.settle();
    assert_eq!(
        noted(&mut w),
        [
            "backlog quota exceeded: 1 producers of t closed",
            "connection 1: producer 1 closed by the broker: t",
        ]
    );
    set(&mut w, |p| {
        p.backlog_quota = None;
        p.compaction_threshold = Some(1);
    });
    minutes(&mut w, 1, &[c]);
    assert!(noted(&mut w).contains(&"topic compacted: t: 0 entries are left".to_owned()));
}

#[test]
fn what_nobody_uses_is_noted_when_it_goes() {
    let config = BrokerConfig { upkeep_interval: Duration::from_secs(60), ..BrokerConfig::default() };
    let (mut w, c) = world(config);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    set(&mut w, |p| {
        p.kept.insert("subscriptionExpirationTime".to_owned(), "2".to_owned());
        let inactive = r#"{"deleteWhileInactive":true,"maxInactiveDurationSeconds":60,"inactiveTopicDeleteMode":"delete_when_no_subscriptions"}"#;
        p.kept.insert("inactiveTopicPolicies".to_owned(), inactive.to_owned());
    });
    w.leave(c);
    noted(&mut w);
    minutes(&mut w, 4, &[]);
    assert_eq!(
        noted(&mut w),
        [
            "subscription deleted: \"s\" on t, not used for too long",
            "topic not used for too long: t",
            "topic deleted: t",
        ]
    );
}

#[test]
fn transactions_are_noted() {
    let (mut w, c) = world(BrokerConfig::default());
    let begin = |w: &mut World, ttl| {
        w.ask(c, CommandNewTxn { txn_ttl_millis: Some(ttl), tc_id: Some(0), ..Default::default() });
    };
    let end = |w: &mut World, number, action| {
        let (txnid_most_bits, txnid_least_bits) = (Some(0), Some(number));
        let txn_action = Some(action);
        w.ask(c, CommandEndTxn { txnid_most_bits, txnid_least_bits, txn_action, ..Default::default() });
    };
    begin(&mut w, 60_000);
    end(&mut w, 1, TxnAction::COMMIT);
    begin(&mut w, 60_000);
    end(&mut w, 2, TxnAction::ABORT);
    begin(&mut w, 1000);
    w.pass(Duration::from_secs(2));
    end(&mut w, 3, TxnAction::COMMIT);
    assert_eq!(
        noted(&mut w),
        [
            "transaction begun: (0,1)",
            "transaction committed: (0,1)",
            "transaction begun: (0,2)",
            "transaction aborted: (0,2)",
            "transaction begun: (0,3)",
            "transaction timed out: (0,3)",
            "transaction aborted: (0,3)",
            "connection 1: refused: The transaction with this txdID `(0,3)`not found ",
        ]
    );
}

#[test]
fn bundles_that_move_and_redirects_are_noted() {
    let node = |n: usize| Node { service_url: format!("pulsar://b{n}:6650"), ..Node::default() };
    let config = BrokerConfig {
        service_url: node(0).service_url,
        more_brokers: vec![node(1)],
        ..BrokerConfig::default()
    };
    let (mut w, c) = world(config);
    let look = CommandLookupTopic { topic: TOPIC.to_owned(), ..Default::default() };
    let other = w.stranger_of(1);
    w.ask(other, connect());
    w.ask(other, look.clone());
    w.ask(c, look.clone());
    let range = Bounds::even(4).range_of(&name());
    w.broker.unload_bundles("public/default", Some(&range), Some(1), w.now).unwrap();
    w.ask(c, look);
    w.broker.split_bundle("public/default", &range, false, w.now).unwrap();
    let bundle = format!("public/default/{range}");
    assert_eq!(
        noted(&mut w),
        [
            "connection 2: \"test\" is in",
            "connection 2: lookup of t: redirected to pulsar://b0:6650",
            "connection 1: lookup of t: served at pulsar://b0:6650",
            &format!("unloaded: {bundle}, which moves to pulsar://b1:6650"),
            "connection 1: lookup of t: served at pulsar://b1:6650",
            &format!("bundle split in two: {bundle}"),
        ]
    );
}

/// A line a message would fill disks.
#[test]
fn that_memory_is_full_is_noted_once() {
    let (mut w, c) = world(BrokerConfig { max_stored_bytes: 20_000, ..BrokerConfig::default() });
    w.consume(c, 1, TOPIC, "s", SubType::EXCLUSIVE);
    let payload = "x".repeat(1000);
    for _ in 0..2 {
        (1..4).for_each(|n| drop(w.produce(c, n, TOPIC)));
        noted(&mut w);
        for producer in 1..4 {
            (0..100).for_each(|n| w.send(c, producer, n, MessageMetadata::default(), &payload));
        }
        assert_eq!(
            noted(&mut w),
            [
                "memory for messages is full, messages are refused: 20000 bytes",
                "connection 1: producer 1 closed by the broker: t",
                "connection 1: producer 2 closed by the broker: t",
                "connection 1: producer 3 closed by the broker: t",
            ]
        );
        pass_over(&mut w, c);
        w.pass(Duration::from_secs(2));
        assert!(noted(&mut w).is_empty(), "there is no room yet");
        w.broker.skip_all(&name(), "s", w.now).unwrap();
        w.say(c, producer_on(4, TOPIC));
        assert_eq!(noted(&mut w).last().map(String::as_str), Some("memory for messages has room again"));
        w.ask(c, CommandCloseProducer { producer_id: 4, ..Default::default() });
        pass_over(&mut w, c);
    }
}

#[test]
fn without_a_reader_nothing_is_noted() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    assert!(w.broker.poll_notes().is_empty());
}
