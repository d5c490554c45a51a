//! Statistics as JSON, in the field names of Apache Pulsar. What is not counted here is 0.

use serde_json::{Map, Value, json};

use crate::core::{
    Backlog, ConsumerStats, CursorStats, DrainingHash, InternalStats, Now, PublisherStats, Rates,
    SubscriptionStats, TopicStats, iso_8601,
};

/// What a quota is where none is set.
const DEFAULT_QUOTA: i64 = 10 << 30;

fn map(pairs: &[(String, String)]) -> Map<String, Value> {
    pairs.iter().map(|(key, value)| (key.clone(), json!(value))).collect()
}

/// Adds fields that are always 0.
fn zeros(of: &mut Value, names: &[&str], rates: &[&str]) {
    let Some(fields) = of.as_object_mut() else { return };
    fields.extend(names.iter().map(|name| ((*name).to_owned(), json!(0))));
    fields.extend(rates.iter().map(|name| ((*name).to_owned(), json!(0.0))));
}

pub(super) fn topic(stats: &TopicStats, persistent: bool, broker: &str) -> Value {
    let subscriptions: Map<String, Value> =
        stats.subscriptions.iter().map(|sub| (sub.name.clone(), subscription(sub))).collect();
    let mut out = json!({
        "publishers": stats.publishers.iter().map(publisher).collect::<Vec<_>>(),
        "subscriptions": subscriptions,
        "ownerBroker": broker,
    });
    totals(&mut out, &[stats]);
    out["compaction"]["lastCompactionRemovedEventCount"] = json!(stats.compaction.removed);
    out["compaction"]["lastCompactionSucceedTimestamp"] = json!(stats.compaction.at_ms);
    if persistent {
        out["deduplicationStatus"] = json!(if stats.deduplication { "Enabled" } else { "Disabled" });
        return out;
    }
    // Nothing is dropped here: messages wait in memory until they are handed out.
    let dropped = |of: &mut Value| of["msgDropRate"] = json!(0.0);
    out["publishers"].as_array_mut().into_iter().flatten().for_each(dropped);
    out["subscriptions"].as_object_mut().into_iter().flat_map(Map::values_mut).for_each(dropped);
    dropped(&mut out);
    for name in [
        "storageSize",
        "backlogSize",
        "backlogQuotaLimitSize",
        "backlogQuotaLimitTime",
        "oldestBacklogMessageAgeSeconds",
    ] {
        out[name] = json!(0);
    }
    out
}

