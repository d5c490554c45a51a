//! The user's code that a consumer calls: listeners and interceptors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pulsewire_proto::{Error, Message, MessageId};

use super::Consumer;
use crate::guarded::guarded;
use crate::runtime::{MaybeSend, MaybeSync};

/// What happens to a consumer beside its messages: see
/// [`consumer_event_listener`](super::ConsumerBuilder::consumer_event_listener).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ConsumerEvent {
    /// It is now the active one of its failover subscription: as Java's `becameActive`.
    BecameActive {
        /// Of this partition; -1 when the topic has none.
        partition: i32,
    },
    /// Another one is: as Java's `becameInactive`.
    BecameInactive {
        /// Of this partition; -1 when the topic has none.
        partition: i32,
    },
    /// The topic is terminated, and the broker has delivered all of it: as Java's `reachedEndOfTopic`.
    ReachedEndOfTopic,
    /// The message listener or an interceptor panicked, with this message. The others go on.
    Panicked(String),
    /// A message that the message listener should have got cannot be read.
    Unreadable(Error),
    /// So many events, and calls of interceptors over redelivery and partitions, were not kept because the listener did not come to
    /// them: 1000 wait at most. Those that follow came after them.
    Missed(u64),
}

/// Sees what goes through a consumer, as Java's `ConsumerInterceptor`. Several are called in the order in
/// which they were given; a panic in one stops none of the others and is told by [`ConsumerEvent::Panicked`].
/// Java's `onArrival`, called before a message waits in the queue, has no counterpart: batches wait there packed,
/// and are unpacked when they are received.
///
/// ```
/// use pulsewire::{Consumer, ConsumerInterceptor, Message};
///
/// struct Count(std::sync::atomic::AtomicU64);
///
/// impl ConsumerInterceptor for Count {
///     fn before_consume(&self, _: &Consumer, message: Message) -> Message {
///         self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
///         message
///     }
/// }
/// ```
pub trait ConsumerInterceptor: MaybeSend + MaybeSync + 'static {
    /// Before a message is handed out. What it returns goes to the next interceptor, then to the user.
    fn before_consume(&self, _consumer: &Consumer, message: Message) -> Message {
        message
    }

    /// After a message was acknowledged, or could not be.
    fn on_acknowledge(&self, _consumer: &Consumer, _id: MessageId, _error: Option<&Error>) {}

    /// After all messages up to one were acknowledged, or could not be.
    fn on_acknowledge_cumulative(&self, _consumer: &Consumer, _id: MessageId, _error: Option<&Error>) {}

    /// When the broker is asked to send negatively acknowledged messages again.
    fn on_negative_acks_send(&self, _consumer: &Consumer, _ids: &[MessageId]) {}

    /// When the broker is asked to send messages again that were not acknowledged in time.
    fn on_ack_timeout_send(&self, _consumer: &Consumer, _ids: &[MessageId]) {}

    /// When a topic has more partitions than it had: its name, and how many. Those that are new are being opened.
    fn on_partitions_change(&self, _consumer: &Consumer, _topic: &str, _partitions: u32) {}
}

/// A message listener.
pub(crate) trait Listen: MaybeSend {
    fn received(&mut self, consumer: &Consumer, message: Message);
}

impl<F: FnMut(&Consumer, Message) + MaybeSend> Listen for F {
    fn received(&mut self, consumer: &Consumer, message: Message) {
        self(consumer, message);
    }
}

/// A listener to events.
pub(crate) trait Notice: MaybeSend {
    fn happened(&mut self, consumer: &Consumer, event: ConsumerEvent);
}

impl<F: FnMut(&Consumer, ConsumerEvent) + MaybeSend> Notice for F {
    fn happened(&mut self, consumer: &Consumer, event: ConsumerEvent) {
        self(consumer, event);
    }
}

/// What a consumer's handles share of them.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) interceptors: Vec<Arc<dyn ConsumerInterceptor>>,
    /// It is a reader's: what is taken is done with.
    pub(crate) reads: bool,
    /// A message listener takes all messages.
    pub(super) listening: bool,
    panics: AtomicU64,
}

impl Consumer {
    /// How often a listener or an interceptor of this consumer has panicked.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.handle.hooks.panics.load(Ordering::Relaxed)
    }

    /// Calls code of the user: a panic in it ends here, and is told.
    pub(super) fn guarded<T>(&self, call: impl FnOnce() -> T) -> Option<T> {
        match guarded(call) {
            Ok(value) => Some(value),
            Err(words) => {
                self.handle.hooks.panics.fetch_add(1, Ordering::Relaxed);
                self.tell(ConsumerEvent::Panicked(words));
                None
            }
        }
    }

    /// Lets the listener to events know.
    pub(super) fn tell(&self, event: ConsumerEvent) {
        let waker = self.handle.client.inner.shared.lock().sink.consumer_event(self.id, event);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn intercept(&self, mut call: impl FnMut(&dyn ConsumerInterceptor)) {
        for interceptor in &self.handle.hooks.interceptors {
            self.guarded(|| call(&**interceptor));
        }
    }

    /// A message on its way to the user.
    #[inline]
    pub(crate) fn before_consume(&self, message: Message) -> Message {
        if self.is_intercepted() { self.intercepted(message) } else { message }
    }

    #[inline]
    pub(super) fn is_intercepted(&self) -> bool {
        !self.handle.hooks.interceptors.is_empty()
    }

    fn intercepted(&self, mut message: Message) -> Message {
        for interceptor in &self.handle.hooks.interceptors {
            let before = message.clone();
            message = self.guarded(|| interceptor.before_consume(self, message)).unwrap_or(before);
        }
        message
    }

    /// Messages were acknowledged, or could not be.
    pub(super) fn acknowledged(&self, ids: &[MessageId], cumulative: bool, error: Option<&Error>) {
        if !self.is_intercepted() {
            return;
        }
        for id in ids {
            self.intercept(|interceptor| {
                if cumulative {
                    interceptor.on_acknowledge_cumulative(self, *id, error);
                } else {
                    interceptor.on_acknowledge(self, *id, error);
                }
            });
        }
    }

    /// A topic has more partitions.
    pub(super) fn partitions_changed(&self, topic: &str, partitions: u32) {
        self.intercept(|interceptor| interceptor.on_partitions_change(self, topic, partitions));
    }

    /// Messages are asked for again.
    pub(super) fn redelivering(&self, ids: &[MessageId], timed_out: bool) {
        self.intercept(|interceptor| {
            if timed_out {
                interceptor.on_ack_timeout_send(self, ids);
            } else {
                interceptor.on_negative_acks_send(self, ids);
            }
        });
    }
}
