//! Quotas, retention, expiry: what holds or takes messages away.

use pulsewire_proto::wire::*;

use super::{close_consumer, scripts};
use crate::common::{WALL, id, producer_on, subscribe};
use crate::side::Side;

const ALL: &str = "subscriptionDispatchRate";
const OWN: &str = "own/dispatchRate";

type Rates = &'static [(&'static str, Option<i32>)];

/// What is set, one after the other, in messages.
const OWN_RATES: &[(&str, SubType, Rates)] = &[
    ("its own", SubType::SHARED, &[(OWN, Some(3))]),
    ("its own, exclusive", SubType::EXCLUSIVE, &[(OWN, Some(3))]),
    ("its own is smaller", SubType::SHARED, &[(ALL, Some(5)), (OWN, Some(3))]),
    ("its own is larger", SubType::SHARED, &[(OWN, Some(7)), (ALL, Some(5))]),
    ("its own is -1", SubType::SHARED, &[(ALL, Some(5)), (OWN, Some(-1))]),
    ("its own is 0", SubType::SHARED, &[(ALL, Some(5)), (OWN, Some(0))]),
    ("its own is gone", SubType::SHARED, &[(ALL, Some(5)), (OWN, Some(3)), (OWN, None)]),
    ("of all is gone", SubType::SHARED, &[(ALL, Some(5)), (OWN, Some(3)), (ALL, None)]),
    ("its own is larger than the topic's", SubType::SHARED, &[(OWN, Some(7)), ("dispatchRate", Some(4))]),
];

