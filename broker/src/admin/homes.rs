//! In which clusters a namespace is: what is said of them when it is made, and who may delete it.

use serde_json::{Value, json};

use super::reading::kept;
use super::{Answer, Ask, Result, error, unexpected};
use crate::core::{AdminError, Broker, Now, Policies, Scope, Tenant};

/// Clusters that are said of a namespace when it is made.
#[derive(Debug)]
pub(super) struct Homes {
    /// Where it is replicated to.
    used: Vec<String>,
    /// Where it may be.
    allowed: Vec<String>,
}

impl Homes {
    /// What a body says of them, with the cluster of a name of the first version.
    pub(super) fn read(body: &Value, name: &str, tenant: &Tenant, broker: &Broker) -> Result<Self> {
        for (field, null) in [
            ("allowed_clusters", r#""java.util.Set.isEmpty()" because "this.allowed_clusters" is null"#),
            (
                "replication_clusters",
                r#""java.util.Set.contains(Object)" because "nsPolicies.replication_clusters" is null"#,
            ),
        ] {
            if body.get(field).is_some_and(Value::is_null) {
                return Err(unexpected(&format!("Cannot invoke {null}")));
            }
        }
        let (used, mut allowed) =
            (names(body.get("replication_clusters")), names(body.get("allowed_clusters")));
        let (of, namespace) = name.split_once('/').unwrap_or_default();
        let of_name = namespace.split_once('/').map(|(cluster, _)| cluster.to_owned());
        let own = &broker.config().cluster;
        let may = |cluster: &String| match &tenant.allowed_clusters {
            Some(clusters) => clusters.contains(cluster),
            None => cluster == own,
        };
        if !allowed.is_empty() && used.iter().any(|cluster| !allowed.contains(cluster)) {
            return Err(error(
                400,
                format!(
                    "[{name}] All replication clusters should be included in allowed clusters. Repl clusters: [{}], \
                     allowed clusters: [{}]",
                    used.join(", "),
                    allowed.join(", ")
                ),
            ));
        }
        let of_name = of_name.iter().filter(|cluster| *cluster != "global");
        if let Some(cluster) = used.iter().chain(of_name).chain(&allowed).find(|cluster| !may(cluster)) {
            return Err(error(
                403,
                format!("Cluster [{cluster}] is not in the list of allowed clusters list for tenant [{of}]"),
            ));
        }
        // One that is made for others alone is allowed in this one all the same.
        if !used.is_empty() && !used.contains(own) && !allowed.contains(own) {
            allowed.push(own.clone());
        }
        Ok(Self { used, allowed })
    }

    /// Keeps them. One that is said to be nowhere is in this cluster, unless it is said to be allowed there.
    pub(super) fn keep(self, scope: &Scope, broker: &mut Broker, now: Now) -> Result<()> {
        let nowhere = self.used.is_empty() && self.allowed.contains(&broker.config().cluster);
        let settings = [
            ("replication", json!(self.used), nowhere || !self.used.is_empty()),
            ("allowedClusters", json!(self.allowed), !self.allowed.is_empty()),
        ];
        let keep = |policies: &mut Policies| {
            for (name, value, _) in settings.into_iter().filter(|(_, _, said)| *said) {
                policies.kept.insert(name.to_owned(), value.to_string());
            }
        };
        broker.set_policies(scope, keep, now)
    }
}

/// Texts of a list, each once.
fn names(list: Option<&Value>) -> Vec<String> {
    let mut all = Vec::new();
    for name in list.and_then(Value::as_array).into_iter().flatten() {
        let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

/// The only cluster that may delete a namespace.
pub(super) fn deletes(policies: &Policies, broker: &Broker) -> Option<String> {
    let allowed = names(Some(&kept(policies, "allowedClusters", json!([]))));
    let used = names(Some(&kept(policies, "replication", json!([broker.config().cluster]))));
    match used.as_slice() {
        [only] if allowed.len() < 2 => Some(only.clone()),
        _ => None,
    }
}

/// Where a namespace is to be deleted, if not here.
pub(super) fn deleted_elsewhere(name: &str, ask: &Ask<'_>, broker: &Broker) -> Result<Option<Answer>> {
    // Of the first version only those of all clusters.
    if ask.part("namespace").split_once('/').is_some_and(|(cluster, _)| cluster != "global") {
        return Ok(None);
    }
    let Some(cluster) = deletes(&broker.namespace(name)?, broker) else {
        return Err(error(
            412,
            format!(
                "Cannot delete the global namespace {name}. There are still more than one replication clusters \
                 configured."
            ),
        ));
    };
    if cluster == broker.config().cluster {
        return Ok(None);
    }
    let missing = || error(404, format!("Cluster {cluster} does not exist"));
    let data: Value =
        serde_json::from_str(broker.clusters().get(&cluster).ok_or_else(missing)?).map_err(|_| missing())?;
    let at = authority(&data)?;
    let force = if ask.call.flag("force") { "&force=true" } else { "" };
    Ok(Some(Answer::Elsewhere(format!("{at}{}?authoritative=false{force}", ask.call.raw))))
}

/// Scheme, host and port of a cluster's service. Of several no one is taken.
fn authority(cluster: &Value) -> Result<String> {
    let url = cluster.get("serviceUrl").and_then(Value::as_str);
    let (scheme, rest) = url.and_then(|url| url.split_once("://")).ok_or_else(nowhere)?;
    let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let after_host = place.rsplit_once(']').map_or(place, |(_, rest)| rest);
    let port = after_host.split_once(':').map_or("", |(_, port)| port);
    match port.find(|digit: char| !digit.is_ascii_digit()) {
        Some(at) => Err(unexpected(&format!("Error at index {at} in: {port:?}"))),
        None => Ok(format!("{scheme}://{place}")),
    }
}

/// A cluster that does not say where its services are.
fn nowhere() -> AdminError {
    unexpected(r#"Cannot invoke "String.length()" because "spec" is null"#)
}

#[cfg(test)]
mod tests {
    use super::{authority, json};

    #[test]
    fn a_cluster_is_asked_by_the_place_of_its_service() {
        let place = |url: &str| authority(&json!({ "serviceUrl": url })).map_err(|error| error.status);
        assert_eq!(place("http://a:8080/admin"), Ok("http://a:8080".to_owned()));
        assert_eq!(place("http://[::1]:8080"), Ok("http://[::1]:8080".to_owned()));
        assert_eq!(place("http://a:1,b:2"), Err(500));
        assert_eq!(place("a"), Err(500));
    }
}
