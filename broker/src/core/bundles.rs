//! Several brokers in one, and who serves what.
//!
//! Topics of a namespace belong to bundles, by the CRC32 of their names; a bundle is served by one broker
//! at a time. All of them share what is stored, so a bundle that moves takes nothing along.
//! ```text
//!              LOOKUP that is not authoritative               unload
//!   nobody's ---------------------------------> owned by a --------> owned by another
//!      | asked at another broker: redirected to the first, which chooses the one with the fewest
//!      | of the namespace and redirects to it with an authoritative lookup: whoever gets that takes it
//! ```

use std::collections::BTreeMap;

use super::Broker;
use super::admin::AdminError;
use super::config::BrokerConfig;
use super::error::Refusal;
use super::ids::{ConnId, TopicKey};
use super::keeping::kind;
use super::listeners::Node;
use super::names::TopicName;
use super::notes::Note;
use super::time::Now;
use pulsewire_proto::wire::ServerError;

/// Bundles of a namespace, unless it is made with another number.
pub const BUNDLES: u32 = 4;

/// Bundles that a namespace may have.
const MAX_BUNDLES: usize = 128;

/// The setting of a namespace that says which bundles it has.
pub(super) const BUNDLES_SETTING: &str = "bundles";

/// Which broker serves a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    /// This one.
    By(usize),
    /// Ask that one, which decides (`true`: takes it).
    Ask(usize, bool),
}

/// Which broker has which bundle of which namespace.
#[derive(Debug, Default)]
pub(super) struct Bundles {
    owners: BTreeMap<(String, u32), usize>,
}

impl Bundles {
    /// A namespace is no more.
    pub(super) fn forget(&mut self, namespace: &str) {
        self.owners.retain(|(name, _), _| name != namespace);
    }

    fn owner(&self, namespace: &str, bundle: u32) -> Option<usize> {
        self.owners.get(&(namespace.to_owned(), bundle)).copied()
    }

    /// A bundle is two now: those behind it are one further on.
    fn split(&mut self, namespace: &str, bundle: u32) {
        for ((name, at), owner) in std::mem::take(&mut self.owners) {
            let here = name == namespace;
            if !here || at <= bundle {
                self.owners.insert((name.clone(), at), owner);
            }
            if here && at >= bundle {
                self.owners.insert((name, at + 1), owner);
            }
        }
    }
}

/// Where bundles of a namespace begin, and where the last one ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds(Vec<u32>);

impl Bounds {
    /// So many bundles of one size.
    #[must_use]
    pub fn even(bundles: u32) -> Self {
        let bundles = bundles.max(1);
        let begin = |bundle| match bundle {
            last if last >= bundles => u32::MAX,
            _ if bundles.is_power_of_two() => ((u64::from(bundle) << 32) / u64::from(bundles)) as u32,
            _ => bundle * (u32::MAX / bundles),
        };
        Self((0..=bundles).map(begin).collect())
    }

    /// As a namespace's setting says it: how many, or a list of boundaries.
    pub(super) fn read(setting: &str) -> Option<Self> {
        if let Ok(count) = setting.parse() {
            return Some(Self::even(count));
        }
        let list: Vec<u32> = serde_json::from_str(setting).ok()?;
        let rises = list.len() > 1 && list.is_sorted_by(|a, b| a < b);
        (rises && list.first() == Some(&0) && list.last() == Some(&u32::MAX)).then_some(Self(list))
    }

    /// How many bundles there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        (self.0.len() - 1) as u32
    }

    /// As texts, `0x40000000`.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(|boundary| format!("0x{boundary:08x}")).collect()
    }

    /// The range of a bundle, `0x40000000_0x80000000`.
    fn range(&self, bundle: u32) -> String {
        let at = |bundle: u32| self.0.get(bundle as usize).copied().unwrap_or(u32::MAX);
        format!("0x{:08x}_0x{:08x}", at(bundle), at(bundle + 1))
    }

    /// The bundle of a topic, by the CRC32 of its whole name.
    fn bundle_of(&self, name: &TopicName) -> u32 {
        let hash = bundle_hash(name);
        let begun = self.0.iter().skip(1).take(self.0.len() - 2).take_while(|begin| **begin <= hash);
        begun.count() as u32
    }

    /// The range of the bundle that a topic belongs to.
    #[must_use]
    pub fn range_of(&self, topic: &TopicName) -> String {
        self.range(self.bundle_of(topic))
    }
}

