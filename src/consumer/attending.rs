//! The task of a consumer that calls code of the user's: messages and events, one after another.
//!
//! ```text
//! waits --event--> event listener, interceptors --+
//!   ^  \--message--> interceptors, message listener
//!   +---------------------------------------------+        consumer ended, last handle dropped: done
//! ```

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use pulsewire_proto::{ConsumerId, Message};

use super::hooks::{ConsumerEvent, Listen, Notice};
use super::{Consumer, Handle};
use crate::guarded::guarded;
use crate::waiters::Happening;

/// Messages in a row before other tasks get their turn.
const MESSAGES: usize = 64;

pub(super) struct Attendant {
    handle: Weak<Handle>,
    id: ConsumerId,
    topic: String,
    subscription: String,
    listeners: Listeners,
}

/// Listeners, which the attendant alone calls.
#[derive(Default)]
pub(crate) struct Listeners {
    pub(crate) messages: Option<Box<dyn Listen>>,
    pub(crate) events: Option<Box<dyn Notice>>,
}

enum Next {
    Message(Message),
    Event(Happening),
    Ended,
}

impl Attendant {
    pub(super) fn new(consumer: &Consumer, listeners: Listeners) -> Self {
        Self {
            handle: Arc::downgrade(&consumer.handle),
            id: consumer.id,
            topic: consumer.topic.clone(),
            subscription: consumer.subscription.clone(),
            listeners,
        }
    }

    /// Runs until the consumer ends. The task holds no handle while it waits, so that the last drop closes.
    pub(super) async fn attend(mut self) {
        poll_fn(move |cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..MESSAGES {
            let Some(handle) = self.handle.upgrade() else { return Poll::Ready(()) };
            let consumer = Consumer {
                handle,
                id: self.id,
                topic: self.topic.clone(),
                subscription: self.subscription.clone(),
            };
            match std::task::ready!(self.next(&consumer, cx)) {
                Next::Ended => return Poll::Ready(()),
                Next::Message(message) => {
                    let message = consumer.before_consume(message);
                    if let Some(listener) = &mut self.listeners.messages {
                        consumer.guarded(|| listener.received(&consumer, message));
                    }
                }
                Next::Event(Happening::Redelivered(ids, timed_out)) => consumer.redelivering(&ids, timed_out),
                Next::Event(Happening::Partitions(topic, partitions)) => {
                    consumer.partitions_changed(topic.as_str(), partitions);
                }
                Next::Event(Happening::Event(event)) => {
                    let panicked = matches!(event, ConsumerEvent::Panicked(_));
                    if let Some(events) = &mut self.listeners.events {
                        let told = || events.happened(&consumer, event);
                        // A listener that panics over the news of a panic is not told of that one too.
                        if panicked {
                            drop(guarded(told));
                        } else {
                            consumer.guarded(told);
                        }
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn next(&self, consumer: &Consumer, cx: &mut Context<'_>) -> Poll<Next> {
        // Enrolled before it looks.
        if let Some(event) = consumer.handle.client.inner.shared.lock().sink.poll_happening(self.id, cx) {
            return Poll::Ready(Next::Event(event));
        }
        if self.listeners.messages.is_none() {
            let ended = consumer.handle.client.inner.shared.lock().sink.consumer_error(self.id).is_some();
            return if ended { Poll::Ready(Next::Ended) } else { Poll::Pending };
        }
        let take = if consumer.handle.hooks.reads { Consumer::try_read } else { Consumer::try_message };
        match std::task::ready!(consumer.poll_taken(cx, take)) {
            Ok(message) => Poll::Ready(Next::Message(message)),
            Err(_) if consumer.state().is_none() => Poll::Ready(Next::Ended),
            Err(error) => {
                let event = ConsumerEvent::Unreadable(error);
                Poll::Ready(Next::Event(Happening::Event(event)))
            }
        }
    }
}
