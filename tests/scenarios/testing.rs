//! `pulsewire::testing`: the broker inside a test.

use std::time::Duration;

use futures_util::future::join_all;
use pulsewire::testing::{SendFailure, TestBroker};
use pulsewire::{Client, ServerError, SubscriptionType};

use crate::env::{Env, Outcome, from_earliest, holds, next, same, silence, sleep, text, within};

const HOUR: Duration = Duration::from_secs(3600);

/// What a user of one client does on a topic, and what comes of it, word by word.
async fn heard(client: &Client, topic: &str) -> Result<Vec<String>, String> {
    let mut heard = Vec::new();
    let code = |error: pulsewire::Error| format!("refused: {} {:?}", error.code(), error.is_retryable());
    let producer = client.producer(topic).name("only-one").create().await.map_err(text)?;
    let again = client.producer(topic).name("only-one").create().await;
    heard.push(again.map_or_else(code, |_| "two producers of one name".to_owned()));
    let consumer = client
        .consumer(topic, "shared")
        .subscription_type(SubscriptionType::Shared)
        .negative_ack_redelivery_delay(Duration::from_millis(100))
        .subscribe()
        .await
        .map_err(text)?;
    let other = client.consumer(topic, "shared").subscribe().await;
    heard.push(other.map_or_else(code, |_| "two types of one subscription".to_owned()));
    let mut ids = Vec::new();
    for n in 0..5 {
        let message = producer.new_message().payload(format!("m{n}")).key("k").property("n", n.to_string());
        ids.push(message.send().await.map_err(text)?);
    }
    heard.push(format!("ids go up: {}", ids.is_sorted()));
    for n in 0..5 {
        let message = next(&consumer).await?;
        heard.push(format!(
            "{} {:?} {:?} {} {}",
            String::from_utf8_lossy(message.payload()),
            message.key(),
            message.property("n"),
            message.redelivery_count(),
            ids.contains(&message.id())
        ));
        match n {
            3 => consumer.negative_acknowledge(message.id()).map_err(text)?,
            _ => consumer.acknowledge(&message).map_err(text)?,
        }
    }
    let message = next(&consumer).await?;
    heard.push(format!("again: {:?} {}", message.payload(), message.redelivery_count()));
    consumer.acknowledge(&message).map_err(text)?;
    let later = producer.new_message().payload("later").deliver_after(Duration::from_secs(5));
    later.send().await.map_err(text)?;
    producer.send("at once").await.map_err(text)?;
    for _ in 0..2 {
        let message = next(&consumer).await?;
        heard.push(String::from_utf8_lossy(message.payload()).into_owned());
        consumer.acknowledge(&message).map_err(text)?;
    }
    let all = from_earliest(client, topic, "all").await?;
    for _ in 0..7 {
        heard.push(String::from_utf8_lossy(next(&all).await?.payload()).into_owned());
    }
    let taken = client.consumer(topic, "all").subscribe().await;
    heard.push(taken.map_or_else(code, |_| "two exclusive consumers".to_owned()));
    heard.push(format!("partitions: {:?}", client.partitions(topic).await.map_err(code)));
    let bad = client.producer("kafka://no/such/topic").create().await;
    heard.push(bad.map_or_else(code, |_| "a topic of another kind".to_owned()));
    Ok(heard)
}

pub(crate) async fn n09_the_test_broker_tells_what_the_endpoint_tells(env: Env) -> Outcome {
    let client = env.client()?;
    let there = heard(&client, &env.topic()).await?;
    let broker = TestBroker::start().map_err(text)?;
    let here = heard(&broker.client().map_err(text)?, &env.topic()).await?;
    for (here, there) in here.iter().zip(&there) {
        same("what the test broker tells", here, there)?;
    }
    same("how much it tells", here.len(), there.len())?;
    client.close().await.map_err(text)
}

