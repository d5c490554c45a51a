//! What JSON means, as lenient as the real broker reads it.

use serde_json::{Map, Value, json};

use crate::core::Policies;

/// A setting that is kept in JSON.
pub(super) fn kept(policies: &Policies, name: &str, unset: Value) -> Value {
    policies.kept.get(name).and_then(|json| serde_json::from_str(json).ok()).unwrap_or(unset)
}

/// A number, as lenient as the real broker reads it.
pub(super) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            const END: f64 = 9_223_372_036_854_775_808.0;
            let near = number.as_f64().filter(|near| (-END..END).contains(near))?;
            #[allow(clippy::cast_possible_truncation)]
            Some(near.trunc() as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// True or false, as lenient as the real broker reads it.
pub(super) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(on) => Some(*on),
        Value::Number(number) => number.as_i64().map(|number| number != 0),
        Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        _ => None,
    }
}

/// An object of texts; other single values are taken as texts.
pub(super) fn texts(value: &Value) -> Option<Map<String, Value>> {
    let text = |(key, value): (&String, &Value)| {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return None,
        };
        Some((key.clone(), json!(value)))
    };
    value.as_object()?.iter().map(text).collect()
}
