//! What tools ask every Pulsar: statistics of the whole broker, and of what is behind a real one.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::route::{Route, Shape, route};
use super::{Answer, Ask, Result, brokers, error, stats};
use crate::core::names::TopicName;
use crate::core::{Broker, Now, TopicStats};

const GROUP: &str = "the whole broker";

pub(super) fn routes() -> Vec<Route> {
    let get = |path, summary, run| route("GET", path, GROUP, summary, run);
    vec![
        get("broker-stats/topics", "Statistics of all topics, by namespace, bundle and kind.", topics),
        get("broker-stats/metrics", "Counts of every namespace, and of connections.", measured),
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
        get("/metrics", "What Prometheus reads.", metrics).gives(Shape::Text),
    ]
}

/// Topics that are stored, and those that are not.
type Kinds = BTreeMap<&'static str, Map<String, Value>>;

/// Every topic with its statistics.
fn all(broker: &Broker) -> Vec<(TopicName, TopicStats)> {
    let mut all = Vec::new();
    for tenant in broker.tenants() {
        for namespace in broker.namespaces(&tenant) {
            for persistent in [true, false] {
                let names = broker.topics(&namespace, persistent);
                let named = names.iter().filter_map(|name| TopicName::parse(name).ok());
                all.extend(named.filter_map(|name| broker.stats(&name).ok().map(|stats| (name, stats))));
            }
        }
    }
    all
}

fn topics(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let here = brokers::id(broker, ask.call.broker);
    let mut out: BTreeMap<String, BTreeMap<String, Kinds>> = BTreeMap::new();
    for (name, found) in all(broker) {
        let kind = if name.persistent { "persistent" } else { "non-persistent" };
        let bundles = out.entry(name.namespace_name()).or_default();
        let topics = bundles.entry(broker.bundle_of(&name)).or_default().entry(kind).or_default();
        topics.insert(name.to_string(), stats::topic(&found, name.persistent, &here));
    }
    Ok(Answer::Json(json!(out)))
}

/// Counts in the names that the real broker has for them. Rates are not measured.
fn measured(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let mut namespaces = BTreeMap::<String, [u64; 5]>::new();
    for (name, stats) in all(broker) {
        let subs = &stats.subscriptions;
        let of_it = [
            stats.publishers.len() as u64,
            subs.len() as u64,
            subs.iter().map(|sub| sub.consumers.len() as u64).sum(),
            subs.iter().map(|sub| sub.backlog).sum(),
            stats.storage_size,
        ];
        let sums = namespaces.entry(name.namespace_name()).or_default();
        sums.iter_mut().zip(of_it).for_each(|(sum, one)| *sum += one);
    }
    let of_namespace = |(name, [producers, subs, consumers, backlog, size]): (String, [u64; 5])| {
        json!({
            "metrics": {
                "brk_in_rate": 0.0,
                "brk_in_tp_rate": 0.0,
                "brk_out_rate": 0.0,
                "brk_out_tp_rate": 0.0,
                "brk_max_replication_delay_second": 0.0,
                "brk_replication_backlog": 0.0,
                "brk_no_of_replicators": 0,
                "brk_no_of_producers": producers,
                "brk_no_of_subscriptions": subs,
                "brk_no_of_consumers": consumers,
                "brk_msg_backlog": backlog as f64,
                "brk_storage_size": size as f64,
            },
            "dimensions": { "namespace": name },
        })
    };
    let mut told: Vec<Value> = namespaces.into_iter().map(of_namespace).collect();
    let id = brokers::id(broker, ask.call.broker);
    told.push(json!({
        "metrics": { "brk_active_connections": broker.counts().1 },
        "dimensions": {
            "broker": id.split(':').next(),
            "cluster": broker.config().cluster,
            "metric": "broker_connection",
        },
    }));
    Ok(Answer::Json(Value::Array(told)))
}

/// A label's value, as Prometheus reads it.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn metrics(_: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    type Measure = (&'static str, &'static str, fn(&TopicStats) -> u64);
    const MEASURES: &[Measure] = &[
        ("pulsar_producers_count", "gauge", |stats| stats.publishers.len() as u64),
        ("pulsar_subscriptions_count", "gauge", |stats| stats.subscriptions.len() as u64),
        ("pulsar_consumers_count", "gauge", |stats| {
            stats.subscriptions.iter().map(|sub| sub.consumers.len() as u64).sum()
        }),
        ("pulsar_in_messages_total", "counter", |stats| stats.messages_in),
        ("pulsar_in_bytes_total", "counter", |stats| stats.bytes_in),
        ("pulsar_out_messages_total", "counter", |stats| {
            stats.subscriptions.iter().map(|sub| sub.messages_out).sum()
        }),
        ("pulsar_storage_size", "gauge", |stats| stats.storage_size),
        ("pulsar_storage_backlog_size", "gauge", |stats| stats.backlog_size),
        ("pulsar_msg_backlog", "gauge", |stats| stats.subscriptions.iter().map(|sub| sub.backlog).sum()),
    ];
    let cluster = label(&broker.config().cluster);
    let (topics, connections) = broker.counts();
    let mut out = format!(
        "# TYPE pulsar_topics_count gauge\npulsar_topics_count{{cluster=\"{cluster}\"}} {topics}\n\
         # TYPE pulsar_active_connections gauge\npulsar_active_connections{{cluster=\"{cluster}\"}} {connections}\n"
    );
    let all = all(broker);
    for (name, kind, read) in MEASURES {
        let _ = writeln!(out, "# TYPE {name} {kind}");
        for (topic, stats) in &all {
            let (namespace, named) = (label(&topic.namespace_name()), label(&topic.to_string()));
            let labels = format!("cluster=\"{cluster}\",namespace=\"{namespace}\",topic=\"{named}\"");
            let _ = writeln!(out, "{name}{{{labels}}} {}", read(stats));
        }
    }
    Ok(Answer::Text(out))
}
