//! One of the two brokers: its clients, its admin API, and what was heard.

use std::collections::{BTreeMap, VecDeque};
use std::sync::LazyLock;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pulsewire_proto::wire::batch::BatchReader;
use pulsewire_proto::wire::entry::Entry;
use pulsewire_proto::wire::frame::{encode_command, encode_with_entry};
use pulsewire_proto::wire::*;
use regex_lite::Regex;

use crate::common::{connect, entry, send_frame};
use crate::far::{Far, Heard};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

static LEDGER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"ledger_id: (\d+)").unwrap());

/// Coordinators count on from run to run.
static TXN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"txnid_least_bits: Some\((\d+)\)|\(0,(\d+)\)").unwrap());

/// What a command does not say.
static NOTHING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\w+: (None|\[\]|Some\(\[\]\)), |, \w+: (None|\[\])|\w+: (None|\[\])").unwrap()
});

/// A client of a [`Side`].
#[derive(Clone, Copy)]
pub(crate) struct Who(usize);

pub(crate) struct Side {
    far: Box<dyn Far>,
    unique: String,
    /// Messages that came, client by client, while something else was waited for.
    early: Vec<VecDeque<Heard>>,
    lines: Vec<String>,
    ledgers: BTreeMap<u64, usize>,
    txns: BTreeMap<u64, usize>,
    replace: Vec<(Regex, String)>,
    /// Shown with admin calls.
    pub(crate) token: Option<String>,
    /// It is the real one, which takes its time.
    real: bool,
}

