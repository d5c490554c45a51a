//! What is measured.

use super::admin::Admin;
use crate::util::output;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// A direction with its options.
#[derive(Debug)]
pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) work: Work,
    pub(super) messages: u64,
    pub(super) codec: &'static str,
    /// CPU a message, at most so many times that of a client whose name begins so.
    pub(super) aim: (f64, &'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// 100 B in batches of up to 1,000, at most 10,000 waiting for receipts.
    ProduceBatched,
    /// 1 KB one by one, at most 1,000 waiting.
    ProduceSingle,
    /// 100 B from batches of 1,000; each message acknowledged, acknowledgments grouped.
    ConsumeIndividual,
    /// The same, one cumulative acknowledgment at the end.
    ConsumeCumulative,
    /// 1 KB one by one, each acknowledged, grouped.
    ConsumeSingle,
}

impl Work {
    pub(super) fn produces(self) -> bool {
        matches!(self, Self::ProduceBatched | Self::ProduceSingle)
    }

    pub(super) fn batched(self) -> bool {
        !matches!(self, Self::ProduceSingle | Self::ConsumeSingle)
    }

    /// Bytes of a message.
    pub(super) fn size(self) -> u64 {
        if self.batched() { 100 } else { 1024 }
    }

    /// Messages that may wait for their receipts.
    pub(super) fn pending(self) -> u64 {
        if self.batched() { 10_000 } else { 1000 }
    }
}

impl Workload {
    pub(super) fn all() -> &'static [Self] {
        const MILLION: u64 = 1_000_000;
        const fn workload(
            name: &'static str,
            title: &'static str,
            work: Work,
            messages: u64,
            codec: &'static str,
            aim: (f64, &'static str),
        ) -> Workload {
            Workload { name, title, work, messages, codec, aim }
        }
        use Work::{ConsumeCumulative, ConsumeIndividual, ConsumeSingle, ProduceBatched, ProduceSingle};
        const ALL: &[Workload] = &[
            workload(
                "produce-batched",
                "Produce, 100 B, batched, 10,000 in flight",
                ProduceBatched,
                MILLION,
                "none",
                (0.5, "Java"),
            ),
            workload(
                "consume-individual",
                "Consume, 100 B, batched, each message acknowledged, grouped",
                ConsumeIndividual,
                MILLION,
                "none",
                (0.5, "Java"),
            ),
            workload(
                "consume-cumulative",
                "Consume, 100 B, batched, one cumulative acknowledgment at the end",
                ConsumeCumulative,
                MILLION,
                "none",
                (0.55, "magnetar"),
            ),
            workload(
                "produce-lz4",
                "Produce, 100 B, batched, 10,000 in flight, LZ4",
                ProduceBatched,
                MILLION,
                "lz4",
                (0.6, "Java"),
            ),
            workload(
                "produce-zstd",
                "Produce, 100 B, batched, 10,000 in flight, ZSTD",
                ProduceBatched,
                MILLION,
                "zstd",
                (0.6, "Java"),
            ),
            workload(
                "consume-lz4",
                "Consume, 100 B, batched, each message acknowledged, grouped, LZ4",
                ConsumeIndividual,
                MILLION,
                "lz4",
                (0.6, "Java"),
            ),
            workload(
                "consume-zstd",
                "Consume, 100 B, batched, each message acknowledged, grouped, ZSTD",
                ConsumeIndividual,
                MILLION,
                "zstd",
                (0.6, "Java"),
            ),
            workload(
                "produce-single",
                "Produce, 1 KB, unbatched, 1,000 in flight",
                ProduceSingle,
                100_000,
                "none",
                (0.7, "Java"),
            ),
            workload(
                "consume-single",
                "Consume, 1 KB, unbatched, each message acknowledged, grouped",
                ConsumeSingle,
                100_000,
                "none",
                (0.7, "Java"),
            ),
        ];
        ALL
    }

    /// Fills a topic for those that consume: all read the same bytes. Its name.
    pub(super) fn prepare(&self, ours: &Path, broker: &str, admin: &Admin) -> Result<Option<String>> {
        if self.work.produces() {
            return Ok(None);
        }
        let topic = admin.create()?;
        // Keeps what all others have acknowledged.
        admin.subscribe(&topic, "keeper")?;
        let mut command = Command::new(ours);
        command.args(["perf", "produce", "--json", "--url", broker, "--topic", &topic]);
        // Full batches, however slow the machine is now.
        command.args(["--batching-max-delay", "2000"]);
        if self.codec != "none" {
            command.args(["--compression", self.codec]);
        }
        let batch = if self.work.batched() { "1000" } else { "1" };
        let numbers = [("--messages", self.messages), ("--size", self.work.size()), ("--pending", 10_000)];
        for (name, value) in numbers {
            command.args([name, &value.to_string()]);
        }
        output(command.args(["--batching-max-messages", batch]))?;
        Ok(Some(topic))
    }
}
