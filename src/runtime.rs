//! What differs between a tokio runtime and a page: clock, connector, spawning, randomness.

use std::future::Future;

use pulsewire_proto::{Error, ErrorKind, Now, Time};
use pulsewire_transport::Clock as _;

#[cfg(not(target_family = "wasm"))]
pub(crate) use native::{Clock, Spawn, Spawner, default_connector};
#[cfg(target_family = "wasm")]
pub(crate) use web::{Clock, Spawn, Spawner, default_connector};

/// `Send` natively, where a client's tasks move between threads; anything in a page.
#[cfg(not(target_family = "wasm"))]
pub trait MaybeSend: Send {}
#[cfg(not(target_family = "wasm"))]
impl<T: Send + ?Sized> MaybeSend for T {}
/// `Send` natively, where a client's tasks move between threads; anything in a page.
#[cfg(target_family = "wasm")]
pub trait MaybeSend {}
#[cfg(target_family = "wasm")]
impl<T: ?Sized> MaybeSend for T {}

/// `Sync` natively, where handles are shared between threads; anything in a page.
#[cfg(not(target_family = "wasm"))]
pub trait MaybeSync: Sync {}
#[cfg(not(target_family = "wasm"))]
impl<T: Sync + ?Sized> MaybeSync for T {}
/// `Sync` natively, where handles are shared between threads; anything in a page.
#[cfg(target_family = "wasm")]
pub trait MaybeSync {}
#[cfg(target_family = "wasm")]
impl<T: ?Sized> MaybeSync for T {}

/// The clocks, as the core wants them.
pub(crate) fn now(clock: &Clock) -> Now {
    Now { time: time(clock), wall_ms: wall_ms(clock) }
}

#[inline]
pub(crate) fn time(clock: &Clock) -> Time {
    Time::from_micros(u64::try_from(clock.now().as_micros()).unwrap_or(u64::MAX))
}

pub(crate) fn wall_ms(clock: &Clock) -> u64 {
    clock.wall_ms()
}

/// A seed for the core's randomness.
pub(crate) fn seed() -> Result<u64, Error> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed)
        .map_err(|e| Error::new(ErrorKind::NotSupported, format!("the host has no randomness: {e}")))?;
    Ok(u64::from_le_bytes(seed))
}

#[cfg(not(target_family = "wasm"))]
mod native {
    use super::{Error, ErrorKind, Future};

    pub(crate) use pulsewire_transport::TokioClock as Clock;
    use pulsewire_transport::{NativeConnector, tls::TlsOptions};

    /// What a driver must be so that it can be spawned here.
    pub(crate) trait Spawn: Send {}
    impl<T: Send> Spawn for T {}

    /// Where a client's tasks run: on the runtime in which it was built.
    pub(crate) struct Spawner(tokio::runtime::Handle);

    impl Spawner {
        pub(crate) fn new() -> Result<Self, Error> {
            tokio::runtime::Handle::try_current().map(Self).map_err(|_| {
                Error::new(ErrorKind::NotSupported, "the client must be built inside a tokio runtime")
            })
        }

        pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
            self.0.spawn(task);
        }
    }

    pub(crate) fn default_connector(tls: TlsOptions) -> NativeConnector {
        NativeConnector::new(tls)
    }
}

#[cfg(target_family = "wasm")]
mod web {
    use super::{Error, Future};

    pub(crate) use pulsewire_transport::WebClock as Clock;
    use pulsewire_transport::WebConnector;

    /// What a driver must be so that it can be spawned here: anything.
    pub(crate) trait Spawn {}
    impl<T> Spawn for T {}

    /// Where a client's tasks run: on the page's event loop.
    pub(crate) struct Spawner;

    impl Spawner {
        pub(crate) fn new() -> Result<Self, Error> {
            Ok(Self)
        }

        pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
            wasm_bindgen_futures::spawn_local(task);
        }
    }

    pub(crate) fn default_connector() -> WebConnector {
        WebConnector::new()
    }
}