impl Side {
    pub(crate) fn new(name: &str, far: Box<dyn Far>, real: bool) -> Self {
        let unique = format!("d{}{name}", far.now().as_nanos());
        let mut side = Self {
            far,
            unique,
            early: Vec::new(),
            lines: Vec::new(),
            ledgers: BTreeMap::new(),
            txns: BTreeMap::new(),
            replace: Vec::new(),
            token: None,
            real,
        };
        let unique = side.unique.clone();
        side.replace(&unique, "UNIQUE");
        let short = side.short();
        side.replace(&short, "SHORT");
        side.replace(r"standalone-\d+-\d+", "GENERATED");
        // It is made of the names, which differ.
        side.replace(r#"topics_hash: (Some\()?"[0-9a-f]{8}""#, "topics_hash: ${1}HASH");
        side
    }

    /// What differs from run to run and means nothing.
    pub(crate) fn replace(&mut self, pattern: &str, by: &str) {
        self.replace.push((Regex::new(pattern).unwrap(), by.to_owned()));
    }

    pub(crate) fn finish(self) -> String {
        self.lines.join("\n") + "\n"
    }

    /// A topic that no other run has.
    pub(crate) fn topic(&self) -> String {
        format!("persistent://public/default/{}", self.unique)
    }

    /// A short name that no other run has.
    pub(crate) fn short(&self) -> String {
        self.unique[..20].to_owned()
    }

    /// A name that no other run has.
    pub(crate) fn unique(&self) -> &str {
        &self.unique
    }

    pub(crate) fn note(&mut self, line: impl Into<String>) {
        let mut line = line.into();
        for (pattern, by) in &self.replace {
            line = pattern.replace_all(&line, by.as_str()).into_owned();
        }
        while let Some(found) = LEDGER.captures(&line) {
            let id: u64 = found[1].parse().unwrap();
            let next = self.ledgers.len();
            let name = if id == u64::MAX {
                "none".to_owned()
            } else {
                format!("L{}", self.ledgers.entry(id).or_insert(next))
            };
            line = line.replacen(&found[0], &format!("ledger_id: {name}"), 1);
        }
        while let Some(found) = TXN.captures(&line) {
            let id: u64 = found.get(1).or(found.get(2)).unwrap().as_str().parse().unwrap();
            let next = self.txns.len();
            let name = self.txns.entry(id).or_insert(next);
            let by = if found.get(1).is_some() {
                format!("txnid_least_bits: T{name}")
            } else {
                format!("(0,T{name})")
            };
            line = line.replacen(&found[0], &by, 1);
        }
        self.lines.push(line.replace("18446744073709551615", "-1"));
    }

    /// A client that has said CONNECT and heard CONNECTED.
    pub(crate) fn client(&mut self) -> Who {
        self.client_with(CommandConnect {
            feature_flags: Some(FeatureFlags {
                supports_broker_entry_metadata: Some(true),
                supports_topic_watchers: Some(true),
                ..FeatureFlags::default()
            }),
            ..connect()
        })
    }

    pub(crate) fn client_with(&mut self, connect: CommandConnect) -> Who {
        let who = self.stranger();
        self.say(who, connect);
        assert!(matches!(self.take(who, PATIENCE), Ok((Command::Connected(_), _))));
        who
    }

    /// A client that has connected and said nothing yet.
    pub(crate) fn stranger(&mut self) -> Who {
        self.far.connect();
        self.early.push(VecDeque::new());
        Who(self.early.len() - 1)
    }

    /// The client closes its socket.
    pub(crate) fn leave(&mut self, who: Who) {
        self.far.leave(who.0);
        self.pause(150);
    }

    /// The client answers nothing any more.
    pub(crate) fn die(&mut self, who: Who) {
        self.far.die(who.0);
    }

    pub(crate) fn say(&mut self, who: Who, command: impl Into<Command>) {
        let mut out = BytesMut::new();
        encode_command(&command.into(), &mut out);
        self.bytes(who, &out);
    }

    pub(crate) fn bytes(&mut self, who: Who, bytes: &[u8]) {
        self.far.bytes(who.0, bytes);
    }

    /// The next thing that a client hears.
    fn take(&mut self, who: Who, patience: Duration) -> Result<Heard, RecvTimeoutError> {
        self.early[who.0].pop_front().map_or_else(|| self.far.take(who.0, patience), Ok)
    }

    /// The next thing that is no message; messages before it are heard after it.
    fn take_answer(&mut self, who: Who) -> Result<Heard, RecvTimeoutError> {
        let mut early = VecDeque::new();
        let answer = loop {
            match self.take(who, PATIENCE) {
                Ok(message @ (Command::Message(_), _)) => early.push_back(message),
                other => break other,
            }
        };
        self.early[who.0] = early;
        answer
    }

    /// The next thing that is no message, written down.
    pub(crate) fn hear_answer(&mut self, who: Who) -> Option<Command> {
        let heard = self.take_answer(who);
        self.heard(who, heard)
    }

    /// The next thing that a client hears, not written down.
    pub(crate) fn quietly(&mut self, who: Who) -> Option<Command> {
        self.take(who, PATIENCE).ok().map(|(command, _)| command)
    }

    /// The next thing that a client hears soon, not written down.
    pub(crate) fn next_within(&mut self, who: Who, milliseconds: u64) -> Option<Command> {
        self.take(who, Duration::from_millis(milliseconds)).ok().map(|(command, _)| command)
    }

    /// The next thing that a client hears, written down.
    pub(crate) fn hear(&mut self, who: Who) -> Option<Command> {
        self.hear_within(who, PATIENCE)
    }

    pub(crate) fn hear_within(&mut self, who: Who, patience: Duration) -> Option<Command> {
        let heard = self.take(who, patience);
        self.heard(who, heard)
    }

    fn heard(&mut self, who: Who, heard: Result<Heard, RecvTimeoutError>) -> Option<Command> {
        let line = match &heard {
            Err(RecvTimeoutError::Timeout) => "nothing".to_owned(),
            Err(RecvTimeoutError::Disconnected) => "(cut)".to_owned(),
            Ok((command, entry)) => tell(command, entry),
        };
        self.note(format!("{} < {line}", who.0));
        heard.ok().map(|(command, _)| command)
    }

    /// All that a client hears until it is quiet for a while, written down.
    pub(crate) fn hear_all(&mut self, who: Who) -> Vec<Command> {
        let mut all = Vec::new();
        loop {
            match self.hear_within(who, Duration::from_millis(500)) {
                Some(command) => all.push(command),
                None => return all,
            }
        }
    }

    /// The same, with more patience.
    pub(crate) fn hear_long(&mut self, who: Who) {
        while self.hear_within(who, Duration::from_millis(1500)).is_some() {}
    }

    /// All that a client hears until it is quiet, as lines that are not written down yet.
    pub(crate) fn hear_sorted(&mut self, who: Who) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok((command, entry)) = self.take(who, Duration::from_millis(700)) {
            lines.push(format!("{} < {}", who.0, tell(&command, &entry)));
        }
        lines
    }

