//! What is kept of a cluster beside its addresses: peers, failure domains, which brokers are for which
//! namespaces, where it moved. There is one cluster here, so all of it is only told again.

use regex_lite::Regex;
use serde_json::{Map, Value, json};

use super::route::{Route, Shape, route};
use super::{Answer, Ask, Result, brokers, error, places, unreadable};
use crate::core::{Broker, Now};

const GROUP: &str = "clusters";

pub(super) fn routes() -> Vec<Route> {
    let at = |method, rest: &str, summary, run| {
        route(method, &format!("clusters/{{cluster}}/{rest}"), GROUP, summary, run)
    };
    let isolation = "namespaceIsolationPolicies";
    vec![
        at("GET", "peers", "Peer clusters.", |ask, broker, _| {
            Ok(match places::known_cluster(ask, broker)?.get("peerClusterNames") {
                Some(names) => Answer::Json(names.clone()),
                None => Answer::Empty,
            })
        })
        .gives(Shape::Texts),
        at("POST", "peers", "Says which clusters are peers. Nothing follows from it.", set_peers)
            .takes(Shape::Texts),
        at("GET", "migrate", "Where a cluster moved to.", |ask, broker, _| {
            places::known_cluster(ask, broker)?;
            Ok(match broker.noted(&name(ask, "migrate")) {
                Some(said) => Answer::Json(serde_json::from_str(said).unwrap_or_default()),
                None => return Err(error(404, "Cluster does not exist")),
            })
        }),
        at("POST", "migrate", "Says where a cluster moved to: clients of topics that are made or unloaded from now on are sent there.", migrate)
            .takes(Shape::Object)
            .asks(&[("migrated", Shape::Boolean, "Whether it has moved.")]),
        at("GET", "failureDomains", "Failure domains and their brokers.", |ask, broker, _| {
            Ok(Answer::Json(Value::Object(all(broker, &name(ask, DOMAINS)).unwrap_or_default())))
        }),
        at("GET", "failureDomains/{group}", "Brokers of a failure domain.", |ask, broker, _| {
            must_exist(ask, broker)?;
            let domain = ask.part("group");
            let found = all(broker, &name(ask, DOMAINS)).and_then(|mut all| all.remove(domain));
            let cluster = ask.part("cluster");
            found
                .map(Answer::Json)
                .ok_or_else(|| error(404, format!("Domain {domain} for cluster {cluster} does not exist")))
        }),
        at("POST", "failureDomains/{group}", "Sets a failure domain; nothing follows from it.", set_domain)
            .takes(Shape::Object),
        at("DELETE", "failureDomains/{group}", "Forgets a failure domain.", |ask, broker, _| {
            must_exist(ask, broker)?;
            let (domain, cluster) = (ask.part("group"), ask.part("cluster"));
            let mut domains = all(broker, &name(ask, DOMAINS)).unwrap_or_default();
            let none = || error(404, format!("Domain-name {domain} or cluster {cluster} does not exist"));
            domains.remove(domain).ok_or_else(none)?;
            broker.set_noted(&name(ask, DOMAINS), Some(Value::Object(domains).to_string()));
            Ok(Answer::Empty)
        }),
        at("GET", isolation, "Which brokers are for which namespaces.", |ask, broker, _| {
            if places::known_cluster(ask, broker).is_err() {
                return Err(error(404, format!("Cluster {} does not exist.", ask.part("cluster"))));
            }
            policies(ask, broker).map(|all| Answer::Json(Value::Object(all)))
        }),
        at("GET", &format!("{isolation}/brokers"), "The same, broker by broker.", |ask, broker, _| {
            must_exist(ask, broker)?;
            let all = policies(ask, broker)?;
            let told = brokers::ids(broker).into_iter().map(|id| of_broker(&id, &all));
            Ok(Answer::Json(told.collect()))
        }),
        at("GET", &format!("{isolation}/brokers/{{broker}}"), "Namespaces of a broker.", |ask, broker, _| {
            must_exist(ask, broker)?;
            Ok(Answer::Json(of_broker(ask.part("broker"), &policies(ask, broker)?)))
        }),
        at("GET", &format!("{isolation}/{{policy}}"), "One of these policies.", |ask, broker, _| {
            must_exist(ask, broker)?;
            let (policy, cluster) = (ask.part("policy"), ask.part("cluster"));
            let none =
                || error(404, format!("Cannot find NamespaceIsolationPolicy {policy} for cluster {cluster}"));
            policies(ask, broker)?.remove(policy).map(Answer::Json).ok_or_else(none)
        }),
        at("POST", &format!("{isolation}/{{policy}}"), "Sets one; nothing follows from it.", set_policy)
            .takes(Shape::Object),
        at("DELETE", &format!("{isolation}/{{policy}}"), "Forgets one.", |ask, broker, _| {
            must_exist(ask, broker)?;
            let mut policies = all(broker, &name(ask, ISOLATION)).unwrap_or_default();
            policies.remove(ask.part("policy"));
            broker.set_noted(&name(ask, ISOLATION), Some(Value::Object(policies).to_string()));
            Ok(Answer::Nothing)
        }),
    ]
}

