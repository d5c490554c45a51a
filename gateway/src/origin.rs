//! Who may open a WebSocket: the check of the `Origin` header against an exact list.
//!
//! A browser sends the origin of the page and lets no page forge it, so this check is what keeps a
//! stranger's page from using a visitor's network position. It says nothing about programs that are no
//! browsers: those write what they like, and are the business of authentication.

use std::fmt;
use std::str::FromStr;

use crate::address::{self, AddressError, Host};

/// The origin of a page, `scheme://host[:port]`, in canonical form.
///
/// Parsed from what a browser sends: lower case, no path, names in their ASCII (punycode) form. The
/// default ports of `http` and `https` may be given or left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: String,
    host: Host,
    port: Option<u16>,
}

impl Origin {
    fn effective_port(&self) -> Option<u16> {
        self.port.or_else(|| default_port(&self.scheme))
    }

    /// Whether `host[:port]` of a `Host` header is this origin's own. A header without a port means
    /// the default port of the origin's scheme.
    pub(crate) fn is_at(&self, host: &Host, port: Option<u16>) -> bool {
        self.host == *host && self.effective_port() == port.or_else(|| default_port(&self.scheme))
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Why a text is not an origin that a list may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginError {
    /// `null`: every sandboxed frame and local file has it, so it says nothing about who asks.
    Null,
    /// `*`: the list is exact.
    Wildcard,
    /// Characters outside ASCII: give the host in its punycode form, as browsers send it.
    NotAscii,
    /// No `scheme://`.
    NoScheme,
    /// A user name, path, query or fragment after the host; a trailing slash too.
    NotOnlyHost,
    /// No host, or one that cannot be.
    BadHost,
    /// A port that is not between 1 and 65535.
    BadPort,
}

/// Longer than any scheme of a page.
const MAX_SCHEME: usize = 32;

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OriginError::Null => "the origin \"null\" belongs to no one page and cannot be allowed",
            OriginError::Wildcard => "wildcards are not supported, every origin is named in full",
            OriginError::NotAscii => "not ASCII, write the host in its punycode form (xn--...)",
            OriginError::NoScheme => "no scheme, expected https://host[:port]",
            OriginError::NotOnlyHost => {
                "something follows the host, expected https://host[:port] and no slash"
            }
            OriginError::BadHost => "the host is missing or is not a host name or address",
            OriginError::BadPort => "the port is not a number between 1 and 65535",
        })
    }
}

impl std::error::Error for OriginError {}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if text.eq_ignore_ascii_case("null") {
            return Err(OriginError::Null);
        }
        if text.contains('*') {
            return Err(OriginError::Wildcard);
        }
        if !text.is_ascii() {
            return Err(OriginError::NotAscii);
        }
        let (scheme, rest) = text.split_once("://").ok_or(OriginError::NoScheme)?;
        let mut letters = scheme.bytes();
        if !letters.next().is_some_and(|c| c.is_ascii_alphabetic())
            || scheme.len() > MAX_SCHEME
            || !letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.'))
        {
            return Err(OriginError::NoScheme);
        }
        if rest.contains(['/', '?', '#', '@', '\\']) {
            return Err(OriginError::NotOnlyHost);
        }
        let (host, port) = address::parse(rest).map_err(|error| match error {
            AddressError::NoHost | AddressError::BadHost => OriginError::BadHost,
            AddressError::BadPort => OriginError::BadPort,
        })?;
        let scheme = scheme.to_ascii_lowercase();
        let port = port.filter(|port| default_port(&scheme) != Some(*port));
        Ok(Origin { scheme, host, port })
    }
}

/// What the check knows of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The one `Origin` header, as sent.
    pub(crate) origin: Option<&'a str>,
    /// The `Host` header.
    pub(crate) host: &'a Host,
    /// Its port.
    pub(crate) port: Option<u16>,
}

/// Why an origin was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OriginRefused {
    /// No `Origin` header, and that is not allowed.
    Missing,
    /// Not an origin; `null` too.
    Malformed(OriginError),
    /// Not in the list.
    NotListed(Origin),
    /// The page comes from this very host and port, by a name that anybody might have pointed here.
    Rebindable(Origin),
    /// The page comes from this very host and port, but not by this scheme, which the gateway's own pages have.
    Scheme(Origin, &'static str),
}

/// The configured rule.
#[derive(Debug, Clone)]
pub(crate) struct OriginRule {
    pub(crate) allowed: Vec<Origin>,
    pub(crate) allow_missing: bool,
    /// The scheme of the gateway's own pages.
    pub(crate) scheme: &'static str,
    /// The names that the gateway has.
    pub(crate) host_names: Vec<HostName>,
}

/// Who was let in, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Allowed {
    Nobodys,
    Listed(Origin),
    /// A page of the gateway's own host, by whatever address a program that is no browser says that it is.
    Same(Origin),
}

impl OriginRule {
    /// Decides.
    pub(crate) fn check(&self, asked: Asked<'_>) -> Result<Allowed, OriginRefused> {
        let Some(text) = asked.origin else {
            return if self.allow_missing { Ok(Allowed::Nobodys) } else { Err(OriginRefused::Missing) };
        };
        let origin: Origin = text.parse().map_err(OriginRefused::Malformed)?;
        if self.allowed.contains(&origin) {
            return Ok(Allowed::Listed(origin));
        }
        if origin.is_at(asked.host, asked.port) {
            // DNS rebinding: a stranger's page at http://stranger.example:8080 whose name now resolves
            // to 127.0.0.1 is "same-origin" with whatever listens on the visitor's port 8080, and one that resolves
            // to a gateway inside with that.
            if !answers_to(asked.host, &self.host_names) {
                return Err(OriginRefused::Rebindable(origin));
            }
            if origin.scheme != self.scheme {
                return Err(OriginRefused::Scheme(origin, self.scheme));
            }
            return Ok(Allowed::Same(origin));
        }
        Err(OriginRefused::NotListed(origin))
    }
}

