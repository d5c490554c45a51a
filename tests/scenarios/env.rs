//! Where a scenario runs, and what it may use.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use futures_util::future::{Either, select};
use pulsewire::transport::Clock as _;
use pulsewire::{Client, ClientBuilder, Consumer, InitialPosition, Message};
use serde::{Deserialize, Serialize};

/// How a scenario ended: well, or with what was wrong.
pub type Outcome = Result<(), String>;

/// What sort of endpoint it is. Each scenario is made for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A broker of the protocol that we speak.
    #[default]
    Usual,
    /// A broker of an older protocol, behind a relay that takes down what is said.
    Older,
    /// A broker that can be killed and started again.
    Restarted,
    /// Three brokers that share topics; `relay` is the service URL of another of them.
    Several,
    /// A broker behind a relay that mixes unknown things into what it says.
    Strange,
}

/// A way to a broker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Endpoint {
    /// The other side, as the ledger names it.
    pub witness: String,
    /// What carries the bytes, as the ledger names it: `tcp`, `tls`, `ws`, `proxy`, ...
    pub transport: String,
    /// The service URL.
    pub url: String,
    /// `pulsar://` of the broker itself, for the official clients.
    #[serde(default)]
    pub direct: String,
    /// `host:port` of the broker's admin API.
    pub admin: String,
    /// What signed its certificate, as PEM.
    #[serde(default)]
    pub ca_pem: Option<String>,
    /// What sort it is.
    #[serde(default)]
    pub kind: Kind,
    /// `host:port` of the HTTP of what stands before the broker: a relay tells what it has seen; who can restart the
    /// broker does so on `PUT /restart`.
    #[serde(default)]
    pub relay: String,
    /// Whether a Pulsar proxy stands between.
    #[serde(default)]
    pub proxied: bool,
    /// Whether the broker adds its own metadata to entries.
    #[serde(default)]
    pub entry_metadata: bool,
    /// The largest message that it takes, in bytes.
    #[serde(default = "default_max_message_size")]
    pub max_message_size: usize,
}

fn default_max_message_size() -> usize {
    5 * 1024 * 1024
}

impl Endpoint {
    /// Whether it leads through a WebSocket.
    #[must_use]
    pub fn is_gateway(&self) -> bool {
        self.url.starts_with("ws")
    }
}

/// What a scenario is given.
#[derive(Debug, Clone)]
pub struct Env {
    /// Where to.
    pub endpoint: Endpoint,
    /// A name that no other run has.
    pub unique: String,
    /// What its clients see.
    #[cfg(not(target_family = "wasm"))]
    pub trace: crate::Trace,
}

impl Env {
    /// Options of a client of the endpoint.
    pub(crate) fn builder(&self) -> ClientBuilder {
        self.builder_for(&self.endpoint.url)
    }

    /// Options of a client of another URL, trusting what the endpoint's clients trust.
    pub(crate) fn builder_for(&self, url: &str) -> ClientBuilder {
        let builder = Client::builder(url);
        #[cfg(not(target_family = "wasm"))]
        let builder = {
            let mut tls = pulsewire::transport::tls::TlsOptions::new();
            if let Some(pem) = &self.endpoint.ca_pem {
                tls = tls.trust_pem(pem.as_bytes());
            }
            builder.connector(crate::trace::Tap::new(tls, self.trace.clone()))
        };
        builder
    }

    /// A client of the endpoint.
    pub(crate) fn client(&self) -> Result<Client, String> {
        self.builder().build().map_err(text)
    }

    /// The same, for a part of the scenario with topics of its own.
    pub(crate) fn part(&self, name: &str) -> Self {
        Self { unique: format!("{name}-{}", self.unique), ..self.clone() }
    }

    /// A topic that no other run has.
    pub(crate) fn topic(&self) -> String {
        format!("persistent://public/default/{}", self.unique)
    }
}

/// An error as text.
pub(crate) fn text(error: impl Display) -> String {
    error.to_string()
}

/// Sleeps.
pub(crate) async fn sleep(duration: Duration) {
    #[cfg(not(target_family = "wasm"))]
    let clock = pulsewire::transport::TokioClock::new();
    #[cfg(target_family = "wasm")]
    let clock = pulsewire::transport::WebClock::new();
    clock.sleep_until(clock.now() + duration).await;
}

/// The future's output, or `None` when it takes too long.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let timer = std::pin::pin!(sleep(limit));
    match select(std::pin::pin!(future), timer).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// The next message, which must come soon.
pub(crate) async fn next(consumer: &Consumer) -> Result<Message, String> {
    match within(Duration::from_secs(30), consumer.receive()).await {
        Some(message) => message.map_err(text),
        None => Err(format!("no message came for 30 s; {}", standing(consumer).await)),
    }
}

/// Why a message may not have come: what the broker and the client say of the consumer.
pub(crate) async fn standing(consumer: &Consumer) -> String {
    let there = within(Duration::from_secs(5), consumer.broker_stats()).await;
    format!("at the broker {there:?}, here {:?}", consumer.stats())
}

/// Nothing must come for a while.
pub(crate) async fn silence(consumer: &Consumer, duration: Duration) -> Outcome {
    match within(duration, consumer.receive()).await {
        None => Ok(()),
        Some(Ok(message)) => Err(format!("{} came, which should not", message.id())),
        Some(Err(error)) => Err(text(error)),
    }
}

/// A consumer from the beginning of the topic.
pub(crate) async fn from_earliest(
    client: &Client,
    topic: &str,
    subscription: &str,
) -> Result<Consumer, String> {
    client
        .consumer(topic, subscription)
        .initial_position(InitialPosition::Earliest)
        .subscribe()
        .await
        .map_err(text)
}

/// Fails unless the two are the same.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?} instead of {expected:?}")) }
}

/// Fails unless it holds.
pub(crate) fn holds(what: &str, condition: bool) -> Outcome {
    if condition { Ok(()) } else { Err(format!("{what} does not hold")) }
}
