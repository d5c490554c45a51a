//! Words in the place of what no two runs have in common.

use pulsewire_proto::wire::{MessageIdData, ServerError};

/// Text, without the name of the run, times and ids.
#[derive(Debug)]
pub(super) struct Words {
    unique: String,
}

impl Words {
    pub(super) fn new(unique: &str) -> Self {
        Self { unique: unique.to_owned() }
    }

    pub(super) fn of(&self, text: &str) -> String {
        let text = text.replace(&self.unique, "~").replace("persistent://public/default/", "");
        if text.starts_with("reader-") {
            return "<reader>".to_owned();
        }
        if is_id(&text) {
            return "<id>".to_owned();
        }
        // Made of a consumer's name, which is random.
        if text.starts_with("~-") && (text.ends_with("-DLQ") || text.ends_with("-RETRY")) {
            return "<a producer of letters>".to_owned();
        }
        without_numbers(&text)
    }

    pub(super) fn pairs<'a>(&self, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
        let mut pairs: Vec<String> = pairs.map(|(k, v)| format!("{}={}", self.of(k), self.of(v))).collect();
        pairs.sort();
        format!("{{{}}}", pairs.join(", "))
    }

    /// A topic; of the partition its number stays.
    pub(super) fn topics<'a>(&self, topics: impl Iterator<Item = &'a String>) -> String {
        // Others run beside us in the same namespace.
        let mut ours: Vec<String> = topics.filter(|t| t.contains(&self.unique)).map(|t| self.of(t)).collect();
        ours.sort();
        format!("[{}]", ours.join(", "))
    }
}

/// `ledger:entry` and perhaps more numbers.
fn is_id(text: &str) -> bool {
    text.split(':').count() > 1 && text.split(':').all(|part| part.parse::<i64>().is_ok())
}

/// Long numbers are times or random, and those right after the name of the run count attempts.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let counts = out.ends_with("~-") && !digits.is_empty();
        out.push_str(if digits.len() >= 8 || counts { "<n>" } else { &digits });
        digits.clear();
        out.push(c);
    }
    out.pop();
    out
}

/// A partition's topic, of whatever partition.
pub(super) fn any_partition(name: &str) -> String {
    let Some((topic, rest)) = name.split_once("-partition-") else { return name.to_owned() };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{topic}-partition-<any>{rest}")
}

/// An error code, or that there was none.
pub(super) fn code(error: Option<ServerError>) -> String {
    error.map_or_else(|| "ok".to_owned(), |error| format!("{error:?}"))
}

/// A number that is there, or -1, or nothing.
fn sign(number: u64) -> &'static str {
    if number == u64::MAX { "-1" } else { "n" }
}

/// Which parts of an id are there; partitions and places in a batch as they are.
pub(super) fn shape(id: &MessageIdData) -> String {
    let mut shape = format!("{}:{}", sign(id.ledger_id), sign(id.entry_id));
    for (name, part) in [("partition", id.partition), ("index", id.batch_index), ("of", id.batch_size)] {
        if let Some(part) = part {
            shape.push_str(&format!(" {name} {part}"));
        }
    }
    if let Some(first) = &id.first_chunk_message_id {
        shape.push_str(&format!(" first chunk {}", self::shape(first)));
    }
    shape
}

/// A digest of bytes: the same for the same bytes.
pub(super) fn digest(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
