//! Identifiers.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use bytes::{Bytes, BytesMut};

use crate::error::{Error, ErrorKind, Quoted};
use crate::wire::MessageIdData;
use crate::wire::hot::Position;

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);
    )*};
}

ids! {
    /// A connection, from its `Connect` action on; never used again.
    ConnId;
    /// An operation of the user that completes once.
    OpId;
    /// A producer of this client; its id on the wire too.
    ProducerId;
    /// A consumer of this client; its id on the wire too.
    ConsumerId;
    /// The n-th send of a producer, from 0: they complete in this order unless one fails early.
    SendToken;
}

/// Where a message is stored, and its place in its batch.
///
/// Ids of one topic are ordered as Java's `MessageIdImpl` orders them: by ledger, entry, partition,
/// batch index. They print and parse as Java's do: `ledger:entry:partition`, and `:batchIndex` in a batch;
/// of a message in chunks the first chunk's and the last one's, with `;` between.
///
/// ```
/// use pulsewire_proto::MessageId;
/// let id: MessageId = "12:3:-1:7".parse().unwrap();
/// assert_eq!(MessageId::from_bytes(&id.to_bytes()).unwrap(), id);
/// assert!(id > "12:3:-1:6".parse().unwrap());
/// assert_eq!(id.to_string(), "12:3:-1:7");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// Ledger id.
    pub ledger_id: u64,
    /// Entry id within the ledger.
    pub entry_id: u64,
    /// Partition; -1 when the topic is not partitioned.
    pub partition: i32,
    /// Place in the batch; -1 outside of batches.
    pub batch_index: i32,
    /// Messages in the batch; 0 when that is not known.
    pub batch_size: i32,
    /// Of a message that was sent in chunks: where its first one is stored. The rest of the id is then
    /// that of its last one, as in Java's `ChunkMessageIdImpl`.
    pub first_chunk: Option<FirstChunk>,
}

/// Where the first chunk of a message is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FirstChunk {
    /// Ledger id.
    pub ledger_id: u64,
    /// Entry id within the ledger.
    pub entry_id: u64,
}

impl MessageId {
    /// Before the first message of a topic.
    pub const EARLIEST: Self = Self {
        ledger_id: u64::MAX,
        entry_id: u64::MAX,
        partition: -1,
        batch_index: -1,
        batch_size: 0,
        first_chunk: None,
    };

    /// After the last message of a topic.
    pub const LATEST: Self = Self {
        ledger_id: i64::MAX as u64,
        entry_id: i64::MAX as u64,
        partition: -1,
        batch_index: -1,
        batch_size: 0,
        first_chunk: None,
    };

    /// The bytes that other clients serialise too: an encoded `MessageIdData`.
    #[must_use]
    pub fn to_bytes(self) -> Bytes {
        let mut out = BytesMut::new();
        // As Java: the partition and the batch only when there are any.
        let first = self.first_chunk.map(|first| {
            Box::new(MessageIdData {
                ledger_id: first.ledger_id,
                entry_id: first.entry_id,
                partition: (self.partition >= 0).then_some(self.partition),
                ..Default::default()
            })
        });
        MessageIdData {
            first_chunk_message_id: first,
            partition: (self.partition >= 0).then_some(self.partition),
            batch_index: (self.batch_index >= 0).then_some(self.batch_index),
            batch_size: (self.batch_size > 0).then_some(self.batch_size),
            ..self.to_wire()
        }
        .encode(&mut out);
        out.freeze()
    }

    /// Reads what [`MessageId::to_bytes`], or another client, wrote.
    ///
    /// # Errors
    /// `InvalidMessageId` when it is not an encoded id.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let data = MessageIdData::decode(&Bytes::copy_from_slice(bytes))
            .map_err(|e| Error::new(ErrorKind::InvalidMessageId, format!("not a message id: {e}")))?;
        Ok(Self::from_wire(&data))
    }

    pub(crate) fn from_position(at: Position, batch_size: i32) -> Self {
        Self {
            ledger_id: at.ledger,
            entry_id: at.entry,
            partition: at.partition,
            batch_index: at.batch_index,
            batch_size,
            first_chunk: None,
        }
    }

    pub(crate) fn from_wire(data: &MessageIdData) -> Self {
        Self {
            ledger_id: data.ledger_id,
            entry_id: data.entry_id,
            partition: data.partition.unwrap_or(-1),
            batch_index: data.batch_index.unwrap_or(-1),
            batch_size: data.batch_size.unwrap_or(0),
            first_chunk: data
                .first_chunk_message_id
                .as_deref()
                .map(|first| FirstChunk { ledger_id: first.ledger_id, entry_id: first.entry_id }),
        }
    }

    /// Where a reader begins: with its first chunk if it is wanted too, else after its last one.
    pub(crate) fn start(self, inclusive: bool) -> Self {
        match self.first_chunk {
            Some(first) if inclusive => {
                Self { ledger_id: first.ledger_id, entry_id: first.entry_id, first_chunk: None, ..self }
            }
            _ => Self { first_chunk: None, ..self },
        }
    }

    /// The entry, without the place in its batch.
    pub(crate) fn to_wire(self) -> MessageIdData {
        MessageIdData { ledger_id: self.ledger_id, entry_id: self.entry_id, ..Default::default() }
    }

    /// Ledger and entry as Java compares them: signed, so that [`MessageId::EARLIEST`] comes first.
    fn order(&self) -> (i64, i64, i32, i32) {
        (self.ledger_id as i64, self.entry_id as i64, self.partition, self.batch_index)
    }
}

impl PartialOrd for MessageId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MessageId {
    fn cmp(&self, other: &Self) -> Ordering {
        let rest = |id: &Self| (id.batch_size, id.first_chunk);
        self.order().cmp(&other.order()).then_with(|| rest(self).cmp(&rest(other)))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ledger, entry, partition, batch_index) = self.order();
        if let Some(first) = self.first_chunk {
            write!(f, "{}:{}:{partition};", first.ledger_id as i64, first.entry_id as i64)?;
        }
        write!(f, "{ledger}:{entry}:{partition}")?;
        if batch_index >= 0 { write!(f, ":{batch_index}") } else { Ok(()) }
    }
}

impl FromStr for MessageId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = match text.split_once(';') {
            None => parse(text),
            Some((first, last)) => parse(first).zip(parse(last)).map(|(first, last)| {
                let first = FirstChunk { ledger_id: first.ledger_id, entry_id: first.entry_id };
                Self { first_chunk: Some(first), ..last }
            }),
        };
        parsed.ok_or_else(|| {
            let what = "is not a message id: ledger:entry[:partition[:batchIndex]]";
            Error::new(ErrorKind::InvalidMessageId, format!("{} {what}", Quoted(text)))
        })
    }
}

fn parse(text: &str) -> Option<MessageId> {
    let parts: Vec<&str> = text.split(':').collect();
    if !(2..=4).contains(&parts.len()) {
        return None;
    }
    let big = |at: usize| parts[at].parse::<i64>().map(|v| v as u64).ok();
    let small = |at: usize| parts.get(at).map_or(Some(-1), |part| part.parse::<i32>().ok());
    Some(MessageId {
        ledger_id: big(0)?,
        entry_id: big(1)?,
        partition: small(2)?,
        batch_index: small(3)?,
        batch_size: 0,
        first_chunk: None,
    })
}
