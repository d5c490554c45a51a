//! Time as JavaScript hosts tell it: pages, workers, Node, Deno, Bun.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use gloo_timers::future::TimeoutFuture;
use js_sys::{Date, Reflect};
use wasm_bindgen::JsCast;
use web_sys::Performance;

use crate::Clock;

/// `setTimeout` takes a signed 32-bit number of milliseconds; longer sleeps are done in parts.
const LONGEST_TIMER_MS: u32 = 24 * 3600 * 1000;

/// The host's monotonic clock (`performance.now()`, or `Date.now()` kept from going back) and its
/// timers. A page in the background may have its timers slowed to one a minute.
#[derive(Debug, Clone)]
pub struct WebClock {
    performance: Option<Performance>,
    latest_ms: Rc<Cell<f64>>,
}

impl WebClock {
    /// A clock with the host's origin.
    pub fn new() -> Self {
        let performance = Reflect::get(&js_sys::global(), &"performance".into())
            .ok()
            .filter(|it| Reflect::get(it, &"now".into()).is_ok_and(|now| now.is_function()))
            .map(JsCast::unchecked_into);
        Self { performance, latest_ms: Rc::default() }
    }
}

impl Default for WebClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for WebClock {
    type Sleep = WebSleep;

    fn now(&self) -> Duration {
        let ms = self.performance.as_ref().map_or_else(Date::now, Performance::now);
        let ms = ms.max(self.latest_ms.get());
        self.latest_ms.set(ms);
        Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default()
    }

    fn wall_ms(&self) -> u64 {
        Date::now() as u64
    }

    fn sleep_until(&self, deadline: Duration) -> WebSleep {
        WebSleep { clock: self.clone(), deadline, timer: None }
    }
}

/// A sleep of [`WebClock`] under way.
#[derive(Debug)]
#[must_use = "nobody sleeps until it is polled"]
pub struct WebSleep {
    clock: WebClock,
    deadline: Duration,
    timer: Option<TimeoutFuture>,
}

impl Future for WebSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(timer) = &mut self.timer {
                ready!(Pin::new(timer).poll(cx));
                self.timer = None;
            }
            // Hosts round, and a timer may come a little before its time.
            let left = self.deadline.saturating_sub(self.clock.now());
            if left.is_zero() {
                return Poll::Ready(());
            }
            let ms = left.as_micros().div_ceil(1000).min(u128::from(LONGEST_TIMER_MS));
            self.timer = Some(TimeoutFuture::new(ms as u32));
        }
    }
}
