//! Connections, keyed by what they lead to.
//!
//! Behind a proxy or a gateway a connection is bound to one broker for good, so the broker that is
//! meant (logical) and the address that is dialled (physical) are both part of the key.

use crate::connection::Connection;
use crate::id_map::IdMap;
use crate::ids::ConnId;
use crate::service_url::Endpoint;
use crate::time::Now;

/// What a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PoolKey {
    /// The address that is dialled.
    pub(crate) physical: Endpoint,
    /// `host:port` of the broker meant, when whoever listens there passes on to it.
    pub(crate) proxy_to: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Pool {
    connections: IdMap<ConnId, Connection>,
    next: u64,
    /// A connection may have got something to write.
    touched: bool,
}

impl Pool {
    /// The connection for `key`, and whether it is new.
    pub(crate) fn acquire(&mut self, key: PoolKey, now: Now) -> (ConnId, bool) {
        // As many as there are brokers.
        if let Some((&conn, _)) = self.connections.iter().find(|(_, c)| c.key == key) {
            return (conn, false);
        }
        let conn = ConnId(self.next);
        self.next += 1;
        self.connections.insert(conn, Connection::new(key, now));
        (conn, true)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.touched = true;
        self.connections.get_mut(&conn)
    }

    /// Whether a connection was taken to be changed since the last [`Pool::untouch`].
    #[inline]
    pub(crate) fn is_touched(&self) -> bool {
        self.touched
    }

    pub(crate) fn untouch(&mut self) {
        self.touched = false;
    }

    pub(crate) fn get(&self, conn: ConnId) -> Option<&Connection> {
        self.connections.get(&conn)
    }

    pub(crate) fn remove(&mut self, conn: ConnId) -> Option<Connection> {
        self.connections.remove(&conn)
    }

    pub(crate) fn ids(&self) -> Vec<ConnId> {
        self.connections.keys().copied().collect()
    }
}
