//! The admin listener: `/healthz` (the process lives) and `/readyz` (send clients here).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use crate::accept::accept;
use crate::connection::stopped;

/// Requests served at once; more wait in the listener's backlog.
const AT_ONCE: usize = 64;

/// For one request and its answer, whole.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What the admin listener tells.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) has_upstream: bool,
    /// Turns true when the gateway stops taking clients.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Serves until `closed` turns true.
pub(crate) async fn run(listener: TcpListener, admin: Admin, mut closed: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut requests = JoinSet::new();
    loop {
        let (slot, tcp, _) = tokio::select! {
            () = stopped(&mut closed) => return,
            Some(_) = requests.join_next() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        let admin = admin.clone();
        requests.spawn(async move {
            let _slot = slot;
            if timeout(REQUEST_TIMEOUT, serve(admin, tcp)).await.is_err() {
                debug!("admin request not done in time");
            }
        });
    }
}

async fn serve(admin: Admin, tcp: TcpStream) {
    let service = service_fn(|request: Request<_>| {
        let response = admin.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(tcp), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "admin request failed");
    }
}

impl Admin {
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return reply(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": "GET only" }));
        }
        match request.uri().path() {
            "/healthz" => {
                reply(StatusCode::OK, &json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
            }
            "/readyz" if *self.stopping.borrow() => {
                reply(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "stopping" }))
            }
            "/readyz" if !self.has_upstream => {
                reply(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "no-upstream" }))
            }
            "/readyz" => reply(StatusCode::OK, &json!({ "status": "ready" })),
            _ => reply(StatusCode::NOT_FOUND, &json!({ "error": "not found" })),
        }
    }
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
