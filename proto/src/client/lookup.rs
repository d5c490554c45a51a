//! Tasks that ask the service about topics: partitions, owners, lists.
//!
//! ```text
//! start -> connection to the service -> request -> answer: done
//!   ^                                     |   \--> redirect: the same question to another broker
//!   +------- RetryTask (backoff) <--------+ a failure that may pass, until the operation's deadline
//! ```
//!
//! A lookup for a link does not retry by itself: its link does.

use super::link::Owner;
use super::pool::PoolKey;
use super::requests::{Reply, failure};
use super::{Client, OpKind};
use crate::client::backoff::Backoff;
use crate::connection::{State, Waiting};
use crate::error::{Error, ErrorKind};
use crate::event::Output;
use crate::ids::{ConsumerId, OpId};
use crate::service_url::{Endpoint, ServiceUrl};
use crate::time::Now;
use crate::timer::Timer;
use crate::topic::{TopicName, check_namespace};
use crate::wire::{
    Command, CommandGetTopicsOfNamespace, CommandLookupTopic, CommandLookupTopicResponse,
    CommandPartitionedTopicMetadata, CommandWatchTopicListSuccess, LookupResult, Outbound,
    PartitionedMetadataResult, ServerError, TopicsMode,
};

/// Partitions that a topic may have.
const MAX_PARTITIONS: u32 = 65_536;

#[derive(Debug)]
pub(crate) struct Task {
    kind: TaskKind,
    backoff: Backoff,
    /// The last failure, for the message when time runs out.
    last_error: Option<Error>,
}

#[derive(Debug)]
enum TaskKind {
    /// Whether the broker may create the topic.
    Partitions(OpId, TopicName, bool),
    /// Whether there is a topic, without making it.
    There(OpId, TopicName),
    Topics(OpId, Listing),
    /// For the pattern of a consumer.
    Watch(ConsumerId),
    Locate(Locate),
}

/// Which topics are asked for.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    pub(crate) namespace: String,
    pub(crate) mode: TopicsMode,
    pub(crate) pattern: Option<String>,
    /// Of those that are known: nothing is told when they are the same.
    pub(crate) hash: Option<String>,
}

/// Finds the broker of a topic, for a link.
#[derive(Debug)]
pub(crate) struct Locate {
    owner: Owner,
    generation: u64,
    topic: TopicName,
    /// Ask first whether the topic is partitioned.
    check_partitions: bool,
    redirects: u32,
    authoritative: bool,
    /// The broker that a redirect named.
    at: Option<PoolKey>,
}

impl Locate {
    pub(crate) fn new(owner: Owner, generation: u64, topic: TopicName, check_partitions: bool) -> Self {
        Self { owner, generation, topic, check_partitions, redirects: 0, authoritative: false, at: None }
    }
}

impl Client {
    /// Asks how many partitions a topic has.
    pub fn partitions(&mut self, topic: TopicName, now: Now) -> OpId {
        self.ask_partitions(topic, false, now)
    }

    pub(super) fn ask_partitions(&mut self, topic: TopicName, create: bool, now: Now) -> OpId {
        let op = self.new_op(now);
        self.user_task(op, TaskKind::Partitions(op, topic, create), now)
    }

    /// Asks how many partitions a topic has; `TOPIC_NOT_FOUND` where it is not there, or the broker cannot say.
    pub(super) fn ask_whether_there(&mut self, topic: TopicName, now: Now) -> OpId {
        let op = self.new_op(now);
        self.user_task(op, TaskKind::There(op, topic), now)
    }

    pub(super) fn list_topics(&mut self, listing: Listing, now: Now) -> OpId {
        let op = self.new_op(now);
        self.user_task(op, TaskKind::Topics(op, listing), now)
    }

    /// Asks to be told of topics that come and go.
    pub(super) fn watch_topics(&mut self, id: ConsumerId, now: Now) {
        let task = self.add_task(TaskKind::Watch(id));
        self.task_start(task, now);
    }

    /// Asks for the persistent topics of a namespace (`tenant/namespace`).
    pub fn topics(&mut self, namespace: &str, now: Now) -> OpId {
        let op = self.new_op(now);
        if let Err(error) = check_namespace(namespace) {
            self.complete(op, Err(error));
            return op;
        }
        let mode = TopicsMode::PERSISTENT;
        let listing = Listing { namespace: namespace.to_owned(), mode, pattern: None, hash: None };
        self.user_task(op, TaskKind::Topics(op, listing), now)
    }

