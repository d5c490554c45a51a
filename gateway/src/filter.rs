//! Narrowing on the frames themselves.
//!
//! ```text
//! head --command whole--> judged --passes--> passing (the rest of its frame, as it comes) --end of frame--> head
//!   |                       |----replaced--> (what was understood goes on, not what came) --------------> head
//!   |                       '----refused---> dropping (the rest of its frame); a Pulsar error goes back --> head
//!   '--no frame--> broken: the connection is closed
//! ```
//!
//! Two readers of one protocol can be made to disagree: a command that is one to us and another to the broker would
//! go past every rule. So a command has to be written as all clients write it, type first and then its one body;
//! and those that name topics are written anew from what was understood.
//!
//! Payloads are never held: what passes is a slice of what came. Our errors stand between two frames of the upstream,
//! and not before it has said CONNECTED. When many wait, no more of the client's commands are judged: what came with
//! them waits, too.
//!
//! What the upstream says passes as it comes, but for lists of topics and what tells of transactions:
//!
//! ```text
//! head --a list--> holding --whole--> what the client may consume from goes on --> head
//!   |--an answer to NEW_TXN or END_TXN--> holding --whole--> noted, goes on ------> head
//!   '--anything else--> passing (the rest of its frame, as it comes) --end of frame--> head
//! ```
//!
//! Transactions are numbered one after the other, so anybody can name those of others: a client adds to and ends those
//! only that were opened on its own connection.
//!
//! Lists are cut whoever asked for what: so no request can be made up whose answer is not.

mod frames;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pulsewire_proto::wire::frame::encode_command;
use pulsewire_proto::wire::{
    Command, CommandAddPartitionToTxnResponse, CommandAddSubscriptionToTxnResponse, CommandEndTxnResponse,
    CommandError, CommandGetOrCreateSchemaResponse, CommandGetSchemaResponse, CommandGetTopicsOfNamespace,
    CommandLookupTopicResponse, CommandNewTxnResponse, CommandPartitionedTopicMetadataResponse,
    CommandWatchTopicList, LookupResult, PartitionedMetadataResult, ServerError, TopicsMode,
};
use tracing::debug;

use crate::ending::Ending;
use crate::first::own_words;
use crate::metrics::Metrics;
use crate::narrow::{Listed, Permits};
use frames::{HARMLESS, HEAD, canonical, head, is_connected, is_held, plainly_harmless};

/// The largest list of topics that can be looked through. Brokers send none that is larger than a message may be, 5 MiB
/// unless they are told otherwise.
const MAX_LIST: usize = 16 * 1024 * 1024;
/// Errors that wait for the client to read them; no more of its commands are read then.
const MAX_REPLIES: usize = 64 * 1024;
/// Of an error that belongs to no request, as Pulsar's own are numbered.
const NO_REQUEST: u64 = u64::MAX;

/// Transactions that one connection may have open.
const MAX_TXNS: usize = 10_000;
/// Pieces that wait for the upstream; no more of the client's commands are judged then.
const MAX_PIECES: usize = 256;
/// The hash of a list that nobody has seen: the client asks for the whole list where it matters.
const NO_HASH: &str = "";

/// Decides about each frame of one connection.
pub(crate) struct Filter {
    permits: Arc<Permits>,
    metrics: Arc<Metrics>,
    state: State,
    /// The beginning of a frame whose command is not whole.
    begun: BytesMut,
    /// What passed and is not sent yet.
    passed: VecDeque<Bytes>,
    /// What came and is not judged yet, as errors or pieces wait.
    rest: Bytes,
    replies: BytesMut,
    /// The client is not told of errors any more.
    mute: bool,
    /// The upstream has said CONNECTED.
    connected: bool,
    /// Transactions that were opened on this connection, and not ended.
    own_txns: BTreeSet<(u64, u64)>,
    down: Down,
    /// Of the upstream, a frame that is held and not whole.
    list: BytesMut,
    /// A watcher was let through to whom some topics are not shown.
    cuts_watched: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Passing(usize),
    Dropping(usize),
}

