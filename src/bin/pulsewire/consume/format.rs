//! How messages are printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, stdout};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use pulsewire::Message;
use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The payload
    Text,
    /// One JSON object a line
    Json,
    /// The payload in hexadecimal digits
    Hex,
}

/// Writes messages, one a line.
pub(crate) struct Printer {
    format: Format,
    /// Whether what looks like a command to the terminal must not be one.
    escape: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    id: String,
    topic: &'a str,
    key: Option<&'a str>,
    key_encoding: Option<&'static str>,
    properties: BTreeMap<String, String>,
    publish_time: u64,
    event_time: Option<u64>,
    redelivery_count: u32,
    producer_name: &'a str,
    payload: Option<String>,
    payload_encoding: Option<&'static str>,
}

impl Printer {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, escape: stdout().is_terminal() }
    }

    /// Appends a message and a line end.
    pub(crate) fn print(&self, message: &Message, out: &mut Vec<u8>) {
        match self.format {
            Format::Text if self.escape => out.extend_from_slice(escaped(message.payload()).as_bytes()),
            Format::Text => out.extend_from_slice(message.payload()),
            Format::Json => json(message, out),
            Format::Hex => out.extend_from_slice(hex(message.payload()).as_bytes()),
        }
        out.push(b'\n');
    }
}

fn json(message: &Message, out: &mut Vec<u8>) {
    let (payload, payload_encoding) = match std::str::from_utf8(message.payload()) {
        _ if message.is_null() => (None, None),
        Ok(text) => (Some(text.to_owned()), Some("text")),
        Err(_) => (Some(STANDARD.encode(message.payload())), Some("base64")),
    };
    let json = Json {
        id: message.id().to_string(),
        topic: message.topic(),
        key: message.key(),
        key_encoding: message.key().map(|_| if message.has_base64_key() { "base64" } else { "text" }),
        properties: message.properties().into_iter().collect(),
        publish_time: message.publish_time(),
        event_time: message.event_time(),
        redelivery_count: message.redelivery_count(),
        producer_name: message.producer_name(),
        payload,
        payload_encoding,
    };
    // Of strings and numbers, into memory: this cannot fail.
    let _ = serde_json::to_writer(out, &json);
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Text that does nothing to a terminal.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' | '\n' => text.push(c),
                c if c.is_control() => text.extend(c.escape_default()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_commands() {
        assert_eq!(escaped("a\tü\x1b[2J\u{9b}".as_bytes()), "a\tü\\u{1b}[2J\\u{9b}");
        assert_eq!(escaped(b"\xff\xfeok"), "\\xff\\xfeok");
    }

    #[test]
    fn hexadecimal_digits() {
        assert_eq!(hex(b"\x00\xffA"), "00ff41");
    }
}
