//! Readers, and what a subscription may ask for.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use pulsewire::SubscriptionType::{Exclusive, Failover, KeyShared, Shared};
use pulsewire::{Client, ErrorKind, InitialPosition, KeySharedPolicy, MessageId, Reader, SubscriptionMode};

use crate::env::{Env, Outcome, from_earliest, holds, next, same, silence, sleep, text, within};

const SOON: Duration = Duration::from_secs(15);
const QUIET: Duration = Duration::from_millis(300);

/// Publishes these numbers as text, one by one or as one batch.
async fn publish(
    client: &Client,
    topic: &str,
    range: std::ops::Range<usize>,
    batched: bool,
) -> Result<Vec<MessageId>, String> {
    let producer = client.producer(topic).batching(batched);
    let producer = producer.batching_max_publish_delay(QUIET).create().await.map_err(text)?;
    let sends: Vec<_> = range.map(|i| producer.send(i.to_string())).collect();
    producer.flush().await.map_err(text)?;
    let ids = join_all(sends).await.into_iter().collect::<Result<_, _>>().map_err(text)?;
    producer.close().await.map_err(text)?;
    Ok(ids)
}

/// Without a durable subscription, brokers delete what was stored before a topic was unloaded.
pub(crate) async fn hold(client: &Client, topic: &str) -> Outcome {
    from_earliest(client, topic, "holds").await?.close().await.map_err(text)
}

async fn reader(env: &Env, client: &Client, start: MessageId, inclusive: bool) -> Result<Reader, String> {
    let reader = client.reader(env.topic()).start_message_id(start).start_message_id_inclusive(inclusive);
    reader.create().await.map_err(text)
}

async fn read(reader: &Reader) -> Result<String, String> {
    let message = reader.read_next_timeout(SOON).await.map_err(text)?;
    let message = message.ok_or_else(|| "no message came for 15 s".to_owned())?;
    Ok(String::from_utf8_lossy(message.payload()).into_owned())
}

/// Reads as long as there is something, which must be these numbers.
async fn reads(reader: &Reader, range: std::ops::Range<usize>) -> Outcome {
    let mut found = Vec::new();
    while reader.has_message_available().await.map_err(text)? {
        found.push(read(reader).await?);
        if found.len() > range.len() {
            break;
        }
    }
    same("messages", found, range.map(|i| i.to_string()).collect())
}

