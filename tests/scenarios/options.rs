//! Options: what is out of range is refused at once, by name, and all that is wrong in one error.

use std::time::Duration;

use pulsewire::{
    BatchReceivePolicy, Client, ClientBuilder, CompressionType, ConsumerBuilder, DeadLetterPolicy, ErrorKind,
    KeySharedPolicy, MessageId, MessageRoutingMode, ProducerBuilder, ReaderBuilder, RedeliveryBackoff,
    RegexSubscriptionMode, SubscriptionMode, SubscriptionType, TableViewBuilder,
};

use crate::env::{Env, Outcome, holds, same, text};

const ZERO: Duration = Duration::ZERO;
const SHORT: Duration = Duration::from_micros(10);
const MIDDLE: MessageId = MessageId { ledger_id: 1, entry_id: 1, ..MessageId::EARLIEST };

/// An option, and what sets it out of its range.
type Wrong<B> = (&'static str, fn(B) -> B);

fn of_a_client() -> Vec<Wrong<ClientBuilder>> {
    vec![
        ("operation_timeout", |b| b.operation_timeout(ZERO)),
        ("connection_timeout", |b| b.connection_timeout(ZERO)),
        ("keep_alive_interval", |b| b.keep_alive_interval(ZERO)),
        ("initial_backoff", |b| b.backoff(ZERO, Duration::from_secs(1))),
        ("max_backoff", |b| b.backoff(Duration::from_secs(2), Duration::from_secs(1))),
        ("stats_interval", |b| b.stats_interval(SHORT)),
        ("memory_limit", |b| b.memory_limit(0)),
    ]
}

fn of_a_producer() -> Vec<Wrong<ProducerBuilder>> {
    vec![
        ("name", |b| b.name("")),
        ("name", |b| b.name(" ")),
        ("property", |b| b.property(" ", "x")),
        ("initial_sequence_id", |b| b.initial_sequence_id(1 << 63)),
        ("initial_subscription_name", |b| b.initial_subscription_name("")),
        ("max_pending_messages_across_partitions", |b| {
            b.max_pending_messages(10).max_pending_messages_across_partitions(9)
        }),
        ("batching_max_messages", |b| b.batching_max_messages(0)),
        ("batching_max_bytes", |b| b.batching_max_bytes(0)),
        ("batching_max_publish_delay", |b| b.batching_max_publish_delay(SHORT)),
        ("send_timeout", |b| {
            b.batching_max_publish_delay(Duration::from_secs(1)).send_timeout(Duration::from_secs(1))
        }),
        ("chunking_enabled", |b| b.batching(true).chunking_enabled(true)),
        ("compression_type", |b| b.compression_type(CompressionType(99))),
        ("message_router", |b| b.message_routing_mode(MessageRoutingMode::CustomPartition)),
        ("message_routing_mode", |b| {
            b.message_router(|_, _| 0).message_routing_mode(MessageRoutingMode::SinglePartition)
        }),
        ("message_routing_mode", |b| {
            b.message_routing_mode(MessageRoutingMode::PartialRoundRobinPartition(0))
        }),
        ("round_robin_router_batching_partition_switch_frequency", |b| {
            b.round_robin_router_batching_partition_switch_frequency(0)
        }),
        ("auto_update_partitions_interval", |b| b.auto_update_partitions_interval(ZERO)),
    ]
}

fn of_a_consumer() -> Vec<Wrong<ConsumerBuilder>> {
    const DOWN: RedeliveryBackoff =
        RedeliveryBackoff { min_delay: Duration::from_secs(2), max_delay: SHORT, multiplier: 2.0 };
    vec![
        ("name", |b| b.name(" ")),
        ("property", |b| b.property("", "x")),
        ("start_message_id", |b| b.start_message_id(MessageId::EARLIEST)),
        ("start_message_rollback", |b| b.start_message_rollback(SHORT)),
        ("start_message_rollback", |b| {
            let b = b.subscription_mode(SubscriptionMode::NonDurable).start_message_id(MessageId::EARLIEST);
            b.start_message_rollback(Duration::from_secs(9))
        }),
        ("receiver_queue_size", |b| b.receiver_queue_size(u32::MAX)),
        ("receiver_queue_bytes", |b| b.receiver_queue_bytes(0)),
        ("receiver_queue_bytes", |b| b.receiver_queue_size(0).receiver_queue_bytes(9)),
        ("auto_scaled_receiver_queue_size", |b| {
            b.receiver_queue_size(0).auto_scaled_receiver_queue_size(true)
        }),
        ("batch_receive_policy", |b| {
            b.batch_receive_policy(BatchReceivePolicy { max_num_messages: Some(0), ..Default::default() })
        }),
        ("batch_receive_policy", |b| {
            b.batch_receive_policy(BatchReceivePolicy { timeout: Some(ZERO), ..Default::default() })
        }),
        ("watchdog_interval", |b| b.watchdog_interval(SHORT)),
        ("max_acknowledgment_group_size", |b| b.max_acknowledgment_group_size(0)),
        ("negative_ack_redelivery_backoff", |b| b.negative_ack_redelivery_backoff(DOWN)),
        ("negative_ack_redelivery_delay_precision", |b| b.negative_ack_redelivery_delay_precision(21)),
        ("ack_timeout", |b| b.ack_timeout(SHORT)),
        ("ack_timeout_tick_time", |b| b.ack_timeout_tick_time(ZERO)),
        ("ack_timeout_redelivery_backoff", |b| b.ack_timeout_redelivery_backoff(DOWN)),
        ("max_redeliver_count", |b| b.dead_letter_policy(DeadLetterPolicy::new(0))),
        ("receiver_queue_size", |b| b.enable_retry(true).receiver_queue_size(0)),
        ("priority_level", |b| b.priority_level(-1)),
        ("key_shared_policy", |b| b.key_shared_policy(KeySharedPolicy::sticky([0..=9]))),
        ("sticky hash ranges", |b| {
            let b = b.subscription_type(SubscriptionType::KeyShared);
            b.key_shared_policy(KeySharedPolicy::sticky([0..=9, 9..=10]))
        }),
        ("read_compacted", |b| b.subscription_type(SubscriptionType::Shared).read_compacted(true)),
        ("replicate_subscription_state", |b| {
            b.subscription_mode(SubscriptionMode::NonDurable).replicate_subscription_state(true)
        }),
        ("max_total_receiver_queue_size_across_partitions", |b| {
            b.max_total_receiver_queue_size_across_partitions(0)
        }),
        ("auto_update_partitions_interval", |b| b.auto_update_partitions_interval(ZERO)),
        ("pattern_auto_discovery_period", |b| b.pattern_auto_discovery_period(ZERO)),
    ]
}

fn of_a_reader() -> Vec<Wrong<ReaderBuilder>> {
    vec![
        ("start_message_id", |b| b.start_message_rollback(Duration::from_secs(9))),
        ("start_message_rollback", |b| b.start_message_rollback(SHORT)),
        ("name", |b| b.name(" ")),
        ("subscription", |b| b.subscription("")),
        ("subscription_role_prefix", |b| b.subscription_role_prefix(" ")),
        ("subscription_role_prefix", |b| b.subscription("s").subscription_role_prefix("p")),
        ("receiver_queue_size", |b| b.receiver_queue_size(u32::MAX)),
        ("key_hash_ranges", |b| b.key_hash_ranges([5..=9, 0..=5])),
        ("property", |b| b.property("", "x")),
        ("auto_update_partitions_interval", |b| b.auto_update_partitions_interval(ZERO)),
    ]
}

fn of_a_table_view() -> Vec<Wrong<TableViewBuilder>> {
    vec![
        ("memory_limit", |b| b.memory_limit(0)),
        ("subscription", |b| b.subscription(" ")),
        ("auto_update_partitions_interval", |b| b.auto_update_partitions_interval(ZERO)),
    ]
}

/// It is refused for its options, and these are named.
fn refused<T>(opened: Result<T, pulsewire::Error>, names: &[&str]) -> Outcome {
    let error = opened.err().ok_or_else(|| format!("a wrong {names:?} was accepted"))?;
    same(&format!("the kind of {names:?}"), error.kind(), ErrorKind::InvalidOption)?;
    for name in names {
        holds(&format!("{error} names {name}"), error.to_string().contains(name))?;
    }
    Ok(())
}

pub(crate) async fn k05_every_option_out_of_range_is_named(env: Env) -> Outcome {
    for (name, spoil) in of_a_client() {
        refused(spoil(env.builder()).build(), &[name])?;
    }
    let client = env.client()?;
    for (name, spoil) in of_a_producer() {
        refused(spoil(client.producer(env.topic())).create().await, &[name])?;
    }
    refused(client.consumer(env.topic(), " ").subscribe().await, &["subscription's name"])?;
    for (name, spoil) in of_a_consumer() {
        refused(spoil(client.consumer(env.topic(), "s")).subscribe().await, &[name])?;
    }
    refused(client.reader(env.topic()).create().await, &["start_message_id"])?;
    for (name, spoil) in of_a_reader() {
        let reader = client.reader(env.topic()).start_message_id(MessageId::EARLIEST);
        refused(spoil(reader).create().await, &[name])?;
    }
    for (name, spoil) in of_a_table_view() {
        refused(spoil(client.table_view(env.topic())).create().await, &[name])?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn k05_options_of_several_topics_are_checked_for_all(env: Env) -> Outcome {
    let client = env.client()?;
    let (one, two) = (env.topic(), format!("{}-2", env.topic()));
    let volatile = two.replacen("persistent://", "non-persistent://", 1);
    let none: [&str; 0] = [];
    let several = |topics: &[&str]| client.consumer_of_topics(topics.iter().copied(), "s");
    refused(client.consumer_of_topics(none, "s").subscribe().await, &["at least one topic"])?;
    refused(client.reader_of_topics(none).create().await, &["at least one topic", "start_message_id"])?;
    let compacted = several(&[&one, &volatile]).read_compacted(true);
    refused(compacted.subscribe().await, &["read_compacted"])?;
    let pattern = client.consumer_of_pattern("none-.*", "s").read_compacted(true);
    let pattern = pattern.regex_subscription_mode(RegexSubscriptionMode::NonPersistentOnly);
    let pattern = pattern.enable_retry(true).priority_level(-1);
    refused(pattern.subscribe().await, &["read_compacted", "enable_retry", "priority_level"])?;
    let many = several(&[&one, &two, &one]).receiver_queue_size(0).priority_level(-1).name("");
    refused(many.subscribe().await, &["named twice", "receiver_queue_size", "priority_level", "name"])?;
    let reader = client.reader_of_topics([&one, &one]).start_message_id(MIDDLE).name("");
    refused(reader.create().await, &["named twice", "start_message_id", "name"])?;
    client.close().await.map_err(text)
}

pub(crate) async fn k05_names_and_options_that_are_wrong_are_told_together(env: Env) -> Outcome {
    let wrong = Client::builder("http://localhost").memory_limit(0).operation_timeout(ZERO).build();
    refused(wrong, &["http://localhost", "memory_limit", "operation_timeout"])?;
    let client = env.client()?;
    let producer = client.producer("a/b").batching_max_messages(0);
    refused(producer.create().await, &["a/b", "batching_max_messages"])?;
    let consumer = client.consumer("a/b", "").priority_level(-1);
    refused(consumer.subscribe().await, &["a/b", "subscription's name", "priority_level"])?;
    let consumer = client.consumer_of_topics(["a/b", "fine", "c/d"], "s").priority_level(-1);
    refused(consumer.subscribe().await, &["a/b", "c/d", "priority_level"])?;
    let consumer = client.consumer_of_pattern("(", "s").priority_level(-1);
    refused(consumer.subscribe().await, &["not a pattern", "priority_level"])?;
    let reader = client.reader_of_topics(["a/b", "c/d"]).name(" ");
    refused(reader.create().await, &["a/b", "c/d", "start_message_id", "name"])?;
    let table = client.table_view("a/b").memory_limit(0).subscription(" ");
    refused(table.create().await, &["a/b", "memory_limit", "subscription's name"])?;
    client.close().await.map_err(text)
}

pub(crate) async fn k05_a_sequence_id_that_brokers_cannot_have_is_refused(env: Env) -> Outcome {
    let client = env.client()?;
    for batching in [false, true] {
        let producer = client.producer(env.topic()).batching(batching).create().await.map_err(text)?;
        refused(producer.new_message().payload("x").sequence_id(1 << 63).send().await, &["sequence_id"])?;
        producer.send("x").await.map_err(text)?;
    }
    client.close().await.map_err(text)
}