/// What is counted of one topic, or of several.
pub(super) fn totals(out: &mut Value, all: &[&TopicStats]) {
    let sum = |of: fn(&TopicStats) -> u64| all.iter().map(|stats| of(stats)).sum::<u64>();
    let out_sum = |of: fn(&SubscriptionStats) -> u64| {
        all.iter().flat_map(|stats| &stats.subscriptions).map(of).sum::<u64>()
    };
    zeros(
        out,
        &[
            "systemTopicBytesInCounter",
            "bytesOutInternalCounter",
            "publishRateLimitedTimes",
            "offloadedStorageSize",
            "lastOffloadLedgerId",
            "lastOffloadSuccessTimeStamp",
            "lastOffloadFailureTimeStamp",
            "nonContiguousDeletedMessagesRanges",
            "nonContiguousDeletedMessagesRangesSerializedSize",
            "delayedMessageIndexSizeInBytes",
        ],
        &[],
    );
    let rates: Rates = all.iter().map(|stats| stats.rates).sum();
    let sizes: f64 = all.iter().map(|stats| stats.rates.average_size()).sum();
    let quota = all.first().map(|stats| stats.quota).unwrap_or_default();
    let fields = json!({
        "msgRateIn": rates.messages_in,
        "msgThroughputIn": rates.bytes_in,
        "msgRateOut": rates.messages_out,
        "msgThroughputOut": rates.bytes_out,
        "averageMsgSize": sizes / all.len().max(1) as f64,
        "bytesInCounter": sum(|stats| stats.bytes_in),
        "msgInCounter": sum(|stats| stats.messages_in),
        "bytesOutCounter": out_sum(|sub| sub.bytes_out),
        "msgOutCounter": out_sum(|sub| sub.messages_out),
        "ongoingTxnCount": sum(|stats| stats.ongoing_txns),
        "abortedTxnCount": sum(|stats| stats.aborted_txns),
        "committedTxnCount": sum(|stats| stats.committed_txns),
        "storageSize": sum(|stats| stats.storage_size),
        "backlogSize": sum(|stats| stats.backlog_size),
        "backlogQuotaLimitSize": quota.0.unwrap_or(DEFAULT_QUOTA),
        "backlogQuotaLimitTime": quota.1.unwrap_or(-1),
        "oldestBacklogMessageAgeSeconds": -1,
        "msgChunkPublished": false,
        "waitingPublishers": sum(|stats| stats.waiting_publishers),
        "earliestMsgPublishTimeInBacklogs": all.iter().map(|stats| stats.earliest_ms).reduce(earliest).unwrap_or(0),
        "replication": {},
        "compaction": {
            "lastCompactionRemovedEventCount": 0,
            "lastCompactionSucceedTimestamp": 0,
            "lastCompactionFailedTimestamp": 0,
            "lastCompactionDurationTimeInMills": 0,
        },
    });
    if let (Some(out), Value::Object(fields)) = (out.as_object_mut(), fields) {
        out.extend(fields);
    }
}

fn publisher(publisher: &PublisherStats) -> Value {
    let mut out = json!({
        "accessMode": publisher.access,
        "producerId": publisher.id,
        "producerName": publisher.name,
        "supportsPartialProducer": false,
        "address": publisher.address,
        "connectedSince": iso_8601(publisher.connected_ms),
        "clientVersion": publisher.client_version,
        "metadata": map(&publisher.metadata),
    });
    out["msgRateIn"] = json!(publisher.rates.messages_in);
    out["msgThroughputIn"] = json!(publisher.rates.bytes_in);
    out["averageMsgSize"] = json!(publisher.rates.average_size());
    out["chunkedMessageRate"] = json!(publisher.rates.chunks_in);
    out
}

/// How much goes out, to a consumer or to all of a subscription.
fn rates_out(out: &mut Value, rates: &Rates) {
    out["msgRateOut"] = json!(rates.messages_out);
    out["msgThroughputOut"] = json!(rates.bytes_out);
    out["msgRateRedeliver"] = json!(rates.redelivered);
    out["messageAckRate"] = json!(rates.acknowledged);
    out["chunkedMessageRate"] = json!(rates.chunks_out);
}

const HASHES: &[&str] =
    &["drainingHashesCount", "drainingHashesClearedTotal", "drainingHashesUnackedMessages"];

