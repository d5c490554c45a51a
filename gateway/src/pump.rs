//! The copy loop between one WebSocket and one upstream stream.
//!
//! # States
//!
//! ```text
//! piping --client closes-------------------------------> winding up --both ends done--> gone
//!   | ^  --client gone, text, too large, bad frames---->            --close timeout--->
//!   | |  --upstream ends, breaks, stops reading-------->
//!   v |  --slow client or message, idle, token expired, shutdown-->
//!  paced (a direction that has used up its bytes a second; the other goes on)
//! ```
//!
//! * **piping** ([`Pump::run`]). Two directions in one task, each with at most one buffer:
//!   * *up*: one WebSocket message, with the small ones that are ready behind it, is held until the
//!     upstream has taken all of it; only then is the next read from the client. What a slow upstream
//!     costs is one buffer of small ones, and one message.
//!   * *down*: what the upstream has ready is gathered up to the buffer's size and becomes one
//!     message; nothing more is read from the upstream until the client's socket has taken all of it.
//!     What a slow client costs is one buffer.
//! * **winding up** ([`Pump::finish`]). A WebSocket has no half-close, TCP has. When the client closes,
//!   the upstream gets its FIN after the last byte and may end in its own time; what it still sends is
//!   thrown away, but read, as a socket closed over unread bytes resets the connection and takes the
//!   bytes on their way out with it. When the upstream ends or the gateway stops, the client is sent
//!   the close, and what it sent before it saw it still goes to the upstream. For every other ending
//!   what the client still sends is thrown away. All of it within the close timeout.

mod winding_up;

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{Sink, Stream as _};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::ending::Ending;
use crate::filter::Filter;
use crate::limits::{Limits, OverRate};
use crate::metrics::Metrics;
use crate::rate::Bucket;
use crate::registry::Entry;
use crate::stream::{Counted, Stream};
use crate::token::TokenRefused;
pub(crate) use winding_up::turn_away;

/// The client's side.
pub(crate) type ClientSocket = WebSocketStream<Counted>;

/// The directions, as [`Pump::paces`] has them.
const UP: usize = 0;
const DOWN: usize = 1;

/// Messages handled in a row in one direction before the other has its turn.
const TURNS: usize = 16;

/// Read from the client's socket at once. Small, as every idle connection has one.
const CLIENT_READ: usize = 16 * 1024;

/// Smaller messages are written to the upstream together, as far as more of them are ready.
const SMALL: usize = 4 * 1024;
/// No more of them.
const MANY: usize = 64;

/// How the WebSocket library is set up for `limits`.
pub(crate) fn websocket_config(limits: &Limits) -> WebSocketConfig {
    // We flush after every message ourselves. The headroom is for its header and for control frames.
    WebSocketConfig::default()
        .read_buffer_size(CLIENT_READ)
        .write_buffer_size(limits.buffer_bytes)
        .max_write_buffer_size(2 * limits.buffer_bytes + 256 * 1024)
        .max_frame_size(Some(limits.max_frame_bytes))
        .max_message_size(Some(limits.max_frame_bytes))
}

/// What a pump is told besides its two ends.
pub(crate) struct Joined<'a> {
    pub(crate) limits: &'a Limits,
    /// Where bytes are counted.
    pub(crate) entry: Arc<Entry>,
    pub(crate) metrics: Arc<Metrics>,
    /// What goes to the upstream before anything else.
    pub(crate) first: Bytes,
    /// When the client's token expires.
    pub(crate) until: Option<Instant>,
    /// What the client may do, if not everything; `first` has gone through it.
    pub(crate) filter: Option<Box<Filter>>,
}

/// A direction's bytes a second, and until when it has none.
struct Pace {
    bucket: Bucket,
    until: Option<Instant>,
}

/// One WebSocket joined to one upstream stream.
pub(crate) struct Pump {
    client: ClientSocket,
    upstream: Stream,
    entry: Arc<Entry>,
    metrics: Arc<Metrics>,

