//! Partitioned topics, several topics, patterns.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, pin_mut};
use pulsewire::{
    BatchReceivePolicy, Client, Consumer, ErrorKind, HashingScheme, InitialPosition, Message, MessageId,
    MessageRoutingMode, Producer, ProducerAccessMode, RegexSubscriptionMode, SeekTarget, SubscriptionType,
};

use crate::env::{Env, Outcome, from_earliest, holds, next, same, silence, sleep, text, within};
use crate::reading::admin_path;

/// How often partitions and topics are looked for here; in earnest it is a minute.
const SOON: Duration = Duration::from_millis(300);

pub(crate) async fn partition(env: &Env, topic: &str, partitions: u32) -> Outcome {
    let path = format!("{}/partitions", admin_path(topic));
    env.administer("PUT", &path, Some(&partitions.to_string())).await
}

pub(crate) async fn grow(env: &Env, topic: &str, partitions: u32) -> Outcome {
    let path = format!("{}/partitions", admin_path(topic));
    // Brokers answer 500 when someone who was quicker opens a new partition while they make it.
    for _ in 0..20 {
        let answer = env.admin("POST", &path, Some(&partitions.to_string())).await?;
        let known = env.admin("GET", &path, None).await?.body;
        if answer.status < 300 || known.contains(&format!("\"partitions\":{partitions}")) {
            return Ok(());
        }
        holds(&format!("{} {}", answer.status, answer.body), answer.status >= 500)?;
        sleep(Duration::from_millis(200)).await;
    }
    Err(format!("{topic} did not grow"))
}

/// How many producers the broker knows of on each partition.
async fn publishers(env: &Env, topic: &str, partitions: u32) -> Result<Vec<usize>, String> {
    let mut found = Vec::new();
    for partition in 0..partitions {
        let path = format!("{}-partition-{partition}/stats", admin_path(topic));
        let answer = env.admin("GET", &path, None).await?;
        let stats: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
        found.push(stats["publishers"].as_array().map_or(0, Vec::len));
    }
    Ok(found)
}

