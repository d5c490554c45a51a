//! A relay between clients and a broker that takes down what is said, and may mix into what the broker says things
//! that nobody knows: fields, values of enumerations, commands. Such a one also loses the first ACK of subscriptions
//! whose name is [`LOSES_ACKS`], and the broker's answer to the first of those called [`LOSES_RECEIPTS`].
//!
//! Addresses in answers to lookups become the relay's own. Over HTTP it tells what it has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use pulsewire_proto::wire::entry::{Checksum, Entry};
use pulsewire_proto::wire::frame::{FrameDecoder, RawFrame};
use pulsewire_proto::wire::{
    Command, CommandError, CommandLookupTopicResponse, CommandSendError, DEFAULT_MAX_MESSAGE_SIZE,
    FRAME_OVERHEAD, FeatureFlags, MessageMetadata, ServerError, SingleMessageMetadata, batch, crc32c,
};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::{Result, any};

/// Batches up to this size get unknown fields between their messages. Larger ones might grow over the limit.
const SMALL: usize = 64 * 1024;
/// No error of a broker has this number.
const NO_ERROR: ServerError = ServerError(9_999);
/// Nor any command.
const NO_COMMANDS: [u32; 3] = [200, 1_000, 100_000];
/// Subscriptions whose first acknowledgement does not reach the broker.
const LOSES_ACKS: &str = "loses-acks";
/// Subscriptions whose first acknowledgement reaches it, and whose receipt does not come back.
const LOSES_RECEIPTS: &str = "loses-receipts";
/// The largest number that a field can have.
const LAST_FIELD: u32 = (1 << 29) - 1;

/// What has passed.
#[derive(Debug, Default)]
struct Seen {
    /// Versions and features that clients said.
    clients: BTreeSet<(i32, Vec<u8>)>,
    /// The same of the broker.
    brokers: BTreeSet<(i32, Vec<u8>)>,
    /// Numbers of the commands that clients sent.
    commands: BTreeSet<i32>,
    /// What was mixed in.
    unknown_fields: u64,
    unknown_values: u64,
    unknown_commands: u64,
    /// ACKs and receipts that were lost.
    lost: u64,
}

/// What is to be lost on one connection.
#[derive(Debug, Default)]
struct Losses {
    /// Consumers, and whether their ACK is meant, or its receipt.
    consumers: BTreeMap<u64, bool>,
    /// Requests whose answers are.
    answers: BTreeSet<u64>,
}

/// Where a relay is.
pub(crate) struct Relay {
    pub(crate) url: String,
    pub(crate) http: SocketAddr,
}

/// Starts one in front of `pulsar://` that is `strange` or only listens.
pub(crate) async fn start(broker: &str, strange: bool) -> Result<Relay> {
    let broker = broker.trim_start_matches("pulsar://").to_owned();
    let listener = TcpListener::bind(any()).await?;
    let url = format!("pulsar://localhost:{}", listener.local_addr()?.port());
    let door = TcpListener::bind(any()).await?;
    let http = door.local_addr()?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    tokio::spawn(tell(door, seen.clone()));
    let own = url.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (broker, own, seen) = (broker.clone(), own.clone(), seen.clone());
            tokio::spawn(async move {
                let Ok(server) = TcpStream::connect(broker).await else { return };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let losses = Arc::new(Mutex::new(Losses::default()));
                let mut back = Back { own, seen: seen.clone(), strange, frames: 0, losses: losses.clone() };
                let forth = |frame: &RawFrame| {
                    listen(frame, &seen);
                    if strange && loses(frame, &losses, &seen) { Bytes::new() } else { whole(frame) }
                };
                // Either direction's end ends both.
                tokio::select! {
                    _ = pump(from_client, to_server, forth) => {}
                    _ = pump(from_server, to_client, |frame| back.frame(frame)) => {}
                }
            });
        }
    });
    Ok(Relay { url, http })
}

/// Answers every request with what has passed, as JSON.
async fn tell(door: TcpListener, seen: Arc<Mutex<Seen>>) {
    while let Ok((mut socket, _)) = door.accept().await {
        let body = {
            let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            json!({
                "clients": seen.clients, "brokers": seen.brokers, "commands": seen.commands,
                "unknown_fields": seen.unknown_fields, "unknown_values": seen.unknown_values,
                "unknown_commands": seen.unknown_commands, "lost": seen.lost,
            })
            .to_string()
        };
        tokio::spawn(async move {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                match socket.read_buf(&mut request).await {
                    Ok(n) if n > 0 && request.len() < 16 * 1024 => {}
                    _ => return,
                }
            }
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json";
            let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _ = socket.write_all(answer.as_bytes()).await;
        });
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut each: impl FnMut(&RawFrame) -> Bytes) {
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_MESSAGE_SIZE + FRAME_OVERHEAD);
    let mut bytes = BytesMut::new();
    while from.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {
        decoder.push(bytes.split().freeze());
        while let Ok(Some(frame)) = decoder.next_frame() {
            if to.write_all(&each(&frame)).await.is_err() {
                return;
            }
        }
        bytes.reserve(64 * 1024);
    }
}

