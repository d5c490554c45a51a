//! A host with an optional port, as it stands in an upstream URL, an origin or a `Host` header.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host in canonical form: lower case, IPv6 compressed and without brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// A DNS name.
    Name(String),
    /// An address literal.
    Address(IpAddr),
}

impl Host {
    /// Whether nobody but the machine's owner can decide where this host leads: address literals and
    /// `localhost`. Any other name can be pointed at this machine by whoever owns the name.
    pub(crate) fn cannot_be_rebound(&self) -> bool {
        match self {
            Host::Address(_) => true,
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }

    /// As resolvers and TLS want it: no brackets.
    pub(crate) fn bare(&self) -> String {
        match self {
            Host::Name(name) => name.clone(),
            Host::Address(address) => address.to_string(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Why a `host[:port]` is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressError {
    NoHost,
    BadHost,
    BadPort,
}

/// Reads `host[:port]`; IPv6 literals stand in brackets.
pub(crate) fn parse(text: &str) -> Result<(Host, Option<u16>), AddressError> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']').ok_or(AddressError::BadHost)?;
        let address: Ipv6Addr = inside.parse().map_err(|_| AddressError::BadHost)?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(port),
            None if after.is_empty() => None,
            None => return Err(AddressError::BadHost),
        };
        (Host::Address(IpAddr::V6(address)), port)
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        (name_or_v4(host)?, port)
    };
    let port = match port {
        None => None,
        Some(digits) => Some(parse_port(digits)?),
    };
    Ok((host, port))
}

fn name_or_v4(host: &str) -> Result<Host, AddressError> {
    if host.is_empty() {
        return Err(AddressError::NoHost);
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(Host::Address(IpAddr::V4(address)));
    }
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    let labels_are_whole = host.strip_suffix('.').unwrap_or(host).split('.').all(|label| !label.is_empty());
    if host.len() > 253 || !host.bytes().all(allowed) || !labels_are_whole {
        return Err(AddressError::BadHost);
    }
    Ok(Host::Name(host.to_ascii_lowercase()))
}

fn parse_port(digits: &str) -> Result<u16, AddressError> {
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(AddressError::BadPort);
    }
    match digits.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(AddressError::BadPort),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_addresses_and_ports() {
        assert_eq!(parse("Broker.Example:6650"), Ok((Host::Name("broker.example".into()), Some(6650))));
        assert_eq!(parse("localhost"), Ok((Host::Name("localhost".into()), None)));
        assert_eq!(parse("[0:0::1]:80").map(|(h, p)| (h.to_string(), p)), Ok(("[::1]".into(), Some(80))));
        assert_eq!(parse("10.0.0.1").map(|(h, _)| h.cannot_be_rebound()), Ok(true));
    }

    #[test]
    fn refuses_what_is_no_host() {
        for (text, error) in [
            ("", AddressError::NoHost),
            (":80", AddressError::NoHost),
            ("a b", AddressError::BadHost),
            ("a..b", AddressError::BadHost),
            ("[::1", AddressError::BadHost),
            ("[::1]x", AddressError::BadHost),
            ("::1", AddressError::NoHost),
            ("user@host", AddressError::BadHost),
            ("h:0", AddressError::BadPort),
            ("h:65536", AddressError::BadPort),
            ("h:+1", AddressError::BadPort),
            ("h:", AddressError::BadPort),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
