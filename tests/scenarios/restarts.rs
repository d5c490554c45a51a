//! A broker that is killed and comes back with its data.

use std::time::Duration;

use futures_util::future::{join, join_all};

use crate::admin;
use crate::env::{Env, Outcome, from_earliest, next, same, silence, sleep, text};

/// Asks whoever started the broker.
async fn ask(env: &Env, what: &str) -> Outcome {
    let answer = admin::call("PUT", &env.endpoint.relay, what, None).await?;
    same(&format!("{what} {}", answer.body), answer.status, 200)
}

/// A restart takes less.
const PATIENCE: Duration = Duration::from_secs(55);

/// Topics that drop repeats, on a broker that runs.
async fn prepare(env: &Env) -> Result<[String; 2], String> {
    ask(env, "/start").await?;
    let namespace = format!("public/{}", env.unique);
    env.administer("PUT", &format!("/admin/v2/namespaces/{namespace}"), None).await?;
    env.administer("POST", &format!("/admin/v2/namespaces/{namespace}/deduplication"), Some("true")).await?;
    Ok(["a", "b"].map(|name| format!("persistent://{namespace}/{name}")))
}

/// A producer that starts again after the broker did begins where it had come to, and what it sends again is dropped.
/// Another's sends go on while the broker is killed: those without a receipt go out again, and none is stored twice.
pub(crate) async fn p22_a_broker_that_was_killed_still_knows_repeats(env: Env) -> Outcome {
    let topics = prepare(&env).await?;
    send_by_number(&env, &topics[0], 0..15, None).await?;
    nothing_pending_is_lost_or_doubled(&env, &topics[1]).await?;
    // Of a new process, as it were: nothing is left of the first client.
    send_by_number(&env, &topics[0], 10..25, Some(14)).await?;
    all_are_there_once(&env, &topics[0], 25).await
}

/// The producer's own sequence ids; those up to `last` are repeats.
async fn send_by_number(env: &Env, topic: &str, ids: std::ops::Range<u64>, last: Option<u64>) -> Outcome {
    let client = env.client()?;
    let producer =
        client.producer(topic).name("again").send_timeout(PATIENCE).create().await.map_err(text)?;
    same("last stored", producer.last_sequence_id(), last)?;
    let end = ids.end - 1;
    for sequence_id in ids {
        let message = producer.new_message().payload(sequence_id.to_string()).sequence_id(sequence_id);
        let id = message.send().await.map_err(text)?;
        let repeat = last.is_some_and(|last| sequence_id <= last);
        same(&format!("{sequence_id} is a repeat"), id.ledger_id == u64::MAX, repeat)?;
    }
    same("last", producer.last_sequence_id(), Some(end))?;
    client.close().await.map_err(text)
}

async fn nothing_pending_is_lost_or_doubled(env: &Env, topic: &str) -> Outcome {
    const MESSAGES: usize = 400;
    let client = env.client()?;
    let producer = client.producer(topic).send_timeout(PATIENCE).batching_max_messages(7);
    let producer = producer.create().await.map_err(text)?;
    let publish = async {
        let mut sends = Vec::new();
        for n in 0..MESSAGES {
            sends.push(producer.send(n.to_string()));
            sleep(Duration::from_millis(5)).await;
        }
        join_all(sends).await
    };
    let restart = async {
        sleep(Duration::from_millis(600)).await;
        ask(env, "/restart").await
    };
    let (sent, restarted) = join(publish, restart).await;
    restarted?;
    for (n, sent) in sent.into_iter().enumerate() {
        sent.map_err(|error| format!("send {n}: {error}"))?;
    }
    client.close().await.map_err(text)?;
    all_are_there_once(env, topic, MESSAGES).await
}

async fn all_are_there_once(env: &Env, topic: &str, messages: usize) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, topic, "s").await?;
    for expected in 0..messages {
        same("payload", next(&consumer).await?.payload(), expected.to_string().as_bytes())?;
    }
    silence(&consumer, Duration::from_millis(300)).await?;
    client.close().await.map_err(text)
}
