//! Errors: whose fault, a stable code, and whether a retry can help.

use std::fmt;
use std::sync::Arc;

use crate::wire::{DecodeError, ServerError};

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option is out of its range.
    InvalidOption,
    /// The topic's name is not one.
    InvalidTopicName,
    /// The service URL is not one.
    InvalidServiceUrl,
    /// A message id is not one.
    InvalidMessageId,
    /// The message is larger than the broker takes.
    MessageTooLarge,
    /// The memory for pending messages is used up, or as many are pending as may be.
    QueueFull,
    /// A table view would take more memory than it may.
    MemoryLimitExceeded,
    /// The handle is closed.
    AlreadyClosed,
    /// This version of pulsewire cannot do it.
    NotSupported,
    /// It was not done in time.
    Timeout,
    /// The connection could not be opened.
    Connect,
    /// The gateway or proxy refused the connection.
    Refused,
    /// The connection was lost.
    Disconnected,
    /// The broker answered with an error.
    Broker(ServerError),
    /// The peer broke the protocol.
    Protocol,
    /// A message could not be unpacked.
    Corrupted,
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The caller's.
    User,
    /// The broker said no.
    Broker,
    /// The peer broke the protocol.
    Peer,
    /// The network's.
    Io,
}

/// An error with a message for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: Arc<str>,
}

impl Error {
    /// Makes an error.
    pub fn new(kind: ErrorKind, message: impl Into<Arc<str>>) -> Self {
        Self { kind, message: message.into() }
    }

    /// One error of all: a single one is told as it is, more of them as `InvalidOption` that lists them.
    ///
    /// # Errors
    /// When there is one.
    pub fn together(errors: impl IntoIterator<Item = Self>) -> Result<(), Self> {
        let mut errors: Vec<Self> = errors.into_iter().collect();
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => {
                let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
                Err(Self::new(ErrorKind::InvalidOption, all.join("; ")))
            }
        }
    }

    pub(crate) fn broker(error: ServerError, message: &str) -> Self {
        let name = error.name().unwrap_or("unknown error");
        let message = if message.is_empty() {
            format!("the broker answered {name} ({})", error.0)
        } else {
            format!("{message} ({name})")
        };
        Self::new(ErrorKind::Broker(error), message)
    }

    pub(crate) fn protocol(error: DecodeError) -> Self {
        Self::new(ErrorKind::Protocol, format!("the peer broke the protocol: {error}"))
    }

    pub(crate) fn closed(what: &str) -> Self {
        Self::new(ErrorKind::AlreadyClosed, format!("the {what} is closed"))
    }

    pub(crate) fn timeout(what: &str) -> Self {
        Self::new(ErrorKind::Timeout, format!("{what} was not done in time"))
    }

    /// A timeout, with the failure that was met again and again until then.
    pub(crate) fn because(self, last: Option<Self>) -> Self {
        match last {
            Some(last) if self.kind == ErrorKind::Timeout => Self::new(self.kind, format!("{self}: {last}")),
            _ => self,
        }
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// A code that stays the same between versions.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            ErrorKind::InvalidOption => "InvalidOption",
            ErrorKind::InvalidTopicName => "InvalidTopicName",
            ErrorKind::InvalidServiceUrl => "InvalidServiceUrl",
            ErrorKind::InvalidMessageId => "InvalidMessageId",
            ErrorKind::MessageTooLarge => "MessageTooLarge",
            ErrorKind::QueueFull => "QueueFull",
            ErrorKind::MemoryLimitExceeded => "MemoryLimitExceeded",
            ErrorKind::AlreadyClosed => "AlreadyClosed",
            ErrorKind::NotSupported => "NotSupported",
            ErrorKind::Timeout => "Timeout",
            ErrorKind::Connect => "ConnectError",
            ErrorKind::Refused => "ConnectionRefused",
            ErrorKind::Disconnected => "Disconnected",
            ErrorKind::Protocol => "ProtocolError",
            ErrorKind::Corrupted => "Corrupted",
            ErrorKind::Broker(error) => match error {
                ServerError::METADATA_ERROR => "MetadataError",
                ServerError::PERSISTENCE_ERROR => "PersistenceError",
                ServerError::AUTHENTICATION_ERROR => "AuthenticationError",
                ServerError::AUTHORIZATION_ERROR => "AuthorizationError",
                ServerError::CONSUMER_BUSY => "ConsumerBusy",
                ServerError::SERVICE_NOT_READY => "ServiceNotReady",
                ServerError::PRODUCER_BLOCKED_QUOTA_EXCEEDED_ERROR
                | ServerError::PRODUCER_BLOCKED_QUOTA_EXCEEDED_EXCEPTION => "ProducerBlockedQuotaExceeded",
                ServerError::CHECKSUM_ERROR => "ChecksumError",
                ServerError::UNSUPPORTED_VERSION_ERROR => "UnsupportedVersion",
                ServerError::TOPIC_NOT_FOUND => "TopicNotFound",
                ServerError::SUBSCRIPTION_NOT_FOUND => "SubscriptionNotFound",
                ServerError::CONSUMER_NOT_FOUND => "ConsumerNotFound",
                ServerError::TOO_MANY_REQUESTS => "TooManyRequests",
                ServerError::TOPIC_TERMINATED_ERROR => "TopicTerminated",
                ServerError::PRODUCER_BUSY => "ProducerBusy",
                ServerError::INVALID_TOPIC_NAME => "InvalidTopicName",
                ServerError::INCOMPATIBLE_SCHEMA => "IncompatibleSchema",
                ServerError::CONSUMER_ASSIGN_ERROR => "ConsumerAssignError",
                ServerError::TRANSACTION_COORDINATOR_NOT_FOUND => "TransactionCoordinatorNotFound",
                ServerError::INVALID_TXN_STATUS => "InvalidTxnStatus",
                ServerError::NOT_ALLOWED_ERROR => "NotAllowed",
                ServerError::TRANSACTION_CONFLICT => "TransactionConflict",
                ServerError::TRANSACTION_NOT_FOUND => "TransactionNotFound",
                ServerError::PRODUCER_FENCED => "ProducerFenced",
                _ => "UnknownBrokerError",
            },
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self.kind {
            ErrorKind::Timeout | ErrorKind::Connect | ErrorKind::Disconnected => Fault::Io,
            ErrorKind::Protocol | ErrorKind::Corrupted => Fault::Peer,
            ErrorKind::Broker(_) | ErrorKind::Refused => Fault::Broker,
            _ => Fault::User,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.kind {
            ErrorKind::Timeout | ErrorKind::Connect | ErrorKind::Disconnected | ErrorKind::QueueFull => true,
            ErrorKind::Broker(error) => matches!(
                error,
                ServerError::SERVICE_NOT_READY
                    | ServerError::METADATA_ERROR
                    | ServerError::PERSISTENCE_ERROR
                    | ServerError::TOO_MANY_REQUESTS
                    | ServerError::UNKNOWN_ERROR
                    | ServerError::PRODUCER_BLOCKED_QUOTA_EXCEEDED_ERROR
            ),
            _ => false,
        }
    }
}

/// Quotes what someone gave, with nothing in it that a log or a terminal would take for its own. Unlike
/// the standard library's form it needs no tables.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            if c.is_control() || c == '"' || c == '\\' {
                f.write_str("\\u{")?;
                fmt::LowerHex::fmt(&u32::from(c), f)?;
                f.write_str("}")?;
            } else {
                fmt::Write::write_char(f, c)?;
            }
        }
        f.write_str("\"")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
