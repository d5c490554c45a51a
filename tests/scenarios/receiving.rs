//! How messages come to a consumer: timeouts, batches, listeners, pauses, queues of all kinds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{join, join_all, poll_immediate};
use pulsewire::{
    BatchReceivePolicy, Client, Consumer, ConsumerBuilder, ConsumerEvent, ConsumerInterceptor,
    InitialPosition, Message, MessageId, SubscriptionType,
};

use crate::env::{Env, Outcome, holds, next, same, silence, sleep, text, within};
use crate::reading::admin_path;

const MS: Duration = Duration::from_millis(1);

/// Publishes `from..to` as text, one message an entry.
async fn publish(
    client: &Client,
    topic: &str,
    numbers: std::ops::Range<usize>,
) -> Result<Vec<MessageId>, String> {
    let producer = client.producer(topic).batching(false).create().await.map_err(text)?;
    let sends: Vec<_> = numbers.map(|i| producer.send(i.to_string())).collect();
    let ids = join_all(sends).await.into_iter().collect::<Result<_, _>>().map_err(text)?;
    producer.close().await.map_err(text)?;
    Ok(ids)
}

fn earliest(client: &Client, env: &Env) -> ConsumerBuilder {
    client.consumer(env.topic(), "s").initial_position(InitialPosition::Earliest)
}

fn number(message: &Message) -> usize {
    String::from_utf8_lossy(message.payload()).parse().unwrap_or(usize::MAX)
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) -> Outcome {
    for _ in 0..300 {
        if condition() {
            return Ok(());
        }
        sleep(50 * MS).await;
    }
    Err(format!("{what} does not hold after 15 s"))
}

