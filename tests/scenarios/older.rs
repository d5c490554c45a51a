//! A broker that speaks an older protocol: all that it can do works, and what it does not offer is not asked of it.
//!
//! Pulsar 2.10 speaks protocol 19, knows no feature flags, and thinks nothing of ours.

use pulsewire::ProducerAccessMode;
use serde_json::Value;

use crate::env::{Env, Outcome, from_earliest, holds, next, same, text};
use crate::strange::{all_of, seen};
use crate::{
    acknowledging, consuming, entries, many, positions, producer_states, producing, reading, redelivering,
};

/// Commands of protocol 20 and later: watching topics, topics that moved.
const NEWER: [i64; 5] = [64, 65, 66, 67, 68];

pub(crate) async fn w01_an_older_broker_takes_messages_of_all_sorts(env: Env) -> Outcome {
    all_of!(
        env,
        [
            producing::p01_send_awaited,
            producing::p01_large_payloads_arrive_whole,
            producing::p02_producer_name_given_or_by_the_broker,
            producing::p04_a_batch_carries_what_each_message_has,
            producing::p06_sequence_ids_go_on_after_reopening,
            producing::p15_properties_and_null_value,
            entries::p03_each_codec_packs_whole_batches,
            entries::p05_large_messages_travel_in_chunks,
            entries::p13_messages_are_delivered_at_their_time,
            producer_states::p08_exclusive_lets_no_other_in,
            producer_states::p22_repeats_are_dropped_through_reconnects_and_restarts,
            many::r01_a_partitioned_topic_from_end_to_end,
        ]
    )?;
    protocol(&env).await.map(drop)
}

pub(crate) async fn w01_an_older_broker_serves_consumers_and_readers(env: Env) -> Outcome {
    all_of!(
        env,
        [
            consuming::c01_shared_divides_and_loses_nothing,
            consuming::c01_key_shared_keeps_keys_together,
            consuming::c05_cumulative_ack_covers_all_before,
            consuming::c09_negative_ack_redelivers_after_its_delay,
            acknowledging::c06_receipts_confirm_acknowledgements,
            acknowledging::c07_close_and_drop_send_what_is_pending,
            redelivering::c08_half_of_a_batch_of_ours_comes_again,
            redelivering::c11_what_is_put_off_comes_again_later,
            redelivering::c12_what_comes_too_often_goes_to_the_dead_letter_topic,
            positions::c13_seek_by_id_goes_back_and_forth,
            positions::c13_seek_by_publish_time,
            reading::v01_starts_where_told_and_says_when_all_is_read,
            reading::c22_compacted_topics_give_the_last_of_each_key,
        ]
    )?;
    protocol(&env).await.map(drop)
}

/// Topics of a pattern are found by looking, as the broker does not say that it tells of them.
pub(crate) async fn w01_what_is_not_offered_is_not_used(env: Env) -> Outcome {
    all_of!(
        env,
        [
            many::m02_a_pattern_follows_topics_that_come_and_go,
            many::r01_partitions_that_come_later_are_used_and_nothing_is_lost,
        ]
    )?;
    let seen = protocol(&env).await?;
    let commands: Vec<i64> =
        seen["commands"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
    holds("clients were heard", commands.contains(&2) && commands.contains(&32))?;
    let newer: Vec<i64> = commands.into_iter().filter(|command| NEWER.contains(command)).collect();
    same("newer commands", newer, Vec::new())
}

pub(crate) async fn w01_what_an_older_broker_cannot_do_is_said_in_its_words(env: Env) -> Outcome {
    let client = env.client()?;
    let topic = env.topic();
    let producer =
        client.producer(&topic).access_mode(ProducerAccessMode::Exclusive).create().await.map_err(text)?;
    let consumer = from_earliest(&client, &topic, "s").await?;
    // It takes a mode that it does not know for the ordinary one.
    let fencing =
        client.producer(&topic).access_mode(ProducerAccessMode::ExclusiveWithFencing).create().await;
    same("fencing", fencing.err().map(|error| error.code()), Some("ProducerBusy"))?;
    let same_place = client.consumer(&topic, "s").subscribe().await;
    same("a second consumer", same_place.err().map(|error| error.code()), Some("ConsumerBusy"))?;
    let id = producer.send("still there").await.map_err(text)?;
    same("id", next(&consumer).await?.id(), id)?;
    same(
        "never disconnected",
        (producer.last_disconnected_timestamp(), consumer.last_disconnected()),
        (None, 0),
    )?;
    client.close().await.map_err(text)
}

/// What passed; the broker must have said protocol 19 and offered nothing.
async fn protocol(env: &Env) -> Result<Value, String> {
    let seen = seen(env).await?;
    same("the broker's protocol", &seen["brokers"], &serde_json::json!([[19, []]]))?;
    same("ours", &seen["clients"][0][0], &serde_json::json!(21))?;
    Ok(seen)
}
