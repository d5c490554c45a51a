//! Admin calls: tenants, namespaces, topics, subscriptions, settings.

use pulsewire_proto::wire::*;

use super::scripts;
use crate::common::{batch, producer_on, subscribe};
use crate::side::Side;

/// What differs and does not matter.
pub(super) fn quiet(s: &mut Side) {
    s.replace(r#""(ledgerId|cursorLedger|cursorsLedgerId)":\d+"#, r#""$1":LEDGER"#);
    s.replace(r#""\d+:(-?\d+)""#, r#""LEDGER:$1""#);
    // The real one counts messages there.
    s.replace(r#","index":"-?\d+""#, "");
    // What its parser says.
    s.replace(r"(?s) -> 400 \S.*", " -> 400");
    // A set, in any order.
    s.replace(r#"\["consume","produce"\]"#, r#"["produce","consume"]"#);
    s.replace(r"localhost:\d+", "HERE");
    s.replace(r"0x[0-9a-f]{8}_0x[0-9a-f]{8}", "BUNDLE");
}

/// The names and kinds of all parts of a JSON answer.
fn shape(value: &serde_json::Value, at: &str, out: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| shape(value, &format!("{at}.{key}"), out));
            if fields.is_empty() {
                out.push(format!("{at}: nothing"));
            }
        }
        serde_json::Value::Array(items) => match items.first() {
            Some(first) => shape(first, &format!("{at}[]"), out),
            None => out.push(format!("{at}: none")),
        },
        serde_json::Value::String(_) => out.push(format!("{at}: text")),
        serde_json::Value::Number(_) => out.push(format!("{at}: number")),
        serde_json::Value::Bool(_) => out.push(format!("{at}: boolean")),
        serde_json::Value::Null => out.push(format!("{at}: null")),
    }
}

/// TLS is left out: one of the two has it, the other not.
pub(super) fn shape_of(s: &mut Side, path: &str) {
    let (status, answer) = s.admin("GET", path, "");
    s.note(format!("GET {path} -> {status}"));
    let value: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    let mut lines = Vec::new();
    shape(&value, "", &mut lines);
    let tls = [".brokerServiceUrlTls: text", ".serviceUrlTls: text"];
    lines
        .into_iter()
        .filter(|line| !tls.contains(&line.as_str()))
        .for_each(|line| s.note(format!("  {line}")));
}

scripts! {
    fn admin_tenants_and_clusters(s) {
        quiet(s);
        let tenant = s.short();
        let path = format!("tenants/{tenant}");
        s.inquire("GET", &path, "");
        s.inquire("PUT", &path, "{\"adminRoles\":[\"a\"],\"allowedClusters\":[\"standalone\"]}");
        s.inquire("PUT", &path, "{\"adminRoles\":[\"a\"],\"allowedClusters\":[\"standalone\"]}");
        s.inquire("GET", &path, "");
        s.inquire("POST", &path, "{\"adminRoles\":[\"b\",\"c\"],\"allowedClusters\":[\"standalone\"]}");
        s.inquire("GET", &path, "");
        s.inquire("PUT", &format!("{path}-2"), "{}");
        s.inquire("PUT", &format!("{path}-2"), "{\"allowedClusters\":[\"nowhere\"]}");
        s.inquire("PUT", &format!("{path}-2"), "{\"allowedClusters\":[]}");
        s.inquire("PUT", "tenants/bad%20name", "{\"allowedClusters\":[\"standalone\"]}");
        s.inquire("POST", &format!("{path}-none"), "{\"allowedClusters\":[\"standalone\"]}");
        s.inquire("PUT", &format!("namespaces/{tenant}/n"), "");
        s.inquire("PUT", &format!("namespaces/{tenant}/n"), "");
        s.inquire("PUT", &format!("namespaces/{tenant}/n2"), "{\"replication_clusters\":[\"nowhere\"]}");
        s.inquire("PUT", &format!("namespaces/{tenant}/n2"), "{\"bundles\":{\"numBundles\":3},\"replication_clusters\":[\"standalone\"]}");
        s.inquire("GET", &format!("namespaces/{tenant}/n2/bundles"), "");
        s.inquire("PUT", &format!("namespaces/{tenant}-none/n"), "");
        s.inquire("PUT", &format!("namespaces/{tenant}/bad%20name"), "");
        s.inquire("GET", &format!("namespaces/{tenant}"), "");
        s.inquire("GET", &format!("namespaces/{tenant}-none"), "");
        s.inquire("GET", &format!("namespaces/{tenant}/n"), "");
        s.inquire("GET", &format!("namespaces/{tenant}/none"), "");
        s.inquire("DELETE", &path, "");
        s.inquire("PUT", &format!("persistent/{tenant}/n/t"), "");
        s.inquire("GET", &format!("namespaces/{tenant}/n/topics"), "");
        s.inquire("GET", &format!("namespaces/{tenant}/none/topics"), "");
        s.inquire("DELETE", &format!("namespaces/{tenant}/n"), "");
        s.inquire("DELETE", &format!("namespaces/{tenant}/none"), "");
        s.inquire("PUT", &format!("persistent/{tenant}/none/t"), "");
        s.inquire("PUT", &format!("persistent/{tenant}/none/t/partitions"), "2");
        s.inquire("PUT", &format!("persistent/{tenant}-none/n/t"), "");
        s.inquire("GET", &format!("persistent/{tenant}/none"), "");
        s.inquire("GET", &format!("persistent/{tenant}/n"), "");
        s.inquire("GET", &format!("persistent/{tenant}/n/partitioned"), "");
        s.inquire("GET", &format!("non-persistent/{tenant}/n"), "");
        s.order("DELETE", &format!("persistent/{tenant}/n/t"), "");
        s.inquire("DELETE", &format!("namespaces/{tenant}/n"), "");
        s.inquire("DELETE", &format!("namespaces/{tenant}/n2"), "");
        s.inquire("DELETE", &path, "");
        s.inquire("DELETE", &path, "");
        s.inquire("GET", "clusters/standalone-none", "");
        shape_of(s, "clusters/standalone");
        let cluster = format!("clusters/c{tenant}");
        s.inquire("PUT", &cluster, "{\"serviceUrl\":\"http://a:1\",\"brokerServiceUrl\":\"pulsar://a:2\"}");
        s.inquire("PUT", &cluster, "{\"serviceUrl\":\"http://a:1\",\"brokerServiceUrl\":\"pulsar://a:2\"}");
        s.inquire("GET", &cluster, "");
        s.inquire("POST", &cluster, "{\"serviceUrl\":\"http://b:1\"}");
        s.inquire("GET", &cluster, "");
        s.inquire("PUT", "clusters/bad%20name", "{\"serviceUrl\":\"http://a:1\"}");
        s.inquire("DELETE", &cluster, "");
        s.inquire("DELETE", &cluster, "");
        s.inquire("GET", "brokers", "");
        s.inquire("GET", "brokers/standalone", "");
        shape_of(s, "brokers/leaderBroker");
        s.order("GET", "brokers/version", "");
        s.inquire("GET", "brokers/health", "");
        s.inquire("GET", "brokers/ready", "");
    }

    fn admin_client_of_an_unknown_tenant(s) {
        quiet(s);
        let tenant = s.short();
        let a = s.client();
        s.ask(a, CommandPartitionedTopicMetadata { topic: format!("persistent://{tenant}/none/t"), request_id: 1, ..CommandPartitionedTopicMetadata::default() });
        s.ask(a, CommandLookupTopic { topic: format!("persistent://{tenant}/none/t"), request_id: 1, ..CommandLookupTopic::default() });
    }

    fn admin_topics(s) {
        quiet(s);
        let unique = s.unique().to_owned();
        let a = s.client();
        for domain in ["persistent", "non-persistent"] {
            let path = format!("{domain}/public/default/{unique}");
            s.inquire("PUT", &path, "");
            s.inquire("PUT", &path, "");
            s.inquire("GET", &format!("{path}/partitions"), "");
            s.inquire("GET", &format!("{path}-none/partitions"), "");
            s.inquire("GET", &format!("{path}-none/partitions?checkAllowAutoCreation=true"), "");
            s.inquire("PUT", &format!("{path}/partitions"), "2");
            s.inquire("PUT", &format!("{path}-p/partitions"), "2");
            s.inquire("PUT", &format!("{path}-p/partitions"), "2");
            s.inquire("PUT", &format!("{path}-p"), "");
            s.inquire("PUT", &format!("{path}-q/partitions"), "0");
            s.inquire("PUT", &format!("{path}-q/partitions"), "-1");
            s.inquire("PUT", &format!("{path}-q/partitions"), "{\"partitions\":2,\"properties\":{\"a\":\"b\"}}");
            s.inquire("PUT", &format!("{path}-r-partition-0"), "");
            s.inquire("POST", &format!("{path}-p/partitions"), "3");
            s.inquire("POST", &format!("{path}-p/partitions"), "2");
            s.inquire("POST", &format!("{path}/partitions"), "2");
            s.inquire("POST", &format!("{path}-none/partitions"), "2");
            s.inquire("GET", &format!("{path}-p/partitions"), "");
            s.inquire("GET", &format!("{path}-none/stats"), "");
            s.inquire("GET", &format!("{path}-none/internalStats"), "");
            s.inquire("GET", &format!("{path}-none/partitioned-stats"), "");
            s.inquire("GET", &format!("{path}-none/subscriptions"), "");
            s.inquire("PUT", &format!("{path}-none/unload"), "");
            s.inquire("PUT", &format!("{path}/unload"), "");
            s.inquire("PUT", &format!("{path}-p/unload"), "");
            s.inquire("GET", &format!("{path}-p/stats"), "");
            s.inquire("DELETE", &format!("{path}-p"), "");
            s.inquire("DELETE", &format!("{path}-none"), "");
            s.inquire("DELETE", &format!("{path}-none/partitions"), "");
            s.inquire("DELETE", &path, "");
            s.inquire("DELETE", &format!("{path}-p/partitions"), "");
        }
        let path = format!("persistent/public/default/{unique}-properties");
        s.inquire("PUT", &path, "{\"a\":\"1\",\"b\":\"2\"}");
        s.inquire("GET", &format!("{path}/properties"), "");
        s.inquire("PUT", &format!("{path}/properties"), "{\"b\":\"3\",\"c\":\"4\"}");
        s.inquire("DELETE", &format!("{path}/properties?key=a"), "");
        s.inquire("GET", &format!("{path}/properties"), "");
        s.inquire("GET", &format!("{path}-none/properties"), "");
        s.inquire("GET", &format!("{path}/permissions"), "");
        s.inquire("POST", &format!("{path}/terminate/partitions"), "");
        s.inquire("POST", &format!("{path}-none/terminate"), "");
        s.inquire("POST", &format!("{path}/terminate"), "");
        s.inquire("POST", &format!("{path}/terminate"), "");
        s.ask(a, producer_on(1, &format!("persistent://public/default/{unique}-properties")));
        s.inquire("PUT", &format!("{path}-p/partitions"), "2");
        s.inquire("POST", &format!("{path}-p/terminate"), "");
        s.inquire("POST", &format!("{path}-p/terminate/partitions"), "");
        s.inquire("PUT", &format!("{path}-p/compaction"), "");
        s.inquire("GET", &format!("{path}-none/compaction"), "");
        s.inquire("PUT", &format!("{path}-none/compaction"), "");
        s.order("DELETE", &format!("{path}-p/partitions?force=true"), "");
    }

    fn admin_subscriptions(s) {
        quiet(s);
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        let a = s.client();
        s.find(a, &topic);
        s.ask(a, producer_on(1, &topic));
        s.inquire("PUT", &format!("{path}/subscription/early"), "{\"ledgerId\":-1,\"entryId\":-1}");
        for n in 0..4 {
            s.publish(a, 1, n, MessageMetadata::default(), &format!("m{n}"));
        }
        s.inquire("PUT", &format!("{path}/subscription/early"), "");
        s.inquire("PUT", &format!("{path}/subscription/late"), "");
        s.inquire("PUT", &format!("{path}/subscription/latest"), "{\"ledgerId\":9223372036854775807,\"entryId\":9223372036854775807,\"partitionIndex\":-1}");
        s.inquire("PUT", &format!("{path}/subscription/earliest"), "{\"ledgerId\":-1,\"entryId\":-1,\"partitionIndex\":-1,\"properties\":{\"a\":\"b\"}}");
        s.inquire("GET", &format!("{path}/subscription/earliest/properties"), "");
        s.inquire("PUT", &format!("{path}/subscription/earliest/properties"), "{\"c\":\"d\"}");
        s.inquire("GET", &format!("{path}/subscription/earliest/properties"), "");
        s.inquire("GET", &format!("{path}/subscription/none/properties"), "");
        s.sorted(&format!("{path}/subscriptions"));
        let backlog = |s: &mut Side| s.look(&format!("{path}/stats"), &["subscriptions.early.msgBacklog", "subscriptions.late.msgBacklog", "subscriptions.latest.msgBacklog", "subscriptions.earliest.msgBacklog"]);
        backlog(s);
        s.inquire("POST", &format!("{path}/subscription/early/skip/1"), "");
        s.inquire("POST", &format!("{path}/subscription/none/skip/1"), "");
        s.inquire("POST", &format!("{path}/subscription/none/skip_all"), "");
        s.inquire("POST", &format!("{path}-none/subscription/none/skip_all"), "");
        backlog(s);
        s.inquire("POST", &format!("{path}/subscription/early/resetcursor/0"), "");
        backlog(s);
        s.inquire("POST", &format!("{path}/subscription/none/resetcursor/0"), "");
        s.inquire("POST", &format!("{path}/subscription/early/skip_all"), "");
        backlog(s);
        s.inquire("POST", &format!("{path}/subscription/early/resetcursor"), "{\"ledgerId\":-1,\"entryId\":-1,\"partitionIndex\":-1}");
        backlog(s);
        s.inquire("POST", &format!("{path}/subscription/none/resetcursor"), "{\"ledgerId\":-1,\"entryId\":-1,\"partitionIndex\":-1}");
        s.inquire("POST", &format!("{path}/subscription/early/expireMessages/3600"), "");
        s.inquire("POST", &format!("{path}/subscription/late/expireMessages/1"), "");
        s.inquire("POST", &format!("{path}/subscription/none/expireMessages/1"), "");
        s.inquire("POST", &format!("{path}/all_subscription/expireMessages/3600"), "");
        s.inquire("GET", &format!("{path}/subscription/early/position/1"), "");
        s.inquire("GET", &format!("{path}/subscription/early/position/4"), "");
        s.inquire("GET", &format!("{path}/subscription/early/position/5"), "");
        s.inquire("GET", &format!("{path}/examinemessage?initialPosition=latest&messagePosition=1"), "");
        s.inquire("GET", &format!("{path}/examinemessage?initialPosition=earliest&messagePosition=2"), "");
        s.inquire("GET", &format!("{path}/examinemessage?initialPosition=nowhere&messagePosition=2"), "");
        s.inquire("GET", &format!("{path}/lastMessageId"), "");
        s.inquire("GET", &format!("{path}-none/lastMessageId"), "");
        s.inquire("GET", &format!("{path}/messageid/0"), "");
        s.inquire("POST", &format!("{path}/subscription/early/analyzeBacklog"), "");
        s.inquire("GET", &format!("{path}/subscription/early/replicatedSubscriptionStatus"), "");
        s.ask(a, subscribe(1, &topic, "early", SubType::SHARED));
        s.inquire("DELETE", &format!("{path}/subscription/early"), "");
        s.inquire("DELETE", &format!("{path}/subscription/none"), "");
        s.inquire("DELETE", &format!("{path}/subscription/early?force=true"), "");
        s.hear_all(a);
        s.inquire("DELETE", &format!("{path}/subscription/late"), "");
        s.sorted(&format!("{path}/subscriptions"));
        s.inquire("PUT", &format!("{path}-p/partitions"), "2");
        s.inquire("PUT", &format!("{path}-p/subscription/s"), "");
        s.inquire("GET", &format!("{path}-p/subscriptions"), "");
        s.inquire("POST", &format!("{path}-p/subscription/s/skip/1"), "");
        s.inquire("POST", &format!("{path}-p/subscription/s/skip_all"), "");
        s.inquire("POST", &format!("{path}-p/subscription/s/resetcursor/0"), "");
        s.inquire("DELETE", &format!("{path}-p/subscription/s"), "");
        s.inquire("GET", &format!("{path}-p/subscriptions"), "");
        s.order("DELETE", &format!("{path}-p/partitions?force=true"), "");
    }

    fn admin_statistics(s) {
        quiet(s);
        let unique = s.unique().to_owned();
        let topic = s.topic();
        let path = format!("persistent/public/default/{unique}");
        let a = s.client();
        s.find(a, &topic);
        s.ask(a, producer_on(1, &topic));
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        s.publish(a, 1, 0, MessageMetadata::default(), "m");
        s.flow(a, 1, 10);
        s.hear_all(a);
        s.replace(r"subscriptions\.s\.", "subscriptions.S.");
        shape_of(s, &format!("{path}/stats"));
        shape_of(s, &format!("{path}/internalStats"));
        s.look(&format!("{path}/stats"), &[
            "msgInCounter", "msgOutCounter", "publishers.0.accessMode", "subscriptions.s.msgBacklog", "subscriptions.s.type",
            "subscriptions.s.unackedMessages", "subscriptions.s.consumers.0.availablePermits", "subscriptions.s.consumers.0.unackedMessages",
            "subscriptions.s.isDurable", "deduplicationStatus", "bytesInCounter", "bytesOutCounter", "storageSize", "backlogSize",
        ]);
        s.look(&format!("{path}/internalStats"), &["entriesAddedCounter", "numberOfEntries", "totalSize", "state", "currentLedgerEntries"]);
        let parts = format!("{path}-p");
        s.order("PUT", &format!("{parts}/partitions"), "1");
        s.find(a, &format!("{topic}-p-partition-0"));
        s.ask(a, producer_on(2, &format!("{topic}-p-partition-0")));
        s.ask(a, subscribe(2, &format!("{topic}-p-partition-0"), "s", SubType::SHARED));
        shape_of(s, &format!("{parts}/partitioned-stats?perPartition=false"));
        let loose = format!("non-{topic}");
        s.find(a, &loose);
        s.ask(a, producer_on(3, &loose));
        s.ask(a, subscribe(3, &loose, "s", SubType::SHARED));
        shape_of(s, &format!("non-{path}/stats"));
    }

    fn admin_calls_that_are_malformed(s) {
        quiet(s);
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        s.order("PUT", &path, "");
        let namespace = format!("namespaces/public/{unique}");
        s.order("PUT", &namespace, "");
        s.order("PUT", &format!("tenants/{unique}"), "{bad");
        s.order("PUT", &format!("tenants/{unique}"), "[1]");
        s.order("PUT", &format!("tenants/{unique}"), "");
        s.order("PUT", &format!("{path}-p/partitions"), "\"x\"");
        s.order("PUT", &format!("{path}-p/partitions"), "");
        s.order("PUT", &format!("{path}-p/partitions"), "[");
        s.order("PUT", &format!("{path}-p/partitions"), "1.5");
        s.order("PATCH", &path, "");
        s.order("POST", &path, "");
        s.order("DELETE", &format!("{path}/stats"), "");
        s.order("GET", "nonsense", "");
        s.order("GET", "persistent/public", "");
        s.order("GET", &format!("{path}/nonsense"), "");
        s.order("GET", &format!("{path}/stats/more"), "");
        s.order("GET", "persistent/public/default/%zz/stats", "");
        s.order("GET", "persistent/public/default/a%2Fb/stats", "");
        s.order("GET", "persistent/pub%20lic/default/a/stats", "");
        s.order("GET", "sideways/public/default/a/stats", "");
        s.order("POST", &format!("{path}/subscription/s/skip/x"), "");
        s.order("POST", &format!("{path}/subscription/s/skip/-1"), "");
        s.order("POST", &format!("{path}/subscription/s/resetcursor/x"), "");
        s.order("POST", &format!("{path}/subscription/s/resetcursor"), "{}");
        s.order("POST", &format!("{path}/subscription/s/resetcursor"), "[]");
        s.order("GET", &format!("{path}/subscription/s/position/x"), "");
        s.order("GET", &format!("{path}/ledger/x/entry/0"), "");
        s.order("PUT", &path, "[]");
        s.order("PUT", &format!("{path}-2"), "[]");
        s.order("PUT", &format!("{path}-2"), "{\"a\":1}");
        s.order("POST", &format!("{path}/retention"), "1");
        s.order("POST", &format!("{path}/retention"), "{\"retentionTimeInMinutes\":\"x\"}");
        s.order("POST", &format!("{path}/messageTTL?messageTTL=x"), "");
        s.order("POST", &format!("{namespace}/messageTTL"), "\"x\"");
        s.order("POST", &format!("{namespace}/messageTTL"), "-5");
        s.order("POST", &format!("{namespace}/deduplication"), "3");
        s.order("POST", &format!("{namespace}/retention"), "[]");
        s.order("DELETE", &path, "");
        s.order("DELETE", &namespace, "");
    }

    fn admin_calls_that_are_refused(s) {
        quiet(s);
        let unique = s.unique().to_owned();
        let short = s.short();
        let namespace = format!("namespaces/public/{short}");
        s.order("PUT", &namespace, "");
        for (minutes, megabytes) in [(-2, 10), (5, -2), (0, 10), (5, 0), (-1, 0), (0, 0), (-1, -1)] {
            let body = format!("{{\"retentionTimeInMinutes\":{minutes},\"retentionSizeInMB\":{megabytes}}}");
            s.order("POST", &format!("{namespace}/retention"), &body);
        }
        for body in [
            r#"{"allowAutoTopicCreation":true,"topicType":"wat"}"#,
            r#"{"allowAutoTopicCreation":true,"topicType":"partitioned","defaultNumPartitions":0}"#,
            r#"{"allowAutoTopicCreation":true,"topicType":"partitioned"}"#,
            r#"{"allowAutoTopicCreation":true}"#,
            r#"{"allowAutoTopicCreation":true,"topicType":"non-partitioned","defaultNumPartitions":3}"#,
            r#"{"allowAutoTopicCreation":true,"topicType":"non-partitioned"}"#,
            r#"{"allowAutoTopicCreation":false,"topicType":"wat"}"#,
            r#"{"allowAutoTopicCreation":false}"#,
        ] {
            s.inquire("POST", &format!("{namespace}/autoTopicCreation"), body);
        }
        s.inquire("GET", &format!("{namespace}/autoTopicCreation"), "");
        s.order("POST", &format!("{namespace}/backlogQuota?backlogQuotaType=wat"), "{\"limitSize\":1}");
        s.order("DELETE", &format!("{namespace}/backlogQuota?backlogQuotaType=wat"), "");
        s.inquire("POST", &format!("{namespace}/backlogQuota"), "{\"limitSize\":1000,\"policy\":\"producer_exception\"}");
        s.inquire("POST", &format!("{namespace}/backlogQuota?backlogQuotaType=message_age"), "{\"limitTime\":1000,\"policy\":\"producer_exception\"}");
        s.inquire("GET", &format!("{namespace}/backlogQuotaMap"), "");
        s.order("GET", &format!("{namespace}/topics?mode=WAT"), "");
        s.order("GET", "brokers/health?topicVersion=V9", "");
        s.order("GET", "brokers/health?topicVersion=V2", "");
        s.inquire("DELETE", &format!("{namespace}?force=true"), "");
        s.inquire("DELETE", &format!("{namespace}-none?force=true"), "");
        s.inquire("DELETE", &format!("tenants/{short}?force=true"), "");
        s.order("DELETE", &namespace, "");
        let path = format!("persistent/public/default/{unique}");
        s.order("PUT", &path, "");
        s.inquire("DELETE", &format!("{path}/partitions"), "");
        s.inquire("PUT", &format!("{path}-y-partition-3/partitions"), "2");
        s.inquire("PUT", &format!("{path}-p/partitions"), "2");
        s.inquire("PUT", &format!("{path}-p-partition-1"), "");
        s.inquire("PUT", &format!("{path}-p-partition-7"), "");
        s.inquire("GET", &format!("{path}-p/properties"), "");
        s.inquire("POST", &format!("{path}-p-partition-0/maxProducers"), "3");
        s.inquire("GET", &format!("{path}-p-partition-0/retention"), "");
        s.inquire("DELETE", &format!("{path}-none-partition-0/retention"), "");
        s.inquire("PUT", &format!("non-{path}/subscription/s"), "");
        s.inquire("POST", &format!("non-{path}/terminate"), "");
        s.inquire("PUT", &format!("{path}/subscription/e"), "\"earliest\"");
        s.inquire("PUT", &format!("{path}/subscription/l"), "\"latest\"");
        s.order("PUT", &format!("{path}/subscription/w"), "\"wat\"");
        s.inquire("POST", &format!("{path}/subscription/e/resetcursor"), "\"earliest\"");
        s.order("GET", &format!("/lookup/v2/topic/{path}?listenerName=x"), "");
        let a = s.client();
        s.find(a, &format!("persistent://public/default/{unique}-q-partition-0"));
        s.ask(a, producer_on(1, &format!("persistent://public/default/{unique}-q-partition-0")));
        s.inquire("PUT", &format!("{path}-q/partitions"), "2");
        for setting in [
            "retention", "backlogQuotaMap", "maxConsumers", "deduplicationEnabled", "messageTTL", "delayedDelivery",
            "inactiveTopicPolicies", "persistence", "dispatchRate", "compactionThreshold", "maxUnackedMessagesOnConsumer",
            "maxUnackedMessagesOnSubscription", "publishRate", "subscribeRate", "maxSubscriptionsPerTopic", "maxProducers",
            "maxConsumersPerSubscription", "replication", "schemaCompatibilityStrategy", "subscriptionDispatchRate",
            "replicatorDispatchRate", "autoSubscriptionCreation", "entryFilters", "maxMessageSize",
            "deduplicationSnapshotInterval", "schemaValidationEnforced", "dispatcherPauseOnAckStatePersistent",
        ] {
            s.inquire("GET", &format!("{path}/{setting}?applied=true"), "");
        }
        s.order("DELETE", &format!("{path}-p/partitions"), "");
        s.order("DELETE", &path, "");
    }

    fn admin_calls_of_tools(s) {
        quiet(s);
        // Clusters of other scripts, which are asked at the same time.
        s.replace(r#""d\d+(-\w+)?",|,"d\d+(-\w+)?""#, "");
        let namespace = format!("namespaces/public/{}", s.short());
        s.order("PUT", &namespace, "");
        for path in [&format!("{namespace}/allowedClusters"), &format!("{namespace}/offloadPolicies"), &format!("{namespace}/permissions/subscription")] {
            s.inquire("GET", path, "");
        }
        s.order("DELETE", &namespace, "");
        for path in ["resource-quotas", "resourcegroups", "resourcegroups/x", "bookies/racks-info", "brokers/backlog-quota-check", "/admin/clusters", "brokers/version"] {
            s.inquire("GET", path, "");
        }
        for path in ["broker-stats/topics", "broker-stats/load-report", "broker-stats/metrics", "broker-stats/mbeans", "bookies/all"] {
            s.order("GET", path, "");
        }
    }

    fn admin_topics_without_storage(s) {
        quiet(s);
        let unique = s.unique().to_owned();
        let namespace = s.short();
        s.order("PUT", &format!("namespaces/public/{namespace}"), "");
        let path = format!("non-persistent/public/{namespace}");
        let topic = format!("non-persistent://public/{namespace}/{unique}");
        s.inquire("PUT", &format!("{path}/{unique}/partitions"), "2");
        s.inquire("GET", &path, "");
        s.inquire("GET", &format!("namespaces/public/{namespace}/topics?mode=ALL"), "");
        let a = s.client();
        s.find(a, &format!("{topic}-partition-1"));
        s.ask(a, producer_on(1, &format!("{topic}-partition-1")));
        s.ask(a, subscribe(1, &format!("{topic}-partition-1"), "s", SubType::SHARED));
        s.inquire("GET", &path, "");
        s.inquire("GET", &format!("namespaces/public/{namespace}/topics?mode=NON_PERSISTENT"), "");
        s.ask_sorted(a, CommandGetTopicsOfNamespace { namespace: format!("public/{namespace}"), mode: Some(TopicsMode::ALL), request_id: 5, ..CommandGetTopicsOfNamespace::default() });
        s.publish(a, 1, 0, MessageMetadata::default(), "m");
        s.inquire("GET", &format!("{path}/{unique}-partition-1/internalStats"), "");
        s.look(&format!("{path}/{unique}-partition-1/stats"), &["storageSize", "backlogSize", "backlogQuotaLimitSize", "backlogQuotaLimitTime", "oldestBacklogMessageAgeSeconds", "msgInCounter"]);
        s.order("DELETE", &format!("{path}/{unique}/partitions?force=true"), "");
        s.order("DELETE", &format!("namespaces/public/{namespace}"), "");
    }

    fn cursors_are_reset_to_and_behind_a_message(s) {
        quiet(s);
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let a = s.client();
        s.find(a, &topic);
        s.ask(a, producer_on(1, &topic));
        s.order("PUT", &format!("{path}/subscription/s"), "\"earliest\"");
        for n in 0..4 {
            s.publish(a, 1, n, MessageMetadata::default(), &format!("m{n}"));
        }
        let (_, last) = s.admin("GET", &format!("{path}/lastMessageId"), "");
        let last: serde_json::Value = serde_json::from_str(&last).unwrap();
        let ledger = last["ledgerId"].as_i64().unwrap();
        for named in ["isExcluded", "excluded"] {
            let body = format!("{{\"ledgerId\":{ledger},\"entryId\":1,\"partitionIndex\":-1,\"{named}\":true}}");
            s.order("POST", &format!("{path}/subscription/s/resetcursor"), &body);
            s.look(&format!("{path}/stats"), &["subscriptions.s.msgBacklog"]);
        }
    }

    fn statistics_of_keys(s) {
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let a = s.client();
        s.find(a, &topic);
        for (id, name) in [(1, "c1"), (2, "c2"), (3, "c1")] {
            s.ask(a, CommandSubscribe { consumer_name: Some(name.to_owned()), ..subscribe(id, &topic, "s", SubType::KEY_SHARED) });
        }
        s.look(&format!("{path}/stats"), &[
            "subscriptions.s.keySharedMode", "subscriptions.s.consumers.0.keyHashRangeArrays", "subscriptions.s.consumers.1.keyHashRangeArrays",
            "subscriptions.s.consumers.2.keyHashRangeArrays", "subscriptions.s.consumers.0.keyHashRanges", "subscriptions.s.consumers.0.drainingHashes",
        ]);
        shape_of(s, &format!("{path}/stats"));
        for (id, from, to) in [(4, 0, 99), (5, 100, 65535)] {
            let range = IntRange { start: from, end: to };
            let meta = KeySharedMeta { key_shared_mode: KeySharedMode::STICKY, hash_ranges: vec![range], ..KeySharedMeta::default() };
            s.ask(a, CommandSubscribe { key_shared_meta: Some(meta), ..subscribe(id, &topic, "sticky", SubType::KEY_SHARED) });
        }
        s.look(&format!("{path}/stats"), &[
            "subscriptions.sticky.keySharedMode", "subscriptions.sticky.consumers.0.keyHashRangeArrays", "subscriptions.sticky.consumers.1.keyHashRangeArrays",
        ]);
    }

    fn admin_lookup_over_http(s) {
        quiet(s);
        let unique = s.unique().to_owned();
        s.replace(r#""(brokerUrlTls|httpUrlTls|httpUrl|brokerUrlSsl)":("[^"]*"|null),?"#, "");
        s.inquire("GET", &format!("/lookup/v2/topic/persistent/public/default/{unique}"), "");
        s.inquire("GET", &format!("/lookup/v2/topic/non-persistent/public/default/{unique}"), "");
        s.inquire("GET", &format!("/lookup/v2/topic/persistent/public/default/{unique}/bundle"), "");
        s.order("GET", &format!("/lookup/v2/topic/persistent/public/{unique}-none/t"), "");
        s.order("GET", "/lookup/v2/topic/persistent/public/default", "");
        s.order("GET", "/lookup/v2/nonsense", "");
    }
}

/// On sockets, because it looks at how names of headers are spelled, which is the server's doing.
#[test]
fn admin_messages_that_are_peeked() {
    fn script(s: &mut Side) {
        quiet(s);
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        let a = s.client();
        s.find(a, &topic);
        s.ask(a, CommandProducer { producer_name: Some("p".to_owned()), ..producer_on(1, &topic) });
        s.order("PUT", &format!("{path}/subscription/s"), "{\"ledgerId\":-1,\"entryId\":-1}");
        let property = |key: &str, value: &str| KeyValue { key: key.to_owned(), value: value.to_owned() };
        s.publish(
            a,
            1,
            0,
            MessageMetadata {
                properties: vec![property("k", "v"), property("l", "w")],
                partition_key: Some("key".to_owned()),
                event_time: Some(1_000_000),
                producer_name: "p".to_owned(),
                ..MessageMetadata::default()
            },
            "hello",
        );
        let (metadata, payload) = batch(&[(Some("a"), "one"), (None, "two")]);
        let command = CommandSend {
            producer_id: 1,
            sequence_id: 1,
            highest_sequence_id: Some(2),
            num_messages: Some(2),
            ..CommandSend::default()
        };
        s.send_as(a, command, metadata, &payload);
        s.hear(a);
        for n in 1..=2 {
            s.headers(&format!("{path}/subscription/s/position/{n}"));
        }
        s.headers(&format!("{path}/examinemessage?initialPosition=earliest&messagePosition=1"));
        let (_, last) = s.admin("GET", &format!("{path}/lastMessageId"), "");
        let last: serde_json::Value = serde_json::from_str(&last).unwrap();
        let ledger = last["ledgerId"].as_i64().unwrap();
        s.replace(&format!("ledger/{ledger}/"), "ledger/LEDGER/");
        s.headers(&format!("{path}/ledger/{ledger}/entry/0"));
        s.headers(&format!("{path}/ledger/{ledger}/entry/1"));
        for wanted in ["application/json", "*/*"] {
            let headers = format!("accept: {wanted}\r\n");
            s.form("GET", &format!("{path}/subscription/s/position/1"), &headers, "");
            s.form("GET", &format!("{path}/ledger/{ledger}/entry/0"), &headers, "");
            s.form(
                "GET",
                &format!("{path}/examinemessage?initialPosition=earliest&messagePosition=1"),
                &headers,
                "",
            );
        }
    }
    crate::play_on_sockets("admin_messages_that_are_peeked", script);
}
