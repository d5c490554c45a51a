//! The broker's side: bytes that are made before anything is measured.

use bytes::{Bytes, BytesMut};
use pulsewire_proto::wire::entry::encode_entry;
use pulsewire_proto::wire::frame::{encode_command, encode_with_entry};
use pulsewire_proto::wire::{
    self, Command, CommandMessage, CommandSendReceipt, MessageIdData, MessageMetadata, SingleMessageMetadata,
};

/// Bytes of every payload.
pub(crate) const PAYLOAD: usize = 100;

/// Sends that are receipted, and made anew, in one round.
pub(crate) const BURST: usize = 16;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// A round receipts the oldest sends and makes as many new ones.
    Send { in_flight: usize },
    /// A round brings messages, in batches of `batch` or without any, and the user takes them.
    Receive { messages: usize, batch: Option<usize> },
}

impl Work {
    pub(crate) const ALL: [Self; 4] = [
        Self::Send { in_flight: 16 },
        Self::Send { in_flight: 10_000 },
        Self::Receive { messages: 250, batch: None },
        Self::Receive { messages: 1000, batch: Some(1000) },
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Send { in_flight } => format!("send + receipt, unbatched, {in_flight} in flight"),
            Self::Receive { batch: None, .. } => "receive, unbatched".to_owned(),
            Self::Receive { batch: Some(n), .. } => format!("receive, batches of {n}"),
        }
    }

    /// Messages in a round.
    pub(crate) fn messages(self) -> usize {
        match self {
            Self::Send { .. } => BURST,
            Self::Receive { messages, .. } => messages,
        }
    }

    /// Rounds for about `messages` messages; at least a few.
    pub(crate) fn rounds(self, messages: usize) -> usize {
        (messages / self.messages()).max(20)
    }
}

pub(crate) struct Peer {
    producer: u64,
    consumer: u64,
    next: u64,
}

impl Peer {
    pub(crate) fn new(producer: u64, consumer: u64) -> Self {
        Self { producer, consumer, next: 0 }
    }

    /// The bytes of so many rounds, each in a buffer of its own, as a socket gives them.
    pub(crate) fn chunks(mut self, work: Work, rounds: usize) -> Vec<Bytes> {
        (0..rounds).map(|_| self.chunk(work)).collect()
    }

    fn chunk(&mut self, work: Work) -> Bytes {
        let mut out = BytesMut::new();
        match work {
            Work::Send { .. } => (0..BURST).for_each(|_| self.receipt(&mut out)),
            Work::Receive { messages, batch: None } => {
                (0..messages).for_each(|_| self.message(&metadata(self.next), &[b'x'; PAYLOAD], &mut out));
            }
            Work::Receive { messages, batch: Some(size) } => {
                for _ in 0..messages / size {
                    let payload = Bytes::from(vec![b'x'; PAYLOAD]);
                    let mut batch = BytesMut::new();
                    for index in 0..size {
                        let sequence_id = Some(self.next + index as u64);
                        let mut single = SingleMessageMetadata { sequence_id, ..Default::default() };
                        wire::batch::push(&mut batch, &mut single, &payload);
                    }
                    let metadata =
                        MessageMetadata { num_messages_in_batch: Some(size as i32), ..metadata(self.next) };
                    self.message(&metadata, &batch, &mut out);
                }
            }
        }
        // No larger than it must be: freeing a large buffer would cost more than what is measured.
        Bytes::from(out.to_vec())
    }

    fn position(&mut self) -> MessageIdData {
        self.next += 1;
        MessageIdData {
            ledger_id: 12_345,
            entry_id: self.next - 1,
            partition: Some(-1),
            ..Default::default()
        }
    }

    fn receipt(&mut self, out: &mut BytesMut) {
        let sequence_id = self.next;
        let receipt = CommandSendReceipt {
            producer_id: self.producer,
            sequence_id,
            message_id: Some(self.position()),
            highest_sequence_id: Some(0),
        };
        encode_command(&receipt.into(), out);
    }

    fn message(&mut self, metadata: &MessageMetadata, payload: &[u8], out: &mut BytesMut) {
        let command = CommandMessage {
            consumer_id: self.consumer,
            message_id: self.position(),
            redelivery_count: Some(0),
            ..Default::default()
        };
        let mut entry = BytesMut::new();
        encode_entry(metadata, payload, &mut entry);
        encode_with_entry(&Command::from(command), &entry, out);
    }
}

fn metadata(sequence_id: u64) -> MessageMetadata {
    MessageMetadata {
        producer_name: "standalone-0-1".to_owned(),
        sequence_id,
        publish_time: 1_700_000_000_000,
        ..Default::default()
    }
}
