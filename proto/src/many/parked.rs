//! Messages for a partition whose producer is not open yet.
//!
//! Only a producer that starts lazily has any, or one whose partition failed and is opened again.

use bytes::Bytes;

use crate::producer::{Key, Outgoing, Payload};
use crate::time::Now;

/// A message that outlives the call that sent it.
#[derive(Debug)]
pub(crate) struct Parked {
    /// The user's token.
    pub(crate) token: u64,
    /// When it was sent: its timeout counts from then.
    pub(crate) since: Now,
    /// Bytes that it counts for.
    pub(crate) size: usize,
    payload: Option<Bytes>,
    key: Option<OwnedKey>,
    ordering_key: Option<Vec<u8>>,
    properties: Vec<(String, String)>,
    event_time: Option<u64>,
    sequence_id: Option<u64>,
}

#[derive(Debug)]
enum OwnedKey {
    Text(String),
    Bytes(Vec<u8>),
}

impl Parked {
    pub(crate) fn new(message: &Outgoing<'_>, token: u64, since: Now) -> Self {
        // All fields are named, so that none is forgotten here.
        let Outgoing { payload, key, ordering_key, properties, event_time, sequence_id } = *message;
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            token,
            since,
            size: payload.as_ref().map_or(0, |p| p.as_slice().len()),
            payload: payload.map(|payload| match payload {
                Payload::Slice(slice) => Bytes::copy_from_slice(slice),
                Payload::Shared(bytes) => bytes.clone(),
            }),
            key: key.map(|key| match key {
                Key::Text(text) => OwnedKey::Text(text.to_owned()),
                Key::Bytes(bytes) => OwnedKey::Bytes(bytes.to_vec()),
            }),
            ordering_key: ordering_key.map(<[u8]>::to_vec),
            properties: properties.iter().map(owned).collect(),
            event_time,
            sequence_id,
        }
    }

    /// Does something with the message as it was given.
    pub(crate) fn with<T>(&self, send: impl FnOnce(&Outgoing<'_>) -> T) -> T {
        let properties: Vec<(&str, &str)> =
            self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        send(&Outgoing {
            payload: self.payload.as_ref().map(Payload::Shared),
            key: self.key.as_ref().map(|key| match key {
                OwnedKey::Text(text) => Key::Text(text),
                OwnedKey::Bytes(bytes) => Key::Bytes(bytes),
            }),
            ordering_key: self.ordering_key.as_deref(),
            properties: &properties,
            event_time: self.event_time,
            sequence_id: self.sequence_id,
        })
    }
}
