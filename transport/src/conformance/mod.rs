//! What every transport must do, as functions over any [`Connector`] and [`Clock`], native and wasm.
//!
//! The cases talk to helper peers. Natively [`server`] starts them, one per carrier. For a host
//! without sockets of its own (a browser) another process runs them: the example
//! `conformance-server` prints the two URLs that [`Peers::host_websocket`] takes. Then, in the host:
//!
//! ```no_run
//! use pulsewire_transport::conformance::{self, Case, Peers};
//! use pulsewire_transport::{Clock, Connector};
//!
//! async fn everything<C: Connector, K: Clock>(connector: C, clock: K) -> Result<(), String> {
//!     let peers = Peers::host_websocket("ws://127.0.0.1:49152", "ws://127.0.0.1:49153")?;
//!     for case in Case::ALL {
//!         if case.applies(peers.carrier) {
//!             conformance::run(*case, &connector, &clock, &peers).await?;
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! A connection to a helper begins with one line that names the peer's role, so that one helper
//! serves all cases on all carriers.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use crate::{Clock, Connector, ErrorKind, Scheme, Target};

mod cases;
#[cfg(not(target_family = "wasm"))]
mod peer;
#[cfg(not(target_family = "wasm"))]
pub mod server;
mod session;

/// A case that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What carries the bytes in a run: it decides which cases apply and which errors are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// [`memory`](crate::memory).
    Memory,
    /// Plain TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket of our own, with or without TLS.
    WebSocket,
    /// The WebSocket of the host: it tells no status of a refused upgrade and holds no peer back.
    HostWebSocket,
}

/// Where the helper peers are.
#[derive(Debug, Clone)]
pub struct Peers {
    /// What carries the bytes.
    pub carrier: Carrier,
    /// The helper that plays any role.
    pub target: Target,
    /// An address where nobody listens.
    pub refused: Target,
}

impl Peers {
    /// Helpers for the host's WebSocket: the URL of the helper and one where nobody listens, both
    /// of the form `ws://host:port`.
    ///
    /// # Errors
    /// A URL of another form.
    pub fn host_websocket(url: &str, refused: &str) -> Result<Self, String> {
        let target = |url: &str| {
            let (host, port) = url.strip_prefix("ws://")?.trim_end_matches('/').rsplit_once(':')?;
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            Some(Target { scheme: Scheme::Ws, host, port: port.parse().ok()?, path: String::new() })
        };
        let parse = |url| target(url).ok_or_else(|| format!("{url} is not of the form ws://host:port"));
        Ok(Self { carrier: Carrier::HostWebSocket, target: parse(url)?, refused: parse(refused)? })
    }
}

/// One promise of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Case {
    /// Segments of all sizes come back in order through an echo.
    Order,
    /// 8 MiB each way at once.
    LargeBothWays,
    /// 8 MiB in, then an orderly end.
    LargeInbound,
    /// Our end closed, the peer still answers.
    HalfClose,
    /// Nothing written before a close is lost.
    CloseDelivers,
    /// A peer that doesn't read: the writer waits, memory is bounded, reading goes on; when the
    /// peer reads again, all arrives.
    Backpressure,
    /// We don't read: the peer's writer waits.
    InboundBackpressure,
    /// Nobody listens.
    Refused,
    /// The upgrade to WebSocket is refused.
    UpgradeRefused,
    /// A target without a path asks for `/pulsar`.
    DefaultPath,
    /// The peer closes with a code and a reason.
    CloseReason,
    /// The peer closes with 1000, or without a code.
    CloseNormal,
    /// Bytes one by one, empty messages, pings between.
    Dribble,
    /// Text where binary is due.
    Text,
    /// The connection breaks in the middle.
    Dropped,
    /// The connection ends without a goodbye of the carrier.
    Cut,
    /// Reserved bits, or bytes that aren't of the carrier.
    Breach,
    /// A message whose length is a lie.
    LyingLength,
}

