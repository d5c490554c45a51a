//! Transactions: which there are, how far they are, and ending one.

use serde_json::{Map, Value, json};

use super::route::{Route, Shape, route};
use super::{Answer, Ask, Result, error, stats, unexpected};
use crate::core::names::TopicName;
use crate::core::{
    AdminError, Broker, BufferStats, CoordinatorStats, CursorStats, Form, InTopic, InternalStats, Now,
    Position, TransactionInfo,
};

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
                number::<i32>(ask, "most")?;
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
            let ended = broker.abort_transaction(most, least, now);
            ended.map_err(|why| if why.status == 404 { unexpected(&why.reason) } else { why })?;
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
                let name = topic(ask)?;
                let none = format!("{SUBSCRIPTION}.getTransactionPendingAckStats(boolean)");
                subscribed(ask, &name, &none, FROM_MAP, broker)?;
                let ongoing = broker.pending_ack_stats(&name, ask.part("subscription"))?;
                let begun = broker.has_pending_acks(&name, ask.part("subscription"))?;
                let mut told = json!({
                    "state": if begun { "Ready" } else { "None" },
                    "ongoingTxnSize": ongoing,
                    "recoverStartTime": 0,
                    "recoverEndTime": 0,
                });
                if ask.call.flag("lowWaterMarks") {
                    told["lowWaterMarks"] = json!({});
                }
                Ok(Answer::Json(told))
            },
        )
        .asks(&[LOW]),
        of_topic(
            "pendingAckInternalStats",
            "/{subscription}",
            "What a subscription would keep of transactions: there is no log of it.",
            |ask, broker, _| {
                let (name, sub) = (topic(ask)?, ask.part("subscription"));
                broker.stats(&name).map_err(|_| error(404, format!("Topic not found {name}")))?;
                let begun = broker.has_pending_acks(&name, sub);
                let begun = begun.map_err(|_| error(404, format!("{name} not found subscription : {sub}")))?;
                if !begun {
                    return Err(error(503, "Pending ack have not init success!"));
                }
                let (namespace, local) = (name.namespace_name(), &name.local);
                let log = format!("{namespace}/persistent/{local}-{sub}__transaction_pending_ack");
                Ok(Answer::Json(json!({ "pendingAckLogStats": kept_in(&log, Some("__pending_ack_state")) })))
            },
        )
        .asks(METADATA),
        of_topic(
            "transactionBufferInternalStats",
            "",
            "What a topic would keep of transactions: there is no log of it.",
            |ask, broker, _| {
                let name = topic(ask)?;
                broker.buffer_stats(&name)?;
                Ok(Answer::Json(json!({
                    "snapshotType": "Single",
                    "singleSnapshotSystemTopicInternalStats": kept_in("__transaction_buffer_snapshot", None),
                })))
            },
        )
        .asks(METADATA),
        at(
            "GET",
            "coordinatorInternalStats/{coordinator}",
            "What a coordinator would keep: there is no log of it.",
            |ask, broker, _| {
                let id: u64 = number(ask, "coordinator")?;
                broker.coordinator_stats(id)?;
                let log = format!("pulsar/system/persistent/__transaction_log_{id}");
                Ok(Answer::Json(json!({
                    "transactionLogStats": kept_in(&log, Some("transaction.subscription")),
                })))
            },
        )
        .asks(METADATA),
        at("POST", "transactionCoordinator/replicas", "Makes more coordinators.", |ask, broker, _| {
            let wanted = super::reading::whole(&ask.call.json()?).and_then(|count| u32::try_from(count).ok());
            let wanted = wanted.filter(|wanted| *wanted > broker.coordinators()).ok_or_else(|| {
                error(
                    406,
                    "Number of transaction coordinators should be more than the current number of transaction \
                     coordinator",
                )
            })?;
            if wanted > MOST_COORDINATORS {
                return Err(error(406, format!("There are {MOST_COORDINATORS} coordinators at most")));
            }
            broker.set_coordinators(wanted);
            Ok(Answer::Nothing)
        })
        .takes(Shape::Number),
        of_topic(
            "positionStatsInPendingAck",
            "/{subscription}/{ledger}/{entry}",
            "Whether transactions acknowledge a message.",
            |ask, broker, _| {
                let name = topic(ask)?;
                let none = format!(
                    "{SUBSCRIPTION}.checkPositionInPendingAckState(org.apache.bookkeeper.mledger.Position, \
                     java.lang.Integer)"
                );
                subscribed(ask, &name, &none, "org.apache.pulsar.broker.service.persistent.PersistentTopic.getSubscription(String)", broker)?;
                let at = (number::<i64>(ask, "ledger")?, number::<i64>(ask, "entry")?);
                let index = ask.call.number::<i64>("batchIndex")?.and_then(|index| u32::try_from(index).ok());
                let state = broker.in_pending_ack(&name, ask.part("subscription"), at, index)?;
                Ok(Answer::Json(json!({ "state": state })))
            },
        )
        .asks(&[("batchIndex", Shape::Number, "Which message of a batch.")]),
        of_topic(
            "transactionInPendingAckStats",
            "/{subscription}/{most}/{least}",
            "A transaction among a subscription's acknowledgements.",
            |ask, broker, _| {
                let (most, least) = id(ask)?;
                let txn = "org.apache.pulsar.client.api.transaction.TxnID";
                let none = format!("{SUBSCRIPTION}.getTransactionInPendingAckStats({txn})");
                subscribed(ask, &topic(ask)?, &none, FROM_MAP, broker)?;
                let up_to = broker.in_pending_acks(&topic(ask)?, ask.part("subscription"), most, least)?;
                Ok(Answer::Json(in_pending_acks(up_to)))
            },
        ),
    ]
}

