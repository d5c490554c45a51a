//! The processes of official clients, one of each language for each broker.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{OnceCell, oneshot};

use super::Result;
use super::witness::Language;

/// No request takes longer.
const LIMIT: Duration = Duration::from_secs(55);

type Cells = HashMap<(Language, String), Arc<OnceCell<Witness>>>;

/// Started when first asked. They end when their standard input does, which is with us.
static ALL: LazyLock<Mutex<Cells>> = LazyLock::new(Mutex::default);

/// Asks the client of `broker`.
pub(super) async fn ask(language: Language, broker: &str, request: Value) -> Result<Value> {
    let cell = ALL
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry((language, broker.to_owned()))
        .or_default()
        .clone();
    cell.get_or_try_init(|| Witness::start(language, broker)).await?.ask(request).await
}

fn command(language: Language) -> Result<Command> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    Ok(match language {
        Language::Java => {
            let mut java = Command::new("java");
            java.args(["-cp", &variable("PULSEWIRE_JAVA")?, "Witness"]);
            java
        }
        Language::Python => {
            let mut python = Command::new(variable("PULSEWIRE_PYTHON")?);
            python.arg("tests/witness/server.py");
            python
        }
    })
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>;

struct Witness {
    input: tokio::sync::Mutex<ChildStdin>,
    waiting: Waiting,
    next: AtomicU64,
    _child: Child,
}

impl Witness {
    async fn start(language: Language, broker: &str) -> Result<Self> {
        let mut child = command(language)?
            .arg(broker)
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