const DOMAINS: &str = "failureDomains";
const ISOLATION: &str = "namespaceIsolationPolicies";

/// Under which name something of a cluster is kept.
fn name(ask: &Ask<'_>, what: &str) -> String {
    format!("clusters/{}/{what}", ask.part("cluster"))
}

/// What is kept under a name, part by part.
fn all(broker: &Broker, name: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(broker.noted(name)?) {
        Ok(Value::Object(parts)) => Some(parts),
        _ => None,
    }
}

fn must_exist(ask: &Ask<'_>, broker: &Broker) -> Result<()> {
    let cluster = ask.part("cluster");
    places::known_cluster(ask, broker)
        .map(drop)
        .map_err(|_| error(412, format!("Cluster {cluster} does not exist.")))
}

/// A list of texts, in order, each once.
fn texts(value: &Value) -> Option<Vec<String>> {
    let mut list: Vec<String> =
        value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<_>>()?;
    list.sort();
    list.dedup();
    Some(list)
}

fn set_peers(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let mut data = places::known_cluster(ask, broker)?;
    let cluster = ask.part("cluster");
    let peers = match ask.call.json()? {
        Value::Null => None,
        list => Some(texts(&list).ok_or_else(|| unreadable("The body must be a list of clusters"))?),
    };
    for peer in peers.iter().flatten() {
        if peer == cluster {
            return Err(error(412, format!("{cluster} itself can't be part of peer-list")));
        }
        if !places::names(broker).contains(peer) {
            return Err(error(412, format!("Peer cluster {peer} does not exist")));
        }
    }
    if let Some(fields) = data.as_object_mut() {
        match peers {
            Some(peers) => drop(fields.insert("peerClusterNames".to_owned(), json!(peers))),
            None => drop(fields.remove("peerClusterNames")),
        }
    }
    broker.set_cluster(cluster, Some(data.to_string()));
    Ok(Answer::Nothing)
}

fn migrate(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    const URLS: [&str; 4] = ["serviceUrl", "serviceUrlTls", "brokerServiceUrl", "brokerServiceUrlTls"];
    places::known_cluster(ask, broker)?;
    let body = ask.call.json()?;
    let text = |name: &&str| Some(((*name).to_owned(), json!(body.get(name)?.as_str()?)));
    let mut to: Map<String, Value> = URLS.iter().filter_map(text).collect();
    if to.is_empty() {
        return Ok(Answer::Empty);
    }
    to.insert("empty".to_owned(), json!(false));
    let said = json!({ "migrated": ask.call.flag("migrated"), "migratedClusterUrl": to });
    broker.set_noted(&name(ask, "migrate"), Some(said.to_string()));
    Ok(Answer::Empty)
}