    /// All that a client hears until it is quiet, written down in the order of the alphabet.
    pub(crate) fn hear_in_any_order(&mut self, who: Who) {
        let mut lines = self.hear_sorted(who);
        lines.sort();
        for line in lines {
            self.note(line);
        }
    }

    pub(crate) fn ask(&mut self, who: Who, command: impl Into<Command>) -> Option<Command> {
        let command = command.into();
        self.note(format!("{} > {}", who.0, command.name()));
        self.say(who, command);
        self.hear(who)
    }

    /// Asks a question while messages may come.
    pub(crate) fn ask_amid(&mut self, who: Who, command: impl Into<Command>) -> Option<Command> {
        let command = command.into();
        self.note(format!("{} > {}", who.0, command.name()));
        self.say(who, command);
        self.hear_answer(who)
    }

    /// Has a topic's bundle loaded by looking it up; not written down.
    pub(crate) fn find(&mut self, who: Who, topic: &str) {
        for _ in 0..20 {
            self.say(
                who,
                CommandLookupTopic {
                    topic: topic.to_owned(),
                    request_id: 800,
                    ..CommandLookupTopic::default()
                },
            );
            match self.take(who, PATIENCE) {
                Ok((Command::LookupTopicResponse(found), _))
                    if found.response == Some(LookupResult::CONNECT) =>
                {
                    return;
                }
                _ => self.pause(200),
            }
        }
        panic!("{topic} is not found");
    }

    /// Sends a message; the answer is still to be heard.
    pub(crate) fn send(
        &mut self,
        who: Who,
        producer: u64,
        sequence: u64,
        metadata: MessageMetadata,
        payload: &str,
    ) {
        self.bytes(who, &send_frame(producer, sequence, metadata, payload.as_bytes()));
    }

    /// Asks, and writes the topics of the answer down in order.
    pub(crate) fn ask_sorted(&mut self, who: Who, command: impl Into<Command>) -> Option<Command> {
        let command = command.into();
        self.note(format!("{} > {}", who.0, command.name()));
        self.say(who, command);
        let (mut answer, entry) = self.take(who, PATIENCE).ok()?;
        match &mut answer {
            Command::GetTopicsOfNamespaceResponse(list) => list.topics.sort(),
            Command::WatchTopicListSuccess(list) => list.topic.sort(),
            _ => {}
        }
        let line = tell(&answer, &entry);
        self.note(format!("{} < {line}", who.0));
        Some(answer)
    }

    /// Sends a message as the command says.
    pub(crate) fn send_as(
        &mut self,
        who: Who,
        command: CommandSend,
        metadata: MessageMetadata,
        payload: impl AsRef<[u8]>,
    ) {
        let mut out = BytesMut::new();
        let entry = entry(command.sequence_id, metadata, payload.as_ref());
        encode_with_entry(&command.into(), &entry, &mut out);
        self.bytes(who, &out);
    }

