//! What happens in the broker, for a host that logs. Never anything secret.

use std::fmt;

use super::Broker;
use super::connection::ConnId;

/// Notes that wait for a host that forgets to look; then the newest are dropped.
const MAX_NOTES: usize = 10_000;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// A client is in.
    Connected {
        /// Its connection.
        id: ConnId,
        /// What it calls itself.
        client: String,
        /// Its role; empty where nobody asks.
        role: String,
    },
    /// A client may not do what it asked for.
    Denied {
        /// Its connection.
        id: ConnId,
        /// Its role.
        role: String,
        /// The command.
        what: &'static str,
    },
    /// A client cannot have what it asked for.
    Refused {
        /// Its connection.
        id: ConnId,
        /// What it was told.
        why: String,
    },
    /// A topic came into being.
    Created(String),
    /// A topic is no more.
    Deleted(String),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { id, client, role } if role.is_empty() => {
                write!(f, "connection {}: {client:?} is in", id.0)
            }
            Self::Connected { id, client, role } => {
                write!(f, "connection {}: {client:?} is in as {role:?}", id.0)
            }
            Self::Denied { id, role, what } => {
                write!(f, "connection {}: {role:?} may not do this: {what}", id.0)
            }
            Self::Refused { id, why } => write!(f, "connection {}: refused: {why}", id.0),
            Self::Created(topic) => write!(f, "topic created: {topic}"),
            Self::Deleted(topic) => write!(f, "topic deleted: {topic}"),
        }
    }
}

impl Broker {
    /// From now on [`poll_notes`](Self::poll_notes) tells what happens.
    pub fn take_notes(&mut self) {
        self.notes.get_or_insert_default();
    }

    /// Poll: what happened since the last time; nothing without [`take_notes`](Self::take_notes).
    pub fn poll_notes(&mut self) -> Vec<Note> {
        self.notes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn note(&mut self, note: impl FnOnce(&Self) -> Note) {
        if self.notes.as_ref().is_some_and(|notes| notes.len() < MAX_NOTES) {
            let note = note(self);
            self.notes.get_or_insert_default().push(note);
        }
    }

    /// Notes which topics came and went.
    pub(super) fn note_changes(&mut self) {
        if self.notes.is_none() {
            return;
        }
        let change = |change: &super::topics::Change| match change.created {
            true => Note::Created(change.name.to_string()),
            false => Note::Deleted(change.name.to_string()),
        };
        let notes: Vec<Note> = self.topics.changes.iter().map(change).collect();
        for note in notes {
            self.note(|_| note);
        }
    }
}
