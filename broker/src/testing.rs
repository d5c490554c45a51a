//! A test's broker, without I/O: the [`Broker`] with a clock that can be put forward, and with what a
//! test wants to do to it. `pulsewire::testing` and the npm package's `pulsewire/testing` put it on
//! connections in memory.
//!
//! # Time
//! The broker's clocks, the monotonic one and the wall clock, are the host's, put forward by the sum of all
//! [`advance`](Harness::advance)s. All that the broker does by itself runs by them: delayed delivery,
//! retention and TTL, quotas by age, the delay of failover. Two things have no time here, because both
//! ends are in one process: connections are not asked whether they live, nor is whoever holds a name.

use std::time::Duration;

use bytes::Bytes;
use pulsewire_proto::wire::ServerError;

use crate::core::names::TopicName;
use crate::core::{
    AdminError, Broker, BrokerConfig, ConnId, ConnectionInfo, Now, Scope, SendFailure, StoredMessage,
};

/// What [`Harness::advance`] takes, in all: 100 years.
pub const MAX_ADVANCE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Moments of one advance that are lived through one by one; what is left is one step.
const MAX_STEPS: usize = 100_000;

/// Bytes of messages that a test's broker holds unless it is told otherwise.
const STORED_BYTES: usize = 64 << 20;

/// Why something that a test asked for is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestError {
    /// The code that a client would have been told.
    pub code: ServerError,
    /// What a person is told.
    pub message: String,
}

impl TestError {
    fn new(code: ServerError, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<AdminError> for TestError {
    fn from(error: AdminError) -> Self {
        let code =
            if error.status == 404 { ServerError::TOPIC_NOT_FOUND } else { ServerError::NOT_ALLOWED_ERROR };
        Self::new(code, error.reason)
    }
}

/// A subscription, over all partitions of its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionInfo {
    /// Its name.
    pub name: String,
    /// `Exclusive`, `Shared`, `Failover` or `Key_Shared`; `None` while nobody has consumed by it.
    pub kind: &'static str,
    /// Whether it outlives its consumers.
    pub durable: bool,
    /// Entries that are not acknowledged: a batch is one, as in Pulsar's `msgBacklog`.
    pub backlog: u64,
    /// Messages that consumers have and did not acknowledge.
    pub unacked: u64,
    /// Entries that wait for their time.
    pub delayed: u64,
    /// Names of its consumers.
    pub consumers: Vec<String>,
}

/// A broker for one test. Facts and polls are those of [`Broker`]; the host hands in its own time.
///
/// ```
/// # use std::time::Duration;
/// # use pulsewire_broker::{BrokerConfig, Now, testing::Harness};
/// let now = Now::new(Duration::from_secs(1), 1_700_000_000_000);
/// let mut broker = Harness::new(Harness::config());
/// broker.create_topic("orders", 3, now).unwrap();
/// assert_eq!(broker.topics(), ["persistent://public/default/orders"]);
/// broker.advance(Duration::from_secs(3600), now);
/// assert_eq!(broker.wall_ms(now), 1_700_003_600_000);
/// assert!(broker.messages("nobody-sent-here").is_err());
/// ```
#[derive(Debug)]
pub struct Harness {
    broker: Broker,
    /// How far its clocks are before the host's.
    ahead: Duration,
    reachable: bool,
    next: u64,
}

impl Harness {
    /// What a test's broker differs in from others: 64 MiB for messages, and no silence that counts.
    #[must_use]
    pub fn config() -> BrokerConfig {
        BrokerConfig {
            keep_alive: MAX_ADVANCE * 2,
            liveness_timeout: Duration::ZERO,
            upkeep_interval: Duration::from_secs(1),
            prompt_expiry: true,
            max_stored_bytes: STORED_BYTES,
            ..BrokerConfig::default()
        }
    }

    /// A broker without topics; see [`Harness::config`].
    #[must_use]
    pub fn new(config: BrokerConfig) -> Self {
        Self { broker: Broker::new(config), ahead: Duration::ZERO, reachable: true, next: 1 }
    }

    /// The broker's time when the host's is `now`.
    fn at(&self, now: Now) -> Now {
        let ms = u64::try_from(self.ahead.as_millis()).unwrap_or(u64::MAX);
        Now::new(now.mono.saturating_add(self.ahead), now.wall_ms.saturating_add(ms))
    }

    /// Milliseconds since the Unix epoch, as the broker sees them.
    #[must_use]
    pub fn wall_ms(&self, now: Now) -> u64 {
        self.at(now).wall_ms
    }

    /// Fact: somebody wants to connect. `None` when nobody is let in.
    pub fn connect(&mut self, now: Now) -> Option<ConnId> {
        if !self.reachable {
            return None;
        }
        let id = ConnId(self.next);
        self.next += 1;
        self.broker.connected(id, self.at(now));
        Some(id)
    }

