//! The admin API without sockets: a request in, a response out.
//!
//! `table` lists what is served; the description at `/openapi.json` is made of the same list. Whoever
//! has HTTP hands [`Call`]s in and sends [`Response`]s.

mod absent;
mod access;
mod auto_update;
mod brokers;
mod checks;
mod clusters;
mod dynamic;
mod guards;
mod metrics;
mod namespaces;
mod older;
mod openapi;
mod others;
mod places;
mod policies;
mod quotas;
mod rare;
mod route;
mod schemas;
mod settings;
mod stats;
mod subscriptions;
mod table;
mod together;
mod topics;
mod transactions;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::core::names::{TopicName, parse_namespace};
use crate::core::{AdminError, Broker, Now};
use route::{Found, PARTITIONED, Shape};

type Result<T> = std::result::Result<T, AdminError>;

fn error(status: u16, reason: impl Into<String>) -> AdminError {
    AdminError { status, reason: reason.into() }
}

/// What the real broker did not expect.
fn unexpected(message: &str) -> AdminError {
    error(500, format!("\n --- An unexpected error occurred in the server ---\n\nMessage: {message}"))
}

/// A call: what was asked, cut into its parts.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// `GET`, `PUT`, ...
    pub method: String,
    /// Segments of the path, decoded.
    pub path: Vec<String>,
    /// What follows the path, decoded.
    pub query: Vec<(String, String)>,
    /// `content-type`, if it was said.
    pub content_type: Option<String>,
    /// The token that whoever calls brings.
    pub token: Option<Vec<u8>>,
    /// Name and password (`name:password`) that whoever calls brings.
    pub password: Option<Vec<u8>>,
    /// The only method that is meant, where that is said.
    pub auth_method: Option<String>,
    /// The name in the certificate that whoever calls has shown.
    pub certified: Option<String>,
    /// Which of several brokers was asked.
    pub broker: usize,
    /// It was asked by a path of the first version, in which namespaces have a cluster.
    pub(crate) clustered: bool,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// Cuts a path and its query.
    ///
    /// # Errors
    /// It is not encoded as URLs are: 400.
    pub fn new(method: &str, target: &str) -> Result<Self> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = path.trim_matches('/').split('/').map(decode).collect::<Result<_>>()?;
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(key)?, decode(&value.replace('+', " "))?))
        };
        let query = query.split('&').filter(|part| !part.is_empty()).map(pair).collect::<Result<_>>()?;
        Ok(Self { method: method.to_owned(), path, query, ..Self::default() })
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether its body is said to be of that media type.
    fn says(&self, kind: &str) -> bool {
        let said = self.content_type.as_deref().unwrap_or_default().split(';').next().unwrap_or_default();
        said.trim().eq_ignore_ascii_case(kind)
    }

    fn flag(&self, name: &str) -> bool {
        self.query(name) == Some("true")
    }

    /// A number of the query. What is none is as if the path were another.
    fn number(&self, name: &str) -> Result<Option<i64>> {
        let parse = |text: &str| text.parse().map_err(|_| error(404, format!("{name} must be a number")));
        self.query(name).map(parse).transpose()
    }

    /// One of these words of the query. Another is as if the path were another.
    fn one_of(&self, name: &str, words: &[&str]) -> Result<Option<&str>> {
        match self.query(name) {
            Some(word) if !words.contains(&word) => {
                Err(error(404, format!("{name} must be one of {}", words.join(", "))))
            }
            word => Ok(word),
        }
    }

    /// The body; nothing is `Null`.
    fn json(&self) -> Result<Value> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|why| error(400, format!("The body is not JSON: {why}")))
    }
}

/// A call with what its route found in the path.
struct Ask<'a> {
    call: &'a Call,
    found: Found<'a>,
}

impl Ask<'_> {
    /// A part of the path.
    fn part(&self, name: &str) -> &str {
        self.found.part(name)
    }

    /// `tenant/namespace`.
    fn namespace(&self) -> Result<String> {
        let name = format!("{}/{}", self.part("tenant"), self.part("namespace"));
        match parse_namespace(&name) {
            Some((_, namespace)) if self.may_name(namespace) => Ok(name),
            _ => Err(error(412, "Namespace name is not valid")),
        }
    }

    /// Whether a namespace has a cluster in its path if it has one in its name.
    fn may_name(&self, namespace: &str) -> bool {
        self.call.clustered || !namespace.contains('/')
    }

    fn is_persistent(&self) -> bool {
        self.part("domain") != "non-persistent"
    }

    fn topic(&self) -> Result<TopicName> {
        let (tenant, namespace) = (self.part("tenant"), self.part("namespace"));
        let name = TopicName::from_parts(self.is_persistent(), tenant, namespace, self.part("topic"));
        name.filter(|_| self.may_name(namespace)).ok_or_else(|| error(412, "Topic name is not valid"))
    }

    /// A number in the path. What is none is as if the path were another.
    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T> {
        self.part(name).parse().map_err(|_| error(404, format!("{name} must be a number")))
    }
}

