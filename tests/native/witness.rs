//! The official Python client on the other side of a topic.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use pulsewire::{Client, InitialPosition, Message};
use pulsewire_tests::{Endpoint, Env, Outcome};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// As the ledger names it.
pub(crate) const WITNESS: &str = "pulsar-client (Python) 3.13.0";

type Result<T> = std::result::Result<T, String>;

/// The checks, by name.
pub(crate) async fn run(name: &'static str, env: Env) -> Outcome {
    match name {
        "p01_python_reads_what_we_wrote" => python_reads(env).await,
        "c01_we_read_what_python_wrote" => we_read(env, &["single"]).await,
        "c30_we_read_the_batches_that_python_wrote" => we_read(env, &["batch"]).await,
        "p03_we_read_what_python_compressed" => we_read_compressed(env).await,
        other => Err(format!("no check is called {other}")),
    }
}

/// Their names.
pub(crate) const ALL: [&str; 4] = [
    "p01_python_reads_what_we_wrote",
    "c01_we_read_what_python_wrote",
    "c30_we_read_the_batches_that_python_wrote",
    "p03_we_read_what_python_compressed",
];

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

struct Python {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    _ca: Option<CaFile>,
}

/// A certificate that one process trusts; others run at the same time and trust others.
struct CaFile(PathBuf);

impl CaFile {
    fn new(pem: &str, topic: &str) -> Result<Self> {
        let name = format!("pulsewire-{}-{}.pem", std::process::id(), topic.rsplit('/').next().unwrap_or(""));
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, pem).map_err(text)?;
        Ok(Self(file))
    }
}

impl Drop for CaFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Python {
    async fn start(endpoint: &Endpoint, args: &[&str]) -> Result<(Self, ChildStdin)> {
        let python = std::env::var("PULSEWIRE_PYTHON").map_err(|_| "PULSEWIRE_PYTHON is not set")?;
        let ca = endpoint.ca_pem.as_deref().map(|pem| CaFile::new(pem, args[1])).transpose()?;
        let ca_path = ca.as_ref().map_or(Path::new("-"), |file| &file.0);
        let mut child = Command::new(python)
            .arg("tests/witness/witness.py")
            .arg(&endpoint.url)
            .arg(ca_path)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(text)?;
        let stdin = child.stdin.take().ok_or("no standard input")?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut python = Self { child, lines: BufReader::new(stdout).lines(), _ca: ca };
        python.next().await?;
        Ok((python, stdin))
    }

    async fn next(&mut self) -> Result<Value> {
        let line = tokio::time::timeout(Duration::from_secs(30), self.lines.next_line());
        let line = line.await.map_err(|_| "Python said nothing for 30 s")?.map_err(text)?;
        serde_json::from_str(&line.ok_or("Python ended")?).map_err(text)
    }

