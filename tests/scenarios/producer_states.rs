//! States and limits of producers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{join, join_all, poll_immediate};
use pulsewire::{
    Error, ErrorKind, MessageId, OutgoingMessage, ProducerAccessMode, ProducerInterceptor, ServerError,
};

use crate::env::{Env, Outcome, from_earliest, holds, next, same, silence, sleep, text, within};

const FENCED: ErrorKind = ErrorKind::Broker(ServerError::PRODUCER_FENCED);

pub(crate) async fn p08_exclusive_lets_no_other_in(env: Env) -> Outcome {
    let client = env.client()?;
    let topic = || client.producer(env.topic());
    let first = topic().access_mode(ProducerAccessMode::Exclusive).create().await.map_err(text)?;
    let shared = topic().create().await.err().ok_or("a shared producer was let in beside it")?;
    same("shared", shared.code(), "ProducerBusy")?;
    let exclusive = topic().access_mode(ProducerAccessMode::Exclusive).create().await;
    let exclusive = exclusive.err().ok_or("a second exclusive producer was let in")?;
    same("exclusive", exclusive.kind(), FENCED)?;
    first.send("mine").await.map_err(text)?;
    first.close().await.map_err(text)?;
    let shared = topic().create().await.map_err(text)?;
    shared.send("ours").await.map_err(text)?;
    client.close().await.map_err(text)
}

pub(crate) async fn p08_fencing_ends_the_others_and_their_sends(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let topic = || client.producer(env.topic()).batching_max_publish_delay(Duration::from_secs(20));
    let first = topic().access_mode(ProducerAccessMode::Exclusive).create().await.map_err(text)?;
    let stored = first.send("first");
    first.flush().await.map_err(text)?;
    stored.await.map_err(text)?;
    // This one is still in its batch when the producer is fenced.
    let pending = first.send("late");
    let second = env.client()?;
    let second = second.producer(env.topic()).access_mode(ProducerAccessMode::ExclusiveWithFencing);
    let second = second.create().await.map_err(text)?;
    // Nobody tells it: the broker hangs up when it sends, and lets it in no more.
    let ends = join(first.flush(), pending);
    let (_, failed) = within(Duration::from_secs(10), ends).await.ok_or("a fenced producer's send hangs")?;
    same("pending send", failed.err().map(|error| error.kind()), Some(FENCED))?;
    same("later send", first.send("x").await.err().map(|e| e.kind()), Some(ErrorKind::AlreadyClosed))?;
    second.send("second").await.map_err(text)?;
    same("payload", next(&consumer).await?.payload(), b"first")?;
    same("payload", next(&consumer).await?.payload(), b"second")?;
    client.close().await.map_err(text)
}

pub(crate) async fn p08_waiting_for_exclusive_takes_as_long_as_it_must(env: Env) -> Outcome {
    let client = env.client()?;
    let first = client.producer(env.topic()).access_mode(ProducerAccessMode::Exclusive);
    let first = first.create().await.map_err(text)?;
    let patient = env.builder().operation_timeout(Duration::from_secs(12)).build().map_err(text)?;
    let waiting = || patient.producer(env.topic()).access_mode(ProducerAccessMode::WaitForExclusive);
    // One that gives up is out of the way of the next.
    let given_up = within(Duration::from_secs(2), waiting().create()).await;
    holds("it waits", given_up.is_none())?;
    let mut second = Box::pin(waiting().create());
    let early = within(Duration::from_secs(15), &mut second).await;
    holds("it waits beyond the operation timeout", early.is_none())?;
    first.close().await.map_err(text)?;
    let second = within(Duration::from_secs(20), second).await.ok_or("its turn did not come")?;
    second.map_err(text)?.send("my turn").await.map_err(text)?;
    client.close().await.map_err(text)
}

