//! Calls that are seldom made: permissions of several topics at once, settings of single subscriptions, all
//! settings of a topic at once, groups of namespaces that keep apart.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::reading::kept;
use super::route::{Parameter, Route, Shape, route};
use super::settings::{Kind, Setting};
use super::{Answer, Ask, Result, access, checks, error, places};
use crate::core::names::TopicName;
use crate::core::{Broker, Now, OF_SUBSCRIPTIONS, Policies, Scope};

const TOPICS: &str = "topics";
const NAMESPACES: &str = "namespaces";
const APPLIED: &[Parameter] =
    &[("applied", Shape::Boolean, "What holds: of all subscriptions when there is none of its own.")];

pub(super) fn routes() -> Vec<Route> {
    let topic = |method, rest: &str, summary, run| {
        route(method, &format!("{{domain}}/{{tenant}}/{{namespace}}/{{topic}}{rest}"), TOPICS, summary, run)
    };
    let all = |path, summary, run| route("POST", path, NAMESPACES, summary, run).takes(Shape::List);
    vec![
        topic("DELETE", "/policies", "Unsets all settings of a topic.", |ask, broker, now| {
            let name = ask.topic()?;
            if name.partition().is_none() {
                // One that is not there has none.
                for scope in [Scope::Topic(name.clone()), Scope::Everywhere(name)] {
                    let _ = broker.set_policies(&scope, |all| *all = Policies::default(), now);
                }
            }
            Ok(Answer::Nothing)
        }),
        topic("GET", "/{subscription}/dispatchRate", "How fast a subscription delivers.", dispatch_rate)
            .asks(APPLIED),
        topic(
            "POST",
            "/{subscription}/dispatchRate",
            "Sets how fast a subscription delivers.",
            |ask, broker, now| {
                let body = ask.call.json()?;
                set_dispatch_rate(ask, broker, now, (!body.is_null()).then_some(&body))
            },
        )
        .takes(Shape::Object),
        topic("DELETE", "/{subscription}/dispatchRate", "Unsets it.", |ask, broker, now| {
            let (scope, mut rates) = rates(ask, broker)?;
            rates.remove(ask.part("subscription"));
            keep(&scope, rates, broker, now)
        }),
        all(
            "namespaces/grantPermissionsOnTopics",
            "Lets roles do something with topics.",
            |ask, broker, now| {
                for (name, role, actions) in permissions(ask, broker)? {
                    broker.grant(&name.to_string(), &role, access::actions(&actions)?, now);
                }
                Ok(Answer::Nothing)
            },
        ),
        all(
            "namespaces/revokePermissionsOnTopics",
            "Takes permissions of topics from roles.",
            |ask, broker, now| {
                for (name, role, _) in permissions(ask, broker)? {
                    broker.grant(&name.to_string(), &role, BTreeSet::new(), now);
                }
                Ok(Answer::Nothing)
            },
        ),
        route(
            "GET",
            "namespaces/{cluster}/antiAffinity/{group}",
            NAMESPACES,
            "Namespaces of a group.",
            apart,
        )
        .asks(&[("tenant", Shape::Text, "Whose.")])
        .gives(Shape::Texts),
        route(
            "POST",
            "namespaces/{tenant}/{namespace}/migration",
            NAMESPACES,
            "Says that a namespace moved to another cluster: there is none to move to.",
            |ask, _, _| {
                ask.namespace()?;
                Ok(Answer::Nothing)
            },
        )
        .takes(Shape::Boolean),
    ]
}

fn rates(ask: &Ask<'_>, broker: &Broker) -> Result<(Scope, Map<String, Value>)> {
    let name = ask.topic()?;
    if name.partition().is_some() {
        return Err(error(412, "Not allowed to set/get topic policy for a partition"));
    }
    let scope = if ask.call.flag("isGlobal") { Scope::Everywhere(name) } else { Scope::Topic(name) };
    let policies = broker.policies(&scope).map_err(|missing| checks::no_topic(ask, broker, missing))?;
    match kept(&policies, OF_SUBSCRIPTIONS, json!({})) {
        Value::Object(rates) => Ok((scope, rates)),
        _ => Ok((scope, Map::new())),
    }
}

