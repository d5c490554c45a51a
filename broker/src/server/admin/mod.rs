//! The admin API over HTTP. What is served and what it does is in [`crate::admin`].

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::engine::Handle;
use crate::admin::{self, Call};
use crate::core::AdminError;

/// The largest body that is read.
const MAX_BODY: usize = 1 << 20;

/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves, for ever.
pub(super) async fn serve(listener: TcpListener, handle: Handle) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot take an admin connection in");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let handle = handle.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let handle = handle.clone();
                async move { Ok::<_, Infallible>(respond(request, &handle).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(30))
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an admin connection failed");
            }
        });
    }
}

async fn respond(request: Request<Incoming>, handle: &Handle) -> Response<Full<Bytes>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answer = match tokio::time::timeout(PATIENCE, read(request)).await {
        Ok(Ok(call)) => handle.ask(move |broker, now| admin::respond(broker, &call, now)).await,
        Ok(Err(error)) => Some(error.into()),
        Err(_) => Some(error(408, "The body did not come in time").into()),
    };
    let answer = answer.unwrap_or_else(|| error(503, "The broker is stopping").into());
    tracing::debug!(%method, path, status = answer.status, "admin call");
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = Some((header::CONTENT_TYPE.as_str(), answer.content_type.to_owned()));
    for (name, value) in kind.filter(|(_, kind)| !kind.is_empty()).into_iter().chain(answer.headers) {
        // What a message says of itself need not be what a header can say.
        let value: String =
            value.chars().map(|c| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' }).collect();
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value))
        {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn error(status: u16, reason: impl Into<String>) -> AdminError {
    AdminError { status, reason: reason.into() }
}

async fn read(request: Request<Incoming>) -> Result<Call, AdminError> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut call = Call::new(head.method.as_str(), target)?;
    let kind = head.headers.get(header::CONTENT_TYPE);
    call.content_type = kind.and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let body = Limited::new(body, MAX_BODY).collect().await;
    call.body = body.map_err(|_| error(413, format!("The body is larger than {MAX_BODY} bytes")))?.to_bytes();
    Ok(call)
}
