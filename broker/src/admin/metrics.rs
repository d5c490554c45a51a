//! What Prometheus reads, and the same in JSON: the names and labels of Apache Pulsar, for what is counted
//! here.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::{Answer, Ask, Result, brokers};
use crate::core::names::TopicName;
use crate::core::{Broker, Now, SubscriptionStats, TopicStats};

/// What is read of a topic.
type OfTopic = (&'static str, fn(&TopicStats) -> f64);
/// What is read of a subscription.
type OfSub = (&'static str, fn(&SubscriptionStats) -> f64);

const TOPICS: &[OfTopic] = &[
    ("pulsar_producers_count", |stats| stats.publishers.len() as f64),
    ("pulsar_subscriptions_count", |stats| stats.subscriptions.len() as f64),
    ("pulsar_consumers_count", |stats| consumers(stats) as f64),
    ("pulsar_rate_in", |stats| stats.rates.messages_in),
    ("pulsar_throughput_in", |stats| stats.rates.bytes_in),
    ("pulsar_rate_out", |stats| stats.rates.messages_out),
    ("pulsar_throughput_out", |stats| stats.rates.bytes_out),
    ("pulsar_average_msg_size", |stats| stats.rates.average_size()),
    ("pulsar_in_messages_total", |stats| stats.messages_in as f64),
    ("pulsar_in_bytes_total", |stats| stats.bytes_in as f64),
    ("pulsar_storage_size", |stats| stats.storage_size as f64),
    ("pulsar_storage_logical_size", |stats| stats.storage_size as f64),
    ("pulsar_storage_backlog_size", |stats| stats.backlog_size as f64),
    ("pulsar_msg_backlog", |stats| backlog(stats) as f64),
    ("pulsar_txn_tb_active_total", |stats| stats.ongoing_txns as f64),
    ("pulsar_txn_tb_aborted_total", |stats| stats.aborted_txns as f64),
    ("pulsar_txn_tb_committed_total", |stats| stats.committed_txns as f64),
];

const SUBSCRIPTIONS: &[OfSub] = &[
    ("pulsar_subscription_back_log", |sub| sub.backlog as f64),
    ("pulsar_subscription_back_log_no_delayed", |sub| sub.backlog.saturating_sub(sub.delayed) as f64),
    ("pulsar_subscription_delayed", |sub| sub.delayed as f64),
    ("pulsar_subscription_in_replay", |sub| sub.in_replay as f64),
    ("pulsar_subscription_unacked_messages", |sub| sub.unacked as f64),
    ("pulsar_subscription_blocked_on_unacked_messages", |sub| f64::from(u8::from(sub.blocked))),
    ("pulsar_subscription_consumers_count", |sub| sub.consumers.len() as f64),
    ("pulsar_subscription_msg_rate_out", |sub| sub.rates.messages_out),
    ("pulsar_subscription_msg_throughput_out", |sub| sub.rates.bytes_out),
    ("pulsar_out_messages_total", |sub| sub.messages_out as f64),
    ("pulsar_out_bytes_total", |sub| sub.bytes_out as f64),
];

/// Of the whole broker, summed over its topics.
const BROKER: &[OfTopic] = &[
    ("pulsar_broker_topics_count", |_| 1.0),
    ("pulsar_broker_subscriptions_count", |stats| stats.subscriptions.len() as f64),
    ("pulsar_broker_producers_count", |stats| stats.publishers.len() as f64),
    ("pulsar_broker_consumers_count", |stats| consumers(stats) as f64),
    ("pulsar_broker_rate_in", |stats| stats.rates.messages_in),
    ("pulsar_broker_rate_out", |stats| stats.rates.messages_out),
    ("pulsar_broker_throughput_in", |stats| stats.rates.bytes_in),
    ("pulsar_broker_throughput_out", |stats| stats.rates.bytes_out),
    ("pulsar_broker_storage_size", |stats| stats.storage_size as f64),
    ("pulsar_broker_storage_logical_size", |stats| stats.storage_size as f64),
    ("pulsar_broker_msg_backlog", |stats| backlog(stats) as f64),
];

fn consumers(stats: &TopicStats) -> usize {
    stats.subscriptions.iter().map(|sub| sub.consumers.len()).sum()
}

fn backlog(stats: &TopicStats) -> u64 {
    stats.subscriptions.iter().map(|sub| sub.backlog).sum()
}

/// A label's value, as Prometheus reads it.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Lines of one measure after another.
#[derive(Default)]
struct Page(String);

impl Page {
    fn begin(&mut self, name: &str) {
        let _ = writeln!(self.0, "# TYPE {name} gauge");
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "{name}{{{labels}}} {value}");
    }
}

pub(super) fn page(_: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let cluster = format!("cluster=\"{}\"", label(&broker.config().cluster));
    let (_, connections) = broker.counts();
    let all = all(broker);
    let mut page = Page::default();
    page.begin("pulsar_active_connections");
    page.line("pulsar_active_connections", &cluster, connections as f64);
    for (name, read) in BROKER {
        page.begin(name);
        page.line(name, &cluster, all.iter().map(|(_, stats)| read(stats)).sum());
    }
    let namespaces = all.iter().fold(BTreeMap::<String, u64>::new(), |mut counts, (topic, _)| {
        *counts.entry(topic.namespace_name()).or_default() += 1;
        counts
    });
    page.begin("pulsar_topics_count");
    for (namespace, count) in namespaces {
        let labels = format!("{cluster},namespace=\"{}\"", label(&namespace));
        page.line("pulsar_topics_count", &labels, count as f64);
    }
    let labelled: Vec<(String, &TopicStats)> = all
        .iter()
        .map(|(topic, stats)| {
            let (namespace, named) = (label(&topic.namespace_name()), label(&topic.to_string()));
            (format!("{cluster},namespace=\"{namespace}\",topic=\"{named}\""), stats)
        })
        .collect();
    for (name, read) in TOPICS {
        page.begin(name);
        for (labels, stats) in &labelled {
            page.line(name, labels, read(stats));
        }
    }
    for (name, read) in SUBSCRIPTIONS {
        page.begin(name);
        for (labels, stats) in &labelled {
            for sub in &stats.subscriptions {
                page.line(name, &format!("{labels},subscription=\"{}\"", label(&sub.name)), read(sub));
            }
        }
    }
    Ok(Answer::Metrics(page.0))
}

/// Every topic with its statistics.
pub(super) fn all(broker: &Broker) -> Vec<(TopicName, TopicStats)> {
    let named = broker.every_topic().into_iter();
    named.filter_map(|name| broker.stats(&name).ok().map(|stats| (name, stats))).collect()
}

/// The same by namespace, as `broker-stats/metrics` has it.
pub(super) fn list(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let (_, connections) = broker.counts();
    let mut namespaces = BTreeMap::<String, [f64; 9]>::new();
    for (topic, stats) in all(broker) {
        let sums = namespaces.entry(topic.namespace_name()).or_default();
        let rates = stats.rates;
        let parts = [
            rates.messages_in,
            rates.bytes_in,
            rates.messages_out,
            rates.bytes_out,
            stats.publishers.len() as f64,
            stats.subscriptions.len() as f64,
            consumers(&stats) as f64,
            backlog(&stats) as f64,
            stats.storage_size as f64,
        ];
        sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
    }
    let of_namespace = |(namespace, sums): (String, [f64; 9])| {
        json!({
            "dimensions": { "namespace": namespace },
            "metrics": {
                "brk_in_rate": sums[0],
                "brk_in_tp_rate": sums[1],
                "brk_out_rate": sums[2],
                "brk_out_tp_rate": sums[3],
                "brk_no_of_producers": sums[4] as u64,
                "brk_no_of_subscriptions": sums[5] as u64,
                "brk_no_of_consumers": sums[6] as u64,
                "brk_no_of_replicators": 0,
                "brk_max_replication_delay_second": 0.0,
                "brk_replication_backlog": 0.0,
                "brk_msg_backlog": sums[7],
                "brk_storage_size": sums[8],
            },
        })
    };
    let mut out: Vec<Value> = namespaces.into_iter().map(of_namespace).collect();
    let id = brokers::id(broker, ask.call.broker);
    out.push(json!({
        "dimensions": {
            "broker": id.split(':').next(),
            "cluster": broker.config().cluster,
            "metric": "broker_connection",
        },
        "metrics": { "brk_active_connections": connections },
    }));
    Ok(Answer::Json(json!(out)))
}