pub(super) fn subscription(stats: &SubscriptionStats) -> Value {
    let mut out = json!({
        "bytesOutCounter": stats.bytes_out,
        "msgOutCounter": stats.messages_out,
        "msgBacklog": stats.backlog,
        "msgBacklogNoDelayed": stats.backlog.saturating_sub(stats.delayed),
        "backlogSize": stats.backlog_size,
        "earliestMsgPublishTimeInBacklog": stats.earliest_ms,
        "blockedSubscriptionOnUnackedMsgs": stats.blocked,
        "msgDelayed": stats.delayed,
        "msgInReplay": stats.in_replay,
        "unackedMessages": stats.unacked,
        "type": stats.kind,
        "consumers": stats.consumers.iter().map(consumer).collect::<Vec<_>>(),
        "isDurable": stats.durable,
        "isReplicated": stats.replicated,
        "durable": stats.durable,
        "replicated": stats.replicated,
        "allowOutOfOrderDelivery": stats.out_of_order,
        "consumersAfterMarkDeletePosition": {},
        "nonContiguousDeletedMessagesRanges": stats.ranges,
        "subscriptionProperties": map(&stats.properties),
    });
    if let Some(active) = &stats.active {
        out["activeConsumerName"] = json!(active);
    }
    if stats.kind == "Key_Shared" {
        out["keySharedMode"] = json!(stats.key_shared_mode);
    }
    zeros(
        &mut out,
        &[
            "nonContiguousDeletedMessagesRangesSerializedSize",
            "delayedMessageIndexSizeInBytes",
            "filterProcessedMsgCount",
            "filterAcceptedMsgCount",
            "filterRejectedMsgCount",
            "filterRescheduledMsgCount",
            "dispatchThrottledMsgEventsBySubscriptionLimit",
            "dispatchThrottledBytesEventsBySubscriptionLimit",
            "dispatchThrottledMsgEventsByTopicLimit",
            "dispatchThrottledBytesEventsByTopicLimit",
            "dispatchThrottledMsgEventsByBrokerLimit",
            "dispatchThrottledBytesEventsByBrokerLimit",
        ],
        &["msgRateExpired"],
    );
    rates_out(&mut out, &stats.rates);
    out["totalMsgExpired"] = json!(stats.expired.entries);
    out["lastExpireTimestamp"] = json!(stats.expired.at_ms);
    let latest = |of: fn(&ConsumerStats) -> u64| json!(stats.consumers.iter().map(of).max().unwrap_or(0));
    out["lastConsumedFlowTimestamp"] = json!(stats.flow_ms);
    out["lastConsumedTimestamp"] = latest(|consumer| consumer.consumed_ms);
    out["lastAckedTimestamp"] = latest(|consumer| consumer.acked_ms);
    out["lastMarkDeleteAdvancedTimestamp"] = json!(stats.advanced_ms);
    let mut sums = [0; 3];
    for consumer in &stats.consumers {
        draining(consumer).iter().zip(&mut sums).for_each(|(number, sum)| *sum += number);
    }
    HASHES.iter().zip(sums).for_each(|(name, sum)| out[*name] = json!(sum));
    out
}

/// How many hashes of a consumer drain and have drained, and how many entries are waited for.
fn draining(stats: &ConsumerStats) -> [u64; 3] {
    let hashes = stats.draining.as_deref().unwrap_or_default();
    [hashes.len() as u64, stats.drained, hashes.iter().map(|hash| hash.unacked).sum()]
}

pub(super) fn consumer(stats: &ConsumerStats) -> Value {
    let mut out = json!({
        "bytesOutCounter": stats.bytes_out,
        "msgOutCounter": stats.messages_out,
        "consumerName": stats.name,
        "availablePermits": stats.permits,
        "unackedMessages": stats.unacked,
        "avgMessagesPerEntry": stats.per_entry,
        "blockedConsumerOnUnackedMsgs": stats.blocked,
        "address": stats.address,
        "connectedSince": iso_8601(stats.connected_ms),
        "clientVersion": stats.client_version,
        "metadata": map(&stats.metadata),
        "lastAckedTime": iso_8601(stats.acked_ms),
        "lastConsumedTime": iso_8601(stats.consumed_ms),
        "lastAckedTimestamp": stats.acked_ms,
        "lastConsumedTimestamp": stats.consumed_ms,
    });
    rates_out(&mut out, &stats.rates);
    HASHES.iter().zip(draining(stats)).for_each(|(name, number)| out[*name] = json!(number));
    if !stats.role.is_empty() {
        out["appId"] = json!(stats.role);
    }
    if let Some(ranges) = &stats.hash_ranges {
        out["keyHashRangeArrays"] = json!(ranges);
    }
    if let Some(hashes) = &stats.draining {
        let hash = |hash: &DrainingHash| json!({ "hash": hash.hash, "unackMsgs": hash.unacked, "blockedAttempts": hash.blocked });
        out["drainingHashes"] = hashes.iter().map(hash).collect();
    }
    out["lastConsumedFlowTimestamp"] = json!(stats.flow_ms);
    out
}

