//! Official clients in processes of their own, asked by JSON lines.
//!
//! A request has an `id` that its answer repeats, and says what to `do`; an answer may be an `error`.
//!
//! | `do` | with | answer |
//! |---|---|---|
//! | `produce` | `topic`, `mode` (`single`, `batch`, `chunk`), `codec`, `messages` | `sent`: ids, or an `error` each |
//! | `subscribe` | `topic`, `subscription`, `type`, `queue`, `handle` | |
//! | `receive` | `handle`, `count`, `timeout_ms`, `acknowledge` | `messages`: as many as came before the timeout |
//! | `compare` | `ids`, serialised | `order`: their places, in the client's own order |
//! | `close` | `handle` | |
//!
//! A message has a `payload`: hexadecimal, or null, or `{ "random": [seed, length] }`, see [`random`]; what was received
//! and is larger than 4096 bytes is said by `{ "sha256": .., "length": .. }`. An id is said as `message_id`, the way
//! Java prints it, and as `serialized`, in hexadecimal.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pulsewire_tests::Endpoint;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{OnceCell, oneshot};

use super::Result;

/// No request takes longer.
const LIMIT: Duration = Duration::from_secs(55);

/// A language that has an official client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Java,
    Python,
}

impl Language {
    /// As the ledger names it.
    pub(crate) fn witness(self) -> &'static str {
        match self {
            Self::Java => "pulsar-client (Java) 4.0.8",
            Self::Python => "pulsar-client (Python) 3.13.0",
        }
    }

    fn command(self) -> Result<Command> {
        let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
        Ok(match self {
            Self::Java => {
                let mut java = Command::new("java");
                java.args(["-cp", &variable("PULSEWIRE_JAVA")?, "Witness"]);
                java
            }
            Self::Python => {
                let mut python = Command::new(variable("PULSEWIRE_PYTHON")?);
                python.arg("tests/witness/server.py");
                python
            }
        })
    }
}

/// Both clients, of one broker; started when first asked.
#[derive(Default)]
pub(crate) struct Witnesses {
    java: OnceCell<Witness>,
    python: OnceCell<Witness>,
}

impl Witnesses {
    /// Asks one of them.
    pub(crate) async fn ask(&self, language: Language, endpoint: &Endpoint, request: Value) -> Result<Value> {
        let cell = if language == Language::Java { &self.java } else { &self.python };
        let witness = cell.get_or_try_init(|| Witness::start(language, endpoint)).await?;
        let answer = witness.ask(request.clone()).await?;
        match answer["error"].as_str() {
            Some(error) => Err(format!("{language:?} answered {request:.200} with {error}")),
            None => Ok(answer),
        }
    }
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>;

struct Witness {
    input: tokio::sync::Mutex<ChildStdin>,
    waiting: Waiting,
    next: AtomicU64,
    _child: Child,
}

impl Witness {
    async fn start(language: Language, endpoint: &Endpoint) -> Result<Self> {
        let mut child = language
            .command()?
            .arg(&endpoint.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("{language:?} cannot be run: {e}"))?;
        let input = child.stdin.take().ok_or("no standard input")?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
        let waiting = Waiting::default();
        let answers = waiting.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let Ok(answer) = serde_json::from_str::<Value>(&line) else { continue };
                let id = answer["id"].as_u64().unwrap_or(u64::MAX);
                let asked = answers.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                // Whoever asked may have given up.
                let _ = asked.map(|asked| asked.send(answer));
            }
            // It has ended: whoever waits learns of it.
            answers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        });
        let input = tokio::sync::Mutex::new(input);
        Ok(Self { input, waiting, next: AtomicU64::new(0), _child: child })
    }

    async fn ask(&self, mut request: Value) -> Result<Value> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        request["id"] = json!(id);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        let line = format!("{request}\n");
        self.input.lock().await.write_all(line.as_bytes()).await.map_err(|e| e.to_string())?;
        let answer = tokio::time::timeout(LIMIT, answer).await.map_err(|_| "the witness did not answer")?;
        answer.map_err(|_| "the witness has ended".to_owned())
    }
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