fn keep(scope: &Scope, rates: Map<String, Value>, broker: &mut Broker, now: Now) -> Result<Answer> {
    let change = |policies: &mut Policies| match rates.is_empty() {
        true => drop(policies.kept.remove(OF_SUBSCRIPTIONS)),
        false => drop(policies.kept.insert(OF_SUBSCRIPTIONS.to_owned(), Value::Object(rates).to_string())),
    };
    broker.set_policies(scope, change, now)?;
    Ok(Answer::Nothing)
}

fn dispatch_rate(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let (scope, rates) = rates(ask, broker)?;
    let of_all = |policies: &Policies| match kept(policies, "subscriptionDispatchRate", Value::Null) {
        Value::Null => None,
        rate => Some(rate),
    };
    let mut rate = rates.get(ask.part("subscription")).cloned();
    if rate.is_none() && ask.call.flag("applied") {
        rate = of_all(&broker.policies(&scope)?)
            .or_else(|| of_all(&broker.namespace(&ask.namespace().ok()?).ok()?));
        rate = rate.or_else(|| Some(super::policies::no_dispatch_rate()));
    }
    Ok(rate.map_or(Answer::Empty, Answer::Json))
}

fn set_dispatch_rate(ask: &Ask<'_>, broker: &mut Broker, now: Now, body: Option<&Value>) -> Result<Answer> {
    let (scope, mut rates) = rates(ask, broker)?;
    if let Some(body) = body {
        let rate = Setting::of_kind(Kind::Fields(super::settings::dispatch_rate()), body)?;
        // One that bounds nothing changes nothing.
        let bounds = |name: &str| rate[name].as_i64().is_some_and(|most| most > 0);
        if bounds("dispatchThrottlingRateInMsg") || bounds("dispatchThrottlingRateInByte") {
            rates.insert(ask.part("subscription").to_owned(), rate);
        }
    }
    keep(&scope, rates, broker, now)
}

/// Topics, roles, and what these may do: all of one namespace.
fn permissions(ask: &Ask<'_>, broker: &Broker) -> Result<Vec<(TopicName, String, Value)>> {
    let body = ask.call.json()?;
    let wrong = || super::unexpected("the body must be a list of topics, roles and actions");
    let mut all = Vec::new();
    for one in body.as_array().ok_or_else(wrong)? {
        let text = |name: &str| one.get(name).and_then(Value::as_str);
        let name = text("topic").and_then(|name| TopicName::parse(name).ok()).ok_or_else(wrong)?;
        let actions = one.get("actions").filter(|actions| !actions.is_null());
        all.push((name, text("role").ok_or_else(wrong)?.to_owned(), actions.cloned().unwrap_or(json!([]))));
    }
    let namespaces: BTreeSet<String> = all.iter().map(|(name, ..)| name.namespace_name()).collect();
    if namespaces.len() != 1 {
        return Err(error(400, "The namespace should be the same"));
    }
    for (name, ..) in &all {
        if broker.stats(name).is_err() && broker.partitions(name) == 0 {
            return Err(error(404, format!("Topic {name} not found")));
        }
    }
    Ok(all)
}

/// Namespaces of a tenant that keep apart as a group.
fn apart(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let tenant = ask.call.query("tenant").ok_or_else(|| error(400, "Tenant should not be null"))?;
    let cluster = ask.part("cluster");
    if !places::names(broker).iter().any(|known| known == cluster) {
        return Err(error(412, format!("Cluster {cluster} does not exist.")));
    }
    let group = ask.part("group");
    let mut names = broker.namespaces(tenant);
    names.retain(|name| broker.namespace(name).is_ok_and(|p| kept(&p, "antiAffinity", Value::Null) == group));
    Ok(Answer::Json(json!(names)))
}
