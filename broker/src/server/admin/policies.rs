//! Settings of namespaces and topics: which path is which field.

use serde_json::{Value, json};

use super::routes::ask;
use super::{Answer, Call};
use crate::core::{AdminError, Policies, Scope};
use crate::server::engine::Handle;

type Result<T> = std::result::Result<T, AdminError>;
type Read = fn(&Policies) -> Value;
type Write = fn(&mut Policies, &Value) -> std::result::Result<(), &'static str>;

/// A setting: its path at a namespace and at a topic, and how it is read and written. Null is unset.
struct Setting {
    namespace: &'static str,
    topic: &'static str,
    read: Read,
    write: Write,
}

const SETTINGS: &[Setting] = &[
    Setting {
        namespace: "deduplication",
        topic: "deduplicationEnabled",
        read: |p| json!(p.deduplication),
        write: |p, value| boolean(value, &mut p.deduplication),
    },
    Setting {
        namespace: "maxUnackedMessagesPerConsumer",
        topic: "maxUnackedMessagesOnConsumer",
        read: |p| json!(p.max_unacked_per_consumer),
        write: |p, value| number(value, &mut p.max_unacked_per_consumer),
    },
    Setting {
        namespace: "maxUnackedMessagesPerSubscription",
        topic: "maxUnackedMessagesOnSubscription",
        read: |p| json!(p.max_unacked_per_subscription),
        write: |p, value| number(value, &mut p.max_unacked_per_subscription),
    },
];

fn boolean(value: &Value, to: &mut Option<bool>) -> std::result::Result<(), &'static str> {
    *to = match value {
        Value::Null => None,
        Value::Bool(on) => Some(*on),
        _ => return Err("true or false"),
    };
    Ok(())
}

fn number(value: &Value, to: &mut Option<u64>) -> std::result::Result<(), &'static str> {
    *to = match value {
        Value::Null => None,
        _ => Some(value.as_u64().ok_or("a number that is not below 0")?),
    };
    Ok(())
}

/// Reads or writes a setting; `None` when the path is none.
pub(super) async fn route(call: &Call, scope: Scope, name: &str, handle: &Handle) -> Option<Result<Answer>> {
    let of_topic = matches!(scope, Scope::Topic(_));
    let setting = SETTINGS.iter().find(|s| name == if of_topic { s.topic } else { s.namespace })?;
    Some(match call.method.as_str() {
        "GET" => read(scope, setting.read, of_topic, handle).await,
        "POST" | "PUT" => match call.json() {
            Ok(value) => write(scope, setting.write, value, handle).await,
            Err(error) => Err(error),
        },
        "DELETE" => write(scope, setting.write, Value::Null, handle).await,
        _ => return None,
    })
}

async fn read(scope: Scope, read: Read, of_topic: bool, handle: &Handle) -> Result<Answer> {
    let value =
        ask(handle, move |broker, _| broker.policies(&scope).map(|policies| read(&policies))).await??;
    Ok(match value {
        Value::Null if of_topic => Answer::Nothing,
        Value::Null => Answer::Empty,
        value => Answer::Json(value),
    })
}

async fn write(scope: Scope, write: Write, value: Value, handle: &Handle) -> Result<Answer> {
    let mut tried = Policies::default();
    write(&mut tried, &value)
        .map_err(|wanted| AdminError { status: 400, reason: format!("The body must be {wanted}") })?;
    ask(handle, move |broker, now| {
        // It was tried above.
        broker.set_policies(&scope, |policies| write(policies, &value).unwrap_or_default(), now)
    })
    .await??;
    Ok(Answer::Nothing)
}
