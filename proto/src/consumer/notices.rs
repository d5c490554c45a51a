//! What the broker says of a subscription, beside its messages.
//!
//! ```text
//! unknown --ACTIVE_CONSUMER_CHANGE--> active <--ACTIVE_CONSUMER_CHANGE--> inactive
//!    ^                                   |                                   |
//!    +----------------------------- link lost -------------------------------+
//!
//! topic goes on --REACHED_END_OF_TOPIC--> ended, for good
//! ```

/// The last of each notice.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    /// Whether this consumer is the active one of its failover subscription, where the broker said so.
    pub(crate) active: Option<bool>,
    /// The topic is terminated, and all of it was delivered.
    pub(crate) end_of_topic: bool,
    /// When the link was lost last, in milliseconds since the Unix epoch; 0 when it never was.
    pub(crate) last_disconnected: u64,
}

impl Notices {
    pub(crate) fn lost(&mut self) {
        self.active = None;
    }
}
