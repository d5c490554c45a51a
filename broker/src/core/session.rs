//! A connection's commands: the handshake, keepalive, and who handles what.

use bytes::Bytes;
use pulsewire_proto::wire::frame::RawFrame;
use pulsewire_proto::wire::{
    AckType, Command, CommandConnect, CommandConnected, CommandPing, CommandPong, FRAME_OVERHEAD,
    FeatureFlags, PROTOCOL_VERSION,
};

use super::Broker;
use super::connection::{Abilities, Connection, State};
use super::error::DisconnectReason;
use super::ids::ConnId;
use super::notes::Note;
use super::storage::is_cut_short;
use super::time::Now;

/// What the broker calls itself in CONNECTED.
const VERSION: &str = concat!("pulsewire-broker ", env!("CARGO_PKG_VERSION"));

impl Broker {
    pub(super) fn frame(&mut self, id: ConnId, frame: &RawFrame, now: Now) {
        let command = match frame.decode() {
            Ok(command) => command,
            Err(error) => return self.cut(id, DisconnectReason::Protocol(error.to_string()), now),
        };
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.ping_out = false;
        if !self.probes.is_empty() {
            self.shows_life(id);
        }
        let Some(conn) = self.conns.get_mut(id) else { return };
        match (&conn.state, command) {
            (State::Cut(_), _) => {}
            (State::Start, Command::Connect(connect)) => self.connect(id, &connect, now),
            (State::Start, Command::Ping(_)) => self.reply(id, CommandPong::default()),
            (State::Start, Command::Pong(_)) => {}
            (State::Start, Command::AuthResponse(c)) => self.early_auth_response(id, &c, now),
            (State::Start, command) => {
                let what = format!("{} before CONNECT", command.name());
                self.cut(id, DisconnectReason::Protocol(what), now);
            }
            (State::Connected, command) => {
                if self.config.access.is_none() || !self.deny(id, &command) {
                    self.command(id, command, &frame.entry, now);
                }
            }
        }
    }

    fn connect(&mut self, id: ConnId, c: &CommandConnect, now: Now) {
        let max_message_size = self.config.max_message_size;
        if !self.admit_client(id, c, now) {
            return;
        }
        self.note(|broker| Note::Connected {
            id,
            client: c.client_version.clone(),
            role: broker.role_of(id).to_owned(),
        });
        let Some(conn) = self.conns.out(id) else { return };
        let flags = c.feature_flags.clone().unwrap_or_default();
        conn.can = Abilities {
            protocol_version: c.protocol_version.unwrap_or(0),
            auth_refresh: flags.supports_auth_refresh == Some(true),
            broker_entry_metadata: flags.supports_broker_entry_metadata == Some(true),
        };
        conn.client_version = c.client_version.as_str().into();
        conn.state = State::Connected;
        conn.decoder.set_limit(max_message_size + FRAME_OVERHEAD);
        let version = conn.can.protocol_version.min(PROTOCOL_VERSION);
        conn.send(CommandConnected {
            server_version: VERSION.to_owned(),
            protocol_version: Some(version),
            max_message_size: Some(i32::try_from(max_message_size).unwrap_or(i32::MAX)),
            feature_flags: Some(FeatureFlags {
                supports_topic_watchers: Some(true),
                supports_get_partitioned_metadata_without_auto_creation: Some(true),
                supports_repl_dedup_by_lid_and_eid: Some(true),
                ..FeatureFlags::default()
            }),
        });
    }

