//! Finding topics: partitions, who serves them, which there are, and watching for new ones.

use pulsewire_proto::wire::{
    CommandGetTopicsOfNamespace, CommandGetTopicsOfNamespaceResponse, CommandLookupTopic,
    CommandLookupTopicResponse, CommandPartitionedTopicMetadata, CommandPartitionedTopicMetadataResponse,
    CommandWatchTopicList, CommandWatchTopicListClose, CommandWatchTopicListSuccess, CommandWatchTopicUpdate,
    LookupResult, PartitionedMetadataResult, ServerError, TopicsMode, crc32c,
};
use regex_lite::Regex;

use super::Broker;
use super::bundles::Served;
use super::error::{DisconnectReason, Refusal};
use super::ids::ConnId;
use super::listeners::Node;
use super::names::{TopicName, parse_namespace};
use super::notes::Note;
use super::time::Now;

/// The longest pattern that is compiled.
const MAX_PATTERN: usize = 50;

/// Watchers that a connection may have.
const MAX_WATCHERS: usize = 1000;

/// Somebody who wants to know of new topics.
#[derive(Debug)]
pub(super) struct Watcher {
    namespace: String,
    pattern: Regex,
}

impl Broker {
    pub(super) fn partitioned_metadata(&mut self, id: ConnId, c: &CommandPartitionedTopicMetadata) {
        let create = c.metadata_auto_creation_enabled.unwrap_or(true);
        let mut response = CommandPartitionedTopicMetadataResponse {
            request_id: c.request_id,
            ..CommandPartitionedTopicMetadataResponse::default()
        };
        match self.find_partitions(&c.topic, create) {
            Ok(partitions) => {
                self.note(|_| Note::Partitions { id, topic: c.topic.clone(), count: partitions });
                response.partitions = Some(partitions);
                response.response = Some(PartitionedMetadataResult::SUCCESS);
            }
            Err(refusal) => {
                let why = if refusal.message.is_empty() { "not found" } else { &refusal.message };
                self.note(|_| Note::Refused { id, why: format!("partitions of {}: {why}", c.topic) });
                response.response = Some(PartitionedMetadataResult::FAILED);
                response.error = Some(refusal.error);
                response.message = Some(refusal.message);
            }
        }
        self.reply(id, response);
    }

    pub(super) fn find_partitions(&mut self, topic: &str, create: bool) -> Result<u32, Refusal> {
        let name = TopicName::parse(topic)
            .map_err(|message| Refusal::new(ServerError::INVALID_TOPIC_NAME, message))?;
        if let Some(count) = self.topics.partitions(&name) {
            return Ok(count);
        }
        if let Some(count) = self.coordinators_of(&name) {
            return Ok(count);
        }
        if self.topics.key(&name.to_string()).is_some() {
            return Ok(0);
        }
        self.has_namespace(&name)?;
        let whole = name.partition().and_then(|index| Some((index, self.topics.partitions(&name.base())?)));
        let beyond = whole.is_some_and(|(index, count)| index >= count);
        let (allowed, count) = self.topics.auto_creation(&name, &self.config);
        if beyond || !create || !allowed {
            return Err(Refusal::new(ServerError::TOPIC_NOT_FOUND, ""));
        }
        if name.partition().is_some() {
            return Ok(0);
        }
        if count > 0 {
            self.topics.set_partitions(&name, count, &self.config)?;
        }
        Ok(count)
    }

    pub(super) fn has_namespace(&self, name: &TopicName) -> Result<(), Refusal> {
        // That of the coordinators is there without having been made, and so are those with a cluster.
        let unmade = name.is_in_unmade_namespace() || self.coordinators_of(&name.base()).is_some();
        match unmade || self.topics.namespaces.contains_key(&name.namespace_name()) {
            true => Ok(()),
            false => Err(Refusal::new(ServerError::TOPIC_NOT_FOUND, "Namespace not found")),
        }
    }

    /// Whether the namespace of a topic is there.
    pub(crate) fn is_in_namespace(&self, name: &TopicName) -> bool {
        self.has_namespace(name).is_ok()
    }

