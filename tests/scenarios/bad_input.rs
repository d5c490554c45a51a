//! What users and networks get wrong: a clear error, and nothing else is lost.

use std::time::Duration;

use pulsewire::{Client, ErrorKind};

use crate::env::{Env, Outcome, from_earliest, holds, next, same, text};

pub(crate) async fn p01_too_large_a_payload_fails_alone(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    let before = producer.send("before");
    let error = producer.send(vec![0; env.endpoint.max_message_size + 1]).await.err();
    same("kind", error.map(|e| e.kind()), Some(ErrorKind::MessageTooLarge))?;
    before.await.map_err(text)?;
    producer.send("after").await.map_err(text)?;
    for expected in ["before", "after"] {
        let message = next(&consumer).await?;
        same("payload", message.payload(), expected.as_bytes())?;
        same("the connection lived", message.redelivery_count(), 0)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn k01_nobody_listens_is_a_timeout_with_its_reason(env: Env) -> Outcome {
    let scheme = env.endpoint.url.split("://").next().unwrap_or("");
    let builder = env.builder_for(&format!("{scheme}://localhost:9"));
    let client = builder.operation_timeout(Duration::from_secs(10)).build().map_err(text)?;
    let error = client.producer(env.topic()).create().await.err().ok_or("a producer without a broker")?;
    same("kind", error.kind(), ErrorKind::Timeout)?;
    holds(&format!("it can be tried again: {error}"), error.is_retryable())?;
    holds(&format!("it says why: {error}"), error.to_string().contains("connection failed"))?;
    client.close().await.map_err(text)
}

pub(crate) async fn k01_what_is_no_url_or_topic_is_refused_at_once(env: Env) -> Outcome {
    for url in ["", "localhost:6650", "http://localhost", "pulsar://", "pulsar://localhost:99999"] {
        let error = Client::builder(url).build().err().ok_or(format!("{url:?} was taken for a URL"))?;
        same("kind", error.kind(), ErrorKind::InvalidServiceUrl)?;
    }
    let client = env.client()?;
    for topic in ["", "a/b", "http://a/b/c", "persistent://public//x", "public/default/"] {
        let error =
            client.producer(topic).create().await.err().ok_or(format!("{topic:?} was taken for a topic"))?;
        same("kind", error.kind(), ErrorKind::InvalidTopicName)?;
        let error = client.consumer(topic, "s").subscribe().await.err().ok_or("and to consume from")?;
        same("kind", error.kind(), ErrorKind::InvalidTopicName)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn k05_options_out_of_range_are_named(env: Env) -> Outcome {
    let builder = env.builder().operation_timeout(Duration::ZERO).memory_limit(0);
    let error = builder.build().err().ok_or("zeros were accepted")?;
    same("kind", error.kind(), ErrorKind::InvalidOption)?;
    for option in ["operation_timeout", "memory_limit"] {
        holds(&format!("{error} names {option}"), error.to_string().contains(option))?;
    }
    let client = env.client()?;
    let consumer = client.consumer(env.topic(), "").receiver_queue_size(u32::MAX);
    let error = consumer.subscribe().await.err().ok_or("an empty subscription was accepted")?;
    same("kind", error.kind(), ErrorKind::InvalidOption)?;
    holds(
        "both are named",
        error.to_string().contains("receiver_queue_size") && error.to_string().contains("name"),
    )?;
    client.close().await.map_err(text)
}

pub(crate) async fn k12_what_is_no_namespace_is_refused_at_once(env: Env) -> Outcome {
    let client = env.client()?;
    for namespace in ["", "public", "not a namespace", "a/b/c", "/default"] {
        let error =
            client.topics(namespace).await.err().ok_or(format!("{namespace:?} was taken for a namespace"))?;
        same("kind", error.kind(), ErrorKind::InvalidTopicName)?;
    }
    client.close().await.map_err(text)
}

/// Whoever is on a topic that is deleted comes back to a new one of that name; others notice nothing.
pub(crate) async fn p01_a_topic_deleted_while_used_harms_nobody_else(env: Env) -> Outcome {
    let client = env.client()?;
    let topics = [format!("{}-deleted", env.topic()), format!("{}-kept", env.topic())];
    let mut handles = Vec::new();
    for topic in &topics {
        let consumer = from_earliest(&client, topic, "s").await?;
        let producer =
            client.producer(topic).send_timeout(Duration::from_secs(50)).create().await.map_err(text)?;
        let id = producer.send("before").await.map_err(text)?;
        same("id", next(&consumer).await?.id(), id)?;
        handles.push((producer, consumer));
    }
    let path = topics[0].replacen("persistent://", "/admin/v2/persistent/", 1);
    env.administer("DELETE", &format!("{path}?force=true"), None).await?;
    for (producer, consumer) in &handles {
        let id = producer.send("after").await.map_err(text)?;
        let message = next(consumer).await?;
        same("message", (message.id(), message.payload()), (id, &b"after"[..]))?;
    }
    let (producer, consumer) = &handles[1];
    same(
        "never disconnected",
        (producer.last_disconnected_timestamp(), consumer.last_disconnected()),
        (None, 0),
    )?;
    client.close().await.map_err(text)
}
