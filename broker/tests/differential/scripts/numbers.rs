//! Numbers that are wider than what keeps them.

use super::admin::quiet;
use super::scripts;
use crate::side::Side;

/// One beyond 32 bits, one beyond 64, the first as a text and as a fraction.
const WIDE: &[&str] = &["2147483648", "99999999999999999999", "\"2147483648\"", "3e9", "-2147483649"];

/// Settings of namespaces that are a number.
const OF_NAMESPACES: &[(&str, &str)] = &[
    ("POST", "messageTTL"),
    ("POST", "maxProducersPerTopic"),
    ("POST", "maxConsumersPerTopic"),
    ("POST", "maxSubscriptionsPerTopic"),
    ("POST", "maxUnackedMessagesPerConsumer"),
    ("POST", "maxUnackedMessagesPerSubscription"),
    ("POST", "maxConsumersPerSubscription"),
    ("POST", "maxTopicsPerNamespace"),
    ("POST", "subscriptionExpirationTime"),
    ("POST", "deduplicationSnapshotInterval"),
    ("PUT", "compactionThreshold"),
    ("PUT", "offloadThreshold"),
    ("PUT", "offloadDeletionLagMs"),
    ("PUT", "offloadThresholdInSeconds"),
];

/// The same of topics.
const OF_TOPICS: &[&str] = &[
    "maxProducers",
    "maxConsumers",
    "maxSubscriptionsPerTopic",
    "maxMessageSize",
    "maxUnackedMessagesOnConsumer",
    "maxUnackedMessagesOnSubscription",
    "maxConsumersPerSubscription",
    "deduplicationSnapshotInterval",
    "compactionThreshold",
];

