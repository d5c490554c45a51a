//! What is answered to calls that are refused: by Pulsar as JSON with a reason, by the server that it is in
//! (Jetty, Jersey) as a page.

use bytes::Bytes;
use serde_json::json;

use super::{Call, Response};
use crate::core::{AdminError, Form};

/// Why not.
pub(super) fn refused(error: &AdminError, call: &Call) -> Response {
    let (content_type, body) = match error.form {
        Form::Page => return page(error.status, call),
        Form::PageWithReason => {
            let phrase = error.reason.replace(['\r', '\n'], "?");
            return Response { phrase, ..page_with(error.status, &error.reason, call) };
        }
        Form::Text => ("text/plain", error.reason.clone()),
        Form::Bare => ("application/json", error.reason.clone()),
        Form::Reason => ("application/json", json!({ "reason": error.reason }).to_string()),
    };
    // Of what was not expected only the message.
    let phrase = match (error.form, error.reason.split_once("\n\nMessage: ")) {
        (Form::Reason, Some((_, message))) => message.to_owned(),
        (Form::Reason, None) => error.reason.clone(),
        _ => String::new(),
    };
    let phrase = phrase.split_once("\n\nStacktrace").map_or(phrase.as_str(), |(message, _)| message);
    Response {
        status: error.status,
        content_type,
        headers: Vec::new(),
        body: body.into(),
        phrase: phrase.replace(['\r', '\n'], " "),
    }
}

/// A page with a status, in the form that is wanted; nothing where it would not be looked at.
pub(super) fn page(status: u16, call: &Call) -> Response {
    page_with(status, name(status), call)
}

/// The same with another text than the status's name.
fn page_with(status: u16, name: &str, call: &Call) -> Response {
    let mut response = Response { status, ..Response::default() };
    if !matches!(call.method.as_str(), "GET" | "POST" | "HEAD") {
        return response;
    }
    response.headers.push(("cache-control", "must-revalidate,no-cache,no-store".to_owned()));
    let kinds = kinds(call, true);
    let wanted = kinds.iter().find_map(|kind| match kind.as_str() {
        "text/html" | "text/*" | "*/*" => Some("text/html;charset=iso-8859-1"),
        "text/plain" => Some("text/plain;charset=iso-8859-1"),
        "application/json" | "text/json" => Some("application/json"),
        _ => None,
    });
    let Some(content_type) = wanted.or(call.accept.is_none().then_some("text/html;charset=iso-8859-1"))
    else {
        return response;
    };
    let path = &call.raw;
    let body = match content_type {
        "application/json" => {
            let (name, path) = (json!(name), json!(path));
            format!("{{\n\"message\":{name},\n\"url\":{path},\n\"status\":\"{status}\"\n}}")
        }
        "text/plain;charset=iso-8859-1" => {
            format!("HTTP ERROR {status} {name}\nURI: {path}\nSTATUS: {status}\nMESSAGE: {name}\n")
        }
        _ => {
            let shown = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let (path, name) = (shown(path), shown(name));
            format!(
                "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html;charset=ISO-8859-1\"/>\n\
                 <title>Error {status} {name}</title>\n</head>\n<body><h2>HTTP ERROR {status} {name}</h2>\n<table>\n\
                 <tr><th>URI:</th><td>{path}</td></tr>\n<tr><th>STATUS:</th><td>{status}</td></tr>\n\
                 <tr><th>MESSAGE:</th><td>{name}</td></tr>\n</table>\n\n</body>\n</html>\n"
            )
        }
    };
    response.content_type = content_type;
    response.body = Bytes::from(body);
    response
}

fn name(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Authentication required",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        413 => "Payload Too Large",
        415 => "Unsupported Media Type",
        503 => "Service Unavailable",
        _ => "Request failed.",
    }
}

/// The media types that an answer may be of; without those that it may not be of, where that is looked at.
fn kinds(call: &Call, strictly: bool) -> Vec<String> {
    let unwanted = |part: &&str| part.split(';').skip(1).any(|weight| weight.trim() == "q=0");
    let said = call.accept.as_deref().unwrap_or_default().split(',');
    let said = said.filter(|part| !strictly || !unwanted(part));
    let kind = |part: &str| part.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    said.map(kind).filter(|kind| !kind.is_empty()).collect()
}

/// Whether an answer may be JSON.
pub(super) fn accepts_json(call: &Call) -> bool {
    let kinds = kinds(call, false);
    let any = ["application/json", "application/*", "*/*"];
    kinds.is_empty() || kinds.iter().any(|kind| any.contains(&kind.as_str()))
}

/// Whether a path is of the admin API itself, all of which answers JSON.
pub(super) fn is_of_pulsar(path: &str) -> bool {
    ["/admin/", "/lookup/", "/topics/"].into_iter().any(|base| path.starts_with(base))
}

/// The methods of a path, as a refused one is told.
pub(super) fn allowed(methods: &[&'static str]) -> Vec<&'static str> {
    let mut all = [methods, &["OPTIONS"]].concat();
    all.sort_unstable();
    all
}

/// The methods of a path, as one that asks for them is told.
pub(super) fn options(methods: &[&'static str]) -> Vec<&'static str> {
    let head = methods.contains(&"GET").then_some("HEAD");
    head.into_iter().chain(allowed(methods)).collect()
}
