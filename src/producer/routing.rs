//! Routers of the user's own.

use std::sync::Arc;

use pulsewire_proto::{Key, Outgoing, Payload};

pub(super) type Router = Arc<dyn Fn(&RoutedMessage<'_>, u32) -> u32 + Send + Sync>;

/// A message as a [router](crate::ProducerBuilder::message_router) sees it.
pub struct RoutedMessage<'a> {
    pub(super) message: &'a Outgoing<'a>,
}

impl RoutedMessage<'_> {
    /// The payload; empty for a null value.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        match self.message.payload {
            Some(Payload::Slice(bytes)) => bytes,
            Some(Payload::Shared(bytes)) => bytes,
            None => &[],
        }
    }

    /// The bytes of the key, whether it was given as text or as bytes.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.message.key.map(|key| match key {
            Key::Text(text) => text.as_bytes(),
            Key::Bytes(bytes) => bytes,
        })
    }

    /// The ordering key.
    #[must_use]
    pub fn ordering_key(&self) -> Option<&[u8]> {
        self.message.ordering_key
    }

    /// The value of a property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.message.properties.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

impl std::fmt::Debug for RoutedMessage<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.message.fmt(f)
    }
}
