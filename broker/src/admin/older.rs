//! Paths of the first version of the admin API, in which a namespace has a cluster before it:
//! `/admin/persistent/{tenant}/{cluster}/{namespace}/{topic}`. They are answered as those of the second.

use serde_json::{Value, json};

use super::Call;

/// The same call by a path of the second version, if it is one of the first.
pub(super) fn translated(call: &Call) -> Option<Call> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let within = |tenant: &str, cluster: &str, namespace: &str| {
        // Else they are the same as names of the second version.
        let names = ![cluster, namespace].iter().any(|part| part.is_empty() || part.contains('/'));
        names.then(|| [tenant.to_owned(), format!("{cluster}/{namespace}")])
    };
    let second = |group: &[&str], named: [String; 2], rest: &[&str]| -> Vec<String> {
        let owned = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        [owned(group), named.to_vec(), owned(rest)].concat()
    };
    let mut body = call.body.clone();
    let path = match path[..] {
        ["admin", "properties"] => vec!["admin".to_owned(), "v2".to_owned(), "tenants".to_owned()],
        ["admin", "properties", tenant] => {
            second(&["admin", "v2"], ["tenants".to_owned(), tenant.to_owned()], &[])
        }
        ["admin", "namespaces", tenant] => {
            second(&["admin", "v2"], ["namespaces".to_owned(), tenant.to_owned()], &[])
        }
        ["admin", "namespaces", _, "antiAffinity", _] => {
            let mut path = call.path.clone();
            path.insert(1, "v2".to_owned());
            let mut query = call.query.clone();
            for (name, _) in query.iter_mut().filter(|(name, _)| name == "property") {
                "tenant".clone_into(name);
            }
            return Some(Call { path, query, ..call.clone() });
        }
        ["admin", "namespaces", tenant, cluster, namespace] => {
            if call.method == "PUT" && !body.is_empty() {
                let bundles: Value = serde_json::from_slice(&body).unwrap_or_default();
                body = json!({ "bundles": bundles }).to_string().into();
            }
            second(&["admin", "v2", "namespaces"], within(tenant, cluster, namespace)?, &[])
        }
        ["admin", "namespaces", tenant, cluster, namespace, "destinations"] => {
            second(&["admin", "v2", "namespaces"], within(tenant, cluster, namespace)?, &["topics"])
        }
        ["admin", "namespaces", _, _, _, "topics"] => return None,
        [
            "admin",
            group @ ("namespaces" | "persistent" | "non-persistent" | "schemas" | "resource-quotas"),
            tenant,
            cluster,
            namespace,
            ref rest @ ..,
        ] => second(&["admin", "v2", group], within(tenant, cluster, namespace)?, rest),
        ["admin", "brokers" | "broker-stats", ..] | ["admin", "clusters", _, ..] => {
            let mut path = call.path.clone();
            path.insert(1, "v2".to_owned());
            path
        }
        ["lookup", "v2", "destination", domain, tenant, cluster, namespace, ref rest @ ..] => {
            second(&["lookup", "v2", "topic", domain], within(tenant, cluster, namespace)?, rest)
        }
        _ => return None,
    };
    Some(Call { path, body, clustered: true, ..call.clone() })
}