impl State {
    fn passing(left: usize) -> Self {
        if left == 0 { State::Head } else { State::Passing(left) }
    }

    fn dropping(left: usize) -> Self {
        if left == 0 { State::Head } else { State::Dropping(left) }
    }
}

enum Verdict {
    Pass,
    Replace(Command),
    Refuse(&'static str, Command),
}

impl Filter {
    pub(crate) fn new(permits: Arc<Permits>, metrics: Arc<Metrics>) -> Self {
        Filter {
            permits,
            metrics,
            state: State::Head,
            begun: BytesMut::new(),
            passed: VecDeque::new(),
            rest: Bytes::new(),
            replies: BytesMut::new(),
            mute: false,
            connected: false,
            own_txns: BTreeSet::new(),
            down: Down::Head,
            list: BytesMut::new(),
            cuts_watched: false,
        }
    }

    /// Takes bytes of the client, once [`Filter::next`] has no more of those before.
    pub(crate) fn push(&mut self, bytes: &Bytes) -> Result<(), Ending> {
        // What lies between `run` and `at` passes, in one slice.
        let (mut at, mut run) = (0, 0);
        while at < bytes.len() {
            if self.is_full() || self.passed.len() >= MAX_PIECES {
                self.rest = bytes.slice(at..);
                break;
            }
            let here = bytes.len() - at;
            match self.state {
                State::Passing(left) => {
                    at += left.min(here);
                    self.state = State::passing(left - left.min(here));
                }
                State::Dropping(left) => {
                    self.pass(bytes, run, at);
                    at += left.min(here);
                    run = at;
                    self.state = State::dropping(left - left.min(here));
                }
                State::Head if self.begun.is_empty() => match head(&bytes[at..])? {
                    Some((command, rest))
                        if here >= 8 + command && plainly_harmless(&bytes[at + 8..at + 8 + command]) =>
                    {
                        at += 8 + command;
                        self.state = State::passing(rest);
                    }
                    Some((command, rest)) if here >= 8 + command => {
                        let verdict = self.judge(&bytes.slice(at + 8..at + 8 + command))?;
                        if !matches!(verdict, Verdict::Pass) {
                            self.pass(bytes, run, at);
                            run = at + 8 + command;
                        }
                        at += 8 + command;
                        self.settle(verdict, rest);
                    }
                    _ => {
                        self.pass(bytes, run, at);
                        self.begun.extend_from_slice(&bytes[at..]);
                        (at, run) = (bytes.len(), bytes.len());
                    }
                },
                State::Head => {
                    let whole = head(&self.begun)?.map_or(8, |(command, _)| 8 + command);
                    let take = (whole - self.begun.len()).min(here);
                    self.begun.extend_from_slice(&bytes[at..at + take]);
                    at += take;
                    run = at;
                    if let Some((command, rest)) = head(&self.begun)?
                        && self.begun.len() == 8 + command
                    {
                        let frame = self.begun.split().freeze();
                        let verdict = self.judge(&frame.slice(8..))?;
                        if matches!(verdict, Verdict::Pass) {
                            self.passed.push_back(frame);
                        }
                        self.settle(verdict, rest);
                    }
                }
            }
        }
        self.pass(bytes, run, at);
        Ok(())
    }

    fn pass(&mut self, bytes: &Bytes, from: usize, to: usize) {
        if from < to {
            self.passed.push_back(bytes.slice(from..to));
        }
    }

    fn settle(&mut self, verdict: Verdict, rest: usize) {
        self.state = match verdict {
            Verdict::Pass => State::passing(rest),
            Verdict::Replace(command) => {
                let mut frame = BytesMut::new();
                encode_command(&command, &mut frame);
                self.passed.push_back(frame.freeze());
                // Commands that name topics have nothing behind them.
                State::dropping(rest)
            }
            Verdict::Refuse(name, reply) => {
                self.metrics.command_refused(name);
                debug!(command = name, "refused by narrowing");
                if !self.mute {
                    encode_command(&reply, &mut self.replies);
                }
                State::dropping(rest)
            }
        };
    }

