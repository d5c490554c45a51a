//! Settings of the broker that are changed while it runs, and what clients see of it.

use pulsewire_proto::wire::*;

use crate::common::{producer_on, subscribe};
use crate::side::{Side, Who};

fn set(s: &mut Side, setting: &str, value: &str) {
    s.order("POST", &format!("brokers/configuration/{setting}/{value}"), "");
    s.pause_if_real(700);
    s.look("brokers/configuration/runtime", &[setting]);
}

fn unset(s: &mut Side, setting: &str) {
    s.order("DELETE", &format!("brokers/configuration/{setting}"), "");
    s.pause_if_real(700);
    s.look("brokers/configuration/runtime", &[setting]);
}

fn partitions(s: &mut Side, a: Who, topic: &str) {
    s.ask(
        a,
        CommandPartitionedTopicMetadata {
            topic: topic.to_owned(),
            request_id: 7,
            metadata_auto_creation_enabled: Some(true),
            ..CommandPartitionedTopicMetadata::default()
        },
    );
}

/// Other scripts would not bear it: the real one is asked only to be recorded.
#[test]
fn settings_of_a_running_broker() {
    crate::play_alone("settings_of_a_running_broker", script);
}

/// The same: others list clusters.
#[test]
fn a_cluster_that_is_all() {
    crate::play_alone("a_cluster_that_is_all", |s| {
        s.order("PUT", "clusters/global", r#"{"serviceUrl":"http://localhost:8080"}"#);
        s.pause_if_real(300);
        s.sorted("clusters");
        s.order("GET", "clusters/global", "");
        s.order("DELETE", "clusters/global", "");
    });
}

fn script(s: &mut Side) {
    s.replace(r"localhost:\d+|127\.0\.0\.1:\d+", "HERE");
    let short = s.short();
    s.order("PUT", &format!("namespaces/public/{short}"), "");
    let of = |name: &str| format!("persistent://public/{short}/{name}");
    let path = format!("persistent/public/{short}");
    let a = s.client();
    s.find(a, &of("there"));
    s.ask(a, producer_on(9, &of("there")));

    s.note("-- allowAutoTopicCreation");
    set(s, "allowAutoTopicCreation", "false");
    partitions(s, a, &of("a"));
    s.ask(a, producer_on(1, &of("a")));
    s.ask(a, subscribe(1, &of("a"), "s", SubType::SHARED));
    s.inquire("PUT", &format!("{path}/a/subscription/s"), "");
    s.inquire("GET", &format!("{path}/a/partitions?checkAllowAutoCreation=true"), "");
    s.ask(a, subscribe(2, &of("there"), "s", SubType::SHARED));
    let creation = format!("namespaces/public/{short}/autoTopicCreation");
    s.order("POST", &creation, r#"{"allowAutoTopicCreation":true,"topicType":"non-partitioned"}"#);
    s.pause_if_real(300);
    s.ask(a, producer_on(2, &of("b")));
    s.order("DELETE", &creation, "");
    unset(s, "allowAutoTopicCreation");
    s.find(a, &of("c"));
    s.ask(a, producer_on(3, &of("c")));

    s.note("-- partitions of topics made on demand");
    set(s, "allowAutoTopicCreationType", "partitioned");
    partitions(s, a, &of("d"));
    set(s, "defaultNumPartitions", "3");
    partitions(s, a, &of("e"));
    s.inquire("GET", &format!("{path}/f/partitions?checkAllowAutoCreation=true"), "");
    s.sorted(&format!("{path}/partitioned"));
    set(s, "maxNumPartitionsPerPartitionedTopic", "2");
    partitions(s, a, &of("g"));
    s.inquire("PUT", &format!("{path}/h/partitions"), "3");
    s.inquire("PUT", &format!("{path}/h/partitions"), "2");
    s.inquire("POST", &format!("{path}/h/partitions"), "3");
    s.inquire(
        "POST",
        &creation,
        r#"{"allowAutoTopicCreation":true,"topicType":"partitioned","defaultNumPartitions":3}"#,
    );
    unset(s, "maxNumPartitionsPerPartitionedTopic");
    set(s, "defaultNumPartitions", "many");
    unset(s, "defaultNumPartitions");
    set(s, "allowAutoTopicCreationType", "strange");
    unset(s, "allowAutoTopicCreationType");
    partitions(s, a, &of("i"));

    s.note("-- allowAutoSubscriptionCreation");
    set(s, "allowAutoSubscriptionCreation", "false");
    s.ask(a, subscribe(3, &of("there"), "none", SubType::SHARED));
    s.ask(
        a,
        CommandSubscribe { durable: Some(false), ..subscribe(4, &of("there"), "reader", SubType::EXCLUSIVE) },
    );
    unset(s, "allowAutoSubscriptionCreation");
    s.ask(a, subscribe(5, &of("there"), "none", SubType::SHARED));

    s.note("-- maxConcurrentLookupRequest");
    set(s, "maxConcurrentLookupRequest", "0");
    s.ask(a, CommandLookupTopic { topic: of("there"), request_id: 8, ..CommandLookupTopic::default() });
    partitions(s, a, &of("there"));
    s.ask(
        a,
        CommandGetTopicsOfNamespace {
            namespace: format!("public/{short}"),
            request_id: 9,
            ..CommandGetTopicsOfNamespace::default()
        },
    );
    s.ask(
        a,
        CommandWatchTopicList {
            request_id: 10,
            watcher_id: 1,
            namespace: format!("public/{short}"),
            topics_pattern: "none".to_owned(),
            ..CommandWatchTopicList::default()
        },
    );
    s.ask(a, CommandGetSchema { request_id: 11, topic: of("there"), ..CommandGetSchema::default() });
    s.inquire("GET", &format!("/lookup/v2/topic/{path}/there"), "");
    unset(s, "maxConcurrentLookupRequest");

    s.note("-- how many there may be");
    set(s, "maxTopicsPerNamespace", "1");
    s.ask(a, producer_on(4, &of("j")));
    s.inquire("PUT", &format!("{path}/k"), "");
    unset(s, "maxTopicsPerNamespace");
    set(s, "maxTenants", "1");
    s.inquire("PUT", &format!("tenants/{short}"), r#"{"allowedClusters":["standalone"]}"#);
    unset(s, "maxTenants");
    set(s, "maxNamespacesPerTenant", "1");
    s.inquire("PUT", &format!("namespaces/public/{short}-2"), "");
    unset(s, "maxNamespacesPerTenant");
    set(s, "subscriptionTypesEnabled", "Failover");
    s.ask(a, subscribe(6, &of("there"), "shared", SubType::SHARED));
    s.ask(a, subscribe(7, &of("c"), "shared", SubType::SHARED));
    s.ask(a, subscribe(8, &of("new"), "shared", SubType::SHARED));
    s.ask(a, subscribe(9, &of("new"), "failover", SubType::FAILOVER));
    unset(s, "subscriptionTypesEnabled");
}
