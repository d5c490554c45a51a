//! What comes out of the core.

use crate::consumer::BrokerConsumerStats;
use crate::error::Error;
use crate::ids::{ConnId, ConsumerId, MessageId, OpId, ProducerId, SendToken};
use crate::service_url::Endpoint;
use crate::topic::TopicName;

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
#[derive(Debug, Clone, PartialEq)]
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
    /// What the broker knows of a consumer.
    ConsumerStats(Box<BrokerConsumerStats>),
    /// The last message of each topic, partition by partition; `-1:-1` where there is none.
    LastMessageIds(Vec<(String, MessageId)>),
    /// Whether there is a message to receive.
    MessageAvailable(bool),
}

/// Something that the user should know.
#[derive(Debug, Clone, PartialEq)]
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
    /// The broker has said whether a consumer of a failover subscription is the active one.
    ActiveConsumer {
        /// Which.
        consumer: ConsumerId,
        /// Of which partition; -1 when the topic has none.
        partition: i32,
        /// Whether it is.
        active: bool,
    },
    /// The broker is asked to send messages of a consumer again; told where its options ask for it.
    Redelivering {
        /// Whose.
        consumer: ConsumerId,
        /// The entries.
        ids: Vec<MessageId>,
        /// They were not acknowledged in time; else they were acknowledged negatively.
        timed_out: bool,
    },
    /// A topic of a consumer has more partitions than it had; told where the consumer's options ask for it.
    PartitionsChanged {
        /// Which.
        consumer: ConsumerId,
        /// The topic.
        topic: TopicName,
        /// How many it has now.
        partitions: u32,
    },
    /// The topic of a producer has more partitions than it had, and all are sent to from now on.
    ProducerPartitionsChanged {
        /// Which.
        producer: ProducerId,
        /// The topic.
        topic: TopicName,
        /// How many it has now.
        partitions: u32,
    },
    /// The topic of a consumer is terminated, and all of it was delivered. Said once.
    EndOfTopic(ConsumerId),
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
    /// There is room for pending messages again, after a send was refused with `QueueFull`: in memory, or in a
    /// producer's number of them.
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

/// How a consumer is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ConsumerState {
    /// Whether it is subscribed now: as Java's `isConnected`.
    pub connected: bool,
    /// When it lost its broker last, in milliseconds since the Unix epoch; 0 when it never did: as Java's
    /// `getLastDisconnectedTimestamp`.
    pub last_disconnected: u64,
    /// Messages that wait to be received.
    pub queued_messages: u32,
    /// Bytes of their payloads; those of a batch until its last message is received.
    pub queued_bytes: usize,
    /// Messages that may wait at present; it changes when the queue is auto-scaled or has a cap on its bytes.
    pub receiver_queue_size: u32,
    /// Permits that will go back to the broker with the next FLOW: as Java's `getAvailablePermits`.
    pub available_permits: u32,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether it is the active one of its failover subscription; `None` where the broker has not said so.
    pub active: Option<bool>,
    /// Whether the topic is terminated and the broker has delivered all of it: as Java's
    /// `hasReachedEndOfTopic`.
    pub end_of_topic: bool,
}
