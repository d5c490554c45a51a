//! Where a subscription is, and moving it.

use std::time::Duration;

use futures_util::future::join_all;
use pulsewire::SubscriptionType::{Failover, Shared};
use pulsewire::{Client, Consumer, ConsumerBuilder, InitialPosition, MessageId, SubscriptionMode};

use crate::env::{Env, Outcome, from_earliest, holds, next, same, silence, sleep, text, within};

const QUIET: Duration = Duration::from_millis(300);

/// Publishes these numbers as text.
async fn publish(
    client: &Client,
    topic: &str,
    range: std::ops::Range<usize>,
) -> Result<Vec<MessageId>, String> {
    let producer = client.producer(topic).batching(false).create().await.map_err(text)?;
    let sends: Vec<_> = range.map(|i| producer.send(i.to_string())).collect();
    let ids = join_all(sends).await.into_iter().collect::<Result<_, _>>().map_err(text)?;
    producer.close().await.map_err(text)?;
    Ok(ids)
}

/// The numbers of a range must come next, and nothing after them.
async fn come(consumer: &Consumer, range: std::ops::Range<usize>) -> Outcome {
    for i in range {
        same(
            "payload",
            String::from_utf8_lossy(next(consumer).await?.payload()).into_owned(),
            i.to_string(),
        )?;
    }
    silence(consumer, QUIET).await
}

fn non_durable(env: &Env, client: &Client, start: MessageId) -> ConsumerBuilder {
    let consumer = client.consumer(env.topic(), "n").subscription_mode(SubscriptionMode::NonDurable);
    consumer.start_message_id(start)
}

