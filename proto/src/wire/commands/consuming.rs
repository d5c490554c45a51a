//! Consumers.

use super::common::{IntRange, KeyLongValue, KeyValue, MessageIdData, Schema, ServerError};
use crate::wire::message::{enums, message, messages};

enums! {
    /// Who divides the hash range of a key-shared subscription.
    KeySharedMode {
        0 AUTO_SPLIT,
        1 STICKY,
    }

    /// The subscription types.
    SubType {
        0 EXCLUSIVE,
        1 SHARED,
        2 FAILOVER,
        3 KEY_SHARED,
    }

    /// Where a new subscription begins.
    InitialPosition {
        0 LATEST,
        1 EARLIEST,
    }

    /// Whether an ACK means one message or all up to it.
    AckType {
        0 INDIVIDUAL,
        1 CUMULATIVE,
    }

    /// Why a consumer could not read an entry.
    ValidationError {
        0 UNCOMPRESSED_SIZE_CORRUPTION,
        1 DECOMPRESSION_ERROR,
        2 CHECKSUM_MISMATCH,
        3 BATCH_DE_SERIALIZE_ERROR,
        4 DECRYPTION_ERROR,
    }
}

messages! {
    /// SUBSCRIBE (4): open a consumer or a reader.
    CommandSubscribe {
        1 topic: required String,
        2 subscription: required String,
        3 sub_type: required SubType,
        4 consumer_id: required u64,
        5 request_id: required u64,
        6 consumer_name: optional String,
        7 priority_level: optional i32,
        8 durable: optional bool,
        9 start_message_id: optional MessageIdData,
        10 metadata: repeated KeyValue,
        11 read_compacted: optional bool,
        12 schema: optional Schema,
        13 initial_position: optional InitialPosition,
        14 replicate_subscription_state: optional bool,
        15 force_topic_creation: optional bool,
        16 start_message_rollback_duration_sec: optional u64,
        17 key_shared_meta: optional KeySharedMeta,
        18 subscription_properties: repeated KeyValue,
        19 consumer_epoch: optional u64,
    }

    /// How a key-shared subscription divides the hash range.
    KeySharedMeta {
        1 key_shared_mode: required KeySharedMode,
        3 hash_ranges: repeated IntRange,
        4 allow_out_of_order_delivery: optional bool,
    }

    /// MESSAGE (9): an entry for a consumer; its metadata and payload follow the command.
    CommandMessage {
        1 consumer_id: required u64,
        2 message_id: required MessageIdData,
        3 redelivery_count: optional u32,
        4 ack_set: repeated i64,
        5 consumer_epoch: optional u64,
    }

    /// ACK (10): messages are done with, one by one or all up to one.
    CommandAck {
        1 consumer_id: required u64,
        2 ack_type: required AckType,
        3 message_id: repeated MessageIdData,
        4 validation_error: optional ValidationError,
        5 properties: repeated KeyLongValue,
        6 txnid_least_bits: optional u64,
        7 txnid_most_bits: optional u64,
        8 request_id: optional u64,
    }

    /// ACK_RESPONSE (38): the receipt of an ACK that had a request id.
    CommandAckResponse {
        1 consumer_id: required u64,
        2 txnid_least_bits: optional u64,
        3 txnid_most_bits: optional u64,
        4 error: optional ServerError,
        5 message: optional String,
        6 request_id: optional u64,
    }

    /// FLOW (11): the consumer can take that many messages more.
    CommandFlow {
        1 consumer_id: required u64,
        2 message_permits: required u32,
    }

    /// UNSUBSCRIBE (12): delete the subscription.
    CommandUnsubscribe {
        1 consumer_id: required u64,
        2 request_id: required u64,
        3 force: optional bool,
    }

    /// SEEK (28): move the subscription to a message id or a publish time.
    CommandSeek {
        1 consumer_id: required u64,
        2 request_id: required u64,
        3 message_id: optional MessageIdData,
        4 message_publish_time: optional u64,
    }

    /// REDELIVER_UNACKNOWLEDGED_MESSAGES (20): those named, or all when none is.
    CommandRedeliverUnacknowledgedMessages {
        1 consumer_id: required u64,
        2 message_ids: repeated MessageIdData,
        3 consumer_epoch: optional u64,
    }

    /// CLOSE_CONSUMER (16), both ways; the broker may name the next broker.
    CommandCloseConsumer {
        1 consumer_id: required u64,
        2 request_id: required u64,
        3 assigned_broker_service_url: optional String,
        4 assigned_broker_service_url_tls: optional String,
    }

    /// ACTIVE_CONSUMER_CHANGE (31): whether this consumer of a failover subscription is the active one.
    CommandActiveConsumerChange {
        1 consumer_id: required u64,
        2 is_active: optional bool,
    }

    /// REACHED_END_OF_TOPIC (27): the topic is terminated and all of it was delivered.
    CommandReachedEndOfTopic {
        1 consumer_id: required u64,
    }

    /// GET_LAST_MESSAGE_ID (29): the last message of the topic, please.
    CommandGetLastMessageId {
        1 consumer_id: required u64,
        2 request_id: required u64,
    }

    /// GET_LAST_MESSAGE_ID_RESPONSE (30): it, and how far the subscription is.
    CommandGetLastMessageIdResponse {
        1 last_message_id: required MessageIdData,
        2 request_id: required u64,
        3 consumer_mark_delete_position: optional MessageIdData,
    }

    /// CONSUMER_STATS (25): the broker's view of a consumer, please.
    CommandConsumerStats {
        1 request_id: required u64,
        4 consumer_id: required u64,
    }

    /// CONSUMER_STATS_RESPONSE (26): the broker's view of a consumer.
    CommandConsumerStatsResponse {
        1 request_id: required u64,
        2 error_code: optional ServerError,
        3 error_message: optional String,
        4 msg_rate_out: optional f64,
        5 msg_throughput_out: optional f64,
        6 msg_rate_redeliver: optional f64,
        7 consumer_name: optional String,
        8 available_permits: optional u64,
        9 unacked_messages: optional u64,
        10 blocked_consumer_on_unacked_msgs: optional bool,
        11 address: optional String,
        12 connected_since: optional String,
        13 r#type: optional String,
        14 msg_rate_expired: optional f64,
        15 msg_backlog: optional u64,
        16 message_ack_rate: optional f64,
    }
}