/// Takes the consumers out of what is said of topics; what is counted of all of them stays.
pub(super) fn without_consumers(out: &mut Value) {
    let subscriptions = out["subscriptions"].as_object_mut();
    subscriptions.into_iter().flat_map(Map::values_mut).for_each(|sub| sub["consumers"] = json!([]));
    let partitions = out.get_mut("partitions").and_then(Value::as_object_mut);
    partitions.into_iter().flat_map(Map::values_mut).for_each(without_consumers);
}

fn place((ledger, entry): (i64, i64)) -> String {
    format!("{ledger}:{entry}")
}

fn ledger(id: i64, entries: i64, size: i64) -> Value {
    json!({ "ledgerId": id, "entries": entries, "size": size, "offloaded": false, "underReplicated": false })
}

/// The ledger that keeps what a cursor acknowledged, where there would be one: none is used here, so it is one of
/// those that come after the topic's.
fn cursor_ledger(stats: &InternalStats, cursor: &CursorStats) -> i64 {
    let at = stats.cursors.iter().position(|each| each.name == cursor.name).unwrap_or_default();
    if cursor.open && cursor.durable { (stats.open + 1) as i64 + at as i64 } else { -1 }
}

/// All ledgers. What is in the one that is written to is told when it is closed.
fn ledgers_of(stats: &InternalStats) -> Vec<(u64, u64, u64, u64)> {
    let mut ledgers = stats.ledgers.clone();
    if !stats.terminated {
        ledgers.retain(|(id, ..)| *id != stats.open);
        ledgers.push((stats.open, 0, 0, 0));
    }
    ledgers
}

pub(super) fn internal(stats: &InternalStats) -> Value {
    let cursor = |cursor: &CursorStats| {
        let ranges: Vec<String> = cursor
            .acknowledged
            .iter()
            .map(|(start, end)| format!("({}..{}]", place(*start), place(*end)))
            .collect();
        let properties: Map<String, Value> =
            cursor.properties.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        json!({
            "markDeletePosition": place(cursor.mark),
            "readPosition": place(cursor.read),
            "waitingReadOp": cursor.waits,
            "pendingReadOps": 0,
            "messagesConsumedCounter": cursor.consumed,
            "cursorLedger": cursor_ledger(stats, cursor),
            "cursorLedgerLastEntry": if cursor.open && cursor.durable { 1 } else { -1 },
            "individuallyDeletedMessages": format!("[{}]", ranges.join(",")),
            "lastLedgerSwitchTimestamp": iso_8601(cursor.made_ms.max(stats.opened_ms)),
            "state": if cursor.open || !cursor.durable { "Open" } else { "NoLedger" },
            "active": cursor.active,
            "numberOfEntriesSinceFirstNotAckedMessage": cursor.read_on + 1,
            "totalNonContiguousDeletedMessagesRange": cursor.acknowledged.len(),
            "subscriptionHavePendingRead": cursor.waits,
            "subscriptionHavePendingReplayRead": false,
            "properties": properties,
        })
    };
    let cursors: Map<String, Value> =
        stats.cursors.iter().map(|each| (each.name.clone(), cursor(each))).collect();
    let current = stats.ledgers.last().copied().filter(|last| last.0 == stats.open).unwrap_or_default();
    let ledgers: Vec<Value> = ledgers_of(stats)
        .iter()
        .map(|(id, entries, size, _)| ledger(*id as i64, *entries as i64, *size as i64))
        .collect();
    let compacted = stats.compacted.map_or_else(
        || ledger(-1, -1, -1),
        |(id, entries, size)| ledger(id as i64, entries as i64, size as i64),
    );
    json!({
        "entriesAddedCounter": stats.entries,
        "numberOfEntries": stats.entries,
        "totalSize": stats.bytes,
        "currentLedgerEntries": current.1,
        "currentLedgerSize": current.2,
        "lastLedgerCreatedTimestamp": iso_8601(stats.opened_ms),
        "waitingCursorsCount": stats.cursors.iter().filter(|cursor| cursor.waits).count(),
        "pendingAddEntriesCount": 0,
        "lastConfirmedEntry": place(stats.last),
        "state": if stats.terminated { "Terminated" } else { "LedgerOpened" },
        "ledgers": ledgers,
        "cursors": cursors,
        "schemaLedgers": [],
        "compactedLedger": compacted,
    })
}