    pub(super) fn lookup(&mut self, id: ConnId, c: &CommandLookupTopic) {
        let mut response =
            CommandLookupTopicResponse { request_id: c.request_id, ..CommandLookupTopicResponse::default() };
        let listener = c.advertised_listener_name.as_deref().filter(|name| !name.is_empty());
        match TopicName::parse(&c.topic) {
            Err(message) => {
                response.response = Some(LookupResult::FAILED);
                response.error = Some(ServerError::INVALID_TOPIC_NAME);
                response.message = Some(message);
            }
            Ok(_) if !self.config.advertises(listener) => {
                let name = listener.unwrap_or_default();
                response.response = Some(LookupResult::FAILED);
                response.error = Some(ServerError::SERVICE_NOT_READY);
                response.message = Some(format!("the broker do not have {name} listener"));
            }
            Ok(name) if self.has_namespace(&name).is_err() => {
                response.response = Some(LookupResult::FAILED);
                response.error = Some(ServerError::TOPIC_NOT_FOUND);
                response.message = Some("Namespace not found".to_owned());
            }
            Ok(name) => {
                let authoritative = c.authoritative.unwrap_or(false);
                let elsewhere = self.config.redirect_lookups.clone().filter(|_| !authoritative);
                let here = self.conns.get(id).map_or(0, |conn| conn.broker);
                let (result, node, authoritative) = match (elsewhere, self.serves(&name, here, authoritative))
                {
                    (Some(url), _) => {
                        (LookupResult::REDIRECT, Node { service_url: url, ..self.config.node(0) }, true)
                    }
                    (None, Served::By(broker)) => (LookupResult::CONNECT, self.config.node(broker), true),
                    (None, Served::Ask(broker, takes)) => {
                        (LookupResult::REDIRECT, self.config.node(broker), takes)
                    }
                };
                let node = self.config.advertised(node, listener);
                response.response = Some(result);
                self.note(|_| Note::LookedUp {
                    id,
                    topic: name.to_string(),
                    url: node.service_url.clone(),
                    redirected: result == LookupResult::REDIRECT,
                });
                (response.broker_service_url, response.broker_service_url_tls) = node.service_urls();
                response.authoritative = Some(authoritative);
                // As a standalone Pulsar says: whatever name the client knows us by is good.
                let alone = self.config.redirect_lookups.is_none() && self.config.brokers() == 1;
                response.proxy_through_service_url = Some(alone);
            }
        }
        if response.error.is_some() {
            let why = response.message.as_deref().unwrap_or_default();
            self.note(|_| Note::Refused { id, why: format!("lookup of {}: {why}", c.topic) });
        }
        self.reply(id, response);
    }

    pub(super) fn topics_of_namespace(&mut self, id: ConnId, c: &CommandGetTopicsOfNamespace, now: Now) {
        if parse_namespace(&c.namespace).is_none() {
            let what = format!("GET_TOPICS_OF_NAMESPACE of {:?}", c.namespace);
            return self.cut(id, DisconnectReason::Protocol(what), now);
        }
        let mode = c.mode.unwrap_or(TopicsMode::PERSISTENT);
        let mut topics = Vec::new();
        if mode != TopicsMode::NON_PERSISTENT {
            topics.extend(self.topics.of_namespace(&c.namespace, true).cloned());
        }
        if mode != TopicsMode::PERSISTENT {
            topics.extend(self.topics.listed_of(&c.namespace, false).cloned());
        }
        let short = c.topics_pattern.as_deref().filter(|pattern| pattern.len() <= MAX_PATTERN);
        let pattern = match short.map(compile) {
            None | Some(Err(BadPattern::TooLong | BadPattern::NotHere)) => None,
            Some(Ok(pattern)) => Some(pattern),
            Some(Err(BadPattern::Wrong(why))) => {
                let message = format!("java.util.regex.PatternSyntaxException: {why}");
                return self.refuse(id, c.request_id, Refusal::new(ServerError::METADATA_ERROR, message));
            }
        };
        if let Some(pattern) = &pattern {
            topics.retain(|topic| matches(pattern, topic));
        }
        let hash = topics_hash(&topics);
        let changed = c.topics_hash.as_ref() != Some(&hash);
        if !changed {
            topics.clear();
        }
        self.reply(
            id,
            CommandGetTopicsOfNamespaceResponse {
                request_id: c.request_id,
                topics,
                filtered: Some(pattern.is_some()),
                topics_hash: Some(hash),
                changed: Some(changed),
            },
        );
    }

