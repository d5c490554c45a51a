//! Finding topics and who serves them.

use super::common::{KeyValue, ServerError};
use crate::wire::message::{enums, message, messages};

enums! {
    /// How a partition query ended.
    PartitionedMetadataResult {
        0 SUCCESS,
        1 FAILED,
    }

    /// How a lookup ended.
    LookupResult {
        0 REDIRECT,
        1 CONNECT,
        2 FAILED,
    }

    /// Which topics to list.
    TopicsMode {
        0 PERSISTENT,
        1 NON_PERSISTENT,
        2 ALL,
    }

    /// What was migrated.
    ResourceType {
        0 PRODUCER,
        1 CONSUMER,
    }
}

messages! {
    /// PARTITIONED_METADATA (21): how many partitions has this topic?
    CommandPartitionedTopicMetadata {
        1 topic: required String,
        2 request_id: required u64,
        3 original_principal: optional String,
        4 original_auth_data: optional String,
        5 original_auth_method: optional String,
        6 metadata_auto_creation_enabled: optional bool,
    }

    /// PARTITIONED_METADATA_RESPONSE (22): their number, 0 when it is not partitioned.
    CommandPartitionedTopicMetadataResponse {
        1 partitions: optional u32,
        2 request_id: required u64,
        3 response: optional PartitionedMetadataResult,
        4 error: optional ServerError,
        5 message: optional String,
    }

    /// LOOKUP (23): which broker serves this topic?
    CommandLookupTopic {
        1 topic: required String,
        2 request_id: required u64,
        3 authoritative: optional bool,
        4 original_principal: optional String,
        5 original_auth_data: optional String,
        6 original_auth_method: optional String,
        7 advertised_listener_name: optional String,
        8 properties: repeated KeyValue,
    }

    /// LOOKUP_RESPONSE (24): connect there, ask there, or why not.
    CommandLookupTopicResponse {
        1 broker_service_url: optional String,
        2 broker_service_url_tls: optional String,
        3 response: optional LookupResult,
        4 request_id: required u64,
        5 authoritative: optional bool,
        6 error: optional ServerError,
        7 message: optional String,
        8 proxy_through_service_url: optional bool,
    }

    /// GET_TOPICS_OF_NAMESPACE (32): which topics are there?
    CommandGetTopicsOfNamespace {
        1 request_id: required u64,
        2 namespace: required String,
        3 mode: optional TopicsMode,
        4 topics_pattern: optional String,
        5 topics_hash: optional String,
        6 properties: repeated KeyValue,
    }

    /// GET_TOPICS_OF_NAMESPACE_RESPONSE (33): their names.
    CommandGetTopicsOfNamespaceResponse {
        1 request_id: required u64,
        2 topics: repeated String,
        3 filtered: optional bool,
        4 topics_hash: optional String,
        5 changed: optional bool,
    }

    /// WATCH_TOPIC_LIST (64): tell me of topics that match, now and later.
    CommandWatchTopicList {
        1 request_id: required u64,
        2 watcher_id: required u64,
        3 namespace: required String,
        4 topics_pattern: required String,
        5 topics_hash: optional String,
    }

    /// WATCH_TOPIC_LIST_SUCCESS (65): those that match now.
    CommandWatchTopicListSuccess {
        1 request_id: required u64,
        2 watcher_id: required u64,
        3 topic: repeated String,
        4 topics_hash: required String,
    }

    /// WATCH_TOPIC_UPDATE (66): topics that came and went.
    CommandWatchTopicUpdate {
        1 watcher_id: required u64,
        2 new_topics: repeated String,
        3 deleted_topics: repeated String,
        4 topics_hash: required String,
    }

    /// WATCH_TOPIC_LIST_CLOSE (67): no more of it.
    CommandWatchTopicListClose {
        1 request_id: required u64,
        2 watcher_id: required u64,
    }

    /// TOPIC_MIGRATED (68): the topic lives in another cluster now.
    CommandTopicMigrated {
        1 resource_id: required u64,
        2 resource_type: required ResourceType,
        3 broker_service_url: optional String,
        4 broker_service_url_tls: optional String,
    }
}
