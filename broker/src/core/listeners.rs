//! Where brokers are reached, and by which names clients may ask for it: Pulsar's advertised listeners.

use super::names::is_entity;

/// Where one of several brokers is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// `pulsar://host:port`.
    pub service_url: String,
    /// `pulsar+ssl://host:port`.
    pub service_url_tls: Option<String>,
    /// `http://host:port`.
    pub admin_url: Option<String>,
    /// `https://host:port`.
    pub admin_url_tls: Option<String>,
}

impl Node {
    /// What is told of it: an address without TLS, and one with it. A listener may have the second alone.
    pub(crate) fn service_urls(self) -> (Option<String>, Option<String>) {
        match self.service_url.starts_with("pulsar+ssl:") {
            true => (None, Some(self.service_url)),
            false => (Some(self.service_url), self.service_url_tls),
        }
    }
}

/// An address of the broker, for clients that name it (`listenerName`) in lookups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdvertisedListener {
    /// By which clients ask for it.
    pub name: String,
    /// `pulsar://host:port`.
    pub service_url: Option<String>,
    /// `pulsar+ssl://host:port`.
    pub service_url_tls: Option<String>,
}

impl AdvertisedListener {
    /// Reads them as Pulsar's setting `advertisedListeners` has them: `name:pulsar://host:port`, with commas
    /// between, where a name may come with both schemes.
    ///
    /// # Errors
    /// What is wrong with which of them.
    ///
    /// # Examples
    /// ```
    /// # use pulsewire_broker::core::AdvertisedListener;
    /// let both = AdvertisedListener::parse("outside:pulsar://a:6650,outside:pulsar+ssl://a:6651")?;
    /// assert_eq!(both[0].service_url_tls.as_deref(), Some("pulsar+ssl://a:6651"));
    /// # Ok::<(), String>(())
    /// ```
    pub fn parse(setting: &str) -> Result<Vec<Self>, String> {
        let mut listeners: Vec<Self> = Vec::new();
        for one in setting.split(',').map(str::trim) {
            let known = one.split_once(':').filter(|(name, _)| is_entity(name));
            let Some((name, url)) = known else {
                return Err(format!("{one:?} must be NAME:URL, as outside:pulsar://broker.example:6650"));
            };
            let at = listeners.iter().position(|listener| listener.name == name).unwrap_or_else(|| {
                listeners.push(Self { name: name.to_owned(), ..Self::default() });
                listeners.len() - 1
            });
            let (scheme, address) = url.split_once("://").unwrap_or_default();
            let place = match scheme {
                "pulsar" => &mut listeners[at].service_url,
                "pulsar+ssl" => &mut listeners[at].service_url_tls,
                _ => return Err(format!("{url:?} must begin with pulsar:// or pulsar+ssl://")),
            };
            let (host, port) = address.rsplit_once(':').unwrap_or_default();
            if host.is_empty()
                || host.contains(['/', ' ', '@'])
                || !port.parse().is_ok_and(|port: u16| port > 0)
            {
                return Err(format!("{url:?} must have a host and a port"));
            }
            if place.replace(url.to_owned()).is_some() {
                return Err(format!("{name} has two addresses with {scheme}://"));
            }
        }
        Ok(listeners)
    }

    /// As [`AdvertisedListener::parse`] reads them.
    #[must_use]
    pub fn setting(listeners: &[Self]) -> String {
        let one = |listener: &Self| {
            let urls = [&listener.service_url, &listener.service_url_tls].into_iter().flatten();
            urls.map(|url| format!("{}:{url}", listener.name)).collect::<Vec<_>>()
        };
        listeners.iter().flat_map(one).collect::<Vec<_>>().join(",")
    }

    /// The same broker for those who named this listener: nothing but its addresses leads there.
    pub(super) fn leads_to(&self, node: Node) -> Node {
        let (plain, tls) = (self.service_url.clone(), self.service_url_tls.clone());
        match plain {
            Some(service_url) => Node { service_url, service_url_tls: tls, ..node },
            None => Node { service_url: tls.unwrap_or_default(), service_url_tls: None, ..node },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        for (setting, why) in [
            ("", "\"\" must be NAME:URL"),
            ("pulsar://a:1", "\"//a:1\" must begin with pulsar://"),
            ("a b:pulsar://a:1", "\"a b:pulsar://a:1\" must be NAME:URL"),
            ("a:http://a:1", "\"http://a:1\" must begin with pulsar:// or pulsar+ssl://"),
            ("a:pulsar://a", "\"pulsar://a\" must have a host and a port"),
            ("a:pulsar://a:0", "must have a host and a port"),
            ("a:pulsar://:1", "must have a host and a port"),
            ("a:pulsar://a:1,a:pulsar://b:2", "a has two addresses with pulsar://"),
        ] {
            let told = AdvertisedListener::parse(setting).expect_err(setting);
            assert!(told.contains(why), "{setting}: {told}");
        }
    }

    #[test]
    fn a_name_may_have_both_schemes_or_one() {
        let both = AdvertisedListener::parse("a:pulsar://[::1]:1, b:pulsar+ssl://b:3, a:pulsar+ssl://a:2");
        let [a, b] = <[_; 2]>::try_from(both.expect("all right")).expect("two");
        assert_eq!(
            (a.service_url.as_deref(), a.service_url_tls.as_deref()),
            (Some("pulsar://[::1]:1"), Some("pulsar+ssl://a:2"))
        );
        assert_eq!((b.service_url, b.service_url_tls.as_deref()), (None, Some("pulsar+ssl://b:3")));
    }
}
