//! Settings of namespaces and topics that were only kept once: what they do.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::*;
use pulsewire_broker::ConnId;
use pulsewire_broker::core::names::TopicName;
use pulsewire_broker::core::{DelayedDelivery, Policies, Scope};
use pulsewire_proto::wire::*;

const TOPIC: &str = "persistent://public/default/t";
const OTHER: &str = "persistent://public/default/other";

fn name() -> TopicName {
    TopicName::parse(TOPIC).unwrap()
}

/// Sets something of the namespace.
fn set_namespace(w: &mut World, change: impl FnOnce(&mut Policies)) {
    w.broker.set_policies(&Scope::Namespace("public/default".to_owned()), change, w.now).unwrap();
}

/// The same of a setting by its name in the admin API.
fn set(w: &mut World, setting: &str, json: &str) {
    set_namespace(w, |p| drop(p.kept.insert(setting.to_owned(), json.to_owned())));
}

fn set_topic(w: &mut World, setting: &str, json: &str) {
    let change = |p: &mut Policies| drop(p.kept.insert(setting.to_owned(), json.to_owned()));
    w.broker.set_policies(&Scope::Topic(name()), change, w.now).unwrap();
}

/// Lets time pass, answering PING.
fn wait(w: &mut World, clients: &[ConnId], seconds: u64) {
    for _ in 0..seconds {
        w.pass(Duration::from_secs(1));
        w.settle();
        for c in clients {
            w.say(*c, CommandPong::default());
        }
    }
}

#[test]
fn types_of_subscriptions_that_a_topic_may_not_have() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    set(&mut w, "subscriptionTypesEnabled", r#"["Shared","Failover"]"#);
    for (n, (kind, told)) in
        [(SubType::EXCLUSIVE, "Exclusive"), (SubType::KEY_SHARED, "Key_Shared")].into_iter().enumerate()
    {
        let (error, text) = refusal(w.ask(c, subscribe(n as u64, TOPIC, "s", kind)));
        assert_eq!(error, ServerError::NOT_ALLOWED_ERROR);
        assert_eq!(text, format!("Topic[{{{TOPIC}}}] doesn't support {told} sub type!"));
    }
    w.consume(c, 5, TOPIC, "s", SubType::SHARED);
    set_topic(&mut w, "subscriptionTypesEnabled", r#"["Exclusive"]"#);
    w.consume(c, 6, TOPIC, "alone", SubType::EXCLUSIVE);
    assert_eq!(
        refusal(w.ask(c, subscribe(7, TOPIC, "s", SubType::SHARED))).0,
        ServerError::NOT_ALLOWED_ERROR
    );
    set_topic(&mut w, "subscriptionTypesEnabled", "[]");
    w.consume(c, 8, TOPIC, "any", SubType::KEY_SHARED);
}

#[test]
fn consumers_that_a_subscription_may_have() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    set(&mut w, "maxConsumersPerSubscription", "2");
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    w.consume(c, 2, TOPIC, "s", SubType::SHARED);
    let (error, text) = refusal(w.ask(c, subscribe(3, TOPIC, "s", SubType::SHARED)));
    assert_eq!(
        (error, text.as_str()),
        (ServerError::CONSUMER_BUSY, "Subscription reached max consumers limit")
    );
    w.consume(c, 4, TOPIC, "other", SubType::SHARED);
    set_topic(&mut w, "maxConsumersPerSubscription", "0");
    w.consume(c, 3, TOPIC, "s", SubType::SHARED);
}

