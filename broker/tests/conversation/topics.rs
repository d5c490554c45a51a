//! Topics: found, listed, kept within bounds.

use bytes::BytesMut;
use pulsewire_proto::wire::frame::encode_command;

use super::*;

#[test]
fn lookups_lead_here_or_once_elsewhere() {
    let mut w = World::with(BrokerConfig {
        service_url_tls: Some("pulsar+ssl://localhost:6651".to_owned()),
        ..BrokerConfig::default()
    });
    let c = w.client();
    let ask = |authoritative| CommandLookupTopic {
        topic: TOPIC.to_owned(),
        request_id: 1,
        authoritative: Some(authoritative),
        ..CommandLookupTopic::default()
    };
    let Command::LookupTopicResponse(found) = w.ask(c, ask(false)) else { panic!() };
    assert_eq!(found.response, Some(LookupResult::CONNECT));
    assert_eq!(found.broker_service_url.as_deref(), Some("pulsar://localhost:6650"));
    assert_eq!(found.broker_service_url_tls.as_deref(), Some("pulsar+ssl://localhost:6651"));
    assert_eq!(found.proxy_through_service_url, Some(true));
    let mut w = World::with(BrokerConfig {
        redirect_lookups: Some("pulsar://other:1".to_owned()),
        ..BrokerConfig::default()
    });
    let c = w.client();
    let Command::LookupTopicResponse(found) = w.ask(c, ask(false)) else { panic!() };
    assert_eq!(found.response, Some(LookupResult::REDIRECT));
    assert_eq!(found.broker_service_url.as_deref(), Some("pulsar://other:1"));
    let Command::LookupTopicResponse(found) = w.ask(c, ask(true)) else { panic!() };
    assert_eq!(found.response, Some(LookupResult::CONNECT));
}

/// As 4.0.8 with `advertisedListeners` answered: nothing but a listener's own addresses is told.
#[test]
fn clients_that_name_a_listener_are_led_by_it() {
    let listeners =
        "inside:pulsar://a:1,inside:pulsar+ssl://a:2,outside:pulsar://b:1,secret:pulsar+ssl://b:2";
    let mut w = World::with(BrokerConfig {
        service_url_tls: Some("pulsar+ssl://localhost:6651".to_owned()),
        advertised_listeners: AdvertisedListener::parse(listeners).unwrap(),
        ..BrokerConfig::default()
    });
    let c = w.client();
    let mut ask = |name: &str| {
        let ask = CommandLookupTopic {
            topic: TOPIC.to_owned(),
            request_id: 1,
            advertised_listener_name: Some(name.to_owned()),
            ..CommandLookupTopic::default()
        };
        let Command::LookupTopicResponse(found) = w.ask(c, ask) else { panic!() };
        (found.response.unwrap(), found.broker_service_url, found.broker_service_url_tls, found.message)
    };
    let led = |plain: Option<&str>, tls: Option<&str>| {
        (LookupResult::CONNECT, plain.map(str::to_owned), tls.map(str::to_owned), None)
    };
    assert_eq!(ask("inside"), led(Some("pulsar://a:1"), Some("pulsar+ssl://a:2")));
    assert_eq!(ask("outside"), led(Some("pulsar://b:1"), None));
    assert_eq!(ask("secret"), led(None, Some("pulsar+ssl://b:2")));
    assert_eq!(ask(""), led(Some("pulsar://localhost:6650"), Some("pulsar+ssl://localhost:6651")));
    let message = Some("the broker do not have nowhere listener".to_owned());
    assert_eq!(ask("nowhere"), (LookupResult::FAILED, None, None, message));
}

