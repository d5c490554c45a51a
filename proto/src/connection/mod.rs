//! One socket's life: handshake, keepalive, and the bytes in and out.
//!
//! ```text
//! Connecting --connected: send CONNECT--> Handshaking --CONNECTED--> Ready
//!     |                                        |                       |
//!     +------------- closed, timed out, protocol broken ---------------+--> forgotten
//! ```
//!
//! A connection is dead when nothing has come down for two keepalive intervals; a PING goes out
//! after the first. PING of the broker is answered where it is read.

pub(crate) mod incoming;
mod outbox;

pub(crate) use outbox::Outbox;

use crate::client::link::Owner;
use crate::client::pool::PoolKey;
use crate::config::ClientConfig;
use crate::ids::ProducerId;
use crate::time::{Now, Time};
use crate::wire::frame::FrameDecoder;
use crate::wire::{
    AuthData, CommandAuthResponse, CommandConnect, CommandConnected, CommandPing, CommandPong,
    DEFAULT_MAX_MESSAGE_SIZE, FRAME_OVERHEAD, FeatureFlags, Outbound, PROTOCOL_VERSION,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The host is opening the socket.
    Connecting,
    /// CONNECT is out.
    Handshaking,
    /// CONNECTED came.
    Ready,
}

/// What waits for a connection to become ready.
#[derive(Debug)]
pub(crate) enum Waiting {
    Task(u64),
    Link(Owner, u64),
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) key: PoolKey,
    pub(crate) state: State,
    pub(crate) decoder: FrameDecoder,
    pub(crate) outbox: Outbox,
    /// Producers with frames that are not in the outbox yet.
    pub(crate) dirty: Vec<ProducerId>,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) max_message_size: usize,
    /// The protocol that the broker speaks; 0 where it does not say.
    pub(crate) peer_version: i32,
    /// Whether the broker tells of topics that come and go.
    pub(crate) topic_watchers: bool,
    /// The broker says when a topic that it is asked about is not there, and does not make it.
    pub(crate) tells_absent: bool,
    last_received: Time,
}

impl Connection {
    pub(crate) fn new(key: PoolKey, now: Now) -> Self {
        Self {
            key,
            state: State::Connecting,
            decoder: FrameDecoder::new(DEFAULT_MAX_MESSAGE_SIZE + FRAME_OVERHEAD),
            outbox: Outbox::default(),
            dirty: Vec::new(),
            waiting: Vec::new(),
            max_message_size: DEFAULT_MAX_MESSAGE_SIZE,
            peer_version: 0,
            topic_watchers: false,
            tells_absent: false,
            last_received: now.time,
        }
    }

    pub(crate) fn write(&mut self, command: impl Into<Outbound>) {
        command.into().encode_frame(self.outbox.tail());
    }

    /// The socket is open: CONNECT goes out.
    pub(crate) fn open(&mut self, config: &ClientConfig, now: Now) {
        self.state = State::Handshaking;
        self.last_received = now.time;
        let authentication = config.authentication.as_ref();
        self.write(CommandConnect {
            client_version: config.client_version.clone(),
            auth_method_name: authentication.map(|a| a.method.clone()),
            auth_data: authentication.map(|a| a.data.clone()),
            protocol_version: Some(PROTOCOL_VERSION),
            proxy_to_broker_url: self.key.proxy_to.clone(),
            feature_flags: Some(FeatureFlags {
                supports_auth_refresh: Some(true),
                supports_broker_entry_metadata: Some(true),
                supports_partial_producer: Some(true),
                supports_topic_watchers: cfg!(feature = "many").then_some(true),
                supports_get_partitioned_metadata_without_auto_creation: Some(true),
                ..Default::default()
            }),
            ..Default::default()
        });
    }

    /// CONNECTED came.
    pub(crate) fn accept(&mut self, connected: &CommandConnected) {
        self.state = State::Ready;
        self.peer_version = connected.protocol_version.unwrap_or(0);
        self.topic_watchers =
            connected.feature_flags.as_ref().and_then(|f| f.supports_topic_watchers) == Some(true);
        if cfg!(feature = "redelivery") {
            let flags = connected.feature_flags.as_ref();
            let told = flags.and_then(|f| f.supports_get_partitioned_metadata_without_auto_creation);
            // Pulsar's proxies say so too, and then find that all topics are there; they do not watch any.
            self.tells_absent = told == Some(true) && self.topic_watchers;
        }
        if let Some(size) =
            connected.max_message_size.and_then(|s| usize::try_from(s).ok()).filter(|s| *s > 0)
        {
            self.max_message_size = size;
            self.decoder.set_limit(size.saturating_add(FRAME_OVERHEAD));
        }
    }

    /// AUTH_CHALLENGE: the same credentials again, as they do not change.
    pub(crate) fn answer_challenge(&mut self, config: &ClientConfig) {
        let response = config
            .authentication
            .as_ref()
            .map(|a| AuthData { auth_method_name: Some(a.method.clone()), auth_data: Some(a.data.clone()) });
        self.write(CommandAuthResponse {
            client_version: Some(config.client_version.clone()),
            response: Some(response.unwrap_or_default()),
            protocol_version: Some(PROTOCOL_VERSION),
        });
    }

    pub(crate) fn pong(&mut self) {
        self.write(CommandPong::default());
    }

    pub(crate) fn heard(&mut self, now: Now) {
        self.last_received = now.time;
    }

    /// Looks whether the connection is alive: when to look again, or `None` when it must be given up.
    pub(crate) fn keep_alive(&mut self, config: &ClientConfig, now: Now) -> Option<Time> {
        self.decoder.tidy();
        let interval = config.keep_alive_interval;
        let silence = now.time - self.last_received;
        if silence >= interval * 2 {
            return None;
        }
        if silence < interval {
            return Some(self.last_received + interval);
        }
        if self.state == State::Ready {
            self.write(CommandPing::default());
        }
        Some(self.last_received + interval * 2)
    }

    /// Notes that `producer` has frames for this connection.
    pub(crate) fn mark_dirty(&mut self, producer: ProducerId) {
        if self.dirty.last() != Some(&producer) && !self.dirty.contains(&producer) {
            self.dirty.push(producer);
        }
    }
}