    /// Fact: bytes came.
    pub fn received(&mut self, id: ConnId, bytes: Bytes, now: Now) {
        self.broker.received(id, bytes, self.at(now));
    }

    /// Fact: that many bytes are written.
    pub fn transmitted(&mut self, id: ConnId, bytes: usize, now: Now) {
        self.broker.transmitted(id, bytes, self.at(now));
    }

    /// Fact: a connection is gone.
    pub fn closed(&mut self, id: ConnId, now: Now) {
        self.broker.closed(id, self.at(now));
    }

    /// Fact: time passed.
    pub fn timeout(&mut self, now: Now) {
        self.broker.timeout(self.at(now));
    }

    /// Poll: what is to be written, to whom.
    pub fn poll_transmit(&mut self) -> Option<(ConnId, Vec<Bytes>)> {
        self.broker.poll_transmit()
    }

    /// Poll: a connection that is to be closed, and why.
    pub fn poll_disconnect(&mut self) -> Option<(ConnId, String)> {
        self.broker.poll_disconnect().map(|(id, reason)| (id, reason.to_string()))
    }

    /// Poll: when [`Harness::timeout`] is due, by the host's monotonic clock.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.broker.next_deadline().map(|at| at.saturating_sub(self.ahead))
    }

    /// Whether a connection's bytes are wanted.
    #[must_use]
    pub fn wants_bytes(&self, id: ConnId) -> bool {
        self.broker.wants_bytes(id)
    }

    /// How far its clocks can still be put forward.
    #[must_use]
    pub fn advance_left(&self) -> Duration {
        MAX_ADVANCE.saturating_sub(self.ahead)
    }

    /// Puts the broker's clocks forward. What falls due on the way happens on the way, in its order.
    /// No more than [`MAX_ADVANCE`] in all: beyond it, time stands.
    pub fn advance(&mut self, by: Duration, now: Now) {
        let target = self.ahead.saturating_add(by).min(MAX_ADVANCE);
        for _ in 0..MAX_STEPS {
            let Some(due) = self.next_deadline() else { break };
            let due = self.ahead.saturating_add(due.saturating_sub(now.mono));
            if due > target {
                break;
            }
            self.ahead = due;
            self.timeout(now);
        }
        self.ahead = target;
        self.timeout(now);
    }

    /// Plans sends to fail.
    ///
    /// # Errors
    /// `NOT_ALLOWED_ERROR`: 1000 plans wait already, or none is to fail.
    pub fn fail_sends(&mut self, failure: SendFailure) -> Result<(), TestError> {
        if failure.times == 0 {
            return Err(TestError::new(ServerError::NOT_ALLOWED_ERROR, "no send is to fail 0 times"));
        }
        if !self.broker.fail_sends(failure) {
            let message = "1000 failures of sends are planned already";
            return Err(TestError::new(ServerError::NOT_ALLOWED_ERROR, message));
        }
        Ok(())
    }

