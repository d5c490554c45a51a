//! Settings of namespaces and topics, one by one.

use super::admin::quiet;
use super::scripts;

scripts! {
    fn admin_settings_of_namespaces(s) {
        quiet(s);
        s.replace(SET_OF_TYPES.0, SET_OF_TYPES.1);
        let path = format!("namespaces/public/{}", s.short());
        s.order("PUT", &path, "");
        for (name, method, body, unset) in NAMESPACE_SETTINGS {
            s.inquire("GET", &format!("{path}/{name}"), "");
            let elsewhere = body.strip_prefix('/').and_then(|rest| rest.split_once(' '));
            let (to, body) = elsewhere.unwrap_or((*name, *body));
            s.inquire(method, &format!("{path}/{to}"), body);
            s.inquire("GET", &format!("{path}/{name}"), "");
            if *unset {
                s.inquire("DELETE", &format!("{path}/{to}"), "");
                s.inquire("GET", &format!("{path}/{name}"), "");
            }
        }
        s.replace(r#""offload_policies":\{[^}]*\{\}[^}]*\},"#, "");
        s.inquire("GET", &path, "");
        s.order("GET", &format!("{path}-none/retention"), "");
        s.order("POST", &format!("{path}-none/retention"), "{\"retentionTimeInMinutes\":1,\"retentionSizeInMB\":1}");
        s.order("DELETE", &path, "");
    }

    fn admin_settings_of_topics(s) {
        quiet(s);
        s.replace(SET_OF_TYPES.0, SET_OF_TYPES.1);
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        s.order("PUT", &path, "");
        for (name, method, body) in TOPIC_SETTINGS {
            s.inquire("GET", &format!("{path}/{name}"), "");
            let to = if *name == "backlogQuotaMap" { "backlogQuota" } else { name };
            s.inquire(method, &format!("{path}/{to}"), body);
            s.pause(150);
            s.inquire("GET", &format!("{path}/{name}"), "");
            s.inquire("DELETE", &format!("{path}/{to}"), "");
            s.pause(150);
            s.inquire("GET", &format!("{path}/{name}"), "");
        }
        s.order("POST", &format!("{path}-none/retention"), "{\"retentionTimeInMinutes\":1,\"retentionSizeInMB\":1}");
        s.order("GET", &format!("{path}-none/retention"), "");
        s.order("DELETE", &path, "");
    }
}

/// Java has these in a set whose order is another one each time that a broker is started.
const SET_OF_TYPES: (&str, &str) = (r#"200 \["Shared","Exclusive"\]"#, r#"200 ["Exclusive","Shared"]"#);

/// A setting's name, the method, a value (`/other value` for another path), and whether it can be unset.
const NAMESPACE_SETTINGS: &[(&str, &str, &str, bool)] = &[
    ("retention", "POST", r#"{"retentionTimeInMinutes":5,"retentionSizeInMB":10}"#, true),
    ("messageTTL", "POST", "60", true),
    (
        "backlogQuotaMap",
        "POST",
        r#"/backlogQuota {"limitSize":1000,"limitTime":-1,"policy":"producer_exception"}"#,
        true,
    ),
    ("deduplication", "POST", "true", true),
    (
        "autoTopicCreation",
        "POST",
        r#"{"allowAutoTopicCreation":true,"topicType":"partitioned","defaultNumPartitions":3}"#,
        true,
    ),
    ("autoSubscriptionCreation", "POST", r#"{"allowAutoSubscriptionCreation":false}"#, true),
    (
        "persistence",
        "POST",
        r#"{"bookkeeperEnsemble":1,"bookkeeperWriteQuorum":1,"bookkeeperAckQuorum":1,"managedLedgerMaxMarkDeleteRate":0.0}"#,
        true,
    ),
    ("delayedDelivery", "POST", r#"{"active":true,"tickTime":2000,"maxDeliveryDelayInMillis":0}"#, true),
    ("compactionThreshold", "PUT", "1000", true),
    (
        "inactiveTopicPolicies",
        "POST",
        r#"{"inactiveTopicDeleteMode":"delete_when_no_subscriptions","maxInactiveDurationSeconds":60,"deleteWhileInactive":true}"#,
        true,
    ),
    ("maxProducersPerTopic", "POST", "5", true),
    ("maxConsumersPerTopic", "POST", "6", true),
    ("maxConsumersPerSubscription", "POST", "7", true),
    ("maxSubscriptionsPerTopic", "POST", "8", true),
    ("maxUnackedMessagesPerConsumer", "POST", "9", true),
    ("maxUnackedMessagesPerSubscription", "POST", "10", true),
    ("maxTopicsPerNamespace", "POST", "1000", true),
    ("subscriptionExpirationTime", "POST", "30", true),
    (
        "dispatchRate",
        "POST",
        r#"{"dispatchThrottlingRateInMsg":10,"dispatchThrottlingRateInByte":20,"ratePeriodInSecond":1,"relativeToPublishRate":false}"#,
        true,
    ),
    (
        "subscriptionDispatchRate",
        "POST",
        r#"{"dispatchThrottlingRateInMsg":10,"dispatchThrottlingRateInByte":20,"ratePeriodInSecond":1,"relativeToPublishRate":false}"#,
        true,
    ),
    (
        "replicatorDispatchRate",
        "POST",
        r#"{"dispatchThrottlingRateInMsg":10,"dispatchThrottlingRateInByte":20,"ratePeriodInSecond":1,"relativeToPublishRate":false}"#,
        true,
    ),
    ("subscribeRate", "POST", r#"{"subscribeThrottlingRatePerConsumer":1000,"ratePeriodInSecond":30}"#, true),
    (
        "publishRate",
        "POST",
        r#"{"publishThrottlingRateInMsg":1000,"publishThrottlingRateInByte":100000}"#,
        true,
    ),
    ("schemaCompatibilityStrategy", "PUT", "\"BACKWARD\"", false),
    ("isAllowAutoUpdateSchema", "POST", "false", false),
    ("schemaValidationEnforced", "POST", "true", false),
    ("encryptionRequired", "POST", "true", false),
    ("subscriptionAuthMode", "POST", "\"Prefix\"", false),
    ("subscriptionTypesEnabled", "POST", "[\"Exclusive\",\"Shared\"]", true),
    ("deduplicationSnapshotInterval", "POST", "100", false),
    ("offloadThreshold", "PUT", "-1", false),
    ("replication", "POST", "[\"standalone\"]", false),
    ("permissions", "POST", "/permissions/role [\"produce\",\"consume\"]", true),
    ("properties", "PUT", r#"{"a":"b"}"#, true),
    ("antiAffinity", "POST", "group", true),
    ("entryFilters", "GET", "", false),
    ("resourcegroup", "GET", "", false),
];

/// The same of topics; all can be unset.
const TOPIC_SETTINGS: &[(&str, &str, &str)] = &[
    ("retention", "POST", r#"{"retentionTimeInMinutes":5,"retentionSizeInMB":20000}"#),
    ("messageTTL?messageTTL=60", "POST", ""),
    ("backlogQuotaMap", "POST", r#"{"limitSize":1000,"limitTime":-1,"policy":"producer_exception"}"#),
    ("deduplicationEnabled", "POST", "true"),
    (
        "persistence",
        "POST",
        r#"{"bookkeeperEnsemble":1,"bookkeeperWriteQuorum":1,"bookkeeperAckQuorum":1,"managedLedgerMaxMarkDeleteRate":0.0}"#,
    ),
    ("delayedDelivery", "POST", r#"{"active":true,"tickTime":2000,"maxDeliveryDelayInMillis":0}"#),
    ("compactionThreshold", "POST", "1000"),
    (
        "inactiveTopicPolicies",
        "POST",
        r#"{"inactiveTopicDeleteMode":"delete_when_no_subscriptions","maxInactiveDurationSeconds":60,"deleteWhileInactive":true}"#,
    ),
    ("maxProducers", "POST", "5"),
    ("maxConsumers", "POST", "6"),
    ("maxConsumersPerSubscription", "POST", "7"),
    ("maxSubscriptionsPerTopic", "POST", "8"),
    ("maxUnackedMessagesOnConsumer", "POST", "9"),
    ("maxUnackedMessagesOnSubscription", "POST", "10"),
    ("maxMessageSize", "POST", "1000"),
    (
        "dispatchRate",
        "POST",
        r#"{"dispatchThrottlingRateInMsg":10,"dispatchThrottlingRateInByte":20,"ratePeriodInSecond":1,"relativeToPublishRate":false}"#,
    ),
    (
        "subscriptionDispatchRate",
        "POST",
        r#"{"dispatchThrottlingRateInMsg":10,"dispatchThrottlingRateInByte":20,"ratePeriodInSecond":1,"relativeToPublishRate":false}"#,
    ),
    (
        "replicatorDispatchRate",
        "POST",
        r#"{"dispatchThrottlingRateInMsg":10,"dispatchThrottlingRateInByte":20,"ratePeriodInSecond":1,"relativeToPublishRate":false}"#,
    ),
    ("subscribeRate", "POST", r#"{"subscribeThrottlingRatePerConsumer":1000,"ratePeriodInSecond":30}"#),
    ("publishRate", "POST", r#"{"publishThrottlingRateInMsg":1000,"publishThrottlingRateInByte":100000}"#),
    ("schemaCompatibilityStrategy", "PUT", "\"BACKWARD\""),
    ("subscriptionTypesEnabled", "POST", "[\"Exclusive\",\"Shared\"]"),
    ("deduplicationSnapshotInterval", "POST", "100"),
    ("autoSubscriptionCreation", "POST", r#"{"allowAutoSubscriptionCreation":false}"#),
    ("replication", "POST", "[\"standalone\"]"),
];
