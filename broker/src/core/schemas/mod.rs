//! The schema registry.
//!
//! `registry` keeps versions, `check` says whether a schema is one and may follow another, `avro` and
//! `resolve` read Avro definitions and compare them; here is what clients ask for.

mod admin;
mod avro;
mod check;
mod defaults;
mod registry;
mod resolve;
mod strategy;

use bytes::Bytes;
use pulsewire_proto::wire::{
    Command, CommandGetOrCreateSchema, CommandGetOrCreateSchemaResponse, CommandGetSchema,
    CommandGetSchemaResponse, CommandSubscribe, Schema, SchemaType, ServerError,
};

use super::Broker;
use super::error::Refusal;
use super::ids::{ConnId, TopicKey};
use super::keeping::kind;
use super::names::TopicName;
use super::time::Now;

pub use admin::RegisteredSchema;
pub(super) use check::BadSchema;
pub(crate) use check::{join_key_value, key_value, type_name, type_of_name};
pub(super) use registry::{Schemas, Version};
pub use strategy::SchemaStrategy;

const CLASS: &str = "org.apache.pulsar.broker.service.schema.exceptions.IncompatibleSchemaException";

impl BadSchema {
    /// Without where it came from.
    pub(super) fn message(self) -> String {
        match self {
            Self::Incompatible(message) | Self::Invalid(message, None) => message,
            Self::Invalid(message, Some(cause)) => format!("{message} caused by {cause}"),
            Self::Failed(class, message) => format!("{class}: {message} caused by {class}: {message}"),
        }
    }

    /// As those are told who bring a schema.
    fn told(self) -> Refusal {
        match self {
            Self::Incompatible(message) => refused(format!("{CLASS}: {message}")),
            other => other.refusal(),
        }
    }

    fn refusal(self) -> Refusal {
        // Over a JSON schema of no type the real broker does not answer; a client shall not try again.
        let failed = matches!(&self, Self::Failed(class, _) if class.starts_with("org.apache.avro."));
        let error = if failed { ServerError::UNKNOWN_ERROR } else { ServerError::INCOMPATIBLE_SCHEMA };
        Refusal::new(error, self.message())
    }
}

fn refused(message: String) -> Refusal {
    Refusal::new(ServerError::INCOMPATIBLE_SCHEMA, message)
}

/// What a topic's schemas are called.
fn schema_name(topic: &TopicName) -> String {
    let key = topic.schema_key();
    key.split_once("://").map_or(key.as_str(), |(_, name)| name).to_owned()
}

/// A version as the wire has it.
fn version(at: u64) -> Bytes {
    Bytes::copy_from_slice(&at.to_be_bytes())
}

impl Broker {
    /// The strategy that holds for a topic.
    pub(super) fn schema_strategy(&self, topic: &TopicName) -> SchemaStrategy {
        let own = self.topics.policies.get(&topic.base().to_string()).and_then(|p| p.schema_strategy);
        let namespace = self.topics.namespaces.get(&topic.namespace_name());
        let shared = namespace.and_then(|policies| policies.schema_strategy);
        let older = || namespace?.text("schemaAutoUpdateCompatibilityStrategy");
        let said = |strategy: &SchemaStrategy| *strategy != SchemaStrategy::Undefined;
        own.filter(said)
            .or(shared.filter(said))
            .or_else(|| SchemaStrategy::of_older(&older()?))
            .unwrap_or(SchemaStrategy::Full)
    }

    /// The version of a schema that a client brings; a new one if that is allowed.
    fn bring_schema(&mut self, topic: &TopicName, schema: &Schema, now: Now) -> Result<u64, BadSchema> {
        let shared = self.topics.namespaces.get(&topic.namespace_name());
        if shared.and_then(|policies| policies.allow_auto_update_schema).unwrap_or(true) {
            let strategy = self.schema_strategy(topic);
            self.topics.touch_name(kind::SCHEMAS, &topic.schema_key());
            return self.schemas.register(topic, schema, strategy, now.wall_ms);
        }
        self.schemas.version_of(topic, schema)?.ok_or_else(|| {
            BadSchema::Incompatible("Schema not found and schema auto updating is disabled.".to_owned())
        })
    }

