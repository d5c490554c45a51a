//! What a consumer counts, and what its broker does.

use crate::error::Error;
use crate::time::Time;
use crate::wire::CommandConsumerStatsResponse;

/// Totals since the consumer was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    messages: u64,
    bytes: u64,
    pub(crate) receive_failed: u64,
    pub(crate) batch_receive_failed: u64,
    pub(crate) acks_sent: u64,
    pub(crate) acks_failed: u64,
    /// What the next rates begin from.
    asked: Asked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Asked {
    at: Time,
    messages: u64,
    bytes: u64,
}

impl Counts {
    #[inline]
    pub(crate) fn received(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }

    pub(crate) fn since(now: Time) -> Self {
        Self { asked: Asked { at: now, ..Asked::default() }, ..Self::default() }
    }

    /// The statistics, with rates since they were asked for last.
    pub(crate) fn stats(&mut self, queued: u32, now: Time) -> ConsumerStats {
        let since = self.asked;
        let seconds = (now - since.at).as_secs_f64();
        let rate = |n: u64| if seconds > 0.0 { n as f64 / seconds } else { 0.0 };
        self.asked = Asked { at: now, messages: self.messages, bytes: self.bytes };
        ConsumerStats {
            total_messages_received: self.messages,
            total_bytes_received: self.bytes,
            total_receive_failed: self.receive_failed,
            total_batch_receive_failed: self.batch_receive_failed,
            total_acks_sent: self.acks_sent,
            total_acks_failed: self.acks_failed,
            rate_messages_received: rate(self.messages - since.messages),
            rate_bytes_received: rate(self.bytes - since.bytes),
            messages_in_receiver_queue: queued,
        }
    }
}

/// Statistics of a consumer, as Java's `ConsumerStats`. Totals are since it was made; rates, a second, since
/// the statistics were asked for last (Java's are of the last `statsInterval`).
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ConsumerStats {
    /// Messages that the user received.
    pub total_messages_received: u64,
    /// Bytes of their payloads.
    pub total_bytes_received: u64,
    /// Messages that could not be read.
    pub total_receive_failed: u64,
    /// Batches that could not be received because a message could not be read.
    pub total_batch_receive_failed: u64,
    /// Messages that were acknowledged; a cumulative acknowledgement counts as one.
    pub total_acks_sent: u64,
    /// Acknowledgements that the broker did not confirm.
    pub total_acks_failed: u64,
    /// Messages received a second.
    pub rate_messages_received: f64,
    /// Bytes received a second.
    pub rate_bytes_received: f64,
    /// Messages that wait to be received.
    pub messages_in_receiver_queue: u32,
}

impl std::ops::AddAssign for ConsumerStats {
    fn add_assign(&mut self, part: Self) {
        self.total_messages_received += part.total_messages_received;
        self.total_bytes_received += part.total_bytes_received;
        self.total_receive_failed += part.total_receive_failed;
        self.total_batch_receive_failed += part.total_batch_receive_failed;
        self.total_acks_sent += part.total_acks_sent;
        self.total_acks_failed += part.total_acks_failed;
        self.rate_messages_received += part.rate_messages_received;
        self.rate_bytes_received += part.rate_bytes_received;
        self.messages_in_receiver_queue =
            self.messages_in_receiver_queue.saturating_add(part.messages_in_receiver_queue);
    }
}

/// What the broker knows of a consumer, as the C++ client's `BrokerConsumerStats`; the Java client does not ask.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct BrokerConsumerStats {
    /// Messages delivered to it, a second.
    pub msg_rate_out: f64,
    /// Bytes delivered to it, a second.
    pub msg_throughput_out: f64,
    /// Messages delivered to it again, a second.
    pub msg_rate_redeliver: f64,
    /// Messages acknowledged by it, a second.
    pub message_ack_rate: f64,
    /// Messages of the subscription that expired, a second.
    pub msg_rate_expired: f64,
    /// Its name.
    pub consumer_name: String,
    /// Messages that the broker may still send to it.
    pub available_permits: i64,
    /// Messages delivered to it and not acknowledged.
    pub unacked_messages: u64,
    /// Nothing more is delivered because too many messages are not acknowledged.
    pub blocked_on_unacked_messages: bool,
    /// Where it connects from.
    pub address: String,
    /// When it connected, as the broker writes times.
    pub connected_since: String,
    /// The subscription's type, as the broker names it.
    pub subscription_type: String,
    /// Entries of the subscription that are still to be acknowledged.
    pub msg_backlog: u64,
}

impl BrokerConsumerStats {
    pub(crate) fn from_wire(r: CommandConsumerStatsResponse) -> Result<Self, Error> {
        if let Some(error) = r.error_code {
            return Err(Error::broker(error, r.error_message.as_deref().unwrap_or("")));
        }
        Ok(Self {
            msg_rate_out: r.msg_rate_out.unwrap_or(0.0),
            msg_throughput_out: r.msg_throughput_out.unwrap_or(0.0),
            msg_rate_redeliver: r.msg_rate_redeliver.unwrap_or(0.0),
            message_ack_rate: r.message_ack_rate.unwrap_or(0.0),
            msg_rate_expired: r.msg_rate_expired.unwrap_or(0.0),
            consumer_name: r.consumer_name.unwrap_or_default(),
            // Brokers count below zero when a batch had more messages than there were permits.
            available_permits: r.available_permits.unwrap_or(0).cast_signed(),
            unacked_messages: r.unacked_messages.unwrap_or(0),
            blocked_on_unacked_messages: r.blocked_consumer_on_unacked_msgs.unwrap_or(false),
            address: r.address.unwrap_or_default(),
            connected_since: r.connected_since.unwrap_or_default(),
            subscription_type: r.r#type.unwrap_or_default(),
            msg_backlog: r.msg_backlog.unwrap_or(0),
        })
    }
}