pub(crate) async fn p18_a_full_queue_refuses_or_waits_in_order(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).max_pending_messages(2);
    let producer =
        producer.batching_max_publish_delay(Duration::from_millis(300)).create().await.map_err(text)?;
    let mut sends: Vec<_> = (0..10).map(|i| producer.send(i.to_string())).collect();
    same("pending", producer.status().pending_messages, 2)?;
    let refused = producer.new_message().payload("again").key("k").try_send();
    let refused = refused.err().ok_or("more messages are pending than may be")?;
    same("kind", refused.kind(), ErrorKind::QueueFull)?;
    // Taken back, it is not sent; the others need not be polled in their order.
    drop(sends.remove(5));
    let last = sends.pop().ok_or("no send")?;
    last.await.map_err(text)?;
    join_all(sends).await.into_iter().collect::<Result<Vec<_>, _>>().map_err(text)?;
    refused.into_message().send().await.map_err(text)?;
    for expected in ["0", "1", "2", "3", "4", "6", "7", "8", "9", "again"] {
        same("payload", next(&consumer).await?.payload(), expected.as_bytes())?;
    }
    silence(&consumer, Duration::from_millis(300)).await?;
    // Those that wait fail with the producer.
    let mut sends: Vec<_> = (0..4).map(|_| producer.send("x")).collect();
    producer.close().await.map_err(text)?;
    let last = sends.pop().ok_or("no send")?.await;
    same("after close", last.err().map(|error| error.kind()), Some(ErrorKind::AlreadyClosed))?;
    client.close().await.map_err(text)
}

pub(crate) async fn p06_last_sequence_ids_pushed_and_published(env: Env) -> Outcome {
    let client = env.client()?;
    let producer = client.producer(env.topic()).batching_max_publish_delay(Duration::from_secs(20));
    let producer = producer.initial_sequence_id(41).create().await.map_err(text)?;
    same("initial", producer.last_sequence_id(), Some(41))?;
    let sends = [producer.send("a"), producer.new_message().payload("b").sequence_id(60).send()];
    same("pushed", producer.last_sequence_id_pushed(), Some(60))?;
    same("published", producer.last_sequence_id(), Some(41))?;
    producer.flush().await.map_err(text)?;
    for send in sends {
        send.await.map_err(text)?;
    }
    same("published", producer.last_sequence_id(), Some(60))?;
    let fresh = client.producer(env.topic()).create().await.map_err(text)?;
    same("fresh", fresh.last_sequence_id(), None)?;
    client.close().await.map_err(text)
}