pub(crate) async fn n09_the_clock_of_the_test_broker_is_put_forward(_: Env) -> Outcome {
    let broker = TestBroker::start().map_err(text)?;
    let client = broker.client().map_err(text)?;
    let shared = client.consumer("t", "s").subscription_type(SubscriptionType::Shared);
    let consumer = shared.subscribe().await.map_err(text)?;
    let producer = client.producer("t").create().await.map_err(text)?;
    // Sent in the other order than they are due in.
    for hours in [3, 1, 2] {
        let message = producer.new_message().payload(format!("{hours} h")).deliver_after(HOUR * hours);
        message.send().await.map_err(text)?;
    }
    let delayed = |broker: &TestBroker| broker.subscriptions("t").map(|subs| subs[0].delayed).map_err(text);
    silence(&consumer, Duration::from_millis(100)).await?;
    same("delayed", delayed(&broker)?, 3)?;
    broker.advance(HOUR - Duration::from_secs(10));
    silence(&consumer, Duration::from_millis(100)).await?;
    broker.advance(Duration::from_secs(10));
    same("the first", next(&consumer).await?.payload(), b"1 h")?;
    silence(&consumer, Duration::from_millis(100)).await?;
    broker.advance(HOUR * 100);
    same("the second", next(&consumer).await?.payload(), b"2 h")?;
    same("the third", next(&consumer).await?.payload(), b"3 h")?;
    same("delayed in the end", delayed(&broker)?, 0)?;
    // Messages of no more use.
    broker.set_message_ttl("t", Duration::from_millis(59_001)).map_err(text)?;
    let held = from_earliest(&client, "t", "held").await?;
    same("held", next(&held).await?.payload(), b"3 h")?;
    let backlog = |broker: &TestBroker| {
        let subs = broker.subscriptions("t").map_err(text)?;
        subs.iter().find(|sub| sub.name == "held").map(|sub| sub.backlog).ok_or("no subscription".to_owned())
    };
    broker.advance(Duration::from_secs(50));
    producer.send("new").await.map_err(text)?;
    same("the backlog", backlog(&broker)?, 1)?;
    broker.advance(Duration::from_secs(61));
    same("the backlog, later", backlog(&broker)?, 0)?;
    // However far: nobody is taken for dead.
    broker.advance(Duration::MAX);
    producer.send("after a hundred years").await.map_err(text)?;
    next(&consumer).await?;
    holds("connections stand", broker.disconnect(|_| true) > 0)
}

pub(crate) async fn n09_sends_fail_and_connections_break_as_ordered(_: Env) -> Outcome {
    let broker = TestBroker::start().map_err(text)?;
    let quick = broker.client_builder().backoff(Duration::from_millis(10), Duration::from_millis(50));
    let client = quick.build().map_err(text)?;
    let producer = client.producer("t").send_timeout(Duration::from_secs(5)).create().await.map_err(text)?;
    let code =
        |sent: Result<_, pulsewire::Error>| sent.map_or_else(|e| e.code().to_owned(), |_| String::new());

    let failure = SendFailure::new(ServerError::NOT_ALLOWED_ERROR).message("no tea").topic("t").times(2);
    broker.fail_next_send(SendFailure::unanswered().topic("another")).map_err(text)?;
    broker.fail_next_send(failure).map_err(text)?;
    let refused = producer.send("1").await.expect_err("it was to fail");
    holds("what it says", refused.to_string().contains("no tea"))?;
    same("the second", code(producer.send("2").await), "NotAllowed".to_owned())?;
    same("the third", code(producer.send("3").await), String::new())?;
    broker.fail_next_send(ServerError::PERSISTENCE_ERROR).map_err(text)?;
    same("what passes with time", code(producer.send("4").await), String::new())?;
    broker.fail_next_send(SendFailure::unanswered()).map_err(text)?;
    same("no answer", code(producer.send("5").await), "Timeout".to_owned())?;
    same("the one after that", code(producer.send("6").await), String::new())?;
    let stored = broker.messages("t").map_err(text)?;
    let stored: Vec<&[u8]> = stored.iter().map(|message| &message.payload[..]).collect();
    same("what is stored", stored, vec![&b"3"[..], b"4", b"6"])?;

    // An outage: what was sent during it arrives after it, once.
    let consumer = from_earliest(&client, "t", "s").await?;
    broker.set_reachable(false);
    holds("connections were cut", broker.disconnect(|_| true) > 0)?;
    let sends: Vec<_> = (7..9).map(|n| producer.send(n.to_string())).collect();
    sleep(Duration::from_millis(100)).await;
    same("connections", broker.connections().len(), 0)?;
    // A subscription keeps the type that it had.
    let subs = broker.subscriptions("t").map_err(text)?;
    same("who is left", subs.first().map(|sub| (sub.kind, sub.consumers.len())), Some(("Exclusive", 0)))?;
    broker.set_reachable(true);
    for sent in join_all(sends).await {
        sent.map_err(text)?;
    }
    for expected in ["3", "4", "6", "7", "8"] {
        same("what arrives", next(&consumer).await?.payload(), expected.as_bytes())?;
    }
    // One of two.
    let other = broker.client().map_err(text)?;
    let _open = other.producer("other").name("cut-me").create().await.map_err(text)?;
    let before = broker.connections().len();
    let cut = broker.disconnect(|info| info.producers.iter().any(|(_, name)| name == "cut-me"));
    same("cut", (cut, broker.connections().len()), (1, before - 1))
}

