//! What a token or a page may do: which topics it may produce to and consume from.
//!
//! The first rule that fits the connection's origin and subject holds; where there are rules and none fits, the
//! connection is turned away. What a rule lets through is decided frame by frame in [`crate::filter`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::brokers::glob;
use crate::error::{ConfigError, Problem};
use crate::origin::Origin;

/// Topics that some clients are narrowed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Narrow {
    /// Origins that it is for; any, and none at all, when empty.
    pub origins: Vec<Origin>,
    /// Subjects of tokens that it is for, `*` standing for any characters; any, and no token at all, when empty.
    pub subjects: Vec<String>,
    /// Topics that may be produced to. None when empty.
    pub produce: Vec<TopicPattern>,
    /// Topics that may be consumed from, by consumers and readers. None when empty.
    pub consume: Vec<TopicPattern>,
}

/// Topics: `persistent://tenant/namespace/name`, in which `*` stands for any characters but `/`. As with topics
/// themselves, `persistent://` may be left out, and with it `public/default/`. A topic's partitions belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPattern {
    persistent: bool,
    tenant: String,
    namespace: String,
    name: String,
}

/// A text is no [`TopicPattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicPatternError;

impl fmt::Display for TopicPatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a topic as persistent://tenant/namespace/name, with * for parts of it")
    }
}

impl std::error::Error for TopicPatternError {}

/// Domain, tenant, namespace and name, with what may be left out. `None` for names that are none, and for those of
/// Pulsar 1, which have a cluster as a fourth part: they mean another namespace than they seem to.
fn parts(topic: &str) -> Option<(bool, &str, &str, &str)> {
    let (persistent, rest) = match topic.split_once("://") {
        Some(("persistent", rest)) => (true, rest),
        Some(("non-persistent", rest)) => (false, rest),
        Some(_) => return None,
        None => match topic.split('/').count() {
            1 => return (!topic.is_empty()).then_some((true, "public", "default", topic)),
            _ => (true, topic),
        },
    };
    let mut parts = rest.split('/');
    let (Some(tenant), Some(namespace), Some(name), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let whole = [tenant, namespace, name].iter().all(|part| !part.is_empty());
    whole.then_some((persistent, tenant, namespace, name))
}

impl FromStr for TopicPattern {
    type Err = TopicPatternError;

    fn from_str(text: &str) -> Result<Self, TopicPatternError> {
        let (persistent, tenant, namespace, name) = parts(text).ok_or(TopicPatternError)?;
        let own = str::to_owned;
        Ok(TopicPattern { persistent, tenant: own(tenant), namespace: own(namespace), name: own(name) })
    }
}

impl TopicPattern {
    fn matches(&self, topic: &str) -> bool {
        let Some((persistent, tenant, namespace, name)) = parts(topic) else { return false };
        self.persistent == persistent
            && glob(&self.tenant, tenant)
            && glob(&self.namespace, namespace)
            && (glob(&self.name, name) || whole_of(name).is_some_and(|whole| glob(&self.name, whole)))
    }

    /// Whether topics of a namespace, persistent ones or others, are among these, and whether all are.
    fn lists(&self, namespace: &str, persistent: bool) -> Listed {
        let within = namespace.split_once('/').is_some_and(|(tenant, namespace)| {
            !namespace.contains('/') && glob(&self.tenant, tenant) && glob(&self.namespace, namespace)
        });
        match within && self.persistent == persistent {
            false => Listed::No,
            true if self.name == "*" => Listed::Whole,
            true => Listed::Partly,
        }
    }
}

/// Of a partition's name, that of the topic.
fn whole_of(name: &str) -> Option<&str> {
    let (whole, number) = name.rsplit_once("-partition-")?;
    (!number.is_empty() && number.bytes().all(|c| c.is_ascii_digit())).then_some(whole)
}

/// Which topics of a namespace may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Listed {
    No,
    /// Some, perhaps: they have to be looked at one by one.
    Partly,
    Whole,
}

/// What a connection is narrowed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permits {
    produce: Vec<TopicPattern>,
    consume: Vec<TopicPattern>,
}

impl Permits {
    pub(crate) fn produce(&self, topic: &str) -> bool {
        self.produce.iter().any(|pattern| pattern.matches(topic))
    }

    pub(crate) fn consume(&self, topic: &str) -> bool {
        self.consume.iter().any(|pattern| pattern.matches(topic))
    }

    /// Which topics of a namespace are told: those that may be consumed from.
    pub(crate) fn list(&self, namespace: &str, persistent: bool, non_persistent: bool) -> Listed {
        let of = |persistent| {
            let listed = self.consume.iter().map(|pattern| pattern.lists(namespace, persistent));
            listed.max().unwrap_or(Listed::No)
        };
        match (persistent, non_persistent) {
            (true, true) if of(true) == of(false) => of(true),
            (true, true) => Listed::Partly,
            (persistent, _) => of(persistent),
        }
    }
}

/// The rules, ready for use.
#[derive(Debug, Default)]
pub(crate) struct NarrowRules(Vec<(Narrow, Arc<Permits>)>);

