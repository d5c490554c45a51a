//! Producers.

use std::time::Duration;

use futures_util::future::{join_all, poll_immediate};
use pulsewire::{ErrorKind, MessageId};

use crate::env::{Env, Outcome, from_earliest, holds, next, same, sleep, text};

pub(crate) async fn p01_send_awaited(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    for payload in ["one", "two", ""] {
        let id = producer.send(payload).await.map_err(text)?;
        let message = next(&consumer).await?;
        same("payload", message.payload(), payload.as_bytes())?;
        same("id", message.id(), id)?;
        consumer.acknowledge(&message).map_err(text)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn p01_many_in_flight_receipts_in_order(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    let sends: Vec<_> = (0..2000).map(|i| producer.send(format!("message {i}"))).collect();
    let ids: Vec<MessageId> = join_all(sends).await.into_iter().collect::<Result<_, _>>().map_err(text)?;
    holds("receipts are in order", ids.is_sorted())?;
    for (i, id) in ids.into_iter().enumerate() {
        let message = next(&consumer).await?;
        same("payload", message.payload(), format!("message {i}").as_bytes())?;
        same("id", message.id(), id)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn p01_large_payloads_arrive_whole(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    for size in [1, 16 * 1024 - 1, 16 * 1024, 1_000_000, env.endpoint.max_message_size - 1024] {
        let payload: Vec<u8> = (0..size).map(|i| (i * 31 % 251) as u8).collect();
        let send = producer.send(payload.clone());
        let message = next(&consumer).await?;
        holds(&format!("{size} bytes arrive whole"), message.payload() == payload)?;
        send.await.map_err(text)?;
        consumer.acknowledge(&message).map_err(text)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn p02_producer_name_given_or_by_the_broker(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let unnamed = client.producer(env.topic()).create().await.map_err(text)?;
    holds("the broker gives a name", !unnamed.name().is_empty())?;
    let name = format!("named-{}", env.unique);
    let named = client.producer(env.topic()).name(&name).create().await.map_err(text)?;
    same("name", named.name(), name.as_str())?;
    unnamed.send("a").await.map_err(text)?;
    named.send("b").await.map_err(text)?;
    for expected in [unnamed.name(), named.name()] {
        let message = next(&consumer).await?;
        same("name on the message", message.producer_name(), expected)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn p02_a_name_in_use_is_refused(env: Env) -> Outcome {
    let client = env.client()?;
    let first = client.producer(env.topic()).name("taken").create().await.map_err(text)?;
    let second = client.producer(env.topic()).name("taken").create().await;
    let error = second.err().ok_or("a second producer of that name was let in")?;
    same("code", error.code(), "ProducerBusy")?;
    first.send("still here").await.map_err(text)?;
    first.close().await.map_err(text)?;
    let third = client.producer(env.topic()).name("taken").create().await.map_err(text)?;
    third.send("free again").await.map_err(text)?;
    client.close().await.map_err(text)
}

pub(crate) async fn p04_sends_close_together_travel_as_batches(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    let sends: Vec<_> = (0..500).map(|i| producer.send(format!("message {i}"))).collect();
    let ids: Vec<MessageId> = join_all(sends).await.into_iter().collect::<Result<_, _>>().map_err(text)?;
    holds("receipts are in order", ids.is_sorted())?;
    holds(&format!("batches: {:?}", &ids[..5]), ids.iter().filter(|id| id.batch_size > 1).count() > 400)?;
    for (i, id) in ids.into_iter().enumerate() {
        let message = next(&consumer).await?;
        same("payload", message.payload(), format!("message {i}").as_bytes())?;
        same("id", message.id(), id)?;
        same("sequence id", message.sequence_id(), i as u64)?;
        consumer.acknowledge(&message).map_err(text)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn p04_limits_of_a_batch_are_kept(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).batching_max_messages(10).batching_max_bytes(1000);
    let producer =
        producer.batching_max_publish_delay(Duration::from_secs(5)).create().await.map_err(text)?;
    // Ten small ones are full at once; three of 300 bytes are as many as fit, so a fourth sends them.
    let sizes = [[1; 10].as_slice(), &[300; 4], &[5000]].concat();
    let sends: Vec<_> = sizes.iter().map(|size| producer.send(vec![7u8; *size])).collect();
    let ids: Vec<MessageId> = join_all(sends).await.into_iter().collect::<Result<_, _>>().map_err(text)?;
    let in_batches: Vec<_> = ids.iter().map(|id| (id.batch_index, id.batch_size)).collect();
    let mut expected: Vec<_> = (0..10).map(|i| (i, 10)).collect();
    expected.extend([(0, 3), (1, 3), (2, 3), (-1, 0), (-1, 0)]);
    same("places in batches", in_batches, expected)?;
    for (size, id) in sizes.into_iter().zip(ids) {
        let message = next(&consumer).await?;
        same("message", (message.payload().len(), message.id()), (size, id))?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn p04_a_batch_carries_what_each_message_has(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).batching_max_publish_delay(Duration::from_millis(500));
    let producer = producer.create().await.map_err(text)?;
    let rich = producer.new_message().payload("x").key("clé").ordering_key(b"\x00\xff".to_vec());
    let sends = [
        rich.property("a", "1").property("", "ü").event_time(1_700_000_000_123).sequence_id(7).send(),
        producer.new_message().payload("y").key_bytes(b"\x01\x02\x03".to_vec()).send(),
        producer.new_message().key("gone").send(),
        producer.send(""),
    ];
    for (i, result) in join_all(sends).await.into_iter().enumerate() {
        let id = result.map_err(text)?;
        same("place", (id.batch_index, id.batch_size), (i as i32, 4))?;
    }
    let message = next(&consumer).await?;
    same("key", message.key(), Some("clé"))?;
    same("ordering key", message.ordering_key(), Some(&b"\x00\xff"[..]))?;
    same("event time", message.event_time(), Some(1_700_000_000_123))?;
    same("sequence id", message.sequence_id(), 7)?;
    let property = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    same("properties", message.properties(), vec![property("a", "1"), property("", "ü")])?;
    let message = next(&consumer).await?;
    same("key of bytes", (message.key(), message.has_base64_key()), (Some("AQID"), true))?;
    let message = next(&consumer).await?;
    same("null", (message.is_null(), message.key(), message.payload().len()), (true, Some("gone"), 0))?;
    let message = next(&consumer).await?;
    same("empty is not null", (message.is_null(), message.payload().len()), (false, 0))?;
    client.close().await.map_err(text)
}

pub(crate) async fn p09_flush_waits_for_all_receipts(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).batching_max_publish_delay(Duration::from_secs(20));
    let producer = producer.create().await.map_err(text)?;
    producer.flush().await.map_err(|e| format!("nothing to flush: {e}"))?;
    let mut sends: Vec<_> = (0..20).map(|i| producer.send(format!("{i}"))).collect();
    holds("a batch waits", poll_immediate(&mut sends[0]).await.is_none())?;
    producer.flush().await.map_err(text)?;
    for send in &mut sends {
        let sent = poll_immediate(send).await.ok_or("a send was not done when flush was")?;
        sent.map_err(text)?;
    }
    for i in 0..20 {
        same("payload", next(&consumer).await?.payload(), format!("{i}").as_bytes())?;
    }
    producer.close().await.map_err(text)?;
    let error = producer.flush().await.err().ok_or("a closed producer was flushed")?;
    same("kind", error.kind(), ErrorKind::AlreadyClosed)?;
    client.close().await.map_err(text)
}

pub(crate) async fn p06_sequence_ids_start_where_told_and_go_on(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).initial_sequence_id(99).create().await.map_err(text)?;
    producer.send("a").await.map_err(text)?;
    producer.send("b").await.map_err(text)?;
    producer.new_message().payload("c").sequence_id(500).send().await.map_err(text)?;
    producer.send("d").await.map_err(text)?;
    for expected in [100, 101, 500, 501] {
        same("sequence id", next(&consumer).await?.sequence_id(), expected)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn p06_sequence_ids_go_on_after_reopening(env: Env) -> Outcome {
    let client = env.client()?;
    // Brokers remember them where they deduplicate.
    let namespace = format!("public/{}", env.unique);
    env.administer("PUT", &format!("/admin/v2/namespaces/{namespace}"), None).await?;
    let policy = format!("/admin/v2/namespaces/{namespace}/deduplication");
    env.administer("POST", &policy, Some("true")).await?;
    let topic = format!("persistent://{namespace}/t");
    let consumer = from_earliest(&client, &topic, "s").await?;
    for _ in 0..2 {
        let producer = client.producer(&topic).name("again").create().await.map_err(text)?;
        producer.send("x").await.map_err(text)?;
        producer.send("y").await.map_err(text)?;
        producer.close().await.map_err(text)?;
    }
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(next(&consumer).await?.sequence_id());
    }
    same("sequence ids of both openings", ids, vec![0, 1, 2, 3])?;
    client.close().await.map_err(text)
}

pub(crate) async fn p10_close_waits_for_pending_sends(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    let sends: Vec<_> = (0..200).map(|i| producer.send(format!("{i}"))).collect();
    producer.close().await.map_err(text)?;
    for send in sends {
        send.await.map_err(text)?;
    }
    for i in 0..200 {
        same("payload", next(&consumer).await?.payload(), format!("{i}").as_bytes())?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn p10_a_closed_producer_says_so(env: Env) -> Outcome {
    let client = env.client()?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    producer.send("x").await.map_err(text)?;
    producer.close().await.map_err(text)?;
    producer.close().await.map_err(|e| format!("closing twice: {e}"))?;
    let error = producer.send("y").await.err().ok_or("a closed producer took a message")?;
    same("kind", error.kind(), ErrorKind::AlreadyClosed)?;
    client.close().await.map_err(text)
}

pub(crate) async fn p10_a_dropped_producer_frees_its_name(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    for i in 0..3 {
        let mut attempts = 0;
        let producer = loop {
            // The broker still stores the last message before it lets go of the name.
            match client.producer(env.topic()).name("dropped").create().await {
                Err(error) if error.code() == "ProducerBusy" && attempts < 50 => attempts += 1,
                created => break created.map_err(text)?,
            }
            sleep(Duration::from_millis(100)).await;
        };
        // Dropped with its send under way: the message is stored all the same.
        drop(producer.send(i.to_string()));
        drop(producer);
    }
    for i in 0..3 {
        same("payload", next(&consumer).await?.payload(), i.to_string().as_bytes())?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn p12_key_ordering_key_event_time(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    let message = producer.new_message().payload("x").key("clé").ordering_key(b"\x00\xff".to_vec());
    message.event_time(1_700_000_000_123).send().await.map_err(text)?;
    producer.new_message().payload("y").key_bytes(b"\x01\x02\x03".to_vec()).send().await.map_err(text)?;
    let message = next(&consumer).await?;
    same("key", message.key(), Some("clé"))?;
    same("key of bytes", message.has_base64_key(), false)?;
    same("ordering key", message.ordering_key(), Some(&b"\x00\xff"[..]))?;
    same("event time", message.event_time(), Some(1_700_000_000_123))?;
    let message = next(&consumer).await?;
    same("key", message.key(), Some("AQID"))?;
    same("key of bytes", message.has_base64_key(), true)?;
    same("event time", message.event_time(), None)?;
    client.close().await.map_err(text)
}

pub(crate) async fn p15_properties_and_null_value(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    let properties = [("b", "2"), ("a", "1"), ("empty", ""), ("日本", "語")];
    let mut message = producer.new_message().payload("x");
    for (name, value) in properties {
        message = message.property(name, value);
    }
    message.send().await.map_err(text)?;
    producer.new_message().key("gone").send().await.map_err(text)?;
    producer.send("").await.map_err(text)?;
    let message = next(&consumer).await?;
    let expected: Vec<_> = properties.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    same("properties", message.properties(), expected)?;
    let message = next(&consumer).await?;
    same("null", (message.is_null(), message.key(), message.payload().len()), (true, Some("gone"), 0))?;
    let message = next(&consumer).await?;
    same("empty is not null", (message.is_null(), message.payload().len()), (false, 0))?;
    client.close().await.map_err(text)
}

pub(crate) async fn p18_memory_limit_refuses_or_waits(env: Env) -> Outcome {
    let client = env.builder().memory_limit(64 * 1024).build().map_err(text)?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer =
        client.producer(env.topic()).send_timeout(Duration::from_secs(20)).create().await.map_err(text)?;
    let payload = vec![7u8; 10_000];
    let mut sends = Vec::new();
    let refused = loop {
        match producer.new_message().payload(payload.clone()).try_send() {
            Ok(send) => sends.push(send),
            Err(error) => break error,
        }
        holds("the limit is reached", sends.len() < 100)?;
    };
    same("kind", refused.kind(), ErrorKind::QueueFull)?;
    // This one waits for room.
    let mut waiting = producer.send(payload.clone());
    holds("a send waits", poll_immediate(&mut waiting).await.is_none())?;
    waiting.await.map_err(text)?;
    let sent = sends.len();
    for send in sends {
        send.await.map_err(text)?;
    }
    for _ in 0..=sent {
        same("size", next(&consumer).await?.payload().len(), payload.len())?;
    }
    client.close().await.map_err(text)
}
