//! Each client reads what each has written.

use std::collections::BTreeMap;
use std::time::Duration;

use pulsewire::{
    BatcherBuilder, Client, CompressionType, InitialPosition, Message, MessageId, SubscriptionType,
};
use serde_json::{Value, json};

use super::witness::{Language, hex, random, said};
use super::{Both, Result, text};
use crate::env::{Env, Outcome, within};

/// Who writes or reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Party {
    Ours,
    Theirs(Language),
}

pub(super) const JAVA: Party = Party::Theirs(Language::Java);
pub(super) const PYTHON: Party = Party::Theirs(Language::Python);

/// How messages become entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Single,
    Batch,
    Chunk,
    /// Batches of one message each.
    Alone,
    /// Batches by key.
    Keyed,
}

impl Mode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Batch => "batch",
            Self::Chunk => "chunk",
            Self::Alone => "alone",
            Self::Keyed => "keyed",
        }
    }
}

macro_rules! checks {
    ($($name:ident: $writer:expr, $mode:expr => $reader:expr;)*) => {$(
        pub(crate) async fn $name(env: Env) -> Outcome {
            matrix(Both::new(env), $writer, $mode, $reader).await
        }
    )*};
}

checks! {
    p01_java_reads_our_single_messages: Party::Ours, Mode::Single => JAVA;
    p01_python_reads_our_single_messages: Party::Ours, Mode::Single => PYTHON;
    p04_java_reads_our_batches: Party::Ours, Mode::Batch => JAVA;
    p04_python_reads_our_batches: Party::Ours, Mode::Batch => PYTHON;
    c30_we_read_the_single_messages_of_java: JAVA, Mode::Single => Party::Ours;
    c30_we_read_the_single_messages_of_python: PYTHON, Mode::Single => Party::Ours;
    c30_we_read_the_batches_of_java: JAVA, Mode::Batch => Party::Ours;
    c30_we_read_the_batches_of_python: PYTHON, Mode::Batch => Party::Ours;
    p05_java_reads_our_chunks: Party::Ours, Mode::Chunk => JAVA;
    p05_python_reads_our_chunks: Party::Ours, Mode::Chunk => PYTHON;
    p04_java_reads_our_batches_of_one: Party::Ours, Mode::Alone => JAVA;
    p04_python_reads_our_batches_of_one: Party::Ours, Mode::Alone => PYTHON;
    c30_we_read_the_batches_of_one_of_java: JAVA, Mode::Alone => Party::Ours;
    c30_we_read_the_batches_of_one_of_python: PYTHON, Mode::Alone => Party::Ours;
    p04_java_reads_our_batches_by_key: Party::Ours, Mode::Keyed => JAVA;
    p04_python_reads_our_batches_by_key: Party::Ours, Mode::Keyed => PYTHON;
    c30_we_read_the_batches_by_key_of_java: JAVA, Mode::Keyed => Party::Ours;
    c30_we_read_the_batches_by_key_of_python: PYTHON, Mode::Keyed => Party::Ours;
    c28_we_read_the_chunks_of_java: JAVA, Mode::Chunk => Party::Ours;
    c28_we_read_the_chunks_of_python: PYTHON, Mode::Chunk => Party::Ours;
}

const CODECS: [&str; 5] = ["NONE", "LZ4", "ZLIB", "ZSTD", "SNAPPY"];

async fn matrix(both: Both, writer: Party, mode: Mode, reader: Party) -> Outcome {
    for codec in CODECS {
        let cell = format!("{codec}, {mode:?}, {writer:?} to {reader:?}");
        one(&both, writer, mode, codec, reader).await.map_err(|e| format!("{cell}: {e}"))?;
    }
    Ok(())
}