#[test]
fn partitions_are_told_and_bound() {
    let mut w = World::new();
    let c = w.client();
    let name = TopicName::parse("parted").unwrap();
    w.broker.create_partitioned_topic(&name, 3, w.now).unwrap();
    let mut ask = |topic: &str, create| {
        let ask = CommandPartitionedTopicMetadata {
            topic: topic.to_owned(),
            request_id: 1,
            metadata_auto_creation_enabled: Some(create),
            ..CommandPartitionedTopicMetadata::default()
        };
        let Command::PartitionedTopicMetadataResponse(r) = w.ask(c, ask) else { panic!() };
        (r.partitions, r.error)
    };
    assert_eq!(ask("persistent://public/default/parted", true), (Some(3), None));
    assert_eq!(ask("persistent://public/default/new", true), (Some(0), None));
    assert_eq!(ask("persistent://public/default/new", false), (None, Some(ServerError::TOPIC_NOT_FOUND)));
    assert_eq!(ask("kafka://x", true), (None, Some(ServerError::INVALID_TOPIC_NAME)));
    let beyond = "persistent://public/default/parted-partition-3";
    assert_eq!(refusal(w.ask(c, producer_on(1, beyond))).0, ServerError::TOPIC_NOT_FOUND);
    w.produce(c, 2, "persistent://public/default/parted-partition-2");
}

#[test]
fn partitions_on_demand_when_told_so() {
    let mut w = World::with(BrokerConfig { default_partitions: 2, ..BrokerConfig::default() });
    let c = w.client();
    let ask = CommandPartitionedTopicMetadata {
        topic: TOPIC.to_owned(),
        request_id: 1,
        ..CommandPartitionedTopicMetadata::default()
    };
    let Command::PartitionedTopicMetadataResponse(r) = w.ask(c, ask) else { panic!() };
    assert_eq!(r.partitions, Some(2));
    assert_eq!(w.broker.topics("public/default", true).len(), 2);
}

#[test]
fn topics_are_listed_filtered_and_watched() {
    let mut w = World::new();
    let (c, watcher) = (w.client(), w.client());
    for (n, name) in ["b", "a1", "a2"].iter().enumerate() {
        w.produce(c, n as u64, &format!("persistent://public/default/{name}"));
    }
    let list = |pattern: Option<&str>, hash: Option<String>| CommandGetTopicsOfNamespace {
        request_id: 1,
        namespace: "public/default".to_owned(),
        topics_pattern: pattern.map(str::to_owned),
        topics_hash: hash,
        ..CommandGetTopicsOfNamespace::default()
    };
    let Command::GetTopicsOfNamespaceResponse(all) = w.ask(c, list(None, None)) else { panic!() };
    assert_eq!((all.topics.len(), all.filtered, all.changed), (3, Some(false), Some(true)));
    let pattern = "persistent://public/default/a.*";
    let Command::GetTopicsOfNamespaceResponse(some) = w.ask(c, list(Some(pattern), None)) else { panic!() };
    assert_eq!((some.topics.len(), some.filtered), (2, Some(true)));
    let Command::GetTopicsOfNamespaceResponse(same) = w.ask(c, list(Some(pattern), some.topics_hash.clone()))
    else {
        panic!()
    };
    assert_eq!((same.topics.len(), same.changed), (0, Some(false)));

    let watch = CommandWatchTopicList {
        request_id: 1,
        watcher_id: 4,
        namespace: "public/default".to_owned(),
        topics_pattern: pattern.to_owned(),
        topics_hash: None,
    };
    let Command::WatchTopicListSuccess(now) = w.ask(watcher, watch) else { panic!() };
    assert_eq!((now.topic.len(), Some(&now.topics_hash)), (2, some.topics_hash.as_ref()));
    w.produce(c, 7, "persistent://public/default/c");
    assert!(w.silent(watcher));
    w.produce(c, 8, "persistent://public/default/a3");
    let Command::WatchTopicUpdate(update) = w.hear(watcher) else { panic!() };
    assert_eq!((update.watcher_id, update.new_topics.len()), (4, 1));
    w.say(watcher, CommandWatchTopicListClose { request_id: 2, watcher_id: 4 });
    assert!(matches!(w.hear(watcher), Command::Success(_)));
    w.produce(c, 9, "persistent://public/default/a4");
    assert!(w.silent(watcher));
}

