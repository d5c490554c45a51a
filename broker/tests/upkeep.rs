//! What the broker looks after with time: old messages, large backlogs, what retention keeps.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::*;
use pulsewire_broker::BrokerConfig;
use pulsewire_broker::core::names::TopicName;
use pulsewire_broker::core::{BacklogQuota, Policies, QuotaPolicy, Retention, Scope, SubscriptionStats};
use pulsewire_proto::wire::*;

const TOPIC: &str = "persistent://public/default/t";

fn name() -> TopicName {
    TopicName::parse(TOPIC).unwrap()
}

fn set(w: &mut World, change: impl FnOnce(&mut Policies)) {
    w.broker.set_policies(&Scope::Topic(name()), change, w.now).unwrap();
}

fn backlog(w: &World) -> u64 {
    w.broker.stats(&name()).unwrap().subscriptions[0].backlog
}

fn quota(policy: QuotaPolicy) -> Option<BacklogQuota> {
    Some(BacklogQuota { bytes: 1000, seconds: -1, policy })
}

#[test]
fn old_messages_are_passed_over() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    set(&mut w, |p| p.message_ttl = Some(100));
    w.publish(c, 1, 0, "old");
    w.pass(Duration::from_secs(59));
    w.hear(c);
    w.say(c, CommandPong::default());
    w.publish(c, 1, 1, "young");
    w.pass(Duration::from_secs(62));
    assert_eq!(backlog(&w), 1);
    let late = w.client();
    w.consume(late, 1, TOPIC, "s", SubType::SHARED);
    w.flow(late, 1, 10);
    assert_eq!(w.payloads(late), ["young"]);
}

#[test]
fn too_large_a_backlog_sends_producers_away() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    set(&mut w, |p| p.backlog_quota = quota(QuotaPolicy::ProducerRequestHold));
    let ids: Vec<MessageIdData> = (0..3).map(|n| w.publish(c, 1, n, &"x".repeat(500))).collect();
    w.pass(Duration::from_secs(31));
    w.say(c, CommandPong::default());
    w.pass(Duration::from_secs(30));
    let mut closed = false;
    while !w.silent(c) {
        closed |= matches!(w.hear(c), Command::CloseProducer(_));
    }
    assert!(closed);
    let (error, _) = refusal(w.ask(c, producer_on(1, TOPIC)));
    assert_eq!(error, ServerError::PRODUCER_BLOCKED_QUOTA_EXCEEDED_ERROR);
    w.flow(c, 1, 10);
    w.payloads(c);
    w.ack(c, 1, AckType::INDIVIDUAL, &ids);
    w.produce(c, 1, TOPIC);
}

#[test]
fn too_large_a_backlog_is_given_up_where_that_is_wanted() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    set(&mut w, |p| p.backlog_quota = quota(QuotaPolicy::ConsumerBacklogEviction));
    for n in 0..4 {
        w.publish(c, 1, n, &"x".repeat(400));
    }
    w.pass(Duration::from_secs(31));
    w.say(c, CommandPong::default());
    w.pass(Duration::from_secs(30));
    assert_eq!(backlog(&w), 2);
}

/// The cursor of compactions passes over messages as subscriptions do, and lets go of them.
#[test]
fn what_is_not_compacted_is_given_up_where_that_is_wanted() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    set(&mut w, |p| {
        p.backlog_quota = quota(QuotaPolicy::ConsumerBacklogEviction);
        p.compaction_threshold = Some(1 << 30);
        p.retention = Some(Retention { minutes: 0, megabytes: 0 });
    });
    for n in 0..4 {
        w.publish(c, 1, n, &"x".repeat(400));
    }
    wait(&mut w, c, 61);
    let stats = w.broker.stats(&name()).unwrap();
    let backlogs: Vec<_> = stats.subscriptions.iter().map(|sub| (sub.name.as_str(), sub.backlog)).collect();
    assert_eq!(backlogs, [("s", 2), ("__compaction", 2)]);
    assert_eq!(stored(&w), 2);
    w.broker.skip_all(&name(), "s", w.now).unwrap();
    w.broker.compact(&name(), w.now).unwrap();
    w.publish(c, 1, 4, "more");
    let cursor = |sub: &SubscriptionStats| sub.name == "__compaction" && sub.backlog == 1;
    assert!(w.broker.stats(&name()).unwrap().subscriptions.iter().any(cursor));
}

