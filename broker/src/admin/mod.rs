//! The admin API without sockets: a request in, a response out.
//!
//! `table` lists what is served; the description at `/openapi.json` is made of the same list. Whoever
//! has HTTP hands [`Call`]s in and sends [`Response`]s.

mod absent;
mod access;
mod auto_update;
mod bodies;
mod brokers;
mod checks;
mod clusters;
mod dynamic;
mod guards;
mod homes;
mod metrics;
mod namespaces;
mod older;
mod openapi;
mod others;
mod pages;
mod places;
mod policies;
mod producing;
mod quotas;
mod rare;
mod reading;
mod refusals;
mod route;
mod schemas;
mod settings;
mod spelling;
mod stats;
mod subscriptions;
mod table;
mod together;
mod topics;
mod transactions;
mod typed;
mod values;
mod widths;

use bytes::Bytes;
use serde_json::Value;

use crate::core::names::{TopicName, parse_namespace};
use crate::core::{AdminError, Broker, Form, Now};
use route::{Found, PARTITIONED, Shape};

type Result<T> = std::result::Result<T, AdminError>;

fn error(status: u16, reason: impl Into<String>) -> AdminError {
    AdminError { status, reason: reason.into(), form: Form::Reason }
}

/// What was asked for is not there at all.
fn no_path(reason: impl Into<String>) -> AdminError {
    AdminError { form: Form::Page, ..error(404, reason) }
}

/// A body that cannot be read.
fn unreadable(reason: impl Into<String>) -> AdminError {
    AdminError { form: Form::Text, ..error(400, reason) }
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
    /// The path as it came.
    pub(crate) raw: String,
    /// `content-type`, if it was said.
    pub content_type: Option<String>,
    /// `accept`: which media types an answer may be of.
    pub accept: Option<String>,
    /// `X-Pulsar-ListenerName`: by which listener a broker is looked for.
    pub listener: Option<String>,
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
        let raw = path.to_owned();
        let path: Vec<&str> =
            path.strip_prefix('/').unwrap_or(path).trim_end_matches('/').split('/').collect();
        let at = spelling::Places::of(&path);
        let path = path.iter().enumerate().map(|(n, part)| at.read(n, part)).collect::<Result<_>>()?;
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            // What cannot be read is not there.
            Some((spelling::decode(key).ok()?, spelling::decode(&value.replace('+', " ")).ok()?))
        };
        let query = query.split('&').filter(|part| !part.is_empty()).filter_map(pair).collect();
        Ok(Self { method: method.to_owned(), raw, path, query, ..Self::default() })
    }

    /// A path that is not looked at.
    #[cfg(feature = "server")]
    pub(crate) fn at(path: &str) -> Self {
        Self { raw: path.to_owned(), ..Self::default() }
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
        self.query(name).is_some_and(|said| said.eq_ignore_ascii_case("true"))
    }

    /// A number of the query, as wide as it may be. What is none is as if the path were another.
    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        let parse = |text: &str| text.parse().map_err(|_| no_path(format!("{name} must be a number")));
        self.query(name).filter(|text| !text.is_empty()).map(parse).transpose()
    }

    /// One of these words of the query. Another is as if the path were another.
    fn one_of(&self, name: &str, words: &[&str]) -> Result<Option<&str>> {
        match self.query(name).filter(|word| !word.is_empty()) {
            Some(word) if !words.contains(&word) => {
                Err(no_path(format!("{name} must be one of {}", words.join(", "))))
            }
            word => Ok(word),
        }
    }

    /// The body; nothing is `Null`.
    fn json(&self) -> Result<Value> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|why| unreadable(format!("The body is not JSON: {why}")))
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
        self.part(name).parse().map_err(|_| no_path(format!("{name} must be a number")))
    }
}

const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a call answers.
enum Answer {
    /// 204.
    Nothing,
    /// 200, and nothing.
    Empty,
    Text(String),
    /// As Prometheus reads it.
    Metrics(String),
    Json(Value),
    /// 200, and this text as JSON, whether it is or not.
    Raw(String),
    JsonAs(u16, Value),
    /// 307: what was asked for is to be asked for there.
    Elsewhere(String),
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
    /// What stands beside the status; empty is what usually does.
    pub phrase: String,
}

impl From<AdminError> for Response {
    /// What is answered to a call that could not be read.
    fn from(error: AdminError) -> Self {
        pages::refused(&error, &Call { method: "GET".to_owned(), ..Call::default() })
    }
}

