//! Messages on their way to the user.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use pulsewire_proto::{BatchTicket, Error, ErrorKind, Message};
use pulsewire_transport::Clock as _;

use super::Consumer;
use crate::waiters::Waiters;

impl Consumer {
    /// The next message. Waits through reconnects; dropping the future loses nothing. Now and then it lets other tasks
    /// run first although a message is here: [`Consumer::try_receive`] says at once whether there is one.
    ///
    /// # Errors
    /// `AlreadyClosed`; `Corrupted` or `NotSupported` for one message that cannot be read (the next
    /// call goes on after it); what ended the consumer.
    pub fn receive(&self) -> Receive<'_> {
        Receive { consumer: self }
    }

    /// The next message, or `None` when none has come in this time; with a receiver queue of zero too, where
    /// Java refuses it. A message that comes later is not lost: it is the next one's.
    ///
    /// # Errors
    /// As [`Consumer::receive`].
    pub async fn receive_timeout(&self, timeout: Duration) -> Result<Option<Message>, Error> {
        let clock = self.handle.client.inner.shared.clock();
        let mut alarm = clock.sleep_until(clock.now().saturating_add(timeout));
        poll_fn(|cx| match self.poll_receive(cx) {
            Poll::Ready(received) => Poll::Ready(received.map(Some)),
            // It may have made way for others, with messages here.
            Poll::Pending => Pin::new(&mut alarm).poll(cx).map(|()| self.try_receive()),
        })
        .await
    }

    /// Several messages at once: as many as there are when the first limit of the consumer's
    /// [policy](super::ConsumerBuilder::batch_receive_policy) is reached. Empty when its time is up and none has
    /// come. Calls that wait at the same time are served in their order; dropping the future loses nothing.
    ///
    /// # Errors
    /// `InvalidOption` with a receiver queue of zero or a message listener; else as [`Consumer::receive`].
    pub async fn batch_receive(&self) -> Result<Vec<Message>, Error> {
        self.refuse_pull()?;
        let shared = &self.handle.client.inner.shared;
        let ended = |waiters: &Waiters, error| waiters.consumer_error(self.id).unwrap_or(error);
        let ticket = shared.command(|core, waiters, now| {
            core.batch_receive(self.id, now).map_err(|error| ended(waiters, error))
        })?;
        let _forget = ForgetBatch { consumer: self, ticket };
        let messages = poll_fn(|cx| {
            shared.command(|core, waiters, now| match core.take_batch(self.id, ticket, now) {
                Ok(Some(messages)) => Poll::Ready(Ok(messages)),
                Ok(None) => waiters.wait_message(self.id, cx).map(Err),
                Err(error) => Poll::Ready(Err(ended(waiters, error))),
            })
        });
        Ok(messages.await?.into_iter().map(|message| self.before_consume(message)).collect())
    }

    /// As Java: with a listener, all messages are its own.
    pub(crate) fn refuse_pull(&self) -> Result<(), Error> {
        if self.handle.hooks.listening {
            let why =
                "messages cannot be received from a consumer with a message_listener, which gets them all";
            return Err(Error::new(ErrorKind::InvalidOption, why));
        }
        Ok(())
    }

    /// The next message if one has arrived. With a receiver queue of zero, this asks for it.
    ///
    /// # Errors
    /// As [`Consumer::receive`].
    pub fn try_receive(&self) -> Result<Option<Message>, Error> {
        self.refuse_pull()?;
        Ok(self.try_message()?.map(|message| self.before_consume(message)))
    }

    pub(super) fn try_message(&self) -> Result<Option<Message>, Error> {
        let id = self.id;
        let shared = &self.handle.client.inner.shared;
        let (taken, woken) = shared.timeless_waking(|core, waiters| match core.receive(id) {
            Ok(Some(Ok(message))) => Ok(Some(message)),
            Ok(Some(Err(error))) => Err(error),
            Ok(None) => Ok(None),
            Err(error) => Err(waiters.consumer_error(id).unwrap_or(error)),
        });
        self.makes_way_if(woken);
        taken
    }

    /// As [`Consumer::try_receive`], for readers.
    pub(crate) fn try_read(&self) -> Result<Option<Message>, Error> {
        let id = self.id;
        let shared = &self.handle.client.inner.shared;
        let (taken, woken) = shared.command_waking(|core, waiters, now| match core.read(id, now) {
            Ok(taken) => taken.transpose(),
            Err(error) => Err(waiters.consumer_error(id).unwrap_or(error)),
        });
        self.makes_way_if(woken);
        taken
    }

    fn makes_way_if(&self, woken: bool) {
        if woken {
            self.handle.makes_way.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the task that receives lets others run before it takes more: the driver may have to run on its
    /// thread. Else the broker would have the permits for which the driver was woken when all is taken, not before.
    fn makes_way(&self, cx: &mut Context<'_>) -> bool {
        let makes_way = self.handle.makes_way.load(Ordering::Relaxed);
        if makes_way {
            self.handle.makes_way.store(false, Ordering::Relaxed);
            cx.waker().wake_by_ref();
        }
        makes_way
    }

    /// The messages as a stream, which ends when the consumer is closed.
    pub fn messages(&self) -> Messages<'_> {
        Messages { receive: self.receive() }
    }

    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        if let Err(error) = self.refuse_pull() {
            return Poll::Ready(Err(error));
        }
        self.poll_taken(cx, Self::try_message).map_ok(|message| self.before_consume(message))
    }

    /// What `take` takes, as soon as there is something.
    pub(crate) fn poll_taken(
        &self,
        cx: &mut Context<'_>,
        take: fn(&Self) -> Result<Option<Message>, Error>,
    ) -> Poll<Result<Message, Error>> {
        if self.makes_way(cx) {
            return Poll::Pending;
        }
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

struct ForgetBatch<'a> {
    consumer: &'a Consumer,
    ticket: BatchTicket,
}

impl Drop for ForgetBatch<'_> {
    fn drop(&mut self) {
        let Self { consumer, ticket } = *self;
        consumer.handle.client.inner.shared.command(|core, _, _| core.forget_batch(consumer.id, ticket));
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
            Err(error) if error.kind() == ErrorKind::AlreadyClosed => None,
            other => Some(other),
        })
    }
}