fn set_domain(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    must_exist(ask, broker)?;
    let body = ask.call.json()?;
    let wrong = || unreadable("The body must be an object with a list of brokers");
    let said = match (&body, body.get("brokers")) {
        (Value::Object(_), None | Some(Value::Null)) => None,
        (Value::Object(_), Some(list)) => Some(texts(list).ok_or_else(wrong)?),
        _ => return Err(wrong()),
    };
    let mut domains = all(broker, &name(ask, DOMAINS)).unwrap_or_default();
    let domain = ask.part("group");
    for (other, of_other) in domains.iter().filter(|(other, _)| *other != domain) {
        let theirs = of_other.get("brokers").and_then(texts).unwrap_or_default();
        let twice: Vec<&String> = said.iter().flatten().filter(|broker| theirs.contains(broker)).collect();
        if !twice.is_empty() {
            let twice = twice.iter().map(|broker| broker.as_str()).collect::<Vec<_>>().join(", ");
            return Err(error(409, format!("[{twice}] already exists in {other}")));
        }
    }
    domains
        .insert(domain.to_owned(), said.map_or_else(|| json!({}), |brokers| json!({ "brokers": brokers })));
    broker.set_noted(&name(ask, DOMAINS), Some(Value::Object(domains).to_string()));
    Ok(Answer::Nothing)
}

fn policies(ask: &Ask<'_>, broker: &Broker) -> Result<Map<String, Value>> {
    let cluster = ask.part("cluster");
    all(broker, &name(ask, ISOLATION))
        .ok_or_else(|| error(404, format!("NamespaceIsolationPolicies for cluster {cluster} does not exist")))
}

fn set_policy(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    must_exist(ask, broker)?;
    let (body, policy) = (ask.call.json()?, ask.part("policy"));
    let list = |name: &str| body.get(name).filter(|list| texts(list).is_some());
    let some = |name: &str| list(name).filter(|list| **list != json!([]));
    let failover = body.get("auto_failover_policy").unwrap_or(&Value::Null);
    let parameters = &failover["parameters"];
    let fits = failover["policy_type"] == "min_available"
        && parameters["min_limit"].is_string()
        && parameters["usage_threshold"].is_string();
    let (Some(namespaces), Some(primary), Some(secondary), true) =
        (some("namespaces"), some("primary"), list("secondary"), fits)
    else {
        return Err(error(
            400,
            format!("Invalid format of input policy data. policy: {policy}; data: {body}"),
        ));
    };
    let mut said = json!({
        "namespaces": namespaces,
        "primary": primary,
        "secondary": secondary,
        "auto_failover_policy": { "policy_type": "min_available", "parameters": parameters },
    });
    if let Some(scope) = body.get("unload_scope").filter(|scope| scope.is_string()) {
        said["unload_scope"] = scope.clone();
    }
    let mut policies = all(broker, &name(ask, ISOLATION)).unwrap_or_default();
    policies.insert(policy.to_owned(), said);
    broker.set_noted(&name(ask, ISOLATION), Some(Value::Object(policies).to_string()));
    Ok(Answer::Nothing)
}

/// What policies say of a broker: the last of those that name it.
fn of_broker(id: &str, policies: &Map<String, Value>) -> Value {
    let mut out = json!({ "brokerName": id, "namespaceRegex": [], "primary": false });
    let mut namespaces = Vec::new();
    for (name, policy) in policies {
        let named = |list: &Value| {
            list.as_array().into_iter().flatten().filter_map(Value::as_str).any(|pattern| {
                Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|pattern| pattern.is_match(id))
            })
        };
        let primary = named(&policy["primary"]);
        if primary || named(&policy["secondary"]) {
            namespaces.extend(policy["namespaces"].as_array().into_iter().flatten().cloned());
            (out["policyName"], out["primary"]) = (json!(name), json!(primary));
        }
    }
    out["namespaceRegex"] = json!(namespaces);
    out
}
