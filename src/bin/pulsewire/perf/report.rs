//! What a person, or a program, is told.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;

use super::tally::Counts;
use super::usage;
use crate::output::say;

/// The line of each interval: what is new since the one before.
pub(super) struct Line {
    at: Instant,
    messages: u64,
    bytes: u64,
    latency: Option<Histogram<u64>>,
}

impl Default for Line {
    fn default() -> Self {
        Self { at: Instant::now(), messages: 0, bytes: 0, latency: None }
    }
}

impl Line {
    pub(super) fn print(&mut self, counts: &Counts) {
        let now = Instant::now();
        let time = now.duration_since(self.at).as_secs_f64();
        let (messages, bytes) =
            (counts.messages.saturating_sub(self.messages), counts.bytes.saturating_sub(self.bytes));
        let mut latency = counts.latency.clone();
        if let Some(before) = &self.latency {
            // Of the same bounds, and each count at least as large.
            let _ = latency.subtract(before);
        }
        let mut line = format!("{}, {} messages", rates(messages, bytes, time), counts.messages);
        if counts.failed > 0 {
            line += &format!(", {} failed", counts.failed);
        }
        if !latency.is_empty() {
            let at = |q| millis(latency.value_at_quantile(q));
            let max = millis(latency.max());
            line += &format!(
                ", latency ms: p50 {:.1} p99 {:.1} p99.9 {:.1} max {max:.1}",
                at(0.5),
                at(0.99),
                at(0.999)
            );
        }
        say(&line);
        *self = Self {
            at: now,
            messages: counts.messages,
            bytes: counts.bytes,
            latency: Some(counts.latency.clone()),
        };
    }
}

/// All of a run.
pub(super) struct Summary {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) failed: u64,
    pub(super) first_failure: Option<String>,
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
    /// In microseconds.
    pub(super) latency: Histogram<u64>,
}

impl Summary {
    /// For people; `latency` says what it is the time between.
    pub(super) fn print(&self, latency: &str) {
        let (wall, cpu) = (self.wall.as_secs_f64(), self.cpu.as_secs_f64());
        say(&format!(
            "{} messages in {wall:.3} s: {}",
            self.messages,
            rates(self.messages, self.bytes, wall)
        ));
        let each = cpu * 1e6 / self.messages.max(1) as f64;
        let memory =
            usage::max_rss_mb().map_or(String::new(), |mb| format!("; at most {mb:.1} MB of memory"));
        say(&format!("CPU {cpu:.3} s, {each:.3} us a message{memory}"));
        if self.latency.is_empty() {
            return;
        }
        let mut line = format!("{latency}, ms: mean {:.3}", self.latency.mean() / 1000.0);
        for quantile in [50.0, 95.0, 99.0, 99.9, 99.99] {
            line += &format!(", p{quantile} {:.3}", millis(self.latency.value_at_percentile(quantile)));
        }
        say(&format!("{line}, max {:.3}", millis(self.latency.max())));
    }

    /// For programs.
    pub(super) fn print_json(&self) {
        let at = |q| (!self.latency.is_empty()).then(|| self.latency.value_at_quantile(q));
        let wall = self.wall.as_secs_f64();
        let line = json!({
            "messages": self.messages,
            "bytes": self.bytes,
            "wall_s": round(wall),
            "cpu_s": round(self.cpu.as_secs_f64()),
            "max_rss_mb": usage::max_rss_mb().map(|mb| (mb * 10.0).round() / 10.0),
            "msg_per_s": (self.messages as f64 / wall).round() as u64,
            "p50_us": at(0.5),
            "p99_us": at(0.99),
            "p999_us": at(0.999),
        });
        say(&line.to_string());
    }
}

fn rates(messages: u64, bytes: u64, seconds: f64) -> String {
    let rate = |n: u64| n as f64 / seconds.max(1e-9);
    format!("{:.1} msg/s, {:.3} Mbit/s", rate(messages), rate(bytes) * 8.0 / 1e6)
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

fn round(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}