async fn one(both: &Both, writer: Party, mode: Mode, codec: &str, reader: Party) -> Outcome {
    let topic = both.topic(codec);
    // Python's client can neither write nor tell a null value.
    let messages = match mode {
        Mode::Chunk => large(),
        _ => messages(writer != PYTHON && reader != PYTHON),
    };
    let sent = write(both, writer, &topic, mode, codec, &messages).await?;
    let mut received = read(both, reader, &topic, messages.len()).await?;
    if mode == Mode::Keyed {
        // Key by key; of one key in the order of sending, as ids say.
        let place = |id: &Value| sent.iter().position(|sent| sent["message_id"] == id["message_id"]);
        let mut last = BTreeMap::new();
        for message in &received {
            // An empty key is another one than none.
            let key = (message["key"].to_string(), message["ordering_key"].to_string());
            let before = last.insert(key, place(message));
            if before.is_some_and(|before| before > place(message)) {
                return Err(format!("{} came after a later message of its key", message["message_id"]));
            }
        }
        received.sort_by_key(place);
    }
    if received.len() != messages.len() || sent.len() != messages.len() {
        return Err(format!("{} sent, {} received", sent.len(), received.len()));
    }
    for (at, ((message, sent), received)) in messages.iter().zip(&sent).zip(&received).enumerate() {
        // Python says nothing of first chunks, but when it serialises an id.
        let bare = |id: &Value| match id["message_id"].as_str() {
            Some(text) if mode == Mode::Chunk && (writer == PYTHON || reader == PYTHON) => {
                let mut bare = id.clone();
                bare["message_id"] = json!(text.rsplit(';').next());
                bare
            }
            _ => id.clone(),
        };
        let (sent, received) = (&bare(sent), &bare(received));
        // Java alone says that there is no batch.
        let parsed =
            |id: &Value| MessageId::from_bytes(&payload(&json!({ "payload": id["serialized"] }))?).ok();
        if mode == Mode::Chunk && (parsed(sent) != parsed(received) || parsed(sent).is_none()) {
            return Err(format!("message {at}: {sent} came as {}", received["serialized"]));
        }
        compare(message, sent, received).map_err(|e| format!("message {at}: {e}"))?;
    }
    Ok(())
}

/// Just under the limit all clients send and read; just over it each refuses, and goes on.
pub(crate) async fn p01_all_clients_have_the_same_limit(env: Env) -> Outcome {
    let both = Both::new(env);
    let limit = both.env.endpoint.max_message_size;
    let sized = |size: usize| json!({ "payload": { "random": [size, size] } });
    // Metadata counts too.
    let messages = [sized(limit - 1024), sized(limit + 1), json!({ "payload": "01" })];
    for writer in [Party::Ours, JAVA, PYTHON] {
        let topic = both.topic(&format!("{writer:?}").replace(['(', ')'], ""));
        let mut sent = Vec::new();
        for message in &messages {
            let one = write(&both, writer, &topic, Mode::Single, "NONE", std::slice::from_ref(message)).await;
            // Ours fails as a whole, theirs for each message.
            sent.push(
                one.ok().and_then(|sent| sent.into_iter().next()).filter(|sent| sent.get("error").is_none()),
            );
        }
        let [Some(under), None, Some(after)] = &sent[..] else {
            return Err(format!("{writer:?}: {sent:?}"));
        };
        for reader in [Party::Ours, JAVA, PYTHON] {
            let received = read(&both, reader, &topic, 2).await?;
            if received.len() != 2 {
                return Err(format!("{writer:?} to {reader:?}: {} came", received.len()));
            }
            compare(&messages[0], under, &received[0])
                .map_err(|e| format!("{writer:?} to {reader:?}: {e}"))?;
            compare(&messages[2], after, &received[1])
                .map_err(|e| format!("{writer:?} to {reader:?}: {e}"))?;
        }
    }
    Ok(())
}

/// Whoever sends and whoever reads, a message that is put off comes when its time has come.
pub(crate) async fn p13_delayed_messages_are_seen_alike(env: Env) -> Outcome {
    const DELAY: u64 = 3_000;
    let both = Both::new(env);
    let client = both.client()?;
    for writer in [Party::Ours, JAVA, PYTHON] {
        let topic = both.topic(&format!("{writer:?}").replace(['(', ')'], ""));
        let consumer = client.consumer(&topic, "ours").initial_position(InitialPosition::Earliest);
        let consumer =
            consumer.subscription_type(SubscriptionType::Shared).subscribe().await.map_err(text)?;
        let handle = |language: Language| format!("{topic}-{language:?}");
        for language in [Language::Java, Language::Python] {
            let name = format!("{language:?}");
            let request = json!({ "do": "subscribe", "topic": topic, "subscription": name, "type": "Shared", "handle": handle(language) });
            both.ask(language, request).await?;
        }
        let messages = [json!({ "payload": "01", "deliver_after_ms": DELAY }), json!({ "payload": "02" })];
        let sent = write(&both, writer, &topic, Mode::Single, "NONE", &messages).await?;
        // The second overtakes the first.
        for message in [1, 0] {
            let ours = receive(&consumer).await?;
            consumer.acknowledge(&ours).map_err(text)?;
            compare(&messages[message], &sent[message], &as_said(&ours))
                .map_err(|e| format!("{writer:?}: {e}"))?;
        }
        for language in [Language::Java, Language::Python] {
            let request =
                json!({ "do": "receive", "handle": handle(language), "count": 2, "timeout_ms": 15_000 });
            let theirs = both.ask(language, request).await?;
            for (at, message) in [1, 0].into_iter().enumerate() {
                let theirs = &theirs["messages"][at];
                compare(&messages[message], &sent[message], theirs)
                    .map_err(|e| format!("{writer:?} to {language:?}: {e}"))?;
            }
            both.ask(language, json!({ "do": "close", "handle": handle(language) })).await?;
        }
    }
    client.close().await.map_err(text)
}

