//! Statistics of all partitions of a topic as if they were one, added up as Apache Pulsar does it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::stats::{consumer, earliest, subscription, topic, totals};
use crate::core::{ConsumerStats, PublisherStats, Rates, SubscriptionStats, TopicStats};

/// What is said of all partitions, and of each of them when that is asked for.
pub(super) fn partitioned(count: u32, parts: &[(String, TopicStats)], each: bool, broker: &str) -> Value {
    let all: Vec<&TopicStats> = parts.iter().map(|(_, stats)| stats).collect();
    let mut subscriptions: BTreeMap<&str, Value> = BTreeMap::new();
    for sub in all.iter().flat_map(|stats| &stats.subscriptions) {
        let sum = subscriptions.entry(&sub.name).or_insert_with(|| {
            subscription(&SubscriptionStats { name: sub.name.clone(), ..Default::default() })
        });
        add_subscription(sum, &subscription(sub));
    }
    let partitions: Map<String, Value> = match each {
        true => parts
            .iter()
            .map(|(name, stats)| (name.clone(), topic(stats, !name.starts_with("non-"), broker)))
            .collect(),
        false => Map::new(),
    };
    let mut out = json!({
        "metadata": { "partitions": count, "deleted": false },
        "publishers": publishers(&all),
        "subscriptions": subscriptions,
        "partitions": partitions,
    });
    totals(&mut out, &all);
    out["oldestBacklogMessageAgeSeconds"] = json!(0);
    out
}

/// Producers of the same place, each among those of its partition, are one. By name, which 4.0.8 can be told to
/// ask for, they are not.
fn publishers(all: &[&TopicStats]) -> Vec<Value> {
    let most = all.iter().map(|stats| stats.publishers.len()).max().unwrap_or(0);
    let of = |place| all.iter().filter_map(|stats| stats.publishers.get(place)).collect::<Vec<_>>();
    (0..most).map(|place| one_publisher(&of(place))).collect()
}

fn one_publisher(several: &[&PublisherStats]) -> Value {
    let rates: Rates = several.iter().map(|publisher| publisher.rates).sum();
    let sizes: f64 = several.iter().map(|publisher| publisher.rates.average_size()).sum();
    json!({
        "producerId": 0,
        "supportsPartialProducer": false,
        "msgRateIn": rates.messages_in,
        "msgThroughputIn": rates.bytes_in,
        "averageMsgSize": sizes / several.len().max(1) as f64,
        "chunkedMessageRate": 0.0,
    })
}

/// Adds numbers.
fn add(to: &mut Value, more: &Value, names: &[&str]) {
    for name in names {
        let (sum, number) = (&to[*name], &more[*name]);
        to[*name] = match (sum.as_i64(), number.as_i64()) {
            (Some(a), Some(b)) => json!(a.saturating_add(b)),
            _ => json!(sum.as_f64().unwrap_or(0.0) + number.as_f64().unwrap_or(0.0)),
        };
    }
}

/// Takes over what is there; what is not there goes.
fn set(to: &mut Value, from: &Value, names: &[&str]) {
    let (Some(to), Some(from)) = (to.as_object_mut(), from.as_object()) else { return };
    for name in names {
        match from.get(*name) {
            Some(value) => drop(to.insert((*name).to_owned(), value.clone())),
            None => drop(to.remove(*name)),
        }
    }
}

fn add_subscription(to: &mut Value, more: &Value) {
    add(
        to,
        more,
        &[
            "msgRateOut",
            "msgThroughputOut",
            "bytesOutCounter",
            "msgOutCounter",
            "msgRateRedeliver",
            "messageAckRate",
            "chunkedMessageRate",
            "msgBacklog",
            "backlogSize",
            "msgBacklogNoDelayed",
            "msgDelayed",
            "msgInReplay",
            "unackedMessages",
            "msgRateExpired",
            "totalMsgExpired",
            "drainingHashesCount",
            "drainingHashesClearedTotal",
            "drainingHashesUnackedMessages",
            "nonContiguousDeletedMessagesRanges",
        ],
    );
    set(to, more, &["type"]);
    for name in ["isReplicated", "replicated", "isDurable", "durable", "allowOutOfOrderDelivery"] {
        to[name] = json!(to[name] == true || more[name] == true);
    }
    let time = |of: &Value| of["earliestMsgPublishTimeInBacklog"].as_i64().unwrap_or(0);
    to["earliestMsgPublishTimeInBacklog"] = json!(earliest(time(to), time(more)));
    if let (Some(all), Some(more)) =
        (to["subscriptionProperties"].as_object_mut(), more["subscriptionProperties"].as_object())
    {
        all.extend(more.clone());
    }
    // Those of the same place are one, if there are as many; otherwise there are more.
    if let (Some(all), Some(more)) = (to["consumers"].as_array_mut(), more["consumers"].as_array()) {
        if all.len() != more.len() {
            all.extend(std::iter::repeat_n(no_consumer(), more.len()));
        }
        let new = all.len() - more.len();
        all.iter_mut().skip(new).zip(more).for_each(|(to, more)| add_consumer(to, more));
    }
}

fn no_consumer() -> Value {
    let mut none = consumer(&ConsumerStats::default());
    if let Some(fields) = none.as_object_mut() {
        let not_told = ["address", "connectedSince", "clientVersion", "metadata"];
        fields.retain(|name, _| !not_told.contains(&name.as_str()));
    }
    none
}

fn add_consumer(to: &mut Value, more: &Value) {
    add(
        to,
        more,
        &[
            "msgRateOut",
            "messageAckRate",
            "msgThroughputOut",
            "bytesOutCounter",
            "msgOutCounter",
            "msgRateRedeliver",
            "availablePermits",
            "unackedMessages",
            "drainingHashesClearedTotal",
        ],
    );
    set(
        to,
        more,
        &[
            "consumerName",
            "blockedConsumerOnUnackedMsgs",
            "drainingHashesCount",
            "drainingHashesUnackedMessages",
            "drainingHashes",
            "keyHashRangeArrays",
        ],
    );
}
