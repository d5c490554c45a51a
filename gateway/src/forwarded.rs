//! Who asks, where proxies stand before the gateway: `X-Forwarded-For`, believed of those that are listed.
//!
//! Each proxy adds the address that it was asked from at the end. So the list is read from there: an address that is
//! itself a listed proxy's was believed to say what stands before it, the first other one is the client, and what
//! stands before that anybody may have written.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::brokers::Network;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// A listed proxy said something that is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoAddress;

/// The client behind `peer`, if that is a listed proxy and says so.
pub(crate) fn client(
    peer: IpAddr,
    headers: &HeaderMap,
    proxies: &[Network],
) -> Result<Option<IpAddr>, NoAddress> {
    if !is_listed(peer, proxies) {
        return Ok(None);
    }
    let mut client = None;
    for value in headers.get_all(X_FORWARDED_FOR).iter().rev() {
        for said in value.to_str().map_err(|_| NoAddress)?.rsplit(',') {
            let address = address(said.trim()).ok_or(NoAddress)?;
            client = Some(address);
            if !is_listed(address, proxies) {
                return Ok(client);
            }
        }
    }
    Ok(client)
}

/// Whether an address is that of a proxy that is believed.
pub(crate) fn is_listed(address: IpAddr, proxies: &[Network]) -> bool {
    proxies.iter().any(|network| network.contains(address))
}

/// Some write the port too.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(peer: &str, said: &[&'static str]) -> Result<Option<String>, NoAddress> {
        let mut headers = HeaderMap::new();
        for value in said {
            headers.append(X_FORWARDED_FOR, value.parse().expect("a value"));
        }
        let proxies = ["10.0.0.0/8", "127.0.0.1/32"].map(|it| it.parse().expect("a network"));
        let client = client(peer.parse().expect("an address"), &headers, &proxies)?;
        Ok(client.map(|address| address.to_string()))
    }

    #[test]
    fn only_listed_proxies_are_believed() {
        assert_eq!(asked("203.0.113.9", &["198.51.100.1"]), Ok(None));
        assert_eq!(asked("203.0.113.9", &["nonsense"]), Ok(None), "not even looked at");
        let client = |said: &[&'static str]| asked("10.0.0.1", said);
        assert_eq!(client(&["198.51.100.1"]), Ok(Some("198.51.100.1".to_owned())));
        assert_eq!(client(&[]), Ok(None), "a health check of its own");
    }

    #[test]
    fn what_the_client_wrote_itself_does_not_count() {
        let client = |said: &[&'static str]| asked("::ffff:10.0.0.1", said);
        let found = Ok(Some("198.51.100.1".to_owned()));
        assert_eq!(client(&["1.2.3.4, 198.51.100.1"]), found);
        assert_eq!(client(&["garbage", "1.2.3.4, 198.51.100.1 , 10.7.7.7"]), found);
        assert_eq!(client(&["1.2.3.4", "198.51.100.1"]), found);
        assert_eq!(client(&["10.1.1.1, 127.0.0.1"]), Ok(Some("10.1.1.1".to_owned())), "one of the inside");
    }

    #[test]
    fn addresses_as_proxies_write_them() {
        for (said, address) in [
            ("198.51.100.1:4711", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
        ] {
            assert_eq!(asked("127.0.0.1", &[said]), Ok(Some(address.to_owned())), "{said}");
        }
        for said in ["", "unknown", "_hidden", "1.2.3.4, ", "198.51.100.1:x", "[::1", "a b"] {
            assert_eq!(asked("127.0.0.1", &[said]), Err(NoAddress), "{said}");
        }
    }
}