pub(crate) async fn c13_seek_by_id_goes_back_and_forth(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let ids = publish(&client, &env.topic(), 0..10).await?;
    for i in 0..5 {
        let message = next(&consumer).await?;
        consumer.acknowledge(&message).map_err(text)?;
        same("payload", message.payload(), i.to_string().as_bytes())?;
    }
    // The other five wait in the queue: they must not come before what the seek asks for.
    consumer.seek(ids[1]).await.map_err(text)?;
    come(&consumer, 2..10).await?;
    consumer.seek(ids[7]).await.map_err(text)?;
    come(&consumer, 8..10).await?;
    consumer.seek(MessageId::EARLIEST).await.map_err(text)?;
    come(&consumer, 0..10).await?;
    consumer.seek(MessageId::LATEST).await.map_err(text)?;
    silence(&consumer, QUIET).await?;
    publish(&client, &env.topic(), 10..12).await?;
    come(&consumer, 10..12).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c13_seek_by_publish_time(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    publish(&client, &env.topic(), 0..4).await?;
    sleep(Duration::from_millis(50)).await;
    publish(&client, &env.topic(), 4..8).await?;
    let mut times = Vec::new();
    for _ in 0..8 {
        times.push(next(&consumer).await?.publish_time());
    }
    consumer.seek_by_publish_time(times[4]).await.map_err(text)?;
    come(&consumer, 4..8).await?;
    consumer.seek_by_publish_time(times[0] - 1000).await.map_err(text)?;
    come(&consumer, 0..8).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c13_seek_while_messages_are_awaited(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    publish(&client, &env.topic(), 0..3).await?;
    for _ in 0..3 {
        next(&consumer).await?;
    }
    let (received, sought) =
        futures_util::future::join(next(&consumer), consumer.seek(MessageId::EARLIEST)).await;
    sought.map_err(text)?;
    same("payload", received?.payload(), &b"0"[..])?;
    come(&consumer, 1..3).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c16_redelivery_on_request(env: Env) -> Outcome {
    let client = env.client()?;
    publish(&client, &env.topic(), 0..6).await?;
    for (kind, name) in [(Failover, "failover"), (Shared, "shared")] {
        let consumer = client.consumer(env.topic(), name).subscription_type(kind);
        let consumer =
            consumer.initial_position(InitialPosition::Earliest).subscribe().await.map_err(text)?;
        for i in 0..4 {
            let message = next(&consumer).await?;
            if i == 0 {
                consumer.acknowledge(&message).map_err(text)?;
            }
        }
        // On one socket the broker hears of the acknowledgement first, and works on it first.
        sleep(Duration::from_millis(200)).await;
        consumer.redeliver_unacknowledged().map_err(text)?;
        let mut again = Vec::new();
        for _ in 1..6 {
            again.push(String::from_utf8_lossy(next(&consumer).await?.payload()).into_owned());
        }
        again.sort();
        same("what was open", again, (1..6).map(|i| i.to_string()).collect())?;
        silence(&consumer, QUIET).await?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn c21_start_message_id_and_inclusive(env: Env) -> Outcome {
    let client = env.client()?;
    let ids = publish(&client, &env.topic(), 0..6).await?;
    for (start, inclusive, first) in [
        (ids[2], false, 3),
        (ids[2], true, 2),
        (MessageId::EARLIEST, false, 0),
        (MessageId::LATEST, false, 6),
    ] {
        let consumer = non_durable(&env, &client, start).start_message_id_inclusive(inclusive);
        let consumer = consumer.subscribe().await.map_err(text)?;
        come(&consumer, first..6).await?;
        if inclusive {
            consumer.seek(ids[4]).await.map_err(text)?;
            come(&consumer, 4..6).await?;
        }
        consumer.close().await.map_err(text)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn c21_rollback_begins_back_in_time(env: Env) -> Outcome {
    let client = env.client()?;
    publish(&client, &env.topic(), 0..2).await?;
    sleep(Duration::from_millis(4200)).await;
    publish(&client, &env.topic(), 2..4).await?;
    for (seconds, first) in [(2, 2), (3600, 0)] {
        let consumer = client.consumer(env.topic(), format!("s{seconds}"));
        let consumer = consumer.start_message_rollback(Duration::from_secs(seconds));
        come(&consumer.subscribe().await.map_err(text)?, first..4).await?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn c26_unsubscribe_forced_ends_the_others_too(env: Env) -> Outcome {
    let client = env.client()?;
    let shared = || {
        let consumer = client.consumer(env.topic(), "s").subscription_type(Shared);
        consumer.initial_position(InitialPosition::Earliest).subscribe()
    };
    let (first, second) = (shared().await.map_err(text)?, shared().await.map_err(text)?);
    publish(&client, &env.topic(), 0..4).await?;
    let refused = first.unsubscribe().await;
    holds("without force it is refused while others are there", refused.is_err())?;
    for consumer in [&first, &second] {
        while let Some(message) = within(QUIET, consumer.receive()).await {
            consumer.acknowledge(&message.map_err(text)?).map_err(text)?;
        }
    }
    first.unsubscribe_forced().await.map_err(text)?;
    first.close().await.map_err(text)?;
    // The second comes back to a subscription that is new, and begins where it was told to.
    let mut again = Vec::new();
    for _ in 0..4 {
        again.push(String::from_utf8_lossy(next(&second).await?.payload()).into_owned());
    }
    again.sort();
    same("from the beginning", again, (0..4).map(|i| i.to_string()).collect())?;
    client.close().await.map_err(text)
}

pub(crate) async fn c31_a_non_durable_subscription_is_forgotten(env: Env) -> Outcome {
    let client = env.client()?;
    publish(&client, &env.topic(), 0..3).await?;
    for _ in 0..2 {
        let consumer = non_durable(&env, &client, MessageId::EARLIEST).subscribe().await.map_err(text)?;
        for i in 0..3 {
            let message = next(&consumer).await?;
            same("payload", message.payload(), i.to_string().as_bytes())?;
            consumer.acknowledge(&message).map_err(text)?;
        }
        consumer.close().await.map_err(text)?;
    }
    // A durable one of the same name keeps its place.
    let durable = from_earliest(&client, &env.topic(), "n").await?;
    let first = next(&durable).await?;
    consumer_keeps(&env, &client, durable, first.id()).await?;
    client.close().await.map_err(text)
}

async fn consumer_keeps(env: &Env, client: &Client, consumer: Consumer, acknowledged: MessageId) -> Outcome {
    consumer.acknowledge_id(acknowledged).map_err(text)?;
    consumer.close().await.map_err(text)?;
    come(&from_earliest(client, &env.topic(), "n").await?, 1..3).await
}
