//! What is told to whom may not: each call has words of its own.

use super::route::Route;
use super::{Ask, error};
use crate::core::{AdminError, Broker};

const TABLE: &str = include_str!("refusals.txt");
const TOPIC: &str = "/admin/v2/{domain}/{tenant}/{namespace}/{topic}";
const NAMESPACE: &str = "/admin/v2/namespaces/{tenant}/{namespace}";

/// How the real broker asks whether somebody may, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) kind: &'static str,
    pub(super) operation: &'static str,
}

/// What is asked for that route.
pub(super) fn asked(route: &Route) -> Option<Asked> {
    let short = |path: &str, base: &str, name: &str| match path.strip_prefix(base) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => Some(format!("{name}{rest}")),
        _ => None,
    };
    let path = short(&route.path, TOPIC, "@t").or_else(|| short(&route.path, NAMESPACE, "@n"));
    let path = path.as_deref().unwrap_or(&route.path);
    TABLE.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (kind, operation) = (words.next()?, words.next()?);
        let found =
            words.next() == Some(path) && words.next()?.split(',').any(|method| method == route.method);
        found.then_some(Asked { kind, operation })
    })
}

impl Asked {
    /// Why not.
    pub(super) fn refusal(
        self,
        route: &Route,
        ask: &Ask<'_>,
        role: &str,
        broker: &Broker,
    ) -> Option<AdminError> {
        let Self { kind, operation } = self;
        let who = format!("originalPrincipal [null] and clientAppId [{role}]");
        let (operation, policy) = match (kind, operation.split_once('/')) {
            ("settings" | "policy", Some((policy, way))) => (way, policy),
            ("settings" | "policy", None) if route.method == "GET" => ("READ", operation),
            ("settings" | "policy", None) => ("WRITE", operation),
            _ => (operation, ""),
        };
        let namespace = || format!("{}/{}", ask.part("tenant"), ask.part("namespace"));
        let about = format!("for {who} about operation [{operation}]");
        let (status, reason) = match kind {
            "topic" => {
                (401, format!("TopicOperation for operation [{operation}] on topic [{}]", ask.topic().ok()?))
            }
            "settings" => {
                let topic = ask.topic().ok()?;
                (
                    403,
                    format!(
                        "TopicPolicyOperation for operation [{operation}] on topic [{topic}] on policy [{policy}]"
                    ),
                )
            }
            "namespace" => (
                403,
                format!("NamespaceOperation for operation [{operation}] on namespace [{}]", namespace()),
            ),
            "policy" => {
                let namespace = namespace();
                let on = format!("on namespace [{namespace}] on policy [{policy}]");
                (403, format!("NamespacePolicyOperation for operation [{operation}] {on}"))
            }
            "tenant" => (401, format!("TenantOperation {about} on tenant [{}]", ask.part("tenant"))),
            "tenants" => (401, format!("BothTenantOperationAndSuperUser {about} ")),
            "broker" => {
                let node = broker.config().node(ask.call.broker);
                let at = node.admin_url.as_deref().and_then(|url| url.split_once("://"));
                let at = at.map_or("", |(_, at)| at.trim_end_matches('/'));
                (401, format!("BothSuperuserAndBrokerOperation {about} on broker [{at}]"))
            }
            "cluster" => (
                401,
                format!("BothSuperuserAndClusterOperation {about} on cluster [{}]", ask.part("cluster")),
            ),
            "clusters" => (
                401,
                format!(
                    "BothSuperuserAndClusterPolicyOperation {about} on cluster [{}]",
                    ask.part("cluster")
                ),
            ),
            "super" => return Some(error(401, "This operation requires super-user access")),
            "admin" => {
                return Some(error(401, "Don't have permission to administrate resources on this tenant"));
            }
            "produce" => {
                return Some(error(401, format!("Unauthorized to produce to topic {}", ask.topic().ok()?)));
            }
            _ => return None,
        };
        Some(error(status, format!("Unauthorized to validate{reason}")))
    }
}