    /// The version that a producer's messages have.
    pub(super) fn producer_schema(
        &mut self,
        topic: &TopicName,
        schema: Option<&Schema>,
        now: Now,
    ) -> Result<Bytes, Refusal> {
        let twice = |bad: BadSchema| match bad {
            BadSchema::Incompatible(message) => {
                refused(format!("{CLASS}: {message} caused by {CLASS}: {message}"))
            }
            other => other.refusal(),
        };
        let Some(schema) = schema else {
            let own = self.topics.policies.get(&topic.base().to_string());
            let shared = self.topics.namespaces.get(&topic.namespace_name());
            let enforced =
                [own, shared].into_iter().flatten().any(|p| p.schema_validation_enforced == Some(true));
            if enforced && self.schemas.has(topic) {
                let message = "Producers cannot connect or send message without a schema to topics with a \
                               schemawhen SchemaValidationEnforced is enabled";
                return Err(twice(BadSchema::Incompatible(message.to_owned())));
            }
            return Ok(Bytes::new());
        };
        self.bring_schema(topic, schema, now).map(version).map_err(twice)
    }

    /// Whether a consumer may come with its schema. On a topic that nobody uses it brings it.
    pub(super) fn consumer_schema(
        &mut self,
        name: &TopicName,
        key: TopicKey,
        c: &CommandSubscribe,
        now: Now,
    ) -> Result<(), Refusal> {
        let Some(schema) = c.schema.as_ref().filter(|schema| schema.r#type != SchemaType::AUTO_CONSUME)
        else {
            return Ok(());
        };
        if self.schemas.has(name) {
            let strategy = self.schema_strategy(name);
            let fits = self.schemas.can_consume(name, schema, strategy);
            return fits.map_err(BadSchema::refusal);
        }
        let in_use = self.topics.get(key).is_some_and(|topic| {
            let mut consumers = topic.subs.values().flat_map(|sub| &sub.consumers);
            !topic.producers.is_empty()
                || topic.log.end() > topic.log.first()
                || consumers.any(|consumer| !consumer.takes_any_schema)
        });
        if in_use && self.schema_strategy(name) == SchemaStrategy::AlwaysCompatible {
            return Ok(());
        }
        if in_use {
            return Err(refused(format!(
                "Failed to add schema to an active topic with empty(BYTES) schema: new schema type {}",
                type_name(schema.r#type)
            )));
        }
        self.bring_schema(name, schema, now).map(drop).map_err(BadSchema::told)
    }

    pub(super) fn get_schema(&mut self, id: ConnId, c: CommandGetSchema) {
        let mut response =
            CommandGetSchemaResponse { request_id: c.request_id, ..CommandGetSchemaResponse::default() };
        let wanted = c.schema_version.as_ref().map(|bytes| <[u8; 8]>::try_from(bytes.as_ref()));
        let refusal = match TopicName::parse(&c.topic) {
            Err(message) => {
                let message = message.strip_prefix("Invalid topic name: ").unwrap_or(&message).to_owned();
                Some(Refusal::new(ServerError::INVALID_TOPIC_NAME, message))
            }
            Ok(_) if c.schema_version.as_ref().is_some_and(Bytes::is_empty) => {
                Some(refused("Empty schema version".to_owned()))
            }
            Ok(topic) => {
                let found = match wanted {
                    Some(Err(_)) => None,
                    wanted => {
                        let wanted = wanted.and_then(Result::ok).map(u64::from_be_bytes);
                        self.schemas.find(&self.schema_owner(&topic), wanted)
                    }
                };
                match found {
                    Some((at, found)) => {
                        response.schema = Some(Schema { name: schema_name(&topic), ..found.schema.clone() });
                        response.schema_version = Some(version(at));
                        None
                    }
                    None => {
                        let message = format!("Topic not found or no-schema {topic}");
                        Some(Refusal::new(ServerError::TOPIC_NOT_FOUND, message))
                    }
                }
            }
        };
        if let Some(refusal) = refusal {
            response.error_code = Some(refusal.error);
            response.error_message = Some(refusal.message);
        }
        self.reply(id, response);
    }

    pub(super) fn get_or_create_schema(&mut self, id: ConnId, c: CommandGetOrCreateSchema, now: Now) {
        let result = TopicName::parse(&c.topic)
            .map_err(|message| Refusal::new(ServerError::INVALID_TOPIC_NAME, message))
            .and_then(|topic| match self.topics.key(&topic.to_string()) {
                // Bytes of no schema: nothing to be registered.
                Some(_) if c.schema.r#type == SchemaType::NONE => Ok(None),
                Some(_) => self.bring_schema(&topic, &c.schema, now).map(Some).map_err(BadSchema::told),
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
            Ok(at) => response.schema_version = Some(at.map_or_else(Bytes::new, version)),
            Err(refusal) => {
                response.error_code = Some(refusal.error);
                response.error_message = Some(refusal.message);
            }
        }
        self.reply(id, Command::from(response));
    }
}
