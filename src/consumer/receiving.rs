//! Messages on their way to the user.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use pulsewire_proto::{Error, Message};

use super::Consumer;

impl Consumer {
    /// The next message. Waits through reconnects; dropping the future loses nothing.
    ///
    /// # Errors
    /// `AlreadyClosed`; `Corrupted` or `NotSupported` for one message that cannot be read (the next
    /// call goes on after it); what ended the consumer.
    pub fn receive(&self) -> Receive<'_> {
        Receive { consumer: self }
    }

    /// The next message if one has arrived.
    ///
    /// # Errors
    /// As [`Consumer::receive`].
    pub fn try_receive(&self) -> Result<Option<Message>, Error> {
        let id = self.id;
        self.handle.client.inner.shared.timeless(|core, waiters| match core.take(id) {
            Ok(Some(Ok(message))) => {
                core.delivered(id, 1);
                Ok(Some(message))
            }
            Ok(Some(Err(error))) => Err(error),
            Ok(None) => Ok(None),
            Err(error) => Err(waiters.consumer_error(id).unwrap_or(error)),
        })
    }

    /// As [`Consumer::try_receive`], for readers.
    pub(crate) fn try_read(&self) -> Result<Option<Message>, Error> {
        let id = self.id;
        self.handle.client.inner.shared.command(|core, waiters, now| match core.read(id, now) {
            Ok(taken) => taken.transpose(),
            Err(error) => Err(waiters.consumer_error(id).unwrap_or(error)),
        })
    }

    /// The messages as a stream, which ends when the consumer is closed.
    pub fn messages(&self) -> Messages<'_> {
        Messages { receive: self.receive() }
    }

    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        self.poll_taken(cx, Self::try_receive)
    }

    /// What `take` takes, as soon as there is something.
    pub(crate) fn poll_taken(
        &self,
        cx: &mut Context<'_>,
        take: fn(&Self) -> Result<Option<Message>, Error>,
    ) -> Poll<Result<Message, Error>> {
        match take(self) {
            Ok(Some(message)) => return Poll::Ready(Ok(message)),
            Ok(None) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
        // Enrol and look once more under one lock: a message may have come between the two.
        let mut state = self.handle.client.inner.shared.lock();
        if let Poll::Ready(error) = state.sink.wait_message(self.id, cx) {
            return Poll::Ready(Err(error));
        }
        if state.core.has_messages(self.id) {
            drop(state);
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// The next message: see [`Consumer::receive`].
#[must_use = "futures do nothing unless polled"]
pub struct Receive<'a> {
    consumer: &'a Consumer,
}

impl Future for Receive<'_> {
    type Output = Result<Message, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.consumer.poll_receive(cx)
    }
}

/// Messages as a stream: see [`Consumer::messages`].
#[must_use = "streams do nothing unless polled"]
pub struct Messages<'a> {
    receive: Receive<'a>,
}

impl Stream for Messages<'_> {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receive.consumer.poll_receive(cx).map(|received| match received {
            Err(error) if error.kind() == pulsewire_proto::ErrorKind::AlreadyClosed => None,
            other => Some(other),
        })
    }
}
