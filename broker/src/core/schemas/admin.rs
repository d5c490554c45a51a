//! The registry, as whoever runs the broker sees it.

use bytes::Bytes;
use pulsewire_proto::wire::{KeyValue, Schema, SchemaType};
use serde_json::Value;

use super::check::{BadSchema, join_key_value, key_value, type_name, type_of_name};
use super::registry::Version;
use super::strategy::SchemaStrategy;
use crate::core::Broker;
use crate::core::admin::{AdminError, Form};
use crate::core::keeping::kind;
use crate::core::names::TopicName;
use crate::core::time::Now;

/// A version of a topic's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// Its number.
    pub version: u64,
    /// `AVRO`, `STRING`, ...
    pub kind: String,
    /// When it came: milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// Its definition; of a key with a value, both in JSON.
    pub text: String,
    /// What else is said of it.
    pub properties: Vec<(String, String)>,
}

impl RegisteredSchema {
    fn new(number: u64, version: &Version) -> Self {
        let schema = &version.schema;
        let text = match key_value(schema) {
            Some((key, value)) if schema.r#type == SchemaType::KEY_VALUE => {
                format!("{{\"key\":{},\"value\":{}}}", part(&key), part(&value))
            }
            _ => String::from_utf8_lossy(&schema.schema_data).into_owned(),
        };
        Self {
            version: number,
            kind: if schema.r#type == SchemaType::NONE {
                "BYTES".to_owned()
            } else {
                type_name(schema.r#type)
            },
            timestamp: version.timestamp,
            text,
            properties: schema.properties.iter().map(|p| (p.key.clone(), p.value.clone())).collect(),
        }
    }
}

/// A definition that is JSON as JSON, another one as a text.
fn part(schema: &Schema) -> String {
    let text = String::from_utf8_lossy(&schema.schema_data).into_owned();
    let is_json = serde_json::from_str::<Value>(&text).is_ok();
    if is_json { text } else { Value::from(text).to_string() }
}

impl From<BadSchema> for AdminError {
    fn from(bad: BadSchema) -> Self {
        let page = |status, message| Self { form: Form::PageWithReason, ..Self::new(status, message) };
        match bad {
            BadSchema::Invalid(message, _) => page(422, message),
            BadSchema::Incompatible(message) => page(409, message),
            BadSchema::Failed(_, message) => unexpected(&message),
        }
    }
}

/// What the real broker answers where it fails.
fn unexpected(message: &str) -> AdminError {
    let reason = format!("\n --- An unexpected error occurred in the server ---\n\nMessage: {message}");
    AdminError::new(500, reason)
}

/// A schema of its parts, as an admin call has them.
fn schema_of(
    kind: &str,
    text: &str,
    properties: &[(String, String)],
    joined: bool,
) -> Result<Schema, AdminError> {
    let none = || unexpected(&format!("No enum constant org.apache.pulsar.common.schema.SchemaType.{kind}"));
    let kind = type_of_name(kind).ok_or_else(none)?;
    let schema_data: Bytes = if kind == SchemaType::KEY_VALUE && joined {
        let both: Value = serde_json::from_str(text)
            .map_err(|why| AdminError::new(422, format!("A KEY_VALUE schema must be JSON: {why}")))?;
        let part = |name: &str| match both.get(name) {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => String::new(),
            Some(definition) => definition.to_string(),
        };
        join_key_value(part("key").as_bytes(), part("value").as_bytes())
    } else {
        Bytes::copy_from_slice(text.as_bytes())
    };
    let properties =
        properties.iter().map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() }).collect();
    Ok(Schema { name: String::new(), schema_data, r#type: kind, properties })
}

/// Orders and questions of whoever runs the broker.
impl Broker {
    /// A version of a topic's schema, or the last one.
    #[must_use]
    pub fn schema(&self, topic: &TopicName, version: Option<u64>) -> Option<RegisteredSchema> {
        let living = self.schemas.living(topic);
        let found = match version {
            None => living.last(),
            Some(wanted) => living.iter().find(|(number, _)| *number == wanted),
        };
        found.map(|(number, version)| RegisteredSchema::new(*number, version))
    }

    /// All versions of a topic's schema since it was last deleted.
    #[must_use]
    pub fn schemas(&self, topic: &TopicName) -> Vec<RegisteredSchema> {
        let living = self.schemas.living(topic);
        living.into_iter().map(|(number, version)| RegisteredSchema::new(number, version)).collect()
    }

    /// How many versions a topic's schema ever had, deletions among them.
    #[must_use]
    pub fn schema_versions(&self, topic: &TopicName) -> u64 {
        self.schemas.versions(&topic.schema_key()).len() as u64
    }

    /// Gives a topic a schema; answers its version.
    ///
    /// # Errors
    /// It is none, or does not go with those that are there.
    pub fn post_schema(
        &mut self,
        topic: &TopicName,
        kind: &str,
        text: &str,
        properties: &[(String, String)],
        now: Now,
    ) -> Result<u64, AdminError> {
        let schema = schema_of(kind, text, properties, true)?;
        let strategy = self.schema_strategy(topic);
        self.topics.touch_name(kind::SCHEMAS, &topic.schema_key());
        Ok(self.schemas.register(topic, &schema, strategy, now.wall_ms)?)
    }

    /// Whether a topic can have a schema; answers by which strategy.
    ///
    /// # Errors
    /// It is none (422), or does not go with those that are there (500, as the real broker has it).
    pub fn fits_schema(
        &self,
        topic: &TopicName,
        kind: &str,
        text: &str,
        properties: &[(String, String)],
    ) -> Result<SchemaStrategy, AdminError> {
        let schema = schema_of(kind, text, properties, true)?;
        let strategy = self.schema_strategy(topic);
        match self.schemas.may_follow(topic, &schema, strategy) {
            Ok(()) => Ok(strategy),
            Err(bad) => {
                let message = match bad {
                    BadSchema::Invalid(message, _)
                    | BadSchema::Incompatible(message)
                    | BadSchema::Failed(_, message) => message,
                };
                Err(unexpected(&message))
            }
        }
    }

    /// The version that a schema has.
    ///
    /// # Errors
    /// It is none.
    pub fn version_of_schema(
        &self,
        topic: &TopicName,
        kind: &str,
        text: &str,
        properties: &[(String, String)],
    ) -> Result<Option<u64>, AdminError> {
        let schema = schema_of(kind, text, properties, true)?;
        Ok(self.schemas.version_of_bytes(topic, &schema))
    }

    /// From now on a topic has no schema; with `force` its versions are forgotten, and begin again.
    /// Answers the version of that, -1 with `force`.
    ///
    /// # Errors
    /// It has too many versions.
    pub fn delete_schemas(&mut self, topic: &TopicName, force: bool, now: Now) -> Result<i64, AdminError> {
        self.topics.touch_name(kind::SCHEMAS, &topic.schema_key());
        if force {
            self.schemas.forget(topic);
            return Ok(-1);
        }
        Ok(self.schemas.delete(topic, now.wall_ms)? as i64)
    }
}
