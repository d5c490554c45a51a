//! Keys: each goes to the same partition, whoever sends it.

use pulsewire::{HashingScheme, MessageId};
use serde_json::{Value, json};

use super::witness::Language::Java;
use super::{Both, Result, text};
use crate::admin;
use crate::env::{Env, Outcome};

const PARTITIONS: u32 = 7;

pub(crate) async fn r03_keys_go_where_java_sends_them(env: Env) -> Outcome {
    same_partitions(Both::new(env)).await
}

async fn same_partitions(both: Both) -> Outcome {
    let table: Vec<(String, u32, u32)> =
        serde_json::from_str(include_str!("../../golden/keys.json")).map_err(text)?;
    // Java's `key()` takes none that is empty for one.
    let keys: Vec<&str> =
        table.iter().step_by(97).map(|(key, ..)| key.as_str()).filter(|k| !k.is_empty()).collect();
    let topic = both.topic("keys");
    let path = format!("/admin/v2/{}/partitions", topic.replace("://", "/"));
    let made = admin::call("PUT", &both.env.endpoint.admin, &path, Some(&PARTITIONS.to_string())).await?;
    if made.status >= 300 {
        return Err(format!("{path}: {} {}", made.status, made.body));
    }
    let client = both.client()?;
    for (scheme, name) in
        [(HashingScheme::JavaStringHash, "JavaStringHash"), (HashingScheme::Murmur3Hash32, "Murmur3_32Hash")]
    {
        let messages: Vec<Value> = keys.iter().map(|key| json!({ "payload": "00", "key": key })).collect();
        let request = json!({ "do": "produce", "topic": topic, "hashing": name, "messages": messages });
        let answer = both.ask(Java, request).await?;
        let theirs = answer["sent"].as_array().ok_or("Java sent nothing")?;
        let producer =
            client.producer(&topic).hashing_scheme(scheme).batching(false).create().await.map_err(text)?;
        for (key, theirs) in keys.iter().zip(theirs) {
            let id = producer.new_message().key(*key).payload("x").send().await.map_err(text)?;
            let java = partition(theirs)?;
            if id.partition != java {
                return Err(format!("{name}: {key:?} goes to {}, from Java to {java}", id.partition));
            }
        }
        if theirs.len() != keys.len() {
            return Err(format!("Java sent {} of {} keys", theirs.len(), keys.len()));
        }
    }
    client.close().await.map_err(text)
}

fn partition(sent: &Value) -> Result<i32> {
    let hex = sent["serialized"].as_str().ok_or_else(|| format!("Java could not send: {sent}"))?;
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2).unwrap_or(""), 16).map_err(text);
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect::<Result<_>>()?;
    Ok(MessageId::from_bytes(&bytes).map_err(text)?.partition)
}
