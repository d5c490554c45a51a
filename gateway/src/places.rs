//! How many connections there may be: in all, from one address, of one origin's pages.
//!
//! ```text
//! accepted --knock--> handshaking (bounded in all and from one address) --take--> open --dropped--> free
//! ```
//!
//! Whoever is over a limit of open ones is told by a close; whoever is over that of handshakes is dropped at
//! once, as he has not said anything yet that could be answered.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::ending::Ending;
use crate::limits::Limits;

/// Connections from one address that have not become WebSockets, beside those that have. Of no meaning where one
/// address may have all places: then there is a balancer, whose address everybody has.
const HANDSHAKES_OF_ONE: usize = 128;

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    open: usize,
    by_address: HashMap<IpAddr, OfAddress>,
    by_origin: HashMap<Arc<str>, usize>,
}

#[derive(Debug, Default, Clone, Copy)]
struct OfAddress {
    handshaking: usize,
    open: usize,
}

/// A connection that may become a WebSocket. Gives its place back when dropped.
pub(crate) struct Knock {
    places: Arc<Places>,
    address: IpAddr,
}

/// The place of an open WebSocket. Gives it back when dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    address: IpAddr,
    origin: Option<Arc<str>>,
}

impl Places {
    fn with<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        // Counts are whole between statements that can panic: there is none.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets a connection in to say what it wants, unless its address has too many that do. `shared` is an address
    /// that many clients have.
    pub(crate) fn knock(self: &Arc<Self>, address: IpAddr, shared: bool, limits: &Limits) -> Option<Knock> {
        let address = counted_as(address);
        let shared = shared || limits.max_connections_per_address >= limits.max_connections;
        self.with(|counts| {
            let of = counts.by_address.entry(address).or_default();
            let fits = shared || of.handshaking < HANDSHAKES_OF_ONE;
            of.handshaking += usize::from(fits);
            fits
        })
        .then(|| Knock { places: Arc::clone(self), address })
    }

    /// Takes a place for an open WebSocket.
    pub(crate) fn take(
        self: &Arc<Self>,
        address: IpAddr,
        origin: Option<Arc<str>>,
        limits: &Limits,
    ) -> Result<Place, Ending> {
        let address = counted_as(address);
        self.with(|counts| {
            if counts.open >= limits.max_connections {
                return Err(Ending::TooManyConnections);
            }
            if counts.by_address.get(&address).is_some_and(|of| of.open >= limits.max_connections_per_address)
            {
                return Err(Ending::TooManyFromAddress);
            }
            if let (Some(origin), Some(most)) = (&origin, limits.max_connections_per_origin)
                && counts.by_origin.get(origin).is_some_and(|open| *open >= most)
            {
                return Err(Ending::TooManyFromOrigin);
            }
            counts.open += 1;
            counts.by_address.entry(address).or_default().open += 1;
            if let Some(origin) = &origin {
                *counts.by_origin.entry(Arc::clone(origin)).or_default() += 1;
            }
            Ok(())
        })?;
        Ok(Place { places: Arc::clone(self), address, origin })
    }
}

impl Counts {
    fn change_address(&mut self, address: IpAddr, change: impl FnOnce(&mut OfAddress)) {
        if let Some(of) = self.by_address.get_mut(&address) {
            change(of);
            if of.handshaking + of.open == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Drop for Knock {
    fn drop(&mut self) {
        self.places.with(|counts| counts.change_address(self.address, |of| of.handshaking -= 1));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.with(|counts| {
            counts.open -= 1;
            counts.change_address(self.address, |of| of.open -= 1);
            if let Some(origin) = &self.origin
                && let Some(open) = counts.by_origin.get_mut(origin)
            {
                *open -= 1;
                if *open == 0 {
                    counts.by_origin.remove(origin);
                }
            }
        });
    }
}

/// Whoever has one address of IPv6 has the 2^64 around it too.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn places_are_counted_and_given_back() {
        let places = Arc::new(Places::default());
        let mut limits = Limits::default();
        (limits.max_connections, limits.max_connections_per_address) = (4, 2);
        limits.max_connections_per_origin = Some(1);
        let take =
            |address: &str, origin: Option<&str>| places.take(ip(address), origin.map(Arc::from), &limits);
        let first = take("10.0.0.1", None).expect("a place");
        let second = take("::ffff:10.0.0.1", None).expect("a place");
        assert_eq!(take("10.0.0.1", None).err(), Some(Ending::TooManyFromAddress));
        let paged = take("10.0.0.2", Some("https://a")).expect("a place");
        assert_eq!(take("10.0.0.3", Some("https://a")).err(), Some(Ending::TooManyFromOrigin));
        let last = take("10.0.0.3", Some("https://b")).expect("a place");
        assert_eq!(take("10.0.0.4", None).err(), Some(Ending::TooManyConnections));
        drop((first, second, paged, last));
        places.with(|counts| {
            assert_eq!((counts.open, counts.by_address.len(), counts.by_origin.len()), (0, 0, 0));
        });
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        assert_eq!(counted_as(ip("2001:db8::1")), counted_as(ip("2001:db8::ffff:2")));
        assert_ne!(counted_as(ip("2001:db8::1")), counted_as(ip("2001:db8:0:1::1")));
    }

    #[test]
    fn handshakes_of_one_address_leave_room_for_others() {
        let places = Arc::new(Places::default());
        let limits = Limits::default();
        let held: Vec<_> = std::iter::from_fn(|| places.knock(ip("10.0.0.1"), false, &limits)).collect();
        assert_eq!(held.len(), HANDSHAKES_OF_ONE);
        assert!(places.knock(ip("10.0.0.2"), false, &limits).is_some());
        let mut balanced = limits.clone();
        balanced.max_connections_per_address = balanced.max_connections;
        assert!(places.knock(ip("10.0.0.1"), false, &balanced).is_some(), "a balancer's address");
        assert!(places.knock(ip("10.0.0.1"), true, &limits).is_some(), "a listed proxy's");
        drop(held);
        assert!(places.knock(ip("10.0.0.1"), false, &limits).is_some());
    }
}