/// What bundles are divided by.
#[must_use]
pub fn bundle_hash(topic: &TopicName) -> u32 {
    crc32(topic.to_string().as_bytes())
}

/// The CRC32 of zlib.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

impl BrokerConfig {
    /// How many brokers there are.
    pub(super) fn brokers(&self) -> usize {
        1 + self.more_brokers.len()
    }

    /// Where one of them is reached.
    #[must_use]
    pub fn node(&self, broker: usize) -> Node {
        match broker.checked_sub(1) {
            Some(more) => self.more_brokers.get(more).cloned().unwrap_or_default(),
            None => Node {
                service_url: self.service_url.clone(),
                service_url_tls: self.service_url_tls.clone(),
                admin_url: self.admin_url.clone(),
                admin_url_tls: self.admin_url_tls.clone(),
            },
        }
    }
}

impl Broker {
    /// Which broker serves a topic, as `here` knows it. An authoritative question makes it this one.
    pub(super) fn serves(&mut self, name: &TopicName, here: usize, authoritative: bool) -> Served {
        let brokers = self.config.brokers();
        if brokers == 1 {
            return Served::By(0);
        }
        let namespace = name.namespace_name();
        let bundle = self.bundles(&namespace).bundle_of(name);
        let key = (namespace, bundle);
        let owners = &mut self.bundles.owners;
        if let Some(owner) = owners.get(&key) {
            return Served::By(*owner);
        }
        // As Pulsar's load manager: first of all spread over the namespace.
        let fewest = |broker: &usize| {
            let owned = owners.iter().filter(|(_, owner)| *owner == broker);
            (owned.clone().filter(|((namespace, _), _)| *namespace == key.0).count(), owned.count())
        };
        let taker = match (authoritative, here) {
            (true, here) => here,
            (false, 0) => (0..brokers).min_by_key(fewest).unwrap_or(0),
            (false, _) => return Served::Ask(0, false),
        };
        if taker != here {
            return Served::Ask(taker, true);
        }
        owners.insert(key, here);
        Served::By(here)
    }

    /// Whether a connection has come to the broker that serves a topic.
    pub(super) fn is_served_here(&self, id: ConnId, name: &TopicName) -> Result<(), Refusal> {
        // With one broker, only what is in no namespace is served by nobody.
        if self.config.more_brokers.is_empty() && self.has_namespace(name).is_ok() {
            return Ok(());
        }
        let here = self.conns.get(id).map_or(0, |conn| conn.broker);
        let there = self.has_namespace(name).is_ok();
        let bundles = if there { self.bundles(&name.namespace_name()) } else { Bounds::even(1) };
        let bundle = bundles.bundle_of(name);
        if self.bundles.owners.get(&(name.namespace_name(), bundle)) == Some(&here) {
            return Ok(());
        }
        let instance = self.config.node(here).service_url;
        let message = format!(
            "Namespace bundle ({}/{}) for topic ({name}) not served by this instance:{}. Please redo the lookup.",
            name.namespace_name(),
            bundles.range(bundle),
            instance.rsplit('/').next().unwrap_or_default(),
        );
        Err(Refusal::service(ServerError::SERVICE_NOT_READY, "ServiceUnitNotReadyException", message))
    }

    /// Where a topic is served, as the broker `here` answers over HTTP. It makes that sure, if nobody
    /// served it.
    pub fn find(&mut self, topic: &TopicName, here: usize) -> Node {
        let mut served = self.serves(topic, here, false);
        while let Served::Ask(broker, authoritative) = served {
            served = self.serves(topic, broker, authoritative);
        }
        let Served::By(broker) = served else { return Node::default() };
        self.config.node(broker)
    }

