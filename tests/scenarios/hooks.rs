//! Code of the user's own that readers and consumers call, and what is set for some topics of a consumer only.

use std::time::Duration;

use futures_util::future::join_all;
use pulsewire::{
    Client, Consumer, ConsumerEvent, ConsumerInterceptor, ErrorKind, Message, MessageId, ProducerInterceptor,
    Reader, ReaderBuilder, ReaderInterceptor, SubscriptionType, TopicConfiguration,
};

use crate::env::{Env, Outcome, holds, same, text};
use crate::many::{grow, partition};
use crate::reading::admin_path;
use crate::receiving::{Log, until};

/// How often partitions are looked for here; in earnest it is a minute.
const SOON: Duration = Duration::from_millis(300);

async fn publish(client: &Client, topic: &str, payloads: &[&str]) -> Outcome {
    let producer = client.producer(topic).batching(false).create().await.map_err(text)?;
    let sends: Vec<_> = payloads.iter().map(|payload| producer.send((*payload).to_owned())).collect();
    join_all(sends).await.into_iter().collect::<Result<Vec<_>, _>>().map_err(text)?;
    producer.close().await.map_err(text)
}

fn payload(message: &Message) -> String {
    String::from_utf8_lossy(message.payload()).into_owned()
}

fn earliest(client: &Client, env: &Env) -> ReaderBuilder {
    client.reader(env.topic()).start_message_id(MessageId::EARLIEST)
}

pub(crate) async fn v01_a_listener_reads_all_and_hears_of_the_end(env: Env) -> Outcome {
    let client = env.client()?;
    let (log, events) = (Log::new(), Log::new());
    let (seen, told) = (log.clone(), events.clone());
    let reader = earliest(&client, &env).reader_listener(move |reader, message| {
        seen.add(payload(&message));
        // A panic ends a page's program; elsewhere it must not end the reader.
        assert!(reader.topic() == message.topic());
        assert!(payload(&message) != "1" || cfg!(target_family = "wasm"), "the listener's own fault");
    });
    let reader =
        reader.reader_event_listener(move |_, event| told.add(event)).create().await.map_err(text)?;
    publish(&client, &env.topic(), &["0", "1", "2"]).await?;
    until("all were read", || log.all() == ["0", "1", "2"]).await?;
    let pulled = reader.read_next().await.err().ok_or("it reads beside its listener")?;
    same("read_next", pulled.kind(), ErrorKind::InvalidOption)?;
    same(
        "try_read_next",
        reader.try_read_next().err().map(|error| error.kind()),
        Some(ErrorKind::InvalidOption),
    )?;
    env.administer("POST", &format!("{}/terminate", admin_path(&env.topic())), None).await?;
    until("the end is told", || events.all().contains(&ConsumerEvent::ReachedEndOfTopic)).await?;
    let panicked = ConsumerEvent::Panicked("the listener's own fault".to_owned());
    let panics = if cfg!(target_family = "wasm") { 0 } else { 1 };
    same("panics", (reader.panics(), events.all().contains(&panicked)), (panics, panics == 1))?;
    reader.close().await.map_err(text)?;
    client.close().await.map_err(text)
}