#[test]
fn subscriptions_that_are_not_made_by_using_them() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    set(&mut w, "autoSubscriptionCreation", r#"{"allowAutoSubscriptionCreation":false}"#);
    let (error, text) = refusal(w.ask(c, subscribe(1, TOPIC, "s", SubType::SHARED)));
    assert_eq!((error, text.as_str()), (ServerError::SUBSCRIPTION_NOT_FOUND, "Subscription does not exist"));
    let reader = CommandSubscribe { durable: Some(false), ..subscribe(2, TOPIC, "r", SubType::EXCLUSIVE) };
    assert!(matches!(w.ask(c, reader), Command::Success(_)), "readers make theirs");
    set_topic(&mut w, "autoSubscriptionCreation", r#"{"allowAutoSubscriptionCreation":true}"#);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    set_topic(&mut w, "autoSubscriptionCreation", r#"{"allowAutoSubscriptionCreation":false}"#);
    w.say(c, CommandCloseConsumer { consumer_id: 1, request_id: 9, ..Default::default() });
    w.hear(c);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
}

#[test]
fn topics_that_want_encryption() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 9, TOPIC);
    set(&mut w, "encryptionRequired", "true");
    w.settle();
    assert!(matches!(w.hear(c), Command::CloseProducer(CommandCloseProducer { producer_id: 9, .. })));
    let (error, text) = refusal(w.ask(c, producer_on(1, TOPIC)));
    assert_eq!((error, text), (ServerError::METADATA_ERROR, format!("Encryption is required in {TOPIC}")));
    let encrypting = CommandProducer { encrypted: Some(true), ..producer_on(1, TOPIC) };
    assert!(matches!(w.ask(c, encrypting), Command::ProducerSuccess(_)));
    w.send(c, 1, 0, MessageMetadata::default(), "plain");
    let Command::SendError(error) = w.hear(c) else { panic!() };
    assert_eq!(
        (error.error, error.message.as_str()),
        (ServerError::METADATA_ERROR, "Messages must be encrypted")
    );
    let key = EncryptionKeys { key: "k".to_owned(), value: vec![1].into(), ..EncryptionKeys::default() };
    let metadata = MessageMetadata { encryption_keys: vec![key], ..MessageMetadata::default() };
    w.send(c, 1, 1, metadata, "secret");
    w.receipt(c);
}

#[test]
fn topics_that_a_namespace_may_have() {
    let mut w = World::new();
    let c = w.client();
    set(&mut w, "maxTopicsPerNamespace", "1");
    w.produce(c, 1, TOPIC);
    let (error, text) = refusal(w.ask(c, producer_on(2, OTHER)));
    assert_eq!(error, ServerError::NOT_ALLOWED_ERROR);
    assert!(text.contains("Exceed maximum number of topics in namespace."), "{text}");
    w.produce(c, 3, TOPIC);
    set(&mut w, "maxTopicsPerNamespace", "0");
    w.produce(c, 2, OTHER);
}

#[test]
fn messages_may_be_delayed_for_so_long_only() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    let delayed = Some(DelayedDelivery { active: true, tick_ms: 1000, max_delay_ms: 5000 });
    set_namespace(&mut w, |p| p.delayed_delivery = delayed);
    let delay =
        |ms: u64| MessageMetadata { deliver_at_time: Some((WALL + ms) as i64), ..MessageMetadata::default() };
    w.send(c, 1, 0, delay(5001), "too late");
    let Command::SendError(error) = w.hear(c) else { panic!() };
    assert_eq!(error.error, ServerError::NOT_ALLOWED_ERROR);
    assert!(
        error.message.ends_with("Exceeds max allowed delivery delay of 5000 milliseconds"),
        "{}",
        error.message
    );
    w.send(c, 1, 1, delay(5000), "in time");
    w.receipt(c);
}

#[test]
fn a_topic_that_nobody_uses_is_deleted() {
    let policies = |mode: &str| {
        format!(
            r#"{{"inactiveTopicDeleteMode":"{mode}","maxInactiveDurationSeconds":90,"deleteWhileInactive":true}}"#
        )
    };
    let mut w = World::new();
    // Before there is a topic: who looks after it must begin to when there is one.
    set(&mut w, "inactiveTopicPolicies", &policies("delete_when_no_subscriptions"));
    let (c, d) = (w.client(), w.client());
    w.produce(c, 1, TOPIC);
    w.produce(d, 1, OTHER);
    w.consume(d, 1, OTHER, "s", SubType::SHARED);
    wait(&mut w, &[c, d], 200);
    assert!(w.broker.stats(&name()).is_ok(), "a producer uses it");
    w.leave(c);
    wait(&mut w, &[d], 50);
    assert!(w.broker.stats(&name()).is_ok(), "for not long enough");
    wait(&mut w, &[d], 60);
    assert!(w.broker.stats(&name()).is_err(), "nobody has used it");
    w.leave(d);
    wait(&mut w, &[], 300);
    let other = TopicName::parse(OTHER).unwrap();
    assert!(w.broker.stats(&other).is_ok(), "it has a subscription");
    set(&mut w, "inactiveTopicPolicies", &policies("delete_when_subscriptions_caught_up"));
    wait(&mut w, &[], 300);
    assert!(w.broker.stats(&other).is_err(), "which has acknowledged all");
}

