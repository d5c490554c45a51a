//! All connections, and which of them have something to write.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::connection::Connection;
use super::connection::ProducerRef;
use super::ids::ConnId;
use super::liveness::Newcomer;

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    map: BTreeMap<ConnId, Connection>,
    /// Connections that may have something to write; each at most once.
    writable: VecDeque<ConnId>,
}

impl Connections {
    pub(super) fn insert(&mut self, id: ConnId, conn: Connection) {
        self.map.insert(id, conn);
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Option<Connection> {
        self.map.remove(&id)
    }

    pub(super) fn contains(&self, id: ConnId) -> bool {
        self.map.contains_key(&id)
    }

    pub(super) fn get(&self, id: ConnId) -> Option<&Connection> {
        self.map.get(&id)
    }

    /// A connection that is not to be written to.
    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.map.get_mut(&id)
    }

    /// A connection that is to be written to; none when it is gone or being cut.
    pub(super) fn out(&mut self, id: ConnId) -> Option<&mut Connection> {
        let conn = self.map.get_mut(&id).filter(|conn| !conn.is_cut())?;
        if !conn.listed {
            conn.listed = true;
            self.writable.push_back(id);
        }
        Some(conn)
    }

    /// Makes sure that what is queued for a connection is looked at.
    pub(super) fn list(&mut self, id: ConnId) {
        if let Some(conn) = self.map.get_mut(&id)
            && !conn.listed
        {
            conn.listed = true;
            self.writable.push_back(id);
        }
    }

    /// What is to be written next. A connection gets no more until what it has got is written.
    pub(super) fn poll(&mut self) -> Option<(ConnId, Vec<Bytes>)> {
        while let Some(id) = self.writable.pop_front() {
            let Some(conn) = self.map.get_mut(&id) else { continue };
            conn.listed = false;
            if conn.outbox.is_empty() || (conn.outbox.in_flight() && !conn.is_cut()) {
                continue;
            }
            return Some((id, conn.outbox.take()));
        }
        None
    }

    /// Notes that a newcomer waits to be let in, or no more; false when it is not there any more or
    /// does not wait.
    pub(super) fn opening(&mut self, id: ConnId, newcomer: &Newcomer, begins: bool) -> bool {
        let Some(conn) = self.map.get_mut(&id).filter(|conn| !conn.is_cut()) else { return false };
        let (set, id) = match newcomer {
            Newcomer::Producer(c) => (&mut conn.opening_producers, c.producer_id),
            Newcomer::Consumer(c) => (&mut conn.opening_consumers, c.consumer_id),
        };
        if begins { set.insert(id) } else { set.remove(&id) }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ConnId, &Connection)> {
        self.map.iter()
    }

    pub(super) fn producers_mut(&mut self) -> impl Iterator<Item = &mut ProducerRef> {
        self.map.values_mut().flat_map(|conn| conn.producers.values_mut())
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }
}
