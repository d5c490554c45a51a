//! What a status line says beside the number.
//!
//! The real broker says there why it refuses, and Java's client, where it looks topics up over HTTP, tells
//! its user no more than that.

use hyper::ext::ReasonPhrase;

/// The longest there.
const MOST: usize = 1024;

/// The reason that a body gives for a refusal.
pub(super) fn of(status: u16, body: &[u8]) -> Option<ReasonPhrase> {
    if status < 400 {
        return None;
    }
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let reason = body.get("reason")?.as_str()?;
    let plain = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    let reason: String = reason.chars().take(MOST).map(plain).collect();
    ReasonPhrase::try_from(reason).ok().filter(|reason| !reason.as_bytes().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &str) -> Option<String> {
        of(status, body.as_bytes()).map(|phrase| String::from_utf8_lossy(phrase.as_bytes()).into_owned())
    }

    #[test]
    fn refusals_say_why() {
        assert_eq!(said(404, r#"{"reason":"Namespace not found"}"#).as_deref(), Some("Namespace not found"));
        assert_eq!(said(200, r#"{"reason":"Namespace not found"}"#), None);
        assert_eq!(said(404, r#"{"reason":""}"#), None);
        assert_eq!(said(404, "no JSON"), None);
    }

    #[test]
    fn no_reason_ends_the_line() {
        let phrase = said(400, "{\"reason\":\"a\\r\\nset-cookie: b\\u0000\\u00fc\"}");
        assert_eq!(phrase.as_deref(), Some("a??set-cookie: b??"));
        let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(5000));
        assert_eq!(said(400, &long).map(|phrase| phrase.len()), Some(MOST));
    }
}
