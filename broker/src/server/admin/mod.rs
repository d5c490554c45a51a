//! The admin API over HTTP: the few calls that clients and their tests need.

mod access;
mod bundles;
mod policies;
mod routes;
mod stats;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::engine::Handle;
use super::socket::HANDSHAKE;
use super::tls::common_name;
use crate::core::AdminError;

/// The largest body that is read.
const MAX_BODY: usize = 1 << 20;

/// What calls answer of the broker's addresses.
pub(super) struct Urls {
    pub(super) cluster: String,
    /// Which of several brokers this one is.
    pub(super) broker: usize,
    pub(super) service: String,
    pub(super) service_tls: Option<String>,
    pub(super) admin: Option<String>,
    pub(super) admin_tls: Option<String>,
}

/// A call: what was asked, cut into its parts.
struct Call {
    method: Method,
    /// Segments of the path, decoded.
    path: Vec<String>,
    query: Vec<(String, String)>,
    body: Bytes,
}

impl Call {
    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn flag(&self, name: &str) -> bool {
        self.query(name) == Some("true")
    }

    fn json(&self) -> Result<Value, AdminError> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| AdminError { status: 400, reason: format!("The body is not JSON: {error}") })
    }
}

/// What a call answers.
enum Answer {
    Nothing,
    /// Nothing, with the status of something.
    Empty,
    Text(String),
    Json(Value),
}

/// Serves, for ever.
pub(super) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, urls: Arc<Urls>, handle: Handle) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot take an admin connection in");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (tls, urls, handle) = (tls.clone(), urls.clone(), handle.clone());
        tokio::spawn(async move {
            let Some(acceptor) = tls else { return talk(stream, None, urls, handle).await };
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let certified = common_name(stream.get_ref().1.peer_certificates());
                    talk(stream, certified, urls, handle).await;
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
    urls: Arc<Urls>,
    handle: Handle,
) {
    let certified: Option<Arc<str>> = certified.map(Into::into);
    let service = service_fn(move |request| {
        let (urls, handle, certified) = (urls.clone(), handle.clone(), certified.clone());
        async move { Ok::<_, Infallible>(respond(request, certified.as_deref(), &urls, &handle).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(30))
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an admin connection failed");
    }
}

async fn respond(
    request: Request<Incoming>,
    certified: Option<&str>,
    urls: &Urls,
    handle: &Handle,
) -> Response<Full<Bytes>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let token = access::bearer(request.headers());
    let result = match read(request).await {
        Ok(call) => match access::check(&call, token, certified, handle).await {
            Ok(()) => routes::route(&call, urls, handle).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    if let Err(error) = &result
        && matches!(error.status, 401 | 403)
    {
        tracing::info!(%method, path, error.reason, "admin call refused");
    }
    let (status, kind, body) = match result {
        Ok(Answer::Nothing) => (204, "application/json", String::new()),
        Ok(Answer::Empty) => (200, "application/json", String::new()),
        Ok(Answer::Text(text)) => (200, "text/plain", text),
        Ok(Answer::Json(value)) => (200, "application/json", value.to_string()),
        Err(error) => (error.status, "application/json", json!({ "reason": error.reason }).to_string()),
    };
    tracing::debug!(%method, path, status, "admin call");
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status != 204 {
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    }
    response
}

async fn read(request: Request<Incoming>) -> Result<Call, AdminError> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY)
        .collect()
        .await
        .map_err(|_| AdminError { status: 413, reason: format!("The body is larger than {MAX_BODY} bytes") })?
        .to_bytes();
    let path = head.uri.path().trim_matches('/').split('/').map(decode).collect();
    let query = head.uri.query().unwrap_or_default();
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(&value.replace('+', " ")))
    };
    let query = query.split('&').filter(|part| !part.is_empty()).map(pair).collect();
    Ok(Call { method: head.method, path, query, body })
}

/// Decodes `%xx`; what is not that stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) if byte == b'%' => {
                out.push(value);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn paths_are_decoded() {
        assert_eq!(decode("a%2Fb%20c"), "a/b c");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%4"), "%zz%4");
    }
}
