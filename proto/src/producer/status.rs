//! How a producer is doing.

use crate::client::link::Link;

use super::Producer;

/// How a producer is doing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProducerStatus {
    /// Whether it is open on a broker.
    pub is_connected: bool,
    /// When it lost its broker last, in milliseconds since the Unix epoch.
    pub last_disconnected_timestamp: Option<u64>,
    /// The highest sequence id that is stored, by this producer or, under its name, before it; or the initial
    /// one. As Java's `getLastSequenceId`, which is -1 for none.
    pub last_sequence_id: Option<u64>,
    /// The sequence id of the last message that was sent, stored or not.
    pub last_sequence_id_pushed: Option<u64>,
    /// Messages that are on their way.
    pub pending_messages: u64,
    /// Bytes that they hold.
    pub pending_bytes: usize,
    /// How many times the topic has been had alone, by whichever producers.
    pub topic_epoch: Option<u64>,
}

impl ProducerStatus {
    /// Of two producers as one, as Java has it for partitions: connected when both are, the later time,
    /// the higher ids.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            is_connected: self.is_connected && other.is_connected,
            last_disconnected_timestamp: self
                .last_disconnected_timestamp
                .max(other.last_disconnected_timestamp),
            last_sequence_id: self.last_sequence_id.max(other.last_sequence_id),
            last_sequence_id_pushed: self.last_sequence_id_pushed.max(other.last_sequence_id_pushed),
            pending_messages: self.pending_messages + other.pending_messages,
            pending_bytes: self.pending_bytes + other.pending_bytes,
            topic_epoch: self.topic_epoch.max(other.topic_epoch),
        }
    }
}

impl Producer {
    pub(crate) fn status(&self) -> ProducerStatus {
        let link: &Link = &self.link;
        ProducerStatus {
            is_connected: link.open_conn().is_some(),
            last_disconnected_timestamp: link.disconnected_at,
            last_sequence_id: self.published,
            last_sequence_id_pushed: self.next_sequence_id.and_then(|next| next.checked_sub(1)),
            pending_messages: self.pending(),
            pending_bytes: self.held(),
            topic_epoch: self.topic_epoch,
        }
    }
}
