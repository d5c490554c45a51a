//! Service URLs and broker addresses: one parser for both.

use std::fmt;

use crate::error::{Error, ErrorKind, Quoted};

/// What carries the protocol to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// `pulsar://`, port 6650 unless named.
    Pulsar,
    /// `pulsar+ssl://`, port 6651 unless named.
    PulsarSsl,
    /// `ws://`, a gateway; port 80 unless named.
    Ws,
    /// `wss://`, a gateway; port 443 unless named.
    Wss,
}

impl Scheme {
    /// Whether it is TLS.
    #[must_use]
    pub fn is_tls(self) -> bool {
        matches!(self, Self::PulsarSsl | Self::Wss)
    }

    /// Whether it leads through a gateway: the client can then reach nothing else.
    #[must_use]
    pub fn is_gateway(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Pulsar => "pulsar",
            Self::PulsarSsl => "pulsar+ssl",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Pulsar => 6650,
            Self::PulsarSsl => 6651,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

/// One address of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// What carries the protocol.
    pub scheme: Scheme,
    /// Host name or address; IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query, for gateways: `/pulsar` unless named. Empty otherwise.
    pub path: String,
}

impl Endpoint {
    /// `host:port`, with brackets around IPv6: what `proxy_to_broker_url` wants.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.name(), self.authority(), self.path)
    }
}

/// Where a client begins: one address or several of one kind.
///
/// ```
/// use pulsewire_proto::ServiceUrl;
/// let url = ServiceUrl::parse("pulsar://a,b:7000,[::1]").unwrap();
/// let all: Vec<String> = url.endpoints().iter().map(ToString::to_string).collect();
/// assert_eq!(all, ["pulsar://a:6650", "pulsar://b:7000", "pulsar://[::1]:6650"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUrl {
    endpoints: Vec<Endpoint>,
}

impl ServiceUrl {
    /// Parses `scheme://host[:port][,host[:port]...][/path]`.
    ///
    /// # Errors
    /// `InvalidServiceUrl`, saying what is wrong.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let fail = |why: &str| {
            Error::new(ErrorKind::InvalidServiceUrl, format!("{} is not a service URL: {why}", Quoted(url)))
        };
        let (scheme, rest) = url
            .trim()
            .split_once("://")
            .ok_or_else(|| fail("it begins with pulsar://, pulsar+ssl://, ws:// or wss://"))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "pulsar" => Scheme::Pulsar,
            "pulsar+ssl" => Scheme::PulsarSsl,
            "ws" => Scheme::Ws,
            "wss" => Scheme::Wss,
            "http" | "https" => return Err(fail("lookups over HTTP are not supported yet")),
            other => return Err(fail(&format!("{} is none of pulsar, pulsar+ssl, ws, wss", Quoted(other)))),
        };
        let (hosts, path) = match rest.find('/') {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, ""),
        };
        let path = match (scheme.is_gateway(), path) {
            (true, "" | "/") => "/pulsar",
            (true, path) => path,
            (false, "" | "/") => "",
            (false, _) => return Err(fail("it has a path, which only ws:// and wss:// take")),
        };
        let endpoints: Vec<Endpoint> = hosts
            .split(',')
            .map(str::trim)
            .filter(|host| !host.is_empty())
            .map(|host| authority(host, scheme.default_port()).map_err(|why| fail(&why)))
            .map(|parsed| parsed.map(|(host, port)| Endpoint { scheme, host, port, path: path.to_owned() }))
            .collect::<Result<_, _>>()?;
        if endpoints.is_empty() {
            return Err(fail("it names no host"));
        }
        Ok(Self { endpoints })
    }

    /// Its addresses; at least one.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }
}

fn authority(text: &str, default_port: u16) -> Result<(String, u16), String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("an IPv6 address wants its closing bracket")?;
        (host, port.strip_prefix(':').or((port.is_empty()).then_some("")).ok_or("after ] comes :port")?)
    } else {
        match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => {
                return Err("an IPv6 address stands in brackets".to_owned());
            }
            Some((host, port)) => (host, port),
            None => (text, ""),
        }
    };
    if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control() || "@?#\\".contains(c)) {
        return Err(format!("{} names no host", Quoted(text)));
    }
    let port = match port {
        "" => default_port,
        port => port
            .parse::<u16>()
            .ok()
            .filter(|p| *p != 0)
            .ok_or_else(|| format!("{} is no port between 1 and 65535", Quoted(port)))?,
    };
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for (url, first) in [
            ("pulsar://localhost", "pulsar://localhost:6650"),
            ("pulsar+ssl://h/", "pulsar+ssl://h:6651"),
            ("ws://h:8080", "ws://h:8080/pulsar"),
            ("wss://h/x?y=1", "wss://h:443/x?y=1"),
            ("pulsar://[::1]:7", "pulsar://[::1]:7"),
            (" pulsar://,a,,b:1, ", "pulsar://a:6650"),
        ] {
            let parsed = ServiceUrl::parse(url).expect(url);
            assert_eq!(parsed.endpoints()[0].to_string(), first, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for url in [
            "",
            "localhost:6650",
            "ftp://h",
            "pulsar://",
            "pulsar://h:0",
            "pulsar://h:99999",
            "pulsar://::1",
            "pulsar://[::1",
            "pulsar://h/path",
            "pulsar://a b",
        ] {
            assert_eq!(ServiceUrl::parse(url).expect_err(url).kind(), ErrorKind::InvalidServiceUrl, "{url}");
        }
    }
}
