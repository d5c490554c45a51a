//! Clusters, tenants and namespaces, as whoever runs the broker sees them.

use std::collections::{BTreeMap, BTreeSet};

use super::Broker;
use super::admin::AdminError;
use super::keeping::kind;
use super::names::{TopicName, parse_namespace};
use super::policies::{Policies, Scope};
use super::time::Now;

/// Bundles of a namespace, unless it is made with another number.
pub const BUNDLES: u32 = 4;

/// The setting of a namespace that says how many bundles it has.
const BUNDLES_SETTING: &str = "bundles";

/// What is known of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tenant {
    /// Roles that administer it.
    pub admin_roles: BTreeSet<String>,
    /// Clusters that it may use; `None` is this one.
    pub allowed_clusters: Option<BTreeSet<String>>,
}

/// Where bundles begin, and where the last one ends.
#[must_use]
pub fn bundle_boundaries(bundles: u32) -> Vec<String> {
    let bundles = u64::from(bundles.max(1));
    let begin = |bundle: u64| if bundle == bundles { 0xffff_ffff } else { bundle * (0xffff_ffff / bundles) };
    // Four bundles are those of the real broker's default, which are a little wider.
    let begin = |bundle: u64| {
        if bundles.is_power_of_two() && bundle < bundles { (bundle << 32) / bundles } else { begin(bundle) }
    };
    (0..=bundles).map(|bundle| format!("0x{:08x}", begin(bundle))).collect()
}

/// The CRC32 of zlib.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// Orders and questions of whoever runs the broker. After an order, poll as after a fact.
impl Broker {
    /// Clusters that were made known, and what was said of them in JSON.
    #[must_use]
    pub fn clusters(&self) -> &BTreeMap<String, String> {
        &self.topics.clusters
    }

    /// Makes a cluster known, or (`None`) forgets it.
    pub fn set_cluster(&mut self, name: &str, data: Option<String>) {
        self.topics.touch_name(kind::CLUSTER, name);
        match data {
            Some(data) => self.topics.clusters.insert(name.to_owned(), data),
            None => self.topics.clusters.remove(name),
        };
    }

    /// What is known of a tenant.
    #[must_use]
    pub fn tenant(&self, name: &str) -> Option<Tenant> {
        let there = self.topics.tenants.contains(name);
        there.then(|| self.topics.tenant_data.get(name).cloned().unwrap_or_default())
    }

    /// Makes a tenant, or changes it.
    pub fn set_tenant(&mut self, name: &str, tenant: Tenant) {
        self.topics.touch_name(kind::TENANT, name);
        self.topics.tenants.insert(name.to_owned());
        self.topics.tenant_data.insert(name.to_owned(), tenant);
    }

    /// Deletes a tenant; with `force` also its namespaces and topics.
    ///
    /// # Errors
    /// It is not there, or has namespaces and `force` is not set.
    pub fn delete_tenant(&mut self, name: &str, force: bool, now: Now) -> Result<(), AdminError> {
        if !self.topics.tenants.contains(name) {
            return Err(AdminError::new(404, "Tenant doesn't exist"));
        }
        let namespaces = self.namespaces(name);
        if !namespaces.is_empty() && !force {
            return Err(AdminError::new(409, "The tenant still has active namespaces"));
        }
        for namespace in namespaces {
            self.delete_namespace_with_topics(&namespace, now)?;
        }
        self.topics.touch_name(kind::TENANT, name);
        self.topics.tenants.remove(name);
        self.topics.tenant_data.remove(name);
        Ok(())
    }

    /// Deletes a namespace with all its topics.
    ///
    /// # Errors
    /// It is not there.
    pub fn delete_namespace_with_topics(&mut self, name: &str, now: Now) -> Result<(), AdminError> {
        for persistent in [true, false] {
            let whole = self.partitioned_topics(name, persistent);
            for topic in whole.iter().filter_map(|name| TopicName::parse(name).ok()) {
                self.delete_topic(&topic, true, now)?;
            }
            let single = self.topics(name, persistent);
            for topic in single.iter().filter_map(|name| TopicName::parse(name).ok()) {
                self.delete_topic(&topic, true, now)?;
            }
        }
        self.delete_namespace(name)
    }

    /// The settings of a namespace.
    ///
    /// # Errors
    /// It is not there.
    pub fn namespace(&self, name: &str) -> Result<Policies, AdminError> {
        self.policies(&Scope::Namespace(name.to_owned()))
    }

    /// Makes a namespace (`tenant/namespace`) with so many bundles.
    ///
    /// # Errors
    /// Its tenant is not there, or it is there already.
    pub fn make_namespace(&mut self, name: &str, bundles: u32) -> Result<(), AdminError> {
        let (tenant, _) = parse_namespace(name).unwrap_or_default();
        if !self.topics.tenants.contains(tenant) {
            return Err(AdminError::new(404, "Tenant does not exist"));
        }
        if !self.create_namespace(name) {
            return Err(AdminError::new(409, "Namespace already exists"));
        }
        if bundles != BUNDLES
            && let Some(policies) = self.topics.namespaces.get_mut(name)
        {
            policies.kept.insert(BUNDLES_SETTING.to_owned(), bundles.to_string());
        }
        Ok(())
    }

    /// How many bundles a namespace has.
    #[must_use]
    pub fn bundles(&self, namespace: &str) -> u32 {
        let said =
            self.topics.namespaces.get(namespace).and_then(|policies| policies.kept.get(BUNDLES_SETTING));
        said.and_then(|count| count.parse().ok()).unwrap_or(BUNDLES)
    }

    /// The bundle that a topic belongs to, as `0x40000000_0x80000000`.
    #[must_use]
    pub fn bundle_of(&self, name: &TopicName) -> String {
        let boundaries = bundle_boundaries(self.bundles(&name.namespace_name()));
        let hash = format!("0x{:08x}", crc32(name.to_string().as_bytes()));
        let after = boundaries.partition_point(|begin| *begin <= hash).clamp(1, boundaries.len() - 1);
        format!("{}_{}", boundaries[after - 1], boundaries[after])
    }
}

#[cfg(test)]
mod tests {
    use super::bundle_boundaries;

    #[test]
    fn bundles_begin_where_they_begin_in_pulsar() {
        let four = ["0x00000000", "0x40000000", "0x80000000", "0xc0000000", "0xffffffff"];
        assert_eq!(bundle_boundaries(4), four);
        assert_eq!(bundle_boundaries(3), ["0x00000000", "0x55555555", "0xaaaaaaaa", "0xffffffff"]);
    }
}
