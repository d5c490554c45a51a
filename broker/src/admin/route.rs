//! A route: a method, a path with places in it, and what they are for.

use super::{Answer, Ask, Call, Result};
use crate::core::{Broker, Now};

pub(super) type Run = fn(&Ask<'_>, &mut Broker, Now) -> Result<Answer>;

/// The media type of a partitioned topic's description.
pub(super) const PARTITIONED: &str = "application/vnd.partitioned-topic-metadata+json";

/// What a body, an answer or a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    None,
    Text,
    Number,
    /// How many partitions; or as [`PARTITIONED`], that and properties.
    Partitions,
    Boolean,
    Texts,
    Object,
    /// A list of anything.
    List,
    /// A message's payload.
    Bytes,
}

impl Shape {
    pub(super) fn is_json(self) -> bool {
        !matches!(self, Self::None | Self::Bytes)
    }
}

/// A parameter of the query.
pub(super) type Parameter = (&'static str, Shape, &'static str);

/// One thing that is served.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) method: &'static str,
    /// `/admin/v2/tenants/{tenant}`
    pub(super) path: String,
    /// What it is about, for the description.
    pub(super) group: &'static str,
    pub(super) summary: String,
    pub(super) query: &'static [Parameter],
    pub(super) body: Shape,
    pub(super) answer: Shape,
    pub(super) run: Run,
}

/// Begins a route below `/admin/v2/`, or where its path begins with `/`.
pub(super) fn route(
    method: &'static str,
    path: &str,
    group: &'static str,
    summary: impl Into<String>,
    run: Run,
) -> Route {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/admin/v2/{path}") };
    let answer = if method == "GET" { Shape::Object } else { Shape::None };
    Route { method, path, group, summary: summary.into(), query: &[], body: Shape::None, answer, run }
}

impl Route {
    pub(super) fn takes(self, body: Shape) -> Self {
        Self { body, ..self }
    }

    pub(super) fn gives(self, answer: Shape) -> Self {
        Self { answer, ..self }
    }

    pub(super) fn asks(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    /// The parts of a path that its places stand for; `None` when it is another path.
    fn matches<'a>(&'a self, path: &'a [String]) -> Option<Found<'a>> {
        let mut parts = Vec::new();
        let mut segments = self.path.trim_matches('/').split('/');
        for given in path {
            let segment = segments.next()?;
            match segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}')) {
                Some("domain") if given != "persistent" && given != "non-persistent" => return None,
                Some(_) if given.is_empty() => return None,
                Some(name) => parts.push((name, given.as_str())),
                None if segment != given => return None,
                None => {}
            }
        }
        segments.next().is_none().then_some(Found { parts })
    }
}

/// What was found in a path.
pub(super) struct Found<'a> {
    parts: Vec<(&'a str, &'a str)>,
}

impl Found<'_> {
    pub(super) fn part(&self, name: &str) -> &str {
        self.parts.iter().find(|(known, _)| *known == name).map_or("", |(_, part)| part)
    }
}

/// The route of a call, and the methods that its path has. Of several, the one with the fewest places.
pub(super) fn find<'a>(
    routes: &'a [Route],
    call: &'a Call,
) -> (Option<(&'a Route, Found<'a>)>, Vec<&'static str>) {
    let mut best: Option<(&Route, Found<'_>)> = None;
    let mut allowed: Vec<&'static str> = Vec::new();
    let method = if call.method == "HEAD" { "GET" } else { &call.method };
    for route in routes {
        let Some(found) = route.matches(&call.path) else { continue };
        if !allowed.contains(&route.method) {
            allowed.push(route.method);
        }
        let fewer = best.as_ref().is_none_or(|(_, other)| found.parts.len() < other.parts.len());
        if route.method == method && fewer {
            best = Some((route, found));
        }
    }
    allowed.sort_unstable();
    (best, allowed)
}
