//! Topics: coming, going, growing, ending; and who watches.

use pulsewire_proto::wire::*;

use super::{close_consumer, close_producer, scripts};
use crate::common::{id, key, producer_on, subscribe};

fn metadata_of(topic: &str) -> CommandPartitionedTopicMetadata {
    CommandPartitionedTopicMetadata {
        topic: topic.to_owned(),
        request_id: 70,
        ..CommandPartitionedTopicMetadata::default()
    }
}

fn message(key: Option<&str>) -> MessageMetadata {
    MessageMetadata { partition_key: key.map(str::to_owned), ..MessageMetadata::default() }
}

scripts! {
    fn partitions_grow(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        let a = s.client();
        s.ask(a, CommandPartitionedTopicMetadata { metadata_auto_creation_enabled: Some(false), ..metadata_of(&topic) });
        s.order("PUT", &format!("{path}/partitions"), "2");
        s.order("PUT", &format!("{path}/partitions"), "2");
        s.ask(a, metadata_of(&topic));
        s.ask(a, metadata_of(&format!("{topic}-partition-0")));
        s.ask(a, metadata_of(&format!("{topic}-partition-5")));
        s.find(a, &format!("{topic}-partition-0"));
        s.ask(a, subscribe(1, &format!("{topic}-partition-0"), "s", SubType::SHARED));
        s.ask(a, subscribe(2, &format!("{topic}-partition-1"), "s", SubType::SHARED));
        s.order("POST", &format!("{path}/partitions"), "4");
        s.ask(a, metadata_of(&topic));
        s.inquire("GET", &format!("{path}/partitions"), "");
        s.inquire("GET", &format!("{path}-partition-3/subscriptions"), "");
        s.inquire("GET", &format!("{path}/subscriptions"), "");
        s.order("POST", &format!("{path}/partitions"), "4");
        s.order("POST", &format!("{path}/partitions"), "3");
        s.order("POST", &format!("{path}/partitions"), "0");
        s.find(a, &format!("{topic}-partition-3"));
        s.ask(a, subscribe(3, &format!("{topic}-partition-9"), "s", SubType::SHARED));
        s.order("DELETE", &path, "");
        s.order("DELETE", &format!("{path}/partitions"), "");
        s.order("DELETE", &format!("{path}/partitions?force=true"), "");
        s.hear_all(a);
        s.inquire("GET", &format!("{path}/partitions"), "");
    }

    fn topics_are_made_and_deleted(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        let (a, b) = (s.client(), s.client());
        s.order("PUT", &path, "");
        s.order("PUT", &path, "");
        s.order("PUT", &format!("{path}/partitions"), "2");
        s.find(a, &topic);
        s.ask(a, producer_on(1, &topic));
        s.ask(b, subscribe(1, &topic, "s", SubType::SHARED));
        s.order("DELETE", &path, "");
        s.ask(a, close_producer(1));
        s.order("DELETE", &path, "");
        s.ask(b, close_consumer(1));
        s.inquire("GET", &format!("{path}/subscriptions"), "");
        s.order("DELETE", &path, "");
        s.order("DELETE", &path, "");
        s.look(&format!("{path}/stats"), &[]);
        s.ask(a, producer_on(2, &topic));
        s.ask(b, subscribe(2, &topic, "s", SubType::SHARED));
        s.order("DELETE", &format!("{path}?force=true"), "");
        s.hear_all(a);
        s.hear_all(b);
        s.order("DELETE", &format!("{path}?force=true"), "");
    }

    fn unloading_sends_everybody_back(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        let (a, b) = (s.client(), s.client());
        s.ask(a, producer_on(1, &topic));
        s.ask(b, subscribe(1, &topic, "s", SubType::SHARED));
        s.flow(b, 1, 10);
        s.publish(a, 1, 0, message(None), "m0");
        s.hear_all(b);
        s.order("PUT", &format!("{path}/unload"), "");
        s.hear_all(a);
        s.hear_all(b);
        s.send(a, 1, 1, message(None), "late");
        s.hear_all(a);
        s.find(a, &topic);
        s.ask(a, producer_on(1, &topic));
        s.ask(b, subscribe(1, &topic, "s", SubType::SHARED));
        s.flow(b, 1, 10);
        s.publish(a, 1, 1, message(None), "m1");
        s.hear_all(b);
        s.order("PUT", &format!("{path}-none/unload"), "");
    }

    fn termination(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        s.replace(r#""ledgerId":\d+"#, "LEDGER");
        let (a, b) = (s.client(), s.client());
        s.ask(a, producer_on(1, &topic));
        s.ask(b, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.publish(a, 1, 0, message(None), "m0");
        s.publish(a, 1, 1, message(None), "m1");
        s.flow(b, 1, 1);
        s.hear_all(b);
        s.inquire("POST", &format!("{path}/terminate"), "");
        s.hear_all(b);
        s.hear_all(a);
        s.send(a, 1, 2, message(None), "m2");
        s.hear_all(a);
        s.ask(a, producer_on(2, &topic));
        s.flow(b, 1, 10);
        s.hear_all(b);
        s.ask(b, subscribe(2, &topic, "late", SubType::SHARED));
        s.flow(b, 2, 10);
        s.hear_all(b);
        s.ask(b, CommandSubscribe {
            initial_position: Some(InitialPosition::LATEST),
            ..subscribe(3, &topic, "end", SubType::FAILOVER)
        });
        s.flow(b, 3, 10);
        s.hear_all(b);
        s.inquire("POST", &format!("{path}/terminate"), "");
        s.inquire("POST", &format!("{path}-none/terminate"), "");
        s.ask(b, CommandGetLastMessageId { consumer_id: 2, request_id: 5 });
    }

    fn an_empty_topic_is_terminated(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        s.replace(r#""ledgerId":\d+"#, "LEDGER");
        let b = s.client();
        s.ask(b, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.flow(b, 1, 1);
        s.inquire("POST", &format!("persistent/public/default/{unique}/terminate"), "");
        s.hear_all(b);
    }

    fn delayed_messages(s) {
        let topic = s.topic();
        let (a, b, c) = (s.client(), s.client(), s.client());
        s.ask(a, producer_on(1, &topic));
        s.ask(b, subscribe(1, &topic, "shared", SubType::SHARED));
        s.ask(c, subscribe(1, &topic, "exclusive", SubType::EXCLUSIVE));
        s.flow(b, 1, 10);
        s.flow(c, 1, 10);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
        let at = |ms: i64| MessageMetadata { deliver_at_time: Some(now + ms), ..MessageMetadata::default() };
        s.publish(a, 1, 0, at(6000), "third");
        s.publish(a, 1, 1, at(3000), "second");
        s.publish(a, 1, 2, message(None), "first");
        s.publish(a, 1, 3, at(-1000), "past");
        s.hear_all(c);
        s.hear_all(b);
        s.pause(2500);
        s.hear_all(b);
        s.pause(3000);
        s.hear_all(b);
    }

    fn compaction(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        let (a, b) = (s.client(), s.client());
        s.ask(a, producer_on(1, &topic));
        s.ask(b, subscribe(9, &topic, "keep", SubType::EXCLUSIVE));
        for (n, (key, text)) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("b", "5")].into_iter().enumerate() {
            s.publish(a, 1, n as u64, message(Some(key)), text);
        }
        s.publish(a, 1, 5, message(None), "no key");
        s.publish(a, 1, 6, message(Some("c")), "");
        s.order("PUT", &format!("{path}/compaction"), "");
        for _ in 0..50 {
            let (_, answer) = s.admin("GET", &format!("{path}/compaction"), "");
            if answer.contains("SUCCESS") {
                break;
            }
            s.pause(200);
        }
        s.look(&format!("{path}/compaction"), &["status"]);
        s.publish(a, 1, 7, message(Some("a")), "6");
        let read = |consumer, compacted| CommandSubscribe {
            read_compacted: Some(compacted),
            durable: Some(false),
            start_message_id: Some(id(-1, -1)),
            ..subscribe(consumer, &topic, &format!("r{consumer}"), SubType::EXCLUSIVE)
        };
        s.ask(b, read(1, true));
        s.flow(b, 1, 100);
        s.hear_all(b);
        s.ask(b, read(2, false));
        s.flow(b, 2, 100);
        s.hear_all(b);
        s.ask(b, CommandSubscribe { read_compacted: Some(true), ..subscribe(3, &topic, "shared", SubType::SHARED) });
        s.ask(b, CommandSubscribe { read_compacted: Some(true), ..subscribe(4, &topic, "durable", SubType::FAILOVER) });
        s.flow(b, 4, 100);
        s.hear_long(b);
        s.ask(b, CommandGetLastMessageId { consumer_id: 1, request_id: 5 });
        s.order("PUT", &format!("{path}-none/compaction"), "");
    }

    fn topics_are_listed_and_watched(s) {
        let namespace = format!("public/{}", s.unique());
        s.order("PUT", &format!("namespaces/{namespace}"), "{\"bundles\":{\"numBundles\":1}}");
        let (a, b) = (s.client(), s.client());
        for name in ["one", "two", "other"] {
            let topic = format!("persistent://{namespace}/{name}");
            s.find(a, &topic);
            s.order("PUT", &format!("persistent/{namespace}/{name}"), "");
        }
        s.order("PUT", &format!("persistent/{namespace}/parts/partitions"), "2");
        let loose = format!("non-persistent://{namespace}/loose");
        s.find(a, &loose);
        s.ask(a, producer_on(1, &loose));
        let list = |mode, pattern: Option<&str>, hash: Option<String>| CommandGetTopicsOfNamespace {
            request_id: 1,
            namespace: namespace.clone(),
            mode: Some(mode),
            properties: Vec::new(),
            topics_pattern: pattern.map(str::to_owned),
            topics_hash: hash,
        };
        for mode in [TopicsMode::PERSISTENT, TopicsMode::NON_PERSISTENT, TopicsMode::ALL] {
            s.ask_sorted(a, list(mode, None, None));
        }
        let o = format!("persistent://{namespace}/o.*");
        let answer = s.ask_sorted(a, list(TopicsMode::PERSISTENT, Some(&o), None));
        let Some(Command::GetTopicsOfNamespaceResponse(answer)) = answer else { panic!() };
        s.ask_sorted(a, list(TopicsMode::PERSISTENT, Some(&o), answer.topics_hash));
        s.ask_sorted(a, list(TopicsMode::ALL, Some(&format!("{namespace}/.*o.*")), None));
        s.ask_sorted(a, list(TopicsMode::PERSISTENT, Some("(("), None));
        let watch = |id: u64, pattern: String, hash: Option<String>| CommandWatchTopicList {
            request_id: 20 + id,
            watcher_id: id,
            namespace: namespace.clone(),
            topics_pattern: pattern,
            topics_hash: hash,
        };
        let answer = s.ask_sorted(b, watch(1, format!("persistent://{namespace}/o.*"), None));
        let Some(Command::WatchTopicListSuccess(answer)) = answer else { panic!() };
        s.ask_sorted(b, watch(2, format!("persistent://{namespace}/o.*"), Some(answer.topics_hash)));
        s.ask_sorted(b, watch(3, format!("{namespace}/.*"), None));
        s.ask_sorted(b, watch(4, "((".to_owned(), None));
        s.order("PUT", &format!("persistent/{namespace}/oboe"), "");
        s.hear_all(b);
        s.order("DELETE", &format!("persistent/{namespace}/one"), "");
        s.hear_all(b);
        s.ask(a, producer_on(2, &format!("non-persistent://{namespace}/of-no-weight")));
        s.hear_all(b);
        s.ask(b, CommandWatchTopicListClose { request_id: 40, watcher_id: 1 });
        s.ask(b, CommandWatchTopicListClose { request_id: 41, watcher_id: 99 });
        s.order("PUT", &format!("persistent/{namespace}/organ"), "");
        s.hear_all(b);
    }

    fn a_topic_without_storage(s) {
        let topic = s.topic().replace("persistent", "non-persistent");
        let (a, b) = (s.client(), s.client());
        s.ask(a, producer_on(1, &topic));
        s.send(a, 1, 0, message(None), "to nobody");
        s.hear(a);
        s.ask(b, subscribe(1, &topic, "s", SubType::SHARED));
        s.flow(b, 1, 1);
        for n in 1..4 {
            s.send(a, 1, n, message(None), &format!("m{n}"));
            s.hear(a);
        }
        s.hear_all(b);
        s.ask(b, CommandGetLastMessageId { consumer_id: 1, request_id: 5 });
        s.ask(b, CommandSeek { consumer_id: 1, request_id: 6, message_id: Some(id(-1, -1)), ..CommandSeek::default() });
        s.hear_all(b);
        s.ask(b, CommandUnsubscribe { consumer_id: 1, request_id: 7, force: None });
    }

    fn markers_and_replication_fields_pass_untouched(s) {
        let topic = s.topic();
        let (a, b) = (s.client(), s.client());
        s.ask(a, producer_on(1, &topic));
        s.ask(b, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.flow(b, 1, 10);
        let local = MessageMetadata { replicate_to: vec!["__local__".to_owned()], ..key("k") };
        s.publish(a, 1, 0, local, "local");
        let foreign = MessageMetadata { replicated_from: Some("elsewhere".to_owned()), ..key("k") };
        s.publish(a, 1, 1, foreign, "foreign");
        s.hear_all(b);
    }
}
