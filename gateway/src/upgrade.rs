//! The HTTP side: which requests become a WebSocket, and what the others are told.
//!
//! Every check is made here, before anything is sent to the upstream. A page's script sees nothing of a
//! refused upgrade but that it failed; the bodies are for people with a terminal and for logs.

use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Body;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use crate::address;
use crate::forwarded::{self, NoAddress};
use crate::live::Live;
use crate::origin::{Allowed, Asked, OriginRefused, OriginRule};
use crate::token::{SUBPROTOCOL, TokenRefused, Verified, subprotocols};

/// The one path of the public listener.
pub const PATH: &str = "/pulsar";

/// A request that may become a WebSocket.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) response: Response<Full<Bytes>>,
    pub(crate) origin: Allowed,
    /// Who asks, where a proxy that is believed says so.
    pub(crate) forwarded: Option<IpAddr>,
    /// What its token says, or that it was refused. A page sees nothing of a refused upgrade but that it failed,
    /// and has to know when its token has expired: so it is told by a close, right after the upgrade.
    pub(crate) token: Result<Option<Verified>, TokenRefused>,
}

/// A request that may not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    /// Stable, for logs and for programs.
    pub(crate) name: &'static str,
    /// For people, in the answer and in the log: of what was sent it holds parsed origins only.
    pub(crate) sentence: String,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, name: &'static str, sentence: impl Into<String>) -> Self {
        Refused { status, name, sentence: sentence.into() }
    }

    pub(crate) fn response(&self) -> Response<Full<Bytes>> {
        let mut body = String::with_capacity(self.name.len() + self.sentence.len() + 3);
        // Writing to a String does not fail.
        let _ = writeln!(body, "{}: {}", self.name, self.sentence);
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // A connection has one request. (Not by switching keep-alive off in the HTTP library: it would
        // say `close` in the answer to an upgrade as well.)
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        if self.status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
        }
        response
    }
}

/// Decides about one request of `peer`.
pub(crate) fn judge<B: Body>(request: &Request<B>, live: &Live, peer: IpAddr) -> Result<Granted, Refused> {
    if request.uri().path() != PATH {
        let sentence = format!("nothing is served here, the WebSocket is at {PATH}");
        return Err(Refused::new(StatusCode::NOT_FOUND, "not-found", sentence));
    }
    if request.method() != Method::GET {
        return Err(Refused::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "a WebSocket is opened with GET",
        ));
    }
    if request.uri().authority().is_some() || !request.body().is_end_stream() {
        return Err(Refused::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "an upgrade has a path only and no body",
        ));
    }
    let forwarded =
        forwarded::client(peer, request.headers(), &live.config.trusted_proxies).map_err(|NoAddress| {
            let sentence = "the X-Forwarded-For header of a proxy is no list of addresses";
            Refused::new(StatusCode::BAD_REQUEST, "bad-forwarded-for", sentence)
        })?;
    let origin = check_origin(request.headers(), &live.origins)?;
    deciding_once(request.headers())?;
    let mut response =
        create_response_with_body(request, || Full::new(Bytes::new())).map_err(not_an_upgrade)?;
    if !live.has_upstream() {
        return Err(Refused::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no-upstream",
            "this gateway has no upstream configured and forwards nothing",
        ));
    }
    let token = match &live.tokens {
        None => Ok(None),
        Some(tokens) => tokens.check(request.uri(), request.headers()).map(Some),
    };
    if let Err(refused) = token
        && origin == Allowed::Nobodys
    {
        let (name, sentence) = refused.row();
        return Err(Refused::new(StatusCode::UNAUTHORIZED, name, sentence));
    }
    if subprotocols(request.headers()).is_ok_and(|mut offered| offered.any(|it| it == SUBPROTOCOL)) {
        let headers = response.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    Ok(Granted { response, origin, forwarded, token })
}

/// What decides about the upgrade stands once: of two, whoever stands before us may have gone by the other.
fn deciding_once(headers: &HeaderMap) -> Result<(), Refused> {
    for name in [header::SEC_WEBSOCKET_KEY, header::SEC_WEBSOCKET_VERSION, header::UPGRADE] {
        single(headers, name).map_err(|()| {
            Refused::new(
                StatusCode::BAD_REQUEST,
                "bad-upgrade",
                "a header of the handshake is no text or stands twice",
            )
        })?;
    }
    Ok(())
}

