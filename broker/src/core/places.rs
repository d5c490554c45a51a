//! Clusters, tenants and namespaces, as whoever runs the broker sees them.

use std::collections::{BTreeMap, BTreeSet};

use super::Broker;
use super::admin::AdminError;
use super::bundles::{BUNDLES, BUNDLES_SETTING, Bounds};
use super::keeping::kind;
use super::names::{TopicName, parse_namespace};
use super::policies::{Policies, Scope};
use super::time::Now;

/// What is known of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tenant {
    /// Roles that administer it.
    pub admin_roles: BTreeSet<String>,
    /// Clusters that it may use; `None` is this one.
    pub allowed_clusters: Option<BTreeSet<String>>,
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

    /// Something else that was told to the admin API and is only kept, in JSON: by a name.
    #[must_use]
    pub fn noted(&self, name: &str) -> Option<&str> {
        self.topics.noted.get(name).map(String::as_str)
    }

    /// Keeps something that is only to be told again, or (`None`) forgets it.
    pub fn set_noted(&mut self, name: &str, data: Option<String>) {
        self.topics.touch_name(kind::NOTED, name);
        match data {
            Some(data) => self.topics.noted.insert(name.to_owned(), data),
            None => self.topics.noted.remove(name),
        };
    }

    /// What is known of a tenant.
    #[must_use]
    pub fn tenant(&self, name: &str) -> Option<Tenant> {
        let there = self.topics.tenants.contains(name);
        there.then(|| Tenant {
            admin_roles: self.tenant_admins(name),
            allowed_clusters: self.topics.tenant_clusters.get(name).cloned(),
        })
    }

    /// Makes a tenant, or changes it.
    pub fn set_tenant(&mut self, name: &str, tenant: Tenant) {
        self.topics.touch_name(kind::TENANT, name);
        self.topics.tenants.insert(name.to_owned());
        match tenant.allowed_clusters {
            Some(clusters) => self.topics.tenant_clusters.insert(name.to_owned(), clusters),
            None => self.topics.tenant_clusters.remove(name),
        };
        self.set_tenant_admins(name, tenant.admin_roles);
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
        self.topics.tenant_clusters.remove(name);
        self.set_tenant_admins(name, BTreeSet::new());
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
        self.delete_namespace(name, now)
    }

    /// The settings of a namespace.
    ///
    /// # Errors
    /// It is not there.
    pub fn namespace(&self, name: &str) -> Result<Policies, AdminError> {
        self.policies(&Scope::Namespace(name.to_owned()))
    }

    /// Whether there are topics in a namespace.
    #[must_use]
    pub fn has_topics(&self, name: &str) -> bool {
        [true, false]
            .into_iter()
            .any(|persistent| self.topics.of_namespace(name, persistent).next().is_some())
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
        let most = self.config.limits.max_namespaces_per_tenant;
        if most > 0 && self.namespaces(tenant).len() as u64 >= most {
            let reason = format!("Exceed the maximum number of namespace in tenant :{tenant}");
            return Err(AdminError::new(412, reason));
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

    /// The bundles of a namespace.
    #[must_use]
    pub fn bundles(&self, namespace: &str) -> Bounds {
        let said =
            self.topics.namespaces.get(namespace).and_then(|policies| policies.kept.get(BUNDLES_SETTING));
        said.and_then(|said| Bounds::read(said)).unwrap_or_else(|| Bounds::even(BUNDLES))
    }

    /// The range of the bundle that a topic belongs to, as `0x40000000_0x80000000`.
    #[must_use]
    pub fn bundle_of(&self, name: &TopicName) -> String {
        self.bundles(&name.namespace_name()).range_of(name)
    }
}
