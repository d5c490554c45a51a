//! The topics whose names match a pattern, as they come and go.
//!
//! ```text
//!          listed              watching (where the broker can, for persistent topics)
//! Unwatched ------> Unwatched --------> Asked ------> Watching --update--> topics added, removed
//!     ^                                   |              |
//!     +------------ connection lost, refused ------------+      and listed anew
//! ```
//!
//! Listing goes on from time to time beside the watcher, as in Java: what one misses the other
//! finds. Both carry the hash of what is known, so that nothing is told twice; a hash that differs
//! after an update has topics listed anew at once.

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind, Quoted};
use crate::ids::ConnId;
use crate::topic::{TopicName, check_namespace};
use crate::wire::TopicsMode;

/// Which of the topics that match a pattern are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegexSubscriptionMode {
    /// Persistent ones. The default, as in Java.
    #[default]
    PersistentOnly,
    /// Non-persistent ones.
    NonPersistentOnly,
    /// Both.
    AllTopics,
}

/// A regular expression for the names of topics in one namespace.
///
/// It has the form of a topic's name, `persistent://tenant/namespace/expression`, and is completed as a
/// name is. Tenant and namespace are taken literally, and the expression must match all that follows
/// them; the number of a partition is no part of it, as in Java.
///
/// ```
/// use pulsewire_proto::TopicsPattern;
/// let pattern = TopicsPattern::parse("orders-.*").unwrap();
/// assert!(pattern.matches("persistent://public/default/orders-eu-partition-3"));
/// assert!(!pattern.matches("persistent://public/default/my-orders-eu"));
/// ```
#[derive(Debug, Clone)]
pub struct TopicsPattern {
    namespace: String,
    expression: String,
    regex: Regex,
}

#[cfg(feature = "many")]
type Regex = regex_lite::Regex;
#[cfg(not(feature = "many"))]
type Regex = std::convert::Infallible;

#[cfg(feature = "many")]
fn compile(expression: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?:{expression})$")).map_err(|error| error.to_string())
}

#[cfg(not(feature = "many"))]
fn compile(_: &str) -> Result<Regex, String> {
    Err("patterns are left out of this build".to_owned())
}

impl TopicsPattern {
    /// Parses and completes a pattern.
    ///
    /// # Errors
    /// `InvalidTopicName` when the namespace is not one; `InvalidOption` when the expression is not one.
    /// Look-around and back references, which Java's have, are not understood.
    pub fn parse(pattern: &str) -> Result<Self, Error> {
        let rest = match pattern.split_once("://") {
            Some(("persistent" | "non-persistent", rest)) => rest,
            _ => pattern,
        };
        let parts: Vec<&str> = rest.splitn(3, '/').collect();
        let (namespace, expression) = match parts[..] {
            [tenant, namespace, expression] => (format!("{tenant}/{namespace}"), expression),
            _ => ("public/default".to_owned(), rest),
        };
        check_namespace(&namespace)?;
        let regex = compile(expression).map_err(|why| {
            let why = format!("{} is not a pattern: {why}", Quoted(pattern));
            Error::new(ErrorKind::InvalidOption, why)
        })?;
        Ok(Self { namespace, expression: expression.to_owned(), regex })
    }

    /// `tenant/namespace`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether the full name of a topic, or of one of its partitions, matches.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        let Ok(topic) = TopicName::parse(topic) else { return false };
        let local = topic.base().rsplit_once('/').map_or("", |(_, local)| local);
        topic.namespace() == self.namespace && !is_internal(local) && self.regex_matches(local)
    }

    #[cfg(feature = "many")]
    fn regex_matches(&self, local: &str) -> bool {
        self.regex.is_match(local)
    }

    #[cfg(not(feature = "many"))]
    fn regex_matches(&self, _: &str) -> bool {
        match self.regex {}
    }

    /// As brokers are told it.
    pub(crate) fn to_wire(&self) -> String {
        let Self { namespace, expression, .. } = self;
        if expression.contains('|') {
            return format!("persistent://{namespace}/(?:{expression})");
        }
        format!("persistent://{namespace}/{expression}")
    }
}

