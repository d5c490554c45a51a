//! Consumers: who may be one, and what they are told.

use std::time::Duration;

use pulsewire_proto::wire::*;

use super::{close_consumer, scripts};
use crate::common::{batch_of, id, key, producer_on, subscribe};
use crate::side::Side;

scripts! {
    fn exclusive_takes_one(s) {
        let topic = s.topic();
        let (a, b) = (s.client(), s.client());
        s.ask(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.ask(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.ask(a, subscribe(2, &topic, "s", SubType::EXCLUSIVE));
        s.ask(b, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.ask(b, subscribe(1, &topic, "s", SubType::SHARED));
        s.ask(b, subscribe(1, &topic, "s", SubType::FAILOVER));
        s.ask(b, CommandSubscribe { durable: Some(false), ..subscribe(1, &topic, "s", SubType::EXCLUSIVE) });
        s.ask(a, close_consumer(1));
        s.ask(a, close_consumer(1));
        s.ask(b, subscribe(1, &topic, "s", SubType::SHARED));
        s.ask(a, subscribe(5, &topic, "s", SubType::KEY_SHARED));
    }

    fn an_exclusive_place_held_by_a_dead_connection_is_freed(s) {
        let topic = s.topic();
        let (a, b) = (s.client(), s.client());
        s.ask(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.die(a);
        s.say(b, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.hear_within(b, Duration::from_secs(2));
        s.hear(b);
        s.hear(a);
    }

    fn failover_on_a_topic_that_stores_nothing(s) {
        // Who is active depends on the topic's name.
        let topic = "non-persistent://public/default/differential-failover".to_owned();
        let (a, b) = (s.client(), s.client());
        let named = |id, name: &str| CommandSubscribe {
            consumer_name: Some(name.to_owned()),
            ..subscribe(id, &topic, "s", SubType::FAILOVER)
        };
        s.ask(a, producer_on(1, &topic));
        s.ask(b, named(1, "b"));
        s.flow(b, 1, 10);
        s.pause(200);
        s.publish(a, 1, 0, MessageMetadata::default(), "one is there");
        s.hear_all(b);
        s.ask(b, named(2, "a"));
        s.flow(b, 2, 10);
        s.pause(200);
        s.publish(a, 1, 1, MessageMetadata::default(), "two are there");
        s.hear_all(b);
        s.ask(b, CommandSubscribe { priority_level: Some(5), ..named(3, "c") });
        s.hear_all(b);
        s.ask(b, close_consumer(3));
        s.ask(b, close_consumer(2));
        s.publish(a, 1, 2, MessageMetadata::default(), "one is left");
        s.hear_all(b);
    }

    fn failover_tells_who_is_active(s) {
        // Who is active depends on the topic's name.
        let topic = "persistent://public/default/differential-failover".to_owned();
        s.admin("DELETE", "persistent/public/default/differential-failover?force=true", "");
        let a = s.client();
        let named = |id, name: &str, priority| CommandSubscribe {
            consumer_name: Some(name.to_owned()),
            priority_level: Some(priority),
            ..subscribe(id, &topic, "s", SubType::FAILOVER)
        };
        s.ask(a, named(1, "b", 0));
        s.hear_long(a);
        s.ask(a, named(2, "a", 0));
        s.hear_long(a);
        s.ask(a, named(3, "c", 0));
        s.hear_long(a);
        s.ask(a, close_consumer(1));
        s.hear_long(a);
        s.ask(a, close_consumer(2));
        s.hear_long(a);
        s.ask(a, named(4, "d", 1));
        s.hear_long(a);
        s.ask(a, close_consumer(3));
        s.hear_long(a);
        s.ask(a, named(5, "z", 0));
        s.hear_long(a);
    }

    fn failover_of_a_partition(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        s.order("PUT", &format!("persistent/public/default/{unique}/partitions"), "3");
        let a = s.client();
        for partition in 0..3 {
            let topic = format!("{topic}-partition-{partition}");
            s.find(a, &topic);
            for (n, name) in [(0, "x"), (1, "y")] {
                let command = CommandSubscribe {
                    consumer_name: Some(name.to_owned()),
                    ..subscribe(partition * 10 + n, &topic, "s", SubType::FAILOVER)
                };
                s.ask(a, command);
                s.hear_long(a);
            }
        }
    }

    fn priorities_of_a_shared_subscription(s) {
        let topic = s.topic();
        let a = s.client();
        s.ask(a, producer_on(1, &topic));
        for (n, priority) in [(1, 1), (2, 0), (3, 0)] {
            s.ask(a, CommandSubscribe { priority_level: Some(priority), ..subscribe(n, &topic, "s", SubType::SHARED) });
        }
        s.flow(a, 1, 10);
        s.flow(a, 2, 2);
        s.flow(a, 3, 3);
        let b = s.client();
        s.ask(b, producer_on(2, &topic));
        for n in 0..8 {
            s.publish(b, 2, n, MessageMetadata::default(), &format!("m{n}"));
            s.pause(30);
        }
        s.hear_all(a);
    }

    fn properties_of_subscriptions(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let a = s.client();
        let with = |id, name: &str, value: &str| CommandSubscribe {
            subscription_properties: vec![KeyValue { key: "k".to_owned(), value: value.to_owned() }],
            replicate_subscription_state: Some(true),
            metadata: vec![KeyValue { key: "m".to_owned(), value: "v".to_owned() }],
            ..subscribe(id, &topic, name, SubType::SHARED)
        };
        s.ask(a, with(1, "s", "first"));
        s.ask(a, with(2, "s", "second"));
        s.ask(a, subscribe(3, &topic, "plain", SubType::FAILOVER));
        s.hear_long(a);
        s.look(&format!("persistent/public/default/{unique}/stats"), &[
            "subscriptions.s.subscriptionProperties",
            "subscriptions.s.type",
            "subscriptions.s.durable",
            "subscriptions.s.replicated",
            "subscriptions.s.consumers.0.consumerName",
            "subscriptions.s.consumers.0.metadata",
            "subscriptions.plain.type",
            "subscriptions.plain.replicated",
            "subscriptions.plain.activeConsumerName",
            "subscriptions.plain.subscriptionProperties",
        ]);
    }

    fn last_message_ids(s) {
        let topic = s.topic();
        let a = s.client();
        let ask = |id| CommandGetLastMessageId { consumer_id: id, request_id: 50 };
        s.ask(a, ask(9));
        s.ask(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.ask(a, ask(1));
        s.ask(a, producer_on(1, &topic));
        let first = s.publish(a, 1, 0, MessageMetadata::default(), "x");
        s.ask(a, ask(1));
        s.publish(a, 1, 1, batch_of(3), "x");
        s.ask(a, ask(1));
        s.say(a, CommandAck {
            consumer_id: 1,
            ack_type: AckType::INDIVIDUAL,
            message_id: vec![first],
            ..CommandAck::default()
        });
        s.pause(100);
        s.ask(a, ask(1));
    }

    fn types_of_subscriptions_that_nobody_uses(s) {
        s.replace(r"localhost:\d+", "HERE");
        let (a, topic) = (s.client(), s.topic());
        let path = format!("persistent/public/default/{}", s.unique());
        let all = [
            "subscriptions.s.type", "subscriptions.s.keySharedMode", "subscriptions.s.allowOutOfOrderDelivery",
            "subscriptions.s.activeConsumerName", "subscriptions.s.consumers",
        ];
        s.find(a, &topic);
        s.ask(a, producer_on(1, &topic));
        s.order("PUT", &format!("{path}/subscription/s"), "");
        s.look(&format!("{path}/stats"), &all);
        for (id, kind) in [(1, SubType::SHARED), (2, SubType::FAILOVER), (3, SubType::KEY_SHARED), (4, SubType::EXCLUSIVE)] {
            s.ask(a, subscribe(id, &topic, "s", kind));
            s.hear_all(a);
            s.ask(a, close_consumer(id));
            s.look(&format!("{path}/stats"), &all);
        }
        s.order("PUT", &format!("{path}/unload"), "");
        s.pause(500);
        let anew = s.client();
        s.find(anew, &topic);
        s.ask(anew, producer_on(9, &topic));
        s.look(&format!("{path}/stats"), &all);
    }

    fn subscriptions_without_storage_that_nobody_uses(s) {
        let a = s.client();
        let topic = format!("non-persistent://public/default/{}", s.unique());
        let path = format!("non-persistent/public/default/{}", s.unique());
        s.find(a, &topic);
        s.ask(a, producer_on(1, &topic));
        for durable in [true, false] {
            s.ask(a, CommandSubscribe { durable: Some(durable), ..subscribe(1, &topic, "s", SubType::SHARED) });
            s.look(&format!("{path}/stats"), &["subscriptions.s.type", "subscriptions.s.durable"]);
            s.ask(a, close_consumer(1));
            s.look(&format!("{path}/stats"), &["subscriptions"]);
            s.inquire("GET", &format!("{path}/subscriptions"), "");
        }
    }

    fn sticky_ranges(s) {
        let topic = s.topic();
        // Names are the broker's, and addresses differ.
        s.replace(r"consumerName=[^,]*, address=[^}]*", "consumerName=NAME, address=X");
        let (a, b) = (s.client(), s.client());
        let sticky = |id, ranges: &[(i32, i32)]| CommandSubscribe {
            key_shared_meta: Some(KeySharedMeta {
                key_shared_mode: KeySharedMode::STICKY,
                hash_ranges: ranges.iter().map(|(start, end)| IntRange { start: *start, end: *end }).collect(),
                ..KeySharedMeta::default()
            }),
            ..subscribe(id, &topic, "s", SubType::KEY_SHARED)
        };
        s.ask(a, sticky(1, &[(0, 100), (200, 300)]));
        s.ask(a, sticky(2, &[(100, 150)]));
        s.ask(a, sticky(3, &[]));
        s.ask(a, sticky(4, &[(301, 65_535), (101, 199)]));
        s.ask(a, sticky(5, &[(0, 65_536)]));
        s.ask(a, sticky(5, &[(101, 65_535)]));
        s.ask(a, sticky(5, &[(150, 220)]));
        s.ask(a, sticky(5, &[(400, 500)]));
        s.ask(a, sticky(5, &[(150, 160), (155, 170)]));
        for ranges in [[(0, 10), (5, 20)], [(5, 20), (0, 10)], [(0, 10), (10, 20)], [(0, 20), (5, 10)], [(5, 5), (5, 5)], [(20, 10), (0, 5)], [(0, 5), (60_000, 70_000)]] {
            s.ask(a, CommandSubscribe { subscription: "t".to_owned(), ..sticky(7, &ranges) });
            s.ask(a, super::close_consumer(7));
        }
        s.ask(a, CommandSubscribe { subscription: "t".to_owned(), ..sticky(7, &[(30, 40), (0, 10), (35, 36), (5, 20)]) });
        s.ask(a, subscribe(6, &topic, "s", SubType::KEY_SHARED));
        s.ask(a, producer_on(1, &topic));
        s.flow(a, 1, 1000);
        s.flow(a, 4, 1000);
        s.ask(b, producer_on(2, &topic));
        for n in 0..30 {
            s.publish(b, 2, n, key(&format!("key{n}")), &format!("m{n}"));
        }
        s.hear_in_any_order(a);
    }

    fn keys_are_divided_by_consistent_hashing(s) {
        let topic = s.topic();
        let (a, b) = (s.client(), s.client());
        for (n, name) in [(1, "anna"), (2, "bert"), (3, "carl")] {
            let command = CommandSubscribe {
                consumer_name: Some(name.to_owned()),
                ..subscribe(n, &topic, "s", SubType::KEY_SHARED)
            };
            s.ask(a, command);
        }
        for n in 1..=3 {
            s.flow(a, n, 1000);
        }
        s.ask(b, producer_on(2, &topic));
        for n in 0..60 {
            s.publish(b, 2, n, key(&format!("key{n}")), &format!("m{n}"));
        }
        s.hear_in_any_order(a);
    }

    fn keys_move_when_their_messages_are_acknowledged(s) {
        let topic = s.topic();
        let (a, b) = (s.client(), s.client());
        let named = |n: u64, name: &str| CommandSubscribe {
            consumer_name: Some(name.to_owned()),
            ..subscribe(n, &topic, "s", SubType::KEY_SHARED)
        };
        s.ask(a, named(1, "anna"));
        s.flow(a, 1, 1000);
        s.ask(b, producer_on(2, &topic));
        for n in 0..12 {
            s.publish(b, 2, n, key(&format!("key{n}")), &format!("m{n}"));
        }
        let ids: Vec<MessageIdData> = s
            .hear_all(a)
            .into_iter()
            .filter_map(|command| match command {
                Command::Message(message) => Some(message.message_id),
                _ => None,
            })
            .collect();
        s.ask(a, named(2, "bert"));
        s.flow(a, 2, 1000);
        for n in 12..24 {
            s.publish(b, 2, n, key(&format!("key{}", n - 12)), &format!("m{n}"));
        }
        s.hear_all(a);
        s.say(a, CommandAck { consumer_id: 1, ack_type: AckType::INDIVIDUAL, message_id: ids, ..CommandAck::default() });
        s.hear_all(a);
    }

    fn keys_drain_when_they_change_hands(s) {
        let topic = s.topic();
        // How often something was tried, and the ports.
        s.replace(r#""blockedAttempts":[1-9]\d*"#, "SOME");
        let (a, b) = (s.client(), s.client());
        let named = |n: u64, name: &str| CommandSubscribe {
            consumer_name: Some(name.to_owned()),
            ..subscribe(n, &topic, "s", SubType::KEY_SHARED)
        };
        let path = format!("persistent/public/default/{}/stats", s.unique());
        let look = |s: &mut crate::side::Side| {
            let parts = ["Count", "ClearedTotal", "UnackedMessages", ""];
            let of = |place: &str| parts.map(|part| format!("subscriptions.s.{place}drainingHashes{part}"));
            let of_all = [of(""), of("consumers.0."), of("consumers.1.")].concat();
            let ranges = [0, 1].map(|n| format!("subscriptions.s.consumers.{n}.keyHashRangeArrays"));
            let all: Vec<&str> = of_all.iter().chain(&ranges).map(String::as_str).collect();
            s.pause(300);
            s.look(&path, &all);
        };
        let acked = |consumer: u64, ids: &[MessageIdData]| CommandAck {
            consumer_id: consumer,
            ack_type: AckType::INDIVIDUAL,
            message_id: ids.to_vec(),
            ..CommandAck::default()
        };
        let received = |commands: Vec<Command>| -> Vec<MessageIdData> {
            commands
                .into_iter()
                .filter_map(|command| match command {
                    Command::Message(message) => Some(message.message_id),
                    _ => None,
                })
                .collect()
        };
        s.ask(a, named(1, "anna"));
        s.flow(a, 1, 1000);
        s.ask(b, producer_on(2, &topic));
        for n in 0..12 {
            s.publish(b, 2, n, key(&format!("key{n}")), &format!("m{n}"));
        }
        let ids = received(s.hear_all(a));
        look(s);
        s.note("another one comes");
        s.ask(a, named(2, "bert"));
        s.flow(a, 2, 1000);
        look(s);
        for n in 12..24 {
            s.publish(b, 2, n, key(&format!("key{}", n - 12)), &format!("m{n}"));
        }
        s.hear_all(a);
        look(s);
        s.note("half of them are acknowledged");
        s.say(a, acked(1, &ids[..6]));
        s.hear_in_any_order(a);
        look(s);
        s.note("one is given back");
        s.say(a, CommandRedeliverUnacknowledgedMessages { consumer_id: 1, message_ids: ids[6..].to_vec(), ..Default::default() });
        s.hear_in_any_order(a);
        look(s);
        s.note("the other one goes");
        s.ask(a, close_consumer(2));
        s.hear_in_any_order(a);
        look(s);
        s.note("and comes back");
        s.ask(a, named(2, "bert"));
        s.flow(a, 2, 1000);
        s.hear_all(a);
        look(s);
        s.note("the first one goes");
        s.ask(a, close_consumer(1));
        s.hear_in_any_order(a);
        look(s);
    }

    fn an_exclusive_consumer_of_some_keys(s) {
        let topic = s.topic();
        let (a, b) = (s.client(), s.client());
        s.ask(b, producer_on(1, &topic));
        for n in 0..20 {
            s.publish(b, 1, n, key(&format!("key{n}")), &format!("m{n}"));
        }
        let ranges = |ranges: &[(i32, i32)]| KeySharedMeta {
            key_shared_mode: KeySharedMode::STICKY,
            hash_ranges: ranges.iter().map(|(start, end)| IntRange { start: *start, end: *end }).collect(),
            ..KeySharedMeta::default()
        };
        let reader = |n: u64, meta| CommandSubscribe {
            durable: Some(false),
            start_message_id: Some(id(-1, -1)),
            key_shared_meta: Some(meta),
            ..subscribe(n, &topic, &format!("r{n}"), SubType::EXCLUSIVE)
        };
        for (n, meta) in [(1, ranges(&[(0, 20_000)])), (2, ranges(&[(20_001, 40_000), (40_001, 65_535)])), (3, ranges(&[]))] {
            s.ask(a, reader(n, meta));
            s.flow(a, n, 100);
            s.hear_all(a);
        }
        s.note("a durable one, and another after it");
        s.ask(a, CommandSubscribe { key_shared_meta: Some(ranges(&[(0, 20_000)])), ..subscribe(4, &topic, "s", SubType::EXCLUSIVE) });
        s.flow(a, 4, 100);
        s.hear_all(a);
        s.look(&format!("persistent/public/default/{}/stats", s.unique()), &["subscriptions.s.msgBacklog", "subscriptions.s.type"]);
        s.ask(a, close_consumer(4));
        s.ask(a, subscribe(5, &topic, "s", SubType::EXCLUSIVE));
        s.flow(a, 5, 100);
        s.hear_all(a);
        s.note("failover takes no notice");
        s.ask(a, CommandSubscribe { key_shared_meta: Some(ranges(&[(0, 100)])), ..subscribe(6, &topic, "f", SubType::FAILOVER) });
        s.hear_long(a);
        s.flow(a, 6, 3);
        s.hear_all(a);
    }

    fn consumers_agree_on_whether_order_is_kept(s) {
        let topic = s.topic();
        let a = s.client();
        for (sub, loose) in [("strict", false), ("loose", true)] {
            for (n, loose) in [(1, loose), (2, !loose), (3, loose)] {
                let meta = KeySharedMeta { allow_out_of_order_delivery: Some(loose), ..KeySharedMeta::default() };
                let n = if sub == "loose" { n + 10 } else { n };
                s.ask(a, CommandSubscribe { key_shared_meta: Some(meta), ..subscribe(n, &topic, sub, SubType::KEY_SHARED) });
            }
        }
    }

    fn nothing_drains_where_order_is_not_kept(s) {
        let topic = s.topic();
        let (a, b) = (s.client(), s.client());
        let path = format!("persistent/public/default/{}/stats", s.unique());
        for (sub, meta) in [
            ("loose", KeySharedMeta { allow_out_of_order_delivery: Some(true), ..KeySharedMeta::default() }),
            ("sticky", KeySharedMeta {
                key_shared_mode: KeySharedMode::STICKY,
                hash_ranges: vec![IntRange { start: 0, end: 65_535 }],
                ..KeySharedMeta::default()
            }),
        ] {
            s.ask(a, CommandSubscribe { key_shared_meta: Some(meta), ..subscribe(if sub == "loose" { 1 } else { 2 }, &topic, sub, SubType::KEY_SHARED) });
        }
        s.ask(a, subscribe(3, &topic, "shared", SubType::SHARED));
        s.ask(b, producer_on(2, &topic));
        for n in 0..3 {
            s.publish(b, 2, n, key(&format!("key{n}")), &format!("m{n}"));
        }
        for sub in ["loose", "sticky", "shared"] {
            s.look(&path, &[
                &format!("subscriptions.{sub}.allowOutOfOrderDelivery"),
                &format!("subscriptions.{sub}.keySharedMode"),
                &format!("subscriptions.{sub}.drainingHashesCount"),
                &format!("subscriptions.{sub}.consumers.0.drainingHashesCount"),
                &format!("subscriptions.{sub}.consumers.0.drainingHashes"),
                &format!("subscriptions.{sub}.consumers.0.keyHashRangeArrays"),
                &format!("subscriptions.{sub}.consumers.0.keyHashRanges"),
            ]);
        }
    }

    fn a_batch_is_acknowledged_by_its_bits(s) {
        let topic = s.topic();
        let a = s.client();
        s.ask(a, producer_on(1, &topic));
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        let first = s.publish(a, 1, 0, batch_of(4), "x");
        s.flow(a, 1, 10);
        s.hear_all(a);
        let ack = |set: &[i64]| CommandAck {
            consumer_id: 1,
            ack_type: AckType::INDIVIDUAL,
            message_id: vec![MessageIdData { ack_set: set.to_vec(), ..first.clone() }],
            request_id: Some(77),
            ..CommandAck::default()
        };
        s.ask(a, ack(&[0b1101]));
        let again = CommandRedeliverUnacknowledgedMessages { consumer_id: 1, ..Default::default() };
        s.say(a, again.clone());
        s.hear_all(a);
        s.ask(a, ack(&[0b0010]));
        s.say(a, again);
        s.hear_all(a);
        s.ask(a, CommandAck { consumer_id: 1, ack_type: AckType::CUMULATIVE, message_id: vec![first.clone()], request_id: Some(78), ..CommandAck::default() });
        s.ask(a, CommandAck { consumer_id: 1, ack_type: AckType::INDIVIDUAL, message_id: vec![id(-1, -1)], request_id: Some(79), ..CommandAck::default() });
    }

    fn too_many_unacknowledged_hold_delivery(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let (a, b) = (s.client(), s.client());
        s.ask(a, producer_on(1, &topic));
        s.order("POST", &format!("persistent/public/default/{unique}/maxUnackedMessagesOnConsumer"), "3");
        s.inquire("GET", &format!("persistent/public/default/{unique}/maxUnackedMessagesOnConsumer"), "");
        s.pause(1000);
        s.ask(b, subscribe(1, &topic, "s", SubType::SHARED));
        s.flow(b, 1, 100);
        let ids: Vec<MessageIdData> =
            (0..8).map(|n| s.publish(a, 1, n, MessageMetadata::default(), &format!("m{n}"))).collect();
        s.hear_all(b);
        s.say(b, CommandAck { consumer_id: 1, ack_type: AckType::INDIVIDUAL, message_id: ids[..2].to_vec(), ..CommandAck::default() });
        s.hear_all(b);
        s.order("DELETE", &format!("persistent/public/default/{unique}/maxUnackedMessagesOnConsumer"), "");
    }

    fn unsubscribing(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let (a, b) = (s.client(), s.client());
        let end = |id, force| CommandUnsubscribe { consumer_id: id, request_id: 40 + id, force };
        s.ask(a, end(9, None));
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        s.ask(b, subscribe(2, &topic, "s", SubType::SHARED));
        s.ask(a, end(1, None));
        s.ask(a, end(1, Some(true)));
        s.hear_all(b);
        s.inquire("GET", &format!("persistent/public/default/{unique}/subscriptions"), "");
        s.ask(a, subscribe(3, &topic, "s", SubType::EXCLUSIVE));
        s.ask(a, end(3, None));
        s.ask(a, end(3, None));
    }
}

/// On sockets, because it looks at addresses.
#[test]
fn consumer_statistics() {
    fn script(s: &mut Side) {
        let topic = s.topic();
        let a = s.client();
        s.replace(r"/[0-9.]+:[0-9]+", "ADDRESS");
        s.replace(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "DATE");
        s.replace(r"msg_rate_out: Some\([^)]*\), msg_throughput_out: Some\([^)]*\), msg_rate_redeliver: Some\([^)]*\)", "RATES");
        s.replace(r"message_ack_rate: Some\([^)]*\)", "RATE");
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        s.ask(a, producer_on(1, &topic));
        for n in 0..3 {
            s.publish(a, 1, n, MessageMetadata::default(), "x");
        }
        s.flow(a, 1, 2);
        s.hear_all(a);
        s.ask(a, CommandConsumerStats { consumer_id: 1, request_id: 60 });
        s.ask(a, CommandConsumerStats { consumer_id: 7, request_id: 61 });
    }
    crate::play_on_sockets("consumer_statistics", script);
}
