//! The web console over HTTP: the files of a directory, and `/config.json`, which tells the page where it is.

use std::path::Path;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::Html;
use axum::routing::get;
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
}

/// The page. Without a directory a note says what is missing.
pub(crate) fn router(directory: Option<&Path>, config: &PageConfig) -> Router {
    // Of strings and a bool: this cannot fail.
    let json = serde_json::to_string(config).unwrap_or_default();
    let config = get(move || async move { ([(header::CONTENT_TYPE, "application/json")], json) });
    let router = Router::new().route("/config.json", config);
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
