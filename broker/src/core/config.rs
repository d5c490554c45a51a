//! What a broker is told when it is made.

use std::sync::Arc;
use std::time::Duration;

use pulsewire_proto::wire::DEFAULT_MAX_MESSAGE_SIZE;

use super::access::Access;
use super::listeners::{AdvertisedListener, Node};
use super::running::Limits;

/// Settings of a [`Broker`](super::Broker).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Name of the cluster; generated producer names begin with it.
    pub cluster: String,
    /// What lookups answer: `pulsar://host:port`.
    pub service_url: String,
    /// The same for clients that came by TLS: `pulsar+ssl://host:port`.
    pub service_url_tls: Option<String>,
    /// Where it answers admin calls: `http://host:port`.
    pub admin_url: Option<String>,
    /// The same over TLS: `https://host:port`.
    pub admin_url_tls: Option<String>,
    /// Other addresses of it, for clients that name one in lookups.
    pub advertised_listeners: Vec<AdvertisedListener>,
    /// More brokers that share all it has: topics are spread over them, and lookups lead to them.
    pub more_brokers: Vec<Node>,
    /// The largest message, told to clients in CONNECTED.
    pub max_message_size: usize,
    /// Whether topics come into being when a client first uses them.
    pub auto_create_topics: bool,
    /// Partitions of topics that are made on demand; 0 makes them without partitions.
    pub default_partitions: u32,
    /// Whether single messages of a batch can be acknowledged. When off, an entry is acknowledged
    /// only when all of it is.
    pub batch_index_ack: bool,
    /// Whether messages whose sequence id was stored before are dropped, and producers are told
    /// their last sequence id. Namespaces can be set otherwise by the admin calls.
    pub deduplication: bool,
    /// Whether every stored message is given the broker's time and a number, which clients that can take them are
    /// told: Pulsar's `brokerEntryMetadataInterceptors` and `exposingBrokerEntryMetadataToClientEnabled`. When off,
    /// as in Pulsar without settings, a message is as old as its producer says.
    pub entry_metadata: bool,
    /// How often clients are asked whether they are there; after two such times of silence they
    /// are cut.
    pub keep_alive: Duration,
    /// How long a connection may take to show that it lives when another wants the name that it
    /// holds; 0 does not ask it.
    pub liveness_timeout: Duration,
    /// How long a failover subscription waits after its active consumer became another, before that
    /// one is told and served: less is delivered twice so.
    pub failover_delay: Duration,
    /// How often messages that are too old and backlogs that are too large are looked for.
    pub upkeep_interval: Duration,
    /// Messages are passed over as soon as they are too old. Else those of a subscription with consumers that
    /// is nearly done only once they are older by half, as Apache Pulsar has it.
    pub prompt_expiry: bool,
    /// Bytes of entries held in memory. Beyond it, consumed entries go first; then sends fail.
    pub max_stored_bytes: usize,
    /// Bytes of entries that a topic keeps after all its subscriptions have acknowledged them, for those who
    /// seek back; older ones go. Retention that is set says otherwise.
    pub max_consumed_bytes: usize,
    /// Bytes that may wait to be written to one connection before its deliveries pause.
    pub connection_window: usize,
    /// Messages that a consumer of a shared subscription may hold unacknowledged.
    pub max_unacked_per_consumer: u64,
    /// Messages that all consumers of a shared subscription may hold unacknowledged.
    pub max_unacked_per_subscription: u64,
    /// Whether key-shared subscriptions divide the hashes of keys by halves and not on a ring: Pulsar's
    /// `subscriptionKeySharedUseConsistentHashing=false`.
    pub key_shared_by_halves: bool,
    /// Whether there are transactions.
    pub transactions: bool,
    /// Transaction coordinators: what clients find as partitions of the topic by which they look
    /// for them.
    pub transaction_coordinators: u32,
    /// Transactions that may be open at a time.
    pub max_transactions: usize,
    /// Topics that may exist at a time.
    pub max_topics: usize,
    /// What admin calls change while it runs.
    pub limits: Limits,
    /// Who may connect and do what; `None` lets everybody in.
    pub access: Option<Arc<Access>>,
    /// For tests of clients: lookups that are not authoritative are redirected there.
    pub redirect_lookups: Option<String>,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            cluster: "standalone".to_owned(),
            service_url: "pulsar://localhost:6650".to_owned(),
            service_url_tls: None,
            admin_url: None,
            admin_url_tls: None,
            advertised_listeners: Vec::new(),
            more_brokers: Vec::new(),
            max_message_size: DEFAULT_MAX_MESSAGE_SIZE,
            auto_create_topics: true,
            default_partitions: 0,
            batch_index_ack: true,
            deduplication: false,
            entry_metadata: true,
            keep_alive: Duration::from_secs(30),
            liveness_timeout: Duration::from_secs(5),
            failover_delay: Duration::from_secs(1),
            upkeep_interval: Duration::from_secs(60),
            prompt_expiry: false,
            max_stored_bytes: 1 << 30,
            max_consumed_bytes: 16 << 20,
            connection_window: 1 << 20,
            max_unacked_per_consumer: 50_000,
            max_unacked_per_subscription: 200_000,
            key_shared_by_halves: false,
            transactions: true,
            transaction_coordinators: 16,
            max_transactions: 100_000,
            max_topics: 100_000,
            limits: Limits::default(),
            access: None,
            redirect_lookups: None,
        }
    }
}

impl BrokerConfig {
    /// Whether lookups may name that listener; those that name none give `None`.
    pub(crate) fn advertises(&self, name: Option<&str>) -> bool {
        name.is_none_or(|name| self.advertised_listeners.iter().any(|listener| listener.name == name))
    }

    /// Where a broker is for those who named a listener.
    pub(crate) fn advertised(&self, node: Node, name: Option<&str>) -> Node {
        match self.advertised_listeners.iter().find(|listener| Some(listener.name.as_str()) == name) {
            Some(listener) => listener.leads_to(node),
            None => node,
        }
    }

    /// Partitions of topics that are made on demand; 0 makes them without partitions.
    pub(crate) fn partitions(&self) -> u32 {
        match self.limits.partitioned.unwrap_or(self.default_partitions > 0) {
            true => self.limits.default_partitions.unwrap_or(self.default_partitions).max(1),
            false => 0,
        }
    }
}