    /// Bundles (`tenant/namespace/range`) that one of several brokers serves.
    #[must_use]
    pub fn owned_by(&self, broker: usize) -> Vec<String> {
        let owned = self.bundles.owners.iter().filter(|(_, owner)| **owner == broker);
        owned
            .map(|((namespace, bundle), _)| format!("{namespace}/{}", self.bundles(namespace).range(*bundle)))
            .collect()
    }

    /// Unloads bundles of a namespace: the one of that range, or all. Their clients are sent away and
    /// come back; with several brokers to `destination`, or the one after the last.
    ///
    /// # Errors
    /// There is no such namespace, range or broker.
    pub fn unload_bundles(
        &mut self,
        namespace: &str,
        wanted: Option<&str>,
        destination: Option<usize>,
        now: Now,
    ) -> Result<(), AdminError> {
        if !self.topics.namespaces.contains_key(namespace) {
            return Err(AdminError::new(404, "Namespace not found"));
        }
        let bounds = self.bundles(namespace);
        let bundles = match wanted {
            None => 0..bounds.count(),
            Some(wanted) => {
                // What is no range at all is not expected by the real broker.
                let unexpected = |bad: AdminError| match bad.reason.starts_with("Invalid bundle range") {
                    true => AdminError::new(
                        500,
                        format!(
                            "\n --- An unexpected error occurred in the server ---\n\nMessage: {}",
                            bad.reason
                        ),
                    ),
                    false => bad,
                };
                let at = find_range(namespace, wanted, &bounds).map_err(unexpected)?;
                at..at + 1
            }
        };
        let brokers = self.config.brokers();
        if destination.is_some_and(|destination| destination >= brokers) {
            let reason = "Not allowed unload namespace bundle to inactive destination broker";
            return Err(AdminError::new(409, reason));
        }
        for bundle in bundles {
            let owner = self.bundles.owners.get_mut(&(namespace.to_owned(), bundle));
            if let Some(owner) = owner {
                *owner = destination.unwrap_or((*owner + 1) % brokers);
                self.moving_to = Some(*owner);
            }
            let to = self.assigned().0;
            self.note(|_| Note::Unloaded { what: format!("{namespace}/{}", bounds.range(bundle)), to });
            let inside =
                |name: &TopicName| name.namespace_name() == namespace && bounds.bundle_of(name) == bundle;
            let topics: Vec<TopicKey> = self.topics.keys_where(inside);
            for topic in topics {
                self.disconnect_topic(topic);
                self.topics.roll(topic, &self.config.cluster, now);
            }
            self.moving_to = None;
        }
        self.settle(now);
        Ok(())
    }

    /// Whether a namespace has a bundle of that range.
    ///
    /// # Errors
    /// It has not.
    pub fn has_bundle(&self, namespace: &str, range: &str) -> Result<(), AdminError> {
        find_range(namespace, range, &self.bundles(namespace)).map(drop)
    }

    /// Splits a bundle of a namespace in two halves, which the same broker serves; with `unload` the
    /// clients of both are sent away and come back.
    ///
    /// # Errors
    /// There is no such namespace or range, or it cannot be made smaller.
    pub fn split_bundle(
        &mut self,
        namespace: &str,
        wanted: &str,
        unload: bool,
        now: Now,
    ) -> Result<(), AdminError> {
        if !self.topics.namespaces.contains_key(namespace) {
            return Err(AdminError::new(404, "Namespace not found"));
        }
        let mut bounds = self.bundles(namespace);
        let bundle = find_range(namespace, wanted, &bounds)?;
        let (begin, end) = (bounds.0[bundle as usize], bounds.0[bundle as usize + 1]);
        if end - begin < 2 || bounds.0.len() > MAX_BUNDLES {
            return Err(AdminError::new(409, format!("Bundle {namespace}/{wanted} cannot be split")));
        }
        if unload {
            self.unload_bundles(namespace, Some(wanted), self.bundles.owner(namespace, bundle), now)?;
        }
        self.note(|_| Note::Split { bundle: format!("{namespace}/{wanted}") });
        bounds.0.insert(bundle as usize + 1, begin + (end - begin) / 2);
        self.bundles.split(namespace, bundle);
        let setting = serde_json::to_string(&bounds.0).unwrap_or_default();
        self.topics.touch_name(kind::NAMESPACE, namespace);
        if let Some(policies) = self.topics.namespaces.get_mut(namespace) {
            policies.kept.insert(BUNDLES_SETTING.to_owned(), setting);
        }
        Ok(())
    }

