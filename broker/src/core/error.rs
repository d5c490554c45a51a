//! Refusals: what a client is told when it cannot have what it asked for.

use pulsewire_proto::wire::ServerError;

/// A refusal, as it goes over the wire. Texts and codes are those of Apache Pulsar, because
/// clients show them and some act on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) error: ServerError,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(error: ServerError, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }

    /// With the name of the exception that Java clients look for in the text.
    pub(super) fn service(error: ServerError, exception: &str, message: impl std::fmt::Display) -> Self {
        const CLASS: &str = "org.apache.pulsar.broker.service.BrokerServiceException";
        Self::new(error, format!("{CLASS}${exception}: {message}"))
    }

    /// Clients come again.
    pub(super) fn fenced_topic() -> Self {
        Self::service(
            ServerError::SERVICE_NOT_READY,
            "TopicFencedException",
            "Topic is temporarily unavailable",
        )
    }

    pub(super) fn producer_busy(message: impl std::fmt::Display) -> Self {
        Self::service(ServerError::PRODUCER_BUSY, "ProducerBusyException", message)
    }

    pub(super) fn producer_fenced(message: impl std::fmt::Display) -> Self {
        Self::service(ServerError::PRODUCER_FENCED, "ProducerFencedException", message)
    }

    pub(super) fn not_allowed(message: impl Into<String>) -> Self {
        Self::new(ServerError::NOT_ALLOWED_ERROR, message)
    }

    pub(super) fn topic_not_found(topic: &str) -> Self {
        Self::new(ServerError::TOPIC_NOT_FOUND, format!("Topic {topic} does not exist"))
    }
}

/// Why the broker closes a connection; for logs and for tests.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The client broke the protocol: what it did.
    Protocol(String),
    /// A client without a CONNECT for too long.
    HandshakeTimeout,
    /// A client that did not answer for too long.
    KeepAliveTimeout,
    /// A client that was asked whether it lives, because another wants what it holds.
    LivenessTimeout,
    /// A client that is not who it says, or does not say it: why.
    Authentication(String),
    /// A client whose proof of who it is has expired, and which has no fresh one.
    Expired,
    /// Whoever runs the broker wants it so.
    Ordered,
    /// A client that does not read what it asked for: more waits to be written to it than is held, or waits
    /// for too long.
    NotReading,
}

impl std::fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Protocol(what) => write!(f, "the client broke the protocol: {what}"),
            Self::HandshakeTimeout => f.write_str("the client did not say CONNECT in time"),
            Self::KeepAliveTimeout => f.write_str("the client did not answer in time"),
            Self::LivenessTimeout => {
                f.write_str("the client did not answer when it was asked whether it lives")
            }
            Self::Authentication(why) => write!(f, "the client is not let in: {why}"),
            Self::Expired => f.write_str("the client's credentials have expired"),
            Self::Ordered => f.write_str("it was ordered to be cut"),
            Self::NotReading => f.write_str("the client does not read what it asked for"),
        }
    }
}