pub(crate) async fn p23_connected_and_when_it_was_not(env: Env) -> Outcome {
    let client = env.client()?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    producer.send("a").await.map_err(text)?;
    same("connected", producer.is_connected(), true)?;
    same("disconnected", producer.last_disconnected_timestamp(), None)?;
    let path = env.topic().replacen("persistent://", "/admin/v2/persistent/", 1);
    env.administer("PUT", &format!("{path}/unload"), None).await?;
    for _ in 0..100 {
        if producer.last_disconnected_timestamp().is_some() {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let at = producer.last_disconnected_timestamp().ok_or("it never was disconnected")?;
    holds("a time of this century", at > 1_700_000_000_000)?;
    producer.send("b").await.map_err(text)?;
    same("connected again", producer.is_connected(), true)?;
    producer.close().await.map_err(text)?;
    same("closed", producer.is_connected(), false)?;
    client.close().await.map_err(text)
}

pub(crate) async fn p22_repeats_are_dropped_through_reconnects_and_restarts(env: Env) -> Outcome {
    let client = env.client()?;
    let namespace = format!("public/{}", env.unique);
    env.administer("PUT", &format!("/admin/v2/namespaces/{namespace}"), None).await?;
    let policy = format!("/admin/v2/namespaces/{namespace}/deduplication");
    env.administer("POST", &policy, Some("true")).await?;
    let topic = format!("persistent://{namespace}/t");
    let consumer = from_earliest(&client, &topic, "s").await?;
    let path = topic.replacen("persistent://", "/admin/v2/persistent/", 1);
    for round in 0..3 {
        let producer = client.producer(&topic).name("again").batching(round == 1);
        let producer = producer.create().await.map_err(text)?;
        same("last stored", producer.last_sequence_id(), (round > 0).then_some(10 + round))?;
        for sequence_id in [10, 11, 11 + round] {
            let message = producer.new_message().payload(sequence_id.to_string()).sequence_id(sequence_id);
            let id = message.send().await.map_err(text)?;
            let repeat = round > 0 && sequence_id < 11 + round || round == 0 && id == MessageId::EARLIEST;
            same(&format!("{sequence_id} is a repeat"), id.ledger_id == u64::MAX, repeat)?;
        }
        if round == 1 {
            env.administer("PUT", &format!("{path}/unload"), None).await?;
            // The same producer, on its next link.
            let again = producer.new_message().payload("again").sequence_id(12);
            let id = within(Duration::from_secs(20), again.send()).await.ok_or("no receipt")?;
            same("a repeat after the reconnect", id.map_err(text)?.ledger_id, u64::MAX)?;
        }
        producer.close().await.map_err(text)?;
    }
    // Without an id of its own a message has the one after the last, and is no repeat.
    let producer = client.producer(&topic).name("again").create().await.map_err(text)?;
    same("last stored", producer.last_sequence_id(), Some(13))?;
    let id = producer.send("14").await.map_err(text)?;
    holds("14 is stored", id.ledger_id != u64::MAX)?;
    same("last sent", producer.last_sequence_id(), Some(14))?;
    for expected in 10..=14 {
        let message = next(&consumer).await?;
        same("payload", message.payload(), expected.to_string().as_bytes())?;
        same("sequence id", message.sequence_id(), expected)?;
    }
    silence(&consumer, Duration::from_millis(300)).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn p11_statistics_count_what_happened(env: Env) -> Outcome {
    let client = env.builder().stats_interval(Duration::from_secs(1)).build().map_err(text)?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    join_all((0..100).map(|_| producer.send("ten bytes!")))
        .await
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .map_err(text)?;
    let large = producer.send(vec![0; env.endpoint.max_message_size + 1]).await;
    holds("too large", large.is_err())?;
    let stats = producer.stats();
    same("sent", (stats.total_msgs_sent, stats.total_bytes_sent), (100, 1000))?;
    same("ended", (stats.total_acks_received, stats.total_send_failed), (100, 1))?;
    same("pending", stats.pending_queue_size, 0)?;
    // Rates and latencies are those of the interval before; on a busy machine one may pass unseen.
    let (mut rates, mut told) = (Vec::new(), false);
    while !told && rates.len() < 100 {
        producer.send("ten bytes!").await.map_err(text)?;
        let stats = producer.stats();
        let (median, max) = (stats.send_latency_millis(50.0), stats.send_latency_millis_max());
        holds("percentiles are in order", median <= stats.send_latency_millis(99.9) && median <= max)?;
        told = stats.send_msgs_rate > 0.0 && max > 0.0;
        rates.push((stats.send_msgs_rate, max));
        sleep(Duration::from_millis(150)).await;
    }
    holds(&format!("rates and latencies {rates:?}"), told)?;
    client.close().await.map_err(text)
}

type Log = Arc<Mutex<Vec<String>>>;

struct Recording(&'static str, Log);

impl ProducerInterceptor for Recording {
    fn before_send(&self, _topic: &str, message: &mut OutgoingMessage) {
        let so_far = message.properties().first().map_or("", |(_, value)| value).to_owned();
        message.set_property("by", so_far + self.0);
        // A panic ends a page's program; elsewhere it must not.
        assert!(self.0 != "b" || cfg!(target_family = "wasm"), "on purpose");
    }

    fn on_send_acknowledgement(
        &self,
        _topic: &str,
        message: &OutgoingMessage,
        result: &Result<MessageId, Error>,
    ) {
        let payload = String::from_utf8_lossy(&message.payload()[..1]).into_owned();
        let entry = format!("{}{payload}{}", self.0, if result.is_ok() { "+" } else { "-" });
        if let Ok(mut log) = self.1.lock() {
            log.push(entry);
        }
        assert!(self.0 != "b" || cfg!(target_family = "wasm"), "on purpose");
    }
}

pub(crate) async fn p17_interceptors_change_messages_and_learn_their_ends(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let log = Log::default();
    let mut producer = client.producer(env.topic());
    for name in ["a", "b", "c"] {
        producer = producer.interceptor(Recording(name, log.clone()));
    }
    let producer = producer.create().await.map_err(text)?;
    producer.send("x").await.map_err(text)?;
    let failed = producer.send(vec![b'y'; env.endpoint.max_message_size + 1]).await;
    holds("too large", failed.is_err())?;
    drop(producer.send("z"));
    producer.flush().await.map_err(text)?;
    let by = if cfg!(target_family = "wasm") { "abc" } else { "ac" };
    for _ in 0..2 {
        let message = next(&consumer).await?;
        same("property", message.properties(), vec![("by".to_owned(), by.to_owned())])?;
    }
    let seen = log.lock().map_err(text)?.join(" ");
    same("ends", seen.as_str(), "ax+ bx+ cx+ ay- by- cy- az+ bz+ cz+")?;
    client.close().await.map_err(text)
}

pub(crate) async fn p07_sends_that_no_broker_answers_time_out(env: Env) -> Outcome {
    let client = env.client()?;
    let namespace = format!("public/{}", env.unique);
    env.administer("PUT", &format!("/admin/v2/namespaces/{namespace}"), None).await?;
    let topic = format!("persistent://{namespace}/t");
    let consumer = from_earliest(&client, &topic, "s").await?;
    let producer = client.producer(&topic).send_timeout(Duration::from_secs(2)).create().await;
    let producer = producer.map_err(text)?;
    producer.send(vec![7; 1000]).await.map_err(text)?;
    // A backlog over its quota: the broker holds the producers that come.
    let quota = r#"{"limitSize":10,"limitTime":-1,"policy":"producer_request_hold"}"#;
    let path = format!("/admin/v2/namespaces/{namespace}/backlogQuota");
    env.administer("POST", &path, Some(quota)).await?;
    let unload = topic.replacen("persistent://", "/admin/v2/persistent/", 1) + "/unload";
    env.administer("PUT", &unload, None).await?;
    for _ in 0..100 {
        if producer.last_disconnected_timestamp().is_some() {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let sends: Vec<_> = (0..3).map(|_| producer.send("lost")).collect();
    for send in sends {
        let ended = within(Duration::from_secs(4), send).await.ok_or("a send hangs")?;
        same("held", ended.err().map(|error| error.kind()), Some(ErrorKind::Timeout))?;
    }
    env.administer("DELETE", &path, None).await?;
    let mut back = producer.send("back").await;
    for _ in 0..5 {
        if back.is_ok() {
            break;
        }
        back = producer.send("back").await;
    }
    back.map_err(text)?;
    same("size", next(&consumer).await?.payload().len(), 1000)?;
    same("payload", next(&consumer).await?.payload(), b"back")?;
    client.close().await.map_err(text)
}

pub(crate) async fn p10_a_second_close_waits_for_the_first(env: Env) -> Outcome {
    let client = env.client()?;
    let producer = client.producer(env.topic()).name("twice").create().await.map_err(text)?;
    let (mut first, second) = (Box::pin(producer.close()), producer.close());
    holds("closing takes a while", poll_immediate(&mut first).await.is_none())?;
    second.await.map_err(text)?;
    let again = client.producer(env.topic()).name("twice").create().await;
    again.map_err(|e| format!("the name is not free: {e}"))?;
    first.await.map_err(text)?;
    client.close().await.map_err(text)
}
