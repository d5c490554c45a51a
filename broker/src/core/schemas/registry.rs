//! The schemas of all topics, with their versions.

use std::collections::BTreeMap;

use bytes::Bytes;
use pulsewire_proto::wire::{Schema, SchemaType};

use super::check::{self, BadSchema};
use super::strategy::SchemaStrategy;
use crate::core::names::TopicName;

/// Versions of one topic that may be kept.
const MAX_VERSIONS: usize = 10_000;

/// A schema, or that there is none from then on.
#[derive(Debug, Clone)]
pub(in crate::core) struct Version {
    pub(in crate::core) schema: Schema,
    /// Milliseconds since the Unix epoch.
    pub(in crate::core) timestamp: u64,
    pub(in crate::core) deleted: bool,
}

/// Topics (without their partitions) and their versions, oldest first.
#[derive(Debug, Default)]
pub(in crate::core) struct Schemas {
    topics: BTreeMap<String, Vec<Version>>,
}

impl Schemas {
    /// All versions of a topic, by its [`TopicName::schema_key`].
    pub(in crate::core) fn versions(&self, topic: &str) -> &[Version] {
        self.topics.get(topic).map(Vec::as_slice).unwrap_or_default()
    }

    pub(in crate::core) fn restore(&mut self, topic: String, versions: Vec<Version>) {
        self.topics.insert(topic, versions);
    }

    /// Forgets a topic's schemas, as when it is deleted.
    pub(in crate::core) fn forget(&mut self, topic: &TopicName) {
        self.topics.remove(&topic.schema_key());
    }

    /// Whether a topic has a schema.
    pub(in crate::core) fn has(&self, topic: &TopicName) -> bool {
        self.versions(&topic.schema_key()).last().is_some_and(|version| !version.deleted)
    }

    /// What is there since schemas were last deleted, with the numbers of their versions.
    pub(in crate::core) fn living(&self, topic: &TopicName) -> Vec<(u64, &Version)> {
        let all = self.versions(&topic.schema_key());
        let start = all.iter().rposition(|version| version.deleted).map_or(0, |at| at + 1);
        all.iter().enumerate().skip(start).map(|(at, version)| (at as u64, version)).collect()
    }

    /// A version that was not deleted, or the last one, also when it is that there is none.
    pub(in crate::core) fn find(&self, topic: &TopicName, wanted: Option<u64>) -> Option<(u64, &Version)> {
        let Some(wanted) = wanted else {
            let all = self.versions(&topic.schema_key());
            return all.last().map(|last| (all.len() as u64 - 1, last));
        };
        self.living(topic).into_iter().find(|(at, _)| *at == wanted)
    }

    /// The version that a schema has.
    pub(in crate::core) fn version_of(&self, topic: &TopicName, schema: &Schema) -> Option<u64> {
        self.living(topic).into_iter().find(|(_, known)| check::same(&known.schema, schema)).map(|(at, _)| at)
    }

    /// The same, of layout and order as well.
    pub(in crate::core) fn version_of_bytes(&self, topic: &TopicName, schema: &Schema) -> Option<u64> {
        let same = |known: &Schema| known.r#type == schema.r#type && known.schema_data == schema.schema_data;
        self.living(topic).into_iter().find(|(_, known)| same(&known.schema)).map(|(at, _)| at)
    }

    /// The version of a schema; a new one unless it is there.
    pub(in crate::core) fn register(
        &mut self,
        topic: &TopicName,
        schema: &Schema,
        strategy: SchemaStrategy,
        wall_ms: u64,
    ) -> Result<u64, BadSchema> {
        check::validate(schema)?;
        if let Some(known) = self.version_of(topic, schema) {
            return Ok(known);
        }
        let living = self.living(topic);
        let before: Vec<&Schema> = living.iter().map(|(_, version)| &version.schema).collect();
        if !before.is_empty() {
            check::may_follow(&before, schema, strategy)?;
        }
        self.push(topic, Version { schema: schema.clone(), timestamp: wall_ms, deleted: false })
    }

    /// From now on the topic has no schema. Answers the version of that.
    pub(in crate::core) fn delete(&mut self, topic: &TopicName, wall_ms: u64) -> Result<u64, BadSchema> {
        let none = Schema {
            name: String::new(),
            schema_data: Bytes::new(),
            r#type: SchemaType::NONE,
            properties: Vec::new(),
        };
        self.push(topic, Version { schema: none, timestamp: wall_ms, deleted: true })
    }

    fn push(&mut self, topic: &TopicName, version: Version) -> Result<u64, BadSchema> {
        let versions = self.topics.entry(topic.schema_key()).or_default();
        if versions.len() >= MAX_VERSIONS {
            return Err(BadSchema::Incompatible(format!("The topic has {MAX_VERSIONS} schemas already")));
        }
        versions.push(version);
        Ok(versions.len() as u64 - 1)
    }

    /// Whether a schema may follow those that are there, as somebody asks beforehand.
    pub(in crate::core) fn may_follow(
        &self,
        topic: &TopicName,
        schema: &Schema,
        strategy: SchemaStrategy,
    ) -> Result<(), BadSchema> {
        check::validate(schema)?;
        let living = self.living(topic);
        if living.is_empty() {
            return Ok(());
        }
        let before: Vec<&Schema> = living.iter().map(|(_, version)| &version.schema).collect();
        check::may_follow(&before, schema, strategy)
    }

    /// Whether a consumer with that schema can read the topic: mostly, what is written by the last one.
    pub(in crate::core) fn can_consume(
        &self,
        topic: &TopicName,
        schema: &Schema,
        strategy: SchemaStrategy,
    ) -> Result<(), BadSchema> {
        let living = self.living(topic);
        let all: Vec<&Schema> = living.iter().map(|(_, version)| &version.schema).collect();
        if strategy == SchemaStrategy::AlwaysCompatible {
            return Ok(());
        }
        match strategy {
            SchemaStrategy::Backward
            | SchemaStrategy::Forward
            | SchemaStrategy::ForwardTransitive
            | SchemaStrategy::Full => check::may_follow(&all, schema, SchemaStrategy::Backward),
            SchemaStrategy::AlwaysIncompatible => {
                check::may_follow(&all, schema, strategy)?;
                check::follows_any(&all, schema, strategy)
            }
            _ => check::may_follow(&all, schema, strategy),
        }
    }
}
