//! Messages for a partition whose producer is not open yet.
//!
//! Only a producer that starts lazily has any, or one whose partition failed and is opened again.
//!
//! ```text
//! sent, and both limits have room -> Parked --the part is open--> pending there, whatever the limits say by then
//!                                      \--it failed, it took too long--> failed
//! ```

use bytes::Bytes;

use crate::ids::MessageId;
use crate::producer::{Deliver, Key, Outgoing, Payload};
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
    deliver: Option<Deliver>,
    replicate_to: Vec<String>,
    source_id: Option<MessageId>,
}

#[derive(Debug)]
enum OwnedKey {
    Text(String),
    Bytes(Vec<u8>),
}

impl Parked {
    pub(crate) fn new(message: &Outgoing<'_>, token: u64, since: Now) -> Self {
        // All fields are named, so that none is forgotten here.
        let Outgoing {
            payload,
            key,
            ordering_key,
            properties,
            event_time,
            sequence_id,
            deliver,
            replicate_to,
            source_id,
        } = *message;
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            token,
            since,
            size: Self::size_of(message),
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
            deliver,
            replicate_to: replicate_to.iter().map(|cluster| (*cluster).to_owned()).collect(),
            source_id: source_id.copied(),
        }
    }

    /// Bytes that it takes to keep a message: an empty one is not free.
    pub(crate) fn size_of(message: &Outgoing<'_>) -> usize {
        let key = message.key.as_ref().map_or(0, |key| match key {
            Key::Text(text) => text.len(),
            Key::Bytes(bytes) => bytes.len(),
        });
        let properties = message
            .properties
            .iter()
            .map(|(name, value)| size_of::<(String, String)>() + name.len() + value.len());
        let clusters = message.replicate_to.iter().map(|name| size_of::<String>() + name.len());
        size_of::<Self>()
            + message.payload.as_ref().map_or(0, |payload| payload.as_slice().len())
            + key
            + message.ordering_key.map_or(0, <[u8]>::len)
            + properties.chain(clusters).sum::<usize>()
    }

    /// Does something with the message as it was given.
    pub(crate) fn with<T>(&self, send: impl FnOnce(&Outgoing<'_>) -> T) -> T {
        let properties: Vec<(&str, &str)> =
            self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let replicate_to: Vec<&str> = self.replicate_to.iter().map(String::as_str).collect();
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
            deliver: self.deliver,
            replicate_to: &replicate_to,
            source_id: self.source_id.as_ref(),
        })
    }
}
