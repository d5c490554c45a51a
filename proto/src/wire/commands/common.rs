//! Parts that many commands share.

use bytes::Bytes;

use crate::wire::message::{enums, message, messages};

enums! {
    /// The kinds of schema.
    SchemaType {
        0 NONE,
        1 STRING,
        2 JSON,
        3 PROTOBUF,
        4 AVRO,
        5 BOOL,
        6 INT8,
        7 INT16,
        8 INT32,
        9 INT64,
        10 FLOAT,
        11 DOUBLE,
        12 DATE,
        13 TIME,
        14 TIMESTAMP,
        15 KEY_VALUE,
        16 INSTANT,
        17 LOCAL_DATE,
        18 LOCAL_TIME,
        19 LOCAL_DATE_TIME,
        20 PROTOBUF_NATIVE,
        21 AUTO_CONSUME,
        22 EXTERNAL,
    }

    /// Why the broker refused.
    ServerError {
        0 UNKNOWN_ERROR,
        1 METADATA_ERROR,
        2 PERSISTENCE_ERROR,
        3 AUTHENTICATION_ERROR,
        4 AUTHORIZATION_ERROR,
        5 CONSUMER_BUSY,
        6 SERVICE_NOT_READY,
        7 PRODUCER_BLOCKED_QUOTA_EXCEEDED_ERROR,
        8 PRODUCER_BLOCKED_QUOTA_EXCEEDED_EXCEPTION,
        9 CHECKSUM_ERROR,
        10 UNSUPPORTED_VERSION_ERROR,
        11 TOPIC_NOT_FOUND,
        12 SUBSCRIPTION_NOT_FOUND,
        13 CONSUMER_NOT_FOUND,
        14 TOO_MANY_REQUESTS,
        15 TOPIC_TERMINATED_ERROR,
        16 PRODUCER_BUSY,
        17 INVALID_TOPIC_NAME,
        18 INCOMPATIBLE_SCHEMA,
        19 CONSUMER_ASSIGN_ERROR,
        20 TRANSACTION_COORDINATOR_NOT_FOUND,
        21 INVALID_TXN_STATUS,
        22 NOT_ALLOWED_ERROR,
        23 TRANSACTION_CONFLICT,
        24 TRANSACTION_NOT_FOUND,
        25 PRODUCER_FENCED,
    }
}

messages! {
    /// A schema: how payloads of a topic are to be read.
    Schema {
        1 name: required String,
        3 schema_data: required Bytes,
        4 r#type: required SchemaType,
        5 properties: repeated KeyValue,
    }

    /// Where a message is stored: entry of a ledger, and its place in that entry's batch.
    MessageIdData {
        1 ledger_id: required u64,
        2 entry_id: required u64,
        3 partition: optional i32,
        4 batch_index: optional i32,
        5 ack_set: repeated i64,
        6 batch_size: optional i32,
        7 first_chunk_message_id: optional Box<MessageIdData>,
    }

    /// A named string.
    KeyValue {
        1 key: required String,
        2 value: required String,
    }

    /// A named number.
    KeyLongValue {
        1 key: required String,
        2 value: required u64,
    }

    /// A range of hash values, both ends included.
    IntRange {
        1 start: required i32,
        2 end: required i32,
    }
}