#[test]
fn a_subscription_that_nobody_uses_expires() {
    let mut w = World::new();
    set(&mut w, "subscriptionExpirationTime", "3");
    let (c, d) = (w.client(), w.client());
    w.consume(c, 1, TOPIC, "left", SubType::SHARED);
    w.consume(d, 1, TOPIC, "used", SubType::SHARED);
    wait(&mut w, &[c, d], 400);
    w.leave(c);
    let subs = |w: &World| {
        let stats = w.broker.stats(&name()).unwrap();
        stats.subscriptions.iter().map(|sub| sub.name.clone()).collect::<Vec<_>>()
    };
    wait(&mut w, &[d], 170);
    assert_eq!(subs(&w), ["left", "used"]);
    wait(&mut w, &[d], 120);
    assert_eq!(subs(&w), ["used"]);
}

#[test]
fn a_topic_is_compacted_by_itself_when_enough_came() {
    let mut w = World::new();
    set_namespace(&mut w, |p| p.compaction_threshold = Some(10_000));
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    let mut sequence = 0;
    let mut send = |w: &mut World, count: u64| {
        for _ in 0..count {
            w.send(c, 1, sequence, key("k"), &"x".repeat(1000));
            sequence += 1;
            while !matches!(w.hear(c), Command::SendReceipt(_)) {}
        }
    };
    send(&mut w, 5);
    wait(&mut w, &[c], 61);
    assert!(!w.broker.is_compacted(&name()).unwrap(), "too little");
    send(&mut w, 6);
    wait(&mut w, &[c], 61);
    assert!(w.broker.is_compacted(&name()).unwrap());
    let read_compacted = CommandSubscribe {
        read_compacted: Some(true),
        durable: Some(false),
        ..subscribe(2, TOPIC, "r", SubType::EXCLUSIVE)
    };
    let reader = w.client();
    w.ask(reader, read_compacted);
    w.flow(reader, 2, 100);
    assert_eq!(w.payloads(reader).len(), 1, "the last of its key");
}

/// How many messages a client has heard by now.
fn heard(w: &mut World, c: ConnId) -> usize {
    let mut count = 0;
    while !w.silent(c) {
        count += usize::from(matches!(w.hear(c), Command::Message(_)));
    }
    count
}

#[test]
fn what_is_delivered_keeps_to_its_rate() {
    for (setting, kind) in [
        ("dispatchRate", SubType::EXCLUSIVE),
        ("dispatchRate", SubType::SHARED),
        ("subscriptionDispatchRate", SubType::FAILOVER),
        ("subscriptionDispatchRate", SubType::KEY_SHARED),
    ] {
        let mut w = World::new();
        let (c, d) = (w.client(), w.client());
        w.produce(c, 1, TOPIC);
        let rate = |messages: i64, bytes: i64| {
            format!(
                r#"{{"dispatchThrottlingRateInMsg":{messages},"dispatchThrottlingRateInByte":{bytes},"relativeToPublishRate":false,"ratePeriodInSecond":1}}"#
            )
        };
        set(&mut w, setting, &rate(10, -1));
        for n in 0..200 {
            w.publish(c, 1, n, "m");
        }
        w.consume(d, 1, TOPIC, "s", kind);
        w.flow(d, 1, 1000);
        wait(&mut w, &[c, d], 2);
        let first = heard(&mut w, d);
        assert!((20..=35).contains(&first), "{setting} {kind:?}: {first} in two seconds");
        wait(&mut w, &[c, d], 3);
        let then = heard(&mut w, d);
        assert!((28..=32).contains(&then), "{setting} {kind:?}: {then} in three seconds");
        // By bytes: about as many.
        let size = 50;
        set(&mut w, setting, &rate(-1, 5 * size));
        wait(&mut w, &[c, d], 2);
        let by_bytes = heard(&mut w, d);
        assert!((5..=60).contains(&by_bytes), "{setting} {kind:?}: {by_bytes} by bytes");
        set(&mut w, setting, &rate(-1, -1));
        wait(&mut w, &[c, d], 1);
        assert_eq!(first + then + by_bytes + heard(&mut w, d), 200, "{setting} {kind:?}");
    }
}

