//! Clusters and tenants.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::route::{Route, Shape, route};
use super::{Answer, Ask, Result, error, unreadable};
use crate::core::names::is_entity;
use crate::core::{Broker, Now, Tenant};

const CLUSTERS: &str = "clusters";
const TENANTS: &str = "tenants";

pub(super) fn routes() -> Vec<Route> {
    let cluster = |method, path, summary, run| route(method, path, CLUSTERS, summary, run);
    let tenant = |method, summary, run| route(method, "tenants/{tenant}", TENANTS, summary, run);
    vec![
        cluster("GET", "clusters", "Names of all clusters.", |_, broker, _| {
            // Namespaces may be replicated to it in names of the first version, but it is none.
            let real = names(broker).into_iter().filter(|name| name != "global");
            Ok(Answer::Json(real.map(Value::from).collect()))
        })
        .gives(Shape::Texts),
        cluster("GET", "clusters/{cluster}", "A cluster's addresses.", |ask, broker, _| {
            known_cluster(ask, broker).map(Answer::Json)
        }),
        cluster("PUT", "clusters/{cluster}", "Makes a cluster known.", create_cluster)
            .takes(Shape::Object)
            .gives(Shape::Text),
        cluster("POST", "clusters/{cluster}", "Changes a cluster's addresses.", |ask, broker, _| {
            known_cluster(ask, broker)?;
            broker.set_cluster(ask.part("cluster"), Some(cluster_data(&ask.call.json()?)?.to_string()));
            Ok(Answer::Empty)
        })
        .takes(Shape::Object)
        .gives(Shape::Text),
        cluster("DELETE", "clusters/{cluster}", "Forgets a cluster.", |ask, broker, _| {
            known_cluster(ask, broker)?;
            broker.set_cluster(ask.part("cluster"), None);
            Ok(Answer::Nothing)
        }),
        route("GET", "tenants", TENANTS, "Names of all tenants.", |_, broker, _| {
            Ok(Answer::Json(json!(broker.tenants())))
        })
        .gives(Shape::Texts),
        tenant("GET", "Who administers a tenant, and where it may be.", |ask, broker, _| {
            let tenant =
                broker.tenant(ask.part("tenant")).ok_or_else(|| error(404, "Tenant does not exist"))?;
            let clusters: Vec<String> = match &tenant.allowed_clusters {
                Some(clusters) => clusters.iter().cloned().collect(),
                None => vec![broker.config().cluster.clone()],
            };
            let mut told = json!({ "adminRoles": tenant.admin_roles, "allowedClusters": clusters });
            let said = broker.noted(&roles_of(ask)).is_none() || !tenant.admin_roles.is_empty();
            if let Some(fields) = told.as_object_mut().filter(|_| !said) {
                fields.remove("adminRoles");
            }
            Ok(Answer::Json(told))
        }),
        tenant("PUT", "Makes a tenant.", |ask, broker, _| {
            let name = ask.part("tenant");
            let tenant = tenant_of(&ask.call.json()?, broker)?;
            if !is_entity(name) {
                return Err(error(412, "Tenant name is not valid"));
            }
            if broker.tenant(name).is_some() {
                return Err(error(409, "Tenant already exist"));
            }
            let most = broker.config().limits.max_tenants;
            if most > 0 && broker.tenants().len() as u64 >= most {
                return Err(error(412, "Exceed the maximum number of tenants"));
            }
            broker.set_tenant(name, tenant);
            note_roles(ask, broker)?;
            Ok(Answer::Nothing)
        })
        .takes(Shape::Object),
        tenant("POST", "Changes a tenant.", |ask, broker, _| {
            let name = ask.part("tenant");
            let tenant = tenant_of(&ask.call.json()?, broker)?;
            if broker.tenant(name).is_none() {
                return Err(error(404, format!("Tenant {name} not found")));
            }
            broker.set_tenant(name, tenant);
            note_roles(ask, broker)?;
            Ok(Answer::Nothing)
        })
        .takes(Shape::Object),
        tenant("DELETE", "Deletes a tenant without namespaces.", |ask, broker, now| {
            let force = super::namespaces::forced(ask, broker, "forceDeleteTenantAllowed", "tenants")?;
            broker.delete_tenant(ask.part("tenant"), force, now)?;
            broker.set_noted(&roles_of(ask), None);
            Ok(Answer::Nothing)
        })
        .asks(&[(
            "force",
            Shape::Boolean,
            "With all that it has, where the broker's setting forceDeleteTenantAllowed is true.",
        )]),
    ]
}

pub(super) fn names(broker: &Broker) -> Vec<String> {
    let mut names: Vec<String> = broker.clusters().keys().cloned().collect();
    let own = broker.config().cluster.clone();
    if !names.contains(&own) {
        names.push(own);
    }
    names.sort();
    names
}

/// What is said of a cluster that is known.
pub(super) fn known_cluster(ask: &Ask<'_>, broker: &Broker) -> Result<Value> {
    let name = ask.part("cluster");
    if let Some(said) = broker.clusters().get(name) {
        return Ok(serde_json::from_str(said).unwrap_or_default());
    }
    let config = broker.config();
    if name != config.cluster {
        return Err(error(404, "Cluster does not exist"));
    }
    let mut data = json!({
        "serviceUrl": config.admin_url,
        "serviceUrlTls": config.admin_url_tls,
        "brokerServiceUrl": config.service_url,
        "brokerServiceUrlTls": config.service_url_tls,
        "brokerClientTlsEnabled": false,
        "tlsAllowInsecureConnection": false,
        "brokerClientTlsEnabledWithKeyStore": false,
        "brokerClientTlsTrustStoreType": "JKS",
        "brokerClientTlsKeyStoreType": "JKS",
        "brokerClientSslFactoryPlugin": "org.apache.pulsar.common.util.DefaultPulsarSslFactory",
    });
    if let Some(fields) = data.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    Ok(data)
}

