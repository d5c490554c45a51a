//! The admin API over HTTP. What is served and what it does is in [`crate::admin`].

mod spelling;

use std::convert::Infallible;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Extensions, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio_rustls::TlsAcceptor;

use super::engine::Handle;
use super::socket::HANDSHAKE;
use super::tls::common_name;
use crate::admin::{self, Call};
use crate::core::{AdminError, Form};

/// The largest body that is read.
const MAX_BODY: usize = 1 << 20;

/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves, for ever, as one of the brokers.
pub(super) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, broker: usize, handle: Handle) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot take an admin connection in");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (tls, handle) = (tls.clone(), handle.clone());
        tokio::spawn(async move {
            let Some(acceptor) = tls else { return talk(stream, None, broker, handle).await };
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let certified = common_name(stream.get_ref().1.peer_certificates());
                    talk(stream, certified, broker, handle).await;
                }
                Ok(Err(error)) => tracing::info!(%error, "TLS handshake of an admin connection failed"),
                Err(_) => tracing::info!("TLS handshake of an admin connection took too long"),
            }
        });
    }
}

/// Serves one connection.
async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    certified: Option<String>,
    broker: usize,
    handle: Handle,
) {
    let service = service_fn(move |request| {
        let (handle, certified) = (handle.clone(), certified.clone());
        async move { Ok::<_, Infallible>(respond(request, certified, broker, &handle).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .preserve_header_case(true)
        .header_read_timeout(Duration::from_secs(30))
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an admin connection failed");
    }
}

async fn respond(
    request: Request<Incoming>,
    certified: Option<String>,
    broker: usize,
    handle: &Handle,
) -> Response<Full<Bytes>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let early = early(&request);
    let answer = match tokio::time::timeout(PATIENCE, read(request)).await {
        Ok(Ok(call)) => {
            let call = Call { broker, certified, ..call };
            let answer = handle.ask(move |broker, now| admin::respond(broker, &call, now)).await;
            answer.ok_or_else(|| error(503, "The broker is stopping"))
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(error(408, "The body did not come in time")),
    };
    let answer = answer.unwrap_or_else(|error| {
        tracing::info!(%method, path, status = error.status, reason = error.reason, "admin call not read");
        admin::refuse(&error, &early)
    });
    if matches!(answer.status, 401 | 403) {
        tracing::info!(%method, path, reason = %String::from_utf8_lossy(&answer.body), "admin call refused");
    }
    tracing::debug!(%method, path, status = answer.status, "admin call");
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // As Jetty, which also sees to it that clients can read the line.
    let phrase = answer.phrase.chars().take(1024).collect::<String>();
    if let Some(phrase) = Some(printable(&phrase)).filter(|phrase| !phrase.is_empty())
        && let Ok(phrase) = ReasonPhrase::try_from(phrase)
    {
        response.extensions_mut().insert(phrase);
    }
    if answer.headers.iter().any(|(name, _)| name.starts_with("x-pulsar-")) {
        static SPELLING: OnceCell<Extensions> = OnceCell::const_new();
        response.extensions_mut().extend(SPELLING.get_or_init(spelling::learn).await.clone());
    }
    let kind = Some((header::CONTENT_TYPE.as_str(), answer.content_type.to_owned()));
    for (name, value) in kind.filter(|(_, kind)| !kind.is_empty()).into_iter().chain(answer.headers) {
        // What a message says of itself need not be what a header can say.
        let value = printable(&value);
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value))
        {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' }).collect()
}

/// What is known of a call before its body.
fn early(request: &Request<Incoming>) -> Call {
    let path = request.uri().path();
    Call { method: request.method().to_string(), accept: accept(request.headers()), ..Call::at(path) }
}

fn accept(headers: &HeaderMap) -> Option<String> {
    let all: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok()).collect();
    (!all.is_empty()).then(|| all.join(","))
}

fn error(status: u16, reason: impl Into<String>) -> AdminError {
    AdminError { status, reason: reason.into(), form: Form::Page }
}

async fn read(request: Request<Incoming>) -> Result<Call, AdminError> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut call = Call::new(head.method.as_str(), target)?;
    let kind = head.headers.get(header::CONTENT_TYPE);
    let bearer = |value: &HeaderValue| value.as_bytes().strip_prefix(b"Bearer ").map(<[u8]>::to_vec);
    call.token = head.headers.get(header::AUTHORIZATION).and_then(bearer);
    let basic = |value: &HeaderValue| STANDARD.decode(value.as_bytes().strip_prefix(b"Basic ")?).ok();
    call.password = head.headers.get(header::AUTHORIZATION).and_then(basic);
    let method = head.headers.get("x-pulsar-auth-method-name");
    call.auth_method = method.and_then(|method| method.to_str().ok()).map(str::to_owned);
    let listener = head.headers.get("x-pulsar-listenername");
    call.listener = listener.and_then(|listener| listener.to_str().ok()).map(str::to_owned);
    call.accept = accept(&head.headers);
    call.content_type = kind.and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let body = Limited::new(body, MAX_BODY).collect().await;
    call.body = body.map_err(|_| error(413, format!("The body is larger than {MAX_BODY} bytes")))?.to_bytes();
    Ok(call)
}