    /// The next piece for the upstream.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Ending> {
        loop {
            if let Some(piece) = self.passed.pop_front() {
                return Ok(Some(piece));
            }
            if self.rest.is_empty() || self.is_full() {
                return Ok(None);
            }
            let rest = std::mem::take(&mut self.rest);
            self.push(&rest)?;
        }
    }

    /// The client has been told goodbye: it hears of no errors any more, and none wait.
    pub(crate) fn mute(&mut self) {
        self.mute = true;
        self.replies = BytesMut::new();
    }

    pub(crate) fn has_replies(&self) -> bool {
        !self.replies.is_empty()
    }

    /// Whether the client has to read its errors before more of it is read.
    pub(crate) fn is_full(&self) -> bool {
        self.replies.len() >= MAX_REPLIES
    }

    /// Our errors, if they can stand before whatever the upstream says next.
    pub(crate) fn replies_now(&mut self) -> Option<Bytes> {
        (self.has_replies() && self.connected && self.down.between_frames())
            .then(|| self.replies.split().freeze())
    }

    /// Takes what the upstream says, for the client: with our errors between two frames if there are any. A frame's
    /// head that is not whole stays where it is.
    pub(crate) fn down(&mut self, said: &mut BytesMut) -> Result<Bytes, Ending> {
        // What goes out is `out` and then the first `at` bytes.
        let (mut out, mut at) = (BytesMut::new(), 0);
        let mut boundary = None;
        loop {
            let here = said.len() - at;
            match self.down {
                Down::Passing(left) => {
                    at += left.min(here);
                    self.down = if left > here { Down::Passing(left - here) } else { Down::Head };
                    if left > here {
                        break;
                    }
                }
                Down::Head => {
                    if self.connected {
                        boundary.get_or_insert(out.len() + at);
                    }
                    let Some(size) = said[at..].first_chunk::<4>() else { break };
                    let whole = 4 + u32::from_be_bytes(*size) as usize;
                    if whole < HEAD || here >= HEAD && !is_held(&said[at..]) {
                        self.connected |= whole >= HEAD && is_connected(&said[at..]);
                        self.down = Down::Passing(whole);
                    } else if here < HEAD {
                        break;
                    } else if whole > MAX_LIST {
                        debug!(whole, "a list of topics that is too large");
                        return Err(Ending::UpstreamLost);
                    } else {
                        out.unsplit(said.split_to(at));
                        at = 0;
                        self.down = Down::Holding(whole);
                    }
                }
                Down::Holding(left) => {
                    // Nothing of it goes out between its pieces.
                    if self.connected {
                        boundary.get_or_insert(out.len());
                    }
                    self.list.unsplit(said.split_to(left.min(here)));
                    if left > here {
                        self.down = Down::Holding(left - here);
                        break;
                    }
                    let list = self.list.split().freeze();
                    self.held(&list, &mut out)?;
                    self.list = BytesMut::new();
                    self.down = Down::Head;
                }
            }
        }
        out.unsplit(said.split_to(at));
        match boundary {
            Some(at) if self.has_replies() => {
                let replies = self.replies.split();
                Ok([&out[..at], &replies[..], &out[at..]].concat().into())
            }
            _ => Ok(out.freeze()),
        }
    }

