//! The web console over HTTP: the files of a directory, `/config.json`, which tells the page where it is, and what the
//! gateway's admin listener would say, on the page's own origin.

use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use pulsewire_gateway::Handle;
use serde::Serialize;
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

/// What stands in place of the console where it is not built.
const NO_CONSOLE: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>pulsewire</title>\
<p>The console is not built. Build it with <code>npm start</code>, or name its directory with \
<code>pulsewire dev --console DIR</code>.<p>The gateway and the broker run: see \
<a href=config.json>config.json</a>.</html>";

/// What the page is told.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageConfig {
    /// The gateway's WebSocket, as the page names it.
    pub(crate) gateway: String,
    /// The same.
    pub(crate) gateway_url: String,
    /// Where programs reach the same topics.
    pub(crate) broker_url: String,
    /// Whether that is a Pulsar of somebody's, and not the embedded broker.
    pub(crate) upstream: bool,
    /// A command that shows from outside what the page publishes, `TOPIC` to be replaced.
    pub(crate) witness: String,
    /// Below which `connz` and `metrics` are, as the page names it.
    pub(crate) admin: &'static str,
}

/// What of the gateway's admin calls the page is given.
const ADMIN: [&str; 2] = ["/connz", "/metrics"];

/// The page. Without a directory a note says what is missing.
pub(crate) fn router(directory: Option<&Path>, config: &PageConfig, gateway: &Handle) -> Router {
    // Of strings and a bool: this cannot fail.
    let json = serde_json::to_string(config).unwrap_or_default();
    let config = get(move || async move { ([(header::CONTENT_TYPE, "application/json")], json) });
    let router = Router::new().route("/config.json", config);
    let router = ADMIN.iter().fold(router, |router, path| {
        let gateway = gateway.clone();
        router.route(path, get(move |request: Request| async move { admin(&gateway, &request) }))
    });
    let router = match directory {
        Some(directory) => router.fallback_service(ServeDir::new(directory)),
        None => router.route("/", get(Html(NO_CONSOLE))),
    };
    // A page that is built anew shows at the next load.
    let fresh = (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let as_said = (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    router
        .layer(SetResponseHeaderLayer::overriding(fresh.0, fresh.1))
        .layer(SetResponseHeaderLayer::overriding(as_said.0, as_said.1))
}

/// Answers in the admin listener's place. Only loopback reaches this; a page elsewhere whose name was made to point
/// here (DNS rebinding) would be of the same origin as its answers, and is told apart by the name.
fn admin(gateway: &Handle, request: &Request) -> Response {
    if !names_loopback(request.headers()) {
        return (StatusCode::FORBIDDEN, "only as localhost\n").into_response();
    }
    gateway.admin(request).map(Body::new)
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next().map(HeaderValue::to_str), hosts.next()) {
        (Some(Ok(host)), None) => host,
        _ => return false,
    };
    ["localhost", "127.0.0.1"].iter().any(|name| {
        let port = host.strip_prefix(name);
        port.is_some_and(|it| it.is_empty() || it.starts_with(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_loopback_are_answered() {
        let named = |hosts: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, HeaderValue::from_static(host));
            }
            names_loopback(&headers)
        };
        for host in ["localhost", "localhost:5173", "127.0.0.1:80"] {
            assert!(named(&[host]), "{host}");
        }
        for host in
            ["evil.example:5173", "localhost.evil.example", "127.0.0.1.evil.example:1", "10.0.0.1", ""]
        {
            assert!(!named(&[host]), "{host}");
        }
        assert!(!named(&[]) && !named(&["localhost", "localhost"]));
    }
}
