//! The admin listener: `/healthz` (the process lives), `/readyz` (send clients here), `/metrics` (Prometheus) and
//! `/connz` (the connections).

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

use crate::accept::{Queue, accept};
use crate::address;
use crate::connection::Core;
use crate::drain::Stage;
use crate::origin::answers_to;
use crate::registry::{Page, Sort, Which};

/// Requests served at once: with one more the oldest has to go.
const AT_ONCE: usize = 64;

/// Those that go have time to.
const GOING: usize = 64;

/// For one request and its answer, whole.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// For its head, from the connection on: whoever asks here knows what for.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// Rows of a page of `/connz`, unless asked otherwise, and at most.
const ROWS: usize = 100;
const MAX_ROWS: usize = 10_000;

/// Serves until `closed` turns true.
pub(crate) async fn run(listener: TcpListener, core: Arc<Core>, mut closed: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(AT_ONCE + GOING));
    let queue = Arc::<Queue>::default();
    let mut requests = JoinSet::new();
    loop {
        let (slot, tcp, _) = tokio::select! {
            _ = closed.wait_for(|closed| *closed) => return,
            Some(_) = requests.join_next() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        let core = Arc::clone(&core);
        let turn = queue.enter(AT_ONCE);
        requests.spawn(async move {
            let _slot = slot;
            tokio::select! {
                served = timeout(REQUEST_TIMEOUT, serve(core, tcp)) => if served.is_err() {
                    debug!("admin request not done in time");
                },
                () = turn.given_up() => debug!("admin request not done, and others wait for the place"),
            }
        });
    }
}

async fn serve(core: Arc<Core>, tcp: TcpStream) {
    let service = service_fn(|request: Request<_>| {
        let response = answer(&core, &request);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(tcp), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "admin request failed");
    }
}

/// Answers one request.
pub(crate) fn answer<B>(core: &Core, request: &Request<B>) -> Response<Full<Bytes>> {
    let say = |status: StatusCode, body: Value| reply(status, "application/json", format!("{body}\n"));
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return say(StatusCode::METHOD_NOT_ALLOWED, json!({ "error": "GET only" }));
    }
    // A page whose name was made to lead here asks by that name.
    let host = request.headers().get_all(header::HOST).iter().map(|host| {
        let (host, _) = address::parse(host.to_str().ok()?).ok()?;
        answers_to(&host, &core.current.get().config.host_names).then_some(())
    });
    if host.collect::<Option<Vec<()>>>().is_none() {
        let error = "the Host is neither an address, nor localhost, nor one of host_names";
        return say(StatusCode::MISDIRECTED_REQUEST, json!({ "error": error }));
    }
    match request.uri().path() {
        "/healthz" => say(StatusCode::OK, json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") })),
        "/readyz" if !matches!(*core.stage.borrow(), Stage::Serving) => {
            say(StatusCode::SERVICE_UNAVAILABLE, json!({ "status": "stopping" }))
        }
        "/readyz" if !core.current.get().has_upstream() => {
            say(StatusCode::SERVICE_UNAVAILABLE, json!({ "status": "no-upstream" }))
        }
        "/readyz" => say(StatusCode::OK, json!({ "status": "ready" })),
        "/metrics" => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            reply(StatusCode::OK, kind, core.metrics.text())
        }
        "/connz" => match page(request.uri().query().unwrap_or_default()) {
            Ok(page) => match serde_json::to_string(&core.connections.page(page)) {
                Ok(text) => reply(StatusCode::OK, "application/json", text + "\n"),
                Err(error) => say(StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": error.to_string() })),
            },
            Err(error) => say(StatusCode::BAD_REQUEST, json!({ "error": error })),
        },
        _ => say(StatusCode::NOT_FOUND, json!({ "error": "not found" })),
    }
}

/// `state=open|closed|all`, `sort=`, `order=asc|desc`, `offset=`, `limit=`.
fn page(query: &str) -> Result<Page, String> {
    let mut page = Page { of: Which::Open, sort: Sort::Id, descending: false, offset: 0, limit: ROWS };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = match key {
            "state" => [("open", Which::Open), ("closed", Which::Closed), ("all", Which::All)]
                .iter()
                .find(|(name, _)| *name == value)
                .map(|(_, which)| page.of = *which),
            "sort" => Sort::NAMES.iter().find(|(name, _)| *name == value).map(|(_, sort)| page.sort = *sort),
            "order" => [("asc", false), ("desc", true)]
                .iter()
                .find(|(name, _)| *name == value)
                .map(|(_, descending)| page.descending = *descending),
            "offset" => value.parse().ok().map(|offset| page.offset = offset),
            "limit" => value.parse().ok().filter(|it| *it <= MAX_ROWS).map(|limit| page.limit = limit),
            _ => return Err("known are state, sort, order, offset and limit".to_owned()),
        };
        if known.is_none() {
            let sorts: Vec<_> = Sort::NAMES.iter().map(|(name, _)| *name).collect();
            return Err(match key {
                "state" => "state is open, closed or all".to_owned(),
                "sort" => format!("sort is one of {}", sorts.join(", ")),
                "order" => "order is asc or desc".to_owned(),
                _ => format!("offset and limit are numbers, limit at most {MAX_ROWS}"),
            });
        }
    }
    Ok(page)
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_asked_for_by_query() {
        let asked = page("state=all&sort=down&order=desc&offset=5&limit=7").expect("a page");
        let wanted = Page { of: Which::All, sort: Sort::Down, descending: true, offset: 5, limit: 7 };
        assert_eq!(asked, wanted);
        assert_eq!(page("").map(|page| page.limit), Ok(ROWS));
        for wrong in ["sort=token", "order=up", "limit=-1", "limit=999999", "state=", "x=1"] {
            assert!(page(wrong).is_err(), "{wrong}");
        }
    }
}