    /// Of the client's last message, what the upstream has not taken yet.
    pending_up: Bytes,
    /// What comes behind that: bytes that are not small, or what ends it.
    behind: Option<Result<Bytes, Ending>>,
    /// The upstream's stream holds bytes that it has not flushed.
    unflushed_up: bool,
    filter: Option<Box<Filter>>,
    /// Whether the client's bytes go to the upstream, or nowhere.
    forward: bool,

    /// Of what the client's socket has read, that which belongs to messages that are whole.
    read_whole: u64,
    /// Since when a message of the client's is not whole.
    unfinished: Option<Instant>,
    /// Where the upstream's bytes are gathered. Without memory while there are none.
    gathered: BytesMut,
    /// Room that is made for them, by how many came before.
    reading: usize,
    /// A list of topics may be larger than a buffer: what is left of it for the client.
    rest_down: Bytes,
    /// The client's socket holds something that it has not flushed.
    unflushed_down: bool,
    /// How the upstream's sending ended.
    upstream_ended: Option<Ending>,

    /// Which direction goes first: a direction that always has work would use up the task's share of
    /// the scheduler each time.
    up_first: bool,
    /// When bytes were last carried.
    last_carried: Instant,
    /// Since when the client's socket takes nothing.
    client_blocked: Option<Instant>,
    alarm: Pin<Box<Sleep>>,
    /// When the client's token expires.
    until: Option<Instant>,
    /// Where bytes a second are limited: up, down.
    paces: Option<Box<[Pace; 2]>>,
    close_over_rate: bool,

    buffer_bytes: usize,
    max_frame_bytes: usize,
    idle_timeout: Duration,
    message_timeout: Duration,
    slow_client_timeout: Duration,
    close_timeout: Duration,
}

impl Pump {
    pub(crate) fn new(client: ClientSocket, upstream: Stream, joined: Joined<'_>) -> Self {
        let Joined { limits, entry, metrics, first, until, filter } = joined;
        let now = Instant::now();
        let client_read = client.get_ref().read;
        let pace = |most| Pace { bucket: Bucket::new(most, now), until: None };
        Pump {
            client,
            upstream,
            entry,
            metrics,
            pending_up: first,
            behind: None,
            unflushed_up: false,
            filter,
            forward: true,
            read_whole: client_read,
            unfinished: None,
            gathered: BytesMut::new(),
            reading: SMALL,
            rest_down: Bytes::new(),
            unflushed_down: false,
            upstream_ended: None,
            up_first: true,
            last_carried: now,
            client_blocked: None,
            alarm: Box::pin(sleep_until(now + limits.idle_timeout)),
            until,
            paces: limits.bytes_per_second.map(|most| Box::new([pace(most), pace(most)])),
            close_over_rate: limits.over_rate == OverRate::Close,
            buffer_bytes: limits.buffer_bytes,
            max_frame_bytes: limits.max_frame_bytes,
            idle_timeout: limits.idle_timeout,
            message_timeout: limits.message_timeout,
            slow_client_timeout: limits.slow_client_timeout,
            close_timeout: limits.close_timeout,
        }
    }

    /// Copies until something ends it. May be dropped and called again: all state is in the pump.
    pub(crate) async fn run(&mut self) -> Ending {
        poll_fn(|cx| self.poll_run(cx)).await
    }

    /// Ends both sides in order, as far as the close timeout and the other sides allow.
    pub(crate) async fn finish(mut self, ending: Ending, close: Option<CloseFrame>) {
        // Running out of time is an end like any other: both sockets are dropped.
        let _ = timeout(self.close_timeout, self.wind_up(ending, close)).await;
    }

    fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.up_first = !self.up_first;
        let first = if self.up_first { self.poll_up(cx) } else { self.poll_down(cx) };
        if first.is_ready() {
            return first;
        }
        let second = if self.up_first { self.poll_down(cx) } else { self.poll_up(cx) };
        if second.is_ready() {
            return second;
        }
        self.poll_alarm(cx)
    }

    /// Client to upstream.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        for _ in 0..TURNS {
            while !self.pending_up.is_empty() {
                match ready!(Pin::new(&mut self.upstream).poll_write(cx, &self.pending_up)) {
                    Ok(0) => return Poll::Ready(Ending::UpstreamLost),
                    Ok(taken) => {
                        self.pending_up.advance(taken);
                        self.entry.up.fetch_add(taken as u64, Ordering::Relaxed);
                        self.metrics.up.inc_by(taken as u64);
                        self.unflushed_up = true;
                        self.last_carried = Instant::now();
                    }
                    Err(error) => return Poll::Ready(Ending::from_upstream(&error)),
                }
            }
            match self.poll_next_up(cx) {
                Poll::Ready(Ok(bytes)) => self.pending_up = bytes,
                Poll::Ready(Err(ending)) => return Poll::Ready(ending),
                Poll::Pending => {
                    if self.unflushed_up {
                        match ready!(Pin::new(&mut self.upstream).poll_flush(cx)) {
                            Ok(()) => self.unflushed_up = false,
                            Err(error) => return Poll::Ready(Ending::from_upstream(&error)),
                        }
                    }
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// What goes to the upstream next: small pieces that are ready together, or one that is not small.
    fn poll_next_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Ending>> {
        if let Some(behind) = self.behind.take() {
            return Poll::Ready(behind);
        }
        let first = match ready!(self.poll_piece(cx)) {
            Ok(first) if first.len() < SMALL => first,
            other => return Poll::Ready(other),
        };
        let mut together = BytesMut::new();
        // Empty ones would never fill it.
        for _ in 0..MANY {
            if together.len() + SMALL > self.buffer_bytes {
                break;
            }
            match self.poll_piece(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(bytes)) if bytes.len() < SMALL => {
                    if together.is_empty() {
                        together.extend_from_slice(&first);
                    }
                    together.extend_from_slice(&bytes);
                }
                Poll::Ready(other) => {
                    self.behind = Some(other);
                    break;
                }
            }
        }
        Poll::Ready(Ok(if together.is_empty() { first } else { together.freeze() }))
    }

    /// The client's next bytes that may go to the upstream.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Ending>> {
        // A client that sends nothing but what goes nowhere leaves others their turn.
        for _ in 0..MANY {
            if let Some(filter) = &mut self.filter {
                let told = filter.has_replies();
                let next = filter.next();
                if !told && filter.has_replies() {
                    // The other direction may have had its turn.
                    cx.waker().wake_by_ref();
                }
                if let Some(piece) = next.transpose() {
                    return Poll::Ready(piece);
                }
            }
            if self.is_paced(UP) || self.filter.as_ref().is_some_and(|filter| filter.is_full()) {
                return Poll::Pending;
            }
            let polled = Pin::new(&mut self.client).poll_next(cx);
            self.note_unfinished(&polled);
            match ready!(polled) {
                Some(Ok(Message::Binary(bytes))) if self.forward => {
                    if self.take(UP, bytes.len()) && self.close_over_rate {
                        return Poll::Ready(Err(Ending::RateLimit));
                    }
                    let Some(filter) = &mut self.filter else { return Poll::Ready(Ok(bytes)) };
                    if let Err(ending) = filter.push(&bytes) {
                        return Poll::Ready(Err(ending));
                    }
                    if filter.has_replies() {
                        // The other direction may have had its turn.
                        cx.waker().wake_by_ref();
                    }
                }
                Some(Ok(Message::Text(_))) if self.forward => {
                    return Poll::Ready(Err(Ending::TextMessage));
                }
                // The library has queued the pong; the other direction flushes.
                Some(Ok(Message::Ping(_))) => self.unflushed_down = true,
                Some(Ok(Message::Binary(_) | Message::Pong(_) | Message::Text(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) => return Poll::Ready(Err(Ending::ClientClosed)),
                Some(Err(error)) => {
                    return Poll::Ready(Err(Ending::from_websocket(&error, self.max_frame_bytes)));
                }
                None => return Poll::Ready(Err(Ending::ClientGone)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Looks whether the client's socket holds a part of a message.
    fn note_unfinished(&mut self, polled: &Poll<Option<Result<Message, tungstenite::Error>>>) {
        let read = self.client.get_ref().read;
        match polled {
            Poll::Pending => {
                if read > self.read_whole {
                    self.unfinished.get_or_insert_with(Instant::now);
                }
            }
            // They stand between the parts of others and finish none: type and length, the mask, at most 125 bytes.
            Poll::Ready(Some(Ok(Message::Ping(bytes) | Message::Pong(bytes)))) => {
                self.read_whole = read.min(self.read_whole + 6 + bytes.len() as u64);
                if self.read_whole == read {
                    self.unfinished = None;
                }
            }
            Poll::Ready(_) => (self.read_whole, self.unfinished) = (read, None),
        }
    }

    /// Upstream to client.
    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        for _ in 0..TURNS {
            if let Err(ending) = ready!(self.poll_flush_client(cx)) {
                return Poll::Ready(ending);
            }
            if !self.rest_down.is_empty() {
                if let Err(ending) = self.say_down() {
                    return Poll::Ready(ending);
                }
                continue;
            }
            if let Some(ending) = self.upstream_ended {
                return Poll::Ready(ending);
            }
            if let Some(replies) = self.filter.as_mut().and_then(|filter| filter.replies_now()) {
                self.rest_down = replies;
                // The other direction may have waited for it.
                cx.waker().wake_by_ref();
                continue;
            }
            if self.is_paced(DOWN) {
                return Poll::Pending;
            }
            let got = self.gather(cx);
            if got == 0 {
                if self.gathered.is_empty() {
                    self.gathered = BytesMut::new();
                }
                match self.upstream_ended {
                    Some(ending) => return Poll::Ready(ending),
                    None => return Poll::Pending,
                }
            }
            self.entry.down.fetch_add(got as u64, Ordering::Relaxed);
            self.metrics.down.inc_by(got as u64);
            self.take(DOWN, got);
            self.rest_down = match &mut self.filter {
                None => self.gathered.split().freeze(),
                Some(filter) => {
                    let full = filter.is_full();
                    let down = filter.down(&mut self.gathered);
                    if full && !filter.is_full() {
                        // The other direction has waited for it.
                        cx.waker().wake_by_ref();
                    }
                    match down {
                        Ok(bytes) => bytes,
                        Err(ending) => return Poll::Ready(ending),
                    }
                }
            };
            if let Err(ending) = self.say_down() {
                return Poll::Ready(ending);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends what is left for the client, a buffer of it at most.
    fn say_down(&mut self) -> Result<(), Ending> {
        if self.rest_down.is_empty() {
            return Ok(());
        }
        let bytes = self.rest_down.split_to(self.rest_down.len().min(self.buffer_bytes));
        self.unflushed_down = true;
        Pin::new(&mut self.client)
            .start_send(Message::Binary(bytes))
            .map_err(|error| Ending::from_websocket(&error, self.max_frame_bytes))
    }

    /// Takes bytes of a direction's rate, and says whether there were too few.
    fn take(&mut self, direction: usize, bytes: usize) -> bool {
        let Some(paces) = &mut self.paces else { return false };
        let pace = &mut paces[direction];
        pace.until = pace.bucket.take(bytes, Instant::now());
        pace.until.is_some()
    }

    fn is_paced(&self, direction: usize) -> bool {
        self.paces.as_ref().is_some_and(|paces| paces[direction].until.is_some())
    }

    /// Ready once the client's socket has taken everything.
    fn poll_flush_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        if !self.unflushed_down {
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut self.client).poll_flush(cx) {
            Poll::Pending => {
                self.client_blocked.get_or_insert_with(Instant::now);
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(Ending::from_websocket(&error, self.max_frame_bytes))),
            Poll::Ready(Ok(())) => {
                self.unflushed_down = false;
                self.client_blocked = None;
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Reads from the upstream until nothing is ready, the buffer is full or the upstream has ended; how many bytes
    /// came.
    fn gather(&mut self, cx: &mut Context<'_>) -> usize {
        let before = self.gathered.len();
        while self.gathered.len() < self.buffer_bytes {
            let room = self.buffer_bytes - self.gathered.len();
            let (has, of) = (self.gathered.len(), self.gathered.capacity());
            if has == of || has == 0 && of < self.reading {
                self.gathered.reserve(self.reading.min(room));
            }
            match poll_read_some(&mut self.upstream, cx, &mut (&mut self.gathered).limit(room)) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => {
                    self.upstream_ended = Some(Ending::UpstreamClosed);
                    break;
                }
                Poll::Ready(Ok(_)) => {
                    self.last_carried = Instant::now();
                    if self.gathered.len() >= self.reading {
                        self.reading = (4 * self.reading).min(self.buffer_bytes);
                    }
                }
                Poll::Ready(Err(error)) => {
                    self.upstream_ended = Some(Ending::from_upstream(&error));
                    break;
                }
            }
        }
        let got = self.gathered.len() - before;
        if got > 0 && got < self.reading / 8 {
            self.reading = (self.reading / 2).max(SMALL);
        }
        got
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if !self.pending_up.is_empty() {
            // The client is not read: it is not what makes it wait.
            self.unfinished = None;
        }
        loop {
            let unfinished = self.unfinished.map(|since| since + self.message_timeout);
            let paced = self.paces.iter().flat_map(|paces| paces.iter()).filter_map(|pace| pace.until).min();
            let slow = self.client_blocked.map(|since| since + self.slow_client_timeout);
            // Whoever has to wait is not idle.
            let idle = if paced.is_some() { None } else { Some(self.last_carried + self.idle_timeout) };
            let Some(due) = [idle, slow, self.until, paced, unfinished].into_iter().flatten().min() else {
                return Poll::Pending;
            };
            // Deadlines mostly move away, and then the alarm may ring too early: that is cheaper than
            // to set it anew for every message.
            if due < self.alarm.deadline() {
                self.alarm.as_mut().reset(due);
            }
            ready!(self.alarm.as_mut().poll(cx));
            let now = Instant::now();
            if now < due {
                self.alarm.as_mut().reset(due);
            } else if self.until.is_some_and(|until| now >= until) {
                return Poll::Ready(Ending::Token(TokenRefused::Expired));
            } else if slow.is_some_and(|slow| now >= slow) {
                return Poll::Ready(Ending::SlowClient);
            } else if unfinished.is_some_and(|at| now >= at) {
                return Poll::Ready(Ending::SlowMessage);
            } else if paced.is_some_and(|until| now >= until) {
                for pace in self.paces.iter_mut().flat_map(|paces| paces.iter_mut()) {
                    pace.until = pace.until.filter(|until| now < *until);
                }
                self.last_carried = now;
                // The direction that may go on has to be asked again.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            } else {
                return Poll::Ready(if self.client_blocked.is_some() {
                    Ending::SlowClient
                } else if !self.pending_up.is_empty() || self.unflushed_up {
                    Ending::UpstreamStalled
                } else {
                    Ending::Idle
                });
            }
        }
    }
}

/// One read into spare capacity, without filling it with zeros first. The future of `read_buf` holds
/// no state between polls, so it may be made for one.
fn poll_read_some(
    stream: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    into: &mut impl BufMut,
) -> Poll<io::Result<usize>> {
    pin!(stream.read_buf(into)).poll(cx)
}
