//! A broker that says things which nobody knows: fields before and after those that are known, at every depth, also in
//! the metadata of entries and of the messages in batches; commands with and without an entry; values of enumerations.
//! Sessions go on as if nothing had been.

use std::time::Duration;

use pulsewire::ErrorKind;
use serde_json::{Value, json};

use crate::admin;
use crate::env::{Env, Outcome, from_earliest, holds, next, same, silence, sleep, text};
use crate::{
    acknowledging, consuming, entries, many, positions, producer_states, producing, reading, receiving,
    redelivering, service, table_view,
};

/// Scenarios of other rows, all at once, on topics of their own.
macro_rules! all_of {
    ($env:ident, [$($module:ident::$name:ident,)*]) => {
        crate::strange::together(vec![$(
            (stringify!($name), Box::pin($module::$name($env.part(stringify!($name)))) as crate::Running),
        )*]).await
    };
}
pub(crate) use all_of;

pub(crate) async fn together(parts: Vec<(&'static str, crate::Running)>) -> Outcome {
    let (names, parts): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let outcomes = futures_util::future::join_all(parts).await;
    let failed =
        names.iter().zip(outcomes).filter_map(|(name, outcome)| Some(format!("{name}: {}", outcome.err()?)));
    let failed: Vec<String> = failed.collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// After which what is lost counts as lost; so long that a busy page opens things in it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What has passed the relay.
pub(crate) async fn seen(env: &Env) -> Result<Value, String> {
    let answer = admin::call("GET", &env.endpoint.relay, "/", None).await?;
    serde_json::from_str(&answer.body).map_err(text)
}

pub(crate) async fn w01_the_broker_is_told_of_protocol_21_and_of_what_we_can(env: Env) -> Outcome {
    let client = env.client()?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    let id = producer.send("x").await.map_err(text)?;
    same("id", next(&consumer).await?.id(), id)?;
    client.close().await.map_err(text)?;
    let seen = seen(&env).await?;
    // New credentials on demand, metadata of the broker, partial producers, watching topics, and partitions that are
    // asked for without making the topic.
    same("ours", &seen["clients"], &json!([[21, [1, 2, 3, 4, 5]]]))?;
    same("the broker's protocol", &seen["brokers"][0][0], &json!(21))?;
    let offered = seen["brokers"][0][1].as_array().cloned().unwrap_or_default();
    holds(&format!("watching topics is among {offered:?}"), offered.contains(&json!(4)))
}

pub(crate) async fn w05_producers_go_on_among_unknown_things(env: Env) -> Outcome {
    all_of!(
        env,
        [
            producing::p01_send_awaited,
            producing::p01_many_in_flight_receipts_in_order,
            producing::p02_producer_name_given_or_by_the_broker,
            producing::p04_sends_close_together_travel_as_batches,
            producing::p06_sequence_ids_go_on_after_reopening,
            producing::p09_flush_waits_for_all_receipts,
            entries::p05_large_messages_travel_in_chunks,
            producer_states::p08_waiting_for_exclusive_takes_as_long_as_it_must,
            producer_states::p23_connected_and_when_it_was_not,
        ]
    )?;
    mixed_in(&env).await
}

pub(crate) async fn w05_consumers_go_on_among_unknown_things(env: Env) -> Outcome {
    all_of!(
        env,
        [
            producing::p04_a_batch_carries_what_each_message_has,
            producing::p12_key_ordering_key_event_time,
            producing::p15_properties_and_null_value,
            entries::p03_each_codec_packs_whole_batches,
            entries::p04_batches_by_key,
            consuming::c01_shared_divides_and_loses_nothing,
            consuming::c01_failover_moves_to_the_next,
            consuming::c05_acknowledged_messages_stay_away,
            consuming::c30_message_fields,
            acknowledging::c06_receipts_confirm_acknowledgements,
            redelivering::c08_half_of_a_batch_of_ours_comes_again,
            positions::c13_seek_by_id_goes_back_and_forth,
            receiving::c15_the_end_of_a_topic_is_told,
            receiving::c18_what_the_broker_counts,
            service::w04_broker_entry_metadata,
        ]
    )?;
    mixed_in(&env).await
}

pub(crate) async fn w05_many_topics_go_on_among_unknown_things(env: Env) -> Outcome {
    all_of!(
        env,
        [
            many::r01_a_partitioned_topic_from_end_to_end,
            many::c17_last_message_ids_of_several_topics,
            many::m02_a_pattern_follows_topics_that_come_and_go,
            many::m02_the_broker_tells_of_new_topics_long_before_the_next_look,
            reading::v01_starts_where_told_and_says_when_all_is_read,
            table_view::v03_get_iterate_refresh,
        ]
    )?;
    mixed_in(&env).await
}

/// Java takes an error that it does not know for one that may pass, and so do we: its words are told when the time is up.
pub(crate) async fn w05_an_unknown_error_is_an_error(env: Env) -> Outcome {
    let client = env.client()?;
    let impatient = env.builder().operation_timeout(Duration::from_secs(10)).build().map_err(text)?;
    let consumer = from_earliest(&client, &env.topic(), "s").await?;
    let error = impatient.consumer(env.topic(), "s").subscribe().await.err().ok_or("the place is taken")?;
    let unknown = matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Broker(_));
    holds(
        &format!("typed, and in the broker's words: {error}"),
        unknown && error.to_string().contains("onsumer"),
    )?;
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    let id = producer.send("x").await.map_err(text)?;
    same("id", next(&consumer).await?.id(), id)?;
    same("never disconnected", consumer.last_disconnected(), 0)?;
    holds("a value was unknown", seen(&env).await?["unknown_values"].as_u64() > Some(0))?;
    impatient.close().await.map_err(text)?;
    client.close().await.map_err(text)
}

/// The relay loses the first acknowledgement of one subscription, and the broker's receipt for that of another.
pub(crate) async fn c06_what_is_lost_on_the_way_is_not_confirmed(env: Env) -> Outcome {
    let client = env.builder().operation_timeout(PATIENCE).build().map_err(text)?;
    let before = seen(&env).await?["lost"].as_u64();
    for (subscription, left) in [("loses-acks", 0), ("loses-receipts", 1)] {
        let topic = format!("{}-{subscription}", env.topic());
        let consumer = from_earliest(&client, &topic, subscription).await?;
        let producer = client.producer(&topic).batching(false).create().await.map_err(text)?;
        for payload in ["0", "1"] {
            producer.send(payload).await.map_err(text)?;
        }
        let first = next(&consumer).await?.id();
        next(&consumer).await?;
        let lost = consumer.acknowledge_confirmed(&[first]).await;
        same(subscription, lost.map_err(|error| error.code()), Err("Timeout"))?;
        // What the broker has of it is another matter.
        consumer.redeliver_unacknowledged().map_err(text)?;
        for expected in left..2 {
            same(subscription, next(&consumer).await?.payload(), expected.to_string().as_bytes())?;
        }
        consumer.acknowledge_confirmed(&[first]).await.map_err(text)?;
        consumer.redeliver_unacknowledged().map_err(text)?;
        same(subscription, next(&consumer).await?.payload(), b"1".as_slice())?;
        silence(&consumer, Duration::from_millis(300)).await?;
    }
    let lost = seen(&env).await?["lost"].as_u64();
    holds("both were lost", lost >= before.map(|before| before + 2))?;
    client.close().await.map_err(text)
}

/// Where each acknowledgement is confirmed, one that was lost is said again without anybody's doing.
pub(crate) async fn c06_what_is_lost_on_the_way_is_said_again(env: Env) -> Outcome {
    let client = env.builder().operation_timeout(PATIENCE).build().map_err(text)?;
    for confirmed in [true, false] {
        let env = env.part(if confirmed { "confirmed" } else { "not-confirmed" });
        let producer = client.producer(env.topic()).batching(false).create().await.map_err(text)?;
        let consumer = client.consumer(env.topic(), "loses-acks").ack_receipt_enabled(confirmed);
        let consumer = consumer.subscribe().await.map_err(text)?;
        let mut ids = Vec::new();
        for payload in ["0", "1", "2"] {
            producer.send(payload).await.map_err(text)?;
            ids.push(next(&consumer).await?.id());
        }
        consumer.acknowledge_ids(&ids).map_err(text)?;
        if confirmed {
            acknowledging::backlog(&env, "loses-acks", 0).await?;
        } else {
            // Else nobody knows: it is what the option is for.
            sleep(PATIENCE + Duration::from_secs(2)).await;
            acknowledging::backlog(&env, "loses-acks", 3).await?;
        }
        consumer.close().await.map_err(text)?;
    }
    client.close().await.map_err(text)
}

/// That there was something to skip.
async fn mixed_in(env: &Env) -> Outcome {
    let seen = seen(env).await?;
    for what in ["unknown_fields", "unknown_commands"] {
        holds(what, seen[what].as_u64() > Some(20))?;
    }
    Ok(())
}