/// Answers a call that could not be read.
#[cfg(feature = "server")]
pub(crate) fn refuse(error: &AdminError, call: &Call) -> Response {
    pages::refused(error, call)
}

/// Does what a call asks for. After it, poll the broker as after a fact.
#[must_use]
pub fn respond(broker: &mut Broker, call: &Call, now: Now) -> Response {
    let newer = older::translated(call);
    let call = newer.as_ref().unwrap_or(call);
    let caller = match access::caller(broker, call, now) {
        Ok(caller) => caller,
        Err(refused) => return pages::refused(&refused, call),
    };
    let routes = table::routes();
    let (found, allowed) = route::find(routes, call);
    match (found, call.method.as_str()) {
        (Some((route, found)), _) => {
            let ask = Ask { call, found };
            answer(serve(route, &ask, caller.as_deref(), broker, now), call)
        }
        (None, "OPTIONS") if !allowed.is_empty() => {
            let all = pages::options(&allowed);
            let mut response = answer(Ok(Answer::Text(all.join(", "))), call);
            response.headers.push(("allow", all.join(",")));
            response
        }
        (None, _) if !allowed.is_empty() => {
            let mut response = pages::page(405, call);
            response.headers.push(("allow", pages::allowed(&allowed).join(",")));
            response
        }
        // Of other paths a domain that there is not is a path that there is not.
        (None, "GET") if is_looked_up(&call.path) => pages::page(500, call),
        (None, _) => pages::page(404, call),
    }
}

/// Whether a topic is looked up by a path, whatever stands there for its domain.
fn is_looked_up(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    matches!(
        path[..],
        ["lookup", "v2", "topic", _, _, _, _] | ["lookup", "v2", "topic", _, _, _, _, "bundle"]
    )
}

/// Whoever may not hear of it only when the call can be read, as at the real broker.
fn serve(
    route: &route::Route,
    ask: &Ask<'_>,
    caller: Option<&str>,
    broker: &mut Broker,
    now: Now,
) -> Result<Answer> {
    let page = |status, reason: &str| AdminError { form: Form::Page, ..error(status, reason) };
    if route.body.is_json() && !ask.call.body.is_empty() && !bodies::is_ignored(route) {
        takes(ask.call, route.body).map_err(|status| page(status, "The body must be application/json"))?;
    }
    bodies::check(route, ask.call)?;
    if !pages::accepts_json(ask.call) && pages::is_of_pulsar(&route.path) {
        return Err(page(406, "All answers are application/json"));
    }
    access::check(broker, route, ask, caller)?;
    match guards::refused(&route.path, ask, broker) {
        Some(refused) => Err(refused),
        None => (route.run)(ask, broker, now),
    }
}

/// Whether a body is said to be what can be read; the status where it is not.
fn takes(call: &Call, body: Shape) -> std::result::Result<(), u16> {
    let said = call.content_type.as_deref().unwrap_or_default();
    let known = call.says("application/json")
        || match body {
            Shape::Partitions => [PARTITIONED, "text/plain", "text/json"].iter().any(|kind| call.says(kind)),
            Shape::Number | Shape::Boolean => call.says("*/*"),
            _ => false,
        };
    match known {
        true => Ok(()),
        false if said.is_empty() || said.contains('/') => Err(415),
        false => Err(400),
    }
}

fn answer(result: Result<Answer>, call: &Call) -> Response {
    let (status, content_type, headers, body) = match result {
        Ok(Answer::Nothing) => (204, "", Vec::new(), Bytes::new()),
        Ok(Answer::Empty) => (200, "", Vec::new(), Bytes::new()),
        Ok(Answer::Text(text)) => (200, "text/plain", Vec::new(), text.into()),
        Ok(Answer::Metrics(text)) => (200, METRICS, Vec::new(), text.into()),
        Ok(Answer::Json(value)) => (200, "application/json", Vec::new(), value.to_string().into()),
        Ok(Answer::Raw(text)) => (200, "application/json", Vec::new(), text.into()),
        Ok(Answer::JsonAs(status, value)) => {
            (status, "application/json", Vec::new(), value.to_string().into())
        }
        Ok(Answer::Elsewhere(at)) => (307, "", vec![("location", at)], Bytes::new()),
        Ok(Answer::Message(headers, payload)) => (200, "application/json", headers, payload),
        Err(refused) => return pages::refused(&refused, call),
    };
    Response { status, content_type, headers, body, phrase: String::new() }
}