    async fn end(mut self) -> Outcome {
        let status = self.child.wait().await.map_err(text)?;
        if status.success() { Ok(()) } else { Err(format!("Python ended with {status}")) }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Payloads of all sorts.
fn payloads() -> Vec<Vec<u8>> {
    let sizes = (0..40).chain([255, 256, 16_383, 16_384, 65_536, 1_000_000]);
    let mut payloads: Vec<Vec<u8>> =
        sizes.map(|n: usize| (0..n).map(|i| (i * 7 + n) as u8).collect()).collect();
    payloads.push("Grüße, 世界 \u{1f310}".as_bytes().to_vec());
    payloads.push((0..=255).collect());
    payloads
}

async fn python_reads(env: Env) -> Outcome {
    let payloads = payloads();
    let topic = format!("persistent://public/default/{}", env.unique);
    let count = payloads.len().to_string();
    let (mut python, _stdin) = Python::start(&env.endpoint, &["consume", &topic, "s", &count]).await?;
    let client = client(&env)?;
    let producer = client.producer(&topic).create().await.map_err(text)?;
    for (i, payload) in payloads.into_iter().enumerate() {
        let message = producer.new_message().payload(payload.clone()).property("n", i.to_string());
        let message = message
            .key(format!("ключ-{i}"))
            .ordering_key(format!("o{i}"))
            .event_time(1_700_000_000_000 + i as u64);
        let id = message.send().await.map_err(text)?;
        let seen = python.next().await?;
        let expected = json!({
            "id": format!("{id}"), "serialized": hex(&id.to_bytes()), "payload": hex(&payload),
            "key": format!("ключ-{i}"), "ordering_key": format!("o{i}"), "properties": { "n": i.to_string() },
            "event_time": 1_700_000_000_000u64 + i as u64, "producer": producer.name(),
        });
        if seen != expected {
            return Err(format!("Python read {seen:.300} instead of {expected:.300}"));
        }
    }
    python.end().await?;
    client.close().await.map_err(text)
}

async fn python_writes(env: &Env, topic: &str, mode: &[&str], messages: &[Value]) -> Result<Vec<String>> {
    let (mut python, mut stdin) = Python::start(&env.endpoint, &[&["produce", topic], mode].concat()).await?;
    for message in messages {
        stdin.write_all(format!("{message}\n").as_bytes()).await.map_err(text)?;
    }
    drop(stdin);
    let mut ids = Vec::new();
    for _ in messages {
        let sent = python.next().await?;
        if sent["result"] != "Result.Ok" && sent["result"] != "Ok" {
            return Err(format!("Python could not send: {sent}"));
        }
        ids.push(sent["id"].as_str().unwrap_or("").to_owned());
    }
    python.end().await?;
    Ok(ids)
}

async fn we_read_compressed(env: Env) -> Outcome {
    for codec in ["LZ4", "ZLIB", "ZSTD", "SNAPPY"] {
        for mode in ["single", "batch"] {
            let env = Env { unique: format!("{}-{codec}-{mode}", env.unique), ..env.clone() };
            we_read(env, &[mode, codec]).await.map_err(|e| format!("{codec}, {mode}: {e}"))?;
        }
    }
    Ok(())
}

async fn we_read(env: Env, mode: &[&str]) -> Outcome {
    let topic = format!("persistent://public/default/{}", env.unique);
    let client = client(&env)?;
    let consumer = client.consumer(&topic, "s").initial_position(InitialPosition::Earliest);
    let consumer = consumer.subscribe().await.map_err(text)?;
    let payloads = payloads();
    let messages: Vec<Value> = payloads
        .iter()
        .enumerate()
        .map(|(i, payload)| {
            json!({
                "payload": hex(payload), "partition_key": format!("k{i}"),
                "properties": { "n": i.to_string(), "ü": "ß" }, "event_timestamp": 1_600_000_000_000u64 + i as u64,
            })
        })
        .collect();
    let ids = python_writes(&env, &topic, mode, &messages).await?;
    let mut batched = 0;
    for (i, (payload, id)) in payloads.iter().zip(&ids).enumerate() {
        let message = receive(&consumer).await?;
        let properties: BTreeMap<_, _> = message.properties().into_iter().collect();
        let same = message.payload() == payload.as_slice()
            && message.key() == Some(&format!("k{i}"))
            && message.event_time() == Some(1_600_000_000_000 + i as u64)
            && properties
                == BTreeMap::from([("n".to_owned(), i.to_string()), ("ü".to_owned(), "ß".to_owned())])
            && message.id().to_string() == *id;
        if !same {
            return Err(format!("message {i} of Python, {id}, came as {message:?}"));
        }
        batched += usize::from(message.id().batch_size > 1);
        consumer.acknowledge(&message).map_err(text)?;
    }
    if (mode[0] == "batch") != (batched > 10) {
        return Err(format!("{batched} messages came in batches"));
    }
    // All of it is acknowledged, batches too.
    consumer.close().await.map_err(text)?;
    let again = client.consumer(&topic, "s").subscribe().await.map_err(text)?;
    match tokio::time::timeout(Duration::from_millis(500), again.receive()).await {
        Err(_) => client.close().await.map_err(text),
        Ok(message) => Err(format!("{:?} came again", message.map(|m| m.id().to_string()))),
    }
}

async fn receive(consumer: &pulsewire::Consumer) -> Result<Message> {
    let message = tokio::time::timeout(Duration::from_secs(20), consumer.receive()).await;
    message.map_err(|_| "no message came for 20 s")?.map_err(text)
}

fn client(env: &Env) -> Result<Client> {
    let mut builder = Client::builder(&env.endpoint.url);
    if let Some(pem) = &env.endpoint.ca_pem {
        builder = builder.tls(pulsewire::transport::tls::TlsOptions::new().trust_pem(pem.as_bytes()));
    }
    builder.build().map_err(text)
}