pub(crate) async fn n09_a_full_test_broker_refuses_in_order_and_goes_on(_: Env) -> Outcome {
    let broker = TestBroker::builder().max_stored_bytes(50_000).start().map_err(text)?;
    let quick = broker.client_builder().backoff(Duration::from_millis(10), Duration::from_millis(50));
    let client = quick.build().map_err(text)?;
    let consumer = from_earliest(&client, "t", "s").await?;
    let producer = client.producer("t").batching(false).create().await.map_err(text)?;
    // Large and small ones in turn: a small one has room where a large one had none.
    let sends: Vec<_> = (0..100).map(|n: usize| producer.send(vec![n as u8; [2000, 10][n % 2]])).collect();
    let sent = futures_util::future::join_all(sends).await;
    let stored = sent.iter().take_while(|sent| sent.is_ok()).count();
    holds("some are stored", (20..90).contains(&stored))?;
    for refused in &sent[stored..] {
        let code = refused.as_ref().map_or_else(pulsewire::Error::code, |_| "sent");
        same("what is behind one that was refused", code, "ProducerBlockedQuotaExceeded")?;
    }
    for n in 0..stored {
        let message = next(&consumer).await?;
        same("in order", usize::from(message.payload()[0]), n)?;
        consumer.acknowledge(&message).map_err(text)?;
    }
    let mut again = producer.send("again").await;
    for _ in 0..100 {
        if again.is_ok() {
            break;
        }
        silence(&consumer, Duration::from_millis(50)).await?;
        again = producer.send("again").await;
    }
    again.map_err(text)?;
    same("what comes then", next(&consumer).await?.payload(), b"again")
}