    fn user_task(&mut self, op: OpId, kind: TaskKind, now: Now) -> OpId {
        if self.is_closed() {
            self.complete(op, Err(Error::closed("client")));
            return op;
        }
        let task = self.add_task(kind);
        self.ops.insert(op, OpKind::Task(task));
        self.task_start(task, now);
        op
    }

    pub(super) fn locate(&mut self, locate: Locate, now: Now) {
        let task = self.add_task(TaskKind::Locate(locate));
        self.task_start(task, now);
    }

    fn add_task(&mut self, kind: TaskKind) -> u64 {
        let id = self.next_task;
        self.next_task += 1;
        self.tasks.insert(id, Task { kind, backoff: Backoff::default(), last_error: None });
        id
    }

    pub(super) fn task_start(&mut self, task: u64, now: Now) {
        let key = match self.tasks.get(&task).map(|t| &t.kind) {
            Some(TaskKind::Locate(Locate { at: Some(key), .. })) => key.clone(),
            Some(_) => self.service_key(),
            None => return,
        };
        let conn = self.acquire(key, now);
        match self.pool.get_mut(conn) {
            Some(c) if c.state == State::Ready => self.task_send(task, conn, now),
            Some(c) => c.waiting.push(Waiting::Task(task)),
            None => {}
        }
    }

    /// The connection is ready: the question goes out.
    pub(super) fn task_send(&mut self, task: u64, conn: crate::ids::ConnId, now: Now) {
        if !self.tasks.contains_key(&task) {
            return;
        }
        let request_id = self.request(conn, Reply::Task(task), now);
        let partitions = |topic: &TopicName, create: bool| {
            CommandPartitionedTopicMetadata {
                topic: topic.as_str().to_owned(),
                request_id,
                metadata_auto_creation_enabled: Some(create),
                ..Default::default()
            }
            .into()
        };
        let command: Outbound = match self.tasks.get(&task).map(|t| &t.kind) {
            Some(TaskKind::Partitions(_, topic, create)) => partitions(topic, *create),
            Some(TaskKind::There(op, topic)) if cfg!(feature = "redelivery") => {
                let (op, asked) = (*op, partitions(topic, false));
                if !self.pool.get(conn).is_some_and(|conn| conn.tells_absent) {
                    self.drop_request(request_id);
                    self.tasks.remove(&task);
                    return self.complete(op, Err(Error::broker(ServerError::TOPIC_NOT_FOUND, "")));
                }
                asked
            }
            Some(TaskKind::Topics(_, listing)) => CommandGetTopicsOfNamespace {
                request_id,
                namespace: listing.namespace.clone(),
                mode: Some(listing.mode),
                topics_pattern: listing.pattern.clone(),
                topics_hash: listing.hash.clone(),
                ..Default::default()
            }
            .into(),
            Some(TaskKind::Locate(locate)) if locate.check_partitions => partitions(&locate.topic, true),
            Some(TaskKind::Locate(locate)) => CommandLookupTopic {
                topic: locate.topic.as_str().to_owned(),
                request_id,
                authoritative: Some(locate.authoritative),
                advertised_listener_name: self.config.listener_name.clone(),
                ..Default::default()
            }
            .into(),
            Some(TaskKind::Watch(id)) if cfg!(feature = "many") => {
                let id = *id;
                match self.watch_command(id, conn, request_id) {
                    Some(command) => command.into(),
                    None => {
                        self.drop_request(request_id);
                        self.tasks.remove(&task);
                        return;
                    }
                }
            }
            Some(TaskKind::There(..) | TaskKind::Watch(_)) | None => return,
        };
        self.write(conn, command);
    }

