//! The state *winding up* of a [`Pump`]: both ends are ended in order.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink as _, SinkExt as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{ClientSocket, Pump, TURNS, poll_read_some};
use crate::ending::Ending;
use crate::limits::Limits;
use crate::stream::Stream;

/// Scratch space for what is thrown away.
const DISCARD: usize = 4 * 1024;

impl Pump {
    pub(super) async fn wind_up(&mut self, ending: Ending, close: Option<CloseFrame>) {
        if ending == Ending::UpstreamLost {
            self.upstream_ended = Some(ending);
        }
        self.forward = ending.forwards_the_rest();
        self.paces = None;
        if !self.forward {
            self.forget_up();
        }
        let mut in_order = ending == Ending::ClientClosed;
        if let Some(filter) = &mut self.filter {
            filter.mute();
        }
        if let Some(frame) = close
            && Pin::new(&mut self.client).start_send(Message::Close(Some(frame))).is_ok()
        {
            self.unflushed_down = true;
            in_order = poll_fn(|cx| self.poll_answer(cx)).await;
        }
        let Pump { client, upstream, upstream_ended, .. } = self;
        tokio::join!(end_client(client, in_order), end_upstream(upstream, upstream_ended.is_some()));
    }

    /// Throws away what the upstream has not taken.
    fn forget_up(&mut self) {
        self.pending_up = Bytes::new();
        self.behind = self.behind.take().filter(Result::is_err);
        self.filter = None;
    }

    /// Ready once the client has answered our close (true), or cannot (false).
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.upstream_ended.is_none()
            && let Poll::Ready(ending) = poll_discard(&mut self.upstream, cx)
        {
            self.upstream_ended = Some(ending);
        }
        let flushed = match self.poll_flush_client(cx) {
            Poll::Ready(Err(_)) => return Poll::Ready(false),
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
        };
        loop {
            match self.poll_up(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ending::UpstreamLost | Ending::UpstreamClosed) if self.forward => {
                    self.upstream_ended = Some(Ending::UpstreamLost);
                    self.forward = false;
                    self.unflushed_up = false;
                    self.forget_up();
                }
                // The client cannot be read any more (a frame too large, for one); it is still told.
                Poll::Ready(Ending::ClientClosed) => return Poll::Ready(true),
                Poll::Ready(_) if !flushed => return self.poll_flush_client(cx).map(|_| false),
                Poll::Ready(_) => return Poll::Ready(false),
            }
        }
    }
}

/// Tells a client that has no upstream why, and ends its connection in order.
pub(crate) async fn turn_away(mut client: ClientSocket, close: Option<CloseFrame>, limits: &Limits) {
    let farewell = async {
        let mut in_order = false;
        if client.send(Message::Close(close)).await.is_ok() {
            while let Some(Ok(message)) = poll_fn(|cx| Pin::new(&mut client).poll_next(cx)).await {
                if message.is_close() {
                    in_order = true;
                    break;
                }
            }
        }
        end_client(&mut client, in_order).await;
    };
    // As in `Pump::finish`.
    let _ = timeout(limits.close_timeout, farewell).await;
}

/// Flushes what is queued and ends our direction. Unless the client's close was its last word, what it
/// still sends is read to its end: closing a socket over unread bytes resets the connection, and could
/// take our close with it.
async fn end_client(client: &mut ClientSocket, in_order: bool) {
    if client.flush().await.is_ok() && client.get_mut().shutdown().await.is_ok() && !in_order {
        let _ = poll_fn(|cx| poll_discard(client.get_mut(), cx)).await;
    }
}

/// Ends our direction and, unless the upstream has ended its own, reads that to its end.
async fn end_upstream(upstream: &mut Stream, ended: bool) {
    if upstream.shutdown().await.is_ok() && !ended {
        let _ = poll_fn(|cx| poll_discard(upstream, cx)).await;
    }
}

/// Reads and throws away; ready at the end.
fn poll_discard(stream: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<Ending> {
    let mut scratch = [0; DISCARD];
    for _ in 0..TURNS {
        match ready!(poll_read_some(stream, cx, &mut scratch.as_mut_slice())) {
            Ok(0) => return Poll::Ready(Ending::UpstreamClosed),
            Ok(_) => {}
            Err(error) => return Poll::Ready(Ending::from_upstream(&error)),
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}
