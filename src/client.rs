//! The client and its options.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use pulsewire_proto as proto;
use pulsewire_proto::{ClientConfig, Error, ErrorKind, OpId, Output, ServiceUrl, TopicName};
use pulsewire_transport::Connector;

use crate::consumer::{ConsumerBuilder, Topics};
use crate::driver::Driver;
use crate::producer::ProducerBuilder;
use crate::reader::ReaderBuilder;
use crate::runtime::{self, Clock, Spawn, Spawner};
use crate::shared::Shared;
use crate::table_view::TableViewBuilder;
use crate::waiters::Waiters;

/// A client: its connections are shared by all its producers and consumers.
///
/// Clones are handles to the same client. It closes when [`Client::close`] is called, or when the
/// last handle, producer and consumer is dropped.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared<Waiters>>,
    pub(crate) spawner: Spawner,
}

impl Client {
    /// Starts with the defaults of Java's `ClientBuilder`. See [`ServiceUrl`](ClientBuilder) for the
    /// forms of the URL: `pulsar://`, `pulsar+ssl://`, `ws://`, `wss://`.
    pub fn builder(service_url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            service_url: service_url.into(),
            settings: Vec::new(),
            wrong: Vec::new(),
            #[cfg(feature = "testing")]
            network: None,
            #[cfg(not(target_family = "wasm"))]
            tls: pulsewire_transport::tls::TlsOptions::new(),
            #[cfg(not(target_family = "wasm"))]
            headers: Vec::new(),
            #[cfg(not(target_family = "wasm"))]
            over: None,
        }
    }

    /// Prepares a producer. Short topic names are completed: `news` is
    /// `persistent://public/default/news`.
    pub fn producer(&self, topic: impl Into<String>) -> ProducerBuilder {
        ProducerBuilder::new(self.clone(), topic.into())
    }

    /// Prepares a consumer of a subscription.
    pub fn consumer(&self, topic: impl Into<String>, subscription: impl Into<String>) -> ConsumerBuilder {
        ConsumerBuilder::new(self.clone(), Topics::One(topic.into()), subscription.into())
    }

    /// Prepares a consumer of several topics at once, each with or without partitions.
    pub fn consumer_of_topics<T: Into<String>>(
        &self,
        topics: impl IntoIterator<Item = T>,
        subscription: impl Into<String>,
    ) -> ConsumerBuilder {
        let topics = topics.into_iter().map(Into::into).collect();
        ConsumerBuilder::new(self.clone(), Topics::Several(topics), subscription.into())
    }

    /// Prepares a consumer of all topics of a namespace whose names match a pattern, also of those that
    /// come later: see [`TopicsPattern`](crate::TopicsPattern) for its form.
    pub fn consumer_of_pattern(
        &self,
        pattern: impl Into<String>,
        subscription: impl Into<String>,
    ) -> ConsumerBuilder {
        ConsumerBuilder::new(self.clone(), Topics::Pattern(pattern.into()), subscription.into())
    }

    /// Prepares a reader.
    pub fn reader(&self, topic: impl Into<String>) -> ReaderBuilder {
        ReaderBuilder::new(self.clone(), vec![topic.into()])
    }

    /// Prepares a reader of several topics at once, each with or without partitions.
    pub fn reader_of_topics<T: Into<String>>(&self, topics: impl IntoIterator<Item = T>) -> ReaderBuilder {
        ReaderBuilder::new(self.clone(), topics.into_iter().map(Into::into).collect())
    }

    /// Prepares a table view.
    pub fn table_view(&self, topic: impl Into<String>) -> TableViewBuilder {
        TableViewBuilder::new(self.clone(), topic.into())
    }

    /// How many partitions a topic has; 0 when it is not partitioned. The topic is not created.
    ///
    /// # Errors
    /// `InvalidTopicName`, what the broker says, or `Timeout`.
    pub async fn partitions(&self, topic: &str) -> Result<u32, Error> {
        let topic = TopicName::parse(topic)?;
        match self.operation(|core, now| Ok(((), core.partitions(topic, now)))).await?.1 {
            Output::Partitions(n) => Ok(n),
            _ => Ok(0),
        }
    }

    /// The persistent topics of a namespace, `tenant/namespace`.
    ///
    /// # Errors
    /// What the broker says, or `Timeout`.
    pub async fn topics(&self, namespace: &str) -> Result<Vec<String>, Error> {
        match self.operation(|core, now| Ok(((), core.topics(namespace, now)))).await?.1 {
            Output::Topics(topics) => Ok(topics),
            _ => Ok(Vec::new()),
        }
    }

    /// Closes all producers and consumers, then all connections. Pending sends go out first.
    ///
    /// # Errors
    /// `Timeout` when the broker does not answer in time; everything is closed then too.
    pub async fn close(&self) -> Result<(), Error> {
        match self.operation(|core, now| Ok(((), core.close(now)))).await {
            Err(error) if error.kind() != ErrorKind::AlreadyClosed => Err(error),
            _ => Ok(()),
        }
    }

    /// Starts an operation and waits for its end. Dropped before that, it is forgotten.
    pub(crate) async fn operation<T>(
        &self,
        start: impl FnOnce(&mut proto::Client, proto::Now) -> Result<(T, OpId), Error>,
    ) -> Result<(T, Output), Error> {
        self.operation_with(|core, _, now| start(core, now)).await
    }

    /// The same, when those who will wait must be known before anything happens.
    pub(crate) async fn operation_with<T>(
        &self,
        start: impl FnOnce(&mut proto::Client, &mut Waiters, proto::Now) -> Result<(T, OpId), Error>,
    ) -> Result<(T, Output), Error> {
        let shared = &self.inner.shared;
        let (value, op) = shared.command(|core, waiters, now| {
            let started = start(core, waiters, now)?;
            waiters.expect(started.1);
            Ok::<_, Error>(started)
        })?;
        let forget = Forget { shared, op };
        let output = poll_fn(|cx| shared.lock().sink.poll_op(op, cx)).await?;
        drop(forget);
        Ok((value, output))
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

struct Forget<'a> {
    shared: &'a Shared<Waiters>,
    op: OpId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.lock().sink.forget_op(self.op);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.command(|core, _, now| core.close(now));
    }
}