impl NarrowRules {
    pub(crate) fn prepare(rules: &[Narrow], errors: &mut Vec<ConfigError>) -> Self {
        for (number, rule) in rules.iter().enumerate() {
            if rule.produce.is_empty() && rule.consume.is_empty() {
                errors.push(ConfigError::at(format!("narrow[{number}]"), Problem::EmptyGuard));
            }
        }
        let prepared = |rule: &Narrow| {
            let permits = Permits { produce: rule.produce.clone(), consume: rule.consume.clone() };
            (rule.clone(), Arc::new(permits))
        };
        NarrowRules(rules.iter().map(prepared).collect())
    }

    /// What a connection is narrowed to: `Ok(None)` to nothing, as there are no rules; `Err` if none fits.
    pub(crate) fn of(&self, origin: Option<&str>, subject: Option<&str>) -> Result<Option<Arc<Permits>>, ()> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let fits = |rule: &Narrow| {
            let origins = &rule.origins;
            let own = origin.and_then(|origin| origin.parse::<Origin>().ok());
            let from = origins.is_empty() || own.is_some_and(|own| origins.contains(&own));
            let named = |subject: &str| rule.subjects.iter().any(|pattern| glob(pattern, subject));
            from && (rule.subjects.is_empty() || subject.is_some_and(named))
        };
        self.0.iter().find(|(rule, _)| fits(rule)).map(|(_, permits)| Some(Arc::clone(permits))).ok_or(())
    }
}

#[cfg(test)]
pub(crate) fn permits(produce: &[&str], consume: &[&str]) -> Arc<Permits> {
    let all = |list: &[&str]| list.iter().map(|it| it.parse().expect("a pattern")).collect();
    Arc::new(Permits { produce: all(produce), consume: all(consume) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_that_match() {
        let permits =
            permits(&["orders-*", "persistent://acme/shop/in", "non-persistent://acme/*/live"], &[]);
        for topic in [
            "orders-1",
            "public/default/orders-1",
            "persistent://public/default/orders-",
            "persistent://public/default/orders-x-partition-3",
            "acme/shop/in",
            "persistent://acme/shop/in-partition-12",
            "non-persistent://acme/any/live",
        ] {
            assert!(permits.produce(topic), "{topic}");
        }
        for topic in [
            "order",
            "",
            "/",
            "persistent://public/default/",
            "non-persistent://public/default/orders-1",
            "persistent://public/default/orders-1/x",
            "persistent://public/default/x/orders-1",
            "persistent://public/Default/orders-1",
            "persistent://acme/shop/in-partition-",
            "persistent://acme/shop/in-partition-x",
            "persistent://acme/shop/in2",
            "acme/in",
            "Persistent://public/default/orders-1",
            "persistent:///public/default/orders-1",
            "http://public/default/orders-1",
            " orders-1",
        ] {
            assert!(!permits.produce(topic), "{topic}");
        }
        assert!(!permits.consume("orders-1"));
    }

    #[test]
    fn what_may_be_listed_of_a_namespace() {
        let permits = permits(&["a/b/*"], &["acme/shop/*", "non-persistent://acme/*/*", "x/y/z-*"]);
        for (namespace, persistent, other, listed) in [
            ("acme/shop", true, false, Listed::Whole),
            ("acme/shop", true, true, Listed::Whole),
            ("acme/other", false, true, Listed::Whole),
            ("acme/other", true, true, Listed::Partly),
            ("x/y", true, false, Listed::Partly),
            ("x/y", true, true, Listed::Partly),
            ("x/y", false, true, Listed::No),
        ] {
            assert_eq!(permits.list(namespace, persistent, other), listed, "{namespace}");
        }
        for namespace in ["a/b", "acme/other", "acme", "acme/shop/x", "x/y/z", ""] {
            assert_eq!(permits.list(namespace, true, false), Listed::No, "{namespace}");
        }
    }

    #[test]
    fn the_first_rule_that_fits() {
        let rule = |origins: &[&str], subjects: &[&str], topic: &str| Narrow {
            origins: origins.iter().map(|it| it.parse().expect("an origin")).collect(),
            subjects: subjects.iter().map(|it| (*it).to_owned()).collect(),
            produce: vec![topic.parse().expect("a pattern")],
            consume: vec![],
        };
        let rules = [
            rule(&["https://a.example"], &["app-*"], "one"),
            rule(&["https://a.example"], &[], "two"),
            rule(&[], &["admin"], "three"),
        ];
        let mut errors = Vec::new();
        let rules = NarrowRules::prepare(&rules, &mut errors);
        let topic = |origin, subject| {
            let permits = rules.of(origin, subject).ok()??;
            ["one", "two", "three"].into_iter().find(|topic| permits.produce(topic))
        };
        assert_eq!(topic(Some("https://a.example"), Some("app-1")), Some("one"));
        assert_eq!(topic(Some("https://a.example"), Some("x")), Some("two"));
        assert_eq!(topic(None, Some("admin")), Some("three"));
        assert!(rules.of(None, Some("x")).is_err() && rules.of(None, None).is_err());
        assert_eq!(NarrowRules::default().of(None, None), Ok(None));
        NarrowRules::prepare(&[Narrow::default()], &mut errors);
        assert_eq!(errors.len(), 1);
    }

    #[test]
    fn what_is_no_pattern() {
        for text in ["", "a/b", "a/b/c/d", "http://a/b/c", "persistent://a/b", "a//c"] {
            assert_eq!(text.parse::<TopicPattern>(), Err(TopicPatternError), "{text}");
        }
    }
}
