//! Table views.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join3, try_join_all};
use pulsewire::{Changes, Client, ErrorKind, MessageId, TableView};

use crate::env::{Env, Outcome, holds, same, text, within};
use crate::reading::{admin_path, compact, hold, set};

const SOON: Duration = Duration::from_secs(15);

async fn view(client: &Client, topic: &str) -> Result<TableView, String> {
    client.table_view(topic).create().await.map_err(text)
}

/// `key=value` of each key.
fn rows(view: &TableView) -> Result<Vec<String>, String> {
    let entries = view.entries().map_err(text)?;
    Ok(entries.iter().map(|(key, value)| format!("{key}={}", String::from_utf8_lossy(value))).collect())
}

async fn change(changes: &mut Changes) -> Result<String, String> {
    let change = within(SOON, changes.next()).await.ok_or("no change came for 15 s")?.map_err(text)?;
    let value = change.value.map(|value| String::from_utf8_lossy(&value).into_owned());
    Ok(format!("{}={}", change.key, value.unwrap_or_default()))
}

pub(crate) async fn v03_get_iterate_refresh(env: Env) -> Outcome {
    let client = env.client()?;
    let empty = view(&client, &env.topic()).await?;
    holds("empty", empty.is_empty().map_err(text)?)?;
    empty.close().await.map_err(text)?;
    same("closed", empty.get("a").err().map(|e| e.kind()), Some(ErrorKind::AlreadyClosed))?;

    let values = [("a", Some("1")), ("b", Some("2")), ("a", Some("3")), ("c", Some("4")), ("c", None)];
    set(&client, &env.topic(), &values).await?;
    let keyless = client.producer(env.topic()).create().await.map_err(text)?;
    keyless.send("no key").await.map_err(text)?;
    // It is there when all that was there is in it.
    let table = view(&client, &env.topic()).await?;
    same("rows", rows(&table)?, vec!["a=3".to_owned(), "b=2".to_owned()])?;
    same("get", table.get("a").map_err(text)?.as_deref(), Some(&b"3"[..]))?;
    same("get", table.get("c").map_err(text)?, None)?;
    same("keys", (table.len().map_err(text)?, table.contains_key("b").map_err(text)?), (2, true))?;
    same("names", table.keys().map_err(text)?.iter().map(|key| &**key).collect::<Vec<_>>(), vec!["a", "b"])?;

    for round in 0..5 {
        let new = format!("round {round}");
        set(&client, &env.topic(), &[("a", None), ("b", Some(&new)), ("d", Some(&new))]).await?;
        within(SOON, table.refresh()).await.ok_or("refresh hangs")?.map_err(text)?;
        same("rows", rows(&table)?, vec![format!("b={new}"), format!("d={new}")])?;
    }
    // An empty value removes, as it does on compaction.
    set(&client, &env.topic(), &[("b", Some(""))]).await?;
    table.refresh().await.map_err(text)?;
    same("keys", table.keys().map_err(text)?.len(), 1)?;
    client.close().await.map_err(text)?;
    same("refresh", table.refresh().await.err().map(|e| e.kind()), Some(ErrorKind::AlreadyClosed))
}

pub(crate) async fn v03_listeners_are_told_each_change_once_in_order(env: Env) -> Outcome {
    let client = env.client()?;
    hold(&client, &env.topic()).await?;
    set(&client, &env.topic(), &[("a", Some("1")), ("b", Some("1"))]).await?;
    let table = view(&client, &env.topic()).await?;
    let (mut from_now, mut all) = (table.listen(), table.for_each_and_listen());
    let producer = client.producer(env.topic()).create().await.map_err(text)?;
    let mut expected = Vec::new();
    let mut sends = Vec::new();
    for i in 0..3000_u32 {
        let key = format!("key-{}", i % 7);
        expected.push(format!("{key}={i}"));
        sends.push(producer.new_message().key(key).payload(i.to_string()).send());
        if i == 1500 {
            // Its changes come again from where it was.
            producer.flush().await.map_err(text)?;
            env.administer("PUT", &format!("{}/unload", admin_path(&env.topic())), None).await?;
        }
    }
    let sent = try_join_all(sends);
    let listened = async {
        for row in &expected {
            same("change", &change(&mut from_now).await?, row)?;
        }
        Ok::<_, String>(())
    };
    let listened_to_all = async {
        for row in ["a=1", "b=1"].into_iter().chain(expected.iter().map(String::as_str)) {
            same("change", change(&mut all).await?.as_str(), row)?;
        }
        Ok::<_, String>(())
    };
    let (sent, listened, all_listened) = join3(sent, listened, listened_to_all).await;
    sent.map_err(text)?;
    listened?;
    all_listened?;
    set(&client, &env.topic(), &[("a", None)]).await?;
    same("a removed key", change(&mut from_now).await?, "a=".to_owned())?;
    table.close().await.map_err(text)?;
    same("after the end", StreamExt::next(&mut from_now).await.is_none(), true)?;
    client.close().await.map_err(text)
}