    /// All connections.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.broker.connections()
    }

    /// Cuts a connection; false when it is not there.
    pub fn disconnect(&mut self, id: ConnId, now: Now) -> bool {
        self.broker.disconnect(id, self.at(now))
    }

    /// Whether newcomers are let in from now on. Connections that stand are left alone.
    pub fn set_reachable(&mut self, reachable: bool) {
        self.reachable = reachable;
    }

    /// Makes a topic, with 0 partitions one without.
    ///
    /// # Errors
    /// `INVALID_TOPIC_NAME`, `TOPIC_NOT_FOUND` when its namespace is not there, or `NOT_ALLOWED_ERROR` when
    /// it is there already or cannot be made.
    pub fn create_topic(&mut self, topic: &str, partitions: u32, now: Now) -> Result<(), TestError> {
        let (name, now) = (parse(topic)?, self.at(now));
        if !self.broker.is_in_namespace(&name) {
            let message = format!("Namespace not found: {}", name.namespace_name());
            return Err(TestError::new(ServerError::TOPIC_NOT_FOUND, message));
        }
        match partitions {
            0 => {
                self.broker.is_name_of_topic(&name)?;
                self.broker.create_topic(&name, std::collections::BTreeMap::new(), now)?;
            }
            count => self.broker.create_partitioned_topic(&name, count, now)?,
        }
        Ok(())
    }

    /// Deletes a topic with its subscriptions, and sends its producers and consumers away.
    ///
    /// # Errors
    /// `INVALID_TOPIC_NAME`, `TOPIC_NOT_FOUND`.
    pub fn delete_topic(&mut self, topic: &str, now: Now) -> Result<(), TestError> {
        let now = self.at(now);
        Ok(self.broker.delete_topic(&parse(topic)?, true, now)?)
    }

    /// Sets after how many seconds the subscriptions of a topic pass over a message; 0 is never. It is
    /// looked for once in a second.
    ///
    /// # Errors
    /// `INVALID_TOPIC_NAME`, `TOPIC_NOT_FOUND`.
    pub fn set_message_ttl(&mut self, topic: &str, seconds: u64, now: Now) -> Result<(), TestError> {
        let (scope, now) = (Scope::Topic(parse(topic)?), self.at(now));
        Ok(self.broker.set_policies(&scope, |policies| policies.message_ttl = Some(seconds), now)?)
    }

    /// Full names of all topics, in order; one with partitions is named once.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        self.broker.all_topics()
    }

    /// How many partitions a topic has; 0 when it has none.
    ///
    /// # Errors
    /// `INVALID_TOPIC_NAME`, `TOPIC_NOT_FOUND`.
    pub fn partitions(&self, topic: &str) -> Result<u32, TestError> {
        let name = parse(topic)?;
        self.broker.subscriptions(&name)?;
        Ok(self.broker.partitions(&name))
    }

    /// The messages that a topic stores; see [`Broker::stored_messages`].
    ///
    /// # Errors
    /// `INVALID_TOPIC_NAME`, `TOPIC_NOT_FOUND`.
    pub fn messages(&self, topic: &str) -> Result<Vec<StoredMessage>, TestError> {
        Ok(self.broker.stored_messages(&parse(topic)?)?)
    }

    /// The subscriptions of a topic.
    ///
    /// # Errors
    /// `INVALID_TOPIC_NAME`, `TOPIC_NOT_FOUND`.
    pub fn subscriptions(&self, topic: &str) -> Result<Vec<SubscriptionInfo>, TestError> {
        let name = parse(topic)?;
        self.broker.subscriptions(&name)?;
        let parts: Vec<TopicName> = match self.broker.partitions(&name) {
            0 => vec![name],
            count => (0..count).map(|index| name.with_partition(index)).collect(),
        };
        let mut found: Vec<SubscriptionInfo> = Vec::new();
        for part in &parts {
            let there = self.broker.subscriptions(part)?;
            for sub in self.broker.stats(part)?.subscriptions {
                if !there.contains(&sub.name) {
                    continue;
                }
                let names = sub.consumers.into_iter().map(|consumer| consumer.name);
                let Some(known) = found.iter_mut().find(|known| known.name == sub.name) else {
                    found.push(SubscriptionInfo {
                        name: sub.name,
                        kind: sub.kind,
                        durable: sub.durable,
                        backlog: sub.backlog,
                        unacked: sub.unacked,
                        delayed: sub.delayed,
                        consumers: names.collect(),
                    });
                    continue;
                };
                known.backlog += sub.backlog;
                known.unacked += sub.unacked;
                known.delayed += sub.delayed;
                for name in names {
                    if !known.consumers.contains(&name) {
                        known.consumers.push(name);
                    }
                }
                if known.kind == "None" {
                    known.kind = sub.kind;
                }
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }
}

fn parse(topic: &str) -> Result<TopicName, TestError> {
    TopicName::parse(topic).map_err(|message| TestError::new(ServerError::INVALID_TOPIC_NAME, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Now = Now { mono: Duration::from_secs(1), wall_ms: 1_700_000_000_000 };

    #[test]
    fn topics_are_made_where_pulsar_makes_them() {
        let mut broker = Harness::new(Harness::config());
        let mut refused = |topic: &str, partitions| {
            let error = broker.create_topic(topic, partitions, START).expect_err("refused");
            (error.code, error.message)
        };
        for partitions in [0, 2] {
            let (code, message) = refused("persistent://a/b/c", partitions);
            assert_eq!((code, message.as_str()), (ServerError::TOPIC_NOT_FOUND, "Namespace not found: a/b"));
        }
        let (code, message) = refused("p-partition-0", 0);
        assert_eq!(code, ServerError::NOT_ALLOWED_ERROR);
        assert!(message.contains("there isn't a partitioned topic p created"), "{message}");
        let (code, message) = refused("p-partition-0", 2);
        assert_eq!(code, ServerError::NOT_ALLOWED_ERROR);
        assert_eq!(message, "Partitioned Topic Name should not contain '-partition-'");
        assert!(broker.topics().is_empty());
    }

    #[test]
    fn what_is_left_of_a_hundred_years_is_told() {
        let mut broker = Harness::new(Harness::config());
        broker.advance(Duration::from_secs(10), START);
        assert_eq!(broker.advance_left(), MAX_ADVANCE - Duration::from_secs(10));
        broker.advance(Duration::MAX, START);
        assert_eq!(broker.advance_left(), Duration::ZERO);
    }
}
