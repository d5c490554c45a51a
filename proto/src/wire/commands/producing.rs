//! Producers.

use bytes::Bytes;

use super::common::{KeyValue, MessageIdData, Schema, ServerError};
use crate::wire::message::{enums, message, messages};

enums! {
    /// Whether a producer shares its topic with others.
    ProducerAccessMode {
        0 SHARED,
        1 EXCLUSIVE,
        2 WAIT_FOR_EXCLUSIVE,
        3 EXCLUSIVE_WITH_FENCING,
    }
}

messages! {
    /// PRODUCER (5): open a producer.
    CommandProducer {
        1 topic: required String,
        2 producer_id: required u64,
        3 request_id: required u64,
        4 producer_name: optional String,
        5 encrypted: optional bool,
        6 metadata: repeated KeyValue,
        7 schema: optional Schema,
        8 epoch: optional u64,
        9 user_provided_producer_name: optional bool,
        10 producer_access_mode: optional ProducerAccessMode,
        11 topic_epoch: optional u64,
        12 txn_enabled: optional bool,
        13 initial_subscription_name: optional String,
    }

    /// PRODUCER_SUCCESS (17): the producer is open, or waits for its turn.
    CommandProducerSuccess {
        1 request_id: required u64,
        2 producer_name: required String,
        3 last_sequence_id: optional i64,
        4 schema_version: optional Bytes,
        5 topic_epoch: optional u64,
        6 producer_ready: optional bool,
    }

    /// SEND (6): an entry, whose metadata and payload follow the command.
    CommandSend {
        1 producer_id: required u64,
        2 sequence_id: required u64,
        3 num_messages: optional i32,
        4 txnid_least_bits: optional u64,
        5 txnid_most_bits: optional u64,
        6 highest_sequence_id: optional u64,
        7 is_chunk: optional bool,
        8 marker: optional bool,
        9 message_id: optional MessageIdData,
    }

    /// SEND_RECEIPT (7): the entry is stored.
    CommandSendReceipt {
        1 producer_id: required u64,
        2 sequence_id: required u64,
        3 message_id: optional MessageIdData,
        4 highest_sequence_id: optional u64,
    }

    /// SEND_ERROR (8): the entry is not stored.
    CommandSendError {
        1 producer_id: required u64,
        2 sequence_id: required u64,
        3 error: required ServerError,
        4 message: required String,
    }

    /// CLOSE_PRODUCER (15), both ways; the broker may name the next broker.
    CommandCloseProducer {
        1 producer_id: required u64,
        2 request_id: required u64,
        3 assigned_broker_service_url: optional String,
        4 assigned_broker_service_url_tls: optional String,
    }
}