pub(crate) async fn v03_from_a_compacted_topic(env: Env) -> Outcome {
    let client = env.client()?;
    let values = [("a", Some("1")), ("b", Some("2")), ("a", Some("3")), ("c", Some("4")), ("c", None)];
    set(&client, &env.topic(), &values).await?;
    compact(&env, &env.topic()).await?;
    let table = view(&client, &env.topic()).await?;
    same("rows", rows(&table)?, vec!["a=3".to_owned(), "b=2".to_owned()])?;
    set(&client, &env.topic(), &[("b", None), ("d", Some("5"))]).await?;
    table.refresh().await.map_err(text)?;
    same("rows", rows(&table)?, vec!["a=3".to_owned(), "d=5".to_owned()])?;
    client.close().await.map_err(text)
}

pub(crate) async fn v03_a_topic_that_is_not_stored_is_followed(env: Env) -> Outcome {
    let client = env.client()?;
    let topic = env.topic().replace("persistent://", "non-persistent://");
    let reader = client.reader(&topic).start_message_id(MessageId::LATEST).create().await.map_err(text)?;
    let asked = reader.has_message_available().await.err().map(|e| e.kind());
    same("what is not stored has no end", asked, Some(ErrorKind::NotSupported))?;
    let table = view(&client, &topic).await?;
    let mut changes = table.listen();
    set(&client, &topic, &[("a", Some("1")), ("a", None), ("b", Some("2"))]).await?;
    for expected in ["a=1", "a=", "b=2"] {
        same("change", change(&mut changes).await?.as_str(), expected)?;
    }
    table.refresh().await.map_err(text)?;
    same("rows", rows(&table)?, vec!["b=2".to_owned()])?;
    for payload in ["1", "", "2"] {
        let message = reader.read_next_timeout(SOON).await.map_err(text)?.ok_or("no message")?;
        same("payload", message.payload(), payload.as_bytes())?;
    }
    client.close().await.map_err(text)
}

pub(crate) async fn v03_too_large_a_table_fails_with_its_limit_named(env: Env) -> Outcome {
    let client = env.client()?;
    set(&client, &env.topic(), &[("a", Some("1"))]).await?;
    let table = client.table_view(env.topic()).memory_limit(1000).create().await.map_err(text)?;
    let mut changes = table.listen();
    let value = "x".repeat(300);
    set(&client, &env.topic(), &[("b", Some(&value))]).await?;
    // What fits is told, then why there is no more.
    change(&mut changes).await?;
    set(&client, &env.topic(), &[("c", Some(&value)), ("d", Some(&value))]).await?;
    loop {
        if let Err(error) = within(SOON, changes.next()).await.ok_or("nothing came for 15 s")? {
            same("error", error.kind(), ErrorKind::MemoryLimitExceeded)?;
            break;
        }
    }
    let failed = table.get("a").err().ok_or("the table goes on")?.to_string();
    holds(&failed, failed.contains("memory_limit of 1000 bytes"))?;
    same("refresh", table.refresh().await.err().map(|e| e.kind()), Some(ErrorKind::MemoryLimitExceeded))?;
    let again = client.table_view(env.topic()).memory_limit(100).create().await.err().map(|e| e.kind());
    same("from the beginning", again, Some(ErrorKind::MemoryLimitExceeded))?;
    client.close().await.map_err(text)
}
