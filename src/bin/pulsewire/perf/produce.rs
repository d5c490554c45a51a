//! `pulsewire perf produce`.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use clap::Args;
use pulsewire::{CompressionType, Producer, Sending};
use tokio::time::sleep_until;

use super::payload::Payloads;
use super::tally::{Clock, Tally, Tasks};
use super::{Run, topics};
use crate::connect::{Connection, close, seconds};
use crate::failure::{Ended, Failure, note};
use crate::interrupt::Interrupts;

/// So that no send has to wait for the client's memory limit.
const PENDING_BYTES: usize = 48 << 20;
/// Sends and receipts between two looks at the clock: latencies are true to some microseconds.
const GLANCE: u32 = 16;

const AFTER_HELP: &str = "\
With --rate each message has a time at which it is to be sent, and its latency counts from there: a broker or
client that falls behind shows (no coordinated omission). Without, it counts from the call.

Examples:
  pulsewire perf produce --topic t --messages 1000000 --size 100 --pending 10000
  pulsewire perf produce --topic t --rate 5000 --duration 60
  pulsewire perf produce --topic t --messages 1000000 --batching-max-messages 1 --json";

/// Send messages as fast as it goes, or at a rate.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// The topic: `name` or `[persistent://]tenant/namespace/name`
    #[arg(short, long)]
    topic: String,
    /// Use so many topics: the name with -0, -1, ...
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    topics: u32,
    /// Producers on each topic
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    producers: u32,
    /// Bytes of a message
    #[arg(short, long, value_name = "BYTES", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(..=64 << 20))]
    size: u32,
    /// Messages a second, of all producers together. Default: as many as it takes
    #[arg(short, long, value_name = "MSG/S", value_parser = rate)]
    rate: Option<f64>,
    /// Messages of a producer that wait for their receipts at the same time; fewer where that would be more than 48 MB
    #[arg(short, long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pending: u32,
    /// Messages of a batch; 1 or 0: no batches
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    batching_max_messages: u32,
    /// Bytes of a batch
    #[arg(long, value_name = "BYTES", default_value_t = 128 * 1024)]
    batching_max_bytes: u32,
    /// How long the first message of a batch waits for others, in milliseconds
    #[arg(long, value_name = "MS", default_value = "1", value_parser = millis)]
    batching_max_delay: Duration,
    /// The codec of payloads: none, lz4, zlib, zstd or snappy
    #[arg(long, value_name = "CODEC", default_value = "none", value_parser = codec)]
    compression: CompressionType,
    /// How long a message may wait for its receipt
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "30")]
    send_timeout: Duration,
    #[command(flatten)]
    pub(super) run: Run,
    #[command(flatten)]
    connection: Connection,
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    number.ok_or_else(|| "a number above 0 is wanted".to_owned())
}

fn codec(name: &str) -> Result<CompressionType, String> {
    let known = CompressionType::KNOWN.iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
    known
        .map(|(number, _)| CompressionType(*number))
        .ok_or_else(|| "none, lz4, zlib, zstd or snappy".to_owned())
}

/// A time in milliseconds, with a fraction or the unit where wanted.
fn millis(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches("ms").parse().ok().filter(|ms: &f64| (0.0..=3.6e6).contains(ms));
    let millis = number.ok_or_else(|| "a number of milliseconds is wanted, for example 1".to_owned())?;
    Ok(Duration::from_secs_f64(millis / 1000.0))
}