/// What is called, and by whom.
struct Watch(&'static str, Log<String>);

impl ReaderInterceptor for Watch {
    fn before_read(&self, _: &Reader, message: Message) -> Message {
        self.1.add(format!("{} {}", self.0, payload(&message)));
        assert!(self.0 != "b" || cfg!(target_family = "wasm"), "an interceptor's own fault");
        message
    }

    fn on_partitions_change(&self, _: &Reader, topic: &str, partitions: u32) {
        self.1.add(format!("{} {topic} {partitions}", self.0));
    }
}

impl ConsumerInterceptor for Watch {
    fn on_partitions_change(&self, _: &Consumer, topic: &str, partitions: u32) {
        self.1.add(format!("{} {topic} {partitions}", self.0));
        assert!(self.0 != "b" || cfg!(target_family = "wasm"), "an interceptor's own fault");
    }
}

pub(crate) async fn v01_interceptors_see_what_is_read_in_their_order(env: Env) -> Outcome {
    let client = env.client()?;
    let log = Log::new();
    let mut reader = earliest(&client, &env);
    for name in ["a", "b", "c"] {
        reader = reader.intercept(Watch(name, log.clone()));
    }
    let reader = reader.create().await.map_err(text)?;
    publish(&client, &env.topic(), &["0", "1"]).await?;
    same("first", payload(&reader.read_next().await.map_err(text)?), "0".to_owned())?;
    let second = reader.read_next_timeout(Duration::from_secs(30)).await.map_err(text)?;
    same("second", second.as_ref().map(payload), Some("1".to_owned()))?;
    same("seen", log.all(), ["a 0", "b 0", "c 0", "a 1", "b 1", "c 1"].map(str::to_owned).to_vec())?;
    same("panics", reader.panics(), if cfg!(target_family = "wasm") { 0 } else { 2 })?;
    holds("all was read", !reader.has_message_available().await.map_err(text)?)?;
    client.close().await.map_err(text)
}

impl ProducerInterceptor for Watch {
    fn on_partitions_change(&self, topic: &str, partitions: u32) {
        self.1.add(format!("{} {topic} {partitions}", self.0));
        assert!(self.0 != "b" || cfg!(target_family = "wasm"), "an interceptor's own fault");
    }
}

pub(crate) async fn p17_interceptors_hear_of_partitions_that_come_later(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    partition(&env, &topic, 1).await?;
    let (of_all, of_lazy, of_still) = (Log::new(), Log::new(), Log::new());
    let producer = || client.producer(&topic).auto_update_partitions_interval(SOON);
    let all = producer().interceptor(Watch("b", of_all.clone())).interceptor(Watch("c", of_all.clone()));
    let all = all.create().await.map_err(text)?;
    let lazy = producer().lazy_start_partitioned_producers(true).interceptor(Watch("l", of_lazy.clone()));
    let lazy = lazy.create().await.map_err(text)?;
    let still = producer().auto_update_partitions(false).interceptor(Watch("s", of_still.clone()));
    let still = still.create().await.map_err(text)?;
    grow(&env, &topic, 3).await?;
    let told = |name: &str| format!("{name} {topic} 3");
    until("those of one that opens all", || of_all.all() == [told("b"), told("c")]).await?;
    until("those of a lazy one", || of_lazy.all() == [told("l")]).await?;
    same("partitions", [&all, &lazy, &still].map(|p| p.partitions()), [3, 3, 1])?;
    same("one that does not look", of_still.all().len(), 0)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c25_interceptors_hear_of_partitions_that_come_later(env: Env) -> Outcome {
    let (client, topic) = (env.client()?, env.topic());
    partition(&env, &topic, 1).await?;
    let (of_consumer, of_reader, of_still) = (Log::new(), Log::new(), Log::new());
    let consumer = client.consumer(&topic, "s").auto_update_partitions_interval(SOON);
    let consumer =
        consumer.intercept(Watch("b", of_consumer.clone())).intercept(Watch("c", of_consumer.clone()));
    let consumer = consumer.subscribe().await.map_err(text)?;
    let reader = earliest(&client, &env).auto_update_partitions_interval(SOON);
    let reader = reader.intercept(Watch("r", of_reader.clone())).create().await.map_err(text)?;
    let still = earliest(&client, &env).auto_update_partitions(false).auto_update_partitions_interval(SOON);
    let still = still.intercept(Watch("s", of_still.clone())).create().await.map_err(text)?;
    grow(&env, &topic, 3).await?;
    let told = |name: &str| format!("{name} {topic} 3");
    until("the consumer's are told", || of_consumer.all() == [told("b"), told("c")]).await?;
    until("the reader's is told", || of_reader.all() == [told("r")]).await?;
    same("panics", consumer.panics(), if cfg!(target_family = "wasm") { 0 } else { 1 })?;
    // Those that are new are read.
    let last = format!("{topic}-partition-2");
    publish(&client, &last, &["x"]).await?;
    same("read", payload(&reader.read_next().await.map_err(text)?), "x".to_owned())?;
    same("one that does not look", (still.partitions().len(), of_still.all().len()), (1, 0))?;
    client.close().await.map_err(text)
}

/// By the order in which the broker serves two consumers of each topic.
pub(crate) async fn c19_a_topic_has_a_priority_of_its_own(env: Env) -> Outcome {
    let client = env.client()?;
    let topics = [format!("{}-named", env.topic()), format!("{}-matched", env.topic())];
    for topic in &topics {
        partition(&env, topic, 1).await?;
    }
    let consumer = |name: &str| {
        let consumer = client.consumer_of_topics(topics.clone(), "s").name(name).receiver_queue_size(10);
        consumer.subscription_type(SubscriptionType::Shared)
    };
    let second = TopicConfiguration { priority_level: 1 };
    let matching = format!("{}-mat.*", env.topic());
    // Of the first topic `a` is served first, of the second `b`.
    let b = consumer("b").topic_configuration(&topics[0], second).subscribe().await.map_err(text)?;
    let a = consumer("a").topic_configuration_of_pattern(matching, second).subscribe().await.map_err(text)?;
    let numbers: Vec<String> = (0..6).map(|n| n.to_string()).collect();
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    for topic in &topics {
        publish(&client, topic, &numbers).await?;
    }
    for (consumer, topic) in [(&a, &topics[0]), (&b, &topics[1])] {
        for number in &numbers {
            let message = consumer.receive_timeout(Duration::from_secs(10)).await.map_err(text)?;
            let message = message.ok_or_else(|| format!("{topic} went to the other one"))?;
            same("topic", message.topic(), format!("{topic}-partition-0").as_str())?;
            same("number", payload(&message).as_str(), *number)?;
        }
        let more = consumer.receive_timeout(Duration::from_millis(300)).await.map_err(text)?;
        same("more", more.map(|message| message.topic().to_owned()), None)?;
    }
    client.close().await.map_err(text)
}
