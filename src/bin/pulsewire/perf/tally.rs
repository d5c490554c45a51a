//! What tasks count, and how a run of them begins and ends.
//!
//! ```text
//! Begun --warm-up over: counts and clocks begin anew--> Measured --all done · time over · interrupt--> Stopping
//! Stopping: tasks see the flag, wait no longer, and hand over what they have
//! ```

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at, sleep};

use super::report::{Line, Summary};
use super::{Run, usage};
use crate::failure::{Ended, Failure};
use crate::interrupt::Interrupts;

/// The longest latency that is told apart; longer ones count as this.
const LONGEST: Duration = Duration::from_secs(3600);
/// Messages that a task counts for itself before all see them.
const TOGETHER: usize = 256;

/// What has been measured, by all tasks together.
pub(super) struct Counts {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) failed: u64,
    pub(super) first_failure: Option<String>,
    /// In microseconds.
    pub(super) latency: Histogram<u64>,
}

impl Counts {
    fn new() -> Result<Self, Failure> {
        let latency = Histogram::new_with_bounds(1, LONGEST.as_micros() as u64, 3)
            .map_err(|error| Failure::failed(format!("no histogram: {error}")))?;
        Ok(Self { messages: 0, bytes: 0, failed: 0, first_failure: None, latency })
    }

    fn clear(&mut self) {
        (self.messages, self.bytes, self.failed, self.first_failure) = (0, 0, 0, None);
        self.latency.reset();
    }
}

/// What the tasks share.
pub(super) struct Shared {
    /// Messages that some task has taken upon itself.
    claimed: AtomicU64,
    limit: u64,
    stop: watch::Sender<bool>,
    counts: Mutex<Counts>,
}

impl Shared {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's own part of the count.
pub(super) struct Tally {
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
    messages: u64,
    bytes: u64,
    /// Microseconds, and how many messages they stand for.
    latencies: Vec<(u64, u64)>,
}

impl Tally {
    /// One more message is for this task: its number; `None` when there are enough, or it is to stop.
    #[inline]
    pub(super) fn claim(&self) -> Option<u64> {
        if self.stop.has_changed().unwrap_or(true) {
            return None;
        }
        let number = self.shared.claimed.fetch_add(1, Relaxed);
        (number < self.shared.limit).then_some(number)
    }

    /// Whether this was the last message that is wanted; then tasks that wait for more need not.
    pub(super) fn was_last(&self, number: u64) -> bool {
        let last = number.saturating_add(1) == self.shared.limit;
        if last {
            self.shared.stop.send_replace(true);
        }
        last
    }

    #[inline]
    pub(super) fn done(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
        if self.messages >= TOGETHER as u64 {
            self.hand_over();
        }
    }

    /// Notes a latency that holds for so many messages.
    #[inline]
    pub(super) fn latency(&mut self, latency: Duration, messages: u64) {
        self.latencies.push((latency.as_micros() as u64, messages));
        if self.latencies.len() >= TOGETHER {
            self.hand_over();
        }
    }

    pub(super) fn failed(&mut self, why: &pulsewire::Error) {
        let mut counts = self.shared.counts();
        counts.failed += 1;
        counts.first_failure.get_or_insert_with(|| why.to_string());
    }

    /// Shows all what was counted here.
    pub(super) fn hand_over(&mut self) {
        let mut counts = self.shared.counts();
        counts.messages += std::mem::take(&mut self.messages);
        counts.bytes += std::mem::take(&mut self.bytes);
        for (latency, messages) in self.latencies.drain(..) {
            counts.latency.saturating_record_n(latency, messages);
        }
    }

    /// Ends when the task is to stop.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + use<> {
        let mut stop = self.stop.clone();
        async move {
            let _ = stop.changed().await;
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// Tasks that are measured together.
pub(super) struct Tasks {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl Tasks {
    pub(super) fn new(messages: Option<u64>) -> Result<Self, Failure> {
        let limit = messages.unwrap_or(u64::MAX);
        let (claimed, stop) = (AtomicU64::new(0), watch::channel(false).0);
        let shared = Shared { claimed, limit, stop, counts: Mutex::new(Counts::new()?) };
        Ok(Self { shared: Arc::new(shared), tasks: JoinSet::new() })
    }

    /// Starts a task with a tally of its own.
    pub(super) fn spawn<F: Future<Output = ()> + Send + 'static>(&mut self, task: impl FnOnce(Tally) -> F) {
        let tally = Tally {
            shared: self.shared.clone(),
            stop: self.shared.stop.subscribe(),
            messages: 0,
            bytes: 0,
            latencies: Vec::with_capacity(TOGETHER),
        };
        self.tasks.spawn(task(tally));
    }

    /// Prints a line each interval until all tasks are done, the time is over or somebody interrupts.
    pub(super) async fn run(
        mut self,
        run: &Run,
        mut clock: Clock,
        interrupts: &mut Interrupts,
    ) -> Result<(Summary, Ended), Failure> {
        let mut ticks = interval_at(tokio::time::Instant::now() + run.interval, run.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut line = Line::default();
        let mut warming = run.warm_up;
        let mut ended = Ended::Done;
        // What warms up is not part of it.
        let mut over = std::pin::pin!(after(run.duration.map(|d| d + warming.unwrap_or_default())));
        let mut warm = std::pin::pin!(after(warming));
        loop {
            tokio::select! {
                biased;
                () = interrupts.next() => {
                    // Without an end of its own this is how it ends.
                    if run.messages.is_some() || run.duration.is_some() {
                        ended = Ended::Interrupted;
                    }
                    break;
                }
                done = self.tasks.join_next() => match done {
                    Some(Ok(())) => {}
                    Some(Err(error)) => return Err(Failure::failed(format!("a task ended early: {error}"))),
                    None => break,
                },
                () = &mut over => break,
                () = &mut warm, if warming.is_some() => {
                    warming = None;
                    self.shared.counts().clear();
                    line = Line::default();
                    clock = Clock::start();
                }
                _ = ticks.tick(), if !run.json => line.print(&self.shared.counts()),
            }
        }
        self.shared.stop.send_replace(true);
        tokio::select! {
            () = async { while self.tasks.join_next().await.is_some() {} } => {}
            () = interrupts.next() => {}
        }
        let summary = clock.summary(&self.shared.counts());
        Ok((summary, ended))
    }
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}

/// When the measurement began.
pub(super) struct Clock {
    wall: Instant,
    cpu: Duration,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { wall: Instant::now(), cpu: usage::cpu() }
    }

    fn summary(&self, counts: &Counts) -> Summary {
        Summary {
            messages: counts.messages,
            bytes: counts.bytes,
            failed: counts.failed,
            first_failure: counts.first_failure.clone(),
            wall: self.wall.elapsed(),
            cpu: usage::cpu().saturating_sub(self.cpu),
            latency: counts.latency.clone(),
        }
    }
}