/// More coordinators than this are none of a broker for one machine.
const MOST_COORDINATORS: u32 = 1024;
const SUBSCRIPTION: &str = "org.apache.pulsar.broker.service.persistent.PersistentSubscription";
const FROM_MAP: &str = "java.util.Map.get(Object)";
const METADATA: &[super::route::Parameter] = &[("metadata", Shape::Boolean, "Means nothing here.")];

/// A number that the real broker does not expect to be none.
fn number<T: std::str::FromStr>(ask: &Ask<'_>, name: &str) -> Result<T> {
    ask.part(name).parse().map_err(|_| AdminError { form: Form::Page, ..error(500, "Request failed.") })
}

/// Refuses what is asked of a subscription that is not there, in the real broker's words.
fn subscribed(ask: &Ask<'_>, name: &TopicName, call: &str, of: &str, broker: &Broker) -> Result<()> {
    broker.stats(name).map_err(|_| error(404, format!("Topic not found {name}")))?;
    match broker.has_pending_acks(name, ask.part("subscription")) {
        Ok(_) => Ok(()),
        Err(_) => {
            Err(unexpected(&format!("Cannot invoke \"{call}\" because the return value of \"{of}\" is null")))
        }
    }
}

/// What is told of a log: it is there and empty.
fn kept_in(log: &str, cursor: Option<&str>) -> Value {
    let cursors = cursor.map(|name| CursorStats { name: name.to_owned(), ..CursorStats::default() });
    let empty =
        InternalStats { last: (0, -1), cursors: cursors.into_iter().collect(), ..InternalStats::default() };
    let mut inside = stats::internal(&empty);
    if let Some(fields) = inside.as_object_mut().filter(|_| cursor.is_some()) {
        // These are of topics.
        fields.retain(|name, _| !["schemaLedgers", "compactedLedger"].contains(&name.as_str()));
    }
    json!({ "managedLedgerName": log, "managedLedgerInternalStats": inside })
}

fn id(ask: &Ask<'_>) -> Result<(u64, u64)> {
    let number = |name: &str| {
        let said = ask.part(name);
        said.parse::<i64>().map_err(|_| unexpected(&format!("For input string: \"{said}\"")))
    };
    Ok((number("most")? as u64, number("least")? as u64))
}

fn topic(ask: &Ask<'_>) -> Result<TopicName> {
    let name = TopicName::from_parts(true, ask.part("tenant"), ask.part("namespace"), ask.part("topic"));
    name.ok_or_else(|| error(412, "Topic name is not valid"))
}

/// The coordinator that is asked for; `None` for all.
fn coordinator(ask: &Ask<'_>) -> Result<Option<u64>> {
    let wanted = ask.call.number::<i64>("coordinatorId")?;
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
            "recoverStartTime": 0,
            "recoverEndTime": 0,
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
    let timeout: u64 = number(ask, "timeout")?;
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
        "state": if stats.begun { "Ready" } else { "NoSnapshot" },
        "recoverStartTime": 0,
        "recoverEndTime": 0,
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
