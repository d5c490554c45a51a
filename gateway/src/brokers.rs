//! Which brokers a client may ask for in its CONNECT (`proxy_to_broker_url`): names and ports before they are
//! resolved, addresses after.
//!
//! A name is only a wish; what counts is the address that it leads to at the moment of dialling. So the name is
//! resolved once, every address that came out is checked, and exactly those that passed are dialled: a name that
//! leads elsewhere the next time (rebinding) is never asked a second time.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::address::{self, Host};
use crate::error::{ConfigError, Problem};

/// The brokers behind the gateway, for clients that name one in their CONNECT as they do behind a Pulsar proxy.
/// All three lists have to be filled: what no list names is never dialled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Brokers {
    /// The hosts that may be named, as [`HostPattern`]s.
    pub hosts: Vec<HostPattern>,
    /// The ports that may be named.
    pub ports: Vec<u16>,
    /// Where the names may lead, by address after resolution.
    pub networks: Vec<Network>,
    /// Whether brokers are reached by TLS. Each has to have a certificate for the host that was named.
    pub tls: bool,
}

impl Brokers {
    pub(crate) fn check(&self, errors: &mut Vec<ConfigError>) {
        for (key, empty) in [
            ("brokers.hosts", self.hosts.is_empty()),
            ("brokers.ports", self.ports.is_empty()),
            ("brokers.networks", self.networks.is_empty()),
        ] {
            if empty {
                errors.push(ConfigError::at(key, Problem::EmptyGuard));
            }
        }
        if self.ports.contains(&0) {
            errors.push(ConfigError::at(
                "brokers.ports",
                Problem::OutOfRange { value: 0, low: 1, high: 65535 },
            ));
        }
    }

    /// Reads `host:port` as a client names it, and says whether the lists name it.
    pub(crate) fn admit(&self, named: &str) -> Option<(Host, u16)> {
        let (host, port) = address::parse(named).ok()?;
        let port = port?;
        let listed = self.ports.contains(&port) && self.hosts.iter().any(|pattern| pattern.matches(&host));
        listed.then_some((host, port))
    }

    /// Whether an address may be dialled.
    pub(crate) fn leads_to(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }
}

/// A host that clients may name: a name in which `*` stands for any characters but a dot
/// (`broker-*.pulsar.svc.cluster.local`), or an address, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern(Pattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Labels(Vec<String>),
    Address(IpAddr),
}

impl HostPattern {
    pub(crate) fn matches(&self, host: &Host) -> bool {
        match (&self.0, host) {
            (Pattern::Address(own), Host::Address(named)) => own.to_canonical() == named.to_canonical(),
            (Pattern::Labels(labels), Host::Name(name)) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                let mut parts = name.split('.');
                labels.iter().all(|label| parts.next().is_some_and(|part| glob(label, part)))
                    && parts.next().is_none()
            }
            _ => false,
        }
    }
}

/// Whether `text` is what `pattern` says, `*` being any characters. Linear in the length of both, nearly.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        // The first place is the best: what follows has the most left.
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    true
}

/// Why a text is not a [`HostPattern`] or a [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokersError {
    /// Not a host name, a pattern of one, or an address.
    Host,
    /// A pattern without a label of its own: it would let clients name any host.
    Everything,
    /// Not `address/bits`.
    Network,
    /// More bits than the address has, or bits of the address beyond them.
    Bits,
}

impl fmt::Display for BrokersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BrokersError::Host => "not a host name, with * for parts of it, or an address",
            BrokersError::Everything => {
                "every host would match; the last label has to be written out, as in broker-*.example"
            }
            BrokersError::Network => "not a network, expected address/bits as in 10.0.0.0/8",
            BrokersError::Bits => "the address has other bits set than those that the number behind it says",
        })
    }
}

impl std::error::Error for BrokersError {}

impl FromStr for HostPattern {
    type Err = BrokersError;

    fn from_str(text: &str) -> Result<Self, BrokersError> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self(Pattern::Address(address)));
        }
        let plain = text.replace('*', "x");
        match address::parse(&plain) {
            Ok((Host::Name(_), None)) => {}
            _ => return Err(BrokersError::Host),
        }
        let labels: Vec<String> =
            text.trim_end_matches('.').to_ascii_lowercase().split('.').map(str::to_owned).collect();
        if labels.last().is_some_and(|last| last.contains('*')) {
            return Err(BrokersError::Everything);
        }
        Ok(Self(Pattern::Labels(labels)))
    }
}

