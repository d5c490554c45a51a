//! Topic names.

use std::fmt;

use crate::error::{Error, ErrorKind, Quoted};

/// A topic's full name: `persistent://tenant/namespace/topic`.
///
/// Short names are completed as in Java's `TopicName`: `topic` is
/// `persistent://public/default/topic`, `tenant/namespace/topic` is persistent.
///
/// ```
/// use pulsewire_proto::TopicName;
/// assert_eq!(TopicName::parse("news").unwrap().as_str(), "persistent://public/default/news");
/// assert!(TopicName::parse("a/b").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(String);

const PARTITION_SUFFIX: &str = "-partition-";

impl TopicName {
    /// Parses and completes a name.
    ///
    /// # Errors
    /// `InvalidTopicName`, saying what is wrong.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let fail = |why: &str| {
            Error::new(ErrorKind::InvalidTopicName, format!("{} is not a topic name: {why}", Quoted(name)))
        };
        let (domain, rest) = match name.split_once("://") {
            Some((domain @ ("persistent" | "non-persistent"), rest)) => (domain, rest),
            Some((domain, _)) => {
                return Err(fail(&format!("{} is neither persistent nor non-persistent", Quoted(domain))));
            }
            None => ("persistent", name),
        };
        let parts: Vec<&str> = rest.splitn(4, '/').collect();
        let (tenant, namespace, topic) = match parts[..] {
            [topic] if domain.len() + 3 + topic.len() != name.len() => ("public", "default", topic),
            [tenant, namespace, topic] => (tenant, namespace, topic),
            // The fourth part belongs to the topic, as slashes may.
            [_, _, _, _] => {
                return Err(fail("names with a cluster are of a version that is gone"));
            }
            _ => return Err(fail("it has the form tenant/namespace/topic")),
        };
        for (part, what) in [(tenant, "tenant"), (namespace, "namespace")] {
            if !is_name(part) {
                return Err(fail(&format!("the {what} may have letters, digits and -=:._")));
            }
        }
        if topic.is_empty() {
            return Err(fail("it is empty"));
        }
        if topic.chars().any(char::is_control) {
            return Err(fail("it has control characters"));
        }
        Ok(Self(format!("{domain}://{tenant}/{namespace}/{topic}")))
    }

    /// The full name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its messages are stored.
    pub(crate) fn is_persistent(&self) -> bool {
        self.0.starts_with("persistent://")
    }

    /// `tenant/namespace`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.rsplit_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The number of the partition that this name means, if it means one.
    #[must_use]
    pub fn partition(&self) -> Option<u32> {
        let (_, number) = self.0.rsplit_once(PARTITION_SUFFIX)?;
        // `-partition-01` is an ordinary name.
        number.parse().ok().filter(|n: &u32| n.to_string() == number)
    }
}

impl TopicName {
    /// The name of a partition of this topic.
    #[must_use]
    pub fn of_partition(&self, partition: u32) -> Self {
        Self(format!("{}{PARTITION_SUFFIX}{partition}", self.0))
    }

    /// The full name without the number of a partition.
    #[must_use]
    pub fn base(&self) -> &str {
        match self.partition() {
            Some(_) => self.0.rsplit_once(PARTITION_SUFFIX).map_or(&self.0, |(base, _)| base),
            None => &self.0,
        }
    }

    /// The topic that this is a partition of, or this.
    pub(crate) fn whole(&self) -> Self {
        Self(self.base().to_owned())
    }
}

/// Refuses what is not `tenant/namespace`.
pub(crate) fn check_namespace(namespace: &str) -> Result<(), Error> {
    match namespace.split_once('/') {
        Some((tenant, name)) if is_name(tenant) && is_name(name) => Ok(()),
        _ => {
            let why = format!("{namespace:?} is not a namespace: it has the form tenant/namespace");
            Err(Error::new(ErrorKind::InvalidTopicName, why))
        }
    }
}

/// Whether it can be a tenant or a namespace.
fn is_name(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-=:._".contains(c))
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed() {
        for (name, full) in [
            ("a", "persistent://public/default/a"),
            ("t/n/a", "persistent://t/n/a"),
            ("non-persistent://t/n/a b", "non-persistent://t/n/a b"),
            ("persistent://t/n/ä-partition-3", "persistent://t/n/ä-partition-3"),
        ] {
            assert_eq!(TopicName::parse(name).map(|t| t.to_string()), Ok(full.to_owned()));
        }
        assert_eq!(TopicName::parse("t/n/a-partition-3").map(|t| t.partition()), Ok(Some(3)));
        assert_eq!(TopicName::parse("t/n/a-partition-03").map(|t| t.partition()), Ok(None));
        let partition = TopicName::parse("t/n/a").map(|t| t.of_partition(12)).expect("a name");
        assert_eq!((partition.base(), partition.partition()), ("persistent://t/n/a", Some(12)));
        assert_eq!(partition.whole().base(), "persistent://t/n/a");
        assert_eq!(TopicName::parse("t/n/a").map(|t| t.namespace().to_owned()), Ok("t/n".to_owned()));
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_reason() {
        for name in
            ["", "a/b", "a/b/c/d", "http://t/n/a", "persistent://a", "t//a", "t/n/", "t n/n/a", "a\nb"]
        {
            let error = TopicName::parse(name).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::InvalidTopicName, "{name:?}");
        }
    }
}