    /// Publishes a message and hears its receipt; not written down.
    pub(crate) fn publish(
        &mut self,
        who: Who,
        producer: u64,
        sequence: u64,
        metadata: MessageMetadata,
        payload: &str,
    ) -> MessageIdData {
        self.send(who, producer, sequence, metadata, payload);
        match self.take_answer(who) {
            Ok((Command::SendReceipt(receipt), _)) => receipt.message_id.unwrap(),
            other => panic!("no receipt: {other:?}"),
        }
    }

    pub(crate) fn flow(&mut self, who: Who, consumer: u64, permits: u32) {
        self.say(who, CommandFlow { consumer_id: consumer, message_permits: permits });
    }

    /// As long as the real one takes to do what this one does at once.
    pub(crate) fn pause_if_real(&mut self, milliseconds: u64) {
        if self.real {
            self.pause(milliseconds);
        }
    }

    pub(crate) fn pause(&mut self, milliseconds: u64) {
        self.far.pass(Duration::from_millis(milliseconds));
    }

    /// What the clock shows: milliseconds since the Unix epoch.
    pub(crate) fn wall_ms(&self) -> i64 {
        self.far.now().as_millis() as i64
    }

    /// An admin call; answers status and body.
    pub(crate) fn admin(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        let (status, _, whole) = self.http(method, path, body);
        (status, whole)
    }

    /// What peeking at a message answers: its headers and its payload.
    pub(crate) fn headers(&mut self, path: &str) {
        let (status, head, body) = self.http("GET", path, "");
        self.note(format!("GET {path} -> {status} {body:?}"));
        let mut lines: Vec<String> = head
            .lines()
            .filter(|line| line.to_ascii_lowercase().starts_with("x-pulsar"))
            .map(|line| Regex::new(r"\d{4}-\d\d-\d\dT[\d:.]*Z").unwrap().replace(line, "WHEN").into_owned())
            .map(|line| Regex::new(r": \d+:(\d+)").unwrap().replace(&line, ": LEDGER:$1").into_owned())
            .map(|line| {
                line.split_once(':').map_or(String::new(), |(name, value)| format!("  {}:{value}", name))
            })
            .collect();
        lines.sort();
        lines.into_iter().for_each(|line| self.note(line));
    }

    /// A call of the admin API, or of another path that begins with `/`: status, head, body.
    fn http(&mut self, method: &str, path: &str, body: &str) -> (u16, String, String) {
        self.http_with(method, path, "content-type: application/json\r\n", body)
    }

