//! The host's own WebSocket: browser pages, workers, Node (from 22), Deno, Bun.
//!
//! Outbound, the host has no event for a drained buffer, so a writer that waits is polled again by
//! a short timer and by every event of the socket. Inbound, the host gives no way to hold a peer
//! back: what arrives is queued here until it is read. Pulsar's permits bound it in practice; a peer
//! that ignores them is cut off at 128 MiB.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use gloo_timers::future::TimeoutFuture;
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::convert::FromWasmAbi;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{BinaryType, CloseEvent, Event, MessageEvent, WebSocket};

use crate::segments::{advance, next_message};
use crate::{Connector, ErrorKind, Scheme, Target, Transport, TransportError};

/// With more than this waiting in the host, no more is taken.
const HIGH_WATER: u32 = 1024 * 1024;
const DRAIN_POLL_MS: u32 = 4;
const MAX_UNREAD: usize = 128 * 1024 * 1024;

const NORMAL: u16 = 1000;
// A page may close with 1000 or 3000-4999 only; these stand for 1003 and 1009.
const NOT_BINARY: u16 = 4003;
const TOO_MUCH: u16 = 4009;

/// Opens `ws://` and `wss://` targets with the host's WebSocket.
///
/// When a WebSocket does not open, the host hides why (nobody there, refused upgrade, TLS): the
/// error is `UpgradeRefused { status: 0 }` for all of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct WebConnector {
    _private: (),
}

impl WebConnector {
    /// The connector. It has no options: the host decides on TLS, origin and proxies.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Connector for WebConnector {
    type Transport = WebTransport;
    type Connecting = WebConnecting;

    fn connect(&self, target: &Target) -> WebConnecting {
        WebConnecting { opening: Some(open(target)) }
    }
}

fn open(target: &Target) -> Result<WebTransport, TransportError> {
    let unsupported = |message: String| TransportError::new(ErrorKind::Unsupported, message);
    if matches!(target.scheme, Scheme::Tcp | Scheme::Tls) {
        return Err(unsupported(format!(
            "{} port {} is for TCP, which this host has not: give the ws:// or wss:// URL of a pulsewire gateway",
            target.host, target.port
        )));
    }
    let url = target.websocket_url();
    let socket = WebSocket::new(&url).map_err(|error| {
        // Asked only now: what stands for it around a module of JavaScript need not be a global.
        let present = Reflect::get(&js_sys::global(), &"WebSocket".into());
        unsupported(if present.is_ok_and(|it| it.is_function()) {
            format!("{} cannot be opened from here: {}", target.shown_url(), describe(&error))
        } else {
            "this host has no WebSocket (Node has one from version 22)".to_owned()
        })
    })?;
    Ok(WebTransport::new(socket, target.shown_url()))
}

/// A connection of [`WebConnector`] under way.
#[derive(Debug)]
#[must_use = "it gives up when dropped"]
pub struct WebConnecting {
    opening: Option<Result<WebTransport, TransportError>>,
}

impl Future for WebConnecting {
    type Output = Result<WebTransport, TransportError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(Ok(transport)) = &self.opening {
            let mut state = transport.state.borrow_mut();
            match &state.ended {
                Some(Err(error)) => return Poll::Ready(Err(error.clone())),
                None if !state.opened => {
                    state.opener = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                _ => {}
            }
        }
        match self.opening.take() {
            Some(opened) => Poll::Ready(opened),
            None => Poll::Pending,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    unread: VecDeque<Bytes>,
    unread_bytes: usize,
    opened: bool,
    /// We have closed.
    closing: bool,
    ended: Option<Result<(), TransportError>>,
    /// What the host said in its error event, if anything; the close event follows.
    said: Option<String>,
    opener: Option<Waker>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    fn wakers(&mut self) -> [Option<Waker>; 3] {
        [self.opener.take(), self.reader.take(), self.writer.take()]
    }

    fn end(&mut self, how: Result<(), TransportError>) {
        self.ended.get_or_insert(how);
    }
}

/// Keeps the state out of borrow while wakers run.
fn change(state: &RefCell<State>, change: impl FnOnce(&mut State)) {
    let wakers = {
        let mut state = state.borrow_mut();
        change(&mut state);
        state.wakers()
    };
    wakers.into_iter().flatten().for_each(Waker::wake);
}

/// The host's WebSocket as a [`Transport`]. Dropping it closes the socket and frees its callbacks.
pub struct WebTransport {
    socket: WebSocket,
    state: Rc<RefCell<State>>,
    gathered: BytesMut,
    drain: Option<TimeoutFuture>,
    _callbacks: Callbacks,
}

struct Callbacks {
    _open: Closure<dyn FnMut(Event)>,
    _message: Closure<dyn FnMut(MessageEvent)>,
    _error: Closure<dyn FnMut(Event)>,
    _close: Closure<dyn FnMut(CloseEvent)>,
}

impl std::fmt::Debug for WebTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebTransport").finish_non_exhaustive()
    }
}