pub(crate) async fn v01_starts_where_told_and_says_when_all_is_read(env: Env) -> Outcome {
    let client = env.client()?;
    // An empty topic has nothing, wherever it starts.
    for start in [MessageId::EARLIEST, MessageId::LATEST] {
        for inclusive in [false, true] {
            let reader = reader(&env, &client, start, inclusive).await?;
            holds("empty", !reader.has_message_available().await.map_err(text)?)?;
            reader.close().await.map_err(text)?;
        }
    }
    let ids = publish(&client, &env.topic(), 0..6, false).await?;
    for (start, inclusive, first) in [
        (MessageId::EARLIEST, false, 0),
        (MessageId::LATEST, false, 6),
        (MessageId::LATEST, true, 5),
        (ids[2], false, 3),
        (ids[2], true, 2),
        (ids[5], false, 6),
        (ids[5], true, 5),
    ] {
        let reader = reader(&env, &client, start, inclusive).await?;
        reads(&reader, first..6).await.map_err(|e| format!("from {start}, inclusive {inclusive}: {e}"))?;
        same("nothing comes", reader.read_next_timeout(QUIET).await.map_err(text)?.is_none(), true)?;
        same("last", reader.last_message_id().await.map_err(text)?.entry_id, ids[5].entry_id)?;
        reader.close().await.map_err(text)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn v01_starts_within_a_batch(env: Env) -> Outcome {
    let client = env.client()?;
    let ids = publish(&client, &env.topic(), 0..10, true).await?;
    holds("one batch", ids.iter().all(|id| id.entry_id == ids[0].entry_id))?;
    for (at, inclusive, first) in [(3, false, 4), (3, true, 3), (9, false, 10), (9, true, 9), (0, true, 0)] {
        let reader = reader(&env, &client, ids[at], inclusive).await?;
        reads(&reader, first..10).await.map_err(|e| format!("from {at}, inclusive {inclusive}: {e}"))?;
        reader.close().await.map_err(text)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn v01_rollback_begins_back_in_time(env: Env) -> Outcome {
    let client = env.client()?;
    publish(&client, &env.topic(), 0..2, false).await?;
    sleep(Duration::from_millis(3500)).await;
    publish(&client, &env.topic(), 2..4, false).await?;
    for (seconds, first) in [(2, 2), (3600, 0)] {
        let reader = client.reader(env.topic()).start_message_rollback(Duration::from_secs(seconds));
        let reader = reader.create().await.map_err(text)?;
        reads(&reader, first..4).await.map_err(|e| format!("{seconds} s: {e}"))?;
        reader.close().await.map_err(text)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn v01_seek_by_id_and_time(env: Env) -> Outcome {
    let client = env.client()?;
    hold(&client, &env.topic()).await?;
    let ids = publish(&client, &env.topic(), 0..4, false).await?;
    sleep(Duration::from_millis(50)).await;
    publish(&client, &env.topic(), 4..8, false).await?;
    let reader = reader(&env, &client, MessageId::EARLIEST, false).await?;
    let mut times = Vec::new();
    while reader.has_message_available().await.map_err(text)? {
        times.push(reader.read_next().await.map_err(text)?.publish_time());
    }
    same("read", times.len(), 8)?;
    reader.seek(ids[1]).await.map_err(text)?;
    reads(&reader, 2..8).await?;
    reader.seek_by_publish_time(times[4]).await.map_err(text)?;
    reads(&reader, 4..8).await?;
    // Also when the link is lost before a message of it was read.
    reader.seek_by_publish_time(times[4]).await.map_err(text)?;
    env.administer("PUT", &format!("{}/unload", admin_path(&env.topic())), None).await?;
    reads(&reader, 4..8).await.map_err(|e| format!("after an unload: {e}"))?;
    reader.seek_by_publish_time(times[7] + 60_000).await.map_err(text)?;
    reads(&reader, 8..8).await?;
    reader.seek(MessageId::EARLIEST).await.map_err(text)?;
    reads(&reader, 0..8).await?;
    reader.seek(MessageId::LATEST).await.map_err(text)?;
    reads(&reader, 8..8).await?;
    publish(&client, &env.topic(), 8..10, false).await?;
    reads(&reader, 8..10).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn v01_goes_on_within_a_batch_after_its_link_is_lost(env: Env) -> Outcome {
    let client = env.client()?;
    hold(&client, &env.topic()).await?;
    publish(&client, &env.topic(), 0..20, true).await?;
    publish(&client, &env.topic(), 20..40, true).await?;
    let reader = reader(&env, &client, MessageId::EARLIEST, false).await?;
    for i in 0..40 {
        if i % 7 == 3 {
            env.administer("PUT", &format!("{}/unload", admin_path(&env.topic())), None).await?;
        }
        same("message", read(&reader).await?, i.to_string())?;
    }
    holds("all is read", !reader.has_message_available().await.map_err(text)?)?;
    client.close().await.map_err(text)
}

/// `/admin/v2/persistent/...` of a topic.
pub(crate) fn admin_path(topic: &str) -> String {
    format!("/admin/v2/{}", topic.replace("://", "/"))
}

async fn stats(env: &Env) -> Result<serde_json::Value, String> {
    let answer = env.admin("GET", &format!("{}/stats", admin_path(&env.topic())), None).await?;
    serde_json::from_str(&answer.body).map_err(|e| format!("{e}: {}", answer.body))
}

pub(crate) async fn v01_its_names_are_the_broker_s(env: Env) -> Outcome {
    let client = env.client()?;
    publish(&client, &env.topic(), 0..1, false).await?;
    let from = || client.reader(env.topic()).start_message_id(MessageId::EARLIEST);
    let one = from().name("who").subscription_role_prefix("role").create().await.map_err(text)?;
    let two = from().subscription("mine").create().await.map_err(text)?;
    let subscriptions = stats(&env).await?["subscriptions"].clone();
    let names: Vec<_> = subscriptions.as_object().ok_or("no subscriptions")?.keys().cloned().collect();
    same("subscriptions", names.len(), 2)?;
    let made_up = names.iter().find(|name| name.starts_with("role-reader-")).ok_or(format!("{names:?}"))?;
    same("reader", subscriptions[made_up]["consumers"][0]["consumerName"].as_str(), Some("who"))?;
    same("durable", subscriptions["mine"]["durable"].as_bool(), Some(false))?;
    let taken = from().subscription("mine").create().await;
    same("exclusive", taken.err().map(|e| e.code()), Some("ConsumerBusy"))?;
    reads(&two, 0..1).await?;
    for reader in [one, two] {
        reader.close().await.map_err(text)?;
    }
    let mut left = None;
    for _ in 0..50 {
        left = stats(&env).await?["subscriptions"].as_object().map(serde_json::Map::len);
        if left == Some(0) {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    same("subscriptions after", left, Some(0))?;
    client.close().await.map_err(text)
}

pub(crate) async fn v01_bad_options_are_refused_and_a_deleted_topic_is_survived(env: Env) -> Outcome {
    let client = env.client()?;
    let nowhere = client.reader(env.topic()).create().await.err().map(|e| e.kind());
    same("no start", nowhere, Some(ErrorKind::InvalidOption))?;
    let both = client.reader(env.topic()).start_message_id(MessageId::EARLIEST);
    let both = both.start_message_rollback(Duration::from_secs(9)).create().await.err().map(|e| e.kind());
    same("two starts", both, Some(ErrorKind::InvalidOption))?;
    publish(&client, &env.topic(), 0..3, false).await?;
    let reader = reader(&env, &client, MessageId::EARLIEST, false).await?;
    reads(&reader, 0..3).await?;
    env.administer("DELETE", &format!("{}?force=true", admin_path(&env.topic())), None).await?;
    // Topics are created by who uses them here: it goes on with the new one.
    publish(&client, &env.topic(), 3..5, false).await?;
    reads(&reader, 3..5).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c17_has_message_available_of_consumers(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    holds("empty", !consumer.has_message_available().await.map_err(text)?)?;
    let ids = publish(&client, &env.topic(), 0..3, true).await?;
    for i in 0..3 {
        holds("available", consumer.has_message_available().await.map_err(text)?)?;
        let message = next(&consumer).await?;
        same("payload", message.payload(), i.to_string().as_bytes())?;
        if i < 2 {
            consumer.acknowledge(&message).map_err(text)?;
        }
    }
    holds("all is received", !consumer.has_message_available().await.map_err(text)?)?;
    same("last", consumer.last_message_id().await.map_err(text)?.to_string(), ids[2].to_string())?;
    consumer.seek(ids[1]).await.map_err(text)?;
    holds("after a seek", consumer.has_message_available().await.map_err(text)?)?;
    consumer.seek(ids[2]).await.map_err(text)?;
    holds("after the last", !consumer.has_message_available().await.map_err(text)?)?;
    consumer.seek(MessageId::LATEST).await.map_err(text)?;
    holds("at the end", !consumer.has_message_available().await.map_err(text)?)?;
    consumer.seek_by_publish_time(1).await.map_err(text)?;
    holds("at a time", consumer.has_message_available().await.map_err(text)?)?;
    consumer.close().await.map_err(text)?;
    // Who comes back stands where the acknowledgements end.
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    holds("what is open", consumer.has_message_available().await.map_err(text)?)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c19_subscription_properties_and_replicated_state(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = client.consumer(env.topic(), "s").subscription_property("owner", "me");
    let consumer = consumer.subscription_property("rack", "7").replicate_subscription_state(true);
    let consumer = consumer.subscribe().await.map_err(text)?;
    let plain = client.consumer(env.topic(), "plain").subscribe().await.map_err(text)?;
    let subscriptions = stats(&env).await?["subscriptions"].clone();
    let properties = serde_json::json!({ "owner": "me", "rack": "7" });
    same("properties", &subscriptions["s"]["subscriptionProperties"], &properties)?;
    same("replicated", subscriptions["s"]["replicated"].as_bool(), Some(true))?;
    same("not replicated", subscriptions["plain"]["replicated"].as_bool().unwrap_or(false), false)?;
    let refused = client.consumer(env.topic(), "n").subscription_mode(SubscriptionMode::NonDurable);
    let refused = refused.replicate_subscription_state(true).subscribe().await.err().map(|e| e.kind());
    same("non-durable", refused, Some(ErrorKind::InvalidOption))?;
    consumer.close().await.map_err(text)?;
    plain.close().await.map_err(text)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c20_sticky_ranges_get_their_keys(env: Env) -> Outcome {
    let client = env.client()?;
    let subscribe = |policy: KeySharedPolicy| {
        let consumer = client.consumer(env.topic(), "s").subscription_type(KeyShared);
        consumer.initial_position(InitialPosition::Earliest).key_shared_policy(policy).subscribe()
    };
    let low = subscribe(KeySharedPolicy::sticky([0..=0x3fff, 0x8000..=0xbfff])).await.map_err(text)?;
    let high = subscribe(KeySharedPolicy::sticky([0x4000..=0x7fff, 0xc000..=0xffff])).await.map_err(text)?;
    // A range that is taken is refused by the broker.
    let taken = subscribe(KeySharedPolicy::sticky([0..=7])).await.err().map(|e| e.code());
    same("taken", taken, Some("ConsumerAssignError"))?;
    let overlap = subscribe(KeySharedPolicy::sticky([0..=7, 7..=9])).await.err().map(|e| e.kind());
    same("overlap", overlap, Some(ErrorKind::InvalidOption))?;
    let producer = client.producer(env.topic()).batching(false).create().await.map_err(text)?;
    for i in 0..64_u32 {
        producer.new_message().key(format!("key-{i}")).payload(i.to_string()).send().await.map_err(text)?;
    }
    let mut seen = BTreeSet::new();
    let of_low = |key: &str| murmur(key.as_bytes()) % 0x8000 < 0x4000;
    let for_low = (0..64).filter(|i| of_low(&format!("key-{i}"))).count();
    for (consumer, due) in [(&low, for_low), (&high, 64)] {
        while seen.len() < due {
            let message = next(consumer).await?;
            let key = message.key().ok_or("no key")?.to_owned();
            same(&format!("the consumer of {key}"), due == for_low, of_low(&key))?;
            seen.insert(key);
            consumer.acknowledge(&message).map_err(text)?;
        }
    }
    same("messages", seen.len(), 64)?;
    client.close().await.map_err(text)
}

/// Murmur3, 32 bits, seed 0, without the sign: how brokers hash keys.
fn murmur(data: &[u8]) -> u32 {
    let mix = |k: u32| k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let mut h = 0_u32;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let k = chunk.iter().rev().fold(0, |k, byte| k << 8 | u32::from(*byte));
        h = (h ^ mix(k)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    h ^= mix(chunks.remainder().iter().rev().fold(0, |k, byte| k << 8 | u32::from(*byte)));
    h ^= data.len() as u32;
    h = (h ^ h >> 16).wrapping_mul(0x85eb_ca6b);
    h = (h ^ h >> 13).wrapping_mul(0xc2b2_ae35);
    (h ^ h >> 16) & 0x7fff_ffff
}

pub(crate) async fn c20_auto_split_and_out_of_order(env: Env) -> Outcome {
    let client = env.client()?;
    let producer = client.producer(env.topic()).batching(false).create().await.map_err(text)?;
    // With order, who comes later waits for what was delivered before; without, it does not.
    for (allowed, name) in [(false, "ordered"), (true, "free")] {
        let policy = KeySharedPolicy::auto_split().allow_out_of_order_delivery(allowed);
        let subscribe = || {
            let consumer = client.consumer(env.topic(), name).subscription_type(KeyShared);
            consumer.key_shared_policy(policy.clone()).subscribe()
        };
        let first = subscribe().await.map_err(text)?;
        for i in 0..32_u32 {
            producer
                .new_message()
                .key(format!("key-{i}"))
                .payload(i.to_string())
                .send()
                .await
                .map_err(text)?;
        }
        for _ in 0..32 {
            next(&first).await?;
        }
        let second = subscribe().await.map_err(text)?;
        for i in 0..32_u32 {
            producer
                .new_message()
                .key(format!("key-{i}"))
                .payload(i.to_string())
                .send()
                .await
                .map_err(text)?;
        }
        let came = within(QUIET * 5, second.receive()).await;
        same(&format!("{name}: something comes to the second"), came.is_some(), allowed)?;
        first.close().await.map_err(text)?;
        second.close().await.map_err(text)?;
    }
    client.close().await.map_err(text)
}

/// Publishes values of keys; none is a tombstone.
pub(crate) async fn set(client: &Client, topic: &str, values: &[(&str, Option<&str>)]) -> Outcome {
    let producer = client.producer(topic).batching(false).create().await.map_err(text)?;
    for (key, value) in values {
        let message = producer.new_message().key(*key);
        let message = match value {
            Some(value) => message.payload((*value).to_owned()),
            None => message,
        };
        message.send().await.map_err(text)?;
    }
    producer.close().await.map_err(text)
}

/// Compacts a topic, and waits until it is.
pub(crate) async fn compact(env: &Env, topic: &str) -> Outcome {
    let path = format!("{}/compaction", admin_path(topic));
    env.administer("PUT", &path, None).await?;
    for _ in 0..100 {
        let answer = env.admin("GET", &path, None).await?;
        if answer.body.contains("SUCCESS") {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Err("the topic is not compacted after 10 s".to_owned())
}

pub(crate) async fn c22_compacted_topics_give_the_last_of_each_key(env: Env) -> Outcome {
    let client = env.client()?;
    let values = [("a", Some("1")), ("b", Some("2")), ("c", Some("4")), ("c", None), ("a", Some("3"))];
    set(&client, &env.topic(), &values).await?;
    for kind in [Exclusive, Failover] {
        let early = client.consumer(env.topic(), format!("{kind:?}")).subscription_type(kind);
        early.initial_position(InitialPosition::Earliest).subscribe().await.map_err(text)?;
    }
    compact(&env, &env.topic()).await?;
    set(&client, &env.topic(), &[("b", Some("5"))]).await?;
    for kind in [Exclusive, Failover] {
        let consumer = client.consumer(env.topic(), format!("{kind:?}")).subscription_type(kind);
        let consumer = consumer.read_compacted(true).subscribe().await.map_err(text)?;
        let mut found = Vec::new();
        for _ in 0..3 {
            found.push(String::from_utf8_lossy(next(&consumer).await?.payload()).into_owned());
        }
        same(
            "the last of each key, and what came after",
            found,
            ["2", "3", "5"].map(str::to_owned).to_vec(),
        )?;
        silence(&consumer, QUIET).await?;
    }
    let reader = client.reader(env.topic()).start_message_id(MessageId::EARLIEST).read_compacted(true);
    let reader = reader.create().await.map_err(text)?;
    let mut found = Vec::new();
    while reader.has_message_available().await.map_err(text)? {
        found.push(read(&reader).await?);
    }
    same("read", found, ["2", "3", "5"].map(str::to_owned).to_vec())?;
    for (topic, kind) in
        [(env.topic(), Shared), (env.topic().replace("persistent", "non-persistent"), Exclusive)]
    {
        let refused =
            client.consumer(topic, "s").subscription_type(kind).read_compacted(true).subscribe().await;
        same("refused", refused.err().map(|e| e.kind()), Some(ErrorKind::InvalidOption))?;
    }
    client.close().await.map_err(text)
}
