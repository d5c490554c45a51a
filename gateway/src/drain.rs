//! How the gateway stops.
//!
//! ```text
//! serving --SIGTERM--> lame duck: nobody new, each connection closed at its own time within the window
//!    |                     |
//!    +--------now----------+--> all that are left are closed at once
//! ```
//!
//! Connections take numbers as they learn of it, and each number is a moment of the window: clients that come
//! back elsewhere come one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

#[derive(Debug, Clone)]
pub(crate) enum Stage {
    Serving,
    LameDuck(Arc<Window>),
    Now,
}

/// The time over which connections are closed.
#[derive(Debug)]
pub(crate) struct Window {
    began: Instant,
    length: Duration,
    connections: u64,
    next: AtomicU64,
}

impl Window {
    pub(crate) fn new(length: Duration, connections: usize) -> Self {
        let connections = u64::try_from(connections).unwrap_or(u64::MAX).max(1);
        Window { began: Instant::now(), length, connections, next: AtomicU64::new(0) }
    }

    /// The moment of whoever asks next. The first is at once.
    fn moment(&self) -> Instant {
        let number = self.next.fetch_add(1, Ordering::Relaxed).min(self.connections);
        let share = number as f64 / self.connections as f64;
        self.began + self.length.mul_f64(share)
    }
}

/// Ready as soon as nobody new is to be let in.
pub(crate) async fn stopping(stage: &mut watch::Receiver<Stage>) {
    // An error says that the gateway is gone.
    let _ = stage.wait_for(|stage| !matches!(stage, Stage::Serving)).await;
}

/// Ready when it is this connection's turn to be closed.
pub(crate) async fn turn(mut stage: watch::Receiver<Stage>) {
    stopping(&mut stage).await;
    let moment = match &*stage.borrow() {
        Stage::LameDuck(window) => window.moment(),
        _ => return,
    };
    tokio::select! {
        () = sleep_until(moment) => {}
        _ = stage.wait_for(|stage| matches!(stage, Stage::Now)) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_fill_the_window() {
        let window = Window::new(Duration::from_secs(10), 4);
        let at: Vec<_> = (0..6).map(|_| (window.moment() - window.began).as_millis()).collect();
        assert_eq!(at, [0, 2500, 5000, 7500, 10_000, 10_000]);
    }
}