/// Something that callbacks collect.
pub(crate) struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone> Log<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn add(&self, value: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(value);
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(crate) async fn c02_receive_with_a_timeout_of_its_own(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = earliest(&client, &env).subscribe().await.map_err(text)?;
    let none = within(5000 * MS, consumer.receive_timeout(200 * MS)).await;
    same("nothing came", none.ok_or("the timeout did not pass")?.map_err(text)?.is_none(), true)?;
    let producer = client.producer(env.topic()).batching(false).create().await.map_err(text)?;
    let sends = async {
        for i in 0..60 {
            producer.send(i.to_string()).await.map_err(text)?;
            sleep(2 * MS).await;
        }
        Ok::<_, String>(())
    };
    // Timeouts that pass while messages come lose none of them.
    let receives = async {
        let (mut numbers, mut timeouts) = (Vec::new(), 0);
        while numbers.len() < 60 && timeouts < 20_000 {
            match consumer.receive_timeout(MS).await.map_err(text)? {
                Some(message) => numbers.push(number(&message)),
                None => timeouts += 1,
            }
        }
        Ok::<_, String>((numbers, timeouts))
    };
    let (sent, received) = join(sends, receives).await;
    sent?;
    let (numbers, timeouts) = received?;
    same("numbers", numbers, (0..60).collect())?;
    holds("some calls ran out of time", timeouts > 0)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c03_a_batch_is_handed_out_by_count_bytes_or_time(env: Env) -> Outcome {
    let client = env.client()?;
    let by = |name: &str, policy: BatchReceivePolicy| {
        let consumer = client.consumer(env.topic(), name).initial_position(InitialPosition::Earliest);
        consumer.batch_receive_policy(policy).subscribe()
    };
    let unlimited = BatchReceivePolicy { max_num_messages: None, max_num_bytes: None, timeout: None };
    let count =
        by("count", BatchReceivePolicy { max_num_messages: Some(10), ..unlimited }).await.map_err(text)?;
    let bytes =
        by("bytes", BatchReceivePolicy { max_num_bytes: Some(7), ..unlimited }).await.map_err(text)?;
    let time = by("time", BatchReceivePolicy { timeout: Some(300 * MS), ..unlimited }).await.map_err(text)?;
    let default = by("default", BatchReceivePolicy::default()).await.map_err(text)?;
    let empty = within(5000 * MS, time.batch_receive()).await.ok_or("time was not up")?.map_err(text)?;
    same("messages when time is up", empty.len(), 0)?;
    publish(&client, &env.topic(), 0..8).await?;
    // Not enough yet: cancelling it loses nothing.
    holds("eight are not ten", within(500 * MS, count.batch_receive()).await.is_none())?;
    let one_byte_each = within(5000 * MS, bytes.batch_receive()).await.ok_or("no batch of bytes")?;
    same("a batch of seven bytes", one_byte_each.map_err(text)?.len(), 7)?;
    let (some, more) = join(count.batch_receive(), publish(&client, &env.topic(), 8..12)).await;
    more?;
    let numbers: Vec<usize> = some.map_err(text)?.iter().map(number).collect();
    same("a batch of ten", numbers, (0..10).collect())?;
    let mut all = Vec::new();
    for _ in 0..20 {
        let batch = within(5000 * MS, default.batch_receive()).await.ok_or("100 ms were not up")?;
        all.extend(batch.map_err(text)?.iter().map(number));
        if all.len() == 12 {
            break;
        }
    }
    same("all, by the default policy", all, (0..12).collect())?;
    client.close().await.map_err(text)
}

pub(crate) async fn c03_batches_of_a_full_queue_and_of_a_small_one(env: Env) -> Outcome {
    let client = env.client()?;
    publish(&client, &env.topic(), 0..60).await?;
    // Without a limit on messages, a batch is whatever fills the queue.
    let policy = BatchReceivePolicy { max_num_messages: None, max_num_bytes: Some(1 << 20), timeout: None };
    let small = earliest(&client, &env).receiver_queue_size(7).batch_receive_policy(policy);
    let small = small.subscribe().await.map_err(text)?;
    let mut all = Vec::new();
    while all.len() < 50 {
        let batch = within(5000 * MS, small.batch_receive()).await.ok_or("no batch")?.map_err(text)?;
        holds("there is something in it", !batch.is_empty())?;
        all.extend(batch.iter().map(number));
    }
    same("in order", all.clone(), (0..all.len()).collect())?;
    small.close().await.map_err(text)?;
    // With one, the queue is made as large as that: as Java's.
    let policy = BatchReceivePolicy { max_num_messages: Some(20), max_num_bytes: None, timeout: None };
    let raised = client.consumer(env.topic(), "raised").initial_position(InitialPosition::Earliest);
    let raised =
        raised.receiver_queue_size(7).batch_receive_policy(policy).subscribe().await.map_err(text)?;
    for first in [0, 20, 40] {
        let batch = within(5000 * MS, raised.batch_receive()).await.ok_or("no batch")?.map_err(text)?;
        same("a whole batch", batch.iter().map(number).collect(), (first..first + 20).collect::<Vec<_>>())?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn c04_a_listener_gets_all_one_after_another(env: Env) -> Outcome {
    let client = env.client()?;
    let (log, inside) = (Log::new(), Arc::new(AtomicUsize::new(0)));
    let (seen, guard) = (log.clone(), inside.clone());
    let listener = move |consumer: &Consumer, message: Message| {
        let alone = guard.fetch_add(1, Ordering::SeqCst) == 0;
        seen.add((alone, number(&message), consumer.acknowledge(&message).is_ok()));
        guard.fetch_sub(1, Ordering::SeqCst);
    };
    let consumer = earliest(&client, &env).receiver_queue_size(5).message_listener(listener);
    let consumer = consumer.subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 0..100).await?;
    until("all are listened to", || log.all().len() == 100).await?;
    same("one after another", log.all(), (0..100).map(|i| (true, i, true)).collect())?;
    let code = |error: Option<pulsewire::Error>| error.map(|e| e.code());
    same("receive", code(consumer.receive().await.err()), Some("InvalidOption"))?;
    same("try_receive", code(consumer.try_receive().err()), Some("InvalidOption"))?;
    same("batch_receive", code(consumer.batch_receive().await.err()), Some("InvalidOption"))?;
    consumer.close().await.map_err(text)?;
    let again = earliest(&client, &env).subscribe().await.map_err(text)?;
    silence(&again, 500 * MS).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c04_a_listener_goes_on_after_a_reconnect(env: Env) -> Outcome {
    let client = env.client()?;
    let log = Log::new();
    let seen = log.clone();
    let consumer = earliest(&client, &env).message_listener(move |consumer, message| {
        seen.add(number(&message));
        consumer.acknowledge(&message).ok();
    });
    let consumer = consumer.subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 0..3).await?;
    until("three came", || log.all().len() == 3).await?;
    consumer.acknowledge_cumulative_confirmed(MessageId::EARLIEST).await.ok();
    env.administer("PUT", &format!("{}/unload", admin_path(&env.topic())), None).await?;
    publish(&client, &env.topic(), 3..6).await?;
    until("the others came", || log.all().ends_with(&[3, 4, 5])).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c04_a_listener_that_panics_stops_nobody(env: Env) -> Outcome {
    let client = env.client()?;
    let (log, events) = (Log::new(), Log::new());
    let (seen, told) = (log.clone(), events.clone());
    let listener = move |consumer: &Consumer, message: Message| {
        assert!(number(&message) != 1, "the listener's own fault");
        consumer.acknowledge(&message).ok();
        seen.add(number(&message));
    };
    let consumer = earliest(&client, &env).message_listener(listener);
    let consumer = consumer.consumer_event_listener(move |_, event| told.add(event));
    let consumer = consumer.subscribe().await.map_err(text)?;
    let other = client.consumer(env.topic(), "other").initial_position(InitialPosition::Earliest);
    let other = other.subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 0..3).await?;
    until("the others came", || log.all() == [0, 2]).await?;
    until("the panic is told", || {
        events.all() == [ConsumerEvent::Panicked("the listener's own fault".to_owned())]
    })
    .await?;
    same("panics", consumer.panics(), 1)?;
    same("another consumer lives", number(&next(&other).await?), 0)?;
    consumer.close().await.map_err(text)?;
    let again = earliest(&client, &env).subscribe().await.map_err(text)?;
    same("it was not acknowledged", number(&next(&again).await?), 1)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c14_paused_no_more_is_asked_for(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = earliest(&client, &env).receiver_queue_size(4).start_paused(true);
    let consumer = consumer.subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 0..30).await?;
    silence(&consumer, 500 * MS).await?;
    consumer.resume().map_err(text)?;
    for i in 0..6 {
        same("number", number(&next(&consumer).await?), i)?;
    }
    consumer.pause().map_err(text)?;
    let mut received = 6;
    while let Some(message) = consumer.receive_timeout(700 * MS).await.map_err(text)? {
        same("number", number(&message), received)?;
        received += 1;
    }
    holds("no more came than was asked for", received <= 6 + 4)?;
    same("paused", consumer.state().map(|state| state.paused), Some(true))?;
    consumer.resume().map_err(text)?;
    for i in received..30 {
        same("number", number(&next(&consumer).await?), i)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn c14_a_listener_is_paused_too(env: Env) -> Outcome {
    let client = env.client()?;
    let log = Log::new();
    let seen = log.clone();
    let consumer = earliest(&client, &env).receiver_queue_size(2);
    let consumer = consumer.message_listener(move |_, message| seen.add(number(&message)));
    let consumer = consumer.start_paused(true).subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 0..20).await?;
    sleep(500 * MS).await;
    same("listened to while paused", log.all(), vec![])?;
    consumer.resume().map_err(text)?;
    until("all came", || log.all() == (0..20).collect::<Vec<_>>()).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c15_the_end_of_a_topic_is_told(env: Env) -> Outcome {
    let client = env.client()?;
    let events = Log::new();
    let told = events.clone();
    let consumer = earliest(&client, &env).consumer_event_listener(move |_, event| told.add(event));
    let consumer = consumer.subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 0..3).await?;
    same("ended", consumer.has_reached_end_of_topic(), false)?;
    env.administer("POST", &format!("{}/terminate", admin_path(&env.topic())), None).await?;
    for i in 0..3 {
        let message = next(&consumer).await?;
        same("number", number(&message), i)?;
        consumer.acknowledge(&message).map_err(text)?;
    }
    until("the end is reached", || consumer.has_reached_end_of_topic()).await?;
    until("the end is told", || events.all() == [ConsumerEvent::ReachedEndOfTopic]).await?;
    silence(&consumer, 300 * MS).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c18_what_a_consumer_counts(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = earliest(&client, &env).subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 0..20).await?;
    for _ in 0..15 {
        let message = next(&consumer).await?;
        consumer.acknowledge(&message).map_err(text)?;
    }
    until("the rest waits", || consumer.state().is_some_and(|s| s.queued_messages == 5)).await?;
    let stats = consumer.stats().map_err(text)?;
    same("messages", stats.total_messages_received, 15)?;
    same("bytes", stats.total_bytes_received, 10 + 2 * 5)?;
    same("acknowledged", stats.total_acks_sent, 15)?;
    same("waiting", stats.messages_in_receiver_queue, 5)?;
    holds("rates", stats.rate_messages_received > 0.0 && stats.rate_bytes_received > 0.0)?;
    same("rate of nothing", consumer.stats().map_err(text)?.rate_messages_received, 0.0)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c18_what_the_broker_counts(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = earliest(&client, &env).subscription_type(SubscriptionType::Shared).name("counted");
    let consumer = consumer.receiver_queue_size(100).subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 0..20).await?;
    until("all are here", || consumer.state().is_some_and(|s| s.queued_messages == 20)).await?;
    let stats = consumer.broker_stats().await.map_err(text)?;
    same("name", stats.consumer_name.as_str(), "counted")?;
    same("permits", stats.available_permits, 80)?;
    same("not acknowledged", stats.unacked_messages, 20)?;
    same("blocked", stats.blocked_on_unacked_messages, false)?;
    same("type", stats.subscription_type.as_str(), "Shared")?;
    client.close().await.map_err(text)
}

pub(crate) async fn c23_a_queue_of_zero_asks_for_one_at_a_time(env: Env) -> Outcome {
    let client = env.client()?;
    let zero = || earliest(&client, &env).subscription_type(SubscriptionType::Shared).receiver_queue_size(0);
    let first = zero().subscribe().await.map_err(text)?;
    let second = zero().subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 0..10).await?;
    same("the first asks for one", number(&next(&first).await?), 0)?;
    sleep(300 * MS).await;
    same("and holds no other", first.state().map(|s| s.queued_messages), Some(0))?;
    for i in 1..8 {
        same("the second gets the others", number(&next(&second).await?), i)?;
    }
    // One that stops waiting loses nothing: what it asked for is for the next.
    let mut received = Vec::new();
    while received.len() < 2 {
        if let Some(message) = first.receive_timeout(MS).await.map_err(text)? {
            received.push(number(&message));
        }
    }
    same("the rest", received, vec![8, 9])?;
    silence(&first, 300 * MS).await?;
    let (one, more) = join(next(&first), publish(&client, &env.topic(), 10..11)).await;
    more?;
    same("one that comes later", number(&one?), 10)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c23_a_queue_of_zero_with_a_listener(env: Env) -> Outcome {
    let client = env.client()?;
    let log = Log::new();
    let seen = log.clone();
    let consumer = earliest(&client, &env).receiver_queue_size(0);
    let consumer = consumer.message_listener(move |consumer, message| {
        let waiting = consumer.state().map(|s| s.queued_messages);
        seen.add((number(&message), waiting));
    });
    let consumer = consumer.subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 0..20).await?;
    until("all came", || log.all().len() == 20).await?;
    same("none was ahead", log.all(), (0..20).map(|i| (i, Some(0))).collect())?;
    consumer.close().await.map_err(text)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c23_a_batch_ends_a_consumer_with_a_queue_of_zero(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = earliest(&client, &env).receiver_queue_size(0).subscribe().await.map_err(text)?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    join_all((0..5).map(|i| producer.send(i.to_string()))).await;
    let error = next(&consumer).await.err().unwrap_or_default();
    holds(&format!("the error says so: {error}"), error.contains("batch") && error.contains("zero"))?;
    same("closed", consumer.state().is_none(), true)?;
    // The broker is free of it, and another with a queue gets all.
    let other = earliest(&client, &env).subscribe().await.map_err(text)?;
    same("the first", number(&next(&other).await?), 0)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c23_an_auto_scaled_queue_grows_with_its_use(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = earliest(&client, &env).auto_scaled_receiver_queue_size(true).receiver_queue_size(100);
    let consumer = consumer.subscribe().await.map_err(text)?;
    let size = || consumer.state().map(|s| s.receiver_queue_size);
    same("its size at first", size(), Some(1))?;
    publish(&client, &env.topic(), 0..500).await?;
    until("one waits", || consumer.state().is_some_and(|state| state.queued_messages > 0)).await?;
    sleep(300 * MS).await;
    same(
        "it does not grow unused",
        (size(), consumer.state().map(|s| s.queued_messages)),
        (Some(1), Some(1)),
    )?;
    for i in 0..500 {
        same("number", number(&next(&consumer).await?), i)?;
    }
    holds(&format!("it has grown, to {:?}", size()), size().is_some_and(|size| (4..=100).contains(&size)))?;
    client.close().await.map_err(text)
}

pub(crate) async fn c23_a_cap_on_the_bytes_of_the_queue(env: Env) -> Outcome {
    let client = env.client()?;
    let cap = 100_000;
    let producer = client.producer(env.topic()).batching(false).create().await.map_err(text)?;
    let sends: Vec<_> = (0..60).map(|i: usize| producer.send(format!("{i:010000}"))).collect();
    join_all(sends).await.into_iter().collect::<Result<Vec<_>, _>>().map_err(text)?;
    let consumer = earliest(&client, &env).receiver_queue_bytes(cap).subscribe().await.map_err(text)?;
    until("some wait", || consumer.state().is_some_and(|s| s.queued_messages > 0)).await?;
    let mut most = 0;
    for i in 0..60 {
        sleep(10 * MS).await;
        most = most.max(consumer.state().map_or(0, |s| s.queued_bytes));
        same("number", number(&next(&consumer).await?), i)?;
    }
    holds(&format!("{most} bytes are within the cap, and use it"), (cap / 2..=cap).contains(&most))?;
    client.close().await.map_err(text)
}

struct Watch(&'static str, Log<String>);

impl ConsumerInterceptor for Watch {
    fn before_consume(&self, _: &Consumer, message: Message) -> Message {
        self.1.add(format!("{} {}", self.0, number(&message)));
        message
    }

    fn on_acknowledge(&self, _: &Consumer, id: MessageId, error: Option<&pulsewire::Error>) {
        self.1.add(format!("{} ack {} {}", self.0, id.batch_index, error.is_none()));
    }

    fn on_acknowledge_cumulative(&self, _: &Consumer, _: MessageId, error: Option<&pulsewire::Error>) {
        self.1.add(format!("{} all {}", self.0, error.is_none()));
    }

    fn on_negative_acks_send(&self, _: &Consumer, ids: &[MessageId]) {
        self.1.add(format!("{} nack {}", self.0, ids.len()));
    }

    fn on_ack_timeout_send(&self, _: &Consumer, ids: &[MessageId]) {
        self.1.add(format!("{} late {}", self.0, ids.len()));
    }
}

pub(crate) async fn c25_interceptors_see_all_in_their_order(env: Env) -> Outcome {
    let client = env.client()?;
    let log = Log::new();
    let consumer = earliest(&client, &env).subscription_type(SubscriptionType::Shared);
    let consumer = consumer.negative_ack_redelivery_delay(100 * MS).ack_timeout(1000 * MS);
    let consumer = consumer.intercept(Watch("a", log.clone())).intercept(Watch("b", log.clone()));
    let consumer = consumer.subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 0..2).await?;
    let (zero, one) = (next(&consumer).await?, next(&consumer).await?);
    consumer.acknowledge(&zero).map_err(text)?;
    consumer.negative_acknowledge(one.id()).map_err(text)?;
    same("again", number(&next(&consumer).await?), 1)?;
    until("it was seen", || log.all().len() == 10).await?;
    let seen = ["a 0", "b 0", "a 1", "b 1", "a ack -1 true", "b ack -1 true"];
    same("first", log.all()[..6].to_vec(), seen.map(str::to_owned).to_vec())?;
    let mut then = log.all()[6..].to_vec();
    then.sort();
    same("then", then, ["a 1", "a nack 1", "b 1", "b nack 1"].map(str::to_owned).to_vec())?;
    same("late", number(&next(&consumer).await?), 1)?;
    until("that was seen too", || log.all().contains(&"b late 1".to_owned())).await?;
    consumer.close().await.map_err(text)?;
    consumer.acknowledge(&one).err().ok_or("an acknowledgement of a closed consumer")?;
    until("its failure is seen", || log.all().ends_with(&["b ack -1 false".to_owned()])).await?;
    client.close().await.map_err(text)
}

struct Panics;

impl ConsumerInterceptor for Panics {
    fn before_consume(&self, _: &Consumer, _: Message) -> Message {
        panic!("an interceptor's own fault")
    }
}

pub(crate) async fn c25_a_panic_in_one_stops_none_of_the_others(env: Env) -> Outcome {
    let client = env.client()?;
    let log = Log::new();
    let consumer = earliest(&client, &env).intercept(Watch("a", log.clone())).intercept(Panics);
    let consumer = consumer.intercept(Watch("b", log.clone())).subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 0..2).await?;
    same("first", number(&next(&consumer).await?), 0)?;
    same("second", number(&next(&consumer).await?), 1)?;
    same("seen", log.all(), ["a 0", "b 0", "a 1", "b 1"].map(str::to_owned).to_vec())?;
    same("panics", consumer.panics(), 2)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c27_the_active_consumer_is_told(env: Env) -> Outcome {
    let client = env.client()?;
    let named = |name: &str, log: &Log<ConsumerEvent>| {
        let told = log.clone();
        let consumer =
            client.consumer(env.topic(), "s").subscription_type(SubscriptionType::Failover).name(name);
        consumer.consumer_event_listener(move |_, event| told.add(event)).subscribe()
    };
    let (log_a, log_b) = (Log::new(), Log::new());
    let a = named("a", &log_a).await.map_err(text)?;
    until("the only one is active", || {
        log_a.all().last() == Some(&ConsumerEvent::BecameActive { partition: -1 })
    })
    .await?;
    let b = named("b", &log_b).await.map_err(text)?;
    let active = |consumer: &Consumer| consumer.state().and_then(|state| state.active);
    until("both know", || active(&a).is_some() && active(&b).is_some()).await?;
    sleep(300 * MS).await;
    let (first, second, log) = if active(&a) == Some(true) { (a, b, log_b) } else { (b, a, log_a) };
    same("one is active", (active(&first), active(&second)), (Some(true), Some(false)))?;
    same("the other was told", log.all().last(), Some(&ConsumerEvent::BecameInactive { partition: -1 }))?;
    first.close().await.map_err(text)?;
    until("the other takes over", || {
        log.all().last() == Some(&ConsumerEvent::BecameActive { partition: -1 })
    })
    .await?;
    same("and knows it", active(&second), Some(true))?;
    client.close().await.map_err(text)
}

pub(crate) async fn c29_how_a_consumer_is(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = earliest(&client, &env).receiver_queue_size(10).subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 0..4).await?;
    until("all are here", || consumer.state().is_some_and(|s| s.queued_messages == 4)).await?;
    next(&consumer).await?;
    let state = consumer.state().ok_or("it is open")?;
    same("waiting", (state.queued_messages, state.queued_bytes), (3, 3))?;
    same("permits", (state.available_permits, state.receiver_queue_size), (1, 10))?;
    same("connected", (consumer.is_connected(), consumer.last_disconnected()), (true, 0))?;
    env.administer("PUT", &format!("{}/unload", admin_path(&env.topic())), None).await?;
    until("the loss is seen", || consumer.last_disconnected() > 1_600_000_000_000).await?;
    until("it is back", || consumer.is_connected()).await?;
    same("the first again", number(&next(&consumer).await?), 0)?;
    consumer.close().await.map_err(text)?;
    same("closed", (consumer.is_connected(), consumer.state()), (false, None))?;
    client.close().await.map_err(text)
}

pub(crate) async fn c30_size_key_times_and_counts_of_a_message(env: Env) -> Outcome {
    let client = env.client()?;
    let producer = client.producer(env.topic()).name(format!("p-{}", env.unique)).initial_sequence_id(41);
    let producer = producer.create().await.map_err(text)?;
    let consumer = earliest(&client, &env).negative_ack_redelivery_delay(50 * MS);
    let consumer = consumer.subscription_type(SubscriptionType::Shared).subscribe().await.map_err(text)?;
    let message = producer.new_message().payload("12345").key("k").ordering_key("o").event_time(77);
    let id = message.property("one", "1").property("two", "2").send().await.map_err(text)?;
    let first = next(&consumer).await?;
    same("id", first.id(), id)?;
    same("size", first.size(), 5)?;
    same("names", (first.topic(), first.producer_name()), (env.topic().as_str(), producer.name()))?;
    same("number", first.sequence_id(), 42)?;
    same("keys", (first.key().map(|k| k.to_string()), first.event_time()), (Some("k".to_owned()), Some(77)))?;
    same("properties", (first.property("two"), first.property("none")), (Some("2".to_owned()), None))?;
    same("replicated", (first.replicated_from().is_none(), first.is_replicated()), (true, false))?;
    same("delivered before", first.redelivery_count(), 0)?;
    same("times", first.publish_time() > 1_600_000_000_000, true)?;
    if env.endpoint.entry_metadata {
        let broker = first.broker_publish_time().ok_or("no broker publish time")?;
        holds("it is near", broker.abs_diff(first.publish_time()) < 60_000)?;
        same("index", first.index(), Some(0))?;
    }
    consumer.negative_acknowledge(first.id()).map_err(text)?;
    same("delivered again", next(&consumer).await?.redelivery_count(), 1)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c32_payloads_share_the_bytes_of_their_entry(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = earliest(&client, &env).subscribe().await.map_err(text)?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    join_all((0..3).map(|_| producer.send("x".repeat(1000)))).await;
    let mut places = Vec::new();
    for _ in 0..3 {
        let message = next(&consumer).await?;
        let (bytes, copy) = (message.payload_bytes(), message.clone());
        same(
            "place",
            (bytes.as_ptr(), copy.payload().as_ptr()),
            (message.payload().as_ptr(), bytes.as_ptr()),
        )?;
        places.push((message.id().entry_id, bytes));
    }
    // Those of one batch lie in one block, a few bytes of metadata apart.
    if places[0].0 == places[2].0 {
        let between = places[2].1.as_ptr() as usize - places[0].1.as_ptr() as usize;
        holds("they are neighbours", (2000..2200).contains(&between))?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn c34_a_listener_hears_what_happens_in_its_order(env: Env) -> Outcome {
    let client = env.client()?;
    let log = Log::new();
    let told = log.clone();
    let consumer = client.consumer(env.topic(), "s").subscription_type(SubscriptionType::Failover);
    let consumer = consumer.initial_position(InitialPosition::Earliest);
    let consumer = consumer.consumer_event_listener(move |consumer, event| {
        told.add((consumer.topic().to_owned(), event));
    });
    let consumer = consumer.subscribe().await.map_err(text)?;
    let of_it = |event: ConsumerEvent| (env.topic(), event);
    let active = of_it(ConsumerEvent::BecameActive { partition: -1 });
    until("it is told that it is active", || log.all().last() == Some(&active)).await?;
    publish(&client, &env.topic(), 0..1).await?;
    consumer.acknowledge(&next(&consumer).await?).map_err(text)?;
    env.administer("POST", &format!("{}/terminate", admin_path(&env.topic())), None).await?;
    let ended = of_it(ConsumerEvent::ReachedEndOfTopic);
    until("then that the topic has ended", || log.all().last() == Some(&ended)).await?;
    same("and nothing else", log.all(), vec![active, ended])?;
    client.close().await.map_err(text)
}

pub(crate) async fn c34_what_ends_a_consumer_ends_its_listeners(env: Env) -> Outcome {
    let client = env.client()?;
    let alive = Arc::new(());
    let (held, also) = (alive.clone(), alive.clone());
    let consumer = earliest(&client, &env).message_listener(move |_, _| drop(held.clone()));
    let consumer = consumer.consumer_event_listener(move |_, _| drop(also.clone()));
    let consumer = consumer.subscribe().await.map_err(text)?;
    same("held by the listeners", Arc::strong_count(&alive), 3)?;
    drop(consumer);
    until("let go with the last handle", || Arc::strong_count(&alive) == 1).await?;
    // Its place at the broker is free.
    let again = earliest(&client, &env).subscribe().await.map_err(text)?;
    same("nothing waits", poll_immediate(again.receive()).await.is_none(), true)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c02_a_watched_consumer_that_is_served_is_left_alone(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = earliest(&client, &env).watchdog_interval(Duration::from_secs(1));
    let consumer = consumer.subscribe().await.map_err(text)?;
    silence(&consumer, Duration::from_millis(2500)).await?;
    same("it was never lost", consumer.last_disconnected(), 0)?;
    publish(&client, &env.topic(), 0..1).await?;
    same("it is served", number(&next(&consumer).await?), 0)?;
    client.close().await.map_err(text)
}

/// Gives the topic so many partitions, or more of them.
async fn partitioned(env: &Env, partitions: u32) -> Outcome {
    let path = format!("{}/partitions", admin_path(&env.topic()));
    let method = if partitions == 2 { "PUT" } else { "POST" };
    env.administer(method, &path, Some(&partitions.to_string())).await
}

pub(crate) async fn c03_batches_and_pauses_of_partitions(env: Env) -> Outcome {
    partitioned(&env, 2).await?;
    let client = env.client()?;
    let policy = BatchReceivePolicy { max_num_messages: Some(20), max_num_bytes: None, timeout: None };
    let consumer = earliest(&client, &env).batch_receive_policy(policy).start_paused(true);
    let consumer = consumer.subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 0..20).await?;
    silence(&consumer, 500 * MS).await?;
    same("paused", consumer.state().map(|s| (s.paused, s.queued_messages)), Some((true, 0)))?;
    consumer.resume().map_err(text)?;
    let batch = within(15_000 * MS, consumer.batch_receive()).await.ok_or("no batch of twenty")?;
    let mut numbers: Vec<usize> = batch.map_err(text)?.iter().map(number).collect();
    numbers.sort_unstable();
    same("all of both partitions", numbers, (0..20).collect())?;
    same("received", consumer.stats().map_err(text)?.total_messages_received, 20)?;
    same("connected", consumer.is_connected(), true)?;
    let zero = client.consumer(env.topic(), "zero").receiver_queue_size(0).subscribe().await;
    same("a queue of zero", zero.err().map(|e| e.code()), Some("InvalidOption"))?;
    client.close().await.map_err(text)
}

pub(crate) async fn c33_a_listener_hears_of_partitions_that_come_later(env: Env) -> Outcome {
    partitioned(&env, 2).await?;
    let client = env.client()?;
    let log = Log::new();
    let seen = log.clone();
    let consumer = earliest(&client, &env).auto_update_partitions_interval(Duration::from_secs(1));
    let consumer = consumer.message_listener(move |consumer, message| {
        seen.add(message.topic().to_owned());
        consumer.acknowledge(&message).ok();
    });
    let consumer = consumer.subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 0..10).await?;
    until("the first came", || log.all().len() == 10).await?;
    partitioned(&env, 4).await?;
    let of_last = format!("{}-partition-3", env.topic());
    let producer = client.producer(&of_last).batching(false).create().await.map_err(text)?;
    producer.send("10").await.map_err(text)?;
    until("one of the last partition came", || log.all().contains(&of_last)).await?;
    publish(&client, &env.topic(), 11..31).await?;
    until("and all of the others", || log.all().len() == 31).await?;
    consumer.close().await.map_err(text)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c23_the_queue_across_partitions_is_bounded(env: Env) -> Outcome {
    partitioned(&env, 2).await?;
    let client = env.client()?;
    let consumer = earliest(&client, &env).receiver_queue_size(10);
    let consumer = consumer.max_total_receiver_queue_size_across_partitions(6).subscribe();
    let consumer = consumer.await.map_err(text)?;
    same("of both", consumer.state().map(|s| s.receiver_queue_size), Some(6))?;
    publish(&client, &env.topic(), 0..40).await?;
    until("it is full", || consumer.state().is_some_and(|s| s.queued_messages == 6)).await?;
    sleep(300 * MS).await;
    same("and not fuller", consumer.state().map(|s| s.queued_messages), Some(6))?;
    let mut numbers = Vec::new();
    for _ in 0..40 {
        numbers.push(number(&next(&consumer).await?));
    }
    numbers.sort_unstable();
    same("all", numbers, (0..40).collect())?;
    client.close().await.map_err(text)
}
