//! What a program puts between its sends and the producer.

use pulsewire_proto::{Error, MessageId};

use super::message::OwnedMessage;
use crate::guarded::guarded;

/// Sees each message of a producer before it is sent, and its end; Java's `ProducerInterceptor`.
///
/// Interceptors are called in the order in which they were added, on the thread that sends and on the one that
/// drives the client. One that panics is passed over, natively: the message stays as it was before, and the
/// others are called all the same. In WebAssembly a panic ends the program, as it does anywhere else there.
/// An interceptor is dropped with its producer.
///
/// ```
/// # async fn run(client: pulsewire::Client) -> Result<(), pulsewire::Error> {
/// use pulsewire::{OutgoingMessage, ProducerInterceptor};
///
/// struct Traced;
/// impl ProducerInterceptor for Traced {
///     fn before_send(&self, _topic: &str, message: &mut OutgoingMessage) {
///         message.set_property("trace", "4bf92f35");
///     }
/// }
/// let producer = client.producer("news").interceptor(Traced).create().await?;
/// # Ok(()) }
/// ```
pub trait ProducerInterceptor: Send + Sync {
    /// Whether it has anything to do with a message.
    fn eligible(&self, _message: &OutgoingMessage) -> bool {
        true
    }

    /// Before the message is sent; what is changed here is sent so.
    fn before_send(&self, _topic: &str, _message: &mut OutgoingMessage) {}

    /// The message is stored, or has failed. It must not take long: the client stands still meanwhile.
    fn on_send_acknowledgement(
        &self,
        _topic: &str,
        _message: &OutgoingMessage,
        _result: &Result<MessageId, Error>,
    ) {
    }

    /// When a topic has more partitions than it had: its name, and how many. All are sent to from now on. It must
    /// not take long either. Java's `onPartitionsChange`.
    fn on_partitions_change(&self, _topic: &str, _partitions: u32) {}
}

/// A message as interceptors see it.
pub type OutgoingMessage = OwnedMessage;

/// The interceptors of a producer.
pub(crate) struct Interceptors {
    topic: String,
    chain: Vec<Box<dyn ProducerInterceptor>>,
}

impl Interceptors {
    pub(super) fn new(topic: &str, chain: Vec<Box<dyn ProducerInterceptor>>) -> Self {
        Self { topic: topic.to_owned(), chain }
    }

    /// The message as it is to be sent.
    pub(super) fn before_send(&self, mut message: OwnedMessage) -> OwnedMessage {
        for interceptor in &self.chain {
            let mut changed = message.clone();
            let called = guarded(|| {
                if interceptor.eligible(&changed) {
                    interceptor.before_send(&self.topic, &mut changed);
                }
            });
            if called.is_ok() {
                message = changed;
            }
        }
        message
    }

    pub(crate) fn acknowledged(&self, message: &OwnedMessage, result: &Result<MessageId, Error>) {
        for interceptor in &self.chain {
            // As Java: what one does wrong is not the others' fault.
            let _ = guarded(|| {
                if interceptor.eligible(message) {
                    interceptor.on_send_acknowledgement(&self.topic, message, result);
                }
            });
        }
    }

    pub(crate) fn partitions_changed(&self, topic: &str, partitions: u32) {
        for interceptor in &self.chain {
            let _ = guarded(|| interceptor.on_partitions_change(topic, partitions));
        }
    }
}