/// The frame as it was.
fn whole(frame: &RawFrame) -> Bytes {
    joined(&frame.command, &frame.entry)
}

fn joined(command: &[u8], entry: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + command.len() + entry.len());
    out.put_u32((4 + command.len() + entry.len()) as u32);
    out.put_u32(command.len() as u32);
    out.put_slice(command);
    out.put_slice(entry);
    out.freeze()
}

/// Numbers of the features that are offered.
fn features(flags: Option<&FeatureFlags>) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    if let Some(flags) = flags {
        flags.encode(&mut bytes);
    }
    // A tag and a boolean each.
    bytes.chunks(2).filter(|pair| pair.get(1) == Some(&1)).map(|pair| pair[0] >> 3).collect()
}

fn listen(frame: &RawFrame, seen: &Mutex<Seen>) {
    let Ok(command) = frame.decode() else { return };
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if let Command::Connect(connect) = &command {
        let said = (connect.protocol_version.unwrap_or(0), features(connect.feature_flags.as_ref()));
        seen.clients.insert(said);
    }
    seen.commands.insert(command.number());
}

/// Whether what a client says gets lost; or what the broker will answer is to be.
fn loses(frame: &RawFrame, losses: &Mutex<Losses>, seen: &Mutex<Seen>) -> bool {
    let mut losses = losses.lock().unwrap_or_else(PoisonError::into_inner);
    match frame.decode() {
        Ok(Command::Subscribe(subscribe)) => {
            let lost = match subscribe.subscription.as_str() {
                LOSES_ACKS => true,
                LOSES_RECEIPTS => false,
                _ => return false,
            };
            losses.consumers.insert(subscribe.consumer_id, lost);
            false
        }
        Ok(Command::Ack(ack)) => {
            let lost = losses.consumers.remove(&ack.consumer_id);
            if lost == Some(false) {
                losses.answers.extend(ack.request_id);
            }
            if lost == Some(true) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).lost += 1;
            }
            lost == Some(true)
        }
        _ => false,
    }
}

/// What comes back from the broker on one connection.
struct Back {
    own: String,
    seen: Arc<Mutex<Seen>>,
    strange: bool,
    frames: usize,
    losses: Arc<Mutex<Losses>>,
}

impl Back {
    fn frame(&mut self, frame: &RawFrame) -> Bytes {
        let Ok(mut command) = frame.decode() else { return whole(frame) };
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = false;
        match &mut command {
            Command::Connected(connected) => {
                let said = features(connected.feature_flags.as_ref());
                seen.brokers.insert((connected.protocol_version.unwrap_or(0), said));
            }
            Command::LookupTopicResponse(CommandLookupTopicResponse {
                broker_service_url,
                broker_service_url_tls,
                ..
            }) if broker_service_url.is_some() => {
                *broker_service_url = Some(self.own.clone());
                *broker_service_url_tls = None;
                changed = true;
            }
            Command::AckResponse(response)
                if losses.answers.remove(&response.request_id.unwrap_or(u64::MAX)) =>
            {
                seen.lost += 1;
                return Bytes::new();
            }
            Command::Error(CommandError { error, .. })
            | Command::SendError(CommandSendError { error, .. })
                if self.strange =>
            {
                *error = NO_ERROR;
                seen.unknown_values += 1;
                changed = true;
            }
            _ => {}
        }
        let mut encoded = frame.command.clone();
        if changed {
            let mut again = BytesMut::new();
            command.encode(&mut again);
            encoded = again.freeze();
        }
        if !self.strange {
            return joined(&encoded, &frame.entry);
        }
        // Now before what is known, now after it.
        let first = self.frames.is_multiple_of(2);
        let mut out = BytesMut::new();
        let number = NO_COMMANDS[self.frames % NO_COMMANDS.len()];
        if self.frames.is_multiple_of(3) {
            out.put_slice(&nobody_knows(number));
            seen.unknown_commands += 1;
        }
        self.frames += 1;
        seen.unknown_fields += 1;
        let command = envelope(&encoded, inner_ids(&command), first);
        let entry = if frame.entry.is_empty() { Bytes::new() } else { with_fields(&frame.entry, first) };
        out.put_slice(&joined(&command, &entry));
        out.freeze()
    }
}

/// A command that nobody knows, with an entry after it.
fn nobody_knows(number: u32) -> Bytes {
    let mut command = BytesMut::new();
    put_tag(1, 0, &mut command);
    put_varint(u64::from(number), &mut command);
    put_bytes(number, &unknown(), &mut command);
    joined(&command, b"and what would follow it")
}

/// Fields that no message has, of each wire type.
fn unknown() -> BytesMut {
    let mut out = BytesMut::new();
    put_tag(900, 0, &mut out);
    put_varint(u64::MAX, &mut out);
    put_tag(901, 1, &mut out);
    out.put_u64_le(7);
    put_bytes(902, b"unknown", &mut out);
    put_tag(903, 5, &mut out);
    out.put_u32_le(7);
    put_bytes(LAST_FIELD, b"", &mut out);
    out
}

