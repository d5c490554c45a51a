//! All topics, and the tenants, namespaces and partitioned topics that they belong to.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use serde_json::Value;

use super::access::Grants;
use super::compaction::{Compacted, CompactionStats};
use super::config::BrokerConfig;
use super::error::Refusal;
use super::ids::TopicKey;
use super::keeping::{Touched, kind};
use super::names::TopicName;
use super::policies::{Policies, Rules, everywhere};
use super::subscription::Subscription;
use super::time::Now;
use super::topic::{Elsewhere, Topic};

/// Where the ledgers of topics begin: in a new Apache Pulsar, those before belong to topics of its own, so an id
/// of one of these is before all that a topic has.
const FIRST_LEDGER: u64 = 7;

/// Milliseconds of a topic's entries that are forgotten together when memory is short.
const GRAIN: u64 = 1000;

/// A topic that came or went.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) name: TopicName,
    pub(super) created: bool,
}

/// A topic with partitions; these are topics of their own.
#[derive(Debug, Default)]
pub(super) struct Partitioned {
    pub(super) count: u32,
    pub(super) properties: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
pub(super) struct Topics {
    map: BTreeMap<TopicKey, Topic>,
    names: BTreeMap<String, TopicKey>,
    /// Partitioned topics: how many partitions.
    partitioned: BTreeMap<String, Partitioned>,
    pub(super) tenants: BTreeSet<String>,
    /// Clusters that tenants may use, where that was said.
    pub(super) tenant_clusters: BTreeMap<String, BTreeSet<String>>,
    /// Clusters that were made known, and what was said of them.
    pub(super) clusters: BTreeMap<String, String>,
    /// What else was told to the admin API, in JSON.
    pub(super) noted: BTreeMap<String, String>,
    /// Namespaces and their settings.
    pub(super) namespaces: BTreeMap<String, Policies>,
    /// Settings of topics, by the name without the partition.
    pub(super) policies: BTreeMap<String, Policies>,
    /// What roles may do in namespaces and with topics.
    pub(super) grants: BTreeMap<String, Grants>,
    pub(super) tenant_admins: BTreeMap<String, BTreeSet<String>>,
    next_key: u64,
    next_ledger: u64,
    /// Bytes of all logs.
    pub(super) stored: usize,
    /// A message was refused for want of room, and not much was freed since.
    /// How large it was; 0 when there is room.
    refused: usize,
    /// The time when something was last published.
    pub(super) wall_ms: u64,
    /// What may have changed, for a host that keeps it.
    pub(super) touched: Option<Touched>,
    /// What came and went since somebody looked.
    pub(super) changes: Vec<Change>,
}

impl Topics {
    pub(super) fn new() -> Self {
        let mut topics = Self { next_ledger: FIRST_LEDGER, ..Self::default() };
        topics.ensure_namespace("public/default");
        topics.ensure_namespace("pulsar/system");
        topics
    }

    /// Namespaces are made on demand.
    pub(super) fn ensure_namespace(&mut self, name: &str) {
        if !self.namespaces.contains_key(name) {
            self.namespaces.insert(name.to_owned(), Policies::default());
            let tenant = name.split('/').next().unwrap_or_default();
            self.tenants.insert(tenant.to_owned());
            self.touch_name(kind::NAMESPACE, name);
            self.touch_name(kind::TENANT, tenant);
        }
    }

    pub(super) fn get(&self, key: TopicKey) -> Option<&Topic> {
        self.map.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: TopicKey) -> Option<&mut Topic> {
        self.touch(key);
        self.map.get_mut(&key)
    }

    /// All topics; nothing is changed of them that is kept.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Topic> {
        self.map.values_mut()
    }

    /// A topic of which nothing is changed that is kept.
    pub(super) fn untouched(&mut self, key: TopicKey) -> Option<&mut Topic> {
        self.map.get_mut(&key)
    }

    fn touch(&mut self, key: TopicKey) {
        if let Some(touched) = &mut self.touched {
            touched.topics.insert(key);
        }
    }

    /// Something kept by that name may have changed.
    pub(super) fn touch_name(&mut self, kind: u8, name: &str) {
        if let Some(touched) = &mut self.touched {
            touched.names.insert((kind, name.to_owned()));
        }
    }

    /// A topic as it was kept.
    pub(super) fn restore(&mut self, key: TopicKey, topic: Topic) {
        self.next_key = self.next_key.max(key.0.saturating_add(1));
        self.next_ledger = self.next_ledger.max(topic.log.last_ledger().saturating_add(1));
        self.names.insert(topic.name.to_string(), key);
        self.map.insert(key, topic);
    }

    pub(super) fn restore_partitions(&mut self, name: String, partitioned: Partitioned) {
        self.partitioned.insert(name, partitioned);
    }