/// What a call answers.
enum Answer {
    /// 204.
    Nothing,
    /// 200, and nothing.
    Empty,
    Text(String),
    Json(Value),
    /// 200, and this text as JSON, whether it is or not.
    Raw(String),
    JsonAs(u16, Value),
    /// A message: its headers and its payload.
    Message(Vec<(&'static str, String)>, Bytes),
}

/// What is answered over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// `content-type`.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

impl From<AdminError> for Response {
    fn from(error: AdminError) -> Self {
        Self {
            status: error.status,
            content_type: "application/json",
            headers: Vec::new(),
            body: json!({ "reason": error.reason }).to_string().into(),
        }
    }
}

/// Does what a call asks for. After it, poll the broker as after a fact.
#[must_use]
pub fn respond(broker: &mut Broker, call: &Call, now: Now) -> Response {
    let newer = older::translated(call);
    let call = newer.as_ref().unwrap_or(call);
    if let Err(refused) = access::check(broker, call, now) {
        return refused.into();
    }
    let routes = table::routes();
    let (found, allowed) = route::find(routes, call);
    let told = found.is_none() && !allowed.is_empty();
    let mut response = match (found, call.method.as_str()) {
        (Some((route, found)), _) => {
            if route.body.is_json() && !takes(call, route.body) {
                error(415, "The body must be application/json").into()
            } else {
                let ask = Ask { call, found };
                answer(match guards::refused(&route.path, &ask, broker) {
                    Some(refused) => Err(refused),
                    None => (route.run)(&ask, broker, now),
                })
            }
        }
        (None, "OPTIONS") if !allowed.is_empty() => answer(Ok(Answer::Text(allowed.join(", ")))),
        (None, method) if !allowed.is_empty() => {
            error(405, format!("{method} is not for this path, but {}", allowed.join(", "))).into()
        }
        (None, _) => error(404, "No such call in this broker").into(),
    };
    if told {
        response.headers.push(("allow", allowed.join(", ")));
    }
    response
}

/// Whether a body is said to be what can be read.
fn takes(call: &Call, body: Shape) -> bool {
    let known = ["application/json", "text/plain", "*/*"];
    call.body.is_empty()
        || known.into_iter().any(|kind| call.says(kind))
        || (body == Shape::Partitions && call.says(PARTITIONED))
}

fn answer(result: Result<Answer>) -> Response {
    let (status, content_type, headers, body) = match result {
        Ok(Answer::Nothing) => (204, "", Vec::new(), Bytes::new()),
        Ok(Answer::Empty) => (200, "", Vec::new(), Bytes::new()),
        Ok(Answer::Text(text)) => (200, "text/plain", Vec::new(), text.into()),
        Ok(Answer::Json(value)) => (200, "application/json", Vec::new(), value.to_string().into()),
        Ok(Answer::Raw(text)) => (200, "application/json", Vec::new(), text.into()),
        Ok(Answer::JsonAs(status, value)) => {
            (status, "application/json", Vec::new(), value.to_string().into())
        }
        Ok(Answer::Message(headers, payload)) => (200, "application/octet-stream", headers, payload),
        Err(error) => return error.into(),
    };
    Response { status, content_type, headers, body }
}

/// Decodes `%xx`.
fn decode(text: &str) -> Result<String> {
    let wrong = || error(400, format!("{text:?} is not encoded as URLs are"));
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digits = [bytes.next().ok_or_else(wrong)?, bytes.next().ok_or_else(wrong)?];
                let hex = std::str::from_utf8(&digits)
                    .ok()
                    .filter(|hex| hex.chars().all(|c| c.is_ascii_hexdigit()));
                hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).ok_or_else(wrong)?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).map_err(|_| wrong())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::decode;

    #[test]
    fn paths_are_decoded() {
        assert_eq!(decode("a%2Fb%20c").unwrap(), "a/b c");
        for bad in ["100%", "%zz", "%4", "%+1", "%ff"] {
            assert_eq!(decode(bad).unwrap_err().status, 400, "{bad}");
        }
    }
}
