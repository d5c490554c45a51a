//! Opening a connection and keeping it.

use bytes::Bytes;

use super::common::{Schema, ServerError};
use crate::wire::message::{enums, message, messages};

enums! {
    /// Authentication methods of the first protocol versions; names replaced them.
    AuthMethod {
        0 AUTH_METHOD_NONE,
        1 AUTH_METHOD_YCA_V1,
        2 AUTH_METHOD_ATHENS,
    }
}

messages! {
    /// CONNECT (2): the first frame of a connection.
    CommandConnect {
        1 client_version: required String,
        2 auth_method: optional AuthMethod,
        3 auth_data: optional Bytes,
        4 protocol_version: optional i32,
        5 auth_method_name: optional String,
        6 proxy_to_broker_url: optional String,
        7 original_principal: optional String,
        8 original_auth_data: optional String,
        9 original_auth_method: optional String,
        10 feature_flags: optional FeatureFlags,
        11 proxy_version: optional String,
    }

    /// What a side can do beyond the protocol version.
    FeatureFlags {
        1 supports_auth_refresh: optional bool,
        2 supports_broker_entry_metadata: optional bool,
        3 supports_partial_producer: optional bool,
        4 supports_topic_watchers: optional bool,
        5 supports_get_partitioned_metadata_without_auto_creation: optional bool,
        6 supports_repl_dedup_by_lid_and_eid: optional bool,
        7 supports_topic_watcher_reconcile: optional bool,
        8 supports_scalable_topics: optional bool,
        9 supports_tc_metadata_discovery: optional bool,
    }

    /// CONNECTED (3): the connection is authenticated and open.
    CommandConnected {
        1 server_version: required String,
        2 protocol_version: optional i32,
        3 max_message_size: optional i32,
        4 feature_flags: optional FeatureFlags,
    }

    /// AUTH_RESPONSE (37): the client's answer to a challenge.
    CommandAuthResponse {
        1 client_version: optional String,
        2 response: optional AuthData,
        3 protocol_version: optional i32,
    }

    /// AUTH_CHALLENGE (36): another round of authentication, or fresh credentials, please.
    CommandAuthChallenge {
        1 server_version: optional String,
        2 challenge: optional AuthData,
        3 protocol_version: optional i32,
    }

    /// Bytes of one authentication round.
    AuthData {
        1 auth_method_name: optional String,
        2 auth_data: optional Bytes,
    }

    /// SUCCESS (13): the request was carried out.
    CommandSuccess {
        1 request_id: required u64,
        2 schema: optional Schema,
    }

    /// ERROR (14): the request failed.
    CommandError {
        1 request_id: required u64,
        2 error: required ServerError,
        3 message: required String,
    }

    /// PING (18): are you there?
    CommandPing {
    }

    /// PONG (19): yes.
    CommandPong {
    }
}
