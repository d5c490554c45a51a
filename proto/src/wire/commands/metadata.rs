//! What stands beside a payload.

use bytes::Bytes;

use super::common::KeyValue;
use crate::wire::message::{enums, message, messages};

enums! {
    /// The codecs for payloads.
    CompressionType {
        0 NONE,
        1 LZ4,
        2 ZLIB,
        3 ZSTD,
        4 SNAPPY,
    }
}

messages! {
    /// What stands before an entry's payload, written by the producer.
    MessageMetadata {
        1 producer_name: required String,
        2 sequence_id: required u64,
        3 publish_time: required u64,
        4 properties: repeated KeyValue,
        5 replicated_from: optional String,
        6 partition_key: optional String,
        7 replicate_to: repeated String,
        8 compression: optional CompressionType,
        9 uncompressed_size: optional u32,
        11 num_messages_in_batch: optional i32,
        12 event_time: optional u64,
        13 encryption_keys: repeated EncryptionKeys,
        14 encryption_algo: optional String,
        15 encryption_param: optional Bytes,
        16 schema_version: optional Bytes,
        17 partition_key_b64_encoded: optional bool,
        18 ordering_key: optional Bytes,
        19 deliver_at_time: optional i64,
        20 marker_type: optional i32,
        22 txnid_least_bits: optional u64,
        23 txnid_most_bits: optional u64,
        24 highest_sequence_id: optional u64,
        25 null_value: optional bool,
        26 uuid: optional String,
        27 num_chunks_from_msg: optional i32,
        28 total_chunk_msg_size: optional i32,
        29 chunk_id: optional i32,
        30 null_partition_key: optional bool,
        31 compacted_batch_indexes: repeated i32,
        32 schema_id: optional Bytes,
        33 entry_hash_min: optional u32,
        34 entry_hash_max: optional u32,
    }

    /// What stands before each message of a batch.
    SingleMessageMetadata {
        1 properties: repeated KeyValue,
        2 partition_key: optional String,
        3 payload_size: required i32,
        4 compacted_out: optional bool,
        5 event_time: optional u64,
        6 partition_key_b64_encoded: optional bool,
        7 ordering_key: optional Bytes,
        8 sequence_id: optional u64,
        9 null_value: optional bool,
        10 null_partition_key: optional bool,
    }

    /// What the broker adds before an entry that it hands out.
    BrokerEntryMetadata {
        1 broker_timestamp: optional u64,
        2 index: optional u64,
    }

    /// A data key, wrapped for one recipient.
    EncryptionKeys {
        1 key: required String,
        2 value: required Bytes,
        3 metadata: repeated KeyValue,
    }
}
