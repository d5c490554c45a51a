//! Names of topics and namespaces.

use std::fmt;

/// A topic's name, cut into its parts.
///
/// `persistent://tenant/namespace/topic`; `topic` alone stands for
/// `persistent://public/default/topic`, `tenant/namespace/topic` for a persistent one. In names of the
/// first version a cluster stands before the namespace, and belongs to it here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicName {
    /// Whether its messages are stored.
    pub persistent: bool,
    /// The tenant.
    pub tenant: String,
    /// The namespace, without its tenant; in names of the first version `cluster/namespace`.
    pub namespace: String,
    /// The topic, without its namespace.
    pub local: String,
}

impl TopicName {
    /// Reads a name; the error says what is wrong with it.
    ///
    /// # Errors
    /// The text is not a topic's name.
    pub fn parse(name: &str) -> Result<Self, String> {
        let prefixed = |why: String| format!("Invalid topic name: {why}");
        let invalid = || prefixed(format!("Invalid topic name: {name}"));
        let read = |persistent, tenant: &str, namespace: &str, local: &str| {
            let parts = [tenant].into_iter().chain(namespace.split('/'));
            if let Some(bad) = parts.into_iter().find(|part| !is_entity(part)) {
                return Err(prefixed(format!("Invalid named entity: {bad}")));
            }
            Self::from_parts(persistent, tenant, namespace, local)
                .ok_or_else(|| format!("{}. Topic local name must not be blank.", invalid()))
        };
        let (persistent, rest) = match name.split_once("://") {
            Some(("persistent", rest)) => (true, rest),
            Some(("non-persistent", rest)) => (false, rest),
            Some((domain, _)) => {
                return Err(format!("Invalid topic name: Invalid topic domain: '{domain}'"));
            }
            None => {
                return match name.split('/').collect::<Vec<_>>()[..] {
                    [local] if !local.is_empty() => read(true, "public", "default", local),
                    [tenant, namespace, local] => read(true, tenant, namespace, local),
                    _ => Err(prefixed(format!(
                        "Invalid short topic name '{name}', it should be in the format of \
                         <tenant>/<namespace>/<topic> or <topic>"
                    ))),
                };
            }
        };
        match rest.splitn(4, '/').collect::<Vec<_>>()[..] {
            [tenant, namespace, local] => read(persistent, tenant, namespace, local),
            [tenant, cluster, namespace, _] if [tenant, cluster, namespace].contains(&"") => {
                let namespace = format!("{tenant}/{cluster}/{namespace}");
                Err(prefixed(format!("Invalid namespace format. namespace: {namespace}")))
            }
            [tenant, cluster, namespace, local] => {
                read(persistent, tenant, &format!("{cluster}/{namespace}"), local)
            }
            _ => Err(invalid()),
        }
    }

    /// Puts a name together; `None` when a part is not one.
    #[must_use]
    pub fn from_parts(persistent: bool, tenant: &str, namespace: &str, local: &str) -> Option<Self> {
        if let (false, Some((inner, local))) = (namespace.contains('/'), local.split_once('/')) {
            return Self::from_parts(persistent, tenant, &format!("{namespace}/{inner}"), local);
        }
        let local_is_one = !local.trim().is_empty() && !local.starts_with('/') && !local.contains('\0');
        (is_entity(tenant) && is_namespace(namespace) && local_is_one).then(|| Self {
            persistent,
            tenant: tenant.to_owned(),
            namespace: namespace.to_owned(),
            local: local.to_owned(),
        })
    }

    /// `tenant/namespace`.
    #[must_use]
    pub fn namespace_name(&self) -> String {
        format!("{}/{}", self.tenant, self.namespace)
    }

    /// Whether it is a name of the first version, with a cluster.
    pub(crate) fn has_cluster(&self) -> bool {
        self.namespace.contains('/')
    }

    /// Whether its namespace is there without having been made: names with a cluster have those, unless it is
    /// all clusters.
    pub(crate) fn is_in_unmade_namespace(&self) -> bool {
        self.namespace.split_once('/').is_some_and(|(cluster, _)| cluster != "global")
    }

    /// Whose schemas it has: those of a topic and of the one without storage of that name are the same, and a
    /// namespace's cluster does not count.
    pub(crate) fn schema_key(&self) -> String {
        let namespace = self.namespace.rsplit('/').next().unwrap_or_default().to_owned();
        Self { persistent: true, namespace, ..self.base() }.to_string()
    }

