//! Acknowledgements: lists, receipts, grouping.

use std::time::Duration;

use futures_util::future::join_all;
use pulsewire::{
    Client, Consumer, ConsumerBuilder, InitialPosition, Message, MessageId, RedeliveryBackoff,
    SubscriptionType,
};

use crate::env::{Env, Outcome, from_earliest, holds, next, same, silence, sleep, text};

const QUIET: Duration = Duration::from_millis(300);
/// Longer than any scenario.
const NEVER: Duration = Duration::from_secs(600);

async fn publish(client: &Client, topic: &str, n: usize) -> Result<(), String> {
    let producer = client.producer(topic).batching(false).create().await.map_err(text)?;
    let sends: Vec<_> = (0..n).map(|i| producer.send(i.to_string())).collect();
    join_all(sends).await.into_iter().collect::<Result<Vec<_>, _>>().map_err(text)?;
    producer.close().await.map_err(text)
}

fn builder(env: &Env, client: &Client) -> ConsumerBuilder {
    client.consumer(env.topic(), "s").initial_position(InitialPosition::Earliest)
}

async fn ids(consumer: &Consumer, n: usize) -> Result<Vec<MessageId>, String> {
    let mut ids = Vec::new();
    for _ in 0..n {
        ids.push(next(consumer).await?.id());
    }
    Ok(ids)
}

/// What a consumer that asks anew is given: these numbers and no others.
async fn left(env: &Env, client: &Client, expected: &[usize]) -> Outcome {
    let consumer = from_earliest(client, &env.topic(), "s").await?;
    for i in expected {
        let message = next(&consumer).await?;
        same("payload", String::from_utf8_lossy(message.payload()).into_owned(), i.to_string())?;
    }
    silence(&consumer, QUIET).await
}

/// The broker counts so many entries that a subscription has not acknowledged, now or within ten seconds.
pub(crate) async fn backlog(env: &Env, subscription: &str, expected: u64) -> Outcome {
    let path = format!("/admin/v2/persistent/public/default/{}/stats?getPreciseBacklog=true", env.unique);
    let mut found = None;
    for _ in 0..150 {
        let stats: serde_json::Value =
            serde_json::from_str(&env.admin("GET", &path, None).await?.body).map_err(text)?;
        found = stats["subscriptions"][subscription]["msgBacklog"].as_u64();
        if found == Some(expected) {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    same("backlog", found, Some(expected))
}

pub(crate) async fn c05_a_list_is_acknowledged(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = builder(&env, &client).subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 8).await?;
    let ids = ids(&consumer, 8).await?;
    consumer.acknowledge_ids(&[ids[6], ids[0], ids[3]]).map_err(text)?;
    consumer.acknowledge_ids(&[]).map_err(text)?;
    consumer.close().await.map_err(text)?;
    left(&env, &client, &[1, 2, 4, 5, 7]).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c06_receipts_confirm_acknowledgements(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = builder(&env, &client).subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 6).await?;
    let ids = ids(&consumer, 6).await?;
    let (one, two) = futures_util::future::join(
        consumer.acknowledge_confirmed(&ids[4..5]),
        consumer.acknowledge_cumulative_confirmed(ids[1]),
    )
    .await;
    one.and(two).map_err(text)?;
    // Another client, while the first is still there and has flushed nothing by closing.
    consumer.redeliver_unacknowledged().map_err(text)?;
    for i in [2, 3, 5] {
        same("payload", next(&consumer).await?.payload(), i.to_string().as_bytes())?;
    }
    silence(&consumer, QUIET).await?;
    consumer.close().await.map_err(text)?;
    let late = consumer.acknowledge_confirmed(&ids[..1]).await;
    same("after close", late.err().map(|e| e.code()), Some("AlreadyClosed"))?;
    client.close().await.map_err(text)
}

pub(crate) async fn c09_a_list_comes_again_with_backoff(env: Env) -> Outcome {
    let client = env.client()?;
    let ms = Duration::from_millis;
    let backoff = RedeliveryBackoff { min_delay: ms(200), max_delay: ms(1200), multiplier: 6.0 };
    let consumer = builder(&env, &client).subscription_type(SubscriptionType::Shared);
    let consumer = consumer.negative_ack_redelivery_backoff(backoff).subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 3).await?;
    let mut messages = vec![next(&consumer).await?, next(&consumer).await?];
    let third = next(&consumer).await?;
    consumer.acknowledge(&third).map_err(text)?;
    for count in 1..3 {
        consumer.negative_acknowledge_messages(&messages).map_err(text)?;
        // Within the first delay nothing comes, nor within the second, which is longer.
        silence(&consumer, if count == 1 { ms(100) } else { ms(700) }).await?;
        messages = vec![next(&consumer).await?, next(&consumer).await?];
        same("counts", messages.iter().map(Message::redelivery_count).collect(), vec![count; 2])?;
    }
    for message in &messages {
        consumer.acknowledge(message).map_err(text)?;
    }
    silence(&consumer, QUIET).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c07_acknowledgements_go_out_by_time_and_by_count(env: Env) -> Outcome {
    let client = env.client()?;
    let time = builder(&env, &client).acknowledgment_group_time(Duration::from_millis(200));
    let count = builder(&env, &client).acknowledgment_group_time(NEVER).max_acknowledgment_group_size(4);
    publish(&client, &env.topic(), 8).await?;
    let mut from = 0;
    for consumer in [time, count] {
        let consumer = consumer.subscribe().await.map_err(text)?;
        let ids = ids(&consumer, 8 - from).await?;
        consumer.acknowledge_ids(&ids[..4]).map_err(text)?;
        from += 4;
        // The broker has them without a close, or any other call that would send them.
        backlog(&env, "s", 8 - from as u64).await?;
        // What it sends again is the rest.
        consumer.redeliver_unacknowledged().map_err(text)?;
        for i in from..8 {
            same("payload", next(&consumer).await?.payload(), i.to_string().as_bytes())?;
        }
        silence(&consumer, QUIET).await?;
        consumer.close().await.map_err(text)?;
    }
    left(&env, &client, &[]).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c07_close_and_drop_send_what_is_pending(env: Env) -> Outcome {
    let client = env.client()?;
    publish(&client, &env.topic(), 6).await?;
    let consumer = builder(&env, &client).acknowledgment_group_time(NEVER).subscribe().await.map_err(text)?;
    consumer.acknowledge_ids(&ids(&consumer, 6).await?[..2]).map_err(text)?;
    consumer.close().await.map_err(text)?;
    // Close of the client, and drop of all handles.
    for clean in [true, false] {
        let other = env.client()?;
        let consumer =
            builder(&env, &other).acknowledgment_group_time(NEVER).subscribe().await.map_err(text)?;
        let first = next(&consumer).await?;
        consumer.acknowledge(&first).map_err(text)?;
        if clean {
            other.close().await.map_err(text)?;
        }
    }
    // The broker may still hold the dropped one for a moment.
    for _ in 0..50 {
        match builder(&env, &client).subscribe().await {
            Ok(consumer) => {
                consumer.close().await.map_err(text)?;
                left(&env, &client, &[4, 5]).await?;
                return client.close().await.map_err(text);
            }
            Err(error) => holds("it is busy at most", error.code() == "ConsumerBusy")?,
        }
        crate::env::sleep(Duration::from_millis(100)).await;
    }
    Err("the dropped consumer stays".to_owned())
}
