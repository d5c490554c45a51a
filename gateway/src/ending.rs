//! Why a connection ended, in one table: the close code and reason that the client is told, and the
//! name that the log gives it.

use std::borrow::Cow;
use std::io;

use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::token::TokenRefused;

/// Why the upstream could not be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DialFailed {
    /// Its name leads nowhere.
    Resolve,
    /// It refused the connection.
    Refused,
    /// No way to it.
    Unreachable,
    /// It did not answer in time.
    TimedOut,
    /// Its TLS certificate is not trusted, or TLS failed otherwise.
    Tls,
    /// Its name leads to addresses only that may not be dialled.
    Forbidden,
}

/// Why a connection ended. The first thing that happened wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The client closed the WebSocket in order.
    ClientClosed,
    /// The client's connection broke off.
    ClientGone,
    /// The client sent a text message.
    TextMessage,
    /// The client sent a message larger than this many bytes.
    TooLarge(usize),
    /// The client sent text, or a reason with its close, that is not UTF-8.
    InvalidUtf8,
    /// The client broke RFC 6455.
    ClientProtocol,
    /// The client did not take what was sent to it.
    SlowClient,
    /// The client did not finish a message.
    SlowMessage,
    /// Nothing was carried either way.
    Idle,
    /// Every place was taken.
    TooManyConnections,
    /// The client's address has as many connections as it may.
    TooManyFromAddress,
    /// The pages of this origin have as many connections as they may.
    TooManyFromOrigin,
    /// The client sent more bytes a second than it may.
    RateLimit,
    /// The client's token was refused, or has expired since.
    Token(TokenRefused),
    /// No rule says what this client may do.
    NotNarrowed,
    /// The client's first frame is no CONNECT.
    FirstFrame,
    /// The client's first frame did not come in time.
    FirstFrameTimeout,
    /// The broker that the client named may not be dialled, or it named none and there is no other.
    TargetRefused,
    /// Where frames are checked, the client sent something that is none.
    BadFrame,
    /// The upstream could not be reached.
    Dial(DialFailed),
    /// The upstream ended the connection in order.
    UpstreamClosed,
    /// The connection to the upstream broke.
    UpstreamLost,
    /// The upstream did not take what was sent to it.
    UpstreamStalled,
    /// The gateway is stopping.
    Shutdown,
}

impl Ending {
    /// The close code, the stable name and the sentence. A sentence says nothing of the upstream's
    /// address; together with the name it fits into the 123 bytes of a close reason.
    fn row(self) -> (CloseCode, &'static str, Cow<'static, str>) {
        use CloseCode::{Again, Away, Error, Invalid, Normal, Policy, Protocol, Restart, Size, Unsupported};
        let (code, name, sentence) = match self {
            Ending::ClientClosed => (Normal, "client-closed", "the client closed the connection"),
            Ending::ClientGone => (Normal, "client-gone", "the client's connection broke off"),
            Ending::TextMessage => (Unsupported, "text-message", "only binary messages are carried here"),
            Ending::TooLarge(most) => {
                let sentence = format!("messages to the gateway hold at most {most} bytes");
                return (Size, "message-too-large", Cow::Owned(sentence));
            }
            Ending::InvalidUtf8 => (Invalid, "invalid-utf8", "the client sent text that is not UTF-8"),
            Ending::ClientProtocol => {
                (Protocol, "websocket-protocol", "the client broke the WebSocket protocol")
            }
            Ending::SlowClient => (Policy, "slow-client", "the client did not take its data in time"),
            Ending::SlowMessage => (Policy, "slow-message", "the client did not finish a message in time"),
            Ending::Idle => (Away, "idle-timeout", "nothing was sent or received for too long"),
            Ending::TooManyConnections => {
                (Again, "too-many-connections", "the gateway is full, try again later")
            }
            Ending::TooManyFromAddress => {
                (Again, "too-many-from-address", "too many connections from this address, try again later")
            }
            Ending::TooManyFromOrigin => {
                (Again, "too-many-from-origin", "too many connections of this page's origin, try again later")
            }
            Ending::RateLimit => (Policy, "rate-limit", "the client sent more bytes a second than it may"),
            Ending::Token(refused) => {
                let (name, sentence) = refused.row();
                (Policy, name, sentence)
            }
            Ending::NotNarrowed => {
                (Policy, "not-permitted", "nothing is permitted to this token and origin at this gateway")
            }
            Ending::FirstFrame => (Protocol, "first-frame", "the first frame is no Pulsar CONNECT"),
            Ending::FirstFrameTimeout => (Policy, "first-frame-timeout", "no Pulsar CONNECT in time"),
            Ending::TargetRefused | Ending::Dial(DialFailed::Forbidden) => {
                (Policy, "target-refused", "the gateway does not connect to the broker that was named")
            }
            Ending::BadFrame => (Protocol, "bad-frame", "not a frame of the Pulsar protocol"),
            Ending::Dial(DialFailed::Resolve) => {
                (Again, "upstream-unresolved", "the name of the Pulsar server cannot be resolved")
            }
            Ending::Dial(DialFailed::Refused) => {
                (Again, "upstream-refused", "the Pulsar server refused the connection")
            }
            Ending::Dial(DialFailed::Unreachable) => {
                (Again, "upstream-unreachable", "the Pulsar server cannot be reached")
            }
            Ending::Dial(DialFailed::TimedOut) => {
                (Again, "upstream-timeout", "the Pulsar server did not answer in time")
            }
            Ending::Dial(DialFailed::Tls) => {
                (Error, "upstream-tls", "TLS to the Pulsar server failed, see the gateway's log")
            }
            Ending::UpstreamClosed => (Away, "upstream-closed", "the Pulsar server closed the connection"),
            Ending::UpstreamLost => (Error, "upstream-lost", "the connection to the Pulsar server broke"),
            Ending::UpstreamStalled => (Again, "upstream-stalled", "the Pulsar server stopped taking data"),
            Ending::Shutdown => (Restart, "gateway-shutdown", "the gateway is stopping, connect again"),
        };
        (code, name, Cow::Borrowed(sentence))
    }

