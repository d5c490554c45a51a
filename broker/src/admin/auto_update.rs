//! The older form of a namespace's `schemaCompatibilityStrategy`, which holds where that is not set.

use serde_json::{Map, Value, json};

use super::route::{Route, Shape, route};
use super::{Answer, reading};
use crate::core::{Policies, Scope};

const NAME: &str = "schemaAutoUpdateCompatibilityStrategy";
const FIELD: &str = "schema_auto_update_compatibility_strategy";
const GROUP: &str = "settings of namespaces";
const NAMES: &[&str] = &[
    "AutoUpdateDisabled",
    "Backward",
    "Forward",
    "Full",
    "AlwaysCompatible",
    "BackwardTransitive",
    "ForwardTransitive",
    "FullTransitive",
];

pub(super) fn routes() -> Vec<Route> {
    let path = format!("namespaces/{{tenant}}/{{namespace}}/{NAME}");
    vec![
        route(
            "GET",
            &path,
            GROUP,
            "What holds where schemaCompatibilityStrategy is not set.",
            |ask, broker, _| {
                let kept = reading::kept(&broker.namespace(&ask.namespace()?)?, NAME, Value::Null);
                Ok(if kept.is_null() { Answer::Nothing } else { Answer::Json(kept) })
            },
        )
        .gives(Shape::Text),
        route("PUT", &path, GROUP, "Sets that.", |ask, broker, now| {
            let (scope, name) = (Scope::Namespace(ask.namespace()?), ask.call.json()?);
            broker.set_policies(&scope, |policies| set(policies, &name), now)?;
            Ok(Answer::Nothing)
        })
        .takes(Shape::Text),
    ]
}

/// What is none of the names unsets it.
fn set(policies: &mut Policies, name: &Value) {
    match name.as_str().filter(|name| NAMES.contains(name)) {
        Some(known) => drop(policies.kept.insert(NAME.to_owned(), json!(known).to_string())),
        None => drop(policies.kept.remove(NAME)),
    }
}

/// Takes over what is said of it when a namespace is made.
pub(super) fn take_over(body: &Value, policies: &mut Policies) {
    if let Some(name) = body.get(FIELD) {
        set(policies, name);
    }
}

/// Writes it, if it is set, into all that is said of a namespace.
pub(super) fn describe(policies: &Policies, out: &mut Map<String, Value>) {
    if policies.kept.contains_key(NAME) {
        out.insert(FIELD.to_owned(), reading::kept(policies, NAME, Value::Null));
    }
}
