//! What is known of connections while frames go by.

use std::collections::{BTreeMap, BTreeSet};

use pulsewire_proto::wire::frame::RawFrame;
use pulsewire_proto::wire::{Command, MessageIdData, SubType};

use super::messages::Delivered;
use super::words::Words;

/// Lines of one subscription's messages that are kept one by one; more are folded into a digest.
const LINES: usize = 200;

#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) words: Words,
    facts: BTreeSet<String>,
    /// By the subscription: lines that may be many.
    many: BTreeMap<String, BTreeSet<String>>,
    connections: u64,
    /// What was asked: by connection and request id.
    pub(super) asked: BTreeMap<(u64, u64), String>,
    pub(super) producers: BTreeMap<(u64, u64), Producer>,
    pub(super) consumers: BTreeMap<(u64, u64), Consumer>,
    /// By connection and watcher.
    pub(super) watchers: BTreeMap<(u64, u64), String>,
    /// Names that the client gave its producers.
    pub(super) named: BTreeSet<String>,
    /// Names that brokers gave.
    pub(super) made_up: BTreeSet<String>,
    /// What is known of a topic's ids.
    pub(super) ids: BTreeMap<String, BTreeSet<(u64, u64)>>,
}

#[derive(Debug, Default)]
pub(super) struct Producer {
    pub(super) topic: String,
    pub(super) last: Option<(u64, (u64, u64))>,
}

#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) topic: String,
    pub(super) name: String,
    pub(super) sub_type: SubType,
    /// Whether each key's messages are promised in order, where keys are shared.
    pub(super) by_key: bool,
    pub(super) seen: Delivered,
}

impl Recorder {
    pub(super) fn new(unique: &str) -> Self {
        Self {
            words: Words::new(unique),
            facts: BTreeSet::new(),
            many: BTreeMap::new(),
            connections: 0,
            asked: BTreeMap::new(),
            producers: BTreeMap::new(),
            consumers: BTreeMap::new(),
            watchers: BTreeMap::new(),
            named: BTreeSet::new(),
            made_up: BTreeSet::new(),
            ids: BTreeMap::new(),
        }
    }

    pub(super) fn connection(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }

    pub(super) fn fact(&mut self, fact: String) {
        self.facts.insert(fact);
    }

    /// One of perhaps many lines about `whose`.
    pub(super) fn line(&mut self, whose: &str, line: String) {
        self.many.entry(whose.to_owned()).or_default().insert(line);
    }

    pub(super) fn facts(&self) -> BTreeSet<String> {
        let mut facts = self.facts.clone();
        for (whose, lines) in &self.many {
            if lines.len() <= LINES {
                facts.extend(lines.iter().map(|line| format!("{whose}: {line}")));
            } else {
                let all: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
                let digest = super::words::digest(all.as_bytes());
                facts.insert(format!("{whose}: {} different lines, together {digest}", lines.len()));
            }
        }
        facts
    }

    pub(super) fn sent(&mut self, conn: u64, frame: &RawFrame) {
        if let Ok(command) = frame.decode() {
            self.request(conn, command);
        }
    }

    pub(super) fn heard(&mut self, conn: u64, frame: &RawFrame) {
        match frame.decode() {
            Ok(Command::Message(message)) => self.message(conn, &message, &frame.entry),
            Ok(command) => self.reply(conn, command),
            Err(error) => self.fact(format!("a command that cannot be read: {error}")),
        }
    }

    /// Which of the ids of its topic that are known an id is.
    pub(super) fn place(&self, topic: &str, id: &MessageIdData) -> String {
        let place = (id.ledger_id, id.entry_id);
        if id.entry_id == u64::MAX {
            return "before all".to_owned();
        }
        let Some(known) = self.ids.get(topic) else { return "unknown".to_owned() };
        match known.iter().rev().position(|known| *known == place) {
            Some(0) => "the last".to_owned(),
            // How many depends on when acknowledgements went out.
            Some(_) => "before the last".to_owned(),
            None => "unknown".to_owned(),
        }
    }

    pub(super) fn administered(&mut self, method: &str, path: &str, status: u16, body: &str) {
        let call = format!("admin {method} {}", self.words.of(path));
        self.fact(format!("{call}: {status}"));
        let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(body) else { return };
        for (name, value) in fields {
            let kind = match value {
                serde_json::Value::Null => "null",
                serde_json::Value::Bool(_) => "a truth value",
                serde_json::Value::Number(_) => "a number",
                serde_json::Value::String(_) => "text",
                serde_json::Value::Array(_) => "a list",
                serde_json::Value::Object(_) => "an object",
            };
            self.fact(format!("{call}: field {} is {kind}", self.words.of(&name)));
        }
    }
}
