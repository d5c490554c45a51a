//! One subscription with a Java, a Python and a pulsewire consumer on it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pulsewire::{Client, Consumer, InitialPosition, SubscriptionType};
use serde_json::{Value, json};

use super::matrix::as_said;
use super::witness::Language::{self, Java, Python};
use super::{Both, Result, text};
use crate::env::{Env, Outcome, within};

const MESSAGES: usize = 600;
const KEYS: usize = 30;
/// After so long without a message all have come.
const IDLE: Duration = Duration::from_secs(5);

pub(crate) async fn c01_three_clients_share_a_subscription(env: Env) -> Outcome {
    shared(Both::new(env)).await
}

pub(crate) async fn c01_three_clients_share_a_subscription_by_keys(env: Env) -> Outcome {
    key_shared(Both::new(env)).await
}

pub(crate) async fn c01_three_clients_take_over_from_each_other(env: Env) -> Outcome {
    failover(Both::new(env)).await
}

pub(crate) async fn c01_three_clients_exclude_each_other(env: Env) -> Outcome {
    exclusive(Both::new(env)).await
}

async fn shared(both: Both) -> Outcome {
    let three = Three::subscribe(&both, SubscriptionType::Shared, "Shared").await?;
    three.publish(0).await?;
    let received = three.receive_all().await?;
    exactly_once(&received)?;
    match received.iter().position(Vec::is_empty) {
        Some(nothing) => Err(format!("{} received nothing", NAMES[nothing])),
        None => three.close().await,
    }
}

async fn key_shared(both: Both) -> Outcome {
    let three = Three::subscribe(&both, SubscriptionType::KeyShared, "Key_Shared").await?;
    three.publish(0).await?;
    let received = three.receive_all().await?;
    exactly_once(&received)?;
    let mut owners = BTreeMap::new();
    for (who, numbers) in received.iter().enumerate() {
        let mut last = BTreeMap::new();
        for number in numbers {
            let key = number % KEYS;
            if *owners.entry(key).or_insert(who) != who {
                return Err(format!("key {key} came to two consumers"));
            }
            if last.insert(key, *number).is_some_and(|before| before > *number) {
                return Err(format!("{}: {number} came after a later message of its key", NAMES[who]));
            }
        }
    }
    if owners.values().collect::<BTreeSet<_>>().len() != 3 {
        return Err(format!("the keys are not spread over all three: {owners:?}"));
    }
    three.close().await
}

async fn failover(both: Both) -> Outcome {
    let mut three = Three::subscribe(&both, SubscriptionType::Failover, "Failover").await?;
    let mut all = vec![Vec::<usize>::new(); 3];
    for round in 0..3 {
        three.publish(round * MESSAGES).await?;
        let received = three.receive_all().await?;
        let active: Vec<usize> = (0..3).filter(|who| !received[*who].is_empty()).collect();
        let [active] = active[..] else { return Err(format!("{} were active at once", active.len())) };
        let expected: Vec<usize> = (round * MESSAGES..(round + 1) * MESSAGES).collect();
        if received[active] != expected {
            return Err(format!("{} received them out of order", NAMES[active]));
        }
        all[active].extend(&received[active]);
        three.leave(active).await?;
    }
    if all.iter().any(Vec::is_empty) {
        return Err("one of them was never active".to_owned());
    }
    three.client.close().await.map_err(text)
}

async fn exclusive(both: Both) -> Outcome {
    let topic = both.topic("shared");
    let client = both.client()?;
    let consumer = client.consumer(&topic, "s").subscribe().await.map_err(text)?;
    for language in [Java, Python] {
        let error = subscribe(&both, language, &topic, "Exclusive").await.err().unwrap_or_default();
        if !error.to_ascii_lowercase().replace(' ', "").contains("consumerbusy") {
            return Err(format!("{language:?} was not told that the consumer is busy: {error}"));
        }
    }
    consumer.close().await.map_err(text)?;
    subscribe(&both, Java, &topic, "Exclusive").await?;
    let error = client.consumer(&topic, "s").subscribe().await.err().map(|e| e.code());
    if error != Some("ConsumerBusy") {
        return Err(format!("beside Java's consumer we were told {error:?}"));
    }
    both.ask(Java, json!({ "do": "close", "handle": topic })).await?;
    client.close().await.map_err(text)
}