#[test]
fn a_batch_is_delivered_as_one_and_a_period_gives_back_at_once() {
    let mut w = World::new();
    let (c, d) = (w.client(), w.client());
    w.produce(c, 1, TOPIC);
    let rate = r#"{"dispatchThrottlingRateInMsg":10,"dispatchThrottlingRateInByte":-1,"relativeToPublishRate":false,"ratePeriodInSecond":3}"#;
    set(&mut w, "dispatchRate", rate);
    for _ in 0..25 {
        w.send(c, 1, 0, batch_of(3), "m");
        w.receipt(c);
    }
    w.consume(d, 1, TOPIC, "s", SubType::SHARED);
    w.flow(d, 1, 1000);
    assert_eq!(heard(&mut w, d), 10);
    wait(&mut w, &[c, d], 2);
    assert_eq!(heard(&mut w, d), 0);
    wait(&mut w, &[c, d], 2);
    assert_eq!(heard(&mut w, d), 10);
}

#[test]
fn what_is_sent_keeps_to_its_rate_and_nobody_else_waits() {
    let mut w = World::new();
    let (c, d) = (w.client(), w.client());
    w.produce(c, 1, TOPIC);
    w.produce(d, 1, OTHER);
    set_topic(&mut w, "publishRate", r#"{"publishThrottlingRateInMsg":10,"publishThrottlingRateInByte":-1}"#);
    let receipts = |w: &mut World, c: ConnId| {
        let mut count = 0;
        while !w.silent(c) {
            count += usize::from(matches!(w.hear(c), Command::SendReceipt(_)));
        }
        count
    };
    for n in 0..60 {
        w.send(c, 1, n, MessageMetadata::default(), "m");
        w.send(d, 1, n, MessageMetadata::default(), "m");
    }
    assert_eq!(receipts(&mut w, d), 60);
    let first = receipts(&mut w, c);
    assert!((9..=11).contains(&first), "{first} at once");
    assert!(!w.broker.wants_bytes(c) && w.broker.wants_bytes(d));
    let mut all = first;
    for second in 1..=5 {
        w.pass(Duration::from_secs(1));
        w.settle();
        let now = receipts(&mut w, c);
        assert!((9..=11).contains(&now), "{now} in second {second}");
        all += now;
    }
    assert_eq!(all, 60, "none is lost");
    w.pass(Duration::from_secs(2));
    assert!(w.broker.wants_bytes(c));
    w.publish(c, 1, 60, "in order");
}

#[test]
fn one_who_must_wait_for_long_is_not_taken_for_dead_and_may_not_send_without_end() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    set_topic(&mut w, "publishRate", r#"{"publishThrottlingRateInMsg":1,"publishThrottlingRateInByte":-1}"#);
    w.send(c, 1, 0, batch_of(300), "a batch of three hundred seconds");
    for _ in 0..12 {
        w.pass(Duration::from_secs(20));
        w.settle();
    }
    assert!(w.cut(c).is_none(), "{:?}", w.cut(c));
    let much = send_frame(1, 1, MessageMetadata::default(), &vec![b'x'; 1 << 20]);
    for _ in 0..20 {
        w.bytes(c, &much);
    }
    assert!(w.cut(c).is_some(), "a client that goes on is cut in the end");
}
