//! Official clients in processes of their own, asked by JSON lines; pages ask through their runner.
//!
//! A request has an `id` that its answer repeats, and says what to `do`; an answer may be an `error`.
//!
//! | `do` | with | answer |
//! |---|---|---|
//! | `produce` | `topic`, `mode` (`single`, `batch`, `chunk`, `alone`, `keyed`), `codec`, `messages` | `sent`: ids, or an `error` each |
//! | `subscribe` | `topic`, `subscription`, `type`, `queue`, `handle`; Java also `retry`, `max_redeliver_count`, `nack_delay_ms` | |
//! | `receive` | `handle`, `count`, `timeout_ms`, `acknowledge`; Java also `then` (`acknowledge`, `negative_acknowledge`, `reconsume_later` with `delay_ms`, `keep`) | `messages`: as many as came before the timeout |
//! | `compare` | `ids`, serialised | `order`: their places, in the client's own order |
//! | `commands` (Java) | | `commands`: all messages of the protocol, filled, as in `tests/golden` |
//! | `recode` (Java) | `messages`: `message` and `hex` each | `messages`: read and written again, in hexadecimal |
//! | `close` | `handle` | |
//!
//! A message has a `payload`: hexadecimal, or null, or `{ "random": [seed, length] }`, see [`random`]; what was received
//! and is larger than 4096 bytes is said by `{ "sha256": .., "length": .. }`. An id is said as `message_id`, the way
//! Java prints it, and as `serialized`, in hexadecimal.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Both, Result};

/// A language that has an official client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// Java, the client of the tested distribution.
    Java,
    /// Python, the official package, with the C++ client inside.
    Python,
}

impl Language {
    /// As the ledger names it.
    pub fn witness(self) -> &'static str {
        match self {
            Self::Java => "pulsar-client (Java) 4.0.8",
            Self::Python => "pulsar-client (Python) 3.13.0",
        }
    }
}

impl Both {
    /// Asks one of them, of the same broker.
    pub(super) async fn ask(&self, language: Language, request: Value) -> Result<Value> {
        let answer = ask(language, &self.env.endpoint.direct, request.clone()).await?;
        match answer["error"].as_str() {
            Some(error) => Err(format!("{language:?} answered {request:.200} with {error}")),
            None => Ok(answer),
        }
    }
}

#[cfg(not(target_family = "wasm"))]
use super::processes::ask;

#[cfg(target_family = "wasm")]
async fn ask(language: Language, broker: &str, request: Value) -> Result<Value> {
    use wasm_bindgen::JsValue;
    use wasm_bindgen::prelude::wasm_bindgen;

    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(js_name = askWitness, catch)]
        async fn by_runner(
            language: &str,
            broker: &str,
            request: &str,
        ) -> std::result::Result<JsValue, JsValue>;
    }

    let answer = by_runner(&format!("{language:?}"), broker, &request.to_string()).await;
    let answer = answer.map_err(|error| format!("{language:?}: {error:?}"))?;
    serde_json::from_str(&answer.as_string().unwrap_or_default()).map_err(|error| error.to_string())
}

/// Bytes that no codec makes smaller: SHA-256 of `seed:0`, `seed:1`, and so on.
pub(crate) fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 32);
    for block in 0.. {
        if bytes.len() >= length {
            break;
        }
        bytes.extend_from_slice(&Sha256::digest(format!("{seed}:{block}")));
    }
    bytes.truncate(length);
    bytes
}

/// A payload as witnesses say that they received it.
pub(crate) fn said(payload: &[u8]) -> Value {
    if payload.len() > 4096 {
        return json!({ "sha256": hex(&Sha256::digest(payload)), "length": payload.len() });
    }
    json!(hex(payload))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