/// Addresses with the same first bits, `address/bits`. IPv4 addresses that are mapped into IPv6 count as IPv4.
///
/// Loopback, link-local (where clouds serve their metadata), multicast and unspecified addresses (to dial those is to
/// dial this machine) belong only to networks that lie within those ranges: `0.0.0.0/0` is no way to this machine
/// itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether the address belongs to it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        kind(address) == self.kind() && self.holds(address)
    }

    fn kind(&self) -> Kind {
        match kind(self.base) {
            // All the world begins with the address of nobody, and does not lie within that range.
            Kind::Unspecified if self.bits < if self.base.is_ipv4() { 8 } else { 96 } => Kind::Ordinary,
            kind => kind,
        }
    }

    fn holds(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() == address.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

#[derive(PartialEq, Eq)]
enum Kind {
    Ordinary,
    Loopback,
    LinkLocal,
    /// This machine, when it is dialled: `0.0.0.0/8`, `::`, and IPv4 in the old clothes of IPv6 (`::/96`).
    Unspecified,
    Nobody,
}

fn kind(address: IpAddr) -> Kind {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let unspecified = match address {
        IpAddr::V4(address) => address.octets()[0] == 0,
        IpAddr::V6(address) => address.to_bits() >> 32 == 0,
    };
    match address {
        address if address.is_loopback() => Kind::Loopback,
        _ if unspecified => Kind::Unspecified,
        _ if link_local => Kind::LinkLocal,
        address if address.is_multicast() || address == IpAddr::from([255; 4]) => Kind::Nobody,
        _ => Kind::Ordinary,
    }
}

impl FromStr for Network {
    type Err = BrokersError;

    fn from_str(text: &str) -> Result<Self, BrokersError> {
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| BrokersError::Network)?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().map_err(|_| BrokersError::Network)?,
        };
        let network = Network { base, bits };
        // An IPv4 address in the clothes of IPv6 would never be met: addresses are compared as IPv4.
        if bits > most || !network.holds(base) || base.to_canonical() != base {
            return Err(BrokersError::Bits);
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brokers(hosts: &[&str], ports: &[u16], networks: &[&str]) -> Brokers {
        Brokers {
            hosts: hosts.iter().map(|it| it.parse().expect("a pattern")).collect(),
            ports: ports.to_vec(),
            networks: networks.iter().map(|it| it.parse().expect("a network")).collect(),
            tls: false,
        }
    }

    #[test]
    fn hosts_and_ports_that_may_be_named() {
        let brokers = brokers(&["broker-*.pulsar.svc", "10.0.0.5", "::1"], &[6650, 6651], &["10.0.0.0/8"]);
        for named in ["broker-0.pulsar.svc:6650", "BROKER-17.Pulsar.SVC.:6651", "10.0.0.5:6650", "[::1]:6650"]
        {
            assert!(brokers.admit(named).is_some(), "{named}");
        }
        for named in [
            "broker-0.pulsar.svc",
            "broker-0.pulsar.svc:6652",
            "broker-0.evil.pulsar.svc:6650",
            "broker-0.x.svc:6650",
            "broker-.evil.example:6650",
            "xbroker-0.pulsar.svc:6650",
            "pulsar.svc:6650",
            "10.0.0.6:6650",
            "pulsar://broker-0.pulsar.svc:6650",
            "broker-0.pulsar.svc:6650,evil:6650",
            "me@broker-0.pulsar.svc:6650",
            "evil.example:6650#broker-0.pulsar.svc:6650",
            "",
        ] {
            assert!(brokers.admit(named).is_none(), "{named}");
        }
    }

    #[test]
    fn addresses_after_resolution() {
        let b = brokers(&["a"], &[1], &["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]);
        let leads = |text: &str| b.leads_to(text.parse().expect("an address"));
        for address in ["10.1.2.3", "192.0.2.7", "::ffff:10.1.2.3", "2001:db8:1::1"] {
            assert!(leads(address), "{address}");
        }
        for address in ["11.0.0.1", "192.0.2.8", "::ffff:127.0.0.1", "::1", "2001:db9::1", "0.0.0.0"] {
            assert!(!leads(address), "{address}");
        }
    }

    #[test]
    fn all_the_world_is_not_this_machine() {
        let all = brokers(&["a"], &[1], &["0.0.0.0/0", "::/0"]);
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "::ffff:127.0.0.1",
            "::1",
            "169.254.169.254",
            "fe80::1",
            "224.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "::ffff:0.0.0.0",
            "::",
            "::127.0.0.1",
        ] {
            assert!(!all.leads_to(address.parse().expect("an address")), "{address}");
        }
        assert!(all.leads_to([8, 8, 8, 8].into()));
        let local = brokers(&["a"], &[1], &["127.0.0.0/8", "169.254.0.0/16", "::1"]);
        for address in ["127.0.0.1", "::ffff:127.0.0.1", "169.254.1.1", "::1"] {
            assert!(local.leads_to(address.parse().expect("an address")), "{address}");
        }
        let unspecified = brokers(&["a"], &[1], &["0.0.0.0", "::"]);
        for address in ["0.0.0.0", "::ffff:0.0.0.0", "::"] {
            assert!(unspecified.leads_to(address.parse().expect("an address")), "{address}");
            assert!(!local.leads_to(address.parse().expect("an address")), "{address}");
        }
    }

    #[test]
    fn what_is_no_pattern_or_network() {
        for (text, error) in [
            ("*", BrokersError::Everything),
            ("a.*", BrokersError::Everything),
            ("a b", BrokersError::Host),
            ("a:1", BrokersError::Host),
            ("", BrokersError::Host),
        ] {
            assert_eq!(text.parse::<HostPattern>(), Err(error), "{text}");
        }
        for (text, error) in [
            ("10.0.0.0/33", BrokersError::Bits),
            ("10.0.0.1/8", BrokersError::Bits),
            ("::ffff:10.0.0.1", BrokersError::Bits),
            ("example/8", BrokersError::Network),
            ("10.0.0.0/x", BrokersError::Network),
        ] {
            assert_eq!(text.parse::<Network>(), Err(error), "{text}");
        }
        assert!("0.0.0.0/0".parse::<Network>().is_ok());
    }

    #[test]
    fn globs() {
        for (pattern, text, is) in [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "acx", false),
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("ab*ba", "aba", false),
            ("abc", "abc", true),
            ("*b", "ab", true),
        ] {
            assert_eq!(glob(pattern, text), is, "{pattern} {text}");
        }
    }
}
