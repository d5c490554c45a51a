//! Scalable topics and coordinator discovery, Pulsar 5.0.

use super::common::{IntRange, KeyValue, ServerError};
use crate::wire::message::{enums, message, messages};

enums! {
    /// Whether a segment still takes messages.
    SegmentState {
        0 ACTIVE,
        1 SEALED,
    }

    /// How a scalable consumer tracks its position.
    ScalableConsumerType {
        0 STREAM,
        1 CHECKPOINT,
    }
}

messages! {
    /// SCALABLE_TOPIC_LOOKUP (70): open a session on a scalable topic.
    CommandScalableTopicLookup {
        1 session_id: required u64,
        2 topic: required String,
        3 create_if_missing: optional bool,
    }

    /// SCALABLE_TOPIC_UPDATE (71): its layout, now and whenever it changes.
    CommandScalableTopicUpdate {
        1 session_id: required u64,
        2 dag: optional ScalableTopicDAG,
        3 error: optional ServerError,
        4 message: optional String,
        5 resolved_topic_name: optional String,
    }

    /// SCALABLE_TOPIC_CLOSE (72): end the session.
    CommandScalableTopicClose {
        1 session_id: required u64,
    }

    /// The segments of a scalable topic and how they came from each other.
    ScalableTopicDAG {
        1 epoch: required u64,
        2 segments: repeated SegmentInfoProto,
        3 segment_brokers: repeated SegmentBrokerAddress,
        4 controller_broker_url: optional String,
        5 controller_broker_url_tls: optional String,
    }

    /// A segment of a scalable topic.
    SegmentInfoProto {
        1 segment_id: required u64,
        2 hash_start: required u32,
        3 hash_end: required u32,
        4 state: required SegmentState,
        5 parent_ids: repeated u64,
        6 child_ids: repeated u64,
        7 created_at_epoch: required u64,
        8 sealed_at_epoch: optional u64,
        9 created_at_ms: required u64,
        10 sealed_at_ms: optional u64,
        11 legacy_topic_name: optional String,
        12 entry_bucket_splits: repeated u32,
    }

    /// Which broker serves a segment.
    SegmentBrokerAddress {
        1 segment_id: required u64,
        2 broker_url: required String,
        3 broker_url_tls: optional String,
    }

    /// SCALABLE_TOPIC_SUBSCRIBE (73): join a subscription of a scalable topic.
    CommandScalableTopicSubscribe {
        1 request_id: required u64,
        2 topic: required String,
        3 subscription: required String,
        4 consumer_name: required String,
        5 consumer_id: required u64,
        6 consumer_type: required ScalableConsumerType,
    }

    /// SCALABLE_TOPIC_SUBSCRIBE_RESPONSE (74): the first assignment.
    CommandScalableTopicSubscribeResponse {
        1 request_id: required u64,
        2 error: optional ServerError,
        3 message: optional String,
        4 assignment: optional ScalableConsumerAssignment,
    }

    /// SCALABLE_TOPIC_ASSIGNMENT_UPDATE (75): a new assignment.
    CommandScalableTopicAssignmentUpdate {
        1 consumer_id: required u64,
        2 assignment: required ScalableConsumerAssignment,
    }

    /// All segments that a consumer is to read.
    ScalableConsumerAssignment {
        1 layout_epoch: required u64,
        2 segments: repeated ScalableAssignedSegment,
    }

    /// A segment that a consumer is to read.
    ScalableAssignedSegment {
        1 segment_id: required u64,
        2 hash_start: required u32,
        3 hash_end: required u32,
        4 segment_topic: required String,
        5 bucket_ranges: repeated IntRange,
    }

    /// WATCH_SCALABLE_TOPICS (76): tell me of scalable topics of a namespace.
    CommandWatchScalableTopics {
        1 watch_id: required u64,
        2 namespace: required String,
        3 property_filters: repeated KeyValue,
        4 current_hash: optional String,
    }

    /// WATCH_SCALABLE_TOPICS_UPDATE (77): a snapshot or a difference, one of the two.
    CommandWatchScalableTopicsUpdate {
        1 watch_id: required u64,
        2 snapshot: optional ScalableTopicsSnapshot,
        3 diff: optional ScalableTopicsDiff,
        4 error: optional ServerError,
        5 message: optional String,
    }

    /// All scalable topics that match.
    ScalableTopicsSnapshot {
        1 topics: repeated String,
    }

    /// Scalable topics that came and went.
    ScalableTopicsDiff {
        1 added: repeated String,
        2 removed: repeated String,
    }

    /// WATCH_SCALABLE_TOPICS_CLOSE (78): no more of it.
    CommandWatchScalableTopicsClose {
        1 watch_id: required u64,
    }

    /// WATCH_TC_ASSIGNMENTS (79): tell me where the transaction coordinators are.
    CommandWatchTcAssignments {
        1 watch_id: required u64,
    }

    /// WATCH_TC_ASSIGNMENTS_UPDATE (80): where they are now.
    CommandWatchTcAssignmentsUpdate {
        1 watch_id: required u64,
        2 snapshot: optional TcAssignmentsSnapshot,
        3 error: optional ServerError,
        4 message: optional String,
    }

    /// Where all of them are.
    TcAssignmentsSnapshot {
        1 parallelism: required u32,
        2 assignments: repeated TcAssignment,
    }

    /// Where one transaction coordinator is.
    TcAssignment {
        1 tc_id: required u64,
        2 broker_service_url: optional String,
        3 broker_service_url_tls: optional String,
    }

    /// WATCH_TC_ASSIGNMENTS_CLOSE (81): no more of it.
    CommandWatchTcAssignmentsClose {
        1 watch_id: required u64,
    }
}
