//! The official Java and Python clients and ours, on the same topics.

mod ids;
mod keys;
mod matrix;
mod shared;
mod witness;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use pulsewire::Client;
use pulsewire_tests::{Env, Outcome};

use witness::Language;
pub(crate) use witness::Witnesses;

type Result<T> = std::result::Result<T, String>;

/// A check under way.
pub(crate) type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What a check is given.
#[derive(Clone)]
pub(crate) struct Both {
    pub(crate) env: Env,
    pub(crate) witnesses: Arc<Witnesses>,
}

/// One check.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    /// The client that must agree.
    pub(crate) witness: &'static str,
    pub(crate) run: fn(Both) -> Running,
}

/// All checks.
pub(crate) fn all() -> impl Iterator<Item = Check> {
    matrix::checks().into_iter().chain(ids::checks()).chain(keys::checks()).chain(shared::checks())
}

impl Both {
    async fn ask(&self, language: Language, request: serde_json::Value) -> Result<serde_json::Value> {
        self.witnesses.ask(language, &self.env.endpoint, request).await
    }

    fn client(&self) -> Result<Client> {
        Client::builder(&self.env.endpoint.url).build().map_err(text)
    }

    fn topic(&self, part: &str) -> String {
        format!("persistent://public/default/{}-{part}", self.env.unique)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
