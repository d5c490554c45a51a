//! The envelope: which command a frame carries.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::consuming::*;
use super::producing::*;
use super::scalable::*;
use super::schemas::*;
use super::session::*;
use super::topics::*;
use super::transactions::*;
use crate::wire::DecodeError;
use crate::wire::codec::{Fields, Reader, Type, merge, put_varint, varint_len};

/// A message that is a command. A client that writes commands as such, and not as [`Command`], is
/// linked with those that it writes only.
pub(crate) trait Body: Fields {
    fn number(&self) -> i32;
}

/// A command on its way out.
pub(crate) struct Outbound(Box<dyn Body>);

impl<M: Body + 'static> From<M> for Outbound {
    fn from(message: M) -> Self {
        Self(Box::new(message))
    }
}

impl Outbound {
    /// Appends a frame that is this command and nothing else.
    pub(crate) fn encode_frame(&self, out: &mut BytesMut) {
        let (number, body) = (self.0.number(), &*self.0 as &dyn Fields);
        let len = envelope_len(number, body);
        out.reserve(len + 8);
        out.put_u32(len as u32 + 4);
        out.put_u32(len as u32);
        write_envelope(number, body, out);
    }
}

/// Reads the body of a command that was [located](locate).
pub(crate) fn read_body<M: Body + Default>(
    buf: &Bytes,
    (start, end): (usize, usize),
) -> Result<M, DecodeError> {
    let mut message = M::default();
    merge(&mut message, buf, start, end, 1)?;
    Ok(message)
}

fn envelope_len(number: i32, body: &dyn Fields) -> usize {
    let len = body.len();
    number.field_len(1) + varint_len(u64::from(number.unsigned_abs()) << 3) + varint_len(len as u64) + len
}

fn write_envelope(number: i32, body: &dyn Fields, out: &mut BytesMut) {
    number.write_field(1, out);
    put_varint(out, u64::from(number.unsigned_abs()) << 3 | 2);
    put_varint(out, body.len() as u64);
    body.write(out);
}

macro_rules! commands {
    ($($number:literal $name:ident($message:ident),)*) => {
        /// A command of the protocol.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs, clippy::large_enum_variant)]
        pub enum Command {
            $($name($message),)*
            /// A command that is not known here, by its number. It is skipped and counted.
            Unknown(i32),
        }

        impl Command {
            /// Every command that is known here: number and name of its message.
            pub const KNOWN: &'static [(i32, &'static str)] = &[$(($number, stringify!($message)),)*];

            /// The command's number.
            #[must_use]
            pub fn number(&self) -> i32 {
                match self {
                    $(Self::$name(_) => $number,)*
                    Self::Unknown(number) => *number,
                }
            }

            /// The command's name here.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                    Self::Unknown(_) => "Unknown",
                }
            }

            fn fields(&self) -> Option<&dyn Fields> {
                match self {
                    $(Self::$name(message) => Some(message),)*
                    Self::Unknown(_) => None,
                }
            }

            fn decode_body(number: i32, buf: &Bytes, start: usize, end: usize) -> Result<Self, DecodeError> {
                Ok(match number {
                    $($number => Self::$name(read_body::<$message>(buf, (start, end))?),)*
                    _ => Self::Unknown(number),
                })
            }
        }

        $(impl From<$message> for Command {
            fn from(message: $message) -> Self {
                Self::$name(message)
            }
        }

        impl Body for $message {
            fn number(&self) -> i32 {
                $number
            }
        })*
    };
}