    /// Puts into `out` what the client may see of what was held: of a list, its own.
    fn held(&mut self, frame: &Bytes, out: &mut BytesMut) -> Result<(), Ending> {
        let command = frame.get(4..8).and_then(|size| {
            let size = u32::from_be_bytes(size.try_into().ok()?) as usize;
            Command::decode(&frame.slice_ref(frame.get(8..8usize.checked_add(size)?)?)).ok()
        });
        let permits = &self.permits;
        let seen = |topics: &mut Vec<String>| {
            let all = topics.len();
            topics.retain(|topic| permits.consume(topic));
            topics.len() < all
        };
        let cut = match command {
            Some(Command::GetTopicsOfNamespaceResponse(mut list)) => seen(&mut list.topics).then(|| {
                list.topics_hash = None;
                Some(Command::from(list))
            }),
            Some(Command::WatchTopicListSuccess(mut list)) => (seen(&mut list.topic) || self.cuts_watched)
                .then(|| {
                    list.topics_hash = NO_HASH.to_owned();
                    Some(list.into())
                }),
            Some(Command::WatchTopicUpdate(mut list)) => {
                let (new, deleted) = (seen(&mut list.new_topics), seen(&mut list.deleted_topics));
                (new || deleted || self.cuts_watched).then(|| {
                    list.topics_hash = NO_HASH.to_owned();
                    let nothing = list.new_topics.is_empty() && list.deleted_topics.is_empty();
                    (!nothing).then(|| list.into())
                })
            }
            Some(Command::NewTxnResponse(it)) => {
                if it.error.is_none() {
                    self.own_txns.insert(txn(it.txnid_most_bits, it.txnid_least_bits));
                }
                None
            }
            Some(Command::EndTxnResponse(it)) => {
                if it.error.is_none() {
                    self.own_txns.remove(&txn(it.txnid_most_bits, it.txnid_least_bits));
                }
                None
            }
            _ => {
                debug!("a list of topics or a transaction that cannot be read");
                return Err(Ending::UpstreamLost);
            }
        };
        match cut {
            None => out.extend_from_slice(frame),
            Some(None) => {}
            Some(Some(list)) => encode_command(&list, out),
        }
        Ok(())
    }

