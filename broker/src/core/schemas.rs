//! The schema registry, in simple form: every schema that differs is a new version.

use std::collections::BTreeMap;

use bytes::Bytes;
use pulsewire_proto::wire::{
    Command, CommandGetOrCreateSchema, CommandGetOrCreateSchemaResponse, CommandGetSchema,
    CommandGetSchemaResponse, Schema, SchemaType, ServerError,
};

use super::Broker;
use super::connection::ConnId;
use super::error::Refusal;
use super::keeping::kind;
use super::names::TopicName;

/// Schemas of one topic that may be kept.
const MAX_VERSIONS: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Schemas {
    /// Topic (without partition) -> its schemas, oldest first.
    topics: BTreeMap<String, Vec<Schema>>,
}

impl Schemas {
    /// The version of a schema; a new one unless it is there.
    pub(super) fn register(&mut self, topic: &TopicName, schema: &Schema) -> Result<Bytes, Refusal> {
        let versions = self.topics.entry(topic.base().to_string()).or_default();
        let same = |known: &Schema| known.r#type == schema.r#type && known.schema_data == schema.schema_data;
        let at = match versions.iter().position(same) {
            Some(at) => at,
            None if versions.len() >= MAX_VERSIONS => {
                return Err(Refusal::not_allowed("Too many schemas for this topic"));
            }
            None if versions.first().is_some_and(|known| known.r#type != schema.r#type) => {
                let exists = versions.first().map_or(SchemaType::NONE, |known| known.r#type);
                return Err(Refusal::new(
                    ServerError::INCOMPATIBLE_SCHEMA,
                    format!(
                        "Incompatible schema: exists schema type {exists:?}, new schema type {:?}",
                        schema.r#type
                    ),
                ));
            }
            None => {
                versions.push(schema.clone());
                versions.len() - 1
            }
        };
        Ok(version(at))
    }

    /// The schemas of a topic, oldest first.
    pub(super) fn versions(&self, topic: &str) -> &[Schema] {
        self.topics.get(topic).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn restore(&mut self, topic: String, versions: Vec<Schema>) {
        self.topics.insert(topic, versions);
    }

    pub(super) fn has(&self, topic: &TopicName) -> bool {
        self.topics.contains_key(&topic.base().to_string())
    }

    pub(super) fn forget(&mut self, topic: &TopicName) {
        self.topics.remove(&topic.base().to_string());
    }

    fn find(&self, topic: &TopicName, wanted: Option<&Bytes>) -> Option<(Schema, Bytes)> {
        let versions = self.topics.get(&topic.base().to_string())?;
        let at = match wanted {
            None => versions.len().checked_sub(1)?,
            Some(bytes) => usize::try_from(u64::from_be_bytes(bytes.as_ref().try_into().ok()?)).ok()?,
        };
        Some((versions.get(at)?.clone(), version(at)))
    }
}

/// What a topic's schemas are called.
fn schema_name(topic: &TopicName) -> String {
    let TopicName { tenant, namespace, local, .. } = topic.base();
    format!("{tenant}/{namespace}/{local}")
}

/// A version as the wire has it.
fn version(at: usize) -> Bytes {
    Bytes::copy_from_slice(&(at as u64).to_be_bytes())
}

impl Broker {
    pub(super) fn register_schema(&mut self, topic: &TopicName, schema: &Schema) -> Result<Bytes, Refusal> {
        self.topics.touch_name(kind::SCHEMAS, &topic.base().to_string());
        self.schemas.register(topic, schema)
    }

    pub(super) fn get_schema(&mut self, id: ConnId, c: CommandGetSchema) {
        let mut response =
            CommandGetSchemaResponse { request_id: c.request_id, ..CommandGetSchemaResponse::default() };
        let refusal = match TopicName::parse(&c.topic) {
            Err(message) => Some(Refusal::new(ServerError::INVALID_TOPIC_NAME, message)),
            Ok(_) if c.schema_version.as_ref().is_some_and(Bytes::is_empty) => {
                Some(Refusal::new(ServerError::INCOMPATIBLE_SCHEMA, "Empty schema version"))
            }
            Ok(topic) => match self.schemas.find(&topic, c.schema_version.as_ref()) {
                Some((schema, version)) => {
                    response.schema = Some(Schema { name: schema_name(&topic), ..schema });
                    response.schema_version = Some(version);
                    None
                }
                None => {
                    let message = format!("Topic not found or no-schema {topic}");
                    Some(Refusal::new(ServerError::TOPIC_NOT_FOUND, message))
                }
            },
        };
        if let Some(refusal) = refusal {
            response.error_code = Some(refusal.error);
            response.error_message = Some(refusal.message);
        }
        self.reply(id, response);
    }

    pub(super) fn get_or_create_schema(&mut self, id: ConnId, c: CommandGetOrCreateSchema) {
        let result = TopicName::parse(&c.topic)
            .map_err(|message| Refusal::new(ServerError::INVALID_TOPIC_NAME, message))
            .and_then(|topic| match self.topics.key(&topic.to_string()) {
                // Bytes of no schema: nothing to be registered.
                Some(_) if c.schema.r#type == SchemaType::NONE => Ok(Bytes::new()),
                Some(_) => self.register_schema(&topic, &c.schema),
                None => {
                    let message = format!("Topic not found {topic}");
                    Err(Refusal::new(ServerError::TOPIC_NOT_FOUND, message))
                }
            });
        let mut response = CommandGetOrCreateSchemaResponse {
            request_id: c.request_id,
            ..CommandGetOrCreateSchemaResponse::default()
        };
        match result {
            Ok(version) => response.schema_version = Some(version),
            Err(refusal) => {
                response.error_code = Some(refusal.error);
                response.error_message = Some(refusal.message);
            }
        }
        self.reply(id, Command::from(response));
    }
}