fn check_origin(headers: &HeaderMap, rule: &OriginRule) -> Result<Allowed, Refused> {
    let bad_host =
        || Refused::new(StatusCode::BAD_REQUEST, "bad-host", "the Host header is not one host[:port]");
    let host = single(headers, header::HOST).map_err(|()| bad_host())?.ok_or_else(bad_host)?;
    let (host, port) = address::parse(host).map_err(|_| bad_host())?;
    let bad_origin =
        || Refused::new(StatusCode::FORBIDDEN, "origin-refused", "the Origin header is not one origin");
    let origin = single(headers, header::ORIGIN).map_err(|()| bad_origin())?;
    rule.check(Asked { origin, host: &host, port }).map_err(|why| {
        let (name, sentence) = match why {
            OriginRefused::Missing => (
                "origin-missing",
                "requests without an Origin (not from a browser) are not allowed by this gateway's configuration"
                    .to_owned(),
            ),
            OriginRefused::Malformed(error) => ("origin-refused", error.to_string()),
            OriginRefused::NotListed(origin) => (
                "origin-refused",
                format!("{origin} is not among the allowed origins of this gateway"),
            ),
            OriginRefused::Rebindable(origin) => (
                "origin-refused",
                format!("{origin} has this gateway's name, but anybody's name may lead here: it has to be among the allowed origins or host names"),
            ),
            OriginRefused::Scheme(origin, own) => (
                "origin-refused",
                format!("{origin} is this gateway's host, but its own pages are {own} ones"),
            ),
        };
        Refused::new(StatusCode::FORBIDDEN, name, sentence)
    })
}

/// The value of a header that may stand once at most; `Err` if it stands more often or is not text.
fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, ()> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(());
    }
    value.to_str().map(Some).map_err(drop)
}

fn not_an_upgrade(error: tungstenite::Error) -> Refused {
    match error {
        tungstenite::Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingSecWebSocketVersionHeader,
        ) => Refused::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade-required",
            "this is a WebSocket of version 13, connect with a pulsewire client",
        ),
        _ => Refused::new(StatusCode::BAD_REQUEST, "bad-upgrade", "the WebSocket handshake is malformed"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use http_body_util::Empty;

    use super::*;
    use crate::config::GatewayConfig;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));

    fn rules() -> Live {
        let mut config = GatewayConfig::new(([127, 0, 0, 1], 0).into());
        config.upstream = "pulsar://localhost".parse().ok();
        config.allow_missing_origin = true;
        Live::prepare(&config).expect("a configuration")
    }

    fn request(uri: &str, change: impl FnOnce(&mut HeaderMap)) -> Request<Empty<Bytes>> {
        let mut request = Request::builder().uri(uri).body(Empty::new()).expect("a request");
        let headers = request.headers_mut();
        for (name, value) in [
            ("host", "gw.example"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        change(headers);
        request
    }

    fn verdict(request: &Request<Empty<Bytes>>, rules: &Live) -> (u16, &'static str) {
        match judge(request, rules, PEER) {
            Ok(granted) => (granted.response.status().as_u16(), "granted"),
            Err(refused) => (refused.status.as_u16(), refused.name),
        }
    }

    #[test]
    fn grants_a_proper_upgrade() {
        let granted = judge(&request("/pulsar", |_| ()), &rules(), PEER).expect("granted");
        // The example of RFC 6455.
        assert_eq!(granted.response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(verdict(&request("/pulsar?x=1", |_| ()), &rules()), (101, "granted"));
    }

    #[test]
    fn refuses_everything_else() {
        let r = rules();
        assert_eq!(verdict(&request("/", |_| ()), &r), (404, "not-found"));
        assert_eq!(verdict(&request("/pulsar/", |_| ()), &r), (404, "not-found"));
        assert_eq!(verdict(&request("/healthz", |_| ()), &r), (404, "not-found"));
        assert_eq!(verdict(&request("http://evil/pulsar", |_| ()), &r), (400, "bad-request"));
        let without = |name: &'static str| {
            request("/pulsar", move |headers| {
                headers.remove(name);
            })
        };
        assert_eq!(verdict(&without("host"), &r), (400, "bad-host"));
        assert_eq!(verdict(&without("connection"), &r), (426, "upgrade-required"));
        assert_eq!(verdict(&without("upgrade"), &r), (426, "upgrade-required"));
        assert_eq!(verdict(&without("sec-websocket-version"), &r), (426, "upgrade-required"));
        assert_eq!(verdict(&without("sec-websocket-key"), &r), (400, "bad-upgrade"));
        let twice = |name: &'static str, value: &'static str| {
            request("/pulsar", move |headers| {
                headers.append(name, HeaderValue::from_static("https://gw.example"));
                headers.append(name, HeaderValue::from_static(value));
            })
        };
        assert_eq!(verdict(&twice("host", "other.example"), &r), (400, "bad-host"));
        assert_eq!(verdict(&twice("origin", "https://gw.example"), &r), (403, "origin-refused"));
        for (name, value) in [
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
            ("upgrade", "websocket"),
        ] {
            let again = request("/pulsar", move |headers| {
                headers.append(name, HeaderValue::from_static(value));
            });
            assert_eq!(verdict(&again, &r), (400, "bad-upgrade"), "{name}");
        }
    }

    #[test]
    fn default_deny() {
        let strict = Live::prepare(&GatewayConfig::new(([127, 0, 0, 1], 0).into())).expect("a configuration");
        assert_eq!(verdict(&request("/pulsar", |_| ()), &strict), (403, "origin-missing"));
        let own = request("/pulsar", |headers| {
            headers.insert("host", HeaderValue::from_static("192.0.2.1"));
            headers.insert("origin", HeaderValue::from_static("http://192.0.2.1"));
        });
        assert_eq!(verdict(&own, &strict), (503, "no-upstream"));
    }
}