#[test]
fn what_retention_keeps_does_not_make_room() {
    let mut w = World::with(BrokerConfig { max_stored_bytes: 20_000, ..BrokerConfig::default() });
    let c = w.client();
    w.produce(c, 1, TOPIC);
    set(&mut w, |p| p.retention = Some(Retention { minutes: -1, megabytes: -1 }));
    let mut sequence = 0;
    let refused = loop {
        w.send(c, 1, sequence, MessageMetadata::default(), &"x".repeat(1000));
        sequence += 1;
        match w.hear(c) {
            Command::SendReceipt(_) => assert!(sequence < 100),
            Command::SendError(error) => break error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused.error, ServerError::PERSISTENCE_ERROR);
    assert!(matches!(w.hear(c), Command::CloseProducer(_)));
    set(&mut w, |p| p.retention = None);
    w.produce(c, 1, TOPIC);
    w.send(c, 1, sequence, MessageMetadata::default(), "x");
    assert!(matches!(w.hear(c), Command::SendReceipt(_)));
}

/// Lets time pass, answering PING.
fn wait(w: &mut World, c: pulsewire_broker::ConnId, seconds: u64) {
    for _ in 0..seconds {
        w.pass(Duration::from_secs(1));
        while !w.silent(c) {
            assert!(matches!(w.hear(c), Command::Ping(_)));
            w.say(c, CommandPong::default());
        }
    }
}

fn stored(w: &World) -> u64 {
    w.broker.internal_stats(&name()).unwrap().entries
}

#[test]
fn what_is_consumed_goes_when_retention_ends_by_time_or_size() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    set(&mut w, |p| p.retention = Some(Retention { minutes: 2, megabytes: -1 }));
    let ids: Vec<MessageIdData> = (0..5).map(|n| w.publish(c, 1, n, "m")).collect();
    w.ack(c, 1, AckType::INDIVIDUAL, &ids[..3]);
    wait(&mut w, c, 119);
    assert_eq!(stored(&w), 5, "two minutes have not passed");
    wait(&mut w, c, 121);
    assert_eq!(stored(&w), 2, "what is not acknowledged stays");
    w.ack(c, 1, AckType::INDIVIDUAL, &ids[3..]);
    wait(&mut w, c, 61);
    assert_eq!(stored(&w), 0);

    set(&mut w, |p| p.retention = Some(Retention { minutes: -1, megabytes: 1 }));
    let big = "x".repeat(400_000);
    let ids: Vec<MessageIdData> = (5..10).map(|n| w.publish(c, 1, n, &big)).collect();
    w.ack(c, 1, AckType::INDIVIDUAL, &ids);
    wait(&mut w, c, 61);
    assert_eq!(stored(&w), 2, "two fit into a megabyte");

    set(&mut w, |p| p.retention = Some(Retention { minutes: 0, megabytes: 0 }));
    wait(&mut w, c, 61);
    assert_eq!(stored(&w), 0);
    w.publish(c, 1, 10, "and on it goes");
    w.flow(c, 1, 1);
    assert_eq!(w.payloads(c), ["and on it goes"]);
}

#[test]
fn of_a_producer_that_is_refused_for_want_of_room_nothing_is_stored_until_it_opens_anew() {
    let mut w = World::with(BrokerConfig { max_stored_bytes: 20_000, ..BrokerConfig::default() });
    let (c, other) = (w.client(), w.client());
    w.produce(c, 1, TOPIC);
    w.consume(other, 1, TOPIC, "s", SubType::SHARED);
    w.flow(other, 1, 1000);
    let payload = "x".repeat(1000);
    for n in 0..40 {
        w.send(c, 1, n, MessageMetadata::default(), if n < 25 { &payload } else { "small" });
    }
    let mut heard = Vec::new();
    while !w.silent(c) {
        heard.push(w.hear(c));
    }
    let stored = heard.iter().take_while(|command| matches!(command, Command::SendReceipt(_))).count();
    assert!((10..20).contains(&stored), "{stored}");
    assert!(matches!(heard[stored..], [Command::SendError(_), Command::CloseProducer(_)]), "{heard:?}");
    assert!(w.cut(c).is_none());
    let ids: Vec<MessageIdData> =
        w.deliveries(other).into_iter().map(|(message, _)| message.message_id).collect();
    assert_eq!(ids.len(), stored);
    w.ack(other, 1, AckType::INDIVIDUAL, &ids);
    w.produce(c, 1, TOPIC);
    w.publish(c, 1, 99, &payload);
    assert_eq!(w.payloads(other).len(), 1);
}