/// Sends; the ids, in order.
pub(super) async fn write(
    both: &Both,
    writer: Party,
    topic: &str,
    mode: Mode,
    codec: &str,
    messages: &[Value],
) -> Result<Vec<Value>> {
    match writer {
        Party::Ours => we_write(both, topic, mode, codec, messages).await,
        Party::Theirs(language) => {
            let mode = mode.name();
            let request = json!({ "do": "produce", "topic": topic, "mode": mode, "codec": codec, "messages": messages });
            let answer = both.ask(language, request).await?;
            Ok(answer["sent"].as_array().cloned().unwrap_or_default())
        }
    }
}

/// Receives from the beginning of a topic.
pub(super) async fn read(both: &Both, reader: Party, topic: &str, count: usize) -> Result<Vec<Value>> {
    match reader {
        Party::Ours => we_read(both, topic, count).await,
        Party::Theirs(language) => they_read(both, language, topic, count).await,
    }
}

/// What every writer sends.
fn messages(nulls: bool) -> Vec<Value> {
    let mut messages = vec![
        json!({ "payload": hex("Grüße, 世界 \u{1f310}".as_bytes()), "key": "ключ", "ordering_key": hex(b"order"),
                "properties": { "a": "1", "ü": "ß", "": "empty name" }, "event_time": 1_700_000_000_123u64 }),
        json!({ "payload": "" }),
        json!({ "payload": "00" }),
        json!({ "payload": "ff", "key": "" , "properties": { "n": "" } }),
        json!({ "payload": hex(&[b'x'; 4000]), "key": "same" }),
        json!({ "payload": { "random": [1, 70_000] }, "key": "same", "event_time": 1 }),
    ];
    if nulls {
        messages.push(json!({ "payload": null, "key": "gone" }));
        messages.push(json!({ "payload": null }));
    }
    messages.extend(
        (0..40).map(|n| json!({ "payload": hex(format!("message {n}").as_bytes()), "key": format!("k{n}") })),
    );
    messages
}

/// Messages that no codec makes small enough for one entry, and one that is small.
fn large() -> Vec<Value> {
    vec![
        json!({ "payload": { "random": [7, 6_000_000] }, "key": "large", "properties": { "a": "1" },
                "event_time": 1_700_000_000_123u64 }),
        json!({ "payload": "00", "key": "small" }),
    ]
}

/// The payload that a message is to have, `None` for a null value.
fn payload(message: &Value) -> Option<Vec<u8>> {
    match &message["payload"] {
        Value::String(text) => Some(
            (0..text.len() / 2)
                .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap_or_default())
                .collect(),
        ),
        Value::Object(object) => {
            let number = |at: usize| object["random"][at].as_u64().unwrap_or_default();
            Some(random(number(0), number(1) as usize))
        }
        _ => None,
    }
}

fn compare(message: &Value, sent: &Value, received: &Value) -> Outcome {
    let mut expected = json!({
        "payload": payload(message).map(|payload| said(&payload)),
        "properties": message.get("properties").cloned().unwrap_or(json!({})),
        "event_time": message.get("event_time").cloned().unwrap_or(json!(0)),
        "message_id": sent["message_id"],
    });
    for name in ["key", "ordering_key"] {
        // Some readers cannot tell an empty key from none.
        if let Some(value) = message.get(name).filter(|value| *value != "") {
            expected[name] = value.clone();
        }
    }
    for (name, expected) in expected.as_object().into_iter().flatten() {
        if received[name] != *expected {
            return Err(format!("{name} is {:.200} instead of {expected:.200}", received[name]));
        }
    }
    Ok(())
}