scripts! {
    fn what_is_consumed_is_there_until_its_ledger_is_closed(s) {
        let base = s.topic();
        let unique = s.unique().to_owned();
        let (a, b) = (s.client(), s.client());
        let all = |s: &mut Side, topic: &str, sub: &str| {
            let c = s.client();
            s.ask(c, subscribe(1, topic, sub, SubType::EXCLUSIVE));
            s.flow(c, 1, 100);
            s.hear_all(c);
            s.leave(c);
        };
        for (number, kind) in ["consumed", "half", "unread", "retained"].into_iter().enumerate() {
            s.note(format!("-- {kind}"));
            let (topic, path) = (format!("{base}-{kind}"), format!("persistent/public/default/{unique}-{kind}"));
            let (producer, consumer) = (number as u64, 10 + number as u64);
            s.ask(a, producer_on(producer, &topic));
            if kind == "retained" {
                s.order("POST", &format!("{path}/retention"), r#"{"retentionTimeInMinutes":-1,"retentionSizeInMB":-1}"#);
                s.pause(1000);
            }
            if kind != "unread" {
                s.ask(b, subscribe(consumer, &topic, "s", SubType::EXCLUSIVE));
            }
            let ids: Vec<_> =
                (0..4).map(|n| s.publish(a, producer, n, MessageMetadata::default(), &format!("m{n}"))).collect();
            let last = if kind == "half" { &ids[1] } else { &ids[3] };
            if kind != "unread" {
                s.flow(b, consumer, 10);
                s.hear_all(b);
                s.say(b, CommandAck { consumer_id: consumer, ack_type: AckType::CUMULATIVE, message_id: vec![last.clone()], ..CommandAck::default() });
                s.pause(300);
            }
            s.note("a subscription from the beginning, and a seek");
            all(s, &topic, "late");
            if kind != "unread" {
                s.say(b, CommandSeek { consumer_id: consumer, request_id: 7, message_id: Some(id(-1, -1)), ..CommandSeek::default() });
                s.hear_all(b);
                s.ask(b, subscribe(consumer, &topic, "s", SubType::EXCLUSIVE));
                s.flow(b, consumer, 10);
                s.hear_all(b);
                s.say(b, CommandAck { consumer_id: consumer, ack_type: AckType::CUMULATIVE, message_id: vec![last.clone()], ..CommandAck::default() });
                s.pause(300);
            }
            s.order("DELETE", &format!("{path}/subscription/late"), "");
            s.order("PUT", &format!("{path}/unload"), "");
            s.hear_in_any_order(a);
            s.hear_in_any_order(b);
            s.pause(500);
            s.find(a, &topic);
            s.note("after it was unloaded");
            all(s, &topic, "later");
            s.ask(a, producer_on(producer, &topic));
            s.publish(a, producer, 9, MessageMetadata::default(), "one more");
            all(s, &topic, "latest");
        }
    }

    fn expired_messages_are_counted(s) {
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        // A time, not when.
        s.replace(r"Timestamp = \d{13}", "Timestamp = TIME");
        let a = s.client();
        s.ask(a, producer_on(1, &topic));
        s.ask(a, subscribe(1, &topic, "here", SubType::SHARED));
        s.order("PUT", &format!("{path}/subscription/gone"), r#"{"ledgerId":-1,"entryId":-1}"#);
        for n in 0..3 {
            s.publish(a, 1, n, MessageMetadata { publish_time: 1, ..MessageMetadata::default() }, "m");
        }
        let look = |s: &mut Side| {
            for sub in ["here", "gone"] {
                let parts = ["totalMsgExpired", "lastExpireTimestamp", "lastConsumedFlowTimestamp", "msgBacklog"];
                let parts = parts.map(|part| format!("subscriptions.{sub}.{part}"));
                s.look(&format!("{path}/stats"), &parts.iter().map(String::as_str).collect::<Vec<_>>());
            }
        };
        look(s);
        s.flow(a, 1, 10);
        s.hear_all(a);
        s.pause(2000);
        for seconds in [100, 2, 1] {
            for sub in ["here", "gone"] {
                s.order("POST", &format!("{path}/subscription/{sub}/expireMessages/{seconds}"), "");
            }
            s.pause(300);
            look(s);
        }
    }

    /// A subscription's own rate, beside that of all subscriptions and that of the topic.
    fn a_subscription_delivers_at_its_own_rate(s) {
        let (base, unique) = (s.topic(), s.unique().to_owned());
        let a = s.client();
        for (n, (what, kind, rates)) in OWN_RATES.iter().enumerate() {
            let (topic, path) = (format!("{base}-{n}"), format!("persistent/public/default/{unique}-{n}"));
            s.find(a, &topic);
            s.note(format!("-- {what}"));
            s.ask(a, producer_on(n as u64, &topic));
            for sub in ["own", "other"] {
                s.ask(a, subscribe(1, &topic, sub, *kind));
                s.ask(a, close_consumer(1));
            }
            for sequence in 0..9 {
                s.publish(a, n as u64, sequence, MessageMetadata::default(), "m");
            }
            for (setting, messages) in *rates {
                let path = format!("{path}/{setting}");
                let Some(messages) = messages else {
                    s.order("DELETE", &path, "");
                    continue;
                };
                let bytes = if *messages == 0 { 0 } else { -1 };
                s.order("POST", &path, &format!(r#"{{"dispatchThrottlingRateInMsg":{messages},"dispatchThrottlingRateInByte":{bytes},"ratePeriodInSecond":30,"relativeToPublishRate":false}}"#));
                s.pause_if_real(200);
            }
        }
        s.pause_if_real(2000);
        for (n, (what, kind, _)) in OWN_RATES.iter().enumerate() {
            s.note(format!("-- {what}"));
            for sub in ["own", "other"] {
                let c = s.client();
                s.ask(c, subscribe(1, &format!("{base}-{n}"), sub, *kind));
                // One by one: what has gone out counts before the next is asked for.
                let mut came = 0;
                while came < 9 {
                    s.flow(c, 1, 1);
                    let Some(_) = s.next_within(c, 400) else { break };
                    came += 1;
                    s.pause_if_real(40);
                }
                s.note(format!("{sub}: {came}"));
                s.leave(c);
            }
        }
    }

    fn consumers_come_as_often_as_they_may(s) {
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let (a, b) = (s.client(), s.client());
        s.ask(a, producer_on(9, &topic));
        s.order("POST", &format!("{path}/subscribeRate"), r#"{"subscribeThrottlingRatePerConsumer":2,"ratePeriodInSecond":10}"#);
        s.pause(1500);
        for n in 0..4 {
            s.note(format!("-- {n}"));
            s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
            s.ask(a, close_consumer(1));
        }
        s.note("-- another one, and the same from elsewhere");
        s.ask(a, subscribe(2, &topic, "s", SubType::SHARED));
        s.ask(b, subscribe(1, &topic, "other", SubType::SHARED));
        s.pause(6000);
        s.note("-- later");
        for _ in 0..2 {
            s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
            s.ask(a, close_consumer(1));
        }
        s.order("DELETE", &format!("{path}/subscribeRate"), "");
        s.pause(1500);
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
    }

    fn a_full_backlog_holds_or_refuses_producers(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        let (a, b) = (s.client(), s.client());
        s.ask(b, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.ask(a, producer_on(1, &topic));
        let big = "x".repeat(4000);
        for n in 0..3 {
            s.publish(a, 1, n, MessageMetadata::default(), &big);
        }
        for (n, policy) in [(2, "producer_request_hold"), (3, "producer_exception"), (4, "consumer_backlog_eviction")] {
            let quota = format!("{{\"limitSize\":5000,\"limitTime\":-1,\"policy\":\"{policy}\"}}");
            s.order("POST", &format!("{path}/backlogQuota"), &quota);
            s.pause(500);
            s.inquire("GET", &format!("{path}/backlogQuotaMap"), "");
            s.ask(b, producer_on(n, &topic));
        }
        s.order("DELETE", &format!("{path}/backlogQuota"), "");
        s.pause(500);
        s.inquire("GET", &format!("{path}/backlogQuotaMap"), "");
        s.ask(b, producer_on(9, &topic));
    }

    fn settings_are_read_back(s) {
        let unique = s.unique().to_owned();
        let topic = format!("persistent/public/default/{unique}");
        let namespace = format!("namespaces/public/{}", s.short());
        s.order("PUT", &topic, "");
        s.order("PUT", &namespace, "");
        for (at, path, value) in [
            (&topic, "messageTTL?messageTTL=30", ""),
            (&topic, "delayedDelivery", r#"{"active":true,"tickTime":500,"maxDeliveryDelayInMillis":0}"#),
            (&topic, "maxProducers", "3"),
            (&topic, "maxConsumers", "3"),
            (&topic, "maxSubscriptionsPerTopic", "4"),
            (&topic, "maxMessageSize", "1000"),
            (&topic, "compactionThreshold", "1000"),
            (&namespace, "retention", r#"{"retentionTimeInMinutes":10,"retentionSizeInMB":5}"#),
            (&namespace, "messageTTL", "30"),
            (&namespace, "maxProducersPerTopic", "3"),
            (&namespace, "maxConsumersPerTopic", "3"),
            (&namespace, "compactionThreshold", "1000"),
            (&namespace, "autoTopicCreation", r#"{"allowAutoTopicCreation":true,"topicType":"partitioned","defaultNumPartitions":3}"#),
        ] {
            let bare = path.split('?').next().unwrap_or(path);
            s.inquire("GET", &format!("{at}/{bare}"), "");
            let put = at == &namespace && path == "compactionThreshold";
            let method = if put { "PUT" } else { "POST" };
            s.order(method, &format!("{at}/{path}"), value);
            s.pause(300);
            s.inquire("GET", &format!("{at}/{bare}"), "");
            s.order("DELETE", &format!("{at}/{bare}"), "");
        }
    }

    fn too_many_producers_and_consumers(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        let a = s.client();
        s.order("PUT", &path, "");
        s.order("POST", &format!("{path}/maxProducers"), "1");
        s.order("POST", &format!("{path}/maxConsumers"), "1");
        s.order("POST", &format!("{path}/maxSubscriptionsPerTopic"), "1");
        s.pause(1000);
        s.ask(a, producer_on(1, &topic));
        s.ask(a, producer_on(2, &topic));
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        s.ask(a, subscribe(2, &topic, "s", SubType::SHARED));
        s.ask(a, subscribe(3, &topic, "t", SubType::SHARED));
    }

    fn settings_that_refuse(s) {
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let (a, b) = (s.client(), s.client());
        s.find(a, &topic);
        s.ask(a, producer_on(1, &topic));
        let set = |s: &mut Side, name: &str, value: &str| {
            s.order("POST", &format!("{path}/{name}"), value);
            s.pause(1500);
        };
        set(s, "subscriptionTypesEnabled", r#"["Shared","Failover"]"#);
        s.ask(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.ask(a, subscribe(2, &topic, "s", SubType::KEY_SHARED));
        s.ask(a, subscribe(3, &topic, " ", SubType::KEY_SHARED));
        s.ask(a, subscribe(4, &topic, "s", SubType::SHARED));
        set(s, "maxConsumersPerSubscription", "1");
        s.ask(a, subscribe(5, &topic, "s", SubType::SHARED));
        s.ask(a, subscribe(6, &topic, "s", SubType::FAILOVER));
        set(s, "autoSubscriptionCreation", r#"{"allowAutoSubscriptionCreation":false}"#);
        s.ask(a, subscribe(7, &topic, "new", SubType::SHARED));
        s.ask(b, CommandSubscribe { durable: Some(false), ..subscribe(8, &topic, "reader", SubType::SHARED) });
        set(s, "delayedDelivery", r#"{"active":true,"tickTime":1000,"maxDeliveryDelayInMillis":5000}"#);
        let metadata = MessageMetadata { deliver_at_time: Some(WALL as i64 + 3_600_000), ..MessageMetadata::default() };
        s.send(a, 1, 1, metadata, "much later");
        s.hear(a);
    }

    fn namespaces_that_refuse(s) {
        let namespace = format!("public/{}", s.short());
        let (topic, other) = (format!("persistent://{namespace}/t"), format!("persistent://{namespace}/other"));
        s.order("PUT", &format!("namespaces/{namespace}"), "");
        let (a, b) = (s.client(), s.client());
        for topic in [&topic, &other] {
            s.find(a, topic);
        }
        s.ask(a, producer_on(1, &topic));
        s.order("POST", &format!("namespaces/{namespace}/maxTopicsPerNamespace"), "1");
        s.pause(1500);
        s.ask(b, producer_on(2, &other));
        s.ask(b, subscribe(3, &other, "s", SubType::SHARED));
        s.order("PUT", &format!("persistent/{namespace}/other"), "");
        s.order("POST", &format!("namespaces/{namespace}/encryptionRequired"), "true");
        s.pause(2000);
        s.hear_all(a);
        s.ask(b, producer_on(4, &topic));
        s.ask(b, CommandProducer { encrypted: Some(true), ..producer_on(5, &topic) });
        s.send(b, 5, 0, MessageMetadata::default(), "plain");
        s.hear(b);
    }

    fn old_messages_expire(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        let a = s.client();
        s.ask(a, producer_on(1, &topic));
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        for n in 0..4 {
            s.publish(a, 1, n, MessageMetadata::default(), &format!("m{n}"));
        }
        s.ask(a, super::close_consumer(1));
        s.pause(2500);
        s.publish(a, 1, 4, MessageMetadata::default(), "m4");
        s.order("POST", &format!("{path}/subscription/s/expireMessages/2"), "");
        s.pause(1000);
        s.look(&format!("{path}/stats"), &["subscriptions.s.msgBacklog"]);
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        s.flow(a, 1, 100);
        s.hear_all(a);
        s.order("POST", &format!("{path}/subscription/none/expireMessages/2"), "");
    }

    fn messages_are_skipped_and_cursors_set_back(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        let a = s.client();
        s.ask(a, producer_on(1, &topic));
        s.order("PUT", &format!("{path}/subscription/s"), r#"{"ledgerId":-1,"entryId":-1,"partitionIndex":-1}"#);
        s.order("PUT", &format!("{path}/subscription/s"), r#"{"ledgerId":-1,"entryId":-1,"partitionIndex":-1}"#);
        for n in 0..6 {
            s.publish(a, 1, n, MessageMetadata::default(), &format!("m{n}"));
        }
        s.order("POST", &format!("{path}/subscription/s/skip/2"), "");
        s.look(&format!("{path}/stats"), &["subscriptions.s.msgBacklog", "subscriptions.s.type"]);
        s.ask(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.flow(a, 1, 100);
        s.hear_all(a);
        s.order("DELETE", &format!("{path}/subscription/s"), "");
        s.order("POST", &format!("{path}/subscription/s/resetcursor"), r#"{"ledgerId":-1,"entryId":-1,"partitionIndex":-1}"#);
        s.hear_all(a);
        s.ask(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.flow(a, 1, 100);
        s.hear_all(a);
        s.order("POST", &format!("{path}/subscription/s/skip_all"), "");
        s.look(&format!("{path}/stats"), &["subscriptions.s.msgBacklog"]);
        s.order("DELETE", &format!("{path}/subscription/s?force=true"), "");
        s.hear_all(a);
        s.order("DELETE", &format!("{path}/subscription/s"), "");
        s.inquire("GET", &format!("{path}/subscriptions"), "");
    }

    fn where_subscriptions_are(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        s.replace(r"\d+:(-?\d)", "L:$1");
        let a = s.client();
        s.ask(a, producer_on(1, &topic));
        s.ask(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        let ids: Vec<MessageIdData> =
            (0..6).map(|n| s.publish(a, 1, n, MessageMetadata::default(), "x")).collect();
        let ack = |kind, n: usize, value: u64| CommandAck {
            consumer_id: 1,
            ack_type: kind,
            message_id: vec![ids[n].clone()],
            properties: vec![KeyLongValue { key: "k".to_owned(), value }],
            ..CommandAck::default()
        };
        let parts = [
            "numberOfEntries",
            "lastConfirmedEntry",
            "state",
            "cursors.s.markDeletePosition",
            "cursors.s.individuallyDeletedMessages",
            "cursors.s.properties",
        ];
        for command in [
            ack(AckType::CUMULATIVE, 1, 7),
            ack(AckType::INDIVIDUAL, 3, 8),
            ack(AckType::INDIVIDUAL, 2, 9),
            CommandAck { properties: Vec::new(), ..ack(AckType::CUMULATIVE, 4, 0) },
        ] {
            s.say(a, command);
            s.pause(300);
            s.look(&format!("persistent/public/default/{unique}/internalStats"), &parts);
        }
    }

    fn seeking(s) {
        let topic = s.topic();
        let a = s.client();
        s.ask(a, producer_on(1, &topic));
        s.ask(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        let ids: Vec<MessageIdData> =
            (0..4).map(|n| s.publish(a, 1, n, MessageMetadata::default(), &format!("m{n}"))).collect();
        let seek = |id: Option<MessageIdData>, time| CommandSeek {
            consumer_id: 1,
            request_id: 30,
            message_id: id,
            message_publish_time: time,
        };
        for target in [
            seek(Some(ids[2].clone()), None),
            seek(None, Some(1)),
            seek(Some(MessageIdData { entry_id: 77, ..ids[0].clone() }), None),
            seek(Some(crate::common::id(i64::MAX, i64::MAX)), None),
            seek(Some(crate::common::id(-1, -1)), None),
        ] {
            s.ask(a, target);
            s.hear_all(a);
            s.ask(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
            s.flow(a, 1, 100);
            s.hear_all(a);
        }
        s.ask(a, seek(None, None));
        s.ask(a, CommandSeek { consumer_id: 9, ..seek(None, Some(1)) });
    }

    fn readers_count_as_subscriptions(s) {
        let short = s.short();
        s.order("PUT", &format!("namespaces/public/{short}"), "");
        s.order("POST", &format!("namespaces/public/{short}/maxSubscriptionsPerTopic"), "2");
        s.pause_if_real(500);
        let a = s.client();
        for (n, order) in [[true, false, false, true], [false, false, true, false], [true, true, false, true]].into_iter().enumerate() {
            let topic = format!("persistent://public/{short}/t{n}");
            s.find(a, &topic);
            for (m, durable) in order.into_iter().enumerate() {
                let id = (10 * n + m) as u64;
                s.ask(a, CommandSubscribe { durable: Some(durable), ..subscribe(id, &topic, &format!("s{m}"), SubType::EXCLUSIVE) });
            }
            s.inquire("PUT", &format!("persistent/public/{short}/t{n}/subscription/more"), "");
        }
        let topic = format!("non-persistent://public/{short}/n");
        s.find(a, &topic);
        for id in 50..54 {
            s.ask(a, subscribe(id, &topic, &format!("s{id}"), SubType::EXCLUSIVE));
        }
    }
}
