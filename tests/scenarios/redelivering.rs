//! What comes again, and what goes elsewhere when it came too often.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use pulsewire::{
    Client, Consumer, ConsumerBuilder, DeadLetterPolicy, InitialPosition, Message, MessageId,
    RedeliveryBackoff, SubscriptionType,
};

use super::receiving::until;
use crate::env::{Env, Outcome, from_earliest, holds, next, same, silence, text, within};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

async fn publish(client: &Client, topic: &str, n: usize) -> Result<Vec<MessageId>, String> {
    let producer = client.producer(topic).batching(false).create().await.map_err(text)?;
    let sends: Vec<_> = (0..n).map(|i| producer.send(i.to_string())).collect();
    let ids = join_all(sends).await.into_iter().collect::<Result<Vec<_>, _>>().map_err(text)?;
    producer.close().await.map_err(text)?;
    Ok(ids)
}

fn of_type(env: &Env, client: &Client, subscription_type: SubscriptionType) -> ConsumerBuilder {
    let consumer = client.consumer(env.topic(), "s").subscription_type(subscription_type);
    consumer.initial_position(InitialPosition::Earliest).negative_ack_redelivery_delay(ms(100))
}

fn shared(env: &Env, client: &Client) -> ConsumerBuilder {
    of_type(env, client, SubscriptionType::Shared)
}

fn payload(message: &Message) -> String {
    String::from_utf8_lossy(message.payload()).into_owned()
}

/// Payloads of the next messages, in order of numbers.
async fn payloads(consumer: &Consumer, n: usize) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for _ in 0..n {
        found.push(payload(&next(consumer).await?));
    }
    found.sort();
    Ok(found)
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

pub(crate) async fn c10_what_is_kept_too_long_comes_again(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = shared(&env, &client).ack_timeout(ms(2000)).ack_timeout_tick_time(ms(100));
    let consumer = consumer.subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 4).await?;
    let mut first = Vec::new();
    for _ in 0..4 {
        first.push(next(&consumer).await?);
    }
    consumer.acknowledge(&first[1]).map_err(text)?;
    silence(&consumer, ms(800)).await?;
    for count in 1..3 {
        let mut again = Vec::new();
        for _ in 0..3 {
            let message = next(&consumer).await?;
            same("redelivery count", message.redelivery_count(), count)?;
            again.push(message.id());
        }
        again.sort();
        same("those", again.clone(), vec![first[0].id(), first[2].id(), first[3].id()])?;
        if count == 2 {
            consumer.acknowledge_ids(&again).map_err(text)?;
        }
    }
    silence(&consumer, ms(2500)).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c10_the_timeout_has_a_backoff_of_its_own(env: Env) -> Outcome {
    let client = env.client()?;
    let backoff = RedeliveryBackoff { min_delay: ms(100), max_delay: ms(5000), multiplier: 15.0 };
    let consumer = shared(&env, &client).ack_timeout(ms(2000)).ack_timeout_tick_time(ms(100));
    let consumer = consumer.ack_timeout_redelivery_backoff(backoff).subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 1).await?;
    next(&consumer).await?;
    silence(&consumer, ms(900)).await?;
    same("first", next(&consumer).await?.redelivery_count(), 1)?;
    // 2000 + 1500 ms.
    silence(&consumer, ms(2500)).await?;
    let again = next(&consumer).await?;
    same("second", again.redelivery_count(), 2)?;
    consumer.acknowledge(&again).map_err(text)?;
    client.close().await.map_err(text)
}

