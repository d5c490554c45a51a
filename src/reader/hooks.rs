//! The user's code that a reader calls: interceptors. Its listeners are a consumer's.

use pulsewire_proto::Message;

use super::Reader;
use crate::consumer::{Consumer, ConsumerInterceptor};
use crate::runtime::{MaybeSend, MaybeSync};

/// Sees what goes through a reader, as Java's `ReaderInterceptor`. Several are called in the order in which they were
/// given; a panic in one stops none of the others and is told by
/// [`ConsumerEvent::Panicked`](crate::ConsumerEvent::Panicked).
///
/// ```
/// use pulsewire::{Message, Reader, ReaderInterceptor};
///
/// struct Sizes(std::sync::Mutex<Vec<usize>>);
///
/// impl ReaderInterceptor for Sizes {
///     fn before_read(&self, _: &Reader, message: Message) -> Message {
///         self.0.lock().unwrap().push(message.payload().len());
///         message
///     }
/// }
/// ```
pub trait ReaderInterceptor: MaybeSend + MaybeSync + 'static {
    /// Before a message is handed out. What it returns goes to the next interceptor, then to the user.
    fn before_read(&self, _reader: &Reader, message: Message) -> Message {
        message
    }

    /// When a topic has more partitions than it had: its name, and how many. Those that are new are being opened.
    fn on_partitions_change(&self, _reader: &Reader, _topic: &str, _partitions: u32) {}
}

/// As the reader's consumer calls it.
pub(super) struct OfConsumer<I>(pub(super) I);

impl<I: ReaderInterceptor> ConsumerInterceptor for OfConsumer<I> {
    fn before_consume(&self, consumer: &Consumer, message: Message) -> Message {
        self.0.before_read(&Reader::of(consumer), message)
    }

    fn on_partitions_change(&self, consumer: &Consumer, topic: &str, partitions: u32) {
        self.0.on_partitions_change(&Reader::of(consumer), topic, partitions);
    }
}
