//! Who calls, whether he may, and the calls that say who may do what.

use std::collections::BTreeSet;

use http::{HeaderMap, header};
use serde_json::{Map, Value, json};

use super::routes::ask;
use super::{Answer, Call};
use crate::core::names::TopicName;
use crate::core::{Action, AdminError, Need, Proof};
use crate::server::engine::Handle;

const EITHER: &[Action] = &[Action::Produce, Action::Consume];
const PRODUCE: &[Action] = &[Action::Produce];
const CONSUME: &[Action] = &[Action::Consume];
/// Only those who administer.
const NOBODY: &[Action] = &[];

fn error(status: u16, reason: impl Into<String>) -> AdminError {
    AdminError { status, reason: reason.into() }
}

/// The token that a request brings.
pub(super) fn bearer(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    value.strip_prefix(b"Bearer ").map(<[u8]>::to_vec)
}

/// Sees who calls, and refuses who may not.
pub(super) async fn check(
    call: &Call,
    token: Option<Vec<u8>>,
    certified: Option<&str>,
    handle: &Handle,
) -> Result<(), AdminError> {
    let (certified, wanted) = (certified.map(str::to_owned), Wanted::of(call));
    ask(handle, move |broker, now| {
        if broker.config().access.is_none() {
            return Ok(());
        }
        let proof = match &token {
            Some(token) => Proof { method: "token", data: token, certified: None },
            None => Proof { method: "tls", data: &[], certified: certified.as_deref() },
        };
        let Ok(role) = broker.identify(proof, now) else { return Err(error(401, "Authentication required")) };
        if broker.may(&role, wanted.need()) { Ok(()) } else { Err(wanted.refusal(&role)) }
    })
    .await?
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
            ["admin", "v2", "clusters"] | ["admin", "v2", "brokers", "ready" | "version"] if get => {
                Self::Little
            }
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
            _ => Self::Broker,
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

/// `permissions` and `permissions/ROLE` of a namespace or a topic, by its whole name.
pub(super) async fn permissions(
    call: &Call,
    place: String,
    rest: &[&str],
    handle: &Handle,
) -> Option<Result<Answer, AdminError>> {
    let answer = match (call.method.as_str(), rest) {
        ("GET", []) => {
            let grants = ask(handle, move |broker, _| broker.grants(&place)).await;
            grants.map(|grants| {
                let names = |actions: BTreeSet<Action>| {
                    actions.into_iter().map(Action::name).collect::<BTreeSet<_>>()
                };
                let roles: Map<String, Value> =
                    grants.into_iter().map(|(role, actions)| (role, json!(names(actions)))).collect();
                Answer::Json(Value::Object(roles))
            })
        }
        ("POST", [role]) => match actions(call) {
            Ok(actions) => {
                let role = (*role).to_owned();
                let granted = ask(handle, move |broker, _| broker.grant(&place, &role, actions)).await;
                granted.map(|()| Answer::Nothing)
            }
            Err(error) => Err(error),
        },
        ("DELETE", [role]) => {
            let role = (*role).to_owned();
            let taken = ask(handle, move |broker, _| broker.grant(&place, &role, BTreeSet::new())).await;
            taken.map(|()| Answer::Nothing)
        }
        _ => return None,
    };
    Some(answer)
}

/// A list of actions; those that are none mean nothing.
fn actions(call: &Call) -> Result<BTreeSet<Action>, AdminError> {
    match call.json()? {
        Value::Array(names) => Ok(names.iter().filter_map(Value::as_str).filter_map(Action::named).collect()),
        _ => Err(error(400, "The body must be a list of actions")),
    }
}