    pub(super) fn task_replied(&mut self, task: u64, result: Result<Command, Error>, now: Now) {
        let answer = result.and_then(|command| match command {
            Command::PartitionedTopicMetadataResponse(response) => {
                match failure(response.error, response.message.as_deref()) {
                    Some(error) => Err(error),
                    None if response.response == Some(PartitionedMetadataResult::FAILED) => Err(
                        Error::broker(ServerError::UNKNOWN_ERROR, response.message.as_deref().unwrap_or("")),
                    ),
                    // For each of them something is opened.
                    None if response.partitions.unwrap_or(0) > MAX_PARTITIONS => Err(Error::new(
                        ErrorKind::Protocol,
                        format!(
                            "the broker named {} partitions; at most {MAX_PARTITIONS} are believed",
                            response.partitions.unwrap_or(0)
                        ),
                    )),
                    None => Ok(Answer::Partitions(response.partitions.unwrap_or(0))),
                }
            }
            Command::GetTopicsOfNamespaceResponse(response) if response.changed == Some(false) => {
                Ok(Answer::Unchanged)
            }
            Command::GetTopicsOfNamespaceResponse(response) => Ok(Answer::Topics(response.topics)),
            Command::WatchTopicListSuccess(success) if cfg!(feature = "many") => {
                Ok(Answer::Watching(success))
            }
            Command::LookupTopicResponse(response) => {
                match failure(response.error, response.message.as_deref()) {
                    Some(error) => Err(error),
                    None if response.response == Some(LookupResult::FAILED) => Err(Error::broker(
                        ServerError::UNKNOWN_ERROR,
                        response.message.as_deref().unwrap_or(""),
                    )),
                    None => Ok(Answer::Lookup(response)),
                }
            }
            other => Err(Error::new(ErrorKind::Protocol, format!("{} is not the answer", other.name()))),
        });
        match answer {
            Ok(answer) => self.task_answered(task, answer, now),
            Err(error) => self.task_failed(task, error, now),
        }
    }

    fn task_answered(&mut self, task: u64, answer: Answer, now: Now) {
        let Some(Task { kind, .. }) = self.tasks.get_mut(&task) else { return };
        match (kind, answer) {
            (&mut (TaskKind::Partitions(op, ..) | TaskKind::There(op, _)), Answer::Partitions(n)) => {
                self.tasks.remove(&task);
                self.complete(op, Ok(Output::Partitions(n)));
            }
            (&mut TaskKind::Topics(op, _), Answer::Topics(topics)) => {
                self.tasks.remove(&task);
                self.complete(op, Ok(Output::Topics(topics)));
            }
            (&mut TaskKind::Topics(op, _), Answer::Unchanged) => {
                self.tasks.remove(&task);
                self.complete(op, Ok(Output::Done));
            }
            (&mut TaskKind::Watch(id), Answer::Watching(success)) if cfg!(feature = "many") => {
                self.tasks.remove(&task);
                self.watching(id, Ok(success));
            }
            (TaskKind::Locate(locate), Answer::Partitions(0)) => {
                locate.check_partitions = false;
                self.task_start(task, now);
            }
            (TaskKind::Locate(locate), Answer::Partitions(n)) if cfg!(feature = "many") => {
                let (owner, generation) = (locate.owner, locate.generation);
                self.tasks.remove(&task);
                match owner {
                    Owner::Producer(id) => self.producer_found(id, generation, n, now),
                    Owner::Consumer(id) => self.consumer_found(id, generation, n),
                }
            }
            (TaskKind::Locate(locate), Answer::Partitions(n)) => {
                let why = format!(
                    "{} has {n} partitions, which is not supported yet: name one of them, {}-partition-0 for example",
                    locate.topic, locate.topic
                );
                self.task_failed(task, Error::new(ErrorKind::NotSupported, why), now);
            }
            (TaskKind::Locate(_), Answer::Lookup(response)) => self.looked_up(task, &response, now),
            _ => {
                let error = Error::new(ErrorKind::Protocol, "the broker answered another question");
                self.task_failed(task, error, now);
            }
        }
    }

    fn looked_up(&mut self, task: u64, response: &CommandLookupTopicResponse, now: Now) {
        let key = self.answered_key(response);
        let limit = self.config.max_lookup_redirects;
        let Some(Task { kind: TaskKind::Locate(locate), .. }) = self.tasks.get_mut(&task) else { return };
        let key = match (key, response.response) {
            (Ok(key), Some(LookupResult::REDIRECT)) if locate.redirects < limit => {
                locate.redirects += 1;
                locate.authoritative = response.authoritative.unwrap_or(false);
                locate.at = Some(key);
                return self.task_start(task, now);
            }
            (Ok(_), Some(LookupResult::REDIRECT)) => Err(Error::new(
                ErrorKind::Protocol,
                format!("the lookup was redirected more than {limit} times"),
            )),
            (Ok(key), Some(LookupResult::CONNECT)) => Ok(key),
            (Ok(_), _) => {
                Err(Error::broker(ServerError::UNKNOWN_ERROR, response.message.as_deref().unwrap_or("")))
            }
            (Err(error), _) => Err(error),
        };
        let (owner, generation) = (locate.owner, locate.generation);
        self.tasks.remove(&task);
        self.link_located(owner, generation, key, now);
    }