async fn we_write(
    both: &Both,
    topic: &str,
    mode: Mode,
    codec: &str,
    messages: &[Value],
) -> Result<Vec<Value>> {
    let client = both.client()?;
    let builder = client.producer(topic).batching(matches!(mode, Mode::Batch | Mode::Alone | Mode::Keyed));
    let builder = if mode == Mode::Alone { builder.batching_max_messages(1) } else { builder };
    let by = if mode == Mode::Keyed { BatcherBuilder::KeyBased } else { BatcherBuilder::Default };
    let builder = builder.batcher_builder(by);
    let builder = builder.batching_max_publish_delay(Duration::from_secs(20)).batching_max_bytes(1024 * 1024);
    let builder = builder.chunking_enabled(mode == Mode::Chunk).compression_type(wire(codec));
    let producer = builder.create().await.map_err(text)?;
    let sends: Vec<_> = messages
        .iter()
        .map(|message| {
            let mut builder = producer.new_message();
            if let Some(payload) = payload(message) {
                builder = builder.payload(payload);
            }
            if let Some(key) = message["key"].as_str() {
                builder = builder.key(key);
            }
            if let Some(key) = payload(&json!({ "payload": message["ordering_key"] })) {
                builder = builder.ordering_key(key);
            }
            for (name, value) in message["properties"].as_object().into_iter().flatten() {
                builder = builder.property(name, value.as_str().unwrap_or(""));
            }
            if let Some(time) = message["event_time"].as_u64() {
                builder = builder.event_time(time);
            }
            if let Some(time) = message["deliver_after_ms"].as_u64() {
                builder = builder.deliver_after(Duration::from_millis(time));
            }
            builder.send()
        })
        .collect();
    producer.flush().await.map_err(text)?;
    let mut sent = Vec::new();
    for send in sends {
        let id = send.await.map_err(text)?;
        sent.push(json!({ "message_id": id.to_string(), "serialized": hex(&id.to_bytes()) }));
    }
    client.close().await.map_err(text)?;
    Ok(sent)
}

fn wire(codec: &str) -> CompressionType {
    let known = CompressionType::KNOWN.iter().find(|(_, name)| *name == codec);
    CompressionType(known.map_or(-1, |(number, _)| *number))
}

async fn we_read(both: &Both, topic: &str, count: usize) -> Result<Vec<Value>> {
    let client = both.client()?;
    let consumer = client.consumer(topic, "ours").initial_position(InitialPosition::Earliest);
    let consumer = consumer.subscribe().await.map_err(text)?;
    let mut received = Vec::new();
    for _ in 0..count {
        let message = receive(&consumer).await?;
        consumer.acknowledge(&message).map_err(text)?;
        received.push(as_said(&message));
    }
    close(client).await?;
    Ok(received)
}

async fn close(client: Client) -> Outcome {
    client.close().await.map_err(text)
}

async fn they_read(both: &Both, language: Language, topic: &str, count: usize) -> Result<Vec<Value>> {
    both.ask(
        language,
        json!({ "do": "subscribe", "topic": topic, "subscription": format!("{language:?}"), "handle": topic }),
    )
    .await?;
    let answer = both
        .ask(language, json!({ "do": "receive", "handle": topic, "count": count, "timeout_ms": 10_000 }))
        .await?;
    both.ask(language, json!({ "do": "close", "handle": topic })).await?;
    Ok(answer["messages"].as_array().cloned().unwrap_or_default())
}

pub(super) async fn receive(consumer: &pulsewire::Consumer) -> Result<Message> {
    let message = within(Duration::from_secs(20), consumer.receive()).await;
    message.ok_or("no message came for 20 s")?.map_err(text)
}

/// A message of ours as a witness would say it.
pub(super) fn as_said(message: &Message) -> Value {
    let id = message.id();
    let mut said = json!({
        "message_id": id.to_string(), "serialized": hex(&id.to_bytes()),
        "payload": (!message.is_null()).then(|| said(message.payload())),
        "properties": message.properties().into_iter().collect::<BTreeMap<_, _>>(),
        "event_time": message.event_time().unwrap_or(0),
        "producer": message.producer_name(),
        "redelivery_count": message.redelivery_count(),
    });
    if let Some(key) = message.key() {
        said["key"] = json!(key);
    }
    if let Some(key) = message.ordering_key() {
        said["ordering_key"] = json!(hex(key));
    }
    said
}
