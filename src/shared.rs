//! The core behind its lock, and how its driver is woken.
//!
//! The lock is never held across an await or a call into the user's code: outputs are collected
//! under it and delivered after it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use pulsewire_proto::{Client, Event, Now, SendOutcome, Time};

use crate::runtime::{self, Clock};

/// Who gets what comes out of the core: waiting futures, or a page.
pub(crate) trait Sink {
    /// What is to be done once the lock is released.
    type Deferred: Default;
    /// Takes an event.
    fn event(&mut self, event: Event, deferred: &mut Self::Deferred);
    /// Takes the end of a send.
    fn sent(&mut self, outcome: SendOutcome, deferred: &mut Self::Deferred);
    /// Gives the core what waits for its turn; whether there was any.
    fn turn(&mut self, _core: &mut Client, _now: Now, _deferred: &mut Self::Deferred) -> bool {
        false
    }
    /// The driver is gone: nothing will come any more.
    fn ended(&mut self, deferred: &mut Self::Deferred);
    /// Does what was deferred.
    fn run(deferred: Self::Deferred);
}

pub(crate) struct Shared<S> {
    state: Mutex<State<S>>,
    clock: Clock,
}

pub(crate) struct State<S> {
    pub(crate) core: Client,
    pub(crate) sink: S,
    /// Set while the driver sleeps.
    driver: Option<Waker>,
    /// When it wakes by itself.
    alarm: Option<Time>,
    /// The last look at the wall clock.
    looked: Now,
}

impl<S> State<S> {
    /// The driver has polled the core until it was empty.
    pub(crate) fn sleep(&mut self, waker: &Waker, alarm: Option<Time>) {
        self.core.rest();
        self.alarm = alarm;
        match &mut self.driver {
            Some(set) => set.clone_from(waker),
            None => self.driver = Some(waker.clone()),
        }
    }

    /// The wall clock is read once in a millisecond: more it does not tell.
    #[inline]
    fn at(&mut self, time: Time, clock: &Clock) -> Now {
        if time.as_micros() / 1000 != self.looked.time.as_micros() / 1000 {
            self.looked.wall_ms = runtime::wall_ms(clock);
        }
        self.looked.time = time;
        self.looked
    }
}

impl<S: Sink> Shared<S> {
    pub(crate) fn new(core: Client, sink: S, clock: Clock) -> Self {
        let looked = runtime::now(&clock);
        Self { state: Mutex::new(State { core, sink, driver: None, alarm: None, looked }), clock }
    }

    pub(crate) fn now(&self) -> Now {
        runtime::now(&self.clock)
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State<S>> {
        // A panic elsewhere does not make the state wrong: each change of it is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the core a command, and wakes its driver if that gave it something to do.
    #[inline]
    pub(crate) fn command<T>(&self, command: impl FnOnce(&mut Client, &mut S, Now) -> T) -> T {
        self.command_waking(command).0
    }

    /// The same, and whether the driver was woken.
    #[inline]
    pub(crate) fn command_waking<T>(&self, command: impl FnOnce(&mut Client, &mut S, Now) -> T) -> (T, bool) {
        let time = runtime::time(&self.clock);
        let mut state = self.lock();
        let now = state.at(time, &self.clock);
        self.give(state, |core, sink| command(core, sink, now))
    }

    /// The same for a command that needs no time: reading clocks takes longer than most commands.
    #[inline]
    pub(crate) fn timeless_waking<T>(&self, command: impl FnOnce(&mut Client, &mut S) -> T) -> (T, bool) {
        self.give(self.lock(), command)
    }

    #[inline]
    fn give<T>(
        &self,
        mut state: MutexGuard<'_, State<S>>,
        command: impl FnOnce(&mut Client, &mut S) -> T,
    ) -> (T, bool) {
        let State { core, sink, .. } = &mut *state;
        let answer = command(core, sink);
        let driver = match &state.driver {
            Some(_) if state.core.has_work(state.alarm) => state.driver.take(),
            _ => None,
        };
        drop(state);
        let woken = driver.is_some();
        if let Some(driver) = driver {
            driver.wake();
        }
        (answer, woken)
    }
}