#[test]
fn schemas_are_kept_by_version() {
    let mut w = World::new();
    let here = Scope::Namespace("public/default".to_owned());
    let backward = Some(pulsewire_broker::core::SchemaStrategy::Backward);
    w.broker.set_policies(&here, |policies| policies.schema_strategy = backward, w.now).unwrap();
    let c = w.client();
    let schema = |kind, data: &'static [u8]| Schema {
        name: "s".to_owned(),
        schema_data: data.into(),
        r#type: kind,
        properties: Vec::new(),
    };
    let with = |id, schema| CommandProducer { schema: Some(schema), ..producer_on(id, TOPIC) };
    let Command::ProducerSuccess(first) = w.ask(c, with(1, schema(SchemaType::JSON, br#""int""#))) else {
        panic!()
    };
    assert_eq!(first.schema_version.as_deref(), Some(&[0, 0, 0, 0, 0, 0, 0, 0][..]));
    let create = CommandGetOrCreateSchema {
        request_id: 1,
        topic: TOPIC.to_owned(),
        schema: schema(SchemaType::JSON, br#""long""#),
        producer_name: None,
    };
    let Command::GetOrCreateSchemaResponse(second) = w.ask(c, create) else { panic!() };
    assert_eq!(second.schema_version.as_deref(), Some(&[0, 0, 0, 0, 0, 0, 0, 1][..]));
    let get = |version| CommandGetSchema { request_id: 1, topic: TOPIC.to_owned(), schema_version: version };
    let Command::GetSchemaResponse(old) = w.ask(c, get(first.schema_version)) else { panic!() };
    assert_eq!(&old.schema.unwrap().schema_data[..], br#""int""#);
    let Command::GetSchemaResponse(new) = w.ask(c, get(None)) else { panic!() };
    assert_eq!(&new.schema.unwrap().schema_data[..], br#""long""#);
    assert_eq!(
        refusal(w.ask(c, with(2, schema(SchemaType::INT32, b"")))).0,
        ServerError::INCOMPATIBLE_SCHEMA
    );
}

#[test]
fn duplicates_are_dropped_where_that_is_on() {
    let mut w = World::new();
    let here = Scope::Namespace("public/default".to_owned());
    w.broker.set_policies(&here, |policies| policies.deduplication = Some(true), w.now).unwrap();
    let c = w.client();
    let named = |id| CommandProducer { producer_name: Some("n".to_owned()), ..producer_on(id, TOPIC) };
    w.ask(c, named(1));
    assert_eq!(w.publish(c, 1, 5, "a").entry_id, 0);
    assert_eq!(w.publish(c, 1, 5, "again").entry_id, u64::MAX);
    assert_eq!(w.publish(c, 1, 6, "b").entry_id, 1);
    w.leave(c);
    let c = w.client();
    let Command::ProducerSuccess(back) = w.ask(c, named(1)) else { panic!() };
    assert_eq!(back.last_sequence_id, Some(6));
}

#[test]
fn non_persistent_topics_hand_out_and_forget() {
    let mut w = World::new();
    let topic = "non-persistent://public/default/n";
    let (p, c) = (w.client(), w.client());
    w.produce(p, 1, topic);
    w.consume(c, 1, topic, "s", SubType::SHARED);
    w.flow(c, 1, 2);
    for n in 0..3 {
        w.publish(p, 1, n, &format!("m{n}"));
    }
    assert_eq!(w.payloads(c), ["m0", "m1"]);
    w.flow(c, 1, 5);
    assert!(w.silent(c), "m2 had nobody to go to");
    w.publish(p, 1, 3, "m3");
    assert_eq!(w.payloads(c), ["m3"]);
}

#[test]
fn memory_is_bounded_and_refuses_politely() {
    let mut w = World::with(BrokerConfig { max_stored_bytes: 20_000, ..BrokerConfig::default() });
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::EXCLUSIVE);
    let payload = "x".repeat(1000);
    let mut ids = Vec::new();
    let refused = loop {
        w.send(c, 1, ids.len() as u64, MessageMetadata::default(), &payload);
        match w.hear(c) {
            Command::SendReceipt(receipt) => ids.push(receipt.message_id.unwrap()),
            Command::SendError(error) => break error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused.error, ServerError::PERSISTENCE_ERROR);
    assert!((10..20).contains(&ids.len()), "{}", ids.len());
    // What was sent behind it must not be stored before it: the producer has to open anew.
    assert!(matches!(w.hear(c), Command::CloseProducer(_)));
    w.send(c, 1, 50, MessageMetadata::default(), "small");
    assert!(w.silent(c));
    let more = w.ask(c, producer_on(2, TOPIC));
    assert_eq!(refusal(more).0, ServerError::PRODUCER_BLOCKED_QUOTA_EXCEEDED_EXCEPTION);
    // What is consumed makes room.
    w.ack(c, 1, AckType::CUMULATIVE, &ids[ids.len() - 1..]);
    w.produce(c, 1, TOPIC);
    let at = w.publish(c, 1, 99, &payload);
    assert_eq!(at.entry_id, ids.len() as u64);
}

/// When memory is short the oldest goes that has been consumed, and no more than is needed; what nobody has subscribed
/// to yet stays for as long as that is enough.
#[test]
fn what_makes_room_is_consumed_and_old() {
    let mut w = World::with(BrokerConfig { max_stored_bytes: 64_000, ..BrokerConfig::default() });
    let c = w.client();
    let [unused, old, new] =
        ["unused", "old", "new"].map(|name| format!("persistent://public/default/{name}"));
    let payload = "x".repeat(1000);
    let mut ids = Vec::new();
    for (producer, topic) in (1..).zip([&unused, &old, &new]) {
        w.produce(c, producer, topic);
        if topic != &unused {
            w.consume(c, producer, topic, "s", SubType::EXCLUSIVE);
        }
        ids.push((0..10).map(|n| w.publish(c, producer, n, &payload)).collect::<Vec<_>>());
        if topic != &unused {
            w.ack(c, producer, AckType::CUMULATIVE, &ids[producer as usize - 1][9..]);
        }
        w.pass(Duration::from_secs(2));
    }
    let left = |w: &mut World| {
        let topics = [&unused, &old, &new];
        topics.map(|topic| w.broker.stats(&TopicName::parse(topic).unwrap()).unwrap().storage_size / 1000)
    };
    assert_eq!(left(&mut w), [10, 10, 10]);
    w.produce(c, 9, TOPIC);
    w.consume(c, 9, TOPIC, "s", SubType::EXCLUSIVE);
    let mut seen = Vec::new();
    for n in 0.. {
        w.send(c, 9, n, MessageMetadata::default(), &payload);
        if !matches!(w.hear(c), Command::SendReceipt(_)) {
            break;
        }
        let left = left(&mut w);
        if seen.last() != Some(&left) {
            seen.push(left);
        }
    }
    let sum = |left: &[u64; 3]| left.iter().sum::<u64>();
    assert!(seen.len() > 5 && seen.is_sorted_by(|a, b| sum(a) > sum(b) && sum(a) - sum(b) < 6), "{seen:?}");
    assert!(
        seen.iter().all(|[unused, old, new]| (*new == 10 || *old == 0) && (*unused == 10 || *new == 0)),
        "{seen:?}"
    );
    assert_eq!(seen.last(), Some(&[0, 0, 0]));
}

#[test]
fn a_slow_reader_is_not_flooded() {
    let mut w = World::with(BrokerConfig { connection_window: 10_000, ..BrokerConfig::default() });
    let (p, c) = (w.client(), w.client());
    w.produce(p, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::EXCLUSIVE);
    w.deaf.push(c);
    w.flow(c, 1, 1_000_000);
    let payload = "x".repeat(1000);
    for n in 0..1000 {
        w.publish(p, 1, n, &payload);
    }
    assert!(w.broker.wants_bytes(c), "the window holds about ten of a thousand");
    let stats = w.broker.stats(&TopicName::parse(TOPIC).unwrap()).unwrap();
    assert!(stats.subscriptions[0].messages_out < 20, "{}", stats.subscriptions[0].messages_out);
}

#[test]
fn topics_take_turns_on_a_connection_that_is_slow() {
    let mut w = World::with(BrokerConfig { connection_window: 10_000, ..BrokerConfig::default() });
    let (p, c) = (w.client(), w.client());
    for id in 1..=3 {
        let topic = format!("{TOPIC}-{id}");
        w.produce(p, id, &topic);
        w.consume(c, id, &topic, "s", SubType::EXCLUSIVE);
        for n in 0..100 {
            w.publish(p, id, n, &"x".repeat(1000));
        }
    }
    let mut flows = BytesMut::new();
    for consumer_id in 1..=3 {
        encode_command(&CommandFlow { consumer_id, message_permits: 1000 }.into(), &mut flows);
    }
    w.bytes(c, flows);
    let ids: Vec<u64> = w.messages(c).into_iter().map(|(id, ..)| id).collect();
    assert_eq!(ids.len(), 300);
    for id in 1..=3 {
        let soon = ids[..90].iter().filter(|had| **had == id).count();
        assert!((20..=40).contains(&soon), "{id}: {soon} of the first 90");
    }
}

#[test]
fn a_shadow_that_is_terminated_stays_behind_and_its_source_goes_on() {
    let mut w = World::new();
    let (p, c) = (w.client(), w.client());
    let [source, shadow] = ["t", "shadow"].map(|name| TopicName::parse(name).unwrap());
    w.produce(p, 1, TOPIC);
    let says_so = [("PULSAR.SHADOW_SOURCE".to_owned(), TOPIC.to_owned())];
    w.broker.create_topic(&shadow, says_so.into(), w.now).unwrap();
    let names = format!("[\"{shadow}\"]");
    let set = |policies: &mut Policies| drop(policies.kept.insert("shadowTopics".to_owned(), names));
    w.broker.set_policies(&Scope::Topic(source), set, w.now).unwrap();
    w.consume(c, 1, &shadow.to_string(), "s", SubType::EXCLUSIVE);
    w.flow(c, 1, 10);
    let first = w.publish(p, 1, 0, "first");
    let heard: Vec<_> = w.deliveries(c).into_iter().map(|(message, _)| message.message_id).collect();
    assert_eq!(
        heard.iter().map(|id| (id.ledger_id, id.entry_id)).collect::<Vec<_>>(),
        [(first.ledger_id, first.entry_id)]
    );

    assert_eq!(w.broker.terminate(&shadow, w.now).unwrap().entry_id, first.entry_id);
    assert!((1..4).all(|n| w.publish(p, 1, n, "more").entry_id == first.entry_id + n));
    assert_eq!(w.broker.stats(&shadow).unwrap().messages_in, 1);
}

/// Who says that a batch has more messages than memory has bits for must not be believed.
#[test]
fn a_reset_into_a_batch_that_says_too_much_begins_at_its_entry() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::EXCLUSIVE);
    let says =
        |messages| MessageMetadata { num_messages_in_batch: Some(messages), ..MessageMetadata::default() };
    let topic = TopicName::parse(TOPIC).unwrap();
    w.flow(c, 1, 1000);
    for (messages, whole) in [(100, false), (i32::MAX, true)] {
        w.send(c, 1, 0, says(messages), "batch");
        let Command::SendReceipt(receipt) = w.hear(c) else { panic!("no receipt") };
        let id = MessageIdData { batch_index: Some(70), ..receipt.message_id.unwrap() };
        w.messages(c);
        w.broker.reset_to_id(&topic, "s", &id, false, w.now).unwrap();
        w.settle();
        assert!(matches!(w.hear(c), Command::CloseConsumer(_)));
        w.consume(c, 1, TOPIC, "s", SubType::EXCLUSIVE);
        w.flow(c, 1, 1000);
        let left: Vec<_> = w.deliveries(c).into_iter().map(|(message, _)| message.ack_set).collect();
        assert_eq!(left, [if whole { Vec::new() } else { vec![0, !63 & 0xf_ffff_ffff] }], "{messages}");
    }
}

#[test]
fn unloading_a_topic_sends_everybody_back_to_lookup() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 2, TOPIC, "s", SubType::SHARED);
    w.broker.unload_topic(&TopicName::parse(TOPIC).unwrap(), w.now).unwrap();
    w.say(c, CommandPing::default());
    assert!(matches!(w.hear(c), Command::CloseProducer(_)));
    assert!(matches!(w.hear(c), Command::CloseConsumer(_)));
    assert!(matches!(w.hear(c), Command::Pong(_)));
    w.produce(c, 1, TOPIC);
    w.consume(c, 2, TOPIC, "s", SubType::SHARED);
}