pub(crate) async fn n09_what_the_test_broker_stores_can_be_looked_at(_: Env) -> Outcome {
    let broker = TestBroker::start().map_err(text)?;
    let client = broker.client().map_err(text)?;
    broker.create_topic("parts", 3).map_err(text)?;
    same("partitions", (broker.partitions("parts"), client.partitions("parts").await), (Ok(3), Ok(3)))?;
    let batching = client.producer("parts").batching_max_publish_delay(Duration::from_millis(50));
    let producer = batching.create().await.map_err(text)?;
    let consumer = from_earliest(&client, "parts", "s").await?;
    let sends: Vec<_> = (0..30)
        .map(|n| {
            producer.new_message().payload(format!("{n}")).key(format!("k{n}")).property("n", "v").send()
        })
        .collect();
    let mut ids = join_all(sends).await.into_iter().collect::<Result<Vec<_>, _>>().map_err(text)?;
    let stored = broker.messages("parts").map_err(text)?;
    let mut found: Vec<_> = stored.iter().map(|message| message.id).collect();
    ids.sort_unstable();
    found.sort_unstable();
    same("ids", found, ids)?;
    holds("batches", stored.iter().any(|message| message.id.batch_index > 0))?;
    for message in &stored {
        let n = String::from_utf8_lossy(&message.payload).into_owned();
        same("key", message.key.clone(), Some(format!("k{n}")))?;
        same("properties", &message.properties[..], &[("n".to_owned(), "v".to_owned())])?;
    }
    let backlog =
        |broker: &TestBroker| broker.subscriptions("parts").map(|subs| subs[0].backlog).map_err(text);
    holds("a backlog", backlog(&broker)? > 0)?;
    for _ in 0..30 {
        let message = next(&consumer).await?;
        consumer.acknowledge(&message).map_err(text)?;
    }
    let done = async {
        while backlog(&broker) != Ok(0) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    holds("no backlog", within(Duration::from_secs(5), done).await.is_some())?;
    same("topics", broker.topics(), vec!["persistent://public/default/parts".to_owned()])?;
    broker.delete_topic("parts").map_err(text)
}

pub(crate) async fn n09_bad_input_to_the_test_broker_is_refused(_: Env) -> Outcome {
    let strict = TestBroker::builder().auto_create_topics(false).max_stored_bytes(64 << 10);
    let broker = strict.start().map_err(text)?;
    let code =
        |done: Result<(), pulsewire::Error>| done.map_or_else(|e| e.code().to_owned(), |()| String::new());
    let wrong =
        TestBroker::builder().default_partitions(1001).max_message_size(0).max_stored_bytes(1).start();
    let wrong = wrong.map(drop).expect_err("all of it is wrong").to_string();
    for what in ["default_partitions", "max_message_size", "max_stored_bytes"] {
        holds(&format!("{wrong} names {what}"), wrong.contains(what))?;
    }
    same("unknown", code(broker.messages("nobody").map(drop)), "TopicNotFound".to_owned())?;
    same("unknown", code(broker.subscriptions("nobody").map(drop)), "TopicNotFound".to_owned())?;
    same("unknown", code(broker.partitions("nobody").map(drop)), "TopicNotFound".to_owned())?;
    same("unknown", code(broker.delete_topic("nobody")), "TopicNotFound".to_owned())?;
    same("no name", code(broker.messages("a/b").map(drop)), "InvalidTopicName".to_owned())?;
    same("too many", code(broker.create_topic("t", 1001)), "InvalidOption".to_owned())?;
    same("new", code(broker.create_topic("t", 0)), String::new())?;
    same("twice", code(broker.create_topic("t", 2)), "NotAllowed".to_owned())?;
    let away = "persistent://a/b/c";
    same("no namespace", code(broker.create_topic(away, 0)), "TopicNotFound".to_owned())?;
    same("no namespace", code(broker.create_topic(away, 2)), "TopicNotFound".to_owned())?;
    for (partitions, why) in
        [(0, "there isn't a partitioned topic u created"), (2, "should not contain '-partition-'")]
    {
        let refused = broker.create_topic("u-partition-0", partitions);
        let told = refused.expect_err("a partition of nothing").to_string();
        holds(&format!("{told}: a partition of nothing"), told.contains(why))?;
    }
    let never = SendFailure::unanswered().times(0);
    same("never", code(broker.fail_next_send(never)), "InvalidOption".to_owned())?;
    let nowhere = SendFailure::unanswered().topic("a/b");
    same("nowhere", code(broker.fail_next_send(nowhere)), "InvalidTopicName".to_owned())?;

    // A bound on memory, which refuses.
    let client = broker.client().map_err(text)?;
    let unmade = client.producer("unmade").create().await.map(drop);
    same("topics do not come by themselves", code(unmade), "TopicNotFound".to_owned())?;
    client.consumer("t", "holds-them").subscribe().await.map_err(text)?;
    let producer = client.producer("t").send_timeout(Duration::from_secs(20)).create().await.map_err(text)?;
    let mut sent = 0;
    let full = loop {
        match producer.send(vec![0; 8000]).await {
            Ok(_) if sent < 100 => sent += 1,
            Ok(_) => return Err("800 KB went into 64 KiB".to_owned()),
            Err(error) => break error,
        }
    };
    same("full", (full.code(), sent), ("ProducerBlockedQuotaExceeded", 8))
}

pub(crate) async fn n09_test_brokers_come_and_go(_: Env) -> Outcome {
    let mut standing = Vec::new();
    for n in 0..200 {
        let broker = TestBroker::start().map_err(text)?;
        let client = broker.client().map_err(text)?;
        let producer = client.producer("t").create().await.map_err(text)?;
        producer.send(n.to_string()).await.map_err(text)?;
        same("its own", broker.messages("t").map(|found| found.len()), Ok(1))?;
        if n % 20 == 0 {
            standing.push((broker, client, producer));
        }
    }
    for (broker, _, producer) in &standing {
        producer.send("again").await.map_err(text)?;
        same("still its own", broker.messages("t").map(|found| found.len()), Ok(2))?;
        broker.stop();
    }
    let (broker, client, producer) = standing.pop().ok_or("none stands")?;
    same("topics of one that was stopped", broker.topics().len(), 0)?;
    same("connections of one that was stopped", broker.connections().len(), 0)?;
    let code =
        |done: Result<(), pulsewire::Error>| done.map_or_else(|e| e.code().to_owned(), |()| String::new());
    let second = Duration::from_secs(1);
    let gone = within(second, producer.send("to nobody")).await.ok_or("a send waits for nobody")?;
    same("a send", code(gone.map(drop)), "AlreadyClosed".to_owned())?;
    let gone = within(second, client.producer("u").create()).await.ok_or("a producer waits for nobody")?;
    same("a producer", code(gone.map(drop)), "AlreadyClosed".to_owned())?;
    let orders = [
        broker.client().map(drop),
        broker.client_builder().build().map(drop),
        broker.create_topic("u", 0),
        broker.delete_topic("t"),
        broker.set_message_ttl("t", second),
        broker.fail_next_send(ServerError::NOT_ALLOWED_ERROR),
        broker.partitions("t").map(drop),
        broker.messages("t").map(drop),
        broker.subscriptions("t").map(drop),
    ];
    for order in orders {
        same("an order or a question", code(order), "AlreadyClosed".to_owned())?;
    }

    // What was under way does not wait either.
    let cut = TestBroker::start().map_err(text)?;
    let late = cut.client().map_err(text)?;
    let consumer = from_earliest(&late, "t", "s").await?;
    let producer = late.producer("t").create().await.map_err(text)?;
    cut.fail_next_send(SendFailure::unanswered()).map_err(text)?;
    let send = producer.send("unanswered");
    sleep(Duration::from_millis(50)).await;
    cut.stop();
    let sent = within(second, send).await.ok_or("a send under way waits")?;
    holds("a send under way fails", sent.is_err())?;
    let received = within(second, consumer.receive()).await.ok_or("a receive waits for nobody")?;
    same("a receive", code(received.map(drop)), "AlreadyClosed".to_owned())?;
    drop(broker);
    within(Duration::from_secs(10), client.close())
        .await
        .ok_or("a client of nobody does not close")?
        .or(Ok(()))
}
