//! Consumers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join_all, poll_immediate};
use pulsewire::{Client, Consumer, InitialPosition, MessageId, SubscriptionType};

use crate::env::{Env, Outcome, from_earliest, holds, next, same, silence, sleep, text, within};

/// Publishes `0..n` as text.
async fn publish(client: &Client, topic: &str, n: usize) -> Result<Vec<MessageId>, String> {
    let producer = client.producer(topic).batching(false).create().await.map_err(text)?;
    let sends: Vec<_> = (0..n).map(|i| producer.send(i.to_string())).collect();
    let ids = join_all(sends).await.into_iter().collect::<Result<_, _>>().map_err(text)?;
    producer.close().await.map_err(text)?;
    Ok(ids)
}

/// Receives `n` messages and returns their payloads.
async fn receive(consumer: &Consumer, n: usize) -> Result<Vec<String>, String> {
    let mut payloads = Vec::new();
    for _ in 0..n {
        payloads.push(String::from_utf8_lossy(next(consumer).await?.payload()).into_owned());
    }
    Ok(payloads)
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|i| i.to_string()).collect()
}

async fn of_type(env: &Env, client: &Client, kind: SubscriptionType) -> Result<Consumer, String> {
    let consumer = client.consumer(env.topic(), "s").subscription_type(kind);
    consumer.initial_position(InitialPosition::Earliest).subscribe().await.map_err(text)
}

/// So often all consumers may have nothing, a tenth of a second each: a busy machine takes its time.
const PATIENCE: u32 = 50;

pub(crate) async fn c01_exclusive_refuses_a_second_consumer(env: Env) -> Outcome {
    let client = env.client()?;
    let first = of_type(&env, &client, SubscriptionType::Exclusive).await?;
    let second = client.consumer(env.topic(), "s").subscribe().await;
    same("code", second.err().map(|e| e.code()), Some("ConsumerBusy"))?;
    publish(&client, &env.topic(), 3).await?;
    same("payloads", receive(&first, 3).await?, numbers(0..3))?;
    first.close().await.map_err(text)?;
    let third = of_type(&env, &client, SubscriptionType::Exclusive).await?;
    same("payloads again", receive(&third, 3).await?, numbers(0..3))?;
    client.close().await.map_err(text)
}

