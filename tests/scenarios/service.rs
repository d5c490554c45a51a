//! Addresses, proxies, gateways, connections.

use std::time::Duration;

use futures_util::future::join_all;
use pulsewire::ErrorKind;

use crate::env::{Env, Outcome, from_earliest, holds, next, same, sleep, text};

/// One message there and back.
async fn round_trip(client: &pulsewire::Client, topic: &str) -> Outcome {
    let consumer = from_earliest(client, topic, "s").await?;
    let producer = client.producer(topic).create().await.map_err(text)?;
    let id = producer.send("x").await.map_err(text)?;
    same("id", next(&consumer).await?.id(), id)
}

pub(crate) async fn k01_several_addresses_one_of_them_dead(env: Env) -> Outcome {
    let (scheme, rest) = env.endpoint.url.split_once("://").ok_or("no scheme")?;
    // Port 9 (discard) has nobody here.
    let url = format!("{scheme}://localhost:9,{rest}");
    let client = env.builder_for(&url).build().map_err(text)?;
    round_trip(&client, &env.topic()).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn k03_through_the_proxy(env: Env) -> Outcome {
    let client = env.client()?;
    for i in 0..3 {
        round_trip(&client, &format!("{}-{i}", env.topic())).await?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn n02_everything_through_the_gateway(env: Env) -> Outcome {
    k03_through_the_proxy(env).await
}

pub(crate) async fn k05_keepalive_holds_a_quiet_connection(env: Env) -> Outcome {
    let client = env.builder().keep_alive_interval(Duration::from_millis(300)).build().map_err(text)?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    sleep(Duration::from_secs(2)).await;
    let id = producer.send("after the silence").await.map_err(text)?;
    let message = next(&consumer).await?;
    same("id", message.id(), id)?;
    same("it was never away", message.redelivery_count(), 0)?;
    client.close().await.map_err(text)
}

pub(crate) async fn k11_close_ends_everything(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    let sends: Vec<_> = (0..50).map(|_| producer.send("x")).collect();
    let waiting = consumer.clone();
    let (closed, received) = futures_util::future::join(client.close(), async move {
        // Receives what has come, then learns that nothing will.
        loop {
            if let Err(error) = waiting.receive().await {
                break error;
            }
        }
    })
    .await;
    closed.map_err(text)?;
    same("receive", received.kind(), ErrorKind::AlreadyClosed)?;
    for (i, sent) in join_all(sends).await.into_iter().enumerate() {
        sent.map_err(|e| format!("send {i}: {e}"))?;
    }
    let late = client.producer(env.topic()).create().await.err().ok_or("a closed client made a producer")?;
    same("late producer", late.kind(), ErrorKind::AlreadyClosed)?;
    client.close().await.map_err(|e| format!("closing twice: {e}"))
}

pub(crate) async fn k12_topics_and_partitions_are_listed(env: Env) -> Outcome {
    let client = env.client()?;
    let partitioned = format!("{}-partitioned", env.unique);
    let path = format!("/admin/v2/persistent/public/default/{partitioned}/partitions");
    env.administer("PUT", &path, Some("3")).await?;
    same("partitions", client.partitions(&partitioned).await.map_err(text)?, 3)?;
    let answer = env.admin("GET", &path, None).await?;
    holds("the admin API says so too", answer.status == 200 && answer.body.contains("3"))?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    producer.send("x").await.map_err(text)?;
    same("partitions", client.partitions(&env.topic()).await.map_err(text)?, 0)?;
    // Brokers list from a cache, which may be a moment behind.
    let mut listed = false;
    for _ in 0..20 {
        listed = client.topics("public/default").await.map_err(text)?.contains(&env.topic());
        if listed {
            break;
        }
        sleep(Duration::from_millis(250)).await;
    }
    holds("the topic is listed", listed)?;
    client.close().await.map_err(text)
}

pub(crate) async fn w01_many_handles_share_the_connections(env: Env) -> Outcome {
    let client = env.client()?;
    let producers = (0..40).map(|i| client.producer(format!("{}-{}", env.topic(), i % 4)).create());
    let producers: Vec<_> = join_all(producers).await.into_iter().collect::<Result<_, _>>().map_err(text)?;
    let sends = producers.iter().flat_map(|p| (0..5).map(move |i| p.send(i.to_string())));
    for sent in join_all(sends).await {
        sent.map_err(text)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn w04_broker_entry_metadata(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    for _ in 0..3 {
        producer.send("x").await.map_err(text)?;
    }
    for i in 0..3 {
        let message = next(&consumer).await?;
        let expected = env.endpoint.entry_metadata.then_some(i);
        same("index", message.index(), expected)?;
        same("broker publish time", message.broker_publish_time().is_some(), env.endpoint.entry_metadata)?;
    }
    client.close().await.map_err(text)
}