impl WebTransport {
    fn new(socket: WebSocket, url: String) -> Self {
        socket.set_binary_type(BinaryType::Arraybuffer);
        let state = Rc::new(RefCell::new(State::default()));

        let open = callback(&state, |state, _: Event| state.opened = true);
        socket.set_onopen(Some(open.as_ref().unchecked_ref()));

        let breached = socket.clone();
        let message = callback(&state, move |state, event: MessageEvent| {
            if let Err((code, why)) = receive(state, &event.data()) {
                state.end(Err(TransportError::new(ErrorKind::Protocol, why)));
                // It fails only for codes that a page may not use.
                let _ = breached.close_with_code_and_reason(code, why);
            }
        });
        socket.set_onmessage(Some(message.as_ref().unchecked_ref()));

        let unopened = url.clone();
        let error = callback(&state, move |state, event: Event| {
            state.said = text_of(&event, "message");
            // The close event that is to follow carries the code, but not every host sends it for a
            // socket that never opened.
            if !state.opened {
                state.end(Err(not_opened(&unopened, state.said.as_deref())));
            }
        });
        socket.set_onerror(Some(error.as_ref().unchecked_ref()));

        let close = callback(&state, move |state, event: CloseEvent| {
            let how = match event.code() {
                _ if !state.opened => Err(not_opened(&url, state.said.as_deref())),
                NORMAL | 1005 => Ok(()),
                // The peer went without answering our close: nothing of ours is lost by that.
                1006 if state.closing => Ok(()),
                code => Err(closed(code, &event.reason(), state.said.as_deref())),
            };
            state.end(how);
        });
        socket.set_onclose(Some(close.as_ref().unchecked_ref()));

        let callbacks = Callbacks { _open: open, _message: message, _error: error, _close: close };
        Self { socket, state, gathered: BytesMut::new(), drain: None, _callbacks: callbacks }
    }
}

fn callback<E: FromWasmAbi + 'static>(
    state: &Rc<RefCell<State>>,
    mut on: impl FnMut(&mut State, E) + 'static,
) -> Closure<dyn FnMut(E)> {
    let state = Rc::clone(state);
    Closure::new(move |event: E| change(&state, |state| on(state, event)))
}

fn receive(state: &mut State, data: &JsValue) -> Result<(), (u16, &'static str)> {
    if state.ended.is_some() {
        return Ok(());
    }
    if !data.is_object() {
        return Err((NOT_BINARY, "the peer sent a text message where only binary ones are due"));
    }
    let bytes = Uint8Array::new(data).to_vec();
    if bytes.is_empty() {
        return Ok(());
    }
    if state.unread_bytes + bytes.len() > MAX_UNREAD {
        return Err((TOO_MUCH, "the peer sent 128 MiB more than was read"));
    }
    state.unread_bytes += bytes.len();
    state.unread.push_back(bytes.into());
    Ok(())
}

fn text_of(object: &JsValue, key: &str) -> Option<String> {
    Reflect::get(object, &key.into()).ok()?.as_string().filter(|text| !text.is_empty())
}

fn describe(error: &JsValue) -> String {
    text_of(error, "message").or_else(|| error.as_string()).unwrap_or_else(|| "no reason given".to_owned())
}

fn not_opened(url: &str, said: Option<&str>) -> TransportError {
    let said = said.unwrap_or("the host does not say which");
    let message = format!(
        "{url} did not open: nobody listens there, the gateway refuses this origin, or TLS failed ({said})"
    );
    TransportError::new(ErrorKind::UpgradeRefused { status: 0 }, message)
}

fn closed(code: u16, reason: &str, said: Option<&str>) -> TransportError {
    let mut message = match code {
        1006 => "the connection ended without a close frame (code 1006)".to_owned(),
        code => format!("closed by the peer with code {code}"),
    };
    for part in [Some(reason), said].into_iter().flatten().filter(|part| !part.is_empty()) {
        message = format!("{message}: {part}");
    }
    TransportError::new(ErrorKind::Closed { code }, message)
}

impl Transport for WebTransport {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, TransportError>> {
        let mut state = self.state.borrow_mut();
        if let Some(bytes) = state.unread.pop_front() {
            state.unread_bytes -= bytes.len();
            return Poll::Ready(Ok(Some(bytes)));
        }
        match &state.ended {
            Some(how) => Poll::Ready(how.clone().map(|()| None)),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        segments: &mut VecDeque<Bytes>,
    ) -> Poll<Result<usize, TransportError>> {
        advance(segments, 0);
        if segments.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            let mut state = self.state.borrow_mut();
            match &state.ended {
                Some(Err(error)) => return Poll::Ready(Err(error.clone())),
                Some(Ok(())) => {
                    return Poll::Ready(Err(closed(NORMAL, "the peer has ended the connection", None)));
                }
                None if state.closing => {
                    return Poll::Ready(Err(TransportError::new(ErrorKind::Reset, "written after close")));
                }
                None => {}
            }
            state.writer = Some(cx.waker().clone());
            if self.socket.ready_state() != WebSocket::OPEN {
                // Closing: what is sent now goes nowhere, and the close event says why.
                return Poll::Pending;
            }
            if self.socket.buffered_amount() <= HIGH_WATER {
                break;
            }
            drop(state);
            let drain = self.drain.get_or_insert_with(|| TimeoutFuture::new(DRAIN_POLL_MS));
            ready!(Pin::new(drain).poll(cx));
            self.drain = None;
        }
        self.drain = None;
        let message = next_message(segments, &mut self.gathered);
        Poll::Ready(match self.socket.send_with_u8_array(&message) {
            Ok(()) => Ok(message.len()),
            Err(error) => {
                let message = format!("the host refuses to send: {}", describe(&error));
                Err(TransportError::new(ErrorKind::Reset, message))
            }
        })
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        match &self.state.borrow().ended {
            Some(Err(error)) => Poll::Ready(Err(error.clone())),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// The host sends what it holds before its close frame.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        ready!(self.poll_flush(cx))?;
        if !std::mem::replace(&mut self.state.borrow_mut().closing, true) {
            let _ = self.socket.close_with_code(NORMAL);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for WebTransport {
    fn drop(&mut self) {
        // The callbacks are freed after this: no late event may find them.
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onerror(None);
        self.socket.set_onclose(None);
        if matches!(self.socket.ready_state(), WebSocket::CONNECTING | WebSocket::OPEN) {
            let _ = self.socket.close();
        }
    }
}
