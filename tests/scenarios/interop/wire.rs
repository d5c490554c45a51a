//! Commands, as Java's generated classes read and write them: every one, with every field.

use bytes::{Bytes, BytesMut};
use pulsewire_proto::wire::{
    BrokerEntryMetadata, Command, MessageMetadata, SingleMessageMetadata, command_number,
};
use serde_json::{Value, json};

use super::witness::{Language::Java, hex};
use super::{Both, Result};
use crate::env::{Env, Outcome, holds, same, text};

/// Each command so often, each time with other values.
const ROUNDS: u64 = 5;
/// Messages within messages, at most.
const DEPTH: usize = 4;

/// What stands on the wire by itself: commands, and what goes with entries.
const ALONE: [&str; 4] = ["BaseCommand", "MessageMetadata", "SingleMessageMetadata", "BrokerEntryMetadata"];

pub(crate) async fn w02_we_read_and_write_every_command_as_java_writes_it(env: Env) -> Outcome {
    let both = Both::new(env);
    let answer = both.ask(Java, json!({ "do": "commands" })).await?;
    let mut commands = 0;
    for vector in answer["commands"].as_array().into_iter().flatten() {
        let (name, message) =
            (vector["name"].as_str().unwrap_or(""), vector["message"].as_str().unwrap_or(""));
        if ALONE.contains(&message) && vector["decode_only"] != true {
            let bytes = vector["hex"].as_str().unwrap_or("");
            let again = ours(message, &unhex(bytes)).map_err(|e| format!("{name}: {e}"))?;
            same(name, hex(&again).as_str(), bytes)?;
            commands += 1;
        }
    }
    // 55 commands and 3 sorts of metadata, each in four ways at least.
    holds(&format!("{commands} are enough"), commands >= 4 * 58)
}

pub(crate) async fn w02_java_reads_and_writes_every_command_as_we_write_it(env: Env) -> Outcome {
    let both = Both::new(env);
    let version = "4.0.8";
    let schema: Value = serde_json::from_str(include_str!("../../golden/schema.json")).map_err(text)?;
    let known = |thing: &&Value| thing["from"] == version;
    let types = schema["enums"]["BaseCommand.Type"]["values"].as_array().ok_or("no commands")?;
    let fields = schema["messages"]["BaseCommand"]["fields"].as_array().ok_or("no fields")?;
    let mut written = Vec::new();
    for round in 0..ROUNDS {
        let mut filler = Filler { schema: &schema, version, seed: round };
        for command in types.iter().filter(known) {
            let number = command["number"].as_u64().unwrap_or_default();
            let field =
                fields.iter().find(|field| field["number"] == number).ok_or("no field for a command")?;
            let body =
                field["type"].as_str().and_then(|kind| kind.strip_prefix("message ")).ok_or("no body")?;
            let mut bytes = BytesMut::new();
            put_number(1, number, &mut bytes);
            let body = filler.message(body, DEPTH);
            put_bytes(number, &body, &mut bytes);
            written.push(("BaseCommand", bytes.freeze()));
        }
        for name in &ALONE[1..] {
            written.push((name, filler.message(name, DEPTH).freeze()));
        }
    }
    for (name, bytes) in &mut written {
        let again = ours(name, bytes).map_err(|e| format!("{name} {}: {e}", hex(bytes)))?;
        same(name, hex(&again), hex(bytes))?;
        *bytes = again;
    }
    let messages: Vec<Value> =
        written.iter().map(|(name, bytes)| json!({ "message": name, "hex": hex(bytes) })).collect();
    let answer = both.ask(Java, json!({ "do": "recode", "messages": messages })).await?;
    let again = answer["messages"].as_array().ok_or("Java wrote nothing")?;
    same("messages", again.len(), written.len())?;
    for ((name, bytes), again) in written.iter().zip(again) {
        same(name, again.as_str().unwrap_or(""), &hex(bytes))?;
    }
    Ok(())
}

