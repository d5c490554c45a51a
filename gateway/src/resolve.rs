//! How names become addresses.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

/// The addresses of one name, or why there are none.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Resolves names in place of the system: for service discovery of one's own, and for tests.
#[derive(Clone)]
pub struct Resolver(Arc<dyn Fn(String, u16) -> Resolving + Send + Sync>);

impl Resolver {
    /// A resolver that asks `resolve`, once for each connection. What it answers is checked and dialled as it is.
    pub fn new(resolve: impl Fn(String, u16) -> Resolving + Send + Sync + 'static) -> Self {
        Resolver(Arc::new(resolve))
    }

    pub(crate) fn resolve(&self, host: String, port: u16) -> Resolving {
        (self.0)(host, port)
    }
}

impl Default for Resolver {
    /// The system's.
    fn default() -> Self {
        Resolver::new(|host, port| {
            Box::pin(async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect()) })
        })
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver(..)")
    }
}