#[test]
fn the_same_facts_give_the_same_bytes() {
    let run = || {
        let mut w = World::new();
        let (p, a, b) = (w.client(), w.client(), w.client());
        w.produce(p, 1, TOPIC);
        w.consume(a, 1, TOPIC, "s", SubType::KEY_SHARED);
        w.consume(b, 1, TOPIC, "s", SubType::KEY_SHARED);
        w.flow(a, 1, 30);
        w.flow(b, 1, 30);
        for n in 0..60 {
            w.send(p, 1, n, key(&format!("k{n}")), &format!("m{n}"));
            w.receipt(p);
        }
        w.leave(a);
        (w.messages(b), w.broker.next_deadline())
    };
    assert_eq!(run(), run());
}

#[test]
fn whoever_was_refused_comes_in_when_there_is_room_for_what_was_refused() {
    let mut w = World::with(BrokerConfig { max_stored_bytes: 20_000, ..BrokerConfig::default() });
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    let small: Vec<_> = (0..10).map(|n| w.publish(c, 1, n, &"x".repeat(1000))).collect();
    w.send(c, 1, 10, MessageMetadata::default(), &"x".repeat(12_000));
    assert!(matches!(w.hear(c), Command::SendError(_)) && matches!(w.hear(c), Command::CloseProducer(_)));
    let full = ServerError::PRODUCER_BLOCKED_QUOTA_EXCEEDED_EXCEPTION;
    assert_eq!(refusal(w.ask(c, producer_on(1, TOPIC))).0, full, "half is free, but that is not enough");
    w.ack(c, 1, AckType::INDIVIDUAL, &small[..5]);
    w.produce(c, 1, TOPIC);
    w.publish(c, 1, 10, &"x".repeat(12_000));
}