    pub(super) fn task_failed(&mut self, task: u64, error: Error, now: Now) {
        let Some(Task { kind, backoff, last_error }) = self.tasks.get_mut(&task) else { return };
        match kind {
            TaskKind::Locate(locate) => {
                let (owner, generation) = (locate.owner, locate.generation);
                self.tasks.remove(&task);
                self.link_located(owner, generation, Err(error), now);
            }
            TaskKind::Partitions(..) | TaskKind::There(..) | TaskKind::Topics(..) if error.is_retryable() => {
                let delay = backoff.next(&self.config, &mut self.rng);
                *last_error = Some(error);
                self.timers.arm(Timer::RetryTask(task), now.time + delay);
            }
            &mut TaskKind::Watch(id) => {
                self.tasks.remove(&task);
                if cfg!(feature = "many") {
                    self.watching(id, Err(error));
                }
            }
            &mut (TaskKind::Partitions(op, ..) | TaskKind::There(op, _) | TaskKind::Topics(op, _)) => {
                self.tasks.remove(&task);
                self.complete(op, Err(error));
            }
        }
    }

    /// Ends a task; its last failure, if it had one.
    pub(super) fn drop_task(&mut self, task: u64) -> Option<Error> {
        self.timers.cancel(Timer::RetryTask(task));
        self.tasks.remove(&task).and_then(|t| t.last_error)
    }

    /// The connection that is asked first.
    fn service_key(&self) -> PoolKey {
        let endpoints = self.config.service_url.endpoints();
        PoolKey { physical: endpoints[self.service_index % endpoints.len()].clone(), proxy_to: None }
    }

    fn answered_key(&self, response: &CommandLookupTopicResponse) -> Result<PoolKey, Error> {
        let service = self.service_key().physical;
        let (first, second) = (&response.broker_service_url, &response.broker_service_url_tls);
        let filled = |url: &Option<String>| url.clone().filter(|url| !url.is_empty());
        // Behind a gateway the broker is only named, not dialled, so either of its addresses will do.
        let url = match (service.scheme.is_gateway(), service.scheme.is_tls()) {
            (true, _) => filled(first).or_else(|| filled(second)),
            (false, true) => filled(second),
            (false, false) => filled(first),
        };
        let url = url.ok_or_else(|| {
            Error::new(ErrorKind::Protocol, format!("the lookup named no broker that {service} leads to"))
        })?;
        let broker = parse_broker(&url)?;
        Ok(self.broker_key(&broker, response.proxy_through_service_url.unwrap_or(false)))
    }

    /// How `broker` is reached.
    pub(super) fn broker_key(&self, broker: &Endpoint, through_service: bool) -> PoolKey {
        let service = self.service_key().physical;
        if through_service || service.scheme.is_gateway() {
            return PoolKey { physical: service, proxy_to: Some(broker.authority()) };
        }
        PoolKey { physical: broker.clone(), proxy_to: None }
    }

    /// The broker that a CLOSE named as the next, if it named one that can be used.
    pub(super) fn assigned(&self, plain: Option<String>, tls: Option<String>) -> Option<Endpoint> {
        let scheme = self.service_key().physical.scheme;
        let url = if scheme.is_gateway() {
            plain.or(tls)
        } else if scheme.is_tls() {
            tls
        } else {
            plain
        };
        parse_broker(&url?).ok()
    }
}

#[derive(Debug)]
enum Answer {
    Partitions(u32),
    Topics(Vec<String>),
    /// Those that are known already.
    Unchanged,
    Watching(CommandWatchTopicListSuccess),
    Lookup(CommandLookupTopicResponse),
}

fn parse_broker(url: &str) -> Result<Endpoint, Error> {
    let parsed = ServiceUrl::parse(url)
        .map_err(|e| Error::new(ErrorKind::Protocol, format!("the broker's address is not one: {e}")))?;
    Ok(parsed.endpoints()[0].clone())
}