impl Case {
    /// All cases.
    pub const ALL: &[Self] = &[
        Self::Order,
        Self::LargeBothWays,
        Self::LargeInbound,
        Self::HalfClose,
        Self::CloseDelivers,
        Self::Backpressure,
        Self::InboundBackpressure,
        Self::Refused,
        Self::UpgradeRefused,
        Self::DefaultPath,
        Self::CloseReason,
        Self::CloseNormal,
        Self::Dribble,
        Self::Text,
        Self::Dropped,
        Self::Cut,
        Self::Breach,
        Self::LyingLength,
    ];

    /// Whether `carrier` can be asked for it at all.
    pub fn applies(self, carrier: Carrier) -> bool {
        use Carrier::{HostWebSocket, Memory, Tcp, Tls, WebSocket};
        match self {
            Self::HalfClose => matches!(carrier, Memory | Tcp | Tls),
            Self::InboundBackpressure => carrier != HostWebSocket,
            Self::UpgradeRefused | Self::DefaultPath | Self::Text => {
                matches!(carrier, WebSocket | HostWebSocket)
            }
            Self::CloseReason | Self::CloseNormal => matches!(carrier, Memory | WebSocket | HostWebSocket),
            Self::Cut => matches!(carrier, Tls | WebSocket | HostWebSocket),
            Self::Breach => matches!(carrier, Tls | WebSocket | HostWebSocket),
            Self::LyingLength => carrier == WebSocket,
            _ => true,
        }
    }
}

/// Runs one case.
///
/// # Errors
/// What was promised and not kept, with the name of the case.
pub async fn run<C: Connector, K: Clock>(
    case: Case,
    connector: &C,
    clock: &K,
    peers: &Peers,
) -> Result<(), String> {
    let world = World { connector, clock, peers };
    let outcome = within(clock, PATIENCE, cases::play(case, &world)).await;
    let outcome = outcome.unwrap_or_else(|| Err(format!("still not done after {PATIENCE:?}")));
    outcome.map_err(|why| format!("{case:?} over {:?}: {why}", peers.carrier))
}

struct World<'a, C, K> {
    connector: &'a C,
    clock: &'a K,
    peers: &'a Peers,
}

/// The future's output, or `None` when `limit` passes first.
async fn within<K: Clock, T>(clock: &K, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut sleep = clock.sleep_until(clock.now() + limit);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        std::pin::Pin::new(&mut sleep).poll(cx).map(|()| None)
    })
    .await
}

/// A name that no other run uses with the same helper.
fn fresh_id<K: Clock>(clock: &K) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}-{}", clock.wall_ms(), clock.now().as_nanos(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// `length` bytes of the one endless text that all cases send, from `offset` on.
fn pattern(offset: u64, length: usize) -> Bytes {
    (offset..offset + length as u64).map(byte_at).collect::<Vec<_>>().into()
}

fn byte_at(offset: u64) -> u8 {
    // An odd multiplier spreads neighbours, so that a swap or a shift of blocks shows.
    (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// Follows the endless text as it arrives.
#[derive(Debug, Default)]
struct Follower {
    count: u64,
    wrong_at: Option<u64>,
}

impl Follower {
    fn take(&mut self, bytes: &[u8]) {
        for (byte, offset) in bytes.iter().zip(self.count..) {
            if *byte != byte_at(offset) {
                self.wrong_at.get_or_insert(offset);
            }
        }
        self.count += bytes.len() as u64;
    }

    fn expect(&self, count: u64) -> Result<(), String> {
        match self.wrong_at {
            Some(offset) => Err(format!("wrong byte at offset {offset}")),
            None if self.count != count => Err(format!("{} bytes arrived of {count}", self.count)),
            None => Ok(()),
        }
    }
}

fn expect_kind(found: &crate::TransportError, due: &[ErrorKind]) -> Result<(), String> {
    if due.contains(&found.kind()) {
        return Ok(());
    }
    Err(format!("{:?} ({found}) where one of {due:?} is due", found.kind()))
}