#[test]
fn what_was_consumed_long_ago_goes_and_nothing_else() {
    let keep = 20_000;
    let mut w = World::with(BrokerConfig { max_consumed_bytes: keep, ..BrokerConfig::default() });
    let c = w.client();
    w.produce(c, 1, TOPIC);
    let payload = "x".repeat(1000);
    let mut sequence = 0;
    let mut publish = |w: &mut World, count: usize| -> Vec<MessageIdData> {
        (0..count)
            .map(|_| {
                sequence += 1;
                w.publish(c, 1, sequence, &payload)
            })
            .collect()
    };
    publish(&mut w, 40);
    assert_eq!(stored(&w), 40, "nobody has consumed it");
    w.consume(c, 1, TOPIC, "slow", SubType::SHARED);
    w.consume(c, 2, TOPIC, "fast", SubType::SHARED);
    let ids = publish(&mut w, 10);
    w.ack(c, 2, AckType::INDIVIDUAL, &ids);
    publish(&mut w, 1);
    assert_eq!(stored(&w), 51, "one of the two has not");
    w.broker.skip_all(&name(), "slow", w.now).unwrap();
    w.broker.skip_all(&name(), "fast", w.now).unwrap();
    publish(&mut w, 5);
    let left = stored(&w);
    assert!((15..20).contains(&left), "as many as fit are kept for who seeks back: {left}");
    assert_eq!(backlog(&w), 5);
    publish(&mut w, 40);
    assert_eq!(backlog(&w), 45);
    assert_eq!(stored(&w), 45, "what is not acknowledged stays, however much");
    set(&mut w, |p| p.retention = Some(Retention { minutes: -1, megabytes: -1 }));
    w.broker.skip_all(&name(), "slow", w.now).unwrap();
    w.broker.skip_all(&name(), "fast", w.now).unwrap();
    let mut ids = publish(&mut w, 5);
    assert_eq!(stored(&w), 50, "and so does what is retained");
    set(&mut w, |p| p.retention = None);
    ids.extend(publish(&mut w, 1));
    assert!(stored(&w) < 20);
    ids.extend(publish(&mut w, 40));
    w.ack(c, 1, AckType::INDIVIDUAL, &ids);
    assert!(stored(&w) > 40, "the other has not: {}", stored(&w));
    w.ack(c, 2, AckType::INDIVIDUAL, &ids);
    assert!((15..20).contains(&stored(&w)), "also when nothing comes any more: {}", stored(&w));
}

#[test]
fn what_passes_is_measured_once_a_minute() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    for n in 0..120 {
        w.publish(c, 1, n, "m");
    }
    w.flow(c, 1, 1000);
    let ids: Vec<MessageIdData> = w.deliveries(c).into_iter().map(|(m, _)| m.message_id).collect();
    assert_eq!(ids.len(), 120);
    w.ack(c, 1, AckType::INDIVIDUAL, &ids[..30]);
    let again = CommandRedeliverUnacknowledgedMessages {
        consumer_id: 1,
        message_ids: ids[60..].to_vec(),
        ..Default::default()
    };
    w.say(c, again);
    assert_eq!(w.payloads(c).len(), 60);
    let minute = |w: &mut World| {
        for _ in 0..60 {
            w.pass(Duration::from_secs(1));
            w.say(c, CommandPong::default());
        }
        w.broker.stats(&name()).unwrap()
    };
    assert_eq!(w.broker.stats(&name()).unwrap().rates.messages_in, 0.0);
    let stats = minute(&mut w);
    assert_eq!((stats.rates.messages_in, stats.rates.messages_out), (2.0, 3.0));
    assert_eq!(stats.subscriptions[0].rates.messages_out, 3.0);
    let (publisher, consumer) = (&stats.publishers[0], &stats.subscriptions[0].consumers[0]);
    assert_eq!((publisher.rates.messages_in, publisher.rates.bytes_in), (2.0, stats.rates.bytes_in));
    assert_eq!(publisher.rates.average_size() * 120.0, stats.bytes_in as f64);
    assert_eq!((consumer.rates.redelivered, consumer.rates.acknowledged), (1.0, 0.5));
    assert_eq!(
        (consumer.rates.messages_out, consumer.rates.bytes_out * 60.0),
        (3.0, consumer.bytes_out as f64)
    );
    w.say(c, CommandConsumerStats { consumer_id: 1, request_id: 9 });
    let told = loop {
        if let Command::ConsumerStatsResponse(told) = w.hear(c) {
            break told;
        }
    };
    assert_eq!(
        (told.msg_rate_out, told.msg_rate_redeliver, told.message_ack_rate),
        (Some(3.0), Some(1.0), Some(0.5))
    );
    assert_eq!(stats.rates.bytes_in * 60.0, stats.bytes_in as f64);
    let stats = minute(&mut w);
    assert_eq!((stats.rates.messages_in, stats.subscriptions[0].rates.messages_out), (0.0, 0.0));
}
