//! Names of the first version, in which a namespace has a cluster before it, and paths with them.

use pulsewire_proto::wire::*;

use super::scripts;
use crate::common::{producer_on, subscribe};

scripts! {
    fn older_names(s) {
        let short = s.short();
        s.replace(r"localhost:\d+|127\.0\.0\.1:\d+", "HERE");
        s.replace(r#""ledgerId":\d+"#, "LEDGER");
        let topic = format!("persistent://public/standalone/{short}/t");
        s.order("PUT", &format!("/admin/namespaces/public/standalone/{short}"), "");
        let (a, b) = (s.client(), s.client());
        s.find(a, &topic);
        s.ask(a, producer_on(1, &topic));
        s.ask(b, subscribe(1, &topic, "s", SubType::SHARED));
        s.flow(b, 1, 10);
        s.publish(a, 1, 0, MessageMetadata::default(), "m");
        s.hear_all(b);
        s.ask(a, CommandPartitionedTopicMetadata { topic: topic.clone(), request_id: 7, ..CommandPartitionedTopicMetadata::default() });
        s.ask(a, CommandGetTopicsOfNamespace {
            namespace: format!("public/standalone/{short}"),
            request_id: 8,
            topics_pattern: Some(format!("{topic}.*")),
            ..CommandGetTopicsOfNamespace::default()
        });
        let path = format!("/admin/persistent/public/standalone/{short}");
        s.inquire("GET", &format!("{path}/t/subscriptions"), "");
        for (method, rest) in [
            ("GET", "t/partitions"),
            ("GET", "none/partitions"),
            ("GET", "none/stats"),
            ("GET", "t"),
            ("POST", "t/subscription/s/skip_all"),
            ("DELETE", "t/subscription/none"),
            ("PUT", "t2"),
            ("PUT", "t2"),
            ("POST", "t2/terminate"),
            ("DELETE", "t2"),
            ("DELETE", "t2"),
            ("GET", "t/permissions"),
        ] {
            s.order(method, &format!("{path}/{rest}"), "");
        }
        s.order("PUT", &format!("{path}/p/partitions"), "3");
        s.inquire("GET", &format!("{path}/p/partitions"), "");
        s.inquire("GET", &format!("{path}/partitioned"), "");
        s.order("DELETE", &format!("{path}/p/partitions"), "");
        let found =
            s.order("GET", &format!("/lookup/v2/destination/persistent/public/standalone/{short}/t"), "");
        assert!(found.contains("brokerUrl"));
        s.order("GET", &format!("/lookup/v2/topic/persistent/public/standalone/{short}/t"), "");
        s.order("GET", &format!("/admin/schemas/public/standalone/{short}/t/schema"), "");
        // Paths of the second version have no clusters.
        s.order("GET", &format!("persistent/public/standalone/{short}/t/stats"), "");
        s.order("GET", &format!("persistent/public/standalone%2F{short}/t/stats"), "");
        s.order("GET", &format!("namespaces/public/standalone%2F{short}/messageTTL"), "");
        s.inquire("GET", "persistent/public/default/a%2Fb/subscriptions", "");
    }

    fn older_namespaces(s) {
        let short = s.short();
        s.order("PUT", &format!("tenants/{short}"), r#"{"adminRoles":[],"allowedClusters":["standalone"]}"#);
        let path = format!("/admin/namespaces/{short}");
        s.inquire("GET", &format!("/admin/properties/{short}"), "");
        for (method, rest, body) in [
            ("PUT", "standalone/n", ""),
            ("PUT", "standalone/n", ""),
            ("PUT", "standalone/four", r#"{"numBundles":6}"#),
            ("PUT", "nowhere/n", ""),
            ("PUT", "global/g", ""),
            ("PUT", "plain", ""),
            ("GET", "", ""),
            ("GET", "standalone", ""),
            ("GET", "elsewhere", ""),
            ("GET", "standalone/none", ""),
            ("GET", "standalone/n/destinations", ""),
            ("POST", "standalone/n/messageTTL", "3600"),
            ("GET", "standalone/n/messageTTL", ""),
            ("GET", "standalone/none/messageTTL", ""),
            ("GET", "standalone/n/retention", ""),
            ("GET", "standalone/n/permissions", ""),
            ("POST", "standalone/n/deduplication", "true"),
            ("GET", "standalone/n/persistence", ""),
            ("DELETE", "standalone/n", ""),
            ("DELETE", "standalone/n", ""),
        ] {
            let path = format!("{path}/{rest}");
            s.order(method, path.trim_end_matches('/'), body);
        }
        for place in ["", "/standalone", "/global"] {
            s.inquire("GET", &format!("{path}{place}"), "");
        }
        s.inquire("GET", &format!("namespaces/{short}"), "");
        s.look(&format!("{path}/standalone/four"), &["bundles.numBundles"]);
        for path in ["/admin/clusters/standalone", "/admin/clusters/none", "/admin/tenants",  "/admin/persistent/public/default"] {
            s.order("GET", path, "");
        }
    }

    fn older_names_of_what_is_not_there(s) {
        let short = s.short();
        s.replace(r"localhost:\d+|127\.0\.0\.1:\d+", "HERE");
        let a = s.client();
        for topic in [
            format!("persistent://public/standalone/{short}/t"),
            format!("persistent://public/nowhere/{short}/t"),
            format!("persistent://{short}/standalone/n/t"),
            format!("persistent://public/default/{short}/t"),
            format!("persistent://public/standalone/{short}/"),
            "persistent://public/stand alone/n/t".to_owned(),
            "persistent://public//n/t".to_owned(),
        ] {
            s.note(format!("-- {topic}"));
            s.ask(a, CommandLookupTopic { topic: topic.clone(), request_id: 1, ..CommandLookupTopic::default() });
            s.ask(a, CommandPartitionedTopicMetadata { topic: topic.clone(), request_id: 7, ..CommandPartitionedTopicMetadata::default() });
            s.ask(a, producer_on(1, &topic));
            s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        }
        s.inquire("GET", &format!("/admin/persistent/public/standalone/{short}"), "");
        s.inquire("GET", &format!("/admin/persistent/public/standalone/{short}/t/subscriptions"), "");
        s.note("-- what is made where there is no namespace");
        let path = format!("/admin/persistent/public/standalone/{short}-none");
        s.order("PUT", &format!("{path}/t"), "");
        s.order("PUT", &format!("{path}/p/partitions"), "2");
        s.inquire("GET", &format!("{path}/p/partitions"), "");
        s.order("PUT", &format!("{path}/t/subscription/s"), "");
        s.inquire("GET", &format!("{path}/t/subscriptions"), "");
        s.order("GET", &format!("/admin/schemas/public/standalone/{short}-none/t/schema"), "");
        s.note("-- a namespace that is named as a cluster");
        s.order("PUT", &format!("namespaces/public/{short}"), "");
        let topic = format!("persistent://public/{short}/n/t");
        s.find(a, &topic);
        s.ask(a, producer_on(2, &topic));
        s.inquire("GET", &format!("persistent/public/{short}"), "");
        s.ask(a, CommandGetTopicsOfNamespace { namespace: format!("public/{short}"), request_id: 9, ..CommandGetTopicsOfNamespace::default() });
    }

    fn schemas_of_older_names(s) {
        let short = s.short();
        s.replace(r"localhost:\d+|127\.0\.0\.1:\d+", "HERE");
        s.replace(r#""timestamp":\d+"#, "WHEN");
        s.order("PUT", &format!("/admin/namespaces/public/standalone/{short}"), "");
        s.order("PUT", &format!("namespaces/public/{short}"), "");
        let topic = format!("persistent://public/standalone/{short}/t");
        let a = s.client();
        s.find(a, &topic);
        let schema = Schema { name: "s".into(), schema_data: "".into(), r#type: SchemaType::STRING, properties: Vec::new() };
        s.ask(a, CommandProducer { schema: Some(schema), ..producer_on(1, &topic) });
        for path in ["schemas/public".to_owned(), "/admin/schemas/public/standalone".to_owned()] {
            s.inquire("GET", &format!("{path}/{short}/t/schema"), "");
            s.inquire("GET", &format!("{path}/{short}/t/schema/0"), "");
        }
        for topic in [topic.clone(), format!("persistent://public/{short}/t"), format!("non-persistent://public/{short}/t-partition-1")] {
            s.ask(a, CommandGetSchema { request_id: 5, topic, ..CommandGetSchema::default() });
        }
        s.order("DELETE", &format!("schemas/public/{short}/t/schema"), "");
        s.inquire("GET", &format!("/admin/schemas/public/standalone/{short}/t/schema"), "");
    }

    fn patterns_that_are_long(s) {
        s.replace(r#""persistent://[^"]*/__\w+", "#, "");
        let short = s.short();
        s.order("PUT", &format!("namespaces/public/{short}"), "");
        let namespace = format!("public/{short}");
        let a = s.client();
        s.find(a, &format!("persistent://public/{short}/a"));
        s.ask(a, producer_on(1, &format!("persistent://public/{short}/a")));
        s.pause_if_real(1500);
        let mut n = 0;
        for domain in ["", "persistent://", "^persistent://"] {
            for size in [36, 37, 38, 49, 50, 51] {
                n += 1;
                let begin = format!("{domain}public/{short}/");
                let pattern = format!("{begin}{}.*", "x?".repeat((size + domain.len() - begin.len() - 2) / 2));
                let pattern = if (pattern.len() - domain.len()) < size { format!("{pattern}$") } else { pattern };
                s.note(format!("{} {}", pattern.len(), pattern.len() - domain.len()));
                s.ask_sorted(a, CommandWatchTopicList { request_id: n, watcher_id: n, namespace: namespace.clone(), topics_pattern: pattern.clone(), topics_hash: None });
                s.ask_sorted(a, CommandGetTopicsOfNamespace { namespace: namespace.clone(), request_id: 100 + n, topics_pattern: Some(pattern), ..CommandGetTopicsOfNamespace::default() });
            }
        }
    }
}
