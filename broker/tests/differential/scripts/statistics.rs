//! Statistics: of partitions together, of what waits, of compaction.

use pulsewire_proto::wire::*;

use super::{close_consumer, scripts};
use crate::common::{batch, batch_of, connect, key, producer_on, subscribe};
use crate::side::Side;

/// Numbers that are times are some time.
fn times(s: &mut Side) {
    s.replace(r"= 1[0-9]{12}$", "= TIME");
    s.replace(r#"= "20\d\d-[^"]*""#, "= DATE");
}

/// What is said of all partitions.
fn whole(s: &mut Side, path: &str, query: &str) {
    let mut fields: Vec<String> = [
        "msgInCounter",
        "msgOutCounter",
        "bytesInCounter",
        "bytesOutCounter",
        "averageMsgSize",
        "storageSize",
        "backlogSize",
        "waitingPublishers",
        "backlogQuotaLimitSize",
        "backlogQuotaLimitTime",
        "oldestBacklogMessageAgeSeconds",
        "earliestMsgPublishTimeInBacklogs",
        "deduplicationStatus",
        "ownerBroker",
        "publishers.3",
        "subscriptions.none",
    ]
    .map(str::to_owned)
    .into();
    for n in 0..3 {
        for field in [
            "producerId",
            "producerName",
            "supportsPartialProducer",
            "accessMode",
            "address",
            "averageMsgSize",
        ] {
            fields.push(format!("publishers.{n}.{field}"));
        }
    }
    for sub in ["s", "some"] {
        for field in [
            "msgBacklog",
            "msgBacklogNoDelayed",
            "backlogSize",
            "msgOutCounter",
            "bytesOutCounter",
            "unackedMessages",
            "type",
            "isDurable",
            "durable",
            "isReplicated",
            "allowOutOfOrderDelivery",
            "activeConsumerName",
            "keySharedMode",
            "blockedSubscriptionOnUnackedMsgs",
            "earliestMsgPublishTimeInBacklog",
            "lastConsumedFlowTimestamp",
            "nonContiguousDeletedMessagesRanges",
            "subscriptionProperties",
            "consumers.4",
        ] {
            fields.push(format!("subscriptions.{sub}.{field}"));
        }
        for n in 0..4 {
            for field in [
                "consumerName",
                "msgOutCounter",
                "bytesOutCounter",
                "availablePermits",
                "unackedMessages",
                "avgMessagesPerEntry",
                "lastConsumedFlowTimestamp",
                "lastConsumedTime",
                "blockedConsumerOnUnackedMsgs",
                "keyHashRangeArrays",
            ] {
                fields.push(format!("subscriptions.{sub}.consumers.{n}.{field}"));
            }
        }
    }
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    s.look(&format!("{path}/partitioned-stats{query}"), &fields);
}

const EARLIEST: &[&str] =
    &["earliestMsgPublishTimeInBacklogs", "subscriptions.s.earliestMsgPublishTimeInBacklog"];

const COMPACTED: &[&str] = &[
    "compaction.lastCompactionRemovedEventCount",
    "compaction.lastCompactionSucceedTimestamp",
    "compaction.lastCompactionFailedTimestamp",
];

scripts! {
    fn statistics_of_partitions_together(s) {
        times(s);
        s.replace(r"localhost:\d+", "HERE");
        s.replace(r#""/127[^"]*""#, "ADDRESS");
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let flags = FeatureFlags {
            supports_partial_producer: Some(true),
            supports_broker_entry_metadata: Some(true),
            ..FeatureFlags::default()
        };
        let a = s.client_with(CommandConnect { feature_flags: Some(flags), ..connect() });
        s.order("PUT", &format!("{path}/partitions"), "3");
        s.look(&format!("{path}/partitioned-stats"), &["oldestBacklogMessageAgeSeconds", "backlogQuotaLimitSize", "publishers", "subscriptions"]);
        for n in 0..3 {
            let part = format!("{topic}-partition-{n}");
            s.find(a, &part);
            s.ask(a, CommandProducer { producer_name: Some("sends".to_owned()), ..producer_on(n, &part) });
            for (place, name) in [(0, "one"), (1, "two")] {
                let consumer = 10 * (place + 1) + n;
                let named = CommandSubscribe { consumer_name: Some(name.to_owned()), ..subscribe(consumer, &part, "s", SubType::SHARED) };
                s.ask(a, named);
            }
            for m in 0..=n {
                s.publish(a, n, m, key("k"), "message");
            }
            s.flow(a, 10 + n, 5 + n as u32);
            s.hear_all(a);
        }
        s.ask(a, subscribe(40, &format!("{topic}-partition-0"), "some", SubType::KEY_SHARED));
        s.ask(a, CommandProducer { producer_name: Some("other".to_owned()), ..producer_on(41, &format!("{topic}-partition-2")) });
        s.ask(a, subscribe(42, &format!("{topic}-partition-1"), "some", SubType::SHARED));
        s.ask(a, subscribe(43, &format!("{topic}-partition-1"), "some", SubType::SHARED));
        let all = "getPreciseBacklog=true&getEarliestTimeInBacklog=true&subscriptionBacklogSize=true";
        whole(s, &path, &format!("?perPartition=false&{all}"));
        whole(s, &path, &format!("?perPartition=true&{all}"));
        s.look(&format!("{path}/partitioned-stats?perPartition=false&excludePublishers=true&excludeConsumers=true"), &[
            "publishers", "subscriptions.s.consumers", "subscriptions.s.earliestMsgPublishTimeInBacklog", "earliestMsgPublishTimeInBacklogs",
        ]);
        s.look(&format!("{path}-partition-1/stats"), &["publishers.0.supportsPartialProducer", "publishers.0.producerName"]);
    }

    fn statistics_that_are_not_asked_for(s) {
        times(s);
        let topic = format!("{}-p", s.topic());
        let path = format!("persistent/public/default/{}-p", s.unique());
        let a = s.client();
        s.order("PUT", &format!("{path}/partitions"), "2");
        let (zero, one) = (format!("{topic}-partition-0"), format!("{topic}-partition-1"));
        s.ask(a, producer_on(1, &zero));
        s.ask(a, subscribe(1, &zero, "s", SubType::SHARED));
        s.ask(a, subscribe(2, &one, "s", SubType::SHARED));
        s.publish(a, 1, 0, key("k"), "message");
        s.flow(a, 1, 10);
        let Some(Command::Message(first)) = s.hear(a) else { panic!("no message") };
        s.publish(a, 1, 1, key("k"), "message");
        s.hear(a);
        s.say(a, CommandAck { consumer_id: 1, message_id: vec![first.message_id], ..CommandAck::default() });
        s.pause(300);
        let told = [
            "backlogSize", "subscriptions.s.backlogSize", "subscriptions.s.msgBacklog", "subscriptions.s.consumers.0.msgOutCounter",
            "subscriptions.s.msgOutCounter", "subscriptions.s.unackedMessages", "subscriptions.s.lastConsumedFlowTimestamp",
            "subscriptions.s.lastConsumedTimestamp", "subscriptions.s.lastAckedTimestamp",
        ];
        for query in [
            "", "subscriptionBacklogSize=true", "subscriptionBacklogSize=false", "subscriptionBacklogSize=no", "excludeConsumers=true",
            "excludePublishers=true&excludeConsumers=true&getPreciseBacklog=false&subscriptionBacklogSize=false",
        ] {
            s.look(&format!("{path}-partition-0/stats?{query}"), &told);
            s.look(&format!("{path}/partitioned-stats?perPartition=true&{query}"), &told);
        }
        s.look(&format!("{path}-partition-0/stats"), &["subscriptions.s.consumers.0.appId"]);
    }

    fn statistics_of_what_is_compacted_by_itself(s) {
        times(s);
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let told = [
            "backlogSize", "storageSize", "subscriptions.__compaction.msgBacklog", "subscriptions.__compaction.backlogSize",
            "subscriptions.__compaction.type", "subscriptions.__compaction.isDurable", "subscriptions.__compaction.msgOutCounter",
            "subscriptions.s.msgBacklog",
        ];
        let a = s.client();
        s.ask(a, producer_on(1, &topic));
        s.publish(a, 1, 0, key("k"), "before");
        s.look(&format!("{path}/stats"), &told);
        s.sorted(&format!("{path}/subscriptions"));
        s.order("POST", &format!("{path}/compactionThreshold"), "1000000");
        s.pause(1000);
        s.sorted(&format!("{path}/subscriptions"));
        s.publish(a, 1, 1, key("k"), "after");
        s.look(&format!("{path}/stats"), &told);
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        s.publish(a, 1, 2, key("k"), "last");
        s.look(&format!("{path}/stats"), &told);
        s.sorted(&format!("{path}/subscriptions"));
    }

    fn the_time_of_the_first_that_waits(s) {
        times(s);
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let a = s.client();
        let asked = format!("{path}/stats?getPreciseBacklog=true&getEarliestTimeInBacklog=true&subscriptionBacklogSize=true");
        s.ask(a, producer_on(1, &topic));
        s.look(&asked, EARLIEST);
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        s.look(&asked, EARLIEST);
        s.publish(a, 1, 0, MessageMetadata::default(), "x");
        s.look(&asked, EARLIEST);
        s.look(&format!("{path}/stats"), EARLIEST);
        s.flow(a, 1, 10);
        let Some(Command::Message(first)) = s.hear(a) else { panic!("no message") };
        s.say(a, CommandAck { consumer_id: 1, message_id: vec![first.message_id], ..CommandAck::default() });
        s.pause(300);
        s.look(&asked, EARLIEST);
        s.look(&format!("{path}/stats"), EARLIEST);
    }

    fn statistics_of_compaction(s) {
        times(s);
        s.replace(r"localhost:\d+", "HERE");
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let (a, b) = (s.client(), s.client());
        s.ask(b, subscribe(1, &topic, "s", SubType::SHARED));
        s.ask(a, producer_on(1, &topic));
        let left = ["compactedLedger.entries", "compactedLedger.offloaded"];
        let stats = format!("{path}/stats");
        let internal = format!("{path}/internalStats");
        s.look(&stats, COMPACTED);
        s.look(&internal, &left);
        for n in 0..20 {
            s.publish(a, 1, n, key(&format!("k{}", n % 4)), "x");
        }
        s.compact(&path);
        s.look(&stats, COMPACTED);
        s.look(&internal, &left);
        s.publish(a, 1, 20, MessageMetadata::default(), "no key");
        s.publish(a, 1, 21, key("k1"), "");
        s.publish(a, 1, 22, key("k9"), "");
        s.publish(a, 1, 23, key("k2"), "again");
        let (metadata, payload) = batch(&[(Some("k3"), "1"), (Some("k3"), "2"), (None, "3"), (Some("k0"), ""), (Some("k5"), "5")]);
        let five = CommandSend { producer_id: 1, sequence_id: 24, num_messages: Some(5), ..CommandSend::default() };
        s.send_as(a, five, metadata, &payload);
        s.hear(a);
        s.compact(&path);
        s.look(&stats, COMPACTED);
        s.look(&internal, &left);
        s.compact(&path);
        s.look(&stats, COMPACTED);
        s.look(&internal, &left);
        s.order("PUT", &format!("{path}/unload"), "");
        s.pause(500);
        let anew = s.client();
        s.find(anew, &topic);
        s.ask(anew, producer_on(2, &topic));
        s.look(&stats, COMPACTED);
        s.look(&internal, &left);
    }

    fn subscriptions_that_wait_to_read(s) {
        s.replace(r#""\d+:(-?\d+)""#, r#""LEDGER:$1""#);
        let topic = s.topic();
        let path = format!("persistent/public/default/{}/internalStats", s.unique());
        let a = s.client();
        let mut fields = vec!["waitingCursorsCount".to_owned()];
        for sub in ["wants", "has", "none", "gone", "one"] {
            for field in [
                "waitingReadOp", "subscriptionHavePendingRead", "numberOfEntriesSinceFirstNotAckedMessage", "messagesConsumedCounter",
                "readPosition", "markDeletePosition", "active",
            ] {
                fields.push(format!("cursors.{sub}.{field}"));
            }
        }
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        s.ask(a, producer_on(1, &topic));
        s.ask(a, subscribe(1, &topic, "wants", SubType::SHARED));
        s.ask(a, subscribe(2, &topic, "has", SubType::SHARED));
        s.ask(a, subscribe(3, &topic, "none", SubType::SHARED));
        s.ask(a, subscribe(4, &topic, "gone", SubType::SHARED));
        s.ask(a, subscribe(5, &topic, "one", SubType::EXCLUSIVE));
        s.ask(a, close_consumer(4));
        s.look(&path, &fields);
        s.flow(a, 1, 100);
        s.flow(a, 2, 3);
        s.flow(a, 5, 100);
        s.pause(200);
        s.look(&path, &fields);
        for n in 0..5 {
            s.publish(a, 1, n, MessageMetadata::default(), "x");
        }
        s.pause(200);
        s.look(&path, &fields);
        let first = s.publish(a, 1, 5, MessageMetadata::default(), "y");
        let upto = |entry: u64| vec![MessageIdData { entry_id: entry, ..first.clone() }];
        for (consumer, entry) in [(1, 0), (1, 2), (1, 3), (2, 0)] {
            s.say(a, CommandAck { consumer_id: consumer, message_id: upto(entry), ..CommandAck::default() });
        }
        s.say(a, CommandAck { consumer_id: 5, ack_type: AckType::CUMULATIVE, message_id: upto(5), ..CommandAck::default() });
        s.pause(300);
        s.look(&path, &fields);
    }

    fn times_of_ledgers_and_subscriptions(s) {
        times(s);
        s.replace(r"localhost:\d+", "HERE");
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let a = s.client();
        let see = |s: &mut Side| {
            s.look(&format!("{path}/internal-info"), &[
                "creationDate", "modificationDate", "ledgers.0.timestamp", "ledgers.0.entries", "ledgers.0.size", "ledgers.1.timestamp",
                "ledgers.1.entries", "cursors.s.creationDate", "cursors.s.modificationDate", "cursors.t.creationDate",
            ]);
            s.look(&format!("{path}/internalStats"), &["lastLedgerCreatedTimestamp", "cursors.s.lastLedgerSwitchTimestamp"]);
        };
        s.ask(a, producer_on(1, &topic));
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        s.order("PUT", &format!("{path}/subscription/t"), "");
        s.publish(a, 1, 0, MessageMetadata::default(), "x");
        see(s);
        s.order("PUT", &format!("{path}/unload"), "");
        s.pause(500);
        let anew = s.client();
        s.find(anew, &topic);
        s.ask(anew, producer_on(2, &topic));
        see(s);
    }

    fn the_last_id_when_all_is_gone(s) {
        s.replace(r"localhost:\d+", "HERE");
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let (a, last) = (s.client(), ["ledgerId", "entryId"]);
        s.ask(a, producer_on(1, &topic));
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        let id = s.publish(a, 1, 0, MessageMetadata::default(), "x");
        s.look(&format!("{path}/lastMessageId"), &last[1..]);
        s.say(a, CommandAck { consumer_id: 1, message_id: vec![id], ..CommandAck::default() });
        s.pause(300);
        s.order("PUT", &format!("{path}/unload"), "");
        s.pause(500);
        let anew = s.client();
        s.find(anew, &topic);
        s.ask(anew, producer_on(2, &topic));
        s.pause(500);
        s.look(&format!("{path}/lastMessageId"), &last);
    }

    fn messages_in_an_entry(s) {
        let unique = s.unique().to_owned();
        let a = s.client();
        let kinds = [SubType::EXCLUSIVE, SubType::SHARED, SubType::KEY_SHARED];
        for (n, (domain, kind)) in [("persistent", 0), ("persistent", 1), ("persistent", 2), ("non-persistent", 1)].into_iter().enumerate() {
            let (topic, path) = (format!("{domain}://public/default/{unique}-{n}"), format!("{domain}/public/default/{unique}-{n}/stats"));
            let (n, average) = (n as u64, ["subscriptions.s.consumers.0.avgMessagesPerEntry"]);
            s.find(a, &topic);
            s.ask(a, subscribe(n, &topic, "s", kinds[kind]));
            s.ask(a, producer_on(n, &topic));
            s.look(&path, &average);
            let plain = MessageMetadata::default;
            let send = |s: &mut Side, at: u64, metadata: MessageMetadata| {
                s.send(a, n, at, metadata, "x");
                s.hear_in_any_order(a);
            };
            if domain == "persistent" {
                // All of these are read together.
                for at in 0..4 {
                    s.publish(a, n, at, batch_of(10), "x");
                }
                s.publish(a, n, 4, plain(), "x");
                s.flow(a, n, 1000);
            } else {
                s.flow(a, n, 1000);
                s.pause(300);
                send(s, 4, batch_of(10));
            }
            s.pause(500);
            s.hear_in_any_order(a);
            s.look(&path, &average);
            // These one by one.
            for at in 5..8 {
                send(s, at, plain());
            }
            s.look(&path, &average);
        }
    }
}