    fn command(&mut self, id: ConnId, command: Command, entry: &Bytes, now: Now) {
        match command {
            Command::Send(_) if is_cut_short(entry) => {
                self.cut(id, DisconnectReason::Protocol("SEND of nothing".to_owned()), now);
            }
            Command::Send(c) => self.send(id, &c, entry, now),
            Command::Ack(c) if c.ack_type == AckType::INDIVIDUAL || c.ack_type == AckType::CUMULATIVE => {
                self.ack(id, &c, now);
            }
            Command::Flow(c) => self.flow(id, &c, now),
            Command::Ping(_) => self.reply(id, CommandPong::default()),
            Command::Pong(_) => {}
            command if self.refuses_lookups(id, &command) => {}
            Command::PartitionedTopicMetadata(c) => self.partitioned_metadata(id, &c),
            Command::LookupTopic(c) => self.lookup(id, &c),
            Command::Producer(c) => self.producer(id, c, now),
            Command::CloseProducer(c) => self.close_producer(id, &c),
            Command::Subscribe(c) => self.subscribe(id, c, now),
            Command::CloseConsumer(c) => self.close_consumer(id, &c, now),
            Command::Unsubscribe(c) => self.unsubscribe(id, &c),
            Command::RedeliverUnacknowledgedMessages(c) => self.redeliver(id, &c),
            Command::Seek(c) => self.seek(id, c),
            Command::GetLastMessageId(c) => self.last_message_id(id, &c),
            Command::ConsumerStats(c) => self.consumer_stats(id, &c, now),
            Command::GetTopicsOfNamespace(c) => self.topics_of_namespace(id, &c, now),
            Command::WatchTopicList(c) => self.watch_topics(id, c, now),
            Command::WatchTopicListClose(c) => self.unwatch_topics(id, &c),
            Command::GetSchema(c) => self.get_schema(id, c),
            Command::GetOrCreateSchema(c) => self.get_or_create_schema(id, c, now),
            Command::AuthResponse(c) => self.auth_response(id, &c, now),
            Command::TcClientConnectRequest(c) => self.attach_to_coordinator(id, &c),
            Command::NewTxn(c) => self.new_txn(id, &c, now),
            Command::AddPartitionToTxn(c) => self.add_partition_to_txn(id, c),
            Command::AddSubscriptionToTxn(c) => self.add_subscription_to_txn(id, c),
            Command::EndTxn(c) => self.end_txn(id, &c, now),
            Command::EndTxnOnPartition(c) => self.end_txn_on_partition(id, &c, now),
            Command::EndTxnOnSubscription(c) => self.end_txn_on_subscription(id, &c, now),
            // A second CONNECT, all that only brokers say, and what is not known to Pulsar 4.0.
            other => {
                let what = format!("{} from a client that is connected", other.name());
                self.cut(id, DisconnectReason::Protocol(what), now);
            }
        }
    }

    /// Looks at the silence of a connection: asks, or cuts.
    pub(super) fn check_silence(&mut self, id: ConnId, now: Now) {
        let keep_alive = self.config.keep_alive;
        let window = self.config.connection_window;
        let Some(conn) = self.conns.out(id) else { return };
        if conn.state == State::Start {
            self.cut(id, DisconnectReason::HandshakeTimeout, now);
        } else if conn.ping_out && conn.paused.is_none() {
            let deaf = conn.outbox.unwritten() >= window;
            let reason = if deaf { DisconnectReason::NotReading } else { DisconnectReason::KeepAliveTimeout };
            self.cut(id, reason, now);
        } else {
            conn.ping_out = true;
            conn.send(CommandPing::default());
            conn.next_check = now.mono + keep_alive;
            let next = conn.next_check;
            self.timers.insert((next, super::Timer::Silence(id)));
        }
    }

    /// Ends a connection from the broker's side. What it held is free at once.
    pub(super) fn cut(&mut self, id: ConnId, reason: DisconnectReason, now: Now) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.is_cut() {
            return;
        }
        conn.state = State::Cut(reason);
        self.conns.list(id);
        self.release(id, now);
        self.cuts.push_back(id);
        self.holder_gone(id, now);
    }

    /// Takes from a connection all that it holds.
    pub(super) fn release(&mut self, id: ConnId, now: Now) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Connection { producers, consumers, watchers, next_check, known, paused, held, .. } = conn;
        held.clear();
        if let Some(at) = paused.take() {
            self.timers.remove(&(at, super::Timer::Resume(id)));
        }
        if let Some(at) = known.as_mut().and_then(|known| known.next_check.take()) {
            self.timers.remove(&(at, super::Timer::Refresh(id)));
        }
        let (producers, consumers, watchers) =
            (std::mem::take(producers), std::mem::take(consumers), std::mem::take(watchers));
        self.timers.remove(&(*next_check, super::Timer::Silence(id)));
        for watcher in watchers.into_keys() {
            self.watching.remove(&(id, watcher));
        }
        for (producer_id, producer) in producers {
            self.dismiss_producer(id, producer_id, producer);
        }
        for consumer in consumers.into_values() {
            self.dismiss_consumer(consumer, now);
        }
    }
}