pub(super) async fn run(arguments: Arguments) -> Result<Ended, Failure> {
    let mut interrupts = Interrupts::new()?;
    let client = arguments.connection.client()?;
    let mut producers = Vec::new();
    for topic in topics(&arguments.topic, arguments.topics) {
        for _ in 0..arguments.producers {
            let builder = client
                .producer(&topic)
                .send_timeout(arguments.send_timeout)
                .batching(arguments.batching_max_messages > 1)
                .batching_max_messages(arguments.batching_max_messages.max(1))
                .batching_max_bytes(arguments.batching_max_bytes)
                .compression_type(arguments.compression)
                .batching_max_publish_delay(arguments.batching_max_delay);
            let opened = arguments.connection.open(&mut interrupts, builder.create()).await?;
            let Some(producer) = opened else { return Ok(Ended::Interrupted) };
            producers.push(producer);
        }
    }
    let payloads = Arc::new(Payloads::new(arguments.size as usize));
    let mut tasks = Tasks::new(arguments.run.messages)?;
    let each = arguments.rate.map(|rate| producers.len() as f64 / rate);
    let clock = Clock::start();
    let share = PENDING_BYTES / producers.len().max(1) / (arguments.size as usize).max(1);
    let pending = (arguments.pending as usize).min(share.max(1));
    for (number, producer) in producers.into_iter().enumerate() {
        // Their messages take turns.
        let first = each.map_or(0.0, |each| each / f64::from(arguments.producers) * number as f64);
        let pace = each.map(|each| Pace { each, next: first, began: Instant::now() });
        let payloads = payloads.clone();
        tasks.spawn(|tally| Sender::new(producer, payloads, pending, pace, tally).run());
    }
    let (summary, ended) = tasks.run(&arguments.run, clock, &mut interrupts).await?;
    close(&client, &mut interrupts).await;
    match arguments.run.json {
        true => summary.print_json(),
        false => summary.print("from send to receipt"),
    }
    if summary.failed > 0 {
        let first = summary.first_failure.unwrap_or_default();
        return Err(Failure::failed(format!(
            "{} messages are not stored; the first: {first}.",
            summary.failed
        )));
    }
    if ended == Ended::Interrupted {
        note("interrupted before the end.");
    }
    Ok(ended)
}

/// When messages are to be sent, in seconds since it began.
struct Pace {
    began: Instant,
    each: f64,
    next: f64,
}

impl Pace {
    fn next(&self) -> Instant {
        self.began + Duration::from_secs_f64(self.next)
    }
}

/// What one producer has on its way.
struct Sender {
    producer: Producer,
    payloads: Arc<Payloads>,
    pending: usize,
    pace: Option<Pace>,
    tally: Tally,
    /// In order, with the time from which its latency counts.
    flight: VecDeque<(Sending, Instant)>,
    now: Instant,
    glances: u32,
}

impl Sender {
    fn new(
        producer: Producer,
        payloads: Arc<Payloads>,
        pending: usize,
        pace: Option<Pace>,
        tally: Tally,
    ) -> Self {
        let flight = VecDeque::with_capacity(pending.min(1 << 14));
        Self { producer, payloads, pending, pace, tally, flight, now: Instant::now(), glances: 0 }
    }

    async fn run(mut self) {
        let mut stopped = std::pin::pin!(self.tally.stopped());
        let mut more = true;
        loop {
            if !more || self.flight.len() >= self.pending {
                match self.flight.is_empty() {
                    true => return,
                    false => self.settle().await,
                }
                continue;
            }
            let due = self.pace.as_ref().map(Pace::next).filter(|due| *due > Instant::now());
            let Some(due) = due else {
                more = self.send();
                continue;
            };
            let waits = !self.flight.is_empty();
            tokio::select! {
                biased;
                () = self.settle(), if waits => {}
                () = sleep_until(due.into()) => {}
                () = &mut stopped => more = false,
            }
        }
    }

    /// Sends the next message, if there is one more to send.
    fn send(&mut self) -> bool {
        let Some(number) = self.tally.claim() else { return false };
        let from = match &mut self.pace {
            Some(pace) => {
                let at = pace.next();
                pace.next += pace.each;
                at
            }
            None => self.glance(),
        };
        let sending = self.producer.send(self.payloads.get(number));
        self.flight.push_back((sending, from));
        true
    }

    /// Waits for the end of the oldest send. Dropped, it has done nothing.
    async fn settle(&mut self) {
        let mut waited = false;
        let settled = poll_fn(|cx| {
            let Some((sending, from)) = self.flight.front_mut() else { return Poll::Ready(None) };
            let polled = Pin::new(sending).poll(cx);
            waited |= polled.is_pending();
            polled.map(|result| Some((result, *from)))
        });
        let Some((result, from)) = settled.await else { return };
        self.flight.pop_front();
        if waited {
            self.glances = 0;
        }
        match result {
            Ok(_) => {
                let latency = self.glance().saturating_duration_since(from);
                self.tally.latency(latency, 1);
                self.tally.done(self.payloads.size());
            }
            Err(error) => self.tally.failed(&error),
        }
    }

    /// The time, or what it was a few messages ago.
    #[inline]
    fn glance(&mut self) -> Instant {
        if self.glances.is_multiple_of(GLANCE) {
            self.now = Instant::now();
        }
        self.glances = self.glances.wrapping_add(1);
        self.now
    }
}
