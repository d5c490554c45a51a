//! The official Java and Python clients and ours, on the same topics.

pub(crate) mod batches;
pub(crate) mod ids;
pub(crate) mod keys;
pub(crate) mod letters;
pub(crate) mod matrix;
#[cfg(not(target_family = "wasm"))]
mod processes;
pub(crate) mod shared;
pub(crate) mod wire;
mod witness;

use pulsewire::Client;

use crate::env::{Env, text};

pub use witness::Language;

type Result<T> = std::result::Result<T, String>;

/// What a check is given.
#[derive(Clone)]
pub(crate) struct Both {
    env: Env,
}

impl Both {
    pub(crate) fn new(env: Env) -> Self {
        Self { env }
    }

    fn client(&self) -> Result<Client> {
        self.env.client()
    }

    fn topic(&self, part: &str) -> String {
        format!("{}-{part}", self.env.topic())
    }
}
