//! What connections, topics and subscriptions are called inside the broker.

/// A connection's name, chosen by the host; never used again after it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// A topic's name inside the broker; never used again after it is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TopicKey(pub(super) u64);

/// A subscription's name inside its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SubKey(pub(super) u64);

/// A consumer's name inside its subscription; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConsumerKey(pub(super) u64);
