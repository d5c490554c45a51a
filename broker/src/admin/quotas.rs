//! What a bundle is thought to need, and what groups of namespaces may use. Nothing follows from it here.

use serde_json::{Map, Value, json};

use super::route::{Route, Shape, route};
use super::{Answer, Ask, Result, error, reading, unreadable};
use crate::core::{Broker, Now, Policies, Scope};

const GROUP: &str = "the whole broker";
const NAMESPACES: &str = "settings of namespaces";
const DEFAULT: &str = "resource-quotas";
const GROUPS: &str = "resourcegroups";
/// The setting of a namespace.
const GROUP_OF: &str = "resourcegroup";

pub(super) fn routes() -> Vec<Route> {
    let of_namespace = "namespaces/{tenant}/{namespace}/resourcegroup";
    let of_one = "resource-quotas/{tenant}/{namespace}/{bundle}";
    vec![
        route("GET", DEFAULT, GROUP, "What a bundle is thought to need.", |_, broker, _| {
            Ok(Answer::Json(default(broker)))
        }),
        route("POST", DEFAULT, GROUP, "Sets that; nothing follows from it.", |ask, broker, _| {
            broker.set_noted(DEFAULT, Some(quota(&ask.call.json()?)?.to_string()));
            Ok(Answer::Nothing)
        })
        .takes(Shape::Object),
        route("GET", of_one, GROUP, "What one bundle is thought to need.", |ask, broker, _| {
            let kept = bundle(ask, broker)?;
            let own = broker.noted(&kept).and_then(|said| serde_json::from_str(said).ok());
            Ok(Answer::Json(own.unwrap_or_else(|| default(broker))))
        }),
        route("POST", of_one, GROUP, "Sets that; nothing follows from it.", |ask, broker, _| {
            let kept = bundle(ask, broker)?;
            broker.set_noted(&kept, Some(quota(&ask.call.json()?)?.to_string()));
            Ok(Answer::Nothing)
        })
        .takes(Shape::Object),
        route("DELETE", of_one, GROUP, "Takes that back.", remove),
        route("GET", GROUPS, GROUP, "Resource groups.", |_, broker, _| {
            Ok(Answer::Json(groups(broker).keys().cloned().collect()))
        })
        .gives(Shape::Texts),
        route("GET", "resourcegroups/{group}", GROUP, "What a resource group may use.", |ask, broker, _| {
            let found = groups(broker).remove(ask.part("group"));
            found.map(Answer::Json).ok_or_else(|| error(404, "ResourceGroup does not exist"))
        }),
        route("PUT", "resourcegroups/{group}", GROUP, "Sets that; nothing follows from it.", set_group)
            .takes(Shape::Object),
        route("DELETE", "resourcegroups/{group}", GROUP, "Forgets a resource group.", |ask, broker, _| {
            let (mut groups, group) = (groups(broker), ask.part("group"));
            let missing = || error(500, format!("path /admin/resourcegroups/{group} not found."));
            groups.remove(group).ok_or_else(missing)?;
            broker.set_noted(GROUPS, Some(Value::Object(groups).to_string()));
            Ok(Answer::Nothing)
        }),
        route("GET", of_namespace, NAMESPACES, "The resource group of a namespace.", |ask, broker, _| {
            let kept = reading::kept(&broker.namespace(&ask.namespace()?)?, GROUP_OF, Value::Null);
            Ok(kept.as_str().map_or(Answer::Empty, |group| Answer::Text(group.to_owned())))
        })
        .gives(Shape::Text),
        route(
            "POST",
            &format!("{of_namespace}/{{group}}"),
            NAMESPACES,
            "Sets that; nothing follows from it.",
            |ask, broker, now| {
                let group = ask.part("group");
                if !groups(broker).contains_key(group) {
                    return Err(error(412, "ResourceGroup does not exist"));
                }
                set_group_of(ask, broker, Some(json!(group)), now)
            },
        ),
        route("DELETE", of_namespace, NAMESPACES, "Takes that back.", |ask, broker, now| {
            set_group_of(ask, broker, None, now)
        }),
    ]
}