    /// The stable name, as logs and close reasons have it.
    pub(crate) fn name(self) -> &'static str {
        self.row().1
    }

    /// What the client is told, unless it closed or broke off itself. `upstream` is named where it
    /// is at fault.
    pub(crate) fn close_frame(self, upstream: Option<&str>) -> Option<CloseFrame> {
        if matches!(self, Ending::ClientClosed | Ending::ClientGone) {
            return None;
        }
        let (code, name, sentence) = self.row();
        let mut reason = format!("{name}: {sentence}");
        let upstreams_fault = matches!(
            self,
            Ending::Dial(
                DialFailed::Resolve
                    | DialFailed::Refused
                    | DialFailed::Unreachable
                    | DialFailed::TimedOut
                    | DialFailed::Tls
            ) | Ending::UpstreamClosed
                | Ending::UpstreamLost
                | Ending::UpstreamStalled
        );
        // A reason may hold 123 bytes; a host name that does not fit is left out.
        if let Some(upstream) = upstream.filter(|_| upstreams_fault)
            && reason.len() + upstream.len() + 3 <= 123
        {
            reason.push_str(&format!(" ({upstream})"));
        }
        Some(CloseFrame { code, reason: reason.into() })
    }

    /// Whether what the client still sends, before it has answered the close, is for the upstream. It
    /// was sent in good faith: an acknowledgement dropped here would be a message delivered twice.
    pub(crate) fn forwards_the_rest(self) -> bool {
        matches!(self, Ending::UpstreamClosed | Ending::Shutdown)
    }

    /// What an error of the WebSocket means.
    pub(crate) fn from_websocket(error: &tungstenite::Error, most: usize) -> Self {
        use tungstenite::Error;
        use tungstenite::error::ProtocolError;
        match error {
            Error::Capacity(_) => Ending::TooLarge(most),
            Error::Utf8(_) => Ending::InvalidUtf8,
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Io(_)
            | Error::Tls(_)
            | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Ending::ClientGone,
            _ => Ending::ClientProtocol,
        }
    }

    /// What an error of the upstream's stream means. TLS peers that leave without `close_notify` are
    /// common; the Pulsar protocol has frames of its own, so nothing can be cut off unseen.
    pub(crate) fn from_upstream(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Ending::UpstreamClosed,
            _ => Ending::UpstreamLost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_fits_and_is_told() {
        let all = [
            Ending::TextMessage,
            Ending::TooLarge(usize::MAX),
            Ending::InvalidUtf8,
            Ending::ClientProtocol,
            Ending::SlowClient,
            Ending::SlowMessage,
            Ending::Idle,
            Ending::TooManyConnections,
            Ending::TooManyFromAddress,
            Ending::TooManyFromOrigin,
            Ending::RateLimit,
            Ending::Token(TokenRefused::Signature),
            Ending::Token(TokenRefused::Algorithm),
            Ending::NotNarrowed,
            Ending::FirstFrame,
            Ending::FirstFrameTimeout,
            Ending::TargetRefused,
            Ending::BadFrame,
            Ending::Dial(DialFailed::Forbidden),
            Ending::Dial(DialFailed::Resolve),
            Ending::Dial(DialFailed::Refused),
            Ending::Dial(DialFailed::Unreachable),
            Ending::Dial(DialFailed::TimedOut),
            Ending::Dial(DialFailed::Tls),
            Ending::UpstreamClosed,
            Ending::UpstreamLost,
            Ending::UpstreamStalled,
            Ending::Shutdown,
        ];
        for ending in all {
            for upstream in [None, Some("pulsar://h:1"), Some("x".repeat(250).as_str())] {
                let frame = ending.close_frame(upstream).expect("a close frame");
                assert!(frame.reason.len() <= 123, "{frame:?}");
                assert!(frame.reason.starts_with(&format!("{}: ", ending.name())));
                // 1014 would be right for some of these, but several WebSocket libraries refuse it.
                assert!(frame.code.is_allowed(), "{frame:?}");
            }
        }
        assert_eq!(Ending::ClientClosed.close_frame(None), None);
        assert_eq!(Ending::ClientGone.close_frame(None), None);
    }

    #[test]
    fn the_upstream_is_named_only_on_demand() {
        let ending = Ending::Dial(DialFailed::Refused);
        let told = |upstream| ending.close_frame(upstream).expect("a close frame").reason.to_string();
        assert!(!told(None).contains("pulsar://"));
        assert!(told(Some("pulsar://h:1")).ends_with("(pulsar://h:1)"));
        let idle = Ending::Idle.close_frame(Some("pulsar://h:1")).expect("a close frame");
        assert!(!idle.reason.contains("pulsar://"));
    }
}
