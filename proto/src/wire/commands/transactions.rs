//! Transactions.

use super::common::ServerError;
use crate::wire::message::{enums, message, messages};

enums! {
    /// How a transaction ends.
    TxnAction {
        0 COMMIT,
        1 ABORT,
    }
}

messages! {
    /// TC_CLIENT_CONNECT_REQUEST (62): attach to a transaction coordinator.
    CommandTcClientConnectRequest {
        1 request_id: required u64,
        2 tc_id: required u64,
        3 scalable: optional bool,
    }

    /// TC_CLIENT_CONNECT_RESPONSE (63): attached, or why not.
    CommandTcClientConnectResponse {
        1 request_id: required u64,
        2 error: optional ServerError,
        3 message: optional String,
    }

    /// NEW_TXN (50): open a transaction.
    CommandNewTxn {
        1 request_id: required u64,
        2 txn_ttl_millis: optional u64,
        3 tc_id: optional u64,
        4 scalable: optional bool,
    }

    /// NEW_TXN_RESPONSE (51): its id.
    CommandNewTxnResponse {
        1 request_id: required u64,
        2 txnid_least_bits: optional u64,
        3 txnid_most_bits: optional u64,
        4 error: optional ServerError,
        5 message: optional String,
    }

    /// ADD_PARTITION_TO_TXN (52): the transaction will produce there.
    CommandAddPartitionToTxn {
        1 request_id: required u64,
        2 txnid_least_bits: optional u64,
        3 txnid_most_bits: optional u64,
        4 partitions: repeated String,
        5 scalable: optional bool,
    }

    /// ADD_PARTITION_TO_TXN_RESPONSE (53): noted, or why not.
    CommandAddPartitionToTxnResponse {
        1 request_id: required u64,
        2 txnid_least_bits: optional u64,
        3 txnid_most_bits: optional u64,
        4 error: optional ServerError,
        5 message: optional String,
    }

    /// A subscription of a topic.
    Subscription {
        1 topic: required String,
        2 subscription: required String,
    }

    /// ADD_SUBSCRIPTION_TO_TXN (54): the transaction will acknowledge there.
    CommandAddSubscriptionToTxn {
        1 request_id: required u64,
        2 txnid_least_bits: optional u64,
        3 txnid_most_bits: optional u64,
        4 subscription: repeated Subscription,
        5 scalable: optional bool,
    }

    /// ADD_SUBSCRIPTION_TO_TXN_RESPONSE (55): noted, or why not.
    CommandAddSubscriptionToTxnResponse {
        1 request_id: required u64,
        2 txnid_least_bits: optional u64,
        3 txnid_most_bits: optional u64,
        4 error: optional ServerError,
        5 message: optional String,
    }

    /// END_TXN (56): commit or abort.
    CommandEndTxn {
        1 request_id: required u64,
        2 txnid_least_bits: optional u64,
        3 txnid_most_bits: optional u64,
        4 txn_action: optional TxnAction,
        5 scalable: optional bool,
    }

    /// END_TXN_RESPONSE (57): done, or why not.
    CommandEndTxnResponse {
        1 request_id: required u64,
        2 txnid_least_bits: optional u64,
        3 txnid_most_bits: optional u64,
        4 error: optional ServerError,
        5 message: optional String,
    }

    /// END_TXN_ON_PARTITION (58): coordinator to broker.
    CommandEndTxnOnPartition {
        1 request_id: required u64,
        2 txnid_least_bits: optional u64,
        3 txnid_most_bits: optional u64,
        4 topic: optional String,
        5 txn_action: optional TxnAction,
        6 txnid_least_bits_of_low_watermark: optional u64,
    }

    /// END_TXN_ON_PARTITION_RESPONSE (59): broker to coordinator.
    CommandEndTxnOnPartitionResponse {
        1 request_id: required u64,
        2 txnid_least_bits: optional u64,
        3 txnid_most_bits: optional u64,
        4 error: optional ServerError,
        5 message: optional String,
    }

    /// END_TXN_ON_SUBSCRIPTION (60): coordinator to broker.
    CommandEndTxnOnSubscription {
        1 request_id: required u64,
        2 txnid_least_bits: optional u64,
        3 txnid_most_bits: optional u64,
        4 subscription: optional Subscription,
        5 txn_action: optional TxnAction,
        6 txnid_least_bits_of_low_watermark: optional u64,
    }

    /// END_TXN_ON_SUBSCRIPTION_RESPONSE (61): broker to coordinator.
    CommandEndTxnOnSubscriptionResponse {
        1 request_id: required u64,
        2 txnid_least_bits: optional u64,
        3 txnid_most_bits: optional u64,
        4 error: optional ServerError,
        5 message: optional String,
    }
}