    pub(super) fn partitioned(&self, name: &str) -> Option<&Partitioned> {
        self.partitioned.get(name)
    }

    /// The properties of a topic, or of a partitioned one, to be changed.
    pub(super) fn properties_mut(&mut self, name: &TopicName) -> Option<&mut BTreeMap<String, String>> {
        let text = name.to_string();
        if self.partitioned.contains_key(&text) {
            self.touch_name(kind::PARTITIONED, &text);
            return self.partitioned.get_mut(&text).map(|partitioned| &mut partitioned.properties);
        }
        self.get_mut(self.key(&text)?).map(|topic| &mut topic.properties)
    }

    pub(super) fn key(&self, name: &str) -> Option<TopicKey> {
        self.names.get(name).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// Partitions of a partitioned topic.
    pub(super) fn partitions(&self, name: &TopicName) -> Option<u32> {
        self.partitioned.get(&name.to_string()).map(|partitioned| partitioned.count)
    }

    /// Whether a topic of that name may be made when it is first used, and with how many partitions.
    pub(super) fn auto_creation(&self, name: &TopicName, config: &BrokerConfig) -> (bool, u32) {
        let limits = &config.limits;
        let own =
            self.namespaces.get(&name.namespace_name()).and_then(|policies| policies.auto_topic_creation);
        let (allowed, partitions) = match own {
            Some(creation) => (creation.allowed, creation.partitions.unwrap_or(0)),
            None => (limits.auto_create_topics.unwrap_or(config.auto_create_topics), config.partitions()),
        };
        (allowed, if limits.max_partitions > 0 { partitions.min(limits.max_partitions) } else { partitions })
    }

    /// Whether a topic of that name may come into being alone: a partition without storage may not, before
    /// its partitioned topic is there.
    pub(super) fn may_be_alone(&self, name: &TopicName) -> bool {
        name.persistent || name.partition().is_none() || self.partitions(&name.base()).is_some()
    }

    /// Topics that somebody has to look after.
    pub(super) fn with_upkeep(&self) -> Vec<TopicKey> {
        self.map.iter().filter(|(_, topic)| topic.rules.need_upkeep()).map(|(key, _)| *key).collect()
    }

    /// The topic of that name; makes it if it may.
    pub(super) fn resolve(
        &mut self,
        name: &TopicName,
        create: bool,
        config: &BrokerConfig,
    ) -> Result<TopicKey, Refusal> {
        let full = name.to_string();
        if let Some(key) = self.key(&full) {
            return Ok(key);
        }
        if let Some(index) = name.partition()
            && let Some(count) = self.partitions(&name.base())
            && index >= count
        {
            return Err(Refusal::topic_not_found(&full));
        }
        if !create {
            return Err(Refusal::topic_not_found(&full));
        }
        if name.is_of_transactions() {
            return Err(Refusal::not_allowed(format!("Can not create transaction system topic {full}")));
        }
        self.create(name, config)
    }

    pub(super) fn create(&mut self, name: &TopicName, config: &BrokerConfig) -> Result<TopicKey, Refusal> {
        if self.map.len() >= config.max_topics {
            return Err(Refusal::not_allowed("Exceed maximum number of topics in namespace."));
        }
        let namespace = name.namespace_name();
        let most =
            self.namespaces.get(&namespace).and_then(|policies| policies.number("maxTopicsPerNamespace"));
        let most = most.unwrap_or(i64::try_from(config.limits.max_topics_per_namespace).unwrap_or(0));
        if let Some(most) = usize::try_from(most).ok().filter(|most| *most > 0) {
            let there = |persistent| self.of_namespace(&namespace, persistent).count();
            if there(true) + there(false) >= most {
                return Err(Refusal::not_allowed("Exceed maximum number of topics in namespace."));
            }
        }
        if !name.has_cluster() {
            self.ensure_namespace(&namespace);
        }
        let key = TopicKey(self.next_key);
        self.next_key += 1;
        let ledger = self.next_ledger;
        self.next_ledger += 1;
        self.names.insert(name.to_string(), key);
        let moved = self.moved_to(&config.cluster).filter(|_| name.persistent);
        let mut topic = Topic::new(name.clone(), ledger);
        topic.moved = moved;
        self.map.insert(key, topic);
        self.changes.push(Change { name: name.clone(), created: true });
        self.touch(key);
        self.apply_policies(key, config);
        Ok(key)
    }

    /// Makes a partitioned topic with all its partitions, or adds partitions to it.
    pub(super) fn set_partitions(
        &mut self,
        name: &TopicName,
        count: u32,
        config: &BrokerConfig,
    ) -> Result<(), Refusal> {
        if self.map.len().saturating_add(count as usize) > config.max_topics {
            return Err(Refusal::not_allowed("Exceed maximum number of topics in namespace."));
        }
        if !name.has_cluster() {
            self.ensure_namespace(&name.namespace_name());
        }
        self.partitioned.entry(name.to_string()).or_default().count = count;
        self.touch_name(kind::PARTITIONED, &name.to_string());
        for index in 0..count {
            self.resolve(&name.with_partition(index), true, config)?;
        }
        Ok(())
    }

    pub(super) fn forget_partitioned(&mut self, name: &TopicName) {
        self.touch_name(kind::PARTITIONED, &name.to_string());
        for settings in [name.to_string(), everywhere(&name.to_string())] {
            self.touch_name(kind::SETTINGS, &settings);
            self.policies.remove(&settings);
        }
        self.partitioned.remove(&name.to_string());
    }

    pub(super) fn remove(&mut self, key: TopicKey) -> Option<Topic> {
        let topic = self.map.remove(&key)?;
        self.touch(key);
        self.names.remove(&topic.name.to_string());
        self.stored -= topic.log.bytes() + topic.compacted.as_ref().map_or(0, Compacted::bytes);
        self.changes.push(Change { name: topic.name.clone(), created: false });
        Some(topic)
    }

    /// What a topic stores from now on belongs to another ledger, as after it moved.
    pub(super) fn roll(&mut self, key: TopicKey, cluster: &str, now: Now) {
        self.touch(key);
        let moved = self.moved_to(cluster);
        if let Some(topic) = self.map.get_mut(&key) {
            topic.moved = moved.filter(|_| topic.name.persistent);
            // What is terminated opens no other, and keeps its last one.
            if !topic.log.terminated {
                topic.log.roll(self.next_ledger);
                self.next_ledger += 1;
            }
            topic.compaction = CompactionStats::default();
            topic.opened_ms = now.wall_ms;
            topic.subs.values_mut().for_each(Subscription::loaded);
            self.stored -= topic.forget_closed(self.wall_ms);
        }
    }

    /// Where a cluster moved to, if it was said that it has.
    fn moved_to(&self, cluster: &str) -> Option<Box<Elsewhere>> {
        let said: Value =
            serde_json::from_str(self.noted.get(&format!("clusters/{cluster}/migrate"))?).ok()?;
        let url = |name: &str| said["migratedClusterUrl"][name].as_str().map(str::to_owned);
        (said["migrated"] == true).then(|| {
            Box::new(Elsewhere { url: url("brokerServiceUrl"), url_tls: url("brokerServiceUrlTls") })
        })
    }

    /// Names of all topics, those with partitions once.
    pub(super) fn all_names(&self) -> Vec<String> {
        let part = |topic: &&Topic| {
            topic.name.partition().is_some_and(|_| self.partitions(&topic.name.base()).is_some())
        };
        let single = self.map.values().filter(|topic| !part(topic)).map(|topic| topic.name.to_string());
        let mut names: Vec<String> = single.chain(self.partitioned.keys().cloned()).collect();
        names.sort_unstable();
        names
    }

    /// Names of the topics of a namespace, partitions one by one, in order.
    pub(super) fn of_namespace(&self, namespace: &str, persistent: bool) -> impl Iterator<Item = &String> {
        let (prefix, own) = (prefix(namespace, persistent), is_own(namespace));
        let within = self.names.range(prefix.clone()..).map(|(name, _)| name);
        let length = prefix.len();
        within.take_while(move |n| n.starts_with(&prefix)).filter(move |n| own(&n[length..]))
    }

    /// The same as the real broker lists them: without partitions that store nothing and that nobody has
    /// used yet.
    pub(super) fn listed_of(&self, namespace: &str, persistent: bool) -> impl Iterator<Item = &String> {
        self.of_namespace(namespace, persistent).filter(move |name| persistent || self.is_used(name))
    }

    /// All that are listed in some namespace.
    pub(super) fn listed(&self) -> impl Iterator<Item = &TopicName> {
        let listed = |topic: &&Topic| topic.name.persistent || self.is_used(&topic.name.to_string());
        self.map.values().filter(listed).map(|topic| &topic.name)
    }

    /// Whether it has been used, or is no partition.
    fn is_used(&self, name: &str) -> bool {
        let topic = self.names.get(name).and_then(|key| self.map.get(key));
        topic.is_none_or(|topic| topic.used || self.partitions(&topic.name.base()).is_none())
    }

    /// Whether a topic has producers or consumers.
    pub(super) fn is_open(&self, name: &str) -> bool {
        let topic = self.names.get(name).and_then(|key| self.map.get(key));
        let read = |topic: &Topic| topic.subs.values().any(|sub| !sub.consumers.is_empty());
        topic.is_some_and(|topic| !topic.producers.is_empty() || read(topic))
    }

    /// Names of the partitioned topics of a namespace, in order.
    pub(super) fn partitioned_of(&self, namespace: &str, persistent: bool) -> impl Iterator<Item = &String> {
        let (prefix, own) = (prefix(namespace, persistent), is_own(namespace));
        let names = self.partitioned.range(prefix.clone()..).map(|(name, _)| name);
        let length = prefix.len();
        names.take_while(move |n| n.starts_with(&prefix)).filter(move |n| own(&n[length..]))
    }

    /// Topics whose names are asked for.
    pub(super) fn keys_where(&self, wanted: impl Fn(&TopicName) -> bool) -> Vec<TopicKey> {
        self.map.iter().filter(|(_, topic)| wanted(&topic.name)).map(|(key, _)| *key).collect()
    }

    /// Tells a topic what holds for it: of its own settings, its namespace's, the broker's.
    pub(super) fn apply_policies(&mut self, key: TopicKey, config: &BrokerConfig) {
        let Some(topic) = self.map.get_mut(&key) else { return };
        let base = topic.name.base().to_string();
        let own = match (self.policies.get(&base), self.policies.get(&everywhere(&base))) {
            (Some(own), Some(wide)) => Some(Cow::Owned(own.or(wide))),
            (own, wide) => own.or(wide).map(Cow::Borrowed),
        };
        let own = own.as_deref();
        let shared = self.namespaces.get(&topic.name.namespace_name());
        topic.rules = Rules::new(own, shared, config);
        topic.log.plain = !config.entry_metadata;
        topic.sub_rates = own.map(Policies::dispatch_rates_of_subscriptions).unwrap_or_default();
        topic.shadowed = own.and_then(|own| own.setting("shadowTopics")).is_some();
        topic.rules.deduplication &= topic.name.persistent;
        if !topic.rules.deduplication {
            topic.sequences.clear();
        }
    }

    /// Makes room for `bytes`, and some more: forgets what is consumed. False when that is not enough.
    pub(super) fn make_room(&mut self, bytes: usize, limit: usize) -> bool {
        if self.stored.saturating_add(bytes) > limit {
            self.forget_consumed(limit.saturating_sub(bytes.max(limit / 16)));
            let fits = self.stored.saturating_add(bytes) <= limit;
            self.refused = if fits { 0 } else { bytes };
        }
        self.stored.saturating_add(bytes) <= limit
    }

    /// Whether new producers have to wait for room: one that was refused must not come back at once
    /// to be refused again.
    pub(super) fn is_full(&mut self, limit: usize) -> bool {
        if self.refused > 0 {
            let room = self.refused.max(limit / 16);
            self.forget_consumed(limit.saturating_sub(room));
            if self.stored.saturating_add(room) <= limit {
                self.refused = 0;
            }
        }
        self.refused > 0
    }

    /// Forgets what all subscriptions have acknowledged and the topic's own retention does not keep. A topic
    /// that says nothing of retention keeps it until memory is short.
    pub(super) fn forget_beyond_retention(&mut self, key: TopicKey, now: Now) {
        let Some(topic) = self.map.get_mut(&key).filter(|topic| topic.rules.retention.is_some()) else {
            return;
        };
        let freed = topic.log.trim(topic.done_with(now.wall_ms));
        self.stored -= freed;
        if freed > 0 {
            self.touch(key);
        }
    }

    /// Forgets what is consumed until no more than `keep` bytes are stored: the oldest first, and what nobody could
    /// consume yet, as there is no subscription, last of all.
    fn forget_consumed(&mut self, keep: usize) {
        let mut oldest = BinaryHeap::new();
        for (key, topic) in &self.map {
            let below = topic.consumed().min(topic.retained(self.wall_ms));
            if topic.log.first() < below
                && let Some(first) = topic.log.get(topic.log.first())
            {
                oldest.push(Reverse((topic.subs.is_empty(), first.timestamp, *key, below)));
            }
        }
        while self.stored > keep
            && let Some(Reverse((unused, since, key, below))) = oldest.pop()
        {
            let Some(topic) = self.map.get_mut(&key) else { continue };
            let freed = topic.log.trim_until(below, since.saturating_add(GRAIN), self.stored - keep);
            self.stored -= freed;
            if topic.log.first() < below
                && let Some(first) = topic.log.get(topic.log.first())
            {
                oldest.push(Reverse((unused, first.timestamp, key, below)));
            }
            if let Some(touched) = self.touched.as_mut().filter(|_| freed > 0) {
                touched.topics.insert(key);
            }
        }
    }
}

/// Whether what follows the prefix is a topic of the namespace itself, and not of one that has its name for
/// a cluster.
fn is_own(namespace: &str) -> impl Fn(&str) -> bool + use<> {
    let clustered = namespace.matches('/').count() > 1;
    move |local| clustered || !local.contains('/')
}

fn prefix(namespace: &str, persistent: bool) -> String {
    format!("{}://{namespace}/", if persistent { "persistent" } else { "non-persistent" })
}