const NAMES: [&str; 3] = ["pulsewire", "Java", "Python"];

struct Three<'a> {
    both: &'a Both,
    topic: String,
    client: Client,
    ours: Option<Consumer>,
    theirs: Vec<Language>,
}

impl<'a> Three<'a> {
    async fn subscribe(both: &'a Both, kind: SubscriptionType, name: &str) -> Result<Self> {
        let topic = both.topic("shared");
        let client = both.client()?;
        // Small queues, so that none has it all.
        let ours = client.consumer(&topic, "s").subscription_type(kind).receiver_queue_size(20);
        let ours = ours.initial_position(InitialPosition::Earliest).subscribe().await.map_err(text)?;
        for language in [Java, Python] {
            subscribe(both, language, &topic, name).await?;
        }
        Ok(Self { both, topic, client, ours: Some(ours), theirs: vec![Java, Python] })
    }

    async fn publish(&self, first: usize) -> Outcome {
        let producer = self.client.producer(&self.topic).batching(false).create().await.map_err(text)?;
        for number in first..first + MESSAGES {
            let message = producer.new_message().payload(number.to_string());
            // Not awaited one by one: the flush below says whether all went well.
            drop(message.key(format!("key {}", number % KEYS)).send());
        }
        producer.flush().await.map_err(text)?;
        producer.close().await.map_err(text)
    }

    /// The numbers that each received until nothing came any more.
    async fn receive_all(&self) -> Result<Vec<Vec<usize>>> {
        let theirs = |language| async move {
            if !self.theirs.contains(&language) {
                return Ok(Vec::new());
            }
            let request = json!({ "do": "receive", "handle": self.topic, "count": 10 * MESSAGES, "timeout_ms": IDLE.as_millis() as u64 });
            let answer = self.both.ask(language, request).await?;
            numbers(answer["messages"].as_array().map_or(&[][..], Vec::as_slice))
        };
        let ours = async {
            let mut messages = Vec::new();
            if let Some(consumer) = &self.ours {
                while let Some(message) = within(IDLE, consumer.receive()).await {
                    let message = message.map_err(text)?;
                    consumer.acknowledge(&message).map_err(text)?;
                    messages.push(as_said(&message));
                }
            }
            numbers(&messages)
        };
        let (ours, java, python) = futures_util::future::join3(ours, theirs(Java), theirs(Python)).await;
        Ok(vec![ours?, java?, python?])
    }

    async fn leave(&mut self, who: usize) -> Outcome {
        if who == 0 {
            let Some(consumer) = self.ours.take() else { return Ok(()) };
            return consumer.close().await.map_err(text);
        }
        let language = [Java, Python][who - 1];
        self.theirs.retain(|other| *other != language);
        self.both.ask(language, json!({ "do": "close", "handle": self.topic })).await.map(drop)
    }

    async fn close(mut self) -> Outcome {
        for who in 0..3 {
            self.leave(who).await?;
        }
        self.client.close().await.map_err(text)
    }
}

async fn subscribe(both: &Both, language: Language, topic: &str, kind: &str) -> Outcome {
    let request = json!({ "do": "subscribe", "topic": topic, "subscription": "s", "type": kind, "handle": topic, "queue": 20 });
    both.ask(language, request).await.map(drop)
}

fn numbers(messages: &[Value]) -> Result<Vec<usize>> {
    messages
        .iter()
        .map(|message| {
            let digits = message["payload"].as_str().ok_or("no payload")?;
            let text: String = (0..digits.len() / 2)
                .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_or('?', char::from))
                .collect();
            text.parse().map_err(|e| format!("{text}: {e}"))
        })
        .collect()
}

fn exactly_once(received: &[Vec<usize>]) -> Outcome {
    let mut all: Vec<usize> = received.iter().flatten().copied().collect();
    all.sort_unstable();
    if all == (0..MESSAGES).collect::<Vec<_>>() {
        return Ok(());
    }
    let once: BTreeSet<usize> = all.iter().copied().collect();
    Err(format!("{} messages came, {} different ones of {MESSAGES}", all.len(), once.len()))
}