    fn judge(&mut self, command: &Bytes) -> Result<Verdict, Ending> {
        let Some(number) = canonical(command)? else { return Ok(unknown()) };
        if HARMLESS.contains(&number) {
            return Ok(Verdict::Pass);
        }
        let decoded = Command::decode(command).map_err(|_| Ending::BadFrame)?;
        let name = decoded.name();
        let refuse = |reply: Command| Ok(Verdict::Refuse(name, reply));
        let error = Some(ServerError::AUTHORIZATION_ERROR);
        let message = || "this gateway does not let this client do that".to_owned();
        let plain = |request_id| {
            let error = ServerError::AUTHORIZATION_ERROR;
            CommandError { request_id, error, message: message() }.into()
        };
        let permits = &self.permits;
        let either = |topic: &str| permits.produce(topic) || permits.consume(topic);
        let own = |most, least| self.own_txns.contains(&txn(most, least));
        match &decoded {
            Command::Connect(it) => Ok(Verdict::Replace(own_words(it.clone(), true).into())),
            Command::NewTxn(it) if self.own_txns.len() >= MAX_TXNS => refuse(
                CommandNewTxnResponse {
                    request_id: it.request_id,
                    error,
                    message: Some(message()),
                    ..CommandNewTxnResponse::default()
                }
                .into(),
            ),
            Command::EndTxn(it) if !own(it.txnid_most_bits, it.txnid_least_bits) => refuse(
                CommandEndTxnResponse {
                    request_id: it.request_id,
                    txnid_least_bits: it.txnid_least_bits,
                    txnid_most_bits: it.txnid_most_bits,
                    error,
                    message: Some(message()),
                }
                .into(),
            ),
            Command::Producer(it) if !permits.produce(&it.topic) => refuse(plain(it.request_id)),
            Command::Subscribe(it) if !permits.consume(&it.topic) => refuse(plain(it.request_id)),
            Command::LookupTopic(it) if !either(&it.topic) => refuse(
                CommandLookupTopicResponse {
                    request_id: it.request_id,
                    response: Some(LookupResult::FAILED),
                    error,
                    message: Some(message()),
                    ..CommandLookupTopicResponse::default()
                }
                .into(),
            ),
            Command::PartitionedTopicMetadata(it) if !either(&it.topic) => refuse(
                CommandPartitionedTopicMetadataResponse {
                    request_id: it.request_id,
                    response: Some(PartitionedMetadataResult::FAILED),
                    error,
                    message: Some(message()),
                    ..CommandPartitionedTopicMetadataResponse::default()
                }
                .into(),
            ),
            Command::GetTopicsOfNamespace(it) => {
                let mode = it.mode.unwrap_or(TopicsMode::PERSISTENT);
                let (persistent, other) =
                    (mode != TopicsMode::NON_PERSISTENT, mode != TopicsMode::PERSISTENT);
                match permits.list(&it.namespace, persistent, other) {
                    Listed::Whole => Ok(Verdict::Replace(decoded)),
                    // Its hash is one of the whole list, and would tell of what is not shown.
                    Listed::Partly => Ok(Verdict::Replace(
                        CommandGetTopicsOfNamespace { topics_hash: None, ..it.clone() }.into(),
                    )),
                    Listed::No => refuse(plain(it.request_id)),
                }
            }
            Command::WatchTopicList(it) => match permits.list(&it.namespace, true, false) {
                Listed::Whole => Ok(Verdict::Replace(decoded)),
                Listed::Partly => {
                    self.cuts_watched = true;
                    Ok(Verdict::Replace(CommandWatchTopicList { topics_hash: None, ..it.clone() }.into()))
                }
                Listed::No => refuse(plain(it.request_id)),
            },
            Command::GetSchema(it) if !either(&it.topic) => refuse(
                CommandGetSchemaResponse {
                    request_id: it.request_id,
                    error_code: error,
                    error_message: Some(message()),
                    ..CommandGetSchemaResponse::default()
                }
                .into(),
            ),
            // Schemas are made by producers, and by consumers that are the first of their topic.
            Command::GetOrCreateSchema(it) if !either(&it.topic) => refuse(
                CommandGetOrCreateSchemaResponse {
                    request_id: it.request_id,
                    error_code: error,
                    error_message: Some(message()),
                    ..CommandGetOrCreateSchemaResponse::default()
                }
                .into(),
            ),
            Command::AddPartitionToTxn(it)
                if !own(it.txnid_most_bits, it.txnid_least_bits)
                    || !it.partitions.iter().all(|topic| permits.produce(topic)) =>
            {
                refuse(
                    CommandAddPartitionToTxnResponse {
                        request_id: it.request_id,
                        txnid_least_bits: it.txnid_least_bits,
                        txnid_most_bits: it.txnid_most_bits,
                        error,
                        message: Some(message()),
                    }
                    .into(),
                )
            }
            Command::AddSubscriptionToTxn(it)
                if !own(it.txnid_most_bits, it.txnid_least_bits)
                    || !it.subscription.iter().all(|own| permits.consume(&own.topic)) =>
            {
                refuse(
                    CommandAddSubscriptionToTxnResponse {
                        request_id: it.request_id,
                        txnid_least_bits: it.txnid_least_bits,
                        txnid_most_bits: it.txnid_most_bits,
                        error,
                        message: Some(message()),
                    }
                    .into(),
                )
            }
            Command::Producer(_)
            | Command::Subscribe(_)
            | Command::LookupTopic(_)
            | Command::PartitionedTopicMetadata(_)
            | Command::GetSchema(_)
            | Command::GetOrCreateSchema(_)
            | Command::NewTxn(_)
            | Command::EndTxn(_)
            | Command::AddPartitionToTxn(_)
            | Command::AddSubscriptionToTxn(_) => Ok(Verdict::Replace(decoded)),
            // Between brokers and coordinators only.
            Command::EndTxnOnPartition(it) => refuse(plain(it.request_id)),
            Command::EndTxnOnSubscription(it) => refuse(plain(it.request_id)),
            _ => Ok(unknown()),
        }
    }
}

/// Where its request has its number is not known either, so the error belongs to none.
fn unknown() -> Verdict {
    let message = "this gateway does not know this command, and has not passed it on".to_owned();
    let error = ServerError::AUTHORIZATION_ERROR;
    Verdict::Refuse("Unknown", CommandError { request_id: NO_REQUEST, error, message }.into())
}

/// A transaction's number.
fn txn(most: Option<u64>, least: Option<u64>) -> (u64, u64) {
    (most.unwrap_or(0), least.unwrap_or(0))
}

/// Where in its frames the upstream is. The numbers are bytes still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Down {
    Head,
    Passing(usize),
    Holding(usize),
}

impl Down {
    /// Whether what went to the client ends with a frame.
    fn between_frames(self) -> bool {
        !matches!(self, Down::Passing(_))
    }
}

#[cfg(test)]
mod tests;
