//! What comes out of the core.

use crate::error::Error;
use crate::ids::{ConnId, ConsumerId, MessageId, OpId, ProducerId, SendToken};
use crate::service_url::Endpoint;

/// What the host must do with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open a connection; answer with `connected` or `closed`.
    Connect {
        /// Its id from now on.
        conn: ConnId,
        /// Where to.
        endpoint: Endpoint,
    },
    /// Write what is still to be transmitted, then close; no answer is due.
    Disconnect {
        /// The connection. The core has forgotten it already.
        conn: ConnId,
        /// Why, for the log.
        reason: String,
    },
}

/// What an operation brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Done; there is nothing more to say.
    Done,
    /// The producer is open.
    Producer {
        /// Its name, given or by the broker.
        name: String,
    },
    /// The partitions of a topic; 0 when it is not partitioned.
    Partitions(u32),
    /// Names of topics.
    Topics(Vec<String>),
    /// The last message of a topic.
    LastMessageId(MessageId),
    /// The last message of each topic, partition by partition; `-1:-1` where there is none.
    LastMessageIds(Vec<(String, MessageId)>),
    /// Whether there is a message to receive.
    MessageAvailable(bool),
}

/// Something that the user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An operation ended. Each does so exactly once.
    Completed {
        /// Which.
        op: OpId,
        /// How.
        result: Result<Output, Error>,
    },
    /// Messages are waiting to be taken; said again only after the queue was empty.
    Ready(ConsumerId),
    /// A consumer has lost its link: what was taken and not acknowledged will come again, so messages
    /// that were taken ahead of the user should be thrown away. Of a consumer of several topics, this is
    /// said of the part alone that [`Message::consumer`](crate::Message::consumer) names.
    ConsumerReset(ConsumerId),
    /// A consumer has ended: it was closed, could not be opened, or failed. Nothing will come any more.
    ConsumerEnded {
        /// Which.
        consumer: ConsumerId,
        /// Why.
        error: Error,
    },
    /// A producer has ended: it was closed, could not be opened, or failed. Its pending sends have failed.
    ProducerEnded {
        /// Which.
        producer: ProducerId,
        /// Why.
        error: Error,
    },
    /// Memory for pending messages is free again, after a send was refused with `QueueFull`.
    Writable,
    /// A connection came or went.
    Connection {
        /// Where to.
        endpoint: Endpoint,
        /// How it is now.
        state: ConnectionState,
    },
}

/// The life of a connection, as the user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// It is being opened.
    Connecting,
    /// The broker has accepted it.
    Connected,
    /// It is gone.
    Disconnected(Error),
}

/// How a send ended. Each does so exactly once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendOutcome {
    /// Whose send.
    pub producer: ProducerId,
    /// Which.
    pub token: SendToken,
    /// Where the message is stored, or why it is not.
    pub result: Result<MessageId, Error>,
}