commands! {
    2 Connect(CommandConnect),
    3 Connected(CommandConnected),
    4 Subscribe(CommandSubscribe),
    5 Producer(CommandProducer),
    6 Send(CommandSend),
    7 SendReceipt(CommandSendReceipt),
    8 SendError(CommandSendError),
    9 Message(CommandMessage),
    10 Ack(CommandAck),
    11 Flow(CommandFlow),
    12 Unsubscribe(CommandUnsubscribe),
    13 Success(CommandSuccess),
    14 Error(CommandError),
    15 CloseProducer(CommandCloseProducer),
    16 CloseConsumer(CommandCloseConsumer),
    17 ProducerSuccess(CommandProducerSuccess),
    18 Ping(CommandPing),
    19 Pong(CommandPong),
    20 RedeliverUnacknowledgedMessages(CommandRedeliverUnacknowledgedMessages),
    21 PartitionedTopicMetadata(CommandPartitionedTopicMetadata),
    22 PartitionedTopicMetadataResponse(CommandPartitionedTopicMetadataResponse),
    23 LookupTopic(CommandLookupTopic),
    24 LookupTopicResponse(CommandLookupTopicResponse),
    25 ConsumerStats(CommandConsumerStats),
    26 ConsumerStatsResponse(CommandConsumerStatsResponse),
    27 ReachedEndOfTopic(CommandReachedEndOfTopic),
    28 Seek(CommandSeek),
    29 GetLastMessageId(CommandGetLastMessageId),
    30 GetLastMessageIdResponse(CommandGetLastMessageIdResponse),
    31 ActiveConsumerChange(CommandActiveConsumerChange),
    32 GetTopicsOfNamespace(CommandGetTopicsOfNamespace),
    33 GetTopicsOfNamespaceResponse(CommandGetTopicsOfNamespaceResponse),
    34 GetSchema(CommandGetSchema),
    35 GetSchemaResponse(CommandGetSchemaResponse),
    36 AuthChallenge(CommandAuthChallenge),
    37 AuthResponse(CommandAuthResponse),
    38 AckResponse(CommandAckResponse),
    39 GetOrCreateSchema(CommandGetOrCreateSchema),
    40 GetOrCreateSchemaResponse(CommandGetOrCreateSchemaResponse),
    50 NewTxn(CommandNewTxn),
    51 NewTxnResponse(CommandNewTxnResponse),
    52 AddPartitionToTxn(CommandAddPartitionToTxn),
    53 AddPartitionToTxnResponse(CommandAddPartitionToTxnResponse),
    54 AddSubscriptionToTxn(CommandAddSubscriptionToTxn),
    55 AddSubscriptionToTxnResponse(CommandAddSubscriptionToTxnResponse),
    56 EndTxn(CommandEndTxn),
    57 EndTxnResponse(CommandEndTxnResponse),
    58 EndTxnOnPartition(CommandEndTxnOnPartition),
    59 EndTxnOnPartitionResponse(CommandEndTxnOnPartitionResponse),
    60 EndTxnOnSubscription(CommandEndTxnOnSubscription),
    61 EndTxnOnSubscriptionResponse(CommandEndTxnOnSubscriptionResponse),
    62 TcClientConnectRequest(CommandTcClientConnectRequest),
    63 TcClientConnectResponse(CommandTcClientConnectResponse),
    64 WatchTopicList(CommandWatchTopicList),
    65 WatchTopicListSuccess(CommandWatchTopicListSuccess),
    66 WatchTopicUpdate(CommandWatchTopicUpdate),
    67 WatchTopicListClose(CommandWatchTopicListClose),
    68 TopicMigrated(CommandTopicMigrated),
    70 ScalableTopicLookup(CommandScalableTopicLookup),
    71 ScalableTopicUpdate(CommandScalableTopicUpdate),
    72 ScalableTopicClose(CommandScalableTopicClose),
    73 ScalableTopicSubscribe(CommandScalableTopicSubscribe),
    74 ScalableTopicSubscribeResponse(CommandScalableTopicSubscribeResponse),
    75 ScalableTopicAssignmentUpdate(CommandScalableTopicAssignmentUpdate),
    76 WatchScalableTopics(CommandWatchScalableTopics),
    77 WatchScalableTopicsUpdate(CommandWatchScalableTopicsUpdate),
    78 WatchScalableTopicsClose(CommandWatchScalableTopicsClose),
    79 WatchTcAssignments(CommandWatchTcAssignments),
    80 WatchTcAssignmentsUpdate(CommandWatchTcAssignmentsUpdate),
    81 WatchTcAssignmentsClose(CommandWatchTcAssignmentsClose),
}

impl Command {
    /// Decodes a `BaseCommand`. Its type number and the number of the field that holds the command
    /// are the same for every command.
    ///
    /// # Errors
    /// Cut, malformed, or without its type or body.
    pub fn decode(buf: &Bytes) -> Result<Self, DecodeError> {
        let (number, body) = locate(buf)?;
        match body {
            Some((start, end)) => Self::decode_body(number, buf, start, end),
            None if Self::KNOWN.iter().any(|(known, _)| *known == number) => {
                Err(DecodeError::MissingField { number: number.unsigned_abs() })
            }
            None => Ok(Self::Unknown(number)),
        }
    }

    /// Appends the encoded `BaseCommand`.
    pub fn encode(&self, out: &mut BytesMut) {
        match self.fields() {
            Some(fields) => write_envelope(self.number(), fields, out),
            None => self.number().write_field(1, out),
        }
    }

    /// Bytes that [`Command::encode`] appends.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match self.fields() {
            Some(fields) => envelope_len(self.number(), fields),
            None => self.number().field_len(1),
        }
    }
}

/// The type of a `BaseCommand` and the bounds of its body.
pub(crate) fn locate(buf: &[u8]) -> Result<(i32, Option<(usize, usize)>), DecodeError> {
    let mut reader = Reader::new(buf, 0, buf.len());
    let mut number = None;
    let mut body = None;
    while !reader.is_empty() {
        let (field, wire) = reader.tag()?;
        match (field, wire) {
            (1, 0) => number = Some(reader.varint()? as i32),
            (1, _) => return Err(DecodeError::WireType),
            (field, 2) => {
                let bounds = reader.len_bounds()?;
                // The type stands first, so a body of another command is passed over.
                if number.is_none_or(|n| i64::from(n) == i64::from(field)) {
                    body = Some((field, bounds));
                }
            }
            (_, wire) => reader.skip_value(wire)?,
        }
    }
    let number = number.ok_or(DecodeError::MissingField { number: 1 })?;
    let body = body.filter(|(field, _)| i64::from(*field) == i64::from(number)).map(|(_, bounds)| bounds);
    Ok((number, body))
}

/// The number of the command in `frame`, without decoding it.
///
/// # Errors
/// Cut or malformed.
pub fn command_number(mut command: &[u8]) -> Result<i32, DecodeError> {
    // Every client and broker writes the type first, in one byte or two.
    if command.len() >= 2 && command[0] == 0x08 && command[1] < 0x80 {
        command.advance(1);
        return Ok(i32::from(command[0]));
    }
    locate(command).map(|(number, _)| number)
}
