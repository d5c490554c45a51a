//! Admin calls with names and values that cannot be, as users' tests make them.

use super::scripts;
use crate::side::Side;

/// Says each call and what comes of it: method, path after `base`, body.
fn each(s: &mut Side, base: &str, calls: &[(&str, &str, &str)]) {
    for (method, rest, body) in calls {
        s.inquire(method, &format!("{base}{rest}"), body);
    }
}

scripts! {
    /// What a value must be beyond its shape, and that of a namespace it is asked first.
    fn values_that_settings_refuse(s) {
        let short = s.short();
        for (namespace, made) in [(format!("namespaces/public/{short}"), true), (format!("namespaces/public/{short}-none"), false)] {
            if made {
                s.order("PUT", &namespace, "");
            }
            each(s, &namespace, &[
                ("POST", "/persistence", r#"{"bookkeeperEnsemble":6,"bookkeeperWriteQuorum":1,"bookkeeperAckQuorum":1}"#),
                ("POST", "/persistence", r#"{"bookkeeperEnsemble":2,"bookkeeperWriteQuorum":0,"bookkeeperAckQuorum":1}"#),
                ("POST", "/persistence", r#"{"bookkeeperEnsemble":2,"bookkeeperWriteQuorum":2,"bookkeeperAckQuorum":0}"#),
                ("POST", "/persistence", r#"{"bookkeeperEnsemble":2,"bookkeeperWriteQuorum":2,"bookkeeperAckQuorum":3}"#),
                ("POST", "/persistence", "null"),
                ("POST", "/offloadPolicies", r#"{"managedLedgerOffloadDriver":"nothing"}"#),
                ("POST", "/offloadPolicies", r#"{"managedLedgerOffloadDriver":"aws-s3"}"#),
                ("POST", "/offloadPolicies", "null"),
                ("POST", "/entryFilters", r#"{"entryFilterNames":"a,b"}"#),
                ("POST", "/entryFilters", r#"{"entryFilterNames":",,"}"#),
                ("POST", "/entryFilters", "{}"),
                ("POST", "/antiAffinity", ""),
                ("POST", "/replication", "[]"),
                ("POST", "/replication", r#"["nowhere"]"#),
                ("POST", "/replication", r#"["standalone","global"]"#),
                ("POST", "/allowedClusters", r#"["nowhere"]"#),

                ("PUT", "/compactionThreshold", "-1"),
                ("POST", "/deduplicationSnapshotInterval", "-1"),
                ("POST", "/deduplicationSnapshotInterval", "1"),
                ("POST", "/maxConsumersPerTopic", "-1"),
                ("POST", "/maxProducersPerTopic", "-1"),
                ("POST", "/maxSubscriptionsPerTopic", "-1"),
                ("POST", "/maxTopicsPerNamespace", "-1"),
                ("POST", "/maxUnackedMessagesPerConsumer", "-1"),
                ("POST", "/maxUnackedMessagesPerSubscription", "-1"),
                ("POST", "/messageTTL", "-1"),
                ("POST", "/backlogQuota", r#"{"limitSize":1000}"#),
                ("POST", "/delayedDelivery", r#"{"active":true,"tickTime":-1,"maxDeliveryDelayInMillis":-1}"#),
                ("GET", "/delayedDelivery", ""),
                ("POST", "/delayedDelivery", "{}"),
                ("GET", "/delayedDelivery", ""),
                ("POST", "/dispatcherPauseOnAckStatePersistent", ""),
                ("GET", "/dispatcherPauseOnAckStatePersistent", ""),
                ("DELETE", "/dispatcherPauseOnAckStatePersistent", ""),
                ("POST", "/dispatchRate", r#"{"dispatchThrottlingRateInMsg":7}"#),
                ("GET", "/dispatchRate", ""),
                ("DELETE", "/dispatchRate", ""),
                ("PUT", "/properties", r#"{"a":"b"}"#),
                ("PUT", "/properties", r#"{"c":"d"}"#),
                ("GET", "/properties", ""),
                ("DELETE", "/property/a", ""),
                ("DELETE", "/property/a", ""),
                ("DELETE", "/properties", ""),
                ("PUT", "/schemaAutoUpdateCompatibilityStrategy", "\"Full\""),
                ("GET", "/schemaAutoUpdateCompatibilityStrategy", ""),
                ("DELETE", "/retention", ""),
                ("DELETE", "/inactiveTopicPolicies", ""),
                ("GET", "/0x00000000_0x40000000/topicHashPositions", ""),
                ("GET", "/wat/topicHashPositions", ""),
                ("DELETE", "/0x00000000_0xffffffff", ""),
                ("DELETE", "/wat", ""),
                ("DELETE", "/0x00000001_0x00000002", ""),
                ("DELETE", "/0x00000000_0x40000000", ""),
                ("POST", "/wat/clearBacklog", ""),
                ("POST", "/0x00000000_0x40000000/clearBacklog", ""),
                ("PUT", "/0x00000001_0x00000002/unload", ""),
                ("PUT", "/0x00000000_0x40000000/unload?destinationBroker=localhost:1", ""),
            ]);
        }
    }

    /// Topics with partitions, without storage, that are not there, and in namespaces that are not.
    fn topics_that_cannot_be_asked(s) {
        let short = s.short();
        let namespace = format!("public/{short}");
        s.order("PUT", &format!("namespaces/{namespace}"), "");
        s.order("PUT", &format!("persistent/{namespace}/t"), "");
        s.order("PUT", &format!("persistent/{namespace}/p/partitions"), "2");
        s.order("PUT", &format!("non-persistent/{namespace}/np/partitions"), "2");
        for base in [
            format!("persistent/{namespace}/p"),
            format!("persistent/{namespace}/p-partition-9"),
            format!("persistent/{namespace}/none-partition-0"),
            format!("persistent/{namespace}-none/t"),
            format!("persistent/{short}-nobody/ns/t"),
            format!("non-persistent/{namespace}/np"),
            format!("non-persistent/{namespace}/none"),
        ] {
            each(s, &base, &[
                ("PUT", "/backlogSize", r#"{"ledgerId":-1,"entryId":-1}"#),
                ("GET", "/messageid/0", ""),
                ("GET", "/ledger/0/entry/0", ""),
                ("GET", "/examinemessage?initialPosition=earliest&messagePosition=1", ""),
                ("POST", "/createMissedPartitions", ""),
                                ("POST", "/subscription/s/analyzeBacklog", ""),
                ("GET", "/subscription/s/position/1", ""),
                ("POST", "/subscription/s/expireMessages/1", ""),
                ("POST", "/all_subscription/expireMessages/1", ""),
                ("POST", "/subscription/s/expireMessages", r#"{"ledgerId":-1,"entryId":-1,"partitionIndex":5}"#),
                ("POST", "/subscription/s/expireMessages", r#"{"ledgerId":-1,"entryId":-1,"partitionIndex":-1}"#),
                ("DELETE", "/subscription/s", ""),
                ("GET", "/stats", ""),
                ("GET", "/internalStats", ""),
                ("GET", "/lastMessageId", ""),
                ("GET", "/permissions", ""),
                ("GET", "/compaction", ""),
                ("POST", "/trim", ""),
                ("DELETE", "/truncate", ""),
        ]
.into_iter().filter(|(_, rest, _)| {
                // What they say where there is nothing to say is long.
                !(base.ends_with("/p") || base.ends_with("/np")) || !rest.contains("tats")
            }).collect::<Vec<_>>());
        }
        let nowhere = format!("persistent/{namespace}-none/t");
        each(s, &nowhere, &[
            ("GET", "/maxProducers", ""),
            ("POST", "/maxProducers", "3"),
            ("DELETE", "/maxProducers", ""),
            ("GET", "/replication", ""),
            ("GET", "/s/dispatchRate", ""),
        ]);
        s.order("PUT", &format!("namespaces/{namespace}-2"), r#"{"replication_clusters":[]}"#);
        s.inquire("GET", &format!("namespaces/{namespace}-2/replication"), "");
        let topic = format!("persistent/{namespace}/t");
        each(s, &topic, &[
            ("POST", "/maxMessageSize", "6000000"),
            ("POST", "/maxMessageSize", "-1"),
            ("POST", "/maxConsumersPerSubscription", "-1"),
            ("POST", "/maxSubscriptionsPerTopic", "-1"),
            ("POST", "/deduplicationSnapshotInterval", "-1"),
            ("POST", "/compactionThreshold", "-1"),
            ("POST", "/replication", r#"["nowhere"]"#),
            ("POST", "/replication", "[]"),
            ("PUT", "/shadowTopics", "[]"),
            ("PUT", "/shadowTopics", r#"["non-persistent://public/default/t"]"#),
            ("GET", "/s/dispatchRate", ""),
            ("GET", "/s/dispatchRate?applied=true", ""),
            ("POST", "/s/dispatchRate", r#"{"dispatchThrottlingRateInMsg":5}"#),
            ("GET", "/s/dispatchRate", ""),
            ("DELETE", "/s/dispatchRate", ""),
            ("GET", "/s/dispatchRate", ""),
            ("POST", "/maxProducers", "3"),
            ("DELETE", "/policies", ""),
            ("GET", "/maxProducers", ""),
            ("POST", "-none/s/dispatchRate", r#"{"dispatchThrottlingRateInMsg":5}"#),
            ("DELETE", "-none/policies", ""),
        ]);
    }

    /// What a broker says of what was not started beside it.
    fn what_is_not_there(s) {
        each(s, "", &[
            ("GET", "functions/connectors", ""),
            ("GET", "/admin/namespaces/standalone/antiAffinity/g?property=public", ""),
            ("GET", "/admin/namespaces/nowhere/antiAffinity/g?property=public", ""),
            ("GET", "brokers/health?brokerId=localhost:1", ""),
            ("GET", "brokers/nowhere/localhost:1/ownedNamespaces", ""),
            ("GET", "worker/cluster", ""),
            ("PUT", "worker/rebalance", ""),
            ("GET", "worker-stats/metrics", ""),
            ("GET", "bookies/racks-info/wat", ""),
            ("DELETE", "bookies/racks-info/wat", ""),
            ("GET", "broker-stats/allocator-stats/wat", ""),
            ("POST", "namespaces/grantPermissionsOnTopics", "[]"),
            ("POST", "namespaces/grantPermissionsOnTopics", r#"[{"topic":"persistent://public/default/none","role":"r","actions":["produce"]}]"#),
            ("POST", "namespaces/revokePermissionsOnTopics", "[]"),
            ("GET", "namespaces/standalone/antiAffinity/g", ""),
            ("GET", "namespaces/standalone/antiAffinity/g?tenant=public", ""),
            ("GET", "namespaces/nowhere/antiAffinity/g?tenant=public", ""),
        ]);
    }
}
