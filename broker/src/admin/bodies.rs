//! What a body must be for a route, before anything else is looked at: as the real broker reads it.

use serde_json::Value;

use super::reading::truth;
use super::route::{PARTITIONED, Route, Shape};
use super::{AdminError, Call, Form, Result, error, unreadable, widths};

/// Where settings of namespaces are.
const NAMESPACES: &str = "/admin/v2/namespaces/{tenant}/{namespace}/";

const TOPIC: &str = "/admin/v2/{domain}/{tenant}/{namespace}/{topic}/";

/// Settings of topics that are 0 or false where nothing is said of them; others are unset then.
const OF_TOPICS: &[&str] = &[
    "compactionThreshold",
    "maxConsumers",
    "maxConsumersPerSubscription",
    "maxMessageSize",
    "maxProducers",
    "maxSubscriptionsPerTopic",
    "schemaValidationEnforced",
];

/// Whether a route looks at no body, whatever it is said to take.
pub(super) fn is_ignored(route: &Route) -> bool {
    route.path.ends_with("/dispatcherPauseOnAckStatePersistent")
}

/// Whether a route wants a number or a truth value, and takes nothing as 0 or as false.
pub(super) fn is_primitive(route: &str, shape: Shape) -> bool {
    let boxed = ["deduplicationSnapshotInterval", "dispatcherPauseOnAckStatePersistent"];
    let name = route.strip_prefix(NAMESPACES).or_else(|| route.strip_prefix("/admin/v3/transactions/"));
    let partitions = shape == Shape::Number && route.ends_with("/{topic}/partitions");
    if partitions || shape == Shape::Partitions {
        return true;
    }
    let of_topic = route.strip_prefix(TOPIC).is_some_and(|name| OF_TOPICS.contains(&name));
    let of_others = name.is_some_and(|name| !boxed.contains(&name));
    matches!(shape, Shape::Number | Shape::Boolean) && (of_topic || of_others)
}

/// Whether a call is one that looks at no body.
pub(super) fn is_bare(call: &Call) -> bool {
    call.path.last().is_some_and(|name| name == "dispatcherPauseOnAckStatePersistent")
}

/// A setting's value; where it is a number or a truth value that has to be said, nothing is 0 or false.
pub(super) fn unless_primitive(value: Value, name: &str, of_topic: bool, shape: Shape) -> Value {
    let base = if of_topic { TOPIC } else { NAMESPACES };
    match value {
        Value::Null if is_primitive(&format!("{base}{name}"), shape) => match shape {
            Shape::Boolean => Value::Bool(false),
            _ => Value::from(0),
        },
        value => value,
    }
}

/// Refuses a body that cannot be read as what the route takes.
pub(super) fn check(route: &Route, call: &Call) -> Result<()> {
    if is_ignored(route) {
        return Ok(());
    }
    if is_primitive(&route.path, route.body) && call.body.is_empty() {
        return Err(AdminError { form: Form::Bare, ..error(400, "The request entity cannot be empty.") });
    }
    // Names of the ends of a topic stand for their ids.
    let named = ["/subscription/", "/backlogSize"].iter().any(|part| route.path.contains(part));
    let fits: fn(&Value) -> bool = match route.body {
        Shape::Object if !named => Value::is_object,
        Shape::List => Value::is_array,
        Shape::Texts => |value| {
            value.as_array().is_some_and(|all| !all.iter().any(|one| one.is_object() || one.is_array()))
        },
        Shape::Number => |value| value.is_number() || value.is_string(),
        Shape::Object | Shape::Partitions => |_| true,
        Shape::Boolean => |value| truth(value).is_some() || value.as_str().is_some_and(str::is_empty),
        _ => return Ok(()),
    };
    let value = call.json()?;
    if !value.is_null() && !fits(&value) {
        return Err(unreadable(format!("Cannot deserialize value of type {:?} from {value}", route.body)));
    }
    match route.body {
        // As [`PARTITIONED`] a number is none.
        Shape::Partitions if call.says(PARTITIONED) => Ok(()),
        Shape::Number | Shape::Partitions => widths::of_body(route, &value),
        Shape::Object => widths::of_fields(route, &value),
        _ => Ok(()),
    }
}