/// The name of compaction's cursor is no other's privilege: who has it as a subscription can lose it.
#[test]
fn a_subscription_by_the_name_of_compactions_cursor_is_deleted_as_any() {
    let mut w = World::new();
    let c = w.client();
    w.consume(c, 1, TOPIC, "__compaction", SubType::EXCLUSIVE);
    let topic = TopicName::parse(TOPIC).unwrap();
    w.broker.compact(&topic, w.now).unwrap();
    assert_eq!(w.broker.cursors(&topic).unwrap(), ["__compaction"]);
    w.broker.delete_subscription(&topic, "__compaction", true, w.now).unwrap();
    assert_eq!(w.broker.subscriptions(&topic).unwrap(), Vec::<String>::new());
}

/// What compaction has not seen stays, though all subscriptions have it: the last of each key would be lost.
#[test]
fn what_is_to_be_compacted_is_not_trimmed() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::EXCLUSIVE);
    let topic = TopicName::parse(TOPIC).unwrap();
    let set = |policies: &mut Policies| {
        policies.compaction_threshold = Some(1 << 20);
        policies.retention = Some(Retention { minutes: 0, megabytes: 0 });
        policies.max_subscriptions = Some(2);
    };
    w.broker.set_policies(&Scope::Topic(topic.clone()), set, w.now).unwrap();
    w.send(c, 1, 0, key("k"), "last");
    w.receipt(c);
    // Compaction is one of the two subscriptions.
    let refused = subscribe(2, TOPIC, "other", SubType::EXCLUSIVE);
    assert!(matches!(w.ask(c, refused), Command::Error(_)));
    w.broker.skip_all(&topic, "s", w.now).unwrap();
    w.broker.trim(&topic, w.now).unwrap();
    w.pass(Duration::from_secs(120));
    assert!(w.broker.examine(&topic, true, 1).is_ok());
    assert!(w.broker.peek(&topic, "__compaction", 1).is_ok(), "it begins at what it has not seen");
    w.broker.compact(&topic, w.now).unwrap();
    w.broker.trim(&topic, w.now).unwrap();
    assert!(w.broker.examine(&topic, true, 1).is_err());
    assert!(w.broker.peek(&topic, "__compaction", 1).is_err());
}