/// Settings with numbers in fields, and what else is said there.
const FIELDS: &[(&str, &str, &str)] = &[
    ("retention", "retentionTimeInMinutes", r#","retentionSizeInMB":1"#),
    ("retention", "retentionSizeInMB", r#","retentionTimeInMinutes":1"#),
    ("subscribeRate", "subscribeThrottlingRatePerConsumer", ""),
    ("subscribeRate", "ratePeriodInSecond", ""),
    ("dispatchRate", "dispatchThrottlingRateInMsg", ""),
    ("dispatchRate", "dispatchThrottlingRateInByte", ""),
    ("subscriptionDispatchRate", "dispatchThrottlingRateInMsg", ""),
    ("replicatorDispatchRate", "ratePeriodInSecond", ""),
    ("publishRate", "publishThrottlingRateInMsg", ""),
    ("publishRate", "publishThrottlingRateInByte", ""),
    (
        "inactiveTopicPolicies",
        "maxInactiveDurationSeconds",
        r#","inactiveTopicDeleteMode":"delete_when_no_subscriptions","deleteWhileInactive":true"#,
    ),
    (
        "autoTopicCreation",
        "defaultNumPartitions",
        r#","allowAutoTopicCreation":true,"topicType":"partitioned""#,
    ),
    ("persistence", "bookkeeperEnsemble", ""),
    ("persistence", "managedLedgerMaxMarkDeleteRate", ""),
    ("delayedDelivery", "tickTime", r#","active":true"#),
    ("delayedDelivery", "maxDeliveryDelayInMillis", r#","active":true"#),
    ("backlogQuota", "limitSize", r#","policy":"producer_exception""#),
    ("backlogQuota", "limitTime", r#","policy":"producer_exception""#),
];

/// Numbers among `offloadPolicies`.
const OFFLOADED: &[&str] = &[
    "managedLedgerOffloadMaxThreads",
    "managedLedgerOffloadReadThreads",
    "managedLedgerOffloadPrefetchRounds",
    "managedLedgerOffloadThresholdInBytes",
    "managedLedgerOffloadThresholdInSeconds",
    "managedLedgerOffloadDeletionLagInMillis",
    "managedLedgerOffloadMaxBlockSizeInBytes",
    "managedLedgerOffloadReadBufferSizeInBytes",
    "s3ManagedLedgerOffloadMaxBlockSizeInBytes",
    "s3ManagedLedgerOffloadReadBufferSizeInBytes",
    "gcsManagedLedgerOffloadMaxBlockSizeInBytes",
    "gcsManagedLedgerOffloadReadBufferSizeInBytes",
];

fn each_field(s: &mut Side, path: &str, of_topic: bool) {
    for (name, field, more) in FIELDS {
        if of_topic && *name == "autoTopicCreation" {
            continue;
        }
        for value in WIDE.iter().take(4).chain(&["\"x\"", "true", "1.5"]) {
            // Where it is taken its place among the others is looked at elsewhere.
            if *field == "bookkeeperEnsemble" && *value == "1.5" {
                continue;
            }
            s.inquire("POST", &format!("{path}/{name}"), &format!("{{\"{field}\":{value}{more}}}"));
        }
        s.pause(150);
        let read = if *name == "backlogQuota" { "backlogQuotaMap" } else { name };
        s.inquire("GET", &format!("{path}/{read}"), "");
        s.order("DELETE", &format!("{path}/{name}"), "");
        s.pause(150);
    }
}

scripts! {
    fn numbers_too_wide_for_a_namespace(s) {
        quiet(s);
        let path = format!("namespaces/public/{}", s.short());
        s.order("PUT", &path, "");
        for (method, name) in OF_NAMESPACES {
            for value in WIDE {
                s.inquire(method, &format!("{path}/{name}"), value);
            }
            s.inquire("GET", &format!("{path}/{name}"), "");
        }
        each_field(s, &path, false);
        for body in [
            r#"{"message_ttl_in_seconds":2147483648}"#,
            r#"{"max_producers_per_topic":99999999999}"#,
            r#"{"retention_policies":{"retentionTimeInMinutes":2147483648,"retentionSizeInMB":1}}"#,
            r#"{"bundles":{"numBundles":2147483648}}"#,
        ] {
            s.inquire("PUT", &format!("{path}-n"), body);
        }
        let group = format!("resourcegroups/{}", s.short());
        s.inquire("PUT", &group, r#"{"publishRateInMsgs":2147483648}"#);
        s.inquire("PUT", &group, r#"{"dispatchRateInMsgs":99999999999}"#);
        s.inquire("PUT", &group, r#"{"publishRateInBytes":2147483648}"#);
        s.order("DELETE", &group, "");
        s.order("DELETE", &path, "");
    }

    fn numbers_too_wide_for_other_storage(s) {
        quiet(s);
        let path = format!("namespaces/public/{}", s.short());
        s.order("PUT", &path, "");
        for field in OFFLOADED {
            for value in ["2147483648", "99999999999999999999", "true"] {
                let body = format!(r#"{{"managedLedgerOffloadDriver":"filesystem","{field}":{value}}}"#);
                s.inquire("POST", &format!("{path}/offloadPolicies"), &body);
            }
        }
        s.order("DELETE", &path, "");
    }

    fn numbers_too_wide_for_an_id(s) {
        quiet(s);
        let path = format!("persistent/public/default/{}", s.unique());
        s.order("PUT", &path, "");
        s.order("PUT", &format!("{path}/subscription/s"), "");
        for field in ["partitionIndex", "batchIndex"] {
            let body = format!(r#"{{"ledgerId":1,"entryId":0,"{field}":2147483648}}"#);
            s.inquire("PUT", &format!("{path}/backlogSize"), &body);
            s.inquire("PUT", &format!("{path}/subscription/t"), &body);
            s.inquire("POST", &format!("{path}/subscription/s/resetcursor"), &body);
            s.inquire("POST", &format!("{path}/subscription/s/expireMessages"), &body);
        }
        s.inquire("PUT", &format!("{path}/backlogSize"), r#"{"ledgerId":99999999999999999999,"entryId":0}"#);
    }

    fn numbers_too_wide_for_a_topic(s) {
        quiet(s);
        let path = format!("persistent/public/default/{}", s.unique());
        s.order("PUT", &path, "");
        for name in OF_TOPICS {
            for value in WIDE {
                s.inquire("POST", &format!("{path}/{name}"), value);
            }
            s.pause(150);
            s.inquire("GET", &format!("{path}/{name}"), "");
        }
        for value in ["2147483648", "-2147483649", "x", ""] {
            s.inquire("POST", &format!("{path}/messageTTL?messageTTL={value}"), "");
        }
        s.inquire("GET", &format!("{path}/messageTTL"), "");
        each_field(s, &path, true);
        for body in ["2147483648", "-2147483649", "\"2147483648\"", "99999999999999999999"] {
            s.inquire("PUT", &format!("{path}-p/partitions"), body);
            s.inquire("POST", &format!("{path}-p/partitions"), body);
        }
        s.order("DELETE", &path, "");
    }

    fn settings_of_which_nothing_is_said(s) {
        quiet(s);
        let path = format!("persistent/public/default/{}", s.unique());
        s.order("PUT", &path, "");
        for name in OF_TOPICS.iter().chain(&["deduplicationEnabled", "schemaValidationEnforced"]) {
            s.inquire("POST", &format!("{path}/{name}"), "");
            s.inquire("POST", &format!("{path}/{name}"), "null");
            s.pause(150);
            s.inquire("GET", &format!("{path}/{name}"), "");
        }
        s.order("DELETE", &path, "");
    }
}