/// Topics that brokers keep for themselves, as Java knows them.
fn is_internal(local: &str) -> bool {
    const NAMES: [&str; 4] = [
        "__change_events",
        "__transaction_buffer_snapshot",
        "__transaction_buffer_snapshot_indexes",
        "__transaction_buffer_snapshot_segments",
    ];
    NAMES.contains(&local)
        || local.starts_with("__transaction_log_")
        || local == "transaction_coordinator_assign"
        || local.ends_with("__transaction_pending_ack")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watcher {
    Unwatched,
    Asked(ConnId),
    Watching(ConnId),
}

impl Watcher {
    pub(crate) fn conn(self) -> Option<ConnId> {
        match self {
            Self::Unwatched => None,
            Self::Asked(conn) | Self::Watching(conn) => Some(conn),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) pattern: TopicsPattern,
    pub(crate) mode: RegexSubscriptionMode,
    pub(crate) watcher: Watcher,
    /// A listing is under way.
    pub(crate) listing: bool,
    /// Names that match, as the broker has them: partitions one by one.
    known: BTreeSet<String>,
}

impl Pattern {
    pub(crate) fn new(pattern: TopicsPattern, mode: RegexSubscriptionMode) -> Self {
        Self { pattern, mode, watcher: Watcher::Unwatched, listing: false, known: BTreeSet::new() }
    }

    pub(crate) fn wire_mode(&self) -> TopicsMode {
        match self.mode {
            RegexSubscriptionMode::PersistentOnly => TopicsMode::PERSISTENT,
            RegexSubscriptionMode::NonPersistentOnly => TopicsMode::NON_PERSISTENT,
            RegexSubscriptionMode::AllTopics => TopicsMode::ALL,
        }
    }

    /// Only those are watched, as in Java.
    pub(crate) fn can_be_watched(&self) -> bool {
        self.mode == RegexSubscriptionMode::PersistentOnly
    }

    fn wanted(&self, name: &str) -> bool {
        let persistent = name.starts_with("persistent://");
        let domain = match self.mode {
            RegexSubscriptionMode::PersistentOnly => persistent,
            RegexSubscriptionMode::NonPersistentOnly => !persistent,
            RegexSubscriptionMode::AllTopics => true,
        };
        domain && self.pattern.matches(name)
    }

    /// These are all.
    pub(crate) fn listed(&mut self, names: Vec<String>) {
        self.known = names.into_iter().filter(|name| self.wanted(name)).collect();
    }

    /// These came and went.
    pub(crate) fn updated(&mut self, new: Vec<String>, deleted: &[String]) {
        for name in deleted {
            self.known.remove(name);
        }
        for name in new.into_iter().filter(|name| self.wanted(name)).collect::<Vec<_>>() {
            self.known.insert(name);
        }
    }

    /// The hash of what is known, as brokers make it: CRC32C of the names in order, its bytes as hex.
    pub(crate) fn hash(&self) -> String {
        let mut crc = 0;
        for (at, name) in self.known.iter().enumerate() {
            if at > 0 {
                crc = crc32c::crc32c_append(crc, b",");
            }
            crc = crc32c::crc32c_append(crc, name.as_bytes());
        }
        crc.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The topics: those with partitions once.
    pub(crate) fn topics(&self) -> BTreeSet<TopicName> {
        self.known.iter().filter_map(|name| TopicName::parse(name).ok()).map(|name| name.whole()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(pattern: &str) -> Pattern {
        let pattern = TopicsPattern::parse(pattern).expect("a pattern");
        Pattern::new(pattern, RegexSubscriptionMode::PersistentOnly)
    }

    #[test]
    fn m02_the_hash_is_what_the_broker_makes() {
        // By org.apache.pulsar.common.topics.TopicList.calculateHash.
        let mut known = pattern(".*");
        assert_eq!(known.hash(), "00000000");
        known.listed(["b", "a"].map(|name| format!("persistent://public/default/{name}")).to_vec());
        assert_eq!(known.hash(), "c7559e98");
    }

    #[test]
    fn m02_names_match_whole_and_without_their_partition() {
        let all = |local: &[&str]| local.iter().map(|l| format!("persistent://t/n/{l}")).collect::<Vec<_>>();
        let mut known = pattern("persistent://t/n/a|b.c");
        let names = ["a", "aa", "b-c", "b.c-partition-0", "b.c-partition-1", "__change_events"];
        known.listed(all(&names));
        known.updated(vec!["non-persistent://t/n/a".to_owned(), "persistent://t/m/a".to_owned()], &[]);
        let found: Vec<String> = known.topics().iter().map(ToString::to_string).collect();
        assert_eq!(found, all(&["a", "b-c", "b.c"]));
        known.updated(all(&["b4c"]), &all(&["b.c-partition-1", "a"]));
        let found: Vec<String> = known.topics().iter().map(ToString::to_string).collect();
        assert_eq!(found, all(&["b-c", "b.c", "b4c"]));
        assert_eq!(known.pattern.to_wire(), "persistent://t/n/(?:a|b.c)");
    }

    #[test]
    fn m02_what_is_no_pattern_is_refused_with_the_reason() {
        for (pattern, kind) in [
            ("persistent://t/n/(", ErrorKind::InvalidOption),
            ("a(?=b)", ErrorKind::InvalidOption),
            (".*/n/a", ErrorKind::InvalidTopicName),
        ] {
            assert_eq!(TopicsPattern::parse(pattern).map(drop).map_err(|e| e.kind()), Err(kind), "{pattern}");
        }
    }
}
