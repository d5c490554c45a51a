//! Statistics as JSON, in the field names of Apache Pulsar.

use serde_json::{Map, Value, json};

use crate::core::{CursorStats, InternalStats, SubscriptionStats, TopicStats};

pub(super) fn topic(stats: &TopicStats) -> Value {
    let publishers: Vec<Value> = stats
        .publishers
        .iter()
        .map(|publisher| {
            json!({
                "accessMode": publisher.access,
                "producerId": publisher.id,
                "producerName": publisher.name,
                "metadata": map(&publisher.metadata),
            })
        })
        .collect();
    let subscriptions: Map<String, Value> =
        stats.subscriptions.iter().map(|sub| (sub.name.clone(), subscription(sub))).collect();
    json!({
        "msgInCounter": stats.messages_in,
        "bytesInCounter": stats.bytes_in,
        "msgOutCounter": stats.subscriptions.iter().map(|sub| sub.messages_out).sum::<u64>(),
        "storageSize": stats.storage_size,
        "backlogSize": stats.storage_size,
        "ongoingTxnCount": stats.ongoing_txns,
        "abortedTxnCount": stats.aborted_txns,
        "committedTxnCount": stats.committed_txns,
        "publishers": publishers,
        "subscriptions": subscriptions,
        "replication": {},
        "deduplicationStatus": if stats.deduplication { "Enabled" } else { "Disabled" },
    })
}

fn subscription(stats: &SubscriptionStats) -> Value {
    let consumers: Vec<Value> = stats
        .consumers
        .iter()
        .map(|consumer| {
            json!({
                "consumerName": consumer.name,
                "availablePermits": consumer.permits,
                "unackedMessages": consumer.unacked,
                "msgOutCounter": consumer.messages_out,
                "bytesOutCounter": consumer.bytes_out,
                "metadata": map(&consumer.metadata),
            })
        })
        .collect();
    json!({
        "msgBacklog": stats.backlog,
        "unackedMessages": stats.unacked,
        "msgDelayed": stats.delayed,
        "msgOutCounter": stats.messages_out,
        "type": stats.kind,
        "activeConsumerName": stats.active,
        "consumers": consumers,
        "durable": stats.durable,
        "replicated": stats.replicated,
        "subscriptionProperties": map(&stats.properties),
    })
}

pub(super) fn internal(stats: &InternalStats) -> Value {
    let place = |(ledger, entry): (i64, i64)| format!("{ledger}:{entry}");
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
            "individuallyDeletedMessages": format!("[{}]", ranges.join(",")),
            "properties": properties,
        })
    };
    let cursors: Map<String, Value> =
        stats.cursors.iter().map(|each| (each.name.clone(), cursor(each))).collect();
    let ledgers: Vec<Value> = stats
        .ledgers
        .iter()
        .map(|(ledger, entries)| json!({ "ledgerId": ledger, "entries": entries, "offloaded": false }))
        .collect();
    json!({
        "entriesAddedCounter": stats.entries,
        "numberOfEntries": stats.entries,
        "totalSize": stats.bytes,
        "lastConfirmedEntry": place(stats.last),
        "state": if stats.terminated { "Terminated" } else { "LedgerOpened" },
        "ledgers": ledgers,
        "cursors": cursors,
    })
}

fn map(pairs: &[(String, String)]) -> Map<String, Value> {
    pairs.iter().map(|(key, value)| (key.clone(), json!(value))).collect()
}

pub(super) fn partitioned(count: u32, parts: &[(String, TopicStats)]) -> Value {
    let sum = |of: fn(&TopicStats) -> u64| parts.iter().map(|(_, stats)| of(stats)).sum::<u64>();
    let partitions: Map<String, Value> =
        parts.iter().map(|(name, stats)| (name.clone(), topic(stats))).collect();
    let mut subscriptions: Map<String, Value> = Map::new();
    for sub in parts.iter().flat_map(|(_, stats)| &stats.subscriptions) {
        let entry = subscriptions
            .entry(sub.name.clone())
            .or_insert_with(|| json!({ "msgBacklog": 0, "unackedMessages": 0, "type": sub.kind }));
        for (key, value) in [("msgBacklog", sub.backlog), ("unackedMessages", sub.unacked)] {
            let before = entry.get(key).and_then(Value::as_u64).unwrap_or(0);
            if let Some(fields) = entry.as_object_mut() {
                fields.insert(key.to_owned(), json!(before + value));
            }
        }
    }
    json!({
        "metadata": { "partitions": count, "deleted": false },
        "msgInCounter": sum(|stats| stats.messages_in),
        "bytesInCounter": sum(|stats| stats.bytes_in),
        "storageSize": sum(|stats| stats.storage_size),
        "subscriptions": subscriptions,
        "partitions": partitions,
    })
}