/// The same of a topic that stores nothing: what there is to tell.
pub(super) fn internal_of_what_is_not_stored(stats: &InternalStats) -> Value {
    let cursor = |each: &CursorStats| {
        let nothing = json!({
            "waitingReadOp": false,
            "pendingReadOps": 0,
            "messagesConsumedCounter": 0,
            "cursorLedger": 0,
            "cursorLedgerLastEntry": 0,
            "active": false,
            "numberOfEntriesSinceFirstNotAckedMessage": 0,
            "totalNonContiguousDeletedMessagesRange": 0,
            "subscriptionHavePendingRead": false,
            "subscriptionHavePendingReplayRead": false,
        });
        (each.name.clone(), nothing)
    };
    json!({
        "entriesAddedCounter": stats.added,
        "numberOfEntries": 0,
        "totalSize": 0,
        "currentLedgerEntries": 0,
        "currentLedgerSize": 0,
        "waitingCursorsCount": 0,
        "pendingAddEntriesCount": 0,
        "cursors": stats.cursors.iter().map(cursor).collect::<Map<String, Value>>(),
    })
}

/// What is kept of a topic.
pub(super) fn internal_info(stats: &InternalStats, properties: Value, now: Now) -> Value {
    let ledgers: Vec<Value> = ledgers_of(stats)
        .iter()
        .map(|(id, entries, size, at)| match *id == stats.open && !stats.terminated {
            true => json!({ "ledgerId": id, "timestamp": now.wall_ms, "isOffloaded": false }),
            false => {
                json!({ "ledgerId": id, "entries": entries, "size": size, "timestamp": at, "isOffloaded": false })
            }
        })
        .collect();
    let cursor = |cursor: &CursorStats| {
        let (ledger, entry) = cursor.mark;
        json!({
            "version": 0,
            "creationDate": iso_8601(cursor.made_ms),
            "modificationDate": iso_8601(cursor.made_ms.max(stats.opened_ms)),
            "cursorsLedgerId": cursor_ledger(stats, cursor),
            "markDelete": { "ledgerId": ledger, "entryId": entry },
        })
    };
    let cursors: Map<String, Value> =
        stats.cursors.iter().map(|each| (each.name.clone(), cursor(each))).collect();
    json!({
        "version": 1,
        "creationDate": iso_8601(stats.made_ms),
        "modificationDate": iso_8601(stats.opened_ms),
        "ledgers": ledgers,
        "cursors": cursors,
        "properties": properties,
    })
}

pub(super) fn backlog(found: &Backlog) -> Value {
    let mut out = json!({
        "entries": found.entries,
        "messages": found.messages,
        "filterRejectedEntries": 0,
        "filterAcceptedEntries": found.entries,
        "filterRescheduledEntries": 0,
        "filterRejectedMessages": 0,
        "filterAcceptedMessages": found.messages,
        "filterRescheduledMessages": 0,
        "aborted": false,
    });
    if let Some((first, last)) = found.ends {
        out["firstMessageId"] = json!(place(first));
        out["lastMessageId"] = json!(place(last));
    }
    out
}

/// The earlier of two times, where 0 is none.
pub(super) fn earliest(one: i64, other: i64) -> i64 {
    if one != 0 && other != 0 { one.min(other) } else { one.max(other) }
}
