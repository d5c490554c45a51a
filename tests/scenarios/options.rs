//! Options: what is out of range is refused at once, by name, and all that is wrong in one error.

use std::ops::RangeInclusive;
use std::time::Duration;

use pulsewire::{
    BatchReceivePolicy, Client, ClientBuilder, CompressionType, ConsumerBuilder, DeadLetterPolicy, ErrorKind,
    KeySharedPolicy, MessageId, MessageRoutingMode, ProducerBuilder, ProducerConfig, ReaderBuilder,
    RedeliveryBackoff, RegexSubscriptionMode, SubscriptionMode, SubscriptionType, TableViewBuilder,
    TopicConfiguration,
};

use crate::env::{Env, Outcome, holds, next, same, silence, text};

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
        ("chunk_max_message_size", |b| b.chunk_max_message_size(1 << 31)),
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
        ("batch_receive_policy", |b| {
            b.batch_receive_policy(BatchReceivePolicy { max_num_bytes: Some(0), ..Default::default() })
        }),
        ("batch_receive_policy", |b| {
            b.batch_receive_policy(BatchReceivePolicy {
                max_num_messages: None,
                max_num_bytes: None,
                timeout: None,
            })
        }),
        ("watchdog_interval", |b| b.watchdog_interval(SHORT)),
        ("max_acknowledgment_group_size", |b| b.max_acknowledgment_group_size(0)),
        ("negative_ack_redelivery_backoff", |b| b.negative_ack_redelivery_backoff(DOWN)),
        ("negative_ack_redelivery_backoff", |b| {
            b.negative_ack_redelivery_backoff(RedeliveryBackoff { min_delay: ZERO, ..Default::default() })
        }),
        ("negative_ack_redelivery_backoff", |b| {
            b.negative_ack_redelivery_backoff(RedeliveryBackoff { multiplier: 0.5, ..Default::default() })
        }),
        ("negative_ack_redelivery_backoff", |b| {
            b.negative_ack_redelivery_backoff(RedeliveryBackoff {
                multiplier: f64::NAN,
                ..Default::default()
            })
        }),
        ("negative_ack_redelivery_delay_precision", |b| b.negative_ack_redelivery_delay_precision(21)),
        ("ack_timeout", |b| b.ack_timeout(SHORT)),
        ("ack_timeout_tick_time", |b| b.ack_timeout_tick_time(ZERO)),
        ("ack_timeout_redelivery_backoff", |b| b.ack_timeout_redelivery_backoff(DOWN)),
        ("max_redeliver_count", |b| b.dead_letter_policy(DeadLetterPolicy::new(0))),
        ("a/dead", |b| b.dead_letter_policy(DeadLetterPolicy::new(1).dead_letter_topic("a/dead"))),
        ("a/retry", |b| b.dead_letter_policy(DeadLetterPolicy::new(1).retry_letter_topic("a/retry"))),
        ("initial_subscription_name", |b| {
            b.dead_letter_policy(DeadLetterPolicy::new(1).initial_subscription_name(""))
        }),
        ("batching_max_messages", |b| {
            let spoil = |producer: &mut ProducerConfig| {
                (producer.batching, producer.chunking_enabled) = (true, false);
                producer.batching_max_messages = 0;
            };
            b.dead_letter_policy(DeadLetterPolicy::new(1).dead_letter_producer(spoil))
        }),
        ("receiver_queue_size", |b| b.enable_retry(true).receiver_queue_size(0)),
        ("priority_level", |b| b.priority_level(-1)),
        ("priority_level of a topic_configuration", |b| {
            b.topic_configuration("t", TopicConfiguration { priority_level: -1 })
        }),
        ("a/b", |b| b.topic_configuration("a/b", TopicConfiguration::default()).priority_level(-1)),
        ("not a pattern", |b| b.topic_configuration_of_pattern("(", TopicConfiguration::default())),
        ("key_shared_policy", |b| b.key_shared_policy(KeySharedPolicy::sticky([0..=9]))),
        ("sticky hash ranges", |b| {
            let b = b.subscription_type(SubscriptionType::KeyShared);
            b.key_shared_policy(KeySharedPolicy::sticky([0..=9, 9..=10]))
        }),
        ("sticky hash ranges", |b| {
            let b = b.subscription_type(SubscriptionType::KeyShared);
            b.key_shared_policy(KeySharedPolicy::sticky([RangeInclusive::new(9, 8)]))
        }),
        ("sticky hash ranges", |b| {
            let b = b.subscription_type(SubscriptionType::KeyShared);
            b.key_shared_policy(KeySharedPolicy::sticky([]))
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
        ("key_hash_ranges", |b| b.key_hash_ranges([RangeInclusive::new(9, 8)])),
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

/// The ends of their ranges are within them.
pub(crate) async fn k05_the_largest_values_are_taken_at_their_word(env: Env) -> Outcome {
    const EVER: Duration = Duration::MAX;
    let client = env.builder().operation_timeout(EVER).connection_timeout(EVER).keep_alive_interval(EVER);
    let client = client.backoff(EVER, EVER).stats_interval(EVER).memory_limit(usize::MAX);
    let client = client.build().map_err(text)?;
    let backoff = RedeliveryBackoff { min_delay: EVER, max_delay: EVER, multiplier: f64::MAX };
    let consumer = client.consumer(env.topic(), "s").receiver_queue_size(i32::MAX.unsigned_abs());
    let consumer = consumer.receiver_queue_bytes(usize::MAX).watchdog_interval(EVER);
    let consumer = consumer.batch_receive_policy(BatchReceivePolicy {
        max_num_messages: None,
        max_num_bytes: Some(usize::MAX),
        timeout: Some(Duration::from_secs(1)),
    });
    let consumer = consumer.acknowledgment_group_time(EVER).max_acknowledgment_group_size(u32::MAX);
    let consumer = consumer.negative_ack_redelivery_delay(EVER).negative_ack_redelivery_backoff(backoff);
    let consumer = consumer.negative_ack_redelivery_delay_precision(20);
    let consumer = consumer.ack_timeout(EVER).ack_timeout_tick_time(EVER);
    let consumer = consumer.ack_timeout_redelivery_backoff(backoff).priority_level(i32::MAX);
    let consumer = consumer.dead_letter_policy(DeadLetterPolicy::new(u32::MAX)).enable_retry(true);
    let consumer = consumer.max_uncompressed_size(usize::MAX).max_pending_chunked_message(u32::MAX);
    let consumer =
        consumer.expire_time_of_incomplete_chunked_message(EVER).auto_update_partitions_interval(EVER);
    let consumer = consumer.pattern_auto_discovery_period(EVER);
    let consumer = consumer.max_total_receiver_queue_size_across_partitions(u32::MAX);
    let consumer = consumer.subscribe().await.map_err(text)?;
    let reader =
        client.reader(env.topic()).start_message_rollback(EVER).auto_update_partitions_interval(EVER);
    let reader = reader.receiver_queue_size(i32::MAX.unsigned_abs()).create().await.map_err(text)?;
    let producer = client.producer(env.topic()).batching(false).chunking_enabled(true).send_timeout(EVER);
    let producer = producer.chunk_max_message_size(i32::MAX.unsigned_abs());
    let producer = producer.max_pending_messages(u32::MAX).max_pending_messages_across_partitions(u32::MAX);
    let producer = producer.initial_sequence_id((1 << 63) - 4).auto_update_partitions_interval(EVER);
    let chunked = producer.create().await.map_err(text)?;
    let producer = client.producer(env.topic()).batching_max_messages(u32::MAX).batching_max_bytes(u32::MAX);
    let producer = producer.batching_max_publish_delay(EVER).send_timeout(ZERO);
    let producer = producer.round_robin_router_batching_partition_switch_frequency(u32::MAX);
    let batched = producer.create().await.map_err(text)?;
    let id = chunked.send("0").await.map_err(text)?;
    let waits = batched.send("1");
    batched.flush().await.map_err(text)?;
    let ids = [id, waits.await.map_err(text)?];
    for expected in ids {
        let message = next(&consumer).await?;
        same("id", message.id(), expected)?;
        consumer.negative_acknowledge_messages(&[message]).map_err(text)?;
        same("read", reader.read_next().await.map_err(text)?.id(), expected)?;
    }
    silence(&consumer, Duration::from_millis(300)).await?;
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

#[cfg(test)]
mod tests {
    /// Options that have no value out of a range: switches, listeners, what is checked when it is used.
    const ANY_VALUE: &[&str] = &[
        "token",
        "tls",
        "websocket_header",
        "connector",
        "listener_name",
        "batcher_builder",
        "hashing_scheme",
        "lazy_start_partitioned_producers",
        "auto_update_partitions",
        "access_mode",
        "interceptor",
        "initial_position",
        "start_message_id_inclusive",
        "message_listener",
        "consumer_event_listener",
        "intercept",
        "reader_listener",
        "reader_event_listener",
        "start_paused",
        "ack_receipt_enabled",
        "batch_index_acknowledgment",
        "subscription_property",
        "auto_ack_oldest_chunked_message_on_queue_full",
        "build",
        "create",
        "subscribe",
    ];

    /// Whoever adds an option says here what is out of its range.
    #[test]
    fn every_option_of_every_builder_is_set_out_of_its_range_or_has_none() {
        let here = include_str!("options.rs");
        let mut missing = Vec::new();
        for builder in [
            include_str!("../../src/client.rs").split("pub struct ClientBuilder").nth(1).unwrap_or(""),
            include_str!("../../src/producer/builder.rs"),
            include_str!("../../src/consumer/builder.rs"),
            include_str!("../../src/reader/builder.rs"),
            include_str!("../../src/table_view.rs").split("pub struct TableViewBuilder").nth(1).unwrap_or(""),
        ] {
            let lines = builder.lines().map(str::trim);
            let names =
                lines.filter_map(|line| line.strip_prefix("pub fn ").or(line.strip_prefix("pub async fn ")));
            let names: Vec<&str> = names.filter_map(|name| name.split(['(', '<']).next()).collect();
            assert!(names.len() > 3, "{names:?}");
            for name in names {
                if !here.contains(&format!(".{name}(")) && !ANY_VALUE.contains(&name) {
                    missing.push(name);
                }
            }
        }
        assert_eq!(missing, Vec::<&str>::new());
    }
}