fn create_cluster(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let name = ask.part("cluster");
    let data = cluster_data(&ask.call.json()?)?;
    if !is_entity(name) {
        return Err(error(412, "Cluster name is not valid"));
    }
    if known_cluster(ask, broker).is_ok() {
        return Err(error(409, "Cluster already exists"));
    }
    broker.set_cluster(name, Some(data.to_string()));
    Ok(Answer::Empty)
}

fn cluster_data(body: &Value) -> Result<Value> {
    const TEXTS: &[&str] = &[
        "serviceUrl",
        "serviceUrlTls",
        "brokerServiceUrl",
        "brokerServiceUrlTls",
        "proxyServiceUrl",
        "proxyProtocol",
        "authenticationPlugin",
        "authenticationParameters",
        "brokerClientTrustCertsFilePath",
        "brokerClientTlsTrustStoreType",
        "brokerClientTlsTrustStore",
        "brokerClientTlsTrustStorePassword",
        "brokerClientTlsKeyStoreType",
        "brokerClientTlsKeyStore",
        "brokerClientTlsKeyStorePassword",
        "brokerClientKeyFilePath",
        "brokerClientCertificateFilePath",
        "brokerClientSslFactoryPlugin",
        "brokerClientSslFactoryPluginParams",
        "listenerName",
    ];
    let fields = body.as_object().ok_or_else(|| error(400, "cluster data is required"))?;
    let mut data = Map::new();
    for name in TEXTS {
        match fields.get(*name) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => drop(data.insert((*name).to_owned(), json!(text))),
            Some(one @ (Value::Number(_) | Value::Bool(_))) => {
                data.insert((*name).to_owned(), json!(one.to_string()));
            }
            Some(_) => return Err(unreadable(format!("{name} must be a text"))),
        }
    }
    for (name, begins, what) in ADDRESSES {
        let Some(urls) = data.get(*name).and_then(Value::as_str).filter(|urls| !urls.is_empty()) else {
            continue;
        };
        let wrong = urls.contains(' ') || !begins.iter().any(|begin| urls.starts_with(begin));
        if wrong {
            return Err(error(400, format!("Illegal {what}")));
        }
    }
    for name in ["brokerClientTlsEnabled", "brokerClientTlsEnabledWithKeyStore", "tlsAllowInsecureConnection"]
    {
        let on = fields.get(name).and_then(Value::as_bool).unwrap_or(false);
        data.insert(name.to_owned(), json!(on));
    }
    match fields.get("peerClusterNames") {
        None | Some(Value::Null) => {}
        Some(Value::Array(names)) => drop(data.insert("peerClusterNames".to_owned(), json!(names))),
        Some(_) => return Err(unreadable("peerClusterNames must be a list of texts")),
    }
    Ok(Value::Object(data))
}

/// Under which name it is kept that nobody said who administers a tenant.
fn roles_of(ask: &Ask<'_>) -> String {
    format!("tenants/{}/adminRoles", ask.part("tenant"))
}

fn note_roles(ask: &Ask<'_>, broker: &mut Broker) -> Result<()> {
    let unsaid = ask.call.json()?.get("adminRoles").is_none_or(Value::is_null);
    broker.set_noted(&roles_of(ask), unsaid.then(|| Value::Null.to_string()));
    Ok(())
}

/// How a cluster's addresses begin, and what is said of one that does not.
const ADDRESSES: &[(&str, &[&str], &str)] = &[
    ("serviceUrl", &["http://"], "service url, example: http://pulsar.example.com:8080"),
    ("serviceUrlTls", &["https://"], "service tls url, example: https://pulsar.example.com:8443"),
    ("brokerServiceUrl", &["pulsar://"], "broker service url, example: pulsar://pulsar.example.com:6650"),
    (
        "brokerServiceUrlTls",
        &["pulsar+ssl://"],
        "broker service tls url, example: pulsar+ssl://pulsar.example.com:6651",
    ),
    (
        "proxyServiceUrl",
        &["pulsar://", "pulsar+ssl://"],
        "proxy service url, example: pulsar+ssl://ats-proxy.example.com:4443 or pulsar://ats-proxy.example.com:4080",
    ),
];

fn tenant_of(body: &Value, broker: &Broker) -> Result<Tenant> {
    let texts = |name: &str| match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) => {
            let texts: Option<BTreeSet<String>> =
                list.iter().map(|text| Some(text.as_str()?.to_owned())).collect();
            texts.map(Some).ok_or_else(|| unreadable(format!("{name} must be a list of texts")))
        }
        Some(_) => Err(unreadable(format!("{name} must be a list of texts"))),
    };
    if body.is_null() {
        return Err(error(412, "TenantInfo is null"));
    }
    let roles = texts("adminRoles")?.unwrap_or_default();
    if roles.iter().any(|role| role.trim() != role) {
        return Err(error(412, "AdminRoles contains whitespace in the beginning or end."));
    }
    let clusters = texts("allowedClusters")?.ok_or_else(|| error(412, "Clusters cannot be null"))?;
    if clusters.is_empty() || clusters.iter().all(|cluster| cluster.trim().is_empty()) {
        return Err(error(412, "Clusters cannot be empty or blank"));
    }
    let known = names(broker);
    if clusters.iter().any(|cluster| cluster != "global" && !known.contains(cluster)) {
        return Err(error(412, "Clusters do not exist"));
    }
    Ok(Tenant { admin_roles: roles, allowed_clusters: Some(clusters) })
}