/// Waits until it holds.
async fn until<F: Future<Output = Result<bool, String>>>(what: &str, check: impl Fn() -> F) -> Outcome {
    for _ in 0..150 {
        if check().await? {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Err(format!("{what} did not come about in 15 s"))
}

/// The next `n` messages, acknowledged.
async fn receive(consumer: &Consumer, n: usize) -> Result<Vec<Message>, String> {
    let mut messages = Vec::new();
    for _ in 0..n {
        let message = next(consumer).await?;
        consumer.acknowledge(&message).map_err(text)?;
        messages.push(message);
    }
    Ok(messages)
}

fn payload(message: &Message) -> String {
    String::from_utf8_lossy(message.payload()).into_owned()
}

async fn unbatched(client: &Client, topic: &str) -> Result<Producer, String> {
    client.producer(topic).batching(false).create().await.map_err(text)
}

async fn send_all(
    producer: &Producer,
    payloads: impl Iterator<Item = String>,
) -> Result<Vec<MessageId>, String> {
    let sends: Vec<_> = payloads.map(|payload| producer.send(payload)).collect();
    join_all(sends).await.into_iter().collect::<Result<_, _>>().map_err(text)
}

pub(crate) async fn r01_a_partitioned_topic_from_end_to_end(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    partition(&env, &topic, 3).await?;
    let consumer = from_earliest(&client, &topic, "s").await?;
    same("topics", consumer.topics(), vec![topic.clone()])?;
    let names: Vec<String> = (0..3).map(|i| format!("{topic}-partition-{i}")).collect();
    same("partitions", consumer.partitions(), names)?;
    let producer = client.producer(&topic).create().await.map_err(text)?;
    same("partitions", producer.partitions(), 3)?;
    let sends: Vec<_> = (0..300)
        .map(|i| producer.new_message().payload(i.to_string()).key((i % 17).to_string()).send())
        .collect();
    producer.flush().await.map_err(text)?;
    let ids: Vec<MessageId> = join_all(sends).await.into_iter().collect::<Result<_, _>>().map_err(text)?;
    let sent: BTreeSet<i32> = ids.iter().map(|id| id.partition).collect();
    same("partitions that were sent to", sent, (0..3).collect())?;
    let mut last = BTreeMap::new();
    for message in receive(&consumer, 300).await? {
        let number: usize = payload(&message).parse().map_err(text)?;
        same("id", message.id(), ids[number])?;
        same("topic", message.topic(), format!("{topic}-partition-{}", ids[number].partition).as_str())?;
        let before = last.insert(message.id().partition, number);
        holds("each partition is in order", before.is_none_or(|before| before < number))?;
    }
    silence(&consumer, Duration::from_millis(300)).await?;
    consumer.close().await.map_err(text)?;
    // What was acknowledged stays away.
    let consumer = from_earliest(&client, &topic, "s").await?;
    silence(&consumer, Duration::from_millis(500)).await?;
    producer.close().await.map_err(text)?;
    let error = producer.send("late").await.err().ok_or("a closed producer took a message")?;
    same("kind", error.kind(), ErrorKind::AlreadyClosed)?;
    consumer.unsubscribe().await.map_err(text)?;
    client.close().await.map_err(text)
}

pub(crate) async fn r01_one_partition_that_cannot_be_opened_fails_all(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    partition(&env, &topic, 3).await?;
    let third = format!("{topic}-partition-2");
    let taken = client.consumer(&third, "s").subscribe().await.map_err(text)?;
    let error = client.consumer(&topic, "s").subscribe().await.err().ok_or("it was let in")?;
    same("code", error.code(), "ConsumerBusy")?;
    let named = client.producer(&third).name("one").create().await.map_err(text)?;
    let error = client.producer(&topic).name("one").create().await.err().ok_or("it was let in")?;
    same("code", error.code(), "ProducerBusy")?;
    taken.close().await.map_err(text)?;
    named.close().await.map_err(text)?;
    // The others were let go of.
    client.consumer(&topic, "s").subscribe().await.map_err(text)?;
    client.producer(&topic).name("one").create().await.map_err(text)?;
    client.close().await.map_err(text)
}

pub(crate) async fn r01_partitions_that_come_later_are_used_and_nothing_is_lost(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    partition(&env, &topic, 2).await?;
    let consumer = client.consumer(&topic, "s").auto_update_partitions_interval(SOON);
    let consumer = consumer.subscribe().await.map_err(text)?;
    let producer = client.producer(&topic).batching(false).auto_update_partitions_interval(SOON);
    let producer = producer.create().await.map_err(text)?;
    let still = client.producer(&topic).auto_update_partitions(false).create().await.map_err(text)?;
    let mut sent = send_all(&producer, (0..20).map(|i| i.to_string())).await?;
    grow(&env, &topic, 5).await?;
    // Another client finds them at once, before the consumer does: its messages come all the same.
    let other = env.client()?;
    let early = unbatched(&other, &topic).await?;
    sent.extend(send_all(&early, (20..40).map(|i| i.to_string())).await?);
    let mut tries = 0;
    while sent.iter().map(|id| id.partition).max() < Some(4) || producer.partitions() < 5 {
        holds("it is found within 15 s", tries < 150)?;
        tries += 1;
        sent.extend(send_all(&producer, std::iter::once("x".to_owned())).await?);
        sleep(Duration::from_millis(100)).await;
    }
    sent.extend(send_all(&producer, (0..50).map(|i| i.to_string())).await?);
    let expected: BTreeSet<MessageId> = sent.into_iter().collect();
    let received = receive(&consumer, expected.len()).await?;
    same("messages", received.iter().map(Message::id).collect(), expected)?;
    same("partitions", consumer.partitions().len(), 5)?;
    same("switched off", still.partitions(), 2)?;
    silence(&consumer, Duration::from_millis(300)).await?;
    other.close().await.map_err(text)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c33_a_stream_survives_partition_growth(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    partition(&env, &topic, 1).await?;
    let consumer = client.consumer(&topic, "s").auto_update_partitions_interval(SOON);
    let consumer = consumer.subscribe().await.map_err(text)?;
    let producer = client.producer(&topic).batching(false).auto_update_partitions_interval(SOON);
    let producer = producer.create().await.map_err(text)?;
    let messages = consumer.messages();
    pin_mut!(messages);
    let (mut seen, mut grown) = (BTreeMap::<i32, u32>::new(), false);
    for i in 0..600 {
        let id = producer.send(i.to_string()).await.map_err(text)?;
        let message = within(Duration::from_secs(15), messages.next()).await.flatten();
        let message = message.ok_or("the stream ended or stood still")?.map_err(text)?;
        same("id", message.id(), id)?;
        consumer.acknowledge(&message).map_err(text)?;
        *seen.entry(id.partition).or_default() += 1;
        if i == 20 {
            grow(&env, &topic, 3).await?;
            grown = true;
        }
        if grown && seen.len() == 3 && seen.values().all(|n| *n >= 5) {
            return client.close().await.map_err(text);
        }
        sleep(Duration::from_millis(15)).await;
    }
    Err(format!("not all partitions were used: {seen:?}"))
}

pub(crate) async fn r02_messages_go_round_and_with_batching_stay_a_while(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    partition(&env, &topic, 4).await?;
    let producer = unbatched(&client, &topic).await?;
    let ids = send_all(&producer, (0..40).map(|i| i.to_string())).await?;
    for pair in ids.windows(2) {
        same("the partition after", pair[1].partition, (pair[0].partition + 1) % 4)?;
    }
    // Ten delays of 50 ms each: what is sent together stays together.
    let producer = client.producer(&topic).batching_max_publish_delay(Duration::from_millis(50));
    let producer = producer.create().await.map_err(text)?;
    let mut used = BTreeSet::new();
    for _ in 0..8 {
        let ids = send_all(&producer, (0..10).map(|i| i.to_string())).await?;
        let parts: BTreeSet<i32> = ids.iter().map(|id| id.partition).collect();
        holds("one partition, or two at the boundary", parts.len() <= 2)?;
        used.extend(parts);
        sleep(Duration::from_millis(300)).await;
    }
    holds(&format!("it moves on: {used:?}"), used.len() >= 3)?;
    client.close().await.map_err(text)
}

pub(crate) async fn r02_a_single_partition_or_a_router_s(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    partition(&env, &topic, 4).await?;
    let mode = MessageRoutingMode::SinglePartition;
    let single = client.producer(&topic).message_routing_mode(mode).batching(false);
    let single = single.create().await.map_err(text)?;
    let ids = send_all(&single, (0..20).map(|i| i.to_string())).await?;
    let used: BTreeSet<i32> = ids.iter().map(|id| id.partition).collect();
    same("partitions", used.len(), 1)?;
    let keyed = single.new_message().key("elsewhere").payload("x").send().await.map_err(text)?;
    let by_hash = HashingScheme::JavaStringHash.hash("elsewhere") % 4;
    same("a key supersedes", keyed.partition, by_hash as i32)?;
    let router = client.producer(&topic).message_router(|message, partitions| match message.property("to") {
        Some(to) => to.parse().unwrap_or(partitions),
        None => message.payload().len() as u32 % partitions,
    });
    let router = router.create().await.map_err(text)?;
    for (size, expected) in [(0, 0), (3, 3), (5, 1)] {
        let id = router.new_message().key("k").payload(vec![0; size]).send().await.map_err(text)?;
        same("partition", id.partition, expected)?;
    }
    let wrong = router.new_message().property("to", "9").send().await;
    let error = wrong.err().ok_or("there is no such partition")?;
    same("kind", error.kind(), ErrorKind::InvalidOption)?;
    let id = router.new_message().property("to", "2").send().await.map_err(text)?;
    same("partition", id.partition, 2)?;
    client.close().await.map_err(text)
}

pub(crate) async fn r02_a_router_that_panics_fails_its_message_alone(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    partition(&env, &topic, 2).await?;
    let consumer = from_earliest(&client, &topic, "s").await?;
    // What waits for room has been routed before.
    let router = client.producer(&topic).max_pending_messages(1).message_router(|message, partitions| {
        assert!(message.payload() != b"bad", "on purpose: {partitions} partitions");
        message.payload().len() as u32 % partitions
    });
    let router = router.create().await.map_err(text)?;
    let sends: Vec<_> = ["1", "bad", "22", "bad", "333"].map(|payload| router.send(payload)).into();
    let mut partitions = Vec::new();
    for sent in join_all(sends).await {
        partitions.push(sent.map(|id| id.partition).map_err(|error| (error.code(), error.to_string())));
    }
    let bad = Err(("InvalidOption", "the message_router panicked: on purpose: 2 partitions".to_owned()));
    same("ends", partitions, vec![Ok(1), bad.clone(), Ok(0), bad, Ok(1)])?;
    let refused = router.new_message().payload("bad").try_send().err().ok_or("it was sent")?;
    same("try_send", refused.kind(), ErrorKind::InvalidOption)?;
    same("stats", router.stats().total_msgs_sent, 3)?;
    let received: BTreeSet<Vec<u8>> =
        receive(&consumer, 3).await?.iter().map(|message| message.payload().to_vec()).collect();
    same("messages", received, ["1", "22", "333"].map(|payload| payload.as_bytes().to_vec()).into())?;
    // Nor does a function that says where to go stop its consumer.
    let panicked = consumer.seek_each(|_| panic!("on purpose")).await;
    same("seek_each", panicked.err().map(|error| error.kind()), Some(ErrorKind::InvalidOption))?;
    silence(&consumer, Duration::from_millis(300)).await?;
    consumer.seek_each(|_| Some(SeekTarget::Id(MessageId::EARLIEST))).await.map_err(text)?;
    receive(&consumer, 3).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn r03_a_key_s_partition_is_its_hash(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    partition(&env, &topic, 5).await?;
    for scheme in [HashingScheme::JavaStringHash, HashingScheme::Murmur3Hash32] {
        let producer = client.producer(&topic).hashing_scheme(scheme).create().await.map_err(text)?;
        for key in ["", "a", "key", "größer", "日本語", "🦀 crab", "a much longer key of many words"] {
            let id = producer.new_message().key(key).payload("x").send().await.map_err(text)?;
            same(key, id.partition, (scheme.hash(key) % 5) as i32)?;
        }
        // As Java: the hash of a key of bytes is that of its base64.
        let id = producer.new_message().key_bytes(b"\x01\x02\x03".to_vec()).send().await.map_err(text)?;
        same("bytes", id.partition, (scheme.hash("AQID") % 5) as i32)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn r03_ten_thousand_keys_have_java_s_hashes(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    partition(&env, &topic, 5).await?;
    let table: Vec<(String, u32, u32)> =
        serde_json::from_str(include_str!("../golden/keys.json")).map_err(text)?;
    same("keys", table.len(), 10_000)?;
    for (key, java, murmur) in &table {
        same(key, HashingScheme::JavaStringHash.hash(key), *java)?;
        same(key, HashingScheme::Murmur3Hash32.hash(key), *murmur)?;
    }
    let producer = client.producer(&topic).create().await.map_err(text)?;
    let rows: Vec<_> = table.iter().step_by(50).collect();
    let sends: Vec<_> =
        rows.iter().map(|row| producer.new_message().key(&row.0).payload("x").send()).collect();
    for ((key, java, _), id) in rows.iter().zip(join_all(sends).await) {
        same(key, id.map_err(text)?.partition, (java % 5) as i32)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn r04_names_and_ids_of_all_partitions(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    partition(&env, &topic, 3).await?;
    let consumer = from_earliest(&client, &topic, "s").await?;
    let producer = unbatched(&client, &topic).await?;
    holds("it has a name", !producer.name().is_empty())?;
    let ids = send_all(&producer, (0..6).map(|i| i.to_string())).await?;
    for message in receive(&consumer, 6).await? {
        same("the name in all partitions", message.producer_name(), producer.name())?;
    }
    let last = consumer.last_message_ids().await.map_err(text)?;
    same("topics", last.len(), 3)?;
    for (at, (name, id)) in last.iter().enumerate() {
        same("topic", name.as_str(), format!("{topic}-partition-{at}").as_str())?;
        let expected = ids.iter().filter(|id| id.partition == at as i32).max();
        same("last", Some((id.ledger_id, id.entry_id)), expected.map(|id| (id.ledger_id, id.entry_id)))?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn r04_statistics_are_of_all_partitions(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    partition(&env, &topic, 3).await?;
    let consumer = from_earliest(&client, &topic, "s").await?;
    let producer = unbatched(&client, &topic).await?;
    let ids = send_all(&producer, (0..30).map(|i| format!("{i:02}"))).await?;
    let partitions: BTreeSet<i32> = ids.iter().map(|id| id.partition).collect();
    same("partitions that were sent to", partitions.len(), 3)?;
    let sent = producer.stats();
    same("sent", (sent.total_msgs_sent, sent.total_bytes_sent, sent.total_acks_received), (30, 60, 30))?;
    holds("all are connected", producer.is_connected())?;
    receive(&consumer, 30).await?;
    let received = consumer.stats().map_err(text)?;
    same("received", (received.total_messages_received, received.total_bytes_received), (30, 60))?;
    client.close().await.map_err(text)
}

pub(crate) async fn m03_a_batch_holds_messages_of_several_topics(env: Env) -> Outcome {
    let client = env.client()?;
    let topics = ["a", "b"].map(|suffix| format!("{}-{suffix}", env.topic()));
    let policy = BatchReceivePolicy { max_num_messages: Some(20), max_num_bytes: None, timeout: None };
    let consumer = client.consumer_of_topics(topics.clone(), "s").batch_receive_policy(policy);
    let consumer = consumer.initial_position(InitialPosition::Earliest).subscribe().await.map_err(text)?;
    for topic in &topics {
        send_all(&unbatched(&client, topic).await?, (0..10).map(|i| i.to_string())).await?;
    }
    let batch =
        within(Duration::from_secs(15), consumer.batch_receive()).await.ok_or("no batch of twenty")?;
    let batch = batch.map_err(text)?;
    for topic in &topics {
        let of_topic: Vec<String> = batch.iter().filter(|m| m.topic() == topic).map(payload).collect();
        same(topic, of_topic, (0..10).map(|i| i.to_string()).collect())?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn p24_partitions_are_opened_when_they_are_sent_to(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    partition(&env, &topic, 4).await?;
    let consumer = from_earliest(&client, &topic, "s").await?;
    let lazy = client.producer(&topic).lazy_start_partitioned_producers(true).batching(false);
    let lazy = lazy.create().await.map_err(text)?;
    let open = publishers(&env, &topic, 4).await?;
    same(&format!("publishers {open:?}"), open.iter().sum::<usize>(), 1)?;
    // Sent while they are being opened, in order all the same, and before a flush.
    let key_of = |partition: u32| {
        let mut keys = (0..).map(|i: u32| i.to_string());
        keys.find(|key| HashingScheme::JavaStringHash.hash(key) % 4 == partition).unwrap_or_default()
    };
    let away = (0..4).find(|at| open[*at as usize] == 0).ok_or("all are open")?;
    let message = |i: u32| lazy.new_message().key(key_of(away)).payload(i.to_string()).send();
    let sends: Vec<_> = (0..20).map(message).collect();
    lazy.flush().await.map_err(text)?;
    for send in sends {
        same("partition", send.await.map_err(text)?.partition, away as i32)?;
    }
    let received: Vec<String> = receive(&consumer, 20).await?.iter().map(payload).collect();
    same("order", received, (0..20).map(|i| i.to_string()).collect())?;
    let open = publishers(&env, &topic, 4).await?;
    same(&format!("publishers {open:?}"), open.iter().sum::<usize>(), 2)?;
    // One that is closed while messages wait for a partition fails them.
    let eager = client.producer(&topic).create().await.map_err(text)?;
    same("all", publishers(&env, &topic, 4).await?.into_iter().filter(|n| *n > 0).count(), 4)?;
    eager.close().await.map_err(text)?;
    client.close().await.map_err(text)
}

/// Open on some partitions only, under one name. (Brokers are told that producers may be: see W01. What 4.0.8 makes of it
/// in `partitioned-stats` is the same for Java's producers and ours: it counts the most on any partition.)
pub(crate) async fn p26_a_partial_producer_is_open_on_some_partitions(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    partition(&env, &topic, 5).await?;
    let consumer = from_earliest(&client, &topic, "s").await?;
    let mut expected = Vec::new();
    for _ in 0..2 {
        let partial =
            client.producer(&topic).message_routing_mode(MessageRoutingMode::PartialRoundRobinPartition(2));
        let partial =
            partial.lazy_start_partitioned_producers(true).batching(false).create().await.map_err(text)?;
        // Keys change nothing.
        let sends = (0..12).map(|i| partial.new_message().key(i.to_string()).payload(i.to_string()).send());
        let mut used = BTreeMap::new();
        for send in sends.collect::<Vec<_>>() {
            *used.entry(send.await.map_err(text)?.partition).or_insert(0) += 1;
        }
        same("in turn over two", used.values().copied().collect::<Vec<i32>>(), vec![6, 6])?;
        expected.push((partial, used.into_keys().collect::<Vec<i32>>()));
    }
    let whole = client.producer(&topic).name(&env.unique).batching(false).create().await.map_err(text)?;
    whole.send("x").await.map_err(text)?;
    expected.push((whole, (0..5).collect()));
    receive(&consumer, 25).await?;
    for (producer, partitions) in &expected {
        let mut open = Vec::new();
        for at in 0..5 {
            let path = format!("{}-partition-{at}/stats", admin_path(&topic));
            let answer = env.admin("GET", &path, None).await?;
            let stats: serde_json::Value = serde_json::from_str(&answer.body).map_err(text)?;
            let all = stats["publishers"].as_array().cloned().unwrap_or_default();
            open.extend(all.iter().any(|one| one["producerName"] == producer.name()).then_some(at));
        }
        same(&format!("partitions of {}", producer.name()), &open, partitions)?;
    }
    client.close().await.map_err(text)
}

/// No message leaves before the producer is ready, and then all do, in order.
pub(crate) async fn p26_a_producer_that_waits_is_not_ready(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    let first =
        client.producer(&topic).access_mode(ProducerAccessMode::Exclusive).create().await.map_err(text)?;
    first.send("first").await.map_err(text)?;
    let waiting = client.producer(&topic).access_mode(ProducerAccessMode::WaitForExclusive).create();
    let mut waiting = Box::pin(waiting);
    holds("it waits", within(Duration::from_millis(700), &mut waiting).await.is_none())?;
    // The broker has accepted it, all the same.
    let consumer = from_earliest(&client, &topic, "s").await?;
    first.send("second").await.map_err(text)?;
    first.close().await.map_err(text)?;
    let second = within(Duration::from_secs(20), waiting).await.ok_or("it was never ready")?.map_err(text)?;
    second.send("third").await.map_err(text)?;
    let received: Vec<String> = receive(&consumer, 3).await?.iter().map(payload).collect();
    same("order", received, ["first", "second", "third"].map(str::to_owned).to_vec())?;
    client.close().await.map_err(text)
}

pub(crate) async fn c13_seek_in_one_partition_or_in_all(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    partition(&env, &topic, 3).await?;
    let consumer = from_earliest(&client, &topic, "s").await?;
    let producer = unbatched(&client, &topic).await?;
    let ids = send_all(&producer, (0..30).map(|i| i.to_string())).await?;
    receive(&consumer, 30).await?;
    // By id: its partition alone.
    let fifth = ids.iter().filter(|id| id.partition == 1).nth(4).copied().ok_or("too few")?;
    consumer.seek(fifth).await.map_err(text)?;
    let again: BTreeSet<MessageId> = receive(&consumer, 5).await?.iter().map(Message::id).collect();
    same("after", again, ids.iter().copied().filter(|id| id.partition == 1 && *id > fifth).collect())?;
    silence(&consumer, Duration::from_millis(300)).await?;
    // All of them, by place and by time.
    consumer.seek(MessageId::EARLIEST).await.map_err(text)?;
    let again: BTreeSet<MessageId> = receive(&consumer, 30).await?.iter().map(Message::id).collect();
    same("all", again, ids.iter().copied().collect())?;
    consumer.seek(MessageId::LATEST).await.map_err(text)?;
    silence(&consumer, Duration::from_millis(300)).await?;
    consumer.seek_by_publish_time(1).await.map_err(text)?;
    receive(&consumer, 30).await?;
    // Each to its own place.
    let second = format!("{topic}-partition-2");
    let place = |name: &str| (name == second).then_some(SeekTarget::Id(MessageId::EARLIEST));
    consumer.seek_each(place).await.map_err(text)?;
    let again = receive(&consumer, 10).await?;
    holds("of that partition", again.iter().all(|message| message.id().partition == 2))?;
    silence(&consumer, Duration::from_millis(300)).await?;
    let nowhere = MessageId { partition: -1, ..fifth };
    let error = consumer.seek(nowhere).await.err().ok_or("it names no partition")?;
    same("kind", error.kind(), ErrorKind::InvalidMessageId)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c16_redelivery_in_all_partitions(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    partition(&env, &topic, 3).await?;
    let consumer = client.consumer(&topic, "s").subscription_type(SubscriptionType::Shared);
    let consumer = consumer.negative_ack_redelivery_delay(Duration::from_secs(2));
    let consumer = consumer.initial_position(InitialPosition::Earliest).subscribe().await.map_err(text)?;
    let producer = unbatched(&client, &topic).await?;
    send_all(&producer, (0..9).map(|i| i.to_string())).await?;
    let mut open = Vec::new();
    for i in 0..9 {
        let message = next(&consumer).await?;
        match i % 3 {
            0 => consumer.acknowledge_id(message.id()).map_err(text)?,
            1 => consumer.negative_acknowledge(message.id()).map_err(text)?,
            _ => {}
        }
        if i % 3 > 0 {
            open.push(message.id());
        }
    }
    let expected: BTreeSet<_> =
        open.iter().enumerate().filter(|(i, _)| i % 2 == 0).map(|(_, id)| *id).collect();
    let again: BTreeSet<_> = receive(&consumer, 3).await?.iter().map(Message::id).collect();
    same("refused ones", again, expected)?;
    consumer.redeliver_unacknowledged().map_err(text)?;
    let expected: BTreeSet<_> =
        open.iter().enumerate().filter(|(i, _)| i % 2 == 1).map(|(_, id)| *id).collect();
    let again = receive(&consumer, 3).await?;
    same("open ones", again.iter().map(Message::id).collect(), expected)?;
    consumer.acknowledge_confirmed(&again.iter().map(Message::id).collect::<Vec<_>>()).await.map_err(text)?;
    silence(&consumer, Duration::from_millis(300)).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c17_last_message_ids_of_several_topics(env: Env) -> Outcome {
    let client = env.client()?;
    let (plain, divided) = (format!("{}-a", env.topic()), format!("{}-b", env.topic()));
    partition(&env, &divided, 2).await?;
    let consumer = client.consumer_of_topics([&plain, &divided], "s").subscribe().await.map_err(text)?;
    let last = consumer.last_message_ids().await.map_err(text)?;
    let names: Vec<&str> = last.iter().map(|(name, _)| name.as_str()).collect();
    let parts: Vec<String> = (0..2).map(|i| format!("{divided}-partition-{i}")).collect();
    same("topics", names, vec![plain.as_str(), &parts[0], &parts[1]])?;
    holds("there are none", last.iter().all(|(_, id)| id.entry_id == u64::MAX))?;
    let mut sent = BTreeMap::new();
    for (topic, payloads) in [(&plain, 3), (&parts[0], 1), (&parts[1], 2)] {
        let producer = unbatched(&client, topic).await?;
        let ids = send_all(&producer, (0..payloads).map(|i| i.to_string())).await?;
        sent.insert(topic.clone(), ids.last().map(|id| (id.ledger_id, id.entry_id)));
    }
    for (name, id) in consumer.last_message_ids().await.map_err(text)? {
        same(&name, Some((id.ledger_id, id.entry_id)), sent[&name])?;
    }
    let one = client.consumer(&plain, "t").subscribe().await.map_err(text)?;
    same("of one topic", one.last_message_ids().await.map_err(text)?.len(), 1)?;
    let error = consumer.last_message_id().await.err().ok_or("there is no single one")?;
    same("kind", error.kind(), ErrorKind::NotSupported)?;
    client.close().await.map_err(text)
}

pub(crate) async fn m01_topics_come_and_go_while_messages_flow(env: Env) -> Outcome {
    let client = env.client()?;
    let name = |suffix: &str| format!("{}-{suffix}", env.topic());
    partition(&env, &name("b"), 2).await?;
    let consumer = client.consumer_of_topics([name("a"), name("b")], "s");
    let consumer = consumer.initial_position(InitialPosition::Earliest).subscribe().await.map_err(text)?;
    same("topics", consumer.topics(), vec![name("a"), name("b")])?;
    let mut producers = BTreeMap::new();
    for suffix in ["a", "b", "c"] {
        producers.insert(suffix, unbatched(&client, &name(suffix)).await?);
    }
    let send =
        async |suffix: &str| send_all(&producers[suffix], (0..5).map(|i| format!("{suffix}{i}"))).await;
    let expect = async |suffixes: &[&str]| {
        let received = receive(&consumer, suffixes.len() * 5).await?;
        let found: BTreeSet<String> = received.iter().map(payload).collect();
        let all = suffixes.iter().flat_map(|s| (0..5).map(move |i| format!("{s}{i}"))).collect();
        same("payloads", found, all)
    };
    for suffix in ["a", "b", "c"] {
        send(suffix).await?;
    }
    expect(&["a", "b"]).await?;
    consumer.add_topic(&name("c")).await.map_err(text)?;
    expect(&["c"]).await?;
    let error = consumer.add_topic(&name("c")).await.err().ok_or("it has that one")?;
    same("kind", error.kind(), ErrorKind::InvalidOption)?;
    consumer.remove_topic(&name("b")).await.map_err(text)?;
    same("topics", consumer.topics(), vec![name("a"), name("c")])?;
    for suffix in ["a", "b", "c"] {
        send(suffix).await?;
    }
    expect(&["a", "c"]).await?;
    silence(&consumer, Duration::from_millis(300)).await?;
    // Its subscription has waited.
    consumer.add_topic(&name("b")).await.map_err(text)?;
    expect(&["b"]).await?;
    // One that cannot be opened harms none.
    let taken = client.consumer(name("d"), "s").subscribe().await.map_err(text)?;
    let error = consumer.add_topic(&name("d")).await.err().ok_or("it was let in")?;
    same("code", error.code(), "ConsumerBusy")?;
    same("topics", consumer.topics().len(), 3)?;
    send("a").await?;
    expect(&["a"]).await?;
    taken.close().await.map_err(text)?;
    consumer.add_topic(&name("d")).await.map_err(text)?;
    let error = consumer.remove_topic(&name("e")).await.err().ok_or("it does not have that one")?;
    same("kind", error.kind(), ErrorKind::InvalidTopicName)?;
    client.close().await.map_err(text)
}

/// A namespace of its own, so that no other topics match.
async fn namespace(env: &Env) -> Result<String, String> {
    // Brokers watch for patterns of up to 50 characters.
    let name = format!("public/m{}", HashingScheme::Murmur3Hash32.hash(&env.unique));
    env.administer("PUT", &format!("/admin/v2/namespaces/{name}"), Some("{}")).await?;
    Ok(name)
}

pub(crate) async fn m02_a_pattern_follows_topics_that_come_and_go(env: Env) -> Outcome {
    let client = env.client()?;
    let namespace = namespace(&env).await?;
    let name = |local: &str| format!("persistent://{namespace}/{local}");
    partition(&env, &name("order-eu"), 2).await?;
    let mut producers = BTreeMap::new();
    for local in ["order-eu", "order-us", "reorder-us"] {
        producers.insert(local, unbatched(&client, &name(local)).await?);
    }
    let consumer = client.consumer_of_pattern(format!("persistent://{namespace}/order-.*"), "s");
    let consumer =
        consumer.initial_position(InitialPosition::Earliest).pattern_auto_discovery_period(SOON * 2);
    let consumer = consumer.subscribe().await.map_err(text)?;
    same("topics", consumer.topics(), vec![name("order-eu"), name("order-us")])?;
    for producer in producers.values() {
        send_all(producer, (0..5).map(|i| i.to_string())).await?;
    }
    let found: BTreeSet<String> =
        receive(&consumer, 10).await?.iter().map(|m| m.topic().to_owned()).collect();
    let of = |local: &str| name(local);
    same("topics", found, [of("order-eu-partition-0"), of("order-eu-partition-1"), of("order-us")].into())?;
    silence(&consumer, Duration::from_millis(300)).await?;
    let late = unbatched(&client, &name("order-cn")).await?;
    send_all(&late, (0..5).map(|i| i.to_string())).await?;
    let received = receive(&consumer, 5).await?;
    holds("of the new topic", received.iter().all(|message| message.topic() == name("order-cn")))?;
    same("topics", consumer.topics().len(), 3)?;
    let error = consumer.add_topic(&name("x")).await.err().ok_or("a pattern's topics are found")?;
    same("kind", error.kind(), ErrorKind::NotSupported)?;
    late.close().await.map_err(text)?;
    let delete = format!("{}?force=true", admin_path(&name("order-cn")));
    env.administer("DELETE", &delete, None).await?;
    until("the deleted topic is let go of", async || Ok(consumer.topics().len() == 2)).await?;
    // The others go on.
    send_all(&producers["order-us"], (0..5).map(|i| i.to_string())).await?;
    receive(&consumer, 5).await?;
    client.close().await.map_err(text)
}

/// Not through the proxy, which says that it cannot watch: there the next look finds them.
pub(crate) async fn m02_the_broker_tells_of_new_topics_long_before_the_next_look(env: Env) -> Outcome {
    let client = env.client()?;
    let namespace = namespace(&env).await?;
    let pattern = format!("{namespace}/t-[0-9]+");
    let consumer = client.consumer_of_pattern(pattern, "s").initial_position(InitialPosition::Earliest);
    let consumer = consumer.subscribe().await.map_err(text)?;
    same("topics", consumer.topics(), Vec::<String>::new())?;
    for number in 0..3 {
        let producer = unbatched(&client, &format!("{namespace}/t-{number}")).await?;
        unbatched(&client, &format!("{namespace}/t-{number}x")).await?;
        let id = producer.send("x").await.map_err(text)?;
        same("id", next(&consumer).await?.id(), id)?;
    }
    same("topics", consumer.topics().len(), 3)?;
    client.close().await.map_err(text)
}

pub(crate) async fn m02_persistent_topics_others_or_both(env: Env) -> Outcome {
    let client = env.client()?;
    let namespace = namespace(&env).await?;
    let subscribe = async |mode: RegexSubscriptionMode, subscription: &str| {
        let consumer = client.consumer_of_pattern(format!("{namespace}/.*"), subscription);
        consumer
            .regex_subscription_mode(mode)
            .pattern_auto_discovery_period(SOON)
            .subscribe()
            .await
            .map_err(text)
    };
    let names = ["persistent", "non-persistent"].map(|domain| format!("{domain}://{namespace}/x"));
    let first = unbatched(&client, &names[0]).await?;
    let second = unbatched(&client, &names[1]).await?;
    let persistent = subscribe(RegexSubscriptionMode::PersistentOnly, "a").await?;
    let others = subscribe(RegexSubscriptionMode::NonPersistentOnly, "b").await?;
    let both = subscribe(RegexSubscriptionMode::AllTopics, "c").await?;
    same("persistent", persistent.topics(), vec![names[0].clone()])?;
    until("the other", async || Ok(others.topics() == [names[1].clone()])).await?;
    until("both", async || Ok(both.topics().len() == 2 && both.partitions().len() == 2)).await?;
    first.send("one").await.map_err(text)?;
    same("payload", payload(&next(&persistent).await?).as_str(), "one")?;
    same("payload", payload(&next(&both).await?).as_str(), "one")?;
    second.send("two").await.map_err(text)?;
    same("payload", payload(&next(&others).await?).as_str(), "two")?;
    same("payload", payload(&next(&both).await?).as_str(), "two")?;
    // Those are not watched: the next look finds new ones.
    let third = unbatched(&client, &format!("non-persistent://{namespace}/y")).await?;
    until("it is found", async || Ok(others.topics().len() == 2)).await?;
    until("it is open", async || {
        third.send("three").await.map_err(text)?;
        let message = within(Duration::from_millis(200), others.receive()).await;
        Ok(message.is_some_and(|message| message.is_ok_and(|message| payload(&message) == "three")))
    })
    .await?;
    silence(&persistent, Duration::from_millis(200)).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn m03_acknowledged_and_sought_topic_by_topic(env: Env) -> Outcome {
    let client = env.client()?;
    let names = ["a", "b"].map(|suffix| format!("{}-{suffix}", env.topic()));
    let subscribe = || {
        let consumer = client.consumer_of_topics(names.clone(), "s");
        consumer.initial_position(InitialPosition::Earliest).subscribe()
    };
    let consumer = subscribe().await.map_err(text)?;
    let mut ids = Vec::new();
    for name in &names {
        ids.push(send_all(&unbatched(&client, name).await?, (0..4).map(|i| i.to_string())).await?);
    }
    for _ in 0..8 {
        next(&consumer).await?;
    }
    let error = consumer.acknowledge_id(ids[0][0]).err().ok_or("which topic?")?;
    same("kind", error.kind(), ErrorKind::InvalidMessageId)?;
    consumer.acknowledge_topic_id(&names[0], ids[0][2]).map_err(text)?;
    consumer.acknowledge_cumulative_topic_id(&names[1], ids[1][1]).map_err(text)?;
    let error = consumer.acknowledge_topic_id("other", ids[0][0]).err().ok_or("a foreign topic")?;
    same("kind", error.kind(), ErrorKind::InvalidTopicName)?;
    consumer.close().await.map_err(text)?;
    let consumer = subscribe().await.map_err(text)?;
    let mut again = BTreeSet::new();
    let mut messages = Vec::new();
    for _ in 0..5 {
        let message = next(&consumer).await?;
        again.insert((message.topic().to_owned(), message.id()));
        messages.push(message);
    }
    let of = |topic: usize, at: usize| (names[topic].clone(), ids[topic][at]);
    same("left", again, [of(0, 0), of(0, 1), of(0, 3), of(1, 2), of(1, 3)].into())?;
    silence(&consumer, Duration::from_millis(300)).await?;
    consumer.acknowledge_messages_confirmed(&messages).await.map_err(text)?;
    consumer.seek_topic(&names[1], SeekTarget::Id(ids[1][0])).await.map_err(text)?;
    let again = receive(&consumer, 3).await?;
    holds("of that topic", again.iter().all(|message| message.topic() == names[1]))?;
    let error = consumer.seek(ids[1][0]).await.err().ok_or("which topic?")?;
    same("kind", error.kind(), ErrorKind::InvalidMessageId)?;
    silence(&consumer, Duration::from_millis(300)).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn m03_a_backlog_of_one_topic_does_not_keep_others_waiting(env: Env) -> Outcome {
    let client = env.client()?;
    let names = ["a", "b", "c"].map(|suffix| format!("{}-{suffix}", env.topic()));
    // Batches of 1,000 in the first, which would fill any queue.
    for (name, count) in names.iter().zip([3000, 30, 30]) {
        let producer = client.producer(name).create().await.map_err(text)?;
        send_all(&producer, (0..count).map(|i| i.to_string())).await?;
    }
    let consumer = client.consumer_of_topics(names.clone(), "s");
    let consumer = consumer.initial_position(InitialPosition::Earliest).subscribe().await.map_err(text)?;
    // All have something to offer before it begins.
    sleep(Duration::from_secs(2)).await;
    let mut counts = BTreeMap::<String, usize>::new();
    for _ in 0..90 {
        let message = next(&consumer).await?;
        let count = counts.entry(message.topic().to_owned()).or_default();
        same("order within a topic", payload(&message), count.to_string())?;
        *count += 1;
        consumer.acknowledge(&message).map_err(text)?;
    }
    same("shares of the first 90", counts, names.iter().map(|name| (name.clone(), 30)).collect())?;
    receive(&consumer, 2970).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn v02_partitions_and_several_topics_are_read(env: Env) -> Outcome {
    let client = env.client()?;
    let (plain, divided) = (format!("{}-a", env.topic()), format!("{}-b", env.topic()));
    partition(&env, &divided, 3).await?;
    let mut sent = BTreeSet::new();
    for (topic, count) in [(&plain, 10), (&divided, 30)] {
        let producer = unbatched(&client, topic).await?;
        let ids = send_all(&producer, (0..count).map(|i| i.to_string())).await?;
        sent.extend(ids.into_iter().map(|id| (topic.clone(), id)));
    }
    for (topics, count) in [(vec![&divided], 30), (vec![&plain, &divided], 40)] {
        let reader = match topics[..] {
            [topic] => client.reader(topic),
            _ => client.reader_of_topics(topics.iter().copied()),
        };
        let reader = reader.start_message_id(MessageId::EARLIEST).create().await.map_err(text)?;
        let mut found = BTreeSet::new();
        while reader.has_message_available().await.map_err(text)? {
            let message = reader.read_next().await.map_err(text)?;
            let topic = message.topic().split("-partition-").next().unwrap_or("");
            found.insert((topic.to_owned(), message.id()));
        }
        let expected = sent.iter().filter(|(topic, _)| topics.contains(&topic)).cloned().collect();
        same("messages", found, expected)?;
        reader.seek(MessageId::EARLIEST).await.map_err(text)?;
        for _ in 0..count {
            let read = within(Duration::from_secs(15), reader.read_next()).await;
            read.ok_or("no message came for 15 s")?.map_err(text)?;
        }
        holds("all is read", !reader.has_message_available().await.map_err(text)?)?;
    }
    let middle = MessageId { ledger_id: 1, entry_id: 1, ..MessageId::EARLIEST };
    let wrong = client.reader(&divided).start_message_id(middle).create().await;
    same("kind", wrong.err().map(|e| e.kind()), Some(ErrorKind::InvalidOption))?;
    client.close().await.map_err(text)
}