pub(crate) async fn c10_a_cumulative_ack_ends_the_wait(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = of_type(&env, &client, SubscriptionType::Exclusive).ack_timeout(ms(1000));
    let consumer = consumer.ack_timeout_tick_time(ms(100)).subscribe().await.map_err(text)?;
    let ids = publish(&client, &env.topic(), 4).await?;
    same("payloads", payloads(&consumer, 4).await?, numbers(0..4))?;
    consumer.acknowledge_cumulative(ids[2]).map_err(text)?;
    // Only the last comes again.
    same("payload", payload(&next(&consumer).await?), "3".to_owned())?;
    consumer.acknowledge_cumulative(ids[3]).map_err(text)?;
    silence(&consumer, ms(1500)).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c16_one_consumer_sees_all_again_in_order(env: Env) -> Outcome {
    let client = env.client()?;
    for subscription_type in [SubscriptionType::Exclusive, SubscriptionType::Failover] {
        let env = Env { unique: format!("{}-{subscription_type:?}", env.unique), ..env.clone() };
        let consumer = of_type(&env, &client, subscription_type).negative_ack_redelivery_delay(ms(400));
        let consumer = consumer.subscribe().await.map_err(text)?;
        publish(&client, &env.topic(), 10).await?;
        let mut messages = Vec::new();
        for _ in 0..6 {
            messages.push(next(&consumer).await?);
        }
        consumer.acknowledge_ids(&[messages[0].id(), messages[2].id()]).map_err(text)?;
        consumer.negative_acknowledge(messages[4].id()).map_err(text)?;
        // All ten but two: those that were received wait again, too.
        until("all wait again", || consumer.state().is_some_and(|state| state.queued_messages == 8)).await?;
        // What waited to be received comes after those before it, and once.
        for expected in [1, 3, 4, 5, 6, 7, 8, 9] {
            let message = next(&consumer).await?;
            same("payload", payload(&message), expected.to_string())?;
            consumer.acknowledge(&message).map_err(text)?;
        }
        silence(&consumer, ms(700)).await?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn c35_many_negative_acks_keep_their_time(env: Env) -> Outcome {
    const MANY: usize = 4000;
    let client = env.client()?;
    let backoff = RedeliveryBackoff { min_delay: ms(3000), max_delay: ms(60_000), multiplier: 2.0 };
    let consumer = shared(&env, &client).negative_ack_redelivery_backoff(backoff);
    let consumer = consumer.receiver_queue_size(5000).subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), MANY).await?;
    let mut messages = Vec::new();
    for _ in 0..MANY {
        messages.push(next(&consumer).await?);
    }
    consumer.negative_acknowledge_messages(&messages).map_err(text)?;
    silence(&consumer, ms(2500)).await?;
    let mut seen = vec![0; MANY];
    for _ in 0..MANY {
        let message = next(&consumer).await?;
        same("redelivery count", message.redelivery_count(), 1)?;
        seen[payload(&message).parse::<usize>().map_err(text)?] += 1;
        consumer.acknowledge(&message).map_err(text)?;
    }
    holds("each came again once", seen.iter().all(|times| *times == 1))?;
    silence(&consumer, ms(300)).await?;
    client.close().await.map_err(text)
}

/// What a letter says of where it comes from.
fn origin(message: &Message, topic: &str) -> Outcome {
    origin_of(message, topic, "s")
}

fn origin_of(message: &Message, topic: &str, subscription: &str) -> Outcome {
    let properties: BTreeMap<_, _> = message.properties().into_iter().collect();
    let get = |name: &str| properties.get(name).cloned().unwrap_or_default();
    same("REAL_TOPIC", get("REAL_TOPIC"), topic.to_owned())?;
    same("REAL_SUBSCRIPTION", get("REAL_SUBSCRIPTION"), subscription.to_owned())?;
    same("the ids", get("ORIGIN_MESSAGE_ID"), get("ORIGIN_MESSAGE_IDY_TIME"))?;
    holds("the id is one", get("ORIGIN_MESSAGE_ID").parse::<MessageId>().is_ok())
}

/// Nothing of the subscription is left.
async fn nothing_left(env: &Env, client: &Client) -> Outcome {
    let consumer = shared(env, client).subscribe().await.map_err(text)?;
    silence(&consumer, ms(500)).await?;
    consumer.close().await.map_err(text)
}

pub(crate) async fn c12_what_comes_too_often_goes_to_the_dead_letter_topic(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = shared(&env, &client).dead_letter_policy(DeadLetterPolicy::new(2));
    let consumer = consumer.subscribe().await.map_err(text)?;
    let dead = from_earliest(&client, &format!("{}-s-DLQ", env.topic()), "inspection").await?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    let message = producer.new_message().payload("poison").key("k").property("a", "b");
    let id = message.send().await.map_err(text)?;
    producer.send("fine").await.map_err(text)?;
    for _ in 0..4 {
        let message = next(&consumer).await?;
        if message.payload() == b"fine" {
            consumer.acknowledge(&message).map_err(text)?;
        } else {
            consumer.negative_acknowledge_messages(&[message]).map_err(text)?;
        }
    }
    let letter = next(&dead).await?;
    same("payload", payload(&letter), "poison".to_owned())?;
    same("key", letter.key(), Some("k"))?;
    origin(&letter, &env.topic())?;
    let properties: BTreeMap<_, _> = letter.properties().into_iter().collect();
    same("its own", properties.get("a").map(String::as_str), Some("b"))?;
    same("origin", properties.get("ORIGIN_MESSAGE_ID").cloned(), Some(id.to_string()))?;
    silence(&consumer, ms(500)).await?;
    silence(&dead, ms(100)).await?;
    consumer.close().await.map_err(text)?;
    nothing_left(&env, &client).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c12_the_ack_timeout_counts_and_of_a_batch_each_message(env: Env) -> Outcome {
    let client = env.client()?;
    let policy = DeadLetterPolicy::new(1).dead_letter_topic(format!("{}-dead", env.topic()));
    let policy = policy.dead_letter_producer(|producer| producer.properties.push(("a".into(), "b".into())));
    let consumer = shared(&env, &client).dead_letter_policy(policy).ack_timeout(ms(1000));
    let consumer = consumer.ack_timeout_tick_time(ms(100)).subscribe().await.map_err(text)?;
    let dead = from_earliest(&client, &format!("{}-dead", env.topic()), "inspection").await?;
    let producer = client.producer(env.topic()).batching_max_publish_delay(ms(500)).create();
    let producer = producer.await.map_err(text)?;
    let sends: Vec<_> = (0..4).map(|i| producer.send(i.to_string())).collect();
    join_all(sends).await.into_iter().collect::<Result<Vec<_>, _>>().map_err(text)?;
    for round in 0..2 {
        for i in 0..4 {
            let message = next(&consumer).await?;
            same("payload", payload(&message), i.to_string())?;
            same("they are a batch", message.id().batch_size, 4)?;
            // One is acknowledged, one negatively so, two are kept.
            if round == 1 && i == 0 {
                consumer.acknowledge(&message).map_err(text)?;
            }
            if round == 1 && i == 3 {
                consumer.negative_acknowledge_messages(&[message]).map_err(text)?;
            }
        }
    }
    let mut letters = Vec::new();
    for _ in 0..3 {
        let letter = next(&dead).await?;
        origin(&letter, &env.topic())?;
        letters.push(payload(&letter));
    }
    letters.sort();
    same("dead letters", letters, numbers(1..4))?;
    silence(&dead, ms(200)).await?;
    consumer.close().await.map_err(text)?;
    nothing_left(&env, &client).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c12_what_was_given_up_by_others_counts_too(env: Env) -> Outcome {
    let client = env.client()?;
    publish(&client, &env.topic(), 3).await?;
    let dead = from_earliest(&client, &format!("{}-s-DLQ", env.topic()), "inspection").await?;
    let other = shared(&env, &client).subscribe().await.map_err(text)?;
    for _ in 0..3 {
        same("payloads", payloads(&other, 3).await?, numbers(0..3))?;
        other.redeliver_unacknowledged().map_err(text)?;
    }
    same("payloads", payloads(&other, 3).await?, numbers(0..3))?;
    let consumer = shared(&env, &client).dead_letter_policy(DeadLetterPolicy::new(2));
    let consumer = consumer.subscribe().await.map_err(text)?;
    other.close().await.map_err(text)?;
    same("dead letters", payloads(&dead, 3).await?, numbers(0..3))?;
    silence(&consumer, ms(500)).await?;
    consumer.close().await.map_err(text)?;
    nothing_left(&env, &client).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c12_a_letter_that_cannot_be_sent_loses_nothing(env: Env) -> Outcome {
    let client = env.client()?;
    // Someone has the name that its producer wants.
    let _other =
        client.producer(format!("{}-s-DLQ", env.topic())).name("taken").create().await.map_err(text)?;
    let policy =
        DeadLetterPolicy::new(1).dead_letter_producer(|producer| producer.name = Some("taken".into()));
    let consumer = shared(&env, &client).dead_letter_policy(policy).subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 2).await?;
    for _ in 0..2 {
        for _ in 0..2 {
            let message = next(&consumer).await?;
            consumer.negative_acknowledge_messages(&[message]).map_err(text)?;
        }
    }
    silence(&consumer, ms(500)).await?;
    consumer.close().await.map_err(text)?;
    let consumer = shared(&env, &client).subscribe().await.map_err(text)?;
    same("they are still there", payloads(&consumer, 2).await?, numbers(0..2))?;
    client.close().await.map_err(text)
}

pub(crate) async fn c12_options_out_of_range_are_named(env: Env) -> Outcome {
    let client = env.client()?;
    let policy = DeadLetterPolicy::new(0).dead_letter_topic("http://no/topic");
    let refused = shared(&env, &client).dead_letter_policy(policy).ack_timeout(ms(10)).subscribe().await;
    let error = refused.err().ok_or("it was not refused")?;
    same("code", error.code(), "InvalidOption")?;
    for part in ["max_redeliver_count", "http://no/topic", "ack_timeout is at least 1 s"] {
        holds(&format!("{error} names {part}"), error.to_string().contains(part))?;
    }
    client.close().await.map_err(text)
}

/// Named strings of a message.
fn named(message: &Message, name: &str) -> Option<String> {
    message.properties().into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

pub(crate) async fn c11_what_is_put_off_comes_again_later(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = shared(&env, &client).dead_letter_policy(DeadLetterPolicy::new(2)).enable_retry(true);
    let consumer = consumer.subscribe().await.map_err(text)?;
    let dead = from_earliest(&client, &format!("{}-s-DLQ", env.topic()), "inspection").await?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    let message = producer.new_message().payload("later").key("k").property("a", "b");
    let id = message.send().await.map_err(text)?;
    for times in 0..3 {
        let message = next(&consumer).await?;
        same("payload", payload(&message), "later".to_owned())?;
        same("key", message.key(), Some("k"))?;
        same("its own", named(&message, "a"), Some("b".to_owned()))?;
        let counted = (times > 0).then(|| times.to_string());
        same("RECONSUMETIMES", named(&message, "RECONSUMETIMES"), counted)?;
        if times > 0 {
            origin(&message, &env.topic())?;
            same("origin", named(&message, "ORIGIN_MESSAGE_ID"), Some(id.to_string()))?;
            same("DELAY_TIME", named(&message, "DELAY_TIME"), Some("4000".to_owned()))?;
            same("topic", message.topic(), format!("{}-s-RETRY", env.topic()).as_str())?;
        }
        if times == 1 {
            let more = [("why".to_owned(), "not yet".to_owned())];
            consumer.reconsume_later_with(&message, &more, ms(4000)).await.map_err(text)?;
        } else {
            consumer.reconsume_later(&message, ms(4000)).await.map_err(text)?;
        }
        // Not before its time, which brokers take for a second shorter.
        silence(&consumer, ms(1200)).await?;
    }
    let letter = next(&dead).await?;
    same("RECONSUMETIMES", named(&letter, "RECONSUMETIMES"), Some("3".to_owned()))?;
    same("what was added", named(&letter, "why"), Some("not yet".to_owned()))?;
    origin(&letter, &env.topic())?;
    consumer.close().await.map_err(text)?;
    // All of it is acknowledged, on both topics.
    let again = shared(&env, &client).enable_retry(true).subscribe().await.map_err(text)?;
    silence(&again, ms(500)).await?;
    client.close().await.map_err(text)
}

/// Topics that the first clients made for letters are used, as Java uses them.
pub(crate) async fn c11_letters_go_where_older_clients_had_them(env: Env) -> Outcome {
    let client = env.client()?;
    // Of a subscription that no other run has, as these names are the namespace's.
    let subscription = format!("older-{}", env.unique);
    let older = |suffix: &str| format!("persistent://public/default/{subscription}-{suffix}");
    for (there, part) in [(&["RETRY"][..], "one"), (&["RETRY", "DLQ"], "both")] {
        let topic = format!("{}-{part}", env.topic());
        for suffix in there {
            let made = client.producer(older(suffix)).create().await.map_err(text)?;
            made.close().await.map_err(text)?;
        }
        let consumer = client.consumer(&topic, &subscription).subscription_type(SubscriptionType::Shared);
        let consumer = consumer.dead_letter_policy(DeadLetterPolicy::new(1)).enable_retry(true);
        let consumer = consumer.subscribe().await.map_err(text)?;
        same("topics", consumer.topics(), vec![topic.clone(), older("RETRY")])?;
        let buried = if there.len() == 1 { format!("{topic}-{subscription}-DLQ") } else { older("DLQ") };
        let dead = from_earliest(&client, &buried, "inspection").await?;
        publish(&client, &topic, 1).await?;
        for came_from in [topic.clone(), older("RETRY")] {
            let message = next(&consumer).await?;
            same("topic", message.topic(), came_from.as_str())?;
            consumer.reconsume_later(&message, ms(100)).await.map_err(text)?;
        }
        origin_of(&next(&dead).await?, &topic, &subscription)?;
        consumer.close().await.map_err(text)?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn c11_on_one_consumer_all_before_is_done_with(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = of_type(&env, &client, SubscriptionType::Exclusive).enable_retry(true);
    let consumer = consumer.subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 4).await?;
    let mut messages = Vec::new();
    for _ in 0..3 {
        messages.push(next(&consumer).await?);
    }
    consumer.reconsume_later_cumulative(&messages[2], Duration::ZERO).await.map_err(text)?;
    same("payloads", payloads(&consumer, 2).await?, vec!["2".to_owned(), "3".to_owned()])?;
    consumer.close().await.map_err(text)?;
    let again = of_type(&env, &client, SubscriptionType::Exclusive).subscribe().await.map_err(text)?;
    same("the rest", payload(&next(&again).await?), "3".to_owned())?;
    silence(&again, ms(300)).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c11_nothing_is_put_off_unasked(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = shared(&env, &client).subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 1).await?;
    let message = next(&consumer).await?;
    let refused = consumer.reconsume_later(&message, ms(1)).await;
    same("code", refused.err().map(|e| e.code()), Some("NotSupported"))?;
    consumer.acknowledge(&message).map_err(text)?;
    let pattern = client.consumer_of_pattern(format!("public/default/{}.*", env.unique), "s");
    let refused = pattern.enable_retry(true).subscribe().await;
    same("code", refused.err().map(|e| e.code()), Some("InvalidOption"))?;
    client.close().await.map_err(text)
}

pub(crate) async fn c12_the_dead_letter_topic_begins_with_a_subscription(env: Env) -> Outcome {
    let client = env.client()?;
    let topic = format!("{}-dead", env.topic());
    let policy = DeadLetterPolicy::new(1).dead_letter_topic(&topic).initial_subscription_name("inspection");
    let policy = policy.dead_letter_producer(|producer| producer.name = Some("undertaker".into()));
    let consumer = shared(&env, &client).dead_letter_policy(policy).subscribe().await.map_err(text)?;
    publish(&client, &env.topic(), 1).await?;
    for _ in 0..2 {
        let message = next(&consumer).await?;
        consumer.negative_acknowledge_messages(&[message]).map_err(text)?;
    }
    silence(&consumer, ms(700)).await?;
    // It began at the first message, although nobody had subscribed.
    let dead = client.consumer(&topic, "inspection").subscribe().await.map_err(text)?;
    let letter = next(&dead).await?;
    same("payload", payload(&letter), "0".to_owned())?;
    same("producer", letter.producer_name(), "undertaker")?;
    client.close().await.map_err(text)
}

pub(crate) async fn c05_properties_stay_with_the_place(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = of_type(&env, &client, SubscriptionType::Exclusive).subscribe().await.map_err(text)?;
    let ids = publish(&client, &env.topic(), 4).await?;
    same("payloads", payloads(&consumer, 4).await?, numbers(0..4))?;
    let properties = [("compacted".to_owned(), 17), ("ledger".to_owned(), 1 << 40)];
    consumer.acknowledge_cumulative_with(ids[1], &properties).map_err(text)?;
    consumer.acknowledge_ids_with(&[ids[3]], &properties[..1]).map_err(text)?;
    consumer.redeliver_unacknowledged().map_err(text)?;
    same("the rest", payloads(&consumer, 1).await?, numbers(2..3))?;
    silence(&consumer, ms(300)).await?;
    let path = format!("/admin/v2/persistent/public/default/{}/internalStats", env.unique);
    let answer = env.admin("GET", &path, None).await?;
    let stats: serde_json::Value = serde_json::from_str(&answer.body).map_err(text)?;
    let kept = &stats["cursors"]["s"]["properties"];
    same("kept", kept, &serde_json::json!({ "compacted": 17, "ledger": 1_u64 << 40 }))?;
    client.close().await.map_err(text)
}

pub(crate) async fn c06_each_acknowledgement_is_confirmed(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = shared(&env, &client).ack_receipt_enabled(true).subscribe().await.map_err(text)?;
    let ids = publish(&client, &env.topic(), 20).await?;
    same("count", payloads(&consumer, 20).await?.len(), 20)?;
    consumer.acknowledge_ids(&ids[..10]).map_err(text)?;
    // What it has confirmed while it moves the topic a broker may have forgotten all the same.
    silence(&consumer, ms(400)).await?;
    // It drops those that come then; they are said again.
    let path = format!("/admin/v2/persistent/public/default/{}/unload", env.unique);
    env.administer("PUT", &path, None).await?;
    consumer.acknowledge_ids(&ids[10..15]).map_err(text)?;
    let mut seen = Vec::new();
    while let Some(message) =
        within(ms(if seen.is_empty() { 15_000 } else { 2000 }), consumer.receive()).await
    {
        let message = message.map_err(text)?;
        let number = payload(&message).parse::<usize>().map_err(text)?;
        seen.push(number);
        // The others have been acknowledged, once: only who says so again loses none.
        if number >= 15 {
            consumer.acknowledge(&message).map_err(text)?;
        }
    }
    seen.sort_unstable();
    seen.dedup();
    holds(
        &format!("what was not acknowledged came again, and not {seen:?}"),
        seen.ends_with(&[15, 16, 17, 18, 19]),
    )?;
    consumer.close().await.map_err(text)?;
    nothing_left(&env, &client).await?;
    client.close().await.map_err(text)
}

pub(crate) async fn c08_half_of_a_batch_of_ours_comes_again(env: Env) -> Outcome {
    let client = env.client()?;
    for cumulative in [false, true] {
        let env = Env { unique: format!("{}-{cumulative}", env.unique), ..env.clone() };
        let subscribe = || of_type(&env, &client, SubscriptionType::Exclusive).subscribe();
        let consumer = subscribe().await.map_err(text)?;
        let producer = client.producer(env.topic()).batching_max_publish_delay(ms(2000)).create();
        let producer = producer.await.map_err(text)?;
        let sends: Vec<_> = (0..1000).map(|i| producer.send(i.to_string())).collect();
        join_all(sends).await.into_iter().collect::<Result<Vec<_>, _>>().map_err(text)?;
        let mut ids = Vec::new();
        for _ in 0..1000 {
            ids.push(next(&consumer).await?.id());
        }
        same("they are one batch", ids[0].batch_size, 1000)?;
        if cumulative {
            consumer.acknowledge_cumulative(ids[499]).map_err(text)?;
        } else {
            consumer.acknowledge_ids(&ids[..500]).map_err(text)?;
        }
        consumer.close().await.map_err(text)?;
        let consumer = subscribe().await.map_err(text)?;
        let mut missing: Vec<usize> = (500..1000).collect();
        while !missing.is_empty() {
            let number: usize = payload(&next(&consumer).await?).parse().map_err(text)?;
            missing.retain(|m| *m != number);
        }
        consumer.close().await.map_err(text)?;
    }
    client.close().await.map_err(text)
}
