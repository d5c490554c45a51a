//! What the test suites of other clients came upon.

use pulsewire_proto::wire::*;

use super::scripts;
use crate::common::{producer_on, subscribe};

scripts! {
    fn what_is_not_stored_is_not_compacted(s) {
        let topic = format!("non-{}", s.topic());
        let c = s.client();
        for (n, kind) in [SubType::EXCLUSIVE, SubType::SHARED, SubType::FAILOVER].into_iter().enumerate() {
            let n = n as u64;
            let ask = CommandSubscribe { read_compacted: Some(true), ..subscribe(n, &topic, "s", kind) };
            s.ask(c, ask.clone());
            s.ask(c, CommandSubscribe { subscription: String::new(), ..ask.clone() });
            s.ask(c, CommandSubscribe { durable: Some(false), ..ask });
        }
        s.ask(c, subscribe(9, &topic, "s", SubType::EXCLUSIVE));
    }

    fn a_global_namespace_is_there_when_it_was_made(s) {
        let short = s.short();
        let c = s.client();
        s.replace(r"localhost:\d+|127\.0\.0\.1:\d+", "HERE");
        for (name, path) in [
            (format!("persistent://public/global/{short}/t"), format!("persistent/public/global/{short}/t")),
            (format!("non-persistent://public/global/{short}/t"), format!("non-persistent/public/global/{short}/t")),
        ] {
            s.note(format!("-- {name}"));
            let ask = CommandLookupTopic { topic: name.clone(), request_id: 1, ..CommandLookupTopic::default() };
            s.ask(c, ask);
            let ask = CommandPartitionedTopicMetadata { topic: name.clone(), request_id: 7, ..CommandPartitionedTopicMetadata::default() };
            s.ask(c, ask);
            s.order("GET", &format!("/admin/{path}/partitions"), "");
            s.order("GET", &format!("/lookup/v2/destination/{path}"), "");
            s.order("PUT", &format!("/admin/{path}"), "");
        }
        s.order("GET", &format!("/admin/namespaces/public/global/{short}"), "");
    }

    fn a_partition_of_no_topic(s) {
        let unique = s.unique().to_owned();
        let c = s.client();
        for (n, kind) in ["persistent", "non-persistent"].into_iter().enumerate() {
            let n = n as u64;
            let name = format!("{kind}://public/default/{}-{n}-partition-0", s.unique());
            s.note(format!("-- {kind}"));
            s.find(c, &name);
            let ask = |create| CommandPartitionedTopicMetadata {
                topic: name.clone(),
                request_id: 7,
                metadata_auto_creation_enabled: Some(create),
                ..CommandPartitionedTopicMetadata::default()
            };
            s.ask(c, ask(false));
            s.ask(c, ask(true));
            s.ask(c, subscribe(n, &name, "s", SubType::SHARED));
            s.ask(c, producer_on(n, &name));
            s.ask(c, ask(false));
            s.order("PUT", &format!("{kind}/public/default/{}-{n}-whole/partitions", s.unique()), "2");
            let part = |index| format!("{kind}://public/default/{}-{n}-whole-partition-{index}", unique);
            s.find(c, &part(1));
            s.ask(c, producer_on(10 + n, &part(1)));
            s.find(c, &part(2));
            s.ask(c, producer_on(20 + n, &part(2)));
            s.ask(c, subscribe(20 + n, &part(2), "s", SubType::SHARED));
        }
    }

    fn the_ledger_of_what_is_compacted(s) {
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let (a, b) = (s.client(), s.client());
        s.ask(a, producer_on(1, &topic));
        s.ask(b, subscribe(9, &topic, "keep", SubType::EXCLUSIVE));
        s.replace(r#""ledgerId":\d+,"offloaded":false,"size":\d+"#, "SOME");
        s.look(&format!("{path}/internalStats"), &["compactedLedger"]);
        for (n, (key, text)) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")].into_iter().enumerate() {
            let metadata = MessageMetadata { partition_key: Some(key.to_owned()), ..MessageMetadata::default() };
            s.publish(a, 1, n as u64, metadata, text);
        }
        s.compact(&path);
        s.look(&format!("{path}/internalStats"), &["compactedLedger"]);
    }

    fn partitions_of_new_topics_over_http(s) {
        let unique = s.unique().to_owned();
        for (kind, creation) in [
            ("many", r#"{"allowAutoTopicCreation":true,"topicType":"partitioned","defaultNumPartitions":3}"#),
            ("one", r#"{"allowAutoTopicCreation":true,"topicType":"non-partitioned"}"#),
            ("none", r#"{"allowAutoTopicCreation":false}"#),
        ] {
            let space = format!("public/{unique}-{kind}");
            s.order("PUT", &format!("namespaces/{space}"), "");
            s.order("POST", &format!("namespaces/{space}/autoTopicCreation"), creation);
            for rest in [
                "a/partitions?checkAllowAutoCreation=true",
                "a/partitions",
                "b/partitions",
                "c-partition-0/partitions?checkAllowAutoCreation=true",
                "c/partitions",
            ] {
                s.inquire("GET", &format!("persistent/{space}/{rest}"), "");
            }
            s.inquire("GET", &format!("persistent/{space}/partitioned"), "");
        }
        s.inquire("GET", &format!("persistent/public/{unique}-unmade/a/partitions?checkAllowAutoCreation=true"), "");
    }
}
