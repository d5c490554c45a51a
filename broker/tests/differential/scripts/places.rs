//! Admin calls on clusters, resource groups, quotas and bundles: most of it is only kept.

use pulsewire_proto::wire::SubType;

use super::scripts;
use crate::common::{producer_on, subscribe};
use crate::side::Side;

/// What differs and does not matter.
fn quiet(s: &mut Side) {
    s.replace(r"(?s) -> 400 \S.*", " -> 400");
    s.replace(r"(?s) -> 500 \S.*", " -> 500");
    s.replace(r"localhost:\d+", "HERE");
    // A set, in any order.
    s.replace(r#"\["b2","b1"\]"#, r#"["b1","b2"]"#);
}

scripts! {
    fn places_failure_domains(s) {
        quiet(s);
        let path = format!("clusters/{}", s.short());
        let domains = format!("{path}/failureDomains");
        s.inquire("POST", &format!("{domains}/d1"), r#"{"brokers":["b1"]}"#);
        s.inquire("GET", &domains, "");
        s.inquire("GET", &format!("{domains}/d1"), "");
        s.inquire("DELETE", &format!("{domains}/d1"), "");
        s.inquire("PUT", &path, r#"{"serviceUrl":"http://a:8080"}"#);
        s.inquire("POST", &format!("{domains}/d1"), r#"{"brokers":["b1","b2"]}"#);
        s.inquire("POST", &format!("{domains}/d1"), r#"{"brokers":["b2","b1"]}"#);
        s.inquire("POST", &format!("{domains}/d2"), r#"{"brokers":["b2","b3"]}"#);
        s.inquire("POST", &format!("{domains}/d3"), r#"{"brokers":["b3"]}"#);
        s.inquire("POST", &format!("{domains}/d4"), r#"{"brokers":[]}"#);
        s.inquire("POST", &format!("{domains}/d5"), r#"{}"#);
        s.inquire("POST", &format!("{domains}/d6"), r#"[]"#);
        s.inquire("GET", &domains, "");
        s.inquire("GET", &format!("{domains}/d1"), "");
        s.inquire("GET", &format!("{domains}/none"), "");
        s.inquire("DELETE", &format!("{domains}/none"), "");
        s.inquire("DELETE", &format!("{domains}/d1"), "");
        s.inquire("GET", &domains, "");
        s.inquire("DELETE", &path, "");
    }

    fn places_peers_and_moves(s) {
        quiet(s);
        let (one, two) = (format!("{}-1", s.short()), format!("{}-2", s.short()));
        let path = format!("clusters/{one}");
        s.inquire("GET", &format!("{path}/peers"), "");
        s.inquire("GET", &format!("{path}/migrate"), "");
        s.inquire("PUT", &path, r#"{"serviceUrl":"http://a:8080","listenerName":"x","proxyServiceUrl":"pulsar://p:6650","proxyProtocol":"SNI"}"#);
        s.inquire("PUT", &format!("clusters/{two}"), &format!(r#"{{"serviceUrl":"http://b:8080","peerClusterNames":["{one}"]}}"#));
        s.inquire("GET", &format!("clusters/{two}"), "");
        s.inquire("GET", &format!("clusters/{two}/peers"), "");
        s.inquire("GET", &format!("{path}/peers"), "");
        s.inquire("POST", &format!("{path}/peers"), &format!(r#"["{two}"]"#));
        s.inquire("GET", &format!("{path}/peers"), "");
        s.inquire("GET", &path, "");
        s.inquire("POST", &format!("{path}/peers"), &format!(r#"["{one}"]"#));
        s.inquire("POST", &format!("{path}/peers"), r#"["nosuch"]"#);
        s.inquire("POST", &format!("{path}/peers"), "[]");
        s.inquire("GET", &format!("{path}/peers"), "");
        s.inquire("POST", &format!("{path}/peers"), "null");
        s.inquire("GET", &format!("{path}/peers"), "");
        s.inquire("GET", &format!("{path}/migrate"), "");
        s.inquire("POST", &format!("{path}/migrate?migrated=true"), r#"{"serviceUrl":"http://b:8080","brokerServiceUrl":"pulsar://b:6650"}"#);
        s.inquire("GET", &format!("{path}/migrate"), "");
        s.inquire("POST", &format!("{path}/migrate?migrated=true"), "{}");
        s.inquire("GET", &path, "");
        s.inquire("DELETE", &path, "");
        s.inquire("DELETE", &format!("clusters/{two}"), "");
    }

    fn places_isolation_policies(s) {
        quiet(s);
        let cluster = s.short();
        let all = format!("clusters/{cluster}/namespaceIsolationPolicies");
        let good = r#"{"namespaces":["nosuch/.*"],"primary":["localhost.*"],"secondary":["b.*"],"unload_scope":"none","auto_failover_policy":{"policy_type":"min_available","parameters":{"min_limit":"1","usage_threshold":"100"}}}"#;
        for path in ["", "/p", "/brokers", "/brokers/b1"] {
            s.inquire("GET", &format!("{all}{path}"), "");
        }
        s.inquire("POST", &format!("{all}/p"), good);
        s.inquire("DELETE", &format!("{all}/p"), "");
        s.inquire("PUT", &format!("clusters/{cluster}"), r#"{"serviceUrl":"http://a:8080"}"#);
        for path in ["", "/p", "/brokers", "/brokers/b1"] {
            s.inquire("GET", &format!("{all}{path}"), "");
        }
        s.inquire("POST", &format!("{all}/p"), good);
        s.inquire("POST", &format!("{all}/scoped"), r#"{"namespaces":["a/b"],"primary":["x"],"secondary":[],"unload_scope":"none","auto_failover_policy":{"policy_type":"min_available","parameters":{"min_limit":"2","usage_threshold":"80"}}}"#);
        for bad in [
            "{}",
            r#"{"namespaces":["a"]}"#,
            r#"{"namespaces":["a"],"primary":["x"],"secondary":[],"auto_failover_policy":{"policy_type":"min_available","parameters":{}}}"#,
            r#"{"namespaces":["a"],"primary":["x"],"auto_failover_policy":{"policy_type":"min_available","parameters":{"min_limit":"2","usage_threshold":"80"}}}"#,
            r#"{"namespaces":[],"primary":["x"],"secondary":[],"auto_failover_policy":{"policy_type":"min_available","parameters":{"min_limit":"2","usage_threshold":"80"}}}"#,
        ] {
            s.inquire("POST", &format!("{all}/bad"), bad);
        }
        for path in ["", "/p", "/none", "/brokers", "/brokers/b1", "/brokers/other"] {
            s.inquire("GET", &format!("{all}{path}"), "");
        }
        s.inquire("DELETE", &format!("{all}/p"), "");
        s.inquire("DELETE", &format!("{all}/scoped"), "");
        s.inquire("DELETE", &format!("{all}/none"), "");
        s.inquire("GET", &all, "");
    }

    fn places_quotas_and_groups(s) {
        quiet(s);
        let name = format!("public/{}", s.short());
        s.inquire("PUT", &format!("namespaces/{name}"), "{}");
        let quota = format!("resource-quotas/{name}/0x00000000_0x40000000");
        s.inquire("POST", "resource-quotas", r#"{"msgRateIn":40,"msgRateOut":120,"bandwidthIn":100000,"bandwidthOut":300000,"memory":80}"#);
        s.inquire("GET", "resource-quotas", "");
        s.inquire("GET", &quota, "");
        s.inquire("POST", &quota, r#"{"msgRateIn":4,"msgRateOut":5,"bandwidthIn":1,"bandwidthOut":2,"memory":3,"dynamic":false}"#);
        s.inquire("GET", &quota, "");
        s.inquire("DELETE", &quota, "");
        s.inquire("GET", &quota, "");
        s.inquire("DELETE", &quota, "");
        s.inquire("GET", &format!("resource-quotas/{name}/0x00000000_0x41000000"), "");
        s.inquire("GET", &format!("resource-quotas/{name}/rubbish"), "");
        s.inquire("GET", &format!("resource-quotas/{name}-none/0x00000000_0x40000000"), "");
        let group = format!("resourcegroups/{}", s.short());
        let of_it = format!("namespaces/{name}/resourcegroup");
        s.inquire("GET", &group, "");
        s.inquire("POST", &format!("{of_it}/{}", s.short()), "");
        s.inquire("PUT", &group, r#"{"publishRateInMsgs":10,"publishRateInBytes":100}"#);
        s.inquire("GET", &group, "");
        s.inquire("PUT", &group, r#"{"dispatchRateInMsgs":5}"#);
        s.inquire("GET", &group, "");
        s.inquire("GET", &of_it, "");
        s.inquire("DELETE", &group, "");
        s.inquire("GET", &group, "");
        s.inquire("DELETE", &group, "");
    }

    fn places_bundles_that_are_split(s) {
        quiet(s);
        let name = format!("public/{}", s.short());
        let at = |rest: &str| format!("namespaces/{name}/{rest}");
        s.inquire("PUT", &at("0x00000000_0x40000000/split"), "");
        s.inquire("PUT", &format!("namespaces/{name}"), "{}");
        // Later it depends on what the load balancer has measured by then.
        s.inquire("PUT", &at("HOT/split"), "");
        s.inquire("PUT", &at("0x00000000_0x40000000/split?unload=false"), "");
        s.inquire("GET", &at("bundles"), "");
        s.inquire("PUT", &at("0x00000000_0x40000000/split"), "");
        s.inquire("PUT", &at("0x20000000_0x40000000/split?unload=true"), "");
        s.inquire("PUT", &at("rubbish/split"), "");
        s.inquire("PUT", &at("0x40000000_0x80000000/split?splitAlgorithmName=nosuch"), "");
        s.inquire("PUT", &at("0xc0000000_0xffffffff/split"), "");
        s.inquire("GET", &at("bundles"), "");
    }

    fn places_settings_that_change_while_it_runs(s) {
        quiet(s);
        let at = "brokers/configuration";
        s.inquire("POST", &format!("{at}/loadBalancerDebugModeEnabled/true"), "");
        s.inquire("DELETE", &format!("{at}/loadBalancerDebugModeEnabled"), "");
        s.inquire("POST", &format!("{at}/nosuch/1"), "");
        s.inquire("POST", &format!("{at}/clusterName/x"), "");
        s.inquire("DELETE", &format!("{at}/nosuch"), "");
        s.sorted(at);
    }

    fn places_namespaces_of_other_clusters(s) {
        quiet(s);
        let (cluster, tenant) = (format!("{}-c", s.short()), format!("{}-t", s.short()));
        s.inquire("PUT", &format!("clusters/{cluster}"), r#"{"serviceUrl":"http://a:8080"}"#);
        s.inquire("PUT", &format!("tenants/{tenant}"), &format!(r#"{{"allowedClusters":["standalone","{cluster}"]}}"#));
        s.inquire("PUT", &format!("namespaces/{tenant}/n"), &format!(r#"{{"replication_clusters":["{cluster}"]}}"#));
        s.look(&format!("namespaces/{tenant}/n"), &["replication_clusters", "allowed_clusters"]);
        s.inquire("GET", &format!("namespaces/{tenant}/n/replication"), "");
        s.inquire("PUT", &format!("namespaces/{tenant}/both"), &format!(r#"{{"replication_clusters":["standalone","{cluster}"]}}"#));
        s.look(&format!("namespaces/{tenant}/both"), &["allowed_clusters"]);
        s.inquire("GET", &format!("namespaces/{tenant}/n/topics"), "");
        // One that the tenant may not use.
        let path = format!("persistent/public/{}/t", s.short());
        s.inquire("PUT", &format!("namespaces/public/{}", s.short()), "");
        s.inquire("PUT", &path, "");
        let both = format!(r#"["standalone","{cluster}"]"#);
        for name in ["none", &s.short()] {
            s.inquire("POST", &format!("namespaces/public/{name}/replication"), &both);
        }
        s.inquire("POST", &format!("{path}/replication"), &both);
        s.inquire("POST", &format!("{path}/replication"), r#"["standalone","nowhere"]"#);
        s.inquire("POST", &format!("namespaces/{tenant}/both/replication"), &both);
    }

    fn places_clusters_that_a_namespace_may_go_to(s) {
        quiet(s);
        let [one, two, tenant] = ["one", "two", "t"].map(|name| format!("{}-{name}", s.short()));
        for cluster in [&one, &two] {
            s.inquire("PUT", &format!("clusters/{cluster}"), r#"{"serviceUrl":"http://a:8080"}"#);
        }
        s.inquire("PUT", &format!("tenants/{tenant}"), &format!(r#"{{"allowedClusters":["standalone","{one}","{two}"]}}"#));
        let [away, here] = ["away", "here"].map(|name| format!("namespaces/{tenant}/{name}"));
        let told = |s: &mut Side, namespace: &str| {
            s.look(namespace, &["clusterThatCanDeleteNamespace"]);
            s.sorted(&format!("{namespace}/replication"));
            s.sorted(&format!("{namespace}/allowedClusters"));
        };
        s.inquire("PUT", &away, &format!(r#"{{"replication_clusters":["{one}"]}}"#));
        s.inquire("PUT", &here, "");
        for namespace in [&away, &here] {
            told(s, namespace);
            for clusters in [vec!["standalone"], vec![one.as_str()], vec![&one, &two], vec![&one, "standalone"]] {
                s.inquire("POST", &format!("{namespace}/replication"), &format!("{clusters:?}"));
                told(s, namespace);
            }
            for clusters in [vec![one.as_str()], vec!["standalone"], vec![&one, "standalone"]] {
                s.inquire("POST", &format!("{namespace}/allowedClusters"), &format!("{clusters:?}"));
                told(s, namespace);
            }
            s.inquire("POST", &format!("{namespace}/replication"), &format!("{:?}", [&two]));
            s.inquire("POST", &format!("{namespace}/replication"), &format!("{:?}", [&one]));
        }
    }

    fn places_namespaces_that_others_delete(s) {
        s.replace(r"(?s)\\n\\nStacktrace.*", "\"}");
        let [one, two, bare, tenant] = ["one", "two", "bare", "t"].map(|name| format!("{}-{name}", s.short()));
        s.inquire("PUT", &format!("clusters/{one}"), r#"{"serviceUrl":"http://a:8080"}"#);
        s.inquire("PUT", &format!("clusters/{two}"), r#"{"serviceUrl":"http://b:8080,c:8080/"}"#);
        s.inquire("PUT", &format!("clusters/{bare}"), "{}");
        let here = "standalone";
        let all = serde_json::json!([here, one, two, bare]);
        s.inquire("PUT", &format!("tenants/{tenant}"), &format!(r#"{{"allowedClusters":{all}}}"#));
        let told = |s: &mut Side, namespace: &str| {
            s.look(namespace, &["clusterThatCanDeleteNamespace"]);
            s.sorted(&format!("{namespace}/replication"));
            s.sorted(&format!("{namespace}/allowedClusters"));
        };
        type Said<'a> = Option<&'a [&'a str]>;
        let bodies: &[(Said<'_>, Said<'_>)] = &[
            (Some(&[here, &one]), None),
            (Some(&[&one]), None),
            (Some(&[&bare]), None),
            (Some(&[&one, &two]), None),
            (None, Some(&[here, &one])),
            (None, Some(&[here])),
            (None, Some(&[&one])),
            (Some(&[]), Some(&[])),
            (Some(&[]), Some(&[&one])),
            (Some(&[&one]), Some(&[])),
            (Some(&[&one]), Some(&[&one])),
            (Some(&[&one]), Some(&[&one, &two])),
            (Some(&[&one]), Some(&[here, &one])),
            (Some(&[&one, here]), Some(&[here, &one])),
            (Some(&[here]), Some(&[&one])),
            (Some(&[&one]), Some(&[here])),
            (Some(&[&one]), Some(&["nowhere"])),
            (Some(&["nowhere"]), Some(&[&one])),
            (None, Some(&["nowhere"])),
            (None, Some(&["global"])),
            (None, Some(&[&one, &one])),
        ];
        for (number, (used, allowed)) in bodies.iter().enumerate() {
            let namespace = format!("namespaces/{tenant}/n{number}");
            let mut body = serde_json::Map::new();
            body.extend(used.map(|used| ("replication_clusters".to_owned(), serde_json::json!(used))));
            body.extend(allowed.map(|allowed| ("allowed_clusters".to_owned(), serde_json::json!(allowed))));
            s.inquire("PUT", &namespace, &serde_json::Value::Object(body).to_string());
            told(s, &namespace);
            // Of what has no address more or less is said.
            if *used == Some(&[bare.as_str()]) {
                s.order("DELETE", &namespace, "");
            } else {
                s.sent_away("DELETE", &namespace);
            }
        }
        s.note("-- null");
        for field in ["replication_clusters", "allowed_clusters"] {
            s.order("PUT", &format!("namespaces/{tenant}/null"), &format!(r#"{{"{field}":null}}"#));
        }
        s.note("-- what stands in the query, and another cluster");
        let namespace = format!("namespaces/{tenant}/z");
        s.inquire("PUT", &namespace, &format!(r#"{{"replication_clusters":["{two}"]}}"#));
        s.sent_away("DELETE", &format!("{namespace}?authoritative=true"));
        s.inquire("DELETE", &format!("clusters/{two}"), "");
        s.sent_away("DELETE", &namespace);
        s.note("-- set later");
        let namespace = format!("namespaces/{tenant}/later");
        s.inquire("PUT", &namespace, "");
        for (setting, clusters) in [
            ("replication", vec![here, &one]),
            ("replication", vec![&one]),
            ("allowedClusters", vec![here, &one]),
            ("replication", vec![here]),
            ("allowedClusters", vec![here]),
        ] {
            s.inquire("POST", &format!("{namespace}/{setting}"), &format!("{clusters:?}"));
            s.sent_away("DELETE", &namespace);
        }
        s.inquire("GET", &format!("namespaces/{tenant}/later"), "");
    }

    fn places_bookies_and_other_storage(s) {
        quiet(s);
        let at = format!("namespaces/public/{}", s.short());
        let bookies = format!("{at}/persistence/bookieAffinity");
        s.inquire("PUT", &at, "");
        s.inquire("GET", &bookies, "");
        s.inquire("POST", &bookies, r#"{"bookkeeperAffinityGroupPrimary":"a","bookkeeperAffinityGroupSecondary":"b"}"#);
        s.inquire("GET", &bookies, "");
        s.inquire("DELETE", &bookies, "");
        s.inquire("GET", &bookies, "");
        // Its bundles have been served.
        let used = format!("{}-used", s.short());
        s.inquire("PUT", &format!("namespaces/public/{used}"), "");
        s.inquire("PUT", &format!("persistent/public/{used}/t"), "");
        s.inquire("GET", &format!("namespaces/public/{used}/persistence/bookieAffinity"), "");
        for seconds in ["-60", "-1", "0", "60"] {
            s.inquire("PUT", &format!("{at}/offloadThresholdInSeconds"), seconds);
            s.inquire("GET", &format!("{at}/offloadThresholdInSeconds"), "");
        }
        let rate = r#"{"dispatchThrottlingRateInMsg":1,"dispatchThrottlingRateInByte":1,"ratePeriodInSecond":1}"#;
        s.inquire("POST", "namespaces/public/none/replicatorDispatchRate", rate);
        s.inquire("DELETE", "namespaces/public/none/replicatorDispatchRate", "");
        s.inquire("GET", "namespaces/public/none/replicatorDispatchRate", "");
    }

    fn places_namespaces_whose_topics_store_nothing(s) {
        quiet(s);
        let a = s.client();
        for (n, kind) in ["sends", "reads", "both"].into_iter().enumerate() {
            let name = format!("{}-{kind}", s.short());
            let at = format!("namespaces/public/{name}");
            let topic = format!("non-persistent://public/{name}/t");
            s.inquire("PUT", &at, "");
            s.find(a, &topic);
            let id = n as u64 + 1;
            if kind != "reads" {
                s.ask(a, producer_on(id, &topic));
            }
            if kind != "sends" {
                s.ask(a, subscribe(id, &topic, "s", SubType::SHARED));
            }
            s.inquire("DELETE", &at, "");
            s.inquire("GET", &format!("{at}/topics"), "");
            if kind != "reads" {
                s.say(a, super::close_producer(id));
                s.hear(a);
            }
            if kind != "sends" {
                s.say(a, super::close_consumer(id));
                s.hear(a);
            }
            s.inquire("GET", &format!("{at}/topics"), "");
            s.inquire("GET", &format!("non-persistent/public/{name}"), "");
            s.inquire("DELETE", &at, "");
            s.inquire("GET", &format!("{at}/topics"), "");
        }
    }

    fn places_settings_that_are_texts(s) {
        quiet(s);
        let name = s.short();
        let at = format!("namespaces/public/{name}/antiAffinity");
        s.inquire("GET", &at, "");
        s.inquire("PUT", &format!("namespaces/public/{name}"), r#"{"schema_auto_update_compatibility_strategy":"Forward"}"#);
        s.inquire("GET", &at, "");
        s.inquire("POST", &at, "\"g1\"");
        s.inquire("GET", &at, "");
        s.inquire("DELETE", &at, "");
        s.inquire("GET", &at, "");
        let at = format!("namespaces/public/{name}/schemaAutoUpdateCompatibilityStrategy");
        s.inquire("GET", &at, "");
        for strategy in ["\"AutoUpdateDisabled\"", "\"FullTransitive\"", "\"Nosuch\"", "null"] {
            s.inquire("PUT", &at, strategy);
            s.inquire("GET", &at, "");
        }
        let at = format!("namespaces/public/{name}/persistence");
        for counts in [[1, 1, 1], [6, 1, 1], [1, 0, 1], [1, 1, 0], [1, 2, 2], [3, 2, 3], [3, 2, 2]] {
            let [all, write, ack] = counts;
            s.inquire("POST", &at, &format!(r#"{{"bookkeeperEnsemble":{all},"bookkeeperWriteQuorum":{write},"bookkeeperAckQuorum":{ack},"managedLedgerMaxMarkDeleteRate":1.0}}"#));
        }
        s.inquire("POST", &at, "{}");
        s.inquire("GET", &at, "");
        s.inquire("DELETE", &at, "");
    }

    fn places_what_a_topic_is_made_of(s) {
        quiet(s);
        s.replace(r#""(ledgerId)":\d+"#, r#""$1":LEDGER"#);
        let path = format!("persistent/public/default/{}", s.unique());
        for rest in ["internal-info", "offload", "internalStats"] {
            s.inquire("GET", &format!("{path}/{rest}"), "");
        }
        s.inquire("PUT", &path, "");
        s.look(&format!("{path}/internalStats"), &["ledgers", "currentLedgerEntries", "state", "cursors"]);
        s.look(&format!("{path}/internal-info"), &["ledgers.0.isOffloaded", "cursors"]);
        s.inquire("GET", &format!("{path}/offload"), "");
        s.inquire("PUT", &format!("{path}/offload"), r#"{"ledgerId":1,"entryId":0,"partitionIndex":-1}"#);
        let topic = s.topic();
        let a = s.client();
        s.ask(a, crate::common::producer_on(1, &topic));
        for sequence in 0..3 {
            s.publish(a, 1, sequence, Default::default(), "x");
        }
        s.look(&format!("{path}/internalStats"), &["ledgers", "currentLedgerEntries", "numberOfEntries"]);
        s.order("PUT", &format!("{path}/unload"), "");
        s.pause(500);
        s.ask(a, crate::common::producer_on(2, &topic));
        s.look(&format!("{path}/internalStats"), &["ledgers.0.entries", "ledgers.1.entries", "currentLedgerEntries", "numberOfEntries"]);
        s.order("POST", &format!("{path}/terminate"), "");
        s.look(&format!("{path}/internalStats"), &["state", "numberOfEntries"]);
    }

    fn places_schemas_that_were_deleted(s) {
        use pulsewire_proto::wire::{CommandGetSchema};
        quiet(s);
        s.replace(r#""(ledgerId)":\d+"#, r#""$1":LEDGER"#);
        s.replace(r"schema: Some\(Schema .*", "SCHEMA");
        let topic = s.topic();
        let path = format!("schemas/public/default/{}", s.unique());
        let a = s.client();
        s.ask(a, crate::common::producer_on(1, &topic));
        let get = |version: Option<u64>| CommandGetSchema {
            request_id: 7,
            topic: topic.clone(),
            schema_version: version.map(|version| bytes::Bytes::copy_from_slice(&version.to_be_bytes())),
        };
        s.inquire("GET", &format!("{path}/metadata"), "");
        s.order("POST", &format!("{path}/schema"), r#"{"type":"STRING","schema":"","properties":{}}"#);
        s.order("POST", &format!("{path}/schema"), r#"{"type":"INT32","schema":"","properties":{}}"#);
        s.inquire("GET", &format!("{path}/metadata"), "");
        s.order("DELETE", &format!("{path}/schema"), "");
        for version in [None, Some(0), Some(1), Some(2)] {
            s.ask(a, get(version));
        }
        s.inquire("GET", &format!("{path}/metadata"), "");
        s.order("POST", &format!("{path}/schema"), r#"{"type":"STRING","schema":"","properties":{}}"#);
        for version in [None, Some(0), Some(1), Some(2)] {
            s.ask(a, get(version));
        }
        s.inquire("GET", &format!("{path}/metadata"), "");
    }

    fn places_partitioned_topics(s) {
        quiet(s);
        let path = format!("persistent/public/default/{}", s.unique());
        s.order("PUT", &format!("{path}/partitions"), "2");
        for rest in ["messageid/1", "ledger/1/entry/1", "compaction", "permissions"] {
            s.inquire("GET", &format!("{path}/{rest}"), "");
        }
        s.order("PUT", &format!("{path}/subscription/s"), "");
        s.inquire("GET", &format!("{path}/subscription/s/position/1"), "");
        s.inquire("DELETE", &format!("{path}/subscription/none"), "");
        let part = format!("partitions.persistent://public/default/{}-partition-1", s.unique());
        let (_, told) = s.admin("GET", &format!("{path}/internal-info"), "");
        s.note(format!("{} {}", told.contains(part.split_once('.').unwrap().1), told.contains("ledgers")));
    }

    fn places_permissions_of_topics(s) {
        quiet(s);
        let namespace = format!("public/{}", s.short());
        s.order("PUT", &format!("namespaces/{namespace}"), "{}");
        let permissions = format!("persistent/{namespace}/t/permissions");
        s.inquire("GET", &permissions, "");
        s.inquire("POST", &format!("{permissions}/joe"), r#"["produce"]"#);
        s.inquire("DELETE", &format!("{permissions}/joe"), "");
        s.order("PUT", &format!("persistent/{namespace}/t/partitions"), "2");
        s.inquire("DELETE", &format!("{permissions}/joe"), "");
        s.inquire("POST", &format!("{permissions}/joe"), r#"["produce"]"#);
        s.inquire("GET", &permissions, "");
        s.look(&format!("namespaces/{namespace}"), &["auth_policies"]);
        s.inquire("DELETE", &format!("{permissions}/joe"), "");
        s.inquire("GET", &permissions, "");
    }

    fn places_what_else_namespaces_say(s) {
        quiet(s);
        let namespace = format!("namespaces/public/{}", s.short());
        s.order("PUT", &namespace, "{}");
        for driver in ["", "nosuch", "S3", "filesystem"] {
            let body = format!(r#"{{"managedLedgerOffloadDriver":"{driver}"}}"#);
            s.inquire("POST", &format!("{namespace}/offloadPolicies"), &body);
        }
        s.inquire("PUT", &format!("{namespace}/offloadThresholdInSeconds"), "60");
        s.order("POST", &format!("{namespace}/dispatchRate"), r#"{"dispatchThrottlingRateInMsg":5}"#);
        s.order("POST", &format!("{namespace}/maxTopicsPerNamespace"), "7");
        s.look(&namespace, &["topicDispatchRate", "clusterDispatchRate", "max_topics_per_namespace"]);
        s.inquire("DELETE", &format!("{namespace}/0x00000000_0x40000000"), "");
        s.inquire("DELETE", &format!("{namespace}/0x00000000_0x41000000"), "");
        s.inquire("DELETE", &format!("{namespace}-none/0x00000000_0x40000000"), "");
        s.inquire("GET", "namespaces/standalone/antiAffinity/g", "");
        s.inquire("GET", "namespaces/pulsar", "");
    }
}