/// A name of the gateway's own, of which its owner knows that nobody else has it pointed here: no port, no `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(Host);

/// A text is no [`HostName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostNameError;

impl fmt::Display for HostNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a host name as gateway.example, without a scheme and a port")
    }
}

impl std::error::Error for HostNameError {}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, HostNameError> {
        match address::parse(text) {
            Ok((host @ Host::Name(_), None)) => Ok(HostName(host)),
            _ => Err(HostNameError),
        }
    }
}

/// Whether a `Host` header can be that of a page which is really ours: a name that leads here by its owner's will
/// alone is anybody's.
pub(crate) fn answers_to(host: &Host, names: &[HostName]) -> bool {
    host.cannot_be_rebound() || names.iter().any(|name| name.0 == *host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().expect("an origin")
    }

    fn rule(allowed: &[&str], scheme: &'static str, names: &[&str]) -> OriginRule {
        OriginRule {
            allowed: allowed.iter().map(|text| origin(text)).collect(),
            allow_missing: false,
            scheme,
            host_names: names.iter().map(|name| name.parse().expect("a name")).collect(),
        }
    }

    fn check(rule: &OriginRule, sent: Option<&str>, host: &str) -> Result<(), OriginRefused> {
        let (host, port) = address::parse(host).expect("a host");
        rule.check(Asked { origin: sent, host: &host, port }).map(drop)
    }

    #[test]
    fn canonical_form() {
        assert_eq!(origin("HTTPS://App.Example:443").to_string(), "https://app.example");
        assert_eq!(origin("http://[0:0::1]:8080").to_string(), "http://[::1]:8080");
        assert_eq!(origin("http://a:443"), origin("http://a:443"));
        assert_ne!(origin("http://a"), origin("https://a"));
        assert_ne!(origin("https://a"), origin("https://a:8443"));
        assert_eq!(origin("chrome-extension://abcdef").to_string(), "chrome-extension://abcdef");
    }

    #[test]
    fn refuses_what_cannot_be_listed() {
        for (text, error) in [
            ("null", OriginError::Null),
            ("*", OriginError::Wildcard),
            ("https://*.example", OriginError::Wildcard),
            ("app.example", OriginError::NoScheme),
            ("1s://app.example", OriginError::NoScheme),
            ("https://app.example/", OriginError::NotOnlyHost),
            ("https://me@app.example", OriginError::NotOnlyHost),
            ("https://", OriginError::BadHost),
            ("https://a:99999", OriginError::BadPort),
            ("https://b\u{fc}cher.example", OriginError::NotAscii),
        ] {
            assert_eq!(text.parse::<Origin>(), Err(error), "{text}");
        }
    }

    #[test]
    fn exact_list_only() {
        let rule = rule(&["https://app.example"], "https", &[]);
        assert_eq!(check(&rule, Some("https://app.example"), "gw:1"), Ok(()));
        for near in [
            "http://app.example",
            "https://app.example.evil",
            "https://xapp.example",
            "https://app.example:444",
        ] {
            assert_eq!(
                check(&rule, Some(near), "gw:1"),
                Err(OriginRefused::NotListed(origin(near))),
                "{near}"
            );
        }
        assert_eq!(check(&rule, None, "gw:1"), Err(OriginRefused::Missing));
        assert_eq!(check(&rule, Some("null"), "gw:1"), Err(OriginRefused::Malformed(OriginError::Null)));
    }

    #[test]
    fn same_origin_is_scheme_host_and_port() {
        let plain = rule(&[], "http", &["gw.example"]);
        for (sent, host) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://localhost:8080", "localhost:8080"),
            ("http://gw.example", "gw.example"),
            ("http://gw.example", "GW.example:80"),
        ] {
            assert_eq!(check(&plain, Some(sent), host), Ok(()), "{sent}");
        }
        assert!(check(&plain, Some("http://127.0.0.1:8081"), "127.0.0.1:8080").is_err());
        assert!(check(&plain, Some("http://localhost:8080"), "127.0.0.1:8080").is_err());
        let tls = rule(&[], "https", &["gw.example"]);
        assert_eq!(check(&tls, Some("https://gw.example"), "gw.example:443"), Ok(()));
        for (rule, sent, host) in [
            (&tls, "http://gw.example", "gw.example"),
            (&tls, "ftp://gw.example", "gw.example"),
            (&tls, "http://gw.example:443", "gw.example:443"),
            (&plain, "https://gw.example", "gw.example"),
            (&plain, "chrome-extension://127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(
                check(rule, Some(sent), host),
                Err(OriginRefused::Scheme(origin(sent), rule.scheme)),
                "{sent}"
            );
        }
    }

    #[test]
    fn a_rebound_name_is_not_same_origin() {
        let sent = "http://stranger.example:8080";
        for names in [&[][..], &["gw.example"]] {
            assert_eq!(
                check(&rule(&[], "http", names), Some(sent), "stranger.example:8080"),
                Err(OriginRefused::Rebindable(origin(sent)))
            );
        }
        assert_eq!(check(&rule(&[sent], "http", &[]), Some(sent), "stranger.example:8080"), Ok(()));
        for wrong in ["gw.example:80", "*.example", "10.0.0.1", "http://gw", ""] {
            assert_eq!(wrong.parse::<HostName>(), Err(HostNameError), "{wrong}");
        }
    }

    #[test]
    fn an_invented_scheme_is_none() {
        let long = format!("{}://127.0.0.1", "s".repeat(14_000));
        assert_eq!(long.parse::<Origin>(), Err(OriginError::NoScheme));
    }
}
