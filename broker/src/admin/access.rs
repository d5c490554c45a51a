//! Who calls, whether he may, and the calls that say who may do what.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::route::{Route, Shape, route};
use super::{Answer, Ask, Call, Result, error, refusals, unexpected, unreadable};
use crate::core::names::TopicName;
use crate::core::{Action, AdminError, Broker, Form, Grants, Need, Now, Proof, Unsubscribed};

const EITHER: &[Action] = &[Action::Produce, Action::Consume];
const PRODUCE: &[Action] = &[Action::Produce];
const CONSUME: &[Action] = &[Action::Consume];
/// Only those who administer.
const NOBODY: &[Action] = &[];

/// Paths of which it is asked who calls. The others, metrics among them, are for everybody, as at the real broker.
const ASKED: &[&str] = &["admin", "lookup", "topics"];

/// Sees who calls; nobody where nobody is asked.
pub(super) fn caller(broker: &Broker, call: &Call, now: Now) -> Result<Option<String>> {
    let asked = call.path.first().is_some_and(|first| ASKED.contains(&first.as_str()));
    match broker.config().access {
        Some(_) if asked => {
            let unknown = || AdminError { form: Form::Page, ..error(401, "Authentication required") };
            who(broker, call, now).map(Some).ok_or_else(unknown)
        }
        _ => Ok(None),
    }
}

/// Refuses who may not.
pub(super) fn check(broker: &Broker, route: &Route, ask: &Ask<'_>, role: Option<&str>) -> Result<()> {
    let Some(role) = role else { return Ok(()) };
    let asked = refusals::asked(route);
    let wanted = match asked.map(|asked| asked.kind) {
        Some("super") => Wanted::Broker,
        Some("admin" | "tenant") => Wanted::Tenant(ask.part("tenant").to_owned()),
        _ => Wanted::of(ask.call),
    }
    .for_those_who(asked.map(|asked| asked.operation).unwrap_or_default());
    if is_refused_to_all(route, ask) {
        return Ok(());
    }
    if let Some(name) = wanted.subscription_of(ask) {
        match broker.may_not_use_subscription(role, name, ask.part("subscription")) {
            None => return Ok(()),
            Some(Unsubscribed::Misnamed(why)) => return Err(unexpected(&why)),
            Some(Unsubscribed::Denied) => {}
        }
    } else if broker.may(role, wanted.need()) {
        return Ok(());
    }
    let told = || asked.and_then(|asked| asked.refusal(route, ask, role, broker));
    let missing = match asked.map(|asked| asked.kind) {
        Some("tenants") => None,
        _ => wanted.missing(ask.call, broker),
    };
    Err(missing.or_else(told).unwrap_or_else(|| wanted.refusal(role)))
}

/// Whether it cannot be asked of a topic without storage, which everybody is told.
fn is_refused_to_all(route: &Route, ask: &Ask<'_>) -> bool {
    let on_subscription = route.path.split_once("/subscription/{subscription}").map(|(_, rest)| rest);
    let all = matches!(
        (route.method, on_subscription),
        ("PUT", Some("")) | ("GET" | "POST", Some("/replicatedSubscriptionStatus"))
    );
    all && !ask.is_persistent()
}

/// Who calls: by the first way that holds; by none of them, who is let in without.
fn who(broker: &Broker, call: &Call, now: Now) -> Option<String> {
    let token = call.token.as_deref().map(|data| Proof { method: "token", data, certified: None });
    let basic = call.password.as_deref().map(|data| Proof { method: "basic", data, certified: None });
    let certified = call.certified.as_deref();
    let tls = certified.map(|name| Proof { method: "tls", data: &[], certified: Some(name) });
    let nothing = Proof { method: "none", data: &[], certified: None };
    let meant = |proof: &Proof<'_>| call.auth_method.as_deref().is_none_or(|method| method == proof.method);
    let all = [token, basic, tls].into_iter().flatten().chain([nothing]);
    all.filter(meant).find_map(|proof| broker.identify(proof, now).ok())
}