    pub(super) fn watch_topics(&mut self, id: ConnId, c: CommandWatchTopicList, now: Now) {
        if parse_namespace(&c.namespace).is_none() {
            let what = format!("WATCH_TOPIC_LIST of {:?}", c.namespace);
            return self.cut(id, DisconnectReason::Protocol(what), now);
        }
        if self.conns.get(id).is_some_and(|conn| conn.watchers.len() >= MAX_WATCHERS) {
            let message = "Too many watchers on this connection";
            return self.refuse(id, c.request_id, Refusal::new(ServerError::TOO_MANY_REQUESTS, message));
        }
        let pattern = match compile(&c.topics_pattern) {
            Ok(pattern) => pattern,
            Err(bad) => {
                let none = "Unable to create topic list watcher";
                let refusal = match bad {
                    BadPattern::TooLong => {
                        Refusal::not_allowed(format!("{none}: Pattern longer than maximum: {MAX_PATTERN}"))
                    }
                    BadPattern::NotHere => Refusal::not_allowed(format!(
                        "{none}: this broker does not know all that Java's patterns can say"
                    )),
                    BadPattern::Wrong(why) => {
                        let message = format!("Invalid topics pattern: {why}");
                        Refusal::new(ServerError::INVALID_TOPIC_NAME, message)
                    }
                };
                return self.refuse(id, c.request_id, refusal);
            }
        };
        let watcher = Watcher { namespace: c.namespace, pattern };
        let (mut topic, topics_hash) = self.watched(&watcher);
        if c.topics_hash.as_ref() == Some(&topics_hash) {
            topic.clear();
        }
        if let Some(conn) = self.conns.get_mut(id) {
            conn.watchers.insert(c.watcher_id, watcher);
            self.watching.insert((id, c.watcher_id));
        }
        self.reply(
            id,
            CommandWatchTopicListSuccess {
                request_id: c.request_id,
                watcher_id: c.watcher_id,
                topic,
                topics_hash,
            },
        );
    }

    pub(super) fn unwatch_topics(&mut self, id: ConnId, c: &CommandWatchTopicListClose) {
        self.watching.remove(&(id, c.watcher_id));
        if let Some(conn) = self.conns.out(id) {
            conn.watchers.remove(&c.watcher_id);
            conn.success(c.request_id);
        }
    }

    fn watched(&self, watcher: &Watcher) -> (Vec<String>, String) {
        let all = self.topics.of_namespace(&watcher.namespace, true);
        let topics: Vec<String> = all.filter(|name| matches(&watcher.pattern, name)).cloned().collect();
        let hash = topics_hash(&topics);
        (topics, hash)
    }

    /// Tells watchers what came and went.
    pub(super) fn tell_watchers(&mut self) {
        let changes = std::mem::take(&mut self.topics.changes);
        if changes.is_empty() || self.watching.is_empty() {
            return;
        }
        for (id, watcher_id) in self.watching.clone() {
            let Some(watcher) = self.conns.get(id).and_then(|conn| conn.watchers.get(&watcher_id)) else {
                continue;
            };
            let mut update = CommandWatchTopicUpdate { watcher_id, ..CommandWatchTopicUpdate::default() };
            for change in &changes {
                let name = change.name.to_string();
                let seen = change.name.persistent && change.name.namespace_name() == watcher.namespace;
                if seen && matches(&watcher.pattern, &name) {
                    let list =
                        if change.created { &mut update.new_topics } else { &mut update.deleted_topics };
                    list.push(name);
                }
            }
            if !update.new_topics.is_empty() || !update.deleted_topics.is_empty() {
                update.topics_hash = self.watched(watcher).1;
                self.reply(id, update);
            }
        }
    }
}

/// Why a pattern is not compiled.
enum BadPattern {
    TooLong,
    /// Right in Java, perhaps, but not understood here. Clients filter again by themselves.
    NotHere,
    Wrong(String),
}

/// Compiles a pattern of topic names. Patterns are matched against names without their domain, and only then are
/// they too long.
fn compile(pattern: &str) -> Result<Regex, BadPattern> {
    let (start, pattern) = pattern.split_at(usize::from(pattern.starts_with('^')));
    let pattern = pattern.split_once("://").map_or(pattern, |(_, rest)| rest);
    if start.len() + pattern.len() > MAX_PATTERN {
        return Err(BadPattern::TooLong);
    }
    Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
        if ["(?=", "(?!", "(?<", "(?>", "\\", "++", "*+", "?+", "&&"]
            .iter()
            .any(|java| pattern.contains(java))
        {
            BadPattern::NotHere
        } else {
            BadPattern::Wrong(error.to_string())
        }
    })
}

/// A partition matches when its partitioned topic does.
fn matches(pattern: &Regex, topic: &str) -> bool {
    let name = topic.split_once("://").map_or(topic, |(_, rest)| rest);
    let whole = name.rsplit_once("-partition-").filter(|(_, index)| index.parse::<u32>().is_ok());
    pattern.is_match(whole.map_or(name, |(name, _)| name))
}

/// The hash of a list of topics that clients compare: CRC32-C of the sorted names, joined by commas.
fn topics_hash(topics: &[String]) -> String {
    let mut sorted: Vec<&str> = topics.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    crc32c(&[sorted.join(",").as_bytes()]).to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