type Setting = Box<dyn FnOnce(&mut ClientConfig) + Send>;
#[cfg(not(target_family = "wasm"))]
type BuildOver = Box<dyn FnOnce(ClientBuilder) -> Result<Client, Error> + Send>;

/// Options of a [`Client`].
#[must_use]
pub struct ClientBuilder {
    service_url: String,
    settings: Vec<Setting>,
    /// What is known to be wrong before the options are looked at.
    wrong: Vec<Error>,
    /// In place of sockets.
    #[cfg(feature = "testing")]
    network: Option<crate::testing::Network>,
    #[cfg(not(target_family = "wasm"))]
    tls: pulsewire_transport::tls::TlsOptions,
    #[cfg(not(target_family = "wasm"))]
    headers: Vec<(String, String)>,
    /// Builds over a connector of the user's own.
    #[cfg(not(target_family = "wasm"))]
    over: Option<BuildOver>,
}

impl ClientBuilder {
    fn set(mut self, setting: impl FnOnce(&mut ClientConfig) + Send + 'static) -> Self {
        self.settings.push(Box::new(setting));
        self
    }

    /// How long an operation other than a send may take. Default: 30 s, as Java's `operationTimeout`.
    pub fn operation_timeout(self, timeout: Duration) -> Self {
        self.set(move |c| c.operation_timeout = timeout)
    }

    /// How long a connection may take to open. Default: 10 s, as Java's `connectionTimeout`.
    pub fn connection_timeout(self, timeout: Duration) -> Self {
        self.set(move |c| c.connection_timeout = timeout)
    }

    /// How often a quiet connection is asked whether it is alive. Default: 30 s, as Java's
    /// `keepAliveInterval`. After two of them without a byte it counts as lost.
    pub fn keep_alive_interval(self, interval: Duration) -> Self {
        self.set(move |c| c.keep_alive_interval = interval)
    }

    /// The first and the longest delay between attempts. Default: 100 ms and 60 s, as Java's
    /// `startingBackoffInterval` and `maxBackoffInterval`.
    pub fn backoff(self, initial: Duration, max: Duration) -> Self {
        self.set(move |c| (c.initial_backoff, c.max_backoff) = (initial, max))
    }

    /// How long the intervals are to which the rates and latencies of statistics refer, at least 1 ms; zero means
    /// no statistics. Default: 60 s, as Java's `statsInterval`.
    pub fn stats_interval(self, interval: Duration) -> Self {
        self.set(move |c| c.stats_interval = interval)
    }

    /// Bytes of messages that may wait for their receipts. Default: 64 MiB, as Java's `memoryLimit`.
    pub fn memory_limit(self, bytes: usize) -> Self {
        self.set(move |c| c.memory_limit = bytes)
    }