/// What a call wants.
enum Wanted {
    /// What everybody may who is known.
    Little,
    Broker,
    Tenant(String),
    Namespace(String, &'static [Action]),
    Topic(TopicName, &'static [Action]),
}

impl Wanted {
    /// As Apache Pulsar divides them: looking is for those who produce or consume, subscriptions for those
    /// who consume, the rest for who administers the tenant.
    fn of(call: &Call) -> Self {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        let get = call.method == "GET";
        let topic = |domain: &str, tenant: &str, namespace: &str, local: &str, actions| {
            match TopicName::from_parts(domain == "persistent", tenant, namespace, local) {
                Some(name) => Self::Topic(name, actions),
                // To be refused as what it is: no topic.
                None => Self::Little,
            }
        };
        match path.as_slice() {
            ["openapi.json"]
            | ["admin", "v2", "clusters"]
            | ["admin", "v2", "brokers", "ready" | "version"]
                if get =>
            {
                Self::Little
            }
            ["admin", "v2", "namespaces", "grantPermissionsOnTopics" | "revokePermissionsOnTopics"] => {
                Self::Broker
            }
            // They answer as those of a broker that was started without.
            ["admin", "v2", "functions" | "worker" | "worker-stats", ..]
            | ["admin", "v3", "functions" | "sink" | "sinks" | "source" | "sources", ..] => Self::Little,
            ["admin", "v3", "transactions", what, ..]
                if get && !matches!(*what, "coordinatorStats" | "slowTransactions") =>
            {
                Self::Little
            }
            ["lookup", "v2", "topic", _, tenant, namespace, _, "bundle"] => {
                Self::Namespace(format!("{tenant}/{namespace}"), NOBODY)
            }
            ["admin", "v2", "tenants", tenant] if get => Self::Tenant((*tenant).to_owned()),
            ["admin", "v2", "namespaces", tenant] => Self::Tenant((*tenant).to_owned()),
            ["admin", "v2", "namespaces", tenant, namespace, rest @ ..] => {
                let actions = if get && rest == ["topics"] { EITHER } else { NOBODY };
                Self::Namespace(format!("{tenant}/{namespace}"), actions)
            }
            ["admin", "v2", "persistent" | "non-persistent", tenant, namespace]
            | ["admin", "v2", "persistent" | "non-persistent", tenant, namespace, "partitioned"]
                if get =>
            {
                Self::Namespace(format!("{tenant}/{namespace}"), EITHER)
            }
            [
                "admin",
                "v2",
                domain @ ("persistent" | "non-persistent"),
                tenant,
                namespace,
                local,
                rest @ ..,
            ] => {
                let actions = match rest {
                    ["partitions" | "stats" | "internalStats" | "partitioned-stats" | "properties"]
                    | ["internal-info" | "partitioned-internalStats"]
                        if get =>
                    {
                        EITHER
                    }
                    ["subscriptions"] | ["subscription" | "all_subscription", ..] => CONSUME,
                    _ => NOBODY,
                };
                topic(domain, tenant, namespace, local, actions)
            }
            ["admin", "v2", "schemas", tenant, namespace, local, ..] => {
                topic("persistent", tenant, namespace, local, if get { EITHER } else { PRODUCE })
            }
            ["lookup", "v2", "topic", domain, tenant, namespace, local @ ..] => {
                topic(domain, tenant, namespace, &local.join("/"), EITHER)
            }
            ["topics", domain @ ("persistent" | "non-persistent"), tenant, namespace, local, ..] => {
                topic(domain, tenant, namespace, local, PRODUCE)
            }
            _ => Self::Broker,
        }
    }

    /// The same, where the operation says which permission is enough: none is but to administer, where it is not
    /// named here.
    fn for_those_who(self, operation: &str) -> Self {
        let actions = match operation {
            "LOOKUP" | "GET_STATS" | "GET_METADATA" | "GET_TOPICS" | "GET_BUNDLE" => EITHER,
            "PRODUCE" => PRODUCE,
            "CONSUME"
            | "SUBSCRIBE"
            | "UNSUBSCRIBE"
            | "GET_SUBSCRIPTIONS"
            | "SKIP"
            | "EXPIRE_MESSAGES"
            | "PEEK_MESSAGES"
            | "RESET_CURSOR"
            | "GET_BACKLOG_SIZE"
            | "CLEAR_BACKLOG"
            | "SET_REPLICATED_SUBSCRIPTION_STATUS"
            | "GET_REPLICATED_SUBSCRIPTION_STATUS" => CONSUME,
            "" | "-" => return self,
            _ => NOBODY,
        };
        match self {
            Self::Namespace(name, _) => Self::Namespace(name, actions),
            Self::Topic(name, _) => Self::Topic(name, actions),
            other => other,
        }
    }

    fn need(&self) -> Need<'_> {
        match self {
            Self::Little => Need::Anything,
            Self::Broker => Need::Superuser,
            Self::Tenant(tenant) => Need::TenantAdmin(tenant),
            Self::Namespace(name, actions) => Need::InNamespace(name, actions),
            Self::Topic(name, actions) => Need::OnTopic(name, actions),
        }
    }

    /// The topic whose subscription is named, where that has a say in who may.
    fn subscription_of(&self, ask: &Ask<'_>) -> Option<&TopicName> {
        match self {
            Self::Topic(name, actions) if *actions == CONSUME && !ask.part("subscription").is_empty() => {
                Some(name)
            }
            _ => None,
        }
    }

    /// Who may not is told all the same when there is nothing.
    fn missing(&self, call: &Call, broker: &Broker) -> Option<AdminError> {
        let (tenant, namespace) = match self {
            Self::Little | Self::Broker => return None,
            Self::Tenant(tenant) => (tenant.as_str(), None),
            Self::Namespace(name, _) => (name.split('/').next().unwrap_or_default(), None),
            Self::Topic(name, _) => {
                let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
                let makes = matches!(
                    (call.method.as_str(), path.as_slice()),
                    (_, ["lookup", ..])
                        | ("PUT", ["admin", "v2", _, _, _, _] | ["admin", "v2", _, _, _, _, "partitions"])
                );
                (name.tenant.as_str(), makes.then(|| name.namespace_name()))
            }
        };
        if namespace.is_some_and(|name| broker.namespace(&name).is_err()) {
            return Some(error(404, "Namespace not found"));
        }
        broker.tenant(tenant).is_none().then(|| error(404, "Tenant does not exist"))
    }

    fn refusal(&self, role: &str) -> AdminError {
        let who = format!("originalPrincipal [null] and clientAppId [{role}]");
        match self {
            Self::Little | Self::Broker => {
                error(401, format!("Unauthorized to validate superuser for {who}"))
            }
            Self::Tenant(tenant) => {
                error(401, format!("Unauthorized to validateTenantOperation for {who} on tenant [{tenant}]"))
            }
            Self::Namespace(name, _) => error(
                403,
                format!("Unauthorized to validateNamespaceOperation on namespace [{name}] for {who}"),
            ),
            Self::Topic(name, []) => {
                error(403, format!("Unauthorized to validateNamespaceOperation on topic [{name}] for {who}"))
            }
            Self::Topic(name, _) => {
                error(401, format!("Unauthorized to validateTopicOperation on topic [{name}] for {who}"))
            }
        }
    }
}

/// What roles may do in namespaces and with topics.
pub(super) fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    for (base, group) in [
        ("namespaces/{tenant}/{namespace}", "namespaces"),
        ("{domain}/{tenant}/{namespace}/{topic}", "topics"),
    ] {
        let role = format!("{base}/permissions/{{role}}");
        routes.extend([
            route("GET", &format!("{base}/permissions"), group, "What roles may do.", |ask, broker, _| {
                Ok(Answer::Json(roles(broker.grants(&place(ask, broker)?))))
            }),
            route("POST", &role, group, "Lets a role do something.", |ask, broker, now| {
                let missing = |why: AdminError| match ask.part("topic") {
                    "" if why.status == 404 => error(404, "Topic's namespace does not exist"),
                    _ => why,
                };
                let (place, actions) = (place(ask, broker).map_err(missing)?, actions(&ask.call.json()?)?);
                broker.grant(&place, ask.part("role"), actions, now);
                Ok(Answer::Nothing)
            })
            .takes(Shape::Texts),
            route("DELETE", &role, group, "Takes all permissions from a role.", |ask, broker, now| {
                let missing = |why: AdminError| match ask.part("topic") {
                    "" if why.status == 404 => error(404, ""),
                    _ => why,
                };
                let place = place(ask, broker).map_err(missing)?;
                broker.grant(&place, ask.part("role"), BTreeSet::new(), now);
                Ok(Answer::Nothing)
            }),
        ]);
    }
    let group = "namespaces";
    let base = "namespaces/{tenant}/{namespace}/permissions";
    routes.extend([
        route(
            "GET",
            &format!("{base}/subscription"),
            group,
            "Roles that may use a subscription, by subscription.",
            |ask, broker, _| {
                let namespace = place(ask, broker)?;
                Ok(Answer::Json(json!(broker.subscription_grants(&namespace))))
            },
        )
        .gives(Shape::Object),
        route(
            "POST",
            &format!("{base}/subscription/{{subscription}}"),
            group,
            "Lets these roles use a subscription, and no others.",
            |ask, broker, now| {
                let missing = |why: AdminError| if why.status == 404 { unexpected("") } else { why };
                let (namespace, roles) = (place(ask, broker).map_err(missing)?, ask.call.json()?);
                if roles.is_null() {
                    return Err(error(400, "Roles should not be null"));
                }
                let roles = roles
                    .as_array()
                    .and_then(|all| all.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
                let roles = roles.ok_or_else(|| unreadable("The body must be a list of roles"))?;
                let roles = roles.into_iter().map(str::to_owned).collect();
                broker.let_use_subscription(&namespace, ask.part("subscription"), roles, now);
                Ok(Answer::Nothing)
            },
        )
        .takes(Shape::Texts),
        route(
            "DELETE",
            &format!("{base}/{{subscription}}/{{role}}"),
            group,
            "Lets a role use a subscription no more.",
            |ask, broker, now| {
                let missing = |why: AdminError| if why.status == 404 { error(404, "") } else { why };
                let (namespace, sub) = (place(ask, broker).map_err(missing)?, ask.part("subscription"));
                match broker.take_subscription(&namespace, sub, ask.part("role"), now) {
                    true => Ok(Answer::Nothing),
                    false => Err(unexpected("couldn't find subscription")),
                }
            },
        ),
    ]);
    routes
}

/// The whole name of a namespace that is there, or of a topic in one.
fn place(ask: &Ask<'_>, broker: &Broker) -> Result<String> {
    let namespace = ask.namespace()?;
    if ask.part("topic").is_empty() {
        broker.namespace(&namespace)?;
    }
    if ask.part("topic").is_empty() {
        return Ok(namespace);
    }
    let topic = ask.topic()?;
    if broker.partitions(&topic) == 0 {
        broker.stats(&topic)?;
    }
    Ok(topic.to_string())
}

/// What roles may do, as it is told.
pub(super) fn roles(grants: Grants) -> Value {
    let names = |actions: BTreeSet<Action>| actions.into_iter().map(Action::name).collect::<BTreeSet<_>>();
    grants.into_iter().map(|(role, actions)| (role, json!(names(actions)))).collect::<Map<_, _>>().into()
}

/// A list of actions; those that are none mean nothing.
pub(super) fn actions(list: &Value) -> Result<BTreeSet<Action>> {
    match list {
        Value::Array(names) => Ok(names.iter().filter_map(Value::as_str).filter_map(Action::named).collect()),
        Value::Null => Err(error(400, "Actions should not be null")),
        _ => Err(unreadable("The body must be a list of actions")),
    }
}