/// The fields of the body, and perhaps of a message in it, where a message stands.
fn inner_ids(command: &Command) -> Option<u32> {
    match command {
        Command::Message(_) => Some(2),
        Command::SendReceipt(_) => Some(3),
        Command::Connected(_) => Some(4),
        Command::GetLastMessageIdResponse(_) => Some(1),
        _ => None,
    }
}

/// An encoded command with unknown fields in it, in its body, and in the messages of one field of that.
fn envelope(command: &[u8], inner: Option<u32>, first: bool) -> BytesMut {
    let body = |body: &[u8]| {
        let nested =
            rewritten(body, |number, message| (Some(number) == inner).then(|| around(message, first)));
        around(&nested, first)
    };
    // The type, a number, is field 1; the body's field is numbered as the command is.
    let bodies = rewritten(command, |_, message| Some(body(message)));
    around(&bodies, first)
}

fn around(message: &[u8], first: bool) -> BytesMut {
    let mut out = if first { unknown() } else { BytesMut::from(message) };
    if first {
        out.put_slice(message)
    } else {
        out.put_slice(&unknown())
    }
    out
}

/// A message whose fields that have a length may be others.
fn rewritten(message: &[u8], other: impl Fn(u32, &[u8]) -> Option<BytesMut>) -> BytesMut {
    let mut out = BytesMut::new();
    let mut rest = message;
    while let Some(tag) = varint(&mut rest) {
        put_varint(tag, &mut out);
        match tag & 7 {
            0 => put_varint(varint(&mut rest).unwrap_or_default(), &mut out),
            2 => {
                let length = varint(&mut rest).unwrap_or_default() as usize;
                let (field, after) = rest.split_at(length.min(rest.len()));
                rest = after;
                let replaced = other((tag >> 3) as u32, field);
                let field = replaced.as_deref().unwrap_or(field);
                put_varint(field.len() as u64, &mut out);
                out.put_slice(field);
            }
            kind => {
                let (field, after) = rest.split_at(if kind == 1 { 8 } else { 4 }.min(rest.len()));
                out.put_slice(field);
                rest = after;
            }
        }
    }
    out
}

/// An entry with unknown fields in all its metadata, and a checksum that is right if it was.
fn with_fields(entry: &Bytes, first: bool) -> Bytes {
    let Ok(parsed) = Entry::parse(entry) else { return entry.clone() };
    let mut out = BytesMut::new();
    if let Some(broker) = &parsed.broker {
        let mut metadata = BytesMut::new();
        broker.encode(&mut metadata);
        let metadata = around(&metadata, first);
        out.put_u16(0x0e02);
        out.put_u32(metadata.len() as u32);
        out.put_slice(&metadata);
    }
    let mut metadata = around(&parsed.metadata, first);
    let mut payload = parsed.payload.clone();
    if let Ok(known) = MessageMetadata::decode(&parsed.metadata)
        && let Some(messages) = known.num_messages_in_batch
        && known.compression.unwrap_or_default().0 == 0
        && let Some(batch) = batch_with_fields(&payload, messages, first)
    {
        payload = batch;
        // The last one counts.
        put_tag(9, 0, &mut metadata);
        put_varint(payload.len() as u64, &mut metadata);
    }
    let mut sized = BytesMut::new();
    sized.put_u32(metadata.len() as u32);
    sized.put_slice(&metadata);
    sized.put_slice(&payload);
    if parsed.checksum != Checksum::Absent {
        let crc = crc32c(&[&sized]);
        out.put_u16(0x0e01);
        out.put_u32(if parsed.checksum == Checksum::Right { crc } else { !crc });
    }
    out.put_slice(&sized);
    out.freeze()
}

fn batch_with_fields(payload: &Bytes, messages: i32, first: bool) -> Option<Bytes> {
    if payload.len() > SMALL {
        return None;
    }
    let mut out = BytesMut::new();
    let mut reader = batch::BatchReader::new();
    for _ in 0..messages {
        let slot = reader.next(payload).ok()?;
        let [metadata, start, end] =
            [slot.metadata_start, slot.payload_start, slot.payload_end].map(|at| at as usize);
        let metadata = around(&payload[metadata..start], first);
        SingleMessageMetadata::decode(&metadata.clone().freeze()).ok()?;
        out.put_u32(metadata.len() as u32);
        out.put_slice(&metadata);
        out.put_slice(&payload[start..end]);
    }
    Some(out.freeze())
}

fn put_tag(number: u32, kind: u8, out: &mut BytesMut) {
    put_varint(u64::from(number) << 3 | u64::from(kind), out);
}

fn put_bytes(number: u32, bytes: &[u8], out: &mut BytesMut) {
    put_tag(number, 2, out);
    put_varint(bytes.len() as u64, out);
    out.put_slice(bytes);
}

fn put_varint(mut value: u64, out: &mut BytesMut) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        if bytes.is_empty() {
            return None;
        }
        let byte = bytes.get_u8();
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