pub(crate) async fn c01_shared_divides_and_loses_nothing(env: Env) -> Outcome {
    let client = env.client()?;
    let mut consumers = Vec::new();
    for _ in 0..3 {
        let consumer = client.consumer(env.topic(), "s").subscription_type(SubscriptionType::Shared);
        let consumer = consumer.receiver_queue_size(10).initial_position(InitialPosition::Earliest);
        consumers.push(consumer.subscribe().await.map_err(text)?);
    }
    publish(&client, &env.topic(), 120).await?;
    let mut all = Vec::new();
    let mut served = BTreeSet::new();
    let mut idle = 0;
    while all.len() < 120 {
        let before = all.len();
        for (i, consumer) in consumers.iter().enumerate() {
            while let Some(received) = within(Duration::from_millis(100), consumer.receive()).await {
                let message = received.map_err(text)?;
                consumer.acknowledge(&message).map_err(text)?;
                all.push(String::from_utf8_lossy(message.payload()).into_owned());
                served.insert(i);
            }
        }
        idle = if all.len() > before { 0 } else { idle + 1 };
        holds("messages keep coming", idle < PATIENCE)?;
    }
    all.sort_by_key(|s| s.parse::<usize>().unwrap_or(usize::MAX));
    same("each message once", all, numbers(0..120))?;
    same("consumers served", served.len(), 3)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c01_failover_moves_to_the_next(env: Env) -> Outcome {
    let client = env.client()?;
    let named = |name: &str| {
        let consumer = client.consumer(env.topic(), "s").subscription_type(SubscriptionType::Failover);
        consumer.name(name).initial_position(InitialPosition::Earliest).subscribe()
    };
    let (a, b) = (named("a").await.map_err(text)?, named("b").await.map_err(text)?);
    publish(&client, &env.topic(), 5).await?;
    // Which of them is active is the broker's choice.
    let (first, second, message) = match within(Duration::from_secs(3), a.receive()).await {
        Some(message) => (a, b, message.map_err(text)?),
        None => {
            let message = next(&b).await?;
            (b, a, message)
        }
    };
    first.acknowledge(&message).map_err(text)?;
    silence(&second, Duration::from_millis(300)).await?;
    first.close().await.map_err(text)?;
    same("the rest", receive(&second, 4).await?, numbers(1..5))?;
    client.close().await.map_err(text)
}

pub(crate) async fn c01_key_shared_keeps_keys_together(env: Env) -> Outcome {
    let client = env.client()?;
    let first = of_type(&env, &client, SubscriptionType::KeyShared).await?;
    let second = of_type(&env, &client, SubscriptionType::KeyShared).await?;
    let producer = client.producer(env.topic()).batching(false).create().await.map_err(text)?;
    for i in 0..100 {
        let message = producer.new_message().key(format!("key-{}", i % 20)).payload(i.to_string());
        message.send().await.map_err(text)?;
    }
    let mut seen: BTreeMap<String, (usize, Vec<usize>)> = BTreeMap::new();
    let mut received = 0;
    let mut idle = 0;
    while received < 100 {
        let before = received;
        for (i, consumer) in [&first, &second].into_iter().enumerate() {
            while let Some(message) = within(Duration::from_millis(100), consumer.receive()).await {
                let message = message.map_err(text)?;
                consumer.acknowledge(&message).map_err(text)?;
                let key = message.key().unwrap_or("").to_owned();
                let number = String::from_utf8_lossy(message.payload()).parse().map_err(text)?;
                let (owner, numbers) = seen.entry(key).or_insert((i, Vec::new()));
                same("the key's consumer", i, *owner)?;
                numbers.push(number);
                received += 1;
            }
        }
        idle = if received > before { 0 } else { idle + 1 };
        holds("messages keep coming", idle < PATIENCE)?;
    }
    holds("order within keys", seen.values().all(|(_, numbers)| numbers.is_sorted()))?;
    let owners: BTreeSet<usize> = seen.values().map(|(owner, _)| *owner).collect();
    same("consumers served", owners.len(), 2)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c02_receive_is_cancelled_without_loss(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).batching(false).create().await.map_err(text)?;
    silence(&consumer, Duration::from_millis(50)).await?;
    for i in 0..50 {
        // Enrolled, then dropped, around the arrival of a message.
        let mut waiting = consumer.receive();
        let early = poll_immediate(&mut waiting).await;
        let send = producer.send(i.to_string());
        drop(waiting);
        send.await.map_err(text)?;
        let message = match early {
            Some(message) => message.map_err(text)?,
            None => next(&consumer).await?,
        };
        same("payload", message.payload(), i.to_string().as_bytes())?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn c04_stream_of_messages(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    publish(&client, &env.topic(), 20).await?;
    let mut payloads = Vec::new();
    let mut messages = consumer.messages();
    while payloads.len() < 20 {
        let message =
            within(Duration::from_secs(15), messages.next()).await.flatten().ok_or("the stream stopped")?;
        payloads.push(String::from_utf8_lossy(message.map_err(text)?.payload()).into_owned());
    }
    same("payloads", payloads, numbers(0..20))?;
    consumer.close().await.map_err(text)?;
    holds("the stream ends with its consumer", messages.next().await.is_none())?;
    client.close().await.map_err(text)
}

pub(crate) async fn c05_acknowledged_messages_stay_away(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    publish(&client, &env.topic(), 10).await?;
    for i in 0..10 {
        let message = next(&consumer).await?;
        if i % 2 == 0 {
            consumer.acknowledge(&message).map_err(text)?;
        }
    }
    // A program that acknowledges and closes must not lose its acknowledgements.
    consumer.close().await.map_err(text)?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let odd: Vec<String> = (0..10).filter(|i| i % 2 == 1).map(|i| i.to_string()).collect();
    same("what was not acknowledged", receive(&consumer, 5).await?, odd)?;
    silence(&consumer, Duration::from_millis(300)).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c05_cumulative_ack_covers_all_before(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let ids = publish(&client, &env.topic(), 10).await?;
    receive(&consumer, 10).await?;
    consumer.acknowledge_cumulative(ids[6]).map_err(text)?;
    consumer.close().await.map_err(text)?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    same("the rest", receive(&consumer, 3).await?, numbers(7..10))?;
    silence(&consumer, Duration::from_millis(300)).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c09_negative_ack_redelivers_after_its_delay(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = client.consumer(env.topic(), "s").subscription_type(SubscriptionType::Shared);
    let consumer = consumer.negative_ack_redelivery_delay(Duration::from_millis(800));
    let consumer = consumer.initial_position(InitialPosition::Earliest).subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 2).await?;
    let first = next(&consumer).await?;
    consumer.negative_acknowledge(first.id()).map_err(text)?;
    let second = next(&consumer).await?;
    consumer.acknowledge(&second).map_err(text)?;
    silence(&consumer, Duration::from_millis(400)).await?;
    let again = next(&consumer).await?;
    same("which", again.id(), first.id())?;
    same("redelivery count", again.redelivery_count(), 1)?;
    consumer.acknowledge(&again).map_err(text)?;
    silence(&consumer, Duration::from_millis(1200)).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c16_unacknowledged_messages_come_again(env: Env) -> Outcome {
    let client = env.client()?;
    let first = of_type(&env, &client, SubscriptionType::Shared).await?;
    publish(&client, &env.topic(), 4).await?;
    receive(&first, 4).await?;
    let second = of_type(&env, &client, SubscriptionType::Shared).await?;
    first.close().await.map_err(text)?;
    let mut again = receive(&second, 4).await?;
    again.sort();
    same("all of them", again, numbers(0..4))?;
    client.close().await.map_err(text)
}

pub(crate) async fn c17_last_message_id(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let empty = consumer.last_message_id().await.map_err(text)?;
    holds(&format!("{empty} is before all"), empty.entry_id as i64 == -1)?;
    let ids = publish(&client, &env.topic(), 3).await?;
    let last = consumer.last_message_id().await.map_err(text)?;
    same("last id", (last.ledger_id, last.entry_id), (ids[2].ledger_id, ids[2].entry_id))?;
    client.close().await.map_err(text)
}

pub(crate) async fn c19_priority_name_and_property_are_the_broker_s(env: Env) -> Outcome {
    let client = env.client()?;
    let of_priority = |level: i32, name: &str| {
        let consumer = client.consumer(env.topic(), "s").subscription_type(SubscriptionType::Shared);
        let consumer = consumer.name(name).priority_level(level).property("team", format!("of {name}"));
        consumer.receiver_queue_size(10).subscribe()
    };
    // The one that is served last comes first.
    let second = of_priority(1, "second").await.map_err(text)?;
    let first = of_priority(0, "first").await.map_err(text)?;
    publish(&client, &env.topic(), 14).await?;
    // It gets as much as it has asked for, the other only the rest.
    same("the second one's", receive(&second, 4).await?, numbers(10..14))?;
    same("the first one's", receive(&first, 10).await?, numbers(0..10))?;
    let path = format!("/admin/v2/persistent/public/default/{}/stats", env.unique);
    let answer = env.admin("GET", &path, None).await?;
    let stats: serde_json::Value = serde_json::from_str(&answer.body).map_err(text)?;
    let mut told: Vec<_> = stats["subscriptions"]["s"]["consumers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|consumer| (consumer["consumerName"].clone(), consumer["metadata"]["team"].clone()))
        .collect();
    told.sort_by_key(|(name, _)| name.to_string());
    let said = |text: &str| serde_json::Value::from(text);
    let expected = ["first", "second"].map(|name| (said(name), said(&format!("of {name}"))));
    same("what the broker shows", told, expected.to_vec())?;
    client.close().await.map_err(text)
}

pub(crate) async fn c21_initial_position_earliest_and_latest(env: Env) -> Outcome {
    let client = env.client()?;
    publish(&client, &env.topic(), 3).await?;
    let latest = client.consumer(env.topic(), "late").subscribe().await.map_err(text)?;
    let earliest = from_earliest(&client, &env.topic(), "early").await?;
    same("from the beginning", receive(&earliest, 3).await?, numbers(0..3))?;
    silence(&latest, Duration::from_millis(300)).await?;
    publish(&client, &env.topic(), 1).await?;
    same("what came later", receive(&latest, 1).await?, numbers(0..1))?;
    client.close().await.map_err(text)
}

pub(crate) async fn c23_a_queue_of_one_receives_all(env: Env) -> Outcome {
    let client = env.client()?;
    for size in [1, 2, 7] {
        let consumer = client.consumer(env.topic(), format!("s{size}")).receiver_queue_size(size);
        let consumer =
            consumer.initial_position(InitialPosition::Earliest).subscribe().await.map_err(text)?;
        if size == 1 {
            publish(&client, &env.topic(), 50).await?;
        }
        same("payloads", receive(&consumer, 50).await?, numbers(0..50))?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn c26_unsubscribe_forgets_the_position(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    publish(&client, &env.topic(), 3).await?;
    for _ in 0..3 {
        let message = next(&consumer).await?;
        consumer.acknowledge(&message).map_err(text)?;
    }
    consumer.unsubscribe().await.map_err(text)?;
    consumer.close().await.map_err(text)?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    same("from the beginning again", receive(&consumer, 3).await?, numbers(0..3))?;
    client.close().await.map_err(text)
}

pub(crate) async fn c30_message_fields(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).batching(false).create().await.map_err(text)?;
    producer.send("zero").await.map_err(text)?;
    let id = producer.new_message().payload("x").key("k").property("a", "b").send().await.map_err(text)?;
    next(&consumer).await?;
    let message = next(&consumer).await?;
    same("id", message.id(), id)?;
    same("topic", message.topic(), env.topic().as_str())?;
    same("producer", message.producer_name(), producer.name())?;
    same("sequence id", message.sequence_id(), 1)?;
    same("redelivery count", message.redelivery_count(), 0)?;
    same("replicated from", message.replicated_from(), None)?;
    same("shared payload", message.payload_bytes().as_ref(), &b"x"[..])?;
    // 2020 to 2100.
    let plausible = 1_577_836_800_000..4_102_444_800_000;
    holds("publish time is plausible", plausible.contains(&message.publish_time()))?;
    client.close().await.map_err(text)
}

pub(crate) async fn c30_ids_are_in_order_and_survive_text_and_bytes(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    publish(&client, &env.topic(), 20).await?;
    let mut last = MessageId::EARLIEST;
    for _ in 0..20 {
        let id = next(&consumer).await?.id();
        holds(&format!("{last} is before {id}"), last < id && id < MessageId::LATEST)?;
        same("through text", id.to_string().parse::<MessageId>().map_err(text)?, id)?;
        same("through bytes", MessageId::from_bytes(&id.to_bytes()).map_err(text)?, id)?;
        last = id;
    }
    sleep(Duration::ZERO).await;
    client.close().await.map_err(text)
}
