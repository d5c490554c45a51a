//! What a client saw of a broker, as facts that the same scenario can see of another broker.
//!
//! A trace is a set of lines. What differs between any two runs is left out of a line or has its place taken
//! by a word: names that no other run has, ids, times, names that brokers make up. What depends on the
//! moment (which batch holds a message, who of several consumers gets it) still makes lines; such
//! lines differ between runs against one broker, and `cargo xtask differential` compares only what does not.
//!
//! - A request and its answer: error codes, and which fields are there with which meaning.
//! - What a broker says unasked: closes, notices, changes of topic lists.
//! - Each message: properties, keys, payload, the shape of its id, what the broker adds.
//! - How often it came, and which of a batch were still open.
//! - Whether order was kept where it is promised.
//! - Each call of the admin API: its status, and the fields of its answer.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use pulsewire_proto::wire::frame::RawFrame;

mod messages;
mod recorder;
mod requests;
mod tap;
mod words;

use recorder::Recorder;
pub(crate) use tap::Tap;

/// The trace of one run of one scenario.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Recorder>>);

impl Trace {
    /// A trace of a scenario whose names contain `unique`, as those of no other run do.
    #[must_use]
    pub fn new(unique: &str) -> Self {
        Self(Arc::new(Mutex::new(Recorder::new(unique))))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Recorder) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was seen.
    #[must_use]
    pub fn facts(&self) -> BTreeSet<String> {
        self.with(|recorder| recorder.facts())
    }

    fn connection(&self) -> u64 {
        self.with(Recorder::connection)
    }

    /// The client says something.
    pub fn sent(&self, conn: u64, frame: &RawFrame) {
        self.with(|recorder| recorder.sent(conn, frame));
    }

    /// The client hears something.
    pub fn heard(&self, conn: u64, frame: &RawFrame) {
        self.with(|recorder| recorder.heard(conn, frame));
    }

    pub(crate) fn administered(&self, method: &str, path: &str, status: u16, body: &str) {
        self.with(|recorder| recorder.administered(method, path, status, body));
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trace")
    }
}
