//! Publishing without a connection: messages that come with an admin call.

use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use pulsewire_proto::wire::entry::encode_entry;
use pulsewire_proto::wire::{CommandSend, MessageMetadata, Schema};

use super::AdminError;
use crate::core::Broker;
use crate::core::connection::ProducerRef;
use crate::core::measuring::Measured;
use crate::core::names::TopicName;
use crate::core::producing::store;
use crate::core::time::Now;

/// Orders about messages.
impl Broker {
    /// A version of a topic's schema as clients get it.
    #[must_use]
    pub fn stored_schema(&self, topic: &TopicName, version: u64) -> Option<Schema> {
        self.schemas.find(topic, Some(version)).map(|(_, found)| found.schema.clone())
    }

    /// Gives a topic a schema as a producer that brings it does; answers its version.
    ///
    /// # Errors
    /// It is none, or does not go with those that are there.
    pub fn add_schema(&mut self, topic: &TopicName, schema: &Schema, now: Now) -> Result<u64, AdminError> {
        let version = self.producer_schema(topic, Some(schema), now)?;
        let version: [u8; 8] = version.as_ref().try_into().unwrap_or_default();
        Ok(u64::from_be_bytes(version))
    }

    /// Stores a message; answers its ledger and its number in it.
    ///
    /// # Errors
    /// The topic is not there, or takes nothing.
    pub fn publish(
        &mut self,
        name: &TopicName,
        metadata: &MessageMetadata,
        payload: &[u8],
        now: Now,
    ) -> Result<(i64, i64), AdminError> {
        let key = self.topics.key(&name.to_string()).ok_or_else(|| AdminError::no_topic(name))?;
        let producer = ProducerRef {
            topic: key,
            name: metadata.producer_name.clone(),
            schema_version: Bytes::new(),
            ready: true,
            sent: Cell::default(),
            measured: Measured::since(now),
        };
        let send = CommandSend { sequence_id: metadata.sequence_id, ..CommandSend::default() };
        let mut entry = BytesMut::new();
        encode_entry(metadata, payload, &mut entry);
        let (topics, config) = (&mut self.topics, &self.config);
        let id = store(topics, config, &producer, &send, metadata.sequence_id, &entry.freeze(), now)?;
        self.published(key);
        self.settle(now);
        Ok((id.ledger_id as i64, id.entry_id as i64))
    }
}
