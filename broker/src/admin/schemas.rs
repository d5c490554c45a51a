//! The schema registry.

use serde_json::{Map, Value, json};

use super::route::{Route, Shape, route};
use super::{Answer, Ask, Result, error, topics, unexpected, unreadable};
use crate::core::names::TopicName;
use crate::core::{Broker, RegisteredSchema};

const GROUP: &str = "schemas";

pub(super) fn routes() -> Vec<Route> {
    let at = |method, rest: &str, summary, run| {
        route(method, &format!("schemas/{{tenant}}/{{namespace}}/{{topic}}{rest}"), GROUP, summary, run)
    };
    vec![
        at("GET", "/schema", "The last schema of a topic.", |ask, broker, _| {
            let found = broker.schema(&ask.topic()?, None);
            found.map(|found| Answer::Json(described(&found))).ok_or_else(none)
        }),
        at("GET", "/schema/{version}", "A version of a topic's schema.", |ask, broker, _| {
            let number = ask.part("version");
            let version: i64 =
                number.parse().map_err(|_| unexpected(&format!("For input string: \"{number}\"")))?;
            let found = u64::try_from(version)
                .ok()
                .and_then(|version| broker.schema(&ask.topic().ok()?, Some(version)));
            found.map(|found| Answer::Json(described(&found))).ok_or_else(none)
        }),
        at("GET", "/schemas", "All versions of a topic's schema.", |ask, broker, _| {
            let all: Vec<Value> = broker.schemas(&ask.topic()?).iter().map(described).collect();
            Ok(Answer::Json(json!({ "getSchemaResponses": all })))
        }),
        at("GET", "/metadata", "Where versions of a topic's schema are kept.", |ask, broker, _| {
            let versions = broker.schema_versions(&ask.topic()?);
            // There are no ledgers of schemas here: each is as if it had one of its own.
            let place = |version: u64| json!({ "ledgerId": version, "entryId": 0, "version": version });
            let Some(last) = versions.checked_sub(1) else { return Ok(Answer::Empty) };
            let index: Vec<Value> = (0..versions).map(place).collect();
            Ok(Answer::Json(json!({ "info": place(last), "index": index })))
        }),
        at("DELETE", "/schema", "From now on the topic has no schema.", |ask, broker, now| {
            let name = ask.topic()?;
            has_tenant(ask, broker)?;
            Ok(Answer::Json(json!({ "version": broker.delete_schemas(&name, ask.call.flag("force"), now)? })))
        })
        .asks(&[("force", Shape::Boolean, "With all versions.")])
        .gives(Shape::Object),
        at("POST", "/schema", "Gives a topic a schema.", |ask, broker, now| {
            let (name, (kind, text, properties)) = (topic(ask, broker)?, payload(ask)?);
            let version = broker.post_schema(&name, &kind, &text, &properties, now)?;
            Ok(Answer::Json(json!({ "version": { "version": version } })))
        })
        .takes(Shape::Object)
        .gives(Shape::Object),
        at("POST", "/compatibility", "Whether a topic can have a schema.", |ask, broker, _| {
            let (name, (kind, text, properties)) = (topic(ask, broker)?, payload(ask)?);
            let strategy = broker.fits_schema(&name, &kind, &text, &properties)?;
            Ok(Answer::JsonAs(
                202,
                json!({ "compatibility": true, "schemaCompatibilityStrategy": strategy.name() }),
            ))
        })
        .takes(Shape::Object)
        .gives(Shape::Object),
        at("POST", "/version", "The version that a schema has; -1 when it has none.", |ask, broker, _| {
            let (name, (kind, text, properties)) = (ask.topic()?, payload(ask)?);
            let version = broker.version_of_schema(&name, &kind, &text, &properties)?;
            Ok(Answer::Json(json!({ "version": version.map_or(-1, |version| version as i64) })))
        })
        .takes(Shape::Object)
        .gives(Shape::Object),
    ]
}

fn none() -> crate::core::AdminError {
    error(404, "Schema not found")
}

fn has_tenant(ask: &Ask<'_>, broker: &Broker) -> Result<()> {
    let there = broker.tenant(ask.part("tenant"));
    there.map(drop).ok_or_else(|| error(404, "Tenant does not exist"))
}

fn topic(ask: &Ask<'_>, broker: &Broker) -> Result<TopicName> {
    let name = ask.topic()?;
    if ask.call.path.last().is_some_and(|last| last == "compatibility") {
        has_tenant(ask, broker)?;
    }
    topics::has_namespace(&name, broker).map_err(|_| error(404, "Namespace does not exist"))?;
    Ok(name)
}

fn described(found: &RegisteredSchema) -> Value {
    let properties: Map<String, Value> =
        found.properties.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    json!({
        "version": found.version,
        "type": found.kind,
        "timestamp": found.timestamp,
        "data": found.text,
        "properties": properties,
    })
}

/// The type, the definition and the properties of a schema.
type Payload = (String, String, Vec<(String, String)>);

fn payload(ask: &Ask<'_>) -> Result<Payload> {
    const PAYLOAD: &str = "org.apache.pulsar.common.protocol.schema.PostSchemaPayload";
    let body = ask.call.json()?;
    if body.is_null() {
        return Err(unexpected(&format!(
            "Cannot invoke \"{PAYLOAD}.getType()\" because \"payload\" is null"
        )));
    }
    let posted = ask.call.path.last().is_some_and(|last| last == "schema");
    let text = |name: &str| {
        let text = body.get(name).and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| match name {
            "type" if !posted => unexpected("Name is null"),
            _ => unexpected(&format!(
                "Cannot invoke \"String.getBytes(java.nio.charset.Charset)\" because the return value of \
                 \"{PAYLOAD}.getSchema()\" is null"
            )),
        })
    };
    let properties = match body.get("properties") {
        None | Some(Value::Null) => Map::new(),
        Some(all) => {
            super::reading::texts(all).ok_or_else(|| unreadable("properties must be an object of texts"))?
        }
    };
    let pairs = properties.into_iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned())));
    Ok((text("type")?, text("schema")?, pairs.collect()))
}
