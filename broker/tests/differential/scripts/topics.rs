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
    fn a_namespace_that_is_not_there(s) {
        let short = s.short();
        s.replace(r"localhost:\d+|127\.0\.0\.1:\d+", "HERE");
        // The real one says it at times.
        s.replace(r"org\.apache\.pulsar\.\S+: ", "");
        let a = s.client();
        for topic in [format!("persistent://public/{short}/t"), format!("persistent://{short}/n/t"), format!("non-persistent://{short}/n/t")] {
            s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
            s.ask(a, producer_on(1, &topic));
            s.ask(a, metadata_of(&topic));
            s.ask(a, CommandLookupTopic { topic: topic.clone(), request_id: 1, ..CommandLookupTopic::default() });
        }
        s.inquire("GET", &format!("tenants/{short}"), "");
        s.inquire("GET", &format!("namespaces/public/{short}"), "");
        s.order("GET", &format!("/lookup/v2/topic/persistent/public/{short}/t"), "");
    }

    fn names_that_are_none(s) {
        let a = s.client();
        for topic in ["", "a/b", "persistent://a/b", "wat://a/b/c", "persistent://a b/c/d", "persistent://a/b/", "persistent://public/default/"] {
            s.ask(a, metadata_of(topic));
            s.ask(a, CommandLookupTopic { topic: topic.to_owned(), request_id: 1, ..CommandLookupTopic::default() });
            s.ask(a, producer_on(1, topic));
            s.ask(a, subscribe(1, topic, "s", SubType::SHARED));
        }
    }

    fn messages_larger_than_their_topic_takes(s) {
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let a = s.client();
        s.find(a, &topic);
        s.ask(a, producer_on(1, &topic));
        s.order("POST", &format!("{path}/maxMessageSize"), "10");
        s.pause(1000);
        s.send(a, 1, 0, message(None), "more than ten bytes of payload");
        s.hear(a);
    }

    fn frames_that_end_the_connection(s) {
        let topic = s.topic();
        let a = s.client();
        s.find(a, &topic);
        s.bytes(a, &[0, 0, 0, 9, 0, 0, 0, 5, 8, 200, 1, 16, 1]);
        s.hear(a);
        let a = s.client();
        s.ask(a, subscribe(1, &topic, "s", SubType(9)));
        let a = s.client();
        s.ask(a, CommandGetTopicsOfNamespace { namespace: "wat".to_owned(), request_id: 1, ..CommandGetTopicsOfNamespace::default() });
        let a = s.client();
        s.ask(a, CommandWatchTopicList { namespace: "wat".to_owned(), request_id: 1, watcher_id: 1, topics_pattern: "x".to_owned(), ..CommandWatchTopicList::default() });
        let a = s.client();
        s.ask(a, producer_on(1, &topic));
        s.ask(a, CommandSend { producer_id: 1, ..CommandSend::default() });
    }

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
        s.hear_in_any_order(a);
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
        let last = s.publish(a, 1, 1, message(None), "m1");
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
        s.hear_long(b);
        s.inquire("POST", &format!("{path}/terminate"), "");
        s.inquire("POST", &format!("{path}-none/terminate"), "");
        s.ask(b, CommandGetLastMessageId { consumer_id: 2, request_id: 5 });
        s.hear_all(b);
        s.say(b, CommandAck {
            consumer_id: 1,
            ack_type: AckType::CUMULATIVE,
            message_id: vec![last],
            ..CommandAck::default()
        });
        s.hear_all(b);
    }

    fn an_empty_topic_is_terminated(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        s.replace(r#""ledgerId":\d+"#, "LEDGER");
        let b = s.client();
        s.ask(b, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.flow(b, 1, 1);
        s.pause(300);
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
        let now = s.wall_ms();
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

    fn nothing_is_delayed_that_is_not_stored(s) {
        let topic = s.topic().replace("persistent", "non-persistent");
        let (a, b) = (s.client(), s.client());
        s.ask(a, producer_on(1, &topic));
        for (n, kind) in [SubType::SHARED, SubType::KEY_SHARED, SubType::EXCLUSIVE].into_iter().enumerate() {
            s.ask(b, subscribe(n as u64, &topic, &n.to_string(), kind));
            s.flow(b, n as u64, 10);
            s.pause(200);
            let later = s.wall_ms() + 3_600_000;
            let later = MessageMetadata { deliver_at_time: Some(later), ..message(Some("k")) };
            s.publish(a, 1, n as u64, later, "at once");
            s.hear_all(b);
            s.ask(b, CommandCloseConsumer { consumer_id: n as u64, request_id: 9, ..CommandCloseConsumer::default() });
        }
    }

    fn what_is_terminated_is_there_after_an_unloading(s) {
        super::admin::quiet(s);
        let topic = s.topic();
        let path = topic.replace("://", "/");
        let (a, b) = (s.client(), s.client());
        s.ask(a, producer_on(1, &topic));
        s.ask(b, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.flow(b, 1, 10);
        let mut last = None;
        for n in 0..3 {
            s.publish(a, 1, n, message(None), &n.to_string());
            if let Some(Command::Message(message)) = s.hear(b) {
                last = Some(message.message_id);
            }
        }
        s.order("POST", &format!("{path}/terminate"), "");
        let all = CommandAck { consumer_id: 1, ack_type: AckType::CUMULATIVE, message_id: last.into_iter().collect(), ..CommandAck::default() };
        s.say(b, all);
        s.hear_all(b);
        for _ in 0..2 {
            s.order("PUT", &format!("{path}/unload"), "");
            s.pause_if_real(1000);
        }
        s.hear_all(b);
        s.find(b, &topic);
        s.ask(b, CommandSubscribe { initial_position: Some(InitialPosition::EARLIEST), ..subscribe(2, &topic, "again", SubType::EXCLUSIVE) });
        s.flow(b, 2, 10);
        s.hear_all(b);
        s.inquire("POST", &format!("{path}/terminate"), "");
        s.look(&format!("{path}/internalStats"), &["state", "numberOfEntries"]);
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
        s.compact(&path);
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

    fn what_compaction_left_outlives_the_ledger(s) {
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        // There it is before the ledger that is gone, here before the first entry that is left.
        s.replace(r"consumer_mark_delete_position: Some\(\w+ \{[^}]*\}\)", "MARK");
        let (a, b) = (s.client(), s.client());
        s.ask(a, producer_on(1, &topic));
        s.ask(b, subscribe(9, &topic, "done", SubType::EXCLUSIVE));
        let mut last = MessageIdData::default();
        for n in 0..8 {
            last = s.publish(a, 1, n, message(Some(["x", "y"][n as usize % 2])), &n.to_string());
        }
        s.flow(b, 9, 100);
        s.hear_all(b);
        s.say(b, CommandAck { consumer_id: 9, ack_type: AckType::CUMULATIVE, message_id: vec![last], ..CommandAck::default() });
        s.hear_all(b);
        s.compact(&path);
        s.order("PUT", &format!("{path}/unload"), "");
        s.leave(a);
        s.leave(b);
        let a = s.client();
        s.find(a, &topic);
        s.ask(a, producer_on(1, &topic));
        s.pause_if_real(2000);
        let read = |consumer, compacted| CommandSubscribe {
            read_compacted: Some(compacted),
            durable: Some(false),
            start_message_id: Some(id(-1, -1)),
            ..subscribe(consumer, &topic, &format!("r{consumer}"), SubType::EXCLUSIVE)
        };
        let c = s.client();
        s.find(c, &topic);
        s.ask(c, read(1, false));
        s.flow(c, 1, 100);
        s.hear_all(c);
        s.ask(c, read(2, true));
        s.ask(c, CommandGetLastMessageId { consumer_id: 2, request_id: 5 });
        s.flow(c, 2, 100);
        s.hear_all(c);
        let earliest = CommandSubscribe {
            read_compacted: Some(true),
            initial_position: Some(InitialPosition::EARLIEST),
            ..subscribe(3, &topic, "late", SubType::EXCLUSIVE)
        };
        s.ask(c, earliest.clone());
        s.flow(c, 3, 100);
        s.hear_all(c);
        s.publish(a, 1, 8, message(Some("z")), "8");
        s.hear_in_any_order(c);
        for seek in [
            CommandSeek { message_id: Some(id(-1, -1)), ..CommandSeek::default() },
            CommandSeek { message_publish_time: Some(0), ..CommandSeek::default() },
        ] {
            s.say(c, CommandSeek { consumer_id: 3, request_id: 6, ..seek });
            s.hear_all(c);
            s.ask(c, earliest.clone());
            s.flow(c, 3, 100);
            s.hear_all(c);
        }
    }

    fn compaction_takes_what_is_null_away(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        let (a, b) = (s.client(), s.client());
        s.ask(a, producer_on(1, &topic));
        let null = |key| MessageMetadata {
            null_value: Some(true),
            uncompressed_size: Some(0),
            ..message(Some(key))
        };
        let empty = |key| MessageMetadata { uncompressed_size: Some(0), ..message(Some(key)) };
        s.ask(b, subscribe(9, &topic, "keep", SubType::EXCLUSIVE));
        s.publish(a, 1, 0, message(Some("x")), "x1");
        s.publish(a, 1, 1, message(Some("y")), "y1");
        s.publish(a, 1, 2, null("x"), "");
        s.publish(a, 1, 3, message(Some("z")), "z1");
        s.publish(a, 1, 4, empty("y"), "");
        s.publish(a, 1, 5, message(Some("w")), "w1");
        s.compact(&path);
        let read = |consumer| CommandSubscribe {
            read_compacted: Some(true),
            durable: Some(false),
            start_message_id: Some(id(-1, -1)),
            ..subscribe(consumer, &topic, &format!("r{consumer}"), SubType::EXCLUSIVE)
        };
        s.ask(b, read(1));
        s.flow(b, 1, 100);
        s.hear_long(b);
    }

    fn compaction_again(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        let (a, b) = (s.client(), s.client());
        s.ask(a, producer_on(1, &topic));
        s.ask(b, subscribe(9, &topic, "keep", SubType::EXCLUSIVE));
        for (n, (key, text)) in [("a", "1"), ("b", "2"), ("c", "3")].into_iter().enumerate() {
            s.publish(a, 1, n as u64, message(Some(key)), text);
        }
        s.compact(&path);
        for (n, (key, text)) in [("a", "4"), ("d", "5")].into_iter().enumerate() {
            s.publish(a, 1, 3 + n as u64, message(Some(key)), text);
        }
        s.compact(&path);
        s.publish(a, 1, 5, message(Some("b")), "6");
        s.ask(b, CommandSubscribe {
            read_compacted: Some(true),
            durable: Some(false),
            start_message_id: Some(id(-1, -1)),
            ..subscribe(1, &topic, "r", SubType::EXCLUSIVE)
        });
        s.flow(b, 1, 100);
        s.hear_long(b);
    }

    fn compaction_of_batches(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        let (a, b) = (s.client(), s.client());
        s.ask(a, producer_on(1, &topic));
        let ask = |first: u64, count: i32| CommandSend {
            producer_id: 1,
            sequence_id: first,
            highest_sequence_id: Some(first + count as u64 - 1),
            num_messages: Some(count),
            ..CommandSend::default()
        };
        for (first, messages) in [
            (0, &[(Some("a"), "1"), (Some("b"), "2"), (Some("a"), "3")][..]),
            (3, &[(Some("c"), "4"), (None, "5"), (Some("b"), "")][..]),
            (6, &[(Some("d"), "6"), (Some("e"), "7")][..]),
            (8, &[(Some("d"), "8"), (Some("e"), "9")][..]),
        ] {
            let (metadata, payload) = crate::common::batch(messages);
            s.send_as(a, ask(first, messages.len() as i32), metadata, &payload);
            s.hear(a);
        }
        s.compact(&path);
        s.ask(b, CommandSubscribe {
            read_compacted: Some(true),
            durable: Some(false),
            start_message_id: Some(id(-1, -1)),
            ..subscribe(1, &topic, "r", SubType::EXCLUSIVE)
        });
        s.flow(b, 1, 100);
        s.hear_all(b);
    }

    fn topics_are_listed_and_watched(s) {
        let namespace = format!("public/{}", s.short());
        s.replace(r"PatternSyntaxException: [^}]*", "PatternSyntaxException");
        s.replace(r"Invalid topics pattern: [^}]*", "Invalid topics pattern");
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
        let Some(Command::GetTopicsOfNamespaceResponse(answer)) = answer else { return };
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
        let Some(Command::WatchTopicListSuccess(answer)) = answer else { return };
        s.ask_sorted(b, watch(2, format!("persistent://{namespace}/o.*"), Some(answer.topics_hash)));
        s.ask_sorted(b, watch(3, format!("{namespace}/[^_].*"), None));
        s.ask_sorted(b, watch(4, "((".to_owned(), None));
        s.order("PUT", &format!("persistent/{namespace}/oboe"), "");
        s.hear_in_any_order(b);
        s.order("DELETE", &format!("persistent/{namespace}/one"), "");
        s.hear_in_any_order(b);
        s.ask(a, producer_on(2, &format!("non-persistent://{namespace}/of-no-weight")));
        s.hear_in_any_order(b);
        s.ask(b, CommandWatchTopicListClose { request_id: 40, watcher_id: 1 });
        s.ask(b, CommandWatchTopicListClose { request_id: 41, watcher_id: 99 });
        s.order("PUT", &format!("persistent/{namespace}/organ"), "");
        s.hear_in_any_order(b);
    }

    fn the_last_id_of_what_is_compacted(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        let (a, b) = (s.client(), s.client());
        s.ask(a, producer_on(1, &topic));
        s.ask(b, subscribe(9, &topic, "keep", SubType::EXCLUSIVE));
        s.publish(a, 1, 0, message(Some("a")), "1");
        s.publish(a, 1, 1, message(Some("b")), "2");
        s.publish(a, 1, 2, MessageMetadata { uncompressed_size: Some(0), ..message(Some("b")) }, "");
        s.compact(&path);
        for (consumer, compacted) in [(1, true), (2, false)] {
            s.ask(b, CommandSubscribe {
                read_compacted: Some(compacted),
                durable: Some(false),
                start_message_id: Some(id(-1, -1)),
                ..subscribe(consumer, &topic, &format!("r{consumer}"), SubType::EXCLUSIVE)
            });
            s.ask(b, CommandGetLastMessageId { consumer_id: consumer, request_id: 5 });
        }
    }

    fn a_shadow_takes_messages_with_their_ids(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let shadow = format!("{topic}-shadow");
        s.replace(r#","index":"\d+""#, "");
        let a = s.client();
        s.ask(a, producer_on(1, &topic));
        let ids: Vec<MessageIdData> = (0..3).map(|n| s.publish(a, 1, n, message(None), "x")).collect();
        let body = format!("{{\"PULSAR.SHADOW_SOURCE\":\"{topic}\"}}");
        s.order("PUT", &format!("persistent/public/default/{unique}-shadow"), &body);
        s.inquire("GET", &format!("persistent/public/default/{unique}-shadow/properties"), "");
        s.ask(a, producer_on(2, &shadow));
        let with = |producer: u64, n: u64| CommandSend {
            producer_id: producer,
            sequence_id: n,
            message_id: ids.get(n as usize).cloned(),
            ..CommandSend::default()
        };
        for n in 0..3 {
            s.send_as(a, with(2, n), message(None), "x");
            s.hear(a);
        }
        s.send(a, 2, 3, message(None), "without");
        s.hear(a);
        s.send_as(a, with(1, 0), message(None), "with");
        s.hear(a);
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

    fn a_schema_of_no_type_is_none(s) {
        let (a, topic) = (s.client(), s.topic());
        s.ask(a, producer_on(1, &topic));
        let schema = Schema { name: "bytes".to_owned(), ..Schema::default() };
        s.ask(a, CommandGetOrCreateSchema { request_id: 2, topic: topic.clone(), schema, producer_name: None });
        s.ask(a, CommandGetSchema { request_id: 3, topic, schema_version: None });
    }

    fn a_listener_that_nobody_advertises(s) {
        let (a, topic) = (s.client(), s.topic());
        let command = CommandLookupTopic {
            topic,
            request_id: 1,
            advertised_listener_name: Some("nowhere".to_owned()),
            ..CommandLookupTopic::default()
        };
        s.ask(a, command);
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