    /// Where clients that are sent away find their topic, when that is known: plain, and over TLS.
    pub(super) fn assigned(&self) -> (Option<String>, Option<String>) {
        match self.moving_to {
            Some(broker) if self.config.brokers() > 1 => {
                let node = self.config.node(broker);
                (Some(node.service_url), node.service_url_tls)
            }
            _ => (None, None),
        }
    }
}

fn find_range(namespace: &str, wanted: &str, bounds: &Bounds) -> Result<u32, AdminError> {
    let wrong = |reason: String| AdminError::new(412, reason);
    let number = |text: &str| {
        let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
        u32::from_str_radix(hex, 16).ok()
    };
    let (lower, upper) = wanted
        .split_once('_')
        .and_then(|(lower, upper)| Some((number(lower)?, number(upper)?)))
        .ok_or_else(|| wrong(format!("Invalid bundle range: {wanted}")))?;
    let bundle = (0..bounds.count())
        .find(|bundle| bounds.0.get(*bundle as usize) == Some(&lower))
        .ok_or_else(|| wrong(format!("Cannot find bundle {namespace}/{wanted} in the bundles list")))?;
    if bounds.0.get(bundle as usize + 1) != Some(&upper) {
        let range = bounds.range(bundle);
        return Err(wrong(format!(
            "Invalid upper boundary for bundle {namespace}/{wanted}. Expected upper boundary of {namespace}/{range}"
        )));
    }
    Ok(bundle)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// As Apache Pulsar 4.0.8 answered for these names.
    #[test]
    fn topics_belong_to_the_bundles_that_pulsar_puts_them_in() {
        for (name, bundle) in [
            ("persistent://public/default/abc", "0x40000000_0x80000000"),
            ("persistent://public/default/abd", "0xc0000000_0xffffffff"),
            ("non-persistent://public/default/abd-partition-3", "0x40000000_0x80000000"),
        ] {
            assert_eq!(Bounds::even(4).range_of(&TopicName::parse(name).unwrap()), bundle, "{name}");
        }
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(
            Bounds::even(4).texts(),
            ["0x00000000", "0x40000000", "0x80000000", "0xc0000000", "0xffffffff"]
        );
        assert_eq!(Bounds::even(3).texts(), ["0x00000000", "0x55555555", "0xaaaaaaaa", "0xffffffff"]);
    }

    #[test]
    fn ranges_are_those_of_bundles() {
        let four = Bounds::even(4);
        assert_eq!(find_range("a/b", "0x40000000_0x80000000", &four), Ok(1));
        assert_eq!(find_range("a/b", "0xc0000000_0xffffffff", &four), Ok(3));
        for (bad, reason) in [
            ("bad", "Invalid bundle range: bad"),
            ("0x0_1", "Invalid bundle range: 0x0_1"),
            ("0x1_0x40000000", "Cannot find bundle a/b/0x1_0x40000000 in the bundles list"),
            (
                "0x00000000_0x30000000",
                "Invalid upper boundary for bundle a/b/0x00000000_0x30000000. Expected upper boundary of \
                 a/b/0x00000000_0x40000000",
            ),
        ] {
            assert_eq!(find_range("a/b", bad, &four).unwrap_err(), AdminError::new(412, reason), "{bad}");
        }
    }
}