    /// The advertised listener to ask brokers for. Default: none, so that they name the one they choose, as
    /// Java's `listenerName`.
    pub fn listener_name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.set(move |c| c.listener_name = Some(name))
    }

    /// A token (JWT) that the broker is to check. Default: none, the client does not authenticate; as Java's
    /// `authentication` with an `AuthenticationToken`.
    pub fn token(self, token: impl Into<String>) -> Self {
        let data = token.into().into();
        self.set(move |c| c.authentication = Some(proto::Authentication { method: "token".to_owned(), data }))
    }

    /// Carries it through memory, whatever the scheme of its URL.
    #[cfg(feature = "testing")]
    pub(crate) fn in_memory(mut self, network: crate::testing::Network) -> Self {
        self.network = Some(network);
        self
    }

    /// How TLS is spoken: what is trusted, and who we are.
    #[cfg(not(target_family = "wasm"))]
    pub fn tls(mut self, tls: pulsewire_transport::tls::TlsOptions) -> Self {
        self.tls = tls;
        self
    }

    /// A header of the request that opens a WebSocket: `Origin` or `Authorization`, for example.
    #[cfg(not(target_family = "wasm"))]
    pub fn websocket_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Carries the client's bytes by other means than its own sockets: inside the process, simulated,
    /// observed. [`ClientBuilder::tls`] and [`ClientBuilder::websocket_header`] then mean nothing.
    ///
    /// ```no_run
    /// # fn build() -> Result<pulsewire::Client, pulsewire::Error> {
    /// use pulsewire::transport::NativeConnector;
    ///
    /// pulsewire::Client::builder("pulsar://localhost:6650").connector(NativeConnector::default()).build()
    /// # }
    /// ```
    #[cfg(not(target_family = "wasm"))]
    pub fn connector<C>(mut self, connector: C) -> Self
    where
        C: Connector + Unpin + Send + 'static,
        C::Transport: Send,
        C::Connecting: Send,
    {
        self.over = Some(Box::new(move |builder| builder.build_with(connector, Clock::new())));
        self
    }

    /// Makes the client; it connects when it is first needed. Natively this must be called inside a
    /// tokio runtime, on which the client's driver then runs.
    ///
    /// # Errors
    /// `InvalidServiceUrl`, `InvalidOption` with all that is wrong, or `NotSupported` outside of a runtime.
    #[cfg(not(target_family = "wasm"))]
    pub fn build(mut self) -> Result<Client, Error> {
        if let Some(build) = self.over.take() {
            return build(self);
        }
        #[cfg(feature = "testing")]
        if let Some(network) = self.network.take() {
            return network.join(self.build_with(network.connector(), Clock::new())?);
        }
        let tls = std::mem::take(&mut self.tls);
        if let Err(e) = tls.check() {
            self.wrong.push(Error::new(ErrorKind::InvalidOption, format!("TLS: {}", e.message())));
        }
        let mut connector = runtime::default_connector(tls);
        for (name, value) in self.headers.drain(..) {
            connector = connector.websocket_header(&name, &value);
        }
        self.build_with(connector, Clock::new())
    }

    /// Makes the client; it connects when it is first needed.
    ///
    /// # Errors
    /// `InvalidServiceUrl`, or `InvalidOption` with all that is wrong.
    #[cfg(target_family = "wasm")]
    #[cfg_attr(not(feature = "testing"), expect(unused_mut, reason = "where there is nothing to take"))]
    pub fn build(mut self) -> Result<Client, Error> {
        #[cfg(feature = "testing")]
        if let Some(network) = self.network.take() {
            return network.join(self.build_with(network.connector(), Clock::new())?);
        }
        self.build_with(runtime::default_connector(), Clock::new())
    }

    fn build_with<C>(self, connector: C, clock: Clock) -> Result<Client, Error>
    where
        C: Connector + Unpin + Spawn + 'static,
        C::Transport: Spawn,
        C::Connecting: Spawn,
    {
        let core = proto::Client::new(self.config()?, runtime::seed()?)?;
        let shared = Arc::new(Shared::new(core, Waiters::default(), clock));
        let spawner = Spawner::new()?;
        spawner.spawn(Driver::new(shared.clone(), connector));
        Ok(Client { inner: Arc::new(Inner { shared, spawner }) })
    }

    fn config(self) -> Result<ClientConfig, Error> {
        let url = ServiceUrl::parse(&self.service_url);
        let mut config = match &url {
            Ok(url) => ClientConfig::new(url.clone()),
            Err(_) => ClientConfig::new(ServiceUrl::parse("pulsar://none")?),
        };
        self.settings.into_iter().for_each(|set| set(&mut config));
        let wrong = url.err().into_iter().chain(self.wrong).chain(config.validate().err());
        Error::together(wrong)?;
        Ok(config)
    }
}
