//! What goes into a message and an entry: codecs, chunks, batches by key, delivery times, replication.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{join, join_all};
use pulsewire::{
    BatcherBuilder, CompressionType, Consumer, ErrorKind, InitialPosition, MessageId, Producer,
    SubscriptionType,
};

use crate::env::{Env, Outcome, from_earliest, holds, next, same, silence, sleep, text};
use crate::reading::admin_path;

const CODECS: [CompressionType; 5] = [
    CompressionType::NONE,
    CompressionType::LZ4,
    CompressionType::ZLIB,
    CompressionType::ZSTD,
    CompressionType::SNAPPY,
];

/// Bytes that no codec makes smaller.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}

pub(crate) async fn p03_each_codec_makes_messages_smaller(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    // Without its codec the broker would not take it.
    let large = "pulsewire ".repeat(env.endpoint.max_message_size / 10 + 100_000).into_bytes();
    for codec in &CODECS[1..] {
        let producer = client.producer(env.topic()).compression_type(*codec).create().await.map_err(text)?;
        let message = producer.new_message().payload(large.clone()).key("k").property("a", "1");
        let sent = message.send().await.map_err(|e| format!("{codec:?}: {e}"))?;
        let message = next(&consumer).await?;
        same("id", message.id(), sent)?;
        holds(&format!("{codec:?} comes whole"), message.payload() == large)?;
        same("key", message.key(), Some("k"))?;
        consumer.acknowledge(&message).map_err(text)?;
        // What does not get smaller goes as well, and so does nothing at all.
        for payload in [noise(3, 10_000), Vec::new()] {
            producer.send(payload.clone()).await.map_err(|e| format!("{codec:?}: {e}"))?;
            holds("it comes", next(&consumer).await?.payload() == payload)?;
        }
        producer.close().await.map_err(text)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn p03_each_codec_packs_whole_batches(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    for codec in CODECS {
        let producer = client.producer(env.topic()).compression_type(codec);
        let producer = producer.batching_max_publish_delay(Duration::from_millis(200));
        let producer = producer.create().await.map_err(text)?;
        let sends: Vec<_> = (0..200)
            .map(|i| producer.new_message().payload(format!("message {i}")).key(format!("k{i}")).send())
            .collect();
        for (i, sent) in join_all(sends).await.into_iter().enumerate() {
            let id = sent.map_err(|e| format!("{codec:?}: {e}"))?;
            same("place", (id.batch_index, id.batch_size), (i as i32, 200))?;
            let message = next(&consumer).await?;
            same("id", message.id(), id)?;
            same("payload", message.payload(), format!("message {i}").as_bytes())?;
            same("key", message.key(), Some(format!("k{i}").as_str()))?;
        }
        producer.close().await.map_err(text)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn p03_what_stays_too_large_fails_alone(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let too_large = noise(1, env.endpoint.max_message_size + 1);
    for codec in CODECS {
        let producer = client.producer(env.topic()).compression_type(codec).create().await.map_err(text)?;
        let before = producer.send("before");
        let refused = producer.send(too_large.clone()).await;
        let after = producer.send("after");
        let error = refused.err().ok_or("a message that is too large was sent")?;
        same("kind", error.kind(), ErrorKind::MessageTooLarge)?;
        before.await.map_err(text)?;
        after.await.map_err(text)?;
        for expected in ["before", "after"] {
            same("payload", next(&consumer).await?.payload(), expected.as_bytes())?;
        }
        producer.close().await.map_err(text)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn p04_batches_by_key(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).batcher_builder(BatcherBuilder::KeyBased);
    let producer = producer.batching_max_publish_delay(Duration::from_secs(20)).batching_max_messages(90);
    let producer = producer.create().await.map_err(text)?;
    let sends: Vec<_> = (0..100)
        .map(|i| {
            let message = producer.new_message().payload(i.to_string());
            match i % 4 {
                0 => message.key("a"),
                1 => message.key("b"),
                2 => message.key("b").ordering_key(b"o".to_vec()),
                _ => message,
            }
            .send()
        })
        .collect();
    producer.flush().await.map_err(text)?;
    let mut ids = BTreeMap::new();
    for (i, sent) in join_all(sends).await.into_iter().enumerate() {
        ids.insert(sent.map_err(text)?, i);
    }
    same("ids", ids.len(), 100)?;
    let mut keys: BTreeMap<(u64, u64), _> = BTreeMap::new();
    for (id, i) in ids {
        let message = next(&consumer).await?;
        same("id", message.id(), id)?;
        same("payload", message.payload(), i.to_string().as_bytes())?;
        let key = (message.key().map(str::to_owned), message.ordering_key().map(<[u8]>::to_vec));
        let first = keys.entry((id.ledger_id, id.entry_id)).or_insert_with(|| key.clone());
        same("key in the batch", &key, first)?;
    }
    // Four that were full together, and four of what was left.
    same("batches", keys.len(), 8)?;
    client.close().await.map_err(text)
}

async fn chunker(env: &Env, client: &pulsewire::Client, codec: CompressionType) -> Result<Producer, String> {
    let producer = client.producer(env.topic()).batching(false).compression_type(codec);
    producer.chunking_enabled(true).chunk_max_message_size(100_000).create().await.map_err(text)
}

/// Messages of the subscription that are not acknowledged.
async fn backlog(env: &Env, subscription: &str) -> Result<i64, String> {
    let path = format!("{}/stats?getPreciseBacklog=true", admin_path(&env.topic()));
    let stats: serde_json::Value =
        serde_json::from_str(&env.admin("GET", &path, None).await?.body).map_err(text)?;
    stats["subscriptions"][subscription]["msgBacklog"].as_i64().ok_or(format!("no backlog in {stats}"))
}

async fn backlog_becomes(env: &Env, subscription: &str, expected: i64) -> Outcome {
    for _ in 0..50 {
        if backlog(env, subscription).await? == expected {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    same("backlog", backlog(env, subscription).await?, expected)
}

pub(crate) async fn p05_large_messages_travel_in_chunks(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    for (n, codec) in CODECS.into_iter().enumerate() {
        let producer = chunker(&env, &client, codec).await?;
        let payloads = [noise(n as u64, 990_000), b"small".to_vec(), noise(7, 250_000)];
        let sends: Vec<_> = payloads
            .iter()
            .map(|payload| producer.new_message().payload(payload.clone()).key("k").property("a", "1").send())
            .collect();
        for (payload, sent) in payloads.iter().zip(join_all(sends).await) {
            let id = sent.map_err(|e| format!("{codec:?}: {e}"))?;
            same("is in chunks", id.first_chunk.is_some(), payload.len() > 100_000)?;
            let message = next(&consumer).await?;
            holds(&format!("{codec:?} comes whole"), message.payload() == payload)?;
            same("id", message.id(), id)?;
            same("id by its bytes", MessageId::from_bytes(&id.to_bytes()).map_err(text)?, id)?;
            same(
                "id by its text",
                id.to_string().parse::<MessageId>().map_err(text)?.first_chunk,
                id.first_chunk,
            )?;
            same("key", message.key(), Some("k"))?;
            if let Some(first) = id.first_chunk {
                let chunks = id.entry_id - first.entry_id + 1;
                same("chunks", chunks as usize, payload.len().div_ceil(100_000))?;
            }
            consumer.acknowledge(&message).map_err(text)?;
        }
        producer.close().await.map_err(text)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn p05_chunks_and_batches_exclude_each_other(env: Env) -> Outcome {
    let client = env.client()?;
    let error = client.producer(env.topic()).chunking_enabled(true).create().await;
    let error = error.err().ok_or("both were accepted")?;
    same("kind", error.kind(), ErrorKind::InvalidOption)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c28_an_acknowledgement_covers_all_chunks(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = chunker(&env, &client, CompressionType::NONE).await?;
    for n in 0..2 {
        producer.send(noise(n, 500_000)).await.map_err(text)?;
    }
    let (first, second) = (next(&consumer).await?, next(&consumer).await?);
    consumer.acknowledge_confirmed(&[second.id()]).await.map_err(text)?;
    backlog_becomes(&env, "s", 5).await?;
    consumer.acknowledge_id(first.id()).map_err(text)?;
    backlog_becomes(&env, "s", 0).await?;
    for n in 2..4 {
        producer.send(noise(n, 500_000)).await.map_err(text)?;
    }
    next(&consumer).await?;
    let last = next(&consumer).await?;
    consumer.acknowledge_cumulative(last.id()).map_err(text)?;
    backlog_becomes(&env, "s", 0).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c28_a_negative_acknowledgement_brings_all_chunks_again(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = client.consumer(env.topic(), "s").subscription_type(SubscriptionType::Shared);
    let consumer = consumer.initial_position(InitialPosition::Earliest);
    let consumer = consumer.negative_ack_redelivery_delay(Duration::from_millis(300));
    let consumer = consumer.subscribe().await.map_err(text)?;
    let producer = chunker(&env, &client, CompressionType::LZ4).await?;
    let payload = noise(1, 700_000);
    let id = producer.send(payload.clone()).await.map_err(text)?;
    for _ in 0..2 {
        let message = next(&consumer).await?;
        same("id", message.id(), id)?;
        holds("it comes whole", message.payload() == payload)?;
        consumer.negative_acknowledge(message.id()).map_err(text)?;
    }
    let message = next(&consumer).await?;
    consumer.acknowledge(&message).map_err(text)?;
    backlog_becomes(&env, "s", 0).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c28_chunks_of_several_producers_are_told_apart(env: Env) -> Outcome {
    let clients = [env.client()?, env.client()?];
    let consumer = from_earliest(&clients[0], &env.topic(), "s").await?;
    let producers = join_all(clients.iter().map(|client| chunker(&env, client, CompressionType::NONE))).await;
    let producers = producers.into_iter().collect::<Result<Vec<_>, _>>()?;
    let sends = producers.iter().enumerate().flat_map(|(p, producer)| {
        (0..4).map(move |n| {
            producer
                .new_message()
                .payload(noise(p as u64 * 10 + n, 300_000))
                .key(format!("{}", p as u64 * 10 + n))
                .send()
        })
    });
    for sent in join_all(sends.collect::<Vec<_>>()).await {
        sent.map_err(text)?;
    }
    for _ in 0..8 {
        let message = next(&consumer).await?;
        let seed: u64 = message.key().unwrap_or_default().parse().map_err(text)?;
        holds(&format!("message {seed} comes whole"), message.payload() == noise(seed, 300_000))?;
        consumer.acknowledge(&message).map_err(text)?;
    }
    backlog_becomes(&env, "s", 0).await?;
    for client in clients {
        client.close().await.map_err(text)?;
    }
    Ok(())
}

/// Sends two messages whose chunks are mixed, on a topic where nothing else is.
async fn mixed(env: &Env, clients: &[pulsewire::Client; 2]) -> Result<(Env, [MessageId; 2]), String> {
    for round in 0..20 {
        let env = Env { unique: format!("{}-{round}", env.unique), ..env.clone() };
        let one = chunker(&env, &clients[0], CompressionType::NONE).await?;
        let other = chunker(&env, &clients[1], CompressionType::NONE).await?;
        let sends = join(one.send(vec![1; 3_000_000]), other.send(vec![2; 3_000_000])).await;
        let ids = [sends.0.map_err(text)?, sends.1.map_err(text)?];
        let first = |id: MessageId| id.first_chunk.map_or(0, |first| first.entry_id);
        if first(ids[0]) < ids[1].entry_id && first(ids[1]) < ids[0].entry_id {
            return Ok((env, ids));
        }
    }
    Err("the chunks of two producers would not mix".to_owned())
}

pub(crate) async fn c28_the_oldest_gives_way_when_too_many_are_gathered(env: Env) -> Outcome {
    let clients = [env.client()?, env.client()?];
    let (env, ids) = mixed(&env, &clients).await?;
    for acknowledge in [false, true] {
        let subscription = format!("s-{acknowledge}");
        let consumer = clients[0].consumer(env.topic(), &subscription);
        let consumer = consumer.initial_position(InitialPosition::Earliest).max_pending_chunked_message(1);
        let consumer = consumer.auto_ack_oldest_chunked_message_on_queue_full(acknowledge);
        let consumer = consumer.subscribe().await.map_err(text)?;
        let got = next(&consumer).await?;
        same("the one that began later", Some(got.id()), ids.into_iter().max_by_key(|id| id.first_chunk))?;
        silence(&consumer, Duration::from_millis(500)).await?;
        consumer.acknowledge(&got).map_err(text)?;
        consumer.close().await.map_err(text)?;
        // The chunks that had come are acknowledged, or not one is.
        let left = backlog(&env, &subscription).await?;
        let size = 3_000_000 / 100_000;
        holds(&format!("{left} chunks of {size} are left"), (left < size) == acknowledge)?;
    }
    for client in clients {
        client.close().await.map_err(text)?;
    }
    Ok(())
}

pub(crate) async fn c28_chunks_past_their_time_are_acknowledged(env: Env) -> Outcome {
    let client = env.client()?;
    let producer = chunker(&env, &client, CompressionType::NONE).await?;
    let id = producer.send(noise(1, 400_000)).await.map_err(text)?;
    let whole = producer.send("whole").await.map_err(text)?;
    let subscribe = |time: Duration| {
        let consumer = client.consumer(env.topic(), "s").initial_position(InitialPosition::Earliest);
        consumer.expire_time_of_incomplete_chunked_message(time).subscribe()
    };
    let consumer = subscribe(Duration::from_secs(2)).await.map_err(text)?;
    let first = id.first_chunk.ok_or("no chunks")?;
    let behind = MessageId { entry_id: first.entry_id, first_chunk: None, ..id };
    sleep(Duration::from_millis(2500)).await;
    // After its first chunk: the rest can never be whole, and is older than it may be.
    consumer.seek(behind).await.map_err(text)?;
    let message = next(&consumer).await?;
    same("id", message.id(), whole)?;
    consumer.acknowledge(&message).map_err(text)?;
    // What is before the start is not for the consumer to acknowledge.
    backlog_becomes(&env, "s", 1).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c28_a_message_beyond_the_bound_is_refused(env: Env) -> Outcome {
    let client = env.client()?;
    let bound = env.endpoint.max_message_size;
    let subscribe = |name: &str| {
        let consumer = client.consumer(env.topic(), name).initial_position(InitialPosition::Earliest);
        consumer.max_uncompressed_size(bound + 1000)
    };
    let consumer: Consumer = subscribe("s").subscribe().await.map_err(text)?;
    let chunked = chunker(&env, &client, CompressionType::NONE).await?;
    chunked.send(vec![1; bound + 1001]).await.map_err(text)?;
    let packed = client.producer(env.topic()).compression_type(CompressionType::ZSTD);
    let packed = packed.create().await.map_err(text)?;
    packed.send(vec![0; bound + 1001]).await.map_err(text)?;
    packed.send(vec![0; bound + 1000]).await.map_err(text)?;
    let mut refused = 0;
    let size = loop {
        match crate::env::within(Duration::from_secs(15), consumer.receive()).await {
            Some(Ok(message)) => break message.payload().len(),
            Some(Err(error)) => same("kind", error.kind(), ErrorKind::Corrupted)?,
            None => return Err("nothing came".to_owned()),
        }
        refused += 1;
    };
    same("refused, and the next", (refused, size), (2, bound + 1000))?;
    client.close().await.map_err(text)
}

pub(crate) async fn p13_messages_are_delivered_at_their_time(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = client.consumer(env.topic(), "s").subscription_type(SubscriptionType::Shared);
    let consumer = consumer.initial_position(InitialPosition::Earliest).subscribe().await.map_err(text)?;
    let producer = client.producer(env.topic()).batching_max_publish_delay(Duration::from_millis(300));
    let producer = producer.create().await.map_err(text)?;
    let later = producer.new_message().payload("later").deliver_after(Duration::from_secs(9));
    let past = producer.new_message().payload("past").deliver_at(1_000);
    let sends =
        [producer.send("one"), producer.send("two"), later.send(), past.send(), producer.send("three")];
    let mut ids = Vec::new();
    for sent in join_all(sends).await {
        ids.push(sent.map_err(text)?);
    }
    let sizes: Vec<_> = ids.iter().map(|id| id.batch_size).collect();
    same("batches", sizes, vec![2, 2, 0, 0, 0])?;
    let mut came = Vec::new();
    for _ in 0..4 {
        came.push(String::from_utf8_lossy(next(&consumer).await?.payload()).into_owned());
    }
    came.sort();
    same("at once", came, ["one", "past", "three", "two"].map(str::to_owned).to_vec())?;
    silence(&consumer, Duration::from_secs(2)).await?;
    let message = next(&consumer).await?;
    same("later", (message.payload(), message.id()), (&b"later"[..], ids[2]))?;
    client.close().await.map_err(text)
}

pub(crate) async fn p14_messages_name_the_clusters_that_they_go_to(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).batching_max_publish_delay(Duration::from_millis(300));
    let producer = producer.create().await.map_err(text)?;
    let sends = [
        producer.send("everywhere"),
        producer.new_message().payload("here").disable_replication().send(),
        producer.new_message().payload("here too").disable_replication().send(),
        producer.new_message().payload("there").replication_clusters(["standalone", "elsewhere"]).send(),
    ];
    let mut sizes = Vec::new();
    for sent in join_all(sends).await {
        sizes.push(sent.map_err(text)?.batch_size);
    }
    same("batches", sizes, vec![0, 2, 2, 0])?;
    for expected in [&[][..], &["__local__"], &["__local__"], &["standalone", "elsewhere"]] {
        same(
            "clusters",
            next(&consumer).await?.replicate_to(),
            expected.iter().map(|c| (*c).to_owned()).collect(),
        )?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn p19_a_producer_makes_its_first_subscription(env: Env) -> Outcome {
    let client = env.client()?;
    let producer =
        client.producer(env.topic()).initial_subscription_name("first").create().await.map_err(text)?;
    producer.send("before any consumer").await.map_err(text)?;
    // A subscription that is made now would begin after it.
    let consumer = client.consumer(env.topic(), "first").subscribe().await.map_err(text)?;
    same("payload", next(&consumer).await?.payload(), &b"before any consumer"[..])?;
    client.close().await.map_err(text)
}

pub(crate) async fn p19_the_broker_shows_a_producers_properties(env: Env) -> Outcome {
    let client = env.client()?;
    let producer = client.producer(env.topic()).property("team", "blue").property("ü", "");
    let producer = producer.create().await.map_err(text)?;
    producer.send("x").await.map_err(text)?;
    let answer = env.admin("GET", &format!("{}/stats", admin_path(&env.topic())), None).await?;
    let stats: serde_json::Value = serde_json::from_str(&answer.body).map_err(text)?;
    let expected = serde_json::json!({ "team": "blue", "ü": "" });
    same("properties", &stats["publishers"][0]["metadata"], &expected)?;
    client.close().await.map_err(text)
}

pub(crate) async fn p25_messages_of_a_shadow_topic_name_their_source(env: Env) -> Outcome {
    let client = env.client()?;
    let shadow = format!("{}-shadow", env.topic());
    let source = client.producer(env.topic()).create().await.map_err(text)?;
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(source.send(format!("message {n}")).await.map_err(text)?);
    }
    let body = serde_json::json!({ "PULSAR.SHADOW_SOURCE": env.topic() }).to_string();
    env.administer("PUT", &admin_path(&shadow), Some(&body)).await?;
    let consumer = from_earliest(&client, &shadow, "s").await?;
    let producer = client.producer(&shadow).create().await.map_err(text)?;
    for (n, id) in ids.iter().enumerate() {
        let message = producer.new_message().payload(format!("message {n}")).source_message_id(*id);
        same("id", message.send().await.map_err(text)?, *id)?;
    }
    for (n, id) in ids.iter().enumerate() {
        let message = next(&consumer).await?;
        same("payload", message.payload(), format!("message {n}").as_bytes())?;
        same("id", message.id(), *id)?;
    }
    let refused = source.new_message().payload("x").source_message_id(ids[0]).send().await;
    holds("a topic that is no shadow refuses it", refused.is_err())?;
    let refused = producer.send("without a source").await;
    holds("a shadow topic takes nothing else", refused.is_err())?;
    client.close().await.map_err(text)
}
