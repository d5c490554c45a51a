//! What tools ask every Pulsar: statistics of the whole broker, and of what is behind a real one.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::route::{Route, Shape, route};
use super::{Answer, Ask, Result, brokers, error, metrics, stats};
use crate::core::{Broker, Now};

const GROUP: &str = "the whole broker";

pub(super) fn routes() -> Vec<Route> {
    let get = |path, summary, run| route("GET", path, GROUP, summary, run);
    vec![
        get("broker-stats/topics", "Statistics of all topics, by namespace, bundle and kind.", topics),
        get("broker-stats/metrics", "Measurements of the broker, by namespace.", metrics::list),
        get(
            "broker-stats/mbeans",
            "What Java measures; here, counts of topics and connections.",
            |_, broker, _| {
                let (topics, connections) = broker.counts();
                Ok(Answer::Json(json!([{
                    "metrics": { "Topics": topics, "Connections": connections },
                    "dimensions": { "MBean": "pulsewire:type=Broker" },
                }])))
            },
        ),
        get(
            "broker-stats/allocator-stats/{allocator}",
            "What Netty's allocators hold: nothing.",
            |ask, _, _| match ask.part("allocator") {
                "default" | "ml-cache" => Ok(Answer::Json(json!({
                    "numDirectArenas": 0,
                    "numHeapArenas": 0,
                    "numThreadLocalCaches": 0,
                    "normalCacheSize": 64,
                    "smallCacheSize": 256,
                    "usedDirectMemory": 0,
                    "usedHeapMemory": 0,
                    "directArenas": [],
                    "heapArenas": [],
                }))),
                name => Err(error(406, format!("Invalid allocator name : {name}"))),
            },
        ),
        get("broker-stats/load-report", "A report for a load manager: none.", |_, _, _| Ok(Answer::Nothing)),
        get("bookies/all", "Bookies: none.", |_, _, _| Ok(Answer::Json(json!({ "bookies": [] })))),
        get("bookies/racks-info", "Racks of bookies: none.", |_, _, _| Ok(Answer::Json(json!({})))),
        get(
            "brokers/backlog-quota-check",
            "Looks at once which topics are beyond their quota.",
            |_, broker, now| {
                broker.check_backlog_quotas(now);
                Ok(Answer::Nothing)
            },
        )
        .gives(Shape::None),
        get("/admin/clusters", "Names of all clusters, by the older path.", |_, broker, _| {
            Ok(Answer::Json(json!(super::places::names(broker))))
        })
        .gives(Shape::Texts),
        get("/metrics", "What Prometheus reads.", metrics::page).gives(Shape::Text),
    ]
}

/// Topics that are stored, and those that are not.
type Kinds = BTreeMap<&'static str, Map<String, Value>>;

fn topics(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let here = brokers::id(broker, ask.call.broker);
    let mut out: BTreeMap<String, BTreeMap<String, Kinds>> = BTreeMap::new();
    for (name, found) in metrics::all(broker) {
        let kind = if name.persistent { "persistent" } else { "non-persistent" };
        let bundles = out.entry(name.namespace_name()).or_default();
        let topics = bundles.entry(broker.bundle_of(&name)).or_default().entry(kind).or_default();
        topics.insert(name.to_string(), stats::topic(&found, name.persistent, &here));
    }
    Ok(Answer::Json(json!(out)))
}
