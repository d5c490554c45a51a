//! The broker's admin API, for what only an administrator can do: partitions, policies, compaction.

use crate::env::{Env, Outcome};

/// What the broker answered.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Env {
    /// A request to the broker's admin API. The path begins with `/admin/v2`.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: Option<&str>) -> Result<Answer, String> {
        let answer = call(method, &self.endpoint.admin, path, body).await;
        #[cfg(not(target_family = "wasm"))]
        if let Ok(Answer { status, body }) = &answer {
            self.trace.administered(method, path, *status, body);
        }
        answer
    }

    /// A request that must succeed.
    pub(crate) async fn administer(&self, method: &str, path: &str, body: Option<&str>) -> Outcome {
        let Answer { status, body } = self.admin(method, path, body).await?;
        if (200..300).contains(&status) { Ok(()) } else { Err(format!("{method} {path}: {status} {body}")) }
    }
}

/// A request to `host:port`.
///
/// # Errors
/// Why there is no answer.
#[cfg(not(target_family = "wasm"))]
pub async fn call(method: &str, host: &str, path: &str, body: Option<&str>) -> Result<Answer, String> {
    use http_body_util::{BodyExt as _, Full};
    use hyper::Request;
    use hyper_util::rt::TokioIo;

    let failed = |error: &dyn std::fmt::Display| format!("{method} {host}{path}: {error}");
    let stream = tokio::net::TcpStream::connect(host).await.map_err(|e| failed(&e))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| failed(&e))?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", host)
        .header("content-type", "application/json")
        .body(Full::new(bytes::Bytes::copy_from_slice(body.unwrap_or("").as_bytes())))
        .map_err(|e| failed(&e))?;
    let response = sender.send_request(request).await.map_err(|e| failed(&e))?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(|e| failed(&e))?.to_bytes();
    Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
}

/// A request to `host:port`, by the runner: pages may not call other origins.
#[cfg(target_family = "wasm")]
pub(crate) async fn call(method: &str, host: &str, path: &str, body: Option<&str>) -> Result<Answer, String> {
    use wasm_bindgen::JsValue;
    use wasm_bindgen::prelude::wasm_bindgen;

    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(js_name = administer, catch)]
        async fn by_runner(method: &str, url: &str, body: Option<&str>) -> Result<JsValue, JsValue>;
    }

    let failed = |error: JsValue| format!("{method} {host}{path}: {error:?}");
    let answer = by_runner(method, &format!("http://{host}{path}"), body).await.map_err(failed)?;
    let text = answer.as_string().unwrap_or_default();
    let (status, body) = text.split_once(' ').unwrap_or((&text, ""));
    let status = status.parse().map_err(|e| format!("{method} {host}{path}: {e}"))?;
    Ok(Answer { status, body: body.to_owned() })
}
