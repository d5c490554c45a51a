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

/// A topic that drops repeats, on a broker that runs.
async fn prepare(env: &Env) -> Result<String, String> {
    ask(env, "/start").await?;
    let namespace = format!("public/{}", env.unique);
    env.administer("PUT", &format!("/admin/v2/namespaces/{namespace}"), None).await?;
    env.administer("POST", &format!("/admin/v2/namespaces/{namespace}/deduplication"), Some("true")).await?;
    Ok(format!("persistent://{namespace}/t"))
}

/// One after the other: each restart is for all.
pub(crate) async fn p22_a_broker_that_was_killed_still_knows_repeats(env: Env) -> Outcome {
    repeats_are_dropped(env.part("first")).await?;
    nothing_pending_is_lost_or_doubled(env.part("second")).await
}

/// A producer that starts again after the broker did begins where it had come to, and what it sends again is dropped.
async fn repeats_are_dropped(env: Env) -> Outcome {
    let topic = prepare(&env).await?;
    let mut last = None;
    for round in 0..2 {
        // Of a new process, as it were: nothing is left of the first client.
        let client = env.client()?;
        let producer =
            client.producer(&topic).name("again").send_timeout(Duration::from_secs(50)).create().await;
        let producer = producer.map_err(text)?;
        same("last stored", producer.last_sequence_id(), last)?;
        for sequence_id in 10 * round..10 * round + 15 {
            let message = producer.new_message().payload(sequence_id.to_string()).sequence_id(sequence_id);
            let id = message.send().await.map_err(text)?;
            let repeat = last.is_some_and(|last| sequence_id <= last);
            same(&format!("{sequence_id} is a repeat"), id.ledger_id == u64::MAX, repeat)?;
        }
        last = producer.last_sequence_id();
        same("last", last, Some(10 * round + 14))?;
        client.close().await.map_err(text)?;
        if round == 0 {
            ask(&env, "/restart").await?;
        }
    }
    let client = env.client()?;
    let consumer = from_earliest(&client, &topic, "s").await?;
    for expected in 0..25 {
        same("payload", next(&consumer).await?.payload(), expected.to_string().as_bytes())?;
    }
    silence(&consumer, Duration::from_millis(300)).await?;
    client.close().await.map_err(text)
}

/// Sends go on while the broker is killed: those without a receipt are sent again, and none is stored twice.
async fn nothing_pending_is_lost_or_doubled(env: Env) -> Outcome {
    const MESSAGES: usize = 400;
    let topic = prepare(&env).await?;
    let client = env.client()?;
    let producer = client.producer(&topic).send_timeout(Duration::from_secs(55)).batching_max_messages(7);
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
        ask(&env, "/restart").await
    };
    let (sent, restarted) = join(publish, restart).await;
    restarted?;
    for (n, sent) in sent.into_iter().enumerate() {
        sent.map_err(|error| format!("send {n}: {error}"))?;
    }
    let consumer = from_earliest(&client, &topic, "s").await?;
    for expected in 0..MESSAGES {
        same("payload", next(&consumer).await?.payload(), expected.to_string().as_bytes())?;
    }
    silence(&consumer, Duration::from_millis(300)).await?;
    client.close().await.map_err(text)
}
