//! Dead letters and retry letters: Java takes over what we began, and we what Java began.

use std::time::Duration;

use pulsewire::{Client, Consumer, DeadLetterPolicy, InitialPosition, SubscriptionType};
use serde_json::{Value, json};

use super::matrix::{as_said, receive};
use super::witness::{Language::Java, hex};
use super::{Both, Result, text};
use crate::env::{Env, Outcome, within};

/// When the message happened.
const WHEN: u64 = 1_700_000_000_123;
/// So often a message may come again, or be put off.
const MAX: u32 = 3;
const SOON: Duration = Duration::from_millis(200);

pub(crate) async fn c11_java_and_we_put_off_in_turns(env: Env) -> Outcome {
    put_off(Both::new(env)).await
}

pub(crate) async fn c12_java_buries_what_we_gave_back(env: Env) -> Outcome {
    we_begin(Both::new(env)).await
}

pub(crate) async fn c12_we_bury_what_java_gave_back(env: Env) -> Outcome {
    java_begins(Both::new(env)).await
}

/// One message on a new topic, and what is said of it.
async fn publish(client: &Client, topic: &str) -> Result<String> {
    let producer = client.producer(topic).create().await.map_err(text)?;
    let message = producer.new_message().payload("poison").key("k").property("own", "1");
    let id = message.ordering_key("order").event_time(WHEN).send().await.map_err(text)?;
    producer.close().await.map_err(text)?;
    Ok(id.to_string())
}

async fn ours(client: &Client, topic: &str, retry: bool) -> Result<Consumer> {
    let consumer = client.consumer(topic, "s").subscription_type(SubscriptionType::Shared);
    let consumer = consumer.initial_position(InitialPosition::Earliest).negative_ack_redelivery_delay(SOON);
    let consumer = consumer.dead_letter_policy(DeadLetterPolicy::new(MAX)).enable_retry(retry);
    consumer.subscribe().await.map_err(text)
}

async fn theirs(both: &Both, topic: &str, retry: bool) -> Outcome {
    let request = json!({
        "do": "subscribe", "topic": topic, "subscription": "s", "type": "Shared", "handle": topic,
        "retry": retry, "max_redeliver_count": MAX, "nack_delay_ms": SOON.as_millis() as u64,
    });
    both.ask(Java, request).await.map(drop)
}

/// Java receives a message and does something with it.
async fn they_receive(both: &Both, handle: &str, then: &str) -> Result<Value> {
    let request = json!({
        "do": "receive", "handle": handle, "count": 1, "timeout_ms": 15_000, "then": then, "delay_ms": 300,
    });
    let mut answer = both.ask(Java, request).await?;
    match answer["messages"][0].take() {
        Value::Null => Err("Java received nothing".to_owned()),
        message => Ok(message),
    }
}

/// What Java and we find in the dead letter topic: the message, from where it came.
async fn dead(both: &Both, client: &Client, topic: &str, origin: &str, put_off: Option<u32>) -> Outcome {
    let topic_of_letters = format!("{topic}-s-DLQ");
    let mut properties = json!({
        "own": "1", "REAL_TOPIC": topic, "REAL_SUBSCRIPTION": "s",
        "ORIGIN_MESSAGE_ID": origin, "ORIGIN_MESSAGE_IDY_TIME": origin,
    });
    if let Some(times) = put_off {
        properties["RECONSUMETIMES"] = json!(times.to_string());
        properties["DELAY_TIME"] = json!("300");
    }
    let consumer = client.consumer(&topic_of_letters, "ours").initial_position(InitialPosition::Earliest);
    let consumer = consumer.subscribe().await.map_err(text)?;
    let ours = as_said(&receive(&consumer).await?);
    let subscribe = json!({ "do": "subscribe", "topic": topic_of_letters, "subscription": "theirs", "handle": topic_of_letters });
    both.ask(Java, subscribe).await?;
    let theirs = they_receive(both, &topic_of_letters, "acknowledge").await?;
    for letter in [ours, theirs] {
        for (what, expected) in [
            ("payload", json!(hex(b"poison"))),
            ("key", json!("k")),
            ("ordering_key", json!(hex(b"order"))),
            ("event_time", json!(WHEN)),
            ("properties", properties.clone()),
        ] {
            expect(what, &letter[what], &expected)
                .map_err(|e| format!("{e}, in the dead letter {letter}"))?;
        }
    }
    match within(SOON, consumer.receive()).await {
        None => Ok(()),
        Some(_) => Err("there is more than one dead letter".to_owned()),
    }
}

