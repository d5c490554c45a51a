//! What `/metrics` says, in the text format of Prometheus.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Direction {
    direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CommandName {
    command: &'static str,
}

/// The figures. Every label is one of a fixed set: no client can make new ones.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) open: Gauge,
    pub(crate) handshaking: Gauge,
    pub(crate) accepted: Counter,
    pub(crate) lame_duck: Gauge,
    refused: Family<Reason, Counter>,
    closed: Family<Reason, Counter>,
    commands: Family<CommandName, Counter>,
    reloads: Family<Outcome, Counter>,
    pub(crate) up: Counter<u64, AtomicU64>,
    pub(crate) down: Counter<u64, AtomicU64>,
    pub(crate) dial_seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("pulsewire_gateway");
        let bytes = Family::<Direction, Counter>::default();
        // Each in a statement of its own: while one is borrowed, none can be made.
        let up = bytes.get_or_create(&Direction { direction: "up" }).clone();
        let down = bytes.get_or_create(&Direction { direction: "down" }).clone();
        let metrics = Metrics {
            open: Gauge::default(),
            handshaking: Gauge::default(),
            accepted: Counter::default(),
            lame_duck: Gauge::default(),
            refused: Family::default(),
            closed: Family::default(),
            commands: Family::default(),
            reloads: Family::default(),
            up,
            down,
            // 1 ms to 16 s.
            dial_seconds: Histogram::new(exponential_buckets(0.001, 4.0, 8)),
            registry: Registry::default(),
        };
        registry.register("connections_open", "WebSockets that are open", metrics.open.clone());
        let help = "Connections that have not become WebSockets";
        registry.register("handshakes", help, metrics.handshaking.clone());
        registry.register("connections", "Connections that were accepted", metrics.accepted.clone());
        registry.register("lame_duck", "1 while the gateway is stopping", metrics.lame_duck.clone());
        let help = "Requests and connections refused before the upgrade, by reason";
        registry.register("refused", help, metrics.refused.clone());
        registry.register("closed", "WebSockets that ended, by reason", metrics.closed.clone());
        let help = "Commands that narrowing refused";
        registry.register("commands_refused", help, metrics.commands.clone());
        registry.register("reloads", "Reloads of the configuration", metrics.reloads.clone());
        let help = "Bytes of the Pulsar protocol that were carried";
        registry.register_with_unit("carried", help, Unit::Bytes, bytes);
        let help = "How long reaching the upstream took";
        registry.register_with_unit("dial", help, Unit::Seconds, metrics.dial_seconds.clone());
        Metrics { registry, ..metrics }
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    pub(crate) fn closed(&self, reason: &'static str) {
        self.closed.get_or_create(&Reason { reason }).inc();
    }

    pub(crate) fn command_refused(&self, command: &'static str) {
        self.commands.get_or_create(&CommandName { command }).inc();
    }

    pub(crate) fn reloaded(&self, well: bool) {
        self.reloads.get_or_create(&Outcome { outcome: if well { "done" } else { "refused" } }).inc();
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