    /// Whether only the broker itself may make it, for what it keeps of transactions.
    pub(crate) fn is_of_transactions(&self) -> bool {
        let in_system = self.tenant == "pulsar" && self.namespace == "system";
        let ours = in_system && COORDINATORS.iter().any(|prefix| self.local.starts_with(prefix));
        self.persistent && (ours || self.local.ends_with(PENDING_ACKS))
    }

    /// Which partition of a partitioned topic this is.
    #[must_use]
    pub fn partition(&self) -> Option<u32> {
        let (_, index) = self.local.rsplit_once(PARTITION_SUFFIX)?;
        // `+1`, `01`: names of their own, not numbers.
        let index: u32 = index.parse().ok().filter(|n: &u32| n.to_string() == index)?;
        Some(index)
    }

    /// The partitioned topic that this is a partition of, or the topic itself.
    #[must_use]
    pub fn base(&self) -> Self {
        match (self.partition(), self.local.rsplit_once(PARTITION_SUFFIX)) {
            (Some(_), Some((base, _))) => Self { local: base.to_owned(), ..self.clone() },
            _ => self.clone(),
        }
    }

    /// One partition of this topic.
    #[must_use]
    pub fn with_partition(&self, index: u32) -> Self {
        Self { local: format!("{}{PARTITION_SUFFIX}{index}", self.local), ..self.clone() }
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = if self.persistent { "persistent" } else { "non-persistent" };
        write!(f, "{domain}://{}/{}/{}", self.tenant, self.namespace, self.local)
    }
}

const PARTITION_SUFFIX: &str = "-partition-";
const COORDINATORS: [&str; 2] = ["transaction_coordinator_assign", "__transaction_log_"];
const PENDING_ACKS: &str = "__transaction_pending_ack";

/// Whether a text can name a tenant, a namespace or a cluster.
#[must_use]
pub fn is_entity(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-=:._".contains(c))
}

/// Whether a text can name a namespace of a tenant: by itself, or with a cluster before it.
fn is_namespace(name: &str) -> bool {
    name.split_once('/').map_or(is_entity(name), |(cluster, name)| is_entity(cluster) && is_entity(name))
}

/// Cuts `tenant/namespace`.
#[must_use]
pub fn parse_namespace(name: &str) -> Option<(&str, &str)> {
    let (tenant, namespace) = name.split_once('/')?;
    (is_entity(tenant) && is_namespace(namespace)).then_some((tenant, namespace))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::TopicName;

    #[test]
    fn names_are_read_as_pulsar_reads_them() {
        let full = |name: &str| TopicName::parse(name).map(|n| n.to_string());
        assert_eq!(full("a").as_deref(), Ok("persistent://public/default/a"));
        assert_eq!(full("t/n/a").as_deref(), Ok("persistent://t/n/a"));
        assert_eq!(full("non-persistent://t/n/a b").as_deref(), Ok("non-persistent://t/n/a b"));
        assert_eq!(full("persistent://t/n/a/b").as_deref(), Ok("persistent://t/n/a/b"));
        for older in [
            TopicName::parse("persistent://t/c/n/a/b").unwrap(),
            TopicName::from_parts(true, "t", "c/n", "a/b").unwrap(),
            TopicName::from_parts(true, "t", "c", "n/a/b").unwrap(),
        ] {
            assert_eq!((&older.namespace_name()[..], &older.local[..]), ("t/c/n", "a/b"));
        }
        for bad in [
            "",
            "t/n",
            "t/n/a/b",
            "kafka://t/n/a",
            "persistent://t/n",
            "persistent://t/n/",
            "persistent:///n/a",
            "persistent://t/c/n/",
            "persistent://t/c//a",
        ] {
            assert!(full(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn partitions_are_numbers_only() {
        let partition = |name: &str| TopicName::parse(name).unwrap().partition();
        assert_eq!(partition("a-partition-12"), Some(12));
        assert_eq!(partition("a-partition-012"), None);
        assert_eq!(partition("a-partition-x"), None);
        assert_eq!(TopicName::parse("a-partition-3").unwrap().base().local, "a");
    }
}
