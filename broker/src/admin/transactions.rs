//! Transactions: which there are, how far they are, and ending one.

use serde_json::{Map, Value, json};

use super::route::{Route, Shape, route};
use super::{Answer, Ask, Result, error};
use crate::core::names::TopicName;
use crate::core::{Broker, BufferStats, CoordinatorStats, InTopic, Now, Position, TransactionInfo};

const GROUP: &str = "transactions";

pub(super) fn routes() -> Vec<Route> {
    let at = |method, rest: &str, summary, run| {
        route(method, &format!("/admin/v3/transactions/{rest}"), GROUP, summary, run)
    };
    let of_topic = |name: &str, rest: &str, summary, run| {
        at("GET", &format!("{name}/{{tenant}}/{{namespace}}/{{topic}}{rest}"), summary, run)
    };
    const LOW: (&str, Shape, &str) =
        ("lowWaterMarks", Shape::Boolean, "With what has ended, by coordinator.");
    const COORDINATOR: (&str, Shape, &str) = ("coordinatorId", Shape::Number, "Of this coordinator only.");
    vec![
        at("GET", "coordinators", "Coordinators, and where they are.", |_, broker, _| {
            let url = broker.config().service_url.clone();
            let all = (0..broker.coordinators()).map(|id| json!({ "id": id, "brokerServiceUrl": url }));
            Ok(Answer::Json(all.collect()))
        }),
        at("GET", "coordinatorStats", "What coordinators have to do.", coordinator_stats)
            .asks(&[COORDINATOR]),
        at(
            "GET",
            "transactionMetadata/{most}/{least}",
            "A transaction that has not ended.",
            |ask, broker, _| {
                let (most, least) = id(ask)?;
                Ok(Answer::Json(metadata(&broker.transaction(most, least)?)))
            },
        ),
        at(
            "GET",
            "slowTransactions/{timeout}",
            "Transactions that may stay open for so many milliseconds or longer.",
            slow,
        )
        .asks(&[COORDINATOR]),
        at("POST", "abortTransaction/{most}/{least}", "Aborts a transaction.", |ask, broker, now| {
            let (most, least) = id(ask)?;
            broker.abort_transaction(most, least, now)?;
            Ok(Answer::Nothing)
        }),
        of_topic("transactionBufferStats", "", "Transactions among a topic's messages.", |ask, broker, _| {
            let stats = broker.buffer_stats(&topic(ask)?)?;
            Ok(Answer::Json(buffer(&stats, ask.call.flag("lowWaterMarks"))))
        })
        .asks(&[LOW]),
        of_topic(
            "transactionInBufferStats",
            "/{most}/{least}",
            "A transaction among a topic's messages.",
            |ask, broker, _| {
                let (most, least) = id(ask)?;
                Ok(Answer::Json(in_topic(&broker.in_buffer(&topic(ask)?, most, least)?)))
            },
        ),
        of_topic(
            "pendingAckStats",
            "/{subscription}",
            "Transactions among a subscription's acknowledgements.",
            |ask, broker, _| {
                let ongoing = broker.pending_ack_stats(&topic(ask)?, ask.part("subscription"))?;
                Ok(Answer::Json(json!({ "state": "Ready", "ongoingTxnSize": ongoing })))
            },
        ),
        of_topic(
            "transactionInPendingAckStats",
            "/{subscription}/{most}/{least}",
            "A transaction among a subscription's acknowledgements.",
            |ask, broker, _| {
                let (most, least) = id(ask)?;
                let up_to = broker.in_pending_acks(&topic(ask)?, ask.part("subscription"), most, least)?;
                Ok(Answer::Json(in_pending_acks(up_to)))
            },
        ),
    ]
}

fn id(ask: &Ask<'_>) -> Result<(u64, u64)> {
    Ok((ask.number::<i64>("most")? as u64, ask.number::<i64>("least")? as u64))
}

fn topic(ask: &Ask<'_>) -> Result<TopicName> {
    let name = TopicName::from_parts(true, ask.part("tenant"), ask.part("namespace"), ask.part("topic"));
    name.ok_or_else(|| error(412, "Topic name is not valid"))
}

/// The coordinator that is asked for; `None` for all.
fn coordinator(ask: &Ask<'_>) -> Result<Option<u64>> {
    let wanted = ask.call.number("coordinatorId")?;
    wanted
        .map(|id| {
            let reason = || error(404, format!("Transaction coordinator not found! coordinator id : {id}"));
            u64::try_from(id).map_err(|_| reason())
        })
        .transpose()
}

fn coordinator_stats(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let shown = |stats: CoordinatorStats| {
        json!({
            "state": "Ready",
            "leastSigBits": stats.last,
            "lowWaterMark": stats.low_water,
            "ongoingTxnSize": stats.ongoing,
        })
    };
    if let Some(id) = coordinator(ask)? {
        return Ok(Answer::Json(shown(broker.coordinator_stats(id)?)));
    }
    let mut all = Map::new();
    for id in 0..u64::from(broker.coordinators()) {
        all.insert(id.to_string(), shown(broker.coordinator_stats(id)?));
    }
    Ok(Answer::Json(Value::Object(all)))
}

fn slow(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let timeout: u64 = ask.number("timeout")?;
    let coordinators = match coordinator(ask)? {
        Some(id) => id..id + 1,
        None => 0..u64::from(broker.coordinators()),
    };
    let mut all = Map::new();
    for coordinator in coordinators {
        for info in broker.slow_transactions(coordinator, timeout)? {
            all.insert(info.id.clone(), metadata(&info));
        }
    }
    Ok(Answer::Json(Value::Object(all)))
}

fn place((ledger, entry): Position) -> String {
    format!("{ledger}:{entry}")
}

fn in_topic(stats: &InTopic) -> Value {
    let mut out = json!({ "aborted": stats.aborted });
    if let Some(start) = stats.start {
        out["startPosition"] = json!(place(start));
    }
    out
}

fn in_pending_acks(up_to: Option<Position>) -> Value {
    up_to.map_or_else(|| json!({}), |up_to| json!({ "cumulativeAckPosition": place(up_to) }))
}

fn metadata(info: &TransactionInfo) -> Value {
    let topics: Map<String, Value> =
        info.topics.iter().map(|(topic, stats)| (topic.clone(), in_topic(stats))).collect();
    let subs: Map<String, Value> = info
        .subscriptions
        .iter()
        .map(|(topic, subs)| {
            let subs: Map<String, Value> =
                subs.iter().map(|(sub, up_to)| (sub.clone(), in_pending_acks(*up_to))).collect();
            (topic.clone(), Value::Object(subs))
        })
        .collect();
    json!({
        "txnId": info.id,
        "status": info.state,
        "openTimestamp": info.opened,
        "timeoutAt": info.ttl,
        "producedPartitions": topics,
        "ackedPartitions": subs,
    })
}

fn buffer(stats: &BufferStats, with_low_water: bool) -> Value {
    let mut out = json!({
        "state": "Ready",
        "maxReadPosition": place(stats.max_read),
        "lastSnapshotTimestamps": 0,
        "ongoingTxnSize": stats.ongoing,
        "totalAbortedTransactions": stats.aborted,
        "snapshotType": "Single",
    });
    if with_low_water {
        let low: Map<String, Value> =
            stats.low_water.iter().map(|(id, low)| (id.to_string(), json!(low))).collect();
        out["lowWaterMarks"] = Value::Object(low);
    }
    out
}