/// Neither is given the message any more.
async fn nothing_left(both: &Both, client: &Client, topic: &str, retry: bool) -> Outcome {
    let consumer = ours(client, topic, retry).await?;
    if within(3 * SOON, consumer.receive()).await.is_some() {
        return Err("it came again after all".to_owned());
    }
    consumer.close().await.map_err(text)?;
    both.ask(Java, json!({ "do": "close", "handle": format!("{topic}-s-DLQ") })).await.map(drop)
}

fn expect(what: &str, found: &Value, expected: &Value) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found} instead of {expected}")) }
}

async fn put_off(both: Both) -> Outcome {
    for we_first in [true, false] {
        let topic = both.topic(&format!("later-{we_first}"));
        let client = both.client()?;
        let origin = publish(&client, &topic).await?;
        for times in 0..=MAX {
            let expected = if times == 0 { Value::Null } else { json!(times.to_string()) };
            // Twice the one, then twice the other.
            let seen = if (times < 2) == we_first {
                let consumer = ours(&client, &topic, true).await?;
                let message = receive(&consumer).await?;
                let later = consumer.reconsume_later(&message, Duration::from_millis(300));
                later.await.map_err(text)?;
                consumer.close().await.map_err(text)?;
                as_said(&message)
            } else {
                theirs(&both, &topic, true).await?;
                let message = they_receive(&both, &topic, "reconsume_later").await?;
                both.ask(Java, json!({ "do": "close", "handle": topic })).await?;
                message
            };
            expect("RECONSUMETIMES", &seen["properties"]["RECONSUMETIMES"], &expected)
                .and_then(|()| expect("the ordering key", &seen["ordering_key"], &json!(hex(b"order"))))
                .and_then(|()| expect("the event time", &seen["event_time"], &json!(WHEN)))
                .map_err(|e| format!("{e}, where we were first: {we_first}, after {times} times: {seen}"))?;
        }
        dead(&both, &client, &topic, &origin, Some(MAX + 1)).await?;
        nothing_left(&both, &client, &topic, true).await?;
        client.close().await.map_err(text)?;
    }
    Ok(())
}

async fn we_begin(both: Both) -> Outcome {
    let topic = both.topic("nacks");
    let client = both.client()?;
    let origin = publish(&client, &topic).await?;
    let consumer = ours(&client, &topic, false).await?;
    for count in 0..2 {
        let message = receive(&consumer).await?;
        expect("our count", &json!(message.redelivery_count()), &json!(count))?;
        consumer.negative_acknowledge(message.id()).map_err(text)?;
    }
    receive(&consumer).await?;
    // The counts are the broker's while somebody is on the subscription.
    theirs(&both, &topic, false).await?;
    consumer.redeliver_unacknowledged().map_err(text)?;
    consumer.close().await.map_err(text)?;
    let message = they_receive(&both, &topic, "negative_acknowledge").await?;
    expect("their count", &message["redelivery_count"], &json!(MAX))?;
    dead(&both, &client, &topic, &origin, None).await?;
    both.ask(Java, json!({ "do": "close", "handle": topic })).await?;
    nothing_left(&both, &client, &topic, false).await?;
    client.close().await.map_err(text)
}

async fn java_begins(both: Both) -> Outcome {
    let topic = both.topic("nacks");
    let client = both.client()?;
    let origin = publish(&client, &topic).await?;
    theirs(&both, &topic, false).await?;
    for count in 0..2 {
        let message = they_receive(&both, &topic, "negative_acknowledge").await?;
        expect("their count", &message["redelivery_count"], &json!(count))?;
    }
    they_receive(&both, &topic, "keep").await?;
    let consumer = ours(&client, &topic, false).await?;
    both.ask(Java, json!({ "do": "close", "handle": topic })).await?;
    let mut count = 0;
    while count < MAX {
        let message = receive(&consumer).await?;
        count = message.redelivery_count();
        consumer.negative_acknowledge_messages(&[message]).map_err(text)?;
    }
    expect("our count", &json!(count), &json!(MAX))?;
    dead(&both, &client, &topic, &origin, None).await?;
    consumer.close().await.map_err(text)?;
    nothing_left(&both, &client, &topic, false).await?;
    client.close().await.map_err(text)
}
