//! Our options when nobody sets them, against those of the Java client: see `tests/golden/README.md`.

use std::time::Duration;

use pulsewire_proto::wire::CompressionType;
use pulsewire_proto::{
    BatchReceivePolicy, BatcherBuilder, ClientConfig, ConsumerConfig, DeadLetterPolicy, HashingScheme,
    InitialPosition, KeySharedPolicy, MessageRoutingMode, ProducerAccessMode, ProducerConfig, ReaderConfig,
    RedeliveryBackoff, RegexSubscriptionMode, ServiceUrl, SubscriptionMode, SubscriptionType, TopicName,
};
use serde_json::{Value, json};

/// What we have for a field of Java's.
enum Ours {
    /// The same option, with this default in Java's words.
    Default(Value),
    /// No such option, or none that could be compared; why.
    Without(&'static str),
}
use Ours::Without;

const LATER: &str = "encryption, schemas and transactions are not built yet";
const THREADS: &str = "the client runs on the threads of the runtime that it is given";
const TLS: &str = "TLS is told by an option of its own, `tls`, or by the page";
const AUTHENTICATION: &str = "credentials are given, or there are none";
const NETWORK: &str = "what carries the bytes is the connector's, or the page's, to say";
const LISTENER: &str = "listeners are handed to the builder; without one nothing is called";
const SURFACE: &str = "how Java hands things out; it is not asked for here";

fn same(value: impl Into<Value>) -> Ours {
    Ours::Default(value.into())
}

fn ms(duration: Duration) -> Ours {
    same(u64::try_from(duration.as_millis()).expect("a short time"))
}

fn micros(duration: Duration) -> Ours {
    same(u64::try_from(duration.as_micros()).expect("a short time"))
}

fn nanos(duration: Duration) -> Ours {
    same(u64::try_from(duration.as_nanos()).expect("a short time"))
}

fn seconds(duration: Duration) -> Ours {
    assert_eq!(duration.subsec_nanos(), 0);
    same(duration.as_secs())
}

fn none<T: std::fmt::Debug>(value: Option<T>) -> Ours {
    assert!(value.is_none(), "{value:?}");
    same(Value::Null)
}

fn empty<T: std::fmt::Debug>(values: &[T], none: Value) -> Ours {
    assert!(values.is_empty(), "{values:?}");
    same(none)
}

fn topic() -> TopicName {
    TopicName::parse("t").expect("a topic")
}

/// Every field of Java's is one of ours, with the same default, or is listed with a reason.
fn compare(section: &str, ours: &[(&str, Ours)]) {
    let path = format!("{}/../tests/golden/defaults.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the defaults");
    let all: Value = serde_json::from_str(&text).expect("JSON");
    let theirs = all[section].as_object().expect("a section");
    let mut wrong = Vec::new();
    for name in theirs.keys() {
        if ours.iter().filter(|(ours, _)| ours == name).count() != 1 {
            wrong.push(format!("{name} of Java's is not in this test, or twice"));
        }
    }
    for (name, ours) in ours {
        match (theirs.get(*name), ours) {
            (None, _) => wrong.push(format!("Java has no {name}")),
            (Some(_), Without(why)) => assert!(!why.is_empty()),
            (Some(theirs), Ours::Default(ours)) if theirs == ours => {}
            (Some(theirs), Ours::Default(ours)) => wrong.push(format!("{name}: {ours} and not {theirs}")),
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "{section}");
}

#[test]
fn k05_a_client_s_defaults_are_java_s() {
    let url = ServiceUrl::parse("pulsar://localhost").expect("a URL");
    let ClientConfig {
        service_url: _,
        operation_timeout,
        connection_timeout,
        keep_alive_interval,
        initial_backoff,
        max_backoff,
        max_lookup_redirects,
        stats_interval,
        memory_limit,
        listener_name,
        client_version: _,
        authentication,
    } = ClientConfig::new(url);
    assert!(authentication.is_none());
    compare(
        "client",
        &[
            ("operationTimeoutMs", ms(operation_timeout)),
            ("connectionTimeoutMs", ms(connection_timeout)),
            ("keepAliveIntervalSeconds", seconds(keep_alive_interval)),
            ("initialBackoffIntervalNanos", nanos(initial_backoff)),
            ("maxBackoffIntervalNanos", nanos(max_backoff)),
            ("maxLookupRedirects", same(max_lookup_redirects)),
            ("statsIntervalSeconds", seconds(stats_interval)),
            ("memoryLimitBytes", same(memory_limit)),
            ("listenerName", none(listener_name)),
            ("serviceUrl", Without("it must be given")),
            ("serviceUrlProvider", Without("service URLs that change are another issue's")),
            ("lookupTimeoutMs", Without("-1: lookups have the time of the operation that they are part of")),
            ("requestTimeoutMs", Without("of lookups over HTTP; ours go to the broker by its protocol")),
            ("readTimeoutMs", Without("of lookups over HTTP; ours go to the broker by its protocol")),
            ("authentication", Without(AUTHENTICATION)),
            ("authPluginClassName", Without(AUTHENTICATION)),
            ("authParams", Without(AUTHENTICATION)),
            ("authParamMap", Without(AUTHENTICATION)),
            ("originalPrincipal", Without("for proxies, which act for others")),
            ("numIoThreads", Without(THREADS)),
            ("numListenerThreads", Without(THREADS)),
            ("enableBusyWait", Without(THREADS)),
            ("connectionsPerBroker", Without("always one, which is Java's default")),
            ("connectionMaxIdleSeconds", Without("connections stay open until the client is closed")),
            ("concurrentLookupRequest", Without("lookups are small, and answered in any order")),
            ("maxLookupRequest", Without("lookups are small, and answered in any order")),
            (
                "maxNumberOfRejectedRequestPerConnection",
                Without("a connection is not given up over requests that the broker has no time for"),
            ),
            ("useTcpNoDelay", Without(NETWORK)),
            ("proxyServiceUrl", Without(NETWORK)),
            ("proxyProtocol", Without(NETWORK)),
            ("dnsLookupBindAddress", Without(NETWORK)),
            ("dnsLookupBindPort", Without(NETWORK)),
            ("dnsServerAddresses", Without(NETWORK)),
            ("socks5ProxyAddress", Without(NETWORK)),
            ("socks5ProxyUsername", Without(NETWORK)),
            ("socks5ProxyPassword", Without(NETWORK)),
            ("useTls", Without("the scheme of the URL says so")),
            ("tlsKeyFilePath", Without(TLS)),
            ("tlsCertificateFilePath", Without(TLS)),
            ("tlsTrustCertsFilePath", Without(TLS)),
            ("tlsAllowInsecureConnection", Without(TLS)),
            ("tlsHostnameVerificationEnable", Without(TLS)),
            ("sslFactoryPlugin", Without(TLS)),
            ("sslFactoryPluginParams", Without(TLS)),
            ("autoCertRefreshSeconds", Without(TLS)),
            ("useKeyStoreTls", Without(TLS)),
            ("sslProvider", Without(TLS)),
            ("tlsKeyStoreType", Without(TLS)),
            ("tlsKeyStorePath", Without(TLS)),
            ("tlsKeyStorePassword", Without(TLS)),
            ("tlsTrustStoreType", Without(TLS)),
            ("tlsTrustStorePath", Without(TLS)),
            ("tlsTrustStorePassword", Without(TLS)),
            ("tlsCiphers", Without(TLS)),
            ("tlsProtocols", Without(TLS)),
            ("enableTransaction", Without(LATER)),
            ("clock", Without("the core is told the time with every call")),
            ("description", Without("what the broker shows is the client's name and version")),
            ("lookupProperties", Without("for load managers of the broker's user")),
            ("openTelemetry", Without("statistics are asked for, and not exported")),
        ],
    );
}

#[test]
fn k05_a_producer_s_defaults_are_java_s() {
    let ProducerConfig {
        topic: _,
        name,
        send_timeout,
        access_mode,
        max_pending_messages,
        max_pending_messages_across_partitions,
        initial_sequence_id,
        properties,
        batching,
        batching_max_messages,
        batching_max_bytes,
        batching_max_publish_delay,
        message_routing_mode,
        hashing_scheme,
        round_robin_router_batching_partition_switch_frequency,
        lazy_start_partitioned_producers,
        auto_update_partitions,
        auto_update_partitions_interval,
        batcher_builder,
        compression_type,
        chunking_enabled,
        chunk_max_message_size,
        initial_subscription_name,
    } = ProducerConfig::new(topic());
    assert_eq!(access_mode, ProducerAccessMode::Shared);
    assert_eq!(hashing_scheme, HashingScheme::JavaStringHash);
    assert_eq!(batcher_builder, BatcherBuilder::Default);
    assert_eq!(compression_type, CompressionType::NONE);
    // Java's builder chooses it when the producer is created without another, or a router.
    assert_eq!(message_routing_mode, MessageRoutingMode::RoundRobinPartition);
    // As much as the broker takes, which is -1 there.
    assert_eq!(chunk_max_message_size, 0);
    compare(
        "producer",
        &[
            ("producerName", none(name)),
            ("sendTimeoutMs", ms(send_timeout)),
            ("accessMode", same("Shared")),
            ("maxPendingMessages", same(max_pending_messages)),
            ("maxPendingMessagesAcrossPartitions", same(max_pending_messages_across_partitions)),
            ("initialSequenceId", none(initial_sequence_id)),
            ("properties", empty(&properties, json!({}))),
            ("batchingEnabled", same(batching)),
            ("batchingMaxMessages", same(batching_max_messages)),
            ("batchingMaxBytes", same(batching_max_bytes)),
            ("batchingMaxPublishDelayMicros", micros(batching_max_publish_delay)),
            ("messageRoutingMode", same(Value::Null)),
            (
                "customMessageRouter",
                Without("routers are the business of the crate `pulsewire`; none there too"),
            ),
            ("hashingScheme", same("JavaStringHash")),
            (
                "batchingPartitionSwitchFrequencyByPublishDelay",
                same(round_robin_router_batching_partition_switch_frequency),
            ),
            ("lazyStartPartitionedProducers", same(lazy_start_partitioned_producers)),
            ("autoUpdatePartitions", same(auto_update_partitions)),
            ("autoUpdatePartitionsIntervalSeconds", seconds(auto_update_partitions_interval)),
            ("batcherBuilder", same("a DefaultBatcherBuilder")),
            ("compressionType", same("NONE")),
            ("chunkingEnabled", same(chunking_enabled)),
            ("chunkMaxMessageSize", same(-1)),
            ("initialSubscriptionName", none(initial_subscription_name)),
            ("topicName", Without("it must be given")),
            ("blockIfQueueFull", Without("each call chooses: `send` waits, `try_send` does not")),
            ("cryptoFailureAction", Without(LATER)),
            ("cryptoKeyReader", Without(LATER)),
            ("messageCrypto", Without(LATER)),
            ("encryptionKeys", Without(LATER)),
            ("multiSchema", Without(LATER)),
            ("isNonPartitionedTopicExpected", Without("for the broker's own producers")),
            ("isReplProducer", Without("for the broker's own producers")),
        ],
    );
}

#[test]
fn k05_a_consumer_s_defaults_are_java_s() {
    let ConsumerConfig {
        topic: _,
        subscription: _,
        subscription_type,
        initial_position,
        subscription_mode,
        start_message_id,
        start_message_id_inclusive,
        start_message_rollback,
        name,
        receiver_queue_size,
        auto_scaled_receiver_queue_size,
        receiver_queue_bytes,
        batch_receive_policy: _,
        start_paused,
        tells_interceptors: _,
        watchdog_interval,
        acknowledgment_group_time,
        max_acknowledgment_group_size,
        ack_receipt_enabled,
        batch_index_acknowledgment,
        negative_ack_redelivery_delay,
        negative_ack_redelivery_backoff,
        negative_ack_redelivery_delay_precision,
        ack_timeout,
        ack_timeout_tick_time,
        ack_timeout_redelivery_backoff,
        dead_letter_policy,
        enable_retry,
        priority_level,
        topic_configurations,
        properties,
        max_total_receiver_queue_size_across_partitions,
        auto_update_partitions,
        auto_update_partitions_interval,
        pattern_auto_discovery_period,
        subscription_properties,
        replicate_subscription_state,
        key_shared_policy,
        key_hash_ranges,
        read_compacted,
        max_uncompressed_size: _,
        max_pending_chunked_message,
        auto_ack_oldest_chunked_message_on_queue_full,
        expire_time_of_incomplete_chunked_message,
    } = ConsumerConfig::new(topic(), "s");
    assert_eq!(subscription_type, SubscriptionType::Exclusive);
    assert_eq!(initial_position, InitialPosition::Latest);
    assert_eq!(subscription_mode, SubscriptionMode::Durable);
    assert_eq!(RegexSubscriptionMode::default(), RegexSubscriptionMode::PersistentOnly);
    assert_eq!(key_shared_policy, KeySharedPolicy::auto_split());
    // What Java does not have is off.
    assert_eq!((receiver_queue_bytes, watchdog_interval), (None, None));
    assert_eq!((start_message_id, start_message_rollback), (None, Duration::ZERO));
    assert!(key_hash_ranges.is_empty());
    // Where it is not wanted, nothing is said of it.
    assert!(!replicate_subscription_state);
    compare(
        "consumer",
        &[
            ("subscriptionType", same("Exclusive")),
            ("subscriptionInitialPosition", same("Latest")),
            ("subscriptionMode", same("Durable")),
            ("resetIncludeHead", same(start_message_id_inclusive)),
            ("consumerName", none(name)),
            ("receiverQueueSize", same(receiver_queue_size)),
            ("autoScaledReceiverQueueSizeEnabled", same(auto_scaled_receiver_queue_size)),
            // Then it is the default policy: see below.
            ("batchReceivePolicy", same(Value::Null)),
            ("startPaused", same(start_paused)),
            ("acknowledgementsGroupTimeMicros", micros(acknowledgment_group_time)),
            ("maxAcknowledgmentGroupSize", same(max_acknowledgment_group_size)),
            ("ackReceiptEnabled", same(ack_receipt_enabled)),
            ("batchIndexAckEnabled", same(batch_index_acknowledgment)),
            ("negativeAckRedeliveryDelayMicros", micros(negative_ack_redelivery_delay)),
            ("negativeAckRedeliveryBackoff", none(negative_ack_redelivery_backoff)),
            ("negativeAckPrecisionBitCnt", same(negative_ack_redelivery_delay_precision)),
            ("ackTimeoutMillis", ms(ack_timeout)),
            ("tickDurationMillis", ms(ack_timeout_tick_time)),
            ("ackTimeoutRedeliveryBackoff", none(ack_timeout_redelivery_backoff)),
            ("deadLetterPolicy", none(dead_letter_policy)),
            ("retryEnable", same(enable_retry)),
            ("priorityLevel", same(priority_level)),
            ("properties", empty(&properties, json!({}))),
            (
                "maxTotalReceiverQueueSizeAcrossPartitions",
                same(max_total_receiver_queue_size_across_partitions),
            ),
            ("autoUpdatePartitions", same(auto_update_partitions)),
            ("autoUpdatePartitionsIntervalSeconds", seconds(auto_update_partitions_interval)),
            ("patternAutoDiscoveryPeriod", seconds(pattern_auto_discovery_period)),
            ("regexSubscriptionMode", same("PersistentOnly")),
            ("subscriptionProperties", empty(&subscription_properties, Value::Null)),
            ("replicateSubscriptionState", same(Value::Null)),
            ("keySharedPolicy", same(Value::Null)),
            ("readCompacted", same(read_compacted)),
            ("maxPendingChunkedMessage", same(max_pending_chunked_message)),
            ("autoAckOldestChunkedMessageOnQueueFull", same(auto_ack_oldest_chunked_message_on_queue_full)),
            ("expireTimeOfIncompleteChunkedMessageMillis", ms(expire_time_of_incomplete_chunked_message)),
            ("topicConfigurations", empty(&topic_configurations, json!([]))),
            ("topicNames", Without("they must be given")),
            ("topicsPattern", Without("it must be given")),
            ("subscriptionName", Without("it must be given")),
            ("messageListener", Without(LISTENER)),
            ("messageListenerExecutor", Without(THREADS)),
            ("consumerEventListener", Without(LISTENER)),
            ("cryptoKeyReader", Without(LATER)),
            ("messageCrypto", Without(LATER)),
            ("cryptoFailureAction", Without(LATER)),
            ("poolMessages", Without(SURFACE)),
            ("payloadProcessor", Without("formats of entries other than Pulsar's are not read")),
        ],
    );
}

#[test]
fn k05_a_reader_s_defaults_are_java_s() {
    let ReaderConfig {
        topic: _,
        start_message_id,
        start_message_id_inclusive,
        start_message_rollback,
        name,
        subscription,
        subscription_role_prefix,
        receiver_queue_size,
        read_compacted,
        key_hash_ranges,
        properties,
        auto_update_partitions,
        auto_update_partitions_interval,
        max_pending_chunked_message,
        auto_ack_oldest_chunked_message_on_queue_full,
        expire_time_of_incomplete_chunked_message,
        tells_interceptors: _,
    } = ReaderConfig::new(topic());
    // Java's readers have none.
    assert!(properties.is_empty());
    compare(
        "reader",
        &[
            ("startMessageId", none(start_message_id)),
            ("resetIncludeHead", same(start_message_id_inclusive)),
            ("startMessageFromRollbackDurationInSec", seconds(start_message_rollback)),
            ("readerName", none(name)),
            ("subscriptionName", none(subscription)),
            ("subscriptionRolePrefix", none(subscription_role_prefix)),
            ("receiverQueueSize", same(receiver_queue_size)),
            ("readCompacted", same(read_compacted)),
            ("keyHashRanges", empty(&key_hash_ranges, Value::Null)),
            ("autoUpdatePartitions", same(auto_update_partitions)),
            ("autoUpdatePartitionsIntervalSeconds", seconds(auto_update_partitions_interval)),
            ("maxPendingChunkedMessage", same(max_pending_chunked_message)),
            ("autoAckOldestChunkedMessageOnQueueFull", same(auto_ack_oldest_chunked_message_on_queue_full)),
            ("expireTimeOfIncompleteChunkedMessageMillis", ms(expire_time_of_incomplete_chunked_message)),
            ("topicNames", Without("they must be given")),
            ("readerListener", Without(LISTENER)),
            ("readerInterceptorList", Without(LISTENER)),
            ("cryptoKeyReader", Without(LATER)),
            ("cryptoFailureAction", Without(LATER)),
            ("messageCrypto", Without(LATER)),
            ("poolMessages", Without(SURFACE)),
            (
                "subscriptionMode",
                Without("a reader's subscription is never durable; no builder of Java's says otherwise"),
            ),
            ("subscriptionInitialPosition", Without("a reader says where it starts")),
        ],
    );
}

#[test]
fn k05_the_defaults_of_policies_are_java_s() {
    let BatchReceivePolicy { max_num_messages, max_num_bytes, timeout } = BatchReceivePolicy::default();
    assert_eq!(max_num_messages, None);
    let timeout = timeout.expect("a timeout");
    compare(
        "batch_receive_policy",
        &[
            ("maxNumMessages", same(-1)),
            ("maxNumBytes", same(max_num_bytes.expect("a limit"))),
            ("timeout", ms(timeout)),
            ("timeoutUnit", same("MILLISECONDS")),
            (
                "messagesFromMultiTopicsEnabled",
                Without("a batch holds messages of several topics, as there by default"),
            ),
        ],
    );
    let RedeliveryBackoff { min_delay, max_delay, multiplier } = RedeliveryBackoff::default();
    compare(
        "redelivery_backoff",
        &[
            ("minDelayMs", ms(min_delay)),
            ("maxDelayMs", ms(max_delay)),
            ("multiplier", same(multiplier)),
            ("maxMultiplierPow", Without("it follows from the others")),
        ],
    );
    let policy = DeadLetterPolicy::default();
    compare("retry", &[("maxReconsumeTimes", same(policy.max_redeliver_count))]);
    compare(
        "dead_letter_policy",
        &[
            (
                "maxRedeliverCount",
                Without("it must be given; the default is for `enable_retry` without a policy"),
            ),
            ("deadLetterTopic", none(policy.dead_letter_topic)),
            ("retryLetterTopic", none(policy.retry_letter_topic)),
            ("initialSubscriptionName", none(policy.initial_subscription_name)),
            ("deadLetterProducerBuilderCustomizer", Without("nothing is changed unless it is given")),
            ("retryLetterProducerBuilderCustomizer", Without("nothing is changed unless it is given")),
        ],
    );
}