    /// The form of an answer: its status line, and which media type it is of, and which methods are for the path.
    pub(crate) fn form(&mut self, method: &str, path: &str, headers: &str, body: &str) {
        let (_, head, text) = self.http_with(method, path, headers, body);
        let mut lines = head.lines();
        let status = lines.next().unwrap_or_default().to_owned();
        let value = |name: &str| {
            let found = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}: ")));
            found.map(|line| line[name.len() + 2..].to_owned()).unwrap_or_default()
        };
        let (kind, allow) = (value("content-type"), value("allow"));
        let mut allow: Vec<&str> = allow.split(',').map(str::trim).collect();
        allow.sort_unstable();
        let said = if text.is_empty() { "nothing" } else { "something" };
        let headers = headers.trim_end().replace("\r\n", ", ");
        self.note(format!("{method} {path} [{headers}] {body} -> {status} | {kind} | {allow:?} | {said}"));
    }

    /// A call that is sent elsewhere: where that is.
    pub(crate) fn sent_away(&mut self, method: &str, path: &str) {
        let (status, head, body) = self.http(method, path, "");
        let location = head.lines().find(|line| line.to_ascii_lowercase().starts_with("location: "));
        let location = location.map(|line| &line["location: ".len()..]).unwrap_or_default();
        self.note(format!("{method} {path} -> {status} to {location:?} {}", reason_of_page(&body)));
    }

    fn http_with(&mut self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/admin/v2/{path}") };
        self.far.call(method, &path, self.token.as_deref(), headers, body)
    }

    /// An admin call, of which the status is written down.
    pub(crate) fn order(&mut self, method: &str, path: &str, body: &str) -> String {
        let (status, answer) = self.admin(method, path, body);
        self.note(format!("{method} {path} {body} -> {status}"));
        answer
    }

    /// An admin call, of which status and body are written down.
    pub(crate) fn inquire(&mut self, method: &str, path: &str, body: &str) {
        let (status, answer) = self.admin(method, path, body);
        let json: Result<serde_json::Value, _> = serde_json::from_str(&answer);
        let answer = json.map_or_else(|_| reason_of_page(&answer), |json| json.to_string());
        self.note(format!("{method} {path} {body} -> {status} {answer}"));
    }

    /// A list of texts, written down in order.
    pub(crate) fn sorted(&mut self, path: &str) {
        let (status, answer) = self.admin("GET", path, "");
        let mut list: Vec<String> = serde_json::from_str(&answer).unwrap_or_default();
        list.sort();
        self.note(format!("GET {path} -> {status} {list:?}"));
    }

    /// Has a topic compacted.
    pub(crate) fn compact(&mut self, path: &str) {
        self.order("PUT", &format!("{path}/compaction"), "");
        for _ in 0..50 {
            self.pause(200);
            let (_, answer) = self.admin("GET", &format!("{path}/compaction"), "");
            if !answer.contains("RUNNING") {
                break;
            }
        }
        self.pause(500);
        self.look(&format!("{path}/compaction"), &["status"]);
    }

    /// Parts of a JSON answer, by their paths (`a.b.c`), written down.
    pub(crate) fn look(&mut self, path: &str, parts: &[&str]) {
        let (status, answer) = self.admin("GET", path, "");
        self.note(format!("GET {path} -> {status}"));
        let value: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
        for part in parts {
            let found = part.split('.').fold(&value, |value, key| match key.parse::<usize>() {
                Ok(index) if value.is_array() => &value[index],
                _ => &value[key],
            });
            self.note(format!("  {part} = {found}"));
        }
    }
}

/// Where the real one answers with a page or a text, what it says there, as the reason that it is.
fn reason_of_page(answer: &str) -> String {
    let title = answer.split_once("<title>Error ").and_then(|(_, rest)| rest.split_once("</title>"));
    let Some((title, _)) = title else { return answer.to_owned() };
    let reason = title.split_once(' ').map_or(title, |(_, reason)| reason);
    let reason =
        reason.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::json!({ "reason": reason }).to_string()
}

/// A command in one line, without what it does not say.
fn tell(command: &Command, entry: &Bytes) -> String {
    let mut line = format!("{command:?}");
    line = NOTHING.replace_all(&line, "").into_owned();
    if let Command::Message(_) = command {
        let entry = Entry::parse(entry).unwrap();
        let Ok(metadata) = MessageMetadata::decode(&entry.metadata) else { return line + " of odd metadata" };
        let index = entry.broker.and_then(|broker| broker.index);
        if let Some(count) = metadata.num_messages_in_batch {
            line += &format!(" {count}:");
            let mut reader = BatchReader::new();
            for _ in 0..count {
                let Ok(slot) = reader.next(&entry.payload) else { break };
                let part = |from: u32, to: u32| entry.payload.slice(from as usize..to as usize);
                let single = SingleMessageMetadata::decode(&part(slot.metadata_start, slot.payload_start));
                let payload = part(slot.payload_start, slot.payload_end);
                let gone = if slot.compacted_out { " gone" } else { "" };
                let key = single.unwrap().partition_key;
                line += &format!(" {key:?}={:?}{gone}", String::from_utf8_lossy(&payload));
            }
            return line
                + &format!(" by {} {} index {index:?}", metadata.producer_name, metadata.sequence_id);
        }
        line += &format!(
            " {:?} by {} {} index {index:?}",
            String::from_utf8_lossy(&entry.payload),
            metadata.producer_name,
            metadata.sequence_id
        );
    }
    line
}