/// Under which name it is kept of a bundle that is there.
fn bundle(ask: &Ask<'_>, broker: &Broker) -> Result<String> {
    let namespace = ask.namespace()?;
    broker.namespace(&namespace).map_err(|_| error(404, "Namespace does not exist"))?;
    let range = ask.part("bundle");
    let boundaries = broker.bundles(&namespace).texts();
    let (from, to) =
        range.split_once('_').ok_or_else(|| error(412, format!("Invalid bundle range: {range}")))?;
    let at = boundaries.iter().position(|boundary| boundary == from);
    let expected = at
        .and_then(|at| boundaries.get(at + 1))
        .ok_or_else(|| error(412, format!("Invalid bundle range: {range}")))?;
    if expected != to {
        return Err(error(
            412,
            format!(
                "Invalid upper boundary for bundle {namespace}/{range}. \
                 Expected upper boundary of {namespace}/{from}_{expected}"
            ),
        ));
    }
    Ok(format!("{DEFAULT}/{namespace}/{range}"))
}

fn default(broker: &Broker) -> Value {
    broker.noted(DEFAULT).and_then(|said| serde_json::from_str(said).ok()).unwrap_or_else(|| {
        json!({
            "msgRateIn": 40.0,
            "msgRateOut": 120.0,
            "bandwidthIn": 100_000.0,
            "bandwidthOut": 300_000.0,
            "memory": 80.0,
            "dynamic": true,
        })
    })
}

fn quota(body: &Value) -> Result<Value> {
    let given = body.as_object().ok_or_else(|| unreadable("The body must be a resource quota"))?;
    let mut quota = Map::new();
    for name in ["msgRateIn", "msgRateOut", "bandwidthIn", "bandwidthOut", "memory"] {
        let number = match given.get(name) {
            None | Some(Value::Null) => Some(0.0),
            Some(number) => number.as_f64(),
        };
        let number = number.ok_or_else(|| unreadable(format!("{name} must be a number")))?;
        quota.insert(name.to_owned(), json!(number));
    }
    let dynamic = given.get("dynamic").and_then(Value::as_bool).unwrap_or(true);
    quota.insert("dynamic".to_owned(), json!(dynamic));
    Ok(Value::Object(quota))
}

fn remove(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let kept = bundle(ask, broker)?;
    if broker.noted(&kept).is_none() {
        let path = kept.replacen(DEFAULT, "/loadbalance/resource-quota", 1);
        return Err(error(404, format!("path {path} not found.")));
    }
    broker.set_noted(&kept, None);
    Ok(Answer::Nothing)
}

fn groups(broker: &Broker) -> Map<String, Value> {
    let kept = broker.noted(GROUPS).and_then(|said| serde_json::from_str(said).ok());
    kept.and_then(|all: Value| all.as_object().cloned()).unwrap_or_default()
}

/// What is not said stays as it was.
fn set_group(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let body = ask.call.json()?;
    let given = body.as_object().ok_or_else(|| unreadable("The body must be a resource group"))?;
    let (mut groups, name) = (groups(broker), ask.part("group"));
    let mut group = Map::new();
    for field in ["publishRateInMsgs", "publishRateInBytes", "dispatchRateInMsgs", "dispatchRateInBytes"] {
        let before = groups.get(name).and_then(|group| group[field].as_i64()).unwrap_or(-1);
        let rate = match given.get(field) {
            None | Some(Value::Null) => Some(before),
            Some(rate) => reading::whole(rate),
        };
        group.insert(
            field.to_owned(),
            json!(rate.ok_or_else(|| unreadable(format!("{field} must be a number")))?),
        );
    }
    groups.insert(name.to_owned(), Value::Object(group));
    broker.set_noted(GROUPS, Some(Value::Object(groups).to_string()));
    Ok(Answer::Nothing)
}

fn set_group_of(ask: &Ask<'_>, broker: &mut Broker, group: Option<Value>, now: Now) -> Result<Answer> {
    let set = |policies: &mut Policies| match group {
        Some(group) => drop(policies.kept.insert(GROUP_OF.to_owned(), group.to_string())),
        None => drop(policies.kept.remove(GROUP_OF)),
    };
    broker.set_policies(&Scope::Namespace(ask.namespace()?), set, now)?;
    Ok(Answer::Nothing)
}