/// Decoded and encoded again.
fn ours(message: &str, bytes: &Bytes) -> Result<Bytes> {
    let mut out = BytesMut::new();
    match message {
        "BaseCommand" => {
            let command = Command::decode(bytes).map_err(text)?;
            same("the command's number", command_number(bytes).map_err(text)?, command.number())?;
            holds("it is known", !matches!(command, Command::Unknown(_)))?;
            command.encode(&mut out);
        }
        "MessageMetadata" => MessageMetadata::decode(bytes).map_err(text)?.encode(&mut out),
        "SingleMessageMetadata" => SingleMessageMetadata::decode(bytes).map_err(text)?.encode(&mut out),
        _ => BrokerEntryMetadata::decode(bytes).map_err(text)?.encode(&mut out),
    }
    Ok(out.freeze())
}

/// Makes messages with all fields set, from the protocol's shape.
struct Filler<'a> {
    schema: &'a Value,
    version: &'a str,
    seed: u64,
}

impl Filler<'_> {
    fn message(&mut self, name: &str, depth: usize) -> BytesMut {
        let mut out = BytesMut::new();
        for field in self.schema["messages"][name]["fields"].as_array().into_iter().flatten() {
            if field["from"] != self.version {
                continue;
            }
            let times = if field["label"] == "repeated" { 1 + self.next() % 3 } else { 1 };
            for _ in 0..times {
                self.field(field, depth, &mut out);
            }
        }
        out
    }

    fn field(&mut self, field: &Value, depth: usize, out: &mut BytesMut) {
        let number = field["number"].as_u64().unwrap_or_default();
        let random = self.next();
        match field["type"].as_str().unwrap_or("") {
            "bool" => put_number(number, random & 1, out),
            "uint64" | "int64" => put_number(number, random >> (random % 64), out),
            // Java writes those with the highest bit in another way.
            "uint32" => put_number(number, (random >> 33) >> (random % 31), out),
            "int32" => put_number(number, (random as i32 >> (random % 31)) as i64 as u64, out),
            "double" => {
                put_varint(number << 3 | 1, out);
                out.extend_from_slice(&(random as f64 / 7.0).to_le_bytes());
            }
            "string" => put_bytes(number, format!("größe {random} 世界 \u{1f30a}").as_bytes(), out),
            "bytes" => put_bytes(number, &random.to_le_bytes()[..(random % 9) as usize], out),
            other => match other.split_once(' ') {
                Some(("message", name)) if depth > 0 => {
                    let message = self.message(name, depth - 1);
                    put_bytes(number, &message, out);
                }
                Some(("enum", name)) => {
                    let values = self.schema["enums"][name]["values"].as_array();
                    let known: Vec<u64> = values
                        .into_iter()
                        .flatten()
                        .filter(|value| value["from"] == self.version)
                        .map(|value| value["number"].as_i64().unwrap_or_default() as u64)
                        .collect();
                    put_number(number, known[random as usize % known.len()], out);
                }
                _ => {}
            },
        }
    }

    /// The next number of a sequence that is the same each time (splitmix64).
    fn next(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn put_number(number: u64, value: u64, out: &mut BytesMut) {
    put_varint(number << 3, out);
    put_varint(value, out);
}

fn put_bytes(number: u64, bytes: &[u8], out: &mut BytesMut) {
    put_varint(number << 3 | 2, out);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_varint(mut value: u64, out: &mut BytesMut) {
    while value >= 0x80 {
        out.extend_from_slice(&[value as u8 | 0x80]);
        value >>= 7;
    }
    out.extend_from_slice(&[value as u8]);
}

fn unhex(hex: &str) -> Bytes {
    let pair = |at: usize| u8::from_str_radix(hex.get(at..at + 2).unwrap_or(""), 16).unwrap_or_default();
    (0..hex.len()).step_by(2).map(pair).collect()
}
